//! Texts straight from the RabbitMQ of a Jasmin SMS gateway: what its SMPP client connectors publish under `deliver.sm.<cid>`. Our
//! queue is bound beside Jasmin's own; a text is acknowledged when there is a job or it is clear that there will be none.
//!
//! Jasmin joins long texts only when their last part comes last, and loses them otherwise; it publishes the parts too, and we join
//! those ourselves.

mod pickle;
pub mod routable;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use rand::Rng;
use ringback_common::config::{JasminConfig, ProviderKind, SourceConfig};
use ringback_common::service::Shutdown;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::coding::text_of;
use crate::desk::Desk;
use crate::parts::{self, Parts, Reception};
use crate::replies::Via;
use crate::text::{Message, Outcome, Text};

/// The name of this source: no section of `[sms.sources]` can have a point in it.
pub const NAME: &str = "jasmin.amqp";
/// Jasmin's exchange.
const EXCHANGE: &str = "messaging";
/// Nothing asked of the broker may take longer.
const PATIENCE: Duration = Duration::from_secs(4);
/// The first pause before something is tried again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a text is kept in hand while it cannot be taken; RabbitMQ closes the channel after 30 minutes.
const PERSISTENCE: Duration = Duration::from_secs(600);
/// A consumer that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(30);

/// Takes texts from Jasmin's broker.
pub struct Jasmin {
    config: JasminConfig,
    desk: Arc<Desk>,
    parts: Parts,
}

/// What becomes of a delivery.
enum End {
    Done,
    /// Another trigger, or the next start, may take it.
    Later,
}

/// The way back through Jasmin's HTTP interface, if the settings name one.
pub fn replies(config: &JasminConfig) -> Option<SourceConfig> {
    let base = config.send_url.trim_end_matches('/').trim_end_matches("/send");
    (!config.url.is_empty() && !base.is_empty() && !config.username.is_empty()).then(|| SourceConfig {
        provider: Some(ProviderKind::Jasmin),
        account: Some(config.username.clone()),
        token: config.password.clone(),
        api_base: Some(base.to_owned()),
        ..SourceConfig::default()
    })
}

impl Jasmin {
    /// The consumer, if there is a broker to consume from.
    pub fn new(config: &JasminConfig, reception: &Reception) -> Option<Arc<Jasmin>> {
        if config.url.is_empty() {
            return None;
        }
        let parts = Parts::new(reception, Via::new(NAME), parts::WITHIN);
        Some(Arc::new(Jasmin { config: config.clone(), desk: reception.desk.clone(), parts }))
    }

    /// Takes texts until the shutdown.
    pub async fn run(self: Arc<Self>, shutdown: &Shutdown) {
        tokio::join!(self.clone().keep(shutdown), self.parts.watch(shutdown));
    }

    async fn keep(self: Arc<Self>, shutdown: &Shutdown) {
        let mut pause = FIRST_PAUSE;
        loop {
            let since = Instant::now();
            let ended = self.clone().consume(shutdown).await;
            if shutdown.begun() {
                return;
            }
            let why = ended.err().map_or_else(|| "the consumer was cancelled".to_owned(), |error| error.to_string());
            tracing::warn!("texts do not come from Jasmin's broker: {why}");
            if since.elapsed() > LASTED {
                pause = FIRST_PAUSE;
            }
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = shutdown.wait() => return,
                () = sleep(pause.mul_f64(jitter)) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn consume(self: Arc<Self>, shutdown: &Shutdown) -> Result<(), JasminError> {
        let mut uri: AMQPUri = self.config.url.reveal().parse().map_err(|_| JasminError::Url)?;
        uri.query.heartbeat.get_or_insert(10);
        let connection = patiently(Connection::connect_uri(uri, ConnectionProperties::default())).await?;
        let channel = patiently(connection.create_channel()).await?;
        self.prepare(&channel).await?;
        let options = BasicConsumeOptions::default();
        let queue = self.config.queue.as_str();
        let mut texts =
            patiently(channel.basic_consume(queue.into(), "ringback".into(), options, FieldTable::default())).await?;
        tracing::info!(queue, "texts are taken from Jasmin's broker");
        let mut in_hand = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.wait() => break,
                Some(_) = in_hand.join_next(), if !in_hand.is_empty() => {}
                delivery = texts.next() => match delivery {
                    Some(Ok(delivery)) => {
                        in_hand.spawn(self.clone().settle(delivery, shutdown.clone()));
                    }
                    Some(Err(error)) => return Err(JasminError::Broker(error)),
                    None => return Ok(()),
                },
            }
        }
        while in_hand.join_next().await.is_some() {}
        let _ = patiently(connection.close(200, "goodbye".into())).await;
        Ok(())
    }

