//! A media thread: wait, take commands, carry packets, make tones, tell the news.
//!
//! Below a rate of packets the thread wakes for each; above it, it sleeps to the next millisecond and then carries all that
//! has come, which costs far fewer wake-ups and delays a packet by half a millisecond on average.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::event::Timespec;

use crate::gate::Gate;

use super::board::{Board, Slot};
use super::post::{Command, Mailbox, Parcel, Tally};
use super::terms::Negotiated;
use super::wire::{Round, Wire, send_frame, sleep_until};
use super::{CallKey, LegId, MediaConfig, MediaEvent, Ms};

/// Packets a second from which on the thread ticks, and below which it no longer does.
const TICK_ABOVE: u64 = 2_000;
const TICK_BELOW: u64 = 1_500;
/// How often the rate is measured and silence looked for.
const LOOK_EVERY: Ms = 50;
/// How long a thread without legs sleeps; the bell wakes it earlier.
const IDLE: Ms = 1_000;
/// A thread that wakes so much too late was stopped.
const STOPPED: Ms = 500;

/// One media thread.
pub struct Relay {
    board: Board,
    wire: Wire,
    commands: Arc<Mailbox<Command>>,
    parcels: Arc<Mailbox<Parcel>>,
    tally: Arc<Tally>,
    gate: Arc<Gate>,
    zero: Timespec,
    now: Ms,
    ticks: bool,
    looked: Ms,
    /// Packets since the last look.
    packets: u64,
    /// Closed legs for which the ring had no room.
    closed: Vec<Parcel>,
}

impl Relay {
    /// A thread that waits to be run.
    pub fn new(
        config: &MediaConfig,
        commands: Arc<Mailbox<Command>>,
        parcels: Arc<Mailbox<Parcel>>,
        tally: Arc<Tally>,
    ) -> io::Result<Relay> {
        let wire = Wire::new(config.kind, commands.bell())?;
        let gate = Arc::clone(&config.gate);
        let (board, zero) = (Board::default(), monotonic());
        Ok(Relay {
            board,
            wire,
            commands,
            parcels,
            tally,
            gate,
            zero,
            now: 0,
            ticks: false,
            looked: 0,
            packets: 0,
            closed: Vec::new(),
        })
    }

    /// Works until it is told to go home.
    pub fn run(mut self) {
        while !self.commands.is_closed() {
            self.wait();
            let round = self.carry();
            self.look();
            self.tell(round);
        }
        for index in 0..self.board.places() {
            self.close_place(index);
        }
        self.parcels.ring();
    }

    fn wait(&mut self) {
        let before = self.now;
        let timeout = self.timeout();
        if self.ticks {
            sleep_until(self.moment(before + 1));
            self.wire.wait(0);
        } else {
            self.wire.wait(timeout);
        }
        self.now = since(self.zero);
        let pause = self.now.saturating_sub(before);
        if pause >= timeout + STOPPED {
            self.board.excuse(pause);
        }
    }

    /// How long we may sleep if no packet comes.
    fn timeout(&self) -> Ms {
        if self.board.len() == 0 {
            return IDLE;
        }
        let to_look = (self.looked + LOOK_EVERY).saturating_sub(self.now);
        self.board.until_frame(self.now).map_or(to_look, |to_frame| to_frame.min(to_look))
    }

    fn carry(&mut self) -> Round {
        self.take_commands(); // first, so that what was said before a packet was sent holds for that packet
        let mut round = Round::default();
        if self.wire.carry(&mut self.board, &self.gate, self.now, &mut round) {
            self.commands.hush();
            self.take_commands();
        }
        let may_send = self.gate.is_open();
        self.board.frames(self.now, |slot, frame, to| send_frame(slot, frame, to, may_send, &mut round));
        self.packets += round.received + round.sent;
        round
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.commands.take() {
            self.obey(command);
        }
    }

