//! Commands that were carried out: the repeat of a message carries out nothing.

use super::Store;
use super::backend::{now, on};
use super::columns::Columns;
use super::error::StoreError;
use crate::job::JobId;

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Which command, for machines.
    pub code: String,
    /// What its sender is told.
    pub answer: String,
}

impl Store {
    /// A command of this message has been carried out. Of two that say so the first stays.
    pub async fn command_carried(&self, message: &JobId, carried: &Carried) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let put = sqlx::query(
                "INSERT INTO commands (job_id, code, answer, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            );
            let put = put.bind(message.as_str()).bind(&carried.code).bind(&carried.answer).bind(now());
            put.execute(pool).await?;
            Ok(())
        })
    }

    /// What the command of this message came to, if it has been carried out.
    pub async fn command_of(&self, message: &JobId) -> Result<Option<Carried>, StoreError> {
        on!(self, read, pool => {
            let row = sqlx::query("SELECT code, answer FROM commands WHERE job_id = $1").bind(message.as_str());
            let row = row.fetch_optional(pool).await?;
            row.map(|row| Ok(Carried { code: row.text("code")?, answer: row.text("answer")? })).transpose()
        })
    }
}
