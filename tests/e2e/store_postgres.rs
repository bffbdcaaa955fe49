//! The store on a real PostgreSQL with fsync on: the suite, a server that is killed in the middle, one that hangs.

#![allow(clippy::unwrap_used)] // a file of tests

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use ringback_common::event::LegName;
use ringback_common::job::{Job, JobId};
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_common::store::suite::{self, Bench, Check};
use ringback_common::store::{
    Account, Beat, Me, NewAccount, Purse, Settlement, Step, Stepped, Store, StoreConfig, StoreError, Take, Taken,
};
use ringback_tests::peers::postgres::Postgres;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(120);

async fn server() -> Postgres {
    tokio::task::spawn_blocking(Postgres::start).await.unwrap().unwrap()
}

async fn restart(mut server: Postgres) -> Postgres {
    tokio::task::spawn_blocking(move || {
        server.restart().unwrap();
        server
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_on_postgresql() {
    let server = Arc::new(server().await);
    for four in suite::all().chunks(4) {
        join_all(four.iter().map(|(name, check)| check_alone(server.clone(), name, *check))).await;
    }
}

async fn check_alone(server: Arc<Postgres>, name: &'static str, check: Check) {
    let url = tokio::task::spawn_blocking(move || server.database(name)).await.unwrap().unwrap();
    let bench = Bench::open(&url).await;
    timeout(LIMIT, check(bench.clone())).await.unwrap_or_else(|_| panic!("{name} hangs"));
    println!("{name} ... ok");
    tokio::join!(bench.store.close(), bench.other.close());
}

async fn rich_account(store: &Store) -> Account {
    let new = NewAccount {
        name: "alice".to_owned(),
        currency: "USD".to_owned(),
        balance: Money(1_000_000_000),
        ..NewAccount::default()
    };
    store.add_account(&new).await.unwrap()
}

async fn claimed(store: &Store, me: &Me, n: u32) -> JobId {
    let job: Job = serde_json::from_value(serde_json::json!({
        "id": format!("job-{n}"), "source": "sms", "account": "alice", "a": "+442071838750", "b": format!("+1206{n:07}"),
        "created": "2026-01-01T00:00:00Z", "not_after": "2099-01-01T00:00:00Z",
    }))
    .unwrap();
    let id = job.id.clone();
    let taken = store.take(me, &[Take { job, claim: true }]).await.unwrap();
    assert!(matches!(taken[0], Taken::Claimed { epoch: 1, .. }), "{taken:?}");
    id
}

fn charge(account: &Account, job: &JobId, me: &Me, attempt: u32) -> Step {
    let moment = "2026-01-01T00:00:00Z".parse().unwrap();
    let settled = Settlement {
        leg: LegName::A,
        attempt,
        number: Number::e164("+12065554123").unwrap().as_str().to_owned(),
        cli: String::new(),
        trunk: "main".to_owned(),
        setup_time: moment,
        connect_time: Some(moment),
        disconnect_time: moment,
        duration_ms: 1_000,
        billed_seconds: 1,
        cost: Money(10),
        cause: "completed".to_owned(),
        sip_code: Some(200),
        q850: None,
        call_id: "c".to_owned(),
    };
    let held = Money(if attempt == 1 { 0 } else { 100 });
    let postings = Some(Purse { account_id: account.id, held }.holding(Money(100)));
    Step { settlements: vec![settled], postings, ..Step::new(job.clone(), &me.id, 1) }
}

/// Thirty calls charge attempt after attempt while the server is killed twice: every step is answered `Done`, and every
/// attempt is charged exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_database_is_killed() {
    const CALLS: u32 = 30;
    const ROUNDS: i64 = 3;
    let mut server = server().await;
    let store = Store::open(&StoreConfig::new(server.url())).await.unwrap();
    let me = store.register_engine("e1").await.unwrap().me;
    let account = Arc::new(rich_account(&store).await);
    let writer = store.writer();
    let over = Arc::new(AtomicBool::new(false));
    let mut calls = Vec::new();
    for n in 0..CALLS {
        let job = claimed(&store, &me, n).await;
        let (writer, me, account, over) = (writer.clone(), me.clone(), account.clone(), over.clone());
        calls.push(tokio::spawn(async move {
            let mut attempts = 0;
            while !over.load(Ordering::Relaxed) {
                attempts += 1;
                let answer = writer.step(charge(&account, &job, &me, attempts)).await;
                assert!(matches!(answer, Ok(Stepped::Done { .. })), "{answer:?}");
            }
            i64::from(attempts)
        }));
    }
    for round in 1..ROUNDS {
        let enough = async {
            while store.ledger_sum().await.is_err() || written(&store).await < round * 300 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, enough).await.expect("steps are written");
        server.kill9();
        let lost = Instant::now();
        while !matches!(store.beat(&me).await, Err(StoreError::Unavailable(_))) {
            assert!(lost.elapsed() < LIMIT, "a dead database is noticed");
        }
        assert!(!store.healthy());
        server = restart(server).await;
        while store.beat(&me).await != Ok(Beat::Alive) {
            assert!(lost.elapsed() < LIMIT, "the beat goes on once the database is back");
        }
    }
    over.store(true, Ordering::Relaxed);
    let attempts: i64 =
        timeout(LIMIT, join_all(calls)).await.expect("every step is answered").into_iter().map(Result::unwrap).sum();
    let lost_sight = Instant::now();
    let alice = look(&store).await;
    assert_eq!(alice.balance, Money(1_000_000_000 - 10 * attempts), "every attempt is charged once");
    assert_eq!((alice.money_seq, alice.held), (1 + attempts, Money(100 * i64::from(CALLS))));
    assert_eq!(store.ledger_sum().await, Ok(Money::ZERO));
    while !store.healthy() {
        assert!(lost_sight.elapsed() < LIMIT, "a write tells that the store is back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Connections of the pool may be found dead once each.
async fn look(store: &Store) -> Account {
    let asked = Instant::now();
    loop {
        match store.account_by_name("alice").await {
            Ok(account) => return account.expect("the account is there"),
            Err(error) => assert!(asked.elapsed() < LIMIT, "{error}"),
        }
    }
}

async fn written(store: &Store) -> i64 {
    match store.account_by_name("alice").await {
        Ok(Some(account)) => account.money_seq - 1,
        _ => 0,
    }
}

/// A database that hangs (somebody has locked the tables) is not one that says no: a beat fails within its time, nobody is fenced, and a step that waits is
/// written when the database goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_fences_nobody() {
    let server = server().await;
    let store = Store::open(&StoreConfig::new(server.url())).await.unwrap();
    let me = store.register_engine("e1").await.unwrap().me;
    let account = rich_account(&store).await;
    let job = claimed(&store, &me, 1).await;
    let writer = store.writer();
    assert_eq!(store.beat(&me).await, Ok(Beat::Alive));
    let mut stranger = PgConnection::connect(&server.url()).await.unwrap();
    stranger.execute("BEGIN; LOCK TABLE engines, callback_requests IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let waiting = tokio::spawn({
        let (writer, step) = (writer.clone(), charge(&account, &job, &me, 1));
        async move { writer.step(step).await }
    });
    for _ in 0..2 {
        let asked = Instant::now();
        assert!(matches!(store.beat(&me).await, Err(StoreError::Unavailable(_))));
        assert!(asked.elapsed() < Duration::from_millis(2_500), "{:?}", asked.elapsed());
    }
    let asked = Instant::now();
    assert!(matches!(store.standing(&me).await, Err(StoreError::Unavailable(_))));
    assert!(asked.elapsed() < Duration::from_millis(2_500));
    stranger.execute("ROLLBACK").await.unwrap();
    let answer = timeout(LIMIT, waiting).await.expect("the step is answered").unwrap();
    assert!(matches!(answer, Ok(Stepped::Done { .. })), "{answer:?}");
    let back = Instant::now();
    while store.beat(&me).await != Ok(Beat::Alive) {
        assert!(back.elapsed() < LIMIT, "the beat goes on");
    }
    assert_eq!(look(&store).await.balance, Money(1_000_000_000 - 10), "charged once");
}
