//! The queue's own tables in the gateway's database file, and every statement on them.

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::queue::{DELIVERY_LIMIT, Message};

/// Where the dead letters are.
pub(super) const DEAD: &str = "callback.dead";

/// Additive; run at every start.
const SCHEMA: [&str; 9] = [
    "CREATE TABLE IF NOT EXISTS queue_names (
        name TEXT PRIMARY KEY,
        max_length INTEGER NOT NULL,
        length INTEGER NOT NULL DEFAULT 0
    )",
    "CREATE TABLE IF NOT EXISTS queue_messages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        message_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        body BLOB NOT NULL,
        published_ms INTEGER NOT NULL,
        deliveries INTEGER NOT NULL DEFAULT 0,
        holder TEXT,
        lease_until_ms INTEGER,
        died_in TEXT,
        died_of TEXT,
        UNIQUE (queue, message_id)
    )",
    "CREATE INDEX IF NOT EXISTS queue_messages_waiting ON queue_messages (queue, seq) WHERE holder IS NULL",
    "CREATE INDEX IF NOT EXISTS queue_messages_held ON queue_messages (queue, holder) WHERE holder IS NOT NULL",
    "CREATE TRIGGER IF NOT EXISTS queue_messages_in AFTER INSERT ON queue_messages BEGIN
        UPDATE queue_names SET length = length + 1 WHERE name = NEW.queue;
    END",
    "CREATE TRIGGER IF NOT EXISTS queue_messages_out AFTER DELETE ON queue_messages BEGIN
        UPDATE queue_names SET length = length - 1 WHERE name = OLD.queue;
    END",
    "CREATE TRIGGER IF NOT EXISTS queue_messages_over AFTER UPDATE OF queue ON queue_messages
        WHEN OLD.queue <> NEW.queue BEGIN
        UPDATE queue_names SET length = length - 1 WHERE name = OLD.queue;
        UPDATE queue_names SET length = length + 1 WHERE name = NEW.queue;
    END",
    "CREATE TABLE IF NOT EXISTS queue_log (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        stream TEXT NOT NULL,
        routing_key TEXT NOT NULL,
        message_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        body BLOB NOT NULL,
        published_ms INTEGER NOT NULL,
        UNIQUE (stream, message_id)
    )",
    "CREATE INDEX IF NOT EXISTS queue_log_order ON queue_log (stream, seq)",
];

/// Makes what is missing. Two processes may do it at once.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    begin(connection).await?;
    for statement in SCHEMA {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    commit(connection).await
}

pub(super) async fn begin(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("BEGIN IMMEDIATE").execute(connection).await.map(|_| ())
}

pub(super) async fn commit(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("COMMIT").execute(connection).await.map(|_| ())
}

#[cfg(any(test, feature = "testkit"))]
pub(super) async fn rollback(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("ROLLBACK").execute(connection).await.map(|_| ())
}

/// A queue exists from now on.
pub(super) async fn register(connection: &mut SqliteConnection, name: &str, max_length: u32) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO queue_names (name, max_length) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET max_length = excluded.max_length WHERE max_length <> excluded.max_length",
    )
    .bind(name)
    .bind(max_length)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Writes and leaves nothing behind.
pub(super) async fn probe(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let message = Message { id: "probe".to_owned(), kind: String::new(), body: Bytes::from_static(&[0; 4096]) };
    append(connection, "probe", "", &message, 0).await?;
    forget(connection, "probe", i64::MAX).await
}

/// What became of a message that was to be put into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    AlreadyThere,
    Full,
    NoSuchQueue,
}

