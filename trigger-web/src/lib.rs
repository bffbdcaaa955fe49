//! Ringback's web trigger: one page with two numbers and a button, then two phones and the line between them, live.
//!
//! It has no sign-in yet, so it listens on loopback only and calls on one account.

mod ask;
mod guard;
mod http;
mod live;
mod pages;
pub mod picture;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::TryRngCore;
use ringback_common::config::WebConfig;
use ringback_common::intake::{Intake, Rules};
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError};
use tokio::net::TcpListener;

use crate::ask::Asker;
use crate::http::{Site, routes};
use crate::live::Live;

/// What the page works with.
pub struct World {
    /// Accounts and requests.
    pub store: Store,
    /// Jobs go out, events come in.
    pub queue: Queue,
    /// Seals secrets.
    pub site_key: SiteKey,
    /// The site's rules.
    pub rules: Rules,
}

/// Why the page does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody else could reach it.
    #[error("[web] listen {0}: the page has no sign-in yet; write a loopback address like 127.0.0.1:8080")]
    NotLoopback(SocketAddr),
    /// Nobody would pay.
    #[error("[web] account is empty; name the account that pays for callbacks from the page")]
    NoAccount,
    /// The account is not there.
    #[error("[web] account: there is no account {0}; add it with `ringback account add {0}`")]
    UnknownAccount(String),
    /// The address is taken, or not ours.
    #[error("[web] listen {0}: {1}; choose another address, or stop who has it")]
    Listen(SocketAddr, io::Error),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine gives no random numbers.
    #[error("this machine gives no random numbers: {0}")]
    Random(String),
    /// The listener failed.
    #[error("the page's listener failed: {0}")]
    Io(#[from] io::Error),
}

/// Serves the page until shutdown.
///
/// # Errors
/// It cannot start, or its listener failed.
pub async fn run(config: WebConfig, world: World, shutdown: Shutdown) -> Result<(), RunError> {
    if !config.listen.ip().is_loopback() {
        return Err(RunError::NotLoopback(config.listen));
    }
    let listener = TcpListener::bind(config.listen).await.map_err(|error| RunError::Listen(config.listen, error))?;
    run_on(listener, config.account, world, shutdown).await
}

/// Serves the page on a listener that is bound already.
///
/// # Errors
/// It cannot start, or its listener failed.
pub async fn run_on(
    listener: TcpListener,
    account: Option<String>,
    world: World,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(RunError::NotLoopback(address));
    }
    let account = account.ok_or(RunError::NoAccount)?;
    if world.store.view_by_name(&account).await?.is_none() {
        return Err(RunError::UnknownAccount(account));
    }
    let live = Live::new(world.store.clone(), account.clone(), shutdown.clone());
    let intake = Intake::new(world.store.clone(), world.queue.clone(), world.site_key, world.rules);
    let site = Site { asker: Asker::new(intake, world.store, account), live: live.clone(), token: token()? };
    tracing::info!(%address, "the page is open");
    let ended = shutdown.clone();
    let serve = axum::serve(listener, routes(Arc::new(site))).with_graceful_shutdown(async move { ended.wait().await });
    tokio::select! {
        served = serve => served?,
        () = live.listen(&world.queue) => {}
    }
    Ok(())
}

fn token() -> Result<String, RunError> {
    let mut bytes = [0_u8; 16];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(|error| RunError::Random(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
