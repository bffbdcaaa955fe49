//! The store on a real PostgreSQL in trouble: rows that somebody else has locked, a client that freezes in the middle of a word, a
//! standby, a full disk, statements that are cancelled and connections that are cut.

#![allow(clippy::unwrap_used)] // a file of tests

use std::os::unix::fs::chown;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rand::Rng;
use rand::distr::Alphanumeric;
use ringback_common::job::{Job, JobId};
use ringback_common::money::Money;
use ringback_common::store::{
    Beat, Me, NewAccount, Peer, Purse, RequestChange, Step, Stepped, Store, StoreConfig, StoreError, Take, Taken,
    Writer,
};
use ringback_tests::disk::Disk;
use ringback_tests::peers::postgres::Postgres;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);
/// Well below what the server grants a silent transaction.
const AT_ONCE: Duration = Duration::from_secs(3);

async fn server() -> Postgres {
    tokio::task::spawn_blocking(Postgres::start).await.unwrap().unwrap()
}

async fn open(url: &str) -> Store {
    Store::open(&StoreConfig::new(url)).await.unwrap()
}

async fn account(store: &Store) -> i64 {
    let new = NewAccount { name: "alice".to_owned(), currency: "USD".to_owned(), ..NewAccount::default() };
    store.add_account(&NewAccount { balance: Money(1_000_000), ..new }).await.unwrap().id
}

fn job(n: u32) -> Job {
    serde_json::from_value(serde_json::json!({
        "id": format!("job-{n}"), "source": "sms", "account": "alice", "a": "+442071838750", "b": format!("+1206{n:07}"),
        "created": "2026-01-01T00:00:00Z", "not_after": "2099-01-01T00:00:00Z",
    }))
    .unwrap()
}

async fn claimed(store: &Store, me: &Me, n: u32) -> JobId {
    let job = job(n);
    let id = job.id.clone();
    let taken = store.take(me, &[Take { job, claim: true }]).await.unwrap();
    assert!(matches!(taken[0], Taken::Claimed { epoch: 1, .. }), "{taken:?}");
    id
}

fn says(job: &JobId, me: &Me, status: &str) -> Step {
    let request = RequestChange { status: Some(status.to_owned()), ..RequestChange::default() };
    Step { request, ..Step::new(job.clone(), &me.id, 1) }
}

fn written(writer: &Writer, step: Step) -> JoinHandle<Result<Stepped, StoreError>> {
    let writer = writer.clone();
    tokio::spawn(async move { writer.step(step).await })
}

async fn done(step: JoinHandle<Result<Stepped, StoreError>>) {
    let answer = timeout(LIMIT, step).await.expect("the step is answered").unwrap();
    assert!(matches!(answer, Ok(Stepped::Done { .. })), "{answer:?}");
}

