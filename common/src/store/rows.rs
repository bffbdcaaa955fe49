//! What the store hands out: requests, what recovery needs beside them, CDRs, outbox rows, figures.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::boot::BootMoment;
use super::postings::Purse;
use super::step::{DialogState, FinalResponse, NewInvite, Outlet};
use crate::end_reason::EndReason;
use crate::event::LegName;
use crate::job::{Job, JobId};
use crate::money::Money;

/// An engine as it speaks to the store: its name and the incarnation it was registered with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Me {
    /// Configured name of the engine.
    pub id: String,
    /// Raised by every registration and by every adoption.
    pub incarnation: i64,
}

/// A job to take over from the queue.
#[derive(Clone, Debug)]
pub struct Take {
    /// The wish.
    pub job: Job,
    /// True when the engine has a free slot for it.
    pub claim: bool,
}

/// What became of a taken job. Each of them is durable: the delivery may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// New, and mine to run now.
    Claimed {
        /// Guards every write of this ownership.
        epoch: i64,
        /// The account of the job's account name, if there is one.
        account_id: Option<i64>,
    },
    /// New, stored, not claimed: no free slot, or not due yet.
    Waiting,
    /// Seen before; its row says the rest.
    Known,
    /// Over before it began: cancelled before it came, or this account's same call is under way already. Stored so, and handed out by
    /// [`Store::claim_ended`](super::Store::claim_ended) to be finished.
    Ended,
}

/// A live call's sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alive {
    /// The job.
    pub job: JobId,
    /// The epoch it is run with.
    pub epoch: i64,
    /// Milliseconds since the call began, by the engine's monotonic clock.
    pub alive_ms: i64,
}

/// A row of `callback_requests`.
#[derive(Clone, Debug)]
pub struct RequestRow {
    /// `i_callback_request`.
    pub id: i64,
    /// The wish, as it came.
    pub job: Job,
    /// The account of the job's account name, if there is one.
    pub account_id: Option<i64>,
    /// The engine that runs it.
    pub owner: Option<String>,
    /// Guards every write of that engine.
    pub epoch: i64,
    /// Sippy's status string.
    pub status: String,
    /// Sippy's result string, or one of our own.
    pub result: Option<String>,
    /// Why it ended.
    pub reason: Option<EndReason>,
    /// Somebody wants it ended.
    pub canceled: bool,
    /// The same call was asked for before: this one is never dialled.
    pub twin: bool,
    /// True: a statistics entry. False: a schedule entry.
    pub finished: bool,
    /// When it was stored.
    pub creation_time: DateTime<Utc>,
    /// When it is due.
    pub next_call: DateTime<Utc>,
    /// Attempts so far.
    pub call_count: i64,
    /// SIP Call-ID of leg A; may be preset.
    pub call_id: Option<String>,
    /// SIP Call-ID of leg B; may be preset.
    pub twoway_call_id: Option<String>,
    /// Leg A ends after so many seconds.
    pub credit_time: Option<i64>,
    /// Beginning of the attempt.
    pub setup_time: Option<DateTime<Utc>>,
    /// When A answered.
    pub connect_time: Option<DateTime<Utc>>,
    /// The end.
    pub disconnect_time: Option<DateTime<Utc>>,
    /// Finished/Expired after.
    pub not_after: DateTime<Utc>,
    /// When its engine last said it was alive, by the database's clock.
    pub last_alive: Option<DateTime<Utc>>,
    /// Milliseconds since the call began at which it was known alive, by the engine's clock.
    pub alive_ms: Option<i64>,
    /// How often it made an engine panic.
    pub poisoned: i64,
    /// The call machine's snapshot, as JSON.
    pub snapshot: Option<String>,
}

