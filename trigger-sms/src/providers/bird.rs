//! Bird: JSON of a channel, signed by an HMAC over timestamp, address and body; and MessageBird, its older self: parameters or
//! JSON, vouched for by a token that holds the hashes of address and body.
//! <https://docs.bird.com/api/notifications-api/api-reference/webhooks/verifying-a-webhook>,
//! <https://developers.messagebird.com/api/#verifying-http-requests>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use axum::http::{Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use ringback_common::config::SourceConfig;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::fields::{Parameters, international, json as read_json, moment};
use super::outgoing::{at, form, json as post_json};
use super::{Outgoing, Raw, Read, Refusal, Told, jwt};
use crate::send::Reply;
use crate::sign::{same, sha256};

const WINDOW: i64 = 300;
/// How far its clock and ours may differ.
const LEEWAY: i64 = 5;

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, Refusal> {
    let (Some(url), false) = (&config.public_url, config.signing_key.is_empty()) else {
        return Err(Refusal::NotSetUp("Bird is not set up here: signing_key and public_url are needed"));
    };
    let (url, key) = (raw.signed_url(url), config.signing_key.reveal());
    if raw.headers.contains_key("messagebird-signature-jwt") {
        vouched(raw, &url, key)?;
        messagebird(raw)
    } else {
        signed(raw, &url, key)?;
        channel(config, raw)
    }
}

fn signed(raw: &Raw<'_>, url: &str, key: &str) -> Result<(), Refusal> {
    let timestamp = raw.header("messagebird-request-timestamp");
    let parts = [timestamp.as_bytes(), b"\n", url.as_bytes(), b"\n", &Sha256::digest(raw.body)];
    let expected = STANDARD.encode(sha256(key.as_bytes(), &parts));
    if !same(expected.as_bytes(), raw.header("messagebird-signature").as_bytes()) {
        return Err(Refusal::Unproven("the signature does not fit; is public_url the very address set at Bird?"));
    }
    if !raw.is_recent(timestamp.parse().ok(), WINDOW) {
        return Err(Refusal::Unproven("the request is more than five minutes old, or the clocks differ"));
    }
    Ok(())
}

fn vouched(raw: &Raw<'_>, url: &str, key: &str) -> Result<(), Refusal> {
    let token = raw.header("messagebird-signature-jwt");
    let claims = jwt::read(token, key, &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512])
        .filter(|claims| claims.iss.as_deref() == Some("MessageBird") && claims.jti.is_some())
        .ok_or(Refusal::Unproven("the token of this request was not signed with signing_key"))?;
    let now = raw.now.timestamp();
    let (Some(from), Some(until)) = (claims.nbf, claims.exp) else {
        return Err(Refusal::Unproven("the token does not say how long it holds"));
    };
    if now < from.saturating_sub(LEEWAY) || now > until.saturating_add(LEEWAY) {
        return Err(Refusal::Unproven("the token has expired, or the clocks differ"));
    }
    if !jwt::is_hash_of(claims.url_hash.as_deref(), url.as_bytes()) {
        return Err(Refusal::Unproven("the token is for another address; is public_url the very address set there?"));
    }
    let unhashed = raw.body.is_empty() && claims.payload_hash.is_none();
    if !unhashed && !jwt::is_hash_of(claims.payload_hash.as_deref(), raw.body) {
        return Err(Refusal::Unproven("the token's payload_hash is not that of the body"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Posted {
    event: Option<String>,
    payload: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    id: String,
    channel_id: String,
    sender: Sender,
    receiver: Option<Receiver>,
    body: Body,
    direction: Option<String>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Sender {
    contact: Option<Identified>,
}

#[derive(Deserialize)]
struct Receiver {
    connector: Option<Identified>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identified {
    identifier_value: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    text: Option<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

fn channel(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, Refusal> {
    let Posted { event, payload } = read_json(raw.body)?;
    if event.is_some_and(|event| event != "sms.inbound") || payload.direction.is_some_and(|way| way != "incoming") {
        return Ok(Read::Nothing("Bird tells of something else than a text"));
    }
    if config.channel.as_ref().is_some_and(|ours| *ours != payload.channel_id) {
        return Err(Refusal::Unproven("the message is another channel's"));
    }
    let number = |one: Option<Identified>| one.and_then(|one| one.identifier_value).unwrap_or_default();
    let Some(text) = payload.body.text else { return Ok(Read::Nothing("a message without text")) };
    Ok(Read::Texts(vec![Told {
        id: payload.id,
        from: number(payload.sender.contact),
        to: number(payload.receiver.and_then(|receiver| receiver.connector)),
        body: text.text,
        received: payload.created_at.as_deref().and_then(moment),
        ..Told::default()
    }]))
}

fn messagebird(raw: &Raw<'_>) -> Result<Read, Refusal> {
    let is_json = raw.header(header::CONTENT_TYPE.as_str()).starts_with("application/json");
    let posted = match *raw.method {
        Method::GET => Parameters::read(raw.query.as_bytes()),
        _ if is_json => Parameters::of_json(raw)?,
        _ => Parameters::read(raw.body),
    };
    let body = posted.get("body").or_else(|| posted.get("payload")).map(str::to_owned);
    Ok(Read::Texts(vec![Told {
        id: posted.get("message_id").map_or_else(|| posted.need("id"), |id| Ok(id.to_owned()))?,
        from: international(&posted.need("originator")?),
        to: posted.get("recipient").map(international).unwrap_or_default(),
        body: body.ok_or_else(|| Refusal::malformed("the parameter body is needed, once"))?,
        received: posted.get("createdDatetime").and_then(moment),
        ..Told::default()
    }]))
}

/// Sends a message through the channel, or through MessageBird where no workspace and channel are set.
/// <https://docs.bird.com/api/channels-api/api-reference/messaging>,
/// <https://developers.messagebird.com/api/sms-messaging/#send-outbound-sms>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let key = format!("AccessKey {}", config.token.reveal());
    if let (Some(workspace), Some(channel)) = (&config.account, &config.channel) {
        let path = ["workspaces", workspace, "channels", channel, "messages"];
        let url = at(config.api_base.as_deref(), "https://api.bird.com", &path)?;
        let contact = json!({ "identifierKey": "phonenumber", "identifierValue": reply.note.to });
        let body = json!({
            "receiver": { "contacts": [contact] },
            "body": { "type": "text", "text": { "text": reply.text } },
            "reference": format!("{}:{}", reply.job, reply.kind),
        });
        return post_json(&url, &key, &body);
    }
    let url = at(config.api_base.as_deref(), "https://rest.messagebird.com", &["messages"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from).trim_start_matches('+');
    let to = reply.note.to.trim_start_matches('+');
    let fields = [("originator", from), ("recipients", to), ("body", &reply.text), ("datacoding", "auto")];
    form(&url, &[("authorization", &key)], &fields)
}
