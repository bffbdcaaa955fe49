//! The one door for triggers. A trigger says what it understood ([`Wish`]); intake finds out who pays, whether the numbers may
//! be called and whether there was not too much of it, and puts one job on the queue. Only a confirmed job is accepted.
//!
//! The same message twice is the same job: its id comes from the source's own message id, and a job that is known is accepted
//! again whatever has changed since.

mod checks;
mod commands;
mod reason;
mod recent;
mod wish;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

pub use checks::{Approved, Checks, Rules, Unavailable, Written};
pub use commands::MOST_NUMBERS;
pub use reason::{Party, Reason};
use recent::{Kept, Recent, Reserved, Used};
pub use wish::{Ask, Payer, Proof, Who, Wish};

use tokio::sync::Semaphore;

use crate::event::Envelope;
use crate::failpoint::failpoint;
use crate::job::{JOB_TYPE, Job, JobId, JobKind, MAX_JOB_BYTES};
use crate::knock::Buckets;
use crate::number::Number;
use crate::queue::{Destination, Message, PublishError, Queue};
use crate::secret::SiteKey;
use crate::store::{Cancelling, Confirmed, Lockout, Store, StoreError, Wished};
use crate::terms::Terms;

/// When to come back after "not now".
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// So many refusals of an account are written down for its owner at once, for each source, and so many a second on average: what is
/// refused costs its sender nothing, and must not keep the store busy. It keeps no more of them either.
const MOST_REFUSALS: u32 = 100;
const REFUSALS_PER_SECOND: f64 = 1.0;

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
    searching: Arc<Semaphore>,
    written: Arc<Mutex<Buckets<(i64, String)>>>,
    lead: Option<TimeDelta>,
    lifetime: Duration,
}

impl Intake {
    /// A door to this store and queue.
    pub fn new(store: Store, queue: Queue, site_key: SiteKey, rules: Rules) -> Intake {
        Intake {
            checks: Checks::new(store, site_key, rules),
            queue,
            recent: Arc::new(Recent::default()),
            searching: Arc::new(Semaphore::new(1)),
            written: Arc::new(Mutex::new(Buckets::new(MOST_REFUSALS, REFUSALS_PER_SECOND))),
            lead: None,
            lifetime: Duration::ZERO,
        }
    }

    /// Jobs that are published here are due only so long after: the source hears "accepted" before anybody's phone rings.
    pub fn with_lead(self, lead: Duration) -> Intake {
        Intake { lead: TimeDelta::from_std(lead).ok(), ..self }
    }

    /// The same door for jobs that may be at least this old when they are dialled, where the site's rule is shorter.
    pub fn lasting(&self, lifetime: Duration) -> Intake {
        Intake { lifetime, ..self.clone() }
    }

    /// The checks alone.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Takes a wish. Answers only when the job is confirmed by the queue, or it is clear that there will be none.
    pub async fn submit(&self, wish: Wish) -> Verdict {
        let job = JobId::of_message(&wish.source, &wish.message_id, &wish.sender);
        let (source, sender, mut account_id) = (wish.source.clone(), wish.sender.clone(), None);
        let verdict = self.decide(&job, wish, &mut account_id).await.unwrap_or_else(|away| {
            tracing::warn!(%job, "not accepted, the source is asked to repeat: {away}");
            Verdict::Unavailable { retry_after: RETRY_AFTER }
        });
        match &verdict {
            Verdict::Accepted { .. } => {
                tracing::info!(%job, source, "accepted");
                count(&source, "accepted");
            }
            Verdict::Rejected { reason, .. } | Verdict::Limited { reason, .. } => {
                tracing::info!(%job, reason = reason.code(), "refused");
                count(&source, reason.code());
                self.remember(account_id, &source, &sender, reason.code()).await;
            }
            Verdict::Unavailable { .. } => count(&source, "unavailable"),
        }
        verdict
    }

    /// Whether this job was accepted, here or by anyone.
    ///
    /// # Errors
    /// The store is away.
    pub async fn knows(&self, job: &JobId) -> Result<bool, StoreError> {
        self.is_known(job).await
    }

    /// What a job carries for its trigger, as the store keeps it.
    ///
    /// # Errors
    /// The store is away.
    pub async fn way_back(&self, job: &JobId) -> Result<Option<String>, StoreError> {
        Ok(self.checks.store().find(job).await?.and_then(|row| row.job.reply))
    }

