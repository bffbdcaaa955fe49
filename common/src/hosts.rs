//! Where hosts are. Names are looked for beside the road: nobody waits for a name server longer than he says, and one that is away
//! takes nothing from anybody, because the addresses that were found last stay.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// As many addresses of a name are taken.
const MOST: usize = 16;

/// Hosts by name and port, `host:port`.
#[derive(Default)]
pub struct Hosts(HashMap<String, Host>);

#[derive(Default)]
struct Host {
    /// What it was last found at.
    addresses: Vec<SocketAddr>,
    /// The search that is under way: never two for one name.
    search: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
    /// It was not found the last time.
    lost: bool,
}

impl Hosts {
    /// Looks for all of these at the same time, and waits for at most so long; what is found later is there at the next look. All
    /// other hosts are forgotten.
    pub async fn look_for(&mut self, names: &[String], patience: Duration) {
        self.0.retain(|name, _| names.contains(name));
        for name in names {
            self.0.entry(name.clone()).or_default().look_for(name);
        }
        let end = Instant::now() + patience;
        for (name, host) in &mut self.0 {
            host.hear(name, end).await;
        }
    }

    /// Where this host was found last, best first; nothing: it never was.
    pub fn at(&self, name: &str) -> &[SocketAddr] {
        self.0.get(name).map_or(&[], |host| &host.addresses)
    }
}

impl Host {
    fn look_for(&mut self, name: &str) {
        if let Ok(address) = name.parse() {
            self.addresses = vec![address];
        } else if self.search.is_none() {
            let name = name.to_owned();
            self.search = Some(tokio::spawn(async move {
                let found = tokio::net::lookup_host(name).await?;
                Ok(found.take(MOST).collect())
            }));
        }
    }

    /// Waits for the search. One that fails or lasts leaves the addresses as they were: calls are not lost because a name server is
    /// away.
    async fn hear(&mut self, name: &str, end: Instant) {
        let Some(search) = &mut self.search else { return };
        let Ok(done) = timeout_at(end, search).await else { return };
        self.search = None;
        let found = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        let found = found.and_then(|all| if all.is_empty() { Err(io::Error::other("no address")) } else { Ok(all) });
        match found {
            Ok(addresses) => {
                if self.lost {
                    tracing::info!(host = name, "the host resolves again");
                }
                (self.addresses, self.lost) = (addresses, false);
            }
            Err(error) => {
                if !self.lost {
                    let addresses = self.addresses.len();
                    tracing::warn!(
                        host = name,
                        addresses,
                        "the host does not resolve, the last addresses stay: {error}"
                    );
                }
                self.lost = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "trunk.invalid:5060";

    fn at(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([192, 0, 2, last], 5060))]
    }

    async fn hears(host: &mut Host, found: io::Result<Vec<SocketAddr>>) {
        host.search = Some(tokio::spawn(async { found }));
        host.hear(NAME, Instant::now() + Duration::from_secs(30)).await;
        assert!(host.search.is_none());
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_for_a_while_keeps_its_last_addresses() {
        let mut host = Host::default();
        hears(&mut host, Ok(at(1))).await;
        hears(&mut host, Err(io::Error::other("no name server"))).await;
        assert_eq!((&host.addresses, host.lost), (&at(1), true));
        hears(&mut host, Ok(Vec::new())).await;
        assert_eq!((&host.addresses, host.lost), (&at(1), true), "an empty answer is none");
        hears(&mut host, Ok(at(2))).await;
        assert_eq!((&host.addresses, host.lost), (&at(2), false));
    }

    #[tokio::test]
    async fn a_search_that_lasts_holds_nothing_up_and_is_the_only_one() {
        let mut host = Host { addresses: at(1), ..Host::default() };
        let (answer, asked) = tokio::sync::oneshot::channel();
        host.search = Some(tokio::spawn(async { asked.await.map_err(io::Error::other) }));
        host.hear(NAME, Instant::now()).await;
        assert_eq!(host.addresses, at(1));
        host.look_for(NAME);
        answer.send(at(2)).unwrap();
        host.hear(NAME, Instant::now() + Duration::from_secs(30)).await;
        assert_eq!(host.addresses, at(2), "the same search as before");
    }

    #[tokio::test]
    async fn many_that_last_are_waited_for_together() {
        let mut hosts = Hosts::default();
        let names: Vec<String> = (0..20).map(|n| format!("trunk{n}.invalid:5060")).collect();
        for name in &names {
            let search = Some(tokio::spawn(std::future::pending()));
            hosts.0.insert(name.clone(), Host { addresses: at(1), search, lost: false });
        }
        let start = Instant::now();
        hosts.look_for(&names, Duration::from_millis(200)).await;
        assert!(start.elapsed() < Duration::from_millis(20 * 200), "{:?}", start.elapsed());
        assert!(names.iter().all(|name| hosts.at(name) == at(1)));
        hosts.look_for(&names[..1], Duration::ZERO).await;
        assert!(hosts.at(&names[1]).is_empty(), "nobody asks for it any more");
    }

    #[tokio::test]
    async fn an_address_is_no_name() {
        let mut hosts = Hosts::default();
        hosts.look_for(&["192.0.2.1:5060".to_owned()], Duration::ZERO).await;
        assert_eq!(hosts.at("192.0.2.1:5060"), at(1));
    }
}
