//! What the store costs: CPU of the client per statement and per callback, CPU of PostgreSQL, time until durable.
//!
//! `cargo run --release -p ringback-tests --features contract --example store_cpu [sqlite] [RATE] [SECONDS]`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringback_common::event::LegName;
use ringback_common::job::{Job, JobId};
use ringback_common::money::Money;
use ringback_common::store::{
    DialogState, EventMoney, FinalResponse, Me, NewAccount, NewInvite, Outbox, OutboxEvent, Outlet, Purse,
    RequestChange, Settlement, Step, Stepped, Store, StoreConfig, Take, Taken, Writer,
};
use ringback_tests::peers::postgres::Postgres;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = arguments.iter().filter_map(|text| text.parse().ok()).collect();
    let (rate, seconds) = (numbers.first().copied().unwrap_or(100), numbers.get(1).copied().unwrap_or(20));
    if arguments.iter().any(|text| text == "sqlite") {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        return callbacks(&url, rate, seconds, None).await;
    }
    let server = tokio::task::spawn_blocking(Postgres::start).await??;
    statement(&server.url()).await?;
    let postmaster = postmaster(&server.url()).await?;
    callbacks(&server.url(), rate, seconds, Some(postmaster)).await
}

/// One small INSERT, again and again: the price of a round trip.
async fn statement(url: &str) -> Result<(), Failure> {
    const CALLS: u32 = 5_000;
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query("CREATE TABLE probe (id BIGINT, text TEXT)").execute(&mut connection).await?;
    let (cpu, time) = (own_cpu(), Instant::now());
    for n in 0..CALLS {
        let insert = sqlx::query("INSERT INTO probe (id, text) VALUES ($1, $2)");
        insert.bind(i64::from(n)).bind("x").execute(&mut connection).await?;
    }
    let (cpu, time) = (own_cpu() - cpu, time.elapsed());
    println!("one INSERT: {:.1} us of client CPU, {:.0} us until durable", per(cpu, CALLS), per(time, CALLS));
    Ok(())
}

fn per(time: Duration, times: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(times)
}

/// Callbacks as an engine writes them: taken, five durable points, the outbox drained.
async fn callbacks(url: &str, rate: u64, seconds: u64, postmaster: Option<u32>) -> Result<(), Failure> {
    let store = Store::open(&StoreConfig::new(url)).await?;
    let account = store
        .add_account(&NewAccount {
            name: "bench".to_owned(),
            currency: "USD".to_owned(),
            balance: Money(i64::MAX / 2),
            limits_off: true,
            ..NewAccount::default()
        })
        .await?;
    let me = store.register_engine("bench").await?.me;
    let idle = without_store(rate, account.id).await?;
    let (writer, times) = (store.writer(), Arc::new(Times::default()));
    let drains: Vec<_> = Outlet::ALL.map(|outlet| tokio::spawn(drain(store.clone(), me.clone(), outlet))).into();
    let (jobs, arriving) = mpsc::channel(1_024);
    let worker = tokio::spawn(work(store.clone(), me.clone(), writer, account.id, arriving, times.clone()));
    let beat = tokio::spawn(beat(store.clone(), me.clone()));
    let mut tick = interval(Duration::from_secs_f64(1.0 / rate as f64));
    let warm_up = rate * 3;
    let mut cpu = (Duration::ZERO, Duration::ZERO);
    for n in 0..warm_up + rate * seconds {
        if n == warm_up {
            cpu = (own_cpu(), postmaster.map_or(Duration::ZERO, family_cpu));
            times.forget();
        }
        tick.tick().await;
        jobs.send(job(n)?).await?;
    }
    let measured = (rate * seconds) as u32;
    let own = own_cpu() - cpu.0;
    let server = postmaster.map_or(Duration::ZERO, family_cpu) - cpu.1;
    println!("{rate} callbacks a second for {seconds} s, 1 take, 5 steps and {EVENTS} outbox rows each:");
    println!("  client {:.0} us of CPU a callback", per(own.saturating_sub(idle * measured), measured));
    println!("  (what it takes to make up the load, {:.0} us, is taken off)", per(idle, 1));
    if postmaster.is_some() {
        println!("  PostgreSQL {:.0} us of CPU a callback", per(server, measured));
    }
    println!("  step until durable: {}", times.tell());
    drop(jobs);
    worker.await??;
    beat.abort();
    drains.iter().for_each(tokio::task::JoinHandle::abort);
    let sum = store.ledger_sum().await?;
    println!("  ledger sum {sum}, balance {}", store.account_by_name("bench").await?.map_or(Money(-1), |a| a.balance));
    Ok(())
}

