//! Numbers among words: one, two, or one of several ways to make two of them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::number::text::digit;
use ringback_common::number::{Dialling, NumberError, read};

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

/// What these pieces are, if there is one way only to see them. Several pieces are one number only if some country has such a
/// number: digits of a second number, or of none, must not make a first one longer.
pub fn numbers(pieces: &[&str], from: &Dialling<'_>) -> Numbers {
    match pieces {
        [] => Numbers::None,
        [one] if looks_like_a_number(one, from) => Numbers::One((*one).to_owned()),
        [_] => Numbers::None,
        pieces => {
            let joined = pieces.join(" ");
            let one = read(&joined, from).ok().map(|(number, _)| number.fits_a_plan());
            match (one, split(pieces, from)) {
                (Some(true), None) => Numbers::One(joined),
                (Some(true), Some(two)) if !two.known => Numbers::One(joined),
                (Some(false), Some(two)) if two.known => Numbers::Two(two.numbers),
                (Some(_), _) => Numbers::Unclear,
                (None, Some(two)) => Numbers::Two(two.numbers),
                (None, None) if pieces.iter().all(|piece| looks_like_a_number(piece, from)) => Numbers::Unclear,
                (None, None) => Numbers::None,
            }
        }
    }
}

/// Digits and what people put between them; whether they can be dialled is another question.
fn looks_like_a_number(word: &str, from: &Dialling<'_>) -> bool {
    !matches!(read(word, from), Err(NumberError::Empty | NumberError::NotDigits))
}

/// Two numbers from two or more pieces, if there is one way only: where the second number begins with `+`, `00`, `011` or a
/// trunk 0, else wherever both parts fit a numbering plan.
pub fn two_numbers(pieces: &[&str], from: &Dialling<'_>) -> Option<[String; 2]> {
    split(pieces, from).map(|split| split.numbers)
}

fn split(pieces: &[&str], from: &Dialling<'_>) -> Option<Split> {
    let splits: Vec<Split> = (1..pieces.len()).filter_map(|at| Split::at(pieces, at, from)).collect();
    if let ([only], [_, _]) = (splits.as_slice(), pieces) {
        return Some(only.clone());
    }
    let marked: Vec<&Split> = splits.iter().filter(|split| split.marked).collect();
    let known = |splits: &[&Split]| splits.iter().filter(|split| split.known).copied().cloned().collect::<Vec<_>>();
    let candidates = match marked.as_slice() {
        [] => known(&splits.iter().collect::<Vec<_>>()),
        [only] => vec![(*only).clone()],
        several => known(several),
    };
    match candidates.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// One way to make two numbers.
#[derive(Clone)]
struct Split {
    numbers: [String; 2],
    /// The second begins as numbers begin.
    marked: bool,
    /// Both fit a numbering plan.
    known: bool,
}

impl Split {
    fn at(pieces: &[&str], at: usize, from: &Dialling<'_>) -> Option<Split> {
        let (first, second) = pieces.split_at(at);
        let numbers = [first.join(" "), second.join(" ")];
        let [a, b] = [read(&numbers[0], from).ok()?.0, read(&numbers[1], from).ok()?.0];
        let begins = second.first()?.trim_start_matches(['(', '[', '（']);
        let marked = begins.starts_with(['+', '＋']) || begins.chars().next().and_then(digit) == Some('0');
        Some(Split { numbers, marked, known: a.fits_a_plan() && b.fits_a_plan() })
    }
}
