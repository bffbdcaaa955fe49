//! What whoever watches is told of a callback, once it is durable: a line in the log when it begins, is answered and ends, and the
//! metrics of docs/metrics.md. Nothing is decided here.

use std::time::Duration;

use chrono::Utc;
use ringback_common::event::LegName::{self, A, B};
use ringback_common::job::Job;
use ringback_common::money::Money;

use super::record::{Carried, Record, index};
use crate::call::{Call, State};

/// What the store has taken.
pub fn durable(record: &Record, call: &Call, carried: &Carried, in_call: Duration) {
    let job = record.job();
    if carried.opens && carried.invites.iter().any(|(leg, _)| *leg == A) {
        begins(job, call.plan().attempt);
    }
    if let Some(leg) = carried.ringing {
        rings(call, leg, in_call);
    }
    for (leg, code) in &carried.finals {
        if *code < 300 {
            tracing::info!(job = %job.id, leg = leg.as_str(), "answered");
            if record.legs[index(*leg)].stored && !call.track(*leg).rang {
                rings(call, *leg, in_call);
            }
        }
    }
    if carried.ends {
        ends(record, call, carried);
    }
}

fn begins(job: &Job, attempt: u32) {
    let b = job.b.as_ref().map(tracing::field::display);
    tracing::info!(job = %job.id, account = job.account, a = %job.a, b, attempt, "a callback begins");
    if attempt == 1 {
        let wished = job.not_before.map_or(job.created, |due| due.max(job.created));
        let waited = (Utc::now() - wished).to_std().unwrap_or_default();
        metrics::histogram!("ringback_accepted_to_invite_seconds").record(waited);
    }
}

/// The phone rings, or answers without a word.
fn rings(call: &Call, leg: LegName, in_call: Duration) {
    let Some(dialled) = call.track(leg).dialled else { return };
    let delay = in_call.saturating_sub(Duration::from_millis(dialled.0));
    metrics::histogram!("ringback_post_dial_delay_seconds", "leg" => leg.as_str()).record(delay);
}

fn ends(record: &Record, call: &Call, carried: &Carried) {
    let (job, talked) = (record.job(), call.talked_for().as_secs());
    for settlement in &carried.settlements {
        let (leg, cause, trunk) = (settlement.leg.as_str(), settlement.cause.clone(), settlement.trunk.clone());
        metrics::counter!("ringback_legs_total", "leg" => leg, "cause" => cause, "trunk" => trunk).increment(1);
        metrics::counter!("ringback_billed_seconds_total", "leg" => leg).increment(settlement.billed_seconds);
    }
    metrics::counter!("ringback_talk_seconds_total").increment(talked);
    let cost: Money = carried.settlements.iter().map(|settlement| settlement.cost).sum();
    let cause = |leg| carried.settlements.iter().find(|one| one.leg == leg).map(|one| one.cause.as_str());
    let (cause_a, cause_b) = (cause(A), cause(B));
    match &carried.result {
        Some(result) => {
            finished(result);
            tracing::info!(job = %job.id, result, cause_a, cause_b, seconds = talked, %cost, currency = record.currency(), "a callback has ended");
        }
        None => tracing::info!(job = %job.id, cause_a, %cost, "A is called again later"),
    }
}

/// A request is finished, dialled or not.
pub fn finished(result: &str) {
    metrics::counter!("ringback_requests_total", "outcome" => result.to_lowercase().replace(' ', "_")).increment(1);
}

/// Counts a call among those in its state, as long as it lives.
#[derive(Debug, Default)]
pub struct Standing(Option<&'static str>);

impl Standing {
    /// It is in this state now.
    pub fn now(&mut self, state: &State) {
        let name = match state {
            State::RingingCaller { .. } => "ringing_a",
            State::RingingDestination { .. } => "ringing_b",
            State::Talking { .. } => "talking",
            State::Closing { .. } | State::Ended => "closing",
        };
        if self.0 != Some(name) {
            self.leave();
            gauge(name).increment(1);
            self.0 = Some(name);
        }
    }

    fn leave(&mut self) {
        if let Some(name) = self.0.take() {
            gauge(name).decrement(1);
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.leave();
    }
}

fn gauge(state: &'static str) -> metrics::Gauge {
    metrics::gauge!("ringback_calls", "state" => state)
}
