//! Going on with a request that was cut off: after our own restart, after another engine fell silent, after a panic.
//!
//! What was written down decides: an INVITE younger than 30 s at our own address is sent again, byte
//! for byte; an answered call that was silent for less than 15 s is taken up by re-INVITE; everything else is cancelled or
//! hung up, charged until it was last known alive, and never rings a party twice.

mod remains;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use ringback_common::event::LegName::{self, A, B};
use ringback_common::failpoint::failpoint;
use ringback_common::job::Job;
use ringback_common::store::{OwnedRequest, StoredInvite};
use ringback_sip::{Credentials, Invite, Leg, LegState, Moment};
use tokio::sync::OwnedSemaphorePermit;

use crate::admission::Refusal;
use crate::call::{Call, Cause, Input, RESUME_WINDOW, Snapshot, State, Track, Verdict};
use crate::driver::{
    Audio, CallClock, Driver, Keeper, PhoneLine, Record, StoredCall, Welcome, attempt_of, index, reason_of,
};
use crate::sdp::LocalSdp;
use crate::worker::why_ended;
use crate::world::World;

/// How the request came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Our own, from before we were restarted.
    Restarted,
    /// Another engine's, whose beat has stood still for so long.
    Adopted(Duration),
    /// Claimed by us, but the answer got lost.
    Claimed,
    /// Our own, whose task panicked.
    Panicked,
    /// The same, for the third time.
    Poisoned,
}

/// What to do with it.
pub enum Next {
    /// Run this.
    Drive(Box<Driver>),
    /// Nothing was dialled yet: begin.
    Start {
        /// The wish.
        job: Job,
        /// Attempts so far.
        attempts: u32,
        /// The number of the last event.
        seq: u32,
        /// The slot it may use.
        slot: Option<OwnedSemaphorePermit>,
    },
    /// Finish it.
    Refuse {
        /// The wish.
        job: Job,
        /// The number of the last event.
        seq: u32,
        /// Why.
        refusal: Refusal,
    },
}

/// The number of the last event of a request.
pub fn last_seq(request: &OwnedRequest) -> u32 {
    match stored_call(request) {
        Ok(stored) => stored.map_or(0, |stored| stored.seq),
        Err(_) => remains::last_seq(request.row.snapshot.as_deref()),
    }
}

/// The call as it was stored, if one ever was. An open INVITE without a call is as bad as a call that cannot be read.
fn stored_call(request: &OwnedRequest) -> Result<Option<StoredCall>, String> {
    match request.row.snapshot.as_deref() {
        Some(text) => StoredCall::read(text).map(Some),
        None if remains::open_invites(request).next().is_some() => Err("it is missing".to_owned()),
        None => Ok(None),
    }
}

/// Decides how to go on, and gets the phones ready for it.
pub fn go_on(world: &Arc<World>, request: OwnedRequest, way: Way, slot: Option<OwnedSemaphorePermit>) -> Next {
    let request = request.as_of_now();
    let job = request.row.job.clone();
    let stored = match stored_call(&request) {
        Ok(stored) => stored.filter(|stored| stored.call.state != State::Ended),
        Err(why) => {
            unreadable("call", &request, &why);
            let remains = remains::call_of(&request, &world.tables.borrow(), &world.tariff);
            if remains.is_none() {
                return refuse(&request, Verdict::Interrupted);
            }
            remains
        }
    };
    if let Some(stored) = stored {
        failpoint("recovery.mid");
        return Next::Drive(Box::new(Recovery::of(world, &request, stored, way).driver(request, slot)));
    }
    if way == Way::Poisoned {
        return refuse(&request, Verdict::Poisoned);
    }
    if request.row.twin {
        return Next::Refuse { seq: last_seq(&request), refusal: why_ended(&request.row), job };
    }
    if request.invites.iter().any(remains::is_accepted) {
        return refuse(&request, Verdict::Interrupted); // somebody answered while nobody was there: never rung again
    }
    if let Some(cause) = request.invites.iter().find_map(remains::said_no) {
        let reason = reason_of(Verdict::Rejected, cause).to_owned();
        return Next::Refuse { seq: last_seq(&request), refusal: Refusal { verdict: Verdict::Rejected, reason }, job };
    }
    let attempts = u32::try_from(request.row.call_count).unwrap_or(u32::MAX);
    Next::Start { job, attempts, seq: last_seq(&request), slot }
}

