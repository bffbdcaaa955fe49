//! Client transactions and the memory of what was answered: the repeats that make UDP reliable (RFC 3261 17).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::frame::{Message, Method};
use crate::moment::{Moment, earliest};
use crate::transmit::{Outbox, Transmit};

/// The round-trip estimate.
pub(crate) const T1: u64 = 500;
/// The longest interval between repeats.
pub(crate) const T2: u64 = 4_000;
/// How long either side repeats itself: Timers B, F, H, and how long answers are remembered.
pub(crate) const PATIENCE: u64 = 64 * T1;
/// How long a re-INVITE may stay provisional.
const REINVITE_PATIENCE: u64 = 60_000;

/// One request of ours on its way.
#[derive(Debug)]
pub(crate) struct ClientTransaction {
    pub method: Method,
    pub branch: String,
    pub cseq: u32,
    pub to: SocketAddr,
    pub provisional: bool,
    bytes: Bytes,
    repeat: Option<(Moment, u64)>,
    until: Option<Moment>,
}

impl ClientTransaction {
    /// Sends a request and repeats it until it is answered.
    pub fn send(
        method: Method,
        branch: String,
        cseq: u32,
        transmit: Transmit,
        now: Moment,
        out: &mut Outbox,
    ) -> ClientTransaction {
        Self::send_for(method, branch, cseq, transmit, PATIENCE, now, out)
    }

    /// The same with less patience left: an INVITE sent again after a crash.
    pub fn send_for(
        method: Method,
        branch: String,
        cseq: u32,
        transmit: Transmit,
        patience: u64,
        now: Moment,
        out: &mut Outbox,
    ) -> ClientTransaction {
        let Transmit { to, bytes } = transmit.clone();
        out.send(transmit);
        ClientTransaction {
            method,
            branch,
            cseq,
            to,
            provisional: false,
            bytes,
            repeat: Some((now.plus_ms(T1), T1)),
            until: Some(now.plus_ms(patience)),
        }
    }

    /// Whether this response answers it (RFC 3261 17.1.3).
    pub fn matches(&self, response: &Message) -> bool {
        response.method() == self.method && response.cseq() == self.cseq && response.branch() == self.branch
    }

    /// A provisional response: an INVITE is repeated no more, anything else less often. A dialog's INVITE may ring for as long
    /// as its owner likes; a re-INVITE may not.
    pub fn proceed(&mut self, within_dialog: bool, now: Moment) {
        let first = !std::mem::replace(&mut self.provisional, true);
        if self.method != Method::Invite {
            self.repeat = self.repeat.map(|(at, _)| (at, T2));
        } else if first {
            self.repeat = None;
            self.until = within_dialog.then(|| now.plus_ms(REINVITE_PATIENCE));
        }
    }

    pub fn poll_timeout(&self) -> Option<Moment> {
        earliest([self.repeat.map(|(at, _)| at), self.until])
    }

    /// Sends it once more, beside its repeats, unless it needs none any more.
    pub fn again(&self, out: &mut Outbox) {
        if self.repeat.is_some() {
            out.send(Transmit { to: self.to, bytes: self.bytes.clone() });
        }
    }

    /// Repeats what is due. True when nobody answered in time.
    pub fn handle_timeout(&mut self, now: Moment, out: &mut Outbox) -> bool {
        if self.until.is_some_and(|until| until <= now) {
            self.repeat = None;
            return true;
        }
        if let Some((at, interval)) = self.repeat
            && at <= now
        {
            self.again(out);
            let doubled = interval * 2;
            let next = if self.method == Method::Invite { doubled } else { doubled.min(T2) };
            // As it was due, not as late as this one was: delays must not add up to a repeat at the end of the INVITE's life.
            let due = at.plus_ms(next);
            self.repeat = Some((if due > now { due } else { now.plus_ms(next) }, next));
        }
        false
    }
}

/// A final response of ours that is repeated until its ACK comes.
#[derive(Debug)]
pub(crate) struct AwaitingAck {
    pub cseq: u32,
    pub branch: String,
    pub accepted: bool,
    /// The 2xx made the offer: the ACK brings the answer.
    pub offered: bool,
    transmit: Transmit,
    repeat_at: Moment,
    interval: u64,
    until: Moment,
}

impl AwaitingAck {
    pub fn send(request: &Message, accepted: bool, transmit: Transmit, now: Moment, out: &mut Outbox) -> AwaitingAck {
        out.send(transmit.clone());
        AwaitingAck {
            cseq: request.cseq(),
            branch: request.branch().to_owned(),
            accepted,
            offered: accepted && request.sdp().is_none(),
            transmit,
            repeat_at: now.plus_ms(T1),
            interval: T1,
            until: now.plus_ms(PATIENCE),
        }
    }

    pub fn poll_timeout(&self) -> Moment {
        self.repeat_at.min(self.until)
    }

    /// The same request came again: so does the answer.
    pub fn repeat(&self, out: &mut Outbox) {
        out.send(self.transmit.clone());
    }

    /// Repeats what is due. True when no ACK came in time.
    pub fn handle_timeout(&mut self, now: Moment, out: &mut Outbox) -> bool {
        if self.until <= now {
            return true;
        }
        if self.repeat_at <= now {
            self.repeat(out);
            self.interval = (self.interval * 2).min(T2);
            self.repeat_at = now.plus_ms(self.interval);
        }
        false
    }
}

/// The last answers, so that a repeated request gets the same one.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    last: VecDeque<(Method, String, Transmit, Moment)>,
}

impl Answered {
    const MEMORY: usize = 8;

    /// Answers and remembers.
    pub fn answer(&mut self, request: &Message, transmit: Transmit, now: Moment, out: &mut Outbox) {
        if self.last.len() == Self::MEMORY {
            self.last.pop_front();
        }
        self.last.push_back((request.method(), request.branch().to_owned(), transmit.clone(), now.plus_ms(PATIENCE)));
        out.send(transmit);
    }

    /// Whether this request was answered before; if so, answers it again.
    pub fn repeat(&mut self, request: &Message, now: Moment, out: &mut Outbox) -> bool {
        self.last.retain(|(_, _, _, until)| *until > now);
        let branch = request.branch();
        let known = self.last.iter().find(|(method, known, _, _)| *method == request.method() && known == branch);
        known.inspect(|(_, _, transmit, _)| out.send(transmit.clone())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_repeats_no_invite_later_than_it_is_due() {
        let mut out = Outbox::default();
        let transmit = Transmit { to: ([127, 0, 0, 1], 5060).into(), bytes: Bytes::new() };
        let mut invite = ClientTransaction::send(Method::Invite, "z".to_owned(), 1, transmit, Moment(0), &mut out);
        let mut repeats = Vec::new();
        loop {
            let due = invite.poll_timeout().unwrap();
            if invite.handle_timeout(due.plus_ms(80), &mut out) {
                break;
            }
            repeats.push(due.0);
        }
        assert_eq!(repeats, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    }
}
