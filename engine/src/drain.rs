//! Carries the outbox to the queue: one drain per destination, so that a full destination stops only itself.
//!
//! A drain holds the lease of its destination, checked before each batch. Who holds it without a confirm for ten seconds
//! while rows wait gives it up for ten seconds, so that an engine with a better way to the broker may try.

use std::task::Poll;
use std::time::Duration;

use ringback_common::event::CDR_TYPE;
use ringback_common::failpoint::failpoint;
use ringback_common::queue::{Destination, Message, PublishError, Queue};
use ringback_common::service::Shutdown;
use ringback_common::store::{Me, Outbox, OutboxRow, Outlet, Store};
use tokio::time::Instant;

/// Rows at a time.
const BATCH: u32 = 256;
/// When nobody says that rows were written.
const POLL: Duration = Duration::from_secs(1);
/// Between the beginnings of two turns of one drain: rows that are written meanwhile are told together. Only a reply has
/// somebody who waits for it.
fn apart(outlet: Outlet) -> Duration {
    match outlet {
        Outlet::Replies => Duration::from_millis(100),
        Outlet::Billing | Outlet::Log => Duration::from_millis(250),
    }
}
/// What was confirmed is marked with the next rows, and no later than this.
const MARK: Duration = Duration::from_millis(300);
/// Without a confirm for so long the lease is given up, for as long again.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Drains all destinations until the shutdown is complete and nothing more will be written.
pub async fn run(store: Store, queue: Queue, me: Me, done: Shutdown) {
    tokio::join!(
        drain(&store, &queue, &me, Outlet::Replies, &done),
        drain(&store, &queue, &me, Outlet::Billing, &done),
        drain(&store, &queue, &me, Outlet::Log, &done),
    );
}

async fn drain(store: &Store, queue: &Queue, me: &Me, outlet: Outlet, done: &Shutdown) {
    let mut confirmed = Vec::new();
    let mut last_confirm = Instant::now();
    loop {
        let (last_round, begun) = (done.begun(), Instant::now());
        match round(store, queue, me, outlet, &mut confirmed).await {
            Progress::Confirmed => {
                last_confirm = Instant::now();
                metrics::gauge!("ringback_outbox_stuck", "destination" => outlet.as_str()).set(0.0);
                if confirmed.len() < BATCH as usize {
                    wait_for_rows(store, outlet, MARK, begun + apart(outlet), done).await;
                }
            }
            Progress::Idle | Progress::Stuck if last_round => return,
            Progress::Idle => {
                last_confirm = Instant::now();
                wait_for_rows(store, outlet, POLL, begun + apart(outlet), done).await;
            }
            Progress::Stuck if last_confirm.elapsed() >= GIVE_UP => {
                tracing::error!(
                    destination = outlet.as_str(),
                    "nothing was confirmed for 10 s; events wait in the store"
                );
                metrics::gauge!("ringback_outbox_stuck", "destination" => outlet.as_str()).set(1.0);
                if let Err(error) = store.outbox_release(outlet, me).await {
                    tracing::debug!(%error, "the lease of the outbox could not be given up");
                }
                pause(GIVE_UP, done).await;
                last_confirm = Instant::now();
            }
            Progress::Stuck => pause(Duration::from_millis(500), done).await,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Something was published and confirmed.
    Confirmed,
    /// Nothing waits, or another engine drains.
    Idle,
    /// Rows wait and were not confirmed.
    Stuck,
}

/// One turn: marks what the last turn confirmed, and publishes what waits.
async fn round(store: &Store, queue: &Queue, me: &Me, outlet: Outlet, confirmed: &mut Vec<i64>) -> Progress {
    let rows = match store.outbox_next(outlet, me, BATCH, confirmed).await {
        Ok(Outbox::Rows(rows)) => rows,
        Ok(Outbox::HeldBy(_)) => Vec::new(),
        Err(error) => {
            tracing::debug!(%error, "the outbox cannot be read now");
            return Progress::Stuck;
        }
    };
    confirmed.clear();
    if rows.is_empty() {
        return Progress::Idle;
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let messages: Vec<(Destination, Message)> = rows.into_iter().map(addressed).collect();
    let has_cdr = outlet == Outlet::Billing && messages.iter().any(|(_, message)| message.kind == CDR_TYPE);
    let publishing = queue.publish_all(&messages);
    tokio::pin!(publishing);
    let answers = match futures::poll!(&mut publishing) {
        Poll::Ready(answers) => answers,
        Poll::Pending => {
            if has_cdr {
                failpoint("cdr.published_no_confirm");
            }
            publishing.await
        }
    };
    let refusal = |answer| Result::as_ref(answer).err();
    if let Some(refusal) = answers.iter().filter(|answer| !is_settled(outlet, answer)).find_map(refusal) {
        tracing::debug!(destination = outlet.as_str(), %refusal, "some events were not confirmed and will be told again");
    }
    confirmed.extend(ids.iter().zip(&answers).filter(|(_, answer)| is_settled(outlet, answer)).map(|(id, _)| *id));
    if has_cdr {
        failpoint("cdr.confirmed_not_marked");
    }
    if confirmed.is_empty() { Progress::Stuck } else { Progress::Confirmed }
}

/// Confirmed, or never to be: a reply to a source that reads none (the command line) has no queue to go to.
fn is_settled(outlet: Outlet, answer: &Result<(), PublishError>) -> bool {
    match answer {
        Ok(()) => true,
        Err(PublishError::Unroutable(_)) => outlet == Outlet::Replies,
        Err(PublishError::Invalid(why)) => {
            tracing::error!(destination = outlet.as_str(), why, "an event that cannot be published is left out");
            true
        }
        Err(_) => false,
    }
}

/// Until somebody says that rows were written, but not before it is time; or for so long, because other processes write rows
/// too.
async fn wait_for_rows(store: &Store, outlet: Outlet, at_most: Duration, not_before: Instant, done: &Shutdown) {
    let written = async {
        store.outbox_written(outlet).await;
        tokio::time::sleep_until(not_before).await;
    };
    tokio::select! {
        () = written => {}
        () = tokio::time::sleep(at_most) => {}
        () = done.wait() => {}
    }
}

fn addressed(row: OutboxRow) -> (Destination, Message) {
    let destination = match row.destination {
        Outlet::Replies => Destination::Replies { source: row.routing_key },
        Outlet::Billing => Destination::Billing { leg: row.routing_key },
        Outlet::Log => Destination::Log { routing_key: row.routing_key },
    };
    (destination, Message { id: row.event_id, kind: row.kind, body: row.body })
}

async fn pause(time: Duration, done: &Shutdown) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = done.wait() => {}
    }
}
