//! Requests: taken from the queue, claimed when due, cancelled by anyone, found again.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::backend::{Backend, PATIENCE, change, now, on, too_late};
use super::columns::Columns;
use super::error::StoreError;
use super::rows::{Alive, Me, OwnedRequest, RequestFilter, RequestRow, RequestStory, Take, Taken};
use super::{Store, owned, postgres, sqlite};
use crate::job::JobId;
use crate::terms::Cli;

/// How long after a wish the same one from another source is the same callback, where nobody says otherwise.
const SAME_CALL_WINDOW: Duration = Duration::from_secs(30);

/// Which callbacks stand in the way of another one: the one place where this is said.
pub(super) const SAME_CALL: &str = include_str!("../../migrations/same_call.sql");

/// A callback that is wished for.
#[derive(Clone, Copy, Debug)]
pub struct Wished<'a> {
    /// Who pays.
    pub account_id: i64,
    /// The first party.
    pub a: &'a str,
    /// The second party.
    pub b: Option<&'a str>,
    /// Its job.
    pub job: &'a JobId,
    /// Which way it came.
    pub source: &'a str,
}

/// What a cancel met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancelling {
    /// No such job yet; should it come, it is cancelled.
    Remembered,
    /// Not run by anyone: an engine ends it within a second.
    Waiting,
    /// Its engine ends it within a second.
    Running,
    /// Too late.
    Finished,
}

impl Take {
    /// Sippy's `original_cli`: who sent the message, else the first party.
    pub(super) fn original_cli(&self) -> &str {
        self.job.sender.as_deref().unwrap_or(self.job.a.as_str())
    }

    /// Sippy's `original_cld`: what the application is called by.
    pub(super) fn original_cld(&self) -> Option<&str> {
        self.job.terms.session.as_ref().map(|session| session.cld.as_str())
    }

    /// Sippy's `original_set_cli`: what A sees, where the message said so.
    pub(super) fn original_set_cli(&self) -> Option<&str> {
        self.job.terms.cli_a.as_ref().map(Cli::as_str)
    }

    /// Sippy's `anon_acct_enabled` and `default_user_used`.
    pub(super) fn accounting(&self) -> (bool, bool) {
        let session = self.job.terms.session.as_ref();
        session.map_or((true, false), |session| (session.anon_acct_enabled, session.default_user_used))
    }

    /// The wish as it is kept.
    pub(super) fn json(&self) -> Result<String, StoreError> {
        serde_json::to_string(&self.job).map_err(|error| StoreError::Invalid(format!("job {}: {error}", self.job.id)))
    }
}

/// PostgreSQL keeps no NUL in a text; a forged job may have one.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) }
}

/// Both databases write moments with four digits for the year; a forged job may name another.
pub(super) fn writable(moment: DateTime<Utc>) -> DateTime<Utc> {
    let earliest = DateTime::UNIX_EPOCH;
    let latest = earliest + TimeDelta::days(365 * 2_000);
    moment.clamp(earliest, latest).trunc_subsecs(3)
}

impl Store {
    /// Takes jobs over from the queue, in one transaction: afterwards the deliveries may be acknowledged. A job that is claimed
    /// belongs to this engine with the epoch in the answer.
    ///
    /// # Errors
    /// `Fenced` when another engine has adopted this one's calls; nothing is written then.
    pub async fn take(&self, me: &Me, takes: &[Take]) -> Result<Vec<Taken>, StoreError> {
        self.take_apart(me, takes, SAME_CALL_WINDOW).await
    }

    /// [`Store::take`], where the same account, A and B asked for by two sources within `same_call` are one callback.
    ///
    /// # Errors
    /// `Fenced` when another engine has adopted this one's calls; nothing is written then.
    pub async fn take_apart(&self, me: &Me, takes: &[Take], same_call: Duration) -> Result<Vec<Taken>, StoreError> {
        self.ready_to_begin()?;
        let take = async {
            match &self.inner.backend {
                Backend::Sqlite(db) => sqlite::take(db, me, takes, same_call).await,
                Backend::Postgres(db) => postgres::take(db, me, takes, same_call).await,
            }
        };
        self.note(tokio::time::timeout(PATIENCE, take).await.unwrap_or_else(|_| Err(too_late())))
    }

