//! The outbox: news written with the change they tell of, handed to one drain per destination.

use std::time::Duration;

use bytes::Bytes;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Store;
use super::backend::{Backend, change, now, on};
use super::columns::Columns;
use super::error::StoreError;
use super::rows::{Me, Outbox, OutboxRow};
use super::step::Outlet;
use crate::money::Money;

impl Store {
    /// One turn of a drain: marks what was confirmed, takes or keeps the lease of the destination, and hands out what waits,
    /// oldest first. Rows come again until they are marked.
    pub async fn outbox_next(
        &self,
        destination: Outlet,
        me: &Me,
        limit: u32,
        done: &[i64],
    ) -> Result<Outbox, StoreError> {
        match &self.inner.backend {
            Backend::Postgres(_) => self.outbox_next_postgres(destination, me, limit, done).await,
            Backend::Sqlite(_) => self.outbox_next_sqlite(destination, me, limit, done).await,
        }
    }

    async fn outbox_next_postgres(
        &self,
        destination: Outlet,
        me: &Me,
        limit: u32,
        done: &[i64],
    ) -> Result<Outbox, StoreError> {
        let Backend::Postgres(db) = &self.inner.backend else { return Ok(Outbox::Rows(Vec::new())) };
        let turn = db.lines.run(db, async |connection| {
            let query = sqlx::query("SELECT * FROM ringback_outbox_v1($1, $2, $3, $4, $5)");
            let query = query.bind(destination.as_str()).bind(&me.id).bind(me.incarnation).bind(done);
            Ok(query.bind(i64::from(limit)).fetch_one(connection).await?)
        });
        let row = self.note(turn.await)?;
        match row.text_opt("holder")? {
            Some(holder) => Ok(Outbox::HeldBy(holder)),
            None => columns_apart(&row, destination).map(Outbox::Rows),
        }
    }

    async fn outbox_next_sqlite(
        &self,
        destination: Outlet,
        me: &Me,
        limit: u32,
        done: &[i64],
    ) -> Result<Outbox, StoreError> {
        self.outbox_done(done).await?;
        if let Some(holder) = self.keep_lease(destination, me).await? {
            return Ok(Outbox::HeldBy(holder));
        }
        on!(self, read, pool => {
            let query = sqlx::query(
                "SELECT * FROM outbox WHERE destination = $1 AND published IS NULL ORDER BY id LIMIT $2",
            );
            let rows = query.bind(destination.as_str()).bind(i64::from(limit)).fetch_all(pool).await?;
            rows.iter().map(|row| OutboxRow::read(row, destination)).collect::<Result<_, _>>().map(Outbox::Rows)
        })
    }

    /// Takes the lease if it is free or its holder is gone; tells who has it otherwise. Writes only when it changes hands.
    async fn keep_lease(&self, destination: Outlet, me: &Me) -> Result<Option<String>, StoreError> {
        let holder = on!(self, read, pool => {
            let query = sqlx::query(
                "SELECT l.engine, l.incarnation, e.id AS alive FROM outbox_leases l
                   LEFT JOIN engines e ON e.id = l.engine AND e.incarnation = l.incarnation AND NOT e.retired
                  WHERE l.destination = $1",
            );
            let row = query.bind(destination.as_str()).fetch_optional(pool).await?;
            row.map(|row| Ok((row.text_opt("engine")?, row.int_opt("incarnation")?, row.text_opt("alive")?))).transpose()
        })?;
        match holder {
            Some((Some(engine), Some(incarnation), Some(_))) if engine == me.id && incarnation == me.incarnation => {
                Ok(None)
            }
            Some((Some(engine), _, Some(_))) => Ok(Some(engine)),
            _ => self.take_lease(destination, me).await,
        }
    }

    async fn take_lease(&self, destination: Outlet, me: &Me) -> Result<Option<String>, StoreError> {
        change!(self, tx => {
            let take = sqlx::query(
                "INSERT INTO outbox_leases AS l (destination, engine, incarnation)
                 SELECT $1, $2, $3 FROM engines e WHERE e.id = $2 AND e.incarnation = $3
                 ON CONFLICT (destination) DO UPDATE SET engine = excluded.engine, incarnation = excluded.incarnation
                  WHERE l.engine IS NULL
                     OR NOT EXISTS (SELECT 1 FROM engines e WHERE e.id = l.engine AND e.incarnation = l.incarnation AND NOT e.retired)",
            );
            let took = take.bind(destination.as_str()).bind(&me.id).bind(me.incarnation).execute(&mut *tx).await?;
            if took.rows_affected() == 1 {
                return Ok(None);
            }
            let holder = sqlx::query("SELECT engine FROM outbox_leases WHERE destination = $1").bind(destination.as_str());
            let row = holder.fetch_optional(&mut *tx).await?;
            Ok(Some(row.map(|row| row.text_opt("engine")).transpose()?.flatten().unwrap_or_default()))
        })
    }

    /// Marks rows as published and confirmed.
    pub async fn outbox_done(&self, ids: &[i64]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let list = serde_json::Value::from(ids).to_string();
        let sql = match self.inner.backend.is_postgres() {
            true => {
                "UPDATE outbox SET published = $2 WHERE published IS NULL
                    AND id = ANY (ARRAY(SELECT CAST(v AS BIGINT) FROM jsonb_array_elements_text($1::jsonb) v))"
            }
            false => {
                "UPDATE outbox SET published = $2 WHERE published IS NULL AND id IN (SELECT value FROM json_each($1))"
            }
        };
        on!(self, write, pool => {
            sqlx::query(sql).bind(&list).bind(now()).execute(pool).await?;
            Ok(())
        })
    }

