//! A bank of phones on one UDP socket: whoever is called there behaves as the test said.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::exchange::{Exchange, Report};
use super::log::Log;
use super::manner::Manner;
use super::media::Media;
use crate::clock;

/// A bank of phones. Stops when dropped, and then has whatever it heard read by a second reader of SIP.
pub struct Bank {
    inner: Arc<Inner>,
}

struct Inner {
    address: SocketAddr,
    exchange: Mutex<Exchange>,
    changed: Condvar,
    media: Arc<Media>,
    over: AtomicBool,
    deaf: AtomicBool,
}

impl Bank {
    /// Phones that listen on `address` (port 0: any free one).
    pub fn start(address: SocketAddr) -> io::Result<Bank> {
        let socket = UdpSocket::bind(address)?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
        let address = socket.local_addr()?;
        let inner = Arc::new_cyclic(|inner: &std::sync::Weak<Inner>| {
            let waking = inner.clone();
            let media = Media::start(address.ip(), move || {
                if let Some(inner) = waking.upgrade() {
                    inner.changed.notify_all();
                }
            });
            let exchange = Mutex::new(Exchange::new(address, media.clone()));
            Inner {
                address,
                exchange,
                changed: Condvar::new(),
                media,
                over: AtomicBool::new(false),
                deaf: AtomicBool::new(false),
            }
        });
        let listening = inner.clone();
        std::thread::spawn(move || listening.listen(&socket));
        Ok(Bank { inner })
    }

    /// Where the phones listen.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// The same as a trunk's URI.
    pub fn uri(&self) -> String {
        format!("sip:{}", self.inner.address)
    }

    /// Whoever is called by a number of this pattern (digits without plus, `*` at the end for any rest) behaves so.
    /// The latest rule that fits wins.
    pub fn when(&self, pattern: &str, manner: Manner) {
        self.when_each(pattern, vec![manner]);
    }

    /// The same, one manner for each successive attempt of a number; the last one stays.
    pub fn when_each(&self, pattern: &str, manners: Vec<Manner>) {
        self.inner.lock().rule(pattern, manners);
    }

    /// Every INVITE transaction so far, with what came of it.
    pub fn calls(&self) -> Vec<Report> {
        self.inner.lock().reports()
    }

    /// Calls to one number that were let through to the phone (a challenged INVITE is none).
    pub fn calls_to(&self, number: &str) -> Vec<Report> {
        let number = number.trim_start_matches('+');
        self.calls().into_iter().filter(|call| call.number == number && !call.challenged).collect()
    }

    /// Every message so far.
    pub fn log(&self) -> Log {
        self.inner.lock().log.clone()
    }

    /// Everybody who talks to this number's phone hears it hang up.
    pub fn hang_up(&self, number: &str) {
        self.inner.lock().hang_up(number.trim_start_matches('+'));
    }

    /// Neither hears nor sends SIP while deaf: a cut cable.
    pub fn set_deaf(&self, deaf: bool) {
        self.inner.deaf.store(deaf, Ordering::Relaxed);
    }

    /// Waits until the calls answer a question; fails the test with the ladder of all messages when they do not.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut ask: impl FnMut(&[Report]) -> Option<T>) -> T {
        let end = Instant::now() + limit;
        let mut exchange = self.inner.lock();
        loop {
            if let Some(answer) = ask(&exchange.reports()) {
                return answer;
            }
            if Instant::now() >= end {
                let ladder = exchange.log.ladder();
                drop(exchange);
                panic!("waited {} s in vain for {what}; the phones saw:\n{ladder}", limit.as_secs_f32());
            }
            let waited = self.inner.changed.wait_timeout(exchange, Duration::from_millis(100));
            exchange = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until this number's phone rings, is answered and so on: until `ask` is true of its latest call.
    pub fn wait_call(&self, number: &str, what: &str, limit: Duration, mut ask: impl FnMut(&Report) -> bool) -> Report {
        let number = number.trim_start_matches('+');
        self.wait(&format!("{number}: {what}"), limit, |calls| {
            calls.iter().rev().find(|call| call.number == number && !call.challenged).filter(|call| ask(call)).cloned()
        })
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::Relaxed);
        self.inner.media.stop();
        if !std::thread::panicking() {
            self.log().is_read_alike();
        }
    }
}

impl Inner {
    fn listen(&self, socket: &UdpSocket) {
        let mut datagram = vec![0; 65_536];
        while !self.over.load(Ordering::Relaxed) {
            let wait = self
                .lock()
                .next_due()
                .map_or(Duration::from_millis(50), |due| due.saturating_duration_since(Instant::now()));
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(50));
            if socket.set_read_timeout(Some(wait)).is_err() {
                return;
            }
            match socket.recv_from(&mut datagram) {
                Ok((length, from)) if !self.deaf.load(Ordering::Relaxed) => {
                    self.lock().receive(&datagram[..length], from)
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                }
                Err(_) => return,
            }
            self.act(socket);
        }
    }

    fn act(&self, socket: &UdpSocket) {
        let mut exchange = self.lock();
        exchange.tick(Instant::now());
        let out = exchange.take_outgoing();
        for (to, text) in out {
            let before_us = clock::now_us();
            if !self.deaf.load(Ordering::Relaxed) && socket.send_to(text.as_bytes(), to).is_ok() {
                // Whoever answers is up from before it said so, whoever hangs up until it has.
                let at_us = if text.starts_with("SIP/2.0 ") { before_us } else { clock::now_us() };
                exchange.log.note(text.as_bytes(), false, &to.to_string(), at_us);
            }
        }
        drop(exchange);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
