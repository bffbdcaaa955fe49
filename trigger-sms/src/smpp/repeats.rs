//! Which texts are the same text, where the message centre gives no id: same bind, sender, number and characters within a
//! minute, or as long as the first has not been answered. Pure: the moment is an argument. Bounded.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::pdu::Message;

/// The same text within this time is a repeat.
const WINDOW: Duration = Duration::from_secs(60);
/// A text that we have not answered is repeated by the message centre, sooner or later; so long we know it.
const OWED: Duration = Duration::from_secs(3600);
/// How many texts are remembered at most; when more come, those that are nearest to being forgotten go.
const MOST: usize = 20_000;

/// What makes a text this text.
pub type Mark = [u8; 16];

/// The texts of late.
#[derive(Default)]
pub struct Repeats {
    known: HashMap<Mark, Known>,
}

struct Known {
    id: String,
    first: Instant,
    until: Instant,
}

/// The mark of a text of this bind.
pub fn mark(bind: &str, message: &Message) -> Mark {
    let mut hash = Sha256::new();
    for field in [bind.as_bytes(), message.from.as_bytes(), message.to.as_bytes(), &message.user_data] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.update([message.data_coding]);
    let mut mark = Mark::default();
    mark.copy_from_slice(&hash.finalize()[..16]);
    mark
}

/// The id of a text that is new at this second of the world's clock; the one before it is the minute's before.
pub fn id(mark: &Mark, unix: u64) -> String {
    format!("{}-{}", hex::encode(mark), unix / WINDOW.as_secs())
}

impl Repeats {
    /// The id under which this text is known.
    pub fn known(&self, mark: &Mark, now: Instant) -> Option<String> {
        self.known.get(mark).filter(|known| now < known.until).map(|known| known.id.clone())
    }

    /// A text is known by this id from now on, until it has been answered and its minute is over.
    pub fn remember(&mut self, mark: Mark, id: String, now: Instant) {
        if self.known.len() >= MOST {
            self.forget(now);
        }
        self.known.entry(mark).and_modify(|known| known.until = now + OWED).or_insert(Known {
            id,
            first: now,
            until: now + OWED,
        });
    }

    /// The message centre has been told that the text is ours.
    pub fn answered(&mut self, mark: &Mark) {
        if let Some(known) = self.known.get_mut(mark) {
            known.until = known.first + WINDOW;
        }
    }

    fn forget(&mut self, now: Instant) {
        self.known.retain(|_, known| now < known.until);
        if self.known.len() < MOST {
            return;
        }
        let mut ends: Vec<Instant> = self.known.values().map(|known| known.until).collect();
        ends.sort_unstable();
        let middle = ends[ends.len() / 2];
        self.known.retain(|_, known| known.until > middle);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn text(body: &str) -> Message {
        Message {
            notice: false,
            from: "+447700900001".to_owned(),
            to: "777".to_owned(),
            user_data: body.as_bytes().to_vec(),
            has_header: false,
            data_coding: 0,
            sar: None,
            id: None,
        }
    }

    #[test]
    fn a_text_is_itself_by_everything_that_it_says() {
        let one = mark("a", &text("x"));
        assert_eq!(one, mark("a", &text("x")));
        assert_ne!(one, mark("b", &text("x")));
        assert_ne!(one, mark("a", &text("y")));
        assert_ne!(one, mark("a", &Message { to: "77".to_owned(), user_data: b"7x".to_vec(), ..text("") }));
        assert_ne!(one, mark("a", &Message { data_coding: 3, ..text("x") }));
        assert_eq!(id(&one, 119), id(&one, 60));
        assert_ne!(id(&one, 120), id(&one, 119));
    }

    #[test]
    fn an_answered_text_is_known_for_a_minute_and_an_unanswered_one_for_long() {
        let (now, mark) = (Instant::now(), mark("a", &text("x")));
        let mut repeats = Repeats::default();
        assert_eq!(repeats.known(&mark, now), None);
        repeats.remember(mark, "first".to_owned(), now);
        assert_eq!(repeats.known(&mark, now + WINDOW * 30).as_deref(), Some("first"));
        repeats.remember(mark, "second".to_owned(), now + WINDOW * 30);
        assert_eq!(repeats.known(&mark, now + WINDOW * 31).as_deref(), Some("first"), "it keeps its id");
        repeats.answered(&mark);
        assert_eq!(repeats.known(&mark, now + WINDOW * 31), None);
        assert_eq!(repeats.known(&mark, now + WINDOW / 2).as_deref(), Some("first"));
    }

    #[test]
    fn memory_has_a_limit() {
        let now = Instant::now();
        let mut repeats = Repeats::default();
        for number in 0..(3 * MOST as u64) {
            let mut mark = Mark::default();
            mark[..8].copy_from_slice(&number.to_be_bytes());
            repeats.remember(mark, String::new(), now + Duration::from_millis(number));
            assert!(repeats.known.len() <= MOST);
        }
    }
}
