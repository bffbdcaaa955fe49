//! The trigger's side of the courier: which messages are replies, and that they go out through the source that brought the text.

use std::sync::Arc;

use ringback_common::answer::{Channel as Room, Language, Speaker};
use ringback_common::courier::{Channel, Sent, Unread};
use ringback_common::event::{Envelope, RequestEvent};
use ringback_common::job::JobId;
use ringback_common::notice::{NOTICE_TYPE, Notice};
use ringback_common::number::{Country, Number};
use ringback_common::store::Store;

use crate::replies::{ADMITTED_TYPE, FINISHED_TYPE, Note, REFUSAL_TYPE, Refused, Reply, Via};
use crate::send::Channels;

/// Replies by SMS.
pub struct BySms {
    /// The ways back to the senders.
    pub channels: Arc<Channels>,
    /// Senders also hear that a call begins.
    pub announce: bool,
    /// The way of texts that answer none, if there is one.
    pub notices: Option<Notices>,
}

/// The way of texts that answer none.
pub struct Notices {
    /// The source.
    pub via: Via,
    /// Whom they come from.
    pub from: String,
}

impl Channel for BySms {
    type Reply = Reply;

    async fn read(&self, store: &Store, kind: &str, body: &[u8]) -> Result<Option<Reply>, Unread> {
        match kind {
            FINISHED_TYPE => news(store, body).await,
            ADMITTED_TYPE if self.announce => news(store, body).await,
            REFUSAL_TYPE => Ok(Some(refused(body)?)),
            NOTICE_TYPE => self.notices.as_ref().map(|notices| notice(body, notices)).transpose().map_err(Unread::from),
            _ => Ok(None),
        }
    }

    fn key<'a>(&self, reply: &'a Reply) -> (&'a JobId, &'static str) {
        (&reply.job, reply.kind)
    }

    fn way<'a>(&self, reply: &'a Reply) -> &'a str {
        reply.note.via.name()
    }

    fn deduplicates(&self, reply: &Reply) -> bool {
        self.channels.deduplicates(&reply.note.via)
    }

    async fn send(&self, reply: &Reply) -> Sent {
        self.channels.send(reply).await
    }

    fn count(&self, reply: &Reply, outcome: &'static str) {
        let via = reply.note.via.name().to_owned();
        metrics::counter!("ringback_sms_replies_total", "via" => via, "outcome" => outcome).increment(1);
    }
}

/// News of a job, in the language of the account, else of the sender's country.
async fn news(store: &Store, body: &[u8]) -> Result<Option<Reply>, Unread> {
    let event = serde_json::from_slice::<Envelope<RequestEvent>>(body)?.data;
    let Some(note) = &event.reply else { return Ok(None) };
    let note: Note = serde_json::from_str(note)?;
    let account = store.view_by_name(&event.account).await?;
    let country = Number::e164(&note.to).ok().and_then(|number| Country::of(&number));
    let language = Language::of(account.and_then(|account| account.language).as_deref(), None, country);
    let speaker = Speaker::new(language, Room::Sms);
    let (kind, text) = match event.result {
        Some(_) => ("final", speaker.finished(&event)),
        None => ("admitted", speaker.calling(&event)),
    };
    Ok(Some(Reply { job: event.job, kind, note, text }))
}

fn refused(body: &[u8]) -> Result<Reply, serde_json::Error> {
    let envelope: Envelope<Refused> = serde_json::from_slice(body)?;
    let Refused { job, note, text, answer } = envelope.data;
    Ok(Reply { job, kind: if answer { "answer" } else { "refused" }, note, text })
}
fn notice(body: &[u8], notices: &Notices) -> Result<Reply, serde_json::Error> {
    let Notice { job, to, text } = serde_json::from_slice::<Envelope<Notice>>(body)?.data;
    let note = Note { via: notices.via.clone(), to: to.as_str().to_owned(), from: notices.from.clone() };
    Ok(Reply { job, kind: "notice", note, text })
}
