//! Which numbers are never called, whoever pays. Triggers ask before they accept, the engine asks again before it dials.
//!
//! Numbers are compared in dialable form, so every way of writing one is blocked alike.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

use crate::config::Limits;
use crate::money::Money;
use crate::number::{Country, Kind, Number};
use crate::store::Counts;

/// Emergency numbers. Compared whole, never as a part of a longer number.
const NEVER_DIAL: [&str; 6] = ["112", "911", "999", "110", "119", "000"];

/// Ranges that nobody can lift: premium rate, satellite, personal and unassigned numbering.
const HARD_BLOCKED: [&str; 9] = [
    "979",  // international premium rate
    "878",  // universal personal telecommunications
    "870",  // Inmarsat
    "881",  // mobile satellite
    "882",  // international networks
    "883",  // international networks
    "888",  // unassigned
    "808",  // international shared cost
    "1900", // premium rate in North America
];

/// Kinds of number that nobody can be called at, in whatever country.
const HARD_BLOCKED_KINDS: [Kind; 6] =
    [Kind::PremiumRate, Kind::SharedCost, Kind::Personal, Kind::Pager, Kind::Company, Kind::Voicemail];

/// Places that look like a call within North America and cost like one abroad. An account's own list may lift them.
const NANP_CARIBBEAN: [&str; 27] = [
    "1242", "1246", "1264", "1268", "1284", "1340", "1345", "1441", "1473", "1649", "1658", "1664", "1670", "1671",
    "1684", "1721", "1758", "1767", "1784", "1787", "1809", "1829", "1849", "1868", "1869", "1876", "1939",
];

/// Why a number is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// An emergency number.
    NeverDial,
    /// A range that nobody can lift.
    HardBlocked,
    /// Caribbean and Pacific numbers within +1 that the account has not allowed.
    CaribbeanReview,
    /// A country that the account has not allowed.
    Country,
    /// On the do-not-call list.
    DoNotCall,
}

impl Block {
    /// Each of them.
    pub const ALL: [Block; 5] =
        [Block::NeverDial, Block::HardBlocked, Block::CaribbeanReview, Block::Country, Block::DoNotCall];

    /// The name of the rule.
    pub fn code(self) -> &'static str {
        match self {
            Block::NeverDial => "never_dial",
            Block::HardBlocked => "hard_block_prefixes",
            Block::CaribbeanReview => "nanp_caribbean_review",
            Block::Country => "country_not_allowed",
            Block::DoNotCall => "do_not_call",
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Block::NeverDial => "emergency and service numbers are never called",
            Block::HardBlocked => "special rate and satellite numbers are not called",
            Block::CaribbeanReview => "Caribbean and Pacific numbers are not allowed for this account",
            Block::Country => "this country is not allowed for this account",
            Block::DoNotCall => "this number has asked not to be called",
        })
    }
}

/// Whether a number may be called at all; `allow` holds the account's dialling prefixes without `+`.
///
/// # Errors
/// The rule that forbids it.
pub fn check(number: &Number, allow: &[String]) -> Result<(), Block> {
    if is_never_dialled(number) {
        return Err(Block::NeverDial);
    }
    if number.is_extension() {
        return Ok(());
    }
    let digits = without_doubled_one(number.digits());
    if is_hard_blocked(digits) || number.kinds().iter().any(|kind| HARD_BLOCKED_KINDS.contains(kind)) {
        return Err(Block::HardBlocked);
    }
    let under_review = longest_prefix(digits, NANP_CARIBBEAN);
    if under_review > 0 && longest_prefix(digits, allow.iter().map(String::as_str)) < under_review {
        return Err(Block::CaribbeanReview);
    }
    Ok(())
}

/// Whether an account may call this country: the prefixes of its own list decide; without a list, the calling codes of its
/// registered numbers. Its registered numbers themselves and the site's extensions are always within.
///
/// # Errors
/// [`Block::Country`].
pub fn check_country(number: &Number, allow: &[String], registered: &[String]) -> Result<(), Block> {
    let digits = without_doubled_one(number.digits());
    let within_list = || longest_prefix(digits, allow.iter().map(String::as_str)) > 0;
    let at_home = || {
        registered
            .iter()
            .filter_map(|own| Country::of(&Number::e164(own).ok()?))
            .any(|home| digits.starts_with(&home.calling_code().to_string()))
    };
    let own = number.is_extension() || registered.iter().any(|own| own == number.as_str());
    let within = own || if allow.is_empty() { at_home() } else { within_list() };
    if within { Ok(()) } else { Err(Block::Country) }
}

