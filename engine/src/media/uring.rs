//! The wire by io_uring: each socket has one receive request that goes on for ever, into buffers that the kernel picks from a
//! ring; a packet is rewritten where it lies and sent from there; all sends of a round leave in one system call.
//!
//! Sends carry `MSG_DONTWAIT`, so when the system call that submits them returns, they are done one way or the other, and
//! their buffers go back to the kernel. Only failures are reported.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::gate::Gate;

use super::Ms;
use super::board::{Board, Handled};
use super::packet::LARGEST;
use super::wire::Round;

/// Requests submitted in one go.
const SUBMISSIONS: u32 = 1_024;
/// Completions that may wait: more than there are buffers.
const COMPLETIONS: u32 = 8_192;
/// Buffers for datagrams that came in; a power of two.
const BUFFERS: u16 = 2_048;
const BUFFER: usize = 2_048;
/// What the kernel writes before a datagram: four numbers, then the sender's address.
const NUMBERS: usize = 16;
const ADDRESS: usize = size_of::<libc::sockaddr_in6>();
const PREFIX: usize = NUMBERS + ADDRESS;
/// The only group of buffers.
const GROUP: u16 = 0;

/// What a completion is about.
const BELL: u64 = u64::MAX;
const SENT: u64 = 1 << 63;

/// An io_uring with all sockets of a thread, and its bell.
pub struct Uring {
    ring: IoUring,
    buffers: Buffers,
    message: Box<libc::msghdr>,
    bell: RawFd,
    /// What each place was when its request was made: a late completion for an earlier tenant hits nothing.
    tenants: Vec<Tenant>,
    completed: Vec<(u64, i32, u32)>,
    /// Buffers whose datagrams are being sent.
    leaving: Vec<u16>,
    /// Places whose request has to be made anew.
    ended: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tenant {
    number: u32,
    fd: Option<RawFd>,
}

impl Uring {
    /// A ring with nothing on it but the bell. Fails where the kernel does not allow it or is too old.
    pub fn new(bell: &OwnedFd) -> io::Result<Uring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let mut buffers = Buffers::new();
        buffers.register(&ring)?;
        // SAFETY: all zeroes is a valid msghdr: no name, no parts, no control data.
        #[allow(unsafe_code)]
        let mut message: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        message.msg_namelen = ADDRESS as u32;
        let mut uring = Uring {
            ring,
            buffers,
            message,
            bell: bell.as_raw_fd(),
            tenants: Vec::new(),
            completed: Vec::with_capacity(COMPLETIONS as usize),
            leaving: Vec::with_capacity(usize::from(BUFFERS)),
            ended: Vec::with_capacity(1_024),
        };
        uring.listen_to_bell();
        uring.ring.submit()?;
        Ok(uring)
    }

    /// Puts a leg's socket on the wire.
    pub fn add(&mut self, index: usize, socket: &UdpSocket) -> io::Result<()> {
        if index >= self.tenants.len() {
            self.tenants.resize(index + 1, Tenant::default());
            self.ended.reserve(self.tenants.len());
        }
        let tenant = &mut self.tenants[index];
        *tenant = Tenant { number: tenant.number.wrapping_add(1) & (u32::MAX >> 1), fd: Some(socket.as_raw_fd()) };
        self.receive(index);
        self.ring.submit().map(drop)
    }

    /// Takes it off. When this returns, the kernel holds nothing of the socket any more.
    pub fn remove(&mut self, index: usize) {
        let Some(tenant) = self.tenants.get_mut(index) else { return };
        tenant.fd = None;
        let request = name(index, tenant.number);
        // not found means that the request has ended by itself
        let _ = self.ring.submitter().register_sync_cancel(None, CancelBuilder::user_data(request));
        let _ = self.ring.submit();
    }

    /// Waits until something has come, or for so long.
    pub fn wait(&mut self, timeout: Ms) {
        let _ = if timeout == 0 {
            self.ring.submit() // runs what the kernel has put off
        } else {
            let timeout = Timespec::new().sec(timeout / 1_000).nsec((timeout % 1_000) as u32 * 1_000_000);
            self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
        };
    }

