//! The line of one missed call: carries its messages while something else is waited for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringback_sip::{Arrival, Endpoint, IncomingCall, LegEvent, Line, Message, Moment};
use tokio::time::{sleep, sleep_until};

/// After its last word a call is remembered so long, for repeats that were under way (RFC 3261, T4).
const REPEATS: Duration = Duration::from_secs(5);

/// A call that came in and is not answered.
pub struct MissedCall {
    call: IncomingCall,
    line: Line,
    zero: Instant,
    /// The caller has hung up.
    pub gone: bool,
}

impl MissedCall {
    /// Says 100; `None`: the INVITE asks for what we cannot do, and was told so.
    pub fn take(arrival: Arrival, endpoint: &Endpoint) -> Option<MissedCall> {
        let Arrival { invite, from, line } = arrival;
        match IncomingCall::new(&invite, from, endpoint.local_addr(), Moment(0)) {
            Ok(call) => {
                let mut missed = MissedCall { call, line, zero: Instant::now(), gone: false };
                missed.flush();
                Some(missed)
            }
            Err(refusal) => {
                line.send(&refusal);
                None
            }
        }
    }

    /// The INVITE.
    pub fn invite(&self) -> &Message {
        self.call.invite()
    }

    /// The caller's offer, if there is one.
    pub fn offer(&self) -> Option<&str> {
        self.call.offer()
    }

    /// A provisional response.
    pub fn ring(&mut self, code: u16, sdp: Option<String>) {
        let now = self.now();
        self.call.ring(code, sdp, now);
        self.flush();
    }

    /// Refuses, unless the caller has gone.
    pub fn reject(&mut self, code: u16) {
        let now = self.now();
        self.call.reject(code, now);
        self.flush();
    }

    /// Carries messages until this is done.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.turn() => {}
            }
        }
    }

    /// Carries messages for so long, or until the caller hangs up.
    pub async fn while_it_rings(&mut self, time: Duration) {
        let end = sleep(time);
        tokio::pin!(end);
        while !self.gone {
            tokio::select! {
                () = &mut end => return,
                () = self.turn() => {}
            }
        }
    }

    /// Carries messages until the refusal is acknowledged, or nobody will.
    pub async fn linger(mut self) {
        while self.call.poll_timeout().is_some() {
            self.turn().await;
        }
        self.during(sleep(REPEATS)).await;
    }

    /// One message, or one deadline.
    async fn turn(&mut self) {
        let due = self.call.poll_timeout().map(|due| self.zero + Duration::from_millis(due.0));
        let deadline = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (message, from) = self.line.recv() => self.heard(&message, from),
            () = deadline => {
                let now = self.now();
                self.call.handle_timeout(now);
            }
        }
        self.flush();
    }

    fn heard(&mut self, message: &Message, from: SocketAddr) {
        let now = self.now();
        self.call.receive(message, from, now);
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.call.poll_transmit() {
            self.line.send(&transmit);
        }
        while let Some(event) = self.call.poll_event() {
            self.gone |= matches!(event, LegEvent::Over { cause: ringback_sip::OverCause::Canceled { .. } });
        }
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
