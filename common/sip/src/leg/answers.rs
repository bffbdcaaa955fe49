//! What comes back to the INVITE and its CANCEL, and what the peer asks of us.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::{Leg, Stage};
use crate::frame::{Message, Method, Name};
use crate::identity::{draw_branch, draw_wait_ms};
use crate::moment::Moment;
use crate::talk::Talk;
use crate::talk::serve::answer_plain;
use crate::transaction::{ClientTransaction, PATIENCE};
use crate::transmit::{FinalResponse, LegEvent, OverCause, Transmit};
use crate::write::Reply;

/// After a CANCEL that found nothing: how long a repeated 200 may still come.
const LAST_LISTEN: u64 = 5_000;
/// More answers than these from one INVITE are not hung up one by one.
const MOST_UNWANTED: usize = 16;

impl Leg {
    /// A response from one of the peers.
    pub(super) fn answered_by_peer(&mut self, response: &Message, from: SocketAddr, now: Moment) {
        match response.method() {
            Method::Invite if response.cseq() == self.invite.cseq && response.branch() == self.invite.branch => {
                self.invite_answered(response, from, now)
            }
            Method::Invite if self.repeat_refusal_ack(response) => {}
            Method::Cancel => self.cancel_answered(response, now),
            _ => {
                if let Some(talk) = &mut self.talk {
                    talk.receive(response, from, now, &mut self.out);
                }
                self.tend_unwanted(|talk, out| talk.receive(response, from, now, out));
            }
        }
    }

    /// A response to the INVITE of the present try.
    fn invite_answered(&mut self, response: &Message, from: SocketAddr, now: Moment) {
        let is_calling = matches!(self.stage, Stage::Calling(_));
        match response.code() {
            100..200 => self.proceeding(response, now),
            200..300 if is_calling => self.accepted(response, now),
            200..300 => self.accepted_again(response, now),
            _ if is_calling => self.refused(response, from),
            _ => {
                self.repeat_refusal_ack(response);
            }
        }
    }

    fn proceeding(&mut self, response: &Message, now: Moment) {
        let Stage::Calling(invite) = &mut self.stage else { return };
        invite.proceed(false, now);
        if self.hanging.is_some() && self.cancel.is_none() && self.silence_until.is_none() {
            self.send_cancel(now);
        }
        if self.hanging.is_some() {
            return;
        }
        match response.code() {
            100 => {
                if !std::mem::replace(&mut self.told_trying, true) {
                    self.out.tell(LegEvent::Trying);
                }
            }
            _ => self.ringing(response),
        }
    }

    /// The first 2xx: the call is answered, and its owner is told. Also when it crossed our CANCEL: the BYE follows the ACK.
    fn accepted(&mut self, response: &Message, now: Moment) {
        let mut session = self.session.clone();
        session.agreed(response, now);
        self.talk = Some(Talk::begin(self.dialog_of(response), session, self.auth.clone(), true));
        self.stage = Stage::Answered;
        self.early.clear();
        (self.cancel, self.silence_until) = (None, None);
        self.out.tell(LegEvent::Final(final_of(response, false)));
    }

    /// A 2xx again: from the same phone it is acknowledged again once that may be; from another phone, or after we have hung
    /// up, it is acknowledged and hung up.
    fn accepted_again(&mut self, response: &Message, now: Moment) {
        let tag = response.to_tag();
        let known = self.talk.iter().chain(&self.unwanted).find(|talk| talk.dialog.remote_tag == tag);
        if let Some(talk) = known {
            return talk.repeat_ack(response.cseq(), &mut self.out);
        }
        if self.unwanted.len() == MOST_UNWANTED {
            return;
        }
        let mut talk = Talk::begin(self.dialog_of(response), self.session.clone(), self.auth.clone(), true);
        talk.acknowledge(&mut self.out);
        self.unwanted.push(talk);
        if matches!(self.stage, Stage::Calling(_)) {
            self.stage = Stage::Ended;
            (self.cancel, self.silence_until) = (None, None);
        }
        let reason = self.hanging.clone().flatten();
        self.tend_unwanted(|talk, out| talk.hang_up(reason.clone(), now, out));
    }