    /// Cancels a job, whether it came already or not.
    ///
    /// # Errors
    /// The store is away.
    pub async fn cancel(&self, job: &JobId) -> Result<Cancelling, StoreError> {
        self.checks.store().cancel(job).await
    }

    /// A message that comes twice at once may be refused for what its twin has just used up: it hears what the twin hears.
    async fn decide(&self, job: &JobId, wish: Wish, account_id: &mut Option<i64>) -> Result<Verdict, Unavailable> {
        let accepted = || Verdict::Accepted { job: job.clone() };
        if self.is_known(job).await? {
            return Ok(accepted());
        }
        self.checks.store().ready_to_begin()?;
        let verdict = self.decide_anew(job, wish, account_id).await?;
        let is_refused = matches!(verdict, Verdict::Rejected { .. } | Verdict::Limited { .. });
        Ok(if is_refused && self.is_known(job).await? { accepted() } else { verdict })
    }

    async fn is_known(&self, job: &JobId) -> Result<bool, StoreError> {
        Ok(self.recent.accepted(job) || self.checks.store().find(job).await?.is_some())
    }

    async fn decide_anew(&self, job: &JobId, wish: Wish, account_id: &mut Option<i64>) -> Result<Verdict, Unavailable> {
        let rejected = |reason| Ok(Verdict::Rejected { job: job.clone(), reason });
        let mut keys = failure_keys(&wish.sender, &wish.payer);
        if self.checks.tries_another(&wish).await? {
            keys.push(tried(&wish.sender, &wish.payer.who));
        }
        let answer = self.guarded(&wish.source, &keys, self.checks.examine_and_name(&wish, account_id)).await?;
        let approved = match answer {
            Ok(approved) => approved,
            Err(reason) => return rejected(reason),
        };
        let Some(reserved) = self.reserve(job, &wish, &approved).await? else {
            return rejected(Reason::AlreadyCalling);
        };
        if let Some(limit) = self.limit(job, &approved).await? {
            let retry_after = limit_passes(limit);
            return Ok(Verdict::Limited { job: job.clone(), reason: Reason::Limit(limit), retry_after });
        }
        match self.publish(job, wish, &approved).await? {
            Ok(()) => reserved.keep(),
            Err(reason) => return rejected(reason),
        }
        Ok(Verdict::Accepted { job: job.clone() })
    }

    /// An answer that depends on a secret. Who is locked out hears what a wrong secret hears, and takes as long.
    async fn guarded<T>(
        &self,
        source: &str,
        keys: &[String],
        answer: impl Future<Output = Result<Result<T, Reason>, StoreError>>,
    ) -> Result<Result<T, Reason>, Unavailable> {
        let limits = &self.checks.rules().limits;
        let lockout = Lockout {
            failures: limits.failed_auth_per_sender_per_10min,
            window_s: 600,
            lock_s: limits.failed_auth_lock_seconds,
        };
        let mut locked = false;
        for key in keys {
            locked |= self.checks.store().auth_locked(key).await?;
        }
        let answer = answer.await?;
        if answer.as_ref().is_err_and(|reason| *reason == Reason::BadSecretOrUser) && !locked {
            for key in keys {
                let lockout = commands::lockout_of(key).unwrap_or(lockout);
                if self.checks.store().auth_failed(key, lockout).await? {
                    tracing::warn!(source, "a sender is locked out after too many wrong secrets");
                }
            }
        }
        Ok(if locked { Err(Reason::BadSecretOrUser) } else { answer })
    }

