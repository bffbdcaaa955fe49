//! What limits are held against: failed sign-ins per sender, and how much an account and a number were used lately.

use chrono::{DateTime, TimeDelta, Utc};

use super::Store;
use super::backend::{change, now, on};
use super::columns::Columns;
use super::error::StoreError;
use super::rows::Counts;

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

    /// How much this account, and this second party, were used lately. Every callback counts once, however often
    /// it was tried; questions and twins do not count.
    pub async fn velocity(&self, account_id: i64, b: Option<&str>) -> Result<Counts, StoreError> {
        let present = now();
        let ago = |seconds: i64| present - TimeDelta::seconds(seconds);
        let prefix7: Option<String> = b.map(|b| b.chars().take(8).collect());
        on!(self, read, pool => {
            let query = sqlx::query(VELOCITY).bind(account_id).bind(b).bind(&prefix7);
            let query = query.bind(ago(60)).bind(ago(3600)).bind(ago(86_400)).bind(ago(600));
            let row = query.fetch_one(pool).await?;
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
}

/// Parameters: account, b, its first seven digits with `+`, a minute ago, an hour ago, a day ago, ten minutes ago.
const VELOCITY: &str = "
SELECT
  (SELECT count(*) FROM callback_requests WHERE account_id = $1 AND NOT finished AND owner IS NOT NULL AND kind = 'callback') AS active,
  (SELECT count(*) FROM callback_requests WHERE account_id = $1 AND creation_time > $4 AND kind = 'callback' AND NOT twin) AS jobs_minute,
  (SELECT count(*) FROM callback_requests WHERE account_id = $1 AND creation_time > $5 AND kind = 'callback' AND NOT twin) AS jobs_hour,
  (SELECT count(*) FROM callback_requests WHERE account_id = $1 AND creation_time > $6 AND kind = 'callback' AND NOT twin) AS jobs_day,
  (SELECT count(DISTINCT b) FROM callback_requests WHERE account_id = $1 AND creation_time > $5 AND kind = 'callback' AND NOT twin) AS distinct_b_hour,
  (SELECT count(*) FROM callback_requests r WHERE r.b = $2 AND r.creation_time > $7 AND r.kind = 'callback' AND NOT r.twin
      AND NOT EXISTS (SELECT 1 FROM accounts x WHERE x.id = r.account_id AND x.limits_off)) AS same_b_10min,
  (SELECT count(*) FROM callback_requests r WHERE substr(r.b, 1, 8) = $3 AND r.creation_time > $7 AND r.kind = 'callback' AND NOT r.twin
      AND NOT EXISTS (SELECT 1 FROM accounts x WHERE x.id = r.account_id AND x.limits_off)) AS same_prefix7_10min,
  (SELECT CAST(coalesce(sum(billed_seconds), 0) AS BIGINT) FROM call_records WHERE account_id = $1 AND disconnect_time > $6) AS seconds_day,
  (SELECT CAST(coalesce(sum(cost), 0) AS BIGINT) FROM call_records WHERE account_id = $1 AND disconnect_time > $5) AS spend_hour,
  (SELECT CAST(coalesce(sum(cost), 0) AS BIGINT) FROM call_records WHERE account_id = $1 AND disconnect_time > $6) AS spend_day,
  (SELECT CAST(coalesce(sum(cost), 0) AS BIGINT) FROM call_records WHERE disconnect_time > $5) AS system_spend_hour";
