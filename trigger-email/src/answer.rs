//! The trigger's side of the courier: which messages are replies, and that they go out as mails.

use ringback_common::courier::{Channel, Sent, Unread};
use ringback_common::event::{Envelope, RequestEvent};
use ringback_common::job::JobId;
use ringback_common::store::Store;

use crate::replies::{ADMITTED_TYPE, FINISHED_TYPE, Note, REFUSAL_TYPE, Refused};
use crate::send::{MailServer, Reply};

/// Replies by mail; without a mail server nobody is answered.
pub struct ByMail(pub Option<MailServer>);

impl Channel for ByMail {
    type Reply = Reply;

    async fn read(&self, _: &Store, kind: &str, body: &[u8]) -> Result<Option<Reply>, Unread> {
        Ok(match kind {
            _ if self.0.is_none() => None,
            ADMITTED_TYPE => of_event(body, "admitted", |event, note| note.speaker().calling(event))?,
            FINISHED_TYPE => of_event(body, "final", |event, note| note.speaker().finished(event))?,
            REFUSAL_TYPE => Some(refused(body)?),
            _ => None,
        })
    }

    fn key<'a>(&self, reply: &'a Reply) -> (&'a JobId, &'static str) {
        (&reply.job, reply.kind)
    }

    fn deduplicates(&self, _: &Reply) -> bool {
        self.0.as_ref().is_some_and(MailServer::deduplicates)
    }

    async fn send(&self, reply: &Reply) -> Sent {
        match &self.0 {
            Some(server) => server.send(reply).await,
            None => Sent::Never("there is no mail server".to_owned()),
        }
    }

    fn count(&self, _: &Reply, outcome: &'static str) {
        metrics::counter!("ringback_email_replies_total", "outcome" => outcome).increment(1);
    }
}

fn of_event(
    body: &[u8],
    kind: &'static str,
    says: impl Fn(&RequestEvent, &Note) -> String,
) -> Result<Option<Reply>, serde_json::Error> {
    let event = serde_json::from_slice::<Envelope<RequestEvent>>(body)?.data;
    let Some(note) = &event.reply else { return Ok(None) };
    let note: Note = serde_json::from_str(note)?;
    let text = says(&event, &note);
    Ok(Some(Reply { job: event.job, kind, note, text }))
}

fn refused(body: &[u8]) -> Result<Reply, serde_json::Error> {
    let envelope: Envelope<Refused> = serde_json::from_slice(body)?;
    let Refused { job, note, text } = envelope.data;
    Ok(Reply { job, kind: "refused", note, text })
}
