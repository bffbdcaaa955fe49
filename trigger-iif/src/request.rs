//! What a REQUEST asks for: thirteen parameters, and what each may say.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::terms::{Announcement, Cli, Terms};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::message::{Fault, Message};

/// "Less than 32 characters."
const LONGEST: usize = 31;
/// Digits that are said at most.
const MOST_DIGITS: usize = 64;

/// A call that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The application server's name for it.
    pub id: String,
    /// Called first.
    pub user1: String,
    /// Called second.
    pub user2: String,
    /// To be tried when user2 is busy.
    pub forwards: Vec<String>,
    /// How the calls are to be made.
    pub terms: Terms,
    /// All that it says.
    pub content: Content,
}

/// What a REQUEST says, in short: the same in every repeat, signed anew or not, in whatever order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content(String);

impl Content {
    /// Of this message.
    pub fn of(message: &Message) -> Content {
        let mut said: Vec<(&str, &str)> = message.says().collect();
        said.sort_unstable();
        let mut hash = Sha256::new();
        for text in said.into_iter().flat_map(|(name, value)| [name, value]) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        Content(hex::encode(&hash.finalize()[..16]))
    }
}

/// Why there is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The message as a whole.
    Message(Fault),
    /// It has to be there, and is not.
    Missing(&'static str),
    /// 32 characters or more.
    TooLong(&'static str),
    /// Not a number of seconds.
    Duration,
    /// Not eight digits.
    Announcement,
    /// Not digits to be said.
    Digits,
    /// Nothing that a phone could show.
    Caller,
}

impl Unfit {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Unfit::Message(fault) => fault.code(),
            Unfit::Missing("id") => "id_missing",
            Unfit::Missing("user1") => "user1_missing",
            Unfit::Missing(_) => "user2_missing",
            Unfit::TooLong(_) => "parameter_too_long",
            Unfit::Duration => "bad_duration",
            Unfit::Announcement => "bad_announcement",
            Unfit::Digits => "bad_digits",
            Unfit::Caller => "bad_caller",
        }
    }
}

impl Request {
    /// Reads one. `default_caller` is shown where the message names no caller; without it the first call shows nobody.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn read(message: &Message, default_caller: Option<&Cli>) -> Result<Request, Unfit> {
        if let Some(fault) = message.fault {
            return Err(Unfit::Message(fault));
        }
        let text = |name| short(message, name);
        let needed = |name| text(name)?.map(str::to_owned).ok_or(Unfit::Missing(name));
        let (id, user1, user2) = (needed("id")?, needed("user1")?, needed("user2")?);
        let caller = |name| text(name)?.map(Cli::read).transpose().map_err(|_| Unfit::Caller);
        let (cli_a, cli_b) = (caller("caller1")?, caller("caller2")?);
        let forwards = [text("fob_nbr1")?, text("fob_nbr2")?, text("fob_nbr3")?];
        let terms = Terms {
            cli_a: Some(cli_a.or(default_caller.cloned()).unwrap_or_else(Cli::anonymous)),
            cli_b: cli_b.or(default_caller.cloned()),
            max_seconds: seconds(message.value("duration"))?,
            forwards: Vec::new(),
            announce_a: announcement(message.value("ann_id1"))?,
            announce_b: announcement(message.value("ann_id2"))?,
            say_b: digits(message.value("ann_digit2"))?,
            record: message.value("record_call").is_some(),
            ..Terms::default()
        };
        let forwards = forwards.into_iter().flatten().map(str::to_owned).collect();
        Ok(Request { id, user1, user2, forwards, terms, content: Content::of(message) })
    }
}

/// A text of less than 32 characters; `None` where it is absent or says nothing.
pub(crate) fn short<'a>(message: &'a Message, name: &'static str) -> Result<Option<&'a str>, Unfit> {
    match message.filled(name) {
        Some(text) if text.chars().count() > LONGEST => Err(Unfit::TooLong(name)),
        other => Ok(other),
    }
}

/// Seconds from A's answer; 0 and absence leave it to the engine.
fn seconds(text: Option<&str>) -> Result<Option<u32>, Unfit> {
    let Some(text) = text else { return Ok(None) };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Unfit::Duration);
    }
    let seconds: u32 = text.parse().map_err(|_| Unfit::Duration)?;
    Ok(Some(seconds).filter(|seconds| *seconds > 0))
}

fn announcement(text: Option<&str>) -> Result<Option<Announcement>, Unfit> {
    text.map(Announcement::read).transpose().map_err(|_| Unfit::Announcement)
}

