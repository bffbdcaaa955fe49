//! Forms that begin with a word: `CALL other-number` (1st4), `CALL your-number other-number` (TQ), `cal other-number` (FOC),
//! `p other-number` and `d your-number other-number` (AFR). The sending phone belongs to the account.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::intake::{Ask, Payer};
use ringback_common::number::{Dialling, Numbers, numbers};

use super::{Act, NotUnderstood, Read, Request, keyword};

/// One of these words and the other number.
pub fn one(verbs: &[&str], words: &[&str], from: &Dialling<'_>) -> Read {
    match after(verbs, words).map(|rest| numbers(rest, from)) {
        Some(Numbers::One(b)) => asks(Ask::call_to(b)),
        Some(Numbers::Two(_) | Numbers::Unclear) => Read::Almost(NotUnderstood::TooManyWords),
        Some(Numbers::None) => Read::Almost(NotUnderstood::TooFewWords),
        None => Read::No,
    }
}

/// One of these words, your number and the other number.
pub fn two(verbs: &[&str], words: &[&str], from: &Dialling<'_>) -> Read {
    match after(verbs, words).map(|rest| numbers(rest, from)) {
        Some(Numbers::Two([a, b])) => asks(Ask::call(a, b)),
        Some(Numbers::Unclear) => Read::Almost(NotUnderstood::TooManyWords),
        Some(Numbers::One(_) | Numbers::None) => Read::Almost(NotUnderstood::TooFewWords),
        None => Read::No,
    }
}

/// One of these words and the number whose price is asked.
pub fn price(verbs: &[&str], words: &[&str], from: &Dialling<'_>) -> Read {
    match after(verbs, words).map(|rest| numbers(rest, from)) {
        Some(Numbers::One(number)) => asks(Ask::Rate { number }),
        Some(Numbers::Two(_) | Numbers::Unclear) => Read::Almost(NotUnderstood::TooManyWords),
        Some(Numbers::None) => Read::Almost(NotUnderstood::TooFewWords),
        None => Read::No,
    }
}

/// What follows one of these words at the start.
fn after<'a, 'b>(verbs: &[&str], words: &'b [&'a str]) -> Option<&'b [&'a str]> {
    let [verb, rest @ ..] = words else { return None };
    keyword::is(verb, verbs).then_some(rest)
}

/// Asked by the sender, whose number is proof enough.
pub fn asks(ask: Ask) -> Read {
    Read::Yes(Request { payer: Payer::sender(), act: Act::Ask(ask) })
}
