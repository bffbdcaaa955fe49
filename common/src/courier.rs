//! Answers senders: takes a trigger's replies off the queue and sends each at most once.
//!
//! A reply is written down as being sent before it leaves, and as sent after the other side took it. One that is found half-way
//! after a crash is sent again only where the receiver drops the second; else it is marked unknown.
//!
//! Replies that leave by different ways do not wait for each other: of one way only a few are tried at a time. While a trigger is
//! closed altogether its replies stay on the queue, however long that takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::job::JobId;
use crate::queue::{Consumer, Delivery, Queue, Source};
use crate::service::Shutdown;
use crate::store::{Begun, Store, StoreError};

/// How many replies are in hand at a time; a way that is closed for long holds up the others only when it holds all of these.
pub const PREFETCH: u16 = 1_000;
/// How many replies of one way are tried at a time; a killed replica leaves at most so many of each way unknown.
const OF_A_WAY: usize = 16;
/// How long a reply waits and is tried while nobody takes it. Below RabbitMQ's 30 minutes for a delivery in hand.
const PERSISTENCE: Duration = Duration::from_secs(600);
/// The first pause between two tries; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a trigger's replies look, and the way they go.
pub trait Channel: Send + Sync + 'static {
    /// One reply.
    type Reply: Send + Sync;

    /// What a message on the trigger's queue asks for; `None`: nobody to answer. The store knows in which language.
    ///
    /// # Errors
    /// There is no reply, or none yet.
    fn read(
        &self,
        store: &Store,
        kind: &str,
        body: &[u8],
    ) -> impl Future<Output = Result<Option<Self::Reply>, Unread>> + Send;

    /// Which reply it is: at most one of a kind leaves for a job.
    fn key<'a>(&self, reply: &'a Self::Reply) -> (&'a JobId, &'static str);

    /// By which way it goes, where a trigger has several: one that is closed holds up only its own replies.
    fn way<'a>(&self, _reply: &'a Self::Reply) -> &'a str {
        ""
    }

    /// Whether anything may leave now: the operator can close a trigger's one way out. While it is closed, replies stay on the
    /// queue and nothing counts against them.
    fn open(&self) -> watch::Receiver<bool> {
        watch::channel(true).1
    }

    /// Whether the other side drops this reply if it comes twice.
    fn deduplicates(&self, reply: &Self::Reply) -> bool;

    /// Sends it, once.
    fn send(&self, reply: &Self::Reply) -> impl Future<Output = Sent> + Send;

    /// What finally became of it, for the metrics.
    fn count(&self, reply: &Self::Reply, outcome: &'static str);
}

/// Why a message is no reply.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// It is not understood, and goes to the dead letters.
    #[error("{0}")]
    Broken(#[from] serde_json::Error),
    /// What it takes to write the reply is not there now; it is read again later.
    #[error("{0}")]
    Later(#[from] StoreError),
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
    ways: Mutex<HashMap<String, Weak<Semaphore>>>,
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
        Courier { source, store, channel, ways: Mutex::default(), shutdown }
    }

    /// Carries until shutdown, then ends what is in hand.
    pub async fn run(self, queue: &Queue) {
        let courier = Arc::new(self);
        let mut replies: Consumer =
            queue.consume(&Source::Replies { source: courier.source.to_owned() }, PREFETCH).await;
        let mut in_hand = JoinSet::new();
        let mut open = courier.channel.open();
        if !*open.borrow_and_update() {
            replies.pause();
        }
        loop {
            tokio::select! {
                () = courier.shutdown.wait() => break,
                Ok(()) = open.changed() => if *open.borrow_and_update() { replies.resume() } else { replies.pause() },
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
        let until = Instant::now() + PERSISTENCE;
        let read = || async {
            match self.channel.read(&self.store, &delivery.kind, &delivery.body).await {
                Err(Unread::Later(away)) => Err(away),
                Err(Unread::Broken(why)) => Ok(Err(why)),
                Ok(reply) => Ok(Ok(reply)),
            }
        };
        match self.patiently(read).await {
            None => delivery.requeue().await,
            Some(Ok(None)) => delivery.ack().await,
            Some(Err(why)) => {
                tracing::error!(message = delivery.id, "a reply is not understood and goes to the dead letters: {why}");
                delivery.reject().await;
            }
            Some(Ok(Some(reply))) => match self.answer(&reply, until).await {
                End::Done => delivery.ack().await,
                End::Later => delivery.requeue().await,
            },
        }
    }

    /// A turn on this way, or the time is up: then it is tried once without.
    async fn turn(&self, way: &str, until: Instant) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
            ways.retain(|_, turns| turns.strong_count() > 0);
            let known = ways.get(way).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turns = Arc::new(Semaphore::new(OF_A_WAY));
                ways.insert(way.to_owned(), Arc::downgrade(&turns));
                turns
            })
        };
        tokio::time::timeout_at(until, turns.acquire_owned()).await.ok()?.ok()
    }

    async fn answer(&self, reply: &C::Reply, until: Instant) -> End {
        if self.stopped() {
            return End::Later;
        }
        let _turn = tokio::select! {
            biased;
            turn = self.turn(self.channel.way(reply), until) => turn,
            () = self.shutdown.wait() => return End::Later,
        };
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
        let outcome = self.send(reply, deduplicates, until).await;
        if let Sent::NotYet(why) = &outcome
            && self.stopped()
        {
            tracing::info!(%job, "a reply waits on the queue: {why}");
            return self.give_back(reply).await;
        }
        self.count(reply, &outcome);
        match outcome {
            Sent::Yes => self.mark(reply, true).await,
            Sent::NotYet(why) | Sent::Never(why) | Sent::Unknown(why) => {
                let way = self.channel.way(reply);
                tracing::error!(%job, source = self.source, way, "a reply may not have reached its sender: {why}");
                self.mark(reply, false).await
            }
        }
    }

    /// Tries until it is taken, refused or left open; gives up when it is not taken for long.
    async fn send(&self, reply: &C::Reply, deduplicates: bool, until: Instant) -> Sent {
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.channel.send(reply).await {
                Sent::NotYet(why) => why,
                Sent::Unknown(why) if deduplicates => why,
                ended => return ended,
            };
            if self.stopped() || Instant::now() > until || !self.pause(pause).await {
                return Sent::NotYet(why);
            }
            let ((job, _), way) = (self.channel.key(reply), self.channel.way(reply));
            tracing::warn!(%job, source = self.source, way, "a reply is tried again: {why}");
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

    /// Nothing leaves now: what is in hand goes back to the queue.
    fn stopped(&self) -> bool {
        self.shutdown.begun() || !*self.channel.open().borrow()
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
        metrics::counter!("ringback_replies_total", "source" => self.source, "outcome" => outcome).increment(1);
        self.channel.count(reply, outcome);
    }
}

#[cfg(test)]
mod tests;
