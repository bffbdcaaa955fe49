//! Whose calls are taken: the trunks that the settings name, as they stand now.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError, Trunk};
use ringback_sip::Endpoint;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::desk::From;

/// How often the trunks are read again.
const REFRESH: Duration = Duration::from_secs(1);
/// The names of all trunks are waited for so long; what comes later is used at the next reading.
const PATIENCE: Duration = Duration::from_secs(1);
/// As many addresses of a name are taken.
const MOST: usize = 16;

/// The trunks by the addresses that they call from.
pub struct Trunks {
    names: Vec<String>,
    /// Those whose calls may have a CLD of the form.
    cld_form: Vec<String>,
    hosts: Mutex<HashMap<String, Host>>,
    known: RwLock<HashMap<IpAddr, From>>,
}

/// A trunk's host, by name and port.
#[derive(Default)]
struct Host {
    /// What it was last found at.
    addresses: Vec<IpAddr>,
    /// The search that is under way: never two for one name.
    search: Option<JoinHandle<io::Result<Vec<IpAddr>>>>,
    /// It was not found the last time.
    lost: bool,
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

    /// Where each of these trunks calls from. All names are looked for at the same time.
    async fn addresses(&self, trunks: &[&Trunk]) -> Vec<Vec<IpAddr>> {
        let mut hosts = self.hosts.lock().await;
        let named: Vec<String> = trunks.iter().map(|trunk| host_of(trunk)).collect();
        hosts.retain(|name, _| named.contains(name));
        for name in &named {
            hosts.entry(name.clone()).or_default().look_for(name);
        }
        let (end, mut found) = (Instant::now() + PATIENCE, Vec::with_capacity(named.len()));
        for (trunk, name) in trunks.iter().zip(named) {
            let host = hosts.entry(name).or_default();
            host.hear(&trunk.name, end).await;
            found.push(host.addresses.clone());
        }
        found
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

impl Host {
    fn look_for(&mut self, name: &str) {
        if let Ok(address) = name.parse::<SocketAddr>() {
            self.addresses = vec![address.ip()];
        } else if self.search.is_none() {
            let name = name.to_owned();
            self.search = Some(tokio::spawn(async move {
                let found = tokio::net::lookup_host(name).await?;
                Ok(found.map(|address| address.ip()).take(MOST).collect())
            }));
        }
    }

    /// Waits for the search. One that fails or lasts leaves the addresses as they were: calls are not lost because a name server is
    /// away.
    async fn hear(&mut self, trunk: &str, end: Instant) {
        let Some(search) = &mut self.search else { return };
        let Ok(done) = timeout_at(end, search).await else { return };
        self.search = None;
        match done.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(addresses) => {
                if self.lost {
                    tracing::info!(trunk, "the trunk's host resolves again");
                }
                (self.addresses, self.lost) = (addresses, false);
            }
            Err(error) => {
                if !self.lost {
                    let addresses = self.addresses.len();
                    tracing::warn!(
                        trunk,
                        addresses,
                        "the trunk's host does not resolve, the last addresses stay: {error}"
                    );
                }
                self.lost = true;
            }
        }
    }
}

/// The host of a trunk, with its port.
fn host_of(trunk: &Trunk) -> String {
    let host = trunk.sip.trim_start_matches("sip:");
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { host.to_owned() } else { format!("{host}:5060") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> Vec<IpAddr> {
        vec![IpAddr::from([192, 0, 2, last])]
    }

    async fn hears(host: &mut Host, found: io::Result<Vec<IpAddr>>) {
        host.search = Some(tokio::spawn(async { found }));
        host.hear("carrier", Instant::now() + Duration::from_secs(30)).await;
        assert!(host.search.is_none());
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

    #[tokio::test]
    async fn a_name_that_is_not_found_for_a_while_keeps_its_last_addresses() {
        let mut host = Host::default();
        hears(&mut host, Ok(at(1))).await;
        hears(&mut host, Err(io::Error::other("no name server"))).await;
        assert_eq!((&host.addresses, host.lost), (&at(1), true));
        hears(&mut host, Ok(at(2))).await;
        assert_eq!((&host.addresses, host.lost), (&at(2), false));
    }

    #[tokio::test]
    async fn a_search_that_lasts_holds_nothing_up_and_is_the_only_one() {
        let mut host = Host { addresses: at(1), ..Host::default() };
        let (answer, asked) = tokio::sync::oneshot::channel();
        host.search = Some(tokio::spawn(async { asked.await.map_err(io::Error::other) }));
        host.hear("carrier", Instant::now()).await;
        assert_eq!(host.addresses, at(1));
        host.look_for("trunk.invalid:5060");
        answer.send(at(2)).unwrap();
        host.hear("carrier", Instant::now() + Duration::from_secs(30)).await;
        assert_eq!(host.addresses, at(2), "the same search as before");
    }

    #[tokio::test]
    async fn an_address_is_no_name() {
        let mut host = Host::default();
        host.look_for("192.0.2.1:5070");
        assert!((host.addresses == at(1)) && host.search.is_none());
    }
}
