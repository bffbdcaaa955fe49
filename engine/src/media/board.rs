//! The switchboard of one media thread: which legs there are, who hears whom, whose tone is due. No sockets are touched here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::net::UdpSocket;

use tokio::sync::mpsc;

use super::leg::{Leg, Outgoing};
use super::packet::HEADER;
use super::ports::Lease;
use super::stream::FRAME;
use super::{CallKey, LegId, MediaEvent, Ms, What};

/// Packets of our own sounds leave every so many milliseconds.
const FRAME_MS: Ms = 20;

/// One leg with all that belongs to it. The socket comes before the lease: it is closed first.
#[derive(Debug)]
pub struct Slot {
    pub key: CallKey,
    pub id: LegId,
    pub leg: Leg,
    pub socket: UdpSocket,
    pub lease: Lease,
    pub events: mpsc::Sender<MediaEvent>,
    heard_by: Option<usize>,
    hears: Option<usize>,
    /// In which millisecond of twenty its sound is due.
    phase: Option<usize>,
    /// The sound that plays gives way to the first packet of the other leg.
    sound_gives_way: bool,
    has_news: bool,
}

impl Slot {
    /// A leg that knows nobody yet.
    pub fn new(
        key: CallKey,
        id: LegId,
        leg: Leg,
        socket: UdpSocket,
        lease: Lease,
        events: mpsc::Sender<MediaEvent>,
    ) -> Slot {
        Slot {
            key,
            id,
            leg,
            socket,
            lease,
            events,
            heard_by: None,
            hears: None,
            phase: None,
            sound_gives_way: false,
            has_news: false,
        }
    }
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Not for us.
    Refused,
    /// Heard, but nobody is to hear it.
    Kept,
    /// To be sent from this slot's socket.
    PassOn(usize, Outgoing),
}

/// All legs of a thread.
#[derive(Debug, Default)]
pub struct Board {
    slots: Vec<Option<Box<Slot>>>,
    free: Vec<usize>,
    by_id: HashMap<LegId, usize>,
    wheel: [Vec<usize>; FRAME_MS as usize],
    framed: Ms,
    with_news: Vec<usize>,
}

