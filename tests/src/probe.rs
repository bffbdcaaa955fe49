//! The site's database seen from outside: plain SQL, the same questions for SQLite and PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::runtime::Runtime;

/// A connection to the site's database.
pub struct Probe {
    runtime: Runtime,
    pool: Pool,
}

enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A row of `callback_requests`, as far as tests care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Job.
    pub job: String,
    /// Sippy's status.
    pub status: String,
    /// Sippy's result or one of ours.
    pub result: String,
    /// Over.
    pub finished: bool,
    /// The engine that runs it.
    pub owner: Option<String>,
    /// Raised at each change of owner.
    pub epoch: i64,
}

/// A CDR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cdr {
    /// `job:leg:attempt`.
    pub id: String,
    /// Job.
    pub job: String,
    /// `a` or `b`.
    pub leg: String,
    /// From 1.
    pub attempt: i64,
    /// Who was called.
    pub number: String,
    /// Why it ended.
    pub cause: String,
    /// Answered.
    pub connected: bool,
    /// Seconds charged.
    pub billed_seconds: i64,
    /// Micro-units charged.
    pub cost: i64,
    /// From answer to end.
    pub duration_ms: i64,
}

impl Probe {
    /// Connects to `sqlite://PATH` or `postgres://...`.
    pub fn open(url: &str) -> Probe {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let pool = runtime.block_on(async {
            match url.strip_prefix("sqlite://") {
                Some(path) => {
                    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
                    Pool::Sqlite(SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options))
                }
                None => {
                    let options = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(30));
                    Pool::Postgres(options.connect_lazy(url).unwrap_or_else(|e| panic!("{url}: {e}")))
                }
            }
        });
        Probe { runtime, pool }
    }

    /// The rows of a question all of whose columns are text (`CAST(x AS TEXT)`).
    pub fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, sqlx::Error> {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => {
                    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await?;
                    rows.iter().map(|row| (0..row.len()).map(|i| row.try_get(i)).collect()).collect()
                }
                Pool::Postgres(pool) => {
                    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await?;
                    rows.iter().map(|row| (0..row.len()).map(|i| row.try_get(i)).collect()).collect()
                }
            }
        })
    }

    /// Changes something, as an operator with an SQL prompt would; answers how many rows.
    pub fn execute(&self, sql: &str) -> u64 {
        self.try_execute(sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The same while the database may be away.
    pub fn try_execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => {
                    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(pool).await.map(|r| r.rows_affected())
                }
                Pool::Postgres(pool) => {
                    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(pool).await.map(|r| r.rows_affected())
                }
            }
        })
    }

    /// As somebody who opens a transaction, runs these statements and goes for a walk, then ends it with `last`.
    pub fn hold_open(&self, begin: &str, statements: &[&str], walk: Duration, last: &str) -> Result<(), sqlx::Error> {
        async fn run<'c, D: sqlx::Database>(
            connection: &'c mut D::Connection,
            statements: &[&str],
        ) -> Result<(), sqlx::Error>
        where
            for<'a> &'a mut D::Connection: sqlx::Executor<'a, Database = D>,
        {
            use sqlx::Executor;
            for statement in statements {
                connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(*statement))).await?;
            }
            Ok(())
        }
        let statements = [&[begin], statements].concat();
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => {
                    let mut connection = pool.acquire().await?.detach();
                    run::<sqlx::Sqlite>(&mut connection, &statements).await?;
                    tokio::time::sleep(walk).await;
                    run::<sqlx::Sqlite>(&mut connection, &[last]).await
                }
                Pool::Postgres(pool) => {
                    let mut connection = pool.acquire().await?.detach();
                    run::<sqlx::Postgres>(&mut connection, &statements).await?;
                    tokio::time::sleep(walk).await;
                    run::<sqlx::Postgres>(&mut connection, &[last]).await
                }
            }
        })
    }

    /// One number.
    pub fn number(&self, sql: &str) -> i64 {
        let rows =
            self.rows(&format!("SELECT CAST(COALESCE(({sql}), 0) AS TEXT)")).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let text = rows.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default();
        text.parse().unwrap_or_else(|e| panic!("{sql}: {text:?}: {e}"))
    }

    /// Every request.
    pub fn requests(&self) -> Vec<Request> {
        let sql = "SELECT job_id, status, COALESCE(result, ''), CASE WHEN finished THEN '1' ELSE '0' END, owner, CAST(epoch AS TEXT) \
                   FROM callback_requests ORDER BY i_callback_request";
        let request = |row: Vec<Option<String>>| Request {
            job: text(&row, 0),
            status: text(&row, 1),
            result: text(&row, 2),
            finished: text(&row, 3) == "1",
            owner: row[4].clone(),
            epoch: integer(&row, 5),
        };
        self.rows(sql).unwrap_or_else(|e| panic!("requests: {e}")).into_iter().map(request).collect()
    }

    /// The request of a job.
    pub fn request(&self, job: &str) -> Option<Request> {
        self.requests().into_iter().find(|request| request.job == job)
    }

    /// Every CDR, by leg and attempt.
    pub fn cdrs(&self) -> Vec<Cdr> {
        let sql = "SELECT cdr_id, job_id, leg, CAST(attempt AS TEXT), number, cause, CASE WHEN connect_time IS NULL THEN '0' ELSE '1' END, \
                   CAST(billed_seconds AS TEXT), CAST(cost AS TEXT), CAST(duration_ms AS TEXT) FROM call_records ORDER BY job_id, leg, attempt";
        let cdr = |row: Vec<Option<String>>| Cdr {
            id: text(&row, 0),
            job: text(&row, 1),
            leg: text(&row, 2),
            attempt: integer(&row, 3),
            number: text(&row, 4),
            cause: text(&row, 5),
            connected: text(&row, 6) == "1",
            billed_seconds: integer(&row, 7),
            cost: integer(&row, 8),
            duration_ms: integer(&row, 9),
        };
        self.rows(sql).unwrap_or_else(|e| panic!("CDRs: {e}")).into_iter().map(cdr).collect()
    }

    /// Sum of the whole ledger: zero, always.
    pub fn ledger_sum(&self) -> i64 {
        self.number("SELECT SUM(amount) FROM ledger")
    }

    /// What an account was charged, by the ledger: micro-units.
    pub fn charged(&self, account: &str) -> i64 {
        -self.number(&format!(
            "SELECT SUM(amount) FROM ledger WHERE job_id IS NOT NULL AND account = \
             (SELECT 'account:' || CAST(id AS TEXT) FROM accounts WHERE name = '{account}')"
        ))
    }

    /// Balance of an account in micro-units.
    pub fn balance(&self, account: &str) -> i64 {
        self.number(&format!("SELECT balance FROM accounts WHERE name = '{account}'"))
    }

    /// Money held on all accounts.
    pub fn held(&self) -> i64 {
        self.number("SELECT SUM(held) FROM accounts")
    }

    /// How many replies are in each state.
    pub fn replies(&self) -> BTreeMap<String, i64> {
        let rows = self
            .rows("SELECT state, CAST(COUNT(*) AS TEXT) FROM replies GROUP BY state")
            .unwrap_or_else(|e| panic!("replies: {e}"));
        rows.into_iter().map(|row| (text(&row, 0), integer(&row, 1))).collect()
    }

    /// Messages in one of the embedded queues (SQLite), each id once.
    pub fn waiting(&self, queue: &str) -> i64 {
        self.number(&format!("SELECT COUNT(DISTINCT message_id) FROM queue_messages WHERE queue = '{queue}'"))
    }

    /// The bodies that lie on a queue of the embedded kind.
    pub fn bodies(&self, queue: &str) -> Vec<Value> {
        let sql = format!("SELECT CAST(body AS TEXT) FROM queue_messages WHERE queue = '{queue}' ORDER BY seq");
        let rows = self.rows(&sql).expect("the queue's table is there");
        rows.iter().map(|row| serde_json::from_str(&text(row, 0)).expect("JSON")).collect()
    }

    /// `Err` says what is not at rest yet: `requests` requests finished, nothing held, nothing unpublished.
    pub fn idle(&self, requests: usize) -> Result<(), String> {
        let count = |sql: &str| -> Result<i64, String> {
            let rows = self.rows(&format!("SELECT CAST(COALESCE(({sql}), 0) AS TEXT)")).map_err(|e| e.to_string())?;
            Ok(rows.first().map_or(0, |row| integer(row, 0)))
        };
        let finished = count("SELECT COUNT(*) FROM callback_requests WHERE finished")?;
        let open = count("SELECT COUNT(*) FROM callback_requests WHERE NOT finished")?;
        let held = count("SELECT SUM(held) FROM accounts")?;
        let waiting = count("SELECT COUNT(*) FROM outbox WHERE published IS NULL")?;
        if finished as usize >= requests && open == 0 && held == 0 && waiting == 0 {
            return Ok(());
        }
        Err(format!(
            "{finished} of {requests} requests finished, {open} open, {held} micro-units held, {waiting} events unpublished"
        ))
    }

    /// At rest: every request has one end, every CDR is unique, the ledger sums to zero, the balance is the
    /// opening one less the CDRs' costs, no charge without a CDR and none twice.
    pub fn books_are_right(&self, account: &str, opening: i64) {
        let cdrs = self.cdrs();
        let distinct: BTreeSet<&str> = cdrs.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(distinct.len(), cdrs.len(), "a CDR stands twice: {cdrs:?}");
        let cost: i64 = cdrs.iter().map(|c| c.cost).sum();
        assert_eq!(self.ledger_sum(), 0, "the ledger does not sum to zero");
        assert_eq!(self.charged(account), cost, "the ledger charged otherwise than the CDRs: {cdrs:?}");
        assert_eq!(self.balance(account), opening - cost, "the balance is not the opening balance less the charges");
        assert_eq!(self.held(), 0, "money is still held");
        for cdr in &cdrs {
            assert!(cdr.connected || cdr.cost == 0, "an attempt nobody answered was charged: {cdr:?}");
        }
    }
}

fn text(row: &[Option<String>], column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

fn integer(row: &[Option<String>], column: usize) -> i64 {
    text(row, column).parse().unwrap_or(0)
}
