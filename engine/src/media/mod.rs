//! The voice of the calls: RTP between the two legs, tones, key presses. On threads of its own, which never allocate per
//! packet, never block, never lock and never touch a file.
//!
//! A [`LegMedia`] is one leg's socket and its place on a thread; all legs of a call sit on the same thread. Commands go there
//! through a bounded ring and an eventfd; digits, latches and silence come back through another, and a small thread hands
//! them to the calls. Each command names its call, epoch and leg, so a late one hits nothing.
//!
//! RTCP: we offer none (neither `a=rtcp` nor `a=rtcp-mux`) and listen on no odd port. What arrives on an RTP port and looks
//! like RTCP is dropped and never answered.
//!
//! | File | Its story |
//! |---|---|
//! | `packet`, `digits`, `source`, `stream`, `leg` | what to make of a datagram: pure |
//! | `board` | who hears whom, and whose tone is due |
//! | `relay`, `wire`, `epoll`, `uring` | the thread: sockets, clock, rings |
//! | `post` | the rings between the threads and the calls |
//! | `ports`, `terms` | who has which port, what was agreed on |
//! | `g711`, `tone` of ringback-sip | how voice is written, what is played |

mod board;
mod digits;
mod epoll;
mod leg;
mod packet;
mod ports;
mod post;
mod relay;
mod source;
mod stream;
mod terms;
#[cfg(test)]
mod tests;
mod uring;
mod wire;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, io};

use thiserror::Error;
use tokio::sync::mpsc;

use crate::gate::Gate;

use board::Slot;
use leg::Leg;
use ports::{Lease, Ports};
use post::{Command, Crew};
use stream::Stream;

pub use leg::Counters;
pub use packet::{Header, Malformed, TelephoneEvent};
pub use ringback_sip::g711::Codec;
pub use ringback_sip::tone::{Sound, tone_heard};
pub use ringback_sip::{g711, tone};
pub use terms::{Direction, Forbidden, Home, Negotiated};
pub use wire::Kind;

/// Milliseconds since a media thread began.
type Ms = u64;

/// How many ports of other programs are stepped over before giving up.
const BIND_TRIES: usize = 64;

/// What the media threads need to know.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// The address of our RTP sockets, as it stands in our SDP.
    pub ip: IpAddr,
    /// The ports for RTP; only even ones are used.
    pub ports: RangeInclusive<u16>,
    /// How many threads relay.
    pub threads: usize,
    /// A peer that was silent for so long is reported.
    pub rtp_timeout: Duration,
    /// Nothing is sent while it is shut.
    pub gate: Arc<Gate>,
    /// How the threads talk to the kernel.
    pub kind: Kind,
}

impl MediaConfig {
    /// The usual: one thread, 60 s, and whatever the kernel offers.
    pub fn new(ip: IpAddr, ports: RangeInclusive<u16>, gate: Arc<Gate>) -> MediaConfig {
        MediaConfig { ip, ports, threads: 1, rtp_timeout: Duration::from_secs(60), gate, kind: Kind::Auto }
    }
}

/// Which run of which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The call.
    pub call: u64,
    /// Raised whenever the call changes its owner.
    pub epoch: i64,
}

/// One leg's media; drawn once, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LegId(u64);

/// Something the media threads noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaEvent {
    /// In this call.
    pub key: CallKey,
    /// On this leg.
    pub leg: LegId,
    /// This.
    pub what: What,
}

/// What the media threads notice. Digits keep their order and number; of the rest only the newest of a kind waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The peer's first packet was heard.
    FirstPacket,
    /// The peer's address is settled.
    Latched(SocketAddr),
    /// A key was pressed and let go.
    Digit {
        /// Which.
        digit: char,
        /// For how long, in milliseconds.
        ms: u32,
    },
    /// The peer began a new stream under another SSRC (`rtp.ssrc_change`).
    SsrcChanged,
    /// No RTP from the peer for `rtp_timeout`; not on hold. Comes again only after packets came again.
    Silent,
    /// The sound that was played has ended.
    SoundEnded,
    /// The leg's media is closed. The last event of a leg.
    Ended(Counters),
}

/// Why something could not be done.
#[derive(Debug, Error)]
pub enum MediaError {
    /// All ports are taken or resting.
    #[error("no RTP port is free: widen the port range or lower the number of calls")]
    NoPort,
    /// The port is in use, or not one of ours.
    #[error("RTP port {0} is not free")]
    PortTaken(u16),
    /// The kernel refuses a socket.
    #[error("cannot open an RTP socket: {0}")]
    Socket(#[from] io::Error),
    /// No media may be sent there.
    #[error("media must not be sent to {0}")]
    Forbidden(#[from] Forbidden),
    /// The two legs are not of one call.
    #[error("only legs of one call can be joined")]
    NotOneCall,
    /// The media thread is hopelessly behind, or gone.
    #[error("the media thread does not take commands")]
    Busy,
}

/// The media threads. Clones share them; they end when the last clone and the last leg are gone.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    home: Home,
    ports: Arc<Ports>,
    rtp_timeout: Duration,
    crew: Crew,
    next_leg: AtomicU64,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").field("home", &self.inner.home).finish_non_exhaustive()
    }
}

