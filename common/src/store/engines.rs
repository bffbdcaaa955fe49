//! Ownership: engines, their beats, and who takes over from a silent one (every guard of it is an UPDATE that must hit a row).

use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::backend::{Backend, PATIENCE, Postgres, change, on, too_late};
use super::columns::Columns;
use super::error::StoreError;
use super::rows::{Beat, Me, OwnedRequest, Peer, Registered};
use super::{Store, owned, postgres};

/// A beat that is not answered in this time has failed.
const BEAT: Duration = Duration::from_secs(1);
/// Somebody who has our row locked is waited for a little less, so that no backend is left waiting.
const LOCKED_MS: u32 = 800;

/// The beat's own connection, so that no other work delays it.
#[derive(Debug, Default)]
pub struct Pulse {
    connection: Mutex<Option<PgConnection>>,
}

impl Store {
    /// Begins a new incarnation of this engine and hands it its own unfinished requests, epochs raised.
    pub async fn register_engine(&self, id: &str) -> Result<Registered, StoreError> {
        if let Backend::Postgres(db) = &self.inner.backend {
            let (incarnation, jobs) = self.in_time(postgres::register(db, id)).await?;
            let me = Me { id: id.to_owned(), incarnation };
            return Ok(Registered { me, requests: self.load(&jobs).await? });
        }
        change!(self, tx => {
            let raise = sqlx::query_scalar(
                "INSERT INTO engines (id, incarnation, beat, retired) VALUES ($1, 1, 0, FALSE)
                 ON CONFLICT (id) DO UPDATE SET incarnation = engines.incarnation + 1, retired = FALSE RETURNING incarnation",
            );
            let incarnation: i64 = raise.bind(id).fetch_one(&mut *tx).await?;
            let own = sqlx::query_scalar(
                "UPDATE callback_requests SET epoch = epoch + 1, step = 0 WHERE owner = $1 AND NOT finished RETURNING job_id",
            );
            let jobs: Vec<String> = own.bind(id).fetch_all(&mut *tx).await?;
            let requests = owned::load(&mut *tx, &self.inner.backend, &jobs).await?;
            Ok(Registered { me: Me { id: id.to_owned(), incarnation }, requests })
        })
    }

    /// Says that this engine lives. An answer comes within a second or it is `Unavailable`.
    pub async fn beat(&self, me: &Me) -> Result<Beat, StoreError> {
        const SQL: &str = "UPDATE engines SET beat = beat + 1 WHERE id = $1 AND incarnation = $2";
        let hit = match &self.inner.backend {
            Backend::Sqlite(db) => {
                let beat = sqlx::query(SQL).bind(&me.id).bind(me.incarnation).execute(&db.write);
                match timeout(BEAT, beat).await {
                    Ok(done) => done.map(|done| done.rows_affected() == 1).map_err(StoreError::from),
                    Err(_) => Err(StoreError::Unavailable("no answer to a beat".to_owned())),
                }
            }
            Backend::Postgres(db) => self.inner.pulse.strike(db, SQL, me).await,
        };
        self.note(hit).map_err(no_answer).map(|hit| if hit { Beat::Alive } else { Beat::Fenced })
    }

    /// Whether this engine's calls are still its own; reads only. For a supervisor whose beat is late.
    pub async fn standing(&self, me: &Me) -> Result<Beat, StoreError> {
        const SQL: &str = "SELECT 1 FROM engines WHERE id = $1 AND incarnation = $2";
        match &self.inner.backend {
            Backend::Postgres(db) => self.inner.pulse.strike(db, SQL, me).await,
            Backend::Sqlite(db) => {
                let found =
                    timeout(BEAT, sqlx::query(SQL).bind(&me.id).bind(me.incarnation).fetch_optional(&db.read)).await;
                Ok(found.map_err(|_| StoreError::Unavailable("no answer to a question".to_owned()))??.is_some())
            }
        }
        .map_err(no_answer)
        .map(|hit| if hit { Beat::Alive } else { Beat::Fenced })
    }

