//! How the people of a plan behave when their phones ring: drawn, printed, and handed to the phones.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use crate::phone::{Challenge, Manner};

/// The user of the trunks, and the password that some phones ask for.
pub const TRUNK: (&str, &str) = ("gw", "knock knock");

/// What comes of one ringing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    /// Picks up.
    Answer,
    /// Says this code.
    Refuse(u16),
    /// Never picks up; has this word in the instant of our CANCEL, if any.
    Ring(Option<u16>),
    /// The trunk cannot carry it, before anybody's phone rings.
    Unreachable(u16),
    /// Not one byte.
    Dead,
}

/// One ringing of one phone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conduct {
    word: Word,
    after: Duration,
    hangs_up: Option<Duration>,
    lost_acks: u32,
    doubles: bool,
    challenge: Option<u16>,
}

/// Around [`super::plan::NO_ANSWER`]: the picking up and our CANCEL meet.
const JUST_THEN: std::ops::Range<u64> = 7_700..8_300;

impl Conduct {
    /// Of a first party.
    pub fn of_a(dice: &mut Dice) -> Conduct {
        let word = dice.weighed(&[
            (46, Word::Answer),
            (9, Word::Refuse(486)),
            (4, Word::Refuse(603)),
            (3, Word::Refuse(403)),
            (2, Word::Refuse(404)),
            (10, Word::Ring(None)),
            (9, Word::Ring(Some(200))),
            (9, Word::Ring(Some(603))),
            (5, Word::Unreachable(503)),
            (3, Word::Dead),
        ]);
        let hangs_up = match dice.within(0..10) {
            0..2 => Some(dice.time(200..3_000)), // while B rings
            2..6 => Some(dice.time(3_000..20_000)),
            _ => None,
        };
        Conduct::with(dice, word, hangs_up)
    }

    /// Of a second party.
    pub fn of_b(dice: &mut Dice) -> Conduct {
        let word = dice.weighed(&[
            (68, Word::Answer),
            (6, Word::Refuse(486)),
            (5, Word::Refuse(603)),
            (7, Word::Ring(None)),
            (4, Word::Ring(Some(200))),
            (3, Word::Ring(Some(603))),
            (5, Word::Unreachable(503)),
            (2, Word::Dead),
        ]);
        let hangs_up = dice.percent(70).then(|| dice.time(500..20_000));
        Conduct::with(dice, word, hangs_up)
    }

    fn with(dice: &mut Dice, word: Word, hangs_up: Option<Duration>) -> Conduct {
        let after = if dice.percent(10) { dice.time(JUST_THEN) } else { dice.span(150..7_000) };
        Conduct {
            word,
            after,
            hangs_up,
            lost_acks: if dice.percent(15) { dice.within(1..4) as u32 } else { 0 },
            doubles: dice.percent(20),
            challenge: dice.percent(10).then(|| dice.one(&[401, 407])),
        }
    }

    /// The same as the phones know it. Their people say little: what is heard is judged elsewhere.
    pub fn manner(&self) -> Manner {
        let mut manner = match self.word {
            Word::Answer => Manner::answers(self.after),
            Word::Refuse(code) => Manner::refuses(self.after, code),
            Word::Ring(None) => Manner::rings_for_ever(),
            Word::Ring(Some(code)) => Manner::rings_for_ever().crosses_cancel_with(code),
            Word::Unreachable(code) => Manner::refuses(Duration::from_millis(50), code).without_ringing(),
            Word::Dead => Manner::dead(),
        };
        manner = manner.mute().heeds_expires().loses_acks(self.lost_acks);
        if let Some(after) = self.hangs_up {
            manner = manner.hangs_up_after(after);
        }
        if self.doubles {
            manner = manner.says_everything_twice();
        }
        match self.challenge {
            Some(code) => manner.asks(Challenge::new(code, TRUNK.0, TRUNK.1)),
            None => manner,
        }
    }
}

impl fmt::Display for Conduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.as_secs_f32();
        match self.word {
            Word::Answer => write!(f, "200 after {after:.1}")?,
            Word::Refuse(code) => write!(f, "{code} after {after:.1}")?,
            Word::Ring(None) => write!(f, "rings")?,
            Word::Ring(Some(code)) => write!(f, "{code} across CANCEL")?,
            Word::Unreachable(code) => write!(f, "{code} at once")?,
            Word::Dead => write!(f, "dead")?,
        }
        if let Some(after) = self.hangs_up {
            write!(f, ", up for {:.1}", after.as_secs_f32())?;
        }
        if self.lost_acks > 0 {
            write!(f, ", {} ACKs lost", self.lost_acks)?;
        }
        if let Some(code) = self.challenge {
            write!(f, ", behind {code}")?;
        }
        if self.doubles { write!(f, ", twice") } else { Ok(()) }
    }
}
