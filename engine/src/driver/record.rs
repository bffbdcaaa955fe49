//! What is written down about a running call: the stored form, and the step that each durable point becomes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ringback_common::end_reason::EndReason;
use ringback_common::event::LegName::{self, A, B};
use ringback_common::job::Job;
use ringback_common::json;
use ringback_common::money::Money;
use ringback_common::store::{
    DialogState, FinalResponse, NewInvite, OutboxEvent, Postings, Purse, RequestChange, Settlement, Step,
};
use ringback_common::terms::Session;
use ringback_sip::Moment;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::call::{Call, CallPlan, Cause, Ending, Snapshot, State, Verdict};
use crate::events::{Herald, Outcome};
use crate::world::World;

/// The version of [`StoredCall`] that is written; what has none is of the first. It is raised when a field or a state comes whose
/// meaning a reader must not miss: engines of two versions share a database, and each reads what the other wrote.
const VERSION: u32 = 1;

/// The column `snapshot`: enough to go on with the call after a crash.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredCall {
    /// The plan that was admitted.
    pub plan: CallPlan,
    /// Where the call machine stood.
    pub call: Snapshot,
    /// Who pays.
    pub account_id: i64,
    /// In what.
    pub currency: String,
    /// The wall clock at the call's moment zero.
    pub began: DateTime<Utc>,
    /// The number of the job's last event.
    pub seq: u32,
}

