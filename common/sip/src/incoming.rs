//! An incoming call: the other end of a [`crate::Leg`], in the same style.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, SocketAddr};

use crate::dialog::{Dialog, is_target, routes_of_request, target_of};
use crate::digest::Auth;
use crate::frame::{Message, Method, Name};
use crate::identity::{draw_tag, draw_wait_ms};
use crate::moment::{Moment, earliest};
use crate::stray::refuse_extensions;
use crate::talk::Talk;
use crate::talk::serve::answer_plain;
use crate::talk::session::{MIN_SE, SessionTimer};
use crate::transaction::{Answered, AwaitingAck};
use crate::transmit::{LegEvent, Outbox, OverCause, Reason, Transmit};
use crate::uri::split_list;
use crate::write::{ALLOW, RETRY_AFTER, Reply, contact_of};

/// An incoming call is not continued by others: its CSeq numbers need no reserving.
const NEVER_RESERVED: u32 = 1 << 30;

#[derive(Debug)]
enum Stage {
    /// Not answered yet; the last provisional, for repeats of the INVITE.
    Proceeding {
        last: Transmit,
    },
    /// Refused by us, or cancelled by the caller.
    Refused(AwaitingAck),
    Answered,
    Ended,
}

/// An incoming call.
#[derive(Debug)]
pub struct IncomingCall {
    invite: Message,
    from: SocketAddr,
    local: SocketAddr,
    local_tag: String,
    session: SessionTimer,
    session_reply: (String, bool),
    stage: Stage,
    talk: Option<Talk>,
    answered: Answered,
    over: bool,
    out: Outbox,
}

impl IncomingCall {
    /// A new call; 100 leaves at once. Err: the INVITE asks for what we cannot do, and this refusal is to be sent.
    pub fn new(invite: &Message, from: SocketAddr, local: SocketAddr, now: Moment) -> Result<IncomingCall, Transmit> {
        let local_tag = draw_tag();
        let mut session = SessionTimer::wish(180);
        let session_reply =
            acceptable(invite, &mut session, now).map_err(|refusal| refusal.tag(&local_tag).send(from))?;
        session.stop();
        let trying = Reply::to(invite, 100).send(from);
        let mut out = Outbox::default();
        out.send(trying.clone());
        Ok(IncomingCall {
            invite: invite.clone(),
            from,
            local,
            local_tag,
            session,
            session_reply,
            stage: Stage::Proceeding { last: trying },
            talk: None,
            answered: Answered::default(),
            over: false,
            out,
        })
    }

    /// The INVITE.
    pub fn invite(&self) -> &Message {
        &self.invite
    }

    /// The caller's offer, if the INVITE had one.
    pub fn offer(&self) -> Option<&str> {
        self.invite.sdp()
    }

    /// A provisional response: 180, or 183 with early media.
    pub fn ring(&mut self, code: u16, sdp: Option<String>, _now: Moment) {
        let Stage::Proceeding { last } = &mut self.stage else { return };
        let reply = Reply::to(&self.invite, code.clamp(101, 199))
            .tag(&self.local_tag)
            .header("Contact", contact_of(self.local))
            .header("Allow", ALLOW);
        *last = reply.sdp(sdp.as_deref()).send(self.from);
        self.out.send(last.clone());
    }

    /// Answers; the 200 is repeated until its ACK comes.
    pub fn answer(&mut self, sdp: String, now: Moment) {
        if !matches!(self.stage, Stage::Proceeding { .. }) {
            return;
        }
        self.session.arm(now);
        let mut reply = Reply::to(&self.invite, 200)
            .tag(&self.local_tag)
            .header("Contact", contact_of(self.local))
            .header("Allow", ALLOW)
            .header("Supported", "timer");
        if !self.session.missing {
            reply = reply.header("Session-Expires", self.session_reply.0.as_str());
        }
        if self.session_reply.1 {
            reply = reply.header("Require", "timer");
        }
        let transmit = reply.sdp(Some(&sdp)).send(self.from);
        let mut talk = Talk::begin(self.dialog(sdp), self.session.clone(), Auth::for_trunk(self.from, None), false);
        talk.await_ack(AwaitingAck::send(&self.invite, true, transmit, now, &mut self.out));
        self.talk = Some(talk);
        self.stage = Stage::Answered;
    }

