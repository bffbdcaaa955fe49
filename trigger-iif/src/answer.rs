//! The trigger's side of the courier: how a call ended becomes a RESPONSE to the application server that asked for it. It may come
//! twice after a crash; application servers know a call by its id.

use std::net::SocketAddr;
use std::sync::Arc;

use ringback_common::config::Dialect;
use ringback_common::courier::{Channel, Sent};
use ringback_common::event::{Envelope, RequestEvent};
use ringback_common::job::JobId;
use tokio::sync::{Semaphore, watch};

use crate::judge::Note;
use crate::message::{response, sid};
use crate::peers::Setup;
use crate::port::Port;
use crate::signature::sign;

const FINISHED_TYPE: &str = "ringback.request.finished.v1";
/// RESPONSEs that are being said again at a time; one more is said once.
const MOST_REPEATED: usize = 2_000;

/// Replies by UDP.
pub struct ByUdp {
    port: Arc<Port>,
    setup: watch::Receiver<Setup>,
    repeating: Arc<Semaphore>,
}

impl ByUdp {
    /// From this port.
    pub fn new(port: Arc<Port>, setup: watch::Receiver<Setup>) -> ByUdp {
        ByUdp { port, setup, repeating: Arc::new(Semaphore::new(MOST_REPEATED)) }
    }

    /// Says it again a few times, where the settings want that: UDP may lose it.
    fn repeat(&self, reply: &Reply) {
        let (times, pause) = self.setup.borrow().repeats;
        if times == 0 {
            return;
        }
        let Ok(permit) = Arc::clone(&self.repeating).try_acquire_owned() else { return };
        let (port, text, to) = (Arc::clone(&self.port), reply.text.clone(), reply.to);
        tokio::spawn(async move {
            for _ in 0..times {
                tokio::time::sleep(pause).await;
                if let Err(error) = port.send(&text, to).await {
                    tracing::debug!("a RESPONSE was not said again: {error}");
                }
            }
            drop(permit);
        });
    }
}

/// A RESPONSE on its way.
pub struct Reply {
    job: JobId,
    to: SocketAddr,
    text: String,
}

impl Channel for ByUdp {
    type Reply = Reply;

    fn read(&self, kind: &str, body: &[u8]) -> Result<Option<Reply>, String> {
        if kind != FINISHED_TYPE {
            return Ok(None);
        }
        let event = serde_json::from_slice::<Envelope<RequestEvent>>(body).map_err(|error| error.to_string())?.data;
        let Some(note) = &event.reply else { return Ok(None) };
        let note: Note = serde_json::from_str(note).map_err(|error| error.to_string())?;
        Ok(Some(reply(&event, &note, &self.setup.borrow())))
    }

    fn key<'a>(&self, reply: &'a Reply) -> (&'a JobId, &'static str) {
        (&reply.job, "final")
    }

    fn deduplicates(&self, _: &Reply) -> bool {
        true
    }

    async fn send(&self, reply: &Reply) -> Sent {
        match self.port.send(&reply.text, reply.to).await {
            Ok(()) => {
                self.repeat(reply);
                Sent::Yes
            }
            Err(error) => Sent::NotYet(error.to_string()),
        }
    }

    fn count(&self, _: &Reply, outcome: &'static str) {
        metrics::counter!("ringback_iif_responses_total", "outcome" => outcome).increment(1);
    }
}

fn reply(event: &RequestEvent, note: &Note, setup: &Setup) -> Reply {
    let dialect = if note.v1 { Dialect::V1 } else { Dialect::V2 };
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let (result, cause) = (said(&event.result), said(&event.reason));
    let ending = setup.extended.then_some((result.as_str(), cause.as_str()));
    let text = response(dialect, &note.id, sid(&event.job), event.talk_seconds.unwrap_or(0), ending);
    Reply { job: event.job.clone(), to: note.to, text: sign(text, setup.secret(&note.server)) }
}
