//! What the sender is told, and the note by which a job finds its way back to the mail that asked for it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::event::RequestEvent;
use ringback_common::job::JobId;
use serde::{Deserialize, Serialize};

use crate::mail::Mail;

/// The type of the message that asks for a refusal to be sent; our own, from the desk to the sender of replies.
pub const REFUSAL_TYPE: &str = "ringback.email.refused.v1";
/// The type of the event that says a call is about to be made.
pub const ADMITTED_TYPE: &str = "ringback.request.admitted.v1";
/// The type of the event that ends a job.
pub const FINISHED_TYPE: &str = "ringback.request.finished.v1";

/// As many bytes of references are kept.
const REFERENCES: usize = 300;
/// As much of a subject is kept (characters, at most 4 bytes each).
const SUBJECT: usize = 60;

/// What a job carries so that its mail can be answered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The From address of the mail.
    pub to: String,
    /// Its subject.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it and its answer refer to, itself last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// The languages that its writer understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub languages: Option<String>,
}

impl Note {
    /// How to answer this mail.
    pub fn of(mail: &Mail<'_>) -> Note {
        Note {
            to: mail.from.clone(),
            subject: mail.subject.chars().filter(|c| !c.is_control()).take(SUBJECT).collect(),
            id: mail.own_id(),
            references: mail.references(REFERENCES),
            languages: mail.languages(),
        }
    }
}

/// A refusal on its way to the sender.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The job that the mail did not become.
    pub job: JobId,
    /// Where to.
    pub note: Note,
    /// What to say.
    pub text: String,
}

/// Why a mail led to nothing, as its sender is told.
pub fn refusal_text(reason: &str) -> String {
    format!("No callback: {reason}.")
}

/// That the phone is about to ring.
pub fn admitted_text(_admitted: &RequestEvent, _note: &Note) -> String {
    "Calling you now.".to_owned()
}

/// How a callback ended.
pub fn outcome_text(end: &RequestEvent, _note: &Note) -> String {
    format!("Your callback has ended: {}.", end.result.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::House;

    #[test]
    fn a_note_fits_what_a_job_may_carry_whatever_the_mail_says() {
        let long = "é".repeat(1_000);
        let many: String = (0..200).map(|n| format!(" <{n}@{}>\r\n", "r".repeat(100))).collect();
        let raw = format!(
            "From: {}@{}.example\r\nTo: call@gw.test\r\nSubject: \"\\{long}\r\nMessage-ID: <{}@x>\r\nReferences:{many}\
             Accept-Language: {}\r\n\r\n",
            "\u{1f600}".repeat(10),
            "a".repeat(180),
            "m".repeat(190),
            "de,".repeat(100),
        );
        let house = House { recipients: vec!["call".to_owned()], max_size: 1_000_000, own: None };
        let mail = Mail::read(raw.as_bytes(), None, &house).unwrap();
        let json = serde_json::to_string(&Note::of(&mail)).unwrap();
        assert!(json.len() <= ringback_common::job::MAX_REPLY_BYTES, "{} bytes: {json}", json.len());
        assert!(serde_json::from_str::<Note>(&json).unwrap() == Note::of(&mail));
    }
}
