//! Forms of calling cards, where a PIN stands for the account: `PIN other-number your-number` (1st4, in this order), `3266 PIN`
//! (EZD), `PIN 123451234567890 ...` to register numbers (VYKE).
//!
//! A PIN alone is no name: it counts for the account to which the sending phone is registered. A new phone registers itself first.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::intake::{Ask, Payer};
use ringback_common::number::text::digit;
use ringback_common::number::{Dialling, Numbers, numbers};

use super::{Act, Command, MOST_OTHERS, NotUnderstood, Read, Request, keyword};

/// `PIN`, `PIN other-number` and `PIN other-number your-number`.
pub fn pin_card(words: &[&str], from: &Dialling<'_>) -> Read {
    let [pin, rest @ ..] = words else { return Read::No };
    let Some(pin) = pin_of(pin) else { return Read::No };
    let ask = match (rest, numbers(rest, from)) {
        ([], _) => Ask::call_me(),
        (_, Numbers::One(b)) => Ask::call_to(b),
        (_, Numbers::Two([b, a])) => Ask::call(a, b),
        (_, Numbers::Unclear) => return Read::Almost(NotUnderstood::TooManyWords),
        (_, Numbers::None) => return Read::No,
    };
    Read::Yes(Request { payer: Payer::sender_with_secret(pin), act: Act::Ask(ask) })
}

/// `3266 970-1234-5678`
pub fn code_pin(words: &[&str]) -> Read {
    let ["3266", pin @ ..] = words else { return Read::No };
    match pin_of(&pin.concat()) {
        Some(pin) => Read::Yes(Request { payer: Payer::sender_with_secret(pin), act: Act::Ask(Ask::call_me()) }),
        None => Read::Almost(NotUnderstood::TooFewWords),
    }
}

/// `PIN 123451234567890`, and with further numbers behind it.
pub fn pin_register(words: &[&str]) -> Read {
    let [word, rest @ ..] = words else { return Read::No };
    if !keyword::is(word, &["pin"]) {
        return Read::No;
    }
    match rest {
        [] => Read::Almost(NotUnderstood::TooFewWords),
        [_, others @ ..] if others.len() > MOST_OTHERS => Read::Almost(NotUnderstood::TooManyWords),
        [pin, others @ ..] => {
            let others = others.iter().map(|number| (*number).to_owned()).collect();
            let act = Act::Do(Command::Register { user: None, pin: (*pin).to_owned(), others });
            Read::Yes(Request { payer: Payer::sender(), act })
        }
    }
}

/// The digits of a PIN: 4 to 20 of any script, hyphens between them left out.
fn pin_of(word: &str) -> Option<String> {
    let digits: Option<String> = word.chars().filter(|c| *c != '-').map(digit).collect();
    digits.filter(|digits| (4..=20).contains(&digits.len()))
}
