//! What ends without a call: questions that are answered, and requests that are refused or given back.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use ringback_common::end_reason::EndReason;
use ringback_common::guard::Block;
use ringback_common::job::{Job, JobId, Quote};
use ringback_common::number::Number;
use ringback_common::store::{
    AccountView, CdrFilter, CdrRow, OutboxEvent, Purse, RequestRow, Step, Stepped, StoreError,
};

use super::{AGAIN, Worker};
use crate::admission::{Refusal, no};
use crate::call::Verdict;
use crate::driver;
use crate::events::{Herald, Outcome};
use crate::quote::{self, Question};

/// How long a request waits that cannot be dialled now.
const PUT_OFF: TimeDelta = TimeDelta::seconds(2);

impl Worker {
    /// The store refused an INVITE because somebody cancelled the job, or because a party is on the do-not-call list.
    pub(super) async fn cancelled_or_stopped(&self, job: &Job) -> Refusal {
        let parties: Vec<&str> = [Some(&job.a), job.b.as_ref()].into_iter().flatten().map(Number::as_str).collect();
        match self.world.store.not_to_be_called(&parties).await {
            Ok(stopped) if !stopped.is_empty() => no(Verdict::Blocked, EndReason::Forbidden(Block::DoNotCall)),
            _ => no(Verdict::Canceled, EndReason::Cancelled),
        }
    }

    /// Answers a question.
    pub(super) async fn answer(&self, job: &Job, epoch: i64, seq: u32) {
        let (account, last) = loop {
            match self.facts_of(job).await {
                Ok(facts) => break facts,
                Err(error) => tracing::debug!(%error, "the account cannot be read now"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        let (tables, now) = (self.world.tables.borrow().clone(), Instant::now());
        let account = account.map(Arc::new);
        if let Some(account) = &account {
            self.world.views.keep(Arc::clone(account), now);
        }
        let question = Question {
            job,
            account: account.as_deref(),
            rates: &tables.rates,
            tariff: &self.world.tariff,
            longest: self.world.engine.max_call,
            last: &last,
        };
        match quote::answer(&question) {
            Ok(answer) => {
                let result = Verdict::Answered.as_str();
                self.finish(job, epoch, seq, (Verdict::Answered, EndReason::Answered), |herald| {
                    herald.answered(result, &answer)
                })
                .await;
            }
            Err(refusal) => self.refuse(job, epoch, seq, refusal).await,
        }
    }

    /// The account that asks, and the CDRs of its last call if that is the question.
    async fn facts_of(&self, job: &Job) -> Result<(Option<AccountView>, Vec<CdrRow>), StoreError> {
        let store = &self.world.store;
        let account = store.view_by_name(&job.account).await?;
        if job.quote != Some(Quote::LastCall) {
            return Ok((account, Vec::new()));
        }
        let latest = CdrFilter { account: Some(job.account.clone()), limit: 1, ..CdrFilter::default() };
        let Some(latest) = store.cdrs(&latest).await?.pop() else { return Ok((account, Vec::new())) };
        let cdrs = store.cdrs(&CdrFilter { job: Some(latest.job), ..CdrFilter::default() }).await?;
        Ok((account, cdrs))
    }

    pub(super) async fn refuse(&self, job: &Job, epoch: i64, seq: u32, refusal: Refusal) {
        let result = refusal.verdict.as_str().to_owned();
        let outcome = Outcome { result, reason: Some(refusal.reason), ..Outcome::default() };
        self.finish(job, epoch, seq, (refusal.verdict, refusal.reason), |herald| herald.finished(&outcome)).await;
    }

    /// Finishes a request that is not dialled, with the news that this writes.
    async fn finish(
        &self,
        job: &Job,
        epoch: i64,
        seq: u32,
        (verdict, reason): (Verdict, EndReason),
        news: impl FnOnce(&mut Herald<'_>) -> Vec<OutboxEvent>,
    ) {
        let now = Utc::now();
        let account = self.world.views.recent(&job.account, Instant::now());
        let mut herald = Herald {
            engine: &self.world.me.id,
            job,
            currency: account.as_ref().map_or(&self.world.tariff.currency, |account| &account.currency),
            billing: self.world.billing,
            seq,
            now,
        };
        let mut step = Step::new(job.id.clone(), &self.world.me.id, epoch);
        step.events = news(&mut herald);
        step.request.status = Some("Finished".to_owned());
        step.request.result = Some(verdict.as_str().to_owned());
        step.request.reason = Some(reason);
        step.request.disconnect_time = Some(now);
        step.request.finished = Some(true);
        step.request.release = true;
        tracing::info!(job = %job.id, result = verdict.as_str(), %reason, "not called");
        driver::finished(verdict.as_str());
        if let Err(error) = self.world.writer.step(step).await {
            tracing::error!(job = %job.id, %error, "a refusal could not be written; recovery will");
        }
    }

    /// Nothing was dialled of a request that is begun anew or ends here: what is held for it from before goes back.
    pub(super) async fn free_hold(&self, job: &JobId, epoch: i64, hold: Option<Purse>) {
        let Some(purse) = hold else { return };
        let step = Step { postings: Some(purse.releasing()), ..Step::new(job.clone(), &self.world.me.id, epoch) };
        if let Err(error) = self.world.writer.step(step).await {
            tracing::error!(%job, %error, "what was held could not be given back; recovery will");
        }
    }

    /// Gives a request back for whoever has a slot.
    pub(super) async fn give_back(&self, job: &JobId, epoch: i64) {
        self.release(job, epoch, None).await;
    }

    /// Gives a request back that cannot be dialled now; too late, it expires.
    pub(super) async fn put_off(&self, job: &JobId, epoch: i64) {
        tracing::debug!(%job, "put off: a trunk that would carry it is not found yet");
        self.release(job, epoch, Some(Utc::now() + PUT_OFF)).await;
    }

    async fn release(&self, job: &JobId, epoch: i64, next_call: Option<DateTime<Utc>>) {
        let mut step = Step::new(job.clone(), &self.world.me.id, epoch);
        step.request.release = true;
        step.request.next_call = next_call;
        match self.world.writer.step(step).await {
            Ok(Stepped::Done { .. } | Stepped::Fenced | Stepped::Cancelled | Stepped::NoFunds) => {}
            Err(error) => tracing::error!(%job, %error, "a request could not be given back; recovery will"),
        }
    }
}

/// Why a request ends that nobody runs.
pub fn why_ended(row: &RequestRow) -> Refusal {
    let verdict = match row {
        RequestRow { canceled: true, .. } => Verdict::Canceled,
        RequestRow { twin: true, .. } => return no(Verdict::Rejected, EndReason::AlreadyCalling),
        _ => Verdict::Expired,
    };
    no(verdict, crate::driver::reason_of(verdict, crate::call::Cause::Canceled))
}