/// The same load without a store, a callback: the load's own price.
async fn without_store(rate: u64, account_id: i64) -> Result<Duration, Failure> {
    let mut tick = interval(Duration::from_secs_f64(1.0 / rate as f64));
    let (callbacks, cpu) = (rate * 5, own_cpu());
    for n in 0..callbacks {
        tick.tick().await;
        let call = Callback { job: job(n)?.id, owner: "bench".to_owned(), epoch: 1, account_id };
        tokio::spawn(async move {
            for step in call.steps() {
                drop(std::hint::black_box(step));
                sleep(Duration::from_millis(40)).await;
            }
        });
    }
    Ok((own_cpu() - cpu) / callbacks as u32)
}

fn job(n: u64) -> Result<Job, Failure> {
    Ok(serde_json::from_value(serde_json::json!({
        "id": JobId::of_message("bench", &n.to_string(), "x"), "source": "sms", "account": "bench",
        "a": "+442071838750", "b": format!("+4930{:07}", n % 10_000_000), "sender": "+442071838750",
        "created": "2026-01-01T00:00:00Z", "not_after": "2099-01-01T00:00:00Z", "reply": "{\"to\":\"+442071838750\"}",
    }))?)
}

async fn beat(store: Store, me: Me) {
    let mut tick = interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let _ = tokio::join!(store.beat(&me), store.cancelled_among(&me), store.claim_due(&me, 10));
    }
}

