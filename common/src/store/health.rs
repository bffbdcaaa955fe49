//! Whether the store can be worked with, as far as this process has seen. All being well nothing is asked. What was refused or
//! not answered once (a full disk, a standby, a database that is away) counts as away until a write that looks like real ones
//! was answered: small ones may still find room where those of a call do not. A process that seldom writes looks each second whether it
//! could, and hears of those who could not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Database, Encode, Executor, IntoArguments, Type};
use tokio::time::{sleep, timeout};

use super::backend::{self, Backend, too_late};
use super::error::StoreError;
use super::{Inner, Store, wake};

/// Between two writes that try.
const PERIOD: Duration = Duration::from_millis(500);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of it: some pages of either database.
const PROBE: usize = 1 << 16;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Where PostgreSQL tells the others that one could not write.
const CHANNEL: &str = "ringback_away";

/// What has been seen.
#[derive(Debug, Default)]
pub struct Health {
    away: AtomicBool,
}

impl Store {
    /// Whether what was asked of the database lately was answered, and writing works.
    pub fn healthy(&self) -> bool {
        !self.inner.health.away.load(Ordering::Relaxed)
    }

    /// Nothing new begins while the database is away.
    ///
    /// # Errors
    /// It is.
    pub fn ready_to_begin(&self) -> Result<(), StoreError> {
        let away = || StoreError::Unavailable("what was written last was not taken".to_owned());
        self.healthy().then_some(()).ok_or_else(away)
    }

    /// From now on this process knows within about a second that a PostgreSQL is away, read-only or full, although it writes nothing
    /// itself. Beside an embedded database there is nobody who seldom writes: its queue is in the same file.
    pub fn keep_watch(&self) {
        if let Backend::Postgres(db) = &self.inner.backend {
            tokio::spawn(watch(Arc::downgrade(&self.inner), db.options.as_ref().clone()));
        }
    }

    /// Every answer passes here.
    pub(super) fn note<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Unavailable(reason)) = &answer
            && !self.inner.health.away.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%reason, "the store is away: nothing new begins until it can be written to");
            tokio::spawn(probe_until_it_takes(Arc::downgrade(&self.inner)));
        }
        answer
    }
}

/// Ends when a write was taken, or nobody has the store any more.
async fn probe_until_it_takes(store: Weak<Inner>) {
    loop {
        let Some(inner) = held(&store) else { return };
        match timeout(PATIENCE, probe(&inner.backend)).await {
            Ok(Ok(())) => {
                tracing::info!("the store can be written to again");
                inner.health.away.store(false, Ordering::Relaxed);
                inner.wake.here();
                return;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the store is still away"),
            Err(_) => tracing::debug!("the store still does not answer"),
        }
        drop(inner);
        sleep(PERIOD).await;
    }
}

/// The store, while anybody has it.
fn held(store: &Weak<Inner>) -> Option<Arc<Inner>> {
    store.upgrade().filter(|inner| !inner.backend.is_closed())
}

/// Ends when nobody has the store any more.
async fn watch(store: Weak<Inner>, options: PgConnectOptions) {
    while held(&store).is_some() {
        let answer = look(&store, &options).await;
        let Some(inner) = held(&store) else { return };
        let _ = Store { inner }.note(answer);
        sleep(LOOK).await;
    }
}

/// On a connection of its own, until that breaks.
async fn look(store: &Weak<Inner>, options: &PgConnectOptions) -> Result<(), StoreError> {
    const READ_ONLY: &str = "SELECT current_setting('transaction_read_only')::boolean";
    let mut ear = in_time(wake::listen(options, CHANNEL)).await?;
    while let Some(inner) = held(store) {
        let read_only: bool = in_time(sqlx::query_scalar(READ_ONLY).fetch_one(&mut ear)).await?;
        let others = std::iter::from_fn(|| ear.next_buffered()).count();
        let away = |reason: &str| Err(StoreError::Unavailable(reason.to_owned()));
        let _ = Store { inner }.note(match (read_only, others) {
            (true, _) => away("it is read-only"),
            (false, 0) => Ok(()),
            (false, _) => away("another process could not write"),
        });
        sleep(LOOK).await;
    }
    Ok(())
}

async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    Ok(timeout(backend::PATIENCE, answer).await.map_err(|_| too_late())??)
}

/// On a connection of its own where there may be many: one that hangs keeps no other from working.
async fn probe(backend: &Backend) -> Result<(), sqlx::Error> {
    match backend {
        Backend::Sqlite(db) => write(&mut *db.write.acquire().await?).await,
        Backend::Postgres(db) => {
            let mut connection = PgConnection::connect_with(&db.options).await?;
            if let Err(error) = write(&mut connection).await {
                sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut connection).await?;
                return Err(error);
            }
            connection.close().await
        }
    }
}

/// Text that no database can press together, written and taken away again.
async fn write<C>(connection: &mut C) -> Result<(), sqlx::Error>
where
    C: Connection<Database: Database<Arguments: IntoArguments<C::Database>>>,
    String: Type<C::Database> + for<'q> Encode<'q, C::Database>,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    const KEY: &str = "probe";
    let text: String = rand::rng().sample_iter(Alphanumeric).take(PROBE).map(char::from).collect();
    let write = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    sqlx::query(write).bind(KEY.to_owned()).bind(text).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM meta WHERE key = $1").bind(KEY.to_owned()).execute(connection).await?;
    Ok(())
}