/// The limits of [`limit_reached`], by their names in the settings.
const LIMITS: [&str; 11] = [
    "concurrent_calls_per_account",
    "jobs_per_account_per_minute",
    "jobs_per_account_per_hour",
    "jobs_per_account_per_day",
    "distinct_b_numbers_per_account_per_hour",
    "same_b_number_all_accounts_per_10min",
    "same_prefix7_all_accounts_per_10min",
    "minutes_per_account_per_day",
    "spend_per_account_per_hour",
    "spend_per_account_per_day",
    "system_spend_per_hour_stop",
];

/// The limit that this much use goes beyond, by its name in the settings; `counts` include the job in question.
pub fn limit_reached(counts: &Counts, limits: &Limits) -> Option<&'static str> {
    let beyond = |count: i64, limit: u32| count > i64::from(limit);
    let reached = [
        beyond(counts.active, limits.concurrent_calls_per_account),
        beyond(counts.jobs_minute, limits.jobs_per_account_per_minute),
        beyond(counts.jobs_hour, limits.jobs_per_account_per_hour),
        beyond(counts.jobs_day, limits.jobs_per_account_per_day),
        beyond(counts.distinct_b_hour, limits.distinct_b_numbers_per_account_per_hour),
        beyond(counts.same_b_10min, limits.same_b_number_all_accounts_per_10min),
        beyond(counts.same_prefix7_10min, limits.same_prefix7_all_accounts_per_10min),
        counts.seconds_day >= i64::from(limits.minutes_per_account_per_day) * 60,
        spent(counts.spend_hour, limits.spend_per_account_per_hour),
        spent(counts.spend_day, limits.spend_per_account_per_day),
        spent(counts.system_spend_hour, limits.system_spend_per_hour_stop),
    ];
    LIMITS.into_iter().zip(reached).find(|(_, reached)| *reached).map(|(name, _)| name)
}

/// The names of all limits.
pub fn limit_names() -> impl Iterator<Item = &'static str> {
    LIMITS.into_iter()
}

/// The limit of this name.
pub fn limit_named(name: &str) -> Option<&'static str> {
    limit_names().find(|limit| *limit == name)
}

fn spent(amount: Money, limit: Money) -> bool {
    amount >= limit
}

/// An emergency number as it is dialled, alone or after a country code. A listed extension does not make it less of one.
fn is_never_dialled(number: &Number) -> bool {
    let digits = number.digits();
    let national = Country::of(number).and_then(|home| digits.strip_prefix(&home.calling_code().to_string()));
    NEVER_DIAL.iter().any(|emergency| *emergency == digits || Some(*emergency) == national)
}

fn is_hard_blocked(digits: &str) -> bool {
    HARD_BLOCKED.iter().any(|prefix| digits.starts_with(prefix)) || is_nanp_976(digits)
}

/// Exchange 976 in any area of North America sells by the call: 1, an area code from 2 to 9, then 976.
fn is_nanp_976(digits: &str) -> bool {
    let mut bytes = digits.bytes();
    bytes.next() == Some(b'1') && matches!(bytes.next(), Some(b'2'..=b'9')) && digits.get(4..7) == Some("976")
}

/// `+1 1 876 …` reaches the same phone as `+1 876 …` through a lenient trunk.
fn without_doubled_one(mut digits: &str) -> &str {
    while digits.starts_with("11") {
        digits = &digits[1..];
    }
    digits
}

