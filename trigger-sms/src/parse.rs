//! From the text of an SMS to a request. Pure. A text is understood, or refused with an example; never guessed.
//!
//! The form is four words: `name password your-number other-number`. A word is quoted only if it begins and ends with an
//! ASCII `"`; any other quote is an ordinary character. Numbers may hold spaces as long as only one reading is possible.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

use ringback_common::number::text::{digit, is_invisible};
use ringback_common::number::{Dialling, Number, read};

/// A text longer than this many characters is refused: ten SMS parts.
pub const LONGEST_TEXT: usize = 1600;

/// What an accepted text looks like.
pub const EXAMPLE: &str = "alice secret +442071838750 +4915112345678";

/// How a text is read.
#[derive(Clone, PartialEq, Eq)]
pub enum Reading {
    /// Somebody wants to be called.
    Callback(Callback),
    /// Not understood; the sender is told how to write it.
    Refused(Refusal),
    /// Nobody wants an answer.
    Ignored(Ignored),
}

/// A request as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    /// The account's name.
    pub user: String,
    /// Its trigger secret.
    pub secret: String,
    /// The first party.
    pub a: String,
    /// The second party.
    pub b: String,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(masked)")
    }
}

/// Why a text is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too long to be a request.
    TooLong,
    /// Something is missing.
    TooFewWords,
    /// More words than four, and no single way to make two numbers of the rest.
    TooManyWords,
}

impl Refusal {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::TooLong => "too_long",
            Refusal::TooFewWords => "too_few_words",
            Refusal::TooManyWords => "too_many_words",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::TooLong => "the text is too long",
            Refusal::TooFewWords => "something is missing in the text",
            Refusal::TooManyWords => {
                "the text can be read in several ways; write numbers without spaces and a password with spaces in \"quotes\""
            }
        })
    }
}

/// Why nobody is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Nothing but space.
    Empty,
    /// The sender is a name or a short code: nobody to call or to answer.
    SenderIsNoNumber,
}

impl Ignored {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Ignored::Empty => "empty_text",
            Ignored::SenderIsNoNumber => "sender_is_no_number",
        }
    }
}

/// The number a message came from: international, with or without `+`, or a listed extension.
pub fn sender(from: &str, site: &Dialling<'_>) -> Result<Number, Ignored> {
    read(from, site).map(|(number, _)| number).map_err(|_| Ignored::SenderIsNoNumber)
}

/// Reads a text from a sender whose numbers are written like `from` says.
pub fn parse(text: &str, from: &Dialling<'_>) -> Reading {
    if text.chars().count() > LONGEST_TEXT {
        return Reading::Refused(Refusal::TooLong);
    }
    let words = words(text);
    let [user, secret, numbers @ ..] = words.as_slice() else {
        let empty = words.is_empty();
        return if empty { Reading::Ignored(Ignored::Empty) } else { Reading::Refused(Refusal::TooFewWords) };
    };
    let numbers = match numbers {
        [] | [_] => Err(Refusal::TooFewWords),
        [a, b] => Ok([(*a).to_owned(), (*b).to_owned()]),
        pieces => two_numbers(pieces, from).ok_or(Refusal::TooManyWords),
    };
    match numbers {
        Ok([a, b]) => {
            let user = user.chars().filter(|c| !is_invisible(*c)).collect();
            Reading::Callback(Callback { user, secret: (*secret).to_owned(), a, b })
        }
        Err(refusal) => Reading::Refused(refusal),
    }
}

/// The words of a text: quotes taken off, and invisible marks around a word that is not quoted.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_matches(is_between);
    while !rest.is_empty() {
        let (word, after) = quoted(rest).unwrap_or_else(|| {
            let (word, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
            (word.trim_matches(is_invisible), after)
        });
        words.push(word);
        rest = after.trim_start_matches(is_between);
    }
    words
}

/// A quoted word at the start: what stands between its quotes, and the rest. The closing quote is the first that ends a word.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let (end, _) = inside.match_indices('"').find(|(at, _)| inside[at + 1..].chars().next().is_none_or(is_between))?;
    Some((&inside[..end], &inside[end + 1..]))
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

/// Two numbers from three or more pieces, if there is one way only: where the second number begins with `+`, `00`, `011` or a
/// trunk 0, else wherever both parts fit a numbering plan.
fn two_numbers(pieces: &[&str], from: &Dialling<'_>) -> Option<[String; 2]> {
    let splits: Vec<Split> = (1..pieces.len()).filter_map(|at| Split::at(pieces, at, from)).collect();
    let marked: Vec<&Split> = splits.iter().filter(|split| split.marked).collect();
    let known = |splits: &[&Split]| splits.iter().filter(|split| split.known).copied().cloned().collect::<Vec<_>>();
    let candidates = match marked.as_slice() {
        [] => known(&splits.iter().collect::<Vec<_>>()),
        [only] => vec![(*only).clone()],
        several => known(several),
    };
    match candidates.as_slice() {
        [only] => Some(only.numbers.clone()),
        _ => None,
    }
}

/// One way to make two numbers.
#[derive(Clone)]
struct Split {
    numbers: [String; 2],
    /// The second begins as numbers begin.
    marked: bool,
    /// Both fit a numbering plan.
    known: bool,
}

impl Split {
    fn at(pieces: &[&str], at: usize, from: &Dialling<'_>) -> Option<Split> {
        let (first, second) = pieces.split_at(at);
        let numbers = [first.join(" "), second.join(" ")];
        let [a, b] = [read(&numbers[0], from).ok()?.0, read(&numbers[1], from).ok()?.0];
        let begins = second.first()?.trim_start_matches(['(', '[', '（']);
        let marked = begins.starts_with(['+', '＋']) || begins.chars().next().and_then(digit) == Some('0');
        Some(Split { numbers, marked, known: a.fits_a_plan() && b.fits_a_plan() })
    }
}

