//! The signalling of a bank: server transactions, dialogs and timers of RFC 3261, in one table.

mod call;
mod requests;
mod timers;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use call::Call;
pub use call::{Report, Who};

use super::log::Log;
use super::manner::{Finish, Manner, Voice};
use super::media::{Media, Speech};
use super::wire::{self, Sdp, Sip};
use crate::clock;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const GIVE_UP: Duration = Duration::from_secs(32);
/// A dead call's RTP socket stays open so long, to see what still comes.
const AFTERMATH: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
enum Due {
    Ring,
    Early,
    Finish,
    Resend(u32),
    HangUp,
    Reinvite(String),
    Type(String),
    CloseMedia,
    Forget,
    Client(String),
    Expire,
}

/// A request of ours that waits for its response.
struct Pending {
    call: usize,
    method: &'static str,
    text: String,
    to: SocketAddr,
    interval: Duration,
    until: Instant,
    provisional: bool,
}

struct Rule {
    pattern: String,
    manners: Vec<Manner>,
    used: HashMap<String, usize>,
}

#[derive(Clone, Default)]
struct Nonce {
    value: String,
    staled: bool,
}

pub(crate) struct Exchange {
    address: SocketAddr,
    media: Arc<Media>,
    rules: Vec<Rule>,
    calls: Vec<Call>,
    due: BTreeMap<(Instant, u64), (usize, Due)>,
    pending: HashMap<String, Pending>,
    answered: HashMap<String, String>,
    nonces: HashMap<String, Nonce>,
    outgoing: Vec<(SocketAddr, String)>,
    counter: u64,
    pub log: Log,
}

impl Exchange {
    pub fn new(address: SocketAddr, media: Arc<Media>) -> Exchange {
        Exchange {
            address,
            media,
            rules: Vec::new(),
            calls: Vec::new(),
            due: BTreeMap::new(),
            pending: HashMap::new(),
            answered: HashMap::new(),
            nonces: HashMap::new(),
            outgoing: Vec::new(),
            counter: 0,
            log: Log::default(),
        }
    }

    pub fn rule(&mut self, pattern: &str, manners: Vec<Manner>) {
        let pattern = pattern.trim_start_matches('+').to_owned();
        self.rules.push(Rule { pattern, manners, used: HashMap::new() });
    }

