//! A dialog: who talks with whom, by which way, and in which order (RFC 3261 12).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::frame::{Message, Method, Name};
use crate::uri::{NameAddr, Uri};
use crate::write::{Writer, contact_of};

/// CSeq numbers are reserved in blocks of this size.
pub(crate) const CSEQ_BLOCK: u32 = 100;

/// What a dialog knows; all of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dialog {
    pub call_id: String,
    /// Our From value, tag included.
    pub local: String,
    /// Their To value, tag included.
    pub remote: String,
    pub local_tag: String,
    pub remote_tag: String,
    /// Their Contact: the Request-URI of our requests.
    pub target: String,
    /// The Contact before that, from where a last word may still come.
    pub former_target: String,
    /// The way there, in the order of our Route headers.
    pub routes: Vec<String>,
    /// Where the INVITE went, or came from.
    pub peer: SocketAddr,
    /// Our address in Via and Contact.
    pub local_addr: SocketAddr,
    /// The CSeq of the INVITE that began it.
    pub invite_cseq: u32,
    /// The last CSeq we used.
    pub cseq: u32,
    /// The upper end of the block that must be durable before it is used.
    pub reserved: u32,
    pub remote_cseq: u32,
    pub local_sdp: String,
    pub remote_sdp: String,
}

impl Dialog {
    /// Whether this address may speak for the peer.
    pub fn is_peer(&self, ip: IpAddr) -> bool {
        ip == self.peer.ip() || self.peers().contains(&ip)
    }

    /// Addresses that may speak for the peer.
    pub fn peers(&self) -> Vec<IpAddr> {
        let mut peers = vec![self.peer.ip()];
        let literal = |uri: &str| Uri::parse(uri)?.address().map(|address| address.ip());
        let route = self.routes.first().and_then(|route| NameAddr::parse(route)).map(|route| route.uri);
        for ip in [literal(&self.target), literal(&self.former_target), route.and_then(literal)].into_iter().flatten() {
            if !peers.contains(&ip) {
                peers.push(ip);
            }
        }
        peers
    }

    /// Where our next request goes: the first route, else the remote target, else, when these are names or addresses that
    /// nobody can reach from here, where the INVITE went.
    pub fn next_hop(&self) -> SocketAddr {
        let uri = match self.routes.first() {
            Some(route) => NameAddr::parse(route).map(|route| route.uri),
            None => Some(self.target.as_str()),
        };
        let address = uri.and_then(Uri::parse).filter(Uri::is_sip).and_then(|uri| uri.address());
        address.filter(|address| address.port() != 0 && self.is_reachable(address.ip())).unwrap_or(self.peer)
    }

    /// A phone behind a router writes its private address: then the way the INVITE went is the only one.
    fn is_reachable(&self, ip: IpAddr) -> bool {
        match (ip, self.peer.ip()) {
            (IpAddr::V4(ip), IpAddr::V4(peer)) => {
                let hidden = |ip: std::net::Ipv4Addr| ip.is_private() || ip.is_loopback() || ip.is_link_local();
                !ip.is_unspecified()
                    && !ip.is_multicast()
                    && !ip.is_broadcast()
                    && (!hidden(ip) || hidden(peer))
                    && (!ip.is_loopback() || peer.is_loopback())
            }
            (IpAddr::V6(ip), IpAddr::V6(peer)) => {
                !ip.is_unspecified() && !ip.is_multicast() && (!ip.is_loopback() || peer.is_loopback())
            }
            _ => false,
        }
    }

    /// The Request-URI of our requests: the remote target, or the first route when that is a strict router.
    pub fn request_uri(&self) -> &str {
        self.strict_route().unwrap_or(&self.target)
    }

    fn strict_route(&self) -> Option<&str> {
        let uri = NameAddr::parse(self.routes.first()?)?.uri;
        Uri::parse(uri).filter(Uri::is_target)?.param("lr").is_none().then_some(uri)
    }

    /// Begins a request within the dialog.
    pub fn request(&self, method: Method, cseq: u32, branch: &str) -> Writer {
        let mut writer =
            Writer::request(method.as_str(), self.request_uri()).via(self.local_addr, branch).shown("Max-Forwards", 70);
        let strict = self.strict_route().is_some();
        for route in self.routes.iter().skip(usize::from(strict)) {
            writer = writer.header("Route", route);
        }
        if strict {
            writer = writer.header("Route", &format!("<{}>", self.target));
        }
        writer
            .header("From", &self.local)
            .header("To", &self.remote)
            .header("Call-ID", &self.call_id)
            .shown("CSeq", format_args!("{cseq} {}", method.as_str()))
    }

    /// Our Contact value.
    pub fn contact(&self) -> String {
        contact_of(self.local_addr)
    }

    /// Whether a request of the peer belongs to it.
    pub fn owns(&self, request: &Message) -> bool {
        request.call_id() == self.call_id && request.to_tag() == self.local_tag && request.from_tag() == self.remote_tag
    }

    /// A target refresh: the peer's new Contact.
    pub fn refresh_target(&mut self, message: &Message) {
        if let Some(target) = target_of(message).filter(|target| *target != self.target) {
            self.former_target = std::mem::replace(&mut self.target, target.to_owned());
        }
    }

    /// Skips to the next block, for whoever continues a stored dialog: nobody knows how far the old block was used.
    pub fn skip_block(&mut self) {
        self.cseq = self.reserved;
        self.reserved += CSEQ_BLOCK;
    }
}

/// The Contact for whom requests of a dialog are, unless nothing can be asked of it.
pub(crate) fn target_of(message: &Message) -> Option<&str> {
    message.contact().map(|contact| contact.uri).filter(|uri| is_target(uri))
}

/// Whether a request can be for it.
pub(crate) fn is_target(uri: &str) -> bool {
    Uri::parse(uri).is_some_and(|uri| uri.is_target())
}

/// The route set of a response, seen from the caller: the other way round.
pub(crate) fn routes_of_response(response: &Message) -> Vec<String> {
    let mut routes = routes_of_request(response);
    routes.reverse();
    routes
}

/// The route set of a request, seen from the callee. A bare URI, which the grammar does not allow (RFC 3261 25.1) and proxies write,
/// has all that follows for itself: its `lr` says what kind of router it is.
pub(crate) fn routes_of_request(request: &Message) -> Vec<String> {
    let bracketed = |route: &str| if route.contains('<') { route.to_owned() } else { format!("<{route}>") };
    request.list(Name::RecordRoute).map(bracketed).collect()
}
