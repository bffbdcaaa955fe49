//! Consuming from RabbitMQ through reconnects, pauses and closed channels.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::AmqpReceipt;
use super::link::{Link, Wire};
use super::topology::Topology;
use crate::queue::delivery::{Delivery, Hand, Receipt};
use crate::queue::{Backoff, PATIENCE, Source};

/// What a consumer is fed from.
pub(super) struct Feed {
    wire: Wire,
    topology: Arc<Topology>,
    source: Source,
    prefetch: u16,
    inbox: mpsc::Sender<Delivery>,
    hand: Hand,
    log_offset: LogOffset,
    subscribed: watch::Sender<bool>,
}

struct Subscription {
    channel: Arc<Channel>,
    consumer: lapin::Consumer,
}

/// How long nothing may come before we ask whether nothing is there.
const SILENCE: Duration = Duration::from_secs(5);

/// Runs until the consumer is dropped.
pub(super) async fn feed(mut feed: Feed, mut valve: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        let inbox = feed.inbox.clone();
        let link = tokio::select! {
            () = inbox.closed() => return,
            link = feed.ready(&mut valve) => link,
        };
        match timeout(PATIENCE * 2, feed.subscribe(&link)).await {
            Ok(Ok(subscription)) => {
                backoff.reset();
                feed.subscribed.send_replace(true);
                feed.flow(&link, subscription, &mut valve).await;
            }
            Ok(Err(error)) => {
                tracing::warn!(source = ?feed.source, %error, "cannot consume; trying on");
                feed.wire.doubt();
            }
            Err(_) => feed.wire.doubt(),
        }
        if *valve.borrow() {
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }
}

impl Feed {
    pub(super) fn new(
        wire: Wire,
        topology: Arc<Topology>,
        source: Source,
        prefetch: u16,
        inbox: mpsc::Sender<Delivery>,
        subscribed: watch::Sender<bool>,
    ) -> Feed {
        let log_offset = if source == Source::Tail { LogOffset::Next } else { LogOffset::First };
        Feed { wire, topology, source, prefetch, inbox, hand: Hand::default(), log_offset, subscribed }
    }

    /// Waits for an open valve, after a pause also for an empty hand, and for a connection.
    async fn ready(&self, valve: &mut watch::Receiver<bool>) -> Arc<Link> {
        if !*valve.borrow_and_update() {
            if valve.wait_for(|open| *open).await.is_err() {
                std::future::pending::<()>().await;
            }
            self.hand.below(1).await;
        }
        self.wire.up().await
    }

    async fn subscribe(&mut self, link: &Link) -> lapin::Result<Subscription> {
        if let Source::Replies { source } = &self.source {
            self.topology.add_replies(source);
            self.topology.declare(link.connection()).await?;
        }
        let channel = Arc::new(link.connection().create_channel().await?);
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let queue = match self.topology.queue_of(&self.source) {
            Some(queue) => queue,
            None => self.own_control_queue(&channel).await?,
        };
        let arguments = if self.is_log() { self.log_offset.arguments() } else { FieldTable::default() };
        let consumer = channel.basic_consume(queue, ShortString::default(), BasicConsumeOptions::default(), arguments);
        let consumer = consumer.await?;
        self.log_offset.subscribed();
        Ok(Subscription { channel, consumer })
    }

    async fn own_control_queue(&self, channel: &Channel) -> lapin::Result<ShortString> {
        let ours = QueueDeclareOptions::exclusive().auto_delete();
        let queue = channel.queue_declare(ShortString::default(), ours, FieldTable::default()).await?;
        let name = queue.name().clone();
        let exchange = self.topology.control();
        let options = QueueBindOptions::default();
        channel.queue_bind(name.clone(), exchange, "control".into(), options, FieldTable::default()).await?;
        Ok(name)
    }

