//! What relaying one RTP packet costs: `cargo bench -p ringback-engine --bench relay [-- seconds]`.
//!
//! N phones, each with a socket of its own and a random phase, send 50 packets of G.711 a second to N legs that are bridged
//! two by two. The figure is the CPU time of the media thread alone (`/proc/self/task/*/schedstat`) per packet relayed; on
//! loopback the sender of a packet pays for its delivery, so that is in it too. The phones read every 4 ms from an epoll set.
//! Beside the load one call measures the delay: a packet in at one phone, out at the other.
//! Every kind of wire is measured at every load, one after the other and twice over, so that the ratios are of one run.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringback_engine::gate::Gate;
use ringback_engine::media::{CallKey, Codec, Direction, Kind, LegMedia, Media, MediaConfig, MediaEvent, Negotiated};
use rustix::event::{Timespec, epoll};
use tokio::sync::mpsc;

const FRAME: Duration = Duration::from_millis(20);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 99, 0, 1));
const PHONES: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 99, 0, 2));

fn main() -> io::Result<()> {
    let seconds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(6);
    println!(
        "{:>8} {:>8} {:>12} {:>10} {:>10} {:>8} {:>8}",
        "streams", "wire", "us/packet", "packets/s", "lost", "p50 ms", "p99 ms"
    );
    for round in 0..2 {
        for streams in [20, 500, 1_000] {
            for kind in [Kind::Epoll, Kind::Uring] {
                match measure(streams, kind, Duration::from_secs(seconds)) {
                    Ok(result) => println!("{result}"),
                    Err(error) => println!("{streams:>8} {kind:?}: {error} (round {round})"),
                }
            }
        }
    }
    Ok(())
}

/// One line of the table.
struct Measured {
    streams: usize,
    kind: Kind,
    per_packet: f64,
    rate: f64,
    lost: f64,
    delays: Vec<Duration>,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let delay = |part: usize| {
            self.delays.get(self.delays.len() * part / 100).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e3)
        };
        let kind = format!("{:?}", self.kind);
        write!(
            f,
            "{:>8} {kind:>8} {:>12.2} {:>10.0} {:>9.3}% {:>8.2} {:>8.2}",
            self.streams,
            self.per_packet,
            self.rate,
            self.lost * 100.0,
            delay(50),
            delay(99)
        )
    }
}

fn measure(streams: usize, kind: Kind, window: Duration) -> io::Result<Measured> {
    let config = MediaConfig { kind, ..MediaConfig::new(HOME, 20_000..=29_999, Arc::new(Gate::open())) };
    let media = Media::start(config)?;
    let (events, inbox) = mpsc::channel(64);
    let mut phones = Phones::new()?;
    let calls: Vec<Call> =
        (0..streams / 2).map(|call| Call::new(&media, call as u64, &events)).collect::<io::Result<_>>()?;
    for call in calls.iter() {
        phones.add(call)?;
    }
    let (probe, stop) = (Call::new(&media, u64::MAX, &events)?, AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| phones.run(&stop));
        let prober = scope.spawn(|| probe.delays(&stop));
        std::thread::sleep(Duration::from_secs(1));
        let (cpu, before, begun) = (media_cpu()?, media.totals(), Instant::now());
        std::thread::sleep(window);
        let (spent, after, took) = (media_cpu()? - cpu, media.totals(), begun.elapsed());
        stop.store(true, Ordering::Relaxed);
        let mut delays = prober.join().map_err(|_| io::Error::other("the prober died"))?;
        delays.sort_unstable();
        let sent = after.sent - before.sent;
        let expected = streams as f64 * 50.0 * took.as_secs_f64();
        drop(inbox);
        Ok(Measured {
            streams,
            kind,
            per_packet: spent.as_secs_f64() * 1e6 / sent as f64,
            rate: sent as f64 / took.as_secs_f64(),
            lost: 1.0 - (sent as f64 / (expected + 50.0 * took.as_secs_f64())).min(1.0),
            delays,
        })
    })
}

