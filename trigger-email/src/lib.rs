//! Ringback's e-mail trigger: a mail becomes a job, the outcome becomes an answer.
//!
//! `imap` and `lmtp` bring mails; the desk says what becomes of one: [`mail`] reads it, [`form`] finds what it
//! asks for, [`verify`] finds out who sent it and [`trust`] judges that. `answer` tells the sender how it ended.

mod answer;
pub mod authres;
pub mod auto;
pub mod body;
mod desk;
pub mod explain;
pub mod fields;
pub mod form;
mod imap;
mod lmtp;
pub mod mail;
mod memory;
mod pace;
mod replies;
mod send;
pub mod signature;
pub mod subject;
mod sweep;
pub mod trust;
pub mod verify;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ringback_common::config::EmailConfig;
use ringback_common::courier::Courier;
use ringback_common::intake::{Intake, Rules};
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError};
use tokio::net::TcpListener;

use crate::answer::ByMail;
use crate::desk::{Desk, SOURCE};
use crate::mail::House;
use crate::pace::Pace;
use crate::send::{MailServer, MailServerError};
use crate::sweep::Sweeper;
use crate::verify::{NoResolver, Verifier};

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
    /// The settings bring no mail.
    #[error("no mail can come in; set [email.imap] host or [email.lmtp] listen")]
    NoSource,
    /// The address is taken, or not ours.
    #[error("[email.lmtp] listen {0}: {1}; choose another address, or stop who has it")]
    Listen(SocketAddr, io::Error),
    /// Nobody to ask for keys.
    #[error(transparent)]
    Resolver(#[from] NoResolver),
    /// Replies cannot be sent.
    #[error(transparent)]
    MailServer(#[from] MailServerError),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who we are, by the settings.
pub fn house(config: &EmailConfig) -> House {
    let own = config.smtp.from.trim().to_lowercase();
    let mailbox = config.imap.user.rsplit_once('@').filter(|_| config.imap.host.is_some());
    House {
        recipients: config.recipients.iter().map(|recipient| recipient.to_lowercase()).collect(),
        max_size: config.max_size,
        own: Some(own).filter(|own| !own.is_empty()),
        domain: mailbox.map(|(_, domain)| domain.trim().to_lowercase()),
    }
}

/// Who tells where a mail is from, by the settings; `authserv_id` goes before what they say.
///
/// # Errors
/// There is no name server.
pub fn verifier(config: &EmailConfig, authserv_id: Option<&str>) -> Result<Verifier, NoResolver> {
    match authserv_id.or(config.authserv_id.as_deref()) {
        Some(server) => Ok(Verifier::told_by(server)),
        None => Verifier::own(config.resolver, &config.relays),
    }
}

/// Takes mails and answers senders until shutdown.
///
/// # Errors
/// It cannot start.
pub async fn run(config: EmailConfig, world: World, shutdown: Shutdown) -> Result<(), RunError> {
    if !config.configured() {
        return Err(RunError::NoSource);
    }
    let listener = match config.lmtp.listen {
        Some(address) => Some(TcpListener::bind(address).await.map_err(|error| RunError::Listen(address, error))?),
        None => None,
    };
    let server = MailServer::new(&config.smtp)?;
    let sweeper = Sweeper::new(world.rules.keep_messages);
    let intake = Intake::new(world.store.clone(), world.queue.clone(), world.site_key, world.rules);
    let pace = Pace::new(config.per_sender, config.per_domain);
    let verifier = verifier(&config, None)?;
    let reach = (world.queue.clone(), world.store.clone());
    let desk = Arc::new(Desk::new(house(&config), verifier, intake, reach, pace, server.is_some()));
    let courier = Courier::new(SOURCE, world.store, ByMail(server), shutdown.clone());

    let delivered = async {
        if let Some(listener) = listener {
            tracing::info!(address = ?config.lmtp.listen, "mail is taken by LMTP");
            lmtp::serve(listener, config.lmtp.clone(), desk.clone(), shutdown.clone()).await;
        }
    };
    let watched = async {
        if config.imap.host.is_some() {
            imap::watch(config.imap.clone(), desk.clone(), sweeper, shutdown.clone()).await;
        }
    };
    tokio::join!(delivered, watched, courier.run(&world.queue));
    Ok(())
}