    /// The other engines that have not left in good order and were not adopted.
    pub async fn peers(&self, me: &Me) -> Result<Vec<Peer>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query("SELECT id, incarnation, beat FROM engines WHERE id <> $1 AND NOT retired ORDER BY id");
            let rows = query.bind(&me.id).fetch_all(pool).await?;
            rows.iter()
                .map(|row| Ok(Peer { id: row.text("id")?, incarnation: row.int("incarnation")?, beat: row.int("beat")? }))
                .collect()
        })
    }

    /// Takes over the unfinished requests of an engine whose beat and incarnation are still as they were seen. `None`: it beat
    /// again, or somebody else was first.
    pub async fn adopt(&self, dead: &Peer, me: &Me) -> Result<Option<Vec<OwnedRequest>>, StoreError> {
        if let Backend::Postgres(db) = &self.inner.backend {
            return match self.in_time(postgres::adopt(db, dead, me)).await? {
                Some(jobs) => self.load(&jobs).await.map(Some),
                None => Ok(None),
            };
        }
        change!(self, tx => {
            let fence = sqlx::query(
                "UPDATE engines SET incarnation = incarnation + 1, retired = TRUE
                  WHERE id = $1 AND beat = $2 AND incarnation = $3",
            );
            let fenced = fence.bind(&dead.id).bind(dead.beat).bind(dead.incarnation).execute(&mut *tx).await?;
            if fenced.rows_affected() != 1 {
                return Ok(None);
            }
            let alive = sqlx::query("SELECT 1 FROM engines WHERE id = $1 AND incarnation = $2").bind(&me.id).bind(me.incarnation);
            if alive.fetch_optional(&mut *tx).await?.is_none() {
                return Err(StoreError::Fenced);
            }
            let take = sqlx::query_scalar(
                "UPDATE callback_requests SET owner = $1, epoch = epoch + 1, step = 0
                  WHERE owner = $2 AND NOT finished RETURNING job_id",
            );
            let jobs: Vec<String> = take.bind(&me.id).bind(&dead.id).fetch_all(&mut *tx).await?;
            owned::load(&mut *tx, &self.inner.backend, &jobs).await.map(Some)
        })
    }

    /// Leaves in good order: nobody watches this engine any more, its outbox leases are free. Its requests, if any are left,
    /// stay its own until it comes back.
    pub async fn leave(&self, me: &Me) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let free = sqlx::query("UPDATE outbox_leases SET engine = NULL WHERE engine = $1 AND incarnation = $2");
            free.bind(&me.id).bind(me.incarnation).execute(pool).await?;
            let retire = sqlx::query(
                "UPDATE engines SET retired = TRUE WHERE id = $1 AND incarnation = $2
                    AND NOT EXISTS (SELECT 1 FROM callback_requests WHERE owner = $1 AND NOT finished)",
            );
            retire.bind(&me.id).bind(me.incarnation).execute(pool).await?;
            Ok(())
        })
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.note(timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(too_late())))
    }

    /// Everything that belongs to these jobs. Whatever made them ours is over: nothing stays locked while they are read.
    pub(super) async fn load(&self, jobs: &[String]) -> Result<Vec<OwnedRequest>, StoreError> {
        on!(self, write, pool => {
            let mut connection = pool.acquire().await?;
            owned::load(&mut *connection, &self.inner.backend, jobs).await
        })
    }
}

/// A row that somebody has locked says neither yes nor no.
fn no_answer(error: StoreError) -> StoreError {
    match error {
        StoreError::Locked(reason) => StoreError::Unavailable(reason),
        other => other,
    }
}

impl Pulse {
    /// Runs one guarded statement and tells whether it hit a row. Connecting and answering get a second each; after a failure the next
    /// one starts with a new connection.
    async fn strike(&self, db: &Postgres, sql: &'static str, me: &Me) -> Result<bool, StoreError> {
        let late = |what: &str| StoreError::Unavailable(format!("{what} took more than a second"));
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => timeout(BEAT, db.connect_waiting(LOCKED_MS)).await.map_err(|_| late("connecting"))??,
        };
        let update = sqlx::query(sql).bind(&me.id).bind(me.incarnation).execute(&mut connection);
        let done = timeout(BEAT, update).await.map_err(|_| late("a beat"))?.map_err(StoreError::from);
        if matches!(done, Ok(_) | Err(StoreError::Locked(_))) {
            *slot = Some(connection);
        }
        Ok(done?.rows_affected() == 1)
    }
}
