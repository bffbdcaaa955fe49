//! Whose calls are taken: the trunks that the settings name, as they stand now.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use ringback_common::hosts::Hosts;
use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError, Trunk};
use ringback_sip::Endpoint;
use tokio::sync::Mutex;

use crate::desk::From;

/// How often the trunks are read again.
const REFRESH: Duration = Duration::from_secs(1);
/// The names of all trunks are waited for so long; what comes later is used at the next reading.
const PATIENCE: Duration = Duration::from_secs(1);

/// The trunks by the addresses that they call from.
pub struct Trunks {
    names: Vec<String>,
    /// Those whose calls may have a CLD of the form.
    cld_form: Vec<String>,
    hosts: Mutex<Hosts>,
    known: RwLock<HashMap<IpAddr, From>>,
}

impl Trunks {
    /// The trunks of these names; none: all. Some write their CLDs in the form.
    pub fn new(names: Vec<String>, cld_form: Vec<String>) -> Trunks {
        Trunks { names, cld_form, hosts: Mutex::default(), known: RwLock::default() }
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
        let trunks = store.trunks().await?;
        let trunks: Vec<&Trunk> = trunks.iter().filter(|trunk| trunk.enabled).collect();
        let addresses = self.addresses(&trunks).await;
        let now = self.by_address(&trunks, &addresses);
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
            for endpoint in endpoints {
                let strangers =
                    metrics::counter!("ringback_sip_strangers_total", "sip" => endpoint.local_addr().to_string());
                strangers.absolute(endpoint.counts().strangers);
            }
            if let Err(error) = self.read(store, endpoints).await {
                tracing::debug!(%error, "trunks cannot be read now; the known ones stay");
            }
        }
    }

    /// Where each of these trunks calls from.
    async fn addresses(&self, trunks: &[&Trunk]) -> Vec<Vec<IpAddr>> {
        let names: Vec<String> = trunks.iter().map(|trunk| trunk.place()).collect();
        let mut hosts = self.hosts.lock().await;
        hosts.look_for(&names, PATIENCE).await;
        names.iter().map(|name| hosts.at(name).iter().map(SocketAddr::ip).collect()).collect()
    }

    /// Who calls from each address. Of several trunks at one the first counts; the form only where it is every one's, for nothing else
    /// tells their calls apart.
    fn by_address(&self, trunks: &[&Trunk], addresses: &[Vec<IpAddr>]) -> HashMap<IpAddr, From> {
        let at =
            || trunks.iter().zip(addresses).flat_map(|(trunk, all)| all.iter().map(move |address| (*address, *trunk)));
        let cld_form = |name: &String| self.cld_form.contains(name);
        let mut known = HashMap::new();
        for (address, trunk) in at().filter(|(_, trunk)| self.wants(&trunk.name)) {
            known.entry(address).or_insert_with(|| From {
                trunk: trunk.name.clone(),
                cli: trunk.cli.clone(),
                cld_form: at().all(|(other, trunk)| other != address || cld_form(&trunk.name)),
            });
        }
        known
    }

    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> Vec<IpAddr> {
        vec![IpAddr::from([192, 0, 2, last])]
    }

    #[test]
    fn of_trunks_at_one_address_the_first_counts_and_the_form_where_all_have_it() {
        let trunk = |name: &str| Trunk {
            name: name.to_owned(),
            sip: "sip:192.0.2.1".to_owned(),
            username: None,
            password: None,
            prefixes: Vec::new(),
            priority: 0,
            cli: None,
            enabled: true,
        };
        let (a, b, c) = (trunk("a"), trunk("b"), trunk("c"));
        let known = |names: &[&str], cld_form: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let known = Trunks::new(owned(names), owned(cld_form));
            let known = known.by_address(&[&a, &b, &c], &[at(1), at(1), at(2)]);
            let said = |last| known.get(&at(last)[0]).map(|from| (from.trunk.clone(), from.cld_form));
            (said(1), said(2))
        };
        let is = |name: &str, cld_form| Some((name.to_owned(), cld_form));
        assert_eq!(known(&[], &["a", "c"]), (is("a", false), is("c", true)), "b's calls may be taken for a's");
        assert_eq!(known(&[], &["b"]), (is("a", false), is("c", false)));
        assert_eq!(known(&[], &["a", "b"]), (is("a", true), is("c", false)));
        assert_eq!(known(&["b"], &["b"]), (is("b", false), None), "a is not named, but calls from there");
    }
}
