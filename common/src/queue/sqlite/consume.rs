//! Consuming from the tables: look when woken and four times a second, take what the hand has room for.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::tables::{self, Claimed, Held};
use super::writer::{LEASE, Work};
use super::{Place, SqliteQueue, SqliteReceipt, holder, place_of};
use crate::queue::Source;
use crate::queue::delivery::{Delivery, Hand, Receipt};

const POLL: Duration = Duration::from_millis(250);
/// How often we look after our lease and after consumers that died.
const TEND: Duration = Duration::from_secs(1);

/// What a consumer is fed from.
pub(super) struct Feed {
    queue: SqliteQueue,
    source: Source,
    prefetch: usize,
    inbox: mpsc::Sender<Delivery>,
    hand: Hand,
    holder: String,
    tend_next: Instant,
    read_to: i64,
}

impl Feed {
    pub(super) fn new(
        queue: SqliteQueue,
        source: Source,
        prefetch: u16,
        inbox: mpsc::Sender<Delivery>,
        from: i64,
    ) -> Feed {
        Feed {
            queue,
            source,
            prefetch: usize::from(prefetch),
            inbox,
            hand: Hand::default(),
            holder: holder::new_holder(),
            tend_next: Instant::now(),
            read_to: from,
        }
    }

    /// Runs until the consumer is dropped.
    pub(super) async fn run(mut self, mut valve: watch::Receiver<bool>) {
        let place = place_of(&self.source);
        let mut wake = self.queue.0.wake.subscribe();
        let inbox = self.inbox.clone();
        while !inbox.is_closed() {
            if let Place::Queue(name) = &place {
                self.tend(name).await;
            }
            let open = *valve.borrow_and_update();
            wake.mark_unchanged();
            let room = self.prefetch.saturating_sub(self.hand.held());
            if open && room > 0 && self.take(&place, room).await {
                continue;
            }
            tokio::select! {
                () = inbox.closed() => return,
                _ = valve.changed() => if *valve.borrow() { self.emptied(&place).await },
                () = self.hand.below(self.prefetch), if open && room == 0 => {}
                _ = wake.changed(), if open && room > 0 => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// A consumer that was paused begins again with an empty hand.
    async fn emptied(&mut self, place: &Place) {
        while !self.inbox.is_closed() && tokio::time::timeout(POLL, self.hand.below(1)).await.is_err() {
            if let Place::Queue(name) = place {
                self.tend(name).await;
            }
        }
    }

    async fn tend(&mut self, name: &str) {
        if Instant::now() < self.tend_next {
            return;
        }
        self.tend_next = Instant::now() + TEND;
        if self.nothing_to_tend(name).await {
            return;
        }
        let (queue, holder) = (name.to_owned(), self.holder.clone());
        self.queue.ask(|answer| Work::Tend { queue, holder, answer }).await;
    }

    /// A read, so that an idle gateway writes nothing: nobody else holds anything, and our own lease runs long enough.
    async fn nothing_to_tend(&self, name: &str) -> bool {
        let Ok(mut connection) = self.queue.0.reader.acquire().await else { return false };
        let Ok(holders) = tables::holders(&mut connection, name).await else { return false };
        let soon = super::now_ms().saturating_add(i64::try_from(LEASE.as_millis() / 2).unwrap_or(i64::MAX));
        holders.iter().all(|(holder, lease_until)| {
            let ours = *holder == self.holder;
            if ours { *lease_until > soon } else { *lease_until > super::now_ms() && !holder::is_gone(holder) }
        })
    }

    /// Takes what is there; answers whether it was anything.
    async fn take(&mut self, place: &Place, room: usize) -> bool {
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let taken = match place {
            Place::Queue(name) => self.claim(name, limit).await,
            Place::Stream(stream) => self.read(stream, limit).await,
        };
        let any = !taken.is_empty();
        for message in taken {
            self.hand_over(place, message).await;
        }
        any
    }

    async fn claim(&self, name: &str, limit: u32) -> Vec<Claimed> {
        let waiting = match self.queue.0.reader.acquire().await {
            Ok(mut connection) => tables::is_waiting(&mut connection, name).await.unwrap_or(false),
            Err(_) => false,
        };
        if !waiting {
            return Vec::new();
        }
        let (queue, holder) = (name.to_owned(), self.holder.clone());
        self.queue.ask(|answer| Work::Claim { queue, holder, limit, answer }).await.unwrap_or_default()
    }

    async fn read(&self, stream: &str, limit: u32) -> Vec<Claimed> {
        let Ok(mut connection) = self.queue.0.reader.acquire().await else { return Vec::new() };
        tables::entries(&mut connection, stream, self.read_to, limit).await.unwrap_or_default()
    }

    async fn hand_over(&mut self, place: &Place, message: Claimed) {
        let receipt = match place {
            Place::Queue(_) => {
                let (seq, deliveries) = (message.seq, message.deliveries);
                let held = Held { seq, deliveries, holder: self.holder.clone() };
                Receipt::Sqlite(SqliteReceipt { held, work: self.queue.0.work.clone() })
            }
            Place::Stream(_) => {
                self.read_to = message.seq;
                Receipt::Entry
            }
        };
        let redelivered = message.deliveries > 1;
        let handed = Delivery::new(message.body, message.id, message.kind, redelivered, receipt, self.hand.take());
        let _ = self.inbox.send(handed).await;
    }
}