/// CPU time of all media threads of this process.
fn media_cpu() -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        let name = fs::read_to_string(path.join("comm"))?;
        if name.starts_with("media-") && !name.starts_with("media-post") {
            let stat = fs::read_to_string(path.join("schedstat"))?;
            nanos += stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// Two bridged legs and their phones.
struct Call {
    legs: [LegMedia; 2],
    phones: [UdpSocket; 2],
}

impl Call {
    fn new(media: &Media, call: u64, events: &mpsc::Sender<MediaEvent>) -> io::Result<Call> {
        let key = CallKey { call, epoch: 1 };
        let leg = || media.open(key, events).map_err(io::Error::other);
        let (legs, phones) = ([leg()?, leg()?], [UdpSocket::bind((PHONES, 0))?, UdpSocket::bind((PHONES, 0))?]);
        for (leg, phone) in legs.iter().zip(&phones) {
            leg.connect(terms(phone.local_addr()?)).map_err(io::Error::other)?;
        }
        legs[0].bridge(&legs[1]).map_err(io::Error::other)?;
        Ok(Call { legs, phones })
    }

    /// Sends at one phone, waits at the other, again and again: how long it takes through the relay.
    fn delays(&self, stop: &AtomicBool) -> Vec<Duration> {
        let mut delays = Vec::new();
        let [from, to] = &self.phones;
        let wait = to.set_read_timeout(Some(Duration::from_millis(200)));
        let mut frame = Frame::new();
        while !stop.load(Ordering::Relaxed) && wait.is_ok() {
            let begun = Instant::now();
            if from.send_to(frame.next(), self.legs[0].local()).is_ok() && to.recv(&mut [0; 2_048]).is_ok() {
                delays.push(begun.elapsed());
            }
            std::thread::sleep(FRAME + Duration::from_micros(rand::random_range(0..1_000)));
        }
        delays
    }
}

fn terms(remote: SocketAddr) -> Negotiated {
    Negotiated {
        remote,
        codec: Codec::Pcmu,
        also_accepts: None,
        dtmf_pt: Some(101),
        dtmf_pt_in: Some(101),
        ptime: 20,
        direction: Direction::SendRecv,
        nat: false,
        signalling_ip: remote.ip(),
    }
}

/// A packet whose numbers go on.
struct Frame {
    bytes: [u8; 172],
    count: u32,
}

impl Frame {
    fn new() -> Frame {
        let mut bytes = [0x55; 172];
        bytes[..2].copy_from_slice(&[0x80, 0]);
        bytes[8..12].copy_from_slice(&rand::random::<[u8; 4]>());
        Frame { bytes, count: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.count += 1;
        self.bytes[2..4].copy_from_slice(&(self.count as u16).to_be_bytes());
        self.bytes[4..8].copy_from_slice(&(self.count * 160).to_be_bytes());
        &self.bytes
    }
}

/// All phones: who sends when, and an epoll set to read from.
struct Phones {
    epoll: OwnedFd,
    listeners: Vec<UdpSocket>,
    speakers: Vec<Speaker>,
}

struct Speaker {
    socket: UdpSocket,
    to: SocketAddr,
    phase: Duration,
    frame: Frame,
}

impl Phones {
    fn new() -> io::Result<Phones> {
        Ok(Phones { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, listeners: Vec::new(), speakers: Vec::new() })
    }

    fn add(&mut self, call: &Call) -> io::Result<()> {
        for (leg, phone) in call.legs.iter().zip(&call.phones) {
            let socket = phone.try_clone()?;
            socket.set_nonblocking(true)?;
            epoll::add(
                &self.epoll,
                &socket,
                epoll::EventData::new_u64(self.listeners.len() as u64),
                epoll::EventFlags::IN,
            )?;
            self.listeners.push(phone.try_clone()?);
            let phase = Duration::from_micros(rand::random_range(0..FRAME.as_micros() as u64));
            self.speakers.push(Speaker { socket, to: leg.local(), phase, frame: Frame::new() });
        }
        Ok(())
    }

    /// Sends each stream's packets at their time, to a tenth of a millisecond, and reads what comes back.
    fn run(&mut self, stop: &AtomicBool) {
        self.speakers.sort_by_key(|speaker| speaker.phase);
        let begun = Instant::now();
        for period in 0.. {
            let start = begun + FRAME * period;
            let mut read = Duration::ZERO;
            for place in 0..self.speakers.len() {
                let due = start + self.speakers[place].phase;
                let early = due.saturating_duration_since(Instant::now());
                if early > Duration::from_micros(100) {
                    std::thread::sleep(early);
                }
                let speaker = &mut self.speakers[place];
                let _ = speaker.socket.send_to(speaker.frame.next(), speaker.to);
                if speaker.phase >= read {
                    read += Duration::from_millis(4);
                    self.read();
                }
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep((start + FRAME).saturating_duration_since(Instant::now()));
        }
    }

    fn read(&self) {
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(1_024);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&at_once));
        for event in &ready {
            let socket = &self.listeners[event.data.u64() as usize];
            while socket.recv(&mut [0; 2_048]).is_ok() {}
        }
    }
}
