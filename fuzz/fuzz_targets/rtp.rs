//! Datagrams to the pure part of the relay: two legs that are joined, with keys, transcoding and a peer behind a NAT.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;

/// The files of the relay that decide; they are private to the engine, so they are built in here.
#[allow(dead_code, unused_imports)]
#[path = "../../engine/src/media"]
mod media {
    pub type Ms = u64;
    pub mod digits;
    pub mod leg;
    pub mod packet;
    pub mod source;
    pub mod stream;
    pub mod terms;
    pub use ringback_sip::{g711, tone};
}

use media::g711::Codec;
use media::leg::{Leg, Outgoing};
use media::packet::{HEADER, Header};
use media::stream::{FRAME, Stream};
use media::terms::{Direction, Negotiated};

fuzz_target!(|input: &[u8]| {
    if let Ok(header) = Header::read(input) {
        assert!(header.payload.start >= HEADER && header.payload.end <= input.len());
    }
    let (a, b) = (address(2, 40_000), address(3, 40_002));
    let mut legs = [leg(a, Codec::Pcmu, false), leg(b, Codec::Pcma, true)];
    let (mut now, mut rest) = (0, input);
    while let [how, half, tail @ ..] = rest {
        let from = if how & 4 == 0 { a } else { b };
        let from = if how & 8 == 0 { from } else { address(9, 40_000) };
        let (packet, after) = tail.split_at((usize::from(*half) * 2).min(tail.len()));
        (now, rest) = (now + u64::from(how >> 4) * 7, after);
        pass(&mut legs, usize::from(how & 1), packet, from, now);
    }
});

/// One datagram arrives at one leg, goes to the other, and time passes for both.
fn pass(legs: &mut [Leg; 2], at: usize, packet: &[u8], from: SocketAddr, now: u64) {
    let mut buffer = packet.to_vec();
    if let Some(incoming) = legs[at].receive(packet, from, now)
        && let Some(Outgoing { start, end, .. }) = legs[1 - at].pass_on(&incoming, &mut buffer, now)
    {
        let sent = Header::read(&buffer[start..end]).expect("we send nothing that we would not read");
        assert_eq!(sent.payload.len(), incoming.header.payload.len());
    }
    for leg in legs {
        leg.tick(now);
        let mut frame = [0; HEADER + FRAME];
        assert!(leg.next_frame(&mut frame, now).is_none(), "nothing was to be played");
        while leg.news.digits.peek().is_some() {
            leg.news.digits.pop();
        }
    }
}

fn leg(remote: SocketAddr, codec: Codec, nat: bool) -> Leg {
    let mut leg = Leg::new(Stream::new(7, u16::MAX, u32::MAX), None, Duration::from_secs(1));
    let agreed = Negotiated {
        remote,
        codec,
        also_accepts: Some(Codec::Pcma),
        dtmf_pt: Some(101),
        dtmf_pt_in: Some(96),
        ptime: 20,
        direction: Direction::SendRecv,
        nat,
        signalling_ip: remote.ip(),
    };
    leg.connect(agreed, 0);
    leg
}

fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}
