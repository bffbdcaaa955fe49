//! Retention: requests and CDRs for 90 days, outbox rows for 7 days after they were confirmed. The ledger is never purged.

use chrono::{DateTime, TimeDelta, Utc};

use super::Store;
use super::backend::change;
use super::error::StoreError;

const REQUESTS: TimeDelta = TimeDelta::days(90);
const OUTBOX: TimeDelta = TimeDelta::days(7);
/// Failed sign-ins are forgotten.
const FAILURES: TimeDelta = TimeDelta::days(1);
/// Rows of a table in one transaction at most, so that calls do not wait.
const AT_ONCE: i64 = 2_000;

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Finished requests, with their INVITEs, dialogs and replies.
    pub requests: u64,
    /// CDRs.
    pub cdrs: u64,
    /// Published outbox rows.
    pub outbox: u64,
    /// There is more: call again.
    pub more: bool,
}

impl Store {
    /// Removes what is old enough at `now`, a bounded number of rows at a time.
    pub async fn purge(&self, now: DateTime<Utc>) -> Result<Purged, StoreError> {
        let (requests, outbox, failures) = (now - REQUESTS, now - OUTBOX, now - FAILURES);
        change!(self, tx => {
            let old = sqlx::query_scalar(
                "SELECT job_id FROM callback_requests WHERE finished AND creation_time < $1 AND coalesce(disconnect_time, creation_time) < $1
                  ORDER BY creation_time LIMIT $2",
            );
            let jobs: Vec<String> = old.bind(requests).bind(AT_ONCE).fetch_all(&mut *tx).await?;
            for job in &jobs {
                for sql in [
                    "DELETE FROM invites WHERE job_id = $1",
                    "DELETE FROM dialogs WHERE job_id = $1",
                    "DELETE FROM replies WHERE job_id = $1",
                    "DELETE FROM callback_requests WHERE job_id = $1",
                ] {
                    sqlx::query(sql).bind(job).execute(&mut *tx).await?;
                }
            }
            let mut purged = Purged { requests: jobs.len() as u64, ..Purged::default() };
            let cdrs = sqlx::query(
                "DELETE FROM call_records WHERE cdr_id IN (SELECT cdr_id FROM call_records WHERE disconnect_time < $1 LIMIT $2)",
            );
            purged.cdrs = cdrs.bind(requests).bind(AT_ONCE).execute(&mut *tx).await?.rows_affected();
            let rows = sqlx::query("DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE published < $1 LIMIT $2)");
            purged.outbox = rows.bind(outbox).bind(AT_ONCE).execute(&mut *tx).await?.rows_affected();
            sqlx::query("DELETE FROM cancels WHERE created < $1").bind(requests).execute(&mut *tx).await?;
            let forget = sqlx::query(
                "DELETE FROM auth_failures WHERE window_start < $1 AND (locked_until IS NULL OR locked_until < $1)",
            );
            forget.bind(failures).execute(&mut *tx).await?;
            purged.more = [purged.requests, purged.cdrs, purged.outbox].iter().any(|rows| *rows >= AT_ONCE as u64);
            Ok(purged)
        })
    }
}