    /// Gives the lease of a destination up, so that another engine may try.
    pub async fn outbox_release(&self, destination: Outlet, me: &Me) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let free = sqlx::query(
                "UPDATE outbox_leases SET engine = NULL WHERE destination = $1 AND engine = $2 AND incarnation = $3",
            );
            free.bind(destination.as_str()).bind(&me.id).bind(me.incarnation).execute(pool).await?;
            Ok(())
        })
    }

    /// Per destination: how many rows wait, and for how long the oldest.
    pub async fn oldest_unpublished(&self) -> Result<Vec<(Outlet, i64, Duration)>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(
                "SELECT destination, count(*) AS waiting, min(created) AS oldest FROM outbox WHERE published IS NULL
                  GROUP BY destination ORDER BY destination",
            );
            let mut found = Vec::new();
            for row in query.fetch_all(pool).await? {
                let name = row.text("destination")?;
                let Some(outlet) = Outlet::ALL.into_iter().find(|outlet| outlet.as_str() == name) else { continue };
                let age = (now() - row.time("oldest")?).to_std().unwrap_or_default();
                found.push((outlet, row.int("waiting")?, age));
            }
            Ok(found)
        })
    }
}

impl OutboxRow {
    fn read<R: Columns>(row: &R, destination: Outlet) -> Result<OutboxRow, StoreError> {
        let (seq, balance) = (row.int_opt("account_seq")?, row.int_opt("balance")?.map(Money));
        Ok(OutboxRow {
            id: row.int("id")?,
            destination,
            routing_key: row.text("routing_key")?,
            event_id: row.text("event_id")?,
            kind: row.text("kind")?,
            body: with_money(row.text("body")?, seq, balance)?,
        })
    }
}

/// The rows of one PostgreSQL row that has them column by column: cheaper to read than a row each.
fn columns_apart(row: &PgRow, destination: Outlet) -> Result<Vec<OutboxRow>, StoreError> {
    let Some(ids) = row.try_get::<Option<Vec<i64>>, _>("ids")? else { return Ok(Vec::new()) };
    let mut keys = row.try_get::<Vec<String>, _>("routing_keys")?.into_iter();
    let mut event_ids = row.try_get::<Vec<String>, _>("event_ids")?.into_iter();
    let mut kinds = row.try_get::<Vec<String>, _>("kinds")?.into_iter();
    let mut bodies = row.try_get::<Vec<String>, _>("bodies")?.into_iter();
    let mut seqs = row.try_get::<Vec<Option<i64>>, _>("account_seqs")?.into_iter();
    let mut balances = row.try_get::<Vec<Option<i64>>, _>("balances")?.into_iter();
    let uneven = || StoreError::Broken("an outbox turn with uneven columns".to_owned());
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let (seq, balance) = (seqs.next().ok_or_else(uneven)?, balances.next().ok_or_else(uneven)?);
        rows.push(OutboxRow {
            id,
            destination,
            routing_key: keys.next().ok_or_else(uneven)?,
            event_id: event_ids.next().ok_or_else(uneven)?,
            kind: kinds.next().ok_or_else(uneven)?,
            body: with_money(bodies.next().ok_or_else(uneven)?, seq, balance.map(Money))?,
        });
    }
    Ok(rows)
}

/// The body with the figures that only the transaction knew, written at the end of `data`, which ends the envelope.
fn with_money(mut body: String, seq: Option<i64>, balance: Option<Money>) -> Result<Bytes, StoreError> {
    if seq.is_none() && balance.is_none() {
        return Ok(Bytes::from(body));
    }
    let Some(open) = body.strip_suffix("}}").map(str::len) else {
        return Err(StoreError::Broken("an outbox body that does not end with its data".to_owned()));
    };
    body.truncate(open);
    let mut comma = if body.ends_with('{') { "" } else { "," };
    for (name, figure) in [("account_seq", seq), ("balance", balance.map(|balance| balance.0))] {
        if let Some(figure) = figure {
            body.push_str(&format!("{comma}\"{name}\":{figure}"));
            comma = ",";
        }
    }
    body.push_str("}}");
    Ok(Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn money_figures_are_filled_in_and_other_bodies_left_alone() {
        let body = r#"{"id":"e1","data":{"cost":5}}"#.to_owned();
        assert_eq!(with_money(body.clone(), None, None).unwrap(), body.as_bytes());
        let filled: Value = serde_json::from_slice(&with_money(body, Some(7), Some(Money(95))).unwrap()).unwrap();
        assert_eq!(filled["data"], serde_json::json!({"cost": 5, "account_seq": 7, "balance": 95}));
        let empty = with_money(r#"{"data":{}}"#.to_owned(), None, Some(Money(-3))).unwrap();
        assert_eq!(empty, r#"{"data":{"balance":-3}}"#.as_bytes());
        assert!(with_money(r#"{"data":{},"more":1}"#.to_owned(), Some(1), None).is_err());
    }
}
