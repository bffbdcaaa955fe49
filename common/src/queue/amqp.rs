//! The queue on RabbitMQ: publishing with confirms, and the counts.
//!
//! Publishing and consuming have a connection each, so that a broker that blocks publishers still takes our acknowledgements.

mod consume;
mod link;
mod topology;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use futures::future::{MaybeDone, maybe_done};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Confirmation};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use self::link::{Link, Nodes, Wire};
use self::topology::Topology;
use super::delivery::{Consumer, Verdict};
use super::{Destination, Message, PATIENCE, PublishError, QueueConfig, QueueError, Source};
use crate::event::CONTENT_TYPE;
use crate::failpoint::failpoint;

/// The queue on RabbitMQ; clones share its two connections.
#[derive(Clone)]
pub(super) struct AmqpQueue {
    topology: Arc<Topology>,
    publishing: Wire,
    consuming: Wire,
}

impl AmqpQueue {
    pub(super) async fn open(config: &QueueConfig) -> Result<AmqpQueue, QueueError> {
        let nodes = Arc::new(Nodes::parse(&config.url)?);
        let topology = Arc::new(Topology::new(config)?);
        let publishing = Wire::new("publishing", nodes.clone(), topology.clone());
        let consuming = Wire::new("consuming", nodes, topology.clone());
        publishing.first_try().await;
        Ok(AmqpQueue { topology, publishing, consuming })
    }

    pub(super) async fn publish(&self, to: &Destination, message: &Message) -> Result<(), PublishError> {
        let deadline = Instant::now() + PATIENCE;
        let begun = self.begin(to, message, deadline).await?;
        self.hear(to, begun, deadline).await
    }

    /// Hands all to the connection, then hears one confirm after the other. Waiting for each to be written, or for all confirms
    /// together, would wake two threads for every message.
    pub(super) async fn publish_all(&self, batch: &[(Destination, Message)]) -> Vec<Result<(), PublishError>> {
        let deadline = Instant::now() + PATIENCE;
        let mut begun = Vec::with_capacity(batch.len());
        for (to, message) in batch {
            begun.push(self.begin(to, message, deadline).await);
        }
        let mut answers = Vec::with_capacity(batch.len());
        for ((to, _), begun) in batch.iter().zip(begun) {
            answers.push(match begun {
                Ok(begun) => self.hear(to, begun, deadline).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    /// Hands the message to the connection. lapin counts the confirm's tag and queues the frames in the first poll, but not under
    /// one lock: two tasks could swap their tags. So first polls take turns; they wake nobody, because nobody waits yet.
    async fn begin<'a>(
        &self,
        to: &Destination,
        message: &'a Message,
        deadline: Instant,
    ) -> Result<Begun<'a>, PublishError> {
        let Some(link) = self.publishing.link() else {
            return Err(PublishError::Unavailable("no connection to the broker".to_owned()));
        };
        if link.blocked() {
            return Err(PublishError::Refused("the broker is short of memory or disk".to_owned()));
        }
        let lane = match timeout_at(deadline, link.lane(to)).await {
            Ok(Ok(lane)) => lane,
            Ok(Err(error)) => return Err(self.failed(&link, to, broken(error)).await),
            Err(_) => return Err(self.failed(&link, to, PublishError::Timeout).await),
        };
        let (exchange, key) = self.topology.route(to);
        let options = BasicPublishOptions { mandatory: *to != Destination::Control, ..Default::default() };
        let used = lane.clone();
        let mut writing: Pin<Box<Writing<'a>>> = Box::pin(maybe_done(Box::pin(async move {
            used.channel().basic_publish(exchange, key, options, &message.body, properties_of(message)).await
        })));
        let turn = lane.turn();
        let _ = writing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(turn);
        Ok(Begun { link, writing })
    }

    /// Waits until the broker has taken it, or not.
    async fn hear(&self, to: &Destination, begun: Begun<'_>, deadline: Instant) -> Result<(), PublishError> {
        let Begun { link, mut writing } = begun;
        let confirmed = async {
            writing.as_mut().await;
            let confirm = writing.as_mut().take_output().expect("it is taken once")?;
            written(to);
            confirm.await
        };
        let error = match timeout_at(deadline, confirmed).await {
            Ok(Ok(Confirmation::Ack(None))) => return Ok(()),
            Ok(Ok(Confirmation::Nack(_))) => {
                return Err(PublishError::Refused("full, or without a leader now".to_owned()));
            }
            Ok(Ok(Confirmation::Ack(Some(_)))) => {
                returned(to);
                PublishError::Unroutable(format!("{to:?}"))
            }
            Ok(Ok(Confirmation::NotRequested)) => PublishError::Unavailable("the channel has no confirms".to_owned()),
            Ok(Err(error)) => broken(error),
            Err(_) => PublishError::Timeout,
        };
        Err(self.failed(&link, to, error).await)
    }

    /// After a failure the channel is not used again, and the connection is looked at.
    async fn failed(&self, link: &Link, to: &Destination, error: PublishError) -> PublishError {
        link.close_lane(to).await;
        self.publishing.doubt();
        error
    }

    /// If the broker answers, the consumer has subscribed when this returns: what is said from now on is heard.
    pub(super) async fn consume(&self, source: Source, prefetch: u16) -> Consumer {
        let (wire, topology) = (self.consuming.clone(), self.topology.clone());
        let subscribed = watch::Sender::new(false);
        let mut done = subscribed.subscribe();
        let consumer = Consumer::fed_by(prefetch, move |inbox, valve| {
            consume::feed(consume::Feed::new(wire, topology, source, prefetch, inbox, subscribed), valve)
        });
        self.consuming.first_try().await;
        if self.consuming.link().is_some() {
            let _ = timeout(PATIENCE, done.wait_for(|done| *done)).await;
        }
        consumer
    }

    pub(super) async fn depth(&self, source: &Source) -> Result<u64, QueueError> {
        let Some(name) = self.topology.queue_of(source) else { return Ok(0) };
        let Some(link) = self.publishing.link() else {
            return Err(QueueError::Unavailable("no connection to the broker".to_owned()));
        };
        match timeout(PATIENCE, link.waiting(name)).await {
            Ok(Ok(waiting)) => Ok(u64::from(waiting)),
            Ok(Err(error)) => Err(QueueError::Unavailable(error.to_string())),
            Err(_) => Err(QueueError::Unavailable("no answer in time".to_owned())),
        }
    }

    pub(super) fn healthy(&self) -> bool {
        self.publishing.link().is_some_and(|link| !link.blocked())
    }

    /// Cuts both connections, as a broken cable would.
    #[cfg(any(test, feature = "testkit"))]
    pub(super) async fn cut(&self) {
        for wire in [&self.publishing, &self.consuming] {
            wire.cut().await;
        }
    }
}

