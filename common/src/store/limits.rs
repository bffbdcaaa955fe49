//! What limits are held against: failed sign-ins per sender, and how much an account and a number were used lately.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::Store;
use super::backend::{change, now, on};
use super::columns::Columns;
use super::error::StoreError;
use super::rows::Counts;
use crate::job::JobId;
use crate::number::Number;

/// A callback that the queue has confirmed, and its second party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confirmed {
    /// Its job.
    pub job: JobId,
    /// The second party.
    pub b: Option<Number>,
    /// It is due at once.
    pub due: bool,
}

/// When a sender is locked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// So many failures ...
    pub failures: u32,
    /// ... within so many seconds ...
    pub window_s: u32,
    /// ... lock the sender for so many seconds.
    pub lock_s: u32,
}

impl Default for Lockout {
    fn default() -> Self {
        Lockout { failures: 5, window_s: 600, lock_s: 900 }
    }
}

impl Store {
    /// Counts a failed sign-in of this sender. True: it is locked out now.
    pub async fn auth_failed(&self, sender: &str, rule: Lockout) -> Result<bool, StoreError> {
        let present = now();
        let window = present - TimeDelta::seconds(rule.window_s.into());
        let until = present + TimeDelta::seconds(rule.lock_s.into());
        let failures = change!(self, tx => {
            let count = sqlx::query_scalar(
                "INSERT INTO auth_failures AS f (sender, window_start, failures) VALUES ($1, $2, 1)
                 ON CONFLICT (sender) DO UPDATE SET
                    failures = CASE WHEN f.window_start < $3 THEN 1 ELSE f.failures + 1 END,
                    window_start = CASE WHEN f.window_start < $3 THEN $2 ELSE f.window_start END
                 RETURNING failures",
            );
            let failures: i64 = count.bind(sender).bind(present).bind(window).fetch_one(&mut *tx).await?;
            if failures >= i64::from(rule.failures) {
                let lock = sqlx::query("UPDATE auth_failures SET locked_until = $2 WHERE sender = $1");
                lock.bind(sender).bind(until).execute(&mut *tx).await?;
            }
            Ok(failures)
        })?;
        Ok(failures >= i64::from(rule.failures))
    }

    /// Whether this sender is locked out.
    pub async fn auth_locked(&self, sender: &str) -> Result<bool, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query("SELECT locked_until FROM auth_failures WHERE sender = $1").bind(sender);
            let row = query.fetch_optional(pool).await?;
            let until: Option<DateTime<Utc>> = row.map(|row| row.time_opt("locked_until")).transpose()?.flatten();
            Ok(until.is_some_and(|until| until > now()))
        })
    }

    /// What limits are held against before this job may be called: what was used before it, and the job itself. A burst so uses a
    /// limit up and is refused what is beyond it. Of its account every callback counts once, however often it was tried, unless it
    /// was refused; `confirmed` are jobs of the account that are on the queue and may have no row yet. What all accounts share is
    /// used by those whose phones are called, and by one callback at a time of each other account that is about to; numbers that the
    /// operator has made the target of an application or of a number use up none of it. Questions and twins do not count.
    pub async fn velocity(
        &self,
        account_id: i64,
        job: &JobId,
        b: Option<&str>,
        confirmed: &[Confirmed],
    ) -> Result<Counts, StoreError> {
        let present = now();
        let ago = |seconds: i64| present - TimeDelta::seconds(seconds);
        let prefix7: Option<String> = b.map(|b| b.chars().take(8).collect());
        let confirmed = as_json(confirmed)?;
        let velocity = VELOCITY.replace("{waiting}", &self.waiting(9));
        on!(self, read, pool => {
            let query = sqlx::query(AssertSqlSafe(velocity.as_str())).bind(account_id).bind(b).bind(&prefix7);
            let query = query.bind(ago(60)).bind(ago(3600)).bind(ago(86_400)).bind(ago(600));
            let row = query.bind(job.as_str()).bind(&confirmed).bind(present).fetch_one(pool).await?;
            Ok(Counts {
                active: row.int("active")?,
                jobs_minute: row.int("jobs_minute")?,
                jobs_hour: row.int("jobs_hour")?,
                jobs_day: row.int("jobs_day")?,
                distinct_b_hour: row.int("distinct_b_hour")?,
                same_b_10min: row.int("same_b_10min")?,
                same_prefix7_10min: row.int("same_prefix7_10min")?,
                seconds_day: row.int("seconds_day")?,
                spend_hour: row.money("spend_hour")?,
                spend_day: row.money("spend_day")?,
                system_spend_hour: row.money("system_spend_hour")?,
            })
        })
    }

    /// How many questions this account asked after `since`, those among them that are confirmed and have no row yet.
    pub async fn questions_since(
        &self,
        account_id: i64,
        since: DateTime<Utc>,
        confirmed: &[Confirmed],
    ) -> Result<i64, StoreError> {
        let confirmed = as_json(confirmed)?;
        let questions = format!(
            "SELECT (SELECT count(*) FROM callback_requests WHERE account_id = $1 AND creation_time > $2 AND kind = 'quote')
                  + (SELECT count(*) FROM ({}) AS waiting)",
            self.waiting(3)
        );
        on!(self, read, pool => {
            let query = sqlx::query_scalar(AssertSqlSafe(questions.as_str())).bind(account_id).bind(since);
            Ok(query.bind(&confirmed).fetch_one(pool).await?)
        })
    }

    /// A query for those of the confirmed jobs that have no row, which stand in parameter `$n`.
    fn waiting(&self, n: u8) -> String {
        let confirmed = match self.inner.backend.is_postgres() {
            true => format!("jsonb_to_recordset(${n}::jsonb) AS confirmed(job text, b text, due boolean)"),
            false => format!(
                "(SELECT value->>'job' AS job, value->>'b' AS b, value->>'due' AS due FROM json_each(${n})) AS confirmed"
            ),
        };
        let has_row = "EXISTS (SELECT 1 FROM callback_requests r WHERE r.job_id = confirmed.job)";
        format!("SELECT b, due FROM {confirmed} WHERE NOT {has_row}")
    }
}

