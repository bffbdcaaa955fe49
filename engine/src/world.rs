//! What every call of this engine shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringback_common::config::{Config, EngineConfig, Limits, SipConfig, TariffConfig};
use ringback_common::queue::Queue;
use ringback_common::store::{Me, Rate, Store, Writer};
use ringback_sip::net::Endpoint;
use tokio::sync::watch;

use crate::gate::Gate;
use crate::media::Media;
use crate::routing::Trunks;
use crate::views::Views;

/// Seconds before the end of the drain at which the calls that are left are hung up, so that they can be settled.
const LAST_BYES: u64 = 5;

/// Trunks and rates as they stand now; refreshed every second.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The trunks that can be used.
    pub trunks: Arc<Trunks>,
    /// All rates.
    pub rates: Arc<Vec<Rate>>,
}

/// What every call of this engine shares.
pub struct World {
    /// This engine in its incarnation.
    pub me: Me,
    /// Owns every job.
    pub store: Store,
    /// Gathers the steps of all calls.
    pub writer: Writer,
    /// Brings jobs, takes events.
    pub queue: Queue,
    /// The SIP socket.
    pub endpoint: Endpoint,
    /// The media threads.
    pub media: Media,
    /// The licence to send.
    pub gate: Arc<Gate>,
    /// How callbacks are run.
    pub engine: EngineConfig,
    /// How we phone.
    pub sip: SipConfig,
    /// Prices that no rate covers.
    pub tariff: TariffConfig,
    /// The site's limits.
    pub limits: Limits,
    /// How long after a wish the same one from another trigger is the same callback.
    pub same_call: Duration,
    /// Whether CDRs go to the billing feed.
    pub billing: bool,
    /// How long live calls may go on after the shutdown began.
    pub drain: Duration,
    /// Trunks and rates.
    pub tables: watch::Receiver<Tables>,
    /// Accounts as they were read a moment ago.
    pub views: Views,
    calls: AtomicU64,
}

impl World {
    /// The world of one engine.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: &Config,
        me: Me,
        store: Store,
        queue: Queue,
        endpoint: Endpoint,
        media: Media,
        gate: Arc<Gate>,
        tables: watch::Receiver<Tables>,
    ) -> World {
        World {
            writer: store.writer(),
            me,
            store,
            queue,
            endpoint,
            media,
            gate,
            engine: config.engine.clone(),
            sip: config.sip.clone(),
            tariff: config.tariff.clone(),
            limits: config.intake.limits.clone(),
            same_call: config.intake.same_call_window,
            billing: config.billing.feed.on,
            drain: Duration::from_secs(config.service.drain_timeout.saturating_sub(LAST_BYES)),
            tables,
            views: Views::default(),
            calls: AtomicU64::new(1),
        }
    }

    /// A number that no other call of this process has.
    pub fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }
}
