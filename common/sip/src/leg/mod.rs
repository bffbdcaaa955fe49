//! An outgoing call, from its INVITE to its last word.
//!
//! A `Leg` opens no socket and asks no clock: its owner hands it messages and moments, and empties `poll_transmit` and
//! `poll_event` after every call. Two rules hold throughout: the INVITE is written down before it leaves (`invite`, then
//! `dial`), and a final response is written down before its ACK leaves (`Final`, then `acknowledge`).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod answers;
mod ringing;
mod state;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::digest::{Auth, Credentials};
use crate::frame::Message;
use crate::identity::draw_branch;
use crate::invite::{Invite, LegSetup, TryNames};
use crate::moment::{Moment, earliest};
use crate::talk::Talk;
use crate::talk::session::SessionTimer;
use crate::transaction::{Answered, ClientTransaction, PATIENCE};
use crate::transmit::{LegEvent, Outbox, OverCause, Reason, Transmit};
use ringing::EarlyDialog;
pub use state::LegState;

/// Where the INVITE stands.
#[derive(Debug)]
enum Stage {
    /// Written, not sent; the first or a further try.
    Written,
    /// On its way, or ringing.
    Calling(ClientTransaction),
    /// A refusal has been told; its ACK waits for the owner. With a retry, `invite` is already the next try.
    Refused { ack: Option<Transmit>, code: u16, retry: bool },
    /// Answered: `talk` has the dialog.
    Answered,
    /// Answered and hung up before anybody heard the answer: that has been told, and `farewell` waits for the owner.
    Left,
    /// Nothing left to do.
    Ended,
}

/// An outgoing call.
#[derive(Debug)]
pub struct Leg {
    setup: LegSetup,
    invite: Invite,
    session: SessionTimer,
    auth: Auth,
    stage: Stage,
    early: Vec<EarlyDialog>,
    told_trying: bool,
    /// Some once we want it to end; the reason for the CANCEL or BYE.
    hanging: Option<Option<Reason>>,
    cancel: Option<ClientTransaction>,
    /// After a CANCEL: how long a final response may take.
    silence_until: Option<Moment>,
    /// ACKs of refused tries, by branch, for repeats of the refusal.
    acks: Vec<(String, Transmit)>,
    talk: Option<Talk>,
    /// The 200 to a BYE that came before the answer it ends, or before that was durable.
    farewell: Option<Transmit>,
    /// Answers nobody wants any more: each acknowledged and hung up.
    unwanted: Vec<Talk>,
    answered: Answered,
    raised_once: bool,
    /// The INVITE was sent again after a crash: silence does not say that nobody is there.
    resumed: bool,
    over: bool,
    out: Outbox,
}

/// A stored INVITE with less than this left of its life is not sent again: nobody would hear its answer in time.
const LEAST_LEFT: u64 = 2_000;

impl Leg {
    /// A leg whose INVITE is written and not sent.
    pub fn new(setup: LegSetup) -> Leg {
        let session = SessionTimer::wish(u32::try_from(setup.session.as_secs()).unwrap_or(u32::MAX));
        let names = TryNames { branch: &setup.identity.branch, cseq: setup.identity.cseq, try_number: 1 };
        let invite = setup.write(names, &session, &[]);
        Leg::of(setup, invite, session)
    }

    fn of(setup: LegSetup, invite: Invite, session: SessionTimer) -> Leg {
        Leg {
            auth: Auth::for_trunk(setup.target.peer, setup.target.credentials.clone()),
            setup,
            invite,
            session,
            stage: Stage::Written,
            early: Vec::new(),
            told_trying: false,
            hanging: None,
            cancel: None,
            silence_until: None,
            acks: Vec::new(),
            talk: None,
            farewell: None,
            unwanted: Vec::new(),
            answered: Answered::default(),
            raised_once: false,
            resumed: false,
            over: false,
            out: Outbox::default(),
        }
    }

    /// The INVITE that is to be stored and sent next, or that was sent.
    pub fn invite(&self) -> &Invite {
        &self.invite
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.invite.call_id
    }

    /// The INVITE leaves.
    pub fn dial(&mut self, now: Moment) {
        self.send_invite(PATIENCE, now);
    }

    /// After a crash: the very same bytes leave again, and are repeated until the INVITE is 32 seconds old. If nobody has said a
    /// word by then, `GivenUp` is told; an INVITE that [`Leg::may_resume`] says no to is given up as [`Leg::abandon`] does.
    pub fn resume(&mut self, age: Duration, now: Moment) {
        if !matches!(self.stage, Stage::Written) {
            return;
        }
        self.resumed = true;
        match left_of(age) {
            Some(left) => self.send_invite(left, now),
            None => self.give_up(now),
        }
    }

    /// Whether an INVITE of this age may be sent again, byte for byte.
    pub fn may_resume(age: Duration) -> bool {
        left_of(age).is_some()
    }

