//! Long texts: which text a part belongs to, and when a text is whole. Pure. The store keeps parts by the rule of
//! `ringback_common::store::joining`; [`Joiner`] does the same in memory, for whoever has no store.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{HashMap, VecDeque};

use ringback_common::store::LongText;
use ringback_common::store::joining::{Fate, KnownPart, fate};

use crate::coding::{CodingError, Piece, Place, Reference, text_of};

/// Parts of one text at most: more are more characters than a text may have (`parse::LONGEST_TEXT`), even in UCS-2.
pub const MOST_PARTS: u8 = 25;
/// Bytes of one part at most; a short message has 140, a provider's text part a few times that.
pub const MOST_OF_A_PART: usize = 2_048;
/// Texts that a joiner knows at a time; the oldest goes first.
const MOST_TEXTS: usize = 2_000;

/// The text that a part at this place belongs to.
pub fn text_at(source: &str, from: &str, to: &str, place: &Place) -> LongText {
    LongText {
        source: source.to_owned(),
        sender: from.to_owned(),
        recipient: to.to_owned(),
        reference: match &place.reference {
            Reference::Byte(number) => format!("b{number}"),
            Reference::Word(number) => format!("w{number}"),
            Reference::Sar(number) => format!("s{number}"),
            Reference::Named(name) => format!("n{name}"),
        },
        total: place.total,
    }
}

/// Whether a text of so many parts, of which the newest has so many bytes, is more than any text may be.
pub fn is_too_long(total: u8, bytes: usize) -> bool {
    total > MOST_PARTS || bytes > MOST_OF_A_PART
}

/// What becomes of a part.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Others are missing.
    Waits,
    /// Its text has been dealt with.
    Past,
    /// Its text is longer than any text may be.
    TooLong,
    /// All parts are there, and say this.
    Whole(Result<String, CodingError>),
}

/// Joins parts in memory. Bounded.
#[derive(Default)]
pub struct Joiner {
    texts: HashMap<LongText, Vec<(KnownPart, Piece)>>,
    order: VecDeque<LongText>,
}

impl Joiner {
    /// Takes part `number` of a text; `user_data` is what it was read from.
    pub fn add(&mut self, text: LongText, number: u8, user_data: &[u8], piece: Piece) -> End {
        if !self.texts.contains_key(&text) {
            self.make_room(&text);
        }
        let total = usize::from(text.total);
        let too_long = is_too_long(text.total, user_data.len());
        let parts = self.texts.entry(text).or_default();
        let mark = hex::encode(user_data);
        let known: Vec<KnownPart> = parts.iter().map(|(part, _)| part.clone()).collect();
        match fate(&known, number, &mark) {
            Fate::Past => return End::Past,
            Fate::KeptAlone => parts.clear(),
            Fate::Kept | Fate::Here => {}
        }
        if parts.iter().all(|(part, _)| part.number != number) {
            parts.push((KnownPart { number, mark, done: false }, piece));
        }
        if !too_long && parts.len() < total {
            return End::Waits;
        }
        parts.sort_by_key(|(part, _)| part.number);
        parts.iter_mut().for_each(|(part, _)| part.done = true);
        let pieces: Vec<Piece> = parts.iter().map(|(_, piece)| piece.clone()).collect();
        if too_long { End::TooLong } else { End::Whole(text_of(&pieces)) }
    }

    fn make_room(&mut self, newest: &LongText) {
        self.order.push_back(newest.clone());
        if self.order.len() > MOST_TEXTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.texts.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
