//! How a written number is read: as the writer's own telephone would dial it, then as the international digits it may be. Where
//! two readings are as good, none is taken. The rule that wins has a name.

use std::fmt;

use super::plan::{self, Country, Fit};
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
    /// It began with what is dialled before national numbers of the writer's country, or with the 0 that is part of them.
    National,
    /// Bare digits that are an international number.
    BareInternational,
    /// Bare digits that are a number of the writer's country.
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

/// Reads a number as its writer means it: with `+` or an international prefix it is international; else it is what the writer's
/// own telephone would dial, where that country has such a number; else international digits that some country has. Two readings
/// that both fit are refused, unless people there write the national one just so.
///
/// # Errors
/// Why it is not dialled.
pub fn read(text: &str, from: &Dialling<'_>) -> Result<(Number, Rule), NumberError> {
    let written = clean(text)?;
    let digits = written.digits.as_str();
    if written.plus {
        let international = digits.strip_prefix("00").unwrap_or(digits);
        return dialable(&International::of(&written, international)?.digits, Rule::Plus);
    }
    if from.extensions.iter().any(|listed| listed == digits) {
        let number = Number::extension(digits).map_err(|_| NumberError::TooLong)?;
        return Ok((number, Rule::Extension));
    }
    if digits.len() < Number::MIN_DIGITS {
        return Err(NumberError::TooShort);
    }
    let best = choose(&at_home(&written, from.country), &abroad(&written, from.country))?;
    dialable(&best.digits, if best.digits == digits { Rule::BareInternational } else { best.rule })
}

/// Reads a number as networks and providers name a caller: international, with or without `+`, where it can be; else as people of
/// this country write it.
///
/// # Errors
/// It is none.
pub fn read_caller(text: &str, from: &Dialling<'_>) -> Result<(Number, Rule), NumberError> {
    let written = clean(text)?;
    let international =
        !written.plus && !from.extensions.contains(&written.digits) && plan::fit(&written.digits) == Fit::Known;
    if international { dialable(&written.digits, Rule::BareInternational) } else { read(text, from) }
}

/// Whether some country has this number, be it as short as those that are never called.
pub(super) fn is_somebodys(text: &str, from: &Dialling<'_>) -> bool {
    let Ok(written) = clean(text) else { return false };
    let at_home = at_home(&written, from.country).iter().any(|reading| reading.fit == Fit::Known);
    at_home || plan::fit(&written.digits) == Fit::Known
}

/// One way to understand digits without `+`.
#[derive(Clone)]
struct Reading {
    /// International, without `+`.
    digits: String,
    rule: Rule,
    fit: Fit,
    /// Nothing is missing that people there would write.
    whole: bool,
}

/// What the writer's own telephone would dial.
fn at_home(written: &Written, country: Option<Country>) -> Vec<Reading> {
    let Some(plan) = country.map(Country::plan) else { return Vec::new() };
    let digits = written.digits.as_str();
    let national = |national: &str, rule, whole| {
        let digits = format!("{}{national}", plan.calling_code);
        Reading { fit: plan::fit(&digits), digits, rule, whole }
    };
    let begins = plan.trunk().is_some_and(|trunk| digits.starts_with(trunk));
    let as_it_is = if digits.starts_with('0') { Rule::National } else { Rule::BareNational };
    let mut found = after_prefix(written, &plan.after_international_prefix(digits));
    found.push(national(digits, as_it_is, plan.is_written_whole(digits)));
    found.extend(plan.without_prefix(digits).iter().map(|rest| national(rest, Rule::National, begins)));
    found
}

/// What other telephones would make of it: the prefixes 00 and 011, which people know everywhere, and bare international digits.
fn abroad(written: &Written, country: Option<Country>) -> Vec<Reading> {
    let digits = written.digits.as_str();
    let common: Vec<&str> = ["00", "011"].into_iter().filter_map(|prefix| digits.strip_prefix(prefix)).collect();
    let mut found = after_prefix(written, &common);
    let own = country.is_some_and(|country| digits.starts_with(&country.plan().calling_code.to_string()));
    found.extend(International::of(written, digits).map(|International { digits, fit }| Reading {
        digits,
        rule: Rule::BareInternational,
        fit,
        whole: own || country.is_none(),
    }));
    found
}

