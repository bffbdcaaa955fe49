//! The job: one uniform wish for a callback, whichever trigger understood it.
//!
//! A job carries no password, PIN, price or balance: the engine looks those up again (plans for forged jobs).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::number::Number;
use crate::terms::Terms;

/// The type of the CloudEvents envelope around a job.
pub const JOB_TYPE: &str = "ringback.job.v1";
/// A job body above this many bytes is refused by triggers and dead-lettered by the engine unparsed.
pub const MAX_JOB_BYTES: usize = 16 * 1024;
/// `reply` is at most this long.
pub const MAX_REPLY_BYTES: usize = 1024;

/// Identity of a job, drawn from the source's own message id, so that the same message twice is the same job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct JobId(pub String);

impl JobId {
    /// The id of the job that this message of this source asks for: 32 hexadecimal digits.
    pub fn of_message(source: &str, message_id: &str, sender: &str) -> JobId {
        let mut hash = Sha256::new();
        for part in [source, message_id, sender] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        JobId(hex::encode(&hash.finalize()[..16]))
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a job asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Two calls, joined.
    #[default]
    Callback,
    /// An answer, without dialling.
    Quote,
}

impl JobKind {
    /// `callback` or `quote`.
    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Callback => "callback",
            JobKind::Quote => "quote",
        }
    }

    fn is_callback(&self) -> bool {
        *self == JobKind::Callback
    }
}

/// What a job of kind `quote` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quote {
    /// The account's balance.
    Balance,
    /// What a minute between `a` and `b` costs.
    Rate,
    /// Length and cost of the account's last call.
    LastCall,
}

/// One wish: call A, then B, join them, charge this account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Unique; a job that arrives twice is one callback.
    pub id: JobId,
    /// `callback`, which is also meant where it is absent, or `quote`.
    #[serde(default, skip_serializing_if = "JobKind::is_callback")]
    pub kind: JobKind,
    /// What a quote asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// Who understood the message, and the routing key of its replies: `sms`, `web`, `cli`. A name, not an enumeration.
    pub source: String,
    /// Name of the account that asked and pays, as authenticated by the trigger.
    pub account: String,
    /// The first party: called first. In E.164 form with `+`, or a listed extension.
    pub a: Number,
    /// The second party. `None` asks A by voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Number>,
    /// Who sent the message, as the channel names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// When the message was understood.
    pub created: DateTime<Utc>,
    /// Not to be dialled before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// Too old to be dialled after: Finished/Expired.
    pub not_after: DateTime<Utc>,
    /// How the calls are to be made, where the message said so.
    #[serde(default, skip_serializing_if = "Terms::is_empty")]
    pub terms: Terms,
    /// What the trigger needs to answer; opaque to everyone else, at most 1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The caller's own data, carried end to end into every event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// Fields of later versions: kept and ignored.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}
