//! The driver at the telephone: what it does with a leg, and what it makes of a leg's news.

use std::net::SocketAddr;

use ringback_common::event::LegName::{self, A, B};
use ringback_common::failpoint::failpoint;
use ringback_common::store::{FinalResponse as StoredFinal, NewInvite};
use ringback_sip::{
    Caller, Credentials, FinalResponse, Identity, Leg, LegEvent, LegSetup, Message, Moment, OverCause, Reason, Target,
};

use super::line::{PhoneLine, Welcome};
use super::record::{attempt_of, index};
use super::{Driver, Work};
use crate::call::{Cause, Input, Snapshot, State};
use crate::sdp::{LocalSdp, Policy};

impl Driver {
    // --- Doing ---------------------------------------------------------------------------------------------------------

    /// Legs that the snapshot says are dialled and that have no equipment yet; answers the INVITEs to be stored with it.
    pub(super) fn prepare_lines(&mut self, snapshot: &Snapshot) -> Vec<NewInvite> {
        let mut invites = Vec::new();
        for (leg, track) in [(A, &snapshot.a), (B, &snapshot.b)] {
            let i = index(leg);
            let wanted = track.dialled.is_some() && track.answered.is_none() && track.ended.is_none();
            let ready = self.lines[i].as_ref().is_some_and(|line| !line.over && !line.refused);
            if !wanted || ready || self.given_up[i] || self.call.track(leg).ended.is_some() {
                continue;
            }
            match self.prepare(leg, track.route) {
                Some(line) => {
                    invites.push(line.new_invite(self.call.plan().no_answer));
                    self.leaving[i] = self.lines[i].replace(line);
                }
                None => self.hears(Input::Over(leg, Cause::TrunkFailed)),
            }
        }
        invites
    }

    fn prepare(&mut self, leg: LegName, route: usize) -> Option<PhoneLine> {
        let world = &self.world;
        let party = self.call.plan().party(leg);
        let route = party.routes.get(route)?;
        let trunks = world.tables.borrow().trunks.clone();
        let trunk = trunks.named(&route.trunk)?;
        let peer = trunk.address?;
        let media =
            self.audio.open(world).inspect_err(|error| tracing::error!(%error, "no audio for a new leg")).ok()?;
        let offer = LocalSdp::offer(media.local(), rand::random());
        let local = world.endpoint.local_addr();
        let credentials = trunk.credentials.as_ref().map(|(user, password)| Credentials {
            username: user.clone(),
            password: password.clone(),
            realm: None,
        });
        let setup = LegSetup {
            identity: Identity::draw(),
            target: Target {
                request_uri: format!("sip:{}@{}", party.number.as_str(), trunk.host),
                peer,
                route: None,
                credentials,
            },
            caller: Caller {
                from_uri: format!("sip:{}@{}", route.cli, local),
                display: None,
                extra_headers: self.record.headers(leg, &local.to_string()),
            },
            local,
            sdp: offer.text().to_owned(),
            expires: self.call.plan().no_answer,
            session: world.sip.session_expires,
        };
        let sip = Leg::new(setup);
        let wire = world.endpoint.register(sip.call_id());
        let tries_before = self.tries[index(leg)];
        Some(PhoneLine {
            name: leg,
            attempt: attempt_of(&self.call, leg),
            tries_before,
            sip,
            wire,
            welcome: Welcome::trunk(&world.endpoint, peer.ip()),
            media: Some(media),
            offer,
            signalling: peer.ip(),
            answered: false,
            verdict: None,
            not_before: None,
            taken_up: None,
            stored: None,
            storing: None,
            refused: false,
            held_back: false,
            over: false,
        })
    }

