//! The call machine: decides what a callback does next, and does nothing itself.
//!
//! Inputs say what happened, outputs say what to do, every state holds its own deadline, and [`Call::handle`] is the one
//! table of transitions. `Store` comes out before the `Dial` that it explains; cut at any `Store`, [`Call::restore`] gives
//! the same end and the same money.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod plan;
#[cfg(test)]
mod story;

use std::collections::VecDeque;
use std::time::Duration;

use ringback_common::event::LegName::{self, A, B};
use ringback_common::money::Money;
use ringback_sip::Moment;
use serde::{Deserialize, Serialize};

pub use plan::{Blame, CallPlan, Cause, Party, Route, Verdict};

use crate::billing;

/// How long before the money runs out more is asked for.
const EXTEND_LEAD: Duration = Duration::from_secs(10);
/// How long a cancelled leg may take to say its last word: 64*T1 of RFC 3261 and some.
const LAST_WORD: Duration = Duration::from_secs(40);
/// After this much silence of the store a call is no longer resumed (the first sight of a dead engine plus 15 s).
pub const RESUME_WINDOW: Duration = Duration::from_secs(15);
/// A party whose attempt has an unknown end is rung again no earlier than intent + Expires + this (64*T1).
const TRANSACTION_LIFE: Duration = Duration::from_secs(32);

/// Where the call is. Each state holds what is true only there, its deadline included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// A's phone is being called.
    RingingCaller {
        /// When we give up.
        until: Moment,
    },
    /// A has answered and hears ring-back; B's phone is being called.
    RingingDestination {
        /// When we give up.
        until: Moment,
    },
    /// A and B talk.
    Talking {
        /// B's answer.
        since: Moment,
        /// When to ask for more money; `None` while asking, and when there is no more.
        extend_at: Option<Moment>,
        /// When the hold is used up, or the longest call is reached.
        funded_until: Moment,
    },
    /// All is decided; a phone that was still ringing has yet to say its last word.
    Closing {
        /// What is decided.
        ending: Ending,
        /// When we stop waiting for it.
        until: Moment,
    },
    /// Finished, here and in the store.
    Ended,
}

/// How this run of the callback ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ending {
    /// The request is finished.
    Finished(Verdict, Cause),
    /// A is called again, not before this moment.
    Retry(Cause, Moment),
}

/// What became of one leg's attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Which route of the plan is in use.
    pub route: usize,
    /// Whether the phone has rung: then no other trunk may ring it again.
    #[serde(default)]
    pub rang: bool,
    /// When its INVITE was written down.
    pub dialled: Option<Moment>,
    /// The answer.
    pub answered: Option<Moment>,
    /// The end.
    pub ended: Option<(Moment, Cause)>,
}

impl Track {
    fn is_ringing(&self) -> bool {
        self.dialled.is_some() && self.answered.is_none() && self.ended.is_none()
    }

    fn is_up(&self) -> bool {
        self.answered.is_some() && self.ended.is_none()
    }

    /// The answered time, zero if nobody answered.
    pub fn answered_for(&self) -> Duration {
        match (self.answered, self.ended) {
            (Some(from), Some((to, _))) => Duration::from_millis(to.0.saturating_sub(from.0)),
            _ => Duration::ZERO,
        }
    }
}

/// The whole state, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where the call is.
    pub state: State,
    /// What became of A.
    pub a: Track,
    /// What became of B.
    pub b: Track,
    /// What is held on the account for this call.
    pub held: Money,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// The INVITE has left: the time to answer begins.
    Dialled(LegName),
    /// The phone rings.
    Ringing(LegName),
    /// The phone rings and sends sound of its own.
    EarlyMedia(LegName),
    /// The phone was answered.
    Answered(LegName),
    /// The leg is over: refused, hung up or gone.
    Over(LegName, Cause),
    /// No audio from this party for too long.
    Silent(LegName),
    /// The account now holds this much for the call.
    Extended(Money),
    /// The account has no more for the call.
    NoMoreMoney,
    /// Stop: the sender, an operator or a disabled account says so.
    Cancel,
    /// The engine was away until now and the call cannot be taken up again; it was last known alive at this moment.
    Lost {
        /// Charged up to here.
        alive: Moment,
    },
    /// This party hung up while the engine was away; the call was last known alive at this moment.
    Gone(LegName, Moment),
    /// Time has passed.
    Tick,
}