impl Media {
    /// Starts the threads.
    pub fn start(config: MediaConfig) -> io::Result<Media> {
        let crew = Crew::start(&config)?;
        let ports = Ports::new(&config.ports);
        let home = Home { ip: config.ip, ports: config.ports };
        Ok(Media {
            inner: Arc::new(Inner { home, ports, rtp_timeout: config.rtp_timeout, crew, next_leg: AtomicU64::new(1) }),
        })
    }

    /// Where our media lives, for judging what peers answer.
    pub fn home(&self) -> &Home {
        &self.inner.home
    }

    /// What the threads did so far.
    pub fn totals(&self) -> Totals {
        self.inner.crew.totals()
    }

    /// Opens a leg on a port of our choice.
    pub fn open(&self, key: CallKey, events: &mpsc::Sender<MediaEvent>) -> Result<LegMedia, MediaError> {
        for _ in 0..BIND_TRIES {
            let lease = self.inner.ports.take(Instant::now()).ok_or(MediaError::NoPort)?;
            match self.bind(&lease) {
                Ok(socket) => return self.seat(key, events, socket, lease),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {} // another program's
                Err(error) => return Err(error.into()),
            }
        }
        Err(MediaError::NoPort)
    }

    /// Opens a leg on exactly this port, which stands in an SDP that was sent before a crash.
    pub fn open_port(
        &self,
        port: u16,
        key: CallKey,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<LegMedia, MediaError> {
        let lease = self.inner.ports.take_exactly(port).ok_or(MediaError::PortTaken(port))?;
        let socket = self.bind(&lease).map_err(|_| MediaError::PortTaken(port))?;
        self.seat(key, events, socket, lease)
    }

    fn bind(&self, lease: &Lease) -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind((self.inner.home.ip, lease.port))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn seat(
        &self,
        key: CallKey,
        events: &mpsc::Sender<MediaEvent>,
        socket: UdpSocket,
        lease: Lease,
    ) -> Result<LegMedia, MediaError> {
        let id = LegId(self.inner.next_leg.fetch_add(1, Ordering::Relaxed));
        let local = SocketAddr::new(self.inner.home.ip, lease.port);
        let stream = Stream::new(rand::random(), rand::random(), rand::random());
        let leg = Leg::new(stream, lease.stale, self.inner.rtp_timeout);
        let slot = Slot::new(key, id, leg, socket, lease, events.clone());
        let media = LegMedia { local, key, id, inner: Arc::clone(&self.inner) };
        media.tell(Command::Open(Box::new(slot)))?;
        Ok(media)
    }
}

/// What all media threads did since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Datagrams that came in.
    pub received: u64,
    /// Datagrams that went out.
    pub sent: u64,
    /// Datagrams that were not for us.
    pub refused: u64,
    /// Legs open now.
    pub legs: u64,
}

/// One leg's media. Dropping it closes the socket; the port then rests for a while.
pub struct LegMedia {
    local: SocketAddr,
    key: CallKey,
    id: LegId,
    inner: Arc<Inner>,
}

impl fmt::Debug for LegMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegMedia")
            .field("local", &self.local)
            .field("key", &self.key)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl LegMedia {
    /// Where the peer sends its media.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The leg's name in its events.
    pub fn id(&self) -> LegId {
        self.id
    }

    /// What was agreed on, at first and after each re-INVITE.
    pub fn connect(&self, agreed: Negotiated) -> Result<(), MediaError> {
        let is_old_hold = agreed.remote.ip().is_unspecified() && !agreed.direction.sends();
        if !is_old_hold {
            self.inner.home.allows(agreed.remote)?;
        }
        self.tell(Command::Connect(self.key, self.id, agreed))
    }

    /// Plays a sound instead of whatever else this leg hears.
    pub fn play(&self, sound: Sound) -> Result<(), MediaError> {
        self.tell(Command::Play(self.key, self.id, sound))
    }

    /// Stops the sound.
    pub fn stop(&self) -> Result<(), MediaError> {
        self.tell(Command::Stop(self.key, self.id))
    }

    /// Lets the two hear each other; ends their sounds.
    pub fn bridge(&self, other: &LegMedia) -> Result<(), MediaError> {
        self.tell_both(other, Command::Bridge(self.key, self.id, other.id))
    }

    /// Lets this leg hear the other one, but not the other way round. A sound that plays here ends at the first packet.
    pub fn relay_one_way(&self, from: &LegMedia) -> Result<(), MediaError> {
        self.tell_both(from, Command::OneWay { key: self.key, from: from.id, to: self.id })
    }

    /// On hold nothing is sent to the peer, it is not heard, and its silence is no news.
    pub fn hold(&self, held: bool) -> Result<(), MediaError> {
        self.tell(Command::Hold(self.key, self.id, held))
    }

    fn tell_both(&self, other: &LegMedia, command: Command) -> Result<(), MediaError> {
        if self.key != other.key {
            return Err(MediaError::NotOneCall);
        }
        self.tell(command)
    }

    fn tell(&self, command: Command) -> Result<(), MediaError> {
        self.inner.crew.tell(self.key, command).map_err(|_| MediaError::Busy)
    }
}

impl Drop for LegMedia {
    fn drop(&mut self) {
        self.inner.crew.close(self.key, self.id);
    }
}
