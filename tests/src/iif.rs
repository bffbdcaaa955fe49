//! Application servers: they speak IIF by UDP, and have no manners but those a test gives them. And the house they ask for calls.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::phone::{Bank, Manner};
use crate::site::Site;
use crate::story::SOON;
use crate::{clock, http};

/// A small site whose application server is on its own address, with phones 100 to 104 and 44..., on the account alice.
pub struct House {
    /// The site.
    pub site: Site,
    /// Its phones.
    pub phones: Bank,
}

impl House {
    /// A site as `prepare` sets it up, not yet running; 100 and 101 behave so.
    pub fn stage(user1: Manner, user2: Manner, prepare: impl FnOnce(&mut Site)) -> House {
        House::with(Site::small(), user1, user2, prepare)
    }

    /// The same around a site.
    pub fn with(mut site: Site, user1: Manner, user2: Manner, prepare: impl FnOnce(&mut Site)) -> House {
        let ip = site.ip().to_string();
        for (key, value) in [
            ("numbers.extensions", r#"["100","101","102","103","104"]"#),
            ("iif.account", "alice"),
            ("iif.application_server", &ip),
        ] {
            site.set(key, value);
        }
        prepare(&mut site);
        let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
        phones.when("100", user1);
        phones.when("101", user2);
        site.account("alice", "1000.00");
        let uri = phones.uri();
        let mut trunk = vec!["trunk", "add", "phones", "--sip", &uri];
        trunk.extend(["100", "101", "102", "103", "104", "44"].iter().flat_map(|prefix| ["--prefix", prefix]));
        site.cli(&trunk, "");
        House { site, phones }
    }

    /// An application server on this port of the site's address.
    pub fn server(&self, port: u16) -> AppServer {
        AppServer::start(self.site.at(port), self.site.at(5080))
    }
}

/// An application server on a UDP port of its own.
pub struct AppServer {
    socket: UdpSocket,
    gateway: SocketAddr,
    /// What it has heard, and may hear once more because it asked more than once.
    echoes: Mutex<Vec<String>>,
}

impl AppServer {
    /// At this address (port 0: any free one), speaking to the gateway at that one.
    pub fn start(address: SocketAddr, gateway: SocketAddr) -> AppServer {
        let socket = UdpSocket::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).expect("a larger buffer is allowed");
        AppServer { socket, gateway, echoes: Mutex::default() }
    }

    /// Where it sends from.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// Where it sends to.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Sends a message.
    pub fn says(&self, message: impl AsRef<[u8]>) {
        self.socket.send_to(message.as_ref(), self.gateway).expect("loopback takes datagrams");
    }

    /// The next message it hears, with where it came from.
    pub fn hears_from(&self, limit: Duration) -> Option<(String, SocketAddr)> {
        let end = Instant::now() + limit;
        let mut buffer = [0; 4_096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a time limit");
            let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !self.is_echo(&text) {
                return Some((text, from));
            }
        }
    }

    fn is_echo(&self, text: &str) -> bool {
        let mut echoes = self.echoes.lock().unwrap_or_else(PoisonError::into_inner);
        let place = echoes.iter().position(|echo| echo == text);
        place.map(|place| echoes.swap_remove(place)).is_some()
    }

    /// The next message it hears; fails the test when there is none.
    pub fn hears(&self, limit: Duration) -> String {
        self.hears_from(limit).unwrap_or_else(|| panic!("{} heard nothing for {limit:?}", self.address())).0
    }

    /// Sends a message and answers what it hears next. UDP may lose either: it asks again every three seconds, five times in all,
    /// and an answer that then comes more than once is heard once.
    pub fn asks(&self, message: &str) -> String {
        for repeats in 0..5 {
            self.says(message);
            if let Some((answer, _)) = self.hears_from(Duration::from_secs(3)) {
                let mut echoes = self.echoes.lock().unwrap_or_else(PoisonError::into_inner);
                echoes.extend(std::iter::repeat_n(answer.clone(), repeats));
                return answer;
            }
        }
        panic!("{} asked five times and heard nothing: {message}", self.address());
    }

    /// Whether something is there to be heard just now.
    pub fn has_heard(&self) -> Option<String> {
        self.hears_from(Duration::from_millis(1)).map(|(text, _)| text)
    }

    /// Everything it hears until `enough` says so; fails the test when it takes longer.
    pub fn hears_all(&self, limit: Duration, mut enough: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let end = Instant::now() + limit;
        let mut all = Vec::new();
        while !enough(&all) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} heard only {} messages in {limit:?}", self.address(), all.len());
            all.extend(self.hears_from(left.min(Duration::from_millis(500))).map(|(text, _)| text));
        }
        all
    }
}

/// Sends datagrams under somebody else's address, and hears nothing of what becomes of them.
pub struct Forger {
    socket: socket2::Socket,
    as_if: SocketAddr,
    gateway: SocketAddr,
}

impl Forger {
    /// As if it were that one, to the gateway at this address.
    pub fn start(as_if: SocketAddr, gateway: SocketAddr) -> Forger {
        let raw = socket2::Protocol::from(libc::IPPROTO_RAW);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(raw));
        Forger { socket: socket.expect("raw sockets are root's"), as_if, gateway }
    }

    /// Sends a message. The kernel fills in the checksum of the IP header; UDP over IPv4 may go without one.
    pub fn says(&self, message: &str) {
        let octets = |address: SocketAddr| match address.ip() {
            std::net::IpAddr::V4(ip) => ip.octets(),
            std::net::IpAddr::V6(_) => panic!("only IPv4 is forged"),
        };
        let length = |header: usize| u16::try_from(header + message.len()).expect("it is short").to_be_bytes();
        let mut packet = vec![0x45, 0];
        packet.extend(length(28));
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend(octets(self.as_if).into_iter().chain(octets(self.gateway)));
        packet.extend(self.as_if.port().to_be_bytes().into_iter().chain(self.gateway.port().to_be_bytes()));
        packet.extend(length(8).into_iter().chain([0, 0]));
        packet.extend(message.as_bytes());
        self.socket.send_to(&packet, &self.gateway.into()).expect("loopback takes packets");
    }
}

/// Waits until a trigger has counted so many messages with these labels.
pub fn wait_counted(health: SocketAddr, labels: &[&str], least: u64) {
    clock::wait_for(&format!("{labels:?} to be counted"), SOON, || {
        (counted(health, "ringback_iif_", labels) >= least).then_some(())
    });
}

/// A parameter of a message.
pub fn value<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let (_, parameters) = message.split_once(':')?;
    parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix(name)?.strip_prefix('='))
}

/// What a process has counted under a metric's name whose labels have all of these words.
pub fn counted(health: SocketAddr, name: &str, labels: &[&str]) -> u64 {
    let body = http::get(health, "/metrics").map(|answer| answer.body).unwrap_or_default();
    let lines = body.lines().filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}
