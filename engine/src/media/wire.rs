//! The kernel's side of a media thread: which sockets have something to read, reading and sending.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::event::{Timespec, epoll};

use super::Ms;
use super::board::{Board, Handled, Slot, count};
use super::packet::LARGEST;

/// Sockets looked at in one go.
const BATCH: usize = 512;
/// The bell's place among the sockets.
const BELL: u64 = u64::MAX;
/// From one socket that is being flooded with what is not for us, so many datagrams are read in one go.
const FLOOD: usize = 32;

/// How a media thread talks to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Whatever won our own measurement and works here.
    #[default]
    Auto,
    /// epoll, one system call a packet each way.
    Epoll,
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// Datagrams read.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Of those read, the ones not for us.
    pub refused: u64,
}

/// An epoll set of all sockets of a thread, and its bell.
pub struct Wire {
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Box<[u8; 2_048]>,
}

impl Wire {
    /// A wire with nothing on it but the bell.
    pub fn new(_kind: Kind, bell: &OwnedFd) -> io::Result<Wire> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(Wire { epoll, ready: Vec::with_capacity(BATCH), buffer: Box::new([0; 2_048]) })
    }

    /// Puts a leg's socket on the wire.
    pub fn add(&mut self, index: usize, socket: &UdpSocket) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?)
    }

    /// Takes it off.
    pub fn remove(&mut self, socket: &UdpSocket) {
        // a socket that was never added needs no removing
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Waits until something can be read, or for so long.
    pub fn wait(&mut self, timeout: Ms) {
        let timeout = Timespec { tv_sec: (timeout / 1_000) as i64, tv_nsec: (timeout % 1_000) as i64 * 1_000_000 };
        self.ready.clear();
        // interrupted by a signal: the next round sees the same
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&timeout));
    }

    /// Reads a datagram from each socket that has one and sends what comes of it. True if the bell rang.
    pub fn carry(&mut self, board: &mut Board, may_send: bool, now: Ms, round: &mut Round) -> bool {
        let mut rang = false;
        for place in 0..self.ready.len() {
            match self.ready[place].data.u64() {
                BELL => rang = true,
                index => self.drain(board, index as usize, may_send, now, round),
            }
        }
        rang
    }

    /// A peer's socket has one datagram each 20 ms: the next one can wait for the next round, which spares the system call
    /// that would only say "no more". One that is flooded is read on, so that the peer is not drowned.
    fn drain(&mut self, board: &mut Board, index: usize, may_send: bool, now: Ms, round: &mut Round) {
        for _ in 0..FLOOD {
            let Some(slot) = board.slot(index) else { return };
            let Ok((length, from)) = slot.socket.recv_from(&mut self.buffer[..]) else { return };
            round.received += 1;
            match board.datagram(index, from, &mut self.buffer[..], length.min(LARGEST + 1), now) {
                Handled::Refused => round.refused += 1,
                Handled::Kept => return,
                Handled::PassOn(to, outgoing) => {
                    let left = may_send
                        && board
                            .slot(to)
                            .is_some_and(|slot| send(slot, &self.buffer[outgoing.start..outgoing.end], outgoing.to));
                    board.sent(to, left);
                    round.sent += u64::from(left);
                    return;
                }
            }
        }
    }

    /// Sends a frame of a sound.
    pub fn send_frame(slot: &mut Slot, frame: &[u8], to: SocketAddr, may_send: bool, round: &mut Round) {
        let left = may_send && send(slot, frame, to);
        count(slot, left);
        round.sent += u64::from(left);
    }
}

fn send(slot: &Slot, datagram: &[u8], to: SocketAddr) -> bool {
    slot.socket.send_to(datagram, to).is_ok()
}

/// Sleeps until a moment of the monotonic clock.
pub fn sleep_until(moment: Timespec) {
    let _ = rustix::thread::clock_nanosleep_absolute(rustix::thread::ClockId::Monotonic, &moment);
}
