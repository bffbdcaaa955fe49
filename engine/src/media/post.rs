//! The rings: commands to the media threads, events back to the calls, and the people who carry them.

use std::io;
use std::mem::discriminant;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_queue::ArrayQueue;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::board::Slot;
use super::relay::Relay;
use super::terms::Negotiated;
use super::tone::Sound;
use super::{CallKey, LegId, MediaConfig, MediaEvent, Totals, What};

/// Commands that may wait for a media thread.
const COMMANDS: usize = 8_192;
/// Events that may wait for the postman.
const PARCELS: usize = 8_192;
/// How often the postman calls again at a door that was not opened, in nanoseconds.
const CALL_AGAIN: i64 = 5_000_000;

/// Digits that may wait for a call that does not read them. Nobody types so much in the life of a call that is well.
const UNREAD_DIGITS: usize = 256;

/// What a media thread is told. All but `Open` name call, epoch and leg: what is gone is not hit.
#[derive(Debug)]
pub enum Command {
    Open(Box<Slot>),
    Connect(CallKey, LegId, Negotiated),
    Play(CallKey, LegId, Sound),
    Stop(CallKey, LegId),
    Bridge(CallKey, LegId, LegId),
    OneWay { key: CallKey, from: LegId, to: LegId },
    Hold(CallKey, LegId, bool),
    Close(CallKey, LegId),
}

/// What a media thread tells.
#[derive(Debug)]
pub enum Parcel {
    /// News of a leg for whoever has its call.
    Event(mpsc::Sender<MediaEvent>, MediaEvent),
    /// A closed leg: its last event is sent, its socket closed and its port given back, off the media thread.
    Closed(Box<Slot>),
}

/// A ring and a bell: what is put in is taken out by one thread, which the bell wakes.
#[derive(Debug)]
pub struct Mailbox<T> {
    ring: ArrayQueue<T>,
    bell: OwnedFd,
    /// The bell rang and the owner has not heard it yet.
    rung: AtomicBool,
    closed: AtomicBool,
}

impl<T> Mailbox<T> {
    fn new(size: usize) -> io::Result<Mailbox<T>> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Mailbox { ring: ArrayQueue::new(size), bell, rung: AtomicBool::new(false), closed: AtomicBool::new(false) })
    }

    /// Puts something in; gives it back if the ring is full.
    pub fn put(&self, item: T) -> Result<(), T> {
        self.ring.push(item)
    }

    /// Takes the oldest out.
    pub fn take(&self) -> Option<T> {
        self.ring.pop()
    }

    /// Wakes the owner, unless it is being woken already.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            // the counter is full only when it already wakes the owner
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Forgets that the bell rang. The owner looks into the ring after this, so nothing put in before is missed.
    pub fn hush(&self) {
        let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
        self.rung.swap(false, Ordering::SeqCst);
    }

    /// What becomes readable when the bell rings.
    pub fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    /// Tells the owner to go home.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.ring();
    }

    /// Whether the owner was told to go home.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// What a media thread counts, read by others. Written once a round.
#[derive(Debug, Default)]
pub struct Tally {
    pub received: AtomicU64,
    pub sent: AtomicU64,
    pub refused: AtomicU64,
    pub legs: AtomicU64,
}

/// The media threads and the postman.
pub struct Crew {
    desks: Vec<Desk>,
    parcels: Arc<Mailbox<Parcel>>,
    postman: Option<JoinHandle<()>>,
}

struct Desk {
    commands: Arc<Mailbox<Command>>,
    /// Legs whose `Close` found the ring full; looked at whenever another command goes there.
    unclosed: Mutex<Vec<(CallKey, LegId)>>,
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

impl Crew {
    /// Starts everybody.
    pub fn start(config: &MediaConfig) -> io::Result<Crew> {
        let parcels = Arc::new(Mailbox::new(PARCELS)?);
        let postman = Postman { parcels: Arc::clone(&parcels), waiting: Vec::new() };
        let postman = std::thread::Builder::new().name("media-post".into()).spawn(move || postman.run())?;
        let mut crew = Crew { desks: Vec::new(), parcels, postman: Some(postman) };
        for number in 0..config.threads.max(1) {
            let desk = Desk::start(number, config, &crew.parcels)?;
            crew.desks.push(desk);
        }
        Ok(crew)
    }

    /// Tells the thread that has this call's legs. Only what somebody is to hear now wakes it; all else is heard of in time
    /// without, because the thread looks for commands before it takes a packet or makes a frame, and now and then if it has legs.
    pub fn tell(&self, key: CallKey, command: Command) -> Result<(), Command> {
        let desk = self.desk(key);
        let is_urgent = match command {
            Command::Play(..) | Command::Bridge(..) | Command::OneWay { .. } => true,
            Command::Connect(..) => desk.tally.legs.load(Ordering::Relaxed) == 0,
            _ => false,
        };
        desk.commands.put(command)?;
        if is_urgent {
            desk.commands.ring();
        }
        Ok(())
    }

