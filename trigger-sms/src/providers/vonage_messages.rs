//! Vonage's Messages API: JSON, vouched for by a token that holds the hash of the body.
//! <https://developer.vonage.com/en/messages/concepts/signed-webhooks>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jsonwebtoken::Algorithm;
use ringback_common::config::SourceConfig;
use serde_json::json;

use super::fields::{at_any, international, moment, need_at, object, text};
use super::jwt;
use super::outgoing::{Outgoing, at, basic, json as post_json};
use super::raw::{Raw, Read, Told, TurnedAway};
use crate::replies::Reply;

const WINDOW: i64 = 300;

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    if config.signing_key.is_empty() {
        return Err(TurnedAway::NotSetUp("Vonage is not set up here: signing_key is needed"));
    }
    let token = raw.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let claims = jwt::read(token.trim(), config.signing_key.reveal(), &[Algorithm::HS256])
        .ok_or(TurnedAway::Unproven("the token of this request was not signed with signing_key"))?;
    if !jwt::is_hash_of(claims.payload_hash.as_deref(), raw.body) {
        return Err(TurnedAway::Unproven("the token's payload_hash is not that of the body"));
    }
    if !raw.is_recent(claims.iat, WINDOW) {
        return Err(TurnedAway::Unproven("the token is more than five minutes old, or the clocks differ"));
    }
    if config.account.is_some() && claims.api_key != config.account {
        return Err(TurnedAway::Unproven("the token is another account's"));
    }
    let posted = object(raw.body)?;
    let id = need_at(&posted, &["/message_uuid"])?;
    let said = |places: &[&str]| at_any(&posted, places);
    let channel = said(&["/channel", "/from/type"]).unwrap_or_default();
    let kind = said(&["/message_type", "/message/content/type"]).unwrap_or_default();
    if kind != "text" || !matches!(channel.as_str(), "sms" | "mms") {
        return Ok(Read::Nothing("a message of another channel or kind is no SMS"));
    }
    text(said(&["/text", "/message/content/text"]), false, |body| {
        Ok(Told {
            id,
            from: international(&need_at(&posted, &["/from", "/from/number"])?),
            to: said(&["/to", "/to/number"]).as_deref().map(international).unwrap_or_default(),
            body,
            received: said(&["/timestamp"]).as_deref().and_then(moment),
            ..Told::default()
        })
    })
}

/// Sends a message. <https://developer.vonage.com/en/api/messages#SendMessage>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let url = at(config.api_base.as_deref(), "https://api.nexmo.com", &["v1", "messages"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from).trim_start_matches('+');
    let to = reply.note.to.trim_start_matches('+');
    let body = json!({ "channel": "sms", "message_type": "text", "to": to, "from": from, "text": reply.text });
    post_json(&url, &basic(config.account.as_deref()?, config.token.reveal()), &body)
}
