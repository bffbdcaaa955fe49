//! Ringback's IIF trigger: an application server says REQUEST over UDP and hears ACK; the call becomes a job, and how it ended a
//! RESPONSE.
//!
//! [`message`] reads and writes the interface, [`request`] what a REQUEST may say, [`peers`] knows who speaks, [`signature`] what
//! is signed, [`judge`] puts them together: all pure. The desk acts, the port has the socket, `answer` carries RESPONSE.

mod answer;
mod desk;
pub mod explain;
pub mod judge;
mod lines;
pub mod message;
pub mod peers;
mod port;
mod releases;
pub mod request;
pub mod signature;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ringback_common::config::IifConfig;
use ringback_common::courier::Courier;
use ringback_common::intake::{Intake, Rules};
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::answer::ByUdp;
use crate::desk::Desk;
use crate::peers::Setup;
use crate::port::Port;

/// The name of this trigger: `source` of its jobs, and where its replies go.
pub const SOURCE: &str = "iif";

/// What the trigger works with.
pub struct World {
    /// Accounts and requests.
    pub store: Store,
    /// Jobs go out, outcomes come in.
    pub queue: Queue,
    /// Seals secrets.
    pub site_key: SiteKey,
    /// The site's rules.
    pub rules: Rules,
}

/// Why the trigger does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nobody would pay.
    #[error("[iif] account is empty; name the account that pays for the calls of application servers")]
    NoAccount,
    /// The account is not there.
    #[error("[iif] account: there is no account {0}; add it with `ringback account add {0}`")]
    UnknownAccount(String),
    /// The address is taken, or not ours.
    #[error("[iif] listen {0}: {1}; choose another address, or stop who has it")]
    Listen(SocketAddr, io::Error),
    /// There are no signals.
    #[error("cannot listen for SIGHUP: {0}")]
    Signal(io::Error),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes requests and answers application servers until shutdown.
///
/// # Errors
/// It cannot start.
pub async fn run(config: IifConfig, world: World, shutdown: Shutdown) -> Result<(), RunError> {
    let port = Arc::new(Port::default());
    let setup = open(&config, &world.store, &port).await?;
    let (changes, setup) = watch::channel(setup);
    let intake = Intake::new(world.store.clone(), world.queue.clone(), world.site_key, world.rules);
    let desk = Arc::new(Desk::new(intake, setup.clone()));
    let courier =
        Courier::new(SOURCE, world.store.clone(), ByUdp::new(Arc::clone(&port), setup.clone()), shutdown.clone());
    let reloading = reload(config, &world.store, &port, &changes, &shutdown);
    let serving = port.serve(Arc::clone(&desk), setup, &shutdown);
    let (reloaded, (), (), ()) = tokio::join!(reloading, serving, desk.end_calls(), courier.run(&world.queue));
    reloaded.map_err(RunError::Signal)
}

/// Opens the port for these settings, if somebody pays for everyone who may speak.
async fn open(config: &IifConfig, store: &Store, port: &Port) -> Result<Arc<Setup>, RunError> {
    if !config.configured() {
        return Err(RunError::NoAccount);
    }
    let setup = Setup::new(config);
    for account in setup.accounts() {
        if store.view_by_name(account).await?.is_none() {
            return Err(RunError::UnknownAccount(account.to_owned()));
        }
    }
    port.open(config.listen).map_err(|error| RunError::Listen(config.listen, error))?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Arc::new(setup))
}

/// At each SIGHUP the settings are read again: who may speak, how, and where we listen. What is wrong changes nothing.
async fn reload(
    config: IifConfig,
    store: &Store,
    port: &Port,
    changes: &watch::Sender<Arc<Setup>>,
    shutdown: &Shutdown,
) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            _ = hangups.recv() => {}
        }
        match config.reread.read() {
            None => tracing::warn!("SIGHUP: there is no file of settings to read again"),
            Some(Err(mistakes)) => tracing::error!("SIGHUP: the settings stay as they were: {mistakes}"),
            Some(Ok(now)) => match open(&now.iif, store, port).await {
                Ok(setup) => {
                    changes.send_replace(setup);
                    tracing::info!("SIGHUP: the settings of [iif] were read again");
                }
                Err(error) => tracing::error!("SIGHUP: the settings stay as they were: {error}"),
            },
        }
    }
}