async fn stranger(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Backends of ours that wait for somebody's lock.
async fn waiting_backends(looker: &mut PgConnection) -> i64 {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ringback' AND wait_event_type = 'Lock'";
    sqlx::query_scalar(waiting).fetch_one(looker).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_has_locked_holds_up_its_own_call_only() {
    let server = server().await;
    let store = open(&server.url()).await;
    let me = store.register_engine("e1").await.unwrap().me;
    account(&store).await;
    let mut jobs = Vec::new();
    for n in 0..20 {
        jobs.push(claimed(&store, &me, n).await);
    }
    let (mut outsider, mut looker) = (stranger(&server.url()).await, stranger(&server.url()).await);
    outsider.execute("BEGIN; UPDATE callback_requests SET canceled = TRUE WHERE job_id = 'job-0'").await.unwrap();
    let writer = store.writer();
    let blocked = written(&writer, says(&jobs[0], &me, "First leg initiated"));
    for round in 0..20 {
        let others = jobs[1..].iter().map(|job| written(&writer, says(job, &me, &format!("round {round}"))));
        for step in join_all(others.map(|step| timeout(AT_ONCE, step))).await {
            assert!(matches!(step.expect("everybody else goes on").unwrap(), Ok(Stepped::Done { .. })));
        }
        assert!(waiting_backends(&mut looker).await <= 2, "one that waits, and one that just found out");
        assert_eq!(store.beat(&me).await, Ok(Beat::Alive));
    }
    store.take(&me, &[Take { job: job(100), claim: true }]).await.expect("jobs are taken");
    assert!(store.healthy(), "a locked row is no trouble of the store");
    assert!(!blocked.is_finished());
    outsider.execute("ROLLBACK").await.unwrap();
    done(blocked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_somebody_has_locked_holds_up_its_own_money_only() {
    let server = server().await;
    let store = open(&server.url()).await;
    let me = store.register_engine("e1").await.unwrap().me;
    let account_id = account(&store).await;
    let (payer, other) = (claimed(&store, &me, 1).await, claimed(&store, &me, 2).await);
    let mut outsider = stranger(&server.url()).await;
    outsider.execute("BEGIN; SELECT 1 FROM accounts FOR UPDATE").await.unwrap();
    let writer = store.writer();
    let postings = Some(Purse { account_id, held: Money::ZERO }.holding(Money(100)));
    let blocked = written(&writer, Step { postings, ..says(&payer, &me, "holds") });
    for round in 0..10 {
        let step = written(&writer, says(&other, &me, &format!("round {round}")));
        timeout(AT_ONCE, done(step)).await.expect("who spends nothing goes on");
    }
    assert!(!blocked.is_finished());
    outsider.execute("ROLLBACK").await.unwrap();
    done(blocked).await;
    assert_eq!(store.account_by_id(account_id).await.unwrap().unwrap().held, Money(100), "held once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_whose_row_somebody_has_locked_is_not_adopted_and_beats_again() {
    let server = server().await;
    let store = open(&server.url()).await;
    let (me, other) = (store.register_engine("e1").await.unwrap().me, store.register_engine("e2").await.unwrap().me);
    let job = claimed(&store, &me, 1).await;
    let (mut outsider, mut looker) = (stranger(&server.url()).await, stranger(&server.url()).await);
    outsider.execute("BEGIN; SELECT 1 FROM engines WHERE id = 'e1' FOR UPDATE").await.unwrap();
    for _ in 0..4 {
        assert!(matches!(store.beat(&me).await, Err(StoreError::Unavailable(_))));
        assert!(waiting_backends(&mut looker).await <= 1, "beats that nobody waits for any more");
    }
    let seen = store.peers(&other).await.unwrap().remove(0);
    let adopted = timeout(AT_ONCE, store.adopt(&seen, &other)).await.expect("it is answered at once");
    assert!(adopted.unwrap().is_none(), "whoever is locked is not known to be dead");
    outsider.execute("ROLLBACK").await.unwrap();
    assert_eq!(store.beat(&me).await, Ok(Beat::Alive));
    done(written(&store.writer(), says(&job, &me, "goes on"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_request_of_a_dead_engine_is_adopted_once_it_is_free() {
    let server = server().await;
    let store = open(&server.url()).await;
    let (dead, me) = (store.register_engine("dead").await.unwrap().me, store.register_engine("e1").await.unwrap().me);
    let (locked, free) = (claimed(&store, &dead, 1).await, claimed(&store, &dead, 2).await);
    let mut outsider = stranger(&server.url()).await;
    outsider.execute("BEGIN; UPDATE callback_requests SET canceled = TRUE WHERE job_id = 'job-1'").await.unwrap();
    let seen = store.peers(&me).await.unwrap().remove(0);
    let adopted = timeout(AT_ONCE, store.adopt(&seen, &me)).await.expect("nobody waits").unwrap().expect("it is dead");
    assert_eq!(adopted.iter().map(|one| &one.row.job.id).collect::<Vec<_>>(), [&free]);
    assert!(store.strays(&me, std::slice::from_ref(&free)).await.unwrap().is_empty(), "it is locked still");
    outsider.execute("ROLLBACK").await.unwrap();
    let strays = store.strays(&me, &[free]).await.unwrap();
    assert_eq!((&strays[0].row.job.id, strays[0].row.owner.as_deref()), (&locked, Some("e1")));
}

/// Between a store and its server: lets so many words of the client pass, and freezes it then with the connection open.
struct Freezer {
    url: String,
    words: Arc<AtomicI64>,
}

impl Freezer {
    async fn before(server: &str) -> Freezer {
        let (head, tail) = server.split_once("127.0.0.1:").unwrap();
        let (port, database) = tail.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{head}{}/{database}", listener.local_addr().unwrap());
        let (words, port): (Arc<AtomicI64>, u16) = (Arc::new(AtomicI64::new(i64::MAX)), port.parse().unwrap());
        let left = Arc::clone(&words);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (mut hears, mut says) = client.into_split();
                let (mut answers, mut asks) = server.into_split();
                let left = Arc::clone(&left);
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut says).await });
                tokio::spawn(async move {
                    let mut word = vec![0; 1 << 20];
                    loop {
                        let length = hears.read(&mut word).await.unwrap_or(0);
                        if length == 0 {
                            return;
                        }
                        if left.fetch_sub(1, Ordering::SeqCst) <= 0 {
                            std::future::pending::<()>().await; // holds both ends open, as a frozen process does
                        }
                        asks.write_all(&word[..length]).await.unwrap();
                    }
                });
            }
        });
        Freezer { url, words }
    }

    fn freeze_after(&self, words: i64) {
        self.words.store(words, Ordering::SeqCst);
    }

    fn is_frozen(&self) -> bool {
        self.words.load(Ordering::SeqCst) < 0
    }
}

/// What an engine does that names itself or another one.
const DEEDS: [&str; 6] = ["take", "claim", "strays", "adopt", "leave", "register"];

async fn does(deed: &str, store: &Store, me: &Me, dead: &Peer, n: u32) {
    let _ = match deed {
        "take" => store.take(me, &[Take { job: job(n), claim: true }]).await.map(|_| ()),
        "claim" => store.claim_due(me, 5).await.map(|_| ()),
        "strays" => store.strays(me, &[]).await.map(|_| ()),
        "adopt" => store.adopt(dead, me).await.map(|_| ()),
        "leave" => store.leave(me).await,
        _ => store.register_engine(&me.id).await.map(|_| ()),
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_frozen_at_any_word_is_adopted_and_restarted_at_once() {
    let server = server().await;
    let store = open(&server.url()).await;
    account(&store).await;
    let adopter = store.register_engine("adopter").await.unwrap().me;
    let mut n = 0;
    for deed in DEEDS {
        for words in 0..8 {
            let freezer = Freezer::before(&server.url()).await;
            let frozen = open(&freezer.url).await;
            let me = frozen.register_engine("frozen").await.unwrap().me;
            store.register_engine("dead").await.unwrap();
            n += 1;
            claimed(&store, &me, n).await;
            store.take(&me, &[Take { job: job(1_000 + n), claim: false }]).await.unwrap();
            let peers = store.peers(&adopter).await.unwrap();
            let seen = |id: &str| peers.iter().find(|peer| peer.id == id).unwrap().clone();
            let (dead, seen) = (seen("dead"), seen("frozen"));
            freezer.freeze_after(words);
            let doing = does(deed, &frozen, &me, &dead, 2_000 + n);
            let froze = async {
                while !freezer.is_frozen() {
                    sleep(Duration::from_millis(1)).await;
                }
                sleep(Duration::from_millis(20)).await; // what was said before is heard
            };
            let ended = tokio::select! { () = doing => true, () = froze => false };
            let what = format!("{deed}, frozen after {words} words");
            let adopted =
                timeout(AT_ONCE, store.adopt(&seen, &adopter)).await.unwrap_or_else(|_| panic!("{what}: adopt"));
            adopted.unwrap_or_else(|error| panic!("{what}: {error}"));
            for id in ["frozen", "dead"] {
                let again = timeout(AT_ONCE, store.register_engine(id)).await;
                again
                    .unwrap_or_else(|_| panic!("{what}: {id} starts"))
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            if ended {
                break;
            }
        }
    }
}

async fn set(url: &str, setting: &str) {
    let mut operator = stranger(url).await;
    operator.execute(AssertSqlSafe(format!("ALTER SYSTEM SET {setting}"))).await.unwrap();
    operator.execute("SELECT pg_reload_conf()").await.unwrap();
}

async fn until(what: &str, ready: impl Fn() -> bool) {
    let ready = async {
        while !ready() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, ready).await.unwrap_or_else(|_| panic!("{what}"));
}

/// A step that is asked for while nothing can be written is neither refused nor lost, and who writes nothing knows of it too.
async fn trouble_passes(url: &str, begin: impl AsyncFnOnce(), end: impl AsyncFnOnce()) {
    let (store, silent) = (open(url).await, open(url).await);
    silent.keep_watch();
    let me = store.register_engine("e1").await.unwrap().me;
    account(&store).await;
    let (job, writer) = (claimed(&store, &me, 1).await, store.writer());
    begin().await;
    let text = rand::rng().sample_iter(Alphanumeric).take(200_000).map(char::from).collect(); // cannot be pressed together
    let request = RequestChange { snapshot: Some(text), ..RequestChange::default() };
    let steps: Vec<_> = (0..20)
        .map(|_| written(&writer, Step { request: request.clone(), ..Step::new(job.clone(), &me.id, 1) }))
        .collect();
    until("the store is said to be away", || !store.healthy()).await;
    until("another process knows it", || !silent.healthy()).await;
    assert!(matches!(store.claim_due(&me, 1).await, Err(StoreError::Unavailable(_))), "nothing new begins");
    assert!(matches!(store.take(&me, &[]).await, Err(StoreError::Unavailable(_))), "nothing new begins");
    assert!(steps.iter().any(|step| !step.is_finished()));
    end().await;
    let back = tokio::time::Instant::now();
    for step in steps {
        done(step).await;
    }
    until("the store is said to be back", || store.healthy() && silent.healthy()).await;
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    store.take(&me, &[Take { job: self::job(2), claim: true }]).await.expect("things begin again");
    silent.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_waited_for() {
    let server = server().await;
    let url = server.url();
    let is_standby = async |word: &str| set(&url, &format!("default_transaction_read_only = {word}")).await;
    trouble_passes(&url, async || is_standby("on").await, async || is_standby("off").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_database_is_waited_for() {
    let server = server().await;
    let disk = Disk::mount(32).expect("a disk can be mounted: this story takes root");
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let user: Vec<&str> =
        passwd.lines().map(|line| line.split(':').collect()).find(|f: &Vec<_>| f[0] == "postgres").unwrap();
    chown(disk.path(), user[2].parse().ok(), user[3].parse().ok()).unwrap();
    let mut operator = stranger(&server.url()).await;
    let folder = disk.path().join("space");
    std::fs::create_dir(&folder).unwrap();
    chown(&folder, user[2].parse().ok(), user[3].parse().ok()).unwrap();
    let space = format!("CREATE TABLESPACE small LOCATION '{}'", folder.display());
    operator.execute(AssertSqlSafe(space)).await.unwrap();
    operator.execute("CREATE DATABASE small TABLESPACE small").await.unwrap();
    let url = server.url_of("small");
    trouble_passes(&url, async || disk.fill().unwrap(), async || disk.free().unwrap()).await;
}

/// Steps go on while an operator cancels every statement and cuts every connection, at COMMIT or anywhere: each is written once.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_statements_and_cut_connections_lose_and_double_nothing() {
    for weapon in ["pg_cancel_backend", "pg_terminate_backend"] {
        let server = server().await;
        let store = open(&server.url()).await;
        let me = store.register_engine("e1").await.unwrap().me;
        let account_id = account(&store).await;
        let mut jobs = Vec::new();
        for n in 0..8 {
            jobs.push(claimed(&store, &me, n).await);
        }
        let (writer, mut killer) = (store.writer(), stranger(&server.url()).await);
        let shots = tokio::spawn(async move {
            let all = format!("SELECT count({weapon}(pid)) FROM pg_stat_activity WHERE application_name = 'ringback'");
            for _ in 0..60 {
                killer.execute(AssertSqlSafe(all.as_str())).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
        });
        let calls = jobs.iter().map(|job| async {
            let mut held = Money::ZERO;
            for n in 1..=40 {
                let purse = Purse { account_id, held };
                let step = Step { postings: Some(purse.holding(Money(n))), ..says(job, &me, "talks") };
                let answer = timeout(LIMIT, writer.step(step)).await.expect("the step is answered");
                assert!(matches!(answer, Ok(Stepped::Done { .. })), "{weapon}: {answer:?}");
                held = Money(n);
            }
        });
        join_all(calls).await;
        shots.await.unwrap();
        until("the store is said to be back", || store.healthy()).await;
        let held = store.account_by_id(account_id).await.unwrap().unwrap().held;
        assert_eq!(held, Money(8 * 40), "{weapon}");
    }
}