impl StoredCall {
    /// A call as it was stored.
    ///
    /// # Errors
    /// Why it cannot be read; a later version than ours is not read either.
    pub fn read(text: &str) -> Result<StoredCall, String> {
        #[derive(Deserialize)]
        struct Written {
            #[serde(default)]
            version: u32,
        }
        let Written { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version > VERSION {
            return Err(format!("it is of version {version}, and {VERSION} is known here"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// [`StoredCall`] as it is written: the plan stays the same, so its text is kept.
#[derive(Serialize)]
struct StoringCall<'a> {
    version: u32,
    plan: &'a RawValue,
    call: &'a Snapshot,
    account_id: i64,
    currency: &'a str,
    #[serde(serialize_with = "ringback_common::wall::serialize")]
    began: DateTime<Utc>,
    seq: u32,
}

/// What is known of one leg besides what the call machine knows.
#[derive(Clone, Debug, Default)]
pub struct LegFacts {
    /// The SIP Call-ID of its attempt: of the last INVITE that left, or of one that was stored and may have left.
    pub call_id: String,
    /// The last final status heard.
    pub sip_code: Option<u16>,
    /// The Q.850 cause of the peer's Reason header.
    pub q850: Option<u8>,
    /// Whether its INVITE was stored: only then there is an attempt to settle.
    pub stored: bool,
    /// Which of its news is already written.
    told: Told,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    #[default]
    Nothing,
    Ringing,
    Answered,
}

/// Writes the steps of one call. Everything here waits to be durable; what a step takes along is kept until it is.
#[derive(Clone, Debug)]
pub struct Record {
    engine: String,
    billing: bool,
    job: Job,
    epoch: i64,
    /// Who pays, and what the store holds for this job.
    purse: Purse,
    currency: String,
    began: DateTime<Utc>,
    seq: u32,
    /// The hold that the first step opens.
    opening: Option<Money>,
    /// The call's plan as it is stored, once it was.
    plan: Option<Box<RawValue>>,
    /// Whole minutes of both calls that the account could pay for when it was admitted.
    pub minutes: Option<u64>,
    /// The number of the last event and what was told, as the store knows them.
    durable: (u32, [Told; 2]),
    /// Facts about A and B.
    pub legs: [LegFacts; 2],
    /// Final responses that wait to be stored before they are ACKed.
    pub finals: Vec<FinalResponse>,
}

/// What a step took along, to know what may be done once it is durable.
#[derive(Clone, Debug)]
pub struct Carried {
    /// What it did to the account.
    pub postings: Option<Postings>,
    /// Legs whose INVITE it stored, and under which Call-ID.
    pub invites: Vec<(LegName, String)>,
    /// Legs whose final response it stored, and which.
    pub finals: Vec<(LegName, u16)>,
    /// The leg whose ringing it told of.
    pub ringing: Option<LegName>,
    /// Whether it is the first of a run, which opens the hold.
    pub opens: bool,
    /// Whether it is the last of a run.
    pub ends: bool,
    /// The attempts that it settled.
    pub settlements: Vec<Settlement>,
    /// How the request has ended, if it has.
    pub result: Option<String>,
}

impl Carried {
    /// What this step takes along.
    pub fn of(step: &Step) -> Carried {
        let rings = |event: &&OutboxEvent| event.kind == "ringback.leg.ringing.v1";
        let b_rings = |event: &OutboxEvent| event.body.contains("\"leg\":\"b\"");
        Carried {
            postings: step.postings,
            invites: step.invites.iter().map(|invite| (invite.leg, invite.call_id.clone())).collect(),
            finals: step.finals.iter().map(|one| (one.leg, one.code)).collect(),
            opens: step.postings.is_some() && !step.request.release && !step.invites.is_empty(),
            ends: step.request.release,
            settlements: step.settlements.clone(),
            result: step.request.result.clone(),
            ringing: step.events.iter().find(rings).map(|event| if b_rings(event) { B } else { A }),
        }
    }
}

/// Index of a leg.
pub fn index(leg: LegName) -> usize {
    match leg {
        A => 0,
        B => 1,
    }
}

/// Who keeps the record.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// The engine's name.
    pub engine: String,
    /// Whether CDRs go to the billing feed.
    pub billing: bool,
    /// The epoch of this ownership.
    pub epoch: i64,
}

impl Keeper {
    /// Of a call of this epoch.
    pub fn of(world: &World, epoch: i64) -> Keeper {
        Keeper { engine: world.me.id.clone(), billing: world.billing, epoch }
    }
}

impl Record {
    /// What the INVITE of this leg says beside the usual: for whom A's call was diverted, and on B's that the account which makes
    /// this call pays for the other one too (Sippy's).
    pub fn headers(&self, leg: LegName, host: &str) -> Vec<(String, String)> {
        let terms = &self.job.terms;
        let diversion =
            terms.diversion.as_ref().filter(|_| leg == LegName::A).and_then(|diversion| diversion.value(host));
        let binds = leg == LegName::B && terms.session.as_ref().is_some_and(Session::needs_bind);
        let bind = binds.then(|| ("X-2Way-Need-Bind".to_owned(), "yes".to_owned()));
        diversion.map(|value| ("Diversion".to_owned(), value)).into_iter().chain(bind).collect()
    }

    /// The record of a call that is about to begin, with the hold that its first step opens.
    pub fn begin(
        keeper: Keeper,
        job: Job,
        purse: Purse,
        currency: String,
        hold: Money,
        seq: u32,
        now: DateTime<Utc>,
    ) -> Record {
        Record { opening: Some(hold), ..Record::new(keeper, job, purse, currency, seq, now) }
    }

    /// The record of a call that is taken up again; `held` is what the store holds for it.
    pub fn resume(keeper: Keeper, job: Job, stored: &StoredCall, held: Money) -> Record {
        let purse = Purse { account_id: stored.account_id, held };
        let mut record = Record::new(keeper, job, purse, stored.currency.clone(), stored.seq, stored.began);
        for leg in [A, B] {
            let track = if leg == A { &stored.call.a } else { &stored.call.b };
            let told = if track.answered.is_some() { Told::Answered } else { Told::Nothing };
            record.legs[index(leg)] = LegFacts { stored: track.dialled.is_some(), told, ..LegFacts::default() };
        }
        record.told_is_durable();
        record
    }

    fn new(keeper: Keeper, job: Job, purse: Purse, currency: String, seq: u32, began: DateTime<Utc>) -> Record {
        Record {
            engine: keeper.engine,
            billing: keeper.billing,
            job,
            epoch: keeper.epoch,
            purse,
            currency,
            began,
            seq,
            opening: None,
            plan: None,
            minutes: None,
            durable: (seq, [Told::Nothing; 2]),
            legs: Default::default(),
            finals: Vec::new(),
        }
    }

    /// The epoch that guards every write.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// In what is paid.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Who pays, and what is held.
    pub fn purse(&self) -> Purse {
        self.purse
    }

    /// The hold was extended.
    pub fn holds(&mut self, amount: Money) {
        self.purse.held = amount;
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// A step that changes nothing but what waits: final responses about to be ACKed.
    pub fn bare_step(&self) -> Step {
        let mut step = Step::new(self.job.id.clone(), &self.engine, self.epoch);
        step.finals.clone_from(&self.finals);
        step
    }

    /// The step that asks for a larger hold.
    pub fn extend_step(&self, amount: Money) -> Step {
        Step { postings: Some(self.purse.holding(amount)), ..self.bare_step() }
    }

    /// The step of a `Store`: the snapshot, the INVITEs about to leave, the dialogs, the news.
    pub fn step(
        &mut self,
        call: &Call,
        snapshot: Snapshot,
        invites: Vec<NewInvite>,
        dialogs: Vec<DialogState>,
        now: Moment,
    ) -> Step {
        let mut step = self.bare_step();
        let first = self.opening.is_some();
        step.postings = self.opening.map(|amount| self.purse.holding(amount));
        step.honour_cancel = !invites.is_empty();
        step.events = self.news(call, &snapshot, first, !invites.is_empty(), now);
        step.request = RequestChange {
            status: status_of(&snapshot.state).map(str::to_owned),
            call_count: Some(i64::from(call.plan().attempt)),
            setup_time: snapshot.a.dialled.map(|at| self.wall(at)),
            connect_time: snapshot.a.answered.map(|at| self.wall(at)),
            ..RequestChange::default()
        };
        for invite in &invites {
            match invite.leg {
                A => step.request.call_id = Some(invite.call_id.clone()),
                B => step.request.twoway_call_id = Some(invite.call_id.clone()),
            }
        }
        step.request.snapshot = Some(self.stored_form(call, &snapshot));
        step.invites = invites;
        step.dialogs = dialogs;
        step
    }

    /// The last step of this run: every attempt settled out of the hold, the rest given back, the request finished or due again.
    pub fn final_step(&mut self, call: &Call, ending: Ending, now: Moment) -> Step {
        let mut step = self.bare_step();
        step.events = self.news(call, &call.snapshot(), false, false, now);
        let mut left = self.purse.held;
        for leg in [A, B] {
            if let Some(settlement) = self.settlement(call, leg, left) {
                left -= settlement.cost;
                let facts = &self.legs[index(leg)];
                let (code, cause, attempt) = (facts.sip_code, settlement.cause.clone(), settlement.attempt);
                let mut herald = self.herald(now);
                step.events.push(herald.leg("ended", leg, attempt, code, Some(&cause)));
                step.events.extend(herald.cdr(&settlement));
                self.seq = herald.seq;
                step.settlements.push(settlement);
            }
        }
        step.postings = Some(self.purse.releasing());
        let last_end = [A, B].into_iter().filter_map(|leg| call.track(leg).ended).map(|(at, _)| at).max();
        step.request = RequestChange {
            connect_time: call.track(A).answered.map(|at| self.wall(at)),
            disconnect_time: Some(self.wall(last_end.unwrap_or(now).min(now))),
            release: true,
            call_count: Some(i64::from(call.plan().attempt)),
            ..RequestChange::default()
        };
        match ending {
            Ending::Finished(verdict, cause) => {
                let cost = step.settlements.iter().map(|settlement| settlement.cost).sum();
                let outcome = Outcome {
                    result: verdict.as_str().to_owned(),
                    reason: Some(reason_of(verdict, cause)),
                    talk_seconds: call.talked_for().as_secs(),
                    cost,
                    attempts: (verdict == Verdict::OutOfRetries).then_some(call.plan().attempt),
                };
                let mut herald = self.herald(now);
                step.events.extend(herald.finished(&outcome));
                self.seq = herald.seq;
                step.request.status = Some("Finished".to_owned());
                step.request.result = Some(verdict.as_str().to_owned());
                step.request.reason = outcome.reason;
                step.request.finished = Some(true);
            }
            Ending::Retry(_, at) => {
                let mut herald = self.herald(now);
                step.events.push(herald.request("waiting", "Waiting for retry"));
                self.seq = herald.seq;
                step.request.status = Some("Waiting for retry".to_owned());
                step.request.next_call = Some(self.wall(at));
            }
        }
        step.request.snapshot = Some(self.stored_form(call, &call.snapshot()));
        step
    }

    /// The store has refused the step: its numbers are given out again, and its news is told by another one.
    pub fn not_written(&mut self) {
        let (seq, told) = self.durable;
        self.seq = seq;
        for (facts, told) in self.legs.iter_mut().zip(told) {
            facts.told = told;
        }
    }

    /// The step was applied: what it took along is no longer waiting.
    pub fn written(&mut self, carried: &Carried) {
        if let Some(postings) = carried.postings {
            self.purse.posted(postings);
            self.opening = None;
        }
        self.told_is_durable();
        self.finals.drain(..carried.finals.len());
        for (leg, call_id) in &carried.invites {
            let facts = &mut self.legs[index(*leg)];
            facts.stored = true;
            if facts.call_id.is_empty() {
                facts.call_id.clone_from(call_id);
            }
        }
    }

    fn told_is_durable(&mut self) {
        self.durable = (self.seq, self.legs.each_ref().map(|leg| leg.told));
    }

    /// An INVITE of this leg leaves.
    pub fn leaves(&mut self, leg: LegName, call_id: &str) {
        let facts = &mut self.legs[index(leg)];
        if facts.call_id != call_id {
            call_id.clone_into(&mut facts.call_id);
            facts.sip_code = None;
        }
    }

    /// One attempt that ended, charged with at most what is left of the hold.
    fn settlement(&self, call: &Call, leg: LegName, left: Money) -> Option<Settlement> {
        let (track, facts, party) = (call.track(leg), &self.legs[index(leg)], call.plan().party(leg));
        let (ended, cause) = track.ended.filter(|_| facts.stored)?;
        let route = &party.routes[track.route.min(party.routes.len() - 1)];
        let answered_for = track.answered_for();
        let bill = party.tariff.bill(answered_for, left);
        if bill.cost < party.tariff.cost(answered_for) {
            tracing::error!(job = %self.job.id, leg = leg.as_str(), ?answered_for, held = %left, charged = %bill.cost,
                "a call went on for longer than its hold pays for; the rest is not charged");
            metrics::counter!("ringback_charges_cut_total").increment(1);
        }
        Some(Settlement {
            leg,
            attempt: attempt_of(call, leg),
            number: party.number.as_str().to_owned(),
            cli: route.cli.clone(),
            trunk: route.trunk.clone(),
            setup_time: self.wall(track.dialled.unwrap_or(ended)),
            connect_time: track.answered.map(|at| self.wall(at)),
            disconnect_time: self.wall(ended),
            duration_ms: u64::try_from(answered_for.as_millis()).unwrap_or(u64::MAX),
            billed_seconds: bill.seconds,
            cost: bill.cost,
            cause: cause.as_str().to_owned(),
            sip_code: facts.sip_code,
            q850: facts.q850.or(Some(cause.q850())),
            call_id: facts.call_id.clone(),
        })
    }

    /// What no step has told yet; `dials` when this one stores an INVITE.
    fn news(&mut self, call: &Call, snapshot: &Snapshot, first: bool, dials: bool, now: Moment) -> Vec<OutboxEvent> {
        let mut news = Vec::new();
        let (codes, told) = (self.legs.each_ref().map(|leg| leg.sip_code), self.legs.each_ref().map(|leg| leg.told));
        let calls_b = dials || self.legs[index(B)].stored;
        let attempts = [A, B].map(|leg| attempt_of(call, leg));
        let mut herald = self.herald(now);
        if first && call.plan().attempt == 1 && self.job.reply.is_some() {
            let [a, b] = [A, B].map(|leg| call.plan().party(leg).tariff.per_minute);
            news.extend(herald.admitted(a, b, self.minutes));
        }
        if first {
            news.push(herald.request("calling_a", "First leg initiated"));
        }
        let mut reached = told;
        for leg in [A, B] {
            let i = index(leg);
            let track = if leg == A { &snapshot.a } else { &snapshot.b };
            let rings = codes[i].filter(|code| (180..190).contains(code));
            if track.ended.is_none() && told[i] < Told::Ringing && (rings.is_some() || track.rang) {
                news.push(herald.leg("ringing", leg, attempts[i], rings.or(Some(180)), None));
                reached[i] = Told::Ringing;
            }
            if track.answered.is_some() && told[i] < Told::Answered {
                news.push(herald.leg("answered", leg, attempts[i], Some(200), None));
                match leg {
                    A if calls_b => news.push(herald.request("calling_b", "Second leg initiated")),
                    A => {}
                    B => news.push(herald.request("talking", "Second leg connected")),
                }
                reached[i] = Told::Answered;
            }
        }
        self.seq = herald.seq;
        for (facts, told) in self.legs.iter_mut().zip(reached) {
            facts.told = told;
        }
        news
    }

    fn stored_form(&mut self, call: &Call, snapshot: &Snapshot) -> String {
        let plan = self.plan.get_or_insert_with(|| {
            serde_json::value::to_raw_value(call.plan()).expect("a plan is plain structs with text keys")
        });
        let stored = StoringCall {
            version: VERSION,
            plan,
            call: snapshot,
            account_id: self.purse.account_id,
            currency: &self.currency,
            began: self.began,
            seq: self.seq,
        };
        json::text(&stored, 1_536).expect("a call is plain structs with text keys")
    }

    fn herald(&self, now: Moment) -> Herald<'_> {
        Herald {
            engine: &self.engine,
            job: &self.job,
            currency: &self.currency,
            billing: self.billing,
            seq: self.seq,
            now: self.wall(now),
        }
    }

    fn wall(&self, at: Moment) -> DateTime<Utc> {
        self.began + Duration::from_millis(at.0)
    }
}

/// The dialled attempt of a leg: A is tried again, B is dialled once, because an A that answered is never rung again.
pub fn attempt_of(call: &Call, leg: LegName) -> u32 {
    match leg {
        A => call.plan().attempt,
        B => 1,
    }
}

/// Sippy's status string of a state; the last steps keep the one there is until all is settled.
fn status_of(state: &State) -> Option<&'static str> {
    match state {
        State::RingingCaller { .. } => Some("First leg initiated"),
        State::RingingDestination { .. } => Some("Second leg initiated"),
        State::Talking { .. } => Some("Second leg connected"),
        State::Closing { .. } | State::Ended => None,
    }
}

/// Why it ended.
pub fn reason_of(verdict: Verdict, cause: Cause) -> EndReason {
    match (verdict, cause) {
        (Verdict::Successful, Cause::OutOfFunds) => EndReason::MoneyUsedUp,
        (Verdict::Successful, Cause::TimeLimit) => EndReason::TimeLimit,
        (Verdict::Successful, Cause::MediaLost) => EndReason::LineSilent,
        (Verdict::Successful, _) => EndReason::Talked,
        (Verdict::OutOfRetries, Cause::Busy) => EndReason::ABusy,
        (Verdict::OutOfRetries, Cause::TrunkFailed) => EndReason::AUnreachable,
        (Verdict::OutOfRetries, _) => EndReason::ANoAnswer,
        (Verdict::FirstLegAborted, _) => EndReason::AHungUp,
        (Verdict::SecondLegFailed, Cause::Busy) => EndReason::BBusy,
        (Verdict::SecondLegFailed, Cause::NoAnswer) => EndReason::BNoAnswer,
        (Verdict::SecondLegFailed, Cause::Rejected) => EndReason::BDeclined,
        (Verdict::SecondLegFailed, Cause::NoSuchNumber) => EndReason::BNoSuchNumber,
        (Verdict::SecondLegFailed, _) => EndReason::BUnreachable,
        (Verdict::Canceled, _) => EndReason::Cancelled,
        (Verdict::Interrupted, _) => EndReason::Interrupted,
        (Verdict::Answered, _) => EndReason::Answered,
        (Verdict::Expired, _) => EndReason::Expired,
        (Verdict::NoFunds, _) => EndReason::NoFunds,
        (Verdict::Rejected, Cause::NoSuchNumber) => EndReason::ANoSuchNumber,
        (Verdict::Rejected, _) => EndReason::ADeclined,
        (Verdict::Blocked, _) => EndReason::Blocked,
        (Verdict::Poisoned, _) => EndReason::Poisoned,
    }
}

#[cfg(test)]
mod tests;
