//! The only one who writes: gathers what is wanted, does it in one transaction, and answers when that is on disk.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::tables::{self, Claimed, Held, Put};
use super::{BILLING, CONTROL, JOBS, LOG, holder, now_ms, replies_of};
use crate::failpoint::failpoint;
use crate::queue::delivery::Verdict;
use crate::queue::wake::wake_others;
use crate::queue::{Destination, Message, PublishError};

/// How long a delivery stays with a consumer of which nothing is heard.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// Something to write.
pub(super) enum Work {
    Publish {
        to: Destination,
        message: Message,
        answer: oneshot::Sender<Result<(), PublishError>>,
    },
    Claim {
        queue: String,
        holder: String,
        limit: u32,
        answer: oneshot::Sender<Vec<Claimed>>,
    },
    Settle {
        held: Held,
        verdict: Verdict,
        answer: Option<oneshot::Sender<()>>,
    },
    Register {
        queue: String,
        answer: oneshot::Sender<bool>,
    },
    /// Renew our own lease and take back what the dead left.
    Tend {
        queue: String,
        holder: String,
        answer: oneshot::Sender<bool>,
    },
    /// Find out whether writing works again.
    Probe,
    #[cfg(any(test, feature = "testkit"))]
    Cut {
        answer: oneshot::Sender<()>,
    },
}

/// What came of a piece of work, told once it is committed.
enum Outcome {
    Put(Put),
    Logged,
    Claimed(Vec<Claimed>),
    Settled {
        back: bool,
    },
    Registered,
    Tended {
        released: usize,
    },
    Probed,
    #[cfg(any(test, feature = "testkit"))]
    Cut,
}

impl Outcome {
    /// Whether somebody may now find a message.
    fn wakes(&self) -> bool {
        match self {
            Outcome::Put(put) => *put == Put::Done,
            Outcome::Logged => true,
            Outcome::Settled { back } => *back,
            Outcome::Tended { released } => *released > 0,
            _ => false,
        }
    }
}

pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    max_length: u32,
    forget_after: Duration,
    forget_next: Instant,
    unsettled: VecDeque<Work>,
    bell: Option<Bell>,
}

struct Bell {
    wake: watch::Sender<u64>,
    data: PathBuf,
    ears: Arc<OnceLock<PathBuf>>,
    healthy: Arc<AtomicBool>,
}

impl Writer {
    pub(super) async fn open(
        options: SqliteConnectOptions,
        max_length: u32,
        forget_after: Duration,
    ) -> sqlx::Result<Writer> {
        let mut connection = options.connect().await?;
        tables::migrate(&mut connection).await?;
        Ok(Writer {
            options,
            connection: Some(connection),
            max_length,
            forget_after,
            forget_next: Instant::now(),
            unsettled: VecDeque::new(),
            bell: None,
        })
    }

    pub(super) async fn register(&mut self, queue: &str) -> sqlx::Result<()> {
        let max_length = self.max_length;
        tables::register(self.connected().await?, queue, max_length).await
    }

    pub(super) fn tell(
        &mut self,
        wake: watch::Sender<u64>,
        data: PathBuf,
        ears: Arc<OnceLock<PathBuf>>,
        healthy: Arc<AtomicBool>,
    ) {
        self.bell = Some(Bell { wake, data, ears, healthy });
    }

    /// Runs until nobody can ask any more.
    pub(super) async fn run(mut self, mut todo: mpsc::Receiver<Work>) {
        const ENOUGH: usize = 256;
        loop {
            let mut batch: Vec<Work> = self.unsettled.drain(..).collect();
            let broken = !self.healthy();
            let pause = match (batch.is_empty(), broken) {
                (true, false) => Duration::from_secs(600),
                (true, true) => Duration::from_millis(500),
                (false, _) => Duration::from_millis(100),
            };
            match tokio::time::timeout(pause, todo.recv_many(&mut batch, ENOUGH)).await {
                Ok(0) if batch.is_empty() => return,
                _ if batch.is_empty() && broken => batch.push(Work::Probe),
                _ => {}
            }
            self.do_together(batch).await;
            self.forget_the_old().await;
        }
    }

