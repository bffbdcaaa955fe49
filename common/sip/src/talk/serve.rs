//! What the peer asks within a dialog, and our answers.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;

use super::session::{MIN_SE, SessionTimer};
use super::{Offered, Talk};
use crate::frame::{Message, Method, Name};
use crate::moment::Moment;
use crate::transaction::AwaitingAck;
use crate::transmit::{LegEvent, Outbox, OverCause, Reason};
use crate::uri::{param, unquote};
use crate::write::{ALLOW, Reply};

impl Talk {
    /// A request of the peer that carries the tags of this dialog.
    pub(super) fn serve(&mut self, method: Method, request: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        if method == Method::Ack {
            return self.acked(request, now, out);
        }
        if self.is_repeated(request, now, out) {
            return;
        }
        if method == Method::Cancel {
            return self.canceled(request, from, now, out);
        }
        if request.cseq() < self.dialog.remote_cseq {
            return self.reply(Reply::to(request, 500), request, from, now, out);
        }
        self.dialog.remote_cseq = request.cseq();
        if self.over && method != Method::Bye {
            return self.reply(Reply::to(request, 481), request, from, now, out);
        }
        match method {
            Method::Bye => self.hung_up(request, from, now, out),
            Method::Invite | Method::Update => self.asked_for_session(request, from, now, out),
            Method::Info => {
                out.events.extend(dtmf(request).map(LegEvent::Digits));
                self.reply(Reply::to(request, 200), request, from, now, out);
            }
            _ => {
                let answer = answer_plain(request);
                self.reply(answer, request, from, now, out);
            }
        }
    }

    fn is_repeated(&mut self, request: &Message, now: Moment, out: &mut Outbox) -> bool {
        if request.method() == Method::Invite {
            if let Some(unacked) = self
                .unacked
                .as_ref()
                .filter(|unacked| unacked.branch == request.branch() && unacked.cseq == request.cseq())
            {
                unacked.repeat(out);
                return true;
            }
            if self.offered.as_ref().is_some_and(|offered| offered.request.branch() == request.branch()) {
                return true;
            }
        }
        self.answered.repeat(request, now, out)
    }

    fn reply(&mut self, reply: Reply<'_>, request: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        self.answered.answer(request, reply.send(from), now, out);
    }

    fn hung_up(&mut self, request: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        self.reply(Reply::to(request, 200), request, from, now, out);
        if self.over {
            return;
        }
        self.refuse_pending_offer(now, out);
        self.unacked = None;
        out.tell(LegEvent::RemoteHangUp { reason: reason_of(request) });
        self.finish(OverCause::RemoteHangUp, out);
    }

    /// re-INVITE or UPDATE: a refresh is answered here, anything new by our owner.
    fn asked_for_session(&mut self, request: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        let is_invite = request.method() == Method::Invite;
        let code = match () {
            () if self.ending.is_some() => 481,
            () if is_invite && self.reinvite.is_some() => 491,
            () if is_invite && (self.offered.is_some() || self.unacked.is_some()) => 500,
            () => 200,
        };
        if code != 200 {
            return self.refuse(code, request, from, now, out);
        }
        let mut timer = self.session.clone();
        let Ok(header) = timer.asked(request, now) else {
            return self.refuse(422, request, from, now, out);
        };
        let session = (timer, header);
        let unchanged = request.sdp().is_some_and(|sdp| sdp == self.dialog.remote_sdp);
        match is_invite {
            true if unchanged => {
                self.dialog.refresh_target(request);
                let sdp = self.dialog.local_sdp.clone();
                self.accept(request, from, &session, Some(sdp), now, out);
                out.tell(LegEvent::Refreshed);
            }
            true => {
                self.offered = Some(Offered { request: request.clone(), from, session });
                out.tell(LegEvent::Offer { sdp: request.sdp().map(str::to_owned) });
            }
            false if request.body().is_empty() || unchanged => {
                self.dialog.refresh_target(request);
                let sdp = unchanged.then(|| self.dialog.local_sdp.clone());
                self.accept(request, from, &session, sdp, now, out);
                out.tell(LegEvent::Refreshed);
            }
            false => self.refuse(488, request, from, now, out),
        }
    }

    /// The owner's answer to the peer's offer; None refuses it and leaves everything as it was.
    pub fn answer_offer(&mut self, sdp: Option<String>, now: Moment, out: &mut Outbox) {
        let Some(Offered { request, from, session }) = self.offered.take() else { return };
        match sdp {
            Some(sdp) => {
                self.dialog.refresh_target(&request);
                if let Some(offer) = request.sdp() {
                    self.dialog.remote_sdp = offer.to_owned();
                }
                self.dialog.local_sdp.clone_from(&sdp);
                self.accept(&request, from, &session, Some(sdp), now, out);
            }
            None => self.refuse(488, &request, from, now, out),
        }
        self.pump(now, out);
    }

