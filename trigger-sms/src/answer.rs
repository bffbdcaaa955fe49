//! Answers senders: takes replies off the queue and sends each at most once.
//!
//! A reply is written down as being sent before it leaves, and as sent after the provider took it. One that is found half-way
//! after a crash is sent again only where the receiver drops the second; else it is marked unknown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringback_common::answer::{Channel, Language, Speaker};
use ringback_common::event::{Envelope, RequestEvent};
use ringback_common::notice::{NOTICE_TYPE, Notice};
use ringback_common::number::{Country, Number};
use ringback_common::queue::{Consumer, Delivery, Queue, Source};
use ringback_common::service::Shutdown;
use ringback_common::store::{Begun, Store, StoreError};
use tokio::task::JoinSet;

use crate::desk::SOURCE;
use crate::replies::{ADMITTED_TYPE, FINISHED_TYPE, Note, REFUSAL_TYPE, Refused, Via};
use crate::send::{Channels, Reply, Sent};

/// How many replies are in hand at a time; a killed replica leaves at most so many unknown.
pub const PREFETCH: u16 = 16;
/// How long a reply is tried while the provider takes nothing. Below RabbitMQ's 30 minutes for a delivery in hand.
const PERSISTENCE: Duration = Duration::from_secs(600);
/// The first pause between two tries; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Answers senders.
pub struct Answerer {
    store: Store,
    channels: Arc<Channels>,
    announce: bool,
    notices: Option<Notices>,
    shutdown: Shutdown,
}

/// The way of texts that answer none.
#[derive(Clone)]
pub struct Notices {
    /// The source.
    pub via: Via,
    /// Whom they come from.
    pub from: String,
}

/// What a delivery asks for.
enum Wanted {
    /// News of a job, to be put into the account's words.
    News { event: Box<RequestEvent>, note: Note },
    /// Words as they are.
    Reply(Box<Reply>),
    /// Nobody to answer.
    Nothing,
    /// Not understood.
    Broken(String),
}

/// What becomes of a delivery.
enum End {
    Done,
    /// Interrupted before anything left: another replica, or the next start, may do it.
    Later,
}

impl Answerer {
    /// Sends through these channels; with `announce`, also that a call begins.
    pub fn new(store: Store, channels: Arc<Channels>, announce: bool, shutdown: Shutdown) -> Answerer {
        Answerer { store, channels, announce, notices: None, shutdown }
    }

    /// Sends also texts that answer none.
    pub fn with_notices(self, notices: Option<Notices>) -> Answerer {
        Answerer { notices, ..self }
    }

    /// Answers until shutdown, then ends what is in hand.
    pub async fn run(self: Arc<Self>, queue: &Queue) {
        let mut replies: Consumer = queue.consume(&Source::Replies { source: SOURCE.to_owned() }, PREFETCH).await;
        let mut in_hand = JoinSet::new();
        loop {
            tokio::select! {
                () = self.shutdown.wait() => break,
                Some(_) = in_hand.join_next(), if !in_hand.is_empty() => {}
                delivery = replies.next() => {
                    in_hand.spawn(self.clone().settle(delivery));
                }
            }
        }
        replies.pause();
        while in_hand.join_next().await.is_some() {}
    }

    async fn settle(self: Arc<Self>, delivery: Delivery) {
        match self.wanted(&delivery) {
            Wanted::News { event, note } => match self.said(*event, note).await {
                Some(reply) => self.settle_reply(delivery, &reply).await,
                None => delivery.requeue().await,
            },
            Wanted::Nothing => delivery.ack().await,
            Wanted::Broken(why) => {
                tracing::error!(message = delivery.id, "a reply is not understood and goes to the dead letters: {why}");
                delivery.reject().await;
            }
            Wanted::Reply(reply) => self.settle_reply(delivery, &reply).await,
        }
    }

    fn wanted(&self, delivery: &Delivery) -> Wanted {
        match &self.notices {
            Some(notices) if delivery.kind == NOTICE_TYPE => {
                notice(&delivery.body, notices).unwrap_or_else(|error| Wanted::Broken(error.to_string()))
            }
            _ => wanted(&delivery.kind, &delivery.body, self.announce),
        }
    }

    async fn settle_reply(&self, delivery: Delivery, reply: &Reply) {
        match self.answer(reply).await {
            End::Done => delivery.ack().await,
            End::Later => delivery.requeue().await,
        }
    }

    /// News in the language of the account, else of the sender's country; `None` when the shutdown comes first.
    async fn said(&self, event: RequestEvent, note: Note) -> Option<Reply> {
        let account = self.patiently(|| self.store.view_by_name(&event.account)).await?;
        let country = Number::e164(&note.to).ok().and_then(|number| Country::of(&number));
        let language = Language::of(account.and_then(|account| account.language).as_deref(), None, country);
        let speaker = Speaker::new(language, Channel::Sms);
        let (kind, text) = match event.result {
            Some(_) => ("final", speaker.finished(&event)),
            None => ("admitted", speaker.calling(&event)),
        };
        Some(Reply { job: event.job, kind, note, text })
    }