pub(super) async fn put(
    connection: &mut SqliteConnection,
    queue: &str,
    message: &Message,
    now_ms: i64,
) -> sqlx::Result<Put> {
    let inserted = sqlx::query(
        "INSERT INTO queue_messages (queue, message_id, kind, body, published_ms)
         SELECT name, ?2, ?3, ?4, ?5 FROM queue_names WHERE name = ?1 AND length < max_length
         ON CONFLICT (queue, message_id) DO NOTHING",
    )
    .bind(queue)
    .bind(&message.id)
    .bind(&message.kind)
    .bind(message.body.as_ref())
    .bind(now_ms)
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() > 0 {
        return Ok(Put::Done);
    }
    let there: (bool, bool) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM queue_messages WHERE queue = ?1 AND message_id = ?2),
                EXISTS (SELECT 1 FROM queue_names WHERE name = ?1)",
    )
    .bind(queue)
    .bind(&message.id)
    .fetch_one(connection)
    .await?;
    Ok(match there {
        (true, _) => Put::AlreadyThere,
        (false, true) => Put::Full,
        (false, false) => Put::NoSuchQueue,
    })
}

/// A message taken from a queue.
pub(super) struct Claimed {
    pub seq: i64,
    pub id: String,
    pub kind: String,
    pub body: Bytes,
    /// How often it has been delivered, this time included: the fencing number.
    pub deliveries: i64,
}

/// Takes up to `limit` messages, oldest first.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    queue: &str,
    holder: &str,
    lease_until_ms: i64,
    limit: u32,
) -> sqlx::Result<Vec<Claimed>> {
    let rows = sqlx::query(
        "UPDATE queue_messages SET holder = ?2, lease_until_ms = ?3, deliveries = deliveries + 1
         WHERE seq IN (SELECT seq FROM queue_messages WHERE queue = ?1 AND holder IS NULL ORDER BY seq LIMIT ?4)
         RETURNING seq, message_id, kind, body, deliveries",
    )
    .bind(queue)
    .bind(holder)
    .bind(lease_until_ms)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let mut claimed = rows.into_iter().map(claimed_from).collect::<sqlx::Result<Vec<Claimed>>>()?;
    claimed.sort_by_key(|message| message.seq);
    Ok(claimed)
}

fn claimed_from(row: SqliteRow) -> sqlx::Result<Claimed> {
    Ok(Claimed {
        seq: row.try_get("seq")?,
        id: row.try_get("message_id")?,
        kind: row.try_get("kind")?,
        body: Bytes::from(row.try_get::<Vec<u8>, _>("body")?),
        deliveries: row.try_get("deliveries")?,
    })
}

/// Whether a claim would find something; a plain read.
pub(super) async fn is_waiting(connection: &mut SqliteConnection, queue: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM queue_messages WHERE queue = ?1 AND holder IS NULL)")
        .bind(queue)
        .fetch_one(connection)
        .await
}

pub(super) async fn waiting(connection: &mut SqliteConnection, queue: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM queue_messages WHERE queue = ?1 AND holder IS NULL")
        .bind(queue)
        .fetch_one(connection)
        .await
}

/// A message in somebody's hand. Settling it does nothing unless it is still in that very hand.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub seq: i64,
    pub deliveries: i64,
    pub holder: String,
}

/// The message is done.
pub(super) async fn remove(connection: &mut SqliteConnection, held: &Held) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM queue_messages WHERE seq = ?1 AND deliveries = ?2 AND holder = ?3")
        .bind(held.seq)
        .bind(held.deliveries)
        .bind(&held.holder)
        .execute(connection)
        .await
        .map(|_| ())
}

/// The message goes to the dead letters. A dead letter that is rejected is thrown away, and so is a second death of the
/// same message.
pub(super) async fn bury(connection: &mut SqliteConnection, held: &Held, why: &str) -> sqlx::Result<()> {
    let buried = sqlx::query(
        "UPDATE OR IGNORE queue_messages SET queue = ?4, died_in = queue, died_of = ?5, deliveries = 0,
                holder = NULL, lease_until_ms = NULL
         WHERE seq = ?1 AND deliveries = ?2 AND holder = ?3 AND queue <> ?4",
    )
    .bind(held.seq)
    .bind(held.deliveries)
    .bind(&held.holder)
    .bind(DEAD)
    .bind(why)
    .execute(&mut *connection)
    .await?;
    if buried.rows_affected() == 0 {
        remove(connection, held).await?;
    }
    Ok(())
}

