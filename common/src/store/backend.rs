//! The two databases and how they are opened. `on!` and `change!` write one SQL text for both.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use super::StoreConfig;
use super::error::StoreError;
use crate::private;

/// Nothing asked of the database may take longer; then it counts as away.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What every connection asks of the server: a client that is frozen or whose host is lost keeps no row locked from others, and
/// nobody waits for long for the rows of somebody else. sqlx sets nothing on our end of a connection; there our patience ends first.
const MANNERS: [(&str, &str); 6] = [
    ("idle_in_transaction_session_timeout", "5000"),
    ("lock_timeout", "2000"),
    ("tcp_user_timeout", "15000"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// How long SQLite waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// One connection writes, a few read; WAL lets them do both at once.
#[derive(Debug)]
pub struct Sqlite {
    pub write: SqlitePool,
    pub read: SqlitePool,
    pub file: PathBuf,
}

#[derive(Debug)]
pub struct Postgres {
    pub write: PgPool,
    pub read: PgPool,
    pub options: Box<PgConnectOptions>,
    /// For what happens at every callback.
    pub lines: Lines,
}

impl Backend {
    pub async fn open(config: &StoreConfig) -> Result<Backend, StoreError> {
        match config.url.split(':').next() {
            Some("sqlite") => Ok(Backend::Sqlite(Sqlite::open(config).await?)),
            Some("postgres" | "postgresql") => Ok(Backend::Postgres(Postgres::open(config).await?)),
            _ => Err(StoreError::Invalid(
                "[store] url is sqlite:///path/to/ringback.db or postgres://user:password@host/database".to_owned(),
            )),
        }
    }

    pub async fn close(&self) {
        match self {
            Backend::Sqlite(db) => {
                db.read.close().await;
                db.write.close().await;
            }
            Backend::Postgres(db) => {
                db.lines.hang_up();
                db.write.close().await;
            }
        }
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Backend::Sqlite(db) => db.write.is_closed(),
            Backend::Postgres(db) => db.write.is_closed(),
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self, Backend::Postgres(_))
    }

    /// Locks the rows of a SELECT against change; SQLite's one writer needs no such thing.
    pub fn share(&self) -> &'static str {
        if self.is_postgres() { "FOR SHARE" } else { "" }
    }

    /// Locks the rows of a SELECT and passes over those that another one has locked.
    pub fn skip_locked(&self) -> &'static str {
        if self.is_postgres() { "FOR UPDATE SKIP LOCKED" } else { "" }
    }

    /// A condition that the column is in a JSON array of texts given as parameter `$n`.
    pub fn among(&self, column: &str, n: u8) -> String {
        match self {
            Backend::Sqlite(_) => format!("{column} IN (SELECT value FROM json_each(${n}))"),
            Backend::Postgres(_) => format!("{column} = ANY (ARRAY(SELECT jsonb_array_elements_text(${n}::jsonb)))"),
        }
    }
}

impl Sqlite {
    async fn open(config: &StoreConfig) -> Result<Sqlite, StoreError> {
        let options = SqliteConnectOptions::from_str(&config.url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("secure_delete", "ON")
            .statement_cache_capacity(200)
            .disable_statement_logging();
        let file = options.get_filename().to_owned();
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let cannot =
                |error| StoreError::Unavailable(format!("cannot make the folder {}: {error}", folder.display()));
            private::folder(folder).map_err(cannot)?;
        }
        make_private(&file)?;
        // A transaction that ended in an error (a full disk, an answer that nobody waited for) may be open or not: its connection is
        // thrown away.
        let single = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }));
        let write = open_embedded(single, options.clone()).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(config.connections.clamp(1, 4))
            .acquire_timeout(BUSY)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Ok(Sqlite { write, read, file })
    }
}

