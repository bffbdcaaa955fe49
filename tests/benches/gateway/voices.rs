//! What the phones say to each other: 50 packets of G.711 a second from every phone that is on the line, spread evenly over
//! the 20 ms; and what arrives, when and how late.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::phones::Phones;

/// Header and 20 ms of G.711.
const PACKET: usize = 172;
/// A packet is due in every so manieth tick of a millisecond.
const TICKS: u64 = 20;
/// In the packets' payload, before call, party and time.
const MARK: [u8; 4] = *b"beat";

/// The voices of all phones.
pub struct Voices {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    over: AtomicBool,
    /// Counting begins and ends here; nanoseconds since 1970.
    window: [AtomicU64; 2],
    sent: AtomicU64,
    relayed: AtomicU64,
    delays_us: Mutex<Vec<u64>>,
}

/// What was counted.
pub struct Heard {
    /// Packets that phones sent in the window.
    pub sent: u64,
    /// Those of them that arrived at the other party.
    pub relayed: u64,
    /// How long each took, from before the sender's system call to the kernel's stamp at the receiver.
    pub delays_us: Vec<u64>,
}

impl Voices {
    /// Every phone speaks as soon as it is on the line.
    pub fn start(phones: &Arc<Phones>) -> Voices {
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            window: [AtomicU64::new(u64::MAX), AtomicU64::new(0)],
            sent: AtomicU64::new(0),
            relayed: AtomicU64::new(0),
            delays_us: Mutex::default(),
        });
        let sockets = phones.audio();
        let streams = Arc::new(Mutex::new(Streams::default()));
        let mut threads = Vec::new();
        for (party, socket) in sockets.iter().enumerate() {
            let (shared, socket) = (Arc::clone(&shared), socket.try_clone().expect("a socket can be shared"));
            threads.push(std::thread::spawn(move || shared.listen(party, &socket)));
        }
        let (speaking, talking) = (Arc::clone(&shared), Arc::clone(&streams));
        threads.push(std::thread::spawn(move || speaking.speak(&sockets, &talking)));
        let (watching, phones) = (Arc::clone(&shared), Arc::clone(phones));
        threads.push(std::thread::spawn(move || {
            while !watching.over.load(Ordering::Relaxed) {
                let up = phones.up();
                streams.lock().unwrap_or_else(PoisonError::into_inner).welcome(up);
                std::thread::sleep(Duration::from_millis(100));
            }
        }));
        Voices { shared, threads }
    }

    /// Counts for so long.
    pub fn listen(&self, window: Duration) -> Heard {
        let begin = now_ns();
        let [from, to] = &self.shared.window;
        to.store(begin + window.as_nanos() as u64, Ordering::SeqCst);
        from.store(begin, Ordering::SeqCst);
        std::thread::sleep(window + Duration::from_millis(50));
        Heard {
            sent: self.shared.sent.load(Ordering::SeqCst),
            relayed: self.shared.relayed.load(Ordering::SeqCst),
            delays_us: std::mem::take(&mut self.shared.delays_us.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Everybody falls silent.
    pub fn stop(self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Who speaks in which tick.
#[derive(Default)]
struct Streams {
    known: std::collections::HashSet<(usize, u32)>,
    slots: [Vec<Stream>; TICKS as usize],
    next: usize,
}

struct Stream {
    party: usize,
    call: u32,
    to: SocketAddr,
    sequence: u16,
}

impl Streams {
    fn welcome(&mut self, up: [Vec<(u32, SocketAddr)>; 2]) {
        for (party, calls) in up.into_iter().enumerate() {
            for (call, to) in calls {
                if self.known.insert((party, call)) {
                    self.slots[self.next % TICKS as usize].push(Stream { party, call, to, sequence: 0 });
                    self.next += 7; // prime to the ticks, so that neighbours in time are strangers
                }
            }
        }
    }
}

impl Shared {
    fn counts(&self, sent_ns: u64) -> bool {
        let [from, to] = self.window.each_ref().map(|end| end.load(Ordering::Relaxed));
        (from..to).contains(&sent_ns)
    }

    fn speak(&self, sockets: &[UdpSocket; 2], streams: &Mutex<Streams>) {
        let mut tick = now_ns() / 1_000_000;
        let mut packet = [0xd5; PACKET];
        while !self.over.load(Ordering::Relaxed) {
            tick += 1;
            std::thread::sleep(Duration::from_nanos((tick * 1_000_000).saturating_sub(now_ns())));
            let mut streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
            for stream in &mut streams.slots[(tick % TICKS) as usize] {
                let sent = now_ns();
                stream.fill(&mut packet, sent);
                let gone = sockets[stream.party].send_to(&packet, stream.to).is_ok();
                if gone && self.counts(sent) {
                    self.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn listen(&self, party: usize, socket: &UdpSocket) {
        stamp_arrivals(socket);
        let _ = socket.set_read_timeout(Some(Duration::from_millis(100)));
        let (mut packet, mut delays) = ([0; 512], Vec::new());
        while !self.over.load(Ordering::Relaxed) {
            let Some((length, arrived)) = receive(socket, &mut packet) else { continue };
            let Some((from, sent)) = read(&packet[..length]).filter(|(_, sent)| self.counts(*sent)) else {
                if !delays.is_empty() {
                    self.delays_us.lock().unwrap_or_else(PoisonError::into_inner).append(&mut delays);
                }
                continue;
            };
            if from != party {
                self.relayed.fetch_add(1, Ordering::Relaxed);
                delays.push(arrived.saturating_sub(sent) / 1_000);
            }
        }
    }
}

impl Stream {
    fn fill(&mut self, packet: &mut [u8; PACKET], sent: u64) {
        self.sequence = self.sequence.wrapping_add(1);
        packet[..2].copy_from_slice(&[0x80, 0]);
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
        packet[8..12].copy_from_slice(&(self.call * 2 + self.party as u32).to_be_bytes());
        packet[12..16].copy_from_slice(&MARK);
        packet[16] = self.party as u8;
        packet[20..28].copy_from_slice(&sent.to_be_bytes());
    }
}

/// Whose packet it is and when it was sent.
fn read(packet: &[u8]) -> Option<(usize, u64)> {
    let sent = packet.get(20..28)?.try_into().ok()?;
    (packet[12..16] == MARK).then(|| (usize::from(packet[16]), u64::from_be_bytes(sent)))
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// The kernel notes when each datagram arrived, however late we read it.
#[allow(unsafe_code)]
fn stamp_arrivals(socket: &UdpSocket) {
    let on: libc::c_int = 1;
    // SAFETY: the option value is a live c_int of the size that is told.
    let set = unsafe {
        let value = std::ptr::from_ref(&on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, value, 4)
    };
    assert_eq!(set, 0, "arrivals can be stamped");
}

/// A datagram and when it arrived; `None` when nothing came for a while.
#[allow(unsafe_code)]
fn receive(socket: &UdpSocket, packet: &mut [u8]) -> Option<(usize, u64)> {
    let mut control = [0u64; 8];
    let mut part = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
    // SAFETY: all-zero is a valid msghdr; its pointers are set to live buffers of the lengths told, which outlive the call,
    // and the control message is read only if the kernel says that it wrote one of this kind.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = std::mem::size_of_val(&control);
        let length = usize::try_from(libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0)).ok()?;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        let arrived = match head.as_ref() {
            Some(head_ref) if head_ref.cmsg_type == libc::SCM_TIMESTAMPNS => {
                let time: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(head).cast());
                time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
            }
            _ => now_ns(),
        };
        Some((length, arrived))
    }
}
