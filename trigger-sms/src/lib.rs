//! Ringback's SMS trigger: a text becomes a job, the outcome becomes a text.
//!
//! `http` has the doors; `providers` reads what comes through them, one file a provider; `desk` says what becomes of a text;
//! [`parse`] reads it; `answer` tells the sender how it ended. A new provider is one more file in `providers`.

mod answer;
pub mod coding;
mod desk;
pub mod explain;
mod http;
pub mod jasmin;
pub mod join;
pub mod parse;
mod parts;
mod patience;
mod providers;
mod replies;
mod send;
mod sign;
pub mod smpp;
pub mod text;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ringback_common::config::SmsConfig;
use ringback_common::courier::Courier;
use ringback_common::intake::{Intake, Rules};
use ringback_common::knock;
use ringback_common::number::Country;
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError};
use tokio::net::TcpListener;

use crate::answer::{BySms, Notices};
use crate::desk::{Desk, SOURCE};
use crate::http::Doors;
use crate::jasmin::Jasmin;
use crate::parse::ShortCodes;
use crate::parts::Reception;
use crate::providers::Provider;
use crate::replies::Via;
use crate::send::{Channels, Sources};
use crate::smpp::Binds;

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
    /// The address is taken, or not ours.
    #[error("[sms] listen {0}: {1}; choose another address, or stop who has it")]
    Listen(SocketAddr, io::Error),
    /// Anybody could send texts.
    #[error("source {0}: allow_unsigned needs a loopback [sms] listen, not {1}; set a secret instead")]
    UnsignedInPublic(String, SocketAddr),
    /// A setting that is no address.
    #[error("source {0}: {1} is no http:// or https:// address")]
    Address(String, String),
    /// A form that nobody knows.
    #[error("{0}")]
    ShortCode(String),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no HTTP client to send replies with.
    #[error("replies cannot be sent from this machine: {0}")]
    Client(#[from] reqwest::Error),
    /// The listener failed.
    #[error("the listener for texts failed: {0}")]
    Io(#[from] io::Error),
}

/// Takes texts and answers senders until shutdown.
///
/// # Errors
/// It cannot start.
pub async fn run(config: SmsConfig, world: World, shutdown: Shutdown) -> Result<(), RunError> {
    run_on(listen(&config).await?, config, world, shutdown).await
}

/// Opens the doors' address; texts wait there until [`run_on`].
///
/// # Errors
/// The address is taken, or not ours.
pub async fn listen(config: &SmsConfig) -> Result<TcpListener, RunError> {
    TcpListener::bind(config.listen).await.map_err(|error| RunError::Listen(config.listen, error))
}

/// The same on a listener that is bound already.
///
/// # Errors
/// It cannot start.
pub async fn run_on(
    listener: TcpListener,
    config: SmsConfig,
    world: World,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let address = listener.local_addr()?;
    let codes = ShortCodes::new(&config.shortcode).map_err(RunError::ShortCode)?;
    let sources = Arc::new(sources(&config, address)?);
    let binds = Arc::new(Binds::new(&config.smpp));
    load_numbering_plans().await;
    let channels = Arc::new(Channels::new(sources.clone(), binds.clone())?);
    let notices =
        config.notices.as_deref().map(|name| Notices { via: Via::new(name), from: config.notices_from.clone() });
    let by_sms = BySms { channels: channels.clone(), announce: config.announce, notices };
    let courier = Courier::new(SOURCE, world.store.clone(), by_sms, shutdown.clone());
    let intake = Intake::new(world.store.clone(), world.queue.clone(), world.site_key.clone(), world.rules);
    let desk = Arc::new(Desk::new(intake, world.queue.clone(), channels.clone(), codes));
    let reception = Reception { desk, store: world.store, site_key: world.site_key };
    let doors = Arc::new(Doors::new(&reception, sources, channels, address.ip().is_loopback(), config.proxies));
    tracing::info!(%address, "texts are taken");
    let answered = Shutdown::new();
    let answering = async {
        courier.run(&world.queue).await;
        answered.begin();
    };
    let jasmin = Box::pin(async {
        if let Some(jasmin) = Jasmin::new(&config.jasmin, &reception) {
            jasmin.run(&shutdown).await;
        }
    });
    tokio::join!(
        jasmin,
        http::serve(listener, http::routes(doors.clone()), shutdown.clone()),
        doors.watch_parts(&shutdown),
        answering,
        Box::pin(binds.run(&reception, &shutdown, &answered))
    );
    Ok(())
}

/// Loads what the first number would otherwise wait for.
async fn load_numbering_plans() {
    let _ = tokio::task::spawn_blocking(|| Country::by_code("GB")).await;
}

/// The configured sources.
fn sources(config: &SmsConfig, address: SocketAddr) -> Result<Sources, RunError> {
    let mut sources = Sources::new();
    for (name, source) in config.all_sources() {
        if source.allow_unsigned && source.signing_key.is_empty() && !address.ip().is_loopback() {
            return Err(RunError::UnsignedInPublic(name, address));
        }
        for url in [&source.public_url, &source.api_base].into_iter().flatten() {
            let good = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !good {
                return Err(RunError::Address(name, url.clone()));
            }
        }
        if let Some(provider) = Provider::new(source) {
            sources.insert(Via::new(&name), provider);
        }
    }
    if let Some(provider) = jasmin::replies(&config.jasmin).and_then(Provider::new) {
        sources.insert(Via::new(jasmin::NAME), provider);
    }
    Ok(sources)
}

#[cfg(test)]
mod tests;
