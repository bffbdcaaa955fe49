//! What travels between the doors and the desk: texts, the messages that carry them, and what became of them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ringback_common::job::JobId;
use serde_json::Value;

use crate::coding::{CodingError, Piece, Place, Raw, piece};
use crate::replies::Via;

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
    /// A command was carried out: `help`, `registered`, `cancelled`, `stopped`, `started`.
    Done(&'static str),
    /// Nobody is answered, and why.
    Ignored(&'static str),
    /// Too many requests at this door; nothing was read of it.
    Limited(&'static str, Duration),
    /// Not now.
    Unavailable(Duration),
}

/// A message for us, as a message centre hands it over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// A receipt or another notice of the network, not a text.
    pub notice: bool,
    /// The sender, with a plus if the message centre says that it is international.
    pub from: String,
    /// Our number.
    pub to: String,
    /// What it carries: a header if it says so, then its characters.
    pub user_data: Vec<u8>,
    /// It begins with a header.
    pub has_header: bool,
    /// Which characters.
    pub data_coding: u8,
    /// Where it belongs in a longer text, if that is told beside it.
    pub sar: Option<Place>,
    /// The message centre's own id.
    pub id: Option<String>,
    /// When it came to whoever hands it to us, if that is told.
    pub received: Option<DateTime<Utc>>,
}

impl Message {
    /// What it says, and where that belongs if it is one part of several.
    ///
    /// # Errors
    /// Its header is broken.
    pub fn piece(&self) -> Result<(Piece, Option<Place>), CodingError> {
        let raw = Raw {
            user_data: &self.user_data,
            data_coding: self.data_coding,
            has_header: self.has_header,
            packed: false,
        };
        let (piece, place) = piece(raw)?;
        Ok((piece, self.sar.clone().or(place)))
    }
}
