//! The facts of a run, fetched from phones, tables, queues and receivers once everything is at rest.

use std::time::Duration;

use serde_json::Value;

use super::facts::{Account, Cdr, Facts, News, Posting, Request, Ring};
use super::plan::Shape;
use super::stage::Stage;
use crate::billing::Broker;
use crate::clock;
use crate::probe::Probe;

/// Everything the judges want to know.
pub fn facts(stage: &Stage, shape: Shape, unrest: Option<String>) -> Facts {
    let probe = stage.site.probe();
    let mut rings: Vec<Ring> = Vec::new();
    for (bank, trunk) in stage.phones.iter().zip(1..) {
        rings.extend(Ring::all(&bank.calls(), &bank.log(), trunk));
    }
    rings.sort_by_key(|ring| ring.invite_us);
    let replies = stage.site.replies().received();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let replies = replies.iter().map(|reply| reply.json()).map(|reply| (text(&reply["job"]), text(&reply["kind"])));
    let (feed, log) = queues(stage, &probe);
    let diary = stage.diary();
    let complaints = stage.posts.iter().flat_map(|post| post.complaints(&stage.site));
    Facts {
        shape,
        rings,
        absences: stage.posts.iter().flat_map(|post| post.absences()).collect(),
        wire: stage.phones[0].log().with(stage.phones[1].log()),
        iif: stage.server.gateway().ip().to_string(),
        releases: diary.releases.clone(),
        breakages: diary.breakages.clone(),
        accepted: diary.accepted.clone(),
        forbidden: diary.forbidden.clone(),
        topped: diary.topped.clone(),
        served: diary.served.clone(),
        requests: requests(&probe),
        cdrs: cdrs(&probe, shape),
        accounts: accounts(&probe),
        ledger: ledger(&probe),
        holds: probe.number("SELECT COUNT(*) FROM holds"),
        outbox: outbox(&probe),
        feed,
        log,
        replies: replies.collect(),
        complaints: complaints.chain(diary.complaints.iter().cloned()).chain(unrest).collect(),
    }
}

/// What lies in the queue of billing and in the log.
fn queues(stage: &Stage, probe: &Probe) -> (Vec<News>, Vec<News>) {
    let news = |bodies: Vec<Value>| bodies.iter().map(News::of).collect();
    let Some(peers) = stage.peers() else {
        let bodies = |sql: &str| rows(probe, sql).iter().map(|row| json(row, 0)).collect();
        return (
            news(bodies("SELECT CAST(body AS TEXT) FROM queue_messages WHERE queue = 'billing' ORDER BY seq")),
            news(bodies("SELECT CAST(body AS TEXT) FROM queue_log ORDER BY seq")),
        );
    };
    let broker = Broker::at(&peers.rabbit.url());
    let feed = broker.drain(&stage.site.queue("billing")).unwrap_or_else(|e| panic!("billing cannot be read: {e}"));
    let log = stage.site.queue("callback.events.log");
    let log = broker.messages(&log, usize::MAX, true, Duration::from_secs(10));
    (news(feed), news(log.into_iter().map(|taken| taken.body).collect()))
}

fn requests(probe: &Probe) -> Vec<Request> {
    let sql = "SELECT job_id, b, CASE WHEN finished THEN '1' ELSE '0' END, result FROM callback_requests ORDER BY i_callback_request";
    let request =
        |row: &Row| Request { job: text(row, 0), b: text(row, 1), finished: text(row, 2) == "1", result: text(row, 3) };
    rows(probe, sql).iter().map(request).collect()
}

fn cdrs(probe: &Probe, shape: Shape) -> Vec<Cdr> {
    let setup = match shape {
        Shape::Small => "setup_time",
        Shape::Big => r#"to_char(setup_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#,
    };
    let sql = format!(
        "SELECT cdr_id, job_id, number, account, call_id, {setup}, CASE WHEN connect_time IS NULL THEN '0' ELSE '1' END, \
         CAST(duration_ms AS TEXT), CAST(billed_seconds AS TEXT), CAST(cost AS TEXT), CAST(uncovered AS TEXT), \
         CAST(account_seq AS TEXT), cause FROM call_records ORDER BY setup_time"
    );
    let cdr = |row: &Row| Cdr {
        id: text(row, 0),
        job: text(row, 1),
        number: text(row, 2),
        account: text(row, 3),
        call_id: text(row, 4),
        setup_us: moment(&text(row, 5)),
        connected: text(row, 6) == "1",
        duration_ms: integer(row, 7),
        billed_seconds: integer(row, 8),
        cost: integer(row, 9),
        uncovered: integer(row, 10),
        account_seq: row[11].as_ref().and_then(|seq| seq.parse().ok()),
        cause: text(row, 12),
    };
    rows(probe, &sql).iter().map(cdr).collect()
}

fn accounts(probe: &Probe) -> Vec<Account> {
    let sql = "SELECT 'account:' || CAST(id AS TEXT), name, CAST(balance AS TEXT), CAST(held AS TEXT) FROM accounts ORDER BY id";
    let account =
        |row: &Row| Account { key: text(row, 0), name: text(row, 1), balance: integer(row, 2), held: integer(row, 3) };
    rows(probe, sql).iter().map(account).collect()
}

fn ledger(probe: &Probe) -> Vec<Posting> {
    let sql = "SELECT entry_key, account, CAST(amount AS TEXT), CAST(account_seq AS TEXT) FROM ledger ORDER BY id";
    let posting = |row: &Row| Posting {
        entry: text(row, 0),
        account: text(row, 1),
        amount: integer(row, 2),
        seq: integer(row, 3),
    };
    rows(probe, sql).iter().map(posting).collect()
}

fn outbox(probe: &Probe) -> Vec<(News, bool)> {
    let sql = "SELECT CAST(body AS TEXT), CASE WHEN published IS NULL THEN '0' ELSE '1' END FROM outbox ORDER BY id";
    rows(probe, sql).iter().map(|row| (News::of(&json(row, 0)), text(row, 1) == "1")).collect()
}

type Row = Vec<Option<String>>;

fn rows(probe: &Probe, sql: &str) -> Vec<Row> {
    probe.rows(sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn text(row: &Row, column: usize) -> String {
    row[column].clone().unwrap_or_default()
}

fn integer(row: &Row, column: usize) -> i64 {
    text(row, column).parse().unwrap_or(0)
}

fn json(row: &Row, column: usize) -> Value {
    serde_json::from_str(&text(row, column)).unwrap_or_default()
}

/// A moment of the database on the tests' clock; both are this machine's.
fn moment(text: &str) -> u64 {
    let at = chrono::DateTime::parse_from_rfc3339(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    clock::from_wall(Duration::from_micros(at.timestamp_micros().unsigned_abs()))
}
