//! The life of a job at this engine: **take** it (its row is ours), **acknowledge** it (the broker may forget it), **admit**
//! it (account, route, money), **run** it, **settle** it.

mod settle;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use futures::FutureExt;
use futures::future::join_all;
use ringback_common::end_reason::EndReason;
use ringback_common::event::Envelope;
use ringback_common::failpoint::failpoint;
use ringback_common::job::{JOB_TYPE, Job, JobId, JobKind, MAX_JOB_BYTES};
use ringback_common::pace::Pace;
use ringback_common::queue::{Consumer, Delivery, Source};
use ringback_common::service::Shutdown;
use ringback_common::store::{AccountView, Alive, OwnedRequest, StoreError, Take, Taken};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::admission::{self, Admitted, Denial, Situation, no};
use crate::call::Verdict;
use crate::driver::{Control, Driver, End, Pulse};
use crate::due::DueMoments;
use crate::recovery;
use crate::views::is_rich;
use crate::world::World;

pub use settle::why_ended;

/// Deliveries in hand at a time.
const PREFETCH: u16 = 64;
/// Between the beginnings of two takes, and the same where many jobs come: what comes meanwhile is taken together. Whoever comes
/// after a pause does not wait.
const APART: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(30));
/// Many jobs a second.
const MANY_PER_SECOND: f64 = 50.0;
/// They are counted for so long.
const WINDOW: Duration = Duration::from_millis(500);
/// Above so many due rows that nobody has claimed, the broker keeps the rest.
const BACKLOG: i64 = 2_000;
/// The pause before the store is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// Characters of a job's id.
const MAX_JOB_ID: usize = 128;
/// Every so many looks at the rows: rows that are ours without our knowing, because an answer got lost.
const LOOKS_PER_STRAYS: u32 = 10;
/// A job that made engines panic so often is not run again.
const POISONED_AFTER: i64 = 3;

/// Runs jobs. Clones are the same worker.
#[derive(Clone)]
pub struct Worker {
    world: Arc<World>,
    slots: Arc<Semaphore>,
    live: Arc<Mutex<HashMap<JobId, Live>>>,
    /// Held from the moment rows become ours until they stand in `live`.
    claiming: Arc<tokio::sync::Mutex<()>>,
    /// When rows come due that were taken before their time.
    due: Arc<DueMoments>,
}

/// Where a job stands that is to be dialled, and the slot it uses.
struct Begin {
    attempts: u32,
    seq: u32,
    slot: OwnedSemaphorePermit,
}

/// A job that runs here.
struct Live {
    control: mpsc::Sender<Control>,
    epoch: i64,
    /// Set once the job has become a call.
    pulse: Option<Pulse>,
}

impl Worker {
    /// A worker with as many slots as the settings say.
    pub fn new(world: Arc<World>) -> Worker {
        let slots = Arc::new(Semaphore::new(world.engine.slots));
        Worker { world, slots, live: Arc::default(), claiming: Arc::default(), due: Arc::default() }
    }

    /// Takes jobs from the queue and due rows from the store until the shutdown begins, then waits for the live calls; what
    /// is left shortly before the drain ends is hung up.
    pub async fn run(&self, shutdown: &Shutdown) {
        let canceller = self.clone();
        let cancels = tokio::spawn(async move { canceller.hear_cancels().await });
        let (taker, claimer) = ((self.clone(), shutdown.clone()), (self.clone(), shutdown.clone()));
        let mut loops = JoinSet::new(); // on the runtime's threads: waking the main thread for each job costs more than the job
        loops.spawn(async move { taker.0.take_jobs(&taker.1).await });
        loops.spawn(async move { claimer.0.claim_rows(&claimer.1).await });
        loops.join_all().await;
        if tokio::time::timeout(self.world.drain, self.all_over()).await.is_err() {
            let left = self.live_jobs();
            tracing::warn!(calls = left.len(), "the time to drain is over: the calls that are left are ended");
            self.cancel(&left);
            self.all_over().await;
        }
        cancels.abort();
    }

