//! The form of a subject: `0370728` (the last seven digits of a DID; B is asked for by voice) or `0370728#0119281112222`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::number::text::{digit, is_invisible, is_separator};

/// Longer subjects are no form (characters).
const LONGEST: usize = 500;
/// As many answers and forwards in front of a form are taken off.
const MOST_PREFIXES: usize = 20;
/// What mail systems put their tags between.
const BRACKETS: [(&str, &str); 6] = [("[", "]"), ("{", "}"), ("(", ")"), ("<", ">"), ("***", "***"), ("【", "】")];
/// A longer tag is none (characters).
const LONGEST_TAG: usize = 40;
/// How many digits name a DID.
const DIGITS: usize = 7;

/// A form that names its payer by digits.
#[derive(Clone, PartialEq, Eq)]
pub struct ByDigits {
    /// The last seven digits of the account's DID, or of its registered number.
    pub suffix: String,
    /// The second party, as it was written.
    pub b: Option<String>,
}

/// What mail programs put in front of the subject they answer or forward, and mail systems in front of what they suspect, without
/// the colon, in lower case.
const PREFIXES: [&str; 50] = [
    "external",
    "ext",
    "external email",
    "external sender",
    "extern",
    "externe",
    "externo",
    "spam",
    "suspected spam",
    "possible spam",
    "caution",
    "warning",
    "re",
    "fw",
    "fwd",
    "aw",
    "antw",
    "antwort",
    "wg",
    "sv",
    "vs",
    "vb",
    "vl",
    "vá",
    "tr",
    "rv",
    "rif",
    "r",
    "i",
    "res",
    "enc",
    "odp",
    "pd",
    "atb",
    "bls",
    "ynt",
    "ilt",
    "i̇lt",
    "απ",
    "πρθ",
    "σχετ",
    "ответ",
    "на",
    "пересл",
    "回复",
    "答复",
    "转发",
    "回覆",
    "轉寄",
    "返信",
];

/// Reads a decoded subject.
pub fn read(subject: &str) -> Option<ByDigits> {
    if subject.chars().count() > LONGEST {
        return None;
    }
    let plain: String = subject.chars().filter(|c| !is_invisible(*c)).map(half_width).collect();
    let mut rest = plain.trim();
    for _ in 0..MOST_PREFIXES {
        match without_prefix(rest).or_else(|| without_tag(rest)) {
            Some(shorter) => rest = shorter,
            None => break,
        }
    }
    let (suffix, b) = match rest.split_once('#') {
        Some((suffix, b)) => (suffix, Some(b.trim())),
        None => (rest, None),
    };
    let suffix = digits(suffix).filter(|digits| digits.len() == DIGITS)?;
    let b = match b {
        Some(b) if looks_like_a_number(b) => Some(b.to_owned()),
        Some(_) => return None,
        None => None,
    };
    Some(ByDigits { suffix, b })
}

/// The ASCII character of a full-width one.
pub(crate) fn half_width(c: char) -> char {
    match c {
        '！'..='～' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        _ => c,
    }
}

/// `Re: x`, `RE[2]: x`, `Fwd(3): x`, `回复：x` (its colon is an ordinary one by now) without what stands before x.
fn without_prefix(text: &str) -> Option<&str> {
    let (word, rest) = text.split_once(':')?;
    let word = word.trim().to_lowercase();
    let counted = word.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '(' | ')' | '^' | ' '));
    PREFIXES.contains(&counted).then_some(rest.trim_start())
}

/// `[EXTERNAL] x`, `x {Spam?}`, `***SPAM*** x`, `(ext) x` without the tag, in which there is a letter.
fn without_tag(text: &str) -> Option<&str> {
    let tag = |inside: &str| inside.chars().any(char::is_alphabetic) && inside.chars().count() <= LONGEST_TAG;
    BRACKETS.iter().find_map(|(open, close)| {
        let first = text.strip_prefix(open).and_then(|inside| inside.split_once(close));
        let last = || text.strip_suffix(close).and_then(|inside| inside.rsplit_once(open));
        match first {
            Some((inside, rest)) if tag(inside) => Some(rest.trim_start_matches(is_padding)),
            _ => last().filter(|(_, inside)| tag(inside)).map(|(rest, _)| rest.trim_end_matches(is_padding)),
        }
    })
}

