//! Numbers among words: one, two, or nothing that can be told.
//!
//! Digits with spaces between them are cut into two numbers only where both halves are numbers that some country has, and where no
//! other cut could be meant. No digit is taken into a number that is whole without it.

use super::read::is_somebodys;
use super::text::digit;
use super::{Country, Dialling, NumberError, Rule, read};

/// One number or two, as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// No number at all.
    None,
    /// Neither one number nor two, or both.
    Unclear,
    /// One.
    One(String),
    /// Two, in their order.
    Two([String; 2]),
}

/// What these pieces are, if there is one way only to see them.
pub fn numbers(pieces: &[&str], from: &Dialling<'_>) -> Numbers {
    match pieces {
        [] => Numbers::None,
        [one] if looks_like_a_number(one, from) => Numbers::One((*one).to_owned()),
        [_] => Numbers::None,
        pieces => match (Written::of(pieces, from), two_numbers(pieces, from)) {
            (Written::Whole, None) => Numbers::One(pieces.join(" ")),
            (Written::Whole, Some(two)) if cut(pieces, from).is_none() && !are_read(&two, from) => {
                Numbers::One(pieces.join(" "))
            }
            (Written::No | Written::Unknown | Written::Marked, Some(two)) if are_read(&two, from) => Numbers::Two(two),
            _ if pieces.iter().all(|piece| looks_like_a_number(piece, from)) => Numbers::Unclear,
            _ => Numbers::None,
        },
    }
}

/// Two numbers from two pieces, or from more, if there is one way only.
pub fn two_numbers(pieces: &[&str], from: &Dialling<'_>) -> Option<[String; 2]> {
    match pieces {
        [a, b] => Some([(*a).to_owned(), (*b).to_owned()]),
        pieces => cut(pieces, from),
    }
}

/// The one way to cut pieces into two numbers. Where no cut makes two that somebody has, one of them may be unknown if it begins as
/// international numbers do, and so shows where it begins.
fn cut(pieces: &[&str], from: &Dialling<'_>) -> Option<[String; 2]> {
    let halves = |at: usize| {
        let (a, b) = pieces.split_at(at);
        [(a, Written::of(a, from)), (b, Written::of(b, from))]
    };
    let cuts: Vec<[(&[&str], Written); 2]> = (1..pieces.len()).map(halves).collect();
    let only = |meant: &[Written]| {
        let mut cuts = cuts.iter().filter(|halves| halves.iter().all(|(_, written)| meant.contains(written)));
        cuts.next().map(|first| cuts.next().is_none().then_some(first))
    };
    let only = only(&[Written::Whole, Written::Unclear])
        .or_else(|| only(&[Written::Whole, Written::Unclear, Written::Marked]))
        .flatten()?;
    let clear = only.iter().all(|(_, written)| *written != Written::Unclear);
    clear.then(|| only.map(|(pieces, _)| pieces.join(" ")))
}

/// What pieces are together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// A number that some country has.
    Whole,
    /// Perhaps one: a short one, more than one, one and a rest.
    Unclear,
    /// A number that nobody knows of, with `+` or an international prefix.
    Marked,
    /// A number that nobody knows of.
    Unknown,
    /// No number.
    No,
}

impl Written {
    fn of(pieces: &[&str], from: &Dialling<'_>) -> Written {
        let joined = pieces.join(" ");
        let (number, rule) = match read(&joined, from) {
            Ok(read) => read,
            Err(NumberError::Ambiguous) => return Written::Unclear,
            Err(NumberError::TooShort) if is_somebodys(&joined, from) => return Written::Unclear,
            Err(_) => return Written::No,
        };
        let whole = |count: usize| read(&pieces[..count].join(" "), from).is_ok_and(|(number, _)| number.fits_a_plan());
        let known = number.fits_a_plan() || number.is_extension();
        // Plans with numbers of any length know many that begin with a shorter one, but nobody writes a whole one as a first group.
        let has_a_rest = if known { pieces.len() > 1 && whole(1) } else { (1..pieces.len()).any(whole) };
        let begins = pieces.first().map_or(0, |first| first.chars().filter_map(digit).count());
        let code = Country::of(&number).map_or(0, |country| country.calling_code().to_string().len());
        match rule {
            _ if has_a_rest => {
                if known {
                    Written::Unclear
                } else {
                    Written::Unknown
                }
            }
            Rule::Plus | Rule::BareInternational if (1..code).contains(&begins) => Written::No,
            _ if known => Written::Whole,
            Rule::Plus | Rule::InternationalPrefix => Written::Marked,
            _ => Written::Unknown,
        }
    }
}

/// Digits and what people put between them; whether they can be dialled is another question.
fn looks_like_a_number(word: &str, from: &Dialling<'_>) -> bool {
    !matches!(read(word, from), Err(NumberError::Empty | NumberError::NotDigits))
}

fn are_read(two: &[String; 2], from: &Dialling<'_>) -> bool {
    two.iter().all(|number| read(number, from).is_ok())
}