    fn send_invite(&mut self, patience: u64, now: Moment) {
        if !matches!(self.stage, Stage::Written) || self.over {
            return;
        }
        if self.hanging.is_some() {
            return self.finish(OverCause::NeverSent);
        }
        let Invite { branch, cseq, bytes, peer, .. } = &self.invite;
        let transmit = Transmit { to: *peer, bytes: bytes.clone() };
        let transaction = ClientTransaction::send_for(
            crate::frame::Method::Invite,
            branch.clone(),
            *cseq,
            transmit,
            patience,
            now,
            &mut self.out,
        );
        self.stage = Stage::Calling(transaction);
    }

    /// After a crash, for an INVITE that is too old or was sent from another address: CANCEL with the stored branch, ACK and
    /// BYE for a late 200, then `Over`.
    pub fn abandon(invite: &Invite, local: SocketAddr, now: Moment) -> Leg {
        let mut leg = Leg::of_stored(invite);
        leg.give_up(now);
        leg.setup.local = local;
        leg
    }

    fn give_up(&mut self, now: Moment) {
        self.hanging = Some(None);
        let mut unsent = Outbox::default();
        let transmit = Transmit { to: self.invite.peer, bytes: self.invite.bytes.clone() };
        let Invite { branch, cseq, .. } = &self.invite;
        let mut transaction =
            ClientTransaction::send(crate::frame::Method::Invite, branch.clone(), *cseq, transmit, now, &mut unsent);
        transaction.proceed(false, now);
        self.stage = Stage::Calling(transaction);
        self.send_cancel(now);
    }

    /// The final response is durable: its ACK may leave. Repeats of it are acknowledged from now on by themselves.
    pub fn acknowledge(&mut self, now: Moment) {
        match &mut self.stage {
            Stage::Refused { ack, code, retry } => {
                let (ack, code, retry) = (ack.take(), *code, *retry);
                let silent = ack.is_none();
                self.send_refusal_ack(ack);
                match retry {
                    true => self.stage = Stage::Written,
                    false if silent => self.finish(OverCause::NoResponse),
                    false if self.hanging.is_some() => self.finish(OverCause::Canceled { code: Some(code) }),
                    false => self.finish(OverCause::Refused { code }),
                }
                if retry && self.hanging.is_some() {
                    self.finish(OverCause::Canceled { code: Some(code) });
                }
            }
            Stage::Answered => {
                let Some(talk) = self.talk.as_mut().filter(|talk| !talk.is_acknowledged()) else { return };
                talk.acknowledge(&mut self.out);
                self.out.transmits.extend(self.farewell.take());
                if let Some(reason) = self.hanging.clone() {
                    talk.hang_up(reason, now, &mut self.out);
                }
                self.follow_talk();
            }
            Stage::Left => {
                self.out.transmits.extend(self.farewell.clone());
                self.finish(OverCause::RemoteHangUp);
            }
            _ => {}
        }
    }

    /// Ends the call in whatever way is right where it stands.
    pub fn hang_up(&mut self, reason: Option<Reason>, now: Moment) {
        if self.over || self.hanging.is_some() {
            return;
        }
        self.hanging = Some(reason.clone());
        match &mut self.stage {
            Stage::Written => self.finish(OverCause::NeverSent),
            Stage::Calling(invite) if invite.provisional || self.resumed => {
                invite.proceed(false, now); // a resumed one may have rung before the crash
                self.send_cancel(now);
            }
            Stage::Answered => {
                if let Some(talk) = self.talk.as_mut().filter(|talk| talk.is_acknowledged()) {
                    talk.hang_up(reason, now, &mut self.out);
                    self.follow_talk();
                }
            }
            Stage::Calling(_) | Stage::Refused { .. } | Stage::Left | Stage::Ended => {}
        }
    }

    /// Says once more what ends the call, CANCEL or BYE, as long as it has no answer: for whoever knows that it did not leave.
    pub fn hang_up_again(&mut self) {
        if let Some(cancel) = &self.cancel {
            cancel.again(&mut self.out);
        }
        if let Some(talk) = &self.talk {
            talk.hang_up_again(&mut self.out);
        }
        self.tend_unwanted(|talk, out| talk.hang_up_again(out));
    }

    /// Offers a new description within the answered call, from a new address if one is given.
    pub fn reinvite(&mut self, sdp: String, contact: Option<SocketAddr>, now: Moment) {
        if let Some(talk) = &mut self.talk {
            talk.offer(sdp, contact, now, &mut self.out);
        }
    }

    /// Answers the peer's `Offer`; None refuses it with 488 and leaves the call as it was.
    pub fn answer_offer(&mut self, sdp: Option<String>, now: Moment) {
        if let Some(talk) = &mut self.talk {
            talk.answer_offer(sdp, now, &mut self.out);
        }
    }

    /// A message with this Call-ID. What comes from anybody but the peer, or does not belong here, changes nothing.
    pub fn receive(&mut self, message: &Message, from: SocketAddr, now: Moment) {
        if message.is_request() {
            self.serve(message, from, now);
        } else if self.is_peer(from.ip()) {
            self.answered_by_peer(message, from, now);
        }
        self.follow_talk();
    }

