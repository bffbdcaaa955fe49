//! The desk: takes a text that came through one of the doors and says what becomes of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use ringback_common::event::Envelope;
use ringback_common::intake::{Intake, RETRY_AFTER, Verdict};
use ringback_common::job::JobId;
use ringback_common::number::Number;
use ringback_common::queue::{Destination, Message, Queue};
use serde_json::Value;

use crate::explain::wish_of;
use crate::gate::Buckets;
use crate::parse::{Callback, Ignored, Reading, parse, sender};
use crate::replies::{Note, REFUSAL_TYPE, Refused, Via, refusal_text};
use crate::send::Channels;

/// The name of this trigger: `source` of its jobs, and where its replies go.
pub const SOURCE: &str = "sms";

/// A text as a door hands it over.
pub struct Text {
    /// The source.
    pub via: Via,
    /// The provider's id of the message.
    pub id: String,
    /// The sender, as the provider writes it.
    pub from: String,
    /// Our number, as the provider writes it.
    pub to: String,
    /// What it says.
    pub body: String,
    /// When the provider received it, if it says so.
    pub received: Option<DateTime<Utc>>,
    /// The provider's own data.
    pub metadata: BTreeMap<String, Value>,
}

/// What the provider is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is a job, or was before.
    Accepted(JobId),
    /// There is none, and why.
    Rejected(&'static str),
    /// Nobody is answered, and why.
    Ignored(&'static str),
    /// Too much lately.
    Limited(&'static str, Duration),
    /// Not now.
    Unavailable(Duration),
}

/// Takes texts.
pub struct Desk {
    intake: Intake,
    queue: Queue,
    channels: Arc<Channels>,
    told: Mutex<Buckets<String>>,
}

impl Desk {
    /// A desk before this intake; the channels say which senders can be answered.
    pub fn new(intake: Intake, queue: Queue, channels: Arc<Channels>) -> Desk {
        Desk { intake, queue, channels, told: Mutex::new(Buckets::new(3, 1.0 / 200.0)) }
    }

    /// Takes one text. The same text twice has the same outcome.
    pub async fn take(&self, text: Text) -> Outcome {
        let from = self.sender(&text.from);
        let shown = from.as_ref().map_or_else(|_| "no number".to_owned(), Number::to_string);
        let outcome = match from {
            Ok(from) => self.decide(&text, &from).await,
            Err(ignored) => Outcome::Ignored(ignored.code()),
        };
        let (label, reason) = match &outcome {
            Outcome::Accepted(_) => ("accepted", ""),
            Outcome::Rejected(reason) => ("reject", *reason),
            Outcome::Ignored(reason) => ("ignore", *reason),
            Outcome::Limited(reason, _) => ("limited", *reason),
            Outcome::Unavailable(_) => ("unavailable", ""),
        };
        metrics::counter!("ringback_sms_total", "via" => text.via.name().to_owned(), "outcome" => label).increment(1);
        tracing::info!(via = text.via.name(), outcome = label, reason, "text from {shown}");
        outcome
    }

    /// A text whose parts did not all come is refused, and its sender told.
    pub async fn part_missing(&self, text: Text) -> Outcome {
        self.turn_down(text, "part_missing", "a part of your text did not arrive").await
    }

    /// A text in more parts than any text may have.
    pub async fn too_long(&self, text: Text) -> Outcome {
        self.turn_down(text, "too_long", "the text is too long").await
    }

    async fn turn_down(&self, text: Text, code: &'static str, reason: &str) -> Outcome {
        let Ok(from) = self.sender(&text.from) else { return Outcome::Ignored(code) };
        let job = self.job(&text.via, &text.id, &from);
        self.refuse(&text, job, &from, code, reason).await
    }

    /// The number of a sender, as the source writes it.
    ///
    /// # Errors
    /// It is none.
    pub fn sender(&self, from: &str) -> Result<Number, Ignored> {
        sender(from, &self.intake.checks().dialling(""))
    }

    /// The job of a message of this source.
    pub fn job(&self, via: &Via, id: &str, from: &Number) -> JobId {
        JobId::of_message(SOURCE, &message_id(via, id), from.as_str())
    }

    async fn decide(&self, text: &Text, from: &Number) -> Outcome {
        let checks = self.intake.checks();
        match parse(&text.body, &checks.dialling(from.as_str())) {
            Reading::Ignored(ignored) => Outcome::Ignored(ignored.code()),
            Reading::Refused(refusal) => {
                let job = self.job(&text.via, &text.id, from);
                self.refuse(text, job, from, refusal.code(), &refusal.to_string()).await
            }
            Reading::Callback(callback) => self.ask(text, from, callback).await,
        }
    }

    async fn ask(&self, text: &Text, from: &Number, callback: Callback) -> Outcome {
        let mut wish = wish_of(SOURCE, &message_id(&text.via, &text.id), from, callback);
        wish.received = text.received;
        wish.metadata.clone_from(&text.metadata);
        wish.reply = self.note(text, from).and_then(|note| serde_json::to_string(&note).ok());
        match self.intake.submit(wish).await {
            Verdict::Accepted { job } => Outcome::Accepted(job),
            Verdict::Rejected { job, reason } => self.refuse(text, job, from, reason.code(), &reason.to_string()).await,
            Verdict::Limited { reason, retry_after, .. } => Outcome::Limited(reason.code(), retry_after),
            Verdict::Unavailable { retry_after } => Outcome::Unavailable(retry_after),
        }
    }

    /// Lets the sender know why not, through the queue of replies, so that a repeat is answered once. A sender who gets many
    /// refusals is told only a few of them.
    async fn refuse(&self, text: &Text, job: JobId, from: &Number, code: &'static str, reason: &str) -> Outcome {
        let Some(note) = self.note(text, from) else { return Outcome::Rejected(code) };
        let may_tell = self.told.lock().unwrap_or_else(PoisonError::into_inner).take(note.to.clone(), Instant::now());
        if may_tell.is_err() {
            return Outcome::Rejected(code);
        }
        let id = format!("{job}:refused");
        let subject = Some(job.0.clone());
        let refused = Refused { job, note, text: refusal_text(reason) };
        let envelope =
            Envelope::new(id.clone(), "/ringback/trigger/sms".to_owned(), REFUSAL_TYPE, Utc::now(), subject, refused);
        let body = serde_json::to_vec(&envelope).expect("a refusal is a plain struct");
        let message = Message { id, kind: REFUSAL_TYPE.to_owned(), body: body.into() };
        match self.queue.publish(&Destination::Replies { source: SOURCE.to_owned() }, &message).await {
            Ok(()) => Outcome::Rejected(code),
            Err(error) => {
                tracing::warn!("the reason of a refusal cannot be sent now, the source is asked to repeat: {error}");
                Outcome::Unavailable(RETRY_AFTER)
            }
        }
    }

    /// How to answer this text, if its door has a way back and the sender can be answered.
    fn note(&self, text: &Text, from: &Number) -> Option<Note> {
        let reached = self.channels.answers(&text.via, from.is_extension());
        let short_enough = text.to.len() <= 64;
        (reached && short_enough).then(|| Note {
            via: text.via.clone(),
            to: from.as_str().to_owned(),
            from: text.to.clone(),
        })
    }
}

/// Two providers may number their messages alike.
fn message_id(via: &Via, id: &str) -> String {
    format!("{}:{id}", via.name())
}
