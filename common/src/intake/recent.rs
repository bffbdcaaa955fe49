//! The jobs accepted a moment ago, for the time before an engine has taken them into the store.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::job::JobId;
use crate::store::Confirmed;

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
    /// Jobs that may have no row yet, confirmed or just being published, by account and whether they only ask; oldest first.
    unseen: HashMap<Used, VecDeque<Confirmed>>,
}

/// Whose limits a job counts for: the account, and whether it only asks.
pub(super) type Used = (i64, bool);

/// What is to be remembered of a job.
#[derive(Clone)]
pub(super) struct Kept {
    /// Account, A and B.
    pub(super) key: String,
    /// Account and sender.
    pub(super) asker: String,
    /// `None`: an account without limits.
    pub(super) used: Option<Used>,
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
    pub(super) fn reserve(&self, wanted: Confirmed, kept: Kept) -> Option<Reserved<'_>> {
        let (mut inner, job) = (self.lock(), wanted.job.clone());
        let holder = inner.between.get(&kept.key).filter(|other| **other != job);
        if holder.is_some_and(|other| !inner.accepted.contains_key(other)) {
            return None;
        }
        inner.between.insert(kept.key.clone(), job.clone());
        if let Some(used) = kept.used {
            let unseen = inner.unseen.entry(used).or_default();
            if unseen.iter().all(|other| other.job != job) {
                unseen.push_back(wanted);
            }
        }
        Some(Reserved { recent: self, job, kept, is_kept: false })
    }

    /// The jobs of this account that came before this one and may have no row yet.
    pub(super) fn unseen_before(&self, job: &JobId, used: Used) -> Vec<Confirmed> {
        let inner = self.lock();
        let unseen = inner.unseen.get(&used).into_iter().flatten();
        unseen.take_while(|other| other.job != *job).cloned().collect()
    }

    /// These have rows.
    pub(super) fn seen(&self, jobs: &[JobId], used: Used) {
        let mut inner = self.lock();
        jobs.iter().for_each(|job| inner.see(job, Some(used)));
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
                self.see(&job, kept.used);
            }
        }
    }

    fn see(&mut self, job: &JobId, used: Option<Used>) {
        let Some(used) = used else { return };
        let Some(unseen) = self.unseen.get_mut(&used) else { return };
        if let Some(place) = unseen.iter().position(|other| other.job == *job) {
            unseen.remove(place);
        }
        if unseen.is_empty() {
            self.unseen.remove(&used);
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
    kept: Kept,
    is_kept: bool,
}

impl Reserved<'_> {
    /// The job is confirmed.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
        let mut inner = self.recent.lock();
        if inner.accepted.insert(self.job.clone(), self.kept.clone()).is_none() {
            inner.order.push_back((Instant::now(), self.job.clone()));
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let mut inner = self.recent.lock();
            if !inner.accepted.contains_key(&self.job) {
                inner.release(&self.kept.key, &self.job);
                inner.see(&self.job, self.kept.used);
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

    fn reserve<'a>(recent: &'a Recent, name: &str, key: &str) -> Option<Reserved<'a>> {
        let kept = Kept { key: key.to_owned(), asker: "7 me".to_owned(), used: Some((7, false)) };
        recent.reserve(Confirmed { job: job(name), b: None, due: true }, kept)
    }

    #[test]
    fn a_call_is_one_jobs_until_its_publishing_fails() {
        let recent = Recent::default();
        let first = reserve(&recent, "1", "7 +44 +49").unwrap();
        assert!(reserve(&recent, "2", "7 +44 +49").is_none());
        assert!(!recent.accepted(&job("1")), "not confirmed yet");
        drop(first);
        let second = reserve(&recent, "2", "7 +44 +49").unwrap();
        second.keep();
        assert!(recent.accepted(&job("2")));
        assert_eq!(recent.other_between("7 +44 +49", &job("3")), Some(job("2")));
        assert_eq!(recent.other_between("7 +44 +49", &job("2")), None);
        assert_eq!((recent.of("7 me"), recent.of("8 me")), (vec![job("2")], vec![]));
    }

    #[test]
    fn the_same_job_twice_at_once_is_no_other_job() {
        let recent = Recent::default();
        let first = reserve(&recent, "1", "k").unwrap();
        let again = reserve(&recent, "1", "k").unwrap();
        first.keep();
        drop(again);
        assert!(recent.accepted(&job("1")));
        assert_eq!(recent.other_between("k", &job("2")), Some(job("1")));
    }

    #[test]
    fn a_job_counts_from_its_reservation_until_it_has_a_row() {
        let recent = Recent::default();
        let before = |name: &str| {
            let unseen = recent.unseen_before(&job(name), (7, false));
            unseen.into_iter().map(|one| one.job.0).collect::<Vec<_>>().concat()
        };
        let [first, second, third] = ["1", "2", "3"].map(|name| reserve(&recent, name, name).unwrap());
        assert_eq!(
            (before("1"), before("2"), before("3"), before("4")),
            ("".into(), "1".into(), "12".into(), "123".into())
        );
        first.keep();
        drop(second);
        third.keep();
        assert_eq!(before("4"), "13");
        recent.seen(&[job("1")], (7, false));
        assert_eq!(before("4"), "3");
        assert!(recent.unseen_before(&job("4"), (8, false)).is_empty(), "another account's");
    }

    #[test]
    fn memory_is_bounded() {
        let recent = Recent::default();
        for n in 0..CAPACITY + 10 {
            reserve(&recent, &n.to_string(), &format!("key {n}")).unwrap().keep();
            recent.seen(&[job(&n.to_string())], (7, false));
        }
        assert!(!recent.accepted(&job("0")));
        assert!(recent.accepted(&job(&(CAPACITY + 9).to_string())));
        let inner = recent.lock();
        assert!(inner.accepted.len() <= CAPACITY && inner.between.len() <= CAPACITY);
    }
}