    fn healthy(&self) -> bool {
        self.bell.as_ref().is_none_or(|bell| bell.healthy.load(Ordering::SeqCst))
    }

    async fn do_together(&mut self, batch: Vec<Work>) {
        if batch.is_empty() {
            return;
        }
        match self.commit(&batch).await {
            Ok(outcomes) => self.answer(batch, outcomes),
            Err(error) if batch.len() > 1 => {
                tracing::debug!(%error, size = batch.len(), "a batch failed; each by itself now");
                for work in batch {
                    self.do_alone(work).await;
                }
            }
            Err(error) => batch.into_iter().for_each(|work| self.refuse(work, &error)),
        }
    }

    async fn do_alone(&mut self, work: Work) {
        let one = vec![work];
        match self.commit(&one).await {
            Ok(outcomes) => self.answer(one, outcomes),
            Err(error) => one.into_iter().for_each(|work| self.refuse(work, &error)),
        }
    }

    /// Everything or nothing. After an error the connection is opened anew, which also rolls back.
    async fn commit(&mut self, batch: &[Work]) -> sqlx::Result<Vec<Outcome>> {
        let max_length = self.max_length;
        let connection = self.connected().await?;
        let done = async {
            tables::begin(connection).await?;
            let mut outcomes = Vec::with_capacity(batch.len());
            for work in batch {
                outcomes.push(work.perform(connection, max_length).await?);
            }
            tables::commit(connection).await?;
            Ok(outcomes)
        }
        .await;
        if done.is_err()
            && let Some(broken) = self.connection.take()
        {
            let _ = broken.close().await;
        }
        done
    }

    fn answer(&mut self, batch: Vec<Work>, outcomes: Vec<Outcome>) {
        if let Some(bell) = &self.bell {
            bell.healthy.store(true, Ordering::SeqCst);
            if outcomes.iter().any(Outcome::wakes) {
                bell.wake.send_modify(|count| *count += 1);
                wake_others(&bell.data, bell.ears.get().map(PathBuf::as_path));
            }
        }
        for (work, outcome) in batch.into_iter().zip(outcomes) {
            work.answer(outcome, self.max_length);
        }
    }

    /// A verdict on a delivery is kept and tried again: else the message would stay in a hand that is empty.
    fn refuse(&mut self, work: Work, error: &sqlx::Error) {
        if let Some(bell) = &self.bell
            && bell.healthy.swap(false, Ordering::SeqCst)
        {
            tracing::error!(%error, "the queue's tables cannot be written; look at the disk and its permissions");
        }
        match work {
            Work::Publish { answer, .. } => {
                let _ = answer.send(Err(PublishError::Unavailable(error.to_string())));
            }
            Work::Settle { held, verdict, answer } => {
                self.unsettled.push_back(Work::Settle { held, verdict, answer });
            }
            Work::Claim { answer, .. } => drop(answer.send(Vec::new())),
            Work::Register { answer, .. } | Work::Tend { answer, .. } => drop(answer.send(false)),
            Work::Probe => {}
            #[cfg(any(test, feature = "testkit"))]
            Work::Cut { answer } => drop(answer.send(())),
        }
    }

    async fn connected(&mut self) -> sqlx::Result<&mut SqliteConnection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = self.options.connect().await?;
                tables::migrate(&mut connection).await?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    async fn forget_the_old(&mut self) {
        const EVERY: Duration = Duration::from_secs(600);
        const CONTROL_LIVES: Duration = Duration::from_secs(60);
        if Instant::now() < self.forget_next {
            return;
        }
        self.forget_next = Instant::now() + EVERY;
        let log = self.forget_after;
        let Ok(connection) = self.connected().await else { return };
        for (stream, age) in [(LOG, log), (CONTROL, CONTROL_LIVES)] {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            if let Err(error) = tables::forget(connection, stream, now_ms().saturating_sub(age)).await {
                tracing::warn!(%error, stream, "old entries could not be removed; trying again later");
                self.connection = None;
                return;
            }
        }
    }
}