/// Everything an engine needs to go on with a request that it now owns.
#[derive(Clone, Debug)]
pub struct OwnedRequest {
    /// Its row; `owner` and `epoch` are the new ones.
    pub row: RequestRow,
    /// Its dialogs, by leg and attempt.
    pub dialogs: Vec<DialogState>,
    /// Its INVITEs, by leg, attempt and try.
    pub invites: Vec<StoredInvite>,
    /// Its open hold.
    pub hold: Option<Purse>,
    /// The attempts that are settled.
    pub attempts: Vec<CdrRow>,
    /// When that was read, by a clock that no one sets; `None`: the system does not say.
    pub read: Option<BootMoment>,
}

impl OwnedRequest {
    /// The same with its INVITEs as old as they are now: it may have waited for a gate to open, or for its turn.
    pub fn as_of_now(mut self) -> OwnedRequest {
        let now = BootMoment::now();
        if let (Some(read), Some(now)) = (&self.read, &now) {
            let waited = Duration::from_millis(u64::try_from(now.ms - read.ms).unwrap_or(0));
            self.invites.iter_mut().for_each(|invite| invite.age = invite.age.map(|age| age + waited));
        }
        self.read = now;
        self
    }
}

/// An INVITE that was about to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInvite {
    /// As it was stored.
    pub invite: NewInvite,
    /// How long ago by the store's clock; `None`: nobody knows, or the clock went back. Treat it as old.
    pub age: Option<Duration>,
    /// When it was stored, by the wall clock.
    pub intent: DateTime<Utc>,
    /// The final response, if it was stored.
    pub final_response: Option<FinalResponse>,
}

/// A CDR: one dialled attempt of one leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CdrRow {
    /// `job:leg:attempt`.
    pub cdr_id: String,
    /// The job.
    pub job: JobId,
    /// Which party.
    pub leg: LegName,
    /// The dialled attempt, from 1.
    pub attempt: u32,
    /// The trigger that asked.
    pub source: String,
    /// Name of the account that paid.
    pub account: String,
    /// The number that was called.
    pub number: String,
    /// The number it showed.
    pub cli: String,
    /// The trunk it went through.
    pub trunk: String,
    /// When the INVITE was written down.
    pub setup_time: DateTime<Utc>,
    /// When it was answered.
    pub connect_time: Option<DateTime<Utc>>,
    /// When it ended.
    pub disconnect_time: DateTime<Utc>,
    /// From answer to end, by the monotonic clock.
    pub duration_ms: i64,
    /// The seconds that were charged.
    pub billed_seconds: i64,
    /// What was charged.
    pub cost: Money,
    /// What could not be charged because the money was gone; an error if not zero.
    pub uncovered: Money,
    /// Of `cost`.
    pub currency: String,
    /// Why it ended.
    pub cause: String,
    /// The final SIP status code.
    pub sip_code: Option<u16>,
    /// Q.850 cause.
    pub q850: Option<u8>,
    /// SIP Call-ID of the attempt.
    pub call_id: String,
    /// The account's sequence number of the charge; `None` when it cost nothing.
    pub account_seq: Option<i64>,
    /// The account's balance right after it.
    pub balance: Money,
}

/// Which requests to list; `Default` is the newest hundred.
#[derive(Clone, Debug)]
pub struct RequestFilter {
    /// Only this account.
    pub account: Option<String>,
    /// Only finished ones (true) or unfinished ones (false).
    pub finished: Option<bool>,
    /// Only those created at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// At most so many, newest first.
    pub limit: u32,
}

impl Default for RequestFilter {
    fn default() -> Self {
        RequestFilter { account: None, finished: None, since: None, limit: 100 }
    }
}

/// Which CDRs to list; `Default` is the newest hundred.
#[derive(Clone, Debug)]
pub struct CdrFilter {
    /// Only this account.
    pub account: Option<String>,
    /// Only this job.
    pub job: Option<JobId>,
    /// Only those that ended at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// At most so many, newest first.
    pub limit: u32,
}

impl Default for CdrFilter {
    fn default() -> Self {
        CdrFilter { account: None, job: None, since: None, limit: 100 }
    }
}

