//! Which application server speaks, by the address that its datagram comes from.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringback_common::config::{Dialect, IifConfig, Secret, ServerAddress};
use ringback_common::terms::Cli;

/// The name of whoever knows the secret of `[iif] secret`: one application server, from whatever address it speaks, so that a
/// captured datagram sent again from another address is the same call. No peer can be named so.
const KNOWS_THE_SECRET: &str = "*";

/// The settings as they are used.
#[derive(Clone, Debug)]
pub struct Setup {
    peers: Vec<Peer>,
    /// Who may speak without being a peer, and as whom.
    open_to: Option<(ServerAddress, Server)>,
    /// Methods in lower case and names in upper case are refused.
    pub strict: bool,
    /// What is signed has to say when it was written.
    pub require_time: bool,
    /// What a phone shows where REQUEST names nobody.
    pub default_caller: Option<Cli>,
    /// More is said than the interface knows.
    pub extended: bool,
    /// So long after ACK may leave, nobody's phone rings yet.
    pub ack_lead: Duration,
    /// How often RESPONSE is said again, and after how long each time.
    pub repeats: (u32, Duration),
}

#[derive(Clone, Debug)]
struct Peer {
    host: IpAddr,
    port: u16,
    server: Server,
}

/// An application server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name in the settings, or its address where it has none: part of the identity of its jobs.
    pub name: String,
    /// Who pays for its calls.
    pub account: String,
    /// How it is spoken to.
    pub dialect: Dialect,
    /// Signs what it says; empty: nothing is signed.
    pub secret: Secret,
}

impl Server {
    /// Under which name it is counted. Those that are let in without a section of their own are counted together: whoever forges
    /// an address has as many as he likes.
    pub fn counted_as(&self) -> &str {
        if self.name.parse::<IpAddr>().is_ok() { KNOWS_THE_SECRET } else { &self.name }
    }
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// An application server of ours.
    Server(Server),
    /// The host of one, on a port that is not its; it is spoken to in this dialect.
    WrongPort(Dialect),
    /// Nobody we know.
    Stranger,
}

impl Setup {
    /// From the settings.
    pub fn new(config: &IifConfig) -> Setup {
        let server = |name: &str, account: &Option<String>, dialect: Option<Dialect>, secret: &Secret| {
            let account = account.as_ref().or(config.account.as_ref())?.clone();
            let (name, dialect, secret) = (name.to_owned(), dialect.unwrap_or(config.dialect), secret.clone());
            Some(Server { name, account, dialect, secret })
        };
        let peers = config.peers.iter().filter_map(|(name, peer)| {
            let server = server(name, &peer.account, peer.dialect, &peer.secret)?;
            Some(Peer { host: peer.host?, port: peer.port, server })
        });
        Setup {
            peers: peers.collect(),
            open_to: server("", &None, None, &config.secret).map(|server| (config.application_server, server)),
            strict: config.strict,
            require_time: config.require_time,
            default_caller: config.default_caller.clone(),
            extended: config.extended,
            ack_lead: config.ack_lead,
            repeats: (config.response_repeats, config.response_interval),
        }
    }

    /// Who speaks from this address. A host that has peers of its own speaks only through their ports.
    pub fn speaker(&self, from: SocketAddr) -> Speaker {
        let ip = from.ip().to_canonical();
        let of_host: Vec<&Peer> = self.peers.iter().filter(|peer| peer.host.to_canonical() == ip).collect();
        let by_port = of_host.iter().find(|peer| peer.port == from.port());
        if let Some(peer) = by_port.or_else(|| of_host.iter().find(|peer| peer.port == 0)) {
            return Speaker::Server(peer.server.clone());
        }
        if let Some(other) = of_host.first() {
            return Speaker::WrongPort(other.server.dialect);
        }
        match &self.open_to {
            Some((address, server)) if address.lets_in(ip) => {
                let name = if server.secret.is_empty() { ip.to_string() } else { KNOWS_THE_SECRET.to_owned() };
                Speaker::Server(Server { name, ..server.clone() })
            }
            _ => Speaker::Stranger,
        }
    }

