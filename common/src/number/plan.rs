//! The numbering plans of the world, from libphonenumber's metadata: what numbers a country has, what its telephones dial before
//! them, and how its people write them. A plan tells readings of a text apart; a number beyond it is not forbidden.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, OnceLock};

use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor, Format};
use regex::{Captures, Regex, RegexBuilder};

use super::Number;

/// How well digits fit a plan; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Not at all.
    No,
    /// Numbers there have so many digits.
    Length,
    /// They begin like this, too.
    Shape,
    /// A telephone there may have this number.
    Known,
}

/// What a number is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A place.
    FixedLine,
    /// A telephone that is carried.
    Mobile,
    /// Whoever is called pays.
    TollFree,
    /// Whoever calls pays a third one.
    PremiumRate,
    /// Both pay.
    SharedCost,
    /// A person, wherever they are.
    Personal,
    /// The internet.
    Voip,
    /// A pager.
    Pager,
    /// A company, wherever it answers.
    Company,
    /// A mailbox.
    Voicemail,
}

/// A country as a place where numbers are written. The metadata is loaded at first use.
#[derive(Clone, Copy)]
pub struct Country(&'static Plan);

impl Country {
    /// Loads the metadata, which takes a moment: to be called before the first caller waits for it.
    pub fn load_all() {
        LazyLock::force(&WORLD);
    }

    /// Every country there is.
    pub fn all() -> impl Iterator<Item = Country> {
        WORLD.plans.iter().filter(|plan| plan.id != NOWHERE).map(Country)
    }

    /// By its ISO 3166 code: `GB`.
    pub fn by_code(code: &str) -> Option<Country> {
        Country::all().find(|country| country.0.id.eq_ignore_ascii_case(code))
    }

    /// Where this number is at home; of several countries that share a calling code the first that has it, else the main one.
    pub fn of(number: &Number) -> Option<Country> {
        let (plans, national) = sharing(number.e164_digits()?)?;
        let has = |plan: &&&Plan| match &plan.leading {
            Some(leading) => leading.matches(national),
            None => plans.len() > 1 && plan.fit(national) == Fit::Known,
        };
        plans.iter().find(has).or(plans.first()).map(|plan| Country(plan))
    }

    /// ISO 3166 code.
    pub fn code(self) -> &'static str {
        &self.0.id
    }

    /// Digits of the calling code: `44`.
    pub fn calling_code(self) -> u16 {
        self.0.calling_code
    }

    pub(super) fn plan(self) -> &'static Plan {
        self.0
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

/// What international digits fit best of the plans that share their calling code.
pub(super) fn fit(international: &str) -> Fit {
    sharing(international)
        .and_then(|(plans, national)| plans.iter().map(|plan| plan.fit(national)).max())
        .unwrap_or(Fit::No)
}

/// All that somebody who dials these international digits may reach. A number that no plan knows may be one behind a trunk prefix, or
/// have digits too many, which exchanges ignore.
pub(super) fn reached(international: &str) -> Vec<Kind> {
    let Some((plans, national)) = sharing(international) else { return Vec::new() };
    let kinds = |national: &str| plans.iter().flat_map(|plan| plan.kinds_of(national)).collect::<Vec<_>>();
    let known = kinds(national);
    if !known.is_empty() {
        return known;
    }
    let shorter = plans.first().map(|main| main.without_prefix(national)).unwrap_or_default();
    let begins = |digits: &str| (1..=digits.len()).flat_map(|len| kinds(&digits[..len])).collect::<Vec<_>>();
    shorter.iter().map(String::as_str).chain([national]).flat_map(begins).collect()
}

/// The plans that share the calling code at the start of international digits, the main one first, and the other digits.
pub(super) fn sharing(international: &str) -> Option<(&'static [&'static Plan], &str)> {
    (1..=3.min(international.len().saturating_sub(1))).find_map(|len| {
        let (code, national) = international.split_at_checked(len)?;
        let plans = WORLD.by_code.get(&code.parse().ok()?).filter(|_| !code.starts_with('0'))?;
        Some((plans.as_slice(), national))
    })
}

