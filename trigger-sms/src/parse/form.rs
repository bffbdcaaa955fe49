//! The forms that a number of ours accepts, and the packs by which operators had them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::answer::How;
use ringback_common::intake::Ask;
use ringback_common::number::{Dialling, Numbers, numbers};

use super::{EXAMPLE, Read, cards, commands, hash, verbs, words};

/// One way to write a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `name password your-number other-number`
    Words,
    /// `bal`, `rate N`, `last`, `re`, `x`, `REG name PIN`
    Commands,
    /// Nothing but the other number.
    Destination,
    /// `your-number other-number`
    Pair,
    /// An empty text.
    Blank,
    /// `last7#other-number`
    Last7,
    /// `last7#password#your-number#other-number`
    Last7Temporary,
    /// `CALL other-number`
    Call,
    /// `CALL your-number other-number`
    CallPair,
    /// `PIN other-number your-number`
    PinCard,
    /// `3266 PIN`
    CodePin,
    /// `PIN 123451234567890 number number`
    PinRegister,
    /// `REG PIN`, `REG name PIN`
    Register,
    /// `p other-number`
    Phone,
    /// `d your-number other-number`
    Dial,
    /// `b`, `l`, `re`, `x`, `i N`, `r N`
    ShortCommands,
    /// `p N`: what does it cost?
    PriceOf,
}

/// Every name that `forms` may have in the settings.
const NAMES: [(&str, &[Form]); 19] = [
    ("words", &[Form::Words]),
    ("commands", &[Form::Commands]),
    ("destination", &[Form::Destination]),
    ("pair", &[Form::Pair]),
    ("blank", &[Form::Blank]),
    ("last7", &[Form::Last7]),
    ("last7-temporary", &[Form::Last7Temporary]),
    ("call", &[Form::Call]),
    ("pin", &[Form::PinCard]),
    ("register", &[Form::Register]),
    ("uwt", &[Form::Last7]),
    ("mca", &[Form::Last7, Form::Last7Temporary]),
    ("gtl", &[Form::Blank, Form::Destination, Form::Pair]),
    ("1st4", &[Form::Blank, Form::Call, Form::PinCard, Form::Register]),
    ("tq", &[Form::CallPair]),
    ("vyke", &[Form::PinRegister]),
    ("ezd", &[Form::CodePin]),
    ("afr", &[Form::Phone, Form::Dial, Form::ShortCommands]),
    ("foc", &[Form::Call, Form::PriceOf]),
];

impl Form {
    /// The forms of this name: one, or an operator's.
    pub fn by_name(name: &str) -> Option<&'static [Form]> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, forms)| *forms)
    }

    /// Every name there is.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// Reads a text, given whole and as words.
    pub(super) fn read(self, text: &str, words: &[&str], from: &Dialling<'_>) -> Read {
        match self {
            Form::Words => words::read(words, from).map_or(Read::No, Read::Yes),
            Form::Commands => commands::read(words, from),
            Form::Destination => match numbers(words, from) {
                Numbers::One(b) => verbs::asks(Ask::call_to(b)),
                _ => Read::No,
            },
            Form::Pair => match numbers(words, from) {
                Numbers::Two([a, b]) => verbs::asks(Ask::call(a, b)),
                _ => Read::No,
            },
            Form::Blank if words.is_empty() => verbs::asks(Ask::call_me()),
            Form::Blank => Read::No,
            Form::Last7 => hash::last7(text).map_or(Read::No, Read::Yes),
            Form::Last7Temporary => hash::last7_temporary(text).map_or(Read::No, Read::Yes),
            Form::Call => verbs::one(&["call", "cal"], words, from),
            Form::CallPair => verbs::two(&["call"], words, from),
            Form::PinCard => cards::pin_card(words, from),
            Form::CodePin => cards::code_pin(words),
            Form::PinRegister => cards::pin_register(words),
            Form::Register => commands::register(words),
            Form::Phone => verbs::one(&["p", "phone"], words, from),
            Form::Dial => verbs::two(&["d", "dial"], words, from),
            Form::ShortCommands => commands::afr(words, from),
            Form::PriceOf => verbs::price(&["p"], words, from),
        }
    }

    /// How it is written; `None` where an empty text or commands are all there is to it.
    pub(super) fn how(self) -> Option<How> {
        let (form, example) = match self {
            Form::Words => ("form-words", EXAMPLE),
            Form::Destination => ("form-destination", "+4915112345678"),
            Form::Pair => ("form-pair", "+442071838750 +4915112345678"),
            Form::Last7 => ("form-last7", "0370728#+4915112345678"),
            Form::Last7Temporary => ("form-last7-temporary", "0370728#secret#+442071838750#+4915112345678"),
            Form::Call => ("form-call", "CALL +4915112345678"),
            Form::CallPair => ("form-call-pair", "CALL +442071838750 +4915112345678"),
            Form::PinCard => ("form-pin", "1234512345 +4915112345678 +442071838750"),
            Form::CodePin => ("form-code-pin", "3266 970-1234-5678"),
            Form::Phone => ("form-phone", "P +4915112345678"),
            Form::Dial => ("form-dial-pair", "D +442071838750 +4915112345678"),
            Form::PinRegister => ("form-pin-register", "PIN 123451234567890"),
            Form::Register => ("form-register", "REG alice 12345678"),
            Form::Commands | Form::Blank | Form::ShortCommands | Form::PriceOf => return None,
        };
        Some(How { form, example: example.into() })
    }
}
