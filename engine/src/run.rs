//! The engine's main: bind, register, recover, and only then take jobs.

use std::sync::Arc;
use std::time::Duration;

use ringback_common::config::{Config, RetentionConfig};
use ringback_common::number::Country;
use ringback_common::opening::Opened;
use ringback_common::service::{Service, Shutdown};
use ringback_common::store::{Me, Registered, Store, StoreError};
use ringback_sip::net::{Endpoint, EndpointError};
use tokio::sync::{mpsc, watch};

use crate::drain;
use crate::gate::{Gate, boot_ms};
use crate::heartbeat::{self, Finding};
use crate::media::{Kind, Media, MediaConfig};
use crate::orphans;
use crate::recovery::Way;
use crate::tables::Reader;
use crate::worker::Worker;
use crate::world::World;

/// How often it is said that the calls live.
const ALIVE: Duration = Duration::from_secs(1);

/// What the engine is given: what is opened, and a SIP socket if somebody else already bound it.
pub struct Surroundings {
    /// The store, the queue and the site key.
    pub opened: Opened,
    /// The SIP socket that several share; `None` binds `[sip] listen`.
    pub endpoint: Option<Endpoint>,
}

/// Why the engine did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The SIP address is not free.
    #[error(transparent)]
    Bind(#[from] EndpointError),
    /// The media threads could not start.
    #[error("the media threads cannot start: {0}")]
    Media(#[from] std::io::Error),
    /// The store could not be asked.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// Somebody else runs under this name, or has adopted the calls.
    #[error("another engine has taken over the calls of {0}; give each engine its own [engine] id, and start it again")]
    Fenced(String),
}

/// Runs the engine until the shutdown begins and its calls have ended, or until it is fenced.
///
/// # Errors
/// See [`RunError`]. An engine that was fenced has sent nothing since.
pub async fn run(config: &Config, surroundings: Surroundings, service: Service) -> Result<(), RunError> {
    let Surroundings { opened: Opened { store, queue, site_key }, endpoint } = surroundings;
    let endpoint = match endpoint {
        Some(endpoint) => endpoint,
        None => Endpoint::bind(config.sip.listen)?,
    };
    let gate = Arc::new(Gate::closed());
    let licence = Arc::clone(&gate);
    endpoint.gate(Arc::new(move || licence.is_open()));
    let media = Media::start(MediaConfig {
        ip: config.media.ip,
        ports: config.media.ports.range(),
        threads: config.media.threads,
        rtp_timeout: config.media.rtp_timeout,
        gate: Arc::clone(&gate),
        kind: Kind::Auto,
    })?;
    tokio::task::spawn_blocking(Country::load_all).await.map_err(std::io::Error::other)?;
    if let Err(error) = store.rewrite_once().await {
        tracing::warn!(%error, "the store's file is not rewritten; what was deleted by an older version may still be read in it");
    }
    let mut reader = Reader::new(store.clone(), site_key);
    let (tables, tables_now) = watch::channel(reader.read().await?);
    let registered_at = boot_ms();
    let Registered { me, requests } = store.register_engine(&config.engine.id).await?; // from now on it has to beat, or is adopted
    let (findings, mut found) = mpsc::channel(16);
    let beat = tokio::spawn(heartbeat::run(store.clone(), me.clone(), registered_at, Arc::clone(&gate), findings));

    let world = Arc::new(World::new(
        config,
        me.clone(),
        store.clone(),
        queue.clone(),
        endpoint,
        media,
        Arc::clone(&gate),
        tables_now,
    ));
    let worker = Worker::new(Arc::clone(&world));
    let refresh = tokio::spawn(reader.follow(Arc::clone(&world), tables));
    let ready = service.health.part("engine");
    service.needs(&store, &queue);
    let events_done = Shutdown::new();
    let events = tokio::spawn(drain::run(store.clone(), queue, me.clone(), events_done.clone()));
    let purge = tokio::spawn(purge_hourly(store.clone(), config.retention));
    let alive = tokio::spawn(say_alive(worker.clone(), Arc::clone(&world)));

    let work = async {
        gate.opens().await;
        for request in requests {
            worker.take_up(request, Way::Restarted);
        }
        ready.set(true);
        tracing::info!(engine = me.id, incarnation = me.incarnation, sip = %world.endpoint.local_addr(), "the engine takes jobs");
        tokio::select! {
            () = worker.run(&service.shutdown) => {}
            () = orphans::run(Arc::clone(&world)) => {}
        }
    };
    let ended = tokio::select! {
        () = work => Ok(()),
        error = listen(&worker, &mut found, &me) => Err(error),
    };
    if ended.is_ok() {
        events_done.begin();
        let _ = tokio::time::timeout(Duration::from_secs(5), events).await;
        if let Err(error) = store.leave(&me).await {
            tracing::warn!(%error, "could not leave in good order; another engine may adopt what is left");
        }
    }
    for task in [beat, refresh, purge, alive] {
        task.abort();
    }
    ended
}

/// Hears what the beat finds; ends when the engine is fenced.
async fn listen(worker: &Worker, found: &mut mpsc::Receiver<Finding>, me: &Me) -> RunError {
    loop {
        match found.recv().await {
            Some(Finding::Adopted { requests, silent_for }) => {
                for request in requests {
                    worker.take_up(request, Way::Adopted(silent_for));
                }
            }
            Some(Finding::Fenced) | None => {
                tracing::error!(engine = me.id, "fenced: every call is dropped and nothing is sent");
                return RunError::Fenced(me.id.clone());
            }
        }
    }
}

/// Each second: these calls live, and so much was refused or could not be sent. After a crash calls are charged up to the last time this was
/// written.
async fn say_alive(worker: Worker, world: Arc<World>) {
    loop {
        tokio::time::sleep(ALIVE).await;
        let endpoint = &world.endpoint;
        let (sip, counts) = (endpoint.local_addr().to_string(), endpoint.counts());
        metrics::counter!("ringback_sip_strangers_total", "sip" => sip.clone()).absolute(counts.strangers);
        metrics::counter!("ringback_sip_gated_total", "sip" => sip.clone()).absolute(counts.gated);
        metrics::counter!("ringback_sip_unsent_total", "sip" => sip).absolute(counts.unsent);
        metrics::counter!("ringback_rtp_refused_total").absolute(world.media.totals().refused);
        let calls = worker.alive();
        if !calls.is_empty()
            && let Err(error) = world.store.alive(&world.me, &calls).await
        {
            tracing::debug!(%error, "could not say that the calls live");
        }
    }
}

/// Each hour what has outlived its retention goes; never the ledger.
async fn purge_hourly(store: Store, keep: RetentionConfig) {
    loop {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        while let Ok(purged) = store.purge(chrono::Utc::now(), &keep).await {
            if !purged.more {
                break;
            }
        }
    }
}