    fn look(&mut self) {
        let passed = self.now.saturating_sub(self.looked);
        if passed < LOOK_EVERY {
            return;
        }
        let rate = self.packets * 1_000 / passed;
        self.ticks = rate > if self.ticks { TICK_BELOW } else { TICK_ABOVE };
        (self.looked, self.packets) = (self.now, 0);
        self.board.tick(self.now);
    }

    fn tell(&mut self, round: Round) {
        let mut told = false;
        let parcels = &self.parcels;
        self.board.tell(|slot, what| {
            let event = MediaEvent { key: slot.key, leg: slot.id, what };
            let fits = parcels.put(Parcel::Event(slot.events.clone(), event)).is_ok();
            told |= fits;
            fits
        });
        if let Some(parcel) = self.closed.pop() {
            self.hand_over(parcel);
            told = true;
        }
        if told {
            self.parcels.ring();
        }
        self.tally.received.fetch_add(round.received, Relaxed);
        self.tally.sent.fetch_add(round.sent, Relaxed);
        self.tally.refused.fetch_add(round.refused, Relaxed);
        self.tally.legs.store(self.board.len() as u64, Relaxed);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open(slot) => self.open(slot),
            Command::Connect(key, leg, agreed) => self.connect(key, leg, agreed),
            Command::Play(key, leg, sound) => self.change(key, leg, |leg| leg.play(sound)),
            Command::Stop(key, leg) => self.change(key, leg, |leg| leg.stop()),
            Command::Hold(key, leg, held) => {
                let now = self.now;
                self.change(key, leg, |leg| leg.hold(held, now));
            }
            Command::Bridge(key, a, b) => self.join(key, a, b, true),
            Command::OneWay { key, from, to } => self.join(key, from, to, false),
            Command::Close(key, leg) => self.close(key, leg),
        }
    }

    fn open(&mut self, slot: Box<Slot>) {
        let index = self.board.open(slot);
        let Some(slot) = self.board.slot(index) else { return };
        if let Err(error) = self.wire.add(index, &slot.socket) {
            tracing::error!(%error, "cannot listen on an RTP socket");
        }
    }

    fn connect(&mut self, key: CallKey, leg: LegId, agreed: Negotiated) {
        let now = self.now;
        self.change(key, leg, |leg| leg.connect(agreed, now));
    }

    fn change(&mut self, key: CallKey, leg: LegId, change: impl FnOnce(&mut super::leg::Leg)) {
        if let Some(index) = self.board.find(key, leg) {
            self.board.change(index, change);
        }
    }

    fn join(&mut self, key: CallKey, from: LegId, to: LegId, both: bool) {
        let Some((from, to)) = self.board.find(key, from).zip(self.board.find(key, to)) else { return };
        if from == to {
            return; // nobody is bridged to himself
        }
        if both {
            self.board.bridge(from, to, self.now);
        } else {
            self.board.join(from, to);
        }
    }

    fn close(&mut self, key: CallKey, leg: LegId) {
        if let Some(index) = self.board.find(key, leg) {
            self.close_place(index);
            self.parcels.ring();
        }
    }

    fn close_place(&mut self, index: usize) {
        if let Some(slot) = self.board.close(index) {
            self.wire.remove(index, &slot.socket);
            self.hand_over(Parcel::Closed(slot));
        }
    }

    fn hand_over(&mut self, parcel: Parcel) {
        if let Err(parcel) = self.parcels.put(parcel) {
            self.closed.push(parcel);
        }
    }

    fn moment(&self, ms: Ms) -> Timespec {
        let nanos = self.zero.tv_nsec + (ms % 1_000) as i64 * 1_000_000;
        Timespec {
            tv_sec: self.zero.tv_sec + (ms / 1_000) as i64 + nanos / 1_000_000_000,
            tv_nsec: nanos % 1_000_000_000,
        }
    }
}

fn monotonic() -> Timespec {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)
}

fn since(zero: Timespec) -> Ms {
    let now = monotonic();
    ((now.tv_sec - zero.tv_sec) * 1_000 + (now.tv_nsec - zero.tv_nsec).div_euclid(1_000_000)) as Ms
}
