//! Retention: what has outlived its time goes, a bounded number of rows at a time. The ledger is never purged; it has no
//! numbers in it.

use chrono::{DateTime, TimeDelta, Utc};

use super::Store;
use super::backend::{change, on};
use super::columns::Columns;
use super::error::StoreError;
use crate::config::RetentionConfig;
use crate::job::Job;

/// Failed sign-ins are forgotten.
const FAILURES: TimeDelta = TimeDelta::days(1);
/// A cancel whose job never came is forgotten: no job waits longer for an engine.
const CANCELS: TimeDelta = TimeDelta::days(8);
/// Rows of a table in one transaction at most, so that calls do not wait.
const AT_ONCE: i64 = 2_000;
/// The same for rows that are read and written one by one.
const AT_ONCE_EACH: i64 = 500;
/// Up to where requests have lost what their messages brought, and CDRs the end of their numbers.
const MESSAGES_UNTIL: &str = "messages_purged_until";
const NUMBERS_UNTIL: &str = "cdr_numbers_purged_until";

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Finished requests, with their INVITEs, dialogs and replies.
    pub requests: u64,
    /// CDRs.
    pub cdrs: u64,
    /// Published outbox rows.
    pub outbox: u64,
    /// Refusals.
    pub refusals: u64,
    /// Remembered replies whose request is gone.
    pub replies: u64,
    /// Cancels whose request is gone, or never came.
    pub cancels: u64,
    /// Requests that lost what their message brought.
    pub messages: u64,
    /// CDRs that lost the end of their numbers.
    pub numbers: u64,
    /// There is more: call again.
    pub more: bool,
}

impl Store {
    /// Removes what is old enough at `now`, a bounded number of rows at a time.
    pub async fn purge(&self, now: DateTime<Utc>, keep: &RetentionConfig) -> Result<Purged, StoreError> {
        let mut purged = self.purge_rows(now, keep).await?;
        purged.messages = self.purge_messages(now - TimeDelta::hours(keep.message_hours.into())).await?;
        purged.numbers = self.purge_numbers(now - RetentionConfig::days(keep.cdr_numbers_days)).await?;
        let full = [purged.requests, purged.cdrs, purged.outbox, purged.refusals, purged.replies, purged.cancels];
        purged.more = full.iter().any(|rows| *rows >= AT_ONCE as u64)
            || [purged.messages, purged.numbers].iter().any(|rows| *rows >= AT_ONCE_EACH as u64);
        Ok(purged)
    }

