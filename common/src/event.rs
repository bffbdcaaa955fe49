//! What the engine tells the world: CloudEvents 1.0 envelopes around requests, legs, CDRs and balances.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::end_reason::EndReason;
use crate::job::{JobId, Quote};
use crate::money::Money;
use crate::number::Number;

/// `content_type` of every message on the queue.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";
/// Type of a [`CdrEvent`].
pub const CDR_TYPE: &str = "ringback.cdr.v1";
/// Type of a [`BalanceEvent`].
pub const BALANCE_TYPE: &str = "ringback.balance.v1";
/// The states of `ringback.request.<state>.v1`. Later versions may add some: whoever reads them skips what it does not know.
pub const REQUEST_STATES: [&str; 6] = ["admitted", "calling_a", "calling_b", "talking", "waiting", "finished"];
/// The states of `ringback.leg.<state>.v1`. Later versions may add some.
pub const LEG_STATES: [&str; 3] = ["ringing", "answered", "ended"];

/// The CloudEvents 1.0 envelope. `id` is also the AMQP `message_id`; a repeat keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope<T> {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique per event; equal for every copy of it.
    pub id: String,
    /// Who speaks, as a URI reference: `/ringback/engine/e1`.
    pub source: String,
    /// `ringback.job.v1`, `ringback.request.<state>.v1`, `ringback.leg.<state>.v1`, `ringback.cdr.v1`, `ringback.balance.v1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    #[serde(serialize_with = "crate::wall::serialize")]
    pub time: DateTime<Utc>,
    /// The job it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// The news itself.
    pub data: T,
    /// Extension attributes: kept and ignored.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Value>,
}

impl<T> Envelope<T> {
    /// An envelope around `data`.
    pub fn new(id: String, source: String, kind: &str, time: DateTime<Utc>, subject: Option<String>, data: T) -> Self {
        Envelope {
            specversion: "1.0".to_owned(),
            id,
            source,
            kind: kind.to_owned(),
            time,
            subject,
            datacontenttype: "application/json".to_owned(),
            data,
            extensions: BTreeMap::new(),
        }
    }
}

/// Which party of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LegName {
    /// The first party, who asked.
    A,
    /// The second party, the person they want.
    B,
}

impl LegName {
    /// `a` or `b`.
    pub fn as_str(self) -> &'static str {
        match self {
            LegName::A => "a",
            LegName::B => "b",
        }
    }
}

/// `ringback.request.<state>.v1`: the callback as a whole moved on. `admitted` (A is about to be called for the first time; only
/// where somebody waits for a reply), `calling_a`, `calling_b`, `talking`, `waiting` (A was not reached and is tried again
/// later), `finished`. A refused request and an answered quote have only `finished`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestEvent {
    /// The job.
    pub job: JobId,
    /// Counts the events of one job from 1, without gaps.
    pub seq: u32,
    /// The trigger that asked.
    pub source: String,
    /// The account that pays.
    pub account: String,
    /// Sippy's status string: `First leg initiated`, `Second leg initiated`, `Second leg connected`, `Waiting for retry`,
    /// `Finished`.
    pub status: String,
    /// Sippy's result string, once finished: `Successful`, `Out of retries`, ... or one of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Why, once finished: a code, and its facts are the fields beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// First party.
    pub a: Number,
    /// Second party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Number>,
    /// What was asked, where the job is a quote; its answer is in the fields below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// Price of a minute of A's call, once admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_a: Option<Money>,
    /// Price of a minute of B's call, once admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_b: Option<Money>,
    /// Whole minutes of both calls that the balance pays for, once admitted; absent when they cost nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u64>,
    /// How often A was called, once finished without reaching A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Seconds both talked, once finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talk_seconds: Option<u64>,
    /// What it cost in all, once finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// Currency of all money here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What is on the account, once admitted or finished; absent when nothing was ever held for this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Money>,
    /// The trigger's own reply note, untouched; only where the trigger hears of it, not in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The caller's own data, untouched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

/// `ringback.leg.<state>.v1`: one party's phone `ringing`, `answered` or `ended`. That it is being called is said by the
/// request's `calling_a` and `calling_b`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LegEvent {
    /// The job.
    pub job: JobId,
    /// Counts the events of one job from 1, without gaps.
    pub seq: u32,
    /// Which party.
    pub leg: LegName,
    /// The dialled attempt, from 1.
    pub attempt: u32,
    /// The number that is called.
    pub number: Number,
    /// The last SIP status code heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_code: Option<u16>,
    /// Why it ended, in our words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// `ringback.cdr.v1`: one dialled attempt of one leg, charged once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CdrEvent {
    /// `job:leg:attempt`, unique.
    pub cdr_id: String,
    /// The job.
    pub job: JobId,
    /// Counts the events of one job from 1, without gaps.
    pub seq: u32,
    /// Which party.
    pub leg: LegName,
    /// The dialled attempt, from 1.
    pub attempt: u32,
    /// The trigger that asked.
    pub source: String,
    /// The account that paid.
    pub account: String,
    /// The number that was called.
    pub number: Number,
    /// The number it showed.
    pub cli: String,
    /// The trunk it went through.
    pub trunk: String,
    /// When the INVITE was written down.
    #[serde(serialize_with = "crate::wall::serialize")]
    pub setup_time: DateTime<Utc>,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "crate::wall::serialize_opt")]
    pub connect_time: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(serialize_with = "crate::wall::serialize")]
    pub disconnect_time: DateTime<Utc>,
    /// From answer to end, in milliseconds of the monotonic clock.
    pub duration_ms: u64,
    /// The seconds that were charged.
    pub billed_seconds: u64,
    /// What they cost.
    pub cost: Money,
    /// Of `cost` and `balance`.
    pub currency: String,
    /// Why it ended, in our words: `completed`, `busy`, `no_answer`, `Interrupted`, ...
    pub cause: String,
    /// The final SIP status code, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_code: Option<u16>,
    /// The Q.850 cause of the peer's Reason header or our mapping of the SIP code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u8>,
    /// The SIP Call-ID of the attempt.
    pub call_id: String,
    /// Counts the money movements of the account from 1, without gaps; set by the transaction that charged, absent when there
    /// was nothing to charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_seq: Option<i64>,
    /// The account's balance right after this charge; set by the transaction that charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Money>,
    /// The caller's own data, untouched.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

/// `ringback.balance.v1`: money came or went outside a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BalanceEvent {
    /// The account.
    pub account: String,
    /// What was added (negative: taken).
    pub amount: Money,
    /// Why: `topup`, `correction`.
    pub kind: String,
    /// Of `amount` and `balance`.
    pub currency: String,
    /// Counts the money movements of the account from 1, without gaps.
    pub account_seq: i64,
    /// The balance after it.
    pub balance: Money,
}
