//! Real sockets on loopback: phones that speak, listeners who hear, attackers who try. Each test has addresses of its own.

mod by_epoll;
mod by_uring;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::tone::{RATE, tone};
use super::*;
use crate::gate::Gate;

const KEY: CallKey = CallKey { call: 7, epoch: 1 };
/// Nothing here takes so long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long we wait for what must not come, after something sent later has come.
const BRIEFLY: Duration = Duration::from_millis(60);

/// Media of its own on 127.88.<test>.1.
struct Bench {
    net: u8,
    media: Media,
    events: mpsc::Sender<MediaEvent>,
    inbox: mpsc::Receiver<MediaEvent>,
    gate: Arc<Gate>,
}

impl Bench {
    fn new(kind: Kind, net: u8) -> Bench {
        Bench::with_timeout(kind, net, Duration::from_secs(60))
    }

    fn with_timeout(kind: Kind, net: u8, rtp_timeout: Duration) -> Bench {
        let net = if kind == Kind::Epoll { net } else { net + 100 };
        let gate = Arc::new(Gate::open());
        let config =
            MediaConfig { rtp_timeout, kind, ..MediaConfig::new(host(net, 1), 20_000..=20_099, Arc::clone(&gate)) };
        let (events, inbox) = mpsc::channel(64);
        Bench { net, media: Media::start(config).expect("media starts"), events, inbox, gate }
    }

    fn leg(&self) -> LegMedia {
        self.media.open(KEY, &self.events).expect("a leg")
    }

    /// A leg and the phone it is connected to.
    fn connected(&self, number: u8, codec: Codec) -> (LegMedia, Phone) {
        let leg = self.leg();
        let phone = Phone::new(host(self.net, number), leg.local(), codec);
        leg.connect(terms(&phone)).expect("allowed");
        (leg, phone)
    }

    fn next(&mut self) -> MediaEvent {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
        let event = runtime.block_on(async { tokio::time::timeout(PATIENCE, self.inbox.recv()).await });
        event.expect("an event in time").expect("media lives")
    }

    /// The next event of the kind that `wanted` picks.
    fn until<T>(&mut self, wanted: impl Fn(&What) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(&self.next().what) {
                return found;
            }
        }
    }

    /// Waits until so many datagrams have come in, over all legs.
    fn received(&self, count: u64) {
        let begun = Instant::now();
        while self.media.totals().received < count {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.media.totals());
            std::thread::yield_now();
        }
    }

    /// Closes a leg and returns what it counted.
    fn close(&mut self, leg: LegMedia) -> Counters {
        let id = leg.id();
        drop(leg);
        loop {
            if let MediaEvent { leg, what: What::Ended(counters), .. } = self.next()
                && leg == id
            {
                return counters;
            }
        }
    }
}

fn host(net: u8, number: u8) -> IpAddr {
    IpAddr::from([127, 88, net, number])
}

fn terms(phone: &Phone) -> Negotiated {
    Negotiated {
        remote: phone.address(),
        codec: phone.codec,
        also_accepts: None,
        dtmf_pt: Some(phone.dtmf),
        dtmf_pt_in: Some(phone.dtmf),
        ptime: 20,
        direction: Direction::SendRecv,
        nat: false,
        signalling_ip: phone.address().ip(),
    }
}

/// A phone: speaks a tone, hears whatever comes.
struct Phone {
    socket: UdpSocket,
    to: SocketAddr,
    codec: Codec,
    dtmf: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// Samples spoken so far: a tone goes on where it was left.
    spoken: usize,
}

impl Phone {
    fn new(ip: IpAddr, to: SocketAddr, codec: Codec) -> Phone {
        let socket = UdpSocket::bind((ip, 0)).expect("bind");
        let (ssrc, sequence, timestamp) = (rand::random(), rand::random(), rand::random());
        Phone { socket, to, codec, dtmf: 101, ssrc, sequence, timestamp, spoken: 0 }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// Another socket on the same host, going on with the same stream.
    fn moved(&self) -> Phone {
        let socket = UdpSocket::bind((self.address().ip(), 0)).expect("bind");
        Phone { socket, ..*self }
    }

    fn send(&mut self, payload_type: u8, payload: &[u8]) {
        self.send_raw(&packet::tests::packet(payload_type, self.sequence, self.timestamp, self.ssrc, payload));
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn send_raw(&self, datagram: &[u8]) {
        if let Err(error) = self.socket.send_to(datagram, self.to) {
            // an earlier packet found nobody at its port; this one was not sent
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
    }

    /// Speaks so many frames of a tone, as fast as it can.
    fn speak(&mut self, hz: u32, frames: usize) {
        let second = tone(&[hz], RATE as usize);
        for _ in 0..frames {
            let next = (self.spoken..self.spoken + 160).map(|place| second[place % second.len()]);
            let payload: Vec<u8> = next.map(|sample| self.codec.encode(sample)).collect();
            self.spoken += 160;
            self.send(self.codec.payload_type(), &payload);
            self.timestamp = self.timestamp.wrapping_add(160);
        }
    }

    /// Presses a key: three packets while it is down, three at its end.
    fn press(&mut self, code: u8) {
        for (end, duration) in [(0, 160u16), (0, 320), (0, 480), (0x80, 640), (0x80, 640), (0x80, 640)] {
            let [high, low] = duration.to_be_bytes();
            self.send(self.dtmf, &[code, end | 10, high, low]);
        }
        self.timestamp = self.timestamp.wrapping_add(1_600);
    }

    /// Hears so many packets, or fewer if they do not come.
    fn hear(&self, count: usize) -> Vec<Heard> {
        self.socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut buffer = [0; 2_048];
        std::iter::from_fn(|| self.socket.recv(&mut buffer).ok().map(|length| Heard::read(&buffer[..length])))
            .take(count)
            .collect()
    }

    /// What else has come by now. Anything expected must have been heard before.
    fn leftovers(&self) -> usize {
        self.socket.set_read_timeout(Some(BRIEFLY)).expect("timeout");
        std::iter::from_fn(|| self.socket.recv(&mut [0; 2_048]).ok()).count()
    }
}

/// A packet that a phone heard.
#[derive(Debug)]
struct Heard {
    header: Header,
    payload: Vec<u8>,
}

impl Heard {
    fn read(datagram: &[u8]) -> Heard {
        let header = Header::read(datagram).expect("we send RTP");
        let payload = datagram[header.payload.clone()].to_vec();
        Heard { header, payload }
    }
}

fn samples(heard: &[Heard]) -> Vec<i16> {
    let decode = |packet: &Heard| {
        let codec = Codec::of(packet.header.payload_type).expect("voice");
        packet.payload.iter().map(|&byte| codec.decode(byte)).collect::<Vec<i16>>()
    };
    heard.iter().flat_map(decode).collect()
}

/// Whether the packets are one stream without a gap.
fn is_unbroken(heard: &[Heard]) -> bool {
    heard.windows(2).all(|pair| {
        let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        pair[1].header.ssrc == pair[0].header.ssrc
            && pair[1].header.sequence == pair[0].header.sequence.wrapping_add(1)
            && step <= 60 * RATE
    })
}