#[cfg(test)]
mod tests {
    use ringback_common::number::Country;

    use super::*;

    fn from_uk() -> Dialling<'static> {
        Dialling { country: Country::by_code("GB"), extensions: &[] }
    }

    #[track_caller]
    fn reads(text: &str, user: &str, secret: &str, a: &str, b: &str) {
        let Reading::Callback(found) = parse(text, &from_uk()) else { panic!("{text:?}: {:?}", outcome(text)) };
        let dialled = |number: &str| read(number, &from_uk()).unwrap().0.as_str().to_owned();
        assert_eq!(
            (found.user.as_str(), found.secret.as_str(), dialled(&found.a).as_str(), dialled(&found.b).as_str()),
            (user, secret, a, b),
            "{text:?}"
        );
    }

    fn outcome(text: &str) -> &'static str {
        match parse(text, &from_uk()) {
            Reading::Callback(_) => "callback",
            Reading::Refused(refusal) => refusal.code(),
            Reading::Ignored(ignored) => ignored.code(),
        }
    }

    const A: &str = "+4412345678";
    const B: &str = "+4498765432";

    #[test]
    fn the_founding_form_is_four_words() {
        reads("username password 004412345678 004498765432", "username", "password", A, B);
        reads("  username\u{a0}password\t004412345678 \n 004498765432\r\n", "username", "password", A, B);
        reads("username password ٠٠٤٤١٢٣٤٥٦٧٨ ００４４９８７６５４３２", "username", "password", A, B);
        reads(
            "\u{feff}user\u{200e} \u{202b}pass\u{202c} \u{2066}004412345678\u{2069} 0044-98765432",
            "user",
            "pass",
            A,
            B,
        );
        reads("u 12345678 +44(0)2071838750 07911123456", "u", "12345678", "+442071838750", "+447911123456");
    }

    #[test]
    fn only_words_that_begin_and_end_with_ascii_quotes_are_quoted() {
        for (word, secret) in [
            (r#""pass word""#, "pass word"),
            (r##""p#1 * 2""##, "p#1 * 2"),
            (r#""a"b c""#, r#"a"b c"#),
            (r#""""#, ""),
            (r#"pa"ss"#, r#"pa"ss"#),
            (r#""pass"#, r#""pass"#),
            (r#"pass""#, r#"pass""#),
            (r#"""#, r#"""#),
            ("“pass”", "“pass”"),
            ("'pass'", "'pass'"),
            ("«pass»", "«pass»"),
            ("＂pass＂", "＂pass＂"),
            (r#"" pass ""#, " pass "),
        ] {
            reads(&format!("user {word} 004412345678 004498765432"), "user", secret, A, B);
        }
        reads(r#"user "0044" 004412345678 "00 44 98765432""#, "user", "0044", A, B);
    }

    #[test]
    fn numbers_with_spaces_are_read_when_there_is_one_way() {
        let (a, b) = ("+442071838750", "+12065554123");
        for numbers in [
            "+44 (0)20 7183 8750 0012065554123",
            "+44 20 7183 8750 +1 206 555 4123",
            "0044 20 7183 8750 001 206 555 4123",
            "020 7183 8750 +12065554123",
            "+442071838750 1 206 555 4123",
            "44 20 7183 8750 1 206 555 4123",
        ] {
            reads(&format!("user pass {numbers}"), "user", "pass", a, b);
        }
        reads("user pass 020 7183 8750 020 7946 0018", "user", "pass", a, "+442079460018");
        reads("user pass +44 020 7183 8750 0044 (0) 20 7946 0018", "user", "pass", a, "+442079460018");
    }

    #[test]
    fn what_is_not_clear_is_refused_with_its_reason() {
        for (text, code) in [
            ("", "empty_text"),
            (" \u{a0}\u{200b}\n", "empty_text"),
            ("hello", "too_few_words"),
            ("user pass", "too_few_words"),
            ("user pass 004412345678", "too_few_words"),
            ("user my pass 004412345678 004498765432", "too_many_words"),
            ("user pass 004412345678 004498765432 please", "too_many_words"),
            ("user pass 004412345678 004498765432 004412345679", "too_many_words"),
            ("user pass 12 34 56", "too_many_words"),
        ] {
            assert_eq!(outcome(text), code, "{text:?}");
        }
        assert_eq!(outcome(&"x ".repeat(801)), "too_long");
        assert_eq!(outcome(&"é".repeat(1600)), "too_few_words", "characters, not bytes");
    }

    #[test]
    fn senders_that_are_no_numbers_are_left_alone() {
        let extensions = ["100".to_owned()];
        let site = Dialling { country: None, extensions: &extensions };
        for (from, number) in [("+447911123456", "+447911123456"), ("447911123456", "+447911123456"), ("100", "100")] {
            assert_eq!(sender(from, &site).map(|number| number.as_str().to_owned()).as_deref(), Ok(number));
        }
        for from in ["InfoSMS", "82345", "", "+", "*100#", "alerts@example.net"] {
            assert_eq!(sender(from, &site), Err(Ignored::SenderIsNoNumber), "{from}");
        }
    }

    #[test]
    fn any_text_is_read_without_panic() {
        let letters: Vec<char> = "\"\" +0044 12\u{a0}\u{200f}é٣#*'pass\n".chars().collect();
        let mut dice: u64 = 3;
        for _ in 0..3000 {
            let text: String = (0..dice % 60)
                .map(|_| {
                    dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    letters[(dice >> 33) as usize % letters.len()]
                })
                .collect();
            dice = dice.wrapping_add(1);
            assert!(!outcome(&text).is_empty());
        }
    }
}