    /// The addresses that may speak in this call.
    pub fn peers(&self) -> Vec<IpAddr> {
        match &self.talk {
            Some(talk) => talk.dialog.peers(),
            None => vec![self.invite.peer.ip()],
        }
    }

    fn is_peer(&self, ip: IpAddr) -> bool {
        ip == self.invite.peer.ip() || self.talk.iter().chain(&self.unwanted).any(|talk| talk.dialog.is_peer(ip))
    }

    /// When to come back at the latest.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let calling = match &self.stage {
            Stage::Calling(invite) => invite.poll_timeout(),
            _ => None,
        };
        let talks = self.talk.iter().chain(&self.unwanted).map(Talk::poll_timeout);
        let cancel = self.cancel.as_ref().and_then(ClientTransaction::poll_timeout);
        earliest(talks.chain([calling, cancel, self.silence_until]))
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment) {
        if let Stage::Calling(invite) = &mut self.stage
            && invite.handle_timeout(now, &mut self.out)
        {
            self.nobody_answered(now);
        }
        if self.cancel.as_mut().is_some_and(|cancel| cancel.handle_timeout(now, &mut self.out)) {
            self.cancel = None;
        }
        if self.silence_until.is_some_and(|until| until <= now) {
            self.silence_until = None;
            if matches!(self.stage, Stage::Calling(_)) {
                self.finish(OverCause::Canceled { code: None });
            }
        }
        if let Some(talk) = &mut self.talk {
            talk.handle_timeout(now, &mut self.out);
        }
        self.tend_unwanted(|talk, out| talk.handle_timeout(now, out));
        self.follow_talk();
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<LegEvent> {
        self.out.events.pop_front()
    }

    /// The upper end of the CSeq block that must be durable.
    pub fn cseq_reserved(&self) -> u32 {
        match &self.talk {
            Some(talk) => talk.dialog.reserved,
            None => self.invite.cseq + crate::dialog::CSEQ_BLOCK - 1,
        }
    }

    /// The block up to `cseq_reserved` is durable; requests that waited for it leave.
    pub fn reserve_done(&mut self, now: Moment) {
        if let Some(talk) = &mut self.talk {
            talk.reserve_done(now, &mut self.out);
            self.follow_talk();
        }
    }

    /// The 2xx promised no session timer: an orphan ends by its media timeout only.
    pub fn session_timer_missing(&self) -> bool {
        self.talk.as_ref().is_some_and(|talk| talk.session.missing)
    }

    /// Whether the last has been said.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Every ACK that has left: what a final response that comes again is owed, also when this leg is no more.
    pub fn sent_acks(&self) -> Vec<Transmit> {
        let waiting = match &self.stage {
            Stage::Refused { ack, .. } => ack.as_ref(),
            _ => None,
        };
        let refusals = self.acks.iter().map(|(_, ack)| ack).filter(|ack| Some(*ack) != waiting);
        let talks = self.talk.iter().chain(&self.unwanted);
        refusals.chain(talks.flat_map(Talk::sent_acks)).cloned().collect()
    }

    /// The trunk's credentials for a leg that was restored: they are never part of what is stored.
    pub fn set_credentials(&mut self, credentials: Option<Credentials>) {
        if let Some(talk) = &mut self.talk {
            talk.auth.set_credentials(credentials.clone());
        }
        self.auth.set_credentials(credentials);
    }

    fn finish(&mut self, cause: OverCause) {
        if !std::mem::replace(&mut self.over, true) {
            self.stage = Stage::Ended;
            self.cancel = None;
            self.silence_until = None;
            self.out.tell(LegEvent::Over { cause });
        }
    }

    /// The talk has told its own end.
    fn follow_talk(&mut self) {
        if self.talk.as_ref().is_some_and(Talk::is_over) {
            self.over = true;
        }
    }

    /// Lets unwanted answers end; their news is nobody's business, but the last of them may end the leg.
    fn tend_unwanted(&mut self, mut tend: impl FnMut(&mut Talk, &mut Outbox)) {
        let mut aside = Outbox::default();
        for talk in &mut self.unwanted {
            tend(talk, &mut aside);
        }
        self.out.transmits.append(&mut aside.transmits);
        if !self.unwanted.is_empty()
            && self.talk.is_none()
            && matches!(self.stage, Stage::Ended)
            && self.unwanted.iter().all(Talk::is_over)
        {
            self.finish(OverCause::AnsweredLate);
        }
    }

    /// The next try: same call, new branch, next CSeq.
    fn write_next_try(&mut self) {
        let branch = draw_branch();
        let auth = self.auth.headers("INVITE", &self.setup.target.request_uri, self.setup.target.peer);
        let names = TryNames { branch: &branch, cseq: self.invite.cseq + 1, try_number: self.invite.try_number + 1 };
        self.invite = self.setup.write(names, &self.session, &auth);
    }
}

/// How long an INVITE of this age may still be repeated, in milliseconds.
fn left_of(age: Duration) -> Option<u64> {
    PATIENCE.checked_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)).filter(|left| *left >= LEAST_LEFT)
}
