//! What a message says. Pure: no clock, no file, no store.

use ringback_common::intake::{Ask, Payer};

/// `account first-number second-number`
pub fn parse(text: &str) -> Option<(Payer, Ask)> {
    let words: Vec<&str> = text.split_whitespace().take(4).collect();
    match words.as_slice() {
        [account, a, b] => Some((Payer::account(*account), Ask::call(*a, *b))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_words_and_nothing_else() {
        let read = |text: &str| parse(text).map(|(_, ask)| ask == Ask::call("+442071838750", "+4930123456"));
        assert_eq!(read("alice +442071838750 +4930123456\n"), Some(true));
        for text in ["", "alice", "alice +442071838750", "alice 1 2 3"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
