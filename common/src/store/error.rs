//! What can go wrong between us and the database, by what the caller does about it.

use sqlx::error::DatabaseError;

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or not now. Try again.
    #[error("the store does not answer: {0}; check [store] url and that the database runs")]
    Unavailable(String),
    /// Somebody else's transaction is in the way. Try again.
    #[error("somebody else's open transaction is in the way: {0}; end it, or try again")]
    Locked(String),
    /// Something of that name or key is there already.
    #[error("{0} is taken already")]
    Conflict(String),
    /// There is nothing of that name.
    #[error("there is no {0}")]
    NotFound(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// This engine's incarnation has moved on: drop every call, send nothing, exit.
    #[error("another engine has taken over; this one must stop")]
    Fenced,
    /// The embedded database is no database any more.
    #[error(
        "the database is damaged ({0}): stop Ringback and put your last backup in its place, or save what can be read: sqlite3 FILE .recover"
    )]
    Damaged(String),
    /// The schema or a row is not what this program expects.
    #[error("the store's content is not as expected: {0}; was it changed by hand or by a newer version?")]
    Broken(String),
}

/// SQLSTATE that our functions raise for a call that makes no sense.
const INVALID: &str = "RB001";

/// PostgreSQL: serialization, deadlock, lock timeout.
const LOCKED: [&str; 3] = ["40001", "40P01", "55P03"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::Database(error) => of_database(error.as_ref()),
            sqlx::Error::RowNotFound => StoreError::NotFound("such row".to_owned()),
            sqlx::Error::Configuration(error) => StoreError::Invalid(format!("[store] url: {error}")),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
                StoreError::Broken(error.to_string())
            }
            other => StoreError::Unavailable(other.to_string()),
        }
    }
}

fn of_database(error: &dyn DatabaseError) -> StoreError {
    let text = error.message().to_owned();
    let code = error.code().unwrap_or_default();
    if error.is_unique_violation() {
        return StoreError::Conflict(text);
    }
    if error.is_check_violation() || code == INVALID {
        return StoreError::Invalid(text);
    }
    if LOCKED.contains(&&*code) {
        return StoreError::Locked(text);
    }
    if is_damaged(&code) {
        return StoreError::Damaged(text);
    }
    if passes(&code) { StoreError::Unavailable(text) } else { StoreError::Broken(text) }
}

/// Whether an error of this code passes by itself or by an operator's hand, so that trying again makes sense.
///
/// PostgreSQL: connection, resources (disk full), operator intervention, system errors, a transaction whose end is not known,
/// read-only after a failover. SQLite: busy, locked, no memory, read-only, I/O error, full, cannot open,
/// another's lock protocol (extended codes, modulo 256).
fn passes(code: &str) -> bool {
    const CLASSES: [&str; 4] = ["08", "53", "57", "58"];
    const STATES: [&str; 3] = ["40003", "25006", "25P03"];
    const SQLITE: [u32; 8] = [5, 6, 7, 8, 10, 13, 14, 15];
    if code.len() == 5 && (STATES.contains(&code) || CLASSES.iter().any(|class| code.starts_with(class))) {
        return true;
    }
    code.parse::<u32>().is_ok_and(|code| SQLITE.contains(&(code & 0xff)))
}

/// SQLite: corrupt, or not a database.
fn is_damaged(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 11 | 26))
}

impl StoreError {
    /// Says what is taken already.
    pub(super) fn named(self, what: &str) -> StoreError {
        match self {
            StoreError::Conflict(_) => StoreError::Conflict(what.to_owned()),
            other => other,
        }
    }
}
