//! The only file with sockets: one [`Endpoint`] per UDP socket, which carries every message to the call it belongs to.
//!
//! Datagrams from addresses nobody has vouched for (`trust`) are dropped before anything is read of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::frame::{self, MAX_DATAGRAM, Message, Method, Reading};
use crate::linger::Lingering;
use crate::moment::Moment;
use crate::stray;
use crate::transmit::Transmit;
use crate::write::{RETRY_AFTER, Reply};

/// What we ask of the kernel, so that a burst waits instead of being lost.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Messages that may wait for one call; more are dropped, and UDP repeats them.
const LINE_DEPTH: usize = 64;
/// Datagrams taken at one waking before other tasks have their turn.
const BATCH: usize = 64;

/// Why there is no endpoint.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// Another process has it.
    #[error("SIP address {0} is in use: stop the other process or configure another address")]
    AddrInUse(SocketAddr),
    /// Any other reason.
    #[error("cannot bind SIP address {0}: {1}")]
    Bind(SocketAddr, #[source] io::Error),
}

/// An INVITE outside any dialog, with the line of its Call-ID already registered.
#[derive(Debug)]
pub struct Arrival {
    /// The INVITE.
    pub invite: Message,
    /// Where it came from.
    pub from: SocketAddr,
    /// Everything else of that call.
    pub line: Line,
}

impl Arrival {
    /// Refuses it with 503 and Retry-After: its caller's network may try again. The same INVITE again is a new one.
    pub fn turn_away(self) {
        self.line.shared.turn_away(&self.invite, self.from);
    }
}

/// What belongs to a call that nobody here has, and is perhaps the word of a phone that an engine which is no more has called: a
/// final response to an INVITE, or a BYE.
pub struct Orphan {
    /// The message.
    pub message: Message,
    /// Where it came from.
    pub from: SocketAddr,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Orphan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orphan").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Orphan {
    /// A BYE of a call that was ours is answered 200. A response needs no answer.
    pub fn accept(self) {
        if self.message.is_request() {
            self.shared.send(&Reply::to(&self.message, 200).send(self.from));
        }
    }

    /// It is a final response that was stored and never acknowledged: this ACK leaves now, and again when it is repeated.
    pub fn acknowledge(&self, ack: Transmit) {
        self.shared.send(&ack);
        write(&self.shared.lingering).keep(self.message.call_id(), vec![ack], self.shared.now());
    }

    /// It was not ours: a BYE is answered 481.
    pub fn turn_away(self) {
        if self.message.is_request() {
            self.shared.stray(&self.message, self.from);
        }
    }
}

/// Asked before each send; false: nothing leaves.
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// What an endpoint has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams from known addresses.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams from unknown addresses, dropped unread.
    pub strangers: u64,
    /// Datagrams that are no SIP message.
    pub malformed: u64,
    /// Messages dropped because their call did not keep up.
    pub overflowed: u64,
    /// Responses that belong to no call.
    pub stray: u64,
    /// Datagrams the kernel would not take.
    pub unsent: u64,
    /// Datagrams the gate held back.
    pub gated: u64,
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    strangers: AtomicU64,
    malformed: AtomicU64,
    overflowed: AtomicU64,
    stray: AtomicU64,
    unsent: AtomicU64,
    gated: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A message, its source, and when the kernel had it. Boxed, because a line keeps room for some of them from the beginning.
type Carried = Box<(Message, SocketAddr, Instant)>;

struct Registered {
    serial: u64,
    to_owner: mpsc::Sender<Carried>,
}

struct Shared {
    socket: UdpSocket,
    /// Something was taken off the socket and perhaps not yet carried to its call.
    reading: AtomicBool,
    local: SocketAddr,
    calls: RwLock<HashMap<Box<str>, Registered>>,
    serial: AtomicU64,
    trusted: RwLock<HashMap<IpAddr, u32>>,
    invites: RwLock<Option<mpsc::Sender<Arrival>>>,
    orphans: RwLock<Option<mpsc::Sender<Orphan>>>,
    lingering: RwLock<Lingering>,
    began: Instant,
    gate: RwLock<Option<Gate>>,
    counters: Counters,
    tags: RandomState,
}

