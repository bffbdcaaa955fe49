//! Figures for an operator.

use super::Store;
use super::backend::{now, on};
use super::columns::Columns;
use super::error::StoreError;
use super::rows::{EngineLine, Summary};

impl Store {
    /// The state of the whole.
    pub async fn summary(&self) -> Result<Summary, StoreError> {
        let unpublished = self.oldest_unpublished().await?;
        on!(self, read, pool => {
            let live = sqlx::query(
                "SELECT status, count(*) AS n FROM callback_requests WHERE owner IS NOT NULL AND NOT finished
                  GROUP BY status ORDER BY status",
            );
            let live = live.fetch_all(pool).await?;
            let waiting = sqlx::query(
                "SELECT coalesce(sum(CASE WHEN next_call <= $1 THEN 1 ELSE 0 END), 0) AS backlog,
                        coalesce(sum(CASE WHEN next_call > $1 THEN 1 ELSE 0 END), 0) AS scheduled
                   FROM callback_requests WHERE owner IS NULL AND NOT finished",
            );
            let waiting = waiting.bind(now()).fetch_one(pool).await?;
            let held = sqlx::query(
                "SELECT a.currency, count(*) AS n, CAST(sum(h.amount) AS BIGINT) AS amount
                   FROM holds h JOIN accounts a ON a.id = h.account_id GROUP BY a.currency ORDER BY a.currency",
            );
            let held = held.fetch_all(pool).await?;
            let engines = sqlx::query(
                "SELECT e.*, (SELECT count(*) FROM callback_requests r WHERE r.owner = e.id AND NOT r.finished) AS live
                   FROM engines e ORDER BY e.id",
            );
            let engines = engines.fetch_all(pool).await?;
            Ok(Summary {
                live: live.iter().map(|row| Ok((row.text("status")?, row.int("n")?))).collect::<Result<_, StoreError>>()?,
                backlog: waiting.int("backlog")?,
                scheduled: waiting.int("scheduled")?,
                unpublished: unpublished.iter().map(|(to, n, age)| (to.as_str().to_owned(), *n, age.as_secs_f64())).collect(),
                holds: held.iter().map(|row| row.int("n")).sum::<Result<i64, _>>()?,
                held: held.iter().map(|row| Ok((row.text("currency")?, row.money("amount")?))).collect::<Result<_, StoreError>>()?,
                engines: engines.iter().map(EngineLine::read).collect::<Result<_, _>>()?,
            })
        })
    }
}

impl EngineLine {
    fn read<R: Columns>(row: &R) -> Result<EngineLine, StoreError> {
        Ok(EngineLine {
            id: row.text("id")?,
            incarnation: row.int("incarnation")?,
            beat: row.int("beat")?,
            retired: row.flag("retired")?,
            live: row.int("live")?,
        })
    }
}
