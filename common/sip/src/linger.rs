//! What is owed for calls that have ended: a final response that comes again is acknowledged again, so that the peer whose
//! ACK got lost falls silent (RFC 3261 13.2.2.4 and, as Timer D, 17.1.1.2), and a BYE that comes again is answered again.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::frame::{self, Message, Reading};
use crate::moment::Moment;
use crate::transaction::PATIENCE;
use crate::transmit::Transmit;

/// More ended calls than these are not remembered; the oldest go first.
const MOST: usize = 16_384;

/// The ACKs of calls that have ended, each for as long as a peer may repeat itself.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    calls: HashMap<Arc<str>, (Moment, Vec<Transmit>)>,
    ends: VecDeque<(Moment, Arc<str>)>,
}

impl Lingering {
    /// A call has ended that sent these ACKs.
    pub fn keep(&mut self, call_id: &str, acks: Vec<Transmit>, now: Moment) {
        self.forget(now);
        if acks.is_empty() {
            return;
        }
        let (until, call_id) = (now.plus_ms(PATIENCE), Arc::<str>::from(call_id));
        self.calls.insert(call_id.clone(), (until, acks));
        self.ends.push_back((until, call_id));
    }

    fn forget(&mut self, now: Moment) {
        while let Some((until, call_id)) = self.ends.front() {
            if *until > now && self.ends.len() < MOST {
                return;
            }
            if self.calls.get(call_id).is_some_and(|(kept_until, _)| kept_until == until) {
                self.calls.remove(call_id);
            }
            self.ends.pop_front();
        }
    }

    /// Whether this is the Call-ID of a call that has just ended.
    pub fn knows(&self, call_id: &str, now: Moment) -> bool {
        self.acks(call_id, now).is_some()
    }

    /// The ACK that this final response to an INVITE has had before.
    pub fn ack_again(&self, response: &Message, now: Moment) -> Option<Transmit> {
        let answers = |transmit: &&Transmit| match frame::read(&transmit.bytes) {
            Reading::Message(ack) => ack.cseq() == response.cseq() && ack.to_tag() == response.to_tag(),
            _ => false,
        };
        self.acks(response.call_id(), now)?.iter().find(answers).cloned()
    }

    fn acks(&self, call_id: &str, now: Moment) -> Option<&[Transmit]> {
        self.calls.get(call_id).filter(|(until, _)| *until > now).map(|(_, acks)| acks.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(cseq: u32, tag: &str) -> Transmit {
        let bytes = format!(
            "ACK sip:bob@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5068;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=us\r\n\
             To: <sip:bob@10.0.0.2>;tag={tag}\r\nCall-ID: c\r\nCSeq: {cseq} ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        Transmit { to: "10.0.0.2:5060".parse().unwrap(), bytes: bytes.into() }
    }

    fn response(code: u16, cseq: u32, tag: &str) -> Message {
        let text = format!(
            "SIP/2.0 {code} X\r\nVia: SIP/2.0/UDP 10.0.0.1:5068;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=us\r\n\
             To: <sip:bob@10.0.0.2>;tag={tag}\r\nCall-ID: c\r\nCSeq: {cseq} INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        match frame::read(text.as_bytes()) {
            Reading::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_final_response_has_its_own_ack_again_and_no_other() {
        let mut kept = Lingering::default();
        kept.keep("c", vec![ack(1, "proxy"), ack(2, "bob")], Moment(0));
        assert_eq!(kept.ack_again(&response(407, 1, "proxy"), Moment(31_999)), Some(ack(1, "proxy")));
        assert_eq!(kept.ack_again(&response(200, 2, "bob"), Moment(5)), Some(ack(2, "bob")));
        assert_eq!(kept.ack_again(&response(200, 2, "carol"), Moment(5)), None, "another phone's answer is no repeat");
        assert_eq!(kept.ack_again(&response(407, 1, "proxy"), Moment(32_000)), None, "for 32 s");
    }

    #[test]
    fn what_is_owed_is_forgotten_in_time_and_never_grows_without_bound() {
        let mut kept = Lingering::default();
        for call in 0..2 * MOST {
            kept.keep(&format!("call-{call}"), vec![ack(1, "x")], Moment(0));
        }
        assert!(kept.calls.len() <= MOST && kept.ends.len() <= MOST);
        assert!(kept.knows(&format!("call-{}", 2 * MOST - 1), Moment(1)) && !kept.knows("call-0", Moment(1)));
        kept.keep("twice", vec![ack(1, "x")], Moment(10_000));
        kept.keep("twice", vec![ack(2, "y")], Moment(30_000));
        kept.keep("last", vec![ack(1, "x")], Moment(50_000));
        assert!(kept.knows("twice", Moment(50_000)), "kept again, it lives from then");
        assert_eq!(kept.calls.len(), 2);
    }
}
