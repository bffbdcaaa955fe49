//! Ringback's missed-call trigger: somebody calls, is never answered, and becomes a job.
//!
//! [`cld`] reads what was called, [`caller`] who calls, [`payer`] says who pays, [`window`] what is one callback: all pure. The
//! [`desk`] puts them together, `call` takes one call from its INVITE to the job, `line` carries its messages, `early` lets the
//! caller hear it ring, `notice` tells a known caller why not, `trunks` knows whose calls are taken.

mod call;
pub mod caller;
pub mod cld;
pub mod desk;
mod early;
pub mod explain;
mod line;
mod notice;
pub mod payer;
mod replies;
#[cfg(test)]
mod testsite;
mod trunks;
pub mod window;

use std::sync::Arc;

use ringback_common::config::{AniConfig, AniProfile};
use ringback_common::courier::Courier;
use ringback_common::intake::{Intake, Rules};
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError};
use ringback_sip::{Arrival, Endpoint, EndpointError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::call::{Counter, count};
use crate::desk::{Desk, From};
use crate::notice::Teller;
use crate::replies::Silent;
use crate::trunks::Trunks;
use crate::window::Windows;

/// The name of this trigger: `source` of its jobs, and where its replies go.
pub const SOURCE: &str = "ani";

/// INVITEs that may wait at a socket to be read; more are told to come back.
const WAITING: usize = 256;

/// For each call in hand so many may wait besides: to be in hand, or, their callers gone, for the store or the queue.
const BESIDES: usize = 1;

/// For each call in hand so many more may wait for the ACK of their refusal.
const LINGERING: usize = 4;

/// What the trigger works with.
pub struct World {
    /// Accounts, applications, numbers and requests.
    pub store: Store,
    /// Jobs go out, outcomes come in.
    pub queue: Queue,
    /// Seals secrets.
    pub site_key: SiteKey,
    /// The site's rules.
    pub rules: Rules,
    /// The SIP socket that is shared with the engine; `None` binds `[ani] listen`.
    pub endpoint: Option<Endpoint>,
}

/// Why the trigger does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address is taken, or not ours.
    #[error("[ani] {0}: {1}")]
    Listen(&'static str, EndpointError),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes calls until shutdown, and ends those in hand.
///
/// # Errors
/// It cannot start.
pub async fn run(config: AniConfig, world: World, shutdown: Shutdown) -> Result<(), RunError> {
    let World { store, queue, site_key, rules, endpoint } = world;
    let first = match endpoint {
        Some(shared) => shared,
        None => Endpoint::bind(config.listen).map_err(|error| RunError::Listen("listen", error))?,
    };
    let mut endpoints = vec![first];
    if config.profile == AniProfile::Sippy {
        let second = Endpoint::bind(config.sippy_listen).map_err(|error| RunError::Listen("sippy_listen", error))?;
        endpoints.push(second);
    }
    let intake = Intake::new(store.clone(), queue.clone(), site_key, rules);
    let counter = Arc::new(Counter {
        desk: Desk::new(config.clone(), intake.checks().clone(), store.clone()),
        intake,
        windows: Windows::new(config.window),
        teller: Teller::new(store.clone(), queue.clone(), config.sms_out),
        shutdown: shutdown.clone(),
    });
    let trunks = Arc::new(Trunks::new(config.trunks.clone(), config.cld_form.clone()));
    trunks.read(&store, &endpoints).await?;
    let room = Room {
        seats: Arc::new(Semaphore::new(config.calls * (1 + BESIDES))),
        places: Arc::new(Semaphore::new(config.calls)),
        lingering: Arc::new(Semaphore::new(config.calls * LINGERING)),
    };
    let mut listening = JoinSet::new();
    for (n, endpoint) in endpoints.iter().enumerate() {
        tracing::info!(sip = %endpoint.local_addr(), "missed calls are taken");
        let (calls, arrivals) = mpsc::channel(WAITING);
        endpoint.on_invite(calls);
        let reception = Reception {
            counter: counter.clone(),
            trunks: trunks.clone(),
            room: room.clone(),
            is_sippys: n > 0,
            endpoint: endpoint.clone(),
        };
        listening.spawn(reception.listen(arrivals, shutdown.clone()));
    }
    let courier = Courier::new(SOURCE, store.clone(), Silent, shutdown.clone());
    tokio::join!(trunks.follow(&store, &endpoints, &shutdown), courier.run(&queue), listening.join_all());
    Ok(())
}

/// How many calls there is room for, over all sockets.
#[derive(Clone)]
struct Room {
    /// For every call that is not over, so that none in hand is without one when its caller goes.
    seats: Arc<Semaphore>,
    /// For those in hand: looked at, rung, asked for.
    places: Arc<Semaphore>,
    /// For those that wait for an ACK.
    lingering: Arc<Semaphore>,
}

/// Takes the calls of one socket.
#[derive(Clone)]
struct Reception {
    counter: Arc<Counter>,
    trunks: Arc<Trunks>,
    room: Room,
    /// Sippy's second address is there for connections with a translation rule.
    is_sippys: bool,
    endpoint: Endpoint,
}

impl Reception {
    async fn listen(self, mut arrivals: mpsc::Receiver<Arrival>, shutdown: Shutdown) {
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.wait() => break,
                Some(_) = calls.join_next(), if !calls.is_empty() => {}
                Some(arrival) = arrivals.recv() => match self.room.seats.clone().try_acquire_owned() {
                    Ok(seat) => _ = calls.spawn(self.clone().attend(arrival, seat, shutdown.clone())),
                    Err(_) => turn_away(arrival),
                },
            }
        }
        arrivals.close();
        while let Some(arrival) = arrivals.recv().await {
            turn_away(arrival);
        }
        while calls.join_next().await.is_some() {}
    }

    /// One call, from its INVITE until nothing more is said.
    async fn attend(self, arrival: Arrival, seat: OwnedSemaphorePermit, shutdown: Shutdown) {
        let place = tokio::select! {
            place = self.room.places.clone().acquire_owned() => place.ok(),
            () = shutdown.wait() => None,
        };
        let Some(place) = place else { return turn_away(arrival) };
        let from = self.trunks.at(arrival.from.ip());
        let from = from.map(|from| From { cld_form: from.cld_form || self.is_sippys, ..from });
        let call = self.counter.take(arrival, &self.endpoint, from, place).await;
        drop(seat);
        // Where there is no room to wait for the ACK, a repeat of the INVITE is a new call, and becomes the same job.
        let (Some(call), Ok(_room)) = (call, self.room.lingering.try_acquire_owned()) else { return };
        tokio::select! {
            () = call.linger() => {}
            () = shutdown.wait() => {}
        }
    }
}

fn turn_away(arrival: Arrival) {
    count("turned_away");
    arrival.turn_away();
}
