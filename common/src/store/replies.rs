//! Replies: at most one of a kind per job, where the channel does not deduplicate.

use super::Store;
use super::backend::{change, now, on};
use super::columns::Columns;
use super::error::StoreError;
use super::rows::Begun;
use crate::job::JobId;

impl Store {
    /// Before a reply of this kind is sent.
    pub async fn reply_begin(&self, job: &JobId, kind: &str) -> Result<Begun, StoreError> {
        change!(self, tx => {
            let begin = sqlx::query(
                "INSERT INTO replies (job_id, kind, state, created) VALUES ($1, $2, 'sending', $3) ON CONFLICT DO NOTHING",
            );
            let begun = begin.bind(job.as_str()).bind(kind).bind(now()).execute(&mut *tx).await?;
            if begun.rows_affected() == 1 {
                return Ok(Begun::Fresh);
            }
            let state = sqlx::query("SELECT state FROM replies WHERE job_id = $1 AND kind = $2");
            let row = state.bind(job.as_str()).bind(kind).fetch_one(&mut *tx).await?;
            Ok(if row.text("state")? == "sending" { Begun::Again } else { Begun::Done })
        })
    }

    /// The channel has accepted the reply.
    pub async fn reply_sent(&self, job: &JobId, kind: &str) -> Result<(), StoreError> {
        self.reply_ends(job, kind, "sent").await
    }

    /// Nobody knows whether the reply left; it is not sent again.
    pub async fn reply_unknown(&self, job: &JobId, kind: &str) -> Result<(), StoreError> {
        self.reply_ends(job, kind, "unknown").await
    }

    /// Certainly nothing left: the reply is as if it had never been begun.
    pub async fn reply_not_sent(&self, job: &JobId, kind: &str) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let undo = sqlx::query("DELETE FROM replies WHERE job_id = $1 AND kind = $2 AND state = 'sending'");
            undo.bind(job.as_str()).bind(kind).execute(pool).await?;
            Ok(())
        })
    }

    async fn reply_ends(&self, job: &JobId, kind: &str, state: &str) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let end = sqlx::query("UPDATE replies SET state = $3 WHERE job_id = $1 AND kind = $2 AND state = 'sending'");
            end.bind(job.as_str()).bind(kind).bind(state).execute(pool).await?;
            Ok(())
        })
    }
}