    async fn prepare(&self, channel: &Channel) -> Result<(), JasminError> {
        let queue = self.config.queue.as_str();
        patiently(channel.basic_qos(self.config.prefetch, BasicQosOptions::default())).await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        patiently(channel.queue_declare(queue.into(), options, FieldTable::default())).await?;
        for connector in &self.config.connectors {
            let key = format!("deliver.sm.{connector}");
            let options = QueueBindOptions::default();
            patiently(channel.queue_bind(
                queue.into(),
                EXCHANGE.into(),
                key.as_str().into(),
                options,
                FieldTable::default(),
            ))
            .await?;
        }
        Ok(())
    }

    async fn settle(self: Arc<Self>, delivery: Delivery, shutdown: Shutdown) {
        let answered = match self.take(&delivery, &shutdown).await {
            End::Done => delivery.acker.ack(BasicAckOptions::default()).await,
            End::Later => delivery.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await,
        };
        if let Err(error) = answered {
            tracing::warn!("a text from Jasmin's broker could not be answered, it comes again: {error}");
        }
    }

    /// Tries until it is clear what becomes of the text.
    async fn take(&self, delivery: &Delivery, shutdown: &Shutdown) -> End {
        let joined_by_jasmin = flag(delivery, "concatenated");
        let message = match routable::read(&delivery.data, self.config.zone()) {
            Ok(message) if message.notice || joined_by_jasmin => return End::Done,
            Ok(message) => message,
            Err(error) => {
                tracing::error!("a message from Jasmin's broker is no text: {error}");
                metrics::counter!("ringback_jasmin_unreadable_total").increment(1);
                return End::Done;
            }
        };
        let id = delivery.properties.message_id().as_ref().map(|id| id.to_string()).unwrap_or_default();
        let (since, mut pause) = (Instant::now(), FIRST_PAUSE);
        while !shutdown.begun() && since.elapsed() < PERSISTENCE {
            if self.once(&message, &id).await {
                return End::Done;
            }
            tokio::select! {
                () = shutdown.wait() => {}
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        End::Later
    }

    /// False: not now.
    async fn once(&self, message: &Message, id: &str) -> bool {
        let read = message.piece();
        if let Ok((_, Some(place))) = &read
            && place.total > 1
        {
            return !matches!(self.parts.take(message, place).await, Outcome::Unavailable(_));
        }
        let text = Text {
            via: Via::new(NAME),
            id: id.to_owned(),
            from: message.from.clone(),
            to: message.to.clone(),
            body: String::new(),
            received: message.received,
            metadata: Default::default(),
        };
        let outcome = match read.and_then(|(piece, _)| text_of(&[piece])) {
            Ok(body) => self.desk.take(Text { body, ..text }).await,
            Err(_) => self.desk.unreadable(text).await,
        };
        !matches!(outcome, Outcome::Unavailable(_))
    }
}

/// Whether a header of the message says yes.
fn flag(delivery: &Delivery, name: &str) -> bool {
    let headers = delivery.properties.headers().as_ref();
    let value = headers.and_then(|headers| headers.inner().get(name));
    match value {
        Some(AMQPValue::Boolean(yes)) => *yes,
        Some(AMQPValue::LongInt(number)) => *number != 0,
        Some(AMQPValue::LongLongInt(number)) => *number != 0,
        Some(AMQPValue::ShortShortInt(number)) => *number != 0,
        _ => false,
    }
}

#[derive(Debug, thiserror::Error)]
enum JasminError {
    #[error("[sms.jasmin] url is no address of a broker")]
    Url,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("{0}")]
    Broker(#[from] lapin::Error),
}

async fn patiently<T>(asked: impl Future<Output = Result<T, lapin::Error>>) -> Result<T, JasminError> {
    Ok(timeout(PATIENCE, asked).await.map_err(|_| JasminError::Silent)??)
}
