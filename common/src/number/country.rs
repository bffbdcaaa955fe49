//! A country's habits of dialling, from libphonenumber's metadata. Its patterns help to tell two readings apart;
//! they never forbid a number.

use std::fmt;

use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor};

use super::Number;

/// A country as a place where numbers are written. The metadata is loaded at first use.
#[derive(Clone, Copy)]
pub struct Country(&'static Metadata);

impl Country {
    /// Loads the metadata, which takes a moment: to be called before the first caller waits for it.
    pub fn load_all() {
        let _ = DATABASE.by_id("GB");
    }

    /// By its ISO 3166 code: `GB`.
    pub fn by_code(code: &str) -> Option<Country> {
        DATABASE.by_id(&code.to_ascii_uppercase()).map(Country)
    }

    /// Where this number is at home; of several countries that share a calling code, the one whose leading digits match,
    /// else the main one.
    pub fn of(number: &Number) -> Option<Country> {
        if number.is_extension() {
            return None;
        }
        let (code, national) = split_calling_code(number.digits())?;
        let sharing = regions(code);
        let special = sharing.iter().find(|meta| {
            meta.leading_digits().and_then(|pattern| pattern.find(national)).is_some_and(|found| found.start() == 0)
        });
        special.or(sharing.first()).map(|meta| Country(meta))
    }

    /// ISO 3166 code.
    pub fn code(self) -> &'static str {
        self.0.id()
    }

    /// Digits of the calling code: `44`.
    pub fn calling_code(self) -> u16 {
        self.0.country_code()
    }

    /// What may follow this country's own international prefixes at the start of `digits`: for `011442071838750`
    /// in the United States, `442071838750`.
    pub(super) fn after_international_prefix(self, digits: &str) -> Vec<&str> {
        let Some(prefix) = self.0.international_prefix() else { return Vec::new() };
        (2..digits.len().min(8))
            .filter(|len| prefix.find(&digits[..*len]).is_some_and(|m| m.start() == 0 && m.end() == *len))
            .map(|len| &digits[len..])
            .collect()
    }

    /// The national number without the trunk prefix, transformed as the country asks; `None` if it begins with none.
    pub(super) fn without_trunk_prefix(self, digits: &str) -> Option<String> {
        let Some(pattern) = self.0.national_prefix_for_parsing() else {
            return digits.strip_prefix(self.0.national_prefix()?).map(str::to_owned);
        };
        let found = pattern.captures(digits)?;
        let whole = found.get(0).filter(|m| m.start() == 0 && m.end() > 0)?;
        let last_group = (1..found.len()).next_back().and_then(|i| found.get(i));
        match self.0.national_prefix_transform_rule() {
            Some(rule) if last_group.is_some() => Some(pattern.replace(digits, rule).into_owned()),
            _ => Some(digits[whole.end()..].to_owned()),
        }
    }

    /// The pattern of some kind of number here covers it.
    pub(super) fn knows(self, national: &str) -> bool {
        knows(self.0, national)
    }
}

impl PartialEq for Country {
    fn eq(&self, other: &Country) -> bool {
        self.code() == other.code()
    }
}

impl Eq for Country {}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The calling code at the start of international digits, and the rest.
pub(super) fn split_calling_code(digits: &str) -> Option<(u16, &str)> {
    (1..=3.min(digits.len().saturating_sub(1))).find_map(|len| {
        let code = digits[..len].parse::<u16>().ok()?;
        let known = !digits.starts_with('0') && DATABASE.by_code(&code).is_some();
        known.then_some((code, &digits[len..]))
    })
}

/// A pattern of the countries with this number's calling code covers it.
pub(super) fn is_known(international: &str) -> bool {
    split_calling_code(international)
        .is_some_and(|(code, national)| regions(code).iter().any(|meta| knows(meta, national)))
}

/// The trunk prefixes used within a calling code: `0` for 44, `8` for 7, none for 39.
pub(super) fn trunk_prefix(code: u16) -> Option<&'static str> {
    regions(code).first().and_then(|meta| meta.national_prefix())
}

/// The countries that share a calling code, the main one first.
fn regions(code: u16) -> Vec<&'static Metadata> {
    DATABASE.by_code(&code).unwrap_or_default()
}

fn knows(meta: &Metadata, national: &str) -> bool {
    let kinds = meta.descriptors();
    let fits = |kind: Option<&Descriptor>| {
        kind.is_some_and(|d| d.possible_length().contains(&(national.len() as u16)) && d.is_match(national))
    };
    kinds.general().is_match(national)
        && [
            kinds.fixed_line(),
            kinds.mobile(),
            kinds.toll_free(),
            kinds.premium_rate(),
            kinds.shared_cost(),
            kinds.personal_number(),
            kinds.voip(),
            kinds.pager(),
            kinds.uan(),
            kinds.voicemail(),
        ]
        .into_iter()
        .any(fits)
}
