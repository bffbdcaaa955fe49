//! What becomes of a text that a message centre hands us, and how it is answered: yes once there is a job or it is clear that there
//! will be none, "not now" while we cannot say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{TimeDelta, Utc};
use ringback_common::config::{SmppAlphabet, SmppConfig};
use ringback_common::service::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::repeats::{Mark, Repeats, id, mark};
use super::status;
use crate::coding::text_of;
use crate::parts::{Parts, Reception};
use crate::replies::Via;
use crate::text::{Message, Outcome, Text};

/// How long a shutdown waits for texts in hand.
const LAST_TEXTS: Duration = Duration::from_secs(10);

/// Texts of one bind.
pub struct Inbox {
    name: String,
    via: Via,
    reception: Reception,
    parts: Parts,
    repeats: Mutex<Repeats>,
    default_alphabet: SmppAlphabet,
    window: u32,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// What a text is answered.
pub struct Taken {
    /// The status of the answer.
    pub status: u32,
    mark: Option<Mark>,
}

impl Inbox {
    /// The inbox of a bind.
    pub fn new(name: &str, config: &SmppConfig, reception: &Reception, parts: Parts, shutdown: Shutdown) -> Inbox {
        Inbox {
            name: name.to_owned(),
            via: Via::smpp(name),
            reception: reception.clone(),
            parts,
            repeats: Mutex::default(),
            default_alphabet: config.alphabet,
            window: config.window.into(),
            places: Arc::new(Semaphore::new(config.window.into())),
            shutdown,
        }
    }

    /// The name of the bind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A place for one more text, if there is one.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Waits until no text is in hand, for a while.
    pub async fn empty(&self) {
        let all = self.places.acquire_many(self.window);
        let _ = tokio::time::timeout(LAST_TEXTS, all).await;
    }

    /// Takes one text.
    pub async fn take(&self, message: Message) -> Taken {
        let message = Message { data_coding: self.alphabet(message.data_coding), ..message };
        let taken = match message.notice {
            true => Taken { status: status::OK, mark: None },
            false if self.shutdown.begun() => Taken { status: status::TEMPORARY, mark: None },
            false => self.take_text(message).await,
        };
        self.count(taken.status);
        taken
    }

    /// The answer has been written.
    pub fn answered(&self, taken: &Taken) {
        if let (status::OK, Some(mark)) = (taken.status, &taken.mark) {
            self.repeats().answered(mark);
        }
    }

    /// One more text was answered so.
    pub fn count(&self, status: u32) {
        let status = match status {
            status::OK => "ok",
            status::THROTTLED => "throttled",
            _ => "later",
        };
        metrics::counter!("ringback_smpp_texts_total", "bind" => self.name.clone(), "answer" => status).increment(1);
    }

    /// `data_coding` 0 means what the message centre takes it for.
    fn alphabet(&self, data_coding: u8) -> u8 {
        match (data_coding, self.default_alphabet) {
            (0, SmppAlphabet::Latin1) => 3,
            (other, _) => other,
        }
    }

    async fn take_text(&self, message: Message) -> Taken {
        let read = message.piece();
        if let Ok((_, Some(place))) = &read
            && place.total > 1
        {
            return Taken { status: outcome_status(&self.parts.take(&message, place).await), mark: None };
        }
        let mark = mark(&self.reception.site_key, &self.name, &message);
        let (id, first) = self.known_as(&message, &mark).await;
        let text = self.text(&message, id, first);
        let outcome = match read.and_then(|(piece, _)| text_of(&[piece])) {
            Ok(body) => self.reception.desk.take(Text { body, ..text }).await,
            Err(_) => self.reception.desk.unreadable(text).await,
        };
        Taken { status: outcome_status(&outcome), mark: Some(mark) }
    }

    /// A text that comes again is as old as when it came first.
    fn text(&self, message: &Message, id: String, first: Instant) -> Text {
        Text {
            via: self.via.clone(),
            id,
            from: message.from.clone(),
            to: message.to.clone(),
            body: String::new(),
            received: TimeDelta::from_std(first.elapsed()).ok().map(|age| Utc::now() - age),
            metadata: Default::default(),
        }
    }

    /// The id of this text and when it came first: known for a minute, or until it is answered. The id is the message centre's;
    /// without one it is made of what the text says.
    async fn known_as(&self, message: &Message, mark: &Mark) -> (String, Instant) {
        let now = Instant::now();
        let known = self.repeats().known(mark, now);
        let (id, first) = match (known, &message.id) {
            (Some(known), _) => known,
            (None, Some(id)) => (id.clone(), now),
            (None, None) => (self.id_before_a_restart(message, mark).await, now),
        };
        self.repeats().remember(*mark, id.clone(), now);
        (id, first)
    }

    /// What this text was called if it came a moment ago, to this process before it started anew or to another one.
    async fn id_before_a_restart(&self, message: &Message, mark: &Mark) -> String {
        let Reception { desk, store, .. } = &self.reception;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let before = id(mark, now.saturating_sub(60));
        let job = desk.sender(&message.from).ok().map(|from| desk.job(&self.via, &before, &from));
        let row = match job {
            Some(job) => store.find(&job).await.ok().flatten(),
            None => None,
        };
        match row {
            Some(row) if (Utc::now() - row.creation_time).num_seconds() < 60 => before,
            _ => id(mark, now),
        }
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refused text is answered yes: it is ours, and its sender hears of it by a reply.
fn outcome_status(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Accepted(_) | Outcome::Rejected(_) | Outcome::Done(_) | Outcome::Ignored(_) => status::OK,
        Outcome::Limited(..) | Outcome::Unavailable(_) => status::TEMPORARY,
    }
}
