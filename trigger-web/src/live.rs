//! Who follows a callback: one reader of the event log keeps a picture of every recent callback and tells whoever looks.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use ringback_common::job::JobId;
use ringback_common::queue::{Queue, Source};
use ringback_common::service::Shutdown;
use ringback_common::store::{CdrFilter, Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::pages::Drawing;
use crate::picture::Picture;

/// Pictures kept at most; the oldest over ones go first.
const KEPT: usize = 1_000;
/// Pages that may follow at once.
const FOLLOWERS: usize = 100;
/// How often a follower asks the store as well, in case the log is late or away.
const ASK_STORE: Duration = Duration::from_secs(3);
/// Deliveries of the log in hand.
const PREFETCH: u16 = 64;

/// The pictures of recent callbacks. Clones are the same.
#[derive(Clone)]
pub struct Live {
    store: Store,
    account: String,
    pictures: Arc<Mutex<HashMap<String, Picture>>>,
    changed: broadcast::Sender<String>,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Live {
    /// Pictures of this account's callbacks.
    pub fn new(store: Store, account: String, shutdown: Shutdown) -> Live {
        let (changed, _) = broadcast::channel(256);
        let places = Arc::new(Semaphore::new(FOLLOWERS));
        Live { store, account, pictures: Arc::default(), changed, places, shutdown }
    }

    /// Reads the event log until it is dropped.
    pub async fn listen(&self, queue: &Queue) {
        let mut log = queue.consume(&Source::Tail, PREFETCH).await;
        loop {
            let message = log.next().await;
            if let Some((job, envelope)) = Picture::job_of(&message)
                && self.with(&job, |picture| picture.hear(&envelope)) == Some(true)
            {
                let _ = self.changed.send(job);
            }
            message.ack().await;
        }
    }

    /// Remembers a callback that was just asked for here.
    pub fn expect(&self, picture: Picture) {
        let mut pictures = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        if pictures.len() >= KEPT {
            pictures.retain(|_, kept| !kept.is_over());
        }
        if pictures.len() < KEPT {
            pictures.entry(picture.job.clone()).or_insert(picture);
        }
    }

    /// The picture of a callback of this account, from the store where it knows more.
    pub async fn picture(&self, job: &str) -> Result<Option<Picture>, StoreError> {
        let kept = self.with(job, |picture| picture.clone());
        if kept.as_ref().is_some_and(Picture::is_over) {
            return Ok(kept);
        }
        let id = JobId(job.to_owned());
        let row = match self.store.find(&id).await? {
            Some(row) if row.job.account == self.account => row,
            _ => return Ok(kept),
        };
        if kept.is_some() && !row.finished {
            return Ok(kept);
        }
        let cdrs = self.store.cdrs(&CdrFilter { job: Some(id), ..CdrFilter::default() }).await?;
        let stored = Picture::of_row(&row, &cdrs);
        self.expect(stored.clone());
        self.with(job, |picture| *picture = stored.clone());
        Ok(Some(stored))
    }

    /// A stream of pictures of one callback until it is over; `None` when too many follow already.
    pub fn follow(&self, first: Picture) -> Option<Response> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let (sender, stream) = mpsc::channel(8);
        let follower = Follower { live: self.clone(), changed: self.changed.subscribe(), sender, _place: place };
        tokio::spawn(follower.run(first));
        Some(Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::default()).into_response())
    }

    fn with<T>(&self, job: &str, act: impl FnOnce(&mut Picture) -> T) -> Option<T> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner).get_mut(job).map(act)
    }
}

/// One page that follows one callback.
struct Follower {
    live: Live,
    changed: broadcast::Receiver<String>,
    sender: mpsc::Sender<Result<Event, Infallible>>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn run(mut self, first: Picture) {
        let job = first.job.clone();
        let mut shown: Option<Picture> = None;
        let mut next = Some(first);
        loop {
            if let Some(picture) = next.take()
                && shown.as_ref() != Some(&picture)
            {
                let Ok(drawing) = (Drawing { picture: &picture }).render() else { return };
                if self.sender.send(Ok(Event::default().event("picture").data(drawing))).await.is_err() {
                    return;
                }
                if picture.is_over() {
                    return;
                }
                shown = Some(picture);
            }
            tokio::select! {
                told = self.changed.recv() => match told {
                    Ok(told) if told == job => next = self.live.with(&job, |picture| picture.clone()),
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => next = self.live.with(&job, |picture| picture.clone()),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = tokio::time::sleep(ASK_STORE) => next = self.live.picture(&job).await.ok().flatten(),
                () = self.sender.closed() => return,
                () = self.live.shutdown.wait() => return,
            }
        }
    }
}
