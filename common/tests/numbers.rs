//! Numbers of every country, written as its people write them, and two of them in one text: who is called.
//!
//! `NUMBERS=all cargo test --test numbers -- --nocapture` reads 40 numbers of every kind of every country and 20,000 pairs, and
//! prints the tables of docs/numbers.md; without it, a sample.

use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor, Format};
use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};
use ringback_common::number::{Country, Dialling, Number, read, two_numbers};

/// Seeded, so that every run reads the same numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What became of written numbers.
#[derive(Clone, Copy, Default)]
struct Score {
    right: u32,
    refused: u32,
    wrong: u32,
}

impl Score {
    fn add(&mut self, other: Score) {
        self.right += other.right;
        self.refused += other.refused;
        self.wrong += other.wrong;
    }
}

/// A country's numbers, straight from the metadata.
struct Plan {
    meta: &'static Metadata,
    kinds: Vec<(&'static str, Numbers)>,
    ways: Vec<Way>,
}

/// The numbers of one kind.
struct Numbers {
    shape: Hir,
    lengths: Vec<u16>,
    fits: Vec<Regex>,
}

/// How numbers are written at home.
struct Way {
    leading: Option<Regex>,
    pattern: Regex,
    written: String,
    abroad: String,
}

fn plans() -> Vec<Plan> {
    Country::all().map(|country| Plan::new(DATABASE.by_id(country.code()).expect("its metadata"))).collect()
}

fn regex(source: &str) -> Regex {
    regex::RegexBuilder::new(&format!("^(?:{source})")).ignore_whitespace(true).build().expect("a pattern")
}

fn whole(source: &str) -> Regex {
    regex(&format!("(?:{source})$"))
}

impl Plan {
    fn new(meta: &'static Metadata) -> Plan {
        let all = meta.descriptors();
        let kinds = [
            ("fixed", all.fixed_line()),
            ("mobile", all.mobile()),
            ("toll-free", all.toll_free()),
            ("premium", all.premium_rate()),
            ("shared cost", all.shared_cost()),
            ("personal", all.personal_number()),
            ("VoIP", all.voip()),
            ("pager", all.pager()),
            ("company", all.uan()),
            ("voicemail", all.voicemail()),
        ];
        let general = all.general().national_number().as_str();
        let numbers = |descriptor: &Descriptor| Numbers {
            shape: regex_syntax::ParserBuilder::new()
                .ignore_whitespace(true)
                .unicode(false)
                .utf8(false)
                .build()
                .parse(descriptor.national_number().as_str())
                .expect("a pattern"),
            lengths: descriptor.possible_length().to_vec(),
            fits: vec![whole(descriptor.national_number().as_str()), whole(general)],
        };
        let kinds = kinds.into_iter().filter_map(|(name, kind)| Some((name, numbers(kind?)))).collect();
        let main = DATABASE.by_code(&meta.country_code()).expect("its metadata")[0];
        Plan { meta, kinds, ways: main.formats().iter().map(|format| Way::new(meta, format)).collect() }
    }

    /// As people write it at home, and what stands behind the calling code.
    fn write(&self, national: &str) -> [String; 2] {
        let leads = |way: &&Way| way.leading.as_ref().is_none_or(|leading| leading.is_match(national));
        match self.ways.iter().filter(leads).find(|way| way.pattern.is_match(national)) {
            Some(way) => [&way.written, &way.abroad].map(|form| way.pattern.replace(national, form).into_owned()),
            None => [national.to_owned(), national.to_owned()],
        }
    }

    fn has(&self, national: &str) -> bool {
        self.kinds.iter().any(|(_, numbers)| numbers.has(national))
    }

    fn dialled(&self, national: &str) -> Option<Number> {
        Number::e164(&format!("+{}{national}", self.meta.country_code())).ok()
    }
}

impl Way {
    fn new(meta: &Metadata, format: &Format) -> Way {
        let dollar =
            |text: &str| (1..=9).fold(text.to_owned(), |text, n| text.replace(&format!("${n}"), &format!("${{{n}}}")));
        let rule = format
            .national_prefix()
            .map(|rule| rule.replace("$NP", meta.national_prefix().unwrap_or("")).replace("$FG", "$1"));
        let written = match rule {
            Some(rule) => format.format().replacen("$1", &rule, 1),
            None => format.format().to_owned(),
        };
        Way {
            leading: format.leading_digits().last().map(|pattern| regex(pattern.as_str())),
            pattern: whole(format.pattern().as_str()),
            written: dollar(&written),
            abroad: dollar(format.format()),
        }
    }
}

impl Numbers {
    /// One of them; `None` where the dice make none.
    fn throw(&self, dice: &mut Dice) -> Option<String> {
        (0..50).find_map(|_| {
            let mut number = String::new();
            make(&self.shape, dice, &mut number);
            self.has(&number).then_some(number)
        })
    }

