//! How a written number is read. Every reading that the text allows is a candidate; the rule that wins has a name.

use std::fmt;

use super::country::{Country, is_known, split_calling_code, trunk_prefix};
use super::text::{Written, clean};
use super::{Number, NumberError};

/// Where a text comes from, as far as numbers in it depend on that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dialling<'a> {
    /// The writer's country; without it, national numbers cannot be read.
    pub country: Option<Country>,
    /// Short numbers of the site.
    pub extensions: &'a [String],
}

/// The rule by which a number was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A short number that the site lists.
    Extension,
    /// It began with `+`.
    Plus,
    /// It began with 00, 011 or the international prefix of the writer's country.
    InternationalPrefix,
    /// It began with the trunk prefix of the writer's country.
    National,
    /// Bare digits that fit E.164.
    BareInternational,
    /// Bare digits that fit only the writer's country.
    BareNational,
}

impl Rule {
    /// The name `explain` shows.
    pub fn code(self) -> &'static str {
        match self {
            Rule::Extension => "extension",
            Rule::Plus => "plus",
            Rule::InternationalPrefix => "international_prefix",
            Rule::National => "national",
            Rule::BareInternational => "bare_international",
            Rule::BareNational => "bare_national",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Reads a number as its writer means it.
///
/// The patterns of libphonenumber only choose between readings of one text; a number outside them is read all the same.
/// Where two readings are equally good, none is taken.
pub fn read(text: &str, from: &Dialling<'_>) -> Result<(Number, Rule), NumberError> {
    let written = clean(text)?;
    let digits = written.digits.as_str();
    if written.plus {
        let international = digits.strip_prefix("00").unwrap_or(digits);
        return dialable(&without_trunk(&written, international), Rule::Plus);
    }
    if from.extensions.iter().any(|listed| listed == digits) {
        let number = Number::extension(digits).map_err(|_| NumberError::TooLong)?;
        return Ok((number, Rule::Extension));
    }
    if digits.len() < Number::MIN_DIGITS {
        return Err(NumberError::TooShort);
    }
    choose(&readings(&written, from), digits)
}

/// One way to understand the digits: international digits without `+`, and the rule.
struct Reading {
    digits: String,
    rule: Rule,
}

/// All ways to understand digits without `+`, the preferred first.
fn readings(written: &Written, from: &Dialling<'_>) -> Vec<Reading> {
    let digits = written.digits.as_str();
    let mut found = Vec::new();
    let own_prefix = from.country.map(|country| country.after_international_prefix(digits)).unwrap_or_default();
    let common_prefix = ["00", "011"].into_iter().filter_map(|prefix| digits.strip_prefix(prefix));
    for rest in own_prefix.into_iter().chain(common_prefix) {
        found.push(Reading { digits: without_trunk(written, rest), rule: Rule::InternationalPrefix });
    }
    if let Some(country) = from.country {
        let national = national(country, digits).filter(|international| international != digits);
        found.extend(national.map(|digits| Reading { digits, rule: Rule::National }));
    }
    found.push(Reading { digits: without_trunk(written, digits), rule: Rule::BareInternational });
    if let Some(country) = from.country {
        found.push(Reading { digits: format!("{}{digits}", country.calling_code()), rule: Rule::BareNational });
    }
    found.retain(|reading| !reading.digits.starts_with('0'));
    found
}

/// A number that begins as national numbers do in this country: with its trunk prefix, or with the 0 that belongs to
/// the number where there is none.
fn national(country: Country, digits: &str) -> Option<String> {
    let code = country.calling_code();
    if digits.starts_with('0') && country.knows(digits) {
        return Some(format!("{code}{digits}"));
    }
    if let Some(national) = country.without_trunk_prefix(digits) {
        return Some(format!("{code}{national}"));
    }
    (digits.starts_with('0') && trunk_prefix(code).is_none()).then(|| format!("{code}{digits}"))
}

/// The best reading: of those that some country's numbering knows, the first, unless the text begins with 0 and two
/// different numbers compete; if none is known, the first international one, else the national one.
fn choose(readings: &[Reading], written: &str) -> Result<(Number, Rule), NumberError> {
    let known: Vec<&Reading> = readings.iter().filter(|reading| is_known(&reading.digits)).collect();
    let best = match known.first() {
        Some(first) if written.starts_with('0') && known.iter().any(|other| other.digits != first.digits) => {
            return Err(NumberError::Ambiguous);
        }
        Some(first) => first,
        None => [Rule::InternationalPrefix, Rule::BareInternational, Rule::National]
            .into_iter()
            .find_map(|rule| readings.iter().find(|reading| reading.rule == rule))
            .ok_or(NumberError::NoCountry)?,
    };
    dialable(&best.digits, best.rule)
}

/// Takes the trunk prefix out of international digits: `+44 (0)20 …` always, `+44 020 …` when only the number without
/// it is known. Italy's leading 0 is no trunk prefix and stays.
fn without_trunk(written: &Written, international: &str) -> String {
    let shorter = split_calling_code(international).and_then(|(code, national)| {
        let trunk = trunk_prefix(code)?;
        let shorter = format!("{code}{}", national.strip_prefix(trunk)?);
        let start = written.digits.len() - national.len();
        let bracketed = written.brackets.contains(&(start..start + trunk.len()));
        (bracketed || (!is_known(international) && is_known(&shorter))).then_some(shorter)
    });
    shorter.unwrap_or_else(|| international.to_owned())
}

/// The number of these international digits, if there are neither too few nor too many.
fn dialable(digits: &str, rule: Rule) -> Result<(Number, Rule), NumberError> {
    if digits.len() > Number::MAX_DIGITS {
        return Err(NumberError::TooLong);
    }
    if digits.len() < Number::MIN_DIGITS {
        return Err(NumberError::TooShort);
    }
    Number::e164(&format!("+{digits}")).map(|number| (number, rule)).map_err(|_| NumberError::LeadingZero)
}
