//! Where steps wait that somebody else's open transaction is in the way of: each is tried alone, again and again, on one connection
//! for all of them. So whoever locks a row holds up its own call and nobody else's, and one backend waits, however many there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::backend::{Backend, PATIENCE, too_late};
use super::error::StoreError;
use super::postgres::Line;
use super::writer::Numbered;
use super::{Store, sqlite};
use crate::job::JobId;

/// Steps here at most; then the writer waits.
const PLACES: usize = 1024;
/// Milliseconds for one step to get its row.
const LOCKED_MS: u32 = 20;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(100);

/// The way in.
#[derive(Clone, Debug)]
pub struct Aside {
    door: mpsc::Sender<Numbered>,
    jobs: Arc<Mutex<HashMap<JobId, usize>>>,
}

impl Aside {
    /// Steps that are put here are written by a task of their own, which ends with the last of them.
    pub fn open(store: Store) -> Aside {
        let (door, arriving) = mpsc::channel(PLACES);
        let jobs = Arc::default();
        tokio::spawn(work(store, arriving, Arc::clone(&jobs)));
        Aside { door, jobs }
    }

    /// Whether a step of this job waits here: a later one has to come behind it.
    pub fn has(&self, job: &JobId) -> bool {
        count(&self.jobs).contains_key(job)
    }

    /// Takes a step in.
    pub async fn put(&self, numbered: Numbered) {
        *count(&self.jobs).entry(numbered.step.job.clone()).or_default() += 1;
        let _ = self.door.send(numbered).await; // the task outlives the door
    }
}

fn count(jobs: &Mutex<HashMap<JobId, usize>>) -> MutexGuard<'_, HashMap<JobId, usize>> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn work(store: Store, mut arriving: mpsc::Receiver<Numbered>, jobs: Arc<Mutex<HashMap<JobId, usize>>>) {
    let (mut line, mut waiting) = (Line::waiting(LOCKED_MS), Vec::new());
    while let Some(first) = arriving.recv().await {
        waiting.push(first);
        while !waiting.is_empty() {
            while waiting.len() < PLACES
                && let Ok(next) = arriving.try_recv()
            {
                waiting.push(next);
            }
            waiting = round(&store, &mut line, waiting, &jobs).await;
            if !waiting.is_empty() {
                sleep(PAUSE).await;
            }
        }
        line.hang_up();
    }
}

/// Tries each once, those of one job in their order; answers those that still wait.
async fn round(
    store: &Store,
    line: &mut Line,
    steps: Vec<Numbered>,
    jobs: &Mutex<HashMap<JobId, usize>>,
) -> Vec<Numbered> {
    let (mut waiting, mut away): (Vec<Numbered>, bool) = (Vec::new(), false);
    for numbered in steps {
        if away || waiting.iter().any(|other| other.step.job == numbered.step.job) {
            waiting.push(numbered);
            continue;
        }
        let alone = std::slice::from_ref(&numbered);
        let answer = timeout(PATIENCE, async {
            match &store.inner.backend {
                Backend::Sqlite(db) => sqlite::write_steps(db, alone).await,
                Backend::Postgres(db) => line.write_steps(db, alone).await,
            }
        });
        let answer = store.note(answer.await.unwrap_or_else(|_| Err(too_late())));
        if let Err(StoreError::Unavailable(_)) = answer {
            away = true;
            line.hang_up();
        }
        match answer {
            Err(StoreError::Locked(_) | StoreError::Unavailable(_)) => waiting.push(numbered),
            answer => {
                forget(jobs, &numbered.step.job);
                numbered.tell(store, answer.map(|answers| answers[0]));
            }
        }
    }
    waiting
}

fn forget(jobs: &Mutex<HashMap<JobId, usize>>, job: &JobId) {
    let mut jobs = count(jobs);
    if let Some(left) = jobs.get_mut(job) {
        *left -= 1;
        if *left == 0 {
            jobs.remove(job);
        }
    }
}