/// How long [`Output::StoreSoon`] may wait for company.
pub const SOON: Duration = Duration::from_millis(200);

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Write this down; what follows waits until it is durable.
    Store(Snapshot),
    /// Write down that a phone rings, with the next `Store` or within [`SOON`]: nothing waits for it, and many phones are
    /// answered sooner.
    StoreSoon,
    /// Send the INVITE of this leg.
    Dial(LegName),
    /// Let A hear ring-back tone.
    RingBack,
    /// Let A hear B's early media.
    PassEarlyMedia,
    /// Join the two.
    Bridge,
    /// Ask the account to hold this much in all; answered by `Extended` or `NoMoreMoney`.
    Extend(Money),
    /// CANCEL or BYE, whichever is right.
    HangUp(LegName, Cause),
    /// Settle and close this run.
    Finish(Ending),
}

/// One callback, from the INVITE to A until all is settled.
#[derive(Debug)]
pub struct Call {
    plan: CallPlan,
    state: State,
    a: Track,
    b: Track,
    held: Money,
    outputs: VecDeque<Output>,
}

impl Call {
    /// A call whose plan was admitted with `held` on the account: writes down A's INVITE and dials.
    pub fn new(plan: CallPlan, held: Money, now: Moment) -> Call {
        let until = now + plan.no_answer;
        let a = Track { dialled: Some(now), ..Track::default() };
        let mut call = Call {
            plan,
            state: State::RingingCaller { until },
            a,
            b: Track::default(),
            held,
            outputs: VecDeque::new(),
        };
        call.store();
        call.outputs.push_back(Output::Dial(A));
        call
    }

    /// The call as it was when the snapshot was stored. What happened since comes as inputs.
    pub fn restore(plan: CallPlan, snapshot: Snapshot) -> Call {
        let Snapshot { state, a, b, held } = snapshot;
        Call { plan, state, a, b, held, outputs: VecDeque::new() }
    }

    /// What happened, and when. The table of the whole life; late or repeated news changes nothing.
    pub fn handle(&mut self, input: Input, now: Moment) {
        use {Input as I, State as S};
        match (self.state.clone(), input) {
            (S::RingingCaller { .. }, I::Dialled(A)) => {
                self.state = S::RingingCaller { until: now + self.plan.no_answer }
            }
            (S::RingingCaller { .. }, I::Ringing(A)) => self.rings(A),
            (S::RingingCaller { .. }, I::Answered(A)) => self.dial_destination(now),
            (S::RingingCaller { .. }, I::Over(A, cause)) => self.caller_not_reached(cause, now),
            (S::RingingCaller { until }, I::Tick) if now >= until => {
                self.close(self.after_caller(Cause::NoAnswer, now), now)
            }
            (S::RingingCaller { .. }, I::Cancel) => {
                self.close(Ending::Finished(Verdict::Canceled, Cause::Canceled), now)
            }
            (S::RingingCaller { .. }, I::Lost { .. }) => self.close(self.after_caller(Cause::Interrupted, now), now),

            (S::RingingDestination { .. }, I::Dialled(B)) => self.state = self.ringing_destination(now),
            (S::RingingDestination { .. }, I::Ringing(B)) => self.rings(B),
            (S::RingingDestination { .. }, I::EarlyMedia(B)) => self.outputs.push_back(Output::PassEarlyMedia),
            (S::RingingDestination { .. }, I::Answered(B)) => self.start_talking(now),
            (S::RingingDestination { .. }, I::Over(B, cause)) => self.destination_not_reached(cause, now),
            (S::RingingDestination { .. }, I::Over(A, _)) => self.first_leg_aborted(now, now),
            (S::RingingDestination { until }, I::Tick) if now >= until => {
                self.close(Ending::Finished(Verdict::SecondLegFailed, Cause::NoAnswer), now)
            }
            (S::RingingDestination { .. }, I::Cancel) => {
                self.close(Ending::Finished(Verdict::Canceled, Cause::Canceled), now)
            }
            (S::RingingDestination { .. }, I::Gone(A, alive)) => self.first_leg_aborted(alive, now),
            (S::RingingDestination { .. }, I::Lost { alive }) => self.interrupted(alive, now),

            (S::Talking { .. }, I::Over(leg, cause)) => self.talked(leg, cause, now),
            (S::Talking { .. }, I::Silent(_)) => {
                self.close(Ending::Finished(Verdict::Successful, Cause::MediaLost), now)
            }
            (S::Talking { funded_until, .. }, I::Tick) if now >= funded_until => self.time_is_up(now),
            (S::Talking { extend_at: Some(at), .. }, I::Tick) if now >= at => self.ask_for_more(),
            (S::Talking { .. }, I::Extended(held)) => self.go_on_talking(held, now),
            (S::Talking { since, funded_until, .. }, I::NoMoreMoney) => {
                self.state = S::Talking { since, extend_at: None, funded_until }
            }
            (S::Talking { .. }, I::Cancel) => self.close(Ending::Finished(Verdict::Canceled, Cause::Canceled), now),
            (S::Talking { .. }, I::Gone(_, alive)) => self.hung_up_meanwhile(alive, now),
            (S::Talking { .. }, I::Lost { alive }) => self.interrupted(alive, now),

            (S::Closing { ending, .. }, I::Answered(leg)) => self.answered_too_late(leg, ending, now),
            (S::Closing { ending, .. }, I::Over(leg, cause)) => self.last_word(leg, cause, ending, now),
            (S::Closing { ending, until }, I::Tick) if now >= until => self.finish(ending),
            (S::Closing { ending, .. }, I::Lost { alive }) => self.lost_while_closing(ending, alive, now),

            (_, _) => {} // late or repeated news about something already decided
        }
    }