    /// Hands over deliveries until the channel ends. A closed valve, or nobody at the other end, cancels the consumer;
    /// what was on its way then is still handed over.
    async fn flow(&mut self, link: &Link, subscription: Subscription, valve: &mut watch::Receiver<bool>) {
        let Subscription { channel, mut consumer } = subscription;
        let inbox = self.inbox.clone();
        let mut cancelled = false;
        let mut silence = 0;
        loop {
            let stop = async {
                tokio::select! {
                    () = inbox.closed() => {}
                    _ = valve.wait_for(|open| !*open) => {}
                }
            };
            tokio::select! {
                biased;
                () = stop, if !cancelled => {
                    cancelled = true;
                    let cancelling = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
                    if !matches!(timeout(PATIENCE, cancelling).await, Ok(Ok(()))) {
                        return;
                    }
                }
                first = consumer.next() => {
                    silence = 0;
                    if !self.hand_over_what_is_there(&channel, &mut consumer, first).await {
                        return;
                    }
                }
                () = tokio::time::sleep(SILENCE) => {
                    silence = if self.is_forgotten(link).await { silence + 1 } else { 0 };
                    if silence == 2 {
                        tracing::warn!(source = ?self.source, "messages wait, but none comes; subscribing anew");
                        return;
                    }
                }
            }
        }
    }

    /// Messages wait, our hand has room, and yet nothing comes: the broker has lost our subscription without a word.
    async fn is_forgotten(&self, link: &Link) -> bool {
        let Some(queue) = self.topology.queue_of(&self.source).filter(|_| !self.is_log()) else { return false };
        if self.hand.held() >= usize::from(self.prefetch) {
            return false;
        }
        match timeout(PATIENCE, link.waiting(queue)).await {
            Ok(Ok(waiting)) => waiting > 0,
            Ok(Err(_)) | Err(_) => {
                self.wire.doubt();
                false
            }
        }
    }

    /// A prefetch of them at most, so that the valve is looked at; false: the flow broke off.
    async fn hand_over_what_is_there(
        &mut self,
        channel: &Arc<Channel>,
        consumer: &mut lapin::Consumer,
        first: Option<lapin::Result<lapin::message::Delivery>>,
    ) -> bool {
        let (mut next, mut left) = (first, self.prefetch);
        loop {
            match next {
                Some(Ok(delivery)) => self.hand_over(channel, delivery).await,
                Some(Err(error)) => {
                    tracing::debug!(source = ?self.source, %error, "the flow broke off");
                    return false;
                }
                None => return false,
            }
            left -= 1;
            if left == 0 {
                return true;
            }
            match consumer.next().now_or_never() {
                Some(more) => next = more,
                None => return true,
            }
        }
    }

    async fn hand_over(&mut self, channel: &Arc<Channel>, delivery: lapin::message::Delivery) {
        let own_copy = self.is_log() || self.source == Source::Control;
        if own_copy {
            self.log_offset.seen(&delivery);
            let _ = delivery.acker.ack(BasicAckOptions::default()).await;
        }
        let receipt = if own_copy {
            Receipt::Entry
        } else {
            Receipt::Amqp(AmqpReceipt { acker: delivery.acker, _channel: channel.clone() })
        };
        let id = delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = delivery.properties.kind().as_ref().map(ToString::to_string).unwrap_or_default();
        let body = Bytes::from(delivery.data);
        let handed = Delivery::new(body, id, kind, delivery.redelivered, receipt, self.hand.take());
        let _ = self.inbox.send(handed).await;
    }

    fn is_log(&self) -> bool {
        matches!(self.source, Source::Log | Source::Tail)
    }
}

/// Where reading the log goes on.
enum LogOffset {
    First,
    Next,
    Since { seconds: u64 },
    After(i64),
}

impl LogOffset {
    fn arguments(&self) -> FieldTable {
        let offset = match self {
            LogOffset::First => AMQPValue::LongString(LongString::from("first")),
            LogOffset::Next => AMQPValue::LongString(LongString::from("next")),
            LogOffset::Since { seconds } => AMQPValue::Timestamp(*seconds),
            LogOffset::After(offset) => AMQPValue::LongLongInt(offset + 1),
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), offset);
        arguments
    }

    /// From "now on" means from the first subscription on, also if that one breaks off before anything came.
    fn subscribed(&mut self) {
        if let LogOffset::Next = self {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            *self = LogOffset::Since { seconds: now.as_secs() };
        }
    }

    fn seen(&mut self, delivery: &lapin::message::Delivery) {
        let headers = delivery.properties.headers().as_ref();
        if let Some(AMQPValue::LongLongInt(offset)) = headers.and_then(|table| table.inner().get("x-stream-offset")) {
            *self = LogOffset::After(*offset);
        }
    }
}