    pub(super) fn dial(&mut self, leg: LegName) {
        let now = self.clock.now();
        let Some(line) = &mut self.lines[index(leg)] else { return };
        if line.not_before.is_some_and(|at| at > now) {
            return; // the tick dials
        }
        line.not_before = None;
        line.sip.dial(now);
        if !line.sip.is_over() {
            self.record.leaves(leg, line.sip.call_id());
        }
        self.tries[index(leg)] = line.try_number();
        self.send_all();
        self.hears(Input::Dialled(leg));
        failpoint(if leg == A { "leg_a.invite_sent" } else { "leg_b.invite_sent" });
    }

    /// CANCEL or BYE, at once. A leg that has no equipment was never sent anything.
    pub(super) fn hang_up(&mut self, leg: LegName, cause: Cause) {
        let now = self.clock.now();
        match &mut self.lines[index(leg)] {
            Some(line) => {
                line.sip.hang_up(Some(Reason::q850(cause.q850())), now);
                self.send_all();
                failpoint("end.bye_sent");
            }
            None => self.give_up(leg),
        }
    }

    /// The INVITE of this leg never leaves.
    pub(super) fn give_up(&mut self, leg: LegName) {
        self.given_up[index(leg)] = true;
        self.lines[index(leg)] = None;
        self.hears(Input::Over(leg, Cause::Canceled));
    }

    /// Everything that the legs have to send goes to the socket.
    pub(super) fn send_all(&mut self) {
        for line in self.lines.iter_mut().flatten() {
            while let Some(transmit) = line.sip.poll_transmit() {
                line.held_back |= !self.world.endpoint.send(&transmit);
            }
        }
    }

    /// Whether the gate has kept something from a phone.
    pub(super) fn is_held_back(&self) -> bool {
        self.lines.iter().flatten().any(|line| line.held_back)
    }

    /// The gate is open: whom we wanted to hang up on hears it now, not when the next repeat is due.
    pub(super) fn hang_up_again(&mut self) {
        for line in self.lines.iter_mut().flatten().filter(|line| line.held_back) {
            line.held_back = false;
            line.sip.hang_up_again();
        }
        self.send_all();
    }

    // --- Hearing -------------------------------------------------------------------------------------------------------

    pub(super) fn heard(&mut self, leg: LegName, message: &Message, from: SocketAddr) {
        let now = self.clock.now();
        if let Some(line) = &mut self.lines[index(leg)] {
            line.sip.receive(message, from, now);
        }
    }

    /// Takes the legs' news; answers whether there was any.
    pub(super) fn listen_to_legs(&mut self) -> bool {
        let mut any = false;
        for leg in [A, B] {
            while let Some(event) = self.lines[index(leg)].as_mut().and_then(|line| line.sip.poll_event()) {
                any = true;
                self.leg_said(leg, event);
            }
        }
        any
    }

    fn leg_said(&mut self, leg: LegName, event: LegEvent) {
        match event {
            LegEvent::Trying if leg == A => failpoint("leg_a.got_100"),
            LegEvent::Ringing { code, sdp, q850 } => self.rings(leg, code, sdp.as_deref(), q850),
            LegEvent::Final(last) => self.final_response(leg, last),
            LegEvent::GivenUp => self.lost(),
            LegEvent::Offer { sdp } => self.offered(leg, sdp.as_deref()),
            LegEvent::Reinvited { sdp } => self.reinvited(leg, sdp.as_deref()),
            LegEvent::ReinviteFailed { code } => self.reinvite_failed(leg, code),
            LegEvent::Refreshed => failpoint("talk.session_refresh"),
            LegEvent::Reserve => self.work.push_back(Work::Reserve(leg)),
            LegEvent::RemoteHangUp { .. } => self.hung_up(leg),
            LegEvent::Over { cause } => self.leg_over(leg, &cause),
            LegEvent::Trying | LegEvent::Confirmed | LegEvent::Digits(_) => {}
        }
    }

