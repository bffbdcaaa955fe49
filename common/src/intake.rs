//! The one door for triggers. A trigger says what it understood ([`Wish`]); intake finds out who pays, whether the numbers may
//! be called and whether there was not too much of it, and puts one job on the queue. Only a confirmed job is accepted.
//!
//! The same message twice is the same job: its id comes from the source's own message id, and a job that is known is accepted
//! again whatever has changed since.

mod checks;
mod reason;
mod recent;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

pub use checks::{Approved, Checks, Rules, Unavailable};
pub use reason::{Party, Reason};
use recent::{Recent, Reserved};

use crate::event::Envelope;
use crate::failpoint::failpoint;
use crate::job::{JOB_TYPE, Job, JobId, MAX_JOB_BYTES};
use crate::queue::{Destination, Message, PublishError, Queue};
use crate::secret::SiteKey;
use crate::store::{Cancelling, Counts, Lockout, Store, StoreError};

/// When to come back after "not now".
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a trigger understood. Numbers are as they were written.
#[derive(Clone)]
pub struct Wish {
    /// The name of the trigger, and where its replies go: `sms`, `web`, `cli`.
    pub source: String,
    /// The source's own id of the message.
    pub message_id: String,
    /// Who sent it, as the channel names it: `+442071838750`.
    pub sender: String,
    /// Who pays.
    pub payer: Payer,
    /// The first party.
    pub a: String,
    /// The second party.
    pub b: String,
    /// When the source received the message, if it says so.
    pub received: Option<DateTime<Utc>>,
    /// What the trigger needs to answer.
    pub reply: Option<String>,
    /// The caller's own data.
    pub metadata: BTreeMap<String, Value>,
}

/// Who pays, and how we know.
#[derive(Clone)]
pub enum Payer {
    /// Somebody who sent a name and a secret from a registered number.
    Secret {
        /// The name of the account.
        user: String,
        /// Its trigger secret.
        secret: String,
    },
    /// An account that the trigger vouches for: the operator at the command line, the owner of the demonstration page.
    Account(String),
}

/// What intake answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is on the queue, or was before.
    Accepted {
        /// Its job.
        job: JobId,
    },
    /// It is not wanted, and will not be if it is tried again.
    Rejected {
        /// The job it would have become.
        job: JobId,
        /// Why.
        reason: Reason,
    },
    /// Too much lately.
    Limited {
        /// The job it would have become.
        job: JobId,
        /// Which limit, always [`Reason::Limit`].
        reason: Reason,
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// The store or the queue is away, or does not confirm.
    Unavailable {
        /// When it should be tried again, with the same message id.
        retry_after: Duration,
    },
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    checks: Checks,
    queue: Queue,
    recent: Arc<Recent>,
}

impl Intake {
    /// A door to this store and queue.
    pub fn new(store: Store, queue: Queue, site_key: SiteKey, rules: Rules) -> Intake {
        Intake { checks: Checks::new(store, site_key, rules), queue, recent: Arc::new(Recent::default()) }
    }

    /// The checks alone.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Whether jobs could be accepted now, as far as we know.
    pub fn healthy(&self) -> bool {
        self.queue.healthy() && self.checks.store().healthy()
    }

    /// Takes a wish. Answers only when the job is confirmed by the queue, or it is clear that there will be none.
    pub async fn submit(&self, wish: Wish) -> Verdict {
        let job = JobId::of_message(&wish.source, &wish.message_id, &wish.sender);
        let verdict = self.decide(&job, wish).await.unwrap_or_else(|away| {
            tracing::warn!(%job, "not accepted, the source is asked to repeat: {away}");
            Verdict::Unavailable { retry_after: RETRY_AFTER }
        });
        let outcome = match &verdict {
            Verdict::Accepted { .. } => "accepted",
            Verdict::Rejected { reason, .. } | Verdict::Limited { reason, .. } => {
                tracing::info!(%job, reason = reason.code(), "refused");
                reason.code()
            }
            Verdict::Unavailable { .. } => "unavailable",
        };
        metrics::counter!("ringback_intake_total", "outcome" => outcome).increment(1);
        verdict
    }

    /// Cancels a job, whether it came already or not.
    ///
    /// # Errors
    /// The store is away.
    pub async fn cancel(&self, job: &JobId) -> Result<Cancelling, StoreError> {
        self.checks.store().cancel(job).await
    }

    async fn decide(&self, job: &JobId, wish: Wish) -> Result<Verdict, Unavailable> {
        if self.recent.accepted(job) || self.checks.store().find(job).await?.is_some() {
            return Ok(Verdict::Accepted { job: job.clone() });
        }
        let rejected = |reason| Ok(Verdict::Rejected { job: job.clone(), reason });
        let approved = match self.authenticate(&wish).await? {
            Ok(approved) => approved,
            Err(reason) => return rejected(reason),
        };
        if let Some(limit) = self.limit(&approved).await? {
            let retry_after = limit_passes(limit);
            return Ok(Verdict::Limited { job: job.clone(), reason: Reason::Limit(limit), retry_after });
        }
        let Some(reserved) = self.reserve(job, &approved).await? else { return rejected(Reason::AlreadyCalling) };
        match self.publish(job, wish, &approved).await? {
            Ok(()) => reserved.keep(),
            Err(reason) => return rejected(reason),
        }
        Ok(Verdict::Accepted { job: job.clone() })
    }

