//! The schema, in small steps that only add. Which are done stands in `schema_migrations`.

use sha2::{Digest, Sha256};

use super::backend::{Backend, now};
use super::error::StoreError;

const SQLITE: &[Migration] = &[
    ("0001_base", include_str!("../../migrations/sqlite/0001_base.sql")),
    ("0003_triggers", include_str!("../../migrations/sqlite/0003_triggers.sql")),
    ("0004_parts", include_str!("../../migrations/sqlite/0004_parts.sql")),
    ("0005_commands", include_str!("../../migrations/sqlite/0005_commands.sql")),
    ("0006_ani", include_str!("../../migrations/sqlite/0006_ani.sql")),
    ("0010_answered", include_str!("../../migrations/sqlite/0010_answered.sql")),
];

const POSTGRES: &[Migration] = &[
    ("0001_base", include_str!("../../migrations/postgres/0001_base.sql")),
    ("0003_triggers", include_str!("../../migrations/postgres/0003_triggers.sql")),
    ("0004_parts", include_str!("../../migrations/postgres/0004_parts.sql")),
    ("0005_commands", include_str!("../../migrations/postgres/0005_commands.sql")),
    ("0006_ani", include_str!("../../migrations/postgres/0006_ani.sql")),
    ("0009_same_call", SAME_CALL_FUNCTION),
    ("0009_take", include_str!("../../migrations/postgres/0009_take.sql")),
    ("0010_answered", include_str!("../../migrations/postgres/0010_answered.sql")),
];

/// The rule that both databases read, for the take to read it too.
const SAME_CALL_FUNCTION: &str = concat!(
    "CREATE FUNCTION ringback_same_call_v1(bigint, text, text, text, text, timestamptz) RETURNS SETOF text\n",
    "LANGUAGE sql STABLE AS $$\n",
    include_str!("../../migrations/same_call.sql"),
    "$$;"
);

/// Functions keep nothing, so they are written anew whenever their text has changed.
const FUNCTIONS: &[Migration] = &[
    ("0002_functions", include_str!("../../migrations/postgres/0002_functions.sql")),
    ("0007_postings", include_str!("../../migrations/postgres/0007_postings.sql")),
    ("0011_owners", include_str!("../../migrations/postgres/0011_owners.sql")),
];

/// Any number that no other program on this database takes.
const LOCK: i64 = 0x7269_6e67_6261_636b;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, done TEXT NOT NULL)";

/// Does what is not done yet, in one transaction; a second process waits and then finds everything done.
pub async fn run(backend: &Backend) -> Result<(), StoreError> {
    match backend {
        Backend::Sqlite(db) => {
            let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::raw_sql(TABLE).execute(&mut *tx).await?;
            let done: Vec<String> =
                sqlx::query_scalar("SELECT name FROM schema_migrations").fetch_all(&mut *tx).await?;
            for (name, text) in missing(SQLITE, &done) {
                sqlx::raw_sql(*text).execute(&mut *tx).await?;
                let record = sqlx::query("INSERT INTO schema_migrations (name, done) VALUES ($1, $2)");
                record.bind(name).bind(now().to_rfc3339()).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        }
        Backend::Postgres(db) => {
            let mut tx = db.write.begin().await?;
            sqlx::raw_sql("SET LOCAL lock_timeout = '60s'").execute(&mut *tx).await?; // another one may be at it
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
            sqlx::raw_sql(TABLE).execute(&mut *tx).await?;
            let done: Vec<String> =
                sqlx::query_scalar("SELECT name FROM schema_migrations").fetch_all(&mut *tx).await?;
            let tables = missing(POSTGRES, &done).map(|(name, text)| ((*name).to_owned(), *text));
            let functions = FUNCTIONS.iter().map(|(name, text)| (versioned(name, text), *text));
            for (name, text) in tables.chain(functions.filter(|(name, _)| !done.contains(name))) {
                sqlx::raw_sql(text).execute(&mut *tx).await?;
                let record = sqlx::query("INSERT INTO schema_migrations (name, done) VALUES ($1, $2)");
                record.bind(name).bind(now().to_rfc3339()).execute(&mut *tx).await?;
            }
            tx.commit().await?;
        }
    }
    Ok(())
}

/// The newest step of either schema that this program knows, by the name of the database.
pub fn newest() -> [(&'static str, &'static str); 2] {
    let last =
        |steps: &mut dyn Iterator<Item = &'static Migration>| steps.map(|(name, _)| *name).max().unwrap_or("none");
    [("sqlite", last(&mut SQLITE.iter())), ("postgres", last(&mut POSTGRES.iter().chain(FUNCTIONS)))]
}

type Migration = (&'static str, &'static str);

fn versioned(name: &str, text: &str) -> String {
    format!("{name} {}", hex::encode(&Sha256::digest(text)[..8]))
}

fn missing<'a>(all: &'a [Migration], done: &[String]) -> impl Iterator<Item = &'a Migration> {
    all.iter().filter(|(name, _)| !done.iter().any(|other| other == name))
}
