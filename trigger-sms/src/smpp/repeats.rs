//! Which texts are the same text: same bind, sender, number, characters and, if the message centre gives one, id, within a minute
//! or as long as the first has not been answered. Pure: the moment is an argument. Bounded.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ringback_common::secret::{self, SiteKey};

use crate::text::Message;

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
pub fn mark(key: &SiteKey, bind: &str, message: &Message) -> Mark {
    let id = message.id.as_deref().unwrap_or_default().as_bytes();
    let (from, to) = (message.from.as_bytes(), message.to.as_bytes());
    let whole = secret::mark(key, &[bind.as_bytes(), from, to, &message.user_data, &[message.data_coding], id]);
    let mut mark = Mark::default();
    mark.copy_from_slice(&whole[..16]);
    mark
}

/// The id of a text that is new at this second of the world's clock; the one before it is the minute's before.
pub fn id(mark: &Mark, unix: u64) -> String {
    format!("{}-{}", hex::encode(mark), unix / WINDOW.as_secs())
}

impl Repeats {
    /// The id under which this text is known, and since when.
    pub fn known(&self, mark: &Mark, now: Instant) -> Option<(String, Instant)> {
        self.known.get(mark).filter(|known| now < known.until).map(|known| (known.id.clone(), known.first))
    }

    /// A text is known by this id from now on, until it has been answered and its minute is over.
    pub fn remember(&mut self, mark: Mark, id: String, now: Instant) {
        if self.known.len() >= MOST {
            self.forget(now);
        }
        match self.known.get_mut(&mark) {
            Some(known) if now < known.until => known.until = now + OWED,
            _ => drop(self.known.insert(mark, Known { id, first: now, until: now + OWED })),
        }
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

    const KEY: SiteKey = SiteKey::from_bytes([9; 32]);

    fn text(body: &str) -> Message {
        let (from, to) = ("+447700900001".to_owned(), "777".to_owned());
        Message { from, to, user_data: body.as_bytes().to_vec(), ..Message::default() }
    }

    fn mark(bind: &str, message: &Message) -> Mark {
        super::mark(&KEY, bind, message)
    }

    #[test]
    fn a_text_is_itself_by_everything_that_it_says() {
        let one = mark("a", &text("x"));
        assert_eq!(one, mark("a", &text("x")));
        assert_ne!(one, super::mark(&SiteKey::from_bytes([8; 32]), "a", &text("x")), "no PIN is guessed from it");
        assert_ne!(one, mark("b", &text("x")));
        assert_ne!(one, mark("a", &text("y")));
        assert_ne!(one, mark("a", &Message { to: "77".to_owned(), user_data: b"7x".to_vec(), ..text("") }));
        assert_ne!(one, mark("a", &Message { data_coding: 3, ..text("x") }));
        assert_ne!(one, mark("a", &Message { id: Some("1".to_owned()), ..text("x") }));
        assert_eq!(id(&one, 119), id(&one, 60));
        assert_ne!(id(&one, 120), id(&one, 119));
    }

    #[test]
    fn an_answered_text_is_known_for_a_minute_and_an_unanswered_one_for_long() {
        let (now, mark) = (Instant::now(), mark("a", &text("x")));
        let first = Some(("first".to_owned(), now));
        let mut repeats = Repeats::default();
        assert_eq!(repeats.known(&mark, now), None);
        repeats.remember(mark, "first".to_owned(), now);
        assert_eq!(repeats.known(&mark, now + WINDOW * 30), first, "it is as old as when it came first");
        repeats.remember(mark, "second".to_owned(), now + WINDOW * 30);
        assert_eq!(repeats.known(&mark, now + WINDOW * 31), first, "it keeps its id");
        repeats.answered(&mark);
        assert_eq!(repeats.known(&mark, now + WINDOW * 31), None);
        assert_eq!(repeats.known(&mark, now + WINDOW / 2), first);
        repeats.remember(mark, "new".to_owned(), now + WINDOW * 31);
        let new = Some(("new".to_owned(), now + WINDOW * 31));
        assert_eq!(repeats.known(&mark, now + WINDOW * 31), new, "a text of its own, as old as itself");
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