/// The numbers of one country, and its habits.
pub(super) struct Plan {
    id: String,
    pub(super) calling_code: u16,
    leading: Option<Pattern>,
    shape: Pattern,
    kinds: Vec<Range>,
    international_prefix: Option<Pattern>,
    trunk: Option<String>,
    before_national: Option<Pattern>,
    instead: Option<String>,
    ways: Vec<Way>,
}

/// The numbers of one kind.
struct Range {
    kind: Kind,
    lengths: Vec<u16>,
    pattern: Pattern,
}

/// How numbers are written at home.
struct Way {
    leading: Option<Pattern>,
    pattern: Pattern,
    /// The digits that people write before the number.
    before: String,
}

impl Plan {
    pub(super) fn fit(&self, national: &str) -> Fit {
        if self.kinds_of(national).next().is_some() {
            return Fit::Known;
        }
        match self.kinds.iter().any(|range| range.has_length(national)) {
            false => Fit::No,
            true if self.shape.matches(national) => Fit::Shape,
            true => Fit::Length,
        }
    }

    fn kinds_of(&self, national: &str) -> impl Iterator<Item = Kind> {
        let ranges = if self.shape.matches(national) { self.kinds.as_slice() } else { &[] };
        ranges.iter().filter(move |range| range.has(national)).map(|range| range.kind)
    }

    /// What may follow the international prefixes of this country: for `011442071838750` in the United States, `442071838750`.
    /// Several, where one prefix begins like another.
    pub(super) fn after_international_prefix<'a>(&self, digits: &'a str) -> Vec<&'a str> {
        let Some(prefix) = &self.international_prefix else { return Vec::new() };
        let cuts = (2..digits.len().min(8)).filter_map(|len| digits.split_at_checked(len));
        cuts.filter(|(begin, rest)| prefix.matches(begin) && !rest.starts_with('0')).map(|(_, rest)| rest).collect()
    }

    /// What national digits may mean without what is dialled before them: the trunk prefix, a carrier, a mobile's token.
    pub(super) fn without_prefix(&self, digits: &str) -> Vec<String> {
        let parsed = self.before_national.as_ref().and_then(|pattern| pattern.captures(digits)).map(|found| {
            let rest = &digits[found.get(0).map_or(0, |all| all.end())..];
            match &self.instead {
                Some(instead) if found.get(found.len() - 1).is_some() => {
                    let mut begin = String::new();
                    found.expand(instead, &mut begin);
                    begin + rest
                }
                _ => rest.to_owned(),
            }
        });
        let formerly =
            FORMERLY.iter().filter(|(country, _)| *country == self.id).flat_map(|(_, before)| before.iter().copied());
        let written = self.main().ways.iter().map(|way| way.before.as_str()).filter(|before| !before.is_empty());
        let plain = written.chain(self.trunk()).chain(formerly).filter_map(|before| digits.strip_prefix(before));
        let mut all: Vec<String> =
            parsed.into_iter().chain(plain.map(str::to_owned)).filter(|rest| rest != digits).collect();
        all.sort();
        all.dedup();
        all
    }

    /// What is usually dialled before a national number.
    pub(super) fn trunk(&self) -> Option<&str> {
        self.trunk.as_deref()
    }

    /// Whether people there write this number just so, with nothing before it.
    pub(super) fn is_written_whole(&self, national: &str) -> bool {
        let leads = |way: &&Way| way.leading.as_ref().is_none_or(|leading| leading.matches(national));
        let way = self.main().ways.iter().filter(leads).find(|way| way.pattern.matches(national));
        way.is_some_and(|way| way.before.is_empty())
    }

    /// The country that speaks for all with this calling code: only it has ways to write numbers.
    fn main(&self) -> &Plan {
        WORLD.by_code.get(&self.calling_code).and_then(|plans| plans.first()).map_or(self, |main| *main)
    }
}

impl Range {
    fn has_length(&self, national: &str) -> bool {
        self.lengths.is_empty() || self.lengths.contains(&(national.len() as u16))
    }

    fn has(&self, national: &str) -> bool {
        self.has_length(national) && self.pattern.matches(national)
    }
}

/// What the metadata calls a place that is none: satellites, and other numbers of the world as a whole.
const NOWHERE: &str = "001";