    pub(super) fn refuse_pending_offer(&mut self, now: Moment, out: &mut Outbox) {
        if let Some(Offered { request, from, .. }) = self.offered.take() {
            self.refuse(487, &request, from, now, out);
        }
    }

    fn accept(
        &mut self,
        request: &Message,
        from: SocketAddr,
        (timer, header): &(SessionTimer, (String, bool)),
        sdp: Option<String>,
        now: Moment,
        out: &mut Outbox,
    ) {
        self.session = timer.clone();
        let contact = self.dialog.contact();
        let mut reply =
            Reply::to(request, 200).header("Contact", contact).header("Allow", ALLOW).header("Supported", "timer");
        if !self.session.missing {
            reply = reply.header("Session-Expires", header.0.as_str());
        }
        if header.1 {
            reply = reply.header("Require", "timer");
        }
        let transmit = reply.sdp(sdp.as_deref()).send(from);
        if request.method() == Method::Invite {
            self.unacked = Some(AwaitingAck::send(request, true, transmit, now, out));
        } else {
            self.answered.answer(request, transmit, now, out);
        }
    }

    /// Takes over the 200 that answered the INVITE of an incoming call, until its ACK comes.
    pub fn await_ack(&mut self, unacked: AwaitingAck) {
        self.unacked = Some(unacked);
    }

    /// The INVITE came again after our 200.
    pub fn repeat_answer(&self, out: &mut Outbox) {
        if let Some(unacked) = &self.unacked {
            unacked.repeat(out);
        }
    }

    fn refuse(&mut self, code: u16, request: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        let mut reply = Reply::to(request, code);
        match code {
            422 => reply = reply.header("Min-SE", MIN_SE.to_string()),
            500 => reply = reply.header("Retry-After", "3"),
            _ => {}
        }
        let transmit = reply.send(from);
        if request.method() == Method::Invite && self.unacked.is_none() {
            self.unacked = Some(AwaitingAck::send(request, false, transmit, now, out));
        } else {
            self.answered.answer(request, transmit, now, out);
        }
    }

    fn acked(&mut self, ack: &Message, now: Moment, out: &mut Outbox) {
        let Some(unacked) = self.unacked.take_if(|unacked| unacked.cseq == ack.cseq()) else { return };
        if unacked.accepted {
            if unacked.cseq == self.dialog.invite_cseq && !self.owns_call_id {
                out.tell(LegEvent::Confirmed);
            }
            if let Some(answer) = ack.sdp().filter(|_| unacked.offered) {
                self.dialog.remote_sdp = answer.to_owned();
                out.tell(LegEvent::Reinvited { sdp: Some(answer.to_owned()) });
            }
        }
        self.pump(now, out);
    }

    fn canceled(&mut self, cancel: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        let matches = self.offered.as_ref().is_some_and(|offered| offered.request.branch() == cancel.branch());
        let code = if matches { 200 } else { 481 };
        self.answered.answer(cancel, Reply::to(cancel, code).send(from), now, out);
        if matches {
            self.refuse_pending_offer(now, out);
        }
    }
}

/// The answer to a request that changes nothing.
pub(crate) fn answer_plain(request: &Message) -> Reply<'_> {
    match request.method() {
        Method::Options => Reply::to(request, 200)
            .header("Allow", ALLOW)
            .header("Accept", "application/sdp")
            .header("Supported", "timer"),
        Method::Info => Reply::to(request, 200),
        Method::Refer => Reply::to(request, 403),
        Method::Bye | Method::Cancel | Method::Prack | Method::Update => Reply::to(request, 481),
        Method::Other => Reply::to(request, 501).header("Allow", ALLOW),
        _ => Reply::to(request, 405).header("Allow", ALLOW),
    }
}

/// The digit of an INFO: `application/dtmf-relay` with a Signal line, or `application/dtmf`.
fn dtmf(request: &Message) -> Option<char> {
    let kind = request.get(Name::ContentType)?.split(';').next()?.trim_ascii().to_ascii_lowercase();
    let body = std::str::from_utf8(request.body()).ok()?;
    let signal = match kind.as_str() {
        "application/dtmf-relay" => body.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim_ascii().eq_ignore_ascii_case("Signal").then_some(value.trim_ascii())
        })?,
        "application/dtmf" => body.trim_ascii(),
        _ => return None,
    };
    match signal {
        "10" => Some('*'),
        "11" => Some('#'),
        _ => signal
            .chars()
            .next()
            .map(|c| c.to_ascii_uppercase())
            .filter(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D')),
    }
}

/// The first Reason of a message.
pub(crate) fn reason_of(message: &Message) -> Option<Reason> {
    let (protocol, params) = message.list(Name::Reason).next()?.split_once(';')?;
    let cause = param(params, "cause")?.parse().ok()?;
    Some(Reason { protocol: protocol.trim_ascii().to_owned(), cause, text: param(params, "text").map(unquote) })
}
