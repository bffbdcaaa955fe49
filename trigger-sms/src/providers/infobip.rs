//! Infobip: JSON without a signature, several texts at a time, behind user and password or a secret path.
//! <https://www.infobip.com/docs/api/channels/sms/sms-messaging/inbound-sms/receive-inbound-sms-messages>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::config::SourceConfig;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fields::{at_any, international, json as read_json, moment};
use super::outgoing::{Outgoing, at, json as post_json};
use super::raw::{Raw, Read, Told, TurnedAway, signed_in};
use crate::replies::Reply;
use ringback_common::courier::Sent;

#[derive(Deserialize)]
struct Posted {
    results: Vec<Value>,
}

/// Reads all texts; what has none, pictures for instance, stands beside them and is left.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    signed_in(config, raw)?;
    let posted: Posted = read_json(raw.body)?;
    let texts: Vec<Told> = posted.results.iter().filter_map(told).collect();
    Ok(if texts.is_empty() { Read::Nothing("no results with a text") } else { Read::Texts(texts) })
}

fn told(message: &Value) -> Option<Told> {
    let said = |place: &str| at_any(message, &[place]);
    Some(Told {
        id: said("/messageId")?,
        from: international(&said("/from")?),
        to: said("/to").as_deref().map(international).unwrap_or_default(),
        body: at_any(message, &["/text", "/message/text", "/message"]).or_else(|| words(message))?,
        received: said("/receivedAt").as_deref().and_then(moment),
        ..Told::default()
    })
}

/// The words among the parts of a multimedia message.
fn words(message: &Value) -> Option<String> {
    let parts = message.pointer("/message")?.as_array()?.iter();
    let plain = parts.filter(|part| at_any(part, &["/contentType"]).is_some_and(|kind| kind.starts_with("text/plain")));
    let words: Vec<String> = plain.filter_map(|part| at_any(part, &["/value", "/text"])).collect();
    (!words.is_empty()).then(|| words.join("\n"))
}

/// Sends a message through the account's own address.
/// <https://www.infobip.com/docs/api/channels/sms/sms-messaging/outbound-sms/send-sms-messages>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let url = at(Some(config.api_base.as_deref()?), "", &["sms", "3", "messages"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from).trim_start_matches('+');
    let to = reply.note.to.trim_start_matches('+');
    let message = json!({ "sender": from, "destinations": [{ "to": to }], "content": { "text": reply.text } });
    post_json(&url, &format!("App {}", config.token.reveal()), &json!({ "messages": [message] }))
}

#[derive(Deserialize)]
struct Answer {
    messages: Vec<Accepted>,
}

#[derive(Deserialize)]
struct Accepted {
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    group_id: i64,
}

/// Status groups: 1 pending, 3 delivered; 2 undeliverable, 4 expired, 5 rejected.
/// <https://www.infobip.com/docs/essentials/response-status-and-error-codes>
pub fn judge(body: &[u8]) -> Sent {
    match serde_json::from_slice::<Answer>(body).ok().and_then(|answer| Some(answer.messages.first()?.status.group_id))
    {
        Some(group @ (2 | 4 | 5)) => Sent::Never(format!("Infobip answered status group {group}")),
        _ => Sent::Yes,
    }
}