    /// Who pays and for which numbers. A locked-out sender hears what a wrong secret hears.
    async fn authenticate(&self, wish: &Wish) -> Result<Result<Approved, Reason>, Unavailable> {
        let limits = &self.checks.rules().limits;
        let lockout = Lockout {
            failures: limits.failed_auth_per_sender_per_10min,
            window_s: 600,
            lock_s: limits.failed_auth_lock_seconds,
        };
        let by_secret = matches!(wish.payer, Payer::Secret { .. });
        let locked = by_secret && self.checks.store().auth_locked(&wish.sender).await?;
        let answer = self.checks.examine(wish).await?;
        let wrong = answer.as_ref().is_err_and(|reason| *reason == Reason::BadSecretOrUser);
        if wrong && !locked && self.checks.store().auth_failed(&wish.sender, lockout).await? {
            tracing::warn!(source = wish.source, "a sender is locked out after too many wrong secrets");
        }
        Ok(if locked { Err(Reason::BadSecretOrUser) } else { answer })
    }

    /// The limit that one more job would go beyond.
    async fn limit(&self, approved: &Approved) -> Result<Option<&'static str>, Unavailable> {
        let account = &approved.account;
        if account.limits_off {
            return Ok(None);
        }
        let limits = self.checks.rules().limits.overridden(&account.limits).unwrap_or_else(|error| {
            tracing::error!(account = account.name, "its own limits are not understood, the site's hold: {error}");
            self.checks.rules().limits.clone()
        });
        let counts = self.checks.store().velocity(account.id, Some(approved.b.as_str())).await?;
        Ok(crate::guard::limit_reached(&with_one_more(counts), &limits))
    }

    /// Marks this account's call from A to B as under way; `None` if another job does that already.
    async fn reserve(&self, job: &JobId, approved: &Approved) -> Result<Option<Reserved<'_>>, Unavailable> {
        let store = self.checks.store();
        let (a, b) = (approved.a.as_str(), approved.b.as_str());
        let unfinished = store.unfinished_between(approved.account.id, a, Some(b)).await?;
        if unfinished.is_some_and(|other| other != *job) {
            return Ok(None);
        }
        let key = format!("{} {a} {b}", approved.account.id);
        if let Some(other) = self.recent.other_between(&key, job)
            && store.find(&other).await?.is_none_or(|row| !row.finished)
        {
            return Ok(None);
        }
        Ok(self.recent.reserve(job, &key))
    }

    async fn publish(&self, job: &JobId, wish: Wish, approved: &Approved) -> Result<Result<(), Reason>, Unavailable> {
        let lifetime = TimeDelta::from_std(self.checks.rules().job_lifetime).unwrap_or(TimeDelta::minutes(10));
        let message = match self.message(job, wish, approved, Utc::now(), lifetime) {
            Ok(message) => message,
            Err(reason) => return Ok(Err(reason)),
        };
        failpoint("trig.before_publish");
        match self.queue.publish(&Destination::Jobs, &message).await {
            Ok(()) => {
                failpoint("trig.confirmed_no_reply");
                Ok(Ok(()))
            }
            Err(PublishError::Invalid(why)) => {
                tracing::error!(%job, "the job cannot be published: {why}");
                Ok(Err(Reason::TooLarge))
            }
            Err(error) => Err(Unavailable::Queue(error)),
        }
    }

    /// The job in its envelope. The message id is the job id, so that a repeat is the same message for the queue too.
    fn message(
        &self,
        id: &JobId,
        wish: Wish,
        approved: &Approved,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<Message, Reason> {
        let received = wish.received.unwrap_or(now).min(now);
        let job = Job {
            id: id.clone(),
            source: wish.source.clone(),
            account: approved.account.name.clone(),
            a: approved.a.clone(),
            b: Some(approved.b.clone()),
            sender: Some(wish.sender),
            created: now,
            not_before: None,
            not_after: received + lifetime,
            reply: wish.reply,
            metadata: wish.metadata,
            unknown: BTreeMap::new(),
        };
        let source = format!("/ringback/trigger/{}", wish.source);
        let envelope = Envelope::new(id.0.clone(), source, JOB_TYPE, now, Some(id.0.clone()), job);
        let body = serde_json::to_vec(&envelope).expect("a job is a plain struct with text keys");
        if body.len() > MAX_JOB_BYTES {
            return Err(Reason::TooLarge);
        }
        Ok(Message { id: id.0.clone(), kind: JOB_TYPE.to_owned(), body: body.into() })
    }
}

/// What the counts would be with the job in question among them.
fn with_one_more(counts: Counts) -> Counts {
    Counts {
        active: counts.active + 1,
        jobs_minute: counts.jobs_minute + 1,
        jobs_hour: counts.jobs_hour + 1,
        jobs_day: counts.jobs_day + 1,
        same_b_10min: counts.same_b_10min + 1,
        same_prefix7_10min: counts.same_prefix7_10min + 1,
        ..counts
    }
}

/// How long to wait for a limit at least.
fn limit_passes(limit: &str) -> Duration {
    let seconds = if limit.ends_with("per_day") {
        3600
    } else if limit.ends_with("per_hour") || limit.ends_with("_10min") || limit.ends_with("_stop") {
        600
    } else {
        60
    };
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests;