    /// Claims due requests, oldest first, at most `slots`. Two engines never get the same one; cancelled and expired ones are
    /// left to [`Store::claim_ended`].
    ///
    /// # Errors
    /// `Fenced` when another engine has adopted this one's calls, whether anything is due or not.
    pub async fn claim_due(&self, me: &Me, slots: u32) -> Result<Vec<OwnedRequest>, StoreError> {
        let due = "NOT r.canceled AND NOT r.twin AND r.next_call <= {now} AND r.not_after > {now} AND NOT EXISTS (SELECT 1 FROM cancels c WHERE c.job_id = r.job_id)";
        self.claim(me, due, slots).await
    }

    /// Claims requests that nobody runs and that were cancelled, came too late or are the twin of another, so that this engine tells the world and
    /// finishes them. Wants no slot.
    ///
    /// # Errors
    /// As [`Store::claim_due`].
    pub async fn claim_ended(&self, me: &Me, limit: u32) -> Result<Vec<OwnedRequest>, StoreError> {
        self.claim(me, "(r.canceled OR r.twin OR r.not_after <= {now})", limit).await
    }

    /// `{now}` is the clock by which the rows were written: the server's, or on SQLite our own.
    async fn claim(&self, me: &Me, which: &str, limit: u32) -> Result<Vec<OwnedRequest>, StoreError> {
        self.ready_to_begin()?;
        let is_postgres = self.inner.backend.is_postgres();
        let clock = |own: &str| which.replace("{now}", if is_postgres { "clock_timestamp()" } else { own });
        let mine = "EXISTS (SELECT 1 FROM engines WHERE id = $1 AND incarnation = $2)";
        let open = "r.owner IS NULL AND NOT r.finished";
        let any = format!(
            "SELECT {mine} AS mine, EXISTS (SELECT 1 FROM callback_requests r WHERE {open} AND {}) AS found",
            clock("$3")
        );
        let (mine_still, found) = on!(self, read, pool => {
            let query = sqlx::query(AssertSqlSafe(any.as_str())).bind(&me.id).bind(me.incarnation);
            let query = if is_postgres { query } else { query.bind(now()) };
            let row = query.fetch_one(pool).await?;
            Ok((row.flag("mine")?, row.flag("found")?))
        })?;
        if !mine_still {
            return Err(StoreError::Fenced);
        }
        if !found || limit == 0 {
            return Ok(Vec::new());
        }
        let (share, skip) = (self.inner.backend.share(), self.inner.backend.skip_locked());
        let claim = format!(
            "WITH due AS MATERIALIZED (SELECT r.job_id FROM callback_requests r WHERE {open} AND {}
                                       ORDER BY r.next_call LIMIT $3 {skip})
             UPDATE callback_requests SET owner = $1, epoch = epoch + 1, step = 0
              WHERE job_id IN (SELECT job_id FROM due)
                AND EXISTS (SELECT 1 FROM engines WHERE id = $1 AND incarnation = $2 {share}) RETURNING job_id",
            clock("$4")
        );
        // One statement: an engine that is frozen between two keeps no row of `engines` locked.
        let jobs: Vec<String> = on!(self, write, pool => {
            let query = sqlx::query_scalar(AssertSqlSafe(claim.as_str())).bind(&me.id).bind(me.incarnation).bind(i64::from(limit));
            let query = if is_postgres { query } else { query.bind(now()) };
            Ok(query.fetch_all(pool).await?)
        })?;
        self.load(&jobs).await
    }

    /// Requests that this engine owns without knowing, because an answer was lost after a take or a claim was written, and those
    /// of engines that were adopted, which somebody had locked at that moment. `known` are the jobs that this engine does run.
    pub async fn strays(&self, me: &Me, known: &[JobId]) -> Result<Vec<OwnedRequest>, StoreError> {
        let known = owned::list(known.iter().map(JobId::as_str));
        let among = self.inner.backend.among("r.job_id", 2);
        let (share, skip) = (self.inner.backend.share(), self.inner.backend.skip_locked());
        let raise = format!(
            "WITH stray AS MATERIALIZED (SELECT r.job_id FROM callback_requests r
                                          WHERE NOT r.finished AND NOT ({among})
                                            AND (r.owner = $1 OR r.owner IN (SELECT id FROM engines WHERE retired)) {skip})
             UPDATE callback_requests SET owner = $1, epoch = epoch + 1, step = 0
              WHERE job_id IN (SELECT job_id FROM stray)
                AND EXISTS (SELECT 1 FROM engines WHERE id = $1 AND incarnation = $3 {share}) RETURNING job_id"
        );
        let jobs: Vec<String> = on!(self, write, pool => {
            let raise = sqlx::query_scalar(AssertSqlSafe(raise.as_str())).bind(&me.id).bind(&known).bind(me.incarnation);
            Ok(raise.fetch_all(pool).await?)
        })?;
        self.load(&jobs).await
    }

    /// How many due requests wait for an engine.
    pub async fn due_backlog(&self) -> Result<i64, StoreError> {
        on!(self, read, pool => {
            let count = sqlx::query_scalar(
                "SELECT count(*) FROM callback_requests WHERE owner IS NULL AND NOT finished AND next_call <= $1",
            );
            Ok(count.bind(now()).fetch_one(pool).await?)
        })
    }

    /// Cancels a job, whether it is here already or not.
    pub async fn cancel(&self, job: &JobId) -> Result<Cancelling, StoreError> {
        let met = change!(self, tx => {
            if self.inner.backend.is_postgres() {
                let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(job.as_str());
                lock.execute(&mut *tx).await?;
            }
            let remember = sqlx::query("INSERT INTO cancels (job_id, created) VALUES ($1, $2) ON CONFLICT DO NOTHING");
            remember.bind(job.as_str()).bind(now()).execute(&mut *tx).await?;
            let mark = sqlx::query(
                "UPDATE callback_requests SET canceled = CASE WHEN finished THEN canceled ELSE TRUE END
                  WHERE job_id = $1 RETURNING finished, owner",
            );
            let row = mark.bind(job.as_str()).fetch_optional(&mut *tx).await?;
            let Some(row) = row else { return Ok(Cancelling::Remembered) };
            Ok(match (row.flag("finished")?, row.text_opt("owner")?) {
                (true, _) => Cancelling::Finished,
                (false, None) => Cancelling::Waiting,
                (false, Some(_)) => Cancelling::Running,
            })
        })?;
        self.wake().await;
        Ok(met)
    }

    /// This engine's live requests that somebody cancelled, or whose account was disabled.
    pub async fn cancelled_among(&self, me: &Me) -> Result<Vec<JobId>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query_scalar(
                "SELECT r.job_id FROM callback_requests r LEFT JOIN accounts a ON a.id = r.account_id
                  WHERE r.owner = $1 AND NOT r.finished AND (r.canceled OR NOT coalesce(a.enabled, TRUE))",
            );
            let jobs: Vec<String> = query.bind(&me.id).fetch_all(pool).await?;
            Ok(jobs.into_iter().map(JobId).collect())
        })
    }

    /// Says of live calls that they are alive: after a crash they are charged up to here. One statement for all of them. It
    /// passes over a row that a step is just writing: waiting for several such rows while holding others, each in its own
    /// order, is a deadlock.
    pub async fn alive(&self, me: &Me, calls: &[Alive]) -> Result<(), StoreError> {
        if calls.is_empty() {
            return Ok(());
        }
        let source = match self.inner.backend.is_postgres() {
            true => {
                "(SELECT said.* FROM jsonb_to_recordset($1::jsonb) AS said(job text, epoch bigint, alive_ms bigint)
                    JOIN callback_requests AS free ON free.job_id = said.job FOR NO KEY UPDATE OF free SKIP LOCKED) AS c"
            }
            false => {
                "(SELECT value->>'job' AS job, value->>'epoch' AS epoch, value->>'alive_ms' AS alive_ms FROM json_each($1)) AS c"
            }
        };
        let sql = format!(
            "UPDATE callback_requests AS r SET last_alive = $2, alive_ms = c.alive_ms FROM {source}
              WHERE r.job_id = c.job AND r.epoch = c.epoch AND r.owner = $3 AND NOT r.finished"
        );
        let calls = serde_json::to_string(calls).map_err(|error| StoreError::Invalid(error.to_string()))?;
        on!(self, write, pool => {
            sqlx::query(AssertSqlSafe(sql.as_str())).bind(&calls).bind(now()).bind(&me.id).execute(pool).await?;
            Ok(())
        })
    }

    /// Counts a panic that this job caused, and tells how many it is now.
    pub async fn poisoned(&self, job: &JobId, owner: &str, epoch: i64) -> Result<i64, StoreError> {
        on!(self, write, pool => {
            let query = sqlx::query_scalar(
                "UPDATE callback_requests SET poisoned = poisoned + 1
                  WHERE job_id = $1 AND owner = $2 AND epoch = $3 RETURNING poisoned",
            );
            query.bind(job.as_str()).bind(owner).bind(epoch).fetch_optional(pool).await?.ok_or(StoreError::Fenced)
        })
    }

    /// The request of this job.
    pub async fn find(&self, job: &JobId) -> Result<Option<RequestRow>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query("SELECT * FROM callback_requests WHERE job_id = $1").bind(job.as_str());
            query.fetch_optional(pool).await?.map(|row| RequestRow::read(&row)).transpose()
        })
    }

    /// The request of this job with its INVITEs, CDRs and hold.
    pub async fn story(&self, job: &JobId) -> Result<Option<RequestStory>, StoreError> {
        let mut all = change!(self, tx => {
            owned::load(&mut *tx, &self.inner.backend, std::slice::from_ref(&job.0)).await
        })?;
        Ok(all.pop().map(|one| RequestStory { row: one.row, invites: one.invites, cdrs: one.attempts, hold: one.hold }))
    }

    /// Requests, newest first.
    pub async fn list(&self, filter: &RequestFilter) -> Result<Vec<RequestRow>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(
                "SELECT * FROM callback_requests
                  WHERE ($1 IS NULL OR username = $1) AND ($2 IS NULL OR finished = $2) AND ($3 IS NULL OR creation_time >= $3)
                  ORDER BY i_callback_request DESC LIMIT $4",
            );
            let query = query.bind(&filter.account).bind(filter.finished).bind(filter.since).bind(i64::from(filter.limit));
            query.fetch_all(pool).await?.iter().map(RequestRow::read).collect()
        })
    }

    /// Whether this callback was asked for before: the same one is under way, or was made for a wish that came another way
    /// after `since`. The take holds wishes against the same rule.
    pub async fn same_call(&self, wished: &Wished<'_>, since: DateTime<Utc>) -> Result<bool, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(SAME_CALL).bind(wished.account_id).bind(wished.a).bind(wished.b);
            let query = query.bind(wished.job.as_str()).bind(wished.source).bind(since);
            Ok(query.fetch_optional(pool).await?.is_some())
        })
    }

    /// Those of these jobs that have a row.
    pub async fn stored_among(&self, jobs: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        let sql = format!("SELECT job_id FROM callback_requests WHERE {}", self.inner.backend.among("job_id", 1));
        let jobs = owned::list(jobs.iter().map(JobId::as_str));
        on!(self, read, pool => {
            let stored: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql.as_str())).bind(&jobs).fetch_all(pool).await?;
            Ok(stored.into_iter().map(JobId).collect())
        })
    }
}
