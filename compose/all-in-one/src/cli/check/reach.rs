//! Whether those whom the settings name can be reached from the sockets that the settings open.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use ringback_common::config::{Config, ServerAddress};
use ringback_common::store::Trunk;
use tokio::time::timeout;
use url::Url;

use super::Findings;

/// A name server that has said nothing for so long does not know.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody whom the settings name.
pub struct Peer {
    /// Who it is: `trunk carrier`.
    who: String,
    /// Host and port.
    place: String,
    /// The socket that we speak to it from, where it is one of ours: its key and address.
    from: Option<(&'static str, SocketAddr)>,
}

/// Those in the settings.
pub fn named(config: &Config) -> Vec<Peer> {
    let email = &config.email;
    let hosts = [("[email.imap] host", &email.imap.host), ("[email.smtp] host", &email.smtp.host)];
    let mut peers: Vec<Peer> =
        hosts.into_iter().filter_map(|(who, host)| Some(peer(who, host.as_ref()?, 25))).collect();
    let smpp = config.sms.smpp.iter();
    peers.extend(smpp.map(|(name, bind)| peer(&format!("[sms.smpp.{name}] host"), &bind.host, bind.port)));
    let urls = [
        ("[store] url", config.store.url.as_str()),
        ("[queue] url", &config.queue.url),
        ("[sms.jasmin] url", config.sms.jasmin.url.reveal()),
        ("[sms.jasmin] send_url", &config.sms.jasmin.send_url),
        ("[sms.generic] reply_url", config.sms.generic.reply_url.as_deref().unwrap_or_default()),
    ];
    for (who, list) in urls {
        for url in list.split(',').filter(|url| !url.starts_with("sqlite:")) {
            let host = Url::parse(url.trim()).ok().and_then(|url| url.host_str().map(str::to_owned));
            peers.extend(host.filter(|host| !host.is_empty()).map(|host| peer(who, &host, 0)));
        }
    }
    let iif = &config.iif;
    let servers =
        iif.peers.iter().filter_map(|(name, server)| Some((format!("[iif.peers.{name}] host"), server.host?)));
    let one = match iif.application_server {
        ServerAddress::One(ip) if iif.account.is_some() => Some(("[iif] application_server".to_owned(), ip)),
        _ => None,
    };
    peers.extend(servers.chain(one).map(|(who, ip)| Peer {
        who,
        place: SocketAddr::new(ip, 0).to_string(),
        from: Some(("[iif] listen", iif.listen)),
    }));
    peers
}

/// The trunks that carry calls.
pub fn trunks(config: &Config, trunks: &[Trunk]) -> Vec<Peer> {
    let enabled = trunks.iter().filter(|trunk| trunk.enabled);
    let peer = |trunk: &Trunk| Peer {
        who: format!("trunk {}", trunk.name),
        place: trunk.place(),
        from: Some(("[sip] listen", config.sip.listen)),
    };
    enabled.map(peer).collect()
}

fn peer(who: &str, host: &str, port: u16) -> Peer {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let place = bare.parse().map_or_else(|_| format!("{host}:{port}"), |ip| SocketAddr::new(ip, port).to_string());
    Peer { who: who.to_owned(), place, from: None }
}

/// Looks for all of them at once.
pub async fn look(peers: &[Peer], found: &mut Findings) {
    let looked =
        join_all(peers.iter().map(async |peer| match timeout(PATIENCE, tokio::net::lookup_host(&peer.place)).await {
            Ok(Ok(addresses)) => Ok(addresses.map(|address| address.ip()).collect::<Vec<IpAddr>>()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }));
    for (peer, addresses) in peers.iter().zip(looked.await) {
        if let Some(problem) = judge(peer, addresses) {
            found.problem(problem);
        }
    }
}

/// What keeps us from reaching it.
fn judge(peer: &Peer, addresses: Result<Vec<IpAddr>, String>) -> Option<String> {
    let Peer { who, place, from } = peer;
    let addresses = match addresses {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => return Some(format!("{who}: {place} has no address; look at its spelling")),
        Err(error) => {
            return Some(format!("{who}: {place} is not found ({error}); look at its spelling and at the name server"));
        }
    };
    let (key, ours) = from.as_ref()?;
    let Some(theirs) = addresses.iter().find(|ip| ip.is_ipv4() == ours.is_ipv4()) else {
        let (has, speaks) = if ours.is_ipv4() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
        return Some(format!(
            "{who}: {place} has {has} addresses only, and {key} {ours} speaks {speaks}; name an {speaks} address of it"
        ));
    };
    (ours.ip().is_loopback() && !theirs.is_loopback()).then(|| {
        format!("{who}: {place} is elsewhere, and {key} {ours} reaches this machine only; write the address that {theirs} can answer to")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(place: &str, from: &str, addresses: &[&str]) -> String {
        let from = Some(("[sip] listen", from.parse().unwrap()));
        let peer = Peer { who: "trunk x".to_owned(), place: place.to_owned(), from };
        judge(&peer, Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect())).unwrap_or_default()
    }

    #[test]
    fn a_peer_is_reached_by_a_socket_of_its_kind() {
        assert_eq!(judged("p:5060", "192.0.2.9:5060", &["2001:db8::1", "192.0.2.1"]), "");
        assert_eq!(judged("p:5060", "127.0.0.1:5060", &["127.0.0.9"]), "");
        assert!(judged("p:5060", "127.0.0.1:5060", &["192.0.2.1"]).contains("this machine only"));
        assert!(judged("p:5060", "192.0.2.9:5060", &["2001:db8::1"]).contains("IPv6 addresses only"));
        assert!(judged("p:5060", "[2001:db8::9]:5060", &["192.0.2.1"]).contains("IPv4 addresses only"));
        assert!(judged("p:5060", "192.0.2.9:5060", &[]).contains("no address"));
    }
}