    /// Refuses with a code of 300 to 699.
    pub fn reject(&mut self, code: u16, now: Moment) {
        if self.refuse(code.clamp(300, 699), None, now) {
            self.finish(OverCause::Refused { code });
        }
    }

    /// Refuses with 503 and Retry-After: the caller's network may try again.
    pub fn turn_away(&mut self, now: Moment) {
        if self.refuse(503, Some(RETRY_AFTER), now) {
            self.finish(OverCause::Refused { code: 503 });
        }
    }

    fn refuse(&mut self, code: u16, retry_after: Option<&str>, now: Moment) -> bool {
        let is_open = matches!(self.stage, Stage::Proceeding { .. });
        if is_open {
            let reply = Reply::to(&self.invite, code).tag(&self.local_tag);
            let reply = retry_after.into_iter().fold(reply, |reply, seconds| reply.header("Retry-After", seconds));
            let transmit = reply.send(self.from);
            self.stage = Stage::Refused(AwaitingAck::send(&self.invite, false, transmit, now, &mut self.out));
        }
        is_open
    }

    /// Hangs up an answered call, refuses one that still rings.
    pub fn hang_up(&mut self, reason: Option<Reason>, now: Moment) {
        match &mut self.talk {
            Some(talk) => talk.hang_up(reason, now, &mut self.out),
            None => self.reject(603, now),
        }
        self.follow_talk();
    }

    /// Offers a new description within the answered call.
    pub fn reinvite(&mut self, sdp: String, contact: Option<SocketAddr>, now: Moment) {
        if let Some(talk) = &mut self.talk {
            talk.offer(sdp, contact, now, &mut self.out);
        }
    }

    /// Answers the caller's `Offer`; None refuses it with 488.
    pub fn answer_offer(&mut self, sdp: Option<String>, now: Moment) {
        if let Some(talk) = &mut self.talk {
            talk.answer_offer(sdp, now, &mut self.out);
        }
    }

    /// A message with this Call-ID.
    pub fn receive(&mut self, message: &Message, from: SocketAddr, now: Moment) {
        if from.ip() != self.from.ip() && !self.peers().contains(&from.ip()) {
            if message.is_request() && message.method() != Method::Ack {
                self.out.send(Reply::to(message, 481).tag(&draw_tag()).send(from));
            }
            return;
        }
        let is_of_invite =
            message.is_request() && message.branch() == self.invite.branch() && message.cseq() == self.invite.cseq();
        match message.method() {
            Method::Invite if is_of_invite => self.repeated(message, now),
            Method::Cancel if is_of_invite => self.canceled(message, from, now),
            Method::Ack if matches!(&self.stage, Stage::Refused(refusal) if refusal.branch == message.branch()) => {
                self.stage = Stage::Ended
            }
            _ => self.within_dialog(message, from, now),
        }
        self.follow_talk();
    }

    fn within_dialog(&mut self, message: &Message, from: SocketAddr, now: Moment) {
        match &mut self.talk {
            Some(talk) if !message.is_request() || talk.dialog.owns(message) => {
                talk.receive(message, from, now, &mut self.out)
            }
            _ if !message.is_request()
                || message.method() == Method::Ack
                || self.answered.repeat(message, now, &mut self.out) => {}
            _ => {
                let is_early = message.to_tag() == self.local_tag && message.from_tag() == self.invite.from_tag();
                let is_merged = message.method() == Method::Invite && message.to_tag().is_empty();
                let ends_early = is_early && message.method() == Method::Bye;
                let reply = match () {
                    () if is_merged => Reply::to(message, 482),
                    () if ends_early => Reply::to(message, 200),
                    () if is_early => answer_plain(message),
                    () => Reply::to(message, 481),
                };
                self.answered.answer(message, reply.tag(&self.local_tag).send(from), now, &mut self.out);
                if ends_early && self.refuse(487, None, now) {
                    self.finish(OverCause::Canceled { code: Some(487) });
                }
            }
        }
    }

    /// The INVITE again: the last response again.
    fn repeated(&mut self, _invite: &Message, _now: Moment) {
        match &self.stage {
            Stage::Proceeding { last } => self.out.send(last.clone()),
            Stage::Refused(refusal) => refusal.repeat(&mut self.out),
            Stage::Answered => {
                if let Some(talk) = &self.talk {
                    talk.repeat_answer(&mut self.out);
                }
            }
            Stage::Ended => {}
        }
    }