    /// A refusal: the last word, or a reason to try once more.
    fn refused(&mut self, response: &Message, from: SocketAddr) {
        let ack = self.refusal_ack(response);
        let mut told = final_of(response, self.may_retry(response, from));
        if response.code() == 491 && told.retry {
            told.retry_after = Some(Duration::from_millis(draw_wait_ms(2_100, 4_000)));
        }
        self.acks.push((self.invite.branch.clone(), ack.clone()));
        self.stage = Stage::Refused { ack: Some(ack), code: response.code(), retry: told.retry };
        if told.retry {
            self.early.clear();
            self.write_next_try();
        }
        self.out.tell(LegEvent::Final(told));
    }

    fn may_retry(&mut self, response: &Message, from: SocketAddr) -> bool {
        match response.code() {
            _ if self.hanging.is_some() => false,
            401 | 407 => self.auth.challenged(response, self.invite.peer, from),
            422 => self.session.raise(response) && !std::mem::replace(&mut self.raised_once, true),
            491 => self.invite.try_number == 1,
            _ => false,
        }
    }

    /// Timer B: nobody answered at all. After a crash a phone may be ringing whose word got lost, so the INVITE is cancelled.
    pub(super) fn nobody_answered(&mut self, now: Moment) {
        if self.hanging.is_some() {
            return self.finish(OverCause::NoResponse);
        }
        if self.resumed {
            self.out.tell(LegEvent::GivenUp);
            return self.give_up(now);
        }
        self.stage = Stage::Refused { ack: None, code: 408, retry: false };
        let silence = FinalResponse {
            code: 408,
            phrase: "No Response".to_owned(),
            bytes: Bytes::new(),
            sdp: None,
            q850: None,
            retry: false,
            retry_after: None,
        };
        self.out.tell(LegEvent::Final(silence));
    }

    /// The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 17.1.1.3).
    #[must_use]
    pub fn refusal_ack(&self, response: &Message) -> Transmit {
        let to = response.get(Name::To).unwrap_or_default();
        let writer = self.setup_as_sent().begin(Method::Ack, &self.invite.branch, self.invite.cseq, to);
        Transmit { to: self.invite.peer, bytes: writer.finish(None) }
    }

    pub(super) fn send_refusal_ack(&mut self, ack: Option<Transmit>) {
        let Some(ack) = ack else { return };
        if !self.acks.iter().any(|(_, known)| *known == ack) {
            self.acks.push((self.invite.branch.clone(), ack.clone()));
        }
        self.out.send(ack);
    }

    /// A refusal came again. True when it is one of ours; it is acknowledged again unless it still waits for the owner.
    fn repeat_refusal_ack(&mut self, response: &Message) -> bool {
        let branch = response.branch();
        let Some((_, ack)) = self.acks.iter().find(|(known, _)| known == branch) else { return false };
        let waits = matches!(&self.stage, Stage::Refused { ack: Some(waiting), .. } if waiting == ack);
        if !waits && response.code() >= 300 {
            let ack = ack.clone();
            self.out.send(ack);
        }
        true
    }

    /// CANCEL: the INVITE's own branch, Request-URI and way (RFC 3261 9.1).
    pub(super) fn send_cancel(&mut self, now: Moment) {
        let Some(reason) = &self.hanging else { return };
        let setup = self.setup_as_sent();
        let writer = setup
            .begin(Method::Cancel, &self.invite.branch, self.invite.cseq, &setup.their_value())
            .reason(reason.as_ref());
        let transmit = Transmit { to: self.invite.peer, bytes: writer.finish(None) };
        let transaction = ClientTransaction::send(
            Method::Cancel,
            self.invite.branch.clone(),
            self.invite.cseq,
            transmit,
            now,
            &mut self.out,
        );
        self.cancel = Some(transaction);
        self.silence_until = Some(now.plus_ms(PATIENCE));
    }

