//! Numbers nobody may ring, what was refused, and what a sender asked for before.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Store;
use super::backend::{change, now, on};
use super::columns::Columns;
use super::error::StoreError;
use super::rows::RequestRow;
use crate::job::JobId;

/// Refusals kept for one account at most, whoever writes to it.
const MOST_REFUSALS: i64 = 100;

/// Who put a number on the do-not-call list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PutBy {
    /// The operator, at the command line.
    Operator,
    /// The number's owner, by a text that says STOP.
    Stop,
}

impl PutBy {
    /// `operator` or `stop`.
    pub fn as_str(self) -> &'static str {
        match self {
            PutBy::Operator => "operator",
            PutBy::Stop => "stop",
        }
    }
}

/// A number that is not rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoNotCall {
    /// In dialable form.
    pub number: String,
    /// Who put it there.
    pub put_by: PutBy,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Since when.
    pub created: DateTime<Utc>,
}

/// A message that became no job, for the owner of the account it named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedMessage {
    /// The trigger that refused it.
    pub source: String,
    /// The code of the reason.
    pub reason: String,
    /// Who sent it, masked.
    pub sender: String,
    /// When.
    pub created: DateTime<Utc>,
}

impl Store {
    /// Puts a number on the do-not-call list. What the operator put there stays the operator's.
    pub async fn do_not_call(&self, number: &str, put_by: PutBy, reason: Option<&str>) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let put = sqlx::query(
                "INSERT INTO do_not_call AS d (number, put_by, reason, created) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (number) DO UPDATE SET put_by = excluded.put_by, reason = excluded.reason
                  WHERE excluded.put_by = 'operator'",
            );
            put.bind(number).bind(put_by.as_str()).bind(reason).bind(now()).execute(pool).await?;
            Ok(())
        })?;
        self.wake().await;
        Ok(())
    }

    /// Takes a number off the do-not-call list; with `Stop` only if its owner put it there. False: it stays, or was not there.
    pub async fn may_call_again(&self, number: &str, by: PutBy) -> Result<bool, StoreError> {
        on!(self, write, pool => {
            let take = sqlx::query("DELETE FROM do_not_call WHERE number = $1 AND ($2 = 'operator' OR put_by = $2)");
            Ok(take.bind(number).bind(by.as_str()).execute(pool).await?.rows_affected() == 1)
        })
    }

    /// Which of these numbers is on the do-not-call list.
    pub async fn not_to_be_called(&self, numbers: &[&str]) -> Result<Vec<String>, StoreError> {
        on!(self, read, pool => {
            let mut listed = Vec::new();
            for some in numbers.chunks(5) {
                let query = sqlx::query_scalar("SELECT number FROM do_not_call WHERE number IN ($1, $2, $3, $4, $5)");
                let query = (0..5).fold(query, |query, n| query.bind(some.get(n)));
                listed.extend(query.fetch_all(pool).await?);
            }
            Ok(listed)
        })
    }

    /// The do-not-call list, newest first, at most so many.
    pub async fn do_not_call_list(&self, limit: u32) -> Result<Vec<DoNotCall>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query("SELECT * FROM do_not_call ORDER BY created DESC, number LIMIT $1");
            let rows = query.bind(i64::from(limit)).fetch_all(pool).await?;
            rows.iter().map(DoNotCall::read).collect()
        })
    }

    /// Remembers a refusal for the account's owner. The latest hundred of an account are kept.
    pub async fn add_refusal(
        &self,
        account_id: i64,
        source: &str,
        reason: &str,
        masked: &str,
    ) -> Result<(), StoreError> {
        change!(self, tx => {
            let add = sqlx::query(
                "INSERT INTO refusals (account_id, source, reason, sender, created) VALUES ($1, $2, $3, $4, $5)",
            );
            add.bind(account_id).bind(source).bind(reason).bind(masked).bind(now()).execute(&mut *tx).await?;
            let trim = sqlx::query(
                "DELETE FROM refusals WHERE account_id = $1 AND id <=
                    (SELECT id FROM refusals WHERE account_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
            );
            trim.bind(account_id).bind(MOST_REFUSALS).execute(&mut *tx).await?;
            Ok(())
        })
    }

    /// What was refused to an account, newest first.
    pub async fn refusals(&self, account_id: i64, limit: u32) -> Result<Vec<RefusedMessage>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query("SELECT * FROM refusals WHERE account_id = $1 ORDER BY id DESC LIMIT $2");
            let rows = query.bind(account_id).bind(i64::from(limit)).fetch_all(pool).await?;
            rows.iter().map(RefusedMessage::read).collect()
        })
    }

    /// The last callback that this sender asked for on this account.
    pub async fn last_request(&self, account_id: i64, sender: &str) -> Result<Option<RequestRow>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(
                "SELECT * FROM callback_requests WHERE account_id = $1 AND original_cli = $2 AND kind = 'callback'
                  ORDER BY creation_time DESC, i_callback_request DESC LIMIT 1",
            );
            query.bind(account_id).bind(sender).fetch_optional(pool).await?.map(|row| RequestRow::read(&row)).transpose()
        })
    }

    /// Another callback than this one that this sender asked for through this source after `since`. One that ended before anybody's phone
    /// was called is none, nor is the twin of another.
    pub async fn asked_since(
        &self,
        source: &str,
        sender: &str,
        since: DateTime<Utc>,
        but: &JobId,
    ) -> Result<bool, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(
                "SELECT 1 AS found FROM callback_requests
                  WHERE creation_time > $3 AND source = $1 AND original_cli = $2 AND kind = 'callback' AND job_id <> $4
                    AND NOT twin AND (setup_time IS NOT NULL OR NOT (finished OR canceled)) LIMIT 1",
            );
            let query = query.bind(source).bind(sender).bind(since).bind(but.as_str());
            Ok(query.fetch_optional(pool).await?.is_some())
        })
    }

    /// The unfinished callbacks that this sender asked for on this account, oldest first, at most a thousand.
    pub async fn unfinished_of(&self, account_id: i64, sender: &str) -> Result<Vec<JobId>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query_scalar(
                "SELECT job_id FROM callback_requests
                  WHERE account_id = $1 AND original_cli = $2 AND kind = 'callback' AND NOT finished AND NOT canceled
                  ORDER BY i_callback_request LIMIT 1000",
            );
            let jobs: Vec<String> = query.bind(account_id).bind(sender).fetch_all(pool).await?;
            Ok(jobs.into_iter().map(JobId).collect())
        })
    }
}

impl DoNotCall {
    fn read<R: Columns>(row: &R) -> Result<DoNotCall, StoreError> {
        let put_by = if row.text("put_by")? == "stop" { PutBy::Stop } else { PutBy::Operator };
        Ok(DoNotCall {
            number: row.text("number")?,
            put_by,
            reason: row.text_opt("reason")?,
            created: row.time("created")?,
        })
    }
}

impl RefusedMessage {
    fn read<R: Columns>(row: &R) -> Result<RefusedMessage, StoreError> {
        Ok(RefusedMessage {
            source: row.text("source")?,
            reason: row.text("reason")?,
            sender: row.text("sender")?,
            created: row.time("created")?,
        })
    }
}
