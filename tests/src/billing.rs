//! A billing system of the tests' own: reads its feed off the queue `billing`, and looks how full the others are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;
use tokio::runtime::Runtime;

/// A client of the site's broker.
pub struct Broker {
    runtime: Runtime,
    url: String,
}

/// A message as it lay on a queue.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its `message_id`.
    pub id: String,
    /// Its `type`.
    pub kind: String,
    /// Its `content_type`.
    pub content_type: String,
    /// The exchange it came through and its routing key.
    pub route: (String, String),
    /// The body; null when it is no JSON.
    pub body: Value,
}

impl Taken {
    fn read(delivery: &lapin::message::Delivery) -> Taken {
        let text = |property: &Option<ShortString>| property.as_ref().map(ShortString::to_string).unwrap_or_default();
        let properties = &delivery.properties;
        Taken {
            id: text(properties.message_id()),
            kind: text(properties.kind()),
            content_type: text(properties.content_type()),
            route: (delivery.exchange.to_string(), delivery.routing_key.to_string()),
            body: serde_json::from_slice(&delivery.data).unwrap_or(Value::Null),
        }
    }
}

/// What billing makes of its feed: the CDRs it was told of, each once. Panics when the numbers of an account's money have a gap,
/// or when a closing balance is not the one before with the amount that was told.
pub fn read_feed(feed: &[Value]) -> BTreeSet<String> {
    let mut cdrs = BTreeSet::new();
    let mut moved: BTreeMap<(String, i64), (i64, i64)> = BTreeMap::new();
    for data in feed.iter().map(|event| &event["data"]) {
        cdrs.extend(data["cdr_id"].as_str().map(str::to_owned));
        let amount = data["amount"].as_i64().or_else(|| data["cost"].as_i64().map(|cost| -cost)).expect("an amount");
        let account = data["account"].as_str().expect("an account").to_owned();
        let balance = data["balance"].as_i64().expect("a closing balance");
        match data["account_seq"].as_i64() {
            Some(seq) => drop(moved.insert((account, seq), (amount, balance))),
            None => assert_eq!(amount, 0, "money moved without a number: {data}"),
        }
    }
    let mut before = (String::new(), 0, 0);
    for ((account, seq), (amount, balance)) in moved {
        let (last, closing) = if account == before.0 { (before.1, before.2) } else { (0, 0) };
        assert_eq!(seq, last + 1, "the movements of account {account} have a gap in the feed");
        assert_eq!(balance, closing + amount, "movement {seq} of account {account}");
        before = (account, seq, balance);
    }
    cdrs
}

impl Broker {
    /// Will connect to this AMQP URL.
    pub fn at(url: &str) -> Broker {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        Broker { runtime, url: url.to_owned() }
    }

    /// Takes everything off a queue until nothing more comes for a second; answers the bodies.
    pub fn drain(&self, queue: &str) -> Result<Vec<Value>, lapin::Error> {
        self.runtime.block_on(async {
            let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            channel.basic_qos(500, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            let mut consumer =
                channel.basic_consume(queue.into(), "billing-test".into(), options, FieldTable::default()).await?;
            let mut bodies = Vec::new();
            while let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_secs(1), consumer.next()).await {
                let delivery = delivery?;
                bodies.push(serde_json::from_slice(&delivery.data).unwrap_or(Value::Null));
                delivery.ack(BasicAckOptions::default()).await?;
            }
            connection.close(200, "done".into()).await?;
            Ok(bodies)
        })
    }

    /// The next `count` messages of a queue, or as many as come in time, with what stands around the body. A stream is read
    /// from its beginning; what is taken otherwise is gone only with `forget`, else it is back on the queue.
    pub fn messages(&self, queue: &str, count: usize, forget: bool, limit: Duration) -> Vec<Taken> {
        let taken = self.runtime.block_on(async {
            let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            channel.basic_qos(100, BasicQosOptions::default()).await?;
            let mut arguments = FieldTable::default();
            arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
            let arguments = if queue.ends_with(".log") { arguments } else { FieldTable::default() };
            let options = BasicConsumeOptions::default();
            let mut consumer = channel.basic_consume(queue.into(), "contract-test".into(), options, arguments).await?;
            let end = tokio::time::Instant::now() + limit;
            let mut taken = Vec::new();
            while taken.len() < count
                && let Ok(Some(delivery)) = tokio::time::timeout_at(end, consumer.next()).await
            {
                let delivery = delivery?;
                taken.push(Taken::read(&delivery));
                if forget {
                    delivery.ack(BasicAckOptions::default()).await?;
                }
            }
            connection.close(200, "done".into()).await?;
            Ok::<_, lapin::Error>(taken)
        });
        taken.unwrap_or_else(|e| panic!("{queue} cannot be read: {e}"))
    }

    /// How many messages wait in a queue.
    pub fn depth(&self, queue: &str) -> Result<u32, lapin::Error> {
        self.runtime.block_on(async {
            let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
            let depth = queue.message_count();
            connection.close(200, "done".into()).await?;
            Ok(depth)
        })
    }

    /// Waits until a queue is empty (the management's counts of a quorum queue lag a little).
    pub fn wait_empty(&self, queue: &str, limit: Duration) {
        crate::clock::wait_for(&format!("{queue} to be empty"), limit, || self.depth(queue).ok().filter(|d| *d == 0));
    }
}