/// A socket and everything that goes through it. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
    _receiving: Arc<EndWithOwner>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("local", &self.shared.local).finish_non_exhaustive()
    }
}

struct EndWithOwner(JoinHandle<()>);

impl Drop for EndWithOwner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Endpoint {
    /// Binds an address that nobody else has, and begins to listen. To be called within a tokio runtime.
    pub fn bind(address: SocketAddr) -> Result<Endpoint, EndpointError> {
        let socket = open(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => EndpointError::AddrInUse(address),
            _ => EndpointError::Bind(address, error),
        })?;
        let local = socket.local_addr().map_err(|error| EndpointError::Bind(address, error))?;
        let shared = Arc::new(Shared {
            socket,
            reading: AtomicBool::new(false),
            local,
            calls: RwLock::default(),
            serial: AtomicU64::new(0),
            trusted: RwLock::default(),
            invites: RwLock::default(),
            orphans: RwLock::default(),
            lingering: RwLock::default(),
            began: Instant::now(),
            gate: RwLock::default(),
            counters: Counters::default(),
            tags: RandomState::new(),
        });
        let receiving = Arc::new(EndWithOwner(tokio::spawn(receive(shared.clone()))));
        Ok(Endpoint { shared, _receiving: receiving })
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local
    }

    /// All messages with this Call-ID go to the line, until it is dropped.
    pub fn register(&self, call_id: &str) -> Line {
        self.shared.register(call_id)
    }

    /// Sends without waiting. What the kernel does not take is lost, as any datagram may be. False if the gate held it back.
    pub fn send(&self, transmit: &Transmit) -> bool {
        self.shared.send(transmit)
    }

    /// Whether something has reached us that its call does not have yet.
    pub fn has_unread(&self) -> bool {
        let socket = SockRef::from(&self.shared.socket);
        socket.peek(&mut [MaybeUninit::uninit()]).is_ok() || self.shared.reading.load(Ordering::SeqCst)
    }

    /// Datagrams from this address are read. Counted: as many `untrust` end it.
    pub fn trust(&self, ip: IpAddr) {
        *write(&self.shared.trusted).entry(ip).or_default() += 1;
    }

    /// Takes one `trust` back.
    pub fn untrust(&self, ip: IpAddr) {
        let mut trusted = write(&self.shared.trusted);
        if let Some(holders) = trusted.get_mut(&ip) {
            *holders -= 1;
            if *holders == 0 {
                trusted.remove(&ip);
            }
        }
    }

    /// INVITEs outside any dialog go there; without a handler they are answered 480.
    pub fn on_invite(&self, handler: mpsc::Sender<Arrival>) {
        *write(&self.shared.invites) = Some(handler);
    }

    /// 2xx to INVITEs of no known call go there, and BYEs: somebody answered an engine that is no more. Without a handler a BYE
    /// is answered 481.
    pub fn on_orphan(&self, handler: mpsc::Sender<Orphan>) {
        *write(&self.shared.orphans) = Some(handler);
    }

    /// Asked before each send from now on.
    pub fn gate(&self, gate: Gate) {
        *write(&self.shared.gate) = Some(gate);
    }

    /// What it has seen so far.
    pub fn counts(&self) -> Counts {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            received: read(&counters.received),
            sent: read(&counters.sent),
            strangers: read(&counters.strangers),
            malformed: read(&counters.malformed),
            overflowed: read(&counters.overflowed),
            stray: read(&counters.stray),
            unsent: read(&counters.unsent),
            gated: read(&counters.gated),
        }
    }
}

/// The messages of one call.
pub struct Line {
    call_id: Box<str>,
    serial: u64,
    from_socket: mpsc::Receiver<Carried>,
    next: Option<Carried>,
    arrived: Instant,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("call_id", &self.call_id).finish_non_exhaustive()
    }
}

