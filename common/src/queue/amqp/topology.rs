//! Which exchanges and queues there are, with which arguments, and how they are declared.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::short;
use crate::queue::{DELIVERY_LIMIT, Destination, PATIENCE, QueueConfig, QueueError, Source, is_source_name};

const JOBS: &str = "callback.jobs";
const DEAD: &str = "callback.dead";
const EVENTS: &str = "callback.events";
const BILLING: &str = "billing";
const LOG: &str = "callback.events.log";
const REPLIES: &str = "callback.replies";
const CONTROL: &str = "callback.control";

/// Everything on the broker that is ours.
pub(super) struct Topology {
    prefix: String,
    declare: bool,
    may_not_declare: AtomicBool,
    max_length: u32,
    log_days: u32,
    billing_feed: bool,
    replies: Mutex<BTreeSet<String>>,
}

impl Topology {
    pub(super) fn new(config: &QueueConfig) -> Result<Topology, QueueError> {
        const MAX_PREFIX: usize = 64;
        if config.prefix.len() > MAX_PREFIX {
            return Err(QueueError::Config(format!("prefix is longer than {MAX_PREFIX} bytes")));
        }
        if let Some(name) = config.replies.iter().find(|name| !is_source_name(name)) {
            return Err(QueueError::Config(format!("replies: {name:?} is no name of a source")));
        }
        Ok(Topology {
            prefix: config.prefix.clone(),
            declare: config.declare,
            may_not_declare: AtomicBool::new(false),
            max_length: config.max_length,
            log_days: config.log_days,
            billing_feed: config.billing_feed,
            replies: Mutex::new(config.replies.iter().cloned().collect()),
        })
    }

    /// Exchange and routing key of a destination.
    pub(super) fn route(&self, to: &Destination) -> (ShortString, ShortString) {
        let (exchange, key) = match to {
            Destination::Jobs => (JOBS, "job".to_owned()),
            Destination::Replies { source } => (REPLIES, source.clone()),
            Destination::Billing { leg } => (EVENTS, format!("cdr.{leg}")),
            Destination::Log { routing_key } => (EVENTS, routing_key.clone()),
            Destination::Control => (CONTROL, "control".to_owned()),
        };
        (self.named(exchange), short(&key))
    }

    /// The queue of a source; `None` where every consumer has its own.
    pub(super) fn queue_of(&self, source: &Source) -> Option<ShortString> {
        match source {
            Source::Jobs => Some(self.named(JOBS)),
            Source::Dead => Some(self.named(DEAD)),
            Source::Replies { source } => Some(self.replies_of(source)),
            Source::Billing => Some(self.named(BILLING)),
            Source::Log | Source::Tail => Some(self.named(LOG)),
            Source::Control => None,
        }
    }

    pub(super) fn control(&self) -> ShortString {
        self.named(CONTROL)
    }

    /// A reply queue somebody wants to consume from; declared now and at every connection from here on.
    pub(super) fn add_replies(&self, source: &str) {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(source.to_owned());
    }

    fn named(&self, name: &str) -> ShortString {
        short(&format!("{}{name}", self.prefix))
    }

    fn replies_of(&self, source: &str) -> ShortString {
        self.named(&format!("{REPLIES}.{source}"))
    }