    pub fn reports(&self) -> Vec<Report> {
        let report = |(id, call): (usize, &Call)| Report { audio: self.media.audio(id as u64), ..call.report.clone() };
        self.calls.iter().enumerate().map(report).collect()
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub fn take_outgoing(&mut self) -> Vec<(SocketAddr, String)> {
        std::mem::take(&mut self.outgoing)
    }

    pub fn hang_up(&mut self, number: &str) {
        let talking =
            |call: &Call| call.report.number == number && call.report.answered_us.is_some() && !call.done_with;
        let calls: Vec<usize> = (0..self.calls.len()).filter(|id| talking(&self.calls[*id])).collect();
        for id in calls {
            self.later(id, Duration::ZERO, Due::HangUp);
        }
    }

    /// A datagram from the gateway or a proxy.
    pub fn receive(&mut self, datagram: &[u8], from: SocketAddr) {
        self.log.note(datagram, true, &from.to_string(), clock::now_us());
        let Some(message) = Sip::parse(datagram) else {
            return;
        };
        let key = format!("{} {}", message.branch(), message.method().unwrap_or(""));
        if let Some(again) = self.answered.get(&key) {
            return self.outgoing.push((from, again.clone()));
        }
        match message.method() {
            None => self.on_response(&message),
            Some("INVITE") if message.tag("To").is_empty() => self.on_invite(message, from),
            Some("ACK") => self.on_ack(&message),
            Some("CANCEL") => self.on_cancel(&message, from),
            Some("OPTIONS") if message.tag("To").is_empty() => self.reply(&message, from, 200, "phone", ""),
            Some(_) => self.on_request_in_dialog(&message, from),
        }
    }

    fn on_invite(&mut self, invite: Sip, from: SocketAddr) {
        if let Some(id) = self.transaction(invite.branch()) {
            self.calls[id].report.repeats += 1;
            let has_hung_up = self.calls[id].report.ended_us.is_some(); // then its 200 is the past (RFC 6026)
            if let Some(again) = self.calls[id].last_response.clone().filter(|_| !has_hung_up) {
                self.outgoing.push((from, again));
            }
            return;
        }
        let number = invite.number();
        let Some((rule, manner)) = self.manner_for(&number) else {
            return self.reply(&invite, from, 404, "nobody", "");
        };
        let id = self.add_call(invite, from, manner);
        if self.challenge(id) {
            return;
        }
        *self.rules[rule].used.entry(number).or_default() += 1;
        let manner = self.calls[id].manner.clone();
        if matches!(manner.finish, Finish::Dead) {
            return;
        }
        self.respond(id, 100, &[], "");
        if let Some(after) = manner.ring {
            self.later(id, after, Due::Ring);
        }
        if let Some(after) = manner.early {
            self.later(id, after, Due::Early);
        }
        if let Finish::Answer(after) | Finish::Refuse(after, ..) = manner.finish {
            self.later(id, after, Due::Finish);
        }
        let expires = self.calls[id].invite.header("Expires").and_then(|seconds| seconds.trim().parse().ok());
        if let Some(seconds) = expires.filter(|_| manner.heeds_expires) {
            self.later(id, Duration::from_secs(seconds), Due::Expire);
        }
    }

    /// The INVITE transaction of a branch; 32 s after its final response the phone knows it no more (timers H, I and L).
    fn transaction(&self, branch: &str) -> Option<usize> {
        self.calls.iter().position(|call| call.report.branch == branch && !call.forgotten)
    }

    fn manner_for(&self, number: &str) -> Option<(usize, Manner)> {
        let fits = |rule: &Rule| match rule.pattern.strip_suffix('*') {
            Some(start) => number.starts_with(start),
            None => number == rule.pattern,
        };
        let index = self.rules.iter().rposition(fits)?;
        let rule = &self.rules[index];
        let used = rule.used.get(number).copied().unwrap_or(0);
        Some((index, rule.manners.get(used).or(rule.manners.last())?.clone()))
    }

    fn add_call(&mut self, invite: Sip, peer: SocketAddr, manner: Manner) -> usize {
        let id = self.calls.len();
        let media = self.media.open(id as u64).unwrap_or(self.address);
        self.calls.push(Call::new(invite, peer, manner, media));
        id
    }

    /// Sends 401 or 407 if this phone wants to see credentials first and has not.
    fn challenge(&mut self, id: usize) -> bool {
        let Some(challenge) = self.calls[id].manner.challenge.clone() else {
            return false;
        };
        let nonce = self.nonces.entry(self.calls[id].report.call_id.clone()).or_default();
        let right = !nonce.value.is_empty() && challenge.satisfied_by(&self.calls[id].invite, &nonce.value);
        let stale = right && challenge.stale_once && !nonce.staled;
        if right && !stale {
            return false;
        }
        *nonce = Nonce { value: format!("{:016x}", rand::random::<u64>()), staled: nonce.staled || stale };
        let headers = challenge.headers(&nonce.value, stale);
        self.calls[id].report.challenged = true;
        self.refuse(id, challenge.code, &headers);
        true
    }

    fn refuse(&mut self, id: usize, code: u16, headers: &[(&'static str, String)]) {
        self.respond(id, code, headers, "");
        self.calls[id].report.refused = Some(code);
        self.calls[id].done_with = true;
        self.repeat_until_ack(id);
        self.later(id, AFTERMATH, Due::CloseMedia);
    }

    fn answer(&mut self, id: usize) {
        let forks = self.calls[id].manner.forks;
        self.send_200(id);
        for _ in 0..forks {
            let (invite, peer, manner) =
                (self.calls[id].invite.clone(), self.calls[id].peer, self.calls[id].manner.clone());
            let further = self.add_call(invite, peer, Manner { hang_up: None, ..manner });
            self.calls[further].report.fork = true;
            self.send_200(further);
        }
    }

    fn send_200(&mut self, id: usize) {
        let call = &self.calls[id];
        let timer = call.manner.session_expires.filter(|_| call.invite.all("Supported").any(|v| v.contains("timer")));
        let mut headers = Vec::new();
        if let Some(seconds) = timer {
            headers.push(("Session-Expires", format!("{seconds};refresher=uac")));
            headers.push(("Require", "timer".to_owned()));
        }
        let body = self.describe(id, "sendrecv");
        self.respond(id, 200, &headers, &body);
        let now = clock::now_us();
        self.calls[id].report.answered_us = Some(now);
        self.repeat_until_ack(id);
        self.speak(id);
        let manner = self.calls[id].manner.clone();
        if let Some(after) = manner.hang_up {
            self.later(id, after, Due::HangUp);
        }
        if let Some((after, direction)) = manner.reinvite {
            self.later(id, after, Due::Reinvite(direction));
        }
        if let Some((after, digits)) = manner.digits {
            self.later(id, after, Due::Type(digits));
        }
    }

    fn describe(&self, id: usize, direction: &str) -> String {
        let call = &self.calls[id];
        let events = call.offer.as_ref().map_or(Some(101), |offer| offer.events);
        Sdp::write(call.media, call.sdp_version, call.manner.payload, events, direction)
    }

    /// Lets the phone's voice be heard, as far as the other side wants to hear it.
    fn speak(&mut self, id: usize) {
        let call = &self.calls[id];
        let Some(offer) = call.offer.as_ref() else {
            return;
        };
        let wanted = matches!(offer.direction.as_str(), "sendrecv" | "recvonly") && !offer.media.ip().is_unspecified();
        let voice = if wanted && offer.media.port() != 0 { call.manner.voice } else { Voice::Mute };
        self.media.say(
            id as u64,
            Speech { to: Some(offer.media), payload: call.manner.payload, events: offer.events, voice },
        );
    }

    fn respond(&mut self, id: usize, code: u16, extra: &[(&'static str, String)], body: &str) {
        let call = &mut self.calls[id];
        let mut headers: Vec<(&str, String)> = extra.to_vec();
        if code > 100 && code < 300 && !(code == 200 && call.manner.without_contact) {
            headers.push(("Contact", format!("<sip:{}@{}>", call.report.number, self.address)));
        }
        if code == 200 {
            headers.push(("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE".to_owned()));
        }
        let text = wire::answer(&call.invite, code, &call.report.tag, &headers, body);
        call.last_response = Some(text.clone());
        let (peer, doubles) = (call.peer, call.manner.doubles);
        self.say(peer, text, doubles);
    }

    /// Sends it, twice where the network repeats.
    fn say(&mut self, to: SocketAddr, text: String, twice: bool) {
        if twice {
            self.outgoing.push((to, text.clone()));
        }
        self.outgoing.push((to, text));
    }

    fn repeat_until_ack(&mut self, id: usize) {
        let call = &mut self.calls[id];
        if let Some(text) = call.last_response.clone() {
            let cseq = call.invite.cseq().0;
            call.unacked.insert(cseq, (text, T1, Instant::now()));
            self.later(id, T1, Due::Resend(cseq));
            self.later(id, GIVE_UP, Due::Forget);
        }
    }

    fn on_ack(&mut self, ack: &Sip) {
        let own = |call: &&mut Call| call.report.call_id == ack.call_id() && call.report.tag == ack.tag("To");
        let Some(call) = self.calls.iter_mut().find(own) else {
            return;
        };
        if call.manner.lost_acks > 0 {
            call.manner.lost_acks -= 1;
            return;
        }
        call.unacked.remove(&ack.cseq().0);
        if call.report.answered_us.is_some() && call.report.acked_us.is_none() {
            call.report.acked_us = Some(clock::now_us());
        }
        if let Some(sdp) = ack.sdp() {
            call.offer = Some(sdp);
            let id = self.calls.iter().position(|c| c.report.tag == ack.tag("To")).unwrap_or_default();
            self.speak(id);
        }
    }

    fn on_cancel(&mut self, cancel: &Sip, from: SocketAddr) {
        let Some(id) = self.transaction(cancel.branch()) else {
            return self.reply(cancel, from, 481, "gone", "");
        };
        let tag = self.calls[id].report.tag.clone();
        self.reply(cancel, from, 200, &tag, "");
        if self.calls[id].report.canceled_us.is_none() {
            self.calls[id].report.canceled_us = Some(clock::now_us());
            self.calls[id].report.reason = cancel.header("Reason").map(str::to_owned);
        }
        let open = self.calls[id].report.answered_us.is_none() && !self.calls[id].done_with;
        match self.calls[id].manner.crossing {
            Some(200) if open => self.answer(id),
            code if open => {
                self.media.silence(id as u64);
                self.refuse(id, code.unwrap_or(487), &[]);
            }
            _ => {}
        }
    }

    fn on_request_in_dialog(&mut self, request: &Sip, from: SocketAddr) {
        let own = |call: &Call| {
            call.report.call_id == request.call_id() && call.report.tag == request.tag("To") && !call.done_with
        };
        let Some(id) = self.calls.iter().position(own) else {
            return self.reply(request, from, 481, "gone", "");
        };
        let (cseq, method) = request.cseq();
        if cseq < self.calls[id].remote_cseq {
            return self.reply(request, from, 500, "", "");
        }
        self.calls[id].remote_cseq = cseq;
        match method {
            "BYE" => {
                self.reply(request, from, 200, "", "");
                self.calls[id].report.reason = request.header("Reason").map(str::to_owned);
                self.end(id, Who::Gateway);
            }
            "INVITE" | "UPDATE" => self.on_offer(id, request, from),
            "INFO" | "OPTIONS" | "NOTIFY" => self.reply(request, from, 200, "", ""),
            _ => self.reply(request, from, 405, "", ""),
        }
    }

    fn on_offer(&mut self, id: usize, request: &Sip, from: SocketAddr) {
        if self.pending.values().any(|p| p.call == id && p.method == "INVITE") {
            return self.reply(request, from, 491, "", "");
        }
        let call = &mut self.calls[id];
        call.report.refreshes += 1;
        if let Some(contact) = request.contact() {
            call.target = contact;
        }
        let offer = request.sdp();
        if offer.is_some() {
            call.offer = offer.clone();
        }
        let direction = match offer.as_ref().map(|o| o.direction.as_str()) {
            Some("sendonly") => "recvonly",
            Some("recvonly") => "sendonly",
            Some("inactive") => "inactive",
            _ => "sendrecv",
        };
        let wants_body = offer.is_some() || request.method() == Some("INVITE");
        let body = if wants_body { self.describe(id, direction) } else { String::new() };
        self.reply(request, from, 200, "", &body);
        self.speak(id);
        if request.method() == Some("INVITE")
            && let Some((_, text)) = self.outgoing.last().cloned()
        {
            let cseq = request.cseq().0;
            self.calls[id].unacked.insert(cseq, (text, T1, Instant::now()));
            self.later(id, T1, Due::Resend(cseq));
        }
    }

    /// Answers a request that opens nothing, and remembers the answer for its repeats.
    fn reply(&mut self, request: &Sip, to: SocketAddr, code: u16, tag: &str, body: &str) {
        let mut headers = vec![("Contact", format!("<sip:{}@{}>", wire::user_of(request.uri()), self.address))];
        if let Some(expires) = request
            .header("Session-Expires")
            .filter(|_| code == 200 && matches!(request.method(), Some("INVITE" | "UPDATE")))
        {
            headers.push(("Session-Expires", expires.to_owned()));
        }
        let text = wire::answer(request, code, tag, &headers, body);
        let key = format!("{} {}", request.branch(), request.method().unwrap_or(""));
        self.answered.insert(key, text.clone());
        self.outgoing.push((to, text));
    }

    fn end(&mut self, id: usize, who: Who) {
        let call = &mut self.calls[id];
        call.done_with = true;
        call.unacked.clear();
        if call.report.answered_us.is_some() && call.report.ended_us.is_none() {
            call.report.ended_us = Some(clock::now_us());
            call.report.ended_by = Some(who);
        }
        self.media.silence(id as u64);
        self.later(id, AFTERMATH, Due::CloseMedia);
    }
}