impl Line {
    /// The next message and its source. Waits for as long as it takes.
    pub async fn recv(&mut self) -> (Message, SocketAddr) {
        std::future::poll_fn(|context| self.poll_arrival(context)).await;
        self.try_recv().expect("it has arrived")
    }

    /// When the next message reached the kernel, once there is one. Of several lines the earliest is to be heard first.
    pub fn poll_arrival(&mut self, context: &mut Context<'_>) -> Poll<Instant> {
        if self.next.is_none() {
            match self.from_socket.poll_recv(context) {
                Poll::Ready(Some(carried)) => self.next = Some(carried),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending, // or another line took this Call-ID over
            }
        }
        self.next.as_ref().map_or(Poll::Pending, |carried| Poll::Ready(carried.2))
    }

    /// When the message that was received last reached the kernel: earlier than now, if this process was stopped or busy.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    fn take(&mut self, (message, from, arrived): (Message, SocketAddr, Instant)) -> (Message, SocketAddr) {
        self.arrived = arrived;
        (message, from)
    }

    /// A message that has come already.
    pub fn try_recv(&mut self) -> Option<(Message, SocketAddr)> {
        let carried = self.next.take().or_else(|| self.from_socket.try_recv().ok())?;
        Some(self.take(*carried))
    }

    /// Sends by the same socket.
    pub fn send(&self, transmit: &Transmit) {
        self.shared.send(transmit);
    }

    /// The call is ending: for 32 s more, a final response that comes again is acknowledged by the one of these that it had.
    pub fn linger(&self, acks: Vec<Transmit>) {
        let now = self.shared.now();
        write(&self.shared.lingering).keep(&self.call_id, acks, now);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut calls = write(&self.shared.calls);
        if calls.get(&self.call_id).is_some_and(|registered| registered.serial == self.serial) {
            calls.remove(&self.call_id);
        }
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.cloexec().nonblocking(), Some(Protocol::UDP))?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER); // the kernel gives what it may
    socket.bind(&address.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    waited_in_kernel(&socket); // asks for stamps from now on
    Ok(socket)
}

