//! Vonage's SMS API: parameters by GET, form or JSON, signed by a hash or an HMAC over all of them.
//! <https://developer.vonage.com/en/messaging/sms/guides/inbound-sms>,
//! <https://developer.vonage.com/en/getting-started/concepts/signing-messages>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use axum::http::{Method, header};
use hmac::Hmac;
use md5::{Digest, Md5};
use ringback_common::config::{SourceConfig, VonageSignature};
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::fields::{Parameters, international, moment, text};
use super::outgoing::{Outgoing, at, form};
use super::raw::{Raw, Read, Told, TurnedAway};
use crate::coding::{Place, Reference, fits_gsm};
use crate::replies::Reply;
use crate::sign::{mac, same};
use ringback_common::courier::Sent;

/// Vonage repeats a request for a day, and its timestamp says when it began to.
const WINDOW: i64 = 25 * 3600;

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    let signed = !config.signing_key.is_empty();
    if !signed && config.path_secret.is_empty() {
        return Err(TurnedAway::NotSetUp("Vonage is not set up here: a signing_key or a path_secret is needed"));
    }
    let posted = parameters(raw).map_err(|refusal| if signed { TurnedAway::Unproven(UNSIGNED) } else { refusal })?;
    if signed {
        let expected = signature(&posted, config.signature, config.signing_key.reveal());
        let given = posted.get("sig").unwrap_or_default().to_ascii_lowercase();
        if !same(expected.as_bytes(), given.as_bytes()) {
            return Err(TurnedAway::Unproven(UNSIGNED));
        }
        if !raw.is_recent(posted.get("timestamp").and_then(|text| text.parse().ok()), WINDOW) {
            return Err(TurnedAway::Unproven("the request is older than a day"));
        }
    }
    if posted.get("type").is_some_and(|kind| kind == "binary") {
        return Ok(Read::Nothing("a binary message is no text"));
    }
    let (Some(id), Some(from)) = (posted.get("messageId"), posted.get("msisdn")) else {
        return Ok(Read::Nothing("Vonage asks whether somebody is here"));
    };
    text(posted.get("text").map(str::to_owned), false, |body| {
        Ok(Told {
            id: id.to_owned(),
            from: international(from),
            to: posted.get("to").map(international).unwrap_or_default(),
            body,
            received: posted.get("message-timestamp").and_then(moment),
            place: place(&posted),
            ..Told::default()
        })
    })
}

/// Vonage posts each part of a long text by itself: `concat=true`, and which part of which text.
fn place(posted: &Parameters) -> Option<Place> {
    let number = |name| posted.get(name).and_then(|text| text.parse().ok());
    let reference = Reference::named(posted.get("concat-ref")?);
    let is_part = posted.get("concat") == Some("true");
    Place::new(reference, number("concat-total")?, number("concat-part")?).filter(|place| is_part && place.total > 1)
}

const UNSIGNED: &str = "the signature does not fit; are signing_key and signature those of Vonage's API settings?";

fn parameters(raw: &Raw<'_>) -> Result<Parameters, TurnedAway> {
    let is_json = raw.header(header::CONTENT_TYPE.as_str()).starts_with("application/json");
    match *raw.method {
        Method::GET => Ok(Parameters::read(raw.query.as_bytes())),
        _ if is_json => Parameters::of_json(raw),
        _ => Ok(Parameters::read(raw.body)),
    }
}

/// `&name=value` of all parameters but `sig` in the order of their names, where a value's own `&` and `=` are underscores.
fn signature(posted: &Parameters, method: VonageSignature, secret: &str) -> String {
    let mut sorted: Vec<&(String, String)> = posted.0.iter().filter(|(name, _)| name != "sig").collect();
    sorted.sort();
    let pairs = sorted.into_iter().map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_")));
    let text: String = pairs.collect();
    let (key, parts) = (secret.as_bytes(), [text.as_bytes()]);
    hex::encode(match method {
        VonageSignature::Md5Hash => Md5::digest(text + secret).to_vec(),
        VonageSignature::Md5 => mac::<Hmac<Md5>>(key, &parts),
        VonageSignature::Sha1 => mac::<Hmac<Sha1>>(key, &parts),
        VonageSignature::Sha256 => mac::<Hmac<Sha256>>(key, &parts),
        VonageSignature::Sha512 => mac::<Hmac<Sha512>>(key, &parts),
    })
}

/// Sends an SMS. <https://developer.vonage.com/en/api/sms#send-an-sms>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let url = at(config.api_base.as_deref(), "https://rest.nexmo.com", &["sms", "json"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from).trim_start_matches('+');
    let to = reply.note.to.trim_start_matches('+');
    let kind = if fits_gsm(&reply.text) { "text" } else { "unicode" };
    let (key, secret) = (config.account.as_deref()?, config.token.reveal());
    let text = reply.text.as_str();
    let fields = [("api_key", key), ("api_secret", secret), ("from", from), ("to", to), ("type", kind), ("text", text)];
    form(&url, &[], &fields)
}

#[derive(Deserialize)]
struct Answer {
    messages: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    status: String,
}

/// Every answer is 200; `status` says what became of it. <https://developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms>
pub fn judge(body: &[u8]) -> Sent {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Sent::Unknown("Vonage's answer is not understood".to_owned());
    };
    let first = answer.messages.first().map_or("", |part| part.status.as_str());
    match first {
        "0" => Sent::Yes,
        "1" | "10" => Sent::NotYet("Vonage has too much to do".to_owned()),
        "5" | "" => Sent::Unknown("Vonage does not know what became of it".to_owned()),
        status => Sent::Never(format!("Vonage answered status {status:.8}")),
    }
}
