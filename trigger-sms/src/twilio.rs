//! POST /sms/twilio: a form, signed over our public address and its parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::desk::{Outcome, Text};
use crate::http::{Doors, Peer, body, later, problem};
use crate::replies::Via;
use crate::sign::{TWILIO_HEADER, is_twilio};

/// Takes one text.
pub async fn receive(State(doors): State<Arc<Doors>>, Extension(from): Extension<Peer>, request: Request) -> Response {
    let (Some(account), Some(url), false) =
        (&doors.twilio.account_sid, &doors.twilio.public_url, doors.twilio.auth_token.is_empty())
    else {
        let message = "[sms.twilio] is not set up here: account_sid, auth_token and public_url are needed";
        return (StatusCode::NOT_FOUND, problem("not_found", message)).into_response();
    };
    let signature = request.headers().get(TWILIO_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signature = signature.to_owned();
    let body = match body(request).await {
        Ok(body) => body,
        Err((status, code, message)) => return doors.correct(from, status, code, message),
    };
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(&body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let value = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let signed = is_twilio(doors.twilio.auth_token.reveal(), url, &parameters, &signature);
    if !signed || value("AccountSid").as_ref() != Some(account) {
        let message = "the signature does not fit; is [sms.twilio] public_url the very address set at Twilio?";
        return doors.turn_away(from, StatusCode::UNAUTHORIZED, "bad_signature", message);
    }
    let (Some(id), Some(sender), Some(text)) = (value("MessageSid"), value("From"), value("Body")) else {
        let message = "MessageSid, From and Body are needed";
        return doors.correct(from, StatusCode::BAD_REQUEST, "malformed", message);
    };
    let text = Text {
        via: Via::Twilio,
        id,
        from: sender,
        to: value("To").unwrap_or_default(),
        body: text,
        received: None,
        metadata: BTreeMap::new(),
    };
    answer(doors.take(from, text).await)
}

/// Twilio wants to hear TwiML; an empty response sends nothing. The sender's answer comes by its own message.
fn answer(outcome: Outcome) -> Response {
    let nothing = || ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], "<Response/>");
    match outcome {
        Outcome::Accepted(_) | Outcome::Rejected(_) | Outcome::Ignored(_) => nothing().into_response(),
        Outcome::Limited(_, wait) => later(StatusCode::TOO_MANY_REQUESTS, wait, nothing()),
        Outcome::Unavailable(wait) => later(StatusCode::SERVICE_UNAVAILABLE, wait, nothing()),
    }
}