fn digits(text: Option<&str>) -> Result<Option<String>, Unfit> {
    let fits = |text: &str| {
        (1..=MOST_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
    };
    match text {
        Some(text) if !fits(text) => Err(Unfit::Digits),
        text => Ok(text.map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &str) -> Result<Request, Unfit> {
        Request::read(&Message::read(format!("REQUEST: {parameters}").as_bytes(), false).unwrap(), None)
    }

    /// A good request, and one more parameter.
    fn with(parameter: &str) -> Result<Request, Unfit> {
        read(&format!("id=1234;user1=100;user2=101;{parameter};"))
    }

    #[test]
    fn a_repeat_has_the_same_content_in_whatever_order_and_signed_anew() {
        let of = |text: &str| Content::of(&Message::read(text.as_bytes(), false).unwrap());
        let first = of("REQUEST: id=1;user1=2;user2=3;time=1700000000;hmac=00;");
        for same in ["REQUEST: id=1;user1=2;user2=3;time=1700000004;hmac=ff;\r\n", "REQUEST: user2=3;id=1;user1=2"] {
            assert_eq!(of(same), first, "{same}");
        }
        for other in [
            "REQUEST: id=1;user1=2;user2=4;",
            "REQUEST: id=1;user1=2;user2=3;duration=5;",
            "REQUEST: id=1;user1=3;user2=2;",
        ] {
            assert_ne!(of(other), first, "{other}");
        }
    }

    #[test]
    fn all_thirteen_parameters_are_carried() {
        let request = with(
            "caller1=0800123;caller2=+442071838750;duration=3600;ann_id1=00080003;ann_id2=00080004;ann_digit2=12*3#;record_call;\
             fob_nbr1=102;fob_nbr2=103;fob_nbr3=104",
        )
        .unwrap();
        let cli = |text| Cli::read(text).ok();
        let announcement = |text| Announcement::read(text).ok();
        assert_eq!((request.id.as_str(), request.user1.as_str(), request.user2.as_str()), ("1234", "100", "101"));
        assert_eq!(request.forwards, ["102", "103", "104"]);
        let terms = Terms {
            cli_a: cli("0800123"),
            cli_b: cli("+442071838750"),
            max_seconds: Some(3600),
            forwards: Vec::new(),
            announce_a: announcement("00080003"),
            announce_b: announcement("00080004"),
            say_b: Some("12*3#".to_owned()),
            record: true,
            ..Terms::default()
        };
        assert_eq!(request.terms, terms);
    }

    #[test]
    fn thirty_one_characters_fit_and_thirty_two_do_not() {
        let (fits, beyond) = ("1".repeat(31), "1".repeat(32));
        for name in ["id", "user1", "user2"] {
            let message = |value: &str| {
                let all = ["id", "user1", "user2"].map(|n| format!("{n}={};", if n == name { value } else { "7" }));
                read(&all.concat())
            };
            assert!(message(&fits).is_ok(), "{name}");
            assert_eq!(message(&beyond), Err(Unfit::TooLong(name)));
        }
        for name in ["caller1", "caller2", "fob_nbr1", "fob_nbr2", "fob_nbr3"] {
            assert!(with(&format!("{name}={fits}")).is_ok(), "{name}");
            assert_eq!(with(&format!("{name}={beyond}")), Err(Unfit::TooLong(name)));
        }
        assert!(read(&format!("id={};user1=1;user2=2", "é".repeat(31))).is_ok(), "characters, not bytes");
    }

    #[test]
    fn who_is_missing_and_what_does_not_fit() {
        for (text, unfit) in [
            ("user1=1;user2=2", Unfit::Missing("id")),
            ("id=;user1=1;user2=2", Unfit::Missing("id")),
            ("id=1;user2=2", Unfit::Missing("user1")),
            ("id=1;user1=1", Unfit::Missing("user2")),
            ("id=1;user1=;user2=2", Unfit::Missing("user1")),
        ] {
            assert_eq!(read(text), Err(unfit), "{text}");
        }
        for (parameter, unfit) in [
            ("duration=-1", Unfit::Duration),
            ("duration=long", Unfit::Duration),
            ("duration=", Unfit::Duration),
            ("duration=9223372036854775808", Unfit::Duration),
            ("ann_id1=8003", Unfit::Announcement),
            ("ann_id1=0008000a", Unfit::Announcement),
            ("ann_id2=000800030", Unfit::Announcement),
            ("ann_id2=", Unfit::Announcement),
            ("ann_digit2=", Unfit::Digits),
            ("ann_digit2=twelve", Unfit::Digits),
            ("caller1=a b", Unfit::Caller),
            ("caller2=x@y", Unfit::Caller),
            ("user1=5", Unfit::Message(Fault::Twice)),
        ] {
            assert_eq!(with(parameter), Err(unfit), "{parameter}");
        }
    }

    #[test]
    fn a_duration_of_nothing_is_the_engines_own() {
        let seconds = |parameter| with(parameter).unwrap().terms.max_seconds;
        assert_eq!([seconds("duration=0"), seconds("record_call"), seconds("duration=1")], [None, None, Some(1)]);
    }

    #[test]
    fn the_default_caller_stands_where_the_message_names_none() {
        let message =
            |text: &str| Message::read(format!("REQUEST: id=1;user1=1;user2=2;{text}").as_bytes(), false).unwrap();
        let shown = |text: &str, default: Option<&str>| {
            let default = default.map(|text| Cli::read(text).unwrap());
            let terms = Request::read(&message(text), default.as_ref()).unwrap().terms;
            [terms.cli_a, terms.cli_b].map(|cli| cli.map(String::from).unwrap_or_default())
        };
        assert_eq!(shown("", None), ["anonymous", ""], "and B sees what the site shows");
        assert_eq!(shown("", Some("0800")), ["0800", "0800"]);
        assert_eq!(shown("caller1=1;caller2=2", Some("0800")), ["1", "2"]);
        assert_eq!(shown("caller2=2;caller1=", None), ["anonymous", "2"]);
    }

    #[test]
    fn record_call_is_a_flag_in_any_form() {
        for on in ["record_call", "record_call=", "record_call=no"] {
            assert!(with(on).unwrap().terms.record, "{on}");
        }
        assert!(!with("duration=1").unwrap().terms.record);
    }
}
