//! Two processes on one SQLite file: an engine under load, and a second process that cancels, takes money in and wakes it.
//!
//! The test starts itself again as the second process, so it has no harness.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use ringback_common::job::{Job, JobId};
use ringback_common::money::Money;
use ringback_common::store::{
    Cancelling, Me, NewAccount, Purse, Step, Stepped, Store, StoreConfig, Take, Taken, Writer,
};

const SECOND_PROCESS: &str = "TWO_PROCESSES_STORE";
const CALLS: u32 = 8;
const CANCELS: u32 = 100;
const TOPUPS: i64 = 50;
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    match std::env::var(SECOND_PROCESS) {
        Ok(url) => runtime.block_on(second_process(&url)),
        Err(_) => {
            runtime.block_on(first_process());
            println!("test two_processes_write_one_file ... ok");
        }
    }
    ExitCode::SUCCESS
}

async fn second_process(url: &str) {
    let store = Store::open(&StoreConfig::new(url)).await.expect("the store opens");
    for n in 0..CANCELS {
        let met = store.cancel(&JobId(format!("future-{n}"))).await.expect("a cancel is written");
        assert_eq!(met, Cancelling::Remembered);
    }
    for _ in 0..TOPUPS {
        store.topup("alice", Money(2), "topup").await.expect("money comes in");
    }
    assert_eq!(store.cancel(&JobId("call-0".to_owned())).await, Ok(Cancelling::Running));
}

async fn first_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/data/ringback.db", folder.path().display());
    let store = Store::open(&StoreConfig::new(&url)).await.expect("the store opens");
    let alice = NewAccount {
        name: "alice".to_owned(),
        currency: "USD".to_owned(),
        balance: Money(1_000_000),
        ..NewAccount::default()
    };
    let payer = store.add_account(&alice).await.expect("an account").id;
    let me = store.register_engine("engine").await.expect("an engine").me;
    let woken = tokio::spawn({
        let store = store.clone();
        async move { store.woken().await }
    });
    let writer = store.writer();
    let mut calls = Vec::new();
    for n in 0..CALLS {
        let job = claimed(&store, &me, n).await;
        calls.push(tokio::spawn(write_until_cancelled(writer.clone(), me.id.clone(), job, payer)));
    }
    let program = std::env::current_exe().expect("this program");
    let mut second = Command::new(program).env(SECOND_PROCESS, &url).spawn().expect("a second process");
    let begun = Instant::now();
    while store.cancelled_among(&me).await != Ok(vec![JobId("call-0".to_owned())]) {
        assert!(begun.elapsed() < LIMIT, "the cancel of another process is seen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::timeout(LIMIT, woken).await.expect("the engine was woken by the other process").expect("no panic");
    for n in 1..CALLS {
        store.cancel(&JobId(format!("call-{n}"))).await.expect("a cancel is written");
    }
    for call in calls {
        let steps = tokio::time::timeout(LIMIT, call).await.expect("every call ends").expect("no call panics");
        assert!(steps > 0, "every call got on while the other process wrote");
    }
    let second = tokio::task::spawn_blocking(move || second.wait()).await.expect("a thread").expect("it ends");
    assert!(second.success(), "the second process wrote all it had");
    let alice = store.account_by_name("alice").await.expect("the store answers").expect("the account");
    assert_eq!(alice.balance, Money(1_000_000 + 2 * TOPUPS), "no money of the other process is lost");
    assert_eq!(alice.held, Money(i64::from(CALLS) * 100));
    let early = Take { job: job("future-7"), claim: true };
    assert_eq!(store.take(&me, &[early]).await, Ok(vec![Taken::Ended]), "its cancels are honoured");
}

async fn claimed(store: &Store, me: &Me, n: u32) -> JobId {
    let job = job(&format!("call-{n}"));
    let id = job.id.clone();
    let taken = store.take(me, &[Take { job, claim: true }]).await.expect("a job is taken");
    assert!(matches!(taken[0], Taken::Claimed { .. }), "{taken:?}");
    id
}

/// Each to a number of its own: the same call twice would be one.
fn job(id: &str) -> Job {
    let number = id.bytes().fold(0, |sum, byte| (sum * 31 + u32::from(byte)) % 900_000);
    let job = serde_json::json!({
        "id": id, "source": "sms", "account": "alice", "a": "+442071838750", "b": format!("+49151{:07}", number),
        "created": "2026-01-01T00:00:00Z", "not_after": "2099-01-01T00:00:00Z",
    });
    serde_json::from_value(job).expect("a job")
}

async fn write_until_cancelled(writer: Writer, owner: String, job: JobId, account_id: i64) -> u32 {
    let mut steps = 0;
    let mut purse = Purse { account_id, held: Money::ZERO };
    loop {
        let postings = purse.holding(Money(100));
        let step = Step { postings: Some(postings), honour_cancel: true, ..Step::new(job.clone(), &owner, 1) };
        match writer.step(step).await {
            Ok(Stepped::Done { .. }) => {
                purse.posted(postings);
                steps += 1;
            }
            Ok(Stepped::Cancelled) => return steps,
            other => panic!("{other:?}"),
        }
    }
}
