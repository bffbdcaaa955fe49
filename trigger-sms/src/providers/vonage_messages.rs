//! Vonage's Messages API: JSON, vouched for by a token that holds the hash of the body.
//! <https://developer.vonage.com/en/messages/concepts/signed-webhooks>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jsonwebtoken::Algorithm;
use ringback_common::config::SourceConfig;
use serde::Deserialize;
use serde_json::json;

use super::fields::{international, json as read_json, moment};
use super::outgoing::{at, basic, json as post_json};
use super::{Outgoing, Raw, Read, Refusal, Told, jwt};
use crate::send::Reply;

const WINDOW: i64 = 300;

#[derive(Deserialize)]
struct Posted {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    message_type: String,
    message_uuid: String,
    from: String,
    to: String,
    timestamp: Option<String>,
    text: Option<String>,
}

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, Refusal> {
    if config.signing_key.is_empty() {
        return Err(Refusal::NotSetUp("Vonage is not set up here: signing_key is needed"));
    }
    let token = raw.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let claims = jwt::read(token.trim(), config.signing_key.reveal(), &[Algorithm::HS256])
        .ok_or(Refusal::Unproven("the token of this request was not signed with signing_key"))?;
    if !jwt::is_hash_of(claims.payload_hash.as_deref(), raw.body) {
        return Err(Refusal::Unproven("the token's payload_hash is not that of the body"));
    }
    if !raw.is_recent(claims.iat, WINDOW) {
        return Err(Refusal::Unproven("the token is more than five minutes old, or the clocks differ"));
    }
    if config.account.is_some() && claims.api_key != config.account {
        return Err(Refusal::Unproven("the token is another account's"));
    }
    let posted: Posted = read_json(raw.body)?;
    let (true, "text", Some(body)) = (posted.channel == "sms", posted.message_type.as_str(), posted.text) else {
        return Ok(Read::Nothing("a message of another channel or kind is no SMS"));
    };
    Ok(Read::Texts(vec![Told {
        id: posted.message_uuid,
        from: international(&posted.from),
        to: international(&posted.to),
        body,
        received: posted.timestamp.as_deref().and_then(moment),
        ..Told::default()
    }]))
}

/// Sends a message. <https://developer.vonage.com/en/api/messages#SendMessage>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let url = at(config.api_base.as_deref(), "https://api.nexmo.com", &["v1", "messages"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from).trim_start_matches('+');
    let to = reply.note.to.trim_start_matches('+');
    let body = json!({ "channel": "sms", "message_type": "text", "to": to, "from": from, "text": reply.text });
    post_json(&url, &basic(config.account.as_deref()?, config.token.reveal()), &body)
}
