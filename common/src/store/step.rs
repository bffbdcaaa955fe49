//! What one call writes at one durable point: all of it or nothing, and nothing at all once the epoch moved on.

use std::net::SocketAddr;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::postings::Postings;
use crate::end_reason::EndReason;
use crate::event::LegName;
use crate::job::JobId;
use crate::money::Money;

/// One durable point of one call.
///
/// The guard is `(owner, epoch)`: when the row has another owner or epoch, nothing is written and the answer is
/// [`Stepped::Fenced`]. A step may reach the database twice (no answer to COMMIT): the [`Writer`](super::Writer) numbers its
/// steps, the row remembers the last number of its epoch, so the second time writes nothing and answers `Done`.
#[derive(Clone, Debug)]
pub struct Step {
    /// The job.
    pub job: JobId,
    /// The engine that believes it owns it.
    pub owner: String,
    /// The epoch it was handed with the job.
    pub epoch: i64,
    /// What changes in the request's own row.
    pub request: RequestChange,
    /// Money set aside, or given back; charges need it too.
    pub postings: Option<Postings>,
    /// INVITEs about to leave.
    pub invites: Vec<NewInvite>,
    /// Final responses about to be ACKed.
    pub finals: Vec<FinalResponse>,
    /// Dialogs, inserted or replaced by (leg, attempt).
    pub dialogs: Vec<DialogState>,
    /// Attempts that end here: a CDR each, and the charge.
    pub settlements: Vec<Settlement>,
    /// News for the outbox.
    pub events: Vec<OutboxEvent>,
    /// True when it stores an INVITE: refused with [`Stepped::Cancelled`] if somebody cancelled the request.
    pub honour_cancel: bool,
}

impl Step {
    /// A step of this job that writes nothing yet.
    pub fn new(job: JobId, owner: &str, epoch: i64) -> Step {
        Step {
            job,
            owner: owner.to_owned(),
            epoch,
            request: RequestChange::default(),
            postings: None,
            invites: Vec::new(),
            finals: Vec::new(),
            dialogs: Vec::new(),
            settlements: Vec::new(),
            events: Vec::new(),
            honour_cancel: false,
        }
    }

    /// What must be free on the account for it.
    pub(super) fn need(&self) -> Option<Money> {
        self.postings.map(|postings| postings.need(self.settlements.iter().map(|settled| settled.cost)))
    }
}

/// How a step ended. Every answer but `Done` means that nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// Durable.
    Done {
        /// The paying account's balance after it; zero when the step touched no money.
        balance: Money,
        /// The account's last money sequence number after it; zero when the step touched no money.
        account_seq: i64,
    },
    /// The request was cancelled before.
    Cancelled,
    /// Balance less holds is below what the postings need.
    NoFunds,
    /// The row has another owner or epoch: drop this call and send nothing.
    Fenced,
}

/// Columns of `callback_requests`; `None` leaves one as it is.
#[derive(Clone, Debug, Default)]
pub struct RequestChange {
    /// Sippy's status string.
    pub status: Option<String>,
    /// Sippy's result string, or one of our own.
    pub result: Option<String>,
    /// Why it ended.
    pub reason: Option<EndReason>,
    /// The call machine's snapshot, as JSON.
    pub snapshot: Option<String>,
    /// When it is due again.
    pub next_call: Option<DateTime<Utc>>,
    /// Attempts so far.
    pub call_count: Option<i64>,
    /// SIP Call-ID of leg A.
    pub call_id: Option<String>,
    /// SIP Call-ID of leg B.
    pub twoway_call_id: Option<String>,
    /// Beginning of the attempt.
    pub setup_time: Option<DateTime<Utc>>,
    /// When A answered.
    pub connect_time: Option<DateTime<Utc>>,
    /// The end.
    pub disconnect_time: Option<DateTime<Utc>>,
    /// True makes the row a statistics entry.
    pub finished: Option<bool>,
    /// Milliseconds since the call began at which it was known alive, by the engine's monotonic clock.
    pub alive_ms: Option<i64>,
    /// Gives the row back: any engine may claim it once `next_call` is due.
    pub release: bool,
}

/// An INVITE that may leave once the step is durable. Its age counts from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvite {
    /// Which party.
    pub leg: LegName,
    /// The dialled attempt, from 1.
    pub attempt: u32,
    /// The transaction within the attempt, from 1.
    pub try_number: u32,
    /// SIP Call-ID.
    pub call_id: String,
    /// Branch of the topmost Via.
    pub branch: String,
    /// The datagram.
    pub bytes: Bytes,
    /// Our offer.
    pub sdp: Option<String>,
    /// The socket it leaves from.
    pub local_addr: SocketAddr,
    /// Where it goes.
    pub peer_addr: SocketAddr,
    /// Its Expires header.
    pub expires_s: u32,
}

