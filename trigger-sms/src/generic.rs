//! POST /sms/generic: JSON, signed over its raw bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::desk::{Outcome, Text};
use crate::http::{Doors, Peer, body, is_from_browser, later};
use crate::replies::Via;
use crate::sign::{GENERIC_HEADER, is_generic};

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

/// Takes one text.
pub async fn receive(State(doors): State<Arc<Doors>>, Extension(from): Extension<Peer>, request: Request) -> Response {
    let headers = request.headers().clone();
    let body = match body(request).await {
        Ok(body) => body,
        Err((status, code, message)) => return doors.correct(from, status, code, message),
    };
    if let Err(message) = is_allowed(&doors, from, &headers, &body) {
        return doors.turn_away(from, StatusCode::UNAUTHORIZED, "bad_signature", message);
    }
    let posted = match serde_json::from_slice::<Posted>(&body) {
        Ok(posted) => posted,
        Err(error) => {
            let message =
                format!("the JSON is not understood at line {}, column {}; {FORM}", error.line(), error.column());
            return doors.correct(from, StatusCode::BAD_REQUEST, "malformed", &message);
        }
    };
    if let Err(message) = is_sensible(&posted) {
        return doors.correct(from, StatusCode::BAD_REQUEST, "malformed", message);
    }
    let text = Text {
        via: Via::Generic,
        id: posted.id,
        from: posted.from,
        to: posted.to,
        body: posted.text,
        received: posted.received_at,
        metadata: posted.metadata,
    };
    answer(doors.take(from, text).await)
}

/// Signed; or unsigned where the site says so, from this machine to this machine.
fn is_allowed(doors: &Doors, from: Peer, headers: &HeaderMap, body: &[u8]) -> Result<(), &'static str> {
    let secret = &doors.generic.secret;
    if secret.is_empty() {
        let unsigned = doors.generic.allow_unsigned && doors.loopback && from.0.ip().to_canonical().is_loopback();
        return if unsigned && !is_from_browser(headers) {
            Ok(())
        } else {
            Err("[sms.generic] secret is not set here, so no text is taken")
        };
    }
    let signature = headers.get(GENERIC_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if is_generic(secret.reveal(), body, signature) {
        Ok(())
    } else {
        Err("sign the raw body: X-Ringback-Signature: sha256=<hex HMAC-SHA256(secret, body)>")
    }
}

fn is_sensible(posted: &Posted) -> Result<(), &'static str> {
    let bad_id = posted.id.is_empty() || posted.id.chars().count() > 255 || posted.id.chars().any(char::is_control);
    if bad_id {
        return Err("id is the message's own id: 1 to 255 characters, no control characters");
    }
    let bad_address = |address: &str| address.chars().count() > 64 || address.chars().any(char::is_control);
    if bad_address(&posted.from) || bad_address(&posted.to) {
        return Err("from and to are at most 64 characters, no control characters");
    }
    Ok(())
}

fn answer(outcome: Outcome) -> Response {
    let told = |outcome: &str, reason: &str| axum::Json(json!({ "outcome": outcome, "reason": reason }));
    match outcome {
        Outcome::Accepted(job) => {
            (StatusCode::ACCEPTED, axum::Json(json!({ "job": job, "outcome": "accepted" }))).into_response()
        }
        Outcome::Rejected(reason) => told("reject", reason).into_response(),
        Outcome::Ignored(reason) => told("ignore", reason).into_response(),
        Outcome::Limited(reason, wait) => later(StatusCode::TOO_MANY_REQUESTS, wait, told("reject", reason)),
        Outcome::Unavailable(wait) => {
            later(StatusCode::SERVICE_UNAVAILABLE, wait, told("unavailable", "send it again with the same id"))
        }
    }
}
