//! Reading columns by name, the same on both databases.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Error, Row};

use super::error::StoreError;
use crate::event::LegName;
use crate::money::Money;

/// A row whose columns are read by name.
pub trait Columns {
    /// A whole number.
    fn int(&self, name: &str) -> Result<i64, Error>;
    /// A whole number or NULL.
    fn int_opt(&self, name: &str) -> Result<Option<i64>, Error>;
    /// A text.
    fn text(&self, name: &str) -> Result<String, Error>;
    /// A text or NULL.
    fn text_opt(&self, name: &str) -> Result<Option<String>, Error>;
    /// A truth value.
    fn flag(&self, name: &str) -> Result<bool, Error>;
    /// Bytes.
    fn bytes(&self, name: &str) -> Result<Vec<u8>, Error>;
    /// Bytes or NULL.
    fn bytes_opt(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;
    /// A moment.
    fn time(&self, name: &str) -> Result<DateTime<Utc>, Error>;
    /// A moment or NULL.
    fn time_opt(&self, name: &str) -> Result<Option<DateTime<Utc>>, Error>;

    /// Money.
    fn money(&self, name: &str) -> Result<Money, Error> {
        self.int(name).map(Money)
    }

    /// A small number that never was negative.
    fn small(&self, name: &str) -> Result<u32, StoreError> {
        let number = self.int(name)?;
        u32::try_from(number).map_err(|_| broken(name, &number.to_string()))
    }

    /// `a` or `b`.
    fn leg(&self, name: &str) -> Result<LegName, StoreError> {
        match self.text(name)?.as_str() {
            "a" => Ok(LegName::A),
            "b" => Ok(LegName::B),
            other => Err(broken(name, other)),
        }
    }

    /// An address with port.
    fn address(&self, name: &str) -> Result<SocketAddr, StoreError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| broken(name, &text))
    }

    /// JSON text.
    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(name)?).map_err(|error| StoreError::Broken(format!("{name}: {error}")))
    }
}

fn broken(name: &str, value: &str) -> StoreError {
    StoreError::Broken(format!("{name} is {value}"))
}

macro_rules! columns {
    ($row:ty) => {
        impl Columns for $row {
            fn int(&self, name: &str) -> Result<i64, Error> {
                self.try_get(name)
            }
            fn int_opt(&self, name: &str) -> Result<Option<i64>, Error> {
                self.try_get(name)
            }
            fn text(&self, name: &str) -> Result<String, Error> {
                self.try_get(name)
            }
            fn text_opt(&self, name: &str) -> Result<Option<String>, Error> {
                self.try_get(name)
            }
            fn flag(&self, name: &str) -> Result<bool, Error> {
                self.try_get(name)
            }
            fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
                self.try_get(name)
            }
            fn bytes_opt(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
                self.try_get(name)
            }
            fn time(&self, name: &str) -> Result<DateTime<Utc>, Error> {
                self.try_get(name)
            }
            fn time_opt(&self, name: &str) -> Result<Option<DateTime<Utc>>, Error> {
                self.try_get(name)
            }
        }
    };
}

columns!(SqliteRow);
columns!(PgRow);