/// One request with its attempts, for an operator.
#[derive(Clone, Debug)]
pub struct RequestStory {
    /// Its row.
    pub row: RequestRow,
    /// Its INVITEs, by leg, attempt and try.
    pub invites: Vec<StoredInvite>,
    /// Its CDRs.
    pub cdrs: Vec<CdrRow>,
    /// Its open hold.
    pub hold: Option<Purse>,
}

/// A message waiting in the outbox. Money figures are already in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// To be given back when it is confirmed.
    pub id: i64,
    /// Where it goes.
    pub destination: Outlet,
    /// The source instance for replies, the leg for billing, the routing key for the log.
    pub routing_key: String,
    /// CloudEvents id, also the AMQP message id.
    pub event_id: String,
    /// CloudEvents type.
    pub kind: String,
    /// The envelope.
    pub body: Bytes,
}

/// What a drain finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbox {
    /// The lease is mine, and these wait, oldest first.
    Rows(Vec<OutboxRow>),
    /// Another engine drains this destination.
    HeldBy(String),
}

/// An engine as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub id: String,
    /// Its incarnation.
    pub incarnation: i64,
    /// Counts its beats.
    pub beat: i64,
}

/// What the store says to a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Go on.
    Alive,
    /// Another one has adopted my calls, or runs under my name: drop them, send nothing, exit.
    Fenced,
}

/// A registered engine and what it left behind.
#[derive(Clone, Debug)]
pub struct Registered {
    /// My name with its new incarnation.
    pub me: Me,
    /// My unfinished requests, epochs raised.
    pub requests: Vec<OwnedRequest>,
}

/// May a reply leave?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nobody tried before: send it.
    Fresh,
    /// Somebody began and did not say how it ended: send only where the channel deduplicates.
    Again,
    /// Sent, or given up as unknown.
    Done,
}

/// What the velocity and spend limits of a job are held against, the job among it. Jobs of accounts without limits do not count
/// for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Unfinished jobs of the account that an engine runs now.
    pub active: i64,
    /// Jobs of the account in the last minute.
    pub jobs_minute: i64,
    /// Jobs of the account in the last hour.
    pub jobs_hour: i64,
    /// Jobs of the account in the last 24 hours.
    pub jobs_day: i64,
    /// Distinct second parties of the account in the last hour.
    pub distinct_b_hour: i64,
    /// Calls of all accounts to this second party in the last 10 minutes.
    pub same_b_10min: i64,
    /// Calls of all accounts to numbers with the same first seven digits in the last 10 minutes.
    pub same_prefix7_10min: i64,
    /// Charged seconds of the account in the last 24 hours.
    pub seconds_day: i64,
    /// Charged to the account in the last hour.
    pub spend_hour: Money,
    /// Charged to the account in the last 24 hours.
    pub spend_day: Money,
    /// Charged to all accounts in the last hour.
    pub system_spend_hour: Money,
}

/// The state of the whole, for `ringback status`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Owned unfinished requests by status.
    pub live: Vec<(String, i64)>,
    /// Due requests that no engine has claimed.
    pub backlog: i64,
    /// Unfinished requests that are not due yet.
    pub scheduled: i64,
    /// Rows that wait in the outbox, by destination, with the age of the oldest in seconds.
    pub unpublished: Vec<(String, i64, f64)>,
    /// Open holds.
    pub holds: i64,
    /// Money in open holds, by currency.
    pub held: Vec<(String, Money)>,
    /// Engines: name, incarnation, beats, live requests.
    pub engines: Vec<EngineLine>,
}

/// One engine in the summary.
#[derive(Clone, Debug, Serialize)]
pub struct EngineLine {
    /// Its name.
    pub id: String,
    /// Its incarnation.
    pub incarnation: i64,
    /// Its beats.
    pub beat: i64,
    /// Left in good order, or adopted.
    pub retired: bool,
    /// Requests it runs.
    pub live: i64,
}