/// Length of the longest of these prefixes that the digits begin with; 0 if none.
fn longest_prefix<'a>(digits: &str, prefixes: impl IntoIterator<Item = &'a str>) -> usize {
    let lengths = prefixes.into_iter().filter(|prefix| digits.starts_with(prefix)).map(str::len);
    lengths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::{Dialling, NumberError, read};

    fn checked(text: &str, country: &str, allow: &[&str]) -> Result<(), Block> {
        let from = Dialling { country: Country::by_code(country), extensions: &["100".into(), "112".into()] };
        let allow: Vec<String> = allow.iter().map(|prefix| (*prefix).to_owned()).collect();
        check(&read(text, &from).unwrap_or_else(|e| panic!("{text}: {e}")).0, &allow)
    }

    #[test]
    fn toll_02_premium_and_satellite_numbers_are_refused_in_every_form() {
        for text in ["+979 1 2345 6789", "0097912345678", "+1 900 555 1234", "19005551234", "+1 1 900 555 1234"] {
            assert_eq!(checked(text, "US", &["1", "979", "1900"]), Err(Block::HardBlocked), "{text}");
        }
        for text in ["+8707712345", "+878101234567", "+881612345678", "+88213012345", "+883510012345", "+8881234567"] {
            assert_eq!(checked(text, "GB", &["8"]), Err(Block::HardBlocked), "{text}");
        }
        for text in ["+1 206 976 1234", "(206) 976-1234", "011 1 206 976 1234"] {
            assert_eq!(checked(text, "US", &["1206976"]), Err(Block::HardBlocked), "{text}");
        }
        for text in ["+1 976 206 1234", "+1 206 555 0976", "+44 1976 123456", "+1 206 597 6123"] {
            assert_eq!(checked(text, "US", &[]), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_a_country_sells_is_refused_in_national_form_too() {
        for (text, country) in [
            ("+449098790000", "GB"),
            ("0909 879 0000", "GB"),
            ("+44 (0)909 879 0000", "GB"),
            ("+4409098790000", "US"),
            ("+44 909 879 0000 00", "US"),
            ("0845 108 1081", "GB"),
            ("070 1234 5678", "GB"),
            ("07640 123456", "GB"),
            ("0900 1 234567", "DE"),
            ("+499001234567", "GB"),
            ("+37190001234", "LV"),
            ("0990 512345", "JP"),
            ("1900 123 456", "AU"),
            ("(500) 234-5678", "US"),
        ] {
            assert_eq!(
                checked(text, country, &["44", "49", "371", "81", "61", "1"]),
                Err(Block::HardBlocked),
                "{text}"
            );
        }
        for text in ["+442071838750", "+447911123456", "+448001111", "+448081570192", "+4412345678", "+4498765432"] {
            assert_eq!(checked(text, "GB", &["44"]), Ok(()), "{text}");
        }
    }

    #[test]
    fn toll_03_all_forms_of_a_caribbean_number_are_blocked_alike() {
        for text in ["18765551234", "+18765551234", "0018765551234", "01118765551234", "876 555 1234"] {
            assert_eq!(checked(text, "US", &[]), Err(Block::CaribbeanReview), "{text}");
            assert_eq!(checked(text, "US", &["1876"]), Ok(()), "{text}");
        }
        for area in NANP_CARIBBEAN {
            assert_eq!(checked(&format!("+{area}5551234"), "US", &["1"]), Err(Block::CaribbeanReview), "{area}");
        }
    }

    #[test]
    fn toll_04_the_longest_prefix_decides() {
        assert_eq!(checked("+18765551234", "US", &["1"]), Err(Block::CaribbeanReview));
        assert_eq!(checked("+18765551234", "US", &["1", "1876"]), Ok(()));
        assert_eq!(checked("+18765551234", "US", &["1", "18765"]), Ok(()));
        assert_eq!(checked("+18764551234", "US", &["1", "18765"]), Err(Block::CaribbeanReview));
        assert_eq!(checked("+18769761234", "US", &["1876"]), Err(Block::HardBlocked), "976 stays blocked");
    }

    #[test]
    fn countries_are_denied_until_allowed() {
        let allows = |number: &str, allow: &[&str]| {
            let allow: Vec<String> = allow.iter().map(|prefix| (*prefix).to_owned()).collect();
            check_country(&number.parse().unwrap(), &allow, &["+442071838750".to_owned()]).is_ok()
        };
        assert!(allows("+447911123456", &[]));
        assert!(!allows("+923001234567", &[]));
        assert!(allows("+923001234567", &["44", "92"]));
        assert!(!allows("+447911123456", &["92"]));
        assert!(allows("+442071838750", &["92"]), "its own number");
        assert!(allows("100", &["92"]));
    }

    #[test]
    fn a_limit_is_reached_by_the_job_after_the_last_allowed_one() {
        let limits = crate::config::Config::defaults(std::path::Path::new(".")).intake.limits;
        let within = Counts { active: 2, jobs_minute: 3, jobs_hour: 20, same_b_10min: 5, ..Counts::default() };
        assert_eq!(limit_reached(&within, &limits), None);
        let beyond = Counts { jobs_minute: 4, ..within };
        assert_eq!(limit_reached(&beyond, &limits), Some("jobs_per_account_per_minute"));
        let spent = Counts { spend_day: "20.00".parse().unwrap(), ..within };
        assert_eq!(limit_reached(&spent, &limits), Some("spend_per_account_per_day"));
    }

    #[test]
    fn toll_05_emergency_numbers_are_never_dialled_and_longer_numbers_are() {
        assert_eq!(checked("112", "GB", &[]), Err(Block::NeverDial), "although listed");
        assert_eq!(checked("100", "GB", &[]), Ok(()));
        for text in ["+44 112 1234567", "+1 911 555 1234", "+49 999 123456", "+44 20 7183 0999", "+1 119 555 0000"] {
            assert_eq!(checked(text, "GB", &[]), Ok(()), "{text}");
        }
        for text in ["999", "+44999", "0044 999", "011 911"] {
            assert_eq!(read(text, &Dialling::default()).map(|_| ()), Err(NumberError::TooShort), "{text}");
        }
    }
}
