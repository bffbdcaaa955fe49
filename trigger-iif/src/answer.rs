//! The trigger's side of the courier: how a call ended becomes a RESPONSE to the application server that asked for it. It may come
//! twice after a crash; application servers know a call by its id.

use std::net::SocketAddr;
use std::sync::Arc;

use ringback_common::config::Dialect;
use ringback_common::courier::{Channel, Sent, Unread};
use ringback_common::end_reason::EndReason;
use ringback_common::event::{Envelope, RequestEvent};
use ringback_common::job::JobId;
use ringback_common::store::Store;
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
    setup: watch::Receiver<Arc<Setup>>,
    repeating: Arc<Semaphore>,
}

impl ByUdp {
    /// From this port.
    pub fn new(port: Arc<Port>, setup: watch::Receiver<Arc<Setup>>) -> ByUdp {
        ByUdp { port, setup, repeating: Arc::new(Semaphore::new(MOST_REPEATED)) }
    }

    /// What is said of this event; nothing of one that is no end, or whose job nobody is to hear of.
    fn response_to(&self, kind: &str, body: &[u8]) -> serde_json::Result<Option<Reply>> {
        if kind != FINISHED_TYPE {
            return Ok(None);
        }
        let event = serde_json::from_slice::<Envelope<RequestEvent>>(body)?.data;
        let Some(note) = &event.reply else { return Ok(None) };
        let note: Note = serde_json::from_str(note)?;
        Ok(Some(reply(&event, &note, &self.setup.borrow())))
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
    server: String,
    to: SocketAddr,
    text: String,
    /// It was asked for under a signature, and there is no secret any more to sign it with.
    unsignable: bool,
}

impl Channel for ByUdp {
    type Reply = Reply;

    async fn read(&self, _: &Store, kind: &str, body: &[u8]) -> Result<Option<Reply>, Unread> {
        Ok(self.response_to(kind, body)?)
    }

    fn key<'a>(&self, reply: &'a Reply) -> (&'a JobId, &'static str) {
        (&reply.job, "final")
    }

    /// An application server that cannot be reached holds up only its own.
    fn way<'a>(&self, reply: &'a Reply) -> &'a str {
        &reply.server
    }

    fn deduplicates(&self, _: &Reply) -> bool {
        true
    }

    fn open(&self) -> watch::Receiver<bool> {
        self.port.opened()
    }

    async fn send(&self, reply: &Reply) -> Sent {
        if reply.unsignable {
            return Sent::Never(format!(
                "its REQUEST was signed, and [iif] has no secret of {} any more",
                reply.server
            ));
        }
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
    let (result, cause) = (event.result.as_deref().unwrap_or_default(), event.reason.map_or("", EndReason::code));
    let ending = setup.extended.then_some((result, cause));
    let text = response(dialect, &note.id, sid(&event.job), event.talk_seconds.unwrap_or(0), ending);
    let (server, secret) = (note.server.clone(), setup.secret(&note.server));
    let unsignable = note.signed && secret.is_none();
    Reply { job: event.job.clone(), to: note.to, text: sign(text, secret), server, unsignable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringback_common::config::{Config, Role};
    use serde_json::{Value, json};

    /// How a call ended, as the engine says it.
    fn ended(note: Option<&str>) -> Vec<u8> {
        let mut event = json!({
            "specversion": "1.0", "id": "j:9", "source": "/ringback/engine/e1", "type": FINISHED_TYPE,
            "time": "2026-03-01T12:00:00Z", "datacontenttype": "application/json",
            "data": {
                "job": "0123456789abcdef0123456789abcdef", "seq": 9, "source": "iif", "account": "alice", "status": "Finished",
                "result": "Successful", "reason": "talked", "a": "100", "b": "101", "talk_seconds": 180,
            },
        });
        event["data"]["reply"] = note.map_or(Value::Null, Value::from);
        event.to_string().into_bytes()
    }

    fn channel(settings: &str) -> ByUdp {
        let config = Config::read(settings, "test", std::path::Path::new("/srv"), Role::Trigger, []).unwrap();
        ByUdp::new(Arc::default(), watch::channel(Arc::new(Setup::new(&config.iif))).1)
    }

    #[tokio::test]
    async fn an_ending_becomes_the_response_of_its_dialect() {
        let sid = 0x0123_4567_89ab_cdef_u64 >> 1;
        let note = |more: &str| format!(r#"{{"to":"127.0.0.1:4000","id":"1234","server":"127.0.0.1"{more}}}"#);
        let plain = channel("[iif]\naccount = 'alice'");
        let reply = plain.response_to(FINISHED_TYPE, &ended(Some(&note("")))).unwrap().unwrap();
        assert_eq!(reply.text, format!("RESPONSE: id=1234;sid={sid};real_duration=180;"));
        assert_eq!(reply.to, "127.0.0.1:4000".parse().unwrap());
        assert!(plain.deduplicates(&reply), "so one that a crash cut off is sent again");
        let old = plain.response_to(FINISHED_TYPE, &ended(Some(&note(r#","v1":true"#)))).unwrap().unwrap();
        assert_eq!(old.text, "RESPONSE: id=1234;real_duration=180;");
        let wordy = channel("[iif]\naccount = 'alice'\nextended = true");
        let reply = wordy.response_to(FINISHED_TYPE, &ended(Some(&note("")))).unwrap().unwrap();
        assert!(reply.text.ends_with("real_duration=180;result=Successful;cause=talked;"), "{}", reply.text);
        assert!(matches!(plain.send(&reply).await, Sent::NotYet(_)), "the port is closed: later");
    }

    #[tokio::test]
    async fn what_was_asked_for_under_a_signature_never_leaves_without_one() {
        let note = r#"{"to":"127.0.0.1:4000","id":"1234","server":"one","signed":true}"#;
        let peer = |name: &str| {
            channel(&format!("[iif]\naccount = 'alice'\n[iif.peers.{name}]\nhost = '127.0.0.1'\nsecret = 'key'"))
        };
        let (known, renamed) = (peer("one"), peer("two"));
        let reply = known.response_to(FINISHED_TYPE, &ended(Some(note))).unwrap().unwrap();
        assert!(reply.text.contains(";hmac=") && matches!(known.send(&reply).await, Sent::NotYet(_)));
        let reply = renamed.response_to(FINISHED_TYPE, &ended(Some(note))).unwrap().unwrap();
        assert!(matches!(renamed.send(&reply).await, Sent::Never(why) if why.contains("no secret of one")));
        let unsigned = note.replace(r#","signed":true"#, "");
        let reply = renamed.response_to(FINISHED_TYPE, &ended(Some(&unsigned))).unwrap().unwrap();
        assert!(!reply.unsignable, "who never signed hears of its running calls under its old name too");
    }

    #[tokio::test]
    async fn what_asks_for_no_response_gets_none_and_nonsense_is_named() {
        let channel = channel("[iif]\naccount = 'alice'");
        assert!(channel.response_to("ringback.request.admitted.v1", b"{}").unwrap().is_none());
        assert!(channel.response_to(FINISHED_TYPE, &ended(None)).unwrap().is_none());
        assert!(channel.response_to(FINISHED_TYPE, b"nonsense").is_err());
        assert!(channel.response_to(FINISHED_TYPE, &ended(Some("not ours"))).is_err());
    }
}
