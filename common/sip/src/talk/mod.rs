//! An answered call, seen from either end: requests both ways until one side hangs up.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod ask;
pub(crate) mod serve;
pub(crate) mod session;

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::dialog::{CSEQ_BLOCK, Dialog};
use crate::digest::Auth;
use crate::frame::{Message, Method};
use crate::moment::{Moment, earliest};
use crate::transaction::{Answered, AwaitingAck, ClientTransaction};
use crate::transmit::{LegEvent, Outbox, OverCause, Reason, Transmit};
use session::{Due, SessionTimer};

/// When so few numbers are left, the next block is asked for.
const RESERVE_AT: u32 = 20;
/// The last numbers of a block are kept for hanging up.
const KEPT_FOR_BYE: u32 = 4;

/// Something we want to ask of the peer as soon as we may.
#[derive(Debug)]
enum Want {
    Offer { sdp: String, refresh: bool, tries: u8 },
    Bye { reason: Option<Reason> },
}

/// The peer's offer that waits for our owner's answer.
#[derive(Debug)]
struct Offered {
    request: Message,
    from: SocketAddr,
    session: (SessionTimer, (String, bool)),
}

/// The answered call.
#[derive(Debug)]
pub(crate) struct Talk {
    pub dialog: Dialog,
    pub session: SessionTimer,
    pub auth: Auth,
    granted: u32,
    wants: VecDeque<Want>,
    glare_until: Option<Moment>,
    reinvite: Option<(ClientTransaction, Want)>,
    bye: Option<(ClientTransaction, Want)>,
    acks: VecDeque<(u32, Transmit)>,
    offered: Option<Offered>,
    unacked: Option<AwaitingAck>,
    answered: Answered,
    owns_call_id: bool,
    ending: Option<OverCause>,
    over: bool,
}

impl Talk {
    /// A call that has just been answered. `owns_call_id`: we are the caller, which decides who waits longer after a glare.
    pub fn begin(dialog: Dialog, session: SessionTimer, auth: Auth, owns_call_id: bool) -> Talk {
        Talk {
            granted: dialog.reserved,
            dialog,
            session,
            auth,
            wants: VecDeque::new(),
            glare_until: None,
            reinvite: None,
            bye: None,
            acks: VecDeque::new(),
            offered: None,
            unacked: None,
            answered: Answered::default(),
            owns_call_id,
            ending: None,
            over: false,
        }
    }

    /// A stored call goes on: in the next block of CSeq numbers, once that is durable.
    pub fn resume(
        mut dialog: Dialog,
        session: SessionTimer,
        auth: Auth,
        owns_call_id: bool,
        now: Moment,
        out: &mut Outbox,
    ) -> Talk {
        dialog.skip_block();
        let granted = dialog.cseq;
        let mut talk = Talk { granted, ..Talk::begin(dialog, session, auth, owns_call_id) };
        talk.session.arm(now);
        out.tell(LegEvent::Reserve);
        talk
    }

    /// The reserved block is durable.
    pub fn reserve_done(&mut self, now: Moment, out: &mut Outbox) {
        self.granted = self.dialog.reserved;
        self.pump(now, out);
    }

    /// The next CSeq, if the durable block has one.
    fn take_cseq(&mut self, for_bye: bool, out: &mut Outbox) -> Option<u32> {
        let left = self.granted.saturating_sub(self.dialog.cseq);
        if left <= RESERVE_AT && self.granted == self.dialog.reserved {
            self.dialog.reserved += CSEQ_BLOCK;
            out.tell(LegEvent::Reserve);
        }
        if left <= if for_bye { 0 } else { KEPT_FOR_BYE } {
            return None;
        }
        self.dialog.cseq += 1;
        Some(self.dialog.cseq)
    }

    /// Whether the last has been said.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn finish(&mut self, cause: OverCause, out: &mut Outbox) {
        if !std::mem::replace(&mut self.over, true) {
            self.session.stop();
            self.wants.clear();
            self.reinvite = None;
            self.bye = None;
            self.glare_until = None;
            out.tell(LegEvent::Over { cause: self.ending.take().unwrap_or(cause) });
        }
    }

    /// A message of this dialog from one of its peers.
    pub fn receive(&mut self, message: &Message, from: SocketAddr, now: Moment, out: &mut Outbox) {
        match (message.is_request(), message.method()) {
            (true, method) => self.serve(method, message, from, now, out),
            (false, Method::Invite) => self.reinvite_answered(message, from, now, out),
            (false, Method::Bye) => self.bye_answered(message, from, now, out),
            (false, _) => {}
        }
    }

    /// Sends the BYE that has no answer yet once more.
    pub fn hang_up_again(&self, out: &mut Outbox) {
        if let Some((bye, _)) = &self.bye {
            bye.again(out);
        }
    }

    pub fn poll_timeout(&self) -> Option<Moment> {
        earliest([
            self.reinvite.as_ref().and_then(|(transaction, _)| transaction.poll_timeout()),
            self.bye.as_ref().and_then(|(transaction, _)| transaction.poll_timeout()),
            self.unacked.as_ref().map(AwaitingAck::poll_timeout),
            self.session.poll_timeout(),
            self.glare_until,
        ])
    }

    pub fn handle_timeout(&mut self, now: Moment, out: &mut Outbox) {
        if self.bye.as_mut().is_some_and(|(bye, _)| bye.handle_timeout(now, out)) {
            self.finish(OverCause::HungUp, out);
        }
        if self.reinvite.as_mut().is_some_and(|(reinvite, _)| reinvite.handle_timeout(now, out)) {
            self.reinvite = None;
            self.lose_peer(true, now, out);
        }
        if self.unacked.as_mut().is_some_and(|unacked| unacked.handle_timeout(now, out)) {
            let accepted = self.unacked.take().is_some_and(|unacked| unacked.accepted);
            if accepted {
                self.end(OverCause::PeerGone, None, now, out);
            }
        }
        match self.session.handle_timeout(now) {
            Some(Due::Expired) => self.end(OverCause::SessionExpired, None, now, out),
            Some(Due::Refresh) => {
                let is_waiting = self.reinvite.is_some() || !self.wants.is_empty();
                let sdp = self.dialog.local_sdp.clone();
                self.wants.extend((!is_waiting).then_some(Want::Offer { sdp, refresh: true, tries: 0 }));
            }
            None => {}
        }
        if self.glare_until.is_some_and(|until| until <= now) {
            self.glare_until = None;
        }
        self.pump(now, out);
    }
}