/// Opens the file. Whoever switches a new file to WAL while another does the same is told at once that it is locked: SQLite
/// does not wait there, so we do.
pub(crate) async fn open_embedded(pool: SqlitePoolOptions, file: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let patience = tokio::time::Instant::now() + BUSY;
    loop {
        let answer = pool.clone().connect_with(file.clone()).await;
        if !matches!(&answer, Err(sqlx::Error::Database(error)) if is_busy(&**error))
            || tokio::time::Instant::now() >= patience
        {
            return answer;
        }
        drop(answer);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// SQLITE_BUSY in any of its extended forms.
fn is_busy(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xFF == 5)
}

/// Makes a new database's file for its owner alone; SQLite gives the files beside it the same rights.
pub(crate) fn make_private(file: &Path) -> Result<(), StoreError> {
    let missing = file.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let made = if missing { private::file(file, b"") } else { Ok(()) };
    made.map_err(|error| StoreError::Unavailable(format!("cannot make {}: {error}", file.display())))
}

impl Postgres {
    async fn open(config: &StoreConfig) -> Result<Postgres, StoreError> {
        let options =
            PgConnectOptions::from_str(&config.url)?.application_name("ringback").statement_cache_capacity(200);
        let options = options.options(MANNERS);
        let pool = PgPoolOptions::new()
            .max_connections(config.connections.max(2))
            .acquire_timeout(Duration::from_secs(4))
            .test_before_acquire(false)
            .before_acquire(|connection, meta| Box::pin(async move { still_there(connection, meta.idle_for).await }))
            .connect_with(options.clone())
            .await?;
        Ok(Postgres { write: pool.clone(), read: pool, options: Box::new(options), lines: Lines::default() })
    }
}

impl Postgres {
    /// A connection of one's own that waits only so many milliseconds for the rows of others.
    pub async fn connect_waiting(&self, lock_timeout_ms: u32) -> Result<PgConnection, StoreError> {
        let options = self.options.as_ref().clone().options([("lock_timeout", lock_timeout_ms)]);
        let refused = |error: sqlx::Error| StoreError::Unavailable(error.to_string());
        PgConnection::connect_with(&options).await.map_err(refused)
    }
}

/// Connections for the hot paths. sqlx's pool asks a connection whether it is well each time it comes back, a round trip
/// more; here one that failed, or whose caller went away, is simply not kept.
#[derive(Debug, Default)]
pub struct Lines {
    idle: Mutex<Vec<PgConnection>>,
}

impl Lines {
    /// Runs one statement on an idle connection or a new one.
    pub async fn run<T>(
        &self,
        db: &Postgres,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let answer = tokio::time::timeout(PATIENCE, async {
            let idle = self.idle().pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => PgConnection::connect_with(&db.options).await?,
            };
            let answer = work(&mut connection).await;
            match &answer {
                Err(StoreError::Unavailable(_)) => self.idle().clear(),
                _ => self.idle().push(connection),
            }
            answer
        });
        answer.await.unwrap_or_else(|_| Err(too_late()))
    }

    pub fn hang_up(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a pooled connection still works. Busy ones are not asked: a round trip costs as much as the work itself.
async fn still_there(connection: &mut PgConnection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    if idle_for < Duration::from_secs(1) {
        return Ok(true);
    }
    let answered = tokio::time::timeout(Duration::from_secs(1), connection.ping()).await;
    Ok(matches!(answered, Ok(Ok(()))))
}

/// The wall clock, to the millisecond: what both databases keep.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

/// Reads from either database: `on!(store, read, pool => future of Result<_, StoreError>)`.
macro_rules! on {
    ($store:expr, $which:ident, $pool:ident => $body:expr) => {{
        let store: &$crate::store::Store = $store;
        let answer = tokio::time::timeout($crate::store::backend::PATIENCE, async {
            match &store.inner.backend {
                $crate::store::backend::Backend::Sqlite(db) => {
                    let $pool = &db.$which;
                    $body
                }
                $crate::store::backend::Backend::Postgres(db) => {
                    let $pool = &db.$which;
                    $body
                }
            }
        })
        .await
        .unwrap_or_else(|_| Err($crate::store::backend::too_late()));
        store.note(answer)
    }};
}

/// One transaction on either database; `tx` is a connection. What errs is rolled back.
macro_rules! change {
    ($store:expr, $tx:ident => $body:expr) => {{
        let store: &$crate::store::Store = $store;
        let answer = tokio::time::timeout($crate::store::backend::PATIENCE, async {
            match &store.inner.backend {
                $crate::store::backend::Backend::Sqlite(db) => {
                    let mut guard = db.write.begin_with("BEGIN IMMEDIATE").await?;
                    let $tx = &mut *guard;
                    let answer: Result<_, $crate::store::StoreError> = async { $body }.await;
                    let answer = answer?;
                    guard.commit().await?;
                    Ok(answer)
                }
                $crate::store::backend::Backend::Postgres(db) => {
                    let mut guard = db.write.begin().await?;
                    let $tx = &mut *guard;
                    let answer: Result<_, $crate::store::StoreError> = async { $body }.await;
                    let answer = answer?;
                    guard.commit().await?;
                    Ok(answer)
                }
            }
        })
        .await
        .unwrap_or_else(|_| Err($crate::store::backend::too_late()));
        store.note(answer)
    }};
}

pub fn too_late() -> StoreError {
    StoreError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()))
}

pub(super) use {change, on};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Money;
    use crate::store::Store;

    /// As a full disk does: the transaction is over, and nobody was told.
    #[tokio::test]
    async fn a_transaction_that_the_database_has_ended_by_itself_wedges_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        let store = Store::open(&StoreConfig { url, ..StoreConfig::default() }).await.expect("the store opens");
        let Backend::Sqlite(db) = &store.inner.backend else { panic!("embedded") };
        let ended = async {
            let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
            let twice = "INSERT OR ROLLBACK INTO meta (key, value) VALUES ('k', '1'), ('k', '2')";
            sqlx::query(twice).execute(&mut *tx).await?;
            tx.commit().await
        };
        assert!(ended.await.is_err());
        for prefix in ["44", "49"] {
            store.set_rate(prefix, None, Money(1)).await.expect("a transaction begins and ends");
        }
        assert_eq!(store.rates().await.expect("read").len(), 4);
    }

    /// Whoever makes the file has it locked for a moment; SQLite does not wait for that by itself.
    #[tokio::test]
    async fn a_new_file_that_another_one_is_making_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ringback.db");
        let plain = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut other = plain.connect().await.expect("the file is made");
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.expect("it is locked");
        let wal = SqliteConnectOptions::new().filename(&path).journal_mode(SqliteJournalMode::Wal);
        let opening = tokio::spawn(open_embedded(SqlitePoolOptions::new(), wal.busy_timeout(Duration::ZERO)));
        tokio::time::sleep(Duration::from_millis(200)).await;
        sqlx::query("COMMIT").execute(&mut other).await.expect("it is free");
        opening.await.expect("no panic").expect("it opens once the file is free");
    }
}
