//! The pretend world: addresses, a leg whose other end is a script, and the messages that script speaks.

use std::net::SocketAddr;
use std::time::Duration;

use ringback_sip::{
    Caller, Credentials, Identity, Leg, LegEvent, LegSetup, Message, Method, Moment, Name, Reading, Target, Transmit,
    read,
};

use crate::second_reader;

pub const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n";
pub const ANSWER: &str =
    "v=0\r\no=- 2 1 IN IP4 10.0.0.3\r\ns=-\r\nc=IN IP4 10.0.0.3\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n";

pub fn ours() -> SocketAddr {
    "10.0.0.1:5068".parse().unwrap()
}

pub fn trunk() -> SocketAddr {
    "10.0.0.2:5060".parse().unwrap()
}

pub fn phone() -> SocketAddr {
    "10.0.0.3:5060".parse().unwrap()
}

pub fn stranger() -> SocketAddr {
    "10.9.9.9:5060".parse().unwrap()
}

pub fn setup() -> LegSetup {
    LegSetup {
        identity: Identity::draw(),
        target: Target {
            request_uri: "sip:+442071838750@10.0.0.2".to_owned(),
            peer: trunk(),
            route: None,
            credentials: Some(Credentials {
                username: "ringback".to_owned(),
                password: "open sesame".to_owned(),
                realm: None,
            }),
        },
        caller: Caller {
            from_uri: "sip:+12065550100@ringback.example".to_owned(),
            display: None,
            extra_headers: Vec::new(),
        },
        local: ours(),
        sdp: OFFER.to_owned(),
        expires: Duration::from_secs(45),
        session: Duration::from_secs(180),
    }
}

/// What one of ours writes. A second reader must read it as we do.
pub fn written(transmit: Transmit) -> Transmit {
    second_reader::agrees(&transmit.bytes).unwrap();
    transmit
}

pub fn parsed(bytes: &[u8]) -> Message {
    match read(bytes) {
        Reading::Message(message) => message,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(bytes)),
    }
}

/// `INVITE`, or `200 BYE` for a response.
pub fn title(message: &Message) -> String {
    match message.is_request() {
        true => message.method_text().to_owned(),
        false => format!("{} {}", message.code(), message.method().as_str()),
    }
}

/// A response to a request as an honest peer writes it; `extra` are whole header lines.
pub fn response(request: &Message, code: u16, tag: &str, extra: &[&str], sdp: Option<&str>) -> Message {
    let mut text = format!("SIP/2.0 {code} Reason\r\n");
    for via in request.all(Name::Via) {
        text.push_str(&format!("Via: {via}\r\n"));
    }
    let to = request.get(Name::To).unwrap();
    let to = if tag.is_empty() || to.contains("tag=") { to.to_owned() } else { format!("{to};tag={tag}") };
    text.push_str(&format!("From: {}\r\nTo: {to}\r\n", request.get(Name::From).unwrap()));
    text.push_str(&format!("Call-ID: {}\r\nCSeq: {}\r\n", request.call_id(), request.get(Name::CSeq).unwrap()));
    for line in extra {
        text.push_str(&format!("{line}\r\n"));
    }
    finish(text, sdp)
}

fn finish(mut text: String, sdp: Option<&str>) -> Message {
    if sdp.is_some() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let body = sdp.unwrap_or_default();
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    parsed(text.as_bytes())
}

pub const CONTACT: &str = "Contact: <sip:bob@10.0.0.3:5060>";

/// A leg and the script that plays its peer.
pub struct Story {
    pub leg: Leg,
    pub now: Moment,
    pub sent: Vec<(Moment, Transmit, Message)>,
    told: usize,
    events: Vec<LegEvent>,
    peer_cseq: u32,
}

impl Story {
    pub fn of(leg: Leg) -> Story {
        let mut story =
            Story { leg, now: Moment(1_000), sent: Vec::new(), told: 0, events: Vec::new(), peer_cseq: 100 };
        story.gather();
        story
    }

    pub fn dialled() -> Story {
        Story::dialled_with(setup())
    }

