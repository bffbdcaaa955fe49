//! Sinch: JSON without a signature, behind user and password or a secret path.
//! <https://developers.sinch.com/docs/sms/api-reference/sms/webhooks/incomingsms>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::config::SourceConfig;
use serde_json::json;

use super::fields::{at_any, international, moment, need_at, object, text};
use super::outgoing::{Outgoing, at, json as post_json};
use super::raw::{Raw, Read, Told, TurnedAway, signed_in};
use crate::replies::Reply;

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    signed_in(config, raw)?;
    let posted = object(raw.body)?;
    let said = |place: &str| at_any(&posted, &[place]);
    let (words, with_media) = match need_at(&posted, &["/type"])?.as_str() {
        "mo_text" => (at_any(&posted, &["/body", "/body/message"]), false),
        "mo_media" => (at_any(&posted, &["/body/message", "/body"]), true),
        _ => return Ok(Read::Nothing("Sinch tells of something else than a text")),
    };
    text(words, with_media, |body| {
        Ok(Told {
            id: need_at(&posted, &["/id"])?,
            from: international(&need_at(&posted, &["/from"])?),
            to: said("/to").as_deref().map(international).unwrap_or_default(),
            body,
            received: said("/received_at").as_deref().and_then(moment),
            ..Told::default()
        })
    })
}

/// Sends a batch of one. <https://developers.sinch.com/docs/sms/api-reference/sms/batches/sendsms>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let path = ["xms", "v1", config.account.as_deref()?, "batches"];
    let url = at(config.api_base.as_deref(), "https://us.sms.api.sinch.com", &path)?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from).trim_start_matches('+');
    let to = reply.note.to.trim_start_matches('+');
    let body = json!({ "from": from, "to": [to], "body": reply.text });
    post_json(&url, &format!("Bearer {}", config.token.reveal()), &body)
}
