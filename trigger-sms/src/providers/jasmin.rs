//! Jasmin: the form that its HTTP client connector posts, without a signature, behind a secret path.
//! <https://docs.jasminsms.com/en/latest/apis/ja-http/index.html#receiving-sms-mo>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use axum::http::Request;
use ringback_common::config::SourceConfig;

use super::fields::{Parameters, bytes, text};
use super::outgoing::{Outgoing, at, encoded};
use super::raw::{Raw, Read, Told, TurnedAway, only_by_path};
use crate::coding::{self, Coding};
use crate::replies::Reply;

/// What Jasmin must hear, to the letter, or it posts the text again.
pub const TAKEN: &str = "ACK/Jasmin";

/// Reads one text from its bytes: `content` is whatever the phone's alphabet made of it.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    only_by_path(config)?;
    let posted = Parameters::read(raw.body);
    let coding = data_coding(&bytes(raw.body, "coding").unwrap_or_default())?;
    let (id, from) = (posted.need("id")?, posted.need("from")?);
    let decoded = |hex: &str| {
        coding::bytes_of_hex(hex, "binary")
            .and_then(|bytes| coding::decode(&bytes, Coding::new(coding)))
            .map_err(|error| TurnedAway::malformed(format!("binary is no text: {error}")))
    };
    text(posted.get("binary").map(decoded).transpose()?, false, |body| {
        Ok(Told { id, from, to: posted.get("to").unwrap_or_default().to_owned(), body, ..Told::default() })
    })
}

/// One raw byte, or digits.
fn data_coding(value: &[u8]) -> Result<u8, TurnedAway> {
    let digits = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    match (value, digits) {
        ([], _) => Ok(0),
        (_, Some(number)) => Ok(number),
        ([byte], None) => Ok(*byte),
        _ => Err(TurnedAway::malformed("coding is one byte, or its number")),
    }
}

/// Asks for `/send`. <https://docs.jasminsms.com/en/latest/apis/ja-http/index.html#sending-sms-mt>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let mut url = at(Some(config.api_base.as_deref()?), "", &["send"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from);
    let hex: String = reply.text.encode_utf16().map(|unit| format!("{unit:04x}")).collect();
    let is_plain = reply.text.bytes().all(|byte| byte.is_ascii() && !b"`[]{}\\|^~".contains(&byte));
    let (coding, content) = if is_plain { ("0", ("content", &reply.text)) } else { ("8", ("hex-content", &hex)) };
    let fields = [
        ("username", config.account.as_deref()?),
        ("password", config.token.reveal()),
        ("from", from),
        ("to", &reply.note.to),
        ("coding", coding),
        (content.0, content.1),
    ];
    url.set_query(Some(&encoded(&fields)));
    Request::get(url.as_str()).body(Vec::new()).ok()
}