    /// Closes a leg, if need be a little later.
    pub fn close(&self, key: CallKey, leg: LegId) {
        let desk = self.desk(key);
        let mut unclosed = desk.unclosed.lock().unwrap_or_else(PoisonError::into_inner);
        unclosed.push((key, leg));
        while let Some(&(key, leg)) = unclosed.last() {
            if self.tell(key, Command::Close(key, leg)).is_err() {
                break;
            }
            unclosed.pop();
        }
    }

    /// The sum of what all threads counted.
    pub fn totals(&self) -> Totals {
        let sum = |read: fn(&Tally) -> &AtomicU64| {
            self.desks.iter().map(|desk| read(&desk.tally).load(Ordering::Relaxed)).sum()
        };
        Totals {
            received: sum(|tally| &tally.received),
            sent: sum(|tally| &tally.sent),
            refused: sum(|tally| &tally.refused),
            legs: sum(|tally| &tally.legs),
        }
    }

    fn desk(&self, key: CallKey) -> &Desk {
        // Fibonacci hashing: neighbouring call numbers spread over the threads
        let spread = (key.call.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize;
        &self.desks[spread % self.desks.len()]
    }
}

impl Desk {
    fn start(number: usize, config: &MediaConfig, parcels: &Arc<Mailbox<Parcel>>) -> io::Result<Desk> {
        let commands = Arc::new(Mailbox::new(COMMANDS)?);
        let tally = Arc::new(Tally::default());
        let (built, is_built) = std::sync::mpsc::channel();
        let (config, rings) = (config.clone(), (Arc::clone(&commands), Arc::clone(parcels), Arc::clone(&tally)));
        let work = move || match Relay::new(&config, rings.0, rings.1, rings.2) {
            Ok(relay) => {
                let _ = built.send(Ok(())); // whoever started us has given up: the bell will say so
                relay.run();
            }
            Err(error) => {
                let _ = built.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name(format!("media-{number}")).spawn(work)?;
        is_built.recv().unwrap_or_else(|_| Err(io::Error::other("the media thread died at its start")))?;
        Ok(Desk { commands, unclosed: Mutex::default(), tally, thread: Some(thread) })
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for desk in &mut self.desks {
            desk.commands.close();
            // a thread that panicked has said so already
            let _ = desk.thread.take().map(JoinHandle::join);
        }
        self.parcels.close();
        let _ = self.postman.take().map(JoinHandle::join);
    }
}

/// Carries events to the calls, so that no media thread ever waits for one.
struct Postman {
    parcels: Arc<Mailbox<Parcel>>,
    /// Events whose call has no room at the moment. Of each kind but digits only the newest waits.
    waiting: Vec<(mpsc::Sender<MediaEvent>, MediaEvent)>,
}

impl Postman {
    fn run(mut self) {
        loop {
            self.wait();
            self.parcels.hush();
            self.call_again();
            while let Some(parcel) = self.parcels.take() {
                match parcel {
                    Parcel::Event(door, event) => self.deliver(door, event),
                    Parcel::Closed(slot) => {
                        let event = MediaEvent { key: slot.key, leg: slot.id, what: What::Ended(slot.leg.counters) };
                        let door = slot.events.clone();
                        drop(slot);
                        self.deliver(door, event);
                    }
                }
            }
            if self.parcels.is_closed() {
                return;
            }
        }
    }

    fn wait(&self) {
        let again = Timespec { tv_sec: 0, tv_nsec: CALL_AGAIN };
        let timeout = (!self.waiting.is_empty()).then_some(&again);
        // a signal, or whatever else wakes us early, only makes us look early
        let _ = poll(&mut [PollFd::new(self.parcels.bell(), PollFlags::IN)], timeout);
    }

    fn deliver(&mut self, door: mpsc::Sender<MediaEvent>, event: MediaEvent) {
        let is_queueing = self.waiting.iter().any(|(other, _)| other.same_channel(&door));
        if is_queueing {
            return self.queue(door, event);
        }
        if let Err(TrySendError::Full(event)) = door.try_send(event) {
            self.queue(door, event);
        }
    }

    fn queue(&mut self, door: mpsc::Sender<MediaEvent>, event: MediaEvent) {
        let is_alike =
            |older: &MediaEvent| older.leg == event.leg && discriminant(&older.what) == discriminant(&event.what);
        if !matches!(event.what, What::Digit { .. }) {
            self.waiting.retain(|(_, older)| !is_alike(older));
        } else if self.waiting.iter().filter(|(_, older)| is_alike(older)).count() >= UNREAD_DIGITS {
            tracing::warn!(call = event.key.call, "a call does not read its digits");
            return;
        }
        self.waiting.push((door, event));
    }

    fn call_again(&mut self) {
        for (door, event) in std::mem::take(&mut self.waiting) {
            self.deliver(door, event);
        }
    }
}
