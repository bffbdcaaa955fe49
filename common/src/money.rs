//! Money: integer micro-units of one currency, never a float.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount in micro-units (1.00 is 1_000_000). The currency travels beside it, on the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Money(pub i64);

/// Why a text is no amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Something other than digits and one decimal point.
    #[error("write an amount like 10.00, with digits and at most one decimal point")]
    NotANumber,
    /// More than six digits after the point.
    #[error("an amount has at most six digits after the point")]
    TooFine,
    /// Beyond what 64 bits of micro-units hold.
    #[error("the amount is too large")]
    TooLarge,
}

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);
    /// One micro-unit is the smallest amount.
    pub const SCALE: i64 = 1_000_000;

    /// `self + other`, or `None` beyond 64 bits.
    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.0.checked_add(other.0).map(Money)
    }

    /// For people: with the currency, in its own decimals, half a unit rounded up: `0.02 USD`, `3 JPY`. Books and machines keep every
    /// micro-unit.
    pub fn shown(self, currency: &str) -> String {
        self.rounded(currency, decimals(currency))
    }

    /// A price a minute for people: with two decimals more than its currency has, where it needs them, because little prices add up.
    pub fn shown_price(self, currency: &str) -> String {
        let least = decimals(currency);
        let most = (least..=least + 2).find(|digits| self.0 % 10_i64.pow(6 - digits) == 0);
        self.rounded(currency, most.unwrap_or(least + 2))
    }

    fn rounded(self, currency: &str, digits: u32) -> String {
        let unit = 10_u64.pow(6 - digits.min(6));
        let units = (self.0.unsigned_abs() + unit / 2) / unit;
        let sign = if self.0 < 0 && units > 0 { "-" } else { "" };
        let whole = 10_u64.pow(digits);
        let amount = match digits {
            0 => format!("{sign}{units}"),
            _ => format!("{sign}{}.{:0width$}", units / whole, units % whole, width = digits as usize),
        };
        format!("{amount} {currency}").trim_end().to_owned()
    }

    /// `self - other`, or `None` beyond 64 bits.
    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.0.checked_sub(other.0).map(Money)
    }
}

/// The decimals of a currency (ISO 4217).
fn decimals(currency: &str) -> u32 {
    const NONE: [&str; 16] = [
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF",
    ];
    const THREE: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
    match currency {
        _ if NONE.contains(&currency) => 0,
        _ if THREE.contains(&currency) => 3,
        _ => 2,
    }
}

impl fmt::Display for Money {
    /// At least two digits after the point, more only where they are needed: `10.00`, `0.0015`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let (whole, fraction) = (micros / Money::SCALE as u64, micros % Money::SCALE as u64);
        let digits = format!("{fraction:06}");
        let kept = digits.trim_end_matches('0').len().max(2);
        write!(f, "{sign}{whole}.{}", &digits[..kept])
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Money, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
            return Err(MoneyError::NotANumber);
        }
        if fraction.len() > 6 {
            return Err(MoneyError::TooFine);
        }
        let micros = format!("{whole}{fraction:0<6}").parse::<i64>().map_err(|_| MoneyError::TooLarge)?;
        Ok(Money(if negative { -micros } else { micros }))
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl Neg for Money {
    type Output = Money;
    fn neg(self) -> Money {
        Money(self.0.saturating_neg())
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Money) {
        *self = *self - other;
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_the_decimals_of_the_currency() {
        for (micros, currency, shown) in [
            (21_667, "USD", "0.02 USD"),
            (25_000, "USD", "0.03 USD"),
            (-21_667, "EUR", "-0.02 EUR"),
            (-4_999, "EUR", "0.00 EUR"),
            (9_999_999, "USD", "10.00 USD"),
            (3_499_999, "JPY", "3 JPY"),
            (1_234_567, "KWD", "1.235 KWD"),
            (i64::MIN, "USD", "-9223372036854.78 USD"),
            (10_000, "", "0.01"),
        ] {
            assert_eq!(Money(micros).shown(currency), shown);
        }
        for (micros, currency, shown) in [
            (20_000, "USD", "0.02 USD"),
            (15_000, "USD", "0.015 USD"),
            (1_500, "USD", "0.0015 USD"),
            (1_234, "USD", "0.0012 USD"),
            (2_500_000, "JPY", "2.5 JPY"),
        ] {
            assert_eq!(Money(micros).shown_price(currency), shown);
        }
    }

    #[test]
    fn amounts_are_read_and_written_exactly() {
        for (text, micros, written) in [
            ("10", 10_000_000, "10.00"),
            ("0.10", 100_000, "0.10"),
            ("0.0015", 1_500, "0.0015"),
            ("-3.5", -3_500_000, "-3.50"),
            ("0.000001", 1, "0.000001"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!(money, Money(micros));
            assert_eq!(money.to_string(), written);
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (text, error) in [
            ("", MoneyError::NotANumber),
            (".5", MoneyError::NotANumber),
            ("5.", MoneyError::NotANumber),
            ("1e3", MoneyError::NotANumber),
            ("NaN", MoneyError::NotANumber),
            ("1.0000001", MoneyError::TooFine),
            ("9999999999999999", MoneyError::TooLarge),
        ] {
            assert_eq!(text.parse::<Money>(), Err(error), "{text}");
        }
    }
}