    fn cancel_answered(&mut self, response: &Message, now: Moment) {
        let Some(cancel) = self.cancel.as_mut().filter(|cancel| cancel.matches(response)) else { return };
        if response.code() < 200 {
            return cancel.proceed(false, now);
        }
        self.cancel = None;
        if response.code() >= 300 {
            self.silence_until = Some(now.plus_ms(LAST_LISTEN));
        }
    }

    /// The setup with the address the INVITE was sent from.
    fn setup_as_sent(&self) -> crate::invite::LegSetup {
        crate::invite::LegSetup { local: self.invite.local, ..self.setup.clone() }
    }

    /// A phone that nobody has heard answer hangs up: its 200s went to a process that was dead, or got lost. The owner is told of it as
    /// of the answer, and the BYE is answered once that is durable. False where it is no such BYE.
    fn left(&mut self, bye: &Message, from: SocketAddr) -> bool {
        match &self.stage {
            Stage::Calling(_) => {
                self.farewell = Some(Reply::to(bye, 200).send(from));
                self.stage = Stage::Left;
                (self.cancel, self.silence_until) = (None, None);
                self.early.clear();
                let told = FinalResponse { code: 200, phrase: "Hung Up".to_owned(), ..final_of(bye, false) };
                self.out.tell(LegEvent::Final(told));
            }
            Stage::Left => {}
            _ => self.out.transmits.extend(self.farewell.clone()),
        }
        self.farewell.is_some()
    }

    /// A request from the other side.
    pub(super) fn serve(&mut self, request: &Message, from: SocketAddr, now: Moment) {
        let is_peer = self.is_peer(from.ip());
        if let Some(talk) = self.talk.as_mut().filter(|talk| is_peer && belongs(talk, request)) {
            let before = self.out.transmits.len();
            talk.receive(request, from, now, &mut self.out);
            if request.method() == Method::Bye && !talk.is_acknowledged() {
                // The phone goes on saying so until its answer is durable: else a crash would forget both.
                self.farewell = self.out.transmits.split_off(before).pop_back();
            }
            return;
        }
        if is_peer && self.unwanted.iter().any(|talk| belongs(talk, request)) {
            return self.tend_unwanted(|talk, out| {
                if belongs(talk, request) {
                    talk.receive(request, from, now, out);
                }
            });
        }
        if request.method() == Method::Ack || is_peer && self.answered.repeat(request, now, &mut self.out) {
            return;
        }
        if is_peer
            && request.method() == Method::Bye
            && request.to_tag() == self.invite.local_tag
            && self.left(request, from)
        {
            return;
        }
        let tag = draw_branch();
        let is_early = is_peer
            && request.to_tag() == self.invite.local_tag
            && self.early.iter().any(|early| early.to_tag == request.from_tag());
        let reply = match request.method() {
            Method::Invite if request.to_tag().is_empty() => Reply::to(request, 482),
            Method::Options | Method::Info | Method::Refer | Method::Notify | Method::Other if is_early => {
                answer_plain(request)
            }
            _ => Reply::to(request, 481),
        };
        self.answered.answer(request, reply.tag(&tag).send(from), now, &mut self.out);
    }
}

/// A CANCEL of a re-INVITE carries the tags of the dialog like any other request.
fn belongs(talk: &Talk, request: &Message) -> bool {
    talk.dialog.owns(request)
}

fn final_of(response: &Message, retry: bool) -> FinalResponse {
    FinalResponse {
        code: response.code(),
        phrase: response.reason_phrase().to_owned(),
        bytes: response.bytes().clone(),
        sdp: response.sdp().map(str::to_owned),
        q850: response.q850(),
        retry,
        retry_after: response.number(Name::RetryAfter).map(|s| Duration::from_secs(u64::from(s))),
    }
}