    /// Reads what has come and sends what comes of it, until nothing more has come. True if the bell rang.
    pub fn carry(&mut self, board: &mut Board, gate: &Gate, now: Ms, round: &mut Round) -> bool {
        let mut rang = false;
        loop {
            // asked again each time: what queued up while the process stood still must not leave after it goes on
            let may_send = gate.is_open();
            let mut completed = std::mem::take(&mut self.completed);
            completed.extend(self.ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())));
            let is_dry = completed.is_empty();
            for (about, result, flags) in completed.drain(..) {
                match about {
                    BELL => {
                        rang = true;
                        if !cqueue::more(flags) {
                            self.listen_to_bell();
                        }
                    }
                    about if about & SENT != 0 => board.unsent((about ^ SENT) as usize),
                    about => self.received(board, about, result, flags, may_send, now, round),
                }
            }
            self.completed = completed;
            if is_dry {
                return rang;
            }
            self.submit();
        }
    }

    #[allow(clippy::too_many_arguments)] // the whole context of one datagram; a struct for it would only be taken apart again
    fn received(
        &mut self,
        board: &mut Board,
        about: u64,
        result: i32,
        flags: u32,
        may_send: bool,
        now: Ms,
        round: &mut Round,
    ) {
        let (index, number) = ((about & u64::from(u32::MAX)) as usize, (about >> 32) as u32);
        let is_tenant = self.tenants.get(index).is_some_and(|tenant| tenant.number == number && tenant.fd.is_some());
        if is_tenant && !cqueue::more(flags) {
            self.ended.push(index);
        }
        let Some(buffer) = cqueue::buffer_select(flags) else { return };
        let length = usize::try_from(result).unwrap_or(0);
        let datagram = self.buffers.datagram(buffer, length).filter(|_| is_tenant);
        let Some((from, bytes, length)) = datagram else {
            return self.buffers.give_back(buffer);
        };
        round.received += 1;
        match board.datagram(index, from, bytes, length, now) {
            Handled::Refused => round.refused += 1,
            Handled::Kept => {}
            Handled::PassOn(to, outgoing) => {
                let fd = board.slot(to).map(|slot| slot.socket.as_raw_fd()).filter(|_| may_send);
                board.sent(to, fd.is_some());
                if let Some(fd) = fd {
                    round.sent += 1;
                    let request = self
                        .buffers
                        .send(buffer, fd, outgoing.start..outgoing.end, outgoing.to)
                        .user_data(SENT | to as u64);
                    self.push(request);
                    return self.leaving.push(buffer);
                }
            }
        }
        self.buffers.give_back(buffer);
    }

    /// Submits all requests; the buffers of what was sent are free then.
    fn submit(&mut self) {
        if self.ring.submit().is_ok() && self.ring.submission().is_empty() {
            for buffer in self.leaving.drain(..) {
                self.buffers.give_back(buffer);
            }
        }
        while let Some(index) = self.ended.pop() {
            self.receive(index);
        }
    }

    fn receive(&mut self, index: usize) {
        let Tenant { number, fd: Some(fd) } = self.tenants[index] else { return };
        let request = opcode::RecvMsgMulti::new(Fd(fd), &*self.message, GROUP).build();
        self.push(request.user_data(name(index, number)));
    }

    fn listen_to_bell(&mut self) {
        let request = opcode::PollAdd::new(Fd(self.bell), libc::POLLIN as u32).multi(true).build();
        self.push(request.user_data(BELL));
    }

    #[allow(unsafe_code)]
    fn push(&mut self, request: squeue::Entry) {
        // SAFETY: what requests point to lives as long as the ring: the message header and the buffers. Sockets are open
        // until `remove` has cancelled their request, and the bell is the mailbox's, which outlives the thread.
        while unsafe { self.ring.submission().push(&request) }.is_err() {
            if self.ring.submit().is_err() {
                return; // the kernel takes nothing: a packet is lost, as on any network
            }
        }
    }
}

/// The name of a receive request: whose, and for which tenant of that place.
fn name(index: usize, number: u32) -> u64 {
    u64::from(number) << 32 | index as u64
}

/// Memory that is shared with the kernel: the ring of free buffers, the buffers, and an address for each.
struct Buffers {
    ring: NonNull<BufRingEntry>,
    bytes: NonNull<u8>,
    addresses: Vec<[u8; ADDRESS]>,
    tail: u16,
}

const RING_LAYOUT: Layout = match Layout::from_size_align(BUFFERS as usize * size_of::<BufRingEntry>(), 4_096) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a power of two"),
};
const BYTES_LAYOUT: Layout = match Layout::from_size_align(BUFFERS as usize * BUFFER, 4_096) {
    Ok(layout) => layout,
    Err(_) => panic!("a page is a power of two"),
};