fn refuse(request: &OwnedRequest, verdict: Verdict) -> Next {
    let reason = reason_of(verdict, Cause::Interrupted);
    Next::Refuse { job: request.row.job.clone(), seq: last_seq(request), refusal: Refusal { verdict, reason } }
}

/// An alarm: what cannot be read is ended by what stands in columns, and never dialled anew.
fn unreadable(what: &'static str, request: &OwnedRequest, why: &str) {
    metrics::counter!("ringback_unreadable_total", "what" => what).increment(1);
    tracing::error!(job = %request.row.job.id, why, "a stored {what} cannot be read: it is ended by what its columns say");
}

/// One call being taken up.
struct Recovery<'a> {
    world: &'a Arc<World>,
    stored: StoredCall,
    way: Way,
    /// The call's clock now.
    now: Moment,
    /// When it was last known alive.
    alive: Moment,
}

impl Recovery<'_> {
    fn of<'a>(world: &'a Arc<World>, request: &OwnedRequest, stored: StoredCall, way: Way) -> Recovery<'a> {
        let last_written = last_moment(&stored.call);
        let first = request.invites.iter().find(|one| one.invite.leg == A && one.invite.attempt == stored.plan.attempt);
        let by_store = first.and_then(|one| one.age).map(|age| Moment(0) + age);
        let by_wall = || Moment(u64::try_from((Utc::now() - stored.began).num_milliseconds()).unwrap_or(0));
        let now = by_store.unwrap_or_else(by_wall).max(last_written);
        let alive = request.row.alive_ms.and_then(|ms| u64::try_from(ms).ok()).map_or(last_written, Moment);
        Recovery { world, stored, way, now, alive: alive.max(last_written).min(now) }
    }

    fn driver(self, request: OwnedRequest, slot: Option<OwnedSemaphorePermit>) -> Driver {
        let clock = CallClock::showing(self.now);
        let held = request.hold.map(|purse| purse.held).unwrap_or_default();
        let mut record =
            Record::resume(Keeper::of(self.world, request.row.epoch), request.row.job.clone(), &self.stored, held);
        let audio = Audio::new(self.world, &record);
        let answered = self.answered_meanwhile(&request);
        let mut snapshot = self.stored.call.clone();
        if answered != [false; 2] {
            snapshot.state = remains::interrupted();
        }
        let mut call = Call::restore(self.stored.plan.clone(), snapshot);
        let home = self.world.endpoint.local_addr();
        let at_home = request.invites.iter().all(|one| one.invite.local_addr == home);
        let mut resumable = self.is_resumable(at_home) && answered == [false; 2];
        let mut lines = [None, None];
        for leg in [A, B] {
            if let Some(invite) = newest_try(&request, leg, attempt_of(&call, leg)) {
                if let Some(age) = invite.age.and_then(|age| u64::try_from(age.as_millis()).ok()) {
                    call.invited(leg, Moment(self.now.0.saturating_sub(age)));
                }
                record.legs[index(leg)].call_id.clone_from(&invite.invite.call_id);
                record.legs[index(leg)].sip_code = invite.final_response.as_ref().map(|last| last.code);
                let (line, alive) = self.line(&request, &audio, leg, invite, resumable);
                resumable &= alive;
                lines[index(leg)] = line;
            }
        }
        let job = &request.row.job.id;
        tracing::info!(%job, way = ?self.way, resumed = resumable, "going on with a call that was cut off");
        let mut driver = Driver::take_up(Arc::clone(self.world), call, record, clock, audio, lines, slot);
        if resumable {
            if held > self.stored.call.held {
                driver.hears(Input::Extended(held));
            }
            driver.hears(Input::Resumed { alive: self.alive });
            driver.resume_audio();
        } else {
            driver.hears(Input::Lost { alive: self.alive });
            for leg in [A, B].into_iter().filter(|leg| answered[index(*leg)]) {
                driver.hears(Input::Answered(leg));
            }
        }
        driver
    }

    /// Legs that the call believes to be ringing and that were answered, as whoever heard it has written down.
    fn answered_meanwhile(&self, request: &OwnedRequest) -> [bool; 2] {
        [A, B].map(|leg| {
            let track = self.track(leg);
            let attempt = if leg == A { self.stored.plan.attempt } else { 1 };
            let is_ringing = track.dialled.is_some() && track.answered.is_none() && track.ended.is_none();
            is_ringing && newest_try(request, leg, attempt).is_some_and(remains::is_accepted)
        })
    }

    fn track(&self, leg: LegName) -> &Track {
        if leg == A { &self.stored.call.a } else { &self.stored.call.b }
    }

    /// Whether the phones may go on as if nothing had happened. A ringing phone knows only the address that called it.
    fn is_resumable(&self, at_home: bool) -> bool {
        let silent_for = match self.way {
            Way::Poisoned => return false,
            Way::Adopted(silent_for) => silent_for,
            Way::Restarted | Way::Claimed | Way::Panicked => self.now - self.alive,
        };
        match self.stored.call.state {
            State::RingingCaller { .. } => at_home,
            State::RingingDestination { .. } => at_home && silent_for <= RESUME_WINDOW,
            State::Talking { .. } => silent_for <= RESUME_WINDOW,
            State::Closing { .. } | State::Ended => false,
        }
    }

    /// The equipment of one leg, and whether it can go on as it was.
    fn line(
        &self,
        request: &OwnedRequest,
        audio: &Audio,
        leg: LegName,
        stored: &StoredInvite,
        resumable: bool,
    ) -> (Option<PhoneLine>, bool) {
        let track = self.track(leg);
        if track.dialled.is_none() || track.ended.is_some() {
            return (None, true);
        }
        let dialog = request.dialogs.iter().find(|one| one.leg == leg && one.attempt == stored.invite.attempt);
        if let Some(dialog) = dialog.filter(|_| track.answered.is_some()) {
            match LegState::read(&dialog.state) {
                Ok(state) => return self.answered_line(audio, leg, stored, state, resumable),
                Err(why) => unreadable("dialog", request, &why),
            }
        }
        if !remains::is_accepted(stored) {
            return self.ringing_line(audio, leg, stored, resumable);
        }
        let cseq_hi = dialog.and_then(|one| u32::try_from(one.cseq_hi).ok()).unwrap_or(0);
        match dialog_of_columns(stored, cseq_hi) {
            Some(state) => self.answered_line(audio, leg, stored, state, false),
            None => (None, false), // the phone's own BYE was its first word that anybody heard
        }
    }

    fn ringing_line(
        &self,
        audio: &Audio,
        leg: LegName,
        stored: &StoredInvite,
        resumable: bool,
    ) -> (Option<PhoneLine>, bool) {
        let local = self.world.endpoint.local_addr();
        let open = stored.final_response.is_none() && stored.invite.local_addr == local;
        let young = stored.age.filter(|age| open && Leg::may_resume(*age));
        let Some(invite) = sip_invite(stored) else { return (None, false) };
        let offer = stored.invite.sdp.as_deref().and_then(|sdp| LocalSdp::restore(sdp).ok());
        let media = offer
            .as_ref()
            .filter(|_| resumable)
            .and_then(|offer| audio.open_port(self.world, offer.local().port()).ok());
        if let (true, Some(age), Some(media), Some(offer)) = (resumable, young, media, offer) {
            let mut sip = Leg::stored(&invite);
            sip.set_credentials(self.credentials(leg));
            sip.resume(age, self.now);
            return (Some(self.equip(leg, stored, sip, Some(media), offer)), true);
        }
        let sip = Leg::abandon(&invite, local, self.now);
        let offer = LocalSdp::offer(local, 0);
        (Some(self.equip(leg, stored, sip, None, offer)), false)
    }

    fn answered_line(
        &self,
        audio: &Audio,
        leg: LegName,
        stored: &StoredInvite,
        state: LegState,
        resumable: bool,
    ) -> (Option<PhoneLine>, bool) {
        let local = self.world.endpoint.local_addr();
        let described = state.descriptions().map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()));
        let before = described.as_ref().and_then(|(ours, _)| LocalSdp::restore(ours).ok());
        let at_home = stored.invite.local_addr == local;
        let media = match &before {
            Some(_) if !resumable => None,
            Some(before) if at_home => audio.open_port(self.world, before.local().port()).ok(),
            _ => audio.open(self.world).ok(),
        };
        let mut sip = match sip_invite(stored).filter(|_| at_home) {
            Some(invite) => Leg::restore(state, invite, self.now),
            None => Leg::adopt(state, local, self.now),
        };
        sip.set_credentials(self.credentials(leg));
        let mut offer = before.unwrap_or_else(|| LocalSdp::offer(local, 0));
        let Some(media) = media else {
            let mut line = self.equip(leg, stored, sip, None, offer);
            line.answered = true;
            return (Some(line), false);
        };
        if let Some(agreed) = described.and_then(|(_, theirs)| offer.read_answer(&theirs, &self.policy(stored)).ok()) {
            let _ = media.connect(agreed);
        }
        sip.reinvite(offer.reoffer(media.local()).to_owned(), (!at_home).then_some(local), self.now);
        let mut line = self.equip(leg, stored, sip, Some(media), offer);
        line.answered = true;
        line.taken_up = Some(self.alive);
        (Some(line), true)
    }

    fn policy(&self, stored: &StoredInvite) -> crate::sdp::Policy<'_> {
        crate::sdp::Policy { home: self.world.media.home(), signalling_ip: stored.invite.peer_addr.ip(), nat: false }
    }

    fn equip(
        &self,
        leg: LegName,
        stored: &StoredInvite,
        sip: Leg,
        media: Option<crate::media::LegMedia>,
        offer: LocalSdp,
    ) -> PhoneLine {
        let peer: SocketAddr = stored.invite.peer_addr;
        let mut welcome = Welcome::trunk(&self.world.endpoint, peer.ip());
        welcome.add(sip.peers());
        PhoneLine {
            name: leg,
            attempt: stored.invite.attempt,
            tries_before: stored.invite.try_number.saturating_sub(sip.invite().try_number),
            wire: self.world.endpoint.register(&stored.invite.call_id),
            welcome,
            sip,
            media,
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
        }
    }

    fn credentials(&self, leg: LegName) -> Option<Credentials> {
        let route = self.stored.plan.party(leg).routes.get(self.track(leg).route)?;
        let tables = self.world.tables.borrow();
        let (username, password) = tables.trunks.named(&route.trunk)?.credentials.clone()?;
        Some(Credentials { username, password, realm: None })
    }
}

/// The try of this attempt that was answered, or else the last.
fn newest_try(request: &OwnedRequest, leg: LegName, attempt: u32) -> Option<&StoredInvite> {
    let of_attempt = request.invites.iter().filter(|one| one.invite.leg == leg && one.invite.attempt == attempt);
    of_attempt.max_by_key(|one| (remains::is_accepted(one), one.invite.try_number))
}

/// The dialog of an answered INVITE by its bytes and those of the answer.
fn dialog_of_columns(stored: &StoredInvite, cseq_hi: u32) -> Option<LegState> {
    LegState::of_answer(&sip_invite(stored)?, &stored.final_response.as_ref()?.bytes, cseq_hi)
}

fn sip_invite(stored: &StoredInvite) -> Option<Invite> {
    let row = &stored.invite;
    Invite::read(row.bytes.clone(), row.local_addr, row.peer_addr, row.try_number)
}

/// The latest moment that the stored call knows of.
fn last_moment(call: &Snapshot) -> Moment {
    let tracks = [&call.a, &call.b];
    let known = tracks.iter().flat_map(|track| [track.dialled, track.answered, track.ended.map(|(at, _)| at)]);
    known.flatten().max().unwrap_or_default()
}
