//! Sinch: JSON without a signature, behind user and password or a secret path.
//! <https://developers.sinch.com/docs/sms/api-reference/sms/webhooks/incomingsms>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::config::SourceConfig;
use serde::Deserialize;
use serde_json::json;

use super::fields::{international, json as read_json, moment};
use super::outgoing::{at, json as post_json};
use super::{Outgoing, Raw, Read, Refusal, Told, signed_in};
use crate::send::Reply;

#[derive(Deserialize)]
struct Posted {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    body: Option<String>,
    received_at: Option<String>,
}

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, Refusal> {
    signed_in(config, raw)?;
    let posted: Posted = read_json(raw.body)?;
    if posted.kind != "mo_text" {
        return Ok(Read::Nothing("Sinch tells of something else than a text"));
    }
    let (Some(id), Some(from), Some(to), Some(body)) = (posted.id, posted.from, posted.to, posted.body) else {
        return Err(Refusal::malformed("id, from, to and body are needed"));
    };
    Ok(Read::Texts(vec![Told {
        id,
        from: international(&from),
        to: international(&to),
        body,
        received: posted.received_at.as_deref().and_then(moment),
        ..Told::default()
    }]))
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