fn as_json(confirmed: &[Confirmed]) -> Result<String, StoreError> {
    serde_json::to_string(confirmed).map_err(|error| StoreError::Invalid(error.to_string()))
}

/// Parameters: account, b, its first seven digits with `+`, a minute ago, an hour ago, a day ago, ten minutes ago, the job, confirmed
/// jobs with their b, now.
const VELOCITY: &str = "
WITH place AS (  -- of the job among the rows; one that has none comes behind them all
  SELECT coalesce((SELECT i_callback_request FROM callback_requests WHERE job_id = $8), 9223372036854775807) AS mine
), waiting AS (
  {waiting}
), used AS (
  SELECT b, creation_time FROM callback_requests
   WHERE account_id = $1 AND creation_time > $6 AND kind = 'callback' AND NOT twin
     AND i_callback_request < (SELECT mine FROM place) AND (NOT finished OR canceled OR setup_time IS NOT NULL)
  UNION ALL SELECT b, $10 FROM waiting
  UNION ALL SELECT $2, $10
), near AS (
  SELECT r.b, r.account_id, (r.setup_time IS NOT NULL OR r.twoway_call_id IS NOT NULL) AS dialled
    FROM callback_requests r
   WHERE substr(r.b, 1, 8) = $3 AND r.creation_time > $7 AND r.kind = 'callback' AND r.job_id <> $8
     AND (r.twoway_call_id IS NOT NULL
          OR r.owner IS NOT NULL AND NOT r.finished AND NOT r.twin
             AND (r.setup_time IS NOT NULL OR r.account_id <> $1 AND r.i_callback_request < (SELECT mine FROM place)))
     AND NOT EXISTS (SELECT 1 FROM accounts x WHERE x.id = r.account_id AND x.limits_off)
     AND NOT EXISTS (SELECT 1 FROM applications o WHERE o.b = r.b)  -- the operator's own choice: a hotline is for many
     AND NOT EXISTS (SELECT 1 FROM dids o WHERE o.b = r.b)
)
SELECT
  1 + (SELECT count(*) FROM waiting WHERE due)
    + (SELECT count(*) FROM callback_requests
        WHERE account_id = $1 AND NOT finished AND owner IS NOT NULL AND kind = 'callback' AND NOT twin AND job_id <> $8
          AND (setup_time IS NOT NULL OR i_callback_request < (SELECT mine FROM place))) AS active,
  (SELECT count(*) FROM used WHERE creation_time > $4) AS jobs_minute,
  (SELECT count(*) FROM used WHERE creation_time > $5) AS jobs_hour,
  (SELECT count(*) FROM used) AS jobs_day,
  (SELECT count(DISTINCT b) FROM used WHERE creation_time > $5) AS distinct_b_hour,
  (SELECT 1 + count(*) FILTER (WHERE dialled) + count(DISTINCT account_id) FILTER (WHERE NOT dialled)
     FROM near WHERE b = $2) AS same_b_10min,
  (SELECT 1 + count(*) FILTER (WHERE dialled) + count(DISTINCT account_id) FILTER (WHERE NOT dialled)
     FROM near) AS same_prefix7_10min,
  (SELECT CAST(coalesce(sum(billed_seconds), 0) AS BIGINT) FROM call_records WHERE account_id = $1 AND disconnect_time > $6) AS seconds_day,
  (SELECT CAST(coalesce(sum(cost), 0) AS BIGINT) FROM call_records WHERE account_id = $1 AND disconnect_time > $5) AS spend_hour,
  (SELECT CAST(coalesce(sum(cost), 0) AS BIGINT) FROM call_records WHERE account_id = $1 AND disconnect_time > $6) AS spend_day,
  (SELECT CAST(coalesce(sum(cost), 0) AS BIGINT) FROM call_records WHERE disconnect_time > $5) AS system_spend_hour";
