//! The queue between triggers and engine: one type, two kinds behind it (RabbitMQ and SQLite), one contract test.
//!
//! Transport, never memory: a job is a wish until the store owns it. Whoever publishes counts only `Ok(())` as accepted;
//! whoever consumes expects every message at least once, perhaps twice, with the same id.

mod amqp;
#[cfg(any(test, feature = "testkit"))]
pub mod contract;
mod delivery;
mod sqlite;
mod wake;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use delivery::{Consumer, Delivery};

/// How long a connect, a publish or a confirm may take before it counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// A message is delivered again at most this often; then it is a dead letter.
pub const DELIVERY_LIMIT: i64 = 20;

/// The settings of the queue (`[queue]` of the configuration).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// `sqlite:///var/lib/ringback/ringback.db`, or `amqp://user:password@host:5672/vhost`; the nodes of a cluster are
    /// separated by commas.
    pub url: String,
    /// Where the password in the URL was read from.
    pub password_file: PathBuf,
    /// Put before the name of every exchange and queue on RabbitMQ, for several gateways on one virtual host.
    pub prefix: String,
    /// Declare exchanges and queues on RabbitMQ. Off when the user may not (least privilege); an operator does it then.
    pub declare: bool,
    /// A queue that holds this many messages refuses more.
    pub max_length: u32,
    /// How many deliveries a consumer of ours holds unsettled at most.
    pub prefetch: u16,
    /// Days that the event log is kept.
    pub log_days: u32,
    /// Declare the queue `billing` and feed it with whatever moves money. Set from `[billing.feed]`.
    pub billing_feed: bool,
    /// The sources whose reply queues exist from the start, so that no reply is lost while its trigger is down.
    pub replies: Vec<String>,
    /// SQLite: where the wake sockets lie. Empty: beside the database file.
    pub data_dir: PathBuf,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig {
            url: "sqlite://data/ringback.db".to_owned(),
            password_file: PathBuf::new(),
            prefix: String::new(),
            declare: true,
            max_length: 100_000,
            prefetch: 64,
            log_days: 30,
            billing_feed: false,
            replies: vec!["sms".to_owned(), "email".to_owned()],
            data_dir: PathBuf::new(),
        }
    }
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To the engines: `callback.jobs`.
    Jobs,
    /// Back to the trigger that asked: `callback.replies.<source>`.
    Replies {
        /// The `source` of the job.
        source: String,
    },
    /// For the billing system: `callback.events` with key `cdr.<leg>`.
    Billing {
        /// `a` or `b` for a CDR, `balance` for money that moved outside a call.
        leg: String,
    },
    /// The event log, kept for replay: `callback.events` with a key `request.*`, `leg.*`, `balance.*` or `log.*`.
    Log {
        /// `request.talking`, `leg.ringing`, `log.cdr.a`, ...
        routing_key: String,
    },
    /// To every engine that listens now: `callback.control`. Heard by nobody is no error.
    Control,
}

/// Where messages come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Jobs for the engines; competing consumers.
    Jobs,
    /// What was rejected or delivered too often.
    Dead,
    /// Replies for one trigger; competing replicas.
    Replies {
        /// The name of the trigger: `sms`, `web`, ...
        source: String,
    },
    /// CDRs and balances; only with `billing_feed`.
    Billing,
    /// The event log from its oldest kept entry. Every consumer reads all of it; settling does not remove.
    Log,
    /// The event log from now on.
    Tail,
    /// What is said to every engine from now on.
    Control,
}

/// One message, as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The id of the event in it; a repeat keeps it. At most 255 bytes.
    pub id: String,
    /// The type of the event in it: `ringback.job.v1`. At most 255 bytes.
    pub kind: String,
    /// A CloudEvents envelope as JSON.
    pub body: Bytes,
}

/// Why the queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The settings make no sense.
    #[error("[queue] {0}")]
    Config(String),
    /// The broker or the database does not answer now; try again.
    #[error("the queue does not answer: {0}; check [queue] url and that the broker runs")]
    Unavailable(String),
}

