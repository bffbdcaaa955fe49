//! What the call machine is given: a plan that admission has already checked, and the words for how things end.

use std::time::Duration;

use ringback_common::event::LegName;
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_sip::Moment;
use serde::{Deserialize, Serialize};

use crate::billing::{Meter, Tariff};

/// One way to reach a party: a trunk that admission found, best first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The trunk's name.
    pub trunk: String,
    /// The CLI that the party sees through this trunk.
    pub cli: String,
}

/// One party of the callback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// Whom to call.
    pub number: Number,
    /// How to get there, best first; never empty.
    pub routes: Vec<Route>,
    /// What it costs once answered.
    pub tariff: Tariff,
}

/// Everything one run of a callback needs: one dialled attempt of A and, if A answers, of B.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallPlan {
    /// The first party.
    pub a: Party,
    /// The second party.
    pub b: Party,
    /// Which attempt at A this is, from 1.
    pub attempt: u32,
    /// How many attempts there may be.
    pub attempts: u32,
    /// How long a phone rings before we give up; also the `Expires` of every INVITE.
    pub no_answer: Duration,
    /// The time between two attempts.
    pub backoff: Duration,
    /// The longest call, counted from A's answer.
    pub max_call: Duration,
    /// How much talking one hold pays for, in seconds of both legs.
    pub slice_seconds: u64,
}

impl CallPlan {
    /// The party of a leg.
    pub fn party(&self, leg: LegName) -> &Party {
        match leg {
            LegName::A => &self.a,
            LegName::B => &self.b,
        }
    }

    /// The hold that pays for one slice.
    pub fn slice(&self) -> Money {
        crate::billing::hold_for(self.a.tariff, self.b.tariff, self.slice_seconds)
    }

    pub(super) fn meter(&self, leg: LegName, since: Moment) -> Meter {
        Meter { since, tariff: self.party(leg).tariff }
    }
}

/// Why a leg ended, in our words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The party hung up.
    HungUp,
    /// We hung up because the other party did, or the callback was over.
    Completed,
    /// The line is busy (486, 600).
    Busy,
    /// It rang and nobody answered (408 by our timer, 480, 487).
    NoAnswer,
    /// The party refused the call (403, 603).
    Rejected,
    /// No such number (404, 410, 484, 485, 604).
    NoSuchNumber,
    /// The trunk could not carry it (5xx, 408 without any sign of life).
    TrunkFailed,
    /// Cancelled by the sender, an operator or a disabled account.
    Canceled,
    /// The money ran out.
    OutOfFunds,
    /// The longest allowed time was reached.
    TimeLimit,
    /// No audio came for too long.
    MediaLost,
    /// The engine went away in the middle.
    Interrupted,
}

/// Whose doing an ending was; alarms watch only what is ours or a trunk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// All went as it should.
    Nobody,
    /// One of the two parties, or the account.
    Subscriber,
    /// The carrier.
    Trunk,
    /// Ours.
    Engine,
}

impl Cause {
    /// The cause of a final SIP status other than 2xx (RFC 3261 section 21).
    pub fn of_status(code: u16) -> Cause {
        match code {
            486 | 600 => Cause::Busy,
            408 | 480 | 487 => Cause::NoAnswer,
            403 | 603 | 433 | 607 | 608 => Cause::Rejected,
            404 | 410 | 484 | 485 | 604 => Cause::NoSuchNumber,
            _ => Cause::TrunkFailed,
        }
    }

    /// The Q.850 cause that says the same (RFC 3398 section 8.2.6.1).
    pub fn q850(self) -> u8 {
        match self {
            Cause::HungUp | Cause::Completed | Cause::Canceled | Cause::TimeLimit => 16,
            Cause::Busy => 17,
            Cause::NoAnswer => 19,
            Cause::Rejected => 21,
            Cause::NoSuchNumber => 1,
            Cause::TrunkFailed => 38,
            Cause::OutOfFunds => 50,
            Cause::MediaLost => 41,
            Cause::Interrupted => 41,
        }
    }

    /// The stable name in CDRs and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::HungUp => "hung_up",
            Cause::Completed => "completed",
            Cause::Busy => "busy",
            Cause::NoAnswer => "no_answer",
            Cause::Rejected => "rejected",
            Cause::NoSuchNumber => "no_such_number",
            Cause::TrunkFailed => "trunk_failed",
            Cause::Canceled => "canceled",
            Cause::OutOfFunds => "out_of_funds",
            Cause::TimeLimit => "time_limit",
            Cause::MediaLost => "media_lost",
            Cause::Interrupted => "Interrupted",
        }
    }

    /// Whose doing it was.
    pub fn blame(self) -> Blame {
        match self {
            Cause::HungUp | Cause::Completed | Cause::TimeLimit => Blame::Nobody,
            Cause::Busy
            | Cause::NoAnswer
            | Cause::Rejected
            | Cause::NoSuchNumber
            | Cause::Canceled
            | Cause::OutOfFunds => Blame::Subscriber,
            Cause::TrunkFailed | Cause::MediaLost => Blame::Trunk,
            Cause::Interrupted => Blame::Engine,
        }
    }

    /// Whether another trunk may be tried: only when the party was certainly not reached.
    pub(super) fn may_fail_over(self) -> bool {
        self == Cause::TrunkFailed
    }

    /// Whether the party has said no, or does not exist: it is never rung again for this request.
    pub(crate) fn is_no(self) -> bool {
        matches!(self, Cause::Rejected | Cause::NoSuchNumber)
    }

    /// Whether only the phone itself, or its network, says so.
    pub(super) fn is_word_of_the_phone(self) -> bool {
        self.is_no() || self == Cause::Busy
    }

    /// Whether A is tried again later: busy, no answer, failed once.
    pub(super) fn may_retry(self) -> bool {
        matches!(self, Cause::Busy | Cause::NoAnswer | Cause::TrunkFailed | Cause::Interrupted)
    }
}

/// How a request ended: Sippy's result strings to the letter, and our own where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// A and B talked.
    Successful,
    /// A was not reached in all attempts.
    OutOfRetries,
    /// The request was too old to be tried.
    Expired,
    /// A hung up before B answered.
    FirstLegAborted,
    /// B was not reached.
    SecondLegFailed,
    /// Cancelled.
    Canceled,
    /// The engine went away in the middle.
    Interrupted,
    /// The account has no money for it.
    NoFunds,
    /// Refused by admission.
    Rejected,
    /// A number that must not be dialled.
    Blocked,
    /// The request broke the engine three times.
    Poisoned,
    /// It was a question.
    Answered,
}

impl Verdict {
    /// The string in column `result` and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Successful => "Successful",
            Verdict::OutOfRetries => "Out of retries",
            Verdict::Expired => "Expired",
            Verdict::FirstLegAborted => "First leg aborted",
            Verdict::SecondLegFailed => "Second leg failed",
            Verdict::Canceled => "Canceled",
            Verdict::Interrupted => "Interrupted",
            Verdict::NoFunds => "No funds",
            Verdict::Rejected => "Rejected",
            Verdict::Blocked => "Blocked",
            Verdict::Poisoned => "Poisoned",
            Verdict::Answered => "Answered",
        }
    }
}
