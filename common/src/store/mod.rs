//! The store: who owns every job from the moment its row is committed. One type, SQLite or PostgreSQL behind it, one suite of
//! tests over both.
//!
//! The hot paths (take, step, outbox) are written once per backend (`sqlite.rs`, `postgres.rs`), because that pays; everything
//! else is one SQL text for both.

mod accounts;
mod answered;
mod aside;
mod backend;
mod boot;
mod cdr;
mod columns;
mod commands;
mod contacts;
mod engines;
mod erase;
mod error;
mod file;
mod health;
pub mod joining;
mod keys;
mod ledger;
mod limits;
mod migrate;
mod outbox;
mod owned;
mod parts;
mod pool;
mod postgres;
mod postings;
mod purge;
mod rates;
mod replies;
mod requests;
mod rows;
mod sqlite;
mod status;
mod step;
#[cfg(any(test, feature = "testkit"))]
pub mod suite;
mod till;
mod trunks;
mod wake;
mod writer;

pub use accounts::{Account, AccountChange, AccountView, NewAccount, Sealed};
pub use answered::Called;
pub use boot::BootMoment;
pub use commands::Carried;
pub use contacts::{DoNotCall, PutBy, RefusedMessage};
pub use erase::{Erased, Kept};
pub use error::StoreError;
pub use keys::{Forgotten, Kept as KeptOfKey};
pub use limits::{Confirmed, Lockout};
pub use migrate::newest as newest_schema;
pub use parts::{LongText, Part, PartPut};
pub use pool::{AppKind, Application, Behind, Did};
pub use postings::{Postings, Purse};
pub use purge::Purged;
pub use rates::Rate;
pub use requests::{Cancelling, Wished};
pub use rows::{
    Alive, Beat, Begun, CdrFilter, CdrRow, Counts, EngineLine, Me, Outbox, OutboxRow, OwnedRequest, Peer, Registered,
    RequestFilter, RequestRow, RequestStory, StoredInvite, Summary, Take, Taken,
};
pub use step::{
    DialogState, EventMoney, FinalResponse, NewInvite, OutboxEvent, Outlet, RequestChange, Settlement, Step, Stepped,
};
pub use trunks::Trunk;
pub use writer::Writer;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use backend::make_private;

use backend::Backend;
use engines::Pulse;
use health::Health;
use wake::Wake;

/// Where the store is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:///var/lib/ringback/data/ringback.db` or `postgres://user:password@host/database`.
    pub url: String,
    /// Where the password in the URL was read from.
    pub password_file: PathBuf,
    /// Connections at most, beside those of the writer, the beat, the wake-up and the watch.
    pub connections: u32,
    /// Tell the billing feed of money that moves outside calls too. Set from `[billing.feed]`.
    pub billing_feed: bool,
}

impl StoreConfig {
    /// The store behind this URL, with the usual number of connections.
    pub fn new(url: impl Into<String>) -> StoreConfig {
        StoreConfig { url: url.into(), ..StoreConfig::default() }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        let url = "sqlite://data/ringback.db".to_owned();
        StoreConfig { url, password_file: PathBuf::new(), connections: 8, billing_feed: false }
    }
}

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    backend: Backend,
    billing_feed: bool,
    health: Health,
    wake: Wake,
    outbox_written: [Notify; Outlet::ALL.len()],
    pulse: Pulse,
}

impl Store {
    /// Connects and brings the schema up to date. Two processes may do so at once.
    pub async fn open(config: &StoreConfig) -> Result<Store, StoreError> {
        let backend = Backend::open(config).await?;
        migrate::run(&backend).await?;
        let wake = Wake::new(&backend);
        let inner = Inner {
            backend,
            billing_feed: config.billing_feed,
            health: Health::default(),
            wake,
            outbox_written: Default::default(),
            pulse: Pulse::default(),
        };
        Ok(Store { inner: Arc::new(inner) })
    }

    /// Resolves when another process says that something may be due or cancelled. A hint that may get lost: look every second
    /// as well. The first call begins to listen; on SQLite that is the business of the one engine.
    pub async fn woken(&self) {
        self.inner.wake.woken(&self.inner.backend).await;
    }

    /// Resolves when this process has written outbox rows for this destination. A hint: other processes write them too.
    pub async fn outbox_written(&self, destination: Outlet) {
        self.inner.outbox_written[destination as usize].notified().await;
    }

    fn note_outbox_written(&self, destination: Outlet) {
        self.inner.outbox_written[destination as usize].notify_one();
    }

    /// Closes the connections. What is under way ends first.
    pub async fn close(&self) {
        self.inner.backend.close().await;
    }

    /// Tells other processes that something may be due or cancelled.
    async fn wake(&self) {
        self.inner.wake.send(&self.inner.backend).await;
    }
}
