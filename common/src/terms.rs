//! How a callback's calls are to be made, where the message said so: what each party sees, for how long they may talk, whom to
//! try when B is busy, what is said and whether it is recorded. All of it is optional; a job without terms is made as the site does.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::Number;

/// The terms of one callback. The engine honours `cli_a`, `cli_b` and `max_seconds`; the rest is carried for what will play,
/// forward and record.
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