/// What was dialled before national numbers until lately, and still is written: an 8 before the trunk prefix, and Mexico's tokens for
/// other places and mobiles. The metadata has them no more.
const FORMERLY: [(&str, &[&str]); 8] = [
    ("UA", &["80"]),
    ("MD", &["80"]),
    ("AM", &["80"]),
    ("AZ", &["80"]),
    ("GE", &["80"]),
    ("KG", &["80"]),
    ("UZ", &["80"]),
    ("MX", &["01", "044", "045", "1"]),
];

static WORLD: LazyLock<World> = LazyLock::new(World::load);

/// All plans.
struct World {
    plans: &'static [Plan],
    by_code: HashMap<u16, Vec<&'static Plan>>,
}

impl World {
    /// Once, for good.
    fn load() -> World {
        let all = (1..1000u16).flat_map(|code| DATABASE.by_code(&code).unwrap_or_default());
        let plans: &'static [Plan] = Box::leak(all.map(Plan::new).collect());
        let mut by_code: HashMap<u16, Vec<&'static Plan>> = HashMap::new();
        for plan in plans {
            by_code.entry(plan.calling_code).or_default().push(plan);
        }
        World { plans, by_code }
    }
}

impl Plan {
    fn new(meta: &Metadata) -> Plan {
        let all = meta.descriptors();
        let kinds = [
            (Kind::FixedLine, all.fixed_line()),
            (Kind::Mobile, all.mobile()),
            (Kind::TollFree, all.toll_free()),
            (Kind::PremiumRate, all.premium_rate()),
            (Kind::SharedCost, all.shared_cost()),
            (Kind::Personal, all.personal_number()),
            (Kind::Voip, all.voip()),
            (Kind::Pager, all.pager()),
            (Kind::Company, all.uan()),
            (Kind::Voicemail, all.voicemail()),
        ];
        let range = |(kind, descriptor): (Kind, Option<&Descriptor>)| {
            let descriptor = descriptor?;
            let pattern = Pattern::whole(descriptor.national_number().as_str());
            Some(Range { kind, lengths: descriptor.possible_length().to_vec(), pattern })
        };
        let before = meta.national_prefix_for_parsing().map(|pattern| pattern.as_str());
        Plan {
            id: meta.id().to_owned(),
            calling_code: meta.country_code(),
            leading: meta.leading_digits().map(|pattern| Pattern::start(pattern.as_str())),
            shape: Pattern::whole(all.general().national_number().as_str()),
            kinds: kinds.into_iter().filter_map(range).collect(),
            international_prefix: meta.international_prefix().map(|pattern| Pattern::whole(pattern.as_str())),
            trunk: meta.national_prefix().map(str::to_owned),
            before_national: before.or(meta.national_prefix()).map(Pattern::start),
            instead: meta.national_prefix_transform_rule().map(|rule| rule.replace("$1", "${1}").replace("$2", "${2}")),
            ways: meta
                .formats()
                .iter()
                .map(|format| Way::new(format, meta.national_prefix().unwrap_or_default()))
                .collect(),
        }
    }
}

impl Way {
    fn new(format: &Format, trunk: &str) -> Way {
        let rule = format.national_prefix().unwrap_or_default().replace("$NP", trunk);
        let before = rule.split("$FG").next().unwrap_or_default();
        Way {
            leading: format.leading_digits().last().map(|pattern| Pattern::start(pattern.as_str())),
            pattern: Pattern::whole(format.pattern().as_str()),
            before: before.chars().filter(char::is_ascii_digit).collect(),
        }
    }
}

/// An anchored pattern, compiled at first use. The library's own matching takes a beginning for the whole.
struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    fn whole(source: &str) -> Pattern {
        Pattern { source: format!("^(?:{source})$"), compiled: OnceLock::new() }
    }

    fn start(source: &str) -> Pattern {
        Pattern { source: format!("^(?:{source})"), compiled: OnceLock::new() }
    }

    fn matches(&self, digits: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(digits))
    }

    fn captures<'a>(&self, digits: &'a str) -> Option<Captures<'a>> {
        self.regex()?.captures(digits)
    }

    fn regex(&self) -> Option<&Regex> {
        let compile = || RegexBuilder::new(&self.source).unicode(false).ignore_whitespace(true).build().ok();
        self.compiled.get_or_init(compile).as_ref()
    }
}
