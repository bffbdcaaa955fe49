//! The wire by epoll: one system call to see who has something, then one a packet each way.

use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

use rustix::event::epoll;

use crate::gate::Gate;

use super::Ms;
use super::board::{Board, Handled};
use super::packet::LARGEST;
use super::wire::{Round, send, timespec};

/// Sockets looked at in one go.
const BATCH: usize = 512;
/// The bell's place among the sockets.
const BELL: u64 = u64::MAX;
/// From one socket that is being flooded with what is not for us, so many datagrams are read in one go.
const FLOOD: usize = 32;

/// An epoll set of all sockets of a thread, and its bell.
pub struct Epoll {
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    buffer: Box<[u8; 2_048]>,
}

impl Epoll {
    /// A wire with nothing on it but the bell.
    pub fn new(bell: &OwnedFd) -> io::Result<Epoll> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(Epoll { epoll, ready: Vec::with_capacity(BATCH), buffer: Box::new([0; 2_048]) })
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
        self.ready.clear();
        // interrupted by a signal: the next round sees the same
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.ready), Some(&timespec(timeout)));
    }

    /// Reads a datagram from each socket that has one and sends what comes of it. True if the bell rang.
    pub fn carry(&mut self, board: &mut Board, gate: &Gate, now: Ms, round: &mut Round) -> bool {
        let (mut rang, may_send) = (false, gate.is_open());
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
                    let datagram = &self.buffer[outgoing.start..outgoing.end];
                    let left = may_send && board.slot(to).is_some_and(|slot| send(&slot.socket, datagram, outgoing.to));
                    board.sent(to, left);
                    round.sent += u64::from(left);
                    return;
                }
            }
        }
    }
}