    async fn all_over(&self) {
        while !self.live_jobs().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The jobs that run now.
    pub fn live_jobs(&self) -> Vec<JobId> {
        self.live().keys().cloned().collect()
    }

    /// The calls that live now, and up to when each is known alive.
    pub fn alive(&self) -> Vec<Alive> {
        let live = self.live();
        let call = |(job, call): (&JobId, &Live)| {
            let alive_ms = i64::try_from(call.pulse.as_ref()?.alive().0).unwrap_or(i64::MAX);
            Some(Alive { job: job.clone(), epoch: call.epoch, alive_ms })
        };
        live.iter().filter_map(call).collect()
    }

    /// Tells calls to end, as far as they run here.
    pub fn cancel(&self, jobs: &[JobId]) {
        let live = self.live();
        for job in jobs {
            if let Some(call) = live.get(job) {
                let _ = call.control.try_send(Control::Cancel);
            }
        }
    }

    // --- Take and acknowledge ------------------------------------------------------------------------------------------

    async fn take_jobs(&self, shutdown: &Shutdown) {
        let mut consumer = self.world.queue.consume(&Source::Jobs, PREFETCH).await;
        let mut not_before = Instant::now();
        let mut pace = Pace::new(WINDOW, not_before);
        loop {
            let first = tokio::select! {
                delivery = consumer.next() => delivery,
                () = shutdown.wait() => return,
            };
            tokio::time::sleep_until(not_before.into()).await;
            let now = Instant::now();
            not_before = now + if pace.per_second() > MANY_PER_SECOND { APART.1 } else { APART.0 };
            let mut deliveries = vec![first];
            while deliveries.len() < usize::from(PREFETCH) {
                match consumer.next().now_or_never() {
                    Some(delivery) => deliveries.push(delivery),
                    None => break,
                }
            }
            pace.count(deliveries.len(), now);
            failpoint("eng.delivered");
            self.take(deliveries, &consumer, shutdown).await;
            self.respect_backlog(&consumer, shutdown).await;
        }
    }

    async fn take(&self, deliveries: Vec<Delivery>, consumer: &Consumer, shutdown: &Shutdown) {
        let (mut takes, mut held, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        for delivery in deliveries {
            match read_job(&delivery) {
                Ok(job) => {
                    let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
                    takes.push(Take { job, claim: slot.is_some() });
                    slots.push(slot);
                    held.push(delivery);
                }
                Err(why) => {
                    tracing::warn!(message = delivery.id, why, "a job that cannot be read goes to the dead letters");
                    metrics::counter!("ringback_jobs_total", "outcome" => "unreadable").increment(1);
                    delivery.reject().await;
                }
            }
        }
        let claiming = self.claiming.lock().await;
        let Some(taken) = self.store_takes(&takes, consumer, shutdown).await else { return };
        failpoint("eng.job_row");
        failpoint("job.before_ack");
        join_all(held.into_iter().map(Delivery::ack)).await; // one after the other, each would wake the broker's connection
        failpoint("job.ack_lost");
        let ended = taken.contains(&Taken::Ended);
        for ((take, taken), slot) in takes.into_iter().zip(taken).zip(slots) {
            metrics::counter!("ringback_jobs_total", "outcome" => taken_word(&taken)).increment(1);
            match (taken, slot) {
                (Taken::Claimed { epoch, .. }, Some(slot)) => self.start(take.job, epoch, slot),
                (Taken::Waiting, _) => self.remember_due(&take.job),
                _ => {}
            }
        }
        drop(claiming);
        if ended && let Err(error) = self.look_at_rows().await {
            tracing::debug!(%error, "what ended before it began is told a second later");
        }
    }

    fn remember_due(&self, job: &Job) {
        if let Some(wait) = job.not_before.and_then(|due| (due - Utc::now()).to_std().ok()) {
            self.due.add(wait, tokio::time::Instant::now());
        }
    }

    /// The store is away: nothing more is taken from the broker, and what is in hand is kept until it is back.
    async fn store_takes(&self, takes: &[Take], consumer: &Consumer, shutdown: &Shutdown) -> Option<Vec<Taken>> {
        let mut paused = false;
        loop {
            match self.world.store.take_apart(&self.world.me, takes, self.world.same_call).await {
                Ok(taken) => {
                    if paused {
                        consumer.resume();
                        self.take_up_strays().await;
                    }
                    return Some(taken);
                }
                Err(StoreError::Fenced) => return None,
                Err(error) if shutdown.begun() => {
                    tracing::warn!(%error, "the store is away while shutting down: the broker keeps the jobs");
                    return None;
                }
                Err(error) => {
                    if !paused {
                        tracing::error!(%error, "the store is away: no jobs are taken until it is back");
                        consumer.pause();
                        paused = true;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn respect_backlog(&self, consumer: &Consumer, shutdown: &Shutdown) {
        if self.slots.available_permits() > 0 {
            return;
        }
        let mut paused = false;
        while let Ok(BACKLOG..) = self.world.store.due_backlog().await {
            if !paused {
                tracing::warn!("more than {BACKLOG} due requests wait: the broker keeps the rest");
                consumer.pause();
                paused = true;
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = shutdown.wait() => return,
            }
        }
        if paused {
            consumer.resume();
        }
    }

    // --- Due rows ------------------------------------------------------------------------------------------------------

    /// Each second, when woken, or when a row comes due: rows that are due, and rows that ended while nobody ran them; now and then rows that are
    /// ours without our knowing.
    async fn claim_rows(&self, shutdown: &Shutdown) {
        for look in 1_u32.. {
            tokio::select! {
                () = self.world.store.woken() => {}
                () = self.due.wait() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = shutdown.wait() => return,
            }
            if let Err(error) = self.look_at_rows().await {
                tracing::debug!(%error, "the rows cannot be read now");
            }
            if look.is_multiple_of(LOOKS_PER_STRAYS) {
                let _claiming = self.claiming.lock().await;
                self.take_up_strays().await;
            }
        }
    }

    async fn look_at_rows(&self) -> Result<(), StoreError> {
        let (store, me) = (&self.world.store, &self.world.me);
        let _claiming = self.claiming.lock().await;
        for request in store.claim_ended(me, 64).await? {
            let seq = recovery::last_seq(&request);
            self.free_hold(&request.row.job.id, request.row.epoch, request.hold).await;
            self.refuse(&request.row.job, request.row.epoch, seq, why_ended(&request.row)).await;
        }
        loop {
            let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX).min(64);
            let due = if free == 0 { Vec::new() } else { store.claim_due(me, free).await? };
            if due.is_empty() {
                return Ok(());
            }
            due.into_iter().for_each(|request| self.take_up(request, recovery::Way::Claimed));
        }
    }

    /// Requests whose claim was written although its answer got lost.
    async fn take_up_strays(&self) {
        match self.world.store.strays(&self.world.me, &self.live_jobs()).await {
            Ok(strays) => strays.into_iter().for_each(|request| self.take_up(request, recovery::Way::Claimed)),
            Err(error) => tracing::debug!(%error, "strays cannot be read now"),
        }
    }

    /// Each second, also while draining: live calls that somebody cancelled, or whose account was disabled.
    async fn hear_cancels(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            match self.world.store.cancelled_among(&self.world.me).await {
                Ok(cancelled) => self.cancel(&cancelled),
                Err(error) => tracing::debug!(%error, "cancels cannot be read now"),
            }
        }
    }

    // --- Admit and run -------------------------------------------------------------------------------------------------

    fn start(&self, job: Job, epoch: i64, slot: OwnedSemaphorePermit) {
        let worker = self.clone();
        self.supervise(job.id.clone(), epoch, async move |control| {
            worker.begin(job, epoch, Begin { attempts: 0, seq: 0, slot }, control).await;
        });
    }

    async fn begin(&self, job: Job, epoch: i64, begin: Begin, control: mpsc::Receiver<Control>) {
        let Begin { attempts, seq, slot } = begin;
        if job.kind == JobKind::Quote {
            return self.answer(&job, epoch, seq).await;
        }
        let admitted = match self.admit(&job, attempts).await {
            Ok(admitted) => admitted,
            Err(Denial::Refused(refusal)) => return self.refuse(&job, epoch, seq, refusal).await,
            Err(Denial::NotNow) => return self.put_off(&job.id, epoch).await,
        };
        let driver = Driver::begin(Arc::clone(&self.world), job.clone(), admitted, epoch, seq, slot, Utc::now());
        let refusal = match self.drive(Box::new(driver), control).await {
            End::NoFunds => no(Verdict::NoFunds, EndReason::NoFunds),
            End::Cancelled => self.cancelled_or_stopped(&job).await,
            End::Settled | End::Dropped => return,
        };
        self.refuse(&job, epoch, seq, refusal).await;
    }

    /// Goes on with a request that was cut off, here or at another engine.
    pub fn take_up(&self, request: OwnedRequest, way: recovery::Way) {
        let worker = self.clone();
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
        let (id, epoch, hold) = (request.row.job.id.clone(), request.row.epoch, request.hold);
        self.supervise(id, epoch, async move |control| match recovery::go_on(&worker.world, request, way, slot) {
            recovery::Next::Drive(driver) => {
                worker.drive(driver, control).await;
            }
            recovery::Next::Start { job, attempts, seq, slot } => {
                worker.free_hold(&job.id, epoch, hold).await;
                match slot {
                    Some(slot) => worker.begin(job, epoch, Begin { attempts, seq, slot }, control).await,
                    None => worker.give_back(&job.id, epoch).await,
                }
            }
            recovery::Next::Refuse { job, seq, refusal } => {
                worker.free_hold(&job.id, epoch, hold).await;
                worker.refuse(&job, epoch, seq, refusal).await;
            }
        });
    }

    async fn drive(&self, driver: Box<Driver>, control: mpsc::Receiver<Control>) -> End {
        if let Some(call) = self.live().get_mut(driver.job()) {
            call.pulse = Some(driver.pulse());
        }
        driver.run(control).await
    }

    async fn admit(&self, job: &Job, attempts: u32) -> Result<Admitted, Denial> {
        loop {
            match self.decide(job, attempts).await {
                Ok(decision) => return decision,
                Err(StoreError::Unavailable(why) | StoreError::Locked(why)) => {
                    tracing::debug!(why, "the account cannot be read now");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::error!(job = %job.id, %error, "the account cannot be used");
                    return Err(no(Verdict::Rejected, EndReason::AccountUnusable).into());
                }
            }
        }
    }

    /// A plain yes to a rich account may rest on what was read of it within the last second; everything else is decided on
    /// what the store says now.
    async fn decide(&self, job: &Job, attempts: u32) -> Result<Result<Admitted, Denial>, StoreError> {
        let (world, now) = (&self.world, Instant::now());
        if let Some(account) = world.views.recent(&job.account, now)
            && let Ok(admitted) = self.weigh(job, attempts, Some(&account)).await?
            && is_rich(account.available, admitted.hold)
        {
            return Ok(Ok(admitted));
        }
        let account = world.store.view_by_name(&job.account).await?.map(Arc::new);
        if let Some(account) = &account {
            world.views.keep(Arc::clone(account), now);
        }
        self.weigh(job, attempts, account.as_deref()).await
    }

    async fn weigh(
        &self,
        job: &Job,
        attempts: u32,
        account: Option<&AccountView>,
    ) -> Result<Result<Admitted, Denial>, StoreError> {
        let world = &self.world;
        let mut counts = None;
        if let (Some(account), Some(b), 0) = (account, &job.b, attempts)
            && !account.limits_off
        {
            counts = Some(world.store.velocity(account.id, &job.id, Some(b.as_str()), &[]).await?);
        }
        let tables = world.tables.borrow().clone();
        let situation = Situation {
            job,
            call_count: attempts,
            account,
            counts: counts.as_ref(),
            trunks: &tables.trunks,
            rates: &tables.rates,
            tariff: &world.tariff,
            engine: &world.engine,
            limits: &world.limits,
            now: Utc::now(),
        };
        Ok(admission::admit(&situation))
    }

    /// Runs one call in a task of its own; a panic is that call's trouble alone, and the third of one job is its end.
    fn supervise<Run, Running>(&self, job: JobId, epoch: i64, run: Run)
    where
        Run: FnOnce(mpsc::Receiver<Control>) -> Running + Send + 'static,
        Running: Future<Output = ()> + Send + 'static,
    {
        let (sender, control) = mpsc::channel(4);
        if self.live().contains_key(&job) {
            return; // it was found twice: the one that runs has the newer epoch, or loses it at its next step
        }
        self.live().insert(job.clone(), Live { control: sender.clone(), epoch, pulse: None });
        let worker = self.clone();
        let run = Box::pin(run(control)); // it is large, and spawning moves it five times
        tokio::spawn(async move {
            let ended = tokio::spawn(run).await;
            worker.forget(&job, &sender);
            if ended.is_err_and(|error| error.is_panic()) {
                worker.after_panic(job, epoch).await;
            }
        });
    }

    async fn after_panic(&self, job: JobId, epoch: i64) {
        metrics::counter!("ringback_panics_total").increment(1);
        let (store, me) = (&self.world.store, &self.world.me);
        let panics = match store.poisoned(&job, &me.id, epoch).await {
            Ok(panics) => panics,
            Err(error) => {
                return tracing::error!(%job, %error, "a panic could not be counted; recovery goes on with the job");
            }
        };
        tracing::error!(%job, panics, "a job made its call panic");
        let _claiming = self.claiming.lock().await;
        for request in store.strays(me, &self.live_jobs()).await.unwrap_or_default() {
            let way = match panics {
                _ if request.row.job.id != job => recovery::Way::Claimed,
                ..POISONED_AFTER => recovery::Way::Panicked,
                _ => recovery::Way::Poisoned,
            };
            self.take_up(request, way);
        }
    }

    fn forget(&self, job: &JobId, sender: &mpsc::Sender<Control>) {
        let mut live = self.live();
        if live.get(job).is_some_and(|current| current.control.same_channel(sender)) {
            live.remove(job);
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_job(delivery: &Delivery) -> Result<Job, String> {
    if delivery.body.len() > MAX_JOB_BYTES {
        return Err(format!("it is longer than {MAX_JOB_BYTES} bytes"));
    }
    let envelope: Envelope<Job> = serde_json::from_slice(&delivery.body).map_err(|error| error.to_string())?;
    let id = envelope.data.id.as_str();
    if id.is_empty() || id.len() > MAX_JOB_ID || id.chars().any(char::is_control) {
        return Err(format!("its job id is not 1 to {MAX_JOB_ID} characters"));
    }
    if envelope.kind != JOB_TYPE {
        return Err(format!("its type is not {JOB_TYPE}"));
    }
    Ok(envelope.data)
}

fn taken_word(taken: &Taken) -> &'static str {
    match taken {
        Taken::Claimed { .. } => "claimed",
        Taken::Waiting => "waiting",
        Taken::Known => "known",
        Taken::Ended => "ended",
    }
}
