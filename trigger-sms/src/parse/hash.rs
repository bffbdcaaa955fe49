//! Forms in parts with `#` between them, as UWT and MCA had them: `1234567#011902324445656`, and with a password
//! `1234567#22333#011334545667#011902324445656`. The first part is the last seven digits of the account's own number (its DID).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::intake::{Ask, Payer, Proof, Who};
use ringback_common::number::text::{digit, is_invisible, is_separator};

use super::words::is_between;
use super::{Act, Request};

/// `last7`, `last7#` and `last7#other-number`; the sender belongs to the account.
pub fn last7(text: &str) -> Option<Request> {
    let b = match parts(text).as_slice() {
        [_] | [_, ""] => None,
        [_, b] => Some((*b).to_owned()),
        _ => return None,
    };
    let payer = Payer { who: Who::Suffix(suffix(text)?), proof: Proof::Registered };
    Some(Request { payer, act: Act::Ask(Ask::Callback { a: None, b }) })
}

/// `last7#password#your-number` and `last7#password#your-number#other-number`: another phone of the sender is called.
pub fn last7_temporary(text: &str) -> Option<Request> {
    let parts = parts(text);
    let [_, secret, a, rest @ ..] = parts.as_slice() else { return None };
    let b = match rest {
        [] | [""] => None,
        [b] => Some((*b).to_owned()),
        _ => return None,
    };
    if secret.is_empty() || a.is_empty() {
        return None;
    }
    let payer = Payer { who: Who::Suffix(suffix(text)?), proof: Proof::RegisteredAndSecret((*secret).to_owned()) };
    Some(Request { payer, act: Act::Ask(Ask::Callback { a: Some((*a).to_owned()), b }) })
}

/// The seven digits of the first part, with anything between them that may stand between digits.
fn suffix(text: &str) -> Option<String> {
    let first = parts(text).first().copied().unwrap_or_default();
    let unknown = |c: char| digit(c).is_none() && !is_separator(c) && !is_invisible(c);
    let digits: String = first.chars().filter_map(digit).collect();
    (digits.len() == 7 && !first.chars().any(unknown)).then_some(digits)
}

/// The parts, without space around them. A part in quotes may hold `#`.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let text = text.trim_start_matches(is_between);
        let (part, after) = quoted(text).unwrap_or_else(|| match text.find(['#', '＃']) {
            Some(at) => (text[..at].trim_matches(is_between), Some(after_hash(&text[at..]))),
            None => (text.trim_matches(is_between), None),
        });
        parts.push(part);
        rest = after;
    }
    parts
}

/// A quoted part: what stands between its quotes, and what follows the `#` after it.
fn quoted(text: &str) -> Option<(&str, Option<&str>)> {
    let inside = text.strip_prefix('"')?;
    inside.match_indices('"').find_map(|(at, _)| {
        let after = inside[at + 1..].trim_start_matches(is_between);
        let closes = after.is_empty() || after.starts_with(['#', '＃']);
        closes.then(|| (&inside[..at], (!after.is_empty()).then(|| after_hash(after))))
    })
}

/// What follows the `#` at the start.
fn after_hash(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}
