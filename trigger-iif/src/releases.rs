//! RELEASEs on their way to the store. Nobody repeats a RELEASE, for it is not answered: while the store is away it waits here, and
//! keeps no REQUEST from the desk. Bounded in number, and the rows that it writes in rate.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringback_common::intake::Intake;
use ringback_common::job::JobId;
use ringback_common::knock::Buckets;
use ringback_common::store::StoreError;
use tokio::sync::Notify;

use crate::desk::tell;
use crate::judge::Release;

/// As many wait for the store.
const MOST_WAITING: usize = 1_000;
/// The pause before the store is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// A RELEASE may overtake its REQUEST, so one of a call that nobody knows is written down too: so many of an application server
/// at once, and so many a second on average.
const MOST_AHEAD: u32 = 100;
const AHEAD_PER_SECOND: f64 = 1.0;

/// So long, and so many at most, are REQUESTs remembered that heard nothing: as long as a job lasts, and it is asked for again.
const MEMORY: Duration = Duration::from_secs(900);
const MOST_UNANSWERED: usize = 10_000;

/// RELEASEs that are to be carried out.
#[derive(Default)]
pub struct Releases {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    all: VecDeque<Release>,
    /// REQUESTs that nobody has decided on yet; not more than there are hands at the desk.
    undecided: HashMap<JobId, Undecided>,
    unanswered: Unanswered,
    closed: bool,
}

/// The same REQUEST, perhaps more than once at a time.
#[derive(Default)]
struct Undecided {
    times: usize,
    /// The RELEASE that came behind it.
    then: Option<Release>,
}

/// REQUESTs that heard nothing, because store or queue did not answer: their jobs may be on the queue all the same, or will be when
/// they are asked for again. A RELEASE is not ahead of them.
#[derive(Default)]
struct Unanswered {
    jobs: HashSet<JobId>,
    order: VecDeque<(Instant, JobId)>,
}

impl Unanswered {
    fn keep(&mut self, job: &JobId, now: Instant) {
        if self.jobs.insert(job.clone()) {
            self.order.push_back((now, job.clone()));
        }
        self.forget_old(now);
    }

    fn has(&mut self, job: &JobId, now: Instant) -> bool {
        self.forget_old(now);
        self.jobs.contains(job)
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= MEMORY;
        while self.order.front().is_some_and(|(since, _)| is_old(*since)) || self.order.len() > MOST_UNANSWERED {
            let Some((_, job)) = self.order.pop_front() else { return };
            self.jobs.remove(&job);
        }
    }
}

/// What became of one.
enum Met {
    Done,
    TooManyAhead,
}

impl Releases {
    /// A REQUEST for this job is in hand from now on.
    pub fn asked(&self, job: &JobId) {
        self.waiting().undecided.entry(job.clone()).or_default().times += 1;
    }

    /// It is known what became of it, or nobody could say and it was not answered: the RELEASE that came behind it goes its way.
    pub fn decided(&self, job: &JobId, is_answered: bool) {
        let mut waiting = self.waiting();
        if !is_answered {
            waiting.unanswered.keep(job, Instant::now());
        }
        let Some(request) = waiting.undecided.get_mut(job) else { return };
        request.times -= 1;
        let (then, is_last) = (request.then.take(), request.times == 0);
        if is_last {
            waiting.undecided.remove(job);
        }
        if let Some(release) = then {
            self.line_up(waiting, release);
        }
    }

    /// Takes one more; the same one only once. Right behind its REQUEST it first waits for that: until the queue has confirmed the
    /// job nobody knows it, and the RELEASE would count as one ahead of its REQUEST.
    pub fn take(&self, release: Release) {
        let mut waiting = self.waiting();
        match waiting.undecided.get_mut(&release.job) {
            Some(request) => request.then = Some(release),
            None => self.line_up(waiting, release),
        }
    }