    fn rings(&mut self, leg: LegName, code: u16, early: Option<&str>, q850: Option<u8>) {
        self.record.legs[index(leg)].sip_code = Some(code);
        if q850 == Some(17) {
            // Some carriers say "user busy" in a 183 and then play a tone (P56): it is a busy line, not progress.
            if let Some(line) = &mut self.lines[index(leg)] {
                line.verdict = Some(Cause::Busy);
            }
            return self.hang_up(leg, Cause::Busy);
        }
        self.hears(Input::Ringing(leg));
        if let Some(early) = early
            && leg == B
            && self.agree(leg, early)
        {
            self.hears(Input::EarlyMedia(leg));
        }
    }

    /// The first final response of a try: it is stored, and only then ACKed.
    fn final_response(&mut self, leg: LegName, last: FinalResponse) {
        let (i, now) = (index(leg), self.clock.now());
        let Some(line) = &mut self.lines[i] else { return };
        line.not_before = last.retry_after.filter(|_| last.retry).map(|wait| now + wait);
        let try_number = if last.retry { line.try_number() - 1 } else { line.try_number() };
        self.record.finals.push(StoredFinal {
            leg,
            attempt: line.attempt,
            try_number,
            code: last.code,
            bytes: last.bytes.clone(),
        });
        self.record.legs[i].sip_code = Some(last.code);
        self.record.legs[i].q850 = last.q850;
        match last.code {
            _ if last.retry => {
                if leg == A {
                    failpoint("leg_a.got_401_not_stored");
                }
                self.work.push_back(Work::NewTry(leg));
            }
            200..300 => self.answered(leg, &last),
            code => {
                if leg == A {
                    failpoint("leg_a.got_486_not_stored");
                }
                if let Some(line) = &mut self.lines[i] {
                    line.refused = true;
                }
                let silent = last.bytes.is_empty();
                let cause = if silent { super::NO_SIGN_OF_LIFE } else { Cause::of_status(code) };
                // A waits and pays until B's phone has said no, also when that had to wait to be read.
                let at = if leg == B && !silent { self.arrived(leg) } else { now };
                self.call.handle(Input::Over(leg, self.colour(leg, cause)), at);
            }
        }
    }

    fn answered(&mut self, leg: LegName, last: &FinalResponse) {
        failpoint(if leg == A { "leg_a.got_200_not_stored" } else { "leg_b.got_200_not_stored" });
        if let Some(line) = &mut self.lines[index(leg)] {
            line.answered = !last.is_hang_up();
            line.welcome.add(line.sip.peers());
        }
        let too_late = matches!(self.call.state(), State::Closing { .. });
        let given_up = self.lines[index(leg)].as_ref().is_some_and(|line| line.verdict.is_some());
        if too_late || !given_up && last.sdp.as_deref().is_some_and(|answer| self.agree(leg, answer)) {
            return self.hears(Input::Answered(leg));
        }
        if last.is_hang_up() {
            return self.hears(Input::Over(leg, Cause::HungUp));
        }
        // Nothing that both can hear, or cancelled as busy before: acknowledged once stored, then hung up. The party was reached, so
        // no other trunk is tried.
        if let Some(line) = &mut self.lines[index(leg)] {
            line.sip.hang_up(Some(Reason::q850(Cause::MediaLost.q850())), self.clock.now());
        }
        self.hears(Input::Over(leg, Cause::MediaLost));
    }

    /// Takes a description as the answer to our offer; answers whether both sides can hear each other.
    fn agree(&mut self, leg: LegName, answer: &str) -> bool {
        let Some(line) = &self.lines[index(leg)] else { return false };
        let policy = Policy { home: self.world.media.home(), signalling_ip: line.signalling, nat: false };
        match line.offer.read_answer(answer, &policy) {
            Ok(agreed) => {
                self.with_media(leg, |media| media.connect(agreed));
                true
            }
            Err(error) => {
                tracing::info!(job = %self.record.job().id, leg = leg.as_str(), %error, "the answer's media is not usable");
                false
            }
        }
    }

