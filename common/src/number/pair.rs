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
            (Written::No | Written::Unknown, Some(two)) if are_read(&two, from) => Numbers::Two(two),
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

/// The one way to cut pieces into two numbers.
fn cut(pieces: &[&str], from: &Dialling<'_>) -> Option<[String; 2]> {
    let halves = |at: usize| {
        let (a, b) = pieces.split_at(at);
        [(a, Written::of(a, from)), (b, Written::of(b, from))]
    };
    let meant = |(_, written): &(&[&str], Written)| matches!(written, Written::Whole | Written::Unclear);
    let mut cuts = (1..pieces.len()).map(halves).filter(|halves| halves.iter().all(meant));
    let only = cuts.next().filter(|_| cuts.next().is_none())?;
    let whole = only.iter().all(|(_, written)| *written == Written::Whole);
    whole.then(|| only.map(|(pieces, _)| pieces.join(" ")))
}

/// What pieces are together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// A number that some country has.
    Whole,
    /// Perhaps one: a short one, more than one, one and a rest.
    Unclear,
    /// A number that nobody knows of.
    Unknown,
    /// No number.
    No,
}

impl Written {
    fn of(pieces: &[&str], from: &Dialling<'_>) -> Written {
        let fits = |text: &str| {
            read(text, from).map(|(number, rule)| (number.fits_a_plan() || number.is_extension(), number, rule))
        };
        match fits(&pieces.join(" ")) {
            Err(NumberError::Ambiguous) => Written::Unclear,
            Err(NumberError::TooShort) if is_somebodys(&pieces.join(" "), from) => Written::Unclear,
            Err(_) => Written::No,
            Ok((false, ..)) => Written::Unknown,
            Ok((true, number, rule)) => {
                let [first, _, ..] = pieces else { return Written::Whole };
                let begins = first.chars().filter_map(digit).count();
                let code = Country::of(&number).map_or(0, |country| country.calling_code().to_string().len());
                match rule {
                    _ if fits(first).is_ok_and(|(fits, ..)| fits) => Written::Unclear,
                    Rule::Plus | Rule::BareInternational if begins > 0 && begins < code => Written::No,
                    _ => Written::Whole,
                }
            }
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