    /// What to do next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with a `Tick` at the latest.
    pub fn poll_timeout(&self) -> Option<Moment> {
        match self.state {
            State::RingingCaller { until } | State::RingingDestination { until } | State::Closing { until, .. } => {
                Some(until)
            }
            State::Talking { extend_at, funded_until, .. } => {
                Some(extend_at.map_or(funded_until, |at| at.min(funded_until)))
            }
            State::Ended => None,
        }
    }

    /// The whole state.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { state: self.state.clone(), a: self.a.clone(), b: self.b.clone(), held: self.held }
    }

    /// Where the call is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The plan it follows.
    pub fn plan(&self) -> &CallPlan {
        &self.plan
    }

    /// What became of a leg.
    pub fn track(&self, leg: LegName) -> &Track {
        match leg {
            A => &self.a,
            B => &self.b,
        }
    }

    /// How long both talked: from B's answer to the earlier end.
    pub fn talked_for(&self) -> Duration {
        match (self.b.answered, self.a.ended, self.b.ended) {
            (Some(from), Some((a, _)), Some((b, _))) => Duration::from_millis(a.min(b).0.saturating_sub(from.0)),
            _ => Duration::ZERO,
        }
    }

    // --- A's phone ---------------------------------------------------------------------------------------------------

    fn caller_not_reached(&mut self, cause: Cause, now: Moment) {
        if cause.may_fail_over() && !self.a.rang && self.a.route + 1 < self.plan.a.routes.len() {
            self.a.route += 1;
            self.state = State::RingingCaller { until: now + self.plan.no_answer };
            self.store();
            self.outputs.push_back(Output::Dial(A));
            return;
        }
        self.a.ended = Some((now, cause));
        self.finish(self.after_caller(cause, now));
    }

    /// What follows when A was not reached: another attempt later, or the end. Never another ring for a party who said no.
    fn after_caller(&self, cause: Cause, now: Moment) -> Ending {
        if !cause.may_retry() {
            return Ending::Finished(Verdict::Rejected, cause);
        }
        if self.plan.attempt >= self.plan.attempts {
            return Ending::Finished(Verdict::OutOfRetries, cause);
        }
        let unknown_end = self.a.dialled.unwrap_or(now) + self.plan.no_answer + TRANSACTION_LIFE;
        let not_before = if cause == Cause::Interrupted { unknown_end } else { now };
        Ending::Retry(cause, not_before.max(now + self.plan.backoff))
    }

    fn dial_destination(&mut self, now: Moment) {
        self.a.answered = Some(now);
        self.b = Track { dialled: Some(now), ..Track::default() };
        self.state = self.ringing_destination(now);
        self.store();
        self.outputs.extend([Output::RingBack, Output::Dial(B)]);
    }

    /// B's phone rings for our time, or for as long as the hold pays for A who waits.
    fn ringing_destination(&self, now: Moment) -> State {
        let since = self.a.answered.unwrap_or(now);
        let paid_for = billing::funded_until(self.held, &[self.plan.meter(A, since)], since + self.plan.max_call);
        State::RingingDestination { until: paid_for.min(now + self.plan.no_answer) }
    }

    // --- B's phone ---------------------------------------------------------------------------------------------------

    fn destination_not_reached(&mut self, cause: Cause, now: Moment) {
        if cause.may_fail_over() && !self.b.rang && self.b.route + 1 < self.plan.b.routes.len() {
            self.b.route += 1;
            self.store();
            self.outputs.push_back(Output::Dial(B));
            return;
        }
        self.b.ended = Some((now, cause));
        self.close(Ending::Finished(Verdict::SecondLegFailed, cause), now);
    }

    fn first_leg_aborted(&mut self, at: Moment, now: Moment) {
        self.a.ended = Some((at.max(self.a.answered.unwrap_or(at)), Cause::HungUp));
        self.close(Ending::Finished(Verdict::FirstLegAborted, Cause::HungUp), now);
    }

    // --- Talking -----------------------------------------------------------------------------------------------------

    fn start_talking(&mut self, now: Moment) {
        self.b.answered = Some(now);
        self.state = self.talking(now, true);
        self.store();
        self.outputs.push_back(Output::Bridge);
    }

    /// The state of talking with what is held now; `more` while the account may still have some.
    fn talking(&self, since: Moment, more: bool) -> State {
        let started = self.a.answered.unwrap_or(since);
        let limit = started + self.plan.max_call;
        let meters = [self.plan.meter(A, started), self.plan.meter(B, since)];
        let funded_until = billing::funded_until(self.held, &meters, limit);
        let lead = EXTEND_LEAD.min(Duration::from_millis(funded_until.0.saturating_sub(since.0) / 2));
        let extend_at = (more && funded_until < limit)
            .then(|| Moment(funded_until.0 - u64::try_from(lead.as_millis()).unwrap_or(0)));
        State::Talking { since, extend_at, funded_until }
    }

    fn ask_for_more(&mut self) {
        if let State::Talking { extend_at, .. } = &mut self.state {
            *extend_at = None;
        }
        self.outputs.push_back(Output::Extend(self.held + self.plan.slice()));
    }

    fn go_on_talking(&mut self, held: Money, _now: Moment) {
        let State::Talking { since, .. } = self.state else { return };
        let whole_slice = held >= self.held + self.plan.slice();
        self.held = held;
        self.state = self.talking(since, whole_slice);
        self.store();
    }

    fn time_is_up(&mut self, now: Moment) {
        let limit = self.a.answered.map(|at| at + self.plan.max_call);
        let cause = if limit.is_some_and(|limit| now >= limit) { Cause::TimeLimit } else { Cause::OutOfFunds };
        self.close(Ending::Finished(Verdict::Successful, cause), now);
    }

    fn talked(&mut self, leg: LegName, cause: Cause, now: Moment) {
        self.track_mut(leg).ended = Some((now, cause));
        self.close(Ending::Finished(Verdict::Successful, cause), now);
    }

    // --- The end -----------------------------------------------------------------------------------------------------

    /// The engine was away: what was answered is charged until it was last known alive, and hung up now.
    fn interrupted(&mut self, alive: Moment, now: Moment) {
        self.end_as_of(alive, Cause::Interrupted, now);
        self.close(Ending::Finished(Verdict::Interrupted, Cause::Interrupted), now);
    }

    /// They hung up while the engine was away: nobody is charged beyond the moment they were last known to talk.
    fn hung_up_meanwhile(&mut self, alive: Moment, now: Moment) {
        self.end_as_of(alive, Cause::HungUp, now);
        self.close(Ending::Finished(Verdict::Successful, Cause::HungUp), now);
    }

    fn end_as_of(&mut self, alive: Moment, cause: Cause, now: Moment) {
        for leg in [A, B] {
            let track = self.track_mut(leg);
            if let (Some(answered), None) = (track.answered, track.ended) {
                track.ended = Some((alive.clamp(answered, now.max(answered)), cause));
                self.outputs.push_back(Output::HangUp(leg, cause));
            }
        }
    }

    fn lost_while_closing(&mut self, ending: Ending, alive: Moment, now: Moment) {
        let ending = match ending {
            Ending::Retry(..) => self.after_caller(Cause::Interrupted, now),
            finished => finished,
        };
        if self.a.is_up() || self.b.is_up() {
            self.interrupted(alive, now);
        } else {
            self.close(ending, now);
        }
    }

    /// Everybody still on the line is hung up at once; a phone that was still ringing is cancelled and waited for.
    fn close(&mut self, ending: Ending, now: Moment) {
        let cause = match ending {
            Ending::Finished(Verdict::Successful, Cause::HungUp) => Cause::Completed,
            Ending::Finished(Verdict::FirstLegAborted, _) => Cause::Canceled,
            Ending::Finished(Verdict::SecondLegFailed, _) if self.b.ended.is_some() => Cause::Completed,
            Ending::Finished(_, cause) | Ending::Retry(cause, _) => cause,
        };
        for leg in [A, B] {
            let track = self.track_mut(leg);
            if track.is_up() {
                let hung_up =
                    if track.answered.is_some() && cause == Cause::NoAnswer { Cause::Completed } else { cause };
                track.ended = Some((now, hung_up));
                self.outputs.push_back(Output::HangUp(leg, hung_up));
            } else if track.is_ringing() {
                self.outputs.push_back(Output::HangUp(leg, cause));
            }
        }
        if self.a.is_ringing() || self.b.is_ringing() {
            self.state = State::Closing { ending, until: now + LAST_WORD };
            self.store();
        } else {
            self.finish(ending);
        }
    }

    /// The phone was answered while our CANCEL was on its way: it is hung up, costs nothing, and is never rung again.
    fn answered_too_late(&mut self, leg: LegName, ending: Ending, now: Moment) {
        if !self.track(leg).is_ringing() {
            return;
        }
        self.outputs.push_back(Output::HangUp(leg, Cause::Canceled));
        self.track_mut(leg).ended = Some((now, Cause::Canceled));
        let ending = match ending {
            Ending::Retry(cause, _) => Ending::Finished(Verdict::FirstLegAborted, cause),
            finished => finished,
        };
        self.finish_unless_ringing(ending);
    }

    fn last_word(&mut self, leg: LegName, cause: Cause, ending: Ending, now: Moment) {
        let decided = match ending {
            Ending::Finished(Verdict::FirstLegAborted | Verdict::Canceled, _) => Cause::Canceled,
            Ending::Finished(_, decided) | Ending::Retry(decided, _) => decided,
        };
        let track = self.track_mut(leg);
        if !track.is_ringing() {
            return;
        }
        track.ended = Some((now, if cause == Cause::Busy || cause == Cause::Rejected { cause } else { decided }));
        let ending = match ending {
            // The phone itself has said that it rings no more: no need to wait out an unknown end.
            Ending::Retry(Cause::Interrupted, _) if cause != Cause::Interrupted => {
                Ending::Retry(Cause::Interrupted, now + self.plan.backoff)
            }
            other => other,
        };
        self.finish_unless_ringing(ending);
    }

    fn finish_unless_ringing(&mut self, ending: Ending) {
        if let State::Closing { ending: decided, .. } = &mut self.state {
            *decided = ending;
        }
        if !self.a.is_ringing() && !self.b.is_ringing() {
            self.finish(ending);
        }
    }

    fn finish(&mut self, ending: Ending) {
        let stamp = match self.state {
            State::Closing { until, .. } => until,
            _ => Moment(0),
        };
        for leg in [A, B] {
            let cause = match ending {
                Ending::Finished(_, cause) | Ending::Retry(cause, _) => cause,
            };
            let track = self.track_mut(leg);
            if track.is_ringing() {
                track.ended = Some((stamp, cause));
            }
        }
        self.state = State::Ended;
        self.outputs.push_back(Output::Finish(ending));
    }

    fn rings(&mut self, leg: LegName) {
        self.track_mut(leg).rang = true;
        self.outputs.push_back(Output::StoreSoon);
    }

    fn store(&mut self) {
        self.outputs.push_back(Output::Store(self.snapshot()));
    }

    fn track_mut(&mut self, leg: LegName) -> &mut Track {
        match leg {
            A => &mut self.a,
            B => &mut self.b,
        }
    }
}
