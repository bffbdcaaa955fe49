//! One leg's equipment: its SIP leg, its place at the SIP socket, its audio, and what was agreed on.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use ringback_common::event::LegName::{self, A, B};
use ringback_common::json;
use ringback_common::store::{DialogState, NewInvite};
use ringback_sip::net::{Endpoint, Line};
use ringback_sip::{Leg, LegState, Message, Moment};
use tokio::time::Instant;

use super::record::index;
use crate::call::Cause;
use crate::media::LegMedia;
use crate::sdp::LocalSdp;

/// One leg, ready to be dialled or on the line.
pub struct PhoneLine {
    /// Which party.
    pub name: LegName,
    /// The dialled attempt, from 1.
    pub attempt: u32,
    /// Tries of the same attempt that earlier legs used up, through other trunks.
    pub tries_before: u32,
    /// Its SIP side.
    pub sip: Leg,
    /// What arrives for it.
    pub wire: Line,
    /// Who may speak in it.
    pub welcome: Welcome,
    /// Its audio, until the call is settled.
    pub media: Option<LegMedia>,
    /// Our side of offer and answer.
    pub offer: LocalSdp,
    /// Where its trunk's signalling comes from: the only address that audio may be learned from.
    pub signalling: IpAddr,
    /// Whether it was answered, so that there is a dialog to be stored.
    pub answered: bool,
    /// What its end is called, when we know better than its last response says.
    pub verdict: Option<Cause>,
    /// When its next try may leave, if the peer asked for patience (491).
    pub not_before: Option<Moment>,
    /// While it is being taken up again after a crash: when the call was last known alive.
    pub taken_up: Option<Moment>,
    /// Its dialog as the store has it.
    pub stored: Option<LegState>,
    /// Its dialog in the step that is on its way to the store.
    pub storing: Option<LegState>,
    /// Whether its INVITE was refused for good; the ACK waits for the store.
    pub refused: bool,
    /// Whether something it had to say was held back by the gate.
    pub held_back: bool,
    /// Whether it has said its last word.
    pub over: bool,
}

impl PhoneLine {
    /// The last a refused leg does: its ACK.
    pub fn say_goodbye(mut self, endpoint: &Endpoint, now: Moment) {
        self.sip.acknowledge(now);
        while let Some(transmit) = self.sip.poll_transmit() {
            endpoint.send(&transmit);
        }
    }

    /// The number of its present try within the attempt.
    pub fn try_number(&self) -> u32 {
        self.tries_before + self.sip.invite().try_number
    }

    /// The INVITE that is to leave next, as it is stored.
    pub fn new_invite(&self, expires: Duration) -> NewInvite {
        let invite = self.sip.invite();
        NewInvite {
            leg: self.name,
            attempt: self.attempt,
            try_number: self.try_number(),
            call_id: invite.call_id.clone(),
            branch: invite.branch.clone(),
            bytes: invite.bytes.clone(),
            sdp: Some(self.offer.text().to_owned()),
            local_addr: invite.local,
            peer_addr: invite.peer,
            expires_s: u32::try_from(expires.as_secs()).unwrap_or(u32::MAX),
        }
    }

    /// The dialog, if the store does not have it as it is now.
    pub fn dialog(&mut self) -> Option<DialogState> {
        let state = self.sip.snapshot();
        if !self.answered || self.stored.as_ref() == Some(&state) {
            return None;
        }
        let text = json::text(&state, 1_536).expect("a leg's state is plain structs with text keys");
        let cseq_hi = i64::from(state.cseq_reserved());
        self.storing = Some(state);
        Some(DialogState { leg: self.name, attempt: self.attempt, state: text, cseq_hi })
    }

    /// The step that was on its way is durable.
    pub fn durable(&mut self) {
        self.stored = self.storing.take().or(self.stored.take());
    }
}

/// A phone whose ACK got lost repeats its last word after the call has ended here.
impl Drop for PhoneLine {
    fn drop(&mut self) {
        self.wire.linger(self.sip.sent_acks());
    }
}

/// The next message of either party, in the order in which they reached us: whoever hung up first has ended the call.
pub async fn hear(lines: &mut [Option<PhoneLine>; 2]) -> (LegName, Message, SocketAddr) {
    poll_fn(|context| {
        let arrival = |(leg, line): (LegName, &mut Option<PhoneLine>)| match line.as_mut()?.wire.poll_arrival(context) {
            Poll::Ready(at) => Some((at, leg)),
            Poll::Pending => None,
        };
        let arrivals = [A, B].into_iter().zip(lines.iter_mut()).filter_map(arrival);
        let Some((_, leg)) = arrivals.min_by_key(|(at, _)| *at) else { return Poll::Pending };
        let heard = lines[index(leg)].as_mut().and_then(|line| line.wire.try_recv());
        heard.map_or(Poll::Pending, |(message, from)| Poll::Ready((leg, message, from)))
    })
    .await
}

/// How often a deadline looks whether all is read, five milliseconds apart.
const LOOKS: u32 = 100;

/// The deadline has come, and whatever reached us before is read: what a phone said while we were stopped or busy counts before
/// what follows from its silence, however short the delay.
pub async fn due(endpoint: &Endpoint, deadline: Instant) {
    tokio::time::sleep_until(deadline).await;
    for _ in 0..LOOKS {
        if !endpoint.has_unread() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The addresses that may speak in one call, known to the SIP socket as long as the call lasts.
pub struct Welcome {
    endpoint: Endpoint,
    ips: Vec<IpAddr>,
}

impl Welcome {
    /// Lets the trunk speak.
    pub fn trunk(endpoint: &Endpoint, ip: IpAddr) -> Welcome {
        endpoint.trust(ip);
        Welcome { endpoint: endpoint.clone(), ips: vec![ip] }
    }

    /// Lets the answered dialog's own addresses speak as well.
    pub fn add(&mut self, peers: Vec<IpAddr>) {
        for ip in peers.into_iter().filter(|ip| !ip.is_unspecified()) {
            if !self.ips.contains(&ip) {
                self.endpoint.trust(ip);
                self.ips.push(ip);
            }
        }
    }
}

impl Drop for Welcome {
    fn drop(&mut self) {
        for ip in &self.ips {
            self.endpoint.untrust(*ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only thread has not read the socket: it was stopped, and the deadline has passed meanwhile.
    #[tokio::test]
    async fn what_came_before_a_deadline_is_heard_before_it() {
        let endpoint = Endpoint::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let mut line = endpoint.register("c");
        let phone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        endpoint.trust(phone.local_addr().unwrap().ip());
        let bye = "BYE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=f\r\n\
                   To: <sip:a@h>;tag=t\r\nCall-ID: c\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n";
        phone.send_to(bye.as_bytes(), endpoint.local_addr()).unwrap();
        let deadline = Instant::now(); // a stop of any length: the shortest as well
        tokio::select! {
            biased;
            (message, _) = line.recv() => assert_eq!(message.call_id(), "c"),
            () = due(&endpoint, deadline) => panic!("the deadline came first"),
        }
        due(&endpoint, deadline).await;
    }
}