    fn has(&self, number: &str) -> bool {
        (self.lengths.is_empty() || self.lengths.contains(&(number.len() as u16)))
            && self.fits.iter().all(|pattern| pattern.is_match(number))
    }
}

/// Digits that match.
fn make(shape: &Hir, dice: &mut Dice, out: &mut String) {
    match shape.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(std::str::from_utf8(&literal.0).expect("digits")),
        HirKind::Class(class) => {
            let ranges: Vec<(u8, u8)> = match class {
                Class::Bytes(class) => class.ranges().iter().map(|range| (range.start(), range.end())).collect(),
                Class::Unicode(class) => {
                    class.ranges().iter().map(|range| (range.start() as u8, range.end() as u8)).collect()
                }
            };
            let all: Vec<u8> = ranges.into_iter().flat_map(|(start, end)| start..=end).collect();
            out.push(char::from(*dice.one_of(&all)));
        }
        HirKind::Repetition(again) => {
            let (least, most) = (again.min as usize, again.max.unwrap_or(again.min + 3) as usize);
            for _ in 0..least + dice.below(most - least + 1) {
                make(&again.sub, dice, out);
            }
        }
        HirKind::Capture(capture) => make(&capture.sub, dice, out),
        HirKind::Concat(all) => all.iter().for_each(|one| make(one, dice, out)),
        HirKind::Alternation(all) => {
            let one = dice.below(all.len());
            make(&all[one], dice, out);
        }
    }
}

/// With other signs between the groups: none, spaces, what people use.
fn spell(written: &str, sign: &str) -> String {
    let groups: Vec<&str> =
        written.split(|c: char| c != '+' && !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    groups.join(sign)
}

fn is_whole() -> bool {
    std::env::var("NUMBERS").is_ok_and(|how_many| how_many == "all")
}

#[test]
fn numbers_of_every_country_written_at_home_call_nobody_else() {
    let (many, mut dice) = (if is_whole() { 40 } else { 4 }, Dice(1));
    let (mut total, mut wrong) = (Score::default(), Vec::new());
    println!("| Country | Right | Refused | Wrong |\n|---|---|---|---|");
    for plan in plans() {
        let (country, mut score) = (plan.meta.id(), Score::default());
        let from = Dialling { country: Country::by_code(country), extensions: &[] };
        for (kind, numbers) in &plan.kinds {
            for national in (0..many).filter_map(|_| numbers.throw(&mut dice)) {
                let [at_home, _] = plan.write(&national);
                for text in [spell(&at_home, ""), spell(&at_home, " "), at_home.clone()] {
                    match read(&text, &from) {
                        Ok((number, _)) if plan.dialled(&national).as_ref() == Some(&number) => score.right += 1,
                        Ok((number, rule)) => {
                            score.wrong += 1;
                            wrong.push(format!(
                                "{country} {kind}: {text} is {} by {rule}, not {national}",
                                number.as_str()
                            ));
                        }
                        Err(_) => score.refused += 1,
                    }
                }
            }
        }
        println!("| {country} | {} | {} | {} |", score.right, score.refused, score.wrong);
        total.add(score);
    }
    println!("| all | {} | {} | {} |", total.right, total.refused, total.wrong);
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(total.refused * 10 < total.right, "honest people get in: {} refused", total.refused);
}

#[test]
fn two_numbers_in_one_text_are_those_two_or_none() {
    let (many, mut dice, plans) = (if is_whole() { 20_000 } else { 1_000 }, Dice(2), plans());
    let (mut score, mut wrong) = (Score::default(), Vec::new());
    while score.right + score.refused + score.wrong < many {
        let home = dice.one_of(&plans);
        let from = Dialling { country: Country::by_code(home.meta.id()), extensions: &[] };
        let mut party = || {
            let plan = match dice.below(4) {
                0 => home,
                1 => dice.one_of(
                    &plans
                        .iter()
                        .filter(|plan| plan.meta.country_code() == home.meta.country_code())
                        .collect::<Vec<_>>(),
                ),
                _ => dice.one_of(&plans),
            };
            let same_code = plan.meta.country_code() == home.meta.country_code();
            let usual: Vec<_> = plan.kinds.iter().filter(|(kind, _)| ["fixed", "mobile"].contains(kind)).collect();
            let national = dice.one_of(&usual).1.throw(&mut dice)?;
            let [at_home, abroad] = plan.write(&national);
            let code = plan.meta.country_code();
            let written = match dice.below(10) {
                0..6 if same_code => at_home,
                0 if !plans.iter().any(|plan| {
                    plan.meta.country_code() == home.meta.country_code() && plan.has(&format!("{code}{national}"))
                }) =>
                {
                    format!("{code} {abroad}")
                }
                _ => format!("+{code} {abroad}"),
            };
            let text = match dice.below(3) {
                0 => spell(&written, ""),
                1 => spell(&written, " "),
                _ => written,
            };
            Some((plan.dialled(&national)?, text))
        };
        let (Some((a, first)), Some((b, second))) = (party(), party()) else { continue };
        let text = format!("{first} {second}");
        let pieces: Vec<&str> = text.split(' ').collect();
        let found =
            two_numbers(&pieces, &from).and_then(|[a, b]| Some((read(&a, &from).ok()?.0, read(&b, &from).ok()?.0)));
        match found {
            Some(two) if two == (a.clone(), b.clone()) => score.right += 1,
            Some((other_a, other_b)) => {
                score.wrong += 1;
                wrong.push(format!("{}: {text} is {} {}", home.meta.id(), other_a.as_str(), other_b.as_str()));
            }
            None => score.refused += 1,
        }
    }
    println!("| Pairs | Right | Refused | Wrong |\n|---|---|---|---|");
    println!("| {many} | {} | {} | {} |", score.right, score.refused, score.wrong);
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(score.refused * 10 < score.right, "honest people get in: {} refused", score.refused);
}