    async fn answer(&self, reply: &Reply) -> End {
        let deduplicates = self.channels.deduplicates(&reply.note.via);
        match self.patiently(|| self.store.reply_begin(&reply.job, reply.kind)).await {
            None => return End::Later,
            Some(Begun::Done) => return End::Done,
            Some(Begun::Again) if !deduplicates => {
                tracing::warn!(job = %reply.job, kind = reply.kind, "a reply was cut off by a crash; it is not sent again");
                return self.mark(reply, false).await;
            }
            Some(Begun::Fresh | Begun::Again) => {}
        }
        let outcome = self.send(reply, deduplicates).await;
        count(reply, &outcome);
        match outcome {
            Sent::Yes => self.mark(reply, true).await,
            Sent::NotYet(why) if self.shutdown.begun() => {
                tracing::info!(job = %reply.job, "a reply waits for the next start: {why}");
                self.give_back(reply).await
            }
            Sent::NotYet(why) | Sent::Never(why) | Sent::Unknown(why) => {
                tracing::error!(job = %reply.job, via = reply.note.via.name(), "a reply may not have reached its sender: {why}");
                self.mark(reply, false).await
            }
        }
    }

    /// Tries until the provider takes it, says no, or leaves it open; gives up when it takes nothing for long.
    async fn send(&self, reply: &Reply, deduplicates: bool) -> Sent {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match self.channels.send(reply).await {
                Sent::NotYet(why) => why,
                Sent::Unknown(why) if deduplicates => why,
                ended => return ended,
            };
            if since.elapsed() > PERSISTENCE || !self.pause(pause).await {
                return Sent::NotYet(why);
            }
            tracing::warn!(job = %reply.job, via = reply.note.via.name(), "a reply is tried again: {why}");
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn mark(&self, reply: &Reply, sent: bool) -> End {
        let marked = if sent {
            self.patiently(|| self.store.reply_sent(&reply.job, reply.kind)).await
        } else {
            self.patiently(|| self.store.reply_unknown(&reply.job, reply.kind)).await
        };
        if marked.is_some() { End::Done } else { End::Later }
    }

    /// Nothing was taken: the reply is as if it had never been begun.
    async fn give_back(&self, reply: &Reply) -> End {
        if let Err(error) = self.store.reply_not_sent(&reply.job, reply.kind).await {
            tracing::warn!(job = %reply.job, "a reply that was not sent cannot be given back: {error}");
        }
        End::Later
    }

    /// Asks the store until it answers; `None` when the shutdown comes first.
    async fn patiently<T, Asking>(&self, ask: impl Fn() -> Asking) -> Option<T>
    where
        Asking: Future<Output = Result<T, StoreError>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match ask().await {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::warn!("replies wait for the store: {error}"),
            }
            if !self.pause(pause).await {
                return None;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// False when the shutdown cuts it short.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.shutdown.wait() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

fn count(reply: &Reply, outcome: &Sent) {
    let outcome = match outcome {
        Sent::Yes => "sent",
        Sent::NotYet(_) => "not_taken",
        Sent::Never(_) => "refused",
        Sent::Unknown(_) => "unknown",
    };
    metrics::counter!("ringback_sms_replies_total", "via" => reply.note.via.name().to_owned(), "outcome" => outcome)
        .increment(1);
}

fn wanted(kind: &str, body: &[u8], announce: bool) -> Wanted {
    let wanted = match kind {
        FINISHED_TYPE => news(body),
        ADMITTED_TYPE if announce => news(body),
        REFUSAL_TYPE => refused(body),
        _ => Ok(Wanted::Nothing),
    };
    wanted.unwrap_or_else(|error| Wanted::Broken(error.to_string()))
}

fn news(body: &[u8]) -> Result<Wanted, serde_json::Error> {
    let event = serde_json::from_slice::<Envelope<RequestEvent>>(body)?.data;
    let Some(note) = &event.reply else { return Ok(Wanted::Nothing) };
    let note: Note = serde_json::from_str(note)?;
    Ok(Wanted::News { event: Box::new(event), note })
}

fn refused(body: &[u8]) -> Result<Wanted, serde_json::Error> {
    let envelope: Envelope<Refused> = serde_json::from_slice(body)?;
    let Refused { job, note, text, answer } = envelope.data;
    let kind = if answer { "answer" } else { "refused" };
    Ok(Wanted::Reply(Box::new(Reply { job, kind, note, text })))
}

fn notice(body: &[u8], notices: &Notices) -> Result<Wanted, serde_json::Error> {
    let Notice { job, to, text } = serde_json::from_slice::<Envelope<Notice>>(body)?.data;
    let note = Note { via: notices.via.clone(), to: to.as_str().to_owned(), from: notices.from.clone() };
    Ok(Wanted::Reply(Box::new(Reply { job, kind: "notice", note, text })))
}
