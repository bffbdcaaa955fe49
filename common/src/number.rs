//! Numbers as they are dialled: `+` and 7 to 15 digits, or a short extension that the site lists.
//!
//! [`read`] turns what people write into a [`Number`]; nothing else in Ringback interprets a written number.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod pair;
mod plan;
mod read;
pub mod text;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use pair::{Numbers, numbers, two_numbers};
pub use plan::{Country, Kind};
pub use read::{Dialling, Rule, read, read_caller};

/// A number in dialable form. `Debug` and `Display` mask it; [`Number::as_str`] has the digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Number(String);

/// A text that is no number in dialable form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number is written as + and 7 to 15 digits, like +442071838750, or as a short extension of at most 6 digits")]
pub struct NotDialable;

/// Why a written number is not dialled, and what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// No digit in it.
    #[error("there is no number; write it like +442071838750")]
    Empty,
    /// Letters or signs between the digits.
    #[error("a number has only digits; write it like +442071838750")]
    NotDigits,
    /// A service code.
    #[error("numbers with * or # are never called; write a number like +442071838750")]
    StarOrHash,
    /// Fewer than 7 digits, and not listed.
    #[error(
        "the number is too short; emergency and service numbers are never called; write another with its country \
         code, like +442071838750"
    )]
    TooShort,
    /// More than 15 digits.
    #[error("the number is too long; a number has at most 15 digits, like +442071838750")]
    TooLong,
    /// A country code that begins with 0.
    #[error("after + comes the country code, which never begins with 0; write the number like +442071838750")]
    LeadingZero,
    /// A national number, and nobody knows of which country.
    #[error("the country is missing; write the number with its country code, like +442071838750")]
    NoCountry,
    /// Two different numbers fit what is written.
    #[error("the number can be read in two ways; write it with + and its country code, like +442071838750")]
    Ambiguous,
}

impl Number {
    /// Fewest digits after the `+`.
    pub const MIN_DIGITS: usize = 7;
    /// Most digits after the `+` (E.164).
    pub const MAX_DIGITS: usize = 15;
    /// Most digits of an extension.
    pub const MAX_EXTENSION_DIGITS: usize = Number::MIN_DIGITS - 1;

    /// A number in E.164 form: `+`, no leading zero, 7 to 15 digits.
    pub fn e164(text: &str) -> Result<Number, NotDialable> {
        let digits = text.strip_prefix('+').ok_or(NotDialable)?;
        let fits = (Number::MIN_DIGITS..=Number::MAX_DIGITS).contains(&digits.len());
        if fits && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Number(text.to_owned()))
        } else {
            Err(NotDialable)
        }
    }

    /// A short extension: 1 to 6 digits. Whether the site lists it is the caller's question.
    pub fn extension(text: &str) -> Result<Number, NotDialable> {
        let fits = (1..=Number::MAX_EXTENSION_DIGITS).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_digit()) { Ok(Number(text.to_owned())) } else { Err(NotDialable) }
    }

    /// The dialable form: `+442071838750` or `100`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without `+`.
    pub fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or(&self.0)
    }

    /// The digits without `+`, of a number of the world.
    fn e164_digits(&self) -> Option<&str> {
        self.0.strip_prefix('+')
    }

    /// Whether some country's numbering plan has such a number. A hint for telling readings of a text apart, never a gate.
    pub fn fits_a_plan(&self) -> bool {
        !self.is_extension() && plan::fit(self.digits()) == plan::Fit::Known
    }

    /// What it may be for, as far as its country's plan says.
    pub fn kinds(&self) -> Vec<Kind> {
        self.e164_digits().map(plan::reached).unwrap_or_default()
    }

    /// A short number of the site rather than one of the world.
    pub fn is_extension(&self) -> bool {
        !self.0.starts_with('+')
    }
}

impl FromStr for Number {
    type Err = NotDialable;

    fn from_str(text: &str) -> Result<Number, NotDialable> {
        if text.starts_with('+') { Number::e164(text) } else { Number::extension(text) }
    }
}

impl TryFrom<String> for Number {
    type Error = NotDialable;

    fn try_from(text: String) -> Result<Number, NotDialable> {
        text.parse()
    }
}

impl From<Number> for String {
    fn from(number: Number) -> String {
        number.0
    }
}

impl fmt::Display for Number {
    /// Masked: `+44…8750`; an extension is shown whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_extension() {
            return f.write_str(&self.0);
        }
        let digits = self.digits();
        let tail = if digits.len() >= 10 { 4 } else { 2 };
        write!(f, "+{}…{}", &digits[..2], &digits[digits.len() - tail..])
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A number in dialable form: + and 7 to 15 digits, or a short extension that the site lists.",
            "pattern": r"^(\+[1-9][0-9]{6,14}|[0-9]{1,6})$",
        })
    }
}

#[cfg(test)]
mod tests;
