//! Is that trunk alive? One OPTIONS outside any dialog (RFC 3261 11).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;

use crate::frame::{Message, Method};
use crate::identity::{draw_branch, draw_tag};
use crate::moment::Moment;
use crate::transaction::ClientTransaction;
use crate::transmit::{Outbox, Transmit};
use crate::write::Writer;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pong {
    /// It answered, with whatever code.
    Alive {
        /// The status code.
        code: u16,
    },
    /// It did not, within 32 seconds.
    Silent,
}

/// One question and its answer.
#[derive(Debug)]
pub struct Ping {
    call_id: String,
    transaction: ClientTransaction,
    pong: Option<Pong>,
    out: Outbox,
}

impl Ping {
    /// Asks.
    pub fn send(request_uri: &str, peer: SocketAddr, local: SocketAddr, now: Moment) -> Ping {
        let (branch, call_id) = (draw_branch(), draw_tag());
        let bytes = Writer::request("OPTIONS", request_uri)
            .via(local, &branch)
            .shown("Max-Forwards", 70)
            .shown("From", format_args!("<sip:{local}>;tag={}", draw_tag()))
            .header("To", &format!("<{request_uri}>"))
            .header("Call-ID", &call_id)
            .header("CSeq", "1 OPTIONS")
            .header("Accept", "application/sdp")
            .finish(None);
        let mut out = Outbox::default();
        let transaction =
            ClientTransaction::send(Method::Options, branch, 1, Transmit { to: peer, bytes }, now, &mut out);
        Ping { call_id, transaction, pong: None, out }
    }

    /// The Call-ID to register.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// A message with this Call-ID.
    pub fn receive(&mut self, message: &Message, from: SocketAddr, now: Moment) {
        if message.is_request() || from.ip() != self.transaction.to.ip() || !self.transaction.matches(message) {
            return;
        }
        match message.code() {
            100..200 => self.transaction.proceed(false, now),
            code => self.pong = self.pong.or(Some(Pong::Alive { code })),
        }
    }

    /// The answer, once there is one.
    pub fn pong(&self) -> Option<Pong> {
        self.pong
    }

    /// When to come back at the latest.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.pong.is_none().then(|| self.transaction.poll_timeout()).flatten()
    }

    /// Repeats what is due.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.pong.is_none() && self.transaction.handle_timeout(now, &mut self.out) {
            self.pong = Some(Pong::Silent);
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }
}
