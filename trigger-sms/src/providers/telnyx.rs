//! Telnyx: JSON, signed with its Ed25519 key over timestamp and body.
//! <https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use ringback_common::config::SourceConfig;
use serde_json::json;

use super::fields::{at_any, is_any_at, moment, need_at, object, text};
use super::outgoing::{Outgoing, at, json as post_json};
use super::raw::{Raw, Read, Told, TurnedAway};
use crate::replies::Reply;

const WINDOW: i64 = 300;

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    let key = STANDARD.decode(config.signing_key.reveal().trim()).ok().filter(|key| key.len() == 32);
    let Some(key) = key else {
        return Err(TurnedAway::NotSetUp(
            "Telnyx is not set up here: signing_key is its public key, 32 bytes in base64",
        ));
    };
    let timestamp = raw.header("telnyx-timestamp");
    let signature = STANDARD.decode(raw.header("telnyx-signature-ed25519")).unwrap_or_default();
    let message = [timestamp.as_bytes(), b"|", raw.body].concat();
    if UnparsedPublicKey::new(&ED25519, key).verify(&message, &signature).is_err() {
        return Err(TurnedAway::Unproven(
            "the signature does not fit; is signing_key the public key of Mission Control?",
        ));
    }
    if !raw.is_recent(timestamp.parse().ok(), WINDOW) {
        return Err(TurnedAway::Unproven("the request is more than five minutes old, or the clocks differ"));
    }
    let posted = object(raw.body)?;
    if need_at(&posted, &["/data/event_type"])? != "message.received" {
        return Ok(Read::Nothing("Telnyx tells of something else than a text"));
    }
    let id = need_at(&posted, &["/data/payload/id"])?;
    let from = need_at(&posted, &["/data/payload/from/phone_number", "/data/payload/from"])?;
    let said = |places: &[&str]| at_any(&posted, places);
    text(said(&["/data/payload/text"]), is_any_at(&posted, "/data/payload/media"), |body| {
        Ok(Told {
            id,
            from,
            to: said(&["/data/payload/to/0/phone_number", "/data/payload/to"]).unwrap_or_default(),
            body,
            received: said(&["/data/payload/received_at"]).as_deref().and_then(moment),
            ..Told::default()
        })
    })
}

/// Sends a message. <https://developers.telnyx.com/api-reference/messages/send-a-message>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let url = at(config.api_base.as_deref(), "https://api.telnyx.com", &["v2", "messages"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from);
    let body = json!({ "from": from, "to": reply.note.to, "text": reply.text });
    post_json(&url, &format!("Bearer {}", config.token.reveal()), &body)
}
