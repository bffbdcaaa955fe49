//! The kernel's side of a media thread: which sockets have something to read, reading and sending. Two kinds, one behaviour.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::event::Timespec;

use crate::gate::Gate;

use super::Ms;
use super::board::{Board, Slot, count};
use super::epoll::Epoll;
use super::uring::Uring;

/// How a media thread talks to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// io_uring where the kernel allows it, for it won our own measurement (`benches/relay.rs`); else epoll.
    #[default]
    Auto,
    /// epoll: one system call a packet each way.
    Epoll,
    /// io_uring: multishot receive, all sends of a round in one system call.
    Uring,
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

/// All sockets of a thread, and its bell.
pub enum Wire {
    /// By epoll.
    Epoll(Epoll),
    /// By io_uring.
    Uring(Box<Uring>),
}

impl Wire {
    /// A wire with nothing on it but the bell.
    pub fn new(kind: Kind, bell: &OwnedFd) -> io::Result<Wire> {
        match kind {
            Kind::Epoll => Epoll::new(bell).map(Wire::Epoll),
            Kind::Uring => Uring::new(bell).map(Box::new).map(Wire::Uring),
            Kind::Auto => Wire::new(Kind::Uring, bell).or_else(|error| {
                tracing::info!(%error, "io_uring is not to be had; media goes by epoll");
                Wire::new(Kind::Epoll, bell)
            }),
        }
    }

    /// Puts a leg's socket on the wire.
    pub fn add(&mut self, index: usize, socket: &UdpSocket) -> io::Result<()> {
        match self {
            Wire::Epoll(epoll) => epoll.add(index, socket),
            Wire::Uring(uring) => uring.add(index, socket),
        }
    }

    /// Takes it off.
    pub fn remove(&mut self, index: usize, socket: &UdpSocket) {
        match self {
            Wire::Epoll(epoll) => epoll.remove(socket),
            Wire::Uring(uring) => uring.remove(index),
        }
    }

    /// Waits until something can be read, or for so long.
    pub fn wait(&mut self, timeout: Ms) {
        match self {
            Wire::Epoll(epoll) => epoll.wait(timeout),
            Wire::Uring(uring) => uring.wait(timeout),
        }
    }

    /// Reads what has come and, while the gate is open, sends what comes of it. True if the bell rang.
    pub fn carry(&mut self, board: &mut Board, gate: &Gate, now: Ms, round: &mut Round) -> bool {
        match self {
            Wire::Epoll(epoll) => epoll.carry(board, gate, now, round),
            Wire::Uring(uring) => uring.carry(board, gate, now, round),
        }
    }
}

/// Sends a frame of a sound.
pub fn send_frame(slot: &mut Slot, frame: &[u8], to: SocketAddr, may_send: bool, round: &mut Round) {
    let left = may_send && send(&slot.socket, frame, to);
    count(slot, left);
    round.sent += u64::from(left);
}

/// Sends now, or not at all.
pub fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> bool {
    socket.send_to(datagram, to).is_ok()
}

/// Milliseconds as the kernel wants them.
pub fn timespec(ms: Ms) -> Timespec {
    Timespec { tv_sec: (ms / 1_000) as i64, tv_nsec: (ms % 1_000) as i64 * 1_000_000 }
}

/// Sleeps until a moment of the monotonic clock.
pub fn sleep_until(moment: Timespec) {
    // woken early by a signal: the next round comes early, which does no harm
    let _ = rustix::thread::clock_nanosleep_absolute(rustix::thread::ClockId::Monotonic, &moment);
}
