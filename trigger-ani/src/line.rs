//! The line of one missed call: carries its messages while something else is waited for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use ringback_common::service::Shutdown;
use ringback_sip::{Arrival, Endpoint, IncomingCall, LegEvent, Line, Message, Moment};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, sleep_until};

/// After its last word a call is remembered so long, for repeats that were under way (RFC 3261, T4).
const REPEATS: Duration = Duration::from_secs(5);

/// A call that came in and is not answered.
pub struct MissedCall {
    call: IncomingCall,
    line: Line,
    zero: Instant,
    /// When the caller hung up.
    gone: Option<DateTime<Utc>>,
    /// Among the calls in hand, until it is refused or only waits for what is away.
    place: Option<OwnedSemaphorePermit>,
}

/// How long something is tried again for a caller who has gone.
pub struct Patience<'a> {
    /// Until then.
    pub end: Instant,
    /// After so long each time.
    pub pause: Duration,
    /// Not after it began.
    pub shutdown: &'a Shutdown,
}

impl MissedCall {
    /// Says 100; `None`: the INVITE asks for what we cannot do, and was told so.
    pub fn take(arrival: Arrival, endpoint: &Endpoint, place: OwnedSemaphorePermit) -> Option<MissedCall> {
        let Arrival { invite, from, line } = arrival;
        match IncomingCall::new(&invite, from, endpoint.local_addr(), Moment(0)) {
            Ok(call) => {
                let mut missed = MissedCall { call, line, zero: Instant::now(), gone: None, place: Some(place) };
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

    /// When the caller hung up, if they have.
    pub fn gone(&self) -> Option<DateTime<Utc>> {
        self.gone
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

    /// Refuses for now, unless the caller has gone: their network may try again.
    pub fn turn_away(&mut self) {
        let now = self.now();
        self.call.turn_away(now);
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

    /// Asks for what may not be there now. While the caller waits, once: they may try again. When they have gone, as long as there is
    /// patience, and not among the calls in hand: nobody else would bring it again.
    pub async fn insist<T, E, Asking>(&mut self, patience: Patience<'_>, ask: impl Fn() -> Asking) -> Result<T, E>
    where
        Asking: Future<Output = Result<T, E>>,
    {
        loop {
            let answer = self.during(Box::pin(ask())).await;
            let again = self.gone.is_some() && Instant::now() < patience.end && !patience.shutdown.begun();
            if answer.is_ok() || !again {
                return answer;
            }
            self.place = None;
            tokio::select! {
                () = self.during(sleep(patience.pause)) => {}
                () = patience.shutdown.wait() => {}
            }
        }
    }

    /// Carries messages for so long, or until the caller hangs up.
    pub async fn while_it_rings(&mut self, time: Duration) {
        let end = sleep(time);
        tokio::pin!(end);
        while self.gone.is_none() {
            tokio::select! {
                () = &mut end => return,
                () = self.turn() => {}
            }
        }
    }

    /// Carries messages until the refusal is acknowledged, or nobody will.
    pub async fn linger(mut self) {
        self.place = None;
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
            if matches!(event, LegEvent::Over { cause: ringback_sip::OverCause::Canceled { .. } }) {
                self.gone.get_or_insert_with(Utc::now);
            }
        }
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testsite::TestCall;

    /// How often it was asked for what is there at the third time, and whether it was had.
    async fn asked(call: &mut MissedCall, end: Instant, shutdown: &Shutdown) -> (u32, bool) {
        let times = Cell::new(0);
        let ask = async || {
            times.set(times.get() + 1);
            if times.get() < 3 { Err("away") } else { Ok(()) }
        };
        let had = call.insist(Patience { end, pause: Duration::from_millis(1), shutdown }, ask).await;
        (times.get(), had.is_ok())
    }

    #[tokio::test]
    async fn for_who_has_gone_it_is_asked_again_and_who_waits_hears_it_at_once() {
        let (later, shutdown) = (Instant::now() + Duration::from_secs(600), Shutdown::new());
        let mut test = TestCall::ring().await;
        assert_eq!(asked(&mut test.call, later, &shutdown).await, (1, false), "the caller waits");
        assert_eq!(test.places.available_permits(), 0, "in hand");
        test.cancel().await;
        assert!(test.call.gone().is_some());
        assert_eq!(asked(&mut test.call, later, &shutdown).await, (3, true));
        assert_eq!(test.places.available_permits(), 1, "it waited elsewhere");
        assert_eq!(asked(&mut test.call, Instant::now(), &shutdown).await, (1, false), "too late");
        shutdown.begin();
        assert_eq!(asked(&mut test.call, later, &shutdown).await, (1, false), "we stop");
    }
}
