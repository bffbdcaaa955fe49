//! What a consumer hands out: deliveries that are settled once, and the valve that pauses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use super::amqp::AmqpReceipt;
use super::sqlite::SqliteReceipt;

/// Messages of one source, one after the other, through reconnects.
pub struct Consumer {
    inbox: mpsc::Receiver<Delivery>,
    open: watch::Sender<bool>,
}

impl Consumer {
    /// A consumer that `feed` fills: it is given the way in and the valve, and ends by itself once the way in is closed.
    pub(super) fn fed_by<F, Feeding>(prefetch: u16, feed: F) -> Consumer
    where
        F: FnOnce(mpsc::Sender<Delivery>, watch::Receiver<bool>) -> Feeding,
        Feeding: Future<Output = ()> + Send + 'static,
    {
        let (sender, inbox) = mpsc::channel(usize::from(prefetch));
        let (open, valve) = watch::channel(true);
        tokio::spawn(feed(sender, valve));
        Consumer { inbox, open }
    }

    /// The next message; waits through reconnects and pauses, and never ends by itself. Safe to drop while it waits.
    pub async fn next(&mut self) -> Delivery {
        loop {
            match self.inbox.recv().await {
                Some(mut stale) if stale.is_stale() => stale.receipt = None,
                Some(delivery) => return delivery,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops the flow: nothing new is taken from the queue, so that others get it. What is in hand stays in hand.
    pub fn pause(&self) {
        self.open.send_replace(false);
    }

    /// Lets it flow again once everything in hand is settled.
    pub fn resume(&self) {
        self.open.send_replace(true);
    }
}

/// One message in hand. It must be settled once: `ack`, `reject` or `requeue`; dropped, it is requeued.
///
/// Settling never fails for the caller: if the connection it came by is gone, the message comes again.
pub struct Delivery {
    /// The message itself.
    pub body: Bytes,
    /// Its id; a repeat has the same. Empty when a stranger published without one.
    pub id: String,
    /// The type of the event in it.
    pub kind: String,
    /// Whether it has been delivered before, as far as the queue knows.
    pub redelivered: bool,
    receipt: Option<Receipt>,
    _in_hand: InHand,
}

/// How a delivery is settled.
pub(super) enum Receipt {
    /// At a RabbitMQ queue.
    Amqp(AmqpReceipt),
    /// At a SQLite queue.
    Sqlite(SqliteReceipt),
    /// An entry of a log: there is nothing to settle.
    Entry,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Dead,
    Again,
}

impl Delivery {
    pub(super) fn new(
        body: Bytes,
        id: String,
        kind: String,
        redelivered: bool,
        receipt: Receipt,
        hand: InHand,
    ) -> Self {
        Delivery { body, id, kind, redelivered, receipt: Some(receipt), _in_hand: hand }
    }

    /// Done: the message leaves the queue.
    pub async fn ack(self) {
        self.settle(Verdict::Done).await;
    }

    /// Never wanted again: it goes to the dead letters (a dead letter is thrown away).
    pub async fn reject(self) {
        self.settle(Verdict::Dead).await;
    }

    /// Back to the queue, for whoever comes next. Too often ([`super::DELIVERY_LIMIT`]) and it is a dead letter.
    pub async fn requeue(self) {
        self.settle(Verdict::Again).await;
    }

    /// Its connection is gone: the queue will deliver it anew, so this copy is worth nothing.
    fn is_stale(&self) -> bool {
        matches!(&self.receipt, Some(Receipt::Amqp(receipt)) if receipt.stale())
    }

    async fn settle(mut self, verdict: Verdict) {
        if let Some(receipt) = self.receipt.take() {
            receipt.settle(verdict).await;
        }
    }
}

impl Receipt {
    async fn settle(self, verdict: Verdict) {
        match self {
            Receipt::Amqp(receipt) => receipt.settle(verdict).await,
            Receipt::Sqlite(receipt) => receipt.settle(verdict).await,
            Receipt::Entry => {}
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(receipt) = self.receipt.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(receipt.settle(Verdict::Again));
        }
    }
}

/// Counts the deliveries of one consumer that are not settled yet.
#[derive(Clone, Default)]
pub(super) struct Hand(Arc<HandInner>);

#[derive(Default)]
struct HandInner {
    held: AtomicUsize,
    lighter: Notify,
}

/// One delivery in hand; dropping it lightens the hand.
pub(super) struct InHand(Hand);

impl Hand {
    pub(super) fn take(&self) -> InHand {
        self.0.held.fetch_add(1, Ordering::SeqCst);
        InHand(self.clone())
    }

    pub(super) fn held(&self) -> usize {
        self.0.held.load(Ordering::SeqCst)
    }

    /// Waits until fewer than `limit` deliveries are in hand.
    pub(super) async fn below(&self, limit: usize) {
        loop {
            let lighter = self.0.lighter.notified();
            if self.held() < limit {
                return;
            }
            lighter.await;
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.0.held.fetch_sub(1, Ordering::SeqCst);
        self.0.0.lighter.notify_waiters();
    }
}