impl Buffers {
    fn new() -> Buffers {
        let ring = zeroed(RING_LAYOUT).cast();
        Buffers { ring, bytes: zeroed(BYTES_LAYOUT), addresses: vec![[0; ADDRESS]; usize::from(BUFFERS)], tail: 0 }
    }

    #[allow(unsafe_code)]
    fn register(&mut self, ring: &IoUring) -> io::Result<()> {
        // SAFETY: page-aligned memory of this many entries, freed only after the io_uring is closed (see `Uring`'s fields).
        unsafe { ring.submitter().register_buf_ring_with_flags(self.ring.as_ptr() as u64, BUFFERS, GROUP, 0) }?;
        (0..BUFFERS).for_each(|buffer| self.give_back(buffer));
        Ok(())
    }

    /// Lets the kernel use a buffer (again).
    #[allow(unsafe_code)]
    fn give_back(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (BUFFERS - 1));
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `place` is within the ring, which only this thread writes; the kernel reads entries before the tail only,
        // and sees the tail move after the entry is written (release).
        unsafe {
            let entry = &mut *self.ring.as_ptr().add(place);
            entry.set_addr(self.bytes.as_ptr().add(usize::from(buffer) * BUFFER) as u64);
            entry.set_len(BUFFER as u32);
            entry.set_bid(buffer);
            let tail = BufRingEntry::tail(self.ring.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    /// The datagram in a buffer that the kernel has filled: from whom, the memory it lies in, and its length.
    #[allow(unsafe_code)]
    fn datagram(&mut self, buffer: u16, filled: usize) -> Option<(SocketAddr, &mut [u8], usize)> {
        // SAFETY: the kernel has handed this buffer to us and does not touch it until `give_back`; `buffer` is one of ours
        // by the modulo, and nobody else borrows it, for `self` is borrowed exclusively.
        let whole = unsafe {
            let start = self.bytes.as_ptr().add(usize::from(buffer % BUFFERS) * BUFFER);
            std::slice::from_raw_parts_mut(start, BUFFER)
        };
        let length = filled.min(BUFFER).checked_sub(PREFIX)?;
        let (prefix, bytes) = whole.split_at_mut(PREFIX);
        let from = read_address(&prefix[NUMBERS..])?;
        Some((from, bytes, length.min(LARGEST + 1)))
    }

    /// A request to send a part of a buffer's datagram.
    #[allow(unsafe_code)]
    fn send(&mut self, buffer: u16, fd: RawFd, part: std::ops::Range<usize>, to: SocketAddr) -> squeue::Entry {
        let address = &mut self.addresses[usize::from(buffer)];
        let length = write_address(to, address);
        // SAFETY: `part` lies within the buffer; only the kernel follows the pointer, and while it does the buffer is ours.
        let start = unsafe { self.bytes.as_ptr().add(usize::from(buffer) * BUFFER + PREFIX + part.start) };
        opcode::Send::new(Fd(fd), start, part.len() as u32)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            .dest_addr(address.as_ptr().cast())
            .dest_addr_len(length)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
    }
}

impl Drop for Buffers {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: allocated with these layouts in `new`; the io_uring that used them is closed.
        unsafe {
            dealloc(self.ring.as_ptr().cast(), RING_LAYOUT);
            dealloc(self.bytes.as_ptr(), BYTES_LAYOUT);
        }
    }
}

#[allow(unsafe_code)]
fn zeroed(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layout is not empty.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Reads a `sockaddr`.
fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let port = u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]);
    let ip = match family {
        libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?)),
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Writes a `sockaddr`; returns its length.
fn write_address(address: SocketAddr, into: &mut [u8; ADDRESS]) -> u32 {
    into.fill(0);
    into[2..4].copy_from_slice(&address.port().to_be_bytes());
    let (family, length) = match address.ip() {
        IpAddr::V4(ip) => {
            into[4..8].copy_from_slice(&ip.octets());
            (libc::AF_INET, size_of::<libc::sockaddr_in>())
        }
        IpAddr::V6(ip) => {
            into[8..24].copy_from_slice(&ip.octets());
            (libc::AF_INET6, ADDRESS)
        }
    };
    into[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    length as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_written() {
        for address in ["192.0.2.1:4000", "[2001:db8::1]:65535"] {
            let address: SocketAddr = address.parse().expect("address");
            let mut bytes = [0xFF; ADDRESS];
            write_address(address, &mut bytes);
            assert_eq!(read_address(&bytes), Some(address));
        }
        assert_eq!(read_address(&[0; ADDRESS]), None);
        assert_eq!(read_address(&[2]), None);
    }
}
