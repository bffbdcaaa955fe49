//! Answers senders: takes a trigger's replies off the queue and sends each at most once.
//!
//! A reply is written down as being sent before it leaves, and as sent after the other side took it. One that is found half-way
//! after a crash is sent again only where the receiver drops the second; else it is marked unknown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::job::JobId;
use crate::queue::{Consumer, Delivery, Queue, Source};
use crate::service::Shutdown;
use crate::store::{Begun, Store, StoreError};

/// How many replies are in hand at a time; a killed replica leaves at most so many unknown.
pub const PREFETCH: u16 = 16;
/// How long a reply is tried while nobody takes it. Below RabbitMQ's 30 minutes for a delivery in hand.
const PERSISTENCE: Duration = Duration::from_secs(600);
/// The first pause between two tries; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a trigger's replies look, and the way they go.
pub trait Channel: Send + Sync + 'static {
    /// One reply.
    type Reply: Send + Sync;

    /// What a message on the trigger's queue asks for; `None`: nobody to answer.
    ///
    /// # Errors
    /// It is not understood, and goes to the dead letters.
    fn read(&self, kind: &str, body: &[u8]) -> Result<Option<Self::Reply>, String>;

    /// Which reply it is: at most one of a kind leaves for a job.
    fn key<'a>(&self, reply: &'a Self::Reply) -> (&'a JobId, &'static str);

    /// Whether the other side drops this reply if it comes twice.
    fn deduplicates(&self, reply: &Self::Reply) -> bool;

    /// Sends it, once.
    fn send(&self, reply: &Self::Reply) -> impl Future<Output = Sent> + Send;

    /// What finally became of it, for the metrics.
    fn count(&self, reply: &Self::Reply, outcome: &'static str);
}

/// What became of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The other side took it.
    Yes,
    /// Nothing was taken; later, perhaps.
    NotYet(String),
    /// It never will be.
    Never(String),
    /// Nobody knows.
    Unknown(String),
}

/// Carries the replies of one trigger.
pub struct Courier<C> {
    source: &'static str,
    store: Store,
    channel: C,
    shutdown: Shutdown,
}

/// What becomes of a delivery.
enum End {
    Done,
    /// Interrupted before anything left: another replica, or the next start, may do it.
    Later,
}

impl<C: Channel> Courier<C> {
    /// For the replies of this source.
    pub fn new(source: &'static str, store: Store, channel: C, shutdown: Shutdown) -> Courier<C> {
        Courier { source, store, channel, shutdown }
    }

    /// Carries until shutdown, then ends what is in hand.
    pub async fn run(self, queue: &Queue) {
        let courier = Arc::new(self);
        let mut replies: Consumer =
            queue.consume(&Source::Replies { source: courier.source.to_owned() }, PREFETCH).await;
        let mut in_hand = JoinSet::new();
        loop {
            tokio::select! {
                () = courier.shutdown.wait() => break,
                Some(_) = in_hand.join_next(), if !in_hand.is_empty() => {}
                delivery = replies.next() => {
                    in_hand.spawn(courier.clone().settle(delivery));
                }
            }
        }
        replies.pause();
        while in_hand.join_next().await.is_some() {}
    }

    async fn settle(self: Arc<Self>, delivery: Delivery) {
        match self.channel.read(&delivery.kind, &delivery.body) {
            Ok(None) => delivery.ack().await,
            Err(why) => {
                tracing::error!(message = delivery.id, "a reply is not understood and goes to the dead letters: {why}");
                delivery.reject().await;
            }
            Ok(Some(reply)) => match self.answer(&reply).await {
                End::Done => delivery.ack().await,
                End::Later => delivery.requeue().await,
            },
        }
    }

    async fn answer(&self, reply: &C::Reply) -> End {
        let deduplicates = self.channel.deduplicates(reply);
        let (job, kind) = self.channel.key(reply);
        match self.patiently(|| self.store.reply_begin(job, kind)).await {
            None => return End::Later,
            Some(Begun::Done) => return End::Done,
            Some(Begun::Again) if !deduplicates => {
                tracing::warn!(%job, kind, "a reply was cut off by a crash; it is not sent again");
                return self.mark(reply, false).await;
            }
            Some(Begun::Fresh | Begun::Again) => {}
        }
        let outcome = self.send(reply, deduplicates).await;
        self.count(reply, &outcome);
        match outcome {
            Sent::Yes => self.mark(reply, true).await,
            Sent::NotYet(why) if self.shutdown.begun() => {
                tracing::info!(%job, "a reply waits for the next start: {why}");
                self.give_back(reply).await
            }
            Sent::NotYet(why) | Sent::Never(why) | Sent::Unknown(why) => {
                tracing::error!(%job, source = self.source, "a reply may not have reached its sender: {why}");
                self.mark(reply, false).await
            }
        }
    }

    /// Tries until it is taken, refused or left open; gives up when it is not taken for long.
    async fn send(&self, reply: &C::Reply, deduplicates: bool) -> Sent {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.channel.send(reply).await {
                Sent::NotYet(why) => why,
                Sent::Unknown(why) if deduplicates => why,
                ended => return ended,
            };
            if since.elapsed() > PERSISTENCE || !self.pause(pause).await {
                return Sent::NotYet(why);
            }
            let (job, _) = self.channel.key(reply);
            tracing::warn!(%job, source = self.source, "a reply is tried again: {why}");
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn mark(&self, reply: &C::Reply, sent: bool) -> End {
        let (job, kind) = self.channel.key(reply);
        let marked = if sent {
            self.patiently(|| self.store.reply_sent(job, kind)).await
        } else {
            self.patiently(|| self.store.reply_unknown(job, kind)).await
        };
        if marked.is_some() { End::Done } else { End::Later }
    }

    /// Nothing was taken: the reply is as if it had never been begun.
    async fn give_back(&self, reply: &C::Reply) -> End {
        let (job, kind) = self.channel.key(reply);
        if let Err(error) = self.store.reply_not_sent(job, kind).await {
            tracing::warn!(%job, "a reply that was not sent cannot be given back: {error}");
        }
        End::Later
    }

    /// Asks the store until it answers; `None` when the shutdown comes first.
    async fn patiently<T, Asking>(&self, ask: impl Fn() -> Asking) -> Option<T>
    where
        Asking: Future<Output = Result<T, StoreError>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match ask().await {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::warn!("replies wait for the store: {error}"),
            }
            if !self.pause(pause).await {
                return None;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// False when the shutdown cuts it short.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.shutdown.wait() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    fn count(&self, reply: &C::Reply, outcome: &Sent) {
        let outcome = match outcome {
            Sent::Yes => "sent",
            Sent::NotYet(_) => "not_taken",
            Sent::Never(_) => "refused",
            Sent::Unknown(_) => "unknown",
        };
        self.channel.count(reply, outcome);
    }
}
