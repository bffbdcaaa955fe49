//! Where a message can come to: nobody's request, a new incoming call, a call that is being dialled, calls that are up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ringback_sip::{
    Caller, Credentials, Identity, IncomingCall, Leg, LegEvent, LegSetup, Message, Method, Moment, Reading, Target,
    Transmit, read, stray,
};

use crate::cases::Reaction;

const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5068);
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 5060);
const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8\r\n";
/// No message may make a call send, tell or remember more than this.
const MOST_AT_ONCE: usize = 64;
const MOST_MEMORY: usize = 512 * 1024;

/// What comes of a datagram from a peer that we know.
pub fn reaction_to(datagram: &[u8]) -> Reaction {
    match read(datagram) {
        Reading::Drop(_) => Reaction::Drop,
        Reading::Refuse(refusal) => answered(&refusal.reply(PEER, "ours"), datagram),
        Reading::Message(message) if message.is_request() => asked(&message, datagram),
        Reading::Message(_) => heard(datagram),
    }
}

/// A request of which no call of ours knows: a new call, or the answer to what is nobody's.
fn asked(request: &Message, datagram: &[u8]) -> Reaction {
    if request.method() != Method::Invite || !request.to_tag().is_empty() {
        return stray::answer(request, PEER, "ours").map_or(Reaction::Drop, |reply| answered(&reply, datagram));
    }
    match IncomingCall::new(request, PEER, HERE, Moment(0)) {
        Ok(mut call) => {
            assert_eq!(code_of(&call.poll_transmit().unwrap()), 100);
            call.ring(180, None, Moment(1));
            assert_eq!(code_of(&call.poll_transmit().unwrap()), 180);
            Reaction::Accept
        }
        Err(refusal) => answered(&refusal, datagram),
    }
}

/// A response, made one to an INVITE of ours: does the call hear of it?
fn heard(datagram: &[u8]) -> Reaction {
    let mut leg = dialled();
    let Reading::Message(response) = read(&as_if_to(&leg, datagram)) else { return Reaction::Drop };
    leg.receive(&response, PEER, Moment(1));
    assert!(leg.poll_transmit().is_none(), "no ACK before the owner has written the response down");
    if leg.poll_event().is_some() { Reaction::Accept } else { Reaction::Drop }
}

fn answered(reply: &Transmit, request: &[u8]) -> Reaction {
    assert_eq!(reply.to.ip(), PEER.ip(), "an answer goes to where the request came from, whatever it says");
    assert!(reply.bytes.len() <= 3 * request.len(), "no amplifier: {} for {}", reply.bytes.len(), request.len());
    match code_of(reply) {
        200 => Reaction::Accept,
        code => Reaction::Refuse(code),
    }
}

fn code_of(reply: &Transmit) -> u16 {
    std::str::from_utf8(&reply.bytes[8..11]).unwrap().parse().unwrap()
}

/// Gives a response the names of this leg's INVITE where it has some of its own: top Via, Call-ID, From, CSeq.
fn as_if_to(leg: &Leg, response: &[u8]) -> Vec<u8> {
    let invite = leg.invite();
    let mut names = vec![
        ("Via:", format!("Via: SIP/2.0/UDP {HERE};branch={}", invite.branch)),
        ("Call-ID:", format!("Call-ID: {}", invite.call_id)),
        ("From:", format!("From: <sip:desk@lodge.example>;tag={}", invite.local_tag)),
        ("CSeq:", format!("CSeq: {} INVITE", invite.cseq)),
    ];
    let mut lines: Vec<Vec<u8>> = response.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for line in &mut lines {
        if let Some(at) = names.iter().position(|(name, _)| line.starts_with(name.as_bytes())) {
            *line = format!("{}\r", names.remove(at).1).into_bytes();
        }
    }
    lines.join(&b'\n')
}

/// A call of each kind, and an owner who does what a call asks of it.
pub struct Ends {
    dialled: Leg,
    up: Leg,
    incoming: IncomingCall,
    now: Moment,
}

impl Ends {
    /// One that is being dialled, one that is up, one that came in and is up.
    pub fn new() -> Ends {
        Ends { dialled: dialled(), up: up(), incoming: incoming(), now: Moment(1_000) }
    }

    /// A datagram for all of them; then a little time passes.
    pub fn receive(&mut self, datagram: &[u8]) {
        self.now = self.now + Duration::from_millis(20);
        match read(datagram) {
            Reading::Message(message) => self.hand_out(&message),
            Reading::Refuse(refusal) => assert!(refusal.reply(PEER, "ours").bytes.starts_with(b"SIP/2.0 ")),
            Reading::Drop(_) => {}
        }
        self.pass_time();
    }