async fn receive(shared: Arc<Shared>) {
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    let mut seen_empty = Instant::now();
    loop {
        if shared.socket.readable().await.is_err() {
            tokio::task::yield_now().await;
        }
        shared.reading.store(true, Ordering::SeqCst);
        for _ in 0..BATCH {
            match shared.socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let waited = waited_in_kernel(&shared.socket).min(seen_empty.elapsed());
                    let arrived = Instant::now().checked_sub(waited).unwrap_or(seen_empty);
                    shared.arrived(&buffer[..length], from, arrived);
                }
                Err(_) => {
                    shared.reading.store(false, Ordering::SeqCst);
                    seen_empty = Instant::now();
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// How long the datagram that was read last had waited to be read, by the kernel's stamp.
#[allow(unsafe_code)]
fn waited_in_kernel(socket: &UdpSocket) -> Duration {
    const SIOCGSTAMPNS: libc::Ioctl = 0x8907;
    let mut stamp = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, and the descriptor is open as long as the socket is borrowed.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSTAMPNS, &raw mut stamp) };
    let (Ok(seconds), Ok(nanos), 0) = (u64::try_from(stamp.tv_sec), u32::try_from(stamp.tv_nsec), answer) else {
        return Duration::ZERO;
    };
    let arrived = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    SystemTime::now().duration_since(arrived).unwrap_or_default()
}

impl Shared {
    fn arrived(self: &Arc<Self>, datagram: &[u8], from: SocketAddr, at: Instant) {
        if !read(&self.trusted).contains_key(&from.ip()) {
            return count(&self.counters.strangers);
        }
        count(&self.counters.received);
        match frame::read(datagram) {
            Reading::Message(message) => self.route(message, from, at),
            Reading::Refuse(refusal) => {
                count(&self.counters.malformed);
                self.send(&refusal.reply(from, &self.stateless_tag(refusal.message())));
            }
            Reading::Drop("keep-alive") => {}
            Reading::Drop(_) => count(&self.counters.malformed),
        }
    }

    /// To the call it belongs to, or to nobody's.
    fn route(self: &Arc<Self>, message: Message, from: SocketAddr, at: Instant) {
        let calls = read(&self.calls);
        if let Some(registered) = calls.get(message.call_id()) {
            if registered.to_owner.try_send(Box::new((message, from, at))).is_err() {
                count(&self.counters.overflowed);
            }
            return;
        }
        drop(calls);
        match message.is_request() {
            true => self.request_of_no_call(message, from),
            false => self.response_of_no_call(message, from),
        }
    }

    fn request_of_no_call(self: &Arc<Self>, request: Message, from: SocketAddr) {
        if request.method() == Method::Invite && request.to_tag().is_empty() {
            let handler = read(&self.invites).clone();
            if let Some(handler) = handler {
                return self.hand_over(handler, request, from);
            }
        }
        if request.method() == Method::Bye && !request.to_tag().is_empty() {
            return self.bye_of_no_call(request, from);
        }
        self.stray(&request, from);
    }

    fn bye_of_no_call(self: &Arc<Self>, bye: Message, from: SocketAddr) {
        let has_ended = read(&self.lingering).knows(bye.call_id(), self.now());
        let orphan = Orphan { message: bye, from, shared: Arc::clone(self) };
        if has_ended {
            return orphan.accept();
        }
        if let Some(orphan) = self.foundling(orphan) {
            orphan.turn_away();
        }
    }

    /// Hands it to whoever looks after orphans; what cannot be taken comes back.
    fn foundling(&self, orphan: Orphan) -> Option<Orphan> {
        let Some(handler) = read(&self.orphans).clone() else { return Some(orphan) };
        let refused = handler.try_send(orphan).err()?;
        count(&self.counters.overflowed);
        Some(refused.into_inner())
    }

    /// Answers what belongs to no call, in a word.
    fn stray(&self, request: &Message, from: SocketAddr) {
        if let Some(answer) = stray::answer(request, from, &self.stateless_tag(request)) {
            self.send(&answer);
        }
    }

    fn hand_over(self: &Arc<Self>, handler: mpsc::Sender<Arrival>, invite: Message, from: SocketAddr) {
        let Ok(place) = handler.try_reserve() else {
            count(&self.counters.overflowed);
            return self.turn_away(&invite, from);
        };
        let line = self.register(invite.call_id());
        place.send(Arrival { invite, from, line });
    }

    fn turn_away(&self, invite: &Message, from: SocketAddr) {
        let tag = self.stateless_tag(invite);
        self.send(&Reply::to(invite, 503).tag(&tag).header("Retry-After", RETRY_AFTER).send(from));
    }

    fn response_of_no_call(self: &Arc<Self>, response: Message, from: SocketAddr) {
        count(&self.counters.stray);
        if response.method() != Method::Invite || response.code() < 200 {
            return;
        }
        if let Some(ack) = read(&self.lingering).ack_again(&response, self.now()) {
            self.send(&ack);
            return;
        }
        let _ = self.foundling(Orphan { message: response, from, shared: Arc::clone(self) });
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn register(self: &Arc<Self>, call_id: &str) -> Line {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (to_owner, from_socket) = mpsc::channel(LINE_DEPTH);
        let call_id: Box<str> = call_id.into();
        write(&self.calls).insert(call_id.clone(), Registered { serial, to_owner });
        Line { call_id, serial, from_socket, next: None, arrived: Instant::now(), shared: self.clone() }
    }

    /// False if the gate held it back.
    fn send(&self, transmit: &Transmit) -> bool {
        if read(&self.gate).as_ref().is_some_and(|gate| !gate()) {
            count(&self.counters.gated);
            return false;
        }
        match SockRef::from(&self.socket).send_to(&transmit.bytes, &transmit.to.into()) {
            Ok(_) => count(&self.counters.sent),
            Err(_) => count(&self.counters.unsent),
        }
        true
    }

    /// The same request gets the same tag again, and no two calls share one.
    fn stateless_tag(&self, request: &Message) -> String {
        format!("{:016x}", self.tags.hash_one((request.call_id(), request.branch())))
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
