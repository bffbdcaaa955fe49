//! Joins the parts of long texts. Pure: the caller brings the clock and waits until [`Joiner::poll_timeout`].
//!
//! A source that brings parts keeps one joiner, tells it of each part by [`Joiner::add`] with whatever it needs to answer that part
//! later (`T`), and does with an [`End`] what it says:
//!
//! - [`End::Whole`]: give the text to the desk, answer all its parts by what the desk says, and if that is for good (all but "not
//!   now") call [`Joiner::settled`], so that a part that comes again, because its answer was lost, is not the start of a new text;
//! - [`End::Again`]: a part of a text that has gone before; answer it as accepted;
//! - [`End::Missing`], [`End::TooLong`]: there will be no text; let the desk tell the sender and answer the parts as accepted.
//!
//! Parts come in any order and as often as they like. Two parts with one number that say different things belong to two texts (a
//! phone counts its references only to 255): the earlier text has lost.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::coding::{CodingError, Piece, Place, Reference, text_of};

/// Parts of one text at most: more are more characters than a text may have (`parse::LONGEST_TEXT`), even in UCS-2.
pub const MOST_PARTS: u8 = 25;
/// Texts of one sender that wait at a time; the oldest goes first.
const MOST_OF_ONE: usize = 8;
/// Texts that wait at a time; the oldest goes first, whoever sent it.
const MOST_TEXTS: usize = 2_000;
/// Bytes of all waiting parts; the oldest text goes first.
const MOST_BYTES: usize = 4 << 20;
/// Bytes of one part at most; a short message has 140, a provider's text part a few times that in UTF-8.
const MOST_OF_A_PART: usize = 2_048;
/// How often each part of a text may come before more of them are turned away.
const MOST_REPEATS: usize = 4;
/// Texts that are remembered after they have gone, for one more deadline; the oldest go first.
const MOST_GONE: usize = 4_000;

/// A moment: how long after the caller's own beginning of time, by a monotonic clock.
pub type Moment = Duration;

/// Which text a part belongs to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The source's name: parts that come through different doors belong to different texts.
    pub source: String,
    /// The sender as the source writes it.
    pub from: String,
    /// Our number as the source writes it.
    pub to: String,
    /// What the parts have in common.
    pub reference: Reference,
    /// How many there are.
    pub total: u8,
}

impl Key {
    /// The key of a part at this place.
    pub fn new(source: &str, from: &str, to: &str, place: &Place) -> Key {
        Key {
            source: source.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reference: place.reference.clone(),
            total: place.total,
        }
    }
}

/// What became of a text in parts. `parts` has what [`Joiner::add`] was given with each part and each of its repeats.
pub enum End<T> {
    /// All parts are there.
    Whole {
        /// Whose.
        key: Key,
        /// What it says, unless its bytes are no text.
        text: Result<String, CodingError>,
        /// The same for the same parts, however often they come: 32 hexadecimal digits.
        id: String,
        /// To be answered.
        parts: Vec<T>,
    },
    /// A part of a text that has gone: settled, or given up before this part came.
    Again {
        /// To be answered.
        part: T,
    },
    /// The deadline has come, or other texts needed the place: the sender should send it again.
    Missing {
        /// Whose.
        key: Key,
        /// To be answered.
        parts: Vec<T>,
    },
    /// More parts than a text may have.
    TooLong {
        /// Whose.
        key: Key,
        /// To be answered.
        parts: Vec<T>,
    },
}

/// The parts that have come so far.
pub struct Joiner<T> {
    deadline: Duration,
    waiting: HashMap<Key, Waiting<T>>,
    /// Waiting texts by age; an entry whose text has gone in the meantime stands for nothing.
    order: VecDeque<(Moment, Key)>,
    /// How many texts of each sender wait.
    senders: HashMap<(String, String), usize>,
    bytes: usize,
    gone: HashMap<Key, Gone>,
    gone_order: VecDeque<(Moment, Key)>,
}

struct Waiting<T> {
    since: Moment,
    pieces: BTreeMap<u8, Piece>,
    parts: Vec<T>,
}

/// What is remembered of a text for a while, so that what comes late begins no new one.
struct Gone {
    since: Moment,
    how: How,
}

enum How {
    /// It was whole. Its pieces come again for nothing, once it is settled.
    Whole { digests: Vec<[u8; 32]>, settled: bool },
    /// It was given up with these parts. The others come too late.
    Missing { had: Vec<u8> },
    /// All its parts are for nothing.
    TooLong,
}

