//! Rates: a price per minute for a dialling prefix and a leg.

use sqlx::Row;

use super::Store;
use super::backend::{change, on};
use super::columns::Columns;
use super::error::StoreError;
use crate::event::LegName;
use crate::money::Money;

/// A price.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rate {
    /// Digits without `+`; empty matches every number. The longest match wins.
    pub prefix: String,
    /// Whose call it prices.
    pub leg: LegName,
    /// Per minute; zero is a price too.
    pub per_minute: Money,
}

impl Store {
    /// Sets the price of a prefix, for one leg or for both.
    pub async fn set_rate(&self, prefix: &str, leg: Option<LegName>, per_minute: Money) -> Result<(), StoreError> {
        if !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(StoreError::Invalid("a prefix is digits without +, like 44".to_owned()));
        }
        if per_minute < Money::ZERO {
            return Err(StoreError::Invalid("a price is zero or more".to_owned()));
        }
        let legs = leg.map_or(vec![LegName::A, LegName::B], |leg| vec![leg]);
        change!(self, tx => {
            for leg in &legs {
                let set = sqlx::query(
                    "INSERT INTO rates (prefix, leg, per_minute) VALUES ($1, $2, $3)
                     ON CONFLICT (prefix, leg) DO UPDATE SET per_minute = excluded.per_minute",
                );
                set.bind(prefix).bind(leg.as_str()).bind(per_minute.0).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }

    /// Forgets the price of a prefix, for one leg or for both.
    pub async fn remove_rate(&self, prefix: &str, leg: Option<LegName>) -> Result<(), StoreError> {
        let removed = on!(self, write, pool => {
            let delete = sqlx::query("DELETE FROM rates WHERE prefix = $1 AND ($2 IS NULL OR leg = $2)");
            Ok(delete.bind(prefix).bind(leg.map(LegName::as_str)).execute(pool).await?.rows_affected())
        })?;
        if removed == 0 { Err(StoreError::NotFound(format!("rate for {prefix}"))) } else { Ok(()) }
    }

    /// All prices, by prefix and leg.
    pub async fn rates(&self) -> Result<Vec<Rate>, StoreError> {
        on!(self, read, pool => {
            let rows = sqlx::query("SELECT * FROM rates ORDER BY prefix, leg").fetch_all(pool).await?;
            rows.iter()
                .map(|row| Ok(Rate { prefix: row.text("prefix")?, leg: row.leg("leg")?, per_minute: row.money("per_minute")? }))
                .collect()
        })
    }

    /// A small note of the whole site: what `init` or an operator once decided.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        on!(self, read, pool => {
            let row = sqlx::query("SELECT value FROM meta WHERE key = $1").bind(key).fetch_optional(pool).await?;
            Ok(row.map(|row| row.try_get("value")).transpose()?)
        })
    }

    /// Writes such a note.
    pub async fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let set = sqlx::query(
                "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            );
            set.bind(key).bind(value).execute(pool).await?;
            Ok(())
        })
    }
}
