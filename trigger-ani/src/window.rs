//! Calls of one number within a while become one callback. Pure: the moment is an argument. Bounded.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringback_common::job::JobId;

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
    /// What the calls became.
    jobs: HashMap<u64, JobId>,
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

    /// This call's claim.
    ///
    /// # Errors
    /// One of the numbers is another call's for a while yet: the job that it became, if it is decided.
    pub fn claim(&self, numbers: Vec<String>, now: Instant) -> Result<Claim<'_>, Option<JobId>> {
        let mut inner = self.lock();
        inner.forget(now, self.length);
        if let Some(owner) = numbers.iter().find_map(|number| inner.owners.get(number)) {
            return Err(inner.jobs.get(&owner.call).cloned());
        }
        inner.calls += 1;
        let owner = Owner { call: inner.calls, since: now };
        for number in &numbers {
            inner.owners.insert(number.clone(), owner);
            inner.order.push_back((number.clone(), owner));
        }
        Ok(Claim { windows: self, numbers, call: owner.call, kept: false })
    }

    /// This job called nobody: those of the numbers that are its are given back.
    pub fn release(&self, numbers: &[String], job: &JobId) {
        let mut inner = self.lock();
        for number in numbers {
            if inner.owners.get(number).is_some_and(|owner| inner.jobs.get(&owner.call) == Some(job)) {
                inner.owners.remove(number);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_of(&self, number: &str, call: u64) -> bool {
        self.owners.get(number).is_some_and(|owner| owner.call == call)
    }

    fn forget(&mut self, now: Instant, length: Duration) {
        while let Some((number, owner)) = self.order.front() {
            if now.saturating_duration_since(owner.since) < length && self.order.len() < MOST {
                break;
            }
            if self.owners.get(number) == Some(owner) {
                self.owners.remove(number);
            }
            self.jobs.remove(&owner.call);
            self.order.pop_front();
        }
    }
}

impl Claim<'_> {
    /// There is a callback: the numbers stay taken until the window is over, or [`Windows::release`].
    pub fn keep(mut self, job: JobId) {
        self.kept = true;
        let mut inner = self.windows.lock();
        if self.numbers.iter().any(|number| inner.is_of(number, self.call)) {
            inner.jobs.insert(self.call, job);
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let mut inner = self.windows.lock();
            for number in &self.numbers {
                if inner.is_of(number, self.call) {
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

    fn job(id: &str) -> JobId {
        JobId(id.to_owned())
    }

    #[test]
    fn one_call_has_a_number_for_a_window() {
        let (windows, start) = (Windows::new(Duration::from_secs(60)), Instant::now());
        windows.claim(numbers(&["a", "b"]), start).unwrap().keep(job("1"));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(windows.claim(numbers(&["a"]), at(1)).is_err());
        assert!(windows.claim(numbers(&["c", "b"]), at(59)).is_err());
        assert!(windows.claim(numbers(&["c"]), at(59)).is_ok(), "the one refused before it has taken nothing");
        assert!(windows.claim(numbers(&["a"]), at(60)).is_ok());
    }

    #[test]
    fn a_call_that_came_to_nothing_gives_its_numbers_back() {
        let (windows, start) = (Windows::new(Duration::from_secs(60)), Instant::now());
        let first = windows.claim(numbers(&["a"]), start).unwrap();
        assert!(windows.claim(numbers(&["a"]), start).is_err(), "not decided yet");
        drop(first);
        windows.claim(numbers(&["a"]), start).unwrap().keep(job("1"));
        assert!(windows.claim(numbers(&["a"]), start).is_err());
    }

    #[test]
    fn a_job_that_called_nobody_gives_its_numbers_back_and_no_others() {
        let (windows, start) = (Windows::new(Duration::from_secs(60)), Instant::now());
        let first = windows.claim(numbers(&["a"]), start).unwrap();
        assert_eq!(windows.claim(numbers(&["a"]), start).err(), Some(None), "not decided yet");
        first.keep(job("1"));
        assert_eq!(windows.claim(numbers(&["a"]), start).err(), Some(Some(job("1"))));
        windows.release(&numbers(&["a"]), &job("2"));
        assert!(windows.claim(numbers(&["a"]), start).is_err(), "another job's");
        windows.release(&numbers(&["a"]), &job("1"));
        let second = windows.claim(numbers(&["a"]), start + Duration::from_secs(30)).unwrap();
        windows.release(&numbers(&["a"]), &job("1"));
        assert!(windows.claim(numbers(&["a"]), start + Duration::from_secs(61)).is_err(), "the second has it");
        second.keep(job("2"));
        assert!(windows.claim(numbers(&["a"]), start + Duration::from_secs(90)).is_ok());
        assert!(windows.lock().jobs.is_empty());
    }

    #[test]
    fn no_window_collapses_nothing_and_memory_is_bounded() {
        let (none, start) = (Windows::new(Duration::ZERO), Instant::now());
        none.claim(numbers(&["a"]), start).unwrap().keep(job("1"));
        assert!(none.claim(numbers(&["a"]), start).is_ok());
        let (first, later) = (none.claim(numbers(&["a"]), start).unwrap(), none.claim(numbers(&["b"]), start));
        first.keep(job("1"));
        drop(later);
        assert!(none.lock().jobs.is_empty(), "the window was over before the job was");
        let windows = Windows::new(Duration::from_secs(60));
        for n in 0..MOST + 10 {
            windows.claim(vec![n.to_string()], start).unwrap().keep(job("1"));
        }
        let inner = windows.lock();
        assert!(inner.order.len() <= MOST && inner.owners.len() <= MOST && inner.jobs.len() <= MOST);
    }
}
