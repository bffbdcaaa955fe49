//! Trunks and rates as they stand now: read each second, the trunks' hosts looked for beside the road.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringback_common::hosts::Hosts;
use ringback_common::secret::SiteKey;
use ringback_common::store::{self, Store, StoreError};
use tokio::sync::watch;

use crate::driver::Welcome;
use crate::routing::{Trunk, Trunks};
use crate::world::{Tables, World};

/// How often they are read again.
const REFRESH: Duration = Duration::from_secs(1);
/// The hosts of all trunks are waited for so long; what is found later is used at the next reading.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads them.
pub struct Reader {
    store: Store,
    site_key: SiteKey,
    hosts: Hosts,
}

impl Reader {
    /// Knows no host yet.
    pub fn new(store: Store, site_key: SiteKey) -> Reader {
        Reader { store, site_key, hosts: Hosts::default() }
    }

    /// Trunks and rates; a trunk whose host was never found has no address.
    ///
    /// # Errors
    /// The store is away.
    pub async fn read(&mut self) -> Result<Tables, StoreError> {
        let stored: Vec<_> = self.store.trunks().await?.into_iter().filter(|trunk| trunk.enabled).collect();
        let rates = Arc::new(self.store.rates().await?);
        let names: Vec<String> = stored.iter().map(store::Trunk::place).collect();
        self.hosts.look_for(&names, PATIENCE).await;
        let mut trunks = Vec::with_capacity(stored.len());
        for (trunk, name) in stored.into_iter().zip(names) {
            let found = self.hosts.at(&name);
            let address = found.iter().copied().find(SocketAddr::is_ipv4);
            if address.is_none() && !found.is_empty() {
                tracing::warn!(trunk = trunk.name, "the trunk's host has no IPv4 address; it is not used");
                continue;
            }
            let Ok(credentials) = trunk.credentials(&self.site_key) else {
                tracing::error!(
                    trunk = trunk.name,
                    "the trunk's password was sealed with another site key; it is not used until `ringback trunk set` gives it anew"
                );
                continue;
            };
            trunks.push(Trunk {
                host: trunk.host().to_owned(),
                address,
                name: trunk.name,
                credentials,
                prefixes: trunk.prefixes,
                priority: trunk.priority,
                cli: trunk.cli,
            });
        }
        Ok(Tables { trunks: Arc::new(Trunks(trunks)), rates })
    }

    /// Reads them again and again.
    pub async fn follow(mut self, world: Arc<World>, tables: watch::Sender<Tables>) {
        let mut welcome = welcome_trunks(&world);
        loop {
            tokio::time::sleep(REFRESH).await;
            match self.read().await {
                Ok(now) => {
                    tables.send_replace(now);
                    let before = std::mem::replace(&mut welcome, welcome_trunks(&world));
                    drop(before);
                }
                Err(error) => tracing::debug!(%error, "trunks and rates cannot be read now; the known ones stay"),
            }
        }
    }
}

/// The trunks may speak to us outside calls as well.
fn welcome_trunks(world: &World) -> Vec<Welcome> {
    let tables = world.tables.borrow();
    let addresses = tables.trunks.0.iter().filter_map(|trunk| trunk.address);
    addresses.map(|address| Welcome::trunk(&world.endpoint, address.ip())).collect()
}
