//! The desk: takes a mail from one of the sources and says what becomes of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use ringback_common::answer::{Language, Why};
use ringback_common::event::Envelope as Event;
use ringback_common::gate::Buckets;
use ringback_common::intake::{Ask, Intake, Payer, RETRY_AFTER, Reason, Verdict, Wish};
use ringback_common::job::JobId;
use ringback_common::number::{Country, Number};
use ringback_common::queue::{Destination, Message, Queue};
use ringback_common::store::Store;

use crate::form::Form;
use crate::mail::{Envelope, House, Mail, Unread};
use crate::replies::{Note, REFUSAL_TYPE, Refused, refusal, why_doubted, why_no_form, why_refused};
use crate::trust::{Doubt, Trust};
use crate::verify::Verifier;

/// The name of this trigger: `source` of its jobs, and where its replies go.
pub const SOURCE: &str = "email";

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is a job, or was before.
    Accepted(JobId),
    /// There is none, and why.
    Rejected(&'static str),
    /// It is left alone, and why.
    Ignored(&'static str),
    /// It is for somebody else.
    NotOurs,
    /// Not now.
    Unavailable(Duration),
}

impl Outcome {
    fn label(&self) -> (&'static str, &'static str) {
        match self {
            Outcome::Accepted(_) => ("accepted", ""),
            Outcome::Rejected(reason) => ("reject", reason),
            Outcome::Ignored(reason) => ("ignore", reason),
            Outcome::NotOurs => ("not_ours", ""),
            Outcome::Unavailable(_) => ("unavailable", ""),
        }
    }
}

/// Takes mails.
pub struct Desk {
    house: House,
    verifier: Verifier,
    intake: Intake,
    queue: Queue,
    store: Store,
    replies: bool,
    lifetime: TimeDelta,
    senders: Mutex<Buckets<String>>,
    domains: Mutex<Buckets<String>>,
    told: Mutex<Buckets<String>>,
    unknown: Mutex<Buckets<String>>,
}

/// How often one address, and one domain, may write in ten minutes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// One address.
    pub per_sender: u32,
    /// One domain.
    pub per_domain: u32,
}

impl Desk {
    /// A desk before this intake; `replies` says whether anybody can be answered.
    pub fn new(
        house: House,
        verifier: Verifier,
        intake: Intake,
        reach: (Queue, Store),
        pace: Pace,
        replies: bool,
    ) -> Desk {
        let lifetime = TimeDelta::from_std(intake.checks().rules().job_lifetime).unwrap_or(TimeDelta::minutes(10));
        let buckets = |most: u32| Mutex::new(Buckets::new(most, f64::from(most) / 600.0));
        let (queue, store) = reach;
        Desk {
            house,
            verifier,
            intake,
            queue,
            store,
            replies,
            lifetime,
            senders: buckets(pace.per_sender),
            domains: buckets(pace.per_domain),
            told: Mutex::new(Buckets::new(3, 1.0 / 200.0)),
            unknown: Mutex::new(Buckets::new(20, 1.0 / 30.0)),
        }
    }

    /// Who we are.
    pub fn house(&self) -> &House {
        &self.house
    }

    /// Takes one mail; without an envelope, what the mail itself says of it counts. The same mail twice has the same outcome.
    pub async fn take(&self, raw: &[u8], envelope: Option<&Envelope>, received: DateTime<Utc>) -> Outcome {
        let outcome = match Mail::read(raw, envelope, &self.house) {
            Ok(mail) => self.decide(raw, &mail, envelope, received).await,
            Err(Unread::Ignored(crate::auto::Ignored::OtherRecipient)) => Outcome::NotOurs,
            Err(Unread::Ignored(ignored)) => Outcome::Ignored(ignored.code()),
            Err(Unread::Beyond(limit)) => Outcome::Rejected(limit),
        };
        self.tell(&outcome);
        outcome
    }