    /// The secret of the application server of this name.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        let peer = self.peers.iter().find(|peer| peer.server.name == name).map(|peer| &peer.server.secret);
        let open = || {
            let (address, server) = self.open_to.as_ref()?;
            let is_ours = name == KNOWS_THE_SECRET || name.parse().is_ok_and(|ip| address.lets_in(ip));
            is_ours.then_some(&server.secret)
        };
        peer.or_else(open).filter(|secret| !secret.is_empty())
    }

    /// The accounts that pay.
    pub fn accounts(&self) -> Vec<&str> {
        let open = self.open_to.iter().map(|(_, server)| server.account.as_str());
        let mut all: Vec<&str> = self.peers.iter().map(|peer| peer.server.account.as_str()).chain(open).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringback_common::config::{Config, Role};

    /// The setup of a site whose file says this.
    pub fn setup(text: &str) -> Setup {
        Setup::new(&Config::read(text, "test", std::path::Path::new("/srv"), Role::AllInOne, []).unwrap().iif)
    }

    fn who(setup: &Setup, from: &str) -> String {
        match setup.speaker(from.parse().unwrap()) {
            Speaker::Server(server) => format!("{} on {}", server.name, server.account),
            Speaker::WrongPort(_) => "wrong port".to_owned(),
            Speaker::Stranger => "stranger".to_owned(),
        }
    }

    #[test]
    fn by_default_the_server_on_this_machine_and_nobody_else() {
        let setup = setup("[iif]\naccount = 'alice'");
        assert_eq!(who(&setup, "127.0.0.1:4000"), "127.0.0.1 on alice");
        assert_eq!(who(&setup, "[::ffff:127.0.0.1]:4000"), "127.0.0.1 on alice");
        assert_eq!([who(&setup, "127.0.0.2:4000"), who(&setup, "192.0.2.1:5080")], ["stranger", "stranger"]);
    }

    #[test]
    fn a_blank_address_or_any_lets_everybody_in_under_the_address_they_have() {
        for address in ["", "any"] {
            let setup = setup(&format!("[iif]\naccount = 'alice'\napplication_server = '{address}'"));
            assert_eq!(who(&setup, "192.0.2.1:5080"), "192.0.2.1 on alice");
            assert_eq!(who(&setup, "127.0.0.1:9"), "127.0.0.1 on alice");
        }
    }

    #[test]
    fn who_knows_the_secret_is_one_server_wherever_it_speaks() {
        let setup = setup("[iif]\naccount = 'alice'\napplication_server = 'any'\nsecret = 'shared'");
        assert_eq!(
            who(&setup, "192.0.2.1:5080"),
            who(&setup, "127.0.0.1:9"),
            "a replay from elsewhere is the same call"
        );
        let Speaker::Server(server) = setup.speaker("192.0.2.1:5080".parse().unwrap()) else { panic!("it is let in") };
        assert!(setup.secret(&server.name).is_some(), "its RESPONSE is signed");
    }

    #[test]
    fn peers_are_known_by_host_and_port_and_have_accounts_of_their_own() {
        let setup = setup(
            "[iif]\naccount = 'alice'\n[iif.peers.one]\nhost = '127.0.0.1'\nport = 6000\naccount = 'bob'\ndialect = 'v1'\n\
             [iif.peers.two]\nhost = '127.0.0.1'\nport = 6001\n[iif.peers.far]\nhost = '192.0.2.9'",
        );
        assert_eq!(who(&setup, "127.0.0.1:6000"), "one on bob");
        assert_eq!(who(&setup, "127.0.0.1:6001"), "two on alice");
        assert_eq!(setup.speaker("127.0.0.1:6002".parse().unwrap()), Speaker::WrongPort(Dialect::V1));
        assert_eq!(who(&setup, "192.0.2.9:77"), "far on alice", "port 0 is any");
        assert_eq!(who(&setup, "192.0.2.8:77"), "stranger");
        assert_eq!(setup.accounts(), ["alice", "bob"]);
    }

    #[test]
    fn an_address_without_an_account_is_not_listened_to() {
        let setup = setup("[iif.peers.one]\nhost = '192.0.2.9'\naccount = 'bob'");
        assert_eq!([who(&setup, "127.0.0.1:1"), who(&setup, "192.0.2.9:1")], ["stranger", "one on bob"]);
    }
}
