//! How a callback's calls are to be made, where the message said so: what each party sees, for how long they may talk, whom to
//! try when B is busy, what is said and whether it is recorded. All of it is optional; a job without terms is made as the site does.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::Number;

/// The terms of one callback. The engine honours who is shown what, how often, for how long and through which trunk; the rest is
/// carried for what will play, forward, record and ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Terms {
    /// What A sees while it rings, unless the trunk shows a number of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_a: Option<Cli>,
    /// What B sees, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_b: Option<Cli>,
    /// The longest callback, counted from A's answer (seconds); never longer than the site's and the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<u32>,
    /// Numbers to be tried in turn when B is busy; at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub forwards: Vec<Number>,
    /// The announcement A hears on answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce_a: Option<Announcement>,
    /// The announcement B hears on answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce_b: Option<Announcement>,
    /// Digits that are said to B on answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say_b: Option<String>,
    /// Whether the call is to be recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub record: bool,
    /// Attempts at A in all; never more than the account may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The time between two attempts (seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_seconds: Option<u32>,
    /// How long a phone rings (seconds, at most 600).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer_seconds: Option<u32>,
    /// The only trunk that may carry A's call, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk_a: Option<String>,
    /// For whom A's call was diverted, and why: its Diversion header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversion: Option<Diversion>,
    /// What A comes to speak with on answering, where that is an application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

/// A Diversion header (RFC 5806).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diversion {
    /// The number that was rung.
    pub from: Cli,
    /// One word: `unconditional`.
    #[schemars(regex(pattern = "^[A-Za-z0-9-]{1,40}$"))]
    pub reason: String,
}

/// A session of an application, as the application sees it: a call from this CLI to this CLD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The caller.
    pub cli: Cli,
    /// What was called: `callingcard_en_th`, or B's number.
    pub cld: String,
    /// Which application: `callingcard` or `2waycallback`.
    pub application: String,
    /// Sippy's wish that the real account pays for the first call too; B's INVITE says so, nothing here is charged for it.
    pub anon_acct_enabled: bool,
    /// Whether the default account pays.
    pub default_user_used: bool,
    /// The caller's own account, where another one pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_account: Option<String>,
}

impl Diversion {
    /// Its value in SIP, at this host; `None` where the reason is not one word.
    pub fn value(&self, host: &str) -> Option<String> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fits = (1..=40).contains(&self.reason.len()) && self.reason.bytes().all(is_word);
        fits.then(|| format!("<sip:{}@{host}>;reason={};counter=1", self.from.as_str(), self.reason))
    }
}

impl Session {
    /// Whether the carrier is to be told that the account which makes the second call pays for the first one too.
    pub fn needs_bind(&self) -> bool {
        self.default_user_used && self.anon_acct_enabled
    }
}

impl Terms {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Terms::default()
    }
}

/// What a phone shows while it rings: a number as the message wrote it, a name without spaces, or `anonymous`. 1 to 31 letters,
/// digits, and `+ - . _ *`, so that it can stand in a SIP address. `Debug` and `Display` mask it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cli(String);

/// A text that no phone is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what a phone shows is 1 to 31 letters, digits, + - . _ or *, like +442071838750 or anonymous")]
pub struct NoCli;

impl Cli {
    /// Most characters.
    pub const MAX: usize = 31;

    /// No number is shown.
    pub fn anonymous() -> Cli {
        Cli("anonymous".to_owned())
    }

    /// Reads one.
    pub fn read(text: &str) -> Result<Cli, NoCli> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_' | b'*');
        if (1..=Cli::MAX).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Cli(text.to_owned()))
        } else {
            Err(NoCli)
        }
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Cli {
    type Error = NoCli;

    fn try_from(text: String) -> Result<Cli, NoCli> {
        Cli::read(&text)
    }
}

impl From<Cli> for String {
    fn from(cli: Cli) -> String {
        cli.0
    }
}

impl fmt::Display for Cli {
    /// Masked as numbers are: `+44…8750`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.parse::<Number>() {
            Ok(number) => number.fmt(f),
            Err(_) if self.0 == "anonymous" => f.write_str(&self.0),
            Err(_) => f.write_str("…"),
        }
    }
}

impl fmt::Debug for Cli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Cli {
    fn schema_name() -> Cow<'static, str> {
        "Cli".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "What a phone shows while it rings: a number as it was written, or anonymous.",
            "pattern": r"^[A-Za-z0-9+._*-]{1,31}$",
        })
    }
}

/// An announcement of the site, by its eight digits: `00080003` is the ring-back tone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Announcement(String);

/// A text that names no announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an announcement is named by eight digits, like 00080003")]
pub struct NoAnnouncement;

impl Announcement {
    /// Reads one.
    pub fn read(text: &str) -> Result<Announcement, NoAnnouncement> {
        if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Announcement(text.to_owned()))
        } else {
            Err(NoAnnouncement)
        }
    }

    /// Its eight digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Announcement {
    type Error = NoAnnouncement;

    fn try_from(text: String) -> Result<Announcement, NoAnnouncement> {
        Announcement::read(&text)
    }
}

impl From<Announcement> for String {
    fn from(announcement: Announcement) -> String {
        announcement.0
    }
}

impl JsonSchema for Announcement {
    fn schema_name() -> Cow<'static, str> {
        "Announcement".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "An announcement of the site, by its eight digits.",
            "pattern": "^[0-9]{8}$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_phone_shows_cannot_leave_its_place_in_a_sip_address() {
        for good in ["+442071838750", "100", "anonymous", "*31", "front-desk.2", &"9".repeat(31)] {
            assert_eq!(Cli::read(good).map(|cli| cli.as_str().to_owned()), Ok(good.to_owned()));
        }
        for bad in ["", "a b", "a@b", "a;b", "a>b", "a\r\nX: y", "é", "%0d", &"9".repeat(32)] {
            assert_eq!(Cli::read(bad), Err(NoCli), "{bad:?}");
        }
    }

    #[test]
    fn a_forged_diversion_adds_no_header() {
        let of = |reason: &str| Diversion { from: Cli::read("+12065550100").unwrap(), reason: reason.to_owned() };
        let value = of("unconditional").value("192.0.2.1:5060");
        assert_eq!(value.as_deref(), Some("<sip:+12065550100@192.0.2.1:5060>;reason=unconditional;counter=1"));
        for bad in ["", "a b", "x\r\nVia: y", &"x".repeat(41)] {
            assert_eq!(of(bad).value("h"), None, "{bad:?}");
        }
    }

    #[test]
    fn numbers_are_masked_and_forged_terms_are_not_read() {
        let shown = |text| Cli::read(text).unwrap().to_string();
        assert_eq!([shown("+442071838750"), shown("anonymous"), shown("442071838750")], ["+44…8750", "anonymous", "…"]);
        assert!(serde_json::from_str::<Terms>(r#"{"cli_a":"x@y"}"#).is_err());
        assert!(serde_json::from_str::<Terms>(r#"{"announce_a":"8003"}"#).is_err());
        assert!(
            serde_json::from_str::<Terms>(r#"{"later":1}"#).unwrap().is_empty(),
            "what later versions add is skipped"
        );
    }
}