async fn drain(store: Store, me: Me, outlet: Outlet) {
    let mut done = Vec::new();
    loop {
        match store.outbox_next(outlet, &me, 500, &done).await {
            Ok(Outbox::Rows(rows)) => done = rows.iter().map(|row| row.id).collect(),
            other => println!("{other:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Takes what has gathered, then runs each callback as a task of its own.
async fn work(
    store: Store,
    me: Me,
    writer: Writer,
    account_id: i64,
    mut arriving: mpsc::Receiver<Job>,
    times: Arc<Times>,
) -> Result<(), Failure> {
    let mut gathered = Vec::new();
    while arriving.recv_many(&mut gathered, 64).await > 0 {
        let takes: Vec<Take> = gathered.drain(..).map(|job| Take { job, claim: true }).collect();
        let taken = store.take(&me, &takes).await?;
        for (take, taken) in takes.into_iter().zip(taken) {
            let Taken::Claimed { epoch, .. } = taken else { return Err(format!("{taken:?}").into()) };
            let call = Callback { job: take.job.id, owner: me.id.clone(), epoch, account_id };
            let (writer, times) = (writer.clone(), times.clone());
            tokio::spawn(async move {
                for step in call.steps() {
                    let begun = Instant::now();
                    let answer = writer.step(step).await;
                    if !matches!(answer, Ok(Stepped::Done { .. })) {
                        println!("{answer:?}");
                    }
                    times.count(begun.elapsed());
                    sleep(Duration::from_millis(40)).await;
                }
            });
        }
    }
    Ok(())
}

/// Outbox rows of one callback: 9 for the log, 2 CDRs to billing and their copies, 2 replies.
const EVENTS: usize = 15;

struct Callback {
    job: JobId,
    owner: String,
    epoch: i64,
    account_id: i64,
}

impl Callback {
    fn steps(&self) -> [Step; 5] {
        let new = || Step::new(self.job.clone(), &self.owner, self.epoch);
        let purse = |held| Purse { account_id: self.account_id, held };
        let (hold, release) = (purse(Money::ZERO).holding(Money(200_000)), purse(Money(200_000)).releasing());
        [
            Step {
                request: self.change("First leg initiated", 1),
                postings: Some(hold),
                invites: vec![invite(LegName::A)],
                dialogs: vec![dialog(LegName::A)],
                events: vec![self.event(Outlet::Replies, 1), self.event(Outlet::Log, 1), self.event(Outlet::Log, 2)],
                honour_cancel: true,
                ..new()
            },
            Step {
                request: self.change("First leg connected", 2),
                finals: vec![answer(LegName::A)],
                dialogs: vec![dialog(LegName::A)],
                events: vec![self.event(Outlet::Log, 3), self.event(Outlet::Log, 4)],
                ..new()
            },
            Step {
                request: self.change("Second leg initiated", 3),
                invites: vec![invite(LegName::B)],
                dialogs: vec![dialog(LegName::B)],
                events: vec![self.event(Outlet::Log, 5), self.event(Outlet::Log, 6)],
                honour_cancel: true,
                ..new()
            },
            Step {
                request: self.change("Second leg connected", 4),
                finals: vec![answer(LegName::B)],
                dialogs: vec![dialog(LegName::B)],
                events: vec![self.event(Outlet::Log, 7), self.event(Outlet::Log, 8)],
                ..new()
            },
            Step {
                request: RequestChange { finished: Some(true), ..self.change("Finished", 5) },
                settlements: vec![self.settlement(LegName::A), self.settlement(LegName::B)],
                postings: Some(release),
                events: vec![
                    self.charge(Outlet::Billing, LegName::A),
                    self.charge(Outlet::Billing, LegName::B),
                    self.charge(Outlet::Log, LegName::A),
                    self.charge(Outlet::Log, LegName::B),
                    self.event(Outlet::Log, 9),
                    OutboxEvent { money: EventMoney::Balance, ..self.event(Outlet::Replies, 10) },
                ],
                ..new()
            },
        ]
    }

    fn change(&self, status: &str, state: u32) -> RequestChange {
        let snapshot = format!("{{\"state\":{state},\"plan\":\"{}\"}}", "x".repeat(1_200));
        RequestChange { status: Some(status.to_owned()), snapshot: Some(snapshot), ..RequestChange::default() }
    }

    fn event(&self, destination: Outlet, seq: u32) -> OutboxEvent {
        let event_id = format!("{}-{seq}", self.job);
        let body = format!("{{\"id\":\"{event_id}\",\"data\":{{\"text\":\"{}\"}}}}", "x".repeat(500));
        let (kind, routing_key) = ("ringback.request.admitted.v1".to_owned(), "request.admitted".to_owned());
        OutboxEvent { destination, routing_key, event_id, kind, body, money: EventMoney::None }
    }

    fn charge(&self, destination: Outlet, leg: LegName) -> OutboxEvent {
        let event_id = format!("{}:{}:1", self.job, leg.as_str());
        OutboxEvent { event_id, money: EventMoney::Charge(leg, 1), ..self.event(destination, 0) }
    }

    fn settlement(&self, leg: LegName) -> Settlement {
        let moment = chrono_moment();
        Settlement {
            leg,
            attempt: 1,
            number: "+49301234567".to_owned(),
            cli: "+442071838750".to_owned(),
            trunk: "main".to_owned(),
            setup_time: moment,
            connect_time: Some(moment),
            disconnect_time: moment,
            duration_ms: 60_000,
            billed_seconds: 60,
            cost: Money(100_000),
            cause: "completed".to_owned(),
            sip_code: Some(200),
            q850: Some(16),
            call_id: format!("{}@127.0.0.1", self.job),
        }
    }
}

fn chrono_moment<T: std::str::FromStr<Err: std::fmt::Debug>>() -> T {
    "2026-01-01T00:00:00Z".parse().expect("a moment")
}

fn invite(leg: LegName) -> NewInvite {
    NewInvite {
        leg,
        attempt: 1,
        try_number: 1,
        call_id: "0123456789abcdef@127.0.0.1".to_owned(),
        branch: "z9hG4bK0123456789abcdef".to_owned(),
        bytes: Bytes::from(vec![b'x'; 1_000]),
        sdp: Some("v=0\r\n".repeat(50)),
        local_addr: "127.0.0.1:5068".parse().expect("an address"),
        peer_addr: "127.0.0.1:5070".parse().expect("an address"),
        expires_s: 60,
    }
}

fn answer(leg: LegName) -> FinalResponse {
    FinalResponse { leg, attempt: 1, try_number: 1, code: 200, bytes: Bytes::from(vec![b'x'; 800]) }
}

fn dialog(leg: LegName) -> DialogState {
    DialogState { leg, attempt: 1, state: format!("{{\"state\":\"{}\"}}", "x".repeat(1_000)), cseq_hi: 100 }
}

/// How long steps took, in buckets of 0.1 ms.
struct Times([AtomicU64; 1_000]);

impl Default for Times {
    fn default() -> Self {
        Times(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Times {
    fn count(&self, time: Duration) {
        let place = (time.as_micros() / 100).min(999) as usize;
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }

    fn forget(&self) {
        self.0.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }

    fn tell(&self) -> String {
        let all: u64 = self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum();
        let at = |part: f64| {
            let mut seen = 0;
            let found = self.0.iter().position(|bucket| {
                seen += bucket.load(Ordering::Relaxed);
                seen as f64 >= all as f64 * part
            });
            found.unwrap_or(999) as f64 / 10.0
        };
        format!("p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms of {all}", at(0.5), at(0.99), at(0.999))
    }
}

/// User and system time of this process.
fn own_cpu() -> Duration {
    cpu_of(std::process::id(), false)
}

/// The same of a process, the children it has and those it had.
fn family_cpu(parent: u32) -> Duration {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let alive: Duration =
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(|pid| cpu_of(pid, false)).sum();
    cpu_of(parent, true) + alive
}

/// Precise to a clock tick of 10 ms, which the length of the run makes good.
fn cpu_of(pid: u32, with_past_children: bool) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let ticks: u64 = fields.iter().skip(11).take(if with_past_children { 4 } else { 2 }).sum();
    Duration::from_millis(ticks * 10)
}

async fn postmaster(url: &str) -> Result<u32, Failure> {
    let mut connection = PgConnection::connect(url).await?;
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
    let stat = std::fs::read_to_string(format!("/proc/{backend}/stat"))?;
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)).ok_or("no parent")?;
    Ok(parent.parse()?)
}
