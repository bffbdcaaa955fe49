//! May this callback be made, how, and with what money? Pure: the worker brings the facts, this says yes or a named no.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use ringback_common::config::{EngineConfig, Limits, TariffConfig};
use ringback_common::end_reason::EndReason;
use ringback_common::event::LegName;
use ringback_common::guard;
use ringback_common::job::Job;
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_common::store::{AccountView, Counts, Rate};
use ringback_common::terms::{Cli, Terms};

use crate::billing::{Tariff, hold_for};
use crate::call::{CallPlan, Party, Verdict};
use crate::routing::Trunks;

/// A callback shorter than this is not worth beginning: the hold must cover both legs for so many seconds.
pub const LEAST_SECONDS: u64 = 5;

/// Everything the decision depends on.
pub struct Situation<'a> {
    /// The wish.
    pub job: &'a Job,
    /// Attempts so far.
    pub call_count: u32,
    /// The account of the job, as it is now.
    pub account: Option<&'a AccountView>,
    /// What the limits are held against; `None` for an account without limits.
    pub counts: Option<&'a Counts>,
    /// The trunks that can be used now.
    pub trunks: &'a Trunks,
    /// The stored rates.
    pub rates: &'a [Rate],
    /// Prices of numbers that no rate covers.
    pub tariff: &'a TariffConfig,
    /// How callbacks are run.
    pub engine: &'a EngineConfig,
    /// The site's limits.
    pub limits: &'a Limits,
    /// The wall clock.
    pub now: DateTime<Utc>,
}

/// Yes.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// How.
    pub plan: CallPlan,
    /// Who pays.
    pub account_id: i64,
    /// In what.
    pub currency: String,
    /// To be held before anything is dialled.
    pub hold: Money,
    /// Whole minutes of both calls that the account could pay for; `None`: they cost nothing.
    pub minutes: Option<u64>,
}

/// No, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The result of the request.
    pub verdict: Verdict,
    /// Why.
    pub reason: EndReason,
}

/// Why a callback is not made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Nor later.
    Refused(Refusal),
    /// A trunk that would carry it is still to be found.
    NotNow,
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Denial {
        Denial::Refused(refusal)
    }
}

/// A refusal.
pub fn no(verdict: Verdict, reason: EndReason) -> Refusal {
    Refusal { verdict, reason }
}

/// Yes with a plan and a hold, or no with a reason, or not now.
pub fn admit(situation: &Situation<'_>) -> Result<Admitted, Denial> {
    let Situation { job, engine, .. } = situation;
    if situation.now > job.not_after {
        return Err(no(Verdict::Expired, EndReason::Expired).into());
    }
    let account = situation.account.ok_or_else(|| no(Verdict::Rejected, EndReason::UnknownAccount))?;
    if !account.enabled {
        return Err(no(Verdict::Rejected, EndReason::AccountDisabled).into());
    }
    let b = job.b.as_ref();
    let b = b.ok_or_else(|| no(Verdict::Rejected, EndReason::ByVoice))?;
    if job.a == *b {
        return Err(no(Verdict::Rejected, EndReason::SameNumber).into());
    }
    for number in [&job.a, b].into_iter().chain(&job.terms.forwards) {
        may_be_dialled(number, account)?;
    }
    let limits =
        situation.limits.overridden(&account.limits).map_err(|_| no(Verdict::Rejected, EndReason::AccountUnusable))?;
    within_limits(situation.counts, &limits)?;

    let Terms { cli_a, cli_b, .. } = &job.terms;
    let shown = |asked: &Option<Cli>, other: &Number| asked.as_ref().map_or(other.as_str(), Cli::as_str).to_owned();
    let mut a = party(situation, account, LegName::A, &job.a, &shown(cli_a, b))?;
    if let Some(trunk) = &job.terms.trunk_a {
        a.routes.retain(|route| route.trunk == *trunk);
        if a.routes.is_empty() {
            let reason = EndReason::NotThisTrunk;
            return Err(not_carried(situation, &job.a, Some(trunk), reason));
        }
    }
    let b = party(situation, account, LegName::B, b, &shown(cli_b, &job.a))?;
    let asked = job.terms.max_seconds.map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.into()));
    let longest = Duration::from_secs(u64::from(limits.max_call_seconds)).min(engine.max_call).min(asked);
    let plan = CallPlan {
        a,
        b,
        attempt: situation.call_count + 1,
        attempts: job.terms.attempts.unwrap_or(engine.attempts).min(limits.max_leg_attempts).max(1),
        no_answer: asked_seconds(job.terms.no_answer_seconds, 1..=600).unwrap_or(engine.no_answer),
        backoff: asked_seconds(job.terms.backoff_seconds, 0..=3_600).unwrap_or(engine.backoff),
        max_call: longest,
        slice_seconds: engine.hold_seconds.max(LEAST_SECONDS),
    };
    let hold = plan.slice().min(account.available);
    if account.available <= Money::ZERO || hold < hold_for(plan.a.tariff, plan.b.tariff, LEAST_SECONDS) {
        return Err(no(Verdict::NoFunds, EndReason::NoFunds).into());
    }
    let minutes = minutes_for(account.available, plan.a.tariff, plan.b.tariff, plan.max_call);
    Ok(Admitted { plan, account_id: account.id, currency: account.currency.clone(), hold, minutes })
}

