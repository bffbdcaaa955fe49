//! What is remembered of a mailbox from one connection to the next: mails for others, mails that have to wait, and the one in hand,
//! so that a mail on which the connection broke does not come first again. Pure: the moment is an argument.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// When a mail that cannot be taken now is tried again; doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(40);
/// The longest pause for a mail that the connection broke on, or that the server does not hand out.
const LONGEST_BREAK: Duration = Duration::from_secs(640);
/// Mails that are remembered of each kind.
const MOST: usize = 10_000;

/// A mailbox, by the numbers (UIDs) that its server gives.
#[derive(Default)]
pub struct Memory {
    validity: Option<u32>,
    others: BTreeSet<u32>,
    later: BTreeMap<u32, Later>,
    in_hand: Option<u32>,
}

struct Later {
    then: Instant,
    tries: u32,
}

impl Memory {
    /// The mailbox was opened. When its numbers have begun anew, what was remembered of them is worth nothing. True: the last
    /// connection broke on a mail, which is put off.
    pub fn opened(&mut self, validity: Option<u32>, now: Instant) -> bool {
        if self.validity != validity {
            *self = Memory { validity, ..Memory::default() };
        }
        let broken = self.in_hand.take();
        if let Some(uid) = broken {
            self.stumbled(uid, now);
        }
        broken.is_some()
    }

    /// Which of these to try now: what was never tried, then what has waited longest.
    pub fn due(&mut self, found: &BTreeSet<u32>, now: Instant) -> Vec<u32> {
        self.others.retain(|uid| found.contains(uid));
        self.later.retain(|uid, _| found.contains(uid));
        let fresh = found.iter().filter(|uid| !self.others.contains(uid) && !self.later.contains_key(uid));
        let mut waited: Vec<(Instant, u32)> = self.later.iter().map(|(uid, later)| (later.then, *uid)).collect();
        waited.retain(|(then, _)| *then <= now);
        waited.sort_unstable();
        fresh.copied().chain(waited.into_iter().map(|(_, uid)| uid)).collect()
    }

    /// How long until one of those that wait is due.
    pub fn next(&self, now: Instant) -> Option<Duration> {
        self.later.values().map(|later| later.then.saturating_duration_since(now)).min()
    }

    /// This one is about to be asked for, or put away.
    pub fn begin(&mut self, uid: u32) {
        self.in_hand = Some(uid);
    }

    /// That went well.
    pub fn end(&mut self) {
        self.in_hand = None;
    }

    /// It is gone from the mailbox.
    pub fn forget(&mut self, uid: u32) {
        self.later.remove(&uid);
    }

    /// It is for somebody else.
    pub fn is_for_another(&mut self, uid: u32) {
        self.later.remove(&uid);
        if self.others.len() < MOST {
            self.others.insert(uid);
        }
    }

    /// It cannot be taken now.
    pub fn waits(&mut self, uid: u32, now: Instant) {
        self.put_off(uid, now, LONGEST_WAIT);
    }

    /// It cannot be had from the server.
    pub fn stumbled(&mut self, uid: u32, now: Instant) {
        self.put_off(uid, now, LONGEST_BREAK);
    }

    fn put_off(&mut self, uid: u32, now: Instant, longest: Duration) {
        let tries = self.later.get(&uid).map_or(0, |later| later.tries);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries)).min(longest);
        if tries > 0 || self.later.len() < MOST {
            self.later.insert(uid, Later { then: now + pause, tries: tries + 1 });
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn opened(now: Instant) -> Memory {
        let mut memory = Memory::default();
        assert!(!memory.opened(Some(1), now));
        memory
    }

    #[test]
    fn what_has_to_wait_lets_the_others_pass() {
        let now = Instant::now();
        let mut memory = opened(now);
        let found = BTreeSet::from([1, 2, 3, 4, 5]);
        assert_eq!(memory.due(&found, now), [1, 2, 3, 4, 5]);
        for uid in [2, 1, 3] {
            memory.waits(uid, now + secs(u64::from(uid)));
        }
        assert_eq!(memory.due(&found, now), [4, 5]);
        assert_eq!(memory.next(now), Some(secs(6)));
        assert_eq!(memory.due(&found, now + secs(7)), [4, 5, 1, 2], "new ones first, then who waited longest");
        memory.waits(1, now + secs(7));
        assert_eq!(memory.due(&found, now + secs(16)), [4, 5, 2, 3], "a second pause is longer");
        memory.is_for_another(4);
        memory.forget(2);
        assert_eq!(memory.due(&BTreeSet::from([3, 4, 5]), now + secs(16)), [5, 3]);
        assert_eq!(memory.next(now + secs(16)), Some(secs(0)), "what has gone is not waited for");
    }

    #[test]
    fn a_mail_that_breaks_the_connection_comes_last_and_ever_more_seldom() {
        let mut now = Instant::now();
        let mut memory = opened(now);
        let found = BTreeSet::from([1, 2]);
        for pause in [5, 10, 20, 40, 80, 160, 320, 640, 640] {
            memory.begin(1);
            assert!(memory.opened(Some(1), now), "it is known after the connection is new");
            assert_eq!(memory.due(&found, now), [2]);
            assert_eq!(memory.due(&found, now + secs(pause - 1)), [2], "{pause}");
            now += secs(pause);
            assert_eq!(memory.due(&found, now), [2, 1], "{pause}");
        }
        memory.begin(1);
        memory.end();
        assert!(!memory.opened(Some(1), now), "it went well at last");
    }

    #[test]
    fn other_numbers_are_other_mails() {
        let now = Instant::now();
        let mut memory = opened(now);
        memory.is_for_another(1);
        memory.waits(2, now);
        memory.begin(3);
        let found = BTreeSet::from([1, 2, 3]);
        assert!(!memory.opened(Some(2), now));
        assert_eq!(memory.due(&found, now), [1, 2, 3]);
        memory.is_for_another(1);
        assert!(!memory.opened(Some(2), now));
        assert_eq!(memory.due(&found, now), [2, 3], "the same numbers mean what they meant");
    }

    #[test]
    fn memory_is_bounded_however_many_wait() {
        let now = Instant::now();
        let mut memory = opened(now);
        for uid in 0..3 * u32::try_from(MOST).unwrap() {
            memory.waits(uid, now);
            memory.is_for_another(uid + 1_000_000);
        }
        assert!(memory.later.len() <= MOST && memory.others.len() <= MOST);
    }
}