    pub fn dialled_with(setup: LegSetup) -> Story {
        let mut story = Story::of(Leg::new(setup));
        story.does(|leg, now| leg.dial(now));
        assert_eq!(story.sends(), ["INVITE"]);
        story
    }

    /// A call answered with these header lines, its ACK sent.
    pub fn answered_with(extra: &[&str]) -> Story {
        let mut story = Story::dialled();
        story.replies("INVITE", 200, "bob", extra, Some(ANSWER));
        assert!(matches!(story.tells()[..], [LegEvent::Final(_)]));
        story.does(|leg, now| leg.acknowledge(now));
        assert_eq!(story.sends(), ["ACK"]);
        story
    }

    pub fn answered() -> Story {
        Story::answered_with(&[CONTACT, "Session-Expires: 180;refresher=uac", "Require: timer"])
    }

    pub fn does<T>(&mut self, act: impl FnOnce(&mut Leg, Moment) -> T) -> T {
        let result = act(&mut self.leg, self.now);
        self.gather();
        result
    }

    fn gather(&mut self) {
        while let Some(transmit) = self.leg.poll_transmit().map(written) {
            let message = parsed(&transmit.bytes);
            self.sent.push((self.now, transmit, message));
        }
        while let Some(event) = self.leg.poll_event() {
            self.events.push(event);
        }
    }

    /// Lets time pass, with every timer at its moment.
    pub fn waits(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        while let Some(due) = self.leg.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let before = (self.leg.poll_timeout(), self.sent.len());
            self.does(|leg, now| leg.handle_timeout(now));
            assert_ne!(before, (self.leg.poll_timeout(), self.sent.len()), "a deadline that stays is a busy loop");
        }
        self.now = until;
    }

    /// What was sent since the last time this was asked.
    pub fn sends(&mut self) -> Vec<String> {
        let news = self.sent[self.told..].iter().map(|(_, _, message)| title(message)).collect();
        self.told = self.sent.len();
        news
    }

    /// What was told since the last time this was asked.
    pub fn tells(&mut self) -> Vec<LegEvent> {
        std::mem::take(&mut self.events)
    }

    /// The last request of a method that was sent.
    pub fn last(&self, method: &str) -> Message {
        self.last_sent(method).2.clone()
    }

    pub fn last_sent(&self, method: &str) -> &(Moment, Transmit, Message) {
        self.sent.iter().rev().find(|(_, _, message)| title(message) == method).unwrap_or_else(|| panic!("no {method}"))
    }

    pub fn hears(&mut self, message: &Message, from: SocketAddr) {
        self.does(|leg, now| leg.receive(message, from, now));
    }

    /// The trunk answers the last request of a method.
    pub fn replies(&mut self, method: &str, code: u16, tag: &str, extra: &[&str], sdp: Option<&str>) {
        let reply = response(&self.last(method), code, tag, extra, sdp);
        self.hears(&reply, trunk());
    }

    /// A request of the callee within the dialog.
    pub fn request(&mut self, method: Method, extra: &[&str], sdp: Option<&str>) -> Message {
        self.peer_cseq += 1;
        self.request_numbered(method, self.peer_cseq, extra, sdp)
    }

    pub fn request_numbered(&self, method: Method, cseq: u32, extra: &[&str], sdp: Option<&str>) -> Message {
        let invite = self.last("INVITE");
        let to = self.sent.iter().rev().map(|(_, _, m)| m).find(|m| m.method() == Method::Ack).unwrap_or(&invite);
        let from = to.get(Name::To).unwrap();
        let from = if from.contains("tag=") { from.to_owned() } else { format!("{from};tag=bob") };
        let name = method.as_str();
        let mut text = format!(
            "{name} sip:10.0.0.1:5068 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK{name}{cseq};rport\r\n"
        );
        text.push_str(&format!("From: {from}\r\nTo: {}\r\n", invite.get(Name::From).unwrap()));
        text.push_str(&format!("Call-ID: {}\r\nCSeq: {cseq} {name}\r\nMax-Forwards: 70\r\n", invite.call_id()));
        for line in extra {
            text.push_str(&format!("{line}\r\n"));
        }
        finish(text, sdp)
    }
}
