//! The UDP port: reads datagrams, drops those of strangers unread, and sends answers from where the questions went to. Reading
//! never waits for what is being answered: what is more than fits is dropped and counted, and its sender asks again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringback_common::service::Shutdown;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, Semaphore, watch};

use crate::desk::Desk;
use crate::lines::Lines;
use crate::message::LONGEST;
use crate::peers::{Setup, Speaker};

/// Datagrams at the desk at a time.
const AT_THE_DESK: usize = 64;
/// What the kernel keeps while we are busy (bytes); it gives what it allows.
const KEPT_BY_KERNEL: usize = 4 << 20;
/// The pause after a socket that cannot be read.
const PAUSE: Duration = Duration::from_millis(100);

/// The port, open or closed.
#[derive(Default)]
pub struct Port {
    socket: Mutex<Option<Arc<UdpSocket>>>,
    changed: Notify,
    opened: watch::Sender<bool>,
}

impl Port {
    /// Opens this address instead of what was open; port 0 closes.
    ///
    /// # Errors
    /// The address is taken, or not ours; what was open stays open.
    pub fn open(&self, address: SocketAddr) -> io::Result<()> {
        if self.socket().as_ref().is_some_and(|socket| socket.local_addr().is_ok_and(|now| now == address)) {
            return Ok(());
        }
        let socket = match address.port() {
            0 => None,
            _ => Some(Arc::new(self.bind(address)?)),
        };
        match &socket {
            Some(_) => tracing::info!(%address, "application servers are listened to"),
            None => tracing::info!("the IIF port is closed"),
        }
        let is_open = socket.is_some();
        *self.socket() = socket;
        self.changed.notify_one();
        self.opened.send_replace(is_open);
        Ok(())
    }

    /// Whether it is open.
    pub fn opened(&self) -> watch::Receiver<bool> {
        self.opened.subscribe()
    }

    /// Another address on the port that we have, such as every address of this machine instead of one, is taken by ourselves: the
    /// two sockets share it for the moment in which one replaces the other.
    fn bind(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let ours = self.socket().clone();
        let on_our_port = |ours: &Arc<UdpSocket>| ours.local_addr().is_ok_and(|now| now.port() == address.port());
        match (bind(address, false), ours.filter(on_our_port)) {
            (Err(error), Some(ours)) if error.kind() == io::ErrorKind::AddrInUse => {
                SockRef::from(&*ours).set_reuse_address(true)?;
                let bound = bind(address, true);
                SockRef::from(&*ours).set_reuse_address(false)?;
                bound
            }
            (bound, _) => bound,
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// It did not leave: the port is closed, or the network says no.
    pub async fn send(&self, text: &str, to: SocketAddr) -> io::Result<()> {
        let socket = self.socket().clone();
        let closed = || io::Error::new(io::ErrorKind::NotConnected, "the IIF port is closed");
        socket.ok_or_else(closed)?.send_to(text.as_bytes(), to).await.map(|_| ())
    }

    fn socket(&self) -> std::sync::MutexGuard<'_, Option<Arc<UdpSocket>>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes datagrams to the desk and its answers back until shutdown, then lets the desk end what it has in hand.
    pub async fn serve(self: &Arc<Self>, desk: Arc<Desk>, setup: watch::Receiver<Arc<Setup>>, shutdown: &Shutdown) {
        let lines = Lines::default();
        let hands = Arc::new(Semaphore::new(AT_THE_DESK));
        let handing = async {
            while let Ok(hand) = Arc::clone(&hands).acquire_owned().await {
                let Some((datagram, from)) = lines.next().await else { return };
                let (desk, port) = (Arc::clone(&desk), Arc::clone(self));
                let looked = desk.look(&datagram, from);
                tokio::spawn(async move {
                    if let Some(answer) = desk.take(looked, from).await
                        && let Err(error) = port.send(&answer, from).await
                    {
                        tracing::warn!("an application server was not answered: {error}");
                    }
                    drop(hand);
                });
            }
        };
        let reading = async {
            tokio::select! {
                () = shutdown.wait() => {}
                () = self.read(&lines, &setup) => {}
            }
            lines.close();
        };
        tokio::join!(reading, handing);
        let all = u32::try_from(AT_THE_DESK).unwrap_or(u32::MAX);
        let _ended = hands.acquire_many(all).await;
        desk.close();
    }

    async fn read(&self, lines: &Lines, setup: &watch::Receiver<Arc<Setup>>) {
        let mut buffer = vec![0; LONGEST + 1];
        loop {
            let socket = self.socket().clone();
            let Some(socket) = socket else {
                self.changed.notified().await;
                continue;
            };
            let received = tokio::select! {
                received = socket.recv_from(&mut buffer) => received,
                () = self.changed.notified() => continue,
            };
            match received {
                Ok((length, from)) => pass_on(&buffer[..length], from, lines, setup),
                Err(error) => {
                    tracing::debug!("the IIF port: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn pass_on(datagram: &[u8], from: SocketAddr, lines: &Lines, setup: &watch::Receiver<Arc<Setup>>) {
    let dropped = |why: &'static str| metrics::counter!("ringback_iif_dropped_total", "reason" => why).increment(1);
    let speaker = setup.borrow().speaker(from);
    let who = match &speaker {
        Speaker::Stranger => return dropped("stranger"),
        Speaker::WrongPort(_) => "",
        Speaker::Server(server) => server.counted_as(),
    };
    if !lines.join(who, datagram, from) {
        dropped("too_many");
    }
}

/// A socket on this address; `beside` one that allows it.
fn bind(address: SocketAddr, beside: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(beside)?;
    socket.bind(&address.into())?;
    socket.set_reuse_address(false)?;
    socket.set_recv_buffer_size(KEPT_BY_KERNEL)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_moves_between_one_address_and_all_and_shares_with_nobody() {
        let (port, opened) = (Port::default(), |port: &Port| *port.opened().borrow());
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let all = SocketAddr::new("0.0.0.0".parse().unwrap(), free.port());
        assert!(!opened(&port));
        for address in [free, all, free] {
            port.open(address).unwrap();
            assert_eq!(port.socket().as_ref().map(|socket| socket.local_addr().unwrap()), Some(address));
            assert!(opened(&port) && bind(free, true).is_err(), "and nobody gets in beside it");
        }
        let other = std::net::UdpSocket::bind(("127.0.0.2", free.port())).unwrap();
        assert!(port.open(all).is_err(), "another's port stays another's");
        assert_eq!(port.socket().as_ref().map(|socket| socket.local_addr().unwrap()), Some(free));
        drop(other);
        port.open(SocketAddr::new(free.ip(), 0)).unwrap();
        assert!(!opened(&port));
    }

    #[tokio::test]
    async fn a_port_opens_closes_and_keeps_what_it_has_when_it_cannot_change() {
        let (port, ours) = (Port::default(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let taken = ours.local_addr().unwrap();
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(port.send("x", taken).await.is_err(), "closed at first");
        port.open(free).unwrap();
        assert!(port.open(taken).is_err());
        port.send("still here", taken).await.unwrap();
        let mut buffer = [0; 32];
        let (length, from) = ours.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"still here"[..], free));
        port.open("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(port.send("x", taken).await.is_err());
    }
}