/// Why a message is not on the queue. All but `Invalid` may be tried again, with the same id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue is full, or the broker said no: try again later, less often.
    #[error("the queue refused the message: {0}")]
    Refused(String),
    /// No queue is there to take it.
    #[error("no queue takes the message: {0}; it must be declared first (docs/queues.md)")]
    Unroutable(String),
    /// No connection now.
    #[error("the queue does not answer: {0}")]
    Unavailable(String),
    /// No confirm within [`PATIENCE`]; the message may or may not be there.
    #[error("the queue did not confirm within {} s", PATIENCE.as_secs())]
    Timeout,
    /// This message can never be published.
    #[error("the message cannot be published: {0}")]
    Invalid(String),
}

/// A handle on the queue; clones share its connections.
#[derive(Clone)]
pub struct Queue {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Amqp(amqp::AmqpQueue),
    Sqlite(sqlite::SqliteQueue),
}

impl Queue {
    /// Opens the queue. A broker that is away is no error: the connection is made when it is back. A database file that
    /// cannot be opened is one.
    pub async fn open(config: &QueueConfig) -> Result<Queue, QueueError> {
        let kind = match config.url.split_once(':').map(|(scheme, _)| scheme) {
            Some("amqp" | "amqps") => Kind::Amqp(amqp::AmqpQueue::open(config).await?),
            Some("sqlite") => Kind::Sqlite(sqlite::SqliteQueue::open(config).await?),
            _ => return Err(QueueError::Config("url must begin with amqp://, amqps:// or sqlite://".to_owned())),
        };
        Ok(Queue { kind })
    }

    /// Publishes one message; `Ok` means that it is on disk at the queue.
    pub async fn publish(&self, to: &Destination, message: &Message) -> Result<(), PublishError> {
        check(to, message)?;
        let answer = match &self.kind {
            Kind::Amqp(queue) => queue.publish(to, message).await,
            Kind::Sqlite(queue) => queue.publish(to, message).await,
        };
        count(to, &answer);
        answer
    }

    /// Publishes many at once and waits for all confirms together. They arrive in the order of `messages`, and so stand the
    /// answers; a batch of some hundred is meant.
    pub async fn publish_all(&self, messages: &[(Destination, Message)]) -> Vec<Result<(), PublishError>> {
        if let (Kind::Amqp(queue), true) = (&self.kind, messages.iter().all(|(to, message)| check(to, message).is_ok()))
        {
            let answers = queue.publish_all(messages).await;
            messages.iter().zip(&answers).for_each(|((to, _), answer)| count(to, answer));
            return answers;
        }
        let all = futures::future::join_all(messages.iter().map(|(to, message)| self.publish(to, message)));
        tokio::task::unconstrained(all).await // a budget that ends in the middle would let later ones overtake
    }

