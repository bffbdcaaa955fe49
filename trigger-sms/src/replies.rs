//! What the sender is told: one final text, in one place. And the note by which a job finds its way back to the sender.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use ringback_common::event::RequestEvent;
use ringback_common::job::JobId;
use serde::{Deserialize, Serialize};

use crate::parse::EXAMPLE;

/// The type of the message that asks for a refusal to be sent; our own, from the listener to the sender of replies.
pub const REFUSAL_TYPE: &str = "ringback.sms.refused.v1";
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

/// A refusal on its way to the sender.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The job that the text did not become.
    pub job: JobId,
    /// Where to.
    pub note: Note,
    /// What to say.
    pub text: String,
}

/// Why a text led to nothing, as its sender is told; with an example of how to write it.
pub fn refusal_text(reason: &str) -> String {
    format!("No callback: {reason}. Send: name password your-number other-number. Example: {EXAMPLE}")
}

/// How a callback ended, as its sender is told.
pub fn outcome_text(end: &RequestEvent) -> String {
    let result = end.result.as_deref().unwrap_or_default();
    let talked = end.talk_seconds.filter(|seconds| *seconds > 0);
    let told = match (OUTCOMES.iter().find(|(known, _)| *known == result), talked) {
        (Some((_, "")), _) | (_, Some(_)) => format!("Your call lasted {}", duration(talked.unwrap_or(0))),
        (Some((_, sentence)), None) => format!("No callback: {sentence}{}", because(end.reason.as_deref(), sentence)),
        (None, None) => format!("No callback{}", because(end.reason.as_deref(), "")),
    };
    let cut_short = if talked.is_some() { CUT_SHORT.iter().find(|(known, _)| *known == result) } else { None };
    let why = cut_short.map(|(_, sentence)| format!(" {sentence}")).unwrap_or_default();
    format!("{told}{}.{why}{}", cost(end), balance(end))
}

/// What ended a call from outside while both talked.
const CUT_SHORT: [(&str, &str); 3] = [
    ("Canceled", "It was cancelled."),
    ("Interrupted", "It was interrupted on our side."),
    ("No funds", "The money on the account was used up."),
];

/// Results and what they mean for the sender. The one without a sentence is a call that took place.
const OUTCOMES: [(&str, &str); 12] = [
    ("Successful", ""),
    ("Out of retries", "we could not reach you"),
    ("First leg aborted", "you hung up before the other party answered"),
    ("Second leg failed", "the other party could not be reached"),
    ("Expired", "it took too long"),
    ("Canceled", "it was cancelled"),
    ("Interrupted", "it was interrupted on our side; please send it again"),
    ("No funds", "there is not enough money on the account"),
    ("Rejected", "it is not possible"),
    ("Blocked", "this number is not called"),
    ("Machine answered", "a machine answered"),
    ("Poisoned", "it failed on our side"),
];

/// The reason, where it says more than the sentence before it.
fn because(reason: Option<&str>, sentence: &str) -> String {
    let reason = reason.map(|reason| reason.trim().trim_end_matches('.')).filter(|reason| !sentence.contains(reason));
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}

/// What it cost, if it cost something, or if there was a call.
fn cost(end: &RequestEvent) -> String {
    let (Some(cost), Some(currency)) = (end.cost, &end.currency) else { return String::new() };
    let talked = end.talk_seconds.unwrap_or(0) > 0;
    match (cost.0 != 0, talked) {
        (true, true) => format!(" and cost {cost} {currency}"),
        (true, false) => format!(". It cost {cost} {currency}"),
        (false, true) => " and cost nothing".to_owned(),
        (false, false) => String::new(),
    }
}

fn balance(end: &RequestEvent) -> String {
    match (end.balance, &end.currency) {
        (Some(balance), Some(currency)) => format!(" {balance} {currency} left."),
        _ => String::new(),
    }
}

/// `50 s`, `3 min 20 s`, `1 h 5 min`.
fn duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(result: &str, talk_seconds: u64, cost: &str) -> RequestEvent {
        RequestEvent {
            job: JobId("j".to_owned()),
            seq: 9,
            source: "sms".to_owned(),
            account: "alice".to_owned(),
            status: "Finished".to_owned(),
            result: Some(result.to_owned()),
            reason: None,
            a: "+442071838750".parse().unwrap(),
            b: None,
            quote: None,
            price_a: None,
            price_b: None,
            minutes: None,
            attempts: None,
            talk_seconds: Some(talk_seconds),
            cost: Some(cost.parse().unwrap()),
            currency: Some("USD".to_owned()),
            balance: Some("9.55".parse().unwrap()),
            reply: None,
            metadata: Default::default(),
        }
    }

    #[test]
    fn a_call_is_told_by_its_length_price_and_what_is_left() {
        for (seconds, length) in [(50, "50 s"), (60, "1 min"), (200, "3 min 20 s"), (3900, "1 h 5 min")] {
            let text = outcome_text(&end("Successful", seconds, "0.45"));
            assert_eq!(text, format!("Your call lasted {length} and cost 0.45 USD. 9.55 USD left."));
        }
    }

    #[test]
    fn a_failure_is_told_by_its_reason_and_its_price_if_any() {
        let busy = RequestEvent { reason: Some("busy.".to_owned()), ..end("Second leg failed", 0, "0.02") };
        assert_eq!(
            outcome_text(&busy),
            "No callback: the other party could not be reached (busy). It cost 0.02 USD. 9.55 USD left."
        );
        let nobody = RequestEvent { currency: None, ..end("Out of retries", 0, "0.00") };
        assert_eq!(outcome_text(&nobody), "No callback: we could not reach you.");
        let unknown = RequestEvent { reason: Some("the moon".to_owned()), balance: None, ..end("Odd", 0, "0.00") };
        assert_eq!(outcome_text(&unknown), "No callback (the moon).");
    }

    #[test]
    fn a_call_cut_short_is_told_like_a_call_and_why_it_ended() {
        let reason = || Some("it was cancelled".to_owned());
        let talking = RequestEvent { reason: reason(), ..end("Canceled", 90, "0.45") };
        assert_eq!(
            outcome_text(&talking),
            "Your call lasted 1 min 30 s and cost 0.45 USD. It was cancelled. 9.55 USD left."
        );
        let free = RequestEvent { balance: None, ..end("Interrupted", 5, "0.00") };
        assert_eq!(outcome_text(&free), "Your call lasted 5 s and cost nothing. It was interrupted on our side.");
        let ringing = RequestEvent { reason: reason(), ..end("Canceled", 0, "0.00") };
        assert_eq!(outcome_text(&ringing), "No callback: it was cancelled. 9.55 USD left.");
    }

    #[test]
    fn every_outcome_says_something_and_fits_a_few_sms_parts() {
        for (result, _) in OUTCOMES {
            let text = outcome_text(&end(result, 12, "0.01"));
            assert!(text.len() > 30 && text.len() < 306, "{text}");
        }
        let refusal = refusal_text("this number is not registered here");
        assert!(refusal.contains(EXAMPLE) && refusal.len() < 306, "{refusal}");
    }

    #[test]
    fn a_note_is_far_below_what_a_job_may_carry() {
        let note = Note { via: Via::new("twilio"), to: "+442071838750".to_owned(), from: "x".repeat(64) };
        let json = serde_json::to_string(&note).unwrap();
        assert!(json.len() < ringback_common::job::MAX_REPLY_BYTES / 4, "{json}");
        assert!(serde_json::from_str::<Note>(&json).unwrap() == note);
    }
}
