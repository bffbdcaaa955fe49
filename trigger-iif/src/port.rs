//! The UDP port: reads datagrams, drops those of strangers unread, and sends answers from where the questions went to. Reading
//! never waits for what is being answered: what is more than fits is dropped and counted, and its sender asks again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringback_common::service::Shutdown;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::desk::Desk;
use crate::message::LONGEST;
use crate::peers::{Setup, Speaker};

/// Datagrams that wait for the desk.
const WAITING: usize = 4_096;
/// Datagrams at the desk at a time.
const AT_THE_DESK: usize = 64;
/// What the kernel keeps while we are busy (bytes); it gives what it allows.
const KEPT_BY_KERNEL: usize = 4 << 20;
/// The pause after a socket that cannot be read.
const PAUSE: Duration = Duration::from_millis(100);

type Datagram = (Vec<u8>, SocketAddr);

/// The port, open or closed.
#[derive(Default)]
pub struct Port {
    socket: Mutex<Option<Arc<UdpSocket>>>,
    changed: Notify,
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
        let socket = if address.port() == 0 { None } else { Some(Arc::new(bind(address)?)) };
        match &socket {
            Some(_) => tracing::info!(%address, "application servers are listened to"),
            None => tracing::info!("the IIF port is closed"),
        }
        *self.socket() = socket;
        self.changed.notify_one();
        Ok(())
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
        let (waiting, mut datagrams) = mpsc::channel::<Datagram>(WAITING);
        let hands = Arc::new(Semaphore::new(AT_THE_DESK));
        let handing = async {
            while let Some((datagram, from)) = datagrams.recv().await {
                let Ok(hand) = Arc::clone(&hands).acquire_owned().await else { return };
                let (desk, port) = (Arc::clone(&desk), Arc::clone(self));
                tokio::spawn(async move {
                    if let Some(answer) = desk.take(&datagram, from).await
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
                () = self.read(&waiting, &setup) => {}
            }
            drop(waiting);
        };
        tokio::join!(reading, handing);
        let all = u32::try_from(AT_THE_DESK).unwrap_or(u32::MAX);
        let _ended = hands.acquire_many(all).await;
    }

    async fn read(&self, waiting: &mpsc::Sender<Datagram>, setup: &watch::Receiver<Arc<Setup>>) {
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
                Ok((length, from)) => pass_on(&buffer[..length], from, waiting, setup),
                Err(error) => {
                    tracing::debug!("the IIF port: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn pass_on(datagram: &[u8], from: SocketAddr, waiting: &mpsc::Sender<Datagram>, setup: &watch::Receiver<Arc<Setup>>) {
    let dropped = |why: &'static str| metrics::counter!("ringback_iif_dropped_total", "reason" => why).increment(1);
    if setup.borrow().speaker(from) == Speaker::Stranger {
        dropped("stranger");
    } else if waiting.try_send((datagram.to_vec(), from)).is_err() {
        dropped("too_many");
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    SockRef::from(&socket).set_recv_buffer_size(KEPT_BY_KERNEL)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

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
