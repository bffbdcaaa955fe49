//! Any gateway that can post JSON, signed over its raw bytes.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use ringback_common::config::SourceConfig;
use serde::Deserialize;
use serde_json::{Value, json};

use super::outgoing::Outgoing;
use super::raw::{Raw, Read, Told, TurnedAway, later};
use crate::replies::Reply;
use crate::sign::{self, GENERIC_HEADER, is_generic};
use crate::text::Outcome;

/// What a provider posts. Other fields are ignored.
#[derive(Deserialize)]
struct Posted {
    id: String,
    from: String,
    to: String,
    text: String,
    #[serde(default)]
    received_at: Option<DateTime<Utc>>,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
}

const FORM: &str =
    r#"write {"id":"...","from":"+44...","to":"+44...","text":"..."}, and "received_at" as 2026-01-31T12:00:00Z"#;

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    is_allowed(config, raw)?;
    let posted: Posted = serde_json::from_slice(raw.body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        TurnedAway::malformed(format!("the JSON is not understood at {place}; {FORM}"))
    })?;
    Ok(Read::Texts(vec![Told {
        id: posted.id,
        from: posted.from,
        to: posted.to,
        body: posted.text,
        received: posted.received_at,
        metadata: posted.metadata,
        place: None,
    }]))
}

/// Signed; or unsigned where the site says so, from this machine to this machine.
fn is_allowed(config: &SourceConfig, raw: &Raw<'_>) -> Result<(), TurnedAway> {
    let secret = &config.signing_key;
    if secret.is_empty() {
        return if config.allow_unsigned && raw.local && !is_from_browser(raw.headers) {
            Ok(())
        } else {
            Err(TurnedAway::Unproven("this source's secret is not set here, so no text is taken"))
        };
    }
    if is_generic(secret.reveal(), raw.body, raw.header(GENERIC_HEADER)) {
        Ok(())
    } else {
        Err(TurnedAway::Unproven("sign the raw body: X-Ringback-Signature: sha256=<hex HMAC-SHA256(secret, body)>"))
    }
}

/// Whether a browser sent this: an unsigned door is not for pages that a user of this machine happens to visit.
fn is_from_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// What became of it, as JSON.
pub fn answer(outcome: &Outcome) -> Response {
    let told = |outcome: &str, reason: &str| axum::Json(json!({ "outcome": outcome, "reason": reason }));
    match outcome {
        Outcome::Accepted(job) => {
            (StatusCode::ACCEPTED, axum::Json(json!({ "job": job, "outcome": "accepted" }))).into_response()
        }
        Outcome::Rejected(reason) => told("reject", reason).into_response(),
        Outcome::Done(command) => told("done", command).into_response(),
        Outcome::Ignored(reason) => told("ignore", reason).into_response(),
        Outcome::Limited(reason, wait) => later(StatusCode::TOO_MANY_REQUESTS, *wait, told("reject", reason)),
        Outcome::Unavailable(wait) => {
            later(StatusCode::SERVICE_UNAVAILABLE, *wait, told("unavailable", "send it again with the same id"))
        }
    }
}

/// POSTs the reply as JSON to the receiver's address, signed like a request.
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let Reply { job, kind, note, text, .. } = reply;
    let body = json!({ "job": job, "kind": kind, "to": note.to, "from": note.from, "text": text }).to_string();
    let mut request = Request::post(config.api_base.as_deref()?)
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", format!("{job}:{kind}"));
    if !config.signing_key.is_empty() {
        request = request.header(GENERIC_HEADER, sign::generic(config.signing_key.reveal(), body.as_bytes()));
    }
    request.body(body.into_bytes()).ok()
}
