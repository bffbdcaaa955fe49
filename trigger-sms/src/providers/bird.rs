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
use serde_json::json;
use sha2::{Digest, Sha256};

use super::fields::{Parameters, at_any, international, moment, need_at, object, text};
use super::jwt;
use super::outgoing::{Outgoing, at, form, json as post_json};
use super::raw::{Raw, Read, Told, TurnedAway};
use crate::replies::Reply;
use crate::sign::{same, sha256};

const WINDOW: i64 = 300;
/// How far its clock and ours may differ.
const LEEWAY: i64 = 5;

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    let (Some(url), false) = (&config.public_url, config.signing_key.is_empty()) else {
        return Err(TurnedAway::NotSetUp("Bird is not set up here: signing_key and public_url are needed"));
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

fn signed(raw: &Raw<'_>, url: &str, key: &str) -> Result<(), TurnedAway> {
    let timestamp = raw.header("messagebird-request-timestamp");
    let parts = [timestamp.as_bytes(), b"\n", url.as_bytes(), b"\n", &Sha256::digest(raw.body)];
    let expected = STANDARD.encode(sha256(key.as_bytes(), &parts));
    if !same(expected.as_bytes(), raw.header("messagebird-signature").as_bytes()) {
        return Err(TurnedAway::Unproven("the signature does not fit; is public_url the very address set at Bird?"));
    }
    if !raw.is_recent(timestamp.parse().ok(), WINDOW) {
        return Err(TurnedAway::Unproven("the request is more than five minutes old, or the clocks differ"));
    }
    Ok(())
}

fn vouched(raw: &Raw<'_>, url: &str, key: &str) -> Result<(), TurnedAway> {
    let token = raw.header("messagebird-signature-jwt");
    let claims = jwt::read(token, key, &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512])
        .filter(|claims| claims.iss.as_deref() == Some("MessageBird") && claims.jti.is_some())
        .ok_or(TurnedAway::Unproven("the token of this request was not signed with signing_key"))?;
    let now = raw.now.timestamp();
    let (Some(from), Some(until)) = (claims.nbf, claims.exp) else {
        return Err(TurnedAway::Unproven("the token does not say how long it holds"));
    };
    if now < from.saturating_sub(LEEWAY) || now > until.saturating_add(LEEWAY) {
        return Err(TurnedAway::Unproven("the token has expired, or the clocks differ"));
    }
    if !jwt::is_hash_of(claims.url_hash.as_deref(), url.as_bytes()) {
        return Err(TurnedAway::Unproven(
            "the token is for another address; is public_url the very address set there?",
        ));
    }
    let unhashed = raw.body.is_empty() && claims.payload_hash.is_none();
    if !unhashed && !jwt::is_hash_of(claims.payload_hash.as_deref(), raw.body) {
        return Err(TurnedAway::Unproven("the token's payload_hash is not that of the body"));
    }
    Ok(())
}

/// What the words of a message may stand in: a text, or below a picture or a file.
const WORDS: [&str; 4] =
    ["/payload/body/text/text", "/payload/body/text", "/payload/body/image/text", "/payload/body/file/text"];

fn channel(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    let posted = object(raw.body)?;
    let said = |place: &str| at_any(&posted, &[place]);
    let id = need_at(&posted, &["/payload/id"])?;
    let incoming = said("/payload/direction").is_none_or(|way| way == "incoming");
    if said("/event").is_some_and(|event| event != "sms.inbound") || !incoming {
        return Ok(Read::Nothing("Bird tells of something else than a text"));
    }
    if config.channel.is_some() && config.channel != said("/payload/channelId") {
        return Err(TurnedAway::Unproven("the message is another channel's"));
    }
    let with_media = said("/payload/body/type").is_some_and(|kind| kind != "text");
    text(at_any(&posted, &WORDS), with_media, |body| {
        Ok(Told {
            id,
            from: said("/payload/sender/contact/identifierValue").unwrap_or_default(),
            to: said("/payload/receiver/connector/identifierValue").unwrap_or_default(),
            body,
            received: said("/payload/createdAt").as_deref().and_then(moment),
            ..Told::default()
        })
    })
}

fn messagebird(raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    let is_json = raw.header(header::CONTENT_TYPE.as_str()).starts_with("application/json");
    let posted = match *raw.method {
        Method::GET => Parameters::read(raw.query.as_bytes()),
        _ if is_json => Parameters::of_json(raw)?,
        _ => Parameters::read(raw.body),
    };
    let first = |names: &[&str]| names.iter().find_map(|name| posted.first(name)).map(str::to_owned);
    let missing = || TurnedAway::malformed("the parameters originator and id are needed");
    let from = first(&["originator"]).ok_or_else(missing)?;
    text(first(&["body", "payload"]), posted.first("mediaUrls").is_some(), |body| {
        Ok(Told {
            id: first(&["message_id", "id"]).ok_or_else(missing)?,
            from: international(&from),
            to: posted.first("recipient").map(international).unwrap_or_default(),
            body,
            received: posted.first("createdDatetime").and_then(moment),
            ..Told::default()
        })
    })
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
