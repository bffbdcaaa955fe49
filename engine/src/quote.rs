//! Questions: what is on the account, what does a minute cost, how long was the last call. Pure; nothing is dialled or booked.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::config::TariffConfig;
use ringback_common::end_reason::EndReason;
use ringback_common::event::LegName::{self, A, B};
use ringback_common::job::{Job, Quote};
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_common::store::{AccountView, CdrRow, Rate};

use crate::admission::{Refusal, may_be_dialled, minutes_for, no, tariff_of};
use crate::call::Verdict;
use crate::events::Answer;
use std::time::Duration;

/// Everything an answer depends on.
pub struct Question<'a> {
    /// What is asked.
    pub job: &'a Job,
    /// Whose account it is.
    pub account: Option<&'a AccountView>,
    /// The stored rates.
    pub rates: &'a [Rate],
    /// Prices of numbers that no rate covers.
    pub tariff: &'a TariffConfig,
    /// The longest call.
    pub longest: Duration,
    /// The CDRs of the account's last call.
    pub last: &'a [CdrRow],
}

/// The answer, or why there is none. The balance is put into it by the store.
///
/// # Errors
/// No such account, a disabled one, no price.
pub fn answer(question: &Question<'_>) -> Result<Answer, Refusal> {
    let account = question.account.ok_or_else(|| no(Verdict::Rejected, EndReason::UnknownAccount))?;
    if !account.enabled {
        return Err(no(Verdict::Rejected, EndReason::AccountDisabled));
    }
    match question.job.quote {
        Some(Quote::Balance) => Ok(Answer::default()),
        Some(Quote::Rate) => rate(question, account),
        Some(Quote::LastCall) => Ok(last_call(question.last)),
        None => Err(no(Verdict::Rejected, EndReason::BadQuestion)),
    }
}

fn rate(question: &Question<'_>, account: &AccountView) -> Result<Answer, Refusal> {
    let a = &question.job.a;
    let b = question.job.b.as_ref().ok_or_else(|| no(Verdict::Rejected, EndReason::BadQuestion))?;
    may_be_dialled(b, account)?;
    let price = |leg: LegName, number: &Number| {
        let tariff = tariff_of(question.rates, question.tariff, account, leg, number);
        tariff.ok_or_else(|| no(Verdict::Rejected, EndReason::NoPrice))
    };
    let (a, b) = (price(A, a)?, price(B, b)?);
    Ok(Answer {
        price_a: Some(a.per_minute),
        price_b: Some(b.per_minute),
        minutes: minutes_for(account.available, a, b, question.longest),
        ..Answer::default()
    })
}

/// Both legs of the last call together; nothing in it if there was none.
fn last_call(cdrs: &[CdrRow]) -> Answer {
    let number = |leg: LegName| {
        let cdr = cdrs.iter().find(|cdr| cdr.leg == leg)?;
        cdr.number.parse::<Number>().ok()
    };
    let Some(a) = number(A) else { return Answer::default() };
    let talked = cdrs.iter().filter(|cdr| cdr.leg == B).map(|cdr| u64::try_from(cdr.duration_ms).unwrap_or(0)).max();
    Answer {
        parties: Some((a, number(B))),
        talk_seconds: Some(talked.unwrap_or(0) / 1000),
        cost: Some(cdrs.iter().map(|cdr| cdr.cost).sum::<Money>()),
        ..Answer::default()
    }
}