    async fn purge_rows(&self, now: DateTime<Utc>, keep: &RetentionConfig) -> Result<Purged, StoreError> {
        let ago = |days| now - RetentionConfig::days(days);
        let requests = ago(keep.requests_days);
        change!(self, tx => {
            let old = sqlx::query_scalar(
                "SELECT job_id FROM callback_requests WHERE finished AND creation_time < $1 AND coalesce(disconnect_time, creation_time) < $1
                  ORDER BY creation_time LIMIT $2",
            );
            let jobs: Vec<String> = old.bind(requests).bind(AT_ONCE).fetch_all(&mut *tx).await?;
            for job in &jobs {
                for sql in OF_A_REQUEST {
                    sqlx::query(sql).bind(job).execute(&mut *tx).await?;
                }
            }
            let mut purged = Purged { requests: jobs.len() as u64, ..Purged::default() };
            for (sql, before, gone) in [
                (
                    "DELETE FROM call_records WHERE cdr_id IN (SELECT cdr_id FROM call_records WHERE disconnect_time < $1 LIMIT $2)",
                    ago(keep.cdrs_days),
                    &mut purged.cdrs,
                ),
                (
                    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE published < $1 LIMIT $2)",
                    ago(keep.outbox_days),
                    &mut purged.outbox,
                ),
                (
                    "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals WHERE created < $1 LIMIT $2)",
                    ago(keep.refusals_days),
                    &mut purged.refusals,
                ),
                (
                    "DELETE FROM replies WHERE job_id IN (SELECT job_id FROM replies WHERE created < $1 LIMIT $2) AND created < $1",
                    ago(keep.replies_days),
                    &mut purged.replies,
                ),
                (
                    "DELETE FROM cancels WHERE job_id IN (
                        SELECT c.job_id FROM cancels c WHERE c.created < $1
                           AND NOT EXISTS (SELECT 1 FROM callback_requests r WHERE r.job_id = c.job_id) LIMIT $2)",
                    now - CANCELS,
                    &mut purged.cancels,
                ),
            ] {
                *gone = sqlx::query(sql).bind(before).bind(AT_ONCE).execute(&mut *tx).await?.rows_affected();
            }
            sqlx::query("DELETE FROM commands WHERE created < $1").bind(ago(keep.replies_days)).execute(&mut *tx).await?;
            sqlx::query("DELETE FROM sms_parts WHERE created < $1").bind(now - FAILURES).execute(&mut *tx).await?;
            let forget = sqlx::query(
                "DELETE FROM auth_failures WHERE window_start < $1 AND (locked_until IS NULL OR locked_until < $1)",
            );
            forget.bind(now - FAILURES).execute(&mut *tx).await?;
            Ok(purged)
        })
    }

    /// Takes the way back to the sender and the metadata out of requests that are over since before `cutoff`. Those that are
    /// still under way are come back to: the mark never passes the oldest of them.
    async fn purge_messages(&self, cutoff: DateTime<Utc>) -> Result<u64, StoreError> {
        let from = self.mark(MESSAGES_UNTIL).await?;
        change!(self, tx => {
            let open = sqlx::query("SELECT min(creation_time) AS oldest FROM callback_requests WHERE NOT finished");
            let open = open.fetch_one(&mut *tx).await?.time_opt("oldest")?;
            let until = open.map_or(cutoff, |open| open.min(cutoff));
            let old = sqlx::query(
                "SELECT job_id, job, creation_time FROM callback_requests
                  WHERE creation_time >= $1 AND creation_time < $2 ORDER BY creation_time LIMIT $3",
            );
            let rows = old.bind(from).bind(until).bind(AT_ONCE_EACH).fetch_all(&mut *tx).await?;
            let mut reached = from.max(until);
            for row in &rows {
                if let Ok(mut job) = row.json::<Job>("job")
                    && (job.reply.is_some() || !job.terms.is_empty() || !job.metadata.is_empty() || !job.unknown.is_empty())
                {
                    (job.reply, job.terms) = (None, Default::default());
                    (job.metadata, job.unknown) = Default::default();
                    let job = serde_json::to_string(&job).map_err(|error| StoreError::Invalid(error.to_string()))?;
                    let strip = sqlx::query("UPDATE callback_requests SET job = $2 WHERE job_id = $1");
                    strip.bind(row.text("job_id")?).bind(job).execute(&mut *tx).await?;
                }
                reached = row.time("creation_time")?;
            }
            if (rows.len() as i64) < AT_ONCE_EACH {
                reached = until.max(from);
            } else if reached == from {
                reached += TimeDelta::milliseconds(1);
            }
            sqlx::query(MARK).bind(MESSAGES_UNTIL).bind(reached.to_rfc3339()).execute(&mut *tx).await?;
            Ok(rows.len() as u64)
        })
    }

    /// Takes the last four digits out of the numbers of CDRs that ended before `cutoff` and are kept all the same.
    async fn purge_numbers(&self, cutoff: DateTime<Utc>) -> Result<u64, StoreError> {
        let from = self.mark(NUMBERS_UNTIL).await?;
        change!(self, tx => {
            let old = sqlx::query(
                "SELECT cdr_id, number, cli, disconnect_time FROM call_records
                  WHERE disconnect_time >= $1 AND disconnect_time < $2 ORDER BY disconnect_time LIMIT $3",
            );
            let rows = old.bind(from).bind(cutoff).bind(AT_ONCE_EACH).fetch_all(&mut *tx).await?;
            let mut reached = from;
            for row in &rows {
                let cut = sqlx::query("UPDATE call_records SET number = $2, cli = $3 WHERE cdr_id = $1");
                let (number, cli) = (without_end(&row.text("number")?), without_end(&row.text("cli")?));
                cut.bind(row.text("cdr_id")?).bind(number).bind(cli).execute(&mut *tx).await?;
                reached = row.time("disconnect_time")?;
            }
            if (rows.len() as i64) < AT_ONCE_EACH {
                reached = cutoff.max(from);
            } else if reached == from {
                reached += TimeDelta::milliseconds(1);
            }
            sqlx::query(MARK).bind(NUMBERS_UNTIL).bind(reached.to_rfc3339()).execute(&mut *tx).await?;
            Ok(rows.len() as u64)
        })
    }

    async fn mark(&self, key: &str) -> Result<DateTime<Utc>, StoreError> {
        let text: Option<String> = on!(self, read, pool => {
            Ok(sqlx::query_scalar("SELECT value FROM meta WHERE key = $1").bind(key).fetch_optional(pool).await?)
        })?;
        let mark = text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
        Ok(mark.map_or(DateTime::UNIX_EPOCH, |mark| mark.with_timezone(&Utc)))
    }
}

const MARK: &str =
    "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// What goes with a request.
pub(super) const OF_A_REQUEST: [&str; 4] = [
    "DELETE FROM invites WHERE job_id = $1",
    "DELETE FROM dialogs WHERE job_id = $1",
    "DELETE FROM replies WHERE job_id = $1",
    "DELETE FROM callback_requests WHERE job_id = $1",
];

/// A number without its last four digits: `+44791112xxxx`. Done twice it is the same.
fn without_end(number: &str) -> String {
    let digits = number.trim_end_matches('x');
    if digits.len() < number.len() || !digits.starts_with('+') {
        return number.to_owned();
    }
    let kept: String = digits.chars().take(digits.chars().count().saturating_sub(4)).collect();
    kept + "xxxx"
}