    fn canceled(&mut self, cancel: &Message, from: SocketAddr, now: Moment) {
        if self.answered.repeat(cancel, now, &mut self.out) {
            return;
        }
        self.answered.answer(cancel, Reply::to(cancel, 200).tag(&self.local_tag).send(from), now, &mut self.out);
        if self.refuse(487, None, now) {
            self.finish(OverCause::Canceled { code: Some(487) });
        }
    }

    /// The addresses that may speak in this call.
    pub fn peers(&self) -> Vec<IpAddr> {
        self.talk.as_ref().map_or_else(|| vec![self.from.ip()], |talk| talk.dialog.peers())
    }

    /// When to come back at the latest.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let refusal = match &self.stage {
            Stage::Refused(refusal) => Some(refusal.poll_timeout()),
            _ => None,
        };
        earliest([refusal, self.talk.as_ref().and_then(Talk::poll_timeout)])
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment) {
        if let Stage::Refused(refusal) = &mut self.stage
            && refusal.handle_timeout(now, &mut self.out)
        {
            self.stage = Stage::Ended;
        }
        if let Some(talk) = &mut self.talk {
            talk.handle_timeout(now, &mut self.out);
        }
        self.follow_talk();
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }

    /// The next thing that happened. CSeq blocks need no durability here: `Reserve` never comes.
    pub fn poll_event(&mut self) -> Option<LegEvent> {
        self.out.events.pop_front()
    }

    /// Whether the last has been said. Repeats of answers may still be due: see `poll_timeout`.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn follow_talk(&mut self) {
        let Some(talk) = &self.talk else { return };
        self.over |= talk.is_over();
    }

    fn finish(&mut self, cause: OverCause) {
        if !std::mem::replace(&mut self.over, true) {
            self.out.tell(LegEvent::Over { cause });
        }
    }

    /// For whom our requests are: the caller's Contact, or its From where old gear wrote none (RFC 2543), or just who sent the INVITE.
    fn target(&self) -> String {
        let from = self.invite.from().map(|from| from.uri).filter(|uri| is_target(uri));
        target_of(&self.invite).or(from).map_or_else(|| format!("sip:{}", self.from), str::to_owned)
    }

    fn dialog(&self, sdp: String) -> Dialog {
        let cseq = u32::try_from(draw_wait_ms(1, 40_000)).unwrap_or(1);
        let to = self.invite.get(Name::To).unwrap_or_default();
        Dialog {
            call_id: self.invite.call_id().to_owned(),
            local: format!("{to};tag={}", self.local_tag),
            remote: self.invite.get(Name::From).unwrap_or_default().to_owned(),
            local_tag: self.local_tag.clone(),
            remote_tag: self.invite.from_tag().to_owned(),
            target: self.target(),
            former_target: String::new(),
            routes: routes_of_request(&self.invite),
            peer: self.from,
            local_addr: self.local,
            invite_cseq: self.invite.cseq(),
            cseq,
            reserved: cseq + NEVER_RESERVED,
            remote_cseq: self.invite.cseq(),
            local_sdp: sdp,
            remote_sdp: self.invite.sdp().unwrap_or_default().to_owned(),
        }
    }
}

/// What an INVITE may not ask for; else our Session-Expires.
fn acceptable<'a>(invite: &'a Message, session: &mut SessionTimer, now: Moment) -> Result<(String, bool), Reply<'a>> {
    if let Some(refusal) = refuse_extensions(invite) {
        return Err(refusal);
    }
    if invite.get(Name::Replaces).is_some() {
        return Err(Reply::to(invite, 403));
    }
    if !invite.body().is_empty() && invite.sdp().is_none() {
        return Err(Reply::to(invite, 415).header("Accept", "application/sdp"));
    }
    if invite.header("accept").is_some() && !accepts_sdp(invite) {
        return Err(Reply::to(invite, 406));
    }
    session.asked(invite, now).map_err(|()| Reply::to(invite, 422).header("Min-SE", MIN_SE.to_string()))
}

/// Whether the caller can read our answer (RFC 3261 20.1).
fn accepts_sdp(invite: &Message) -> bool {
    let lines = invite.headers().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    lines.flat_map(|(_, value)| split_list(value)).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim_ascii();
        ["application/sdp", "application/*", "*/*"].iter().any(|fine| fine.eq_ignore_ascii_case(kind))
    })
}
