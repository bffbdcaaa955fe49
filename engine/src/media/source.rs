//! Whose packets count: the law of RTP addresses.
//!
//! Strict: only the address and port of the peer's SDP. With `nat`, another port (of the host that signals, and of no other)
//! is learned from four packets in a row, and then locked. Media goes to the SDP's address until something was learned.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, SocketAddr};

use super::Ms;
use super::packet::Header;
use super::terms::Negotiated;

/// So many packets in a row, from one source, teach us its address.
const LESSONS: u8 = 4;
/// For so long after a learned lock the SDP's own address may still take it back.
const LEARNING_WINDOW: Ms = 5_000;
/// A locked source must have been silent for so long before another port of the same host is learned.
const RELEARN_AFTER: Ms = 5_000;
/// For so long we send to a third party that has not sent anything to us.
const UNPROVEN: Ms = 5_000;

/// Where a leg's media comes from and goes to.
#[derive(Clone, Debug)]
pub struct Source {
    announced: SocketAddr,
    signalling_ip: IpAddr,
    nat: bool,
    locked: Option<Lock>,
    candidate: Option<Candidate>,
    sending_since: Option<Ms>,
}

#[derive(Clone, Debug)]
struct Lock {
    address: SocketAddr,
    since: Ms,
    heard: Ms,
}

#[derive(Clone, Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    next: u16,
    lessons: u8,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is the peer.
    Take,
    /// It is the peer, whose address was settled by this very packet.
    Latched,
    /// It is somebody else, or not yet known to be the peer.
    Refuse,
}

impl Source {
    /// Nothing heard yet from a peer that announced itself so.
    pub fn new(agreed: &Negotiated) -> Source {
        Source {
            announced: agreed.remote,
            signalling_ip: agreed.signalling_ip,
            nat: agreed.nat,
            locked: None,
            candidate: None,
            sending_since: None,
        }
    }

    /// Whether these terms speak of the same peer, so that what was learned stays valid.
    pub fn is_same(&self, agreed: &Negotiated) -> bool {
        (self.announced, self.signalling_ip, self.nat) == (agreed.remote, agreed.signalling_ip, agreed.nat)
    }

    /// Judges a packet whose payload type was agreed on.
    pub fn judge(&mut self, from: SocketAddr, header: &Header, now: Ms) -> Judgement {
        if let Some(lock) = &mut self.locked
            && lock.address == from
        {
            lock.heard = now;
            return Judgement::Take;
        }
        let settled = if from == self.announced {
            self.is_open_to_announced(now)
        } else {
            self.may_learn(from, now) && self.learned(from, header)
        };
        if settled { self.lock(from, now) } else { Judgement::Refuse }
    }

    fn is_open_to_announced(&self, now: Ms) -> bool {
        self.locked.as_ref().is_none_or(|lock| {
            let is_fresh = now.saturating_sub(lock.since) < LEARNING_WINDOW;
            is_fresh || now.saturating_sub(lock.heard) >= RELEARN_AFTER
        })
    }

    fn lock(&mut self, address: SocketAddr, now: Ms) -> Judgement {
        self.locked = Some(Lock { address, since: now, heard: now });
        self.candidate = None;
        Judgement::Latched
    }

    fn may_learn(&self, from: SocketAddr, now: Ms) -> bool {
        let silent = self.locked.as_ref().is_none_or(|lock| now.saturating_sub(lock.heard) >= RELEARN_AFTER);
        self.nat && from.ip() == self.signalling_ip && from.port() >= 1_024 && silent
    }

    fn learned(&mut self, from: SocketAddr, header: &Header) -> bool {
        let lessons = match &self.candidate {
            Some(known) if (known.address, known.ssrc, known.next) == (from, header.ssrc, header.sequence) => {
                known.lessons + 1
            }
            Some(known) if known.address == from => 1,
            // another port must not be able to keep resetting a candidate that is halfway there
            Some(known) if known.lessons > 1 => return self.doubt(),
            _ => 1,
        };
        self.candidate =
            Some(Candidate { address: from, ssrc: header.ssrc, next: header.sequence.wrapping_add(1), lessons });
        lessons >= LESSONS
    }

    /// A rival of the candidate showed up: it costs the candidate one lesson, so that a dead one gives way in the end.
    fn doubt(&mut self) -> bool {
        if let Some(candidate) = &mut self.candidate {
            candidate.lessons -= 1;
        }
        false
    }

    /// Where to send now; `None` once a third party has had its time to answer and has not.
    pub fn target(&mut self, now: Ms) -> Option<SocketAddr> {
        if let Some(lock) = &self.locked {
            return Some(lock.address);
        }
        let since = *self.sending_since.get_or_insert(now);
        let is_third_party = self.announced.ip() != self.signalling_ip;
        (!is_third_party || now.saturating_sub(since) < UNPROVEN).then_some(self.announced)
    }