    /// The limit that this job would go beyond. Those that were reserved before it count, whether the store has their rows or not.
    async fn limit(&self, job: &JobId, approved: &Approved) -> Result<Option<&'static str>, Unavailable> {
        let Some(used) = used(approved) else { return Ok(None) };
        let before = self.recent.unseen_before(job, used);
        if !before.is_empty() {
            let jobs: Vec<JobId> = before.iter().map(|one| one.job.clone()).collect();
            self.recent.seen(&self.checks.store().stored_among(&jobs).await?, used);
        }
        let before = self.recent.unseen_before(job, used);
        Ok(self.checks.limit_beyond(job, approved, &before).await?)
    }

    /// Marks this account's call from A to B as under way; `None` if another job does that already. Questions may be asked as
    /// often as one likes.
    async fn reserve(
        &self,
        job: &JobId,
        wish: &Wish,
        approved: &Approved,
    ) -> Result<Option<Reserved<'_>>, Unavailable> {
        let (store, account_id) = (self.checks.store(), approved.account.id);
        let (a, b) = (approved.a.as_str(), approved.b.as_ref().map(Number::as_str));
        let key = match approved.quote {
            Some(_) => format!("quote {job}"),
            None => format!("{account_id} {a} {}", b.unwrap_or_default()),
        };
        if approved.quote.is_none() {
            let window = TimeDelta::from_std(self.checks.rules().same_call_window).unwrap_or_default();
            let wished = Wished { account_id, a, b, job, source: &wish.source };
            if store.same_call(&wished, Utc::now() - window).await? {
                return Ok(None);
            }
            if let Some(other) = self.recent.other_between(&key, job)
                && store.find(&other).await?.is_none_or(|row| !row.finished && !row.canceled)
            {
                return Ok(None);
            }
        }
        let kept = Kept { key, asker: asker(account_id, &wish.sender), used: used(approved) };
        let due = wish.not_before.is_none_or(|moment| moment <= Utc::now());
        Ok(self.recent.reserve(Confirmed { job: job.clone(), b: approved.b.clone(), due }, kept))
    }

    async fn publish(&self, job: &JobId, wish: Wish, approved: &Approved) -> Result<Result<(), Reason>, Unavailable> {
        let lifetime = self.checks.rules().job_lifetime.max(self.lifetime);
        let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::minutes(10));
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
            kind: if approved.quote.is_some() { JobKind::Quote } else { JobKind::Callback },
            quote: approved.quote,
            source: wish.source.clone(),
            account: approved.account.name.clone(),
            a: approved.a.clone(),
            b: approved.b.clone(),
            sender: Some(wish.sender),
            created: now,
            not_before: wish.not_before.max(self.lead.map(|lead| now + lead)),
            not_after: received + lifetime,
            terms: Terms { forwards: approved.forwards.clone(), ..wish.terms },
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

/// Whether one more refusal of this account may be written down.
fn may_write(written: &Mutex<Buckets<(i64, String)>>, account_id: i64, source: &str) -> bool {
    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
    written.take((account_id, source.to_owned()), Instant::now()).is_ok()
}

/// Whose limits this counts for; `None`: an account without limits.
fn used(approved: &Approved) -> Option<Used> {
    (!approved.account.limits_off).then_some((approved.account.id, approved.quote.is_some()))
}

/// Who asks, on which account.
fn asker(account_id: i64, sender: &str) -> String {
    format!("{account_id} {sender}")
}

fn count(source: &str, outcome: &'static str) {
    metrics::counter!("ringback_intake_total", "trigger" => source.to_owned(), "outcome" => outcome).increment(1);
}

/// Under which names wrong secrets of this sender are counted. An address that nobody vouches for is anybody's: such failures
/// count for the account that was tried too, and never against the true owner of the address. So do those of a vouched address
/// that is not the account's ([`Checks::tries_another`]): whoever has a domain has as many of them as he likes.
fn failure_keys(sender: &str, payer: &Payer) -> Vec<String> {
    match &payer.proof {
        Proof::RegisteredAndSecret(_) | Proof::Secret { vouched: true, .. } => vec![sender.to_owned()],
        Proof::Secret { vouched: false, .. } => {
            vec![format!("unvouched {}", sender.to_lowercase()), tried(sender, &payer.who)]
        }
        Proof::Trusted | Proof::Registered | Proof::Mail(_) => Vec::new(),
    }
}

/// Under which name wrong secrets for whatever account this is are counted.
fn tried(sender: &str, who: &Who) -> String {
    match who {
        Who::Named(name) => tried_account(name),
        Who::Suffix(digits) => format!("unvouched digits {digits}"),
        Who::Sender => format!("unvouched account of {}", sender.to_lowercase()),
    }
}

/// Under which name wrong secrets for this account are counted, whoever sends them.
fn tried_account(name: &str) -> String {
    format!("unvouched account {}", name.to_lowercase())
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
