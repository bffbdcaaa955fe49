//! Calls of one number within a while become one callback. Pure: the moment is an argument. Bounded.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// As many numbers are remembered; the oldest go first.
const MOST: usize = 50_000;

/// The numbers that called lately.
pub struct Windows {
    length: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Which call a number belongs to, and since when.
    owners: HashMap<String, Owner>,
    /// The same by age.
    order: VecDeque<(String, Owner)>,
    calls: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner {
    call: u64,
    since: Instant,
}

/// A call has these numbers to itself for a while. They are given back when it is dropped before [`Claim::keep`].
pub struct Claim<'a> {
    windows: &'a Windows,
    numbers: Vec<String>,
    call: u64,
    kept: bool,
}

impl Windows {
    /// Windows of this length.
    pub fn new(length: Duration) -> Windows {
        Windows { length, inner: Mutex::default() }
    }

    /// This call's claim; `None`: one of the numbers is another call's for a while yet.
    pub fn claim(&self, numbers: Vec<String>, now: Instant) -> Option<Claim<'_>> {
        let mut inner = self.lock();
        inner.forget(now, self.length);
        if numbers.iter().any(|number| inner.owners.contains_key(number)) {
            return None;
        }
        inner.calls += 1;
        let owner = Owner { call: inner.calls, since: now };
        for number in &numbers {
            inner.owners.insert(number.clone(), owner);
            inner.order.push_back((number.clone(), owner));
        }
        Some(Claim { windows: self, numbers, call: owner.call, kept: false })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self, now: Instant, length: Duration) {
        while let Some((number, owner)) = self.order.front() {
            if now.saturating_duration_since(owner.since) < length && self.order.len() < MOST {
                break;
            }
            if self.owners.get(number) == Some(owner) {
                self.owners.remove(number);
            }
            self.order.pop_front();
        }
    }
}

impl Claim<'_> {
    /// There is a callback: the numbers stay taken until the window is over.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let mut inner = self.windows.lock();
            for number in &self.numbers {
                if inner.owners.get(number).is_some_and(|owner| owner.call == self.call) {
                    inner.owners.remove(number);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn numbers(of: &[&str]) -> Vec<String> {
        of.iter().map(|number| (*number).to_owned()).collect()
    }

    #[test]
    fn one_call_has_a_number_for_a_window() {
        let (windows, start) = (Windows::new(Duration::from_secs(60)), Instant::now());
        windows.claim(numbers(&["a", "b"]), start).unwrap().keep();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(windows.claim(numbers(&["a"]), at(1)).is_none());
        assert!(windows.claim(numbers(&["c", "b"]), at(59)).is_none());
        assert!(windows.claim(numbers(&["c"]), at(59)).is_some(), "the one refused before it has taken nothing");
        assert!(windows.claim(numbers(&["a"]), at(60)).is_some());
    }

    #[test]
    fn a_call_that_came_to_nothing_gives_its_numbers_back() {
        let (windows, start) = (Windows::new(Duration::from_secs(60)), Instant::now());
        let first = windows.claim(numbers(&["a"]), start).unwrap();
        assert!(windows.claim(numbers(&["a"]), start).is_none(), "not decided yet");
        drop(first);
        windows.claim(numbers(&["a"]), start).unwrap().keep();
        assert!(windows.claim(numbers(&["a"]), start).is_none());
    }

    #[test]
    fn no_window_collapses_nothing_and_memory_is_bounded() {
        let (none, start) = (Windows::new(Duration::ZERO), Instant::now());
        none.claim(numbers(&["a"]), start).unwrap().keep();
        assert!(none.claim(numbers(&["a"]), start).is_some());
        let windows = Windows::new(Duration::from_secs(60));
        for n in 0..MOST + 10 {
            windows.claim(vec![n.to_string()], start).unwrap().keep();
        }
        let inner = windows.lock();
        assert!(inner.order.len() <= MOST && inner.owners.len() <= MOST);
    }
}
