//! The jobs accepted a moment ago, for the time before an engine has taken them into the store.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::job::JobId;

/// How long a job is remembered at most.
const MEMORY: Duration = Duration::from_secs(900);
/// How many jobs are remembered at most; the oldest go first.
const CAPACITY: usize = 50_000;

/// What this process accepted lately. Bounded in time and number.
#[derive(Default)]
pub(super) struct Recent(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Confirmed jobs.
    accepted: HashMap<JobId, Kept>,
    /// Which job connects an account's two numbers; a job is here before it is confirmed.
    between: HashMap<String, JobId>,
    /// Confirmed jobs by age.
    order: VecDeque<(Instant, JobId)>,
}

struct Kept {
    /// Account, A and B.
    key: String,
    /// Account and sender.
    asker: String,
}

impl Recent {
    /// Whether this job was confirmed lately.
    pub(super) fn accepted(&self, job: &JobId) -> bool {
        self.lock().accepted.contains_key(job)
    }

    /// Another job for the same call.
    pub(super) fn other_between(&self, key: &str, job: &JobId) -> Option<JobId> {
        self.lock().between.get(key).filter(|other| *other != job).cloned()
    }

    /// The confirmed jobs of this asker.
    pub(super) fn of(&self, asker: &str) -> Vec<JobId> {
        let inner = self.lock();
        inner.accepted.iter().filter(|(_, kept)| kept.asker == asker).map(|(job, _)| job.clone()).collect()
    }

    /// Claims the call for this job; `None` if another job that is still being published has it.
    pub(super) fn reserve(&self, job: &JobId, key: &str, asker: &str) -> Option<Reserved<'_>> {
        let mut inner = self.lock();
        let holder = inner.between.get(key).filter(|other| *other != job);
        if holder.is_some_and(|other| !inner.accepted.contains_key(other)) {
            return None;
        }
        inner.between.insert(key.to_owned(), job.clone());
        Some(Reserved { recent: self, job: job.clone(), key: key.to_owned(), asker: asker.to_owned(), kept: false })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget_old();
        inner
    }
}

impl Inner {
    fn forget_old(&mut self) {
        while let Some((since, _)) = self.order.front() {
            if since.elapsed() < MEMORY && self.order.len() <= CAPACITY {
                break;
            }
            let Some((_, job)) = self.order.pop_front() else { break };
            if let Some(kept) = self.accepted.remove(&job) {
                self.release(&kept.key, &job);
            }
        }
    }

    fn release(&mut self, key: &str, job: &JobId) {
        if self.between.get(key) == Some(job) {
            self.between.remove(key);
        }
    }
}

/// A claim on a call, given back when it is dropped before [`Reserved::keep`].
pub(super) struct Reserved<'a> {
    recent: &'a Recent,
    job: JobId,
    key: String,
    asker: String,
    kept: bool,
}

impl Reserved<'_> {
    /// The job is confirmed.
    pub(super) fn keep(mut self) {
        self.kept = true;
        let mut inner = self.recent.lock();
        let kept = Kept { key: self.key.clone(), asker: self.asker.clone() };
        if inner.accepted.insert(self.job.clone(), kept).is_none() {
            inner.order.push_back((Instant::now(), self.job.clone()));
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let mut inner = self.recent.lock();
            if !inner.accepted.contains_key(&self.job) {
                inner.release(&self.key, &self.job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> JobId {
        JobId(name.to_owned())
    }

    #[test]
    fn a_call_is_one_jobs_until_its_publishing_fails() {
        let recent = Recent::default();
        let first = recent.reserve(&job("1"), "7 +44 +49", "7 me").unwrap();
        assert!(recent.reserve(&job("2"), "7 +44 +49", "7 me").is_none());
        assert!(!recent.accepted(&job("1")), "not confirmed yet");
        drop(first);
        let second = recent.reserve(&job("2"), "7 +44 +49", "7 me").unwrap();
        second.keep();
        assert!(recent.accepted(&job("2")));
        assert_eq!(recent.other_between("7 +44 +49", &job("3")), Some(job("2")));
        assert_eq!(recent.other_between("7 +44 +49", &job("2")), None);
        assert_eq!((recent.of("7 me"), recent.of("8 me")), (vec![job("2")], vec![]));
    }

    #[test]
    fn the_same_job_twice_at_once_is_no_other_job() {
        let recent = Recent::default();
        let first = recent.reserve(&job("1"), "k", "7 me").unwrap();
        let again = recent.reserve(&job("1"), "k", "7 me").unwrap();
        first.keep();
        drop(again);
        assert!(recent.accepted(&job("1")));
        assert_eq!(recent.other_between("k", &job("2")), Some(job("1")));
    }

    #[test]
    fn memory_is_bounded() {
        let recent = Recent::default();
        for n in 0..CAPACITY + 10 {
            recent.reserve(&job(&n.to_string()), &format!("key {n}"), "7 me").unwrap().keep();
        }
        assert!(!recent.accepted(&job("0")));
        assert!(recent.accepted(&job(&(CAPACITY + 9).to_string())));
        let inner = recent.lock();
        assert!(inner.accepted.len() <= CAPACITY && inner.between.len() <= CAPACITY);
    }
}
