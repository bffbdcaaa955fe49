//! The queue in the gateway's own SQLite file: tables under the same contract as the broker, for a site of one machine.
//!
//! One writer gathers what many callers want and commits it together; a confirm is a commit.

mod consume;
mod holder;
mod tables;
mod writer;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::tables::Held;
use self::writer::{Work, Writer};
use super::delivery::{Consumer, Verdict};
use super::wake::WakeSocket;
use super::{Destination, Message, PATIENCE, PublishError, QueueConfig, QueueError, Source, is_source_name};

const JOBS: &str = "callback.jobs";
const BILLING: &str = "billing";
const LOG: &str = "callback.events.log";
const CONTROL: &str = "callback.control";

/// The queue on SQLite; clones share the writer.
#[derive(Clone)]
pub(super) struct SqliteQueue(Arc<Inner>);

struct Inner {
    work: mpsc::Sender<Work>,
    reader: SqlitePool,
    healthy: Arc<AtomicBool>,
    data: PathBuf,
    wake: watch::Sender<u64>,
    ears: Arc<OnceLock<PathBuf>>,
    listening: OnceLock<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(Some(listener)) = self.listening.get() {
            listener.abort();
        }
    }
}

impl SqliteQueue {
    pub(super) async fn open(config: &QueueConfig) -> Result<SqliteQueue, QueueError> {
        const ROOM: usize = 1024;
        let file = database_file(&config.url)?;
        let beside = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let data = if config.data_dir.as_os_str().is_empty() { beside.to_owned() } else { config.data_dir.clone() };
        let cannot = |error| QueueError::Config(format!("cannot make {}: {error}", beside.display()));
        crate::private::folder(beside).map_err(cannot)?;
        crate::store::make_private(&file).map_err(|error| QueueError::Unavailable(error.to_string()))?;
        let options = options(&file)?;
        let (work, todo) = mpsc::channel(ROOM);
        let wake = watch::Sender::new(0);
        let ears = Arc::new(OnceLock::new());
        let healthy = Arc::new(AtomicBool::new(true));
        let forget_after = Duration::from_secs(u64::from(config.log_days) * 86_400);
        let mut writer = Writer::open(options.clone(), config.max_length, forget_after).await.map_err(unavailable)?;
        for name in queues_of(config)? {
            writer.register(&name).await.map_err(unavailable)?;
        }
        writer.tell(wake.clone(), data.clone(), ears.clone(), healthy.clone());
        tokio::spawn(writer.run(todo));
        let reader = SqlitePoolOptions::new().max_connections(2).acquire_timeout(PATIENCE).connect_lazy_with(options);
        let listening = OnceLock::new();
        Ok(SqliteQueue(Arc::new(Inner { work, reader, healthy, data, wake, ears, listening })))
    }

    pub(super) async fn publish(&self, to: &Destination, message: &Message) -> Result<(), PublishError> {
        let work = |answer| Work::Publish { to: to.clone(), message: message.clone(), answer };
        match timeout(PATIENCE, self.ask(work)).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(PublishError::Unavailable("the writer has ended".to_owned())),
            Err(_) => Err(PublishError::Timeout),
        }
    }

    pub(super) async fn consume(&self, source: Source, prefetch: u16) -> Consumer {
        self.listen();
        if let (Source::Replies { .. }, Place::Queue(queue)) = (&source, place_of(&source)) {
            let registering = self.ask(|answer| Work::Register { queue, answer });
            if !matches!(timeout(PATIENCE, registering).await, Ok(Some(true))) {
                tracing::warn!(?source, "the queue could not be made; it is made at the next start");
            }
        }
        let queue = self.clone();
        let from = match source {
            Source::Tail | Source::Control => self.last_entry(&source).await,
            _ => 0,
        };
        Consumer::fed_by(prefetch, move |inbox, valve| {
            consume::Feed::new(queue, source, prefetch, inbox, from).run(valve)
        })
    }

    pub(super) async fn depth(&self, source: &Source) -> Result<u64, QueueError> {
        let mut connection = self.0.reader.acquire().await.map_err(unavailable)?;
        let count = match place_of(source) {
            Place::Queue(queue) => tables::waiting(&mut connection, &queue).await,
            Place::Stream(CONTROL) => Ok(0),
            Place::Stream(stream) => tables::log_length(&mut connection, stream).await,
        };
        count.map(|count| count.unsigned_abs()).map_err(unavailable)
    }

    pub(super) fn healthy(&self) -> bool {
        self.0.healthy.load(Ordering::SeqCst)
    }

    /// Makes the writer lose its connection, as a failing disk would.
    #[cfg(any(test, feature = "testkit"))]
    pub(super) async fn cut(&self) {
        self.ask(|answer| Work::Cut { answer }).await;
    }

    /// Hands work to the writer and waits for the commit; `None` if there is no writer any more.
    async fn ask<Answer>(&self, work: impl FnOnce(oneshot::Sender<Answer>) -> Work) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.0.work.send(work(answer)).await.ok()?;
        answered.await.ok()
    }

    /// From now on other processes can wake us.
    fn listen(&self) {
        self.0.listening.get_or_init(|| {
            let socket = match WakeSocket::bind(&self.0.data) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(%error, "no wake socket; messages of other processes are found by polling");
                    return None;
                }
            };
            let _ = self.0.ears.set(socket.path().to_owned());
            let wake = self.0.wake.clone();
            Some(tokio::spawn(async move {
                while socket.woken().await.is_ok() {
                    wake.send_modify(|count| *count += 1);
                }
            }))
        });
    }

    async fn last_entry(&self, source: &Source) -> i64 {
        let Place::Stream(stream) = place_of(source) else { return 0 };
        let Ok(mut connection) = self.0.reader.acquire().await else { return 0 };
        tables::last_entry(&mut connection, stream).await.unwrap_or(0)
    }
}

