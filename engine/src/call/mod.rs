//! The call machine: decides what a callback does next, and does nothing itself.
//!
//! Inputs say what happened, outputs say what to do, every state holds its own deadline, and [`Call::handle`] is the one
//! table of transitions. `Store` comes out before the `Dial` that it explains; cut at any `Store`, [`Call::restore`] gives
//! the same end and the same money.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod away;
mod end;
mod plan;
#[cfg(test)]
mod story;
mod talk;

use std::collections::VecDeque;
use std::time::Duration;

use ringback_common::event::LegName::{self, A, B};
use ringback_common::money::Money;
use ringback_sip::Moment;
use serde::{Deserialize, Serialize};

pub use plan::{Blame, CallPlan, Cause, Party, Route, Verdict};

use away::Away;

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
        /// The account has said that it has no more.
        #[serde(default)]
        spent: bool,
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
    /// When its first INVITE was written down.
    pub dialled: Option<Moment>,
    /// When its newest INVITE was written down or left, if that was not the first: an end that nobody has seen counts from here.
    #[serde(default)]
    pub redialled: Option<Moment>,
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
    /// The account could not be asked.
    NotAsked,
    /// Stop: the sender, an operator or a disabled account says so.
    Cancel,
    /// A number of this call must not be dialled any more: the store has refused the INVITE.
    Blocked,
    /// The engine was away until now, and the parties who had answered are asked whether they are still there.
    Resumed {
        /// When the call was last known alive.
        alive: Moment,
    },
    /// This party is still there.
    Confirmed(LegName),
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
    Store(Box<Snapshot>),
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
#[derive(Clone, Debug)]
pub struct Call {
    plan: CallPlan,
    state: State,
    a: Track,
    b: Track,
    held: Money,
    away: Option<Away>,
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
            away: None,
            outputs: VecDeque::new(),
        };
        call.store();
        call.outputs.push_back(Output::Dial(A));
        call
    }

    /// The call as it was when the snapshot was stored. What happened since comes as inputs.
    pub fn restore(plan: CallPlan, snapshot: Snapshot) -> Call {
        let Snapshot { state, a, b, held } = snapshot;
        Call { plan, state, a, b, held, away: None, outputs: VecDeque::new() }
    }

    /// What happened, and when. The table of the whole life; late or repeated news changes nothing.
    pub fn handle(&mut self, input: Input, now: Moment) {
        use {Input as I, State as S};
        match (self.state.clone(), input) {
            (S::RingingCaller { .. }, I::Dialled(A)) => {
                self.state = S::RingingCaller { until: now + self.plan.no_answer };
                self.invited(A, now);
            }
            (S::RingingCaller { .. }, I::Ringing(A)) => self.rings(A),
            (S::RingingCaller { .. }, I::Answered(A)) => self.dial_destination(now),
            (S::RingingCaller { .. }, I::Over(A, cause)) => self.caller_not_reached(cause, now),
            (S::RingingCaller { until }, I::Tick) if now >= until => {
                self.close(self.after_caller(Cause::NoAnswer, now), now)
            }
            (S::RingingCaller { .. }, I::Lost { .. }) => self.close(self.after_caller(Cause::Interrupted, now), now),

            (S::RingingDestination { .. }, I::Dialled(B)) => {
                self.state = self.ringing_destination(now);
                self.invited(B, now);
            }
            (S::RingingDestination { .. }, I::Ringing(B)) => self.rings(B),
            (S::RingingDestination { .. }, I::EarlyMedia(B)) => self.outputs.push_back(Output::PassEarlyMedia),
            (S::RingingDestination { .. }, I::Answered(B)) => self.start_talking(now),
            (S::RingingDestination { .. }, I::Over(B, cause)) => self.destination_not_reached(cause, now),
            (S::RingingDestination { .. }, I::Over(A, _)) => self.first_leg_aborted(now, now),
            (S::RingingDestination { until }, I::Tick) if now >= until => {
                self.close(Ending::Finished(Verdict::SecondLegFailed, Cause::NoAnswer), now)
            }
            (S::RingingDestination { .. }, I::Gone(A, alive)) => self.first_leg_aborted(alive, now),

            (S::Talking { .. }, I::Over(leg, cause)) => self.talked(leg, cause, now),
            (S::Talking { .. }, I::Silent(_)) => {
                self.close(Ending::Finished(Verdict::Successful, Cause::MediaLost), now)
            }
            (S::Talking { extend_at: Some(at), .. }, I::Tick) if now >= at => self.ask_for_more(now),
            (S::Talking { .. }, I::Tick) if now >= self.cut_at() => self.time_is_up(now),
            (S::Talking { .. }, I::Extended(held)) => self.go_on_talking(held, now),
            (S::Talking { .. }, I::NoMoreMoney) => self.no_more_money(now),
            (S::Talking { .. }, I::NotAsked) => self.ask_again(now),
            (S::Talking { .. }, I::Gone(leg, alive)) => self.hung_up_meanwhile(leg, alive, now),

            (S::RingingDestination { .. } | S::Talking { .. }, I::Resumed { alive }) => self.resumed(alive),
            (S::RingingDestination { .. } | S::Talking { .. }, I::Confirmed(leg)) => self.confirmed(leg),
            (S::RingingDestination { .. } | S::Talking { .. }, I::Lost { alive }) => self.interrupted(alive, now),

            (S::Closing { ending, .. }, I::Answered(leg)) => self.answered_too_late(leg, ending, now),
            (S::Closing { ending, .. }, I::Over(leg, cause)) => self.last_word(leg, cause, ending, now),
            (S::Closing { ending, until }, I::Tick) if now >= until => self.finish(ending),
            (S::Closing { ending, .. }, I::Lost { alive }) => self.lost_while_closing(ending, alive, now),

            (S::RingingCaller { .. } | S::RingingDestination { .. } | S::Talking { .. }, I::Cancel) => {
                self.close(Ending::Finished(Verdict::Canceled, Cause::Canceled), now)
            }
            (S::RingingCaller { .. } | S::RingingDestination { .. } | S::Talking { .. }, I::Blocked) => {
                self.close(Ending::Finished(Verdict::Blocked, Cause::Canceled), now)
            }

            (_, _) => {} // late or repeated news about something already decided
        }
    }

    /// The store knows best when the newest INVITE of a leg was written down.
    pub fn invited(&mut self, leg: LegName, at: Moment) {
        let track = self.track_mut(leg);
        track.redialled = track.redialled.max(Some(at));
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
            State::Talking { extend_at, .. } => Some(extend_at.unwrap_or(self.cut_at())),
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
            self.invited(A, now);
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
        if cause == Cause::HungUp {
            return Ending::Finished(Verdict::FirstLegAborted, cause); // the answer itself was never heard
        }
        if !cause.may_retry() {
            return Ending::Finished(Verdict::Rejected, cause);
        }
        if self.plan.attempt >= self.plan.attempts {
            return Ending::Finished(Verdict::OutOfRetries, cause);
        }
        let newest = self.a.redialled.max(self.a.dialled).unwrap_or(now);
        let unknown_end = newest + self.plan.no_answer + TRANSACTION_LIFE;
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
        State::RingingDestination { until: self.funded_until().min(now + self.plan.no_answer) }
    }

    // --- B's phone ---------------------------------------------------------------------------------------------------

    fn destination_not_reached(&mut self, cause: Cause, now: Moment) {
        if cause.may_fail_over() && !self.b.rang && self.b.route + 1 < self.plan.b.routes.len() {
            self.b.route += 1;
            self.invited(B, now);
            self.store();
            self.outputs.push_back(Output::Dial(B));
            return;
        }
        self.b.ended = Some((now, cause));
        self.close(Ending::Finished(Verdict::SecondLegFailed, cause), now);
    }

    fn first_leg_aborted(&mut self, at: Moment, now: Moment) {
        self.end(A, at, Cause::HungUp);
        self.close(Ending::Finished(Verdict::FirstLegAborted, Cause::HungUp), now);
    }

    fn rings(&mut self, leg: LegName) {
        self.track_mut(leg).rang = true;
        self.outputs.push_back(Output::StoreSoon);
    }

    fn store(&mut self) {
        self.outputs.push_back(Output::Store(Box::new(self.snapshot())));
    }

    fn track_mut(&mut self, leg: LegName) -> &mut Track {
        match leg {
            A => &mut self.a,
            B => &mut self.b,
        }
    }
}