    /// A mail that was not even fetched, because it is too long.
    pub fn too_large(&self) -> Outcome {
        let outcome = Outcome::Rejected("too_large");
        self.tell(&outcome);
        outcome
    }

    fn tell(&self, outcome: &Outcome) {
        let (label, reason) = outcome.label();
        metrics::counter!("ringback_email_total", "outcome" => label, "reason" => reason).increment(1);
        tracing::info!(outcome = label, reason, "mail");
    }

    async fn decide(
        &self,
        raw: &[u8],
        mail: &Mail<'_>,
        envelope: Option<&Envelope>,
        received: DateTime<Utc>,
    ) -> Outcome {
        let kept = Envelope::of_kept(&mail.fields);
        let trust = self.verifier.judge(raw, mail, envelope.unwrap_or(&kept)).await;
        if self.too_many(mail, &trust) {
            return self.refuse_silently(mail, "too_many_mails").await;
        }
        let unknown = trust.vouched == Err(Doubt::Unknown) && self.may_wait(mail, received);
        let form = match &mail.form {
            Ok(form) => form,
            Err(no_form) => return self.refuse(mail, &trust, no_form.code(), why_no_form(*no_form)).await,
        };
        if let (Form::Digits(_), Err(doubt)) = (form, &trust.vouched) {
            return if unknown {
                Outcome::Unavailable(RETRY_AFTER)
            } else {
                self.refuse(mail, &trust, doubt.code(), why_doubted(*doubt)).await
            };
        }
        let mut wish = wish_of(SOURCE, mail, form, &trust);
        wish.received = Some(if trust.vouched.is_ok() { not_stale(mail, received) } else { received });
        if trust.answerable && self.replies {
            wish.reply = serde_json::to_string(&Note::of(mail, self.language(mail).await)).ok();
        }
        match self.intake.submit(wish).await {
            Verdict::Accepted { job } => Outcome::Accepted(job),
            Verdict::Rejected { reason: Reason::MailNotVouched, .. } if unknown => Outcome::Unavailable(RETRY_AFTER),
            Verdict::Rejected { reason, .. } | Verdict::Limited { reason, .. } => {
                self.answer_refusal(mail, &trust, reason.code(), why_refused(reason)).await
            }
            Verdict::Unavailable { retry_after } => Outcome::Unavailable(retry_after),
        }
    }

    /// Whether this sender, or its domain, writes too much. Who is not vouched for uses up nothing of who is.
    fn too_many(&self, mail: &Mail<'_>, trust: &Trust) -> bool {
        let kind = if trust.vouched.is_ok() { "vouched" } else { "unvouched" };
        let now = Instant::now();
        let spent = |buckets: &Mutex<Buckets<String>>, who: &str| {
            buckets.lock().unwrap_or_else(PoisonError::into_inner).take(format!("{kind} {who}"), now).is_err()
        };
        spent(&self.senders, &mail.from) || spent(&self.domains, mail.from_domain())
    }

    /// Whether a mail whose name server is away may be taken again: while it is young, and its domain does not do that all the
    /// time, for each such mail costs seconds.
    fn may_wait(&self, mail: &Mail<'_>, received: DateTime<Utc>) -> bool {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        Utc::now() - received < self.lifetime && unknown.take(mail.from_domain().to_owned(), Instant::now()).is_ok()
    }

    /// Counts a refusal, keeps it for the owner of the account that was meant, and tells the sender if that harms nobody.
    async fn refuse(&self, mail: &Mail<'_>, trust: &Trust, code: &'static str, why: Why) -> Outcome {
        self.intake.refused(SOURCE, &mail.from, self.meant(mail).await.as_deref(), code).await;
        self.answer_refusal(mail, trust, code, why).await
    }

    async fn refuse_silently(&self, mail: &Mail<'_>, code: &'static str) -> Outcome {
        self.intake.refused(SOURCE, &mail.from, None, code).await;
        Outcome::Rejected(code)
    }

