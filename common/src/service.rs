//! The main of every binary: logging, signals, drain, panic hook, and the listener for `/healthz`, `/readyz`, `/metrics`.
//!
//! `main` hands over the world, `run` uses it: a binary is `service::main("trigger-sms", &config, |service| run(...))`.

mod notify;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::queue::Queue;
use crate::store::Store;

/// The settings of a process (`[service]` of the configuration).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// `plain` for people, `json` for machines.
    pub log_format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, or filters like `info,ringback_common::queue=debug`.
    pub log_level: String,
    /// Where `/healthz`, `/readyz` and `/metrics` are served. Keep it off the public network.
    pub listen: Option<SocketAddr>,
    /// Seconds that live calls have to end after SIGTERM.
    pub drain_timeout: u64,
    /// Where the process keeps its own files when the store is elsewhere; empty: beside the settings.
    pub folder: PathBuf,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        ServiceConfig {
            log_format: LogFormat::Plain,
            log_level: "info".to_owned(),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9090))),
            drain_timeout: 60,
            folder: PathBuf::new(),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line an event.
    Plain,
    /// One JSON object an event.
    Json,
}

/// What `main` hands to `run`.
#[derive(Clone)]
pub struct Service {
    /// Begins at SIGTERM or SIGINT.
    pub shutdown: Shutdown,
    /// What `/readyz` tells.
    pub health: Health,
}

impl Service {
    /// Ready only while it can work with both: nothing new begins while one of them cannot be written to.
    pub fn needs(&self, store: &Store, queue: &Queue) {
        store.keep_watch();
        let (store, queue) = (store.clone(), queue.clone());
        self.health.watch("store", move || store.healthy());
        self.health.watch("queue", move || queue.healthy());
    }
}

/// Why a service ended badly.
pub trait Failure: fmt::Display {
    /// The exit code: 1 unless it says otherwise.
    fn exit_code(&self) -> u8 {
        1
    }
}

impl Failure for io::Error {}

/// Runs a service: `run` until it ends by itself or, after a signal, for at most the drain timeout. A second signal exits
/// at once.
///
/// Exit codes: 0 ended well, 1 `run` failed or the process could not start (or what the failure says), 3 the drain timed out, 130 a second signal.
pub fn main<Run, Running, E>(name: &str, config: &ServiceConfig, run: Run) -> ExitCode
where
    Run: FnOnce(Service) -> Running,
    Running: Future<Output = Result<(), E>>,
    E: Failure,
{
    start_logging(config);
    log_panics();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(name, &format!("cannot start its threads: {error}")),
    };
    let code = runtime.block_on(serve(name, config, run));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

/// Nobody waits in it for company: what may wait gathers where it is written or published.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers()).enable_all().build()
}

/// Half of the processors: signalling needs a fraction of one, threads that find nothing to do cost more than they bring, and
/// the media threads, the database and the broker want the rest.
fn workers() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    (processors / 2).max(1)
}

async fn serve<Run, Running, E>(name: &str, config: &ServiceConfig, run: Run) -> ExitCode
where
    Run: FnOnce(Service) -> Running,
    Running: Future<Output = Result<(), E>>,
    E: Failure,
{
    let service = Service { shutdown: Shutdown::new(), health: Health::default() };
    if let Err(error) = listen_for_signals(service.shutdown.clone()) {
        return failed(name, &format!("cannot listen for signals: {error}"));
    }
    if let Some(address) = config.listen
        && let Err(error) = open_listener(address, &service).await
    {
        let advice = "change [service] listen, or stop who holds it";
        return failed(name, &format!("cannot serve health and metrics on {address}: {error}; {advice}"));
    }
    notify::start(&service);
    tracing::info!(name, version = env!("CARGO_PKG_VERSION"), "started");
    let drain = Duration::from_secs(config.drain_timeout);
    let shutdown = service.shutdown.clone();
    let drained = async {
        shutdown.wait().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        ended = run(service) => match ended {
            Ok(()) => {
                tracing::info!(name, "ended");
                ExitCode::SUCCESS
            }
            Err(error) => {
                failed(name, &error.to_string());
                ExitCode::from(error.exit_code())
            }
        },
        () = drained => {
            tracing::error!(name, seconds = drain.as_secs(), "not drained in time; what is left is recovered at the next start");
            ExitCode::from(3)
        }
    }
}

fn failed(name: &str, why: &str) -> ExitCode {
    tracing::error!(name, "{why}");
    ExitCode::FAILURE
}

