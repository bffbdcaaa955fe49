//! From the text of an SMS to a request. Pure. A text is understood, or refused with an example; never guessed.
//!
//! Which forms a text may have depends on the number it was sent to ([`Here`]); without settings they are the founding form,
//! `name password your-number other-number`, and the commands. All accepted forms read the text; where they read it differently,
//! it is refused, unless only one reading has numbers that can be dialled.
//!
//! A word is quoted only if it begins and ends with an ASCII `"`; any other quote is an ordinary character. Numbers may hold
//! spaces as long as only one reading is possible.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod cards;
mod commands;
mod form;
mod hash;
mod here;
mod keyword;
mod verbs;
mod words;

use std::fmt;

use ringback_common::intake::{Ask, Payer};
use ringback_common::number::{Dialling, Number, read, read_caller};

pub use form::Form;
pub use here::{Here, ShortCodes};

/// A text longer than this many characters is refused: ten SMS parts.
pub const LONGEST_TEXT: usize = 1600;
/// Numbers that one text may register beside the sender's own.
pub const MOST_OTHERS: usize = 5;

/// What an accepted text looks like.
pub const EXAMPLE: &str = "alice secret +442071838750 +4915112345678";

/// How a text is read.
#[derive(Clone, PartialEq, Eq)]
pub enum Reading {
    /// Somebody wants something.
    Request(Request),
    /// Not understood; the sender is told how to write it.
    Refused(NotUnderstood),
    /// Nobody wants an answer.
    Ignored(Ignored),
}

/// What somebody wants, as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose account, and what proves it.
    pub payer: Payer,
    /// What to do.
    pub act: Act,
}

/// What to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Act {
    /// A callback, or an answer to a question.
    Ask(Ask),
    /// Something else.
    Do(Command),
}

/// What is done at once, without a job.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// The sending number, and others, become the account's.
    Register {
        /// The account's name; without it the PIN says which.
        user: Option<String>,
        /// The account's secret.
        pin: String,
        /// Further numbers, at most [`MOST_OTHERS`].
        others: Vec<String>,
    },
    /// The sender's calls that are under way are cancelled.
    Cancel,
    /// The sending number is not rung any more.
    Stop,
    /// It may be rung again.
    Start,
    /// What can be written here?
    Help,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request(masked)")
    }
}

/// Why a text is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUnderstood {
    /// Too long to be a request.
    TooLong,
    /// Something is missing.
    TooFewWords,
    /// More words than the form has, and no single way to make numbers of the rest.
    TooManyWords,
    /// Two forms that are accepted here read it differently.
    AmbiguousText,
    /// It has none of the forms that are accepted here.
    NotUnderstood,
}

impl NotUnderstood {
    /// Stable, in snake_case; `common::answer` has the sentence.
    pub fn code(self) -> &'static str {
        match self {
            NotUnderstood::TooLong => "too_long",
            NotUnderstood::TooFewWords => "too_few_words",
            NotUnderstood::TooManyWords => "too_many_words",
            NotUnderstood::AmbiguousText => "ambiguous_text",
            NotUnderstood::NotUnderstood => "not_understood",
        }
    }
}

/// Why nobody is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Nothing but space.
    Empty,
    /// The sender is a name or a short code: nobody to call or to answer.
    SenderIsNoNumber,
    /// Our own number wrote to itself.
    OwnNumber,
    /// Our own answer came back.
    OwnAnswer,
}

impl Ignored {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Ignored::Empty => "empty_text",
            Ignored::SenderIsNoNumber => "sender_is_no_number",
            Ignored::OwnNumber => "own_number",
            Ignored::OwnAnswer => "own_answer",
        }
    }
}

/// What one form makes of a text.
enum Read {
    /// It is of this form.
    Yes(Request),
    /// It begins as this form does, and goes on otherwise.
    Almost(NotUnderstood),
    /// It is not of this form.
    No,
}

/// What stands before a sender's digits where the source says that they are a number of the site's own country.
pub const AT_HOME: &str = "national ";

/// The number a message came from: international, with or without `+`, or a listed extension; national where the source says so.
///
/// # Errors
/// It is none, or too short to be somebody's.
pub fn sender(from: &str, site: &Dialling<'_>) -> Result<Number, Ignored> {
    let read = match from.strip_prefix(AT_HOME) {
        Some(national) => read(national, site),
        None => read_caller(from, site),
    };
    read.map(|(number, _)| number).map_err(|_| Ignored::SenderIsNoNumber)
}

/// Reads a text sent here by somebody whose numbers are written like `from` says.
pub fn parse(text: &str, from: &Dialling<'_>, here: &Here) -> Reading {
    if text.chars().count() > LONGEST_TEXT {
        return Reading::Refused(NotUnderstood::TooLong);
    }
    let text = text.trim_matches(words::is_between);
    let all = words::words(text);
    if let Read::Yes(request) = commands::everywhere(&all) {
        return Reading::Request(request);
    }
    if all.is_empty() && !here.has(Form::Blank) {
        return Reading::Ignored(Ignored::Empty);
    }
    let Some(text) = here.without_keyword(text) else { return Reading::Refused(NotUnderstood::NotUnderstood) };
    let words = words::words(text);
    if let Read::Yes(request) = commands::everywhere(&words) {
        return Reading::Request(request);
    }
    let reads: Vec<Read> = here.forms().iter().map(|form| form.read(text, &words, from)).collect();
    choose(reads, from).unwrap_or_else(|| {
        let missing = if here.has(Form::Words) { words::read(&words, from).err() } else { None };
        Reading::Refused(missing.unwrap_or(NotUnderstood::NotUnderstood))
    })
}

/// The one reading, or why there is none; `None` where no form knows the text.
fn choose(reads: Vec<Read>, from: &Dialling<'_>) -> Option<Reading> {
    let mut almost = None;
    let mut found: Vec<(Request, bool)> = Vec::new();
    for read in reads {
        match read {
            Read::Yes(request) => {
                let (plain, dialable) = dialled(&request, from);
                if !found.iter().any(|(other, _)| dialled(other, from).0 == plain) {
                    found.push((request, dialable));
                }
            }
            Read::Almost(refusal) => almost = almost.or(Some(refusal)),
            Read::No => {}
        }
    }
    if found.iter().any(|(_, dialable)| *dialable) {
        found.retain(|(_, dialable)| *dialable);
    }
    match (found.pop(), found.is_empty(), almost) {
        (Some((only, _)), true, _) => Some(Reading::Request(only)),
        (Some(_), false, _) => Some(Reading::Refused(NotUnderstood::AmbiguousText)),
        (None, _, Some(refusal)) => Some(Reading::Refused(refusal)),
        (None, _, None) => None,
    }
}

/// The request with its numbers as they would be dialled, and whether all of them can be.
fn dialled(request: &Request, from: &Dialling<'_>) -> (Request, bool) {
    let mut all = true;
    let mut plain = |number: &String| match read(number, from) {
        Ok((number, _)) => number.as_str().to_owned(),
        Err(_) => {
            all = false;
            number.clone()
        }
    };
    let act = match &request.act {
        Act::Ask(Ask::Callback { a, b }) => {
            Act::Ask(Ask::Callback { a: a.as_ref().map(&mut plain), b: b.as_ref().map(&mut plain) })
        }
        Act::Ask(Ask::Rate { number }) => Act::Ask(Ask::Rate { number: plain(number) }),
        other => other.clone(),
    };
    (Request { payer: request.payer.clone(), act }, all)
}

#[cfg(test)]
mod tests;
