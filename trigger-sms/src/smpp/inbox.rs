//! What becomes of a text that a message centre hands us, and how it is answered: yes once there is a job or it is clear that there
//! will be none, "not now" while we cannot say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringback_common::config::{SmppAlphabet, SmppConfig};
use ringback_common::service::Shutdown;
use ringback_common::store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::parts::{Held, Parts};
use super::pdu::Message;
use super::repeats::{Mark, Repeats, id, mark};
use super::status;
use crate::coding::text_of;
use crate::desk::{Desk, Outcome, Text};
use crate::replies::Via;

/// How long a shutdown waits for texts in hand.
const LAST_TEXTS: Duration = Duration::from_secs(10);

/// Texts of one bind.
pub struct Inbox {
    name: String,
    via: Via,
    desk: Arc<Desk>,
    store: Store,
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
    pub fn new(
        name: &str,
        config: &SmppConfig,
        desk: Arc<Desk>,
        store: Store,
        parts: Parts,
        shutdown: Shutdown,
    ) -> Inbox {
        Inbox {
            name: name.to_owned(),
            via: Via::smpp(name),
            desk,
            store,
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
        let (piece, place) = match message.piece() {
            Ok(read) => read,
            Err(error) => return self.unreadable(error.code()),
        };
        if let Some(place) = place.filter(|place| place.total > 1) {
            let held = self.parts.take(&message, &place).await;
            return Taken { status: held_status(&held), mark: None };
        }
        let text = match text_of(&[piece]) {
            Ok(text) => text,
            Err(error) => return self.unreadable(error.code()),
        };
        let mark = mark(&self.name, &message);
        let id = self.id_of(&message, &mark).await;
        let outcome = self.desk.take(self.text(&message, id, text)).await;
        Taken { status: outcome_status(&outcome), mark: message.id.is_none().then_some(mark) }
    }

    fn unreadable(&self, code: &'static str) -> Taken {
        tracing::info!(bind = self.name, reason = code, "a text that nobody can read");
        Taken { status: status::OK, mark: None }
    }

    fn text(&self, message: &Message, id: String, body: String) -> Text {
        Text {
            via: self.via.clone(),
            id,
            from: message.from.clone(),
            to: message.to.clone(),
            body,
            received: None,
            metadata: Default::default(),
        }
    }

    /// The message centre's id; without one the text is known by what it says, for a minute or until it is answered.
    async fn id_of(&self, message: &Message, mark: &Mark) -> String {
        if let Some(id) = &message.id {
            return id.clone();
        }
        let known = self.repeats().known(mark, Instant::now());
        let id = match known {
            Some(id) => id,
            None => self.id_before_a_restart(message, mark).await,
        };
        self.repeats().remember(*mark, id.clone(), Instant::now());
        id
    }

    /// What this text was called if it came a moment ago, to this process before it started anew or to another one.
    async fn id_before_a_restart(&self, message: &Message, mark: &Mark) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let before = id(mark, now.saturating_sub(60));
        let from = self.desk.sender(&message.from).ok();
        let job = from.map(|from| self.desk.job(&self.via, &before, &from));
        let row = match job {
            Some(job) => self.store.find(&job).await.ok().flatten(),
            None => None,
        };
        match row {
            Some(row) if (chrono::Utc::now() - row.creation_time).num_seconds() < 60 => before,
            _ => id(mark, now),
        }
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refused text is answered yes: it is ours, and its sender hears of it by a reply. A limit of one sender slows that sender's
/// texts alone, so it does not throttle the bind.
pub(super) fn outcome_status(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Accepted(_) | Outcome::Rejected(_) | Outcome::Done(_) | Outcome::Ignored(_) => status::OK,
        Outcome::Limited(..) | Outcome::Unavailable(_) => status::TEMPORARY,
    }
}

fn held_status(held: &Held) -> u32 {
    match held {
        Held::Waits | Held::Known => status::OK,
        Held::Whole(outcome) => outcome_status(outcome),
        Held::NotNow => status::TEMPORARY,
    }
}