    /// Forgives a pause of this length during which we could not listen.
    pub fn excuse(&mut self, pause: Ms) {
        if let Some(lock) = &mut self.locked {
            lock.heard += pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::g711::Codec;
    use super::super::terms::Direction;
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("address")
    }

    fn source(nat: bool) -> Source {
        Source::new(&Negotiated {
            remote: at("192.0.2.1:4000"),
            codec: Codec::Pcmu,
            also_accepts: None,
            dtmf_pt: None,
            dtmf_pt_in: None,
            ptime: 20,
            direction: Direction::SendRecv,
            nat,
            signalling_ip: "192.0.2.1".parse().expect("address"),
        })
    }

    fn packet(ssrc: u32, sequence: u16) -> Header {
        Header { marker: false, payload_type: 0, sequence, timestamp: 0, ssrc, payload: 12..172 }
    }

    #[test]
    fn strict_takes_only_the_announced_address() {
        let mut source = source(false);
        for sequence in 0..20 {
            assert_eq!(
                source.judge(at("192.0.2.1:4002"), &packet(1, sequence), 0),
                Judgement::Refuse,
                "right host, wrong port"
            );
            assert_eq!(source.judge(at("192.0.2.9:4000"), &packet(1, sequence), 0), Judgement::Refuse);
        }
        assert_eq!(source.target(0), Some(at("192.0.2.1:4000")));
        assert_eq!(source.judge(at("192.0.2.1:4000"), &packet(1, 0), 0), Judgement::Latched);
        assert_eq!(source.judge(at("192.0.2.1:4000"), &packet(1, 1), 0), Judgement::Take);
    }

    #[test]
    fn nat_learns_from_the_fourth_packet_in_a_row() {
        let mut source = source(true);
        let behind = at("192.0.2.1:50000");
        for sequence in 65_534..=65_535 {
            assert_eq!(source.judge(behind, &packet(7, sequence), 0), Judgement::Refuse);
        }
        assert_eq!(source.judge(behind, &packet(7, 0), 0), Judgement::Refuse, "third, over the wrap");
        assert_eq!(source.target(0), Some(at("192.0.2.1:4000")), "until then to the SDP's address");
        assert_eq!(source.judge(behind, &packet(7, 1), 0), Judgement::Latched);
        assert_eq!(source.target(0), Some(behind));
        assert_eq!(source.judge(at("192.0.2.1:50001"), &packet(7, 2), 10), Judgement::Refuse, "locked");
    }

    #[test]
    fn nat_wants_one_ssrc_and_no_gap() {
        let mut source = source(true);
        let behind = at("192.0.2.1:50000");
        for sequence in [1, 2, 3, 5, 6, 7] {
            assert_eq!(source.judge(behind, &packet(7, sequence), 0), Judgement::Refuse);
        }
        for sequence in 8..=10 {
            assert_eq!(source.judge(behind, &packet(8, sequence), 0), Judgement::Refuse, "another SSRC starts anew");
        }
        assert_eq!(source.judge(behind, &packet(8, 11), 0), Judgement::Latched);
    }

    #[test]
    fn the_announced_address_may_take_a_learned_lock_back() {
        let mut source = source(true);
        for sequence in 0..4 {
            source.judge(at("192.0.2.1:50000"), &packet(7, sequence), 100);
        }
        assert_eq!(source.judge(at("192.0.2.1:4000"), &packet(1, 1), 600), Judgement::Latched);
        assert_eq!(source.target(600), Some(at("192.0.2.1:4000")));
    }

    #[test]
    fn a_rival_port_cannot_stop_the_learning_for_ever() {
        let mut source = source(true);
        source.judge(at("192.0.2.1:50000"), &packet(7, 1), 0);
        source.judge(at("192.0.2.1:50000"), &packet(7, 2), 0);
        for sequence in 0..4 {
            assert_eq!(
                source.judge(at("192.0.2.1:60000"), &packet(9, sequence), 0),
                Judgement::Refuse,
                "loses against what was first"
            );
        }
        assert_eq!(
            source.judge(at("192.0.2.1:60000"), &packet(9, 4), 0),
            Judgement::Latched,
            "which has fallen silent"
        );
    }

    #[test]
    fn rtp_05_another_port_is_learned_again_only_after_silence() {
        let mut source = source(true);
        let (first, second) = (at("192.0.2.1:50000"), at("192.0.2.1:50002"));
        (0..4).for_each(|sequence| {
            source.judge(first, &packet(7, sequence), 0);
        });
        for sequence in 0..8 {
            assert_eq!(source.judge(second, &packet(8, sequence), 4_999), Judgement::Refuse);
        }
        let verdicts: Vec<Judgement> =
            (8..12).map(|sequence| source.judge(second, &packet(8, sequence), 5_000)).collect();
        assert_eq!(verdicts.last(), Some(&Judgement::Latched));
        let elsewhere = at("192.0.2.9:50000");
        assert!((0..8).all(|sequence| source.judge(elsewhere, &packet(9, sequence), 60_000) == Judgement::Refuse));
    }

    #[test]
    fn rtp_20_a_third_party_is_sent_to_only_while_it_may_be_real() {
        let mut source = source(false);
        source.signalling_ip = "198.51.100.1".parse().expect("address");
        assert!(source.target(1_000).is_some());
        assert!(source.target(5_999).is_some());
        assert!(source.target(6_000).is_none());
        assert_eq!(source.judge(at("192.0.2.1:4000"), &packet(1, 1), 7_000), Judgement::Latched);
        assert!(source.target(100_000).is_some(), "proven");
    }
}
