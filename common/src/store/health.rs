//! Whether the store can be worked with, as far as this process has seen. All being well nothing is asked. What was refused or
//! not answered once (a full disk, a standby, a database that is away) counts as away until a write that looks like real ones
//! was answered: small ones may still find room where those of a call do not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Database, Encode, Executor, IntoArguments, Type};
use tokio::time::{sleep, timeout};

use super::backend::Backend;
use super::error::StoreError;
use super::{Inner, Store};

/// Between two writes that try.
const PERIOD: Duration = Duration::from_millis(500);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of it: some pages of either database.
const PROBE: usize = 1 << 16;

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
        let Some(inner) = store.upgrade().filter(|inner| !inner.backend.is_closed()) else { return };
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

/// On a connection of its own where there may be many: one that hangs keeps no other from working.
async fn probe(backend: &Backend) -> Result<(), sqlx::Error> {
    match backend {
        Backend::Sqlite(db) => write(&mut *db.write.acquire().await?).await,
        Backend::Postgres(db) => {
            let mut connection = PgConnection::connect_with(&db.options).await?;
            write(&mut connection).await?;
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