    /// The peer changes the media within the call (hold, another address), or asks for our offer again.
    fn offered(&mut self, leg: LegName, theirs: Option<&str>) {
        let now = self.clock.now();
        let Some(line) = &mut self.lines[index(leg)] else { return };
        let Some(theirs) = theirs else { return line.sip.answer_offer(Some(line.offer.text().to_owned()), now) };
        let policy = Policy { home: self.world.media.home(), signalling_ip: line.signalling, nat: false };
        match line.offer.answer(theirs, &policy) {
            Ok(agreed) => {
                line.sip.answer_offer(Some(line.offer.text().to_owned()), now);
                self.with_media(leg, |media| media.connect(agreed));
            }
            Err(_) => line.sip.answer_offer(None, now),
        }
    }

    fn hung_up(&mut self, leg: LegName) {
        failpoint("end.bye_received");
        self.send_all();
        failpoint("end.bye_answered");
        self.call.handle(Input::Over(leg, Cause::HungUp), self.arrived(leg));
    }

    /// When a phone said its last message: its own second, also when that had to wait to be read.
    fn arrived(&self, leg: LegName) -> Moment {
        let arrived = self.lines[index(leg)].as_ref().map(|line| self.clock.moment(line.wire.arrived().into()));
        let now = self.clock.now();
        arrived.map_or(now, |arrived| arrived.min(now))
    }

    fn reinvited(&mut self, leg: LegName, answer: Option<&str>) {
        if let Some(line) = &mut self.lines[index(leg)] {
            line.taken_up = None;
        }
        self.hears(Input::Confirmed(leg));
        if let Some(answer) = answer {
            self.agree(leg, answer);
        }
    }

    /// A phone that was called again after a crash said nothing: the call cannot be taken up. Whoever is known to be on the line
    /// is charged until now, others until they were last known alive.
    fn lost(&mut self) {
        let taken_up = self.lines.iter().flatten().filter_map(|line| line.taken_up).min();
        self.hears(Input::Lost { alive: taken_up.unwrap_or(self.clock.now()) });
    }

    /// A call that was taken up again and that the peer does not know any more ended while the engine was away; any other refusal
    /// comes from somebody who is there.
    fn reinvite_failed(&mut self, leg: LegName, code: u16) {
        let taken_up = self.lines[index(leg)].as_mut().and_then(|line| line.taken_up.take());
        match (code, taken_up) {
            (_, None) => {}
            (408 | 481, Some(alive)) => self.hears(Input::Gone(leg, alive)),
            (_, Some(_)) => self.hears(Input::Confirmed(leg)),
        }
    }

    fn leg_over(&mut self, leg: LegName, cause: &OverCause) {
        if let Some(line) = &mut self.lines[index(leg)] {
            line.over = true;
        }
        let word = match cause {
            OverCause::NeverSent | OverCause::HungUp => Cause::Canceled,
            OverCause::Refused { code } | OverCause::Canceled { code: Some(code) } => Cause::of_status(*code),
            OverCause::Canceled { code: None } => Cause::Interrupted,
            OverCause::NoResponse => super::NO_SIGN_OF_LIFE,
            OverCause::AnsweredLate => return self.hears(Input::Answered(leg)),
            OverCause::RemoteHangUp => Cause::HungUp,
            OverCause::PeerGone | OverCause::SessionExpired => {
                match self.lines[index(leg)].as_ref().and_then(|line| line.taken_up) {
                    Some(alive) => return self.hears(Input::Gone(leg, alive)),
                    None => Cause::MediaLost,
                }
            }
        };
        self.hears(Input::Over(leg, self.colour(leg, word)));
    }

    /// What we know better than the last response; but who says no has said it.
    fn colour(&self, leg: LegName, word: Cause) -> Cause {
        let verdict = self.lines[index(leg)].as_ref().and_then(|line| line.verdict);
        verdict.filter(|_| !word.is_no()).unwrap_or(word)
    }
}
