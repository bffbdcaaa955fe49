//! What two sides agreed on for one leg's media, and which addresses may ever be agreed on.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use thiserror::Error;

use super::g711::Codec;

/// The outcome of offer and answer, as the media threads need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Where the peer wants its media.
    pub remote: SocketAddr,
    /// What we send.
    pub codec: Codec,
    /// What else than `codec` the peer may send us.
    pub also_accepts: Option<Codec>,
    /// The payload type of telephone events towards the peer; `None` if it takes none.
    pub dtmf_pt: Option<u8>,
    /// The payload type of telephone events from the peer: the one that we announced.
    pub dtmf_pt_in: Option<u8>,
    /// Milliseconds of voice in a packet of the peer.
    pub ptime: u32,
    /// Who may send.
    pub direction: Direction,
    /// The peer may sit behind a NAT: learn its port from what arrives.
    pub nat: bool,
    /// Where its signalling comes from; the only address that may be learned.
    pub signalling_ip: IpAddr,
}

/// Who may send, as we see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// Only we: the peer just listens.
    SendOnly,
    /// Only the peer: it has put us on hold.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// We may send.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// The peer may send.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same, seen from the other side.
    pub fn mirrored(self) -> Direction {
        match self {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            both => both,
        }
    }
}

/// Where our own media lives: an answer must not point back into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The address in our SDP.
    pub ip: IpAddr,
    /// The ports that our legs are given.
    pub ports: RangeInclusive<u16>,
}

/// Why no media goes to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// 0.0.0.0: nowhere.
    #[error("the unspecified address")]
    Unspecified,
    /// 127.0.0.0/8 or ::1 while our media is not on loopback.
    #[error("a loopback address")]
    Loopback,
    /// 169.254.0.0/16 or fe80::/10.
    #[error("a link-local address")]
    LinkLocal,
    /// More than one receiver, or none.
    #[error("a multicast, broadcast or reserved address")]
    NotOneHost,
    /// IPv6 for an IPv4 leg or the other way round.
    #[error("an address of another family")]
    Family,
    /// Below 1024.
    #[error("a privileged port")]
    Port,
    /// A relay port of ours.
    #[error("our own media port")]
    Ourselves,
}

impl Home {
    /// Whether media may be sent there.
    pub fn allows(&self, remote: SocketAddr) -> Result<(), Forbidden> {
        let ip = remote.ip().to_canonical();
        if ip.is_unspecified() || matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0) {
            return Err(Forbidden::Unspecified);
        }
        if ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4 == Ipv4Addr::BROADCAST || v4.octets()[0] >= 240) {
            return Err(Forbidden::NotOneHost);
        }
        let link_local = match ip {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if link_local {
            return Err(Forbidden::LinkLocal);
        }
        if ip.is_loopback() && !self.ip.is_loopback() {
            return Err(Forbidden::Loopback);
        }
        if ip.is_ipv4() != self.ip.is_ipv4() {
            return Err(Forbidden::Family);
        }
        if remote.port() < 1_024 {
            return Err(Forbidden::Port);
        }
        if ip == self.ip && self.ports.contains(&remote.port()) {
            return Err(Forbidden::Ourselves);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(ip: &str) -> Home {
        Home { ip: ip.parse().expect("address"), ports: 20_000..=29_999 }
    }

    #[test]
    fn rtp_19_addresses_that_never_get_media() {
        let public = home("198.51.100.7");
        let verdict = |remote: &str| public.allows(remote.parse().expect("address"));
        assert_eq!(verdict("203.0.113.5:4000"), Ok(()));
        assert_eq!(verdict("10.0.0.5:4000"), Ok(()), "private networks are where trunks live");
        assert_eq!(verdict("198.51.100.7:4000"), Ok(()), "our own host, but not our own relay");
        assert_eq!(verdict("0.0.0.0:4000"), Err(Forbidden::Unspecified));
        assert_eq!(verdict("0.1.2.3:4000"), Err(Forbidden::Unspecified));
        assert_eq!(verdict("127.0.0.1:4000"), Err(Forbidden::Loopback));
        assert_eq!(verdict("169.254.169.254:4000"), Err(Forbidden::LinkLocal));
        assert_eq!(verdict("224.0.0.1:4000"), Err(Forbidden::NotOneHost));
        assert_eq!(verdict("239.255.255.250:4000"), Err(Forbidden::NotOneHost));
        assert_eq!(verdict("255.255.255.255:4000"), Err(Forbidden::NotOneHost));
        assert_eq!(verdict("240.0.0.1:4000"), Err(Forbidden::NotOneHost));
        assert_eq!(verdict("198.51.100.7:20000"), Err(Forbidden::Ourselves));
        assert_eq!(verdict("198.51.100.7:29999"), Err(Forbidden::Ourselves));
        assert_eq!(verdict("203.0.113.5:1023"), Err(Forbidden::Port));
        assert_eq!(verdict("[2001:db8::1]:4000"), Err(Forbidden::Family));
        assert_eq!(verdict("[::ffff:127.0.0.1]:4000"), Err(Forbidden::Loopback));
        assert_eq!(verdict("[fe80::1]:4000"), Err(Forbidden::LinkLocal));
        assert_eq!(verdict("[ff02::1]:4000"), Err(Forbidden::NotOneHost));
        assert_eq!(verdict("[::1]:4000"), Err(Forbidden::Loopback));
    }

    #[test]
    fn rtp_19_loopback_only_at_home_on_loopback() {
        let demo = home("127.0.0.1");
        assert_eq!(demo.allows("127.0.0.2:4000".parse().expect("address")), Ok(()));
        assert_eq!(demo.allows("127.0.0.1:20000".parse().expect("address")), Err(Forbidden::Ourselves));
    }
}