impl<T> Joiner<T> {
    /// A joiner that waits this long for the last part, counted from the first.
    pub fn new(deadline: Duration) -> Joiner<T> {
        Joiner {
            deadline,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            senders: HashMap::new(),
            bytes: 0,
            gone: HashMap::new(),
            gone_order: VecDeque::new(),
        }
    }

    /// Takes part `number` of a text; says what has ended by it. Nothing means: it waits for the others.
    pub fn add(&mut self, key: Key, number: u8, piece: Piece, part: T, now: Moment) -> Vec<End<T>> {
        let mut ends = self.expire(now);
        if self.comes_again(&key, number, &piece) {
            ends.push(End::Again { part });
            return ends;
        }
        if key.total > MOST_PARTS || piece.len() > MOST_OF_A_PART {
            let mut parts = self.take(&key).map(|text| text.parts).unwrap_or_default();
            parts.push(part);
            self.remember(key.clone(), How::TooLong, now);
            ends.push(End::TooLong { key, parts });
            return ends;
        }
        let had = self.waiting.get(&key).and_then(|text| text.pieces.get(&number));
        if had.is_some_and(|had| *had != piece) {
            ends.extend(self.give_up(&key));
        }
        match self.keep(&key, number, piece, part, now) {
            Some(part) => ends.push(End::Again { part }),
            None if self.is_whole(&key) => ends.extend(self.finish(key, now)),
            None => ends.extend(self.make_room(&key, now)),
        }
        ends
    }

    /// Ends what has waited too long.
    pub fn expire(&mut self, now: Moment) -> Vec<End<T>> {
        while self.gone_order.front().is_some_and(|(since, _)| now >= *since + self.deadline) {
            self.forget_oldest();
        }
        let mut ends = Vec::new();
        while self.order.front().is_some_and(|(since, _)| now >= *since + self.deadline) {
            ends.extend(self.give_up_oldest(now));
        }
        ends
    }

