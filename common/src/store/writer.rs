//! The writer: gathers the steps of many calls, writes them in one transaction, tells each call its own answer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::aside::Aside;
use super::backend::Backend;
use super::error::StoreError;
use super::step::{Outlet, Step, Stepped};
use super::{Store, postgres, sqlite};
use crate::pace::Pace;

/// Steps that wait at most; whoever comes later waits for a place (back-pressure).
const QUEUE: usize = 1024;
/// Steps in one transaction at most.
const BATCH: usize = 64;
/// Above this many steps a second the writer waits a moment for company: a round trip costs the same for one step and for ten.
const BUSY_PER_SECOND: f64 = 50.0;
/// That moment, longer the more steps there are: a phone rings after seconds, so nobody misses these milliseconds. It grows with
/// the square of the pace, so that who is a little busy waits little, and who is very busy wakes database and phones seldom.
const LINGER: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));
/// From this many steps a second on it is the longest.
const VERY_BUSY_PER_SECOND: f64 = 500.0;
/// Steps are counted for so long.
const WINDOW: Duration = Duration::from_millis(200);
/// No answer to a batch in this time: the connection is given up and the batch run again.
const PATIENCE: Duration = Duration::from_secs(6);
/// Milliseconds that a batch waits for a row that somebody else has locked. Then its steps go aside, and the next batch its way.
const LOCKED_MS: u32 = 100;
/// Between two tries while the database is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Numbers the steps of this process. A row remembers the last number of its epoch, so a step that is run twice writes once.
static LAST_STEP: AtomicI64 = AtomicI64::new(0);

/// Writes steps. Cheap to clone; one per engine process, so that the steps of one call keep their order.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    step: Step,
    answer: oneshot::Sender<Result<Stepped, StoreError>>,
}

/// A step that the writer has begun with.
#[derive(Debug)]
pub struct Numbered {
    /// Above every earlier one of this process.
    pub number: i64,
    pub step: Step,
    answer: oneshot::Sender<Result<Stepped, StoreError>>,
}

impl Numbered {
    /// Tells whoever waits for it.
    pub fn tell(self, store: &Store, answer: Result<Stepped, StoreError>) {
        match &answer {
            Ok(_) => {
                for outlet in Outlet::ALL {
                    if self.step.events.iter().any(|event| event.destination == outlet) {
                        store.note_outbox_written(outlet);
                    }
                }
            }
            Err(error) => tracing::error!(job = %self.step.job, %error, "a step was refused by the store"),
        }
        let _ = self.answer.send(answer);
    }
}

impl Store {
    /// The writer of this engine. While the database is away it tries again until it is back; callers time out by themselves.
    /// Ends when its last clone is gone.
    pub fn writer(&self) -> Writer {
        let (queue, arriving) = mpsc::channel(QUEUE);
        let write = Write {
            store: self.clone(),
            line: postgres::Line::waiting(LOCKED_MS),
            pace: Pace::new(WINDOW, Instant::now().into_std()),
            aside: Aside::open(self.clone()),
        };
        tokio::spawn(write.run(arriving));
        Writer { queue }
    }
}