fn after_prefix(written: &Written, rests: &[&str]) -> Vec<Reading> {
    let whole = written.digits.starts_with('0');
    let found = rests.iter().filter_map(|rest| International::of(written, rest).ok());
    found.map(|International { digits, fit }| Reading { digits, rule: Rule::InternationalPrefix, fit, whole }).collect()
}

/// The one reading of those that somebody's telephone may have: the writer's own goes before what others would make of the digits.
/// Where no plan knows any, the one that comes nearest: plans grow, and a number beyond them is not forbidden.
fn choose(home: &[Reading], abroad: &[Reading]) -> Result<Reading, NumberError> {
    let known = |reading: &&Reading| reading.fit == Fit::Known;
    match (only(home.iter().filter(known))?, only(abroad.iter().filter(known))?) {
        (Some(home), Some(abroad)) if home.digits != abroad.digits && !home.whole => {
            return Err(NumberError::Ambiguous);
        }
        (Some(home), _) => return Ok(home.clone()),
        (None, Some(abroad)) => {
            let rival = home.iter().any(|home| home.fit == Fit::Shape && home.whole && home.digits != abroad.digits);
            return if rival { Err(NumberError::Ambiguous) } else { Ok(abroad.clone()) };
        }
        (None, None) => {}
    }
    let with_prefix = |reading: &&Reading| reading.rule == Rule::InternationalPrefix;
    let nearest = [
        only(home.iter().filter(with_prefix))?,
        only(home.iter().filter(|home| home.fit == Fit::Shape))?,
        only(abroad.iter().filter(with_prefix))?,
        only(home.iter().filter(|home| home.fit == Fit::Length && home.whole))?,
        only(abroad.iter().filter(|abroad| abroad.fit > Fit::No || abroad.whole))?,
    ];
    nearest.into_iter().flatten().next().cloned().ok_or(NumberError::NoCountry)
}

/// The one number that all of these are, the best fit before others; `None` where there is none.
fn only<'a>(readings: impl Iterator<Item = &'a Reading> + Clone) -> Result<Option<&'a Reading>, NumberError> {
    let Some(best) = readings.clone().map(|reading| reading.fit).max() else { return Ok(None) };
    let mut best = readings.filter(|reading| reading.fit == best);
    let first = best.next();
    match best.all(|other| Some(&other.digits) == first.map(|first| &first.digits)) {
        true => Ok(first),
        false => Err(NumberError::Ambiguous),
    }
}

/// A number that begins with its calling code.
struct International {
    digits: String,
    fit: Fit,
}

impl International {
    /// These last digits of what is written. What is dialled only at home goes, where it was left in behind the calling code: in
    /// brackets, as in `+44 (0)20 …`, or where the country has no such number with it. Italy's leading 0 stays.
    fn of(written: &Written, digits: &str) -> Result<International, NumberError> {
        if digits.starts_with('0') {
            return Err(NumberError::LeadingZero);
        }
        let Some((plans, national)) = plan::sharing(digits) else { return Err(NumberError::NoCountry) };
        let as_it_is = International { digits: digits.to_owned(), fit: plan::fit(digits) };
        let Some(plan) = plans.first() else { return Ok(as_it_is) };
        let start = written.digits.len() - national.len();
        let trunk = plan.trunk().filter(|trunk| national.starts_with(trunk));
        let in_brackets = trunk.is_some_and(|trunk| written.brackets.contains(&(start..start + trunk.len())));
        if as_it_is.fit == Fit::Known && !in_brackets {
            return Ok(as_it_is);
        }
        let shorter = plan.without_prefix(national).into_iter().map(|rest| {
            let digits = format!("{}{rest}", plan.calling_code);
            International { fit: plan::fit(&digits), digits }
        });
        let least = if in_brackets { Fit::No } else { Fit::Shape };
        let shorter = shorter.filter(|shorter| shorter.fit >= least && shorter.fit >= as_it_is.fit);
        Ok(shorter.reduce(|best, other| if other.fit > best.fit { other } else { best }).unwrap_or(as_it_is))
    }
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
