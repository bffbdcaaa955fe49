//! Telnyx: JSON, signed with its Ed25519 key over timestamp and body.
//! <https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use ringback_common::config::SourceConfig;
use serde::Deserialize;
use serde_json::json;

use super::fields::{json as read_json, moment};
use super::outgoing::{at, json as post_json};
use super::{Outgoing, Raw, Read, Refusal, Told};
use crate::send::Reply;

const WINDOW: i64 = 300;

#[derive(Deserialize)]
struct Posted {
    data: Event,
}

#[derive(Deserialize)]
struct Event {
    event_type: String,
    payload: serde_json::Value,
}

#[derive(Deserialize)]
struct Message {
    id: String,
    from: Party,
    to: Vec<Party>,
    text: Option<String>,
    received_at: Option<String>,
}

#[derive(Deserialize)]
struct Party {
    phone_number: String,
}

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, Refusal> {
    let key = STANDARD.decode(config.signing_key.reveal().trim()).ok().filter(|key| key.len() == 32);
    let Some(key) = key else {
        return Err(Refusal::NotSetUp("Telnyx is not set up here: signing_key is its public key, 32 bytes in base64"));
    };
    let timestamp = raw.header("telnyx-timestamp");
    let signature = STANDARD.decode(raw.header("telnyx-signature-ed25519")).unwrap_or_default();
    let message = [timestamp.as_bytes(), b"|", raw.body].concat();
    if UnparsedPublicKey::new(&ED25519, key).verify(&message, &signature).is_err() {
        return Err(Refusal::Unproven("the signature does not fit; is signing_key the public key of Mission Control?"));
    }
    if !raw.is_recent(timestamp.parse().ok(), WINDOW) {
        return Err(Refusal::Unproven("the request is more than five minutes old, or the clocks differ"));
    }
    let Event { event_type, payload } = read_json::<Posted>(raw.body)?.data;
    if event_type != "message.received" {
        return Ok(Read::Nothing("Telnyx tells of something else than a text"));
    }
    let message: Message = serde_json::from_value(payload)
        .map_err(|_| Refusal::malformed("data.payload has no id, from.phone_number and to[].phone_number"))?;
    let Some(body) = message.text else { return Ok(Read::Nothing("a message without text")) };
    Ok(Read::Texts(vec![Told {
        id: message.id,
        from: message.from.phone_number,
        to: message.to.into_iter().next().map(|party| party.phone_number).unwrap_or_default(),
        body,
        received: message.received_at.as_deref().and_then(moment),
        ..Told::default()
    }]))
}

/// Sends a message. <https://developers.telnyx.com/api-reference/messages/send-a-message>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let url = at(config.api_base.as_deref(), "https://api.telnyx.com", &["v2", "messages"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from);
    let body = json!({ "from": from, "to": reply.note.to, "text": reply.text });
    post_json(&url, &format!("Bearer {}", config.token.reveal()), &body)
}
