//! Whose calls are taken: the trunks that the settings name, as they stand now.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError, Trunk};
use ringback_sip::Endpoint;

use crate::desk::From;

/// How often the trunks are read again.
const REFRESH: Duration = Duration::from_secs(1);

/// The trunks by the addresses that they call from.
pub struct Trunks {
    names: Vec<String>,
    known: RwLock<HashMap<IpAddr, From>>,
}

impl Trunks {
    /// The trunks of these names; none: all.
    pub fn new(names: Vec<String>) -> Trunks {
        Trunks { names, known: RwLock::default() }
    }

    /// The trunk that calls from there.
    pub fn at(&self, address: IpAddr) -> Option<From> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&address).cloned()
    }

    /// Reads them; what calls from elsewhere is not read any more.
    ///
    /// # Errors
    /// The store is away.
    pub async fn read(&self, store: &Store, endpoints: &[Endpoint]) -> Result<(), StoreError> {
        let mut now = HashMap::new();
        for trunk in store.trunks().await?.into_iter().filter(|trunk| trunk.enabled && self.wants(&trunk.name)) {
            for address in addresses(&trunk).await {
                now.entry(address).or_insert_with(|| From { trunk: trunk.name.clone(), cli: trunk.cli.clone() });
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for endpoint in endpoints {
            now.keys().filter(|address| !known.contains_key(address)).for_each(|address| endpoint.trust(*address));
            known.keys().filter(|address| !now.contains_key(address)).for_each(|address| endpoint.untrust(*address));
        }
        *known = now;
        Ok(())
    }

    /// Reads them again and again until shutdown.
    pub async fn follow(&self, store: &Store, endpoints: &[Endpoint], shutdown: &Shutdown) {
        while !shutdown.begun() {
            tokio::select! {
                () = shutdown.wait() => {}
                () = tokio::time::sleep(REFRESH) => {}
            }
            if let Err(error) = self.read(store, endpoints).await {
                tracing::debug!(%error, "trunks cannot be read now; the known ones stay");
            }
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

/// Where a trunk calls from: the addresses of its host.
async fn addresses(trunk: &Trunk) -> Vec<IpAddr> {
    let host = trunk.sip.trim_start_matches("sip:");
    if let Ok(address) = host.parse::<std::net::SocketAddr>() {
        return vec![address.ip()];
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let named = if has_port { host.to_owned() } else { format!("{host}:5060") };
    match tokio::net::lookup_host(named).await {
        Ok(found) => found.map(|address| address.ip()).take(16).collect(),
        Err(error) => {
            tracing::warn!(trunk = trunk.name, "the trunk's host does not resolve, its calls are not taken: {error}");
            Vec::new()
        }
    }
}