impl Writer {
    /// Resolves when the step is durable, or says why it was not written. A caller that stops waiting may find it written or
    /// not: written for certain only if the writer had begun with it.
    pub async fn step(&self, step: Step) -> Result<Stepped, StoreError> {
        check(&step)?;
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::Unavailable("the writer has ended".to_owned());
        self.queue.send(Waiting { step, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn check(step: &Step) -> Result<(), StoreError> {
    let invalid = |text: &str| Err(StoreError::Invalid(format!("job {}: {text}", step.job)));
    if step.postings.is_none() && !step.settlements.is_empty() {
        return invalid("a charge without an account");
    }
    if step.settlements.iter().any(|settled| settled.cost.0 < 0) {
        return invalid("a cost below zero");
    }
    if step.postings.is_some_and(|postings| postings.from.0 < 0 || postings.to.0 < 0) {
        return invalid("a hold below zero");
    }
    Ok(())
}

/// Draws the number, unless nobody waits for the step any more.
fn begin(waiting: Waiting) -> Option<Numbered> {
    let number = || LAST_STEP.fetch_add(1, Ordering::Relaxed) + 1;
    let Waiting { step, answer } = waiting;
    (!answer.is_closed()).then(|| Numbered { number: number(), step, answer })
}

struct Write {
    store: Store,
    line: postgres::Line,
    pace: Pace,
    aside: Aside,
}

impl Write {
    async fn run(mut self, mut arriving: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(first) = arriving.recv().await {
            let first_came = Instant::now();
            batch.extend(begin(first));
            if let Some(linger) = linger(self.pace.per_second()) {
                sleep_until(first_came + linger).await;
            }
            while batch.len() < BATCH {
                let Ok(next) = arriving.try_recv() else { break };
                batch.extend(begin(next));
            }
            self.pace.count(batch.len(), Instant::now().into_std());
            for behind in batch.extract_if(.., |numbered| self.aside.has(&numbered.step.job)) {
                self.aside.put(behind).await;
            }
            self.commit(&mut batch).await;
        }
    }

    /// Answers every step of the batch and leaves it empty.
    async fn commit(&mut self, batch: &mut Vec<Numbered>) {
        if batch.is_empty() {
            return;
        }
        match self.write_until_answered(batch).await {
            Ok(answers) => {
                for (waiting, answer) in batch.drain(..).zip(answers) {
                    waiting.tell(&self.store, Ok(answer));
                }
            }
            Err(StoreError::Locked(reason)) => {
                tracing::debug!(%reason, steps = batch.len(), "somebody has locked a row: its step waits aside");
                for waiting in batch.drain(..) {
                    self.aside.put(waiting).await;
                }
            }
            Err(error) if batch.len() == 1 => {
                for waiting in batch.drain(..) {
                    waiting.tell(&self.store, Err(error.clone()));
                }
            }
            Err(_) => {
                for waiting in std::mem::take(batch) {
                    let mut alone = vec![waiting];
                    Box::pin(self.commit(&mut alone)).await;
                }
            }
        }
    }

    /// Tries until the database says yes or no. A batch whose COMMIT was not answered is run again: what had been written
    /// answers `Done` by its number.
    async fn write_until_answered(&mut self, batch: &[Numbered]) -> Result<Vec<Stepped>, StoreError> {
        let mut pause = BACKOFF.0;
        loop {
            let answer = timeout(PATIENCE, self.write(batch)).await.unwrap_or_else(|_| {
                Err(StoreError::Unavailable(format!("no answer to a transaction within {} s", PATIENCE.as_secs())))
            });
            match self.store.note(answer) {
                Err(StoreError::Unavailable(reason)) => {
                    self.line.hang_up();
                    tracing::warn!(%reason, steps = batch.len(), "the store does not answer; trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(BACKOFF.1);
                }
                answer => return answer,
            }
        }
    }

    async fn write(&mut self, steps: &[Numbered]) -> Result<Vec<Stepped>, StoreError> {
        match &self.store.inner.backend {
            Backend::Sqlite(db) => sqlite::write_steps(db, steps).await,
            Backend::Postgres(db) => self.line.write_steps(db, steps).await,
        }
    }
}

/// How long the writer waits for company at so many steps a second.
fn linger(per_second: f64) -> Option<Duration> {
    let (shortest, longest) = LINGER;
    let share = (per_second / VERY_BUSY_PER_SECOND).min(1.0);
    (per_second > BUSY_PER_SECOND).then(|| longest.mul_f64(share * share).max(shortest))
}

/// Writes one step as if the answer to its first COMMIT had been lost.
#[cfg(any(test, feature = "testkit"))]
pub async fn write_twice(store: &Store, step: Step) -> [Stepped; 2] {
    let (answer, _answered) = oneshot::channel();
    let batch: Vec<Numbered> = begin(Waiting { step, answer }).into_iter().collect();
    let mut write = Write {
        store: store.clone(),
        line: postgres::Line::waiting(LOCKED_MS),
        pace: Pace::new(WINDOW, Instant::now().into_std()),
        aside: Aside::open(store.clone()),
    };
    let first = write.write(&batch).await.expect("the store answers");
    write.line.hang_up();
    let second = write.write(&batch).await.expect("the store answers");
    [first[0], second[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_there_is_to_do_the_longer_it_waits_for_company() {
        let waits = |per_second| linger(per_second).unwrap_or_default().as_millis();
        assert_eq!([0.0, 100.0, 250.0, 500.0, 5_000.0].map(waits), [0, 2, 5, 20, 20]);
    }
}
