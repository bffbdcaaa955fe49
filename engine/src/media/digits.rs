//! Keys pressed by a caller: one digit per key press, however often the packets about it come, or do not come.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Ms;
use super::packet::{Header, TelephoneEvent};

/// A key of which nothing more was heard for so long has been let go.
const LOST_END: Ms = 250;

/// Hears the keys of one leg.
#[derive(Clone, Debug, Default)]
pub struct Ear {
    current: Option<Press>,
}

#[derive(Clone, Debug)]
struct Press {
    ssrc: u32,
    /// Where the newest segment starts; a press longer than 65,535 units goes on in another.
    timestamp: u32,
    before: u32,
    event: TelephoneEvent,
    heard: Ms,
    told: bool,
}

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// The key.
    pub digit: char,
    /// For how long, as far as was heard.
    pub ms: u32,
}

impl Ear {
    /// One more packet about a key. A digit comes out when the key is let go, or when the next one shows that it was.
    pub fn hear(&mut self, header: &Header, event: TelephoneEvent, now: Ms) -> Option<Digit> {
        let Some(press) = &mut self.current else {
            return self.begin(header, event, now, None);
        };
        if press.ssrc != header.ssrc {
            let lost = press.tell();
            return self.begin(header, event, now, lost);
        }
        let ahead = header.timestamp.wrapping_sub(press.timestamp);
        if ahead == 0xFFFF && press.event.code == event.code && !header.marker && !press.told {
            press.before = press.before.saturating_add(0xFFFF);
            press.timestamp = header.timestamp;
            press.event.duration = 0;
        } else if ahead >= 1 << 31 {
            return None; // about an earlier key, overtaken
        } else if ahead > 0 {
            let lost = press.tell();
            return self.begin(header, event, now, lost);
        }
        press.heard = now;
        press.event.duration = press.event.duration.max(event.duration);
        if event.end { press.tell() } else { None }
    }

    /// A key whose end was lost comes out after a while.
    pub fn tick(&mut self, now: Ms) -> Option<Digit> {
        let press = self.current.as_mut()?;
        (now.saturating_sub(press.heard) >= LOST_END).then(|| press.tell())?
    }

    /// Another key. If the one before it comes out only now, this one waits for its next packet or for the tick.
    fn begin(&mut self, header: &Header, event: TelephoneEvent, now: Ms, lost: Option<Digit>) -> Option<Digit> {
        let press = self.current.insert(Press {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            before: 0,
            event,
            heard: now,
            told: false,
        });
        lost.or_else(|| if event.end { press.tell() } else { None })
    }
}

impl Press {
    fn tell(&mut self) -> Option<Digit> {
        let units = self.before.saturating_add(u32::from(self.event.duration));
        let first = !std::mem::replace(&mut self.told, true);
        first.then(|| Digit { digit: TelephoneEvent::digit(self.event.code), ms: units / 8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(ear: &mut Ear, timestamp: u32, code: u8, end: bool, duration: u16, now: Ms) -> Option<(char, u32)> {
        let header = Header { marker: false, payload_type: 101, sequence: 0, timestamp, ssrc: 5, payload: 12..16 };
        ear.hear(&header, TelephoneEvent { code, end, duration }, now).map(|digit| (digit.digit, digit.ms))
    }

    #[test]
    fn rtp_17_three_end_packets_are_one_digit() {
        let mut ear = Ear::default();
        for duration in [160, 320, 480] {
            assert_eq!(hear(&mut ear, 1_000, 5, false, duration, 0), None);
        }
        assert_eq!(hear(&mut ear, 1_000, 5, true, 800, 0), Some(('5', 100)));
        assert_eq!(hear(&mut ear, 1_000, 5, true, 800, 0), None);
        assert_eq!(hear(&mut ear, 1_000, 5, true, 800, 0), None);
        assert_eq!(ear.tick(10_000), None);
        assert_eq!(hear(&mut ear, 3_000, 5, true, 800, 0), Some(('5', 100)), "the same key again is another digit");
    }

    #[test]
    fn rtp_17_a_lost_end_is_one_digit() {
        let mut ear = Ear::default();
        assert_eq!(hear(&mut ear, 1_000, 11, false, 160, 0), None);
        assert_eq!(ear.tick(249), None);
        assert_eq!(ear.tick(250), Some(Digit { digit: '#', ms: 20 }));
        assert_eq!(ear.tick(500), None);
        assert_eq!(hear(&mut ear, 1_000, 11, true, 800, 600), None, "the end comes late after all");
    }

    #[test]
    fn rtp_17_the_next_key_ends_the_one_before() {
        let mut ear = Ear::default();
        assert_eq!(hear(&mut ear, 1_000, 1, false, 400, 0), None);
        assert_eq!(hear(&mut ear, 2_000, 2, false, 160, 0), Some(('1', 50)));
        assert_eq!(hear(&mut ear, 1_000, 1, true, 800, 0), None, "overtaken");
        assert_eq!(hear(&mut ear, 2_000, 2, true, 800, 0), Some(('2', 100)));
    }

    #[test]
    fn rtp_17_a_key_held_over_the_wrap_of_its_duration() {
        let mut ear = Ear::default();
        assert_eq!(hear(&mut ear, 1_000, 9, false, 0xFFFF, 0), None);
        assert_eq!(hear(&mut ear, 1_000 + 0xFFFF, 9, false, 160, 0), None);
        assert_eq!(hear(&mut ear, 1_000 + 0xFFFF, 9, true, 1_601, 0), Some(('9', 8_392)));
        assert_eq!(hear(&mut ear, 1_000 + 0xFFFF, 9, true, 1_601, 0), None);
    }

    #[test]
    fn two_keys_of_which_only_single_packets_came_are_two_digits() {
        let mut ear = Ear::default();
        assert_eq!(hear(&mut ear, 1_000, 1, false, 400, 0), None);
        assert_eq!(hear(&mut ear, 2_000, 2, true, 160, 0), Some(('1', 50)));
        assert_eq!(ear.tick(250), Some(Digit { digit: '2', ms: 20 }));
    }

    #[test]
    fn a_duration_that_wraps_within_itself_is_still_one_digit() {
        let mut ear = Ear::default();
        assert_eq!(hear(&mut ear, 1_000, 3, false, 65_500, 0), None);
        assert_eq!(hear(&mut ear, 1_000, 3, false, 124, 0), None, "a phone that does not know of segments");
        assert!(hear(&mut ear, 1_000, 3, true, 284, 0).is_some());
        assert_eq!(hear(&mut ear, 1_000, 3, true, 284, 0), None);
    }
}