/// What a job asks for, within what the settings could say too.
fn asked_seconds(asked: Option<u32>, within: std::ops::RangeInclusive<u32>) -> Option<Duration> {
    asked.map(|seconds| Duration::from_secs(seconds.clamp(*within.start(), *within.end()).into()))
}

/// Whole minutes of both calls side by side that this much money pays for, at most the longest call; `None`: they are free.
pub fn minutes_for(available: Money, a: Tariff, b: Tariff, longest: Duration) -> Option<u64> {
    let a_minute = u64::try_from(hold_for(a, b, 60).0).ok().filter(|price| *price > 0)?;
    Some((u64::try_from(available.0).unwrap_or(0) / a_minute).min(longest.as_secs() / 60))
}

/// Whether this account may have this number dialled.
pub fn may_be_dialled(number: &Number, account: &AccountView) -> Result<(), Refusal> {
    guard::check(number, &account.allow)
        .and_then(|()| guard::check_country(number, &account.allow, &account.numbers))
        .map_err(|block| no(Verdict::Blocked, EndReason::Forbidden(block)))
}

/// The limits are checked once, when the job is first run: its own retries are not new jobs. The counts include this job.
fn within_limits(counts: Option<&Counts>, limits: &Limits) -> Result<(), Refusal> {
    match counts.and_then(|counts| guard::limit_reached(counts, limits)) {
        Some(limit) => Err(no(Verdict::Rejected, EndReason::Limit(limit))),
        None => Ok(()),
    }
}

fn party(
    situation: &Situation<'_>,
    account: &AccountView,
    leg: LegName,
    number: &Number,
    shown: &str,
) -> Result<Party, Denial> {
    let routes = situation.trunks.routes(number, shown);
    if routes.is_empty() {
        return Err(not_carried(situation, number, None, EndReason::NoTrunk));
    }
    let tariff = tariff_of(situation.rates, situation.tariff, account, leg, number)
        .ok_or_else(|| no(Verdict::Rejected, EndReason::NoPrice))?;
    Ok(Party { number: number.clone(), routes, tariff })
}

/// No trunk that was found carries this number: one that was not found yet may, after all.
fn not_carried(situation: &Situation<'_>, number: &Number, named: Option<&str>, reason: EndReason) -> Denial {
    match situation.trunks.is_awaited(number, named) {
        true => Denial::NotNow,
        false => no(Verdict::Rejected, reason).into(),
    }
}

/// The longest matching rate of this leg in the account's currency, else the flat price; no price is a refusal, never free.
pub fn tariff_of(
    rates: &[Rate],
    tariff: &TariffConfig,
    account: &AccountView,
    leg: LegName,
    number: &Number,
) -> Option<Tariff> {
    list_price(rates, tariff, leg, number).filter(|_| tariff.currency == account.currency)
}

/// The same in the currency of the list.
pub fn list_price(rates: &[Rate], tariff: &TariffConfig, leg: LegName, number: &Number) -> Option<Tariff> {
    let digits = number.digits();
    let stored = rates
        .iter()
        .filter(|rate| rate.leg == leg && digits.starts_with(rate.prefix.as_str()))
        .max_by_key(|rate| rate.prefix.len())
        .map(|rate| rate.per_minute);
    let flat = match leg {
        LegName::A => tariff.a,
        LegName::B => tariff.b,
    };
    stored.or(flat).map(|per_minute| Tariff { per_minute })
}

#[cfg(test)]
mod tests;