/// A message on its way to the broker.
struct Begun<'a> {
    link: Arc<Link>,
    writing: Pin<Box<Writing<'a>>>,
}

/// Ends when the message is on the wire.
type Writing<'a> = MaybeDone<Pin<Box<dyn Future<Output = lapin::Result<lapin::PublisherConfirm>> + Send + 'a>>>;

fn broken(error: lapin::Error) -> PublishError {
    PublishError::Unavailable(error.to_string())
}

fn properties_of(message: &Message) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(CONTENT_TYPE.into())
        .with_message_id(short(&message.id))
        .with_type(short(&message.kind))
        .with_app_id("ringback".into())
}

/// Names and ids were checked before they came here; what is too long all the same is left empty.
fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}

fn written(to: &Destination) {
    if *to == Destination::Jobs {
        failpoint("trig.published_no_confirm");
    }
}

fn returned(to: &Destination) {
    if *to == Destination::Jobs {
        failpoint("trig.returned");
    }
}

/// How a delivery from RabbitMQ is settled. It keeps its channel open until then.
pub(super) struct AmqpReceipt {
    acker: lapin::Acker,
    _channel: Arc<lapin::Channel>,
}

impl AmqpReceipt {
    /// The channel it came by is gone: the broker will deliver it anew.
    pub(super) fn stale(&self) -> bool {
        self.acker.poisoned()
    }

    pub(super) async fn settle(self, verdict: Verdict) {
        use lapin::options::{BasicAckOptions, BasicRejectOptions};
        let settling = async {
            match verdict {
                Verdict::Done => self.acker.ack(BasicAckOptions::default()).await,
                Verdict::Dead => self.acker.reject(BasicRejectOptions { requeue: false }).await,
                Verdict::Again => self.acker.reject(BasicRejectOptions { requeue: true }).await,
            }
        };
        match timeout(PATIENCE, settling).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => tracing::debug!("settled after its channel was gone; the message comes again"),
            Ok(Err(error)) => tracing::debug!(%error, "could not settle; the message comes again"),
            Err(_) => tracing::debug!("could not settle in time; the message comes again"),
        }
    }
}
