//! The desk: takes a mail from one of the sources and says what becomes of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use ringback_common::answer::{Language, Why};
use ringback_common::event::Envelope as Event;
use ringback_common::intake::{Ask, Intake, Payer, Verdict, Wish};
use ringback_common::job::JobId;
use ringback_common::number::{Country, Number};
use ringback_common::queue::{Destination, Message, Queue};
use ringback_common::store::{Store, StoreError};

use crate::form::Form;
use crate::mail::{Envelope, House, Mail, TOO_LARGE, Unread, is_for_us};
use crate::pace::{Pace, Writer};
use crate::replies::{Note, REFUSAL_TYPE, Refused, refusal, why_doubted, why_no_form, why_refused};
use crate::trust::{Doubt, Trust};
use crate::verify::Verifier;

/// The name of this trigger: `source` of its jobs, and where its replies go.
pub const SOURCE: &str = "email";
/// A name server that takes as long to say anything is remembered as slow.
const SLOW: Duration = Duration::from_secs(3);
/// Why a mail of many is not read.
const TOO_MANY: &str = "too_many_mails";

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
    /// Not now, and who is away.
    Unavailable(Away),
}

/// Who is away, so that nothing can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// The store or the queue: no mail can be taken.
    Ours,
    /// The name server of the sender's domain.
    NameServer,
}

impl Outcome {
    fn label(&self) -> (&'static str, &'static str) {
        match self {
            Outcome::Accepted(_) => ("accepted", ""),
            Outcome::Rejected(reason) => ("reject", reason),
            Outcome::Ignored(reason) => ("ignore", reason),
            Outcome::NotOurs => ("not_ours", ""),
            Outcome::Unavailable(Away::Ours) => ("unavailable", ""),
            Outcome::Unavailable(Away::NameServer) => ("unavailable", "dns_unavailable"),
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
    pace: Mutex<Pace>,
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
        let (queue, store) = reach;
        Desk { house, verifier, intake, queue, store, replies, lifetime, pace: Mutex::new(pace) }
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

    /// A mail that is too long to be read, and its header where that may show that it is for somebody else.
    pub fn too_large(&self, header: Option<&[u8]>) -> Outcome {
        let ours = header.is_none_or(|header| is_for_us(header, &self.house));
        let outcome = if ours { Outcome::Rejected(TOO_LARGE) } else { Outcome::NotOurs };
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
        let writer = Writer::of(mail);
        // What nobody can vouch for pays before the name server is asked; what somebody may, when it is known whether they do.
        let plain = self.verifier.asks() && !mail.may_be_vouched();
        if plain && !self.pace().charge(&writer, false, Instant::now()) {
            return self.refuse_silently(mail, TOO_MANY).await;
        }
        let trust = self.judge(raw, mail, envelope, &writer).await;
        let vouched = trust.vouched.is_ok();
        if !plain && !self.pace().charge(&writer, vouched, Instant::now()) {
            return self.refuse_silently(mail, TOO_MANY).await;
        }
        let settled = self.settle(mail, &trust, received).await;
        let outcome = settled.unwrap_or_else(|error| {
            tracing::warn!("nothing can be decided now, the mail is taken again: {error}");
            Outcome::Unavailable(Away::Ours)
        });
        if matches!(outcome, Outcome::Unavailable(_)) {
            self.pace().refund(&writer, vouched);
        }
        outcome
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who sent it; a name server that was slow lately is not asked.
    async fn judge(&self, raw: &[u8], mail: &Mail<'_>, envelope: Option<&Envelope>, writer: &Writer) -> Trust {
        let kept = Envelope::of_kept(&mail.fields);
        let begun = Instant::now();
        if self.pace().is_slow(writer, begun) {
            return self.verifier.judge_unasked(mail);
        }
        let trust = self.verifier.judge(raw, mail, envelope.unwrap_or(&kept)).await;
        if begun.elapsed() >= SLOW {
            self.pace().was_slow(writer, Instant::now());
        }
        trust
    }

    /// What becomes of a mail that was judged.
    async fn settle(&self, mail: &Mail<'_>, trust: &Trust, received: DateTime<Utc>) -> Result<Outcome, StoreError> {
        let form = match &mail.form {
            Ok(form) => form,
            Err(no_form) => return Ok(self.refuse(mail, trust, no_form.code(), why_no_form(*no_form)).await),
        };
        if self.has_to_wait(mail, form, trust, received).await? {
            return Ok(Outcome::Unavailable(Away::NameServer));
        }
        if let (Form::Digits(_), Err(doubt)) = (form, &trust.vouched) {
            return Ok(self.refuse(mail, trust, doubt.code(), why_doubted(*doubt)).await);
        }
        let mut wish = wish_of(SOURCE, mail, form, trust);
        wish.received = Some(if trust.vouched.is_ok() { not_stale(mail, received) } else { received });
        if trust.answerable && self.replies {
            wish.reply = serde_json::to_string(&Note::of(mail, self.language(mail).await)).ok();
        }
        Ok(match self.intake.submit(wish).await {
            Verdict::Accepted { job } => Outcome::Accepted(job),
            Verdict::Rejected { reason, .. } | Verdict::Limited { reason, .. } => {
                self.answer_refusal(mail, trust, reason.code(), why_refused(reason)).await
            }
            Verdict::Unavailable { .. } => Outcome::Unavailable(Away::Ours),
        })
    }

    /// Whether a young mail has to be taken again because a name server is away, and without it nobody knows who pays.
    async fn has_to_wait(
        &self,
        mail: &Mail<'_>,
        form: &Form,
        trust: &Trust,
        received: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let came = mail.fields.arrived().map_or(received, |arrived| arrived.min(received));
        if trust.vouched != Err(Doubt::Unknown) || Utc::now() - came >= self.lifetime {
            return Ok(false);
        }
        Ok(match form {
            Form::Digits(_) => true,
            Form::Secret(form) => {
                let account = self.store.view_by_any_case(&form.user).await?;
                account.is_some_and(|account| account.mail_must_be_vouched)
            }
        })
    }

    /// Counts a refusal, keeps it for the owner of the account that was meant, and tells the sender if that harms nobody.
    async fn refuse(&self, mail: &Mail<'_>, trust: &Trust, code: &'static str, why: Why) -> Outcome {
        self.intake.refused(SOURCE, &mail.from, self.meant(mail).await.as_deref(), code).await;
        self.answer_refusal(mail, trust, code, why).await
    }

    async fn refuse_silently(&self, mail: &Mail<'_>, code: &'static str) -> Outcome {
        self.intake.refused(SOURCE, &mail.from, self.meant(mail).await.as_deref(), code).await;
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
        let writer = Writer::of(mail);
        if !self.pace().may_tell(&writer, Instant::now()) {
            return Outcome::Rejected(code);
        }
        let job = JobId::of_message(SOURCE, &mail.identity(), &mail.from);
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
                self.pace().untold(&writer);
                Outcome::Unavailable(Away::Ours)
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
    let (payer, ask) = match form {
        Form::Digits(form) => {
            let ask = form.b.as_ref().map_or_else(Ask::call_me, Ask::call_to);
            (Payer::mail(&form.suffix, &mail.from), ask)
        }
        Form::Secret(form) => {
            (Payer::mail_form(&form.user, &form.secret, trust.vouched.is_ok()), Ask::call(&form.a, &form.b))
        }
    };
    Wish {
        source: source.to_owned(),
        message_id: mail.identity(),
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
    let written = mail.written().filter(|date| *date < received - TimeDelta::days(1));
    written.unwrap_or(received)
}
