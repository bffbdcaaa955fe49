//! Addresses of a test's own: the whole of 127/8 is the loopback, so every case gets one and keeps the usual ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

static NEXT: AtomicU8 = AtomicU8::new(1);

/// A loopback address nobody else in this test run uses: made from the process id and a counter.
pub fn own_address() -> IpAddr {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let next = NEXT.fetch_add(1, Ordering::Relaxed).clamp(1, 254);
    IpAddr::V4(Ipv4Addr::new(127, 64 | (high & 0x3f), low, next))
}

/// A TCP port that is free on this address just now.
pub fn free_port(ip: IpAddr) -> std::io::Result<u16> {
    Ok(TcpListener::bind(SocketAddr::new(ip, 0))?.local_addr()?.port())
}
