//! Long texts come in parts, in any order and over any connection, to any of our processes. Each part is kept in the store, sealed,
//! and answered at once: a message centre with a window of one would never send the second part otherwise. When the last one is
//! there, the text is taken; a part that would complete a text that cannot be taken now is answered "not now", and comes again.
//! A text whose parts do not come in time is refused, and its sender is told.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ringback_common::intake::RETRY_AFTER;
use ringback_common::secret::{SiteKey, mark, seal, unseal};
use ringback_common::service::Shutdown;
use ringback_common::store::{LongText, Part, PartPut, Store};

use crate::coding::{Piece, Place, Raw, piece, text_of};
use crate::desk::Desk;
use crate::join::{is_too_long, text_at};
use crate::replies::Via;
use crate::text::{Message, Outcome, Text};

/// How long the parts of a text have to come together, where nobody says otherwise.
pub const WITHIN: Duration = Duration::from_secs(120);
/// How long repeats of a finished text's parts are known.
const REMEMBERED: TimeDelta = TimeDelta::minutes(10);
/// How often it is looked for texts whose time is over.
const BEAT: Duration = Duration::from_secs(1);
/// What becomes of a part that cannot be kept, or whose text cannot be taken now.
const NOT_NOW: Outcome = Outcome::Unavailable(RETRY_AFTER);

/// Where texts are received: the desk, and where their parts wait for one another.
#[derive(Clone)]
pub struct Reception {
    /// Takes texts.
    pub desk: Arc<Desk>,
    /// Keeps parts.
    pub store: Store,
    /// Seals them.
    pub site_key: SiteKey,
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
    pub fn new(reception: &Reception, via: Via, within: Duration) -> Parts {
        let Reception { desk, store, site_key } = reception;
        let within = TimeDelta::from_std(within).unwrap_or(TimeDelta::minutes(2));
        Parts { store: store.clone(), site_key: site_key.clone(), desk: desk.clone(), via, within }
    }

    /// Keeps a part that comes as text, as if a message centre had sent it in UCS-2.
    pub async fn take_text(
        &self,
        from: &str,
        to: &str,
        text: &str,
        received: Option<DateTime<Utc>>,
        place: &Place,
    ) -> Outcome {
        let user_data = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let (from, to) = (from.to_owned(), to.to_owned());
        self.take(&Message { from, to, user_data, data_coding: 8, received, ..Message::default() }, place).await
    }

    /// Keeps one part; takes the text if it was the last one.
    pub async fn take(&self, message: &Message, place: &Place) -> Outcome {
        let too_long = is_too_long(place.total, message.user_data.len());
        let kept = if too_long { &[][..] } else { &message.user_data };
        let Ok(sealed) = seal(&self.site_key, kept) else { return NOT_NOW };
        let part = Part {
            of: text_at(self.via.name(), &message.from, &message.to, place),
            number: place.number,
            data_coding: message.data_coding,
            has_header: message.has_header,
            sealed,
            mark: hex::encode(mark(&self.site_key, &[&message.user_data])),
            created: Utc::now(),
        };
        let (parts, lost) = match self.store.part_put(&part).await {
            Ok(PartPut::Here { parts, lost }) => (parts, lost),
            Ok(PartPut::Known) => return Outcome::Ignored("part_again"),
            Ok(PartPut::TooMany) => return self.desk.too_many_parts(self.text(&part.of, surplus(&part))).await,
            Err(error) => {
                tracing::warn!(via = self.via.name(), "a part cannot be kept, it will come again: {error}");
                return NOT_NOW;
            }
        };
        if lost {
            let earlier = format!("{}-before", id(&part.of, &part));
            self.desk.part_missing(self.text(&part.of, earlier)).await;
        }
        if too_long {
            let first = first(&parts).unwrap_or(&part);
            let outcome = self.desk.too_long(self.text(&part.of, id(&part.of, first))).await;
            return self.done_unless_unavailable(&part.of, outcome).await;
        }
        if parts.len() < usize::from(place.total) {
            return Outcome::Ignored("part");
        }
        self.whole(&part.of, &parts, message.received).await
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
        let Some(first) = first(&parts) else { return };
        if parts.len() == usize::from(of.total) {
            self.whole(of, &parts, None).await;
        } else {
            let outcome = self.desk.part_missing(self.text(of, id(of, first))).await;
            self.done_unless_unavailable(of, outcome).await;
        }
    }

    /// Takes a whole text. It is as old as its oldest part.
    async fn whole(&self, of: &LongText, parts: &[Part], received: Option<DateTime<Utc>>) -> Outcome {
        let Some(first) = first(parts) else { return NOT_NOW };
        let received = Some(received.unwrap_or(first.created).min(first.created));
        let text = Text { received, ..self.text(of, id(of, first)) };
        let pieces: Option<Vec<Piece>> = parts.iter().map(|part| self.read(part)).collect();
        let outcome = match pieces.map(|pieces| text_of(&pieces)) {
            Some(Ok(body)) => self.desk.take(Text { body, ..text }).await,
            Some(Err(_)) | None => self.desk.unreadable(text).await,
        };
        self.done_unless_unavailable(of, outcome).await
    }

    fn read(&self, part: &Part) -> Option<Piece> {
        let user_data = unseal(&self.site_key, &part.sealed).ok()?;
        let raw =
            Raw { user_data: &user_data, data_coding: part.data_coding, has_header: part.has_header, packed: false };
        piece(raw).ok().map(|(piece, _)| piece)
    }

    /// If this fails, the text is dealt with again, as the same job.
    async fn done_unless_unavailable(&self, of: &LongText, outcome: Outcome) -> Outcome {
        if !matches!(outcome, Outcome::Unavailable(_))
            && let Err(error) = self.store.parts_done(of).await
        {
            tracing::warn!(via = self.via.name(), "parts of a finished text are still kept: {error}");
        }
        outcome
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

fn first(parts: &[Part]) -> Option<&Part> {
    parts.iter().min_by_key(|part| part.created)
}

/// The same for all parts of this text, and for no later text with the same reference.
fn id(of: &LongText, first: &Part) -> String {
    format!("parts-{}-{}-{}", of.reference, of.total, first.created.timestamp_millis())
}

/// The same for all parts of a text that are turned away at about the same time.
fn surplus(part: &Part) -> String {
    format!("surplus-{}-{}-{}", part.of.reference, part.of.total, part.created.timestamp() / 600)
}