    /// Publishes, and tries again with a growing, jittered pause until `deadline`. Answers the last refusal.
    pub async fn publish_until(
        &self,
        to: &Destination,
        message: &Message,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let refusal = match self.publish(to, message).await {
                Ok(()) => return Ok(()),
                Err(error @ PublishError::Invalid(_)) => return Err(error),
                Err(error) => error,
            };
            let again = Instant::now() + backoff.next_pause();
            if again >= deadline {
                return Err(refusal);
            }
            tokio::time::sleep_until(again).await;
        }
    }

    /// Begins to consume. The consumer lives through reconnects; at most `prefetch` deliveries are unsettled at a time.
    pub async fn consume(&self, source: &Source, prefetch: u16) -> Consumer {
        let prefetch = prefetch.max(1);
        match &self.kind {
            Kind::Amqp(queue) => queue.consume(source.clone(), prefetch).await,
            Kind::Sqlite(queue) => queue.consume(source.clone(), prefetch).await,
        }
    }

    /// How many messages wait there that nobody holds; of the log, how many entries there are (RabbitMQ counts those some
    /// seconds late).
    pub async fn depth(&self, source: &Source) -> Result<u64, QueueError> {
        match &self.kind {
            Kind::Amqp(queue) => queue.depth(source).await,
            Kind::Sqlite(queue) => queue.depth(source).await,
        }
    }

    /// Moves up to `limit` dead letters back to the jobs; answers how many. Each is on the jobs' queue, confirmed, before
    /// it leaves the dead letters.
    pub async fn replay_dead(&self, limit: u64) -> Result<u64, QueueError> {
        let waiting = self.depth(&Source::Dead).await?.min(limit);
        let mut dead = self.consume(&Source::Dead, 16).await;
        for moved in 0..waiting {
            let Ok(letter) = tokio::time::timeout(PATIENCE, dead.next()).await else { return Ok(moved) };
            let message = Message { id: letter.id.clone(), kind: letter.kind.clone(), body: letter.body.clone() };
            if let Err(refusal) = self.publish(&Destination::Jobs, &message).await {
                return Err(QueueError::Unavailable(refusal.to_string()));
            }
            letter.ack().await;
        }
        Ok(waiting)
    }

    /// Cuts the connections under the queue, as a broken cable or disk would: for tests.
    #[cfg(any(test, feature = "testkit"))]
    pub async fn cut(&self) {
        match &self.kind {
            Kind::Amqp(queue) => queue.cut().await,
            Kind::Sqlite(queue) => queue.cut().await,
        }
    }

    /// Whether publishing would work now, as far as we know.
    pub fn healthy(&self) -> bool {
        match &self.kind {
            Kind::Amqp(queue) => queue.healthy(),
            Kind::Sqlite(queue) => queue.healthy(),
        }
    }
}

/// Names of AMQP are at most this long, with room for the prefix.
const MAX_NAME: usize = 255;
/// The beginnings of routing keys that the event log is bound to.
const LOG_KEYS: [&str; 4] = ["request.", "leg.", "balance.", "log."];

fn check(to: &Destination, message: &Message) -> Result<(), PublishError> {
    if message.id.is_empty() || message.id.len() > MAX_NAME || message.kind.len() > MAX_NAME {
        return Err(PublishError::Invalid(format!("its id or type is empty or longer than {MAX_NAME} bytes")));
    }
    let named = match to {
        Destination::Replies { source } => is_source_name(source),
        Destination::Billing { leg } => is_source_name(leg),
        Destination::Log { routing_key } => {
            routing_key.len() <= MAX_NAME && LOG_KEYS.iter().any(|beginning| routing_key.starts_with(beginning))
        }
        Destination::Jobs | Destination::Control => true,
    };
    if named { Ok(()) } else { Err(PublishError::Invalid(format!("{to:?} is no destination"))) }
}

/// Sources name queues, so they are short and plain.
fn is_source_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !name.is_empty() && name.len() <= 64 && name.chars().all(plain)
}

fn count(to: &Destination, answer: &Result<(), PublishError>) {
    let to = match to {
        Destination::Jobs => "jobs",
        Destination::Replies { .. } => "replies",
        Destination::Billing { .. } => "billing",
        Destination::Log { .. } => "log",
        Destination::Control => "control",
    };
    let outcome = match answer {
        Ok(()) => "confirmed",
        Err(PublishError::Refused(_)) => "refused",
        Err(PublishError::Unroutable(_)) => "unroutable",
        Err(PublishError::Unavailable(_)) => "unavailable",
        Err(PublishError::Timeout) => "timeout",
        Err(PublishError::Invalid(_)) => "invalid",
    };
    metrics::counter!("ringback_queue_published_total", "to" => to, "outcome" => outcome).increment(1);
}

/// The pauses between tries: they double up to a ceiling, each shortened by up to half at random.
pub(crate) struct Backoff {
    first: Duration,
    ceiling: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, ceiling: Duration) -> Backoff {
        Backoff { first, ceiling, next: first }
    }

    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.ceiling);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}
