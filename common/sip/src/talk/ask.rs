//! What we ask within a dialog: re-INVITE and BYE, one of each at a time.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;

use super::{Talk, Want};
use crate::frame::{Message, Method, Name};
use crate::identity::{draw_branch, draw_wait_ms};
use crate::moment::Moment;
use crate::transaction::ClientTransaction;
use crate::transmit::{LegEvent, Outbox, OverCause, Reason, Transmit};
use crate::write::ALLOW;

/// So often an offer meets a peer that is busy with one of its own.
const MOST_TRIES: u8 = 5;

impl Talk {
    /// Acknowledges the 2xx that began the dialog; repeats of it are acknowledged from now on by themselves.
    pub fn acknowledge(&mut self, out: &mut Outbox) {
        self.ack(self.dialog.invite_cseq, out);
    }

    /// Whether the ACK of the INVITE has been allowed to leave.
    pub fn is_acknowledged(&self) -> bool {
        self.acks.iter().any(|(cseq, _)| *cseq == self.dialog.invite_cseq)
    }

    /// Every ACK that has left and may be asked for again.
    pub fn sent_acks(&self) -> impl Iterator<Item = &Transmit> {
        self.acks.iter().map(|(_, ack)| ack)
    }

    fn ack(&mut self, cseq: u32, out: &mut Outbox) {
        let to = self.dialog.next_hop();
        let mut writer = self.dialog.request(Method::Ack, cseq, &draw_branch());
        for (name, value) in self.auth.headers("ACK", self.dialog.request_uri(), to) {
            writer = writer.header(name, &value);
        }
        let ack = Transmit { to, bytes: writer.finish(None) };
        if self.acks.len() > 2 {
            self.acks.remove(1);
        }
        self.acks.push_back((cseq, ack.clone()));
        out.send(ack);
    }

    /// A 2xx came again: so does its ACK, if it may.
    pub fn repeat_ack(&self, cseq: u32, out: &mut Outbox) {
        if let Some((_, ack)) = self.acks.iter().find(|(acked, _)| *acked == cseq) {
            out.send(ack.clone());
        }
    }

    /// Offers a new description, from a new address if one is given.
    pub fn offer(&mut self, sdp: String, contact: Option<SocketAddr>, now: Moment, out: &mut Outbox) {
        if self.over || self.ending.is_some() {
            return;
        }
        if let Some(contact) = contact {
            self.dialog.local_addr = contact;
        }
        self.wants.retain(|want| !matches!(want, Want::Offer { .. }));
        self.wants.push_back(Want::Offer { sdp, refresh: false, tries: 0 });
        self.pump(now, out);
    }

    /// Hangs up.
    pub fn hang_up(&mut self, reason: Option<Reason>, now: Moment, out: &mut Outbox) {
        self.end(OverCause::HungUp, reason, now, out);
    }

    pub(super) fn end(&mut self, cause: OverCause, reason: Option<Reason>, now: Moment, out: &mut Outbox) {
        if self.over || self.ending.is_some() {
            return;
        }
        self.ending = Some(cause);
        self.session.stop();
        self.refuse_pending_offer(now, out);
        self.wants.clear();
        self.wants.push_back(Want::Bye { reason });
        self.pump(now, out);
    }

    /// Asks what may be asked now.
    pub(super) fn pump(&mut self, now: Moment, out: &mut Outbox) {
        if self.over {
            return;
        }
        let may_offer =
            self.reinvite.is_none() && self.offered.is_none() && self.unacked.is_none() && self.glare_until.is_none();
        match self.wants.front() {
            Some(Want::Bye { .. }) if self.bye.is_none() && !self.awaits_first_ack() => {}
            Some(Want::Offer { .. }) if may_offer && self.ending.is_none() => {}
            _ => return,
        }
        let Some(cseq) = self.take_cseq(matches!(self.wants.front(), Some(Want::Bye { .. })), out) else { return };
        self.auth.begin_request();
        match self.wants.pop_front() {
            Some(want @ Want::Bye { .. }) => self.send_bye(want, cseq, now, out),
            Some(want @ Want::Offer { .. }) => self.send_offer(want, cseq, now, out),
            None => {}
        }
    }

    /// Who was called does not hang up before the ACK of its answer (RFC 3261 15).
    fn awaits_first_ack(&self) -> bool {
        !self.owns_call_id && self.unacked.as_ref().is_some_and(|answer| answer.cseq == self.dialog.invite_cseq)
    }

    fn send_bye(&mut self, want: Want, cseq: u32, now: Moment, out: &mut Outbox) {
        let Want::Bye { reason } = &want else { return };
        let (branch, to) = (draw_branch(), self.dialog.next_hop());
        let mut writer = self.dialog.request(Method::Bye, cseq, &branch).reason(reason.as_ref());
        for (name, value) in self.auth.headers("BYE", self.dialog.request_uri(), to) {
            writer = writer.header(name, &value);
        }
        let transmit = Transmit { to, bytes: writer.finish(None) };
        self.bye = Some((ClientTransaction::send(Method::Bye, branch, cseq, transmit, now, out), want));
    }

    fn send_offer(&mut self, want: Want, cseq: u32, now: Moment, out: &mut Outbox) {
        let Want::Offer { sdp, .. } = &want else { return };
        let (branch, to) = (draw_branch(), self.dialog.next_hop());
        let mut writer = self
            .dialog
            .request(Method::Invite, cseq, &branch)
            .header("Contact", &self.dialog.contact())
            .header("Allow", ALLOW)
            .header("Supported", "timer")
            .header("Session-Expires", &self.session.offer())
            .shown("Min-SE", self.session.min_se);
        for (name, value) in self.auth.headers("INVITE", self.dialog.request_uri(), to) {
            writer = writer.header(name, &value);
        }
        let transmit = Transmit { to, bytes: writer.finish(Some(sdp)) };
        self.reinvite = Some((ClientTransaction::send(Method::Invite, branch, cseq, transmit, now, out), want));
    }

