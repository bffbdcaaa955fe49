//! What travels so that a sender can be answered: the note by which a job finds its way back to the sender.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use ringback_common::job::JobId;
use serde::{Deserialize, Serialize};

/// The type of the message that asks for a refusal to be sent; our own, from the listener to the sender of replies.
pub const REFUSAL_TYPE: &str = "ringback.sms.refused.v1";
/// The type of the event that announces a job's first call.
pub const ADMITTED_TYPE: &str = "ringback.request.admitted.v1";
/// The type of the event that ends a job.
pub const FINISHED_TYPE: &str = "ringback.request.finished.v1";

/// Through which source a text came, and its answer goes: the source's name in the settings, also the beginning of its message
/// ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Via(Arc<str>);

impl Via {
    /// The source of this name.
    pub fn new(name: &str) -> Via {
        Via(name.into())
    }

    /// The bind `[sms.smpp.<name>]`.
    pub fn smpp(name: &str) -> Via {
        Via(format!("smpp.{name}").into())
    }

    /// The name of the bind, if it is one.
    pub fn bind(&self) -> Option<&str> {
        self.0.strip_prefix("smpp.")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// What a job carries so that it can be answered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The source.
    pub via: Via,
    /// The sender of the text.
    pub to: String,
    /// The number the text was sent to.
    pub from: String,
}

/// A reply to one sender.
pub struct Reply {
    /// The job it belongs to.
    pub job: JobId,
    /// `final`: how the callback ended. `refused`: why there was none.
    pub kind: &'static str,
    /// Where to.
    pub note: Note,
    /// What to say.
    pub text: String,
}

/// The ways back to the senders.
pub trait WaysBack: Send + Sync {
    /// Whether a sender at this source can be answered; `short` says that it has a short number of our own site.
    fn answers(&self, via: &Via, short: bool) -> bool;
}

/// A refusal on its way to the sender.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The job that the text did not become.
    pub job: JobId,
    /// Where to.
    pub note: Note,
    /// What to say.
    pub text: String,
    /// It answers a command, and refuses nothing.
    #[serde(default)]
    pub answer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_far_below_what_a_job_may_carry() {
        let note = Note { via: Via::new("twilio"), to: "+442071838750".to_owned(), from: "x".repeat(64) };
        let json = serde_json::to_string(&note).unwrap();
        assert!(json.len() < ringback_common::job::MAX_REPLY_BYTES / 4, "{json}");
        assert!(serde_json::from_str::<Note>(&json).unwrap() == note);
    }
}