/// Tells everyone to come to an end; clones are the same token.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// A token that nobody has begun.
    pub fn new() -> Shutdown {
        Shutdown(Arc::new(watch::Sender::new(false)))
    }

    /// Begins the shutdown; again does no harm.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    pub fn begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it begins; at once if it has.
    pub async fn wait(&self) {
        let mut begun = self.0.subscribe();
        while !*begun.borrow_and_update() {
            if begun.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown::new()
    }
}

/// Which parts of the process are ready. A process with no part yet, or one that is not ready, answers 503 on `/readyz`.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, Check>>>);

type Check = Box<dyn Fn() -> bool + Send + Sync>;

impl Health {
    /// A part that says itself when it is ready.
    pub fn part(&self, name: &str) -> Readiness {
        let ready = Readiness(Arc::new(watch::Sender::new(false)));
        let told = ready.clone();
        self.watch(name, move || *told.0.borrow());
        ready
    }

    /// A part that is asked at every `/readyz`; `check` must answer at once.
    pub fn watch(&self, name: &str, check: impl Fn() -> bool + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Box::new(check));
    }

    /// The parts that are not ready; `None` if no part has reported yet.
    pub fn missing(&self) -> Option<Vec<String>> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = parts.iter().filter(|(_, check)| !check()).map(|(name, _)| name.clone()).collect();
        (!parts.is_empty()).then_some(missing)
    }
}

/// One part's own word on whether it is ready.
#[derive(Clone)]
pub struct Readiness(Arc<watch::Sender<bool>>);

impl Readiness {
    /// Says so.
    pub fn set(&self, ready: bool) {
        self.0.send_replace(ready);
    }
}

fn listen_for_signals(shutdown: Shutdown) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if shutdown.begun() {
                tracing::warn!("second signal: exit at once");
                std::process::exit(130);
            }
            tracing::info!("signal: taking nothing new and ending what runs; a second signal exits at once");
            shutdown.begin();
        }
    });
    Ok(())
}

async fn open_listener(address: SocketAddr, service: &Service) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let routes = health_routes(service.clone(), start_metrics());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(())
}

/// `/healthz` (the process runs), `/readyz` (it takes work) and `/metrics` (Prometheus text).
pub fn health_routes(service: Service, metrics: Option<PrometheusHandle>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(service))
        .route("/metrics", get(render).with_state(metrics))
}

async fn readyz(State(service): State<Service>) -> impl IntoResponse {
    if service.shutdown.begun() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned());
    }
    match service.health.missing() {
        Some(missing) if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))),
        None => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
    }
}

async fn render(State(metrics): State<Option<PrometheusHandle>>) -> impl IntoResponse {
    let text = metrics.map(|handle| handle.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// The buckets of histograms, all of which count seconds.
const SECONDS: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Makes the recorder that all `metrics::` macros of this process write to; `None` if there is one already.
fn start_metrics() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets(&SECONDS).unwrap_or_else(|_| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Some(handle)
}

/// Begins to log to standard error; the first call of a process counts.
pub fn start_logging(config: &ServiceConfig) {
    let filter = filter(&config.log_level);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let started = match config.log_format {
        LogFormat::Plain => lines.with_writer(Lines).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_writer(Lines).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!("logging runs already: {error}");
    }
}

/// What the site asks for, except what must never be logged: lapin shows the whole of a returned message, body and all,
/// and sqlx may show values.
fn filter(level: &str) -> EnvFilter {
    const NEVER: [&str; 2] = ["lapin::returned_messages=off", "sqlx::query=error"];
    let asked = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    NEVER.iter().filter_map(|rule| rule.parse().ok()).fold(asked, EnvFilter::add_directive)
}

/// Writes each event as one line whatever is in it: control characters inside are shown, in the manner of JSON, not obeyed.
#[derive(Clone, Copy)]
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = OneLine<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(io::stderr())
    }
}

struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(one_line(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn one_line(event: &str) -> String {
    let text = event.strip_suffix('\n').unwrap_or(event);
    let mut line = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        if letter.is_control() {
            line.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            line.push(letter);
        }
    }
    line.push('\n');
    line
}

/// Logs every panic, with the digits of anything that could be a number masked.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let words = panic.payload();
        let message = match (words.downcast_ref::<&str>(), words.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "no message".to_owned(),
        };
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {}", mask_digits(&message));
    }));
}

/// Keeps the first two and last two digits of every run of seven or more.
fn mask_digits(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut run = String::new();
    for letter in text.chars().chain(std::iter::once('\0')) {
        if letter.is_ascii_digit() {
            run.push(letter);
            continue;
        }
        if run.len() >= 7 {
            masked.push_str(&format!("{}…{}", &run[..2], &run[run.len() - 2..]));
        } else {
            masked.push_str(&run);
        }
        run.clear();
        masked.push(letter);
    }
    masked.pop();
    masked
}

#[cfg(test)]
mod tests;