impl Board {
    /// How many legs there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The slot at this place.
    pub fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)?.as_deref()
    }

    /// Where a leg is, if it still is and belongs to this very run of the call.
    pub fn find(&self, key: CallKey, id: LegId) -> Option<usize> {
        let index = *self.by_id.get(&id)?;
        (self.slot(index)?.key == key).then_some(index)
    }

    /// Takes a leg in.
    pub fn open(&mut self, slot: Box<Slot>) -> usize {
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
        }
        self.by_id.insert(slot.id, index);
        self.slots[index] = Some(slot);
        self.with_news.reserve(self.slots.len()); // so that news never allocates
        index
    }

    /// Takes a leg out.
    pub fn close(&mut self, index: usize) -> Option<Box<Slot>> {
        self.part(index);
        self.unschedule(index);
        self.with_news.retain(|&other| other != index);
        let mut slot = self.slots.get_mut(index)?.take()?;
        slot.lease.stale = slot.leg.last_stream().or(slot.lease.stale);
        self.by_id.remove(&slot.id);
        self.free.push(index);
        Some(slot)
    }

    /// How many places there are, taken or not.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// Lets the two hear each other, and nobody else.
    pub fn bridge(&mut self, a: usize, b: usize, now: Ms) {
        self.part(a);
        self.part(b);
        for (from, to) in [(a, b), (b, a)] {
            self.with(from, |slot| {
                slot.heard_by = Some(to);
                slot.hears = Some(to);
                slot.sound_gives_way = false;
                slot.leg.stop();
                slot.leg.listen_from(now);
            });
        }
    }

    /// Lets `to` hear `from`, and nobody else. A sound that plays to it ends at the first packet.
    pub fn join(&mut self, from: usize, to: usize) {
        self.part_from(from);
        self.part_to(to);
        self.with(from, |slot| slot.heard_by = Some(to));
        self.with(to, |slot| {
            slot.hears = Some(from);
            slot.sound_gives_way = true;
        });
    }

    /// Ends all hearing from and to this leg.
    pub fn part(&mut self, index: usize) {
        self.part_from(index);
        self.part_to(index);
    }

    fn part_from(&mut self, from: usize) {
        if let Some(to) = self.with(from, |slot| slot.heard_by.take()).flatten() {
            self.with(to, |slot| {
                slot.hears = None;
                slot.leg.part();
            });
        }
    }

    fn part_to(&mut self, to: usize) {
        let from = self.with(to, |slot| {
            slot.leg.part();
            slot.hears.take()
        });
        if let Some(from) = from.flatten() {
            self.with(from, |slot| slot.heard_by = None);
        }
    }

    /// Changes a leg, then looks whether its sound has to be scheduled and whether it has news.
    pub fn change(&mut self, index: usize, change: impl FnOnce(&mut Leg)) {
        let plays = self.with(index, |slot| {
            slot.sound_gives_way = false;
            change(&mut slot.leg);
            slot.leg.is_playing() && slot.phase.is_none()
        });
        if plays == Some(true) {
            self.schedule(index);
        }
        self.note(index);
    }

    fn schedule(&mut self, index: usize) {
        let emptiest = (0..self.wheel.len()).min_by_key(|&phase| self.wheel[phase].len()).unwrap_or(0);
        self.wheel[emptiest].push(index);
        self.with(index, |slot| slot.phase = Some(emptiest));
    }

    fn unschedule(&mut self, index: usize) {
        if let Some(phase) = self.with(index, |slot| slot.phase.take()).flatten() {
            self.wheel[phase].retain(|&other| other != index);
        }
    }

    /// A datagram came to this slot's socket. What is to be sent is rewritten in the buffer.
    pub fn datagram(&mut self, index: usize, from: SocketAddr, buffer: &mut [u8], length: usize, now: Ms) -> Handled {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_deref_mut) else {
            return Handled::Refused;
        };
        let before = slot.leg.counters.packets_in;
        let incoming = slot.leg.receive(&buffer[..length], from, now);
        let (is_taken, heard_by) = (slot.leg.counters.packets_in != before, slot.heard_by);
        if !slot.leg.news.is_empty() {
            self.note(index);
        }
        let Some((incoming, to)) = incoming.zip(heard_by) else {
            return if is_taken { Handled::Kept } else { Handled::Refused };
        };
        let Some(listener) = self.slots.get_mut(to).and_then(Option::as_deref_mut) else {
            return Handled::Kept;
        };
        if std::mem::take(&mut listener.sound_gives_way) {
            listener.leg.stop();
        }
        match listener.leg.pass_on(&incoming, buffer, now) {
            Some(outgoing) => Handled::PassOn(to, outgoing),
            None => Handled::Kept,
        }
    }

    /// How long until a sound is due; `None` if none is playing.
    pub fn until_frame(&self, now: Ms) -> Option<Ms> {
        (1..=FRAME_MS)
            .find(|ahead| !self.wheel[((self.framed + ahead) % FRAME_MS) as usize].is_empty())
            .map(|ahead| (self.framed + ahead).saturating_sub(now))
    }

    /// Makes all frames that are due by now. Frames missed in a long pause stay missed.
    pub fn frames(&mut self, now: Ms, mut send: impl FnMut(&mut Slot, &[u8], SocketAddr)) {
        self.framed = self.framed.max(now.saturating_sub(FRAME_MS));
        let mut buffer = [0; HEADER + FRAME];
        while self.framed < now {
            self.framed += 1;
            let phase = (self.framed % FRAME_MS) as usize;
            let mut place = 0;
            while let Some(&index) = self.wheel[phase].get(place) {
                let Some(slot) = self.slots[index].as_deref_mut() else { break };
                if !slot.leg.is_playing() {
                    slot.phase = None;
                    self.wheel[phase].swap_remove(place);
                    continue;
                }
                place += 1;
                if let Some(outgoing) = slot.leg.next_frame(&mut buffer, now) {
                    send(slot, &buffer, outgoing.to);
                }
                if !slot.leg.news.is_empty() {
                    self.note(index);
                }
            }
        }
    }

    /// Silence and lost key ends, looked after now and then.
    pub fn tick(&mut self, now: Ms) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots[index].as_deref_mut() else { continue };
            slot.leg.tick(now);
            if !slot.leg.news.is_empty() {
                self.note(index);
            }
        }
    }

    /// The whole thread stood still for so long.
    pub fn excuse(&mut self, pause: Ms) {
        for slot in self.slots.iter_mut().flatten() {
            slot.leg.excuse(pause);
        }
    }

    /// Counts a packet as sent, or as not sent.
    pub fn sent(&mut self, index: usize, left: bool) {
        self.with(index, |slot| count(slot, left));
    }

    /// A packet that was counted as sent was not.
    pub fn unsent(&mut self, index: usize) {
        self.with(index, |slot| {
            slot.leg.counters.packets_out = slot.leg.counters.packets_out.saturating_sub(1);
            slot.leg.counters.withheld += 1;
        });
    }

    /// Hands out the news. What `tell` does not take stays for the next time.
    pub fn tell(&mut self, mut tell: impl FnMut(&Slot, What) -> bool) {
        let mut place = 0;
        while let Some(&index) = self.with_news.get(place) {
            let told_all = self.slots[index].as_deref_mut().is_none_or(|slot| tell_all(slot, &mut tell));
            if told_all {
                self.with(index, |slot| slot.has_news = false);
                self.with_news.swap_remove(place);
            } else {
                place += 1;
            }
        }
    }

    fn note(&mut self, index: usize) {
        let is_new = self.with(index, |slot| !slot.leg.news.is_empty() && !std::mem::replace(&mut slot.has_news, true));
        if is_new == Some(true) {
            self.with_news.push(index);
        }
    }

    fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.slots.get_mut(index).and_then(Option::as_deref_mut).map(act)
    }
}

/// Counts a packet as sent, or as not sent.
pub fn count(slot: &mut Slot, left: bool) {
    if left {
        slot.leg.counters.packets_out += 1;
    } else {
        slot.leg.counters.withheld += 1;
    }
}

fn tell_all(slot: &mut Slot, tell: &mut impl FnMut(&Slot, What) -> bool) -> bool {
    while let Some(digit) = slot.leg.news.digits.peek() {
        if !tell(slot, What::Digit { digit: digit.digit, ms: digit.ms }) {
            return false;
        }
        slot.leg.news.digits.pop();
    }
    if slot.leg.news.first_packet {
        slot.leg.news.first_packet = !tell(slot, What::FirstPacket);
    }
    if let Some(address) = slot.leg.news.latched
        && tell(slot, What::Latched(address))
    {
        slot.leg.news.latched = None;
    }
    if slot.leg.news.ssrc_changed {
        slot.leg.news.ssrc_changed = !tell(slot, What::SsrcChanged);
    }
    if slot.leg.news.silent {
        slot.leg.news.silent = !tell(slot, What::Silent);
    }
    if slot.leg.news.sound_ended {
        slot.leg.news.sound_ended = !tell(slot, What::SoundEnded);
    }
    slot.leg.news.is_empty()
}