impl Work {
    async fn perform(&self, connection: &mut SqliteConnection, max_length: u32) -> sqlx::Result<Outcome> {
        let lease_until_ms = now_ms().saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX));
        match self {
            Work::Publish { to, message, .. } => publish(connection, to, message).await,
            Work::Claim { queue, holder, limit, .. } => {
                tables::claim(connection, queue, holder, lease_until_ms, *limit).await.map(Outcome::Claimed)
            }
            Work::Settle { held, verdict, .. } => {
                match verdict {
                    Verdict::Done => tables::remove(connection, held).await?,
                    Verdict::Dead => tables::bury(connection, held, "rejected").await?,
                    Verdict::Again => tables::put_back(connection, held).await?,
                }
                Ok(Outcome::Settled { back: *verdict != Verdict::Done })
            }
            Work::Register { queue, .. } => {
                tables::register(connection, queue, max_length).await.map(|()| Outcome::Registered)
            }
            Work::Tend { queue, holder, .. } => {
                tables::renew(connection, holder, lease_until_ms).await?;
                let released = release_the_dead(connection, queue, holder).await?;
                Ok(Outcome::Tended { released })
            }
            Work::Probe => tables::probe(connection).await.map(|()| Outcome::Probed),
            #[cfg(any(test, feature = "testkit"))]
            Work::Cut { .. } => {
                tables::rollback(connection).await?;
                Ok(Outcome::Cut)
            }
        }
    }

    fn answer(self, outcome: Outcome, max_length: u32) {
        match (self, outcome) {
            (Work::Publish { to, answer, .. }, outcome) => {
                written(&to);
                let _ = answer.send(confirmed(&to, &outcome, max_length));
            }
            (Work::Claim { answer, .. }, Outcome::Claimed(claimed)) => drop(answer.send(claimed)),
            (Work::Claim { answer, .. }, _) => drop(answer.send(Vec::new())),
            (Work::Settle { answer, .. }, _) => drop(answer.map(|answer| answer.send(()))),
            (Work::Register { answer, .. } | Work::Tend { answer, .. }, _) => drop(answer.send(true)),
            (Work::Probe, _) => {}
            #[cfg(any(test, feature = "testkit"))]
            (Work::Cut { answer }, _) => drop(answer.send(())),
        }
    }
}

async fn publish(connection: &mut SqliteConnection, to: &Destination, message: &Message) -> sqlx::Result<Outcome> {
    let now = now_ms();
    let queue = match to {
        Destination::Jobs => JOBS.to_owned(),
        Destination::Replies { source } => replies_of(source),
        Destination::Billing { .. } => BILLING.to_owned(),
        Destination::Log { routing_key } => {
            return tables::append(connection, LOG, routing_key, message, now).await.map(|()| Outcome::Logged);
        }
        Destination::Control => {
            return tables::append(connection, CONTROL, "control", message, now).await.map(|()| Outcome::Logged);
        }
    };
    tables::put(connection, &queue, message, now).await.map(Outcome::Put)
}

fn confirmed(to: &Destination, outcome: &Outcome, max_length: u32) -> Result<(), PublishError> {
    match outcome {
        Outcome::Put(Put::Full) => Err(PublishError::Refused(format!("it holds {max_length} messages already"))),
        Outcome::Put(Put::NoSuchQueue) => {
            if *to == Destination::Jobs {
                failpoint("trig.returned");
            }
            Err(PublishError::Unroutable(format!("{to:?}")))
        }
        _ => Ok(()),
    }
}

async fn release_the_dead(connection: &mut SqliteConnection, queue: &str, ourselves: &str) -> sqlx::Result<usize> {
    let now = now_ms();
    let mut released = 0;
    for (name, lease_until) in tables::holders(connection, queue).await? {
        if name != ourselves && (lease_until < now || holder::is_gone(&name)) {
            let messages = tables::release(connection, queue, &name).await?;
            tracing::info!(queue, messages, "took back what a consumer left behind");
            released += messages;
        }
    }
    Ok(released)
}

fn written(to: &Destination) {
    if *to == Destination::Jobs {
        failpoint("trig.published_no_confirm");
    }
}