    /// When to call [`Joiner::expire`] at the latest; `None` while nothing waits.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.order.front().map(|(since, _)| *since + self.deadline)
    }

    /// The whole text of this key has been answered for good; parts of it that have come again in the meantime end here.
    pub fn settled(&mut self, key: &Key, now: Moment) -> Vec<End<T>> {
        let Some(Gone { how: How::Whole { digests, .. }, .. }) = self.gone.remove(key) else { return Vec::new() };
        let same = |text: &Waiting<T>| {
            text.pieces.iter().all(|(number, piece)| digests.get(usize::from(*number) - 1) == Some(&digest(piece)))
        };
        let again = self.waiting.get(key).is_some_and(same).then(|| self.take(key)).flatten();
        self.remember(key.clone(), How::Whole { digests, settled: true }, now);
        again.into_iter().flat_map(|text| text.parts).map(|part| End::Again { part }).collect()
    }

    /// Whether this part belongs to a text that has gone.
    fn comes_again(&self, key: &Key, number: u8, piece: &Piece) -> bool {
        match self.gone.get(key).map(|gone| &gone.how) {
            Some(How::Whole { digests, settled }) => {
                *settled && digests.get(usize::from(number).wrapping_sub(1)) == Some(&digest(piece))
            }
            Some(How::Missing { had }) => !self.waiting.contains_key(key) && !had.contains(&number),
            Some(How::TooLong) => true,
            None => false,
        }
    }

    /// Puts a part to the others of its text; gives it back when it came too often already.
    fn keep(&mut self, key: &Key, number: u8, piece: Piece, part: T, now: Moment) -> Option<T> {
        if !self.waiting.contains_key(key) {
            if self.order.len() >= 2 * MOST_TEXTS {
                self.order.retain(|(since, key)| self.waiting.get(key).is_some_and(|text| text.since == *since));
            }
            self.order.push_back((now, key.clone()));
            *self.senders.entry(sender(key)).or_default() += 1;
        }
        let text = self.waiting.entry(key.clone()).or_insert_with(|| Waiting {
            since: now,
            pieces: BTreeMap::new(),
            parts: Vec::new(),
        });
        if text.parts.len() >= usize::from(key.total) * MOST_REPEATS {
            return Some(part);
        }
        text.parts.push(part);
        let length = piece.len();
        if text.pieces.insert(number, piece).is_none() {
            self.bytes += length;
        }
        None
    }

    fn is_whole(&self, key: &Key) -> bool {
        self.waiting.get(key).is_some_and(|text| text.pieces.len() == usize::from(key.total))
    }

    fn finish(&mut self, key: Key, now: Moment) -> Option<End<T>> {
        let Waiting { pieces, parts, .. } = self.take(&key)?;
        let digests: Vec<[u8; 32]> = pieces.values().map(digest).collect();
        let id = id(&key, &digests);
        let pieces: Vec<Piece> = pieces.into_values().collect();
        self.remember(key.clone(), How::Whole { digests, settled: false }, now);
        Some(End::Whole { text: text_of(&pieces), key, id, parts })
    }

    /// Gives up texts until all bounds hold again.
    fn make_room(&mut self, newest: &Key, now: Moment) -> Vec<End<T>> {
        let mut ends = Vec::new();
        if self.senders.get(&sender(newest)).is_some_and(|texts| *texts > MOST_OF_ONE) {
            let theirs = |(_, key): &&(Moment, Key)| {
                key.source == newest.source && key.from == newest.from && self.waiting.contains_key(key)
            };
            let oldest = self.order.iter().find(theirs).map(|(_, key)| key.clone());
            ends.extend(oldest.and_then(|key| self.lose(&key, now)));
        }
        while self.waiting.len() > MOST_TEXTS || self.bytes > MOST_BYTES {
            ends.extend(self.give_up_oldest(now));
        }
        ends
    }

    fn give_up_oldest(&mut self, now: Moment) -> Option<End<T>> {
        let (since, key) = self.order.pop_front()?;
        let still = self.waiting.get(&key).is_some_and(|text| text.since == since);
        if still { self.lose(&key, now) } else { None }
    }

    /// Gives a text up and remembers that what is still to come of it comes too late.
    fn lose(&mut self, key: &Key, now: Moment) -> Option<End<T>> {
        let had = self.waiting.get(key).map(|text| text.pieces.keys().copied().collect())?;
        self.remember(key.clone(), How::Missing { had }, now);
        self.give_up(key)
    }

    fn give_up(&mut self, key: &Key) -> Option<End<T>> {
        let text = self.take(key)?;
        Some(End::Missing { key: key.clone(), parts: text.parts })
    }

    fn take(&mut self, key: &Key) -> Option<Waiting<T>> {
        let text = self.waiting.remove(key)?;
        self.bytes -= text.pieces.values().map(Piece::len).sum::<usize>();
        let sender = sender(key);
        match self.senders.get_mut(&sender) {
            Some(texts) if *texts > 1 => *texts -= 1,
            _ => {
                self.senders.remove(&sender);
            }
        }
        while self.order.front().is_some_and(|(since, key)| self.waiting.get(key).is_none_or(|w| w.since != *since)) {
            self.order.pop_front();
        }
        Some(text)
    }

    fn remember(&mut self, key: Key, how: How, now: Moment) {
        self.gone.insert(key.clone(), Gone { since: now, how });
        self.gone_order.push_back((now, key));
        while self.gone_order.len() > MOST_GONE {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((since, key)) = self.gone_order.pop_front()
            && self.gone.get(&key).is_some_and(|gone| gone.since == since)
        {
            self.gone.remove(&key);
        }
    }
}

fn sender(key: &Key) -> (String, String) {
    (key.source.clone(), key.from.clone())
}

/// What tells one piece from another; the text itself is not kept.
fn digest(piece: &Piece) -> [u8; 32] {
    let mut hash = Sha256::new();
    match piece {
        Piece::Text(text) => hash.update(text),
        Piece::Bytes { bytes, coding } => {
            hash.update([coding.data_coding()]);
            hash.update(bytes);
        }
    }
    hash.finalize().into()
}

fn id(key: &Key, digests: &[[u8; 32]]) -> String {
    let mut hash = Sha256::new();
    let reference = match &key.reference {
        Reference::Byte(number) => format!("byte {number}"),
        Reference::Word(number) => format!("word {number}"),
        Reference::Sar(number) => format!("sar {number}"),
        Reference::Named(name) => format!("named {name}"),
    };
    for part in [&key.source, &key.from, &key.to, &reference] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    digests.iter().for_each(|digest| hash.update(digest));
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests;