    fn hand_out(&mut self, message: &Message) {
        if message.is_request() {
            stray::answer(message, PEER, "ours");
            if let Ok(mut call) = IncomingCall::new(message, PEER, HERE, self.now) {
                call.answer(OFFER.to_owned(), self.now);
                call.receive(message, PEER, self.now);
                call.hang_up(None, self.now);
                drain(|| call.poll_transmit());
            }
        }
        self.dialled.receive(message, PEER, self.now);
        self.up.receive(message, PEER, self.now);
        self.incoming.receive(message, PEER, self.now);
    }

    /// The owners do what is asked; timers that are due run; whoever is over makes room for another.
    fn pass_time(&mut self) {
        for leg in [&mut self.dialled, &mut self.up] {
            oblige(leg, self.now);
            run_timers(leg, Leg::poll_timeout, Leg::handle_timeout, self.now);
            oblige(leg, self.now);
        }
        run_timers(&mut self.incoming, IncomingCall::poll_timeout, IncomingCall::handle_timeout, self.now);
        drain(|| self.incoming.poll_transmit());
        for event in drain(|| self.incoming.poll_event()) {
            if let LegEvent::Offer { .. } = event {
                self.incoming.answer_offer(Some(OFFER.to_owned()), self.now);
            }
        }
        drain(|| self.incoming.poll_transmit());
        if self.dialled.is_over() {
            self.dialled = dialled();
        }
        if self.up.is_over() {
            self.up = up();
        }
        if self.incoming.is_over() {
            self.incoming = incoming();
        }
    }

    /// Nothing has piled up in any of them.
    pub fn assert_small(&self) {
        for size in [format!("{:?}", self.dialled), format!("{:?}", self.up), format!("{:?}", self.incoming)] {
            assert!(size.len() < MOST_MEMORY, "{} bytes to describe one call", size.len());
        }
    }
}

/// Runs what is due; a timer that is due again at once would hang its owner.
fn run_timers<T>(call: &mut T, poll: fn(&T) -> Option<Moment>, handle: fn(&mut T, Moment), now: Moment) {
    let is_due = |call: &T| poll(call).is_some_and(|due| due <= now);
    for _ in 0..MOST_AT_ONCE {
        if is_due(call) {
            handle(call, now);
        }
    }
    assert!(!is_due(call), "a timer that stays due");
}

/// Does for a leg what its owner has to: writes down (here: nothing to do), acknowledges, dials again, answers offers.
fn oblige(leg: &mut Leg, now: Moment) {
    drain(|| leg.poll_transmit());
    for event in drain(|| leg.poll_event()) {
        match event {
            LegEvent::Final(told) => {
                leg.acknowledge(now);
                if told.retry {
                    leg.dial(now);
                }
            }
            LegEvent::Offer { .. } => leg.answer_offer(Some(OFFER.to_owned()), now),
            LegEvent::Reserve => leg.reserve_done(now),
            _ => {}
        }
    }
    drain(|| leg.poll_transmit());
}

fn drain<T>(mut next: impl FnMut() -> Option<T>) -> Vec<T> {
    let all: Vec<T> = std::iter::from_fn(&mut next).take(MOST_AT_ONCE).collect();
    assert!(all.len() < MOST_AT_ONCE, "one message made a call send or tell {MOST_AT_ONCE} things");
    all
}

/// A call of ours whose INVITE has left. Its names are those in the messages of `torture/call`.
fn dialled() -> Leg {
    let credentials = Credentials { username: "lodge".to_owned(), password: "tide".to_owned(), realm: None };
    let mut leg = Leg::new(LegSetup {
        identity: Identity {
            call_id: "call.1".to_owned(),
            local_tag: "ours".to_owned(),
            branch: "z9hG4bKours".to_owned(),
            cseq: 6,
        },
        target: Target {
            request_uri: "sip:+442079460123@127.0.0.2".to_owned(),
            peer: PEER,
            route: None,
            credentials: Some(credentials),
        },
        caller: Caller {
            from_uri: "sip:desk@lodge.example".to_owned(),
            display: Some("The \"desk\"".to_owned()),
            extra_headers: Vec::new(),
        },
        local: HERE,
        sdp: OFFER.to_owned(),
        expires: Duration::from_secs(60),
        session: Duration::from_secs(180),
    });
    leg.dial(Moment(0));
    drain(|| leg.poll_transmit());
    leg
}

/// The same call, answered.
fn up() -> Leg {
    let mut leg = dialled();
    leg.receive(&message(include_str!("call/200.sip")), PEER, Moment(1));
    oblige(&mut leg, Moment(1));
    assert!(!leg.is_over());
    leg
}

/// A call that came in and was answered.
fn incoming() -> IncomingCall {
    let invite = message(include_str!("call/incoming-invite.sip"));
    let mut call = IncomingCall::new(&invite, PEER, HERE, Moment(0)).unwrap();
    call.answer(OFFER.to_owned(), Moment(1));
    drain(|| call.poll_transmit());
    call
}

fn message(text: &str) -> Message {
    match read(&crate::render::render(text)) {
        Reading::Message(message) => message,
        other => panic!("{other:?}"),
    }
}
