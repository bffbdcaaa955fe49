//! From reasons to the sentences that say them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::borrow::Cow;

use crate::event::RequestEvent;
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
    let reason = end.reason.as_deref().unwrap_or_default().trim_end_matches('.');
    let result = end.result.as_deref().unwrap_or_default();
    let by_reason = REASONS.iter().find(|(begins, _)| reason.starts_with(begins));
    let by_result = || RESULTS.iter().find(|(known, _)| *known == result);
    by_reason.or_else(by_result).map(|(_, key)| *key)
}

/// The message that says what ended a call from outside while both talked.
pub(super) fn of_cut(end: &RequestEvent) -> Option<&'static str> {
    match (end.result.as_deref()?, end.reason.as_deref().unwrap_or_default()) {
        ("Canceled", _) => Some("cut-cancelled"),
        ("Interrupted", _) => Some("cut-interrupted"),
        ("No funds", _) | ("Successful", "the money ran out") => Some("cut-no-funds"),
        ("Successful", "the longest allowed time was reached") => Some("cut-time-limit"),
        ("Successful", "the line went silent") => Some("cut-silent"),
        _ => None,
    }
}

/// How the engine's reasons begin.
const REASONS: [(&str, &str); 32] = [
    ("your phone was busy each time we called", "end-a-busy"),
    ("your phone could not be reached", "end-a-unreachable"),
    ("you did not answer when we called", "end-a-no-answer"),
    ("you hung up before your friend answered", "end-a-hung-up"),
    ("your own number does not exist", "end-a-no-such-number"),
    ("your phone declined our call", "end-a-declined"),
    ("your friend's line is busy", "end-b-busy"),
    ("your friend did not answer", "end-b-no-answer"),
    ("your friend declined the call", "end-b-declined"),
    ("your friend's number does not exist", "end-b-no-such-number"),
    ("your friend could not be reached", "end-b-unreachable"),
    ("a machine answered", "end-machine"),
    ("it was cancelled", "end-cancelled"),
    ("our service was interrupted", "end-interrupted"),
    ("the request was too old to be tried", "end-expired"),
    ("there is not enough money on the account", "end-no-funds"),
    ("this number must not be dialled", "end-blocked"),
    ("the request could not be handled", "end-poisoned"),
    ("no trunk carries this number now", "end-no-trunk"),
    ("there is no price for this number", "end-no-price"),
    ("there is no such account", "why-unknown-account"),
    ("the account is disabled", "why-account-disabled"),
    ("the account cannot be used", "why-account-disabled"),
    ("both numbers are the same", "why-same-number"),
    ("you are already being called", "why-already-calling"),
    ("too many requests", "why-limit"),
    ("emergency and service numbers", "why-never-dial"),
    ("special rate and satellite numbers", "why-hard-block-prefixes"),
    ("Caribbean and Pacific numbers", "why-nanp-caribbean-review"),
    ("this country is not allowed", "why-country-not-allowed"),
    ("this number has asked not to be called", "why-do-not-call"),
    ("asking for the number by voice", "end-not-possible"),
];

/// The results of requests, for a reason that nobody knows.
const RESULTS: [(&str, &str); 11] = [
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

#[cfg(test)]
pub(super) fn every_end() -> impl Iterator<Item = (&'static str, &'static str)> {
    REASONS.into_iter().chain(RESULTS)
}