    /// A response to our re-INVITE.
    pub(super) fn reinvite_answered(&mut self, response: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        let Some((transaction, _)) = self.reinvite.as_mut().filter(|(transaction, _)| transaction.matches(response))
        else {
            return self.reinvite_answered_again(response, out);
        };
        if response.code() < 200 {
            return transaction.proceed(true, now);
        }
        let Some((transaction, want)) = self.reinvite.take() else { return };
        match response.code() {
            200..300 => self.offer_accepted(want, response, now, out),
            _ => {
                self.ack_refusal(transaction.cseq, &transaction.branch, transaction.to, out);
                self.offer_refused(want, transaction.to, response, from, now, out);
            }
        }
        self.pump(now, out);
    }

    /// A final response that came again, or after the call was over: it is acknowledged, so that the peer falls silent.
    fn reinvite_answered_again(&mut self, response: &Message, out: &mut Outbox) {
        if response.code() < 200 || response.to_tag() != self.dialog.remote_tag {
            return;
        }
        let is_known = self.acks.iter().any(|(cseq, _)| *cseq == response.cseq());
        match is_known {
            true => self.repeat_ack(response.cseq(), out),
            false if response.code() >= 300 && response.cseq() != self.dialog.invite_cseq => {
                self.ack_refusal(response.cseq(), response.branch(), self.dialog.next_hop(), out);
            }
            false => {}
        }
    }

    fn offer_accepted(&mut self, want: Want, response: &Message, now: Moment, out: &mut Outbox) {
        self.dialog.refresh_target(response);
        self.ack(response.cseq(), out);
        let Want::Offer { sdp, refresh, .. } = want else { return };
        self.dialog.local_sdp = sdp;
        if let Some(answer) = response.sdp() {
            self.dialog.remote_sdp = answer.to_owned();
        }
        if self.ending.is_none() {
            self.session.agreed(response, now);
        }
        out.tell(if refresh {
            LegEvent::Refreshed
        } else {
            LegEvent::Reinvited { sdp: response.sdp().map(str::to_owned) }
        });
    }

    fn offer_refused(
        &mut self,
        mut want: Want,
        asked: SocketAddr,
        response: &Message,
        from: SocketAddr,
        now: Moment,
        out: &mut Outbox,
    ) {
        match response.code() {
            _ if self.ending.is_some() => {}
            401 | 407 if self.auth.challenged(response, asked, from) => match self.take_cseq(false, out) {
                Some(cseq) => self.send_offer(want, cseq, now, out),
                None => self.wants.push_front(want),
            },
            422 if self.session.raise(response) => self.wants.push_front(want),
            491 | 500 if self.may_wait(&mut want, response, now) => self.wants.push_front(want),
            code @ (408 | 481) => self.lose_peer(code == 408, now, out),
            code => {
                self.session.refresh_later(now);
                if !matches!(want, Want::Offer { refresh: true, .. }) {
                    out.tell(LegEvent::ReinviteFailed { code });
                }
            }
        }
    }

    /// After a glare, or when the peer still waits for an ACK (500 with Retry-After), the same is asked again a little later.
    fn may_wait(&mut self, want: &mut Want, response: &Message, now: Moment) -> bool {
        let Want::Offer { tries, .. } = want else { return false };
        let wait = match (response.code(), response.number(Name::RetryAfter)) {
            (491, _) if self.owns_call_id => draw_wait_ms(2_100, 4_000),
            (491, _) => draw_wait_ms(0, 2_000),
            (_, Some(seconds)) => u64::from(seconds.min(10)) * 1_000,
            (_, None) => return false,
        };
        *tries += 1;
        self.glare_until = Some(now.plus_ms(wait));
        *tries <= MOST_TRIES
    }

    /// The ACK to a refusal belongs to the transaction: the same branch, the same hop.
    fn ack_refusal(&mut self, cseq: u32, branch: &str, to: SocketAddr, out: &mut Outbox) {
        let writer = self.dialog.request(Method::Ack, cseq, branch);
        let ack = Transmit { to, bytes: writer.finish(None) };
        if self.acks.len() > 2 {
            self.acks.remove(1);
        }
        self.acks.push_back((cseq, ack.clone()));
        out.send(ack);
    }

    /// The peer knows us no more, or says nothing: one BYE for the case that it hears, and the end.
    pub(super) fn lose_peer(&mut self, perhaps_hears: bool, now: Moment, out: &mut Outbox) {
        if perhaps_hears
            && self.bye.is_none()
            && let Some(cseq) = self.take_cseq(true, out)
        {
            self.send_bye(Want::Bye { reason: None }, cseq, now, out);
        }
        self.finish(OverCause::PeerGone, out);
    }

    /// A response to our BYE.
    pub(super) fn bye_answered(&mut self, response: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        let Some((transaction, _)) = self.bye.as_mut().filter(|(transaction, _)| transaction.matches(response)) else {
            return;
        };
        if response.code() < 200 {
            return transaction.proceed(true, now);
        }
        let asked = transaction.to;
        if matches!(response.code(), 401 | 407)
            && self.auth.challenged(response, asked, from)
            && let Some(cseq) = self.take_cseq(true, out)
            && let Some((_, want)) = self.bye.take()
        {
            return self.send_bye(want, cseq, now, out);
        }
        self.finish(OverCause::HungUp, out);
    }
}
