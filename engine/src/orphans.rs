//! Phones that answer, refuse or hang up after the engine that called them is no more.
//!
//! They speak to its address. Whoever stands there now, the same engine restarted or another, finds the INVITE in the store by its
//! Call-ID, writes down that it was answered, and only then acknowledges and hangs up. The owner of the call, whoever that is by
//! then, reads it before it would ring that party again ([`crate::recovery`]). So it goes with a no that nobody may ask twice. A refusal
//! whose ACK got lost in the crash gets it now, if it is stored; any other has yet to be heard by its owner.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringback_common::failpoint::failpoint;
use ringback_common::store::Called;
use ringback_sip::net::Line;
use ringback_sip::{Invite, Leg, LegState, Message, Moment, Orphan, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::call::Cause;
use crate::driver::{CallClock, Welcome};
use crate::world::World;

/// Messages that may wait to be looked at; more are dropped, and phones repeat themselves.
const WAITING: usize = 64;
/// Between two looks into the store.
const APART: Duration = Duration::from_millis(20);
/// Phones that are being hung up on at a time.
const AT_ONCE: usize = 64;
/// A call of our own may be about to take its phone up again: it has so long.
const OWN_PATIENCE: Duration = Duration::from_secs(1);
/// So long after its first word a phone is forgotten, and more than so many are not remembered.
const MEMORY: (Duration, usize) = (Duration::from_secs(40), 256);

/// Looks after orphans until the engine ends.
pub async fn run(world: Arc<World>) {
    let (sender, mut orphans) = mpsc::channel(WAITING);
    world.endpoint.on_orphan(sender);
    let mut house = Orphanage { world, places: Arc::new(Semaphore::new(AT_ONCE)), own: HashMap::new() };
    while let Some(orphan) = orphans.recv().await {
        house.hear(orphan).await;
        tokio::time::sleep(APART).await;
    }
}

struct Orphanage {
    world: Arc<World>,
    places: Arc<Semaphore>,
    /// When phones of calls that are our own were first heard, by Call-ID.
    own: HashMap<String, Instant>,
}

impl Orphanage {
    /// What cannot be done now is done when the phone repeats itself.
    async fn hear(&mut self, orphan: Orphan) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let found = match self.world.store.called(orphan.message.call_id()).await {
            Ok(found) => found,
            Err(error) => return tracing::debug!(%error, "who a phone speaks to cannot be read now"),
        };
        let Some((called, invite)) = found.into_iter().find_map(|called| addressed(called, &orphan)) else {
            return orphan.turn_away();
        };
        if !orphan.message.is_request() && orphan.message.code() >= 300 {
            if self.is_written(&called, &orphan.message).await {
                orphan.acknowledge(Leg::stored(&invite).refusal_ack(&orphan.message));
            }
            return;
        }
        if self.is_ours_to_run(&called) && !self.has_waited(&called) {
            return;
        }
        if !has_answer(&called) {
            if let Err(error) = self.world.store.mark_answered(&called, orphan.message.bytes()).await {
                return tracing::debug!(%error, "that a phone has answered cannot be written now");
            }
            tracing::warn!(job = %called.job, leg = called.invite.invite.leg.as_str(), "a phone had answered an engine that is no more");
            metrics::counter!("ringback_orphans_total").increment(1);
            failpoint("orphan.marked");
        }
        if !orphan.message.is_request() {
            self.answer(&called, invite, &orphan.message, place);
        }
        orphan.accept();
    }

    /// Whether this refusal is stored, as one that forbids to ring again is now if it was not.
    async fn is_written(&mut self, called: &Called, refusal: &Message) -> bool {
        if called.invite.final_response.is_some() {
            return true;
        }
        let has_owner_here = self.is_ours_to_run(called) && !self.has_waited(called);
        if has_owner_here || !Cause::of_status(refusal.code()).is_no() {
            return false;
        }
        let marked = self.world.store.mark_refused(called, refusal.code(), refusal.bytes()).await;
        if let Err(error) = &marked {
            tracing::debug!(%error, "that a phone has said no cannot be written now");
        }
        marked.is_ok()
    }

    fn is_ours_to_run(&self, called: &Called) -> bool {
        !called.finished && called.owner.as_deref() == Some(self.world.me.id.as_str())
    }

    fn has_waited(&mut self, called: &Called) -> bool {
        let now = Instant::now();
        self.own.retain(|_, first| now.duration_since(*first) < MEMORY.0);
        if self.own.len() >= MEMORY.1 {
            return false;
        }
        let first = self.own.entry(called.invite.invite.call_id.clone()).or_insert(now);
        now.duration_since(*first) >= OWN_PATIENCE
    }

    /// The ACK; and the BYE, unless the call goes on at another engine that knows the answer.
    fn answer(&self, called: &Called, invite: Invite, answer: &Message, place: OwnedSemaphorePermit) {
        let Some(state) = LegState::of_answer(&invite, answer.bytes(), 0) else { return };
        let (local, clock) = (self.world.endpoint.local_addr(), CallClock::showing(Moment(0)));
        let line = self.world.endpoint.register(&invite.call_id);
        let mut welcome = Welcome::trunk(&self.world.endpoint, invite.peer.ip());
        let mut leg = match invite.local == local {
            true => Leg::restore(state, invite, clock.now()),
            false => Leg::adopt(state, local, clock.now()),
        };
        welcome.add(leg.peers());
        if called.has_dialog && !called.finished {
            while let Some(transmit) = leg.poll_transmit() {
                line.send(&transmit);
            }
            return;
        }
        leg.reserve_done(clock.now());
        leg.hang_up(Some(Reason::q850(Cause::Interrupted.q850())), clock.now());
        tokio::spawn(async move {
            hang_up(leg, line, clock).await;
            drop((welcome, place));
        });
    }
}

/// The INVITE that this message of its own peer speaks of: the try that a 200 answers, or one whose dialog a BYE ends.
fn addressed(called: Called, orphan: &Orphan) -> Option<(Called, Invite)> {
    let row = &called.invite.invite;
    let invite = Invite::read(row.bytes.clone(), row.local_addr, row.peer_addr, row.try_number)?;
    let message = &orphan.message;
    let is_meant = match message.is_request() {
        true => message.to_tag() == invite.local_tag,
        false => message.branch() == invite.branch && message.cseq() == invite.cseq,
    };
    (is_meant && orphan.from.ip() == invite.peer.ip()).then_some((called, invite))
}

fn has_answer(called: &Called) -> bool {
    called.invite.final_response.as_ref().is_some_and(|last| (200..300).contains(&last.code))
}

/// Repeats the BYE until it is answered, or for as long as RFC 3261 says.
async fn hang_up(mut leg: Leg, mut line: Line, clock: CallClock) {
    loop {
        while let Some(transmit) = leg.poll_transmit() {
            line.send(&transmit);
        }
        while leg.poll_event().is_some() {}
        let Some(due) = leg.poll_timeout().filter(|_| !leg.is_over()) else { break };
        tokio::select! {
            (message, from) = line.recv() => leg.receive(&message, from, clock.now()),
            () = tokio::time::sleep_until(clock.instant(due)) => leg.handle_timeout(clock.now()),
        }
    }
    line.linger(leg.sent_acks());
}