    fn line_up(&self, mut waiting: MutexGuard<'_, Waiting>, release: Release) {
        if waiting.all.contains(&release) {
            return tell("RELEASE", "accepted", "again");
        }
        if waiting.all.len() >= MOST_WAITING {
            tell("RELEASE", "unavailable", "too_many");
            return tracing::error!(job = %release.job, "a release is lost: too many wait for the store");
        }
        waiting.all.push_back(release);
        self.changed.notify_one();
    }

    /// No more come: what is there is tried once more, and is lost if the store is away.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_one();
    }

    /// Carries them out, in the order in which they came, until closed.
    pub async fn carry_out(&self, intake: &Intake) {
        let ahead = Mutex::new(Buckets::new(MOST_AHEAD, AHEAD_PER_SECOND));
        self.each(|release| {
            let is_asked_for = self.waiting().unanswered.has(&release.job, Instant::now());
            end(intake, release, is_asked_for, &ahead)
        })
        .await;
    }

    async fn each<Ending>(&self, end: impl Fn(Release) -> Ending)
    where
        Ending: Future<Output = Result<Met, StoreError>>,
    {
        loop {
            let Some(release) = self.next().await else { return };
            match end(release).await {
                Ok(met) => {
                    self.waiting().all.pop_front();
                    match met {
                        Met::Done => tell("RELEASE", "accepted", ""),
                        Met::TooManyAhead => tell("RELEASE", "ignored", "too_many_ahead"),
                    }
                }
                Err(_) if self.waiting().closed => return self.lose(),
                Err(error) => {
                    tracing::warn!("releases wait for the store: {error}");
                    self.pause().await;
                }
            }
        }
    }

    /// The first of those that wait; `None`: there is none and will be none.
    async fn next(&self) -> Option<Release> {
        loop {
            {
                let waiting = self.waiting();
                if waiting.closed || !waiting.all.is_empty() {
                    return waiting.all.front().cloned();
                }
            }
            self.changed.notified().await;
        }
    }

    /// Until the store may be asked again, or there is no more time.
    async fn pause(&self) {
        let end = tokio::time::sleep(PAUSE);
        let closed = async {
            while !self.waiting().closed {
                self.changed.notified().await;
            }
        };
        tokio::select! {
            () = end => {}
            () = closed => {}
        }
    }

    fn lose(&self) {
        for Release { job, .. } in self.waiting().all.drain(..) {
            tell("RELEASE", "unavailable", "");
            tracing::error!(%job, "a release is lost: the store was away until we stopped");
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a call, or sees to it that it never begins.
async fn end(
    intake: &Intake,
    release: Release,
    is_asked_for: bool,
    ahead: &Mutex<Buckets<String>>,
) -> Result<Met, StoreError> {
    let Release { job, by } = release;
    let ahead = || ahead.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_asked_for && !intake.knows(&job).await? && ahead().take(by.clone(), Instant::now()).is_err() {
        return Ok(Met::TooManyAhead);
    }
    let met = intake.cancel(&job).await.inspect_err(|_| ahead().give_back(&by))?;
    tracing::info!(%job, ?met, "released");
    Ok(Met::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringback_common::config::{Config, RetentionConfig};
    use ringback_common::intake::Rules;
    use ringback_common::queue::{Queue, QueueConfig};
    use ringback_common::secret::SiteKey;
    use ringback_common::store::{Store, StoreConfig};

    fn release(n: usize) -> Release {
        Release { job: JobId(format!("job{n}")), by: "one".to_owned() }
    }

    #[test]
    fn the_same_one_waits_once_and_not_more_than_so_many_wait() {
        let releases = Releases::default();
        for n in (0..2 * MOST_WAITING).chain(0..5) {
            releases.take(release(n));
        }
        assert_eq!(releases.waiting().all.len(), MOST_WAITING);
        assert_eq!(releases.waiting().all.front(), Some(&release(0)), "those that came first");
    }

    #[test]
    fn right_behind_its_request_it_waits_until_that_is_decided() {
        let releases = Releases::default();
        let job = release(0).job;
        releases.asked(&job);
        releases.asked(&job);
        releases.take(release(0));
        releases.take(release(1));
        assert_eq!(releases.waiting().all, [release(1)], "another call's waits for nothing");
        releases.decided(&job, true);
        assert_eq!(releases.waiting().all, [release(1), release(0)]);
        releases.decided(&job, true);
        assert!(releases.waiting().undecided.is_empty());
        releases.take(release(0));
        assert_eq!(releases.waiting().all.len(), 2);
    }

    #[tokio::test]
    async fn while_the_store_is_away_they_wait_in_order_and_what_is_left_at_the_end_is_lost() {
        let (releases, tried) = (Releases::default(), Mutex::new(Vec::new()));
        for n in 0..4 {
            releases.take(release(n));
        }
        let away = || Err(StoreError::Unavailable("gone".to_owned()));
        let ending = |release: Release| {
            let mut tried = tried.lock().unwrap();
            tried.push(release.job.0);
            let answer = match tried.len() {
                1 | 2 => away(),
                3 | 4 => Ok(Met::Done),
                _ => {
                    releases.close();
                    away()
                }
            };
            async { answer }
        };
        releases.each(ending).await;
        assert_eq!(*tried.lock().unwrap(), ["job0", "job0", "job0", "job1", "job2"]);
        assert!(releases.waiting().all.is_empty(), "each is told, and the shutdown waits for none");
    }

    async fn intake(folder: &tempfile::TempDir) -> (Store, Intake) {
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url.clone())).await.unwrap();
        let data_dir = folder.path().to_owned();
        let queue = Queue::open(&QueueConfig { url, data_dir, ..QueueConfig::default() }).await.unwrap();
        let rules = Rules::from(&Config::defaults(folder.path()));
        (store.clone(), Intake::new(store, queue, SiteKey::from_bytes([7; 32]), rules))
    }

    #[tokio::test]
    async fn behind_a_request_that_heard_nothing_none_is_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let (store, intake) = intake(&folder).await;
        let (releases, all) = (Releases::default(), 3 * MOST_AHEAD as usize);
        for n in 0..all {
            let job = release(n).job;
            releases.asked(&job);
            releases.take(release(n));
            releases.decided(&job, false);
        }
        releases.close();
        releases.carry_out(&intake).await;
        let later = chrono::Utc::now() + chrono::TimeDelta::days(9);
        assert_eq!(store.purge(later, &RetentionConfig::default()).await.unwrap().cancels, all as u64);
    }

    #[test]
    fn requests_that_heard_nothing_are_remembered_for_a_while_and_not_without_bound() {
        let (start, mut unanswered) = (Instant::now(), Unanswered::default());
        unanswered.keep(&release(0).job, start);
        assert!(unanswered.has(&release(0).job, start + MEMORY / 2));
        assert!(!unanswered.has(&release(0).job, start + MEMORY));
        for n in 0..MOST_UNANSWERED + 10 {
            unanswered.keep(&release(n).job, start);
        }
        assert_eq!((unanswered.jobs.len(), unanswered.order.len()), (MOST_UNANSWERED, MOST_UNANSWERED));
        assert!(!unanswered.has(&release(9).job, start) && unanswered.has(&release(10).job, start));
    }

    #[tokio::test]
    async fn those_ahead_of_their_request_are_bounded_in_rate() {
        let folder = tempfile::tempdir().unwrap();
        let (store, intake) = intake(&folder).await;
        let releases = Releases::default();
        for n in 0..5 * MOST_AHEAD as usize {
            releases.take(release(n));
        }
        releases.close();
        releases.carry_out(&intake).await;
        let later = |days| chrono::Utc::now() + chrono::TimeDelta::days(days);
        let keep = RetentionConfig::default();
        assert_eq!(store.purge(later(7), &keep).await.unwrap().cancels, 0);
        let written = store.purge(later(9), &keep).await.unwrap().cancels;
        assert!((100..200).contains(&written), "{written} rows, and they go");
    }
}