/// The message goes back to its place in the queue, or to the dead letters if it came too often.
pub(super) async fn put_back(connection: &mut SqliteConnection, held: &Held) -> sqlx::Result<()> {
    if held.deliveries > DELIVERY_LIMIT && queue_of(connection, held.seq).await?.is_some_and(|queue| queue != DEAD) {
        return bury(connection, held, "delivery_limit").await;
    }
    sqlx::query(
        "UPDATE queue_messages SET holder = NULL, lease_until_ms = NULL
         WHERE seq = ?1 AND deliveries = ?2 AND holder = ?3",
    )
    .bind(held.seq)
    .bind(held.deliveries)
    .bind(&held.holder)
    .execute(connection)
    .await
    .map(|_| ())
}

async fn queue_of(connection: &mut SqliteConnection, seq: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT queue FROM queue_messages WHERE seq = ?1").bind(seq).fetch_optional(connection).await
}

/// Who holds messages of this queue, and until when the longest lease of each runs.
pub(super) async fn holders(connection: &mut SqliteConnection, queue: &str) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(
        "SELECT holder, MAX(lease_until_ms) FROM queue_messages
         WHERE queue = ?1 AND holder IS NOT NULL GROUP BY holder",
    )
    .bind(queue)
    .fetch_all(connection)
    .await
}

/// What a holder left behind goes back to the queue.
pub(super) async fn release(connection: &mut SqliteConnection, queue: &str, holder: &str) -> sqlx::Result<usize> {
    let held: Vec<(i64, i64)> =
        sqlx::query_as("SELECT seq, deliveries FROM queue_messages WHERE queue = ?1 AND holder = ?2")
            .bind(queue)
            .bind(holder)
            .fetch_all(&mut *connection)
            .await?;
    for &(seq, deliveries) in &held {
        put_back(&mut *connection, &Held { seq, deliveries, holder: holder.to_owned() }).await?;
    }
    Ok(held.len())
}

/// A living consumer holds on to what it has.
pub(super) async fn renew(connection: &mut SqliteConnection, holder: &str, lease_until_ms: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE queue_messages SET lease_until_ms = ?2 WHERE holder = ?1")
        .bind(holder)
        .bind(lease_until_ms)
        .execute(connection)
        .await
        .map(|_| ())
}

pub(super) async fn append(
    connection: &mut SqliteConnection,
    stream: &str,
    routing_key: &str,
    message: &Message,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO queue_log (stream, routing_key, message_id, kind, body, published_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (stream, message_id) DO NOTHING",
    )
    .bind(stream)
    .bind(routing_key)
    .bind(&message.id)
    .bind(&message.kind)
    .bind(message.body.as_ref())
    .bind(now_ms)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Entries after `after`, oldest first. `deliveries` is 1.
pub(super) async fn entries(
    connection: &mut SqliteConnection,
    stream: &str,
    after: i64,
    limit: u32,
) -> sqlx::Result<Vec<Claimed>> {
    let rows = sqlx::query(
        "SELECT seq, message_id, kind, body, 1 AS deliveries FROM queue_log
         WHERE stream = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )
    .bind(stream)
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(claimed_from).collect()
}

pub(super) async fn last_entry(connection: &mut SqliteConnection, stream: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM queue_log WHERE stream = ?1")
        .bind(stream)
        .fetch_one(connection)
        .await
}

pub(super) async fn log_length(connection: &mut SqliteConnection, stream: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM queue_log WHERE stream = ?1").bind(stream).fetch_one(connection).await
}

/// Removes entries older than `before_ms`, a bounded number at a time.
pub(super) async fn forget(connection: &mut SqliteConnection, stream: &str, before_ms: i64) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM queue_log WHERE seq IN
         (SELECT seq FROM queue_log WHERE stream = ?1 AND published_ms < ?2 ORDER BY seq LIMIT 1000)",
    )
    .bind(stream)
    .bind(before_ms)
    .execute(connection)
    .await
    .map(|_| ())
}