    /// The account whose owner should know that somebody tried: the sender's, else the one that was asked to pay.
    async fn meant(&self, mail: &Mail<'_>) -> Option<String> {
        if let Ok(Some(account)) = self.store.view_by_email(&mail.from).await {
            return Some(account.name);
        }
        match &mail.form {
            Ok(Form::Digits(form)) => match self.store.views_by_tail(&form.suffix).await.ok()?.as_slice() {
                [account] => Some(account.name.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    /// Lets the sender know why not, through the queue of replies, so that a repeat is answered once. Silence where the From
    /// address may be somebody else's, and for who was told a few times already.
    async fn answer_refusal(&self, mail: &Mail<'_>, trust: &Trust, code: &'static str, why: Why) -> Outcome {
        if !trust.answerable || !self.replies {
            return Outcome::Rejected(code);
        }
        let language = self.language(mail).await;
        let note = Note::of(mail, language);
        let may_tell = self.told.lock().unwrap_or_else(PoisonError::into_inner).take(note.to.clone(), Instant::now());
        if may_tell.is_err() {
            return Outcome::Rejected(code);
        }
        let job = JobId::of_message(SOURCE, &mail.identity(trust.vouched.as_ref().ok()), &mail.from);
        let refused = Refused { job: job.clone(), note, text: refusal(language, why) };
        let id = format!("{job}:refused");
        let event = Event::new(
            id.clone(),
            "/ringback/trigger/email".to_owned(),
            REFUSAL_TYPE,
            Utc::now(),
            Some(job.0),
            refused,
        );
        let body = serde_json::to_vec(&event).expect("a refusal is a plain struct");
        let message = Message { id, kind: REFUSAL_TYPE.to_owned(), body: body.into() };
        match self.queue.publish(&Destination::Replies { source: SOURCE.to_owned() }, &message).await {
            Ok(()) => Outcome::Rejected(code),
            Err(error) => {
                tracing::warn!("the reason of a refusal cannot be sent now, the mail is taken again: {error}");
                Outcome::Unavailable(RETRY_AFTER)
            }
        }
    }

    /// The language of the account that the sender belongs to, else of the mail, else of the account's country.
    async fn language(&self, mail: &Mail<'_>) -> Language {
        let account = self.store.view_by_email(&mail.from).await.ok().flatten();
        let first = account.as_ref().and_then(|account| account.numbers.first()?.parse::<Number>().ok());
        let country = first.as_ref().and_then(Country::of);
        let own = account.as_ref().and_then(|account| account.language.as_deref());
        Language::of(own, mail.languages().as_deref(), country)
    }
}

/// The wish of a mail that was understood.
pub(crate) fn wish_of(source: &str, mail: &Mail<'_>, form: &Form, trust: &Trust) -> Wish {
    let vouched = trust.vouched.as_ref().ok();
    let (payer, ask) = match form {
        Form::Digits(form) => {
            let ask = form.b.as_ref().map_or_else(Ask::call_me, Ask::call_to);
            (Payer::mail(&form.suffix, &mail.from), ask)
        }
        Form::Secret(form) => {
            (Payer::mail_form(&form.user, &form.secret, vouched.is_some()), Ask::call(&form.a, &form.b))
        }
    };
    Wish {
        source: source.to_owned(),
        message_id: mail.identity(vouched),
        sender: mail.from.clone(),
        payer,
        ask,
        terms: Default::default(),
        forwards: Vec::new(),
        not_before: None,
        received: None,
        reply: None,
        metadata: Default::default(),
    }
}

/// When a vouched mail was received; when it was written, if that is long ago: somebody may have kept it to send it again.
fn not_stale(mail: &Mail<'_>, received: DateTime<Utc>) -> DateTime<Utc> {
    let written = mail.date().filter(|date| *date < received - TimeDelta::days(1));
    written.unwrap_or(received)
}
