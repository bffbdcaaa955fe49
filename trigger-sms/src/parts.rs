//! Long texts come in parts, in any order and over any connection, to any of our processes. Each part is kept in the store, sealed,
//! and answered at once: a message centre with a window of one would never send the second part otherwise. When the last one is
//! there, the text is taken; a part that would complete a text that cannot be taken now is answered "not now", and comes again.
//! A text whose parts do not come in time is refused, and its sender is told.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use ringback_common::secret::{SiteKey, seal, unseal};
use ringback_common::service::Shutdown;
use ringback_common::store::{LongText, Part, PartPut, Store};
use sha2::{Digest, Sha256};

use super::pdu::Message;
use crate::coding::{Piece, Place, Raw, Reference, piece, text_of};
use crate::desk::{Desk, Outcome, Text};
use crate::replies::Via;

/// A text of more parts is longer than any text that we understand.
const MOST_PARTS: u8 = 16;
/// How long repeats of a finished text's parts are known.
const REMEMBERED: TimeDelta = TimeDelta::minutes(10);
/// How often it is looked for texts whose time is over.
const BEAT: Duration = Duration::from_secs(1);

/// What became of a part.
pub enum Held {
    /// It is kept; others are missing.
    Waits,
    /// Its text has been dealt with before.
    Known,
    /// The text is whole, and this became of it.
    Whole(Outcome),
    /// It cannot be kept now.
    NotNow,
}

/// The parts of one source's texts.
#[derive(Clone)]
pub struct Parts {
    store: Store,
    site_key: SiteKey,
    desk: Arc<Desk>,
    via: Via,
    within: TimeDelta,
}

impl Parts {
    /// Parts that have so long to come together.
    pub fn new(store: Store, site_key: SiteKey, desk: Arc<Desk>, via: Via, within: Duration) -> Parts {
        let within = TimeDelta::from_std(within).unwrap_or(TimeDelta::minutes(2));
        Parts { store, site_key, desk, via, within }
    }

    /// Keeps one part; takes the text if it was the last one.
    pub async fn take(&self, message: &Message, place: &Place) -> Held {
        let of = LongText {
            source: self.via.name().to_owned(),
            sender: message.from.clone(),
            recipient: message.to.clone(),
            reference: reference(&place.reference),
            total: place.total,
        };
        if place.total > MOST_PARTS {
            let outcome = self.desk.too_long(self.text(&of, String::new())).await;
            return Held::Whole(outcome);
        }
        let Ok(sealed) = seal(&self.site_key, &message.user_data) else { return Held::NotNow };
        let mark = hex::encode(Sha256::digest(&message.user_data));
        let part = Part {
            of,
            number: place.number,
            data_coding: message.data_coding,
            has_header: message.has_header,
            sealed,
            mark,
            created: Utc::now(),
        };
        match self.store.part_put(&part).await {
            Ok(PartPut::Here { parts, lost }) => {
                if lost {
                    let id = format!("{}-before", id(&part.of, &part));
                    self.desk.part_missing(self.text(&part.of, id)).await;
                }
                if parts.len() < usize::from(place.total) {
                    return Held::Waits;
                }
                self.whole(&part.of, &parts).await.map_or(Held::NotNow, Held::Whole)
            }
            Ok(PartPut::Known | PartPut::TooMany) => Held::Known,
            Err(error) => {
                tracing::warn!(via = self.via.name(), "a part cannot be kept, it will come again: {error}");
                Held::NotNow
            }
        }
    }

    /// Refuses texts whose time is over, until the shutdown.
    pub async fn watch(&self, shutdown: &Shutdown) {
        let source = self.via.name().to_owned();
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(BEAT) => {}
            }
            let late = self.store.parts_overdue(&source, Utc::now() - self.within).await.unwrap_or_default();
            for of in late {
                self.give_up(&of).await;
            }
            let _ = self.store.parts_forget(&source, Utc::now() - self.within - REMEMBERED).await;
        }
    }

    /// A text that is whole after all, because a crash came between, is taken; another one is refused.
    async fn give_up(&self, of: &LongText) {
        let Ok(parts) = self.store.parts_of(of).await else { return };
        if parts.len() == usize::from(of.total) {
            self.whole(of, &parts).await;
            return;
        }
        let Some(first) = parts.first() else { return };
        let id = id(of, first);
        if !matches!(self.desk.part_missing(self.text(of, id)).await, Outcome::Unavailable(_)) {
            self.done(of).await;
        }
    }

    /// Takes a whole text. `None`: not now.
    async fn whole(&self, of: &LongText, parts: &[Part]) -> Option<Outcome> {
        let pieces: Option<Vec<Piece>> = parts.iter().map(|part| self.read(part)).collect();
        let (Some(first), Some(Ok(body))) = (parts.iter().min_by_key(|part| part.created), pieces.map(|p| text_of(&p)))
        else {
            tracing::info!(via = self.via.name(), "a long text that nobody can read");
            self.done(of).await;
            return Some(Outcome::Ignored("unreadable"));
        };
        let outcome = self.desk.take(Text { body, ..self.text(of, id(of, first)) }).await;
        if !matches!(outcome, Outcome::Unavailable(_) | Outcome::Limited(..)) {
            self.done(of).await;
        }
        Some(outcome)
    }

    fn read(&self, part: &Part) -> Option<Piece> {
        let user_data = unseal(&self.site_key, &part.sealed).ok()?;
        let raw =
            Raw { user_data: &user_data, data_coding: part.data_coding, has_header: part.has_header, packed: false };
        piece(raw).ok().map(|(piece, _)| piece)
    }

    /// If this fails, the text is dealt with again, as the same job.
    async fn done(&self, of: &LongText) {
        if let Err(error) = self.store.parts_done(of).await {
            tracing::warn!(via = self.via.name(), "parts of a finished text are still kept: {error}");
        }
    }

    fn text(&self, of: &LongText, id: String) -> Text {
        Text {
            via: self.via.clone(),
            id,
            from: of.sender.clone(),
            to: of.recipient.clone(),
            body: String::new(),
            received: None,
            metadata: Default::default(),
        }
    }
}

/// The same for all parts of this text, and for no later text with the same reference.
fn id(of: &LongText, first: &Part) -> String {
    format!("parts-{}-{}-{}", of.reference, of.total, first.created.timestamp_millis())
}

fn reference(reference: &Reference) -> String {
    match reference {
        Reference::Byte(number) => format!("b{number}"),
        Reference::Word(number) => format!("w{number}"),
        Reference::Sar(number) => format!("s{number}"),
        Reference::Named(name) => format!("n{name}"),
    }
}