/// `*****SPAM*****` has more stars than others.
fn is_padding(c: char) -> bool {
    c.is_whitespace() || c == '*'
}

/// Digits of any script in ASCII, if there is nothing else but separators.
fn digits(text: &str) -> Option<String> {
    text.trim().chars().filter(|c| !is_separator(*c)).map(digit).collect()
}

/// Whether a number may be meant; whether it is one, the door says.
pub(crate) fn looks_like_a_number(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    text.chars().any(|c| digit(c).is_some())
        && text.chars().all(|c| digit(c).is_some() || is_separator(c) || matches!(c, '(' | ')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(subject: &str) -> Option<(String, Option<String>)> {
        read(subject).map(|form| (form.suffix, form.b))
    }

    fn some(suffix: &str, b: Option<&str>) -> Option<(String, Option<String>)> {
        Some((suffix.to_owned(), b.map(str::to_owned)))
    }

    #[test]
    fn the_founding_examples() {
        assert_eq!(form("0370728"), some("0370728", None));
        assert_eq!(form("0370728#0119281112222"), some("0370728", Some("0119281112222")));
    }

    #[test]
    fn as_people_and_programs_write_it() {
        for subject in [
            " 0370728 # 0119281112222 ",
            "Re: 0370728#0119281112222",
            "RE[2]: Fwd: 0370728#0119281112222",
            "AW: WG: 0370728#0119281112222",
            "回复：0370728#0119281112222",
            "转发: Re: 0370728#0119281112222",
            "０３７０７２８＃０１１９２８１１１２２２２",
            "Ｒｅ：０３７０７２８＃０１１９２８１１１２２２２",
            "037 0728#0119281112222",
            "037-0728 #0119281112222",
            "\u{202a}0370728#0119281112222\u{202c}",
            "٠٣٧٠٧٢٨#0119281112222",
            "[EXTERNAL] 0370728#0119281112222",
            "[EXT] Re: [External Email] 0370728#0119281112222",
            "EXTERNAL: 0370728#0119281112222",
            "***SPAM*** 0370728#0119281112222",
            "*** Suspected SPAM *** 0370728#0119281112222",
            "*****SPAM*****0370728#0119281112222",
            "[*** SPAM ***] 0370728#0119281112222",
            "[ External ] 0370728#0119281112222",
            "{Spam?} 0370728#0119281112222",
            "Re: (extern) 0370728#0119281112222 [Ticket 42]",
            "【外部】0370728#0119281112222",
        ] {
            assert_eq!(form(subject), some("0370728", Some("0119281112222")), "{subject}");
        }
        assert_eq!(form("0370728#011-928-111-2222"), some("0370728", Some("011-928-111-2222")));
        assert_eq!(form("0370728#+49 (30) 123456"), some("0370728", Some("+49 (30) 123456")));
        assert_eq!(form(&format!("{}0370728", "Re: ".repeat(15))), some("0370728", None));
    }

    #[test]
    fn anything_else_is_no_form() {
        for subject in [
            "",
            "hello",
            "call me",
            "037072",
            "03707288",
            "0370728#",
            "0370728##0119281112222",
            "0370728#0119281112222#",
            "0370728#call",
            "0370728 0119281112222",
            "#0119281112222",
            "Do not: 0370728#0119281112222",
            "0370728#0119281112222 please",
            "0370728 x#0119281112222",
            "0370728#++49",
            "0370728#+",
            "037072②",
            "[0370728]#0119281112222",
            "[EXTERNAL 0370728#0119281112222",
            "[EXTERNAL]",
            "call [EXTERNAL] 0370728#0119281112222",
        ] {
            assert_eq!(form(subject), None, "{subject}");
        }
        assert_eq!(form(&format!("{}0370728", "Re: ".repeat(200))), None);
    }
}
