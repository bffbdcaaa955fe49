//! What the sender is told, and the note by which a job finds its way back to the mail that asked for it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::answer::{Channel, How, Language, Speaker, Why};
use ringback_common::intake::Reason;
use ringback_common::job::JobId;
use serde::{Deserialize, Serialize};

use crate::form::NoForm;
use crate::mail::Mail;
use crate::trust::Doubt;

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

/// A subject as it should be.
const EXAMPLE: &str = "0370728#0119281112222";

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
    /// The language to answer in: `en`.
    #[serde(default)]
    pub language: String,
}

impl Note {
    /// How to answer this mail.
    pub fn of(mail: &Mail<'_>, language: Language) -> Note {
        Note {
            to: mail.from.clone(),
            subject: mail.subject.chars().filter(|c| !c.is_control()).take(SUBJECT).collect(),
            id: mail.own_id(),
            references: mail.references(REFERENCES),
            language: language.tag().to_owned(),
        }
    }

    /// How its sender is spoken to.
    pub fn speaker(&self) -> Speaker {
        Speaker::new(Language::by_tag(&self.language).unwrap_or_default(), Channel::Mail)
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
pub fn refusal(language: Language, why: Why) -> String {
    let how = How { form: "form-last7", example: EXAMPLE.into() };
    Speaker::new(language, Channel::Mail).refused(why, Some(&how))
}

/// Why a mail was not understood.
pub fn why_no_form(no_form: NoForm) -> Why {
    Why::Text(match no_form {
        NoForm::None => "not_understood",
        NoForm::Several => "ambiguous_text",
    })
}

/// Why intake refuses, in the words of mail.
pub fn why_refused(reason: Reason) -> Why {
    match reason {
        Reason::SenderNotRegistered => Why::Text("address_not_registered"),
        reason => Why::Reason(reason),
    }
}

/// That nobody vouches for a mail.
pub fn why_doubted(doubt: Doubt) -> Why {
    Why::Text(if doubt == Doubt::Unknown { "not_now" } else { "not_vouched" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Envelope, House};

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
        let house = House { recipients: vec!["call".to_owned()], max_size: 1_000_000, own: None, domain: None };
        let envelope = Envelope { mail_from: None, rcpt_to: vec!["call@gw.test".to_owned()] };
        let mail = Mail::read(raw.as_bytes(), Some(&envelope), &house).unwrap();
        let json = serde_json::to_string(&Note::of(&mail, Language::English)).unwrap();
        assert!(json.len() <= ringback_common::job::MAX_REPLY_BYTES, "{} bytes: {json}", json.len());
        assert!(serde_json::from_str::<Note>(&json).unwrap() == Note::of(&mail, Language::English));
    }
}
