//! The founding form, `name password your-number other-number`, and how a text falls into words.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::intake::{Ask, Payer};
use ringback_common::number::text::is_invisible;
use ringback_common::number::{Dialling, two_numbers};

use super::{Act, NotUnderstood, Request};

/// Name, password and two numbers.
///
/// # Errors
/// Something is missing, or there is no single way to make two numbers of the rest.
pub fn read(words: &[&str], from: &Dialling<'_>) -> Result<Request, NotUnderstood> {
    let [user, secret, numbers @ ..] = words else { return Err(NotUnderstood::TooFewWords) };
    let [a, b] = match numbers {
        [] | [_] => return Err(NotUnderstood::TooFewWords),
        [a, b] => [(*a).to_owned(), (*b).to_owned()],
        pieces => two_numbers(pieces, from).ok_or(NotUnderstood::TooManyWords)?,
    };
    let user: String = user.chars().filter(|c| !is_invisible(*c)).collect();
    Ok(Request { payer: Payer::four_words(user, *secret), act: Act::Ask(Ask::call(a, b)) })
}

/// The words of a text: quotes taken off, and invisible marks around a word that is not quoted.
pub fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_matches(is_between);
    while !rest.is_empty() {
        let (word, after) = quoted(rest).unwrap_or_else(|| {
            let (word, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
            (word.trim_matches(is_between), after)
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

/// What stands between words and shows nothing.
pub fn is_between(c: char) -> bool {
    c.is_whitespace() || c == '\0' || is_invisible(c)
}