/// Where the messages of a source lie.
enum Place {
    Queue(String),
    Stream(&'static str),
}

fn place_of(source: &Source) -> Place {
    match source {
        Source::Jobs => Place::Queue(JOBS.to_owned()),
        Source::Dead => Place::Queue(tables::DEAD.to_owned()),
        Source::Replies { source } => Place::Queue(replies_of(source)),
        Source::Billing => Place::Queue(BILLING.to_owned()),
        Source::Log | Source::Tail => Place::Stream(LOG),
        Source::Control => Place::Stream(CONTROL),
    }
}

fn replies_of(source: &str) -> String {
    format!("callback.replies.{source}")
}

fn queues_of(config: &QueueConfig) -> Result<Vec<String>, QueueError> {
    let mut names = vec![JOBS.to_owned(), tables::DEAD.to_owned()];
    if config.billing_feed {
        names.push(BILLING.to_owned());
    }
    for source in &config.replies {
        if !is_source_name(source) {
            return Err(QueueError::Config(format!("replies: {source:?} is no name of a source")));
        }
        names.push(replies_of(source));
    }
    Ok(names)
}

fn database_file(url: &str) -> Result<PathBuf, QueueError> {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split('?').next().unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return Err(QueueError::Config("url: write sqlite:///path/to/ringback.db".to_owned()));
    }
    Ok(PathBuf::from(path))
}

fn options(file: &Path) -> Result<SqliteConnectOptions, QueueError> {
    let options = SqliteConnectOptions::from_str("sqlite:").map_err(unavailable)?;
    Ok(options
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON")
        .busy_timeout(Duration::from_secs(5)))
}

fn unavailable(error: sqlx::Error) -> QueueError {
    QueueError::Unavailable(error.to_string())
}

/// Milliseconds since 1970: for leases and ages, which may err by what the clock is set.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// How a delivery from SQLite is settled.
pub(super) struct SqliteReceipt {
    held: Held,
    work: mpsc::Sender<Work>,
}

impl SqliteReceipt {
    /// Returns once it is committed. The writer tries until it is.
    pub(super) async fn settle(self, verdict: Verdict) {
        let (answer, answered) = oneshot::channel();
        if self.work.send(Work::Settle { held: self.held, verdict, answer: Some(answer) }).await.is_ok() {
            let _ = answered.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::contract::{self, message};
    use crate::queue::{Delivery, Queue};

    const LIMIT: Duration = Duration::from_secs(20);

    fn settings(folder: &Path) -> QueueConfig {
        QueueConfig { url: format!("sqlite://{}", folder.join("ringback.db").display()), ..QueueConfig::default() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_contract_holds() {
        let folder = tempfile::tempdir().unwrap();
        contract::holds(|story| settings(&folder.path().join(story))).await;
    }

    #[tokio::test]
    async fn what_a_dead_process_held_comes_back_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(&settings(folder.path())).await.unwrap();
        queue.publish(&Destination::Jobs, &message("one")).await.unwrap();
        let mut jobs = queue.consume(&Source::Jobs, 1).await;
        let held = next(&mut jobs).await;
        give_to(folder.path(), "another-boot/pid:[1]/1/1/0").await;

        let again = next(&mut open_other(folder.path()).await).await;
        assert_eq!((again.id.as_str(), again.redelivered), ("one", true));
        held.ack().await; // it is in another hand by now
        assert_eq!(rows(folder.path()).await, 1, "an outdated ack removed what somebody else holds");
        again.ack().await;
        assert_eq!(rows(folder.path()).await, 0);
    }

    #[tokio::test]
    async fn another_process_is_woken_long_before_it_polls() {
        let folder = tempfile::tempdir().unwrap();
        let mut jobs = open_other(folder.path()).await;
        let queue = Queue::open(&settings(folder.path())).await.unwrap();
        let mut delays = Vec::new();
        for number in 0..9 {
            let begun = tokio::time::Instant::now();
            queue.publish(&Destination::Jobs, &message(&number.to_string())).await.unwrap();
            next(&mut jobs).await.ack().await;
            delays.push(begun.elapsed());
        }
        delays.sort();
        assert!(delays[4] < Duration::from_millis(100), "{delays:?}");
    }

    #[tokio::test]
    async fn an_idle_queue_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(&settings(folder.path())).await.unwrap();
        let mut jobs = queue.consume(&Source::Jobs, 4).await;
        let before = data_version(folder.path()).await;
        assert!(timeout(Duration::from_secs(2), jobs.next()).await.is_err());
        assert_eq!(data_version(folder.path()).await, before);
    }

    async fn open_other(folder: &Path) -> Consumer {
        Queue::open(&settings(folder)).await.unwrap().consume(&Source::Jobs, 1).await
    }

    async fn next(consumer: &mut Consumer) -> Delivery {
        timeout(LIMIT, consumer.next()).await.unwrap()
    }

    async fn plain(folder: &Path) -> SqlitePool {
        SqlitePool::connect_with(options(&folder.join("ringback.db")).unwrap()).await.unwrap()
    }

    async fn give_to(folder: &Path, holder: &str) {
        sqlx::query("UPDATE queue_messages SET holder = ?1").bind(holder).execute(&plain(folder).await).await.unwrap();
    }

    async fn rows(folder: &Path) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM queue_messages").fetch_one(&plain(folder).await).await.unwrap()
    }

    /// Size and age of the write-ahead log: they change with every write.
    async fn data_version(folder: &Path) -> (u64, SystemTime) {
        let wal = std::fs::metadata(folder.join("ringback.db-wal")).unwrap();
        (wal.len(), wal.modified().unwrap())
    }
}
