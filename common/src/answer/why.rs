//! From reasons to the sentences that say them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::borrow::Cow;

use crate::end_reason::EndReason;
use crate::event::RequestEvent;
use crate::guard::Block;
use crate::intake::{Party, Reason};
use crate::number::NumberError;

/// Why there is no callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Intake says so.
    Reason(Reason),
    /// The trigger could not read it; a code in snake_case that the locales know: `too_long`, `too_few_words`,
    /// `too_many_words`, `ambiguous_text`, `not_understood`, `not_text`, `not_now`, `not_vouched`,
    /// `address_not_registered`.
    Text(&'static str),
}

/// How a form is written, to show to somebody who wrote it otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct How {
    /// The message that names its words: `form-words`.
    pub form: &'static str,
    /// A text of this form.
    pub example: Cow<'static, str>,
}

impl From<Reason> for Why {
    fn from(reason: Reason) -> Why {
        Why::Reason(reason)
    }
}

impl Why {
    /// The message that says it.
    pub(super) fn key(self) -> String {
        let code = match self {
            Why::Reason(Reason::BadNumber(_, error)) => number_key(error),
            Why::Reason(Reason::Limit(_)) => "limit",
            Why::Reason(reason) => reason.code(),
            Why::Text(code) => code,
        };
        format!("why-{}", code.replace('_', "-"))
    }

    /// The message that names the number in question.
    pub(super) fn party(self) -> Option<&'static str> {
        match self {
            Why::Reason(Reason::BadNumber(party, _) | Reason::Blocked(party, _)) => Some(match party {
                Party::A => "party-a",
                Party::B => "party-b",
                Party::Forward => "party-forward",
            }),
            _ => None,
        }
    }
}

fn number_key(error: NumberError) -> &'static str {
    match error {
        NumberError::Empty => "number-empty",
        NumberError::NotDigits => "number-not-digits",
        NumberError::StarOrHash => "number-star-or-hash",
        NumberError::TooShort => "number-too-short",
        NumberError::TooLong => "number-too-long",
        NumberError::LeadingZero => "number-leading-zero",
        NumberError::NoCountry => "number-no-country",
        NumberError::Ambiguous => "number-ambiguous",
    }
}

/// The message that says why a callback ended without a call: by its reason, else by its result.
pub(super) fn of_end(end: &RequestEvent) -> Option<&'static str> {
    let result = end.result.as_deref().unwrap_or_default();
    let by_result = || RESULTS.iter().find(|(known, _)| *known == result).map(|(_, key)| *key);
    end.reason.and_then(of_reason).or_else(by_result)
}

/// The message that says what ended a call from outside while both talked.
pub(super) fn of_cut(end: &RequestEvent) -> Option<&'static str> {
    match (end.result.as_deref()?, end.reason) {
        ("Canceled", _) => Some("cut-cancelled"),
        ("Interrupted", _) => Some("cut-interrupted"),
        ("No funds", _) | ("Successful", Some(EndReason::MoneyUsedUp)) => Some("cut-no-funds"),
        ("Successful", Some(EndReason::TimeLimit)) => Some("cut-time-limit"),
        ("Successful", Some(EndReason::LineSilent)) => Some("cut-silent"),
        _ => None,
    }
}

/// The message that says this reason.
pub(super) fn of_reason(reason: EndReason) -> Option<&'static str> {
    Some(match reason {
        EndReason::MoneyUsedUp => "cut-no-funds",
        EndReason::TimeLimit => "cut-time-limit",
        EndReason::LineSilent => "cut-silent",
        EndReason::ABusy => "end-a-busy",
        EndReason::AUnreachable => "end-a-unreachable",
        EndReason::ANoAnswer => "end-a-no-answer",
        EndReason::AHungUp => "end-a-hung-up",
        EndReason::ADeclined => "end-a-declined",
        EndReason::ANoSuchNumber => "end-a-no-such-number",
        EndReason::BBusy => "end-b-busy",
        EndReason::BNoAnswer => "end-b-no-answer",
        EndReason::BDeclined => "end-b-declined",
        EndReason::BNoSuchNumber => "end-b-no-such-number",
        EndReason::BUnreachable => "end-b-unreachable",
        EndReason::Cancelled => "end-cancelled",
        EndReason::Interrupted => "end-interrupted",
        EndReason::Expired => "end-expired",
        EndReason::NoFunds => "end-no-funds",
        EndReason::Poisoned => "end-poisoned",
        EndReason::NoTrunk | EndReason::NotThisTrunk => "end-no-trunk",
        EndReason::NoPrice => "end-no-price",
        EndReason::Blocked => "end-blocked",
        EndReason::ByVoice | EndReason::BadQuestion => "end-not-possible",
        EndReason::UnknownAccount => "why-unknown-account",
        EndReason::AccountDisabled | EndReason::AccountUnusable => "why-account-disabled",
        EndReason::SameNumber => "why-same-number",
        EndReason::AlreadyCalling => "why-already-calling",
        EndReason::Limit(_) => "why-limit",
        EndReason::Forbidden(Block::NeverDial) => "why-never-dial",
        EndReason::Forbidden(Block::HardBlocked) => "why-hard-block-prefixes",
        EndReason::Forbidden(Block::CaribbeanReview) => "why-nanp-caribbean-review",
        EndReason::Forbidden(Block::Country) => "why-country-not-allowed",
        EndReason::Forbidden(Block::DoNotCall) => "why-do-not-call",
        EndReason::Talked | EndReason::Answered | EndReason::Unknown => return None,
    })
}

/// The results of requests, for a reason of another version.
pub(super) const RESULTS: [(&str, &str); 11] = [
    ("Out of retries", "end-a-no-answer"),
    ("First leg aborted", "end-a-hung-up"),
    ("Second leg failed", "end-b-unreachable"),
    ("Expired", "end-expired"),
    ("Canceled", "end-cancelled"),
    ("Interrupted", "end-interrupted"),
    ("No funds", "end-no-funds"),
    ("Rejected", "end-not-possible"),
    ("Blocked", "end-blocked"),
    ("Machine answered", "end-machine"),
    ("Poisoned", "end-poisoned"),
];