    /// Declares everything that is missing, on channels of its own: a refusal kills the channel, not the connection.
    /// What exists with other arguments is used as it stands; a user who may not declare leaves that to the operator.
    /// Fails if the broker does not answer, also when there is nothing to declare.
    pub(super) async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        let mut channel = in_time(connection.create_channel()).await?;
        if !self.declare || self.may_not_declare.load(Ordering::Relaxed) {
            return Ok(());
        }
        for item in self.items() {
            let Err(error) = in_time(item.declare(&channel)).await else { continue };
            match undeclared(&error) {
                Some(Undeclared::NotAllowed) => {
                    self.may_not_declare.store(true, Ordering::Relaxed);
                    tracing::warn!(
                        name = item.name(),
                        "our user may not declare queues: the operator must (docs/queues.md)"
                    );
                    return Ok(());
                }
                Some(Undeclared::Different(why)) => {
                    tracing::error!(name = item.name(), why, %error, "not declared; see docs/queues.md");
                    channel = in_time(connection.create_channel()).await?;
                }
                None => return Err(error),
            }
        }
        Ok(())
    }

    fn items(&self) -> Vec<Item> {
        let exchange = |name, kind| Item::Exchange { name: self.named(name), kind };
        let queue = |name: ShortString, arguments| Item::Queue { name, arguments };
        let bind = |queue: ShortString, exchange, key: &str| Item::Binding {
            queue,
            exchange: self.named(exchange),
            key: short(key),
        };
        let mut items = vec![
            exchange(DEAD, ExchangeKind::Fanout),
            queue(self.named(DEAD), self.dead_arguments()),
            bind(self.named(DEAD), DEAD, ""),
            exchange(JOBS, ExchangeKind::Direct),
            queue(self.named(JOBS), self.work_arguments()),
            bind(self.named(JOBS), JOBS, "job"),
            exchange(EVENTS, ExchangeKind::Topic),
            queue(self.named(LOG), self.log_arguments()),
            bind(self.named(LOG), EVENTS, "request.#"),
            bind(self.named(LOG), EVENTS, "leg.#"),
            bind(self.named(LOG), EVENTS, "balance.#"),
            bind(self.named(LOG), EVENTS, "log.#"),
            exchange(REPLIES, ExchangeKind::Direct),
            exchange(CONTROL, ExchangeKind::Fanout),
        ];
        if self.billing_feed {
            items.push(queue(self.named(BILLING), self.work_arguments()));
            items.push(bind(self.named(BILLING), EVENTS, "cdr.#"));
        }
        for source in self.replies.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            items.push(queue(self.replies_of(source), self.work_arguments()));
            items.push(bind(self.replies_of(source), REPLIES, source));
        }
        items
    }

    /// A durable quorum queue that refuses when full and loses nothing on the way to the dead letters.
    fn work_arguments(&self) -> FieldTable {
        let mut arguments = self.quorum_arguments();
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
        arguments.insert("x-dead-letter-exchange".into(), text(self.named(DEAD).as_str()));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments
    }

    /// Dead letters have nowhere to go, so looking at them any number of times must not end them. RabbitMQ 4 would by its
    /// default limit of 20, and 3.10 knows no "unlimited".
    fn dead_arguments(&self) -> FieldTable {
        const ANY_NUMBER: i64 = 1_000_000;
        let mut arguments = self.quorum_arguments();
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(ANY_NUMBER));
        arguments
    }

    fn quorum_arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(i64::from(self.max_length)));
        arguments
    }

    fn log_arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("stream"));
        arguments.insert("x-max-age".into(), text(&format!("{}D", self.log_days)));
        arguments
    }
}

#[derive(Clone)]
enum Item {
    Exchange { name: ShortString, kind: ExchangeKind },
    Queue { name: ShortString, arguments: FieldTable },
    Binding { queue: ShortString, exchange: ShortString, key: ShortString },
}

impl Item {
    fn name(&self) -> &str {
        match self {
            Item::Exchange { name, .. } | Item::Queue { name, .. } => name.as_str(),
            Item::Binding { queue, .. } => queue.as_str(),
        }
    }

    async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let nothing = FieldTable::default();
        match self.clone() {
            Item::Exchange { name, kind } => {
                let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
                channel.exchange_declare(name, kind, durable, nothing).await
            }
            Item::Queue { name, arguments } => {
                channel.queue_declare(name, QueueDeclareOptions::durable(), arguments).await.map(|_| ())
            }
            Item::Binding { queue, exchange, key } => {
                channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), nothing).await
            }
        }
    }
}

/// Why the broker will not declare a thing.
enum Undeclared {
    NotAllowed,
    Different(&'static str),
}

fn undeclared(error: &lapin::Error) -> Option<Undeclared> {
    let ErrorKind::ProtocolError(error) = error.kind() else { return None };
    match error.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Some(Undeclared::NotAllowed),
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
            Some(Undeclared::Different("it exists with other arguments and is used as it stands"))
        }
        AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED) => {
            Some(Undeclared::Different("somebody holds it exclusively"))
        }
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Some(Undeclared::Different("what it hangs on is missing")),
        _ => None,
    }
}

async fn in_time<T>(answer: impl Future<Output = lapin::Result<T>>) -> lapin::Result<T> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}