/// A final response; durable before its ACK leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalResponse {
    /// Which party.
    pub leg: LegName,
    /// The dialled attempt, from 1.
    pub attempt: u32,
    /// The transaction within the attempt, from 1.
    pub try_number: u32,
    /// SIP status code.
    pub code: u16,
    /// The datagram.
    pub bytes: Bytes,
}

/// What is needed to go on with a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogState {
    /// Which party.
    pub leg: LegName,
    /// The dialled attempt, from 1.
    pub attempt: u32,
    /// The leg's state, as JSON.
    pub state: String,
    /// No request above this CSeq has left; an adopter begins above it.
    pub cseq_hi: i64,
}

/// One dialled attempt that ended: its CDR and its charge, written once by key `job:leg:attempt`.
///
/// What it costs is charged whole, out of what the step's postings free: an engine asks for no more than its hold pays for, and says
/// the same in its events. An attempt that has its CDR already is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which party.
    pub leg: LegName,
    /// The dialled attempt, from 1.
    pub attempt: u32,
    /// The number that was called.
    pub number: String,
    /// The number it showed.
    pub cli: String,
    /// The trunk it went through.
    pub trunk: String,
    /// When its first INVITE was written down.
    pub setup_time: DateTime<Utc>,
    /// When it was answered.
    pub connect_time: Option<DateTime<Utc>>,
    /// When it ended.
    pub disconnect_time: DateTime<Utc>,
    /// From answer to end, by the monotonic clock.
    pub duration_ms: u64,
    /// The seconds that are charged.
    pub billed_seconds: u64,
    /// What they cost and what is charged; zero or more.
    pub cost: Money,
    /// Why it ended.
    pub cause: String,
    /// The final SIP status code.
    pub sip_code: Option<u16>,
    /// Q.850 cause.
    pub q850: Option<u8>,
    /// SIP Call-ID of the attempt.
    pub call_id: String,
}

/// One message for one destination, written with the change it tells of and published later by a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Whose row it is.
    pub destination: Outlet,
    /// The source instance for replies, the leg or `balance` for billing, the routing key for the log.
    pub routing_key: String,
    /// CloudEvents id. Must be the same when the same event is told again (derive it from job and sequence): a second row
    /// with the same id for the same destination is dropped.
    pub event_id: String,
    /// CloudEvents type.
    pub kind: String,
    /// The envelope, as JSON.
    pub body: String,
    /// What the drain fills into `data.account_seq` and `data.balance`.
    pub money: EventMoney,
}

/// Which money figures an event carries; known only to the transaction that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventMoney {
    /// None.
    #[default]
    None,
    /// Sequence number and closing balance of the charge of this attempt. If that attempt was settled by an earlier step,
    /// the event was written then, and this one is dropped.
    Charge(LegName, u32),
    /// The account's balance after the step (`data.balance` alone).
    Balance,
}

/// Where outbox rows go; each destination is drained by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outlet {
    /// Answers to the triggers.
    Replies,
    /// The feed of everything that moves money.
    Billing,
    /// The stream of everything.
    Log,
}

impl EventMoney {
    /// As the SQL knows it: `balance`, or the attempt `a:1`.
    pub(super) fn label(self) -> Option<String> {
        match self {
            EventMoney::None => None,
            EventMoney::Balance => Some("balance".to_owned()),
            EventMoney::Charge(leg, attempt) => Some(attempt_label(leg, attempt)),
        }
    }
}

/// `a:1`
pub(super) fn attempt_label(leg: LegName, attempt: u32) -> String {
    format!("{}:{attempt}", leg.as_str())
}

/// `job:leg:attempt`, the key of a CDR.
pub(super) fn cdr_id(job: &JobId, leg: LegName, attempt: u32) -> String {
    format!("{job}:{}:{attempt}", leg.as_str())
}

/// 32 hexadecimal digits, for billing tools that allow no more.
pub(super) fn unique_id(cdr_id: &str) -> String {
    hex::encode(&Sha256::digest(cdr_id.as_bytes())[..16])
}

impl Outlet {
    /// All of them.
    pub const ALL: [Outlet; 3] = [Outlet::Replies, Outlet::Billing, Outlet::Log];

    /// `replies`, `billing` or `log`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outlet::Replies => "replies",
            Outlet::Billing => "billing",
            Outlet::Log => "log",
        }
    }
}
