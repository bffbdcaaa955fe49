//! Numbers as they are dialled: `+` and 7 to 15 digits, or a short extension that the site lists.
//!
//! [`read`] turns what people write into a [`Number`]; nothing else in Ringback interprets a written number.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number in dialable form. `Debug` and `Display` mask it; [`Number::as_str`] has the digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Number(String);

/// A text that is no number in dialable form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a number is written as + and 7 to 15 digits, like +442071838750, or as a short extension of at most 6 digits"
)]
pub struct NotDialable;

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
        if fits && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Number(text.to_owned()))
        } else {
            Err(NotDialable)
        }
    }

    /// The dialable form: `+442071838750` or `100`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without `+`.
    pub fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or(&self.0)
    }

    /// A short number of the site rather than one of the world.
    pub fn is_extension(&self) -> bool {
        !self.0.starts_with('+')
    }
}

impl FromStr for Number {
    type Err = NotDialable;

    fn from_str(text: &str) -> Result<Number, NotDialable> {
        if text.starts_with('+') {
            Number::e164(text)
        } else {
            Number::extension(text)
        }
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
mod tests {
    use super::*;

    #[test]
    fn only_dialable_forms_become_numbers() {
        for good in [
            "+442071838750",
            "+1234567",
            "+123456789012345",
            "100",
            "801",
        ] {
            assert_eq!(good.parse::<Number>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "+",
            "+123456",
            "+1234567890123456",
            "+0441234567",
            "1234567",
            "+44 20",
            "٤٤٠",
            "*100",
            "10#",
        ] {
            assert_eq!(bad.parse::<Number>(), Err(NotDialable), "{bad}");
            assert!(
                serde_json::from_value::<Number>(bad.into()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_printed_number_hides_its_middle() {
        let number = Number::e164("+442071838750").unwrap();
        assert_eq!(number.to_string(), "+44…8750");
        assert_eq!(format!("{number:?}"), "+44…8750");
        assert_eq!(Number::e164("+2901234").unwrap().to_string(), "+29…34");
        assert_eq!(serde_json::to_string(&number).unwrap(), "\"+442071838750\"");
    }
}
