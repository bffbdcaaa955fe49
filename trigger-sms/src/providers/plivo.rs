//! Plivo: a form; its signature, version 2, covers our public address and a nonce, not the body.
//! <https://www.plivo.com/docs/messaging/concepts/signature-validation>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_common::config::SourceConfig;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::fields::{Parameters, international, text};
use super::outgoing::{Outgoing, at, basic, json as post_json};
use super::raw::{Raw, Read, Told, TurnedAway};
use crate::replies::Reply;
use crate::sign::{same, sha256};

/// So many nonces are remembered.
const MOST_NONCES: usize = 20_000;

/// Which body a nonce came with: a captured signature is of no use for another one while its nonce is remembered.
#[derive(Default)]
pub struct Nonces(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    bodies: HashMap<String, [u8; 32]>,
    order: VecDeque<String>,
}

impl Nonces {
    /// Whether this nonce is new, or came with the same body before.
    fn fits(&self, nonce: &str, body: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(body).into();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.bodies.get(nonce) {
            return *known == hash;
        }
        if seen.order.len() >= MOST_NONCES
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.bodies.remove(&oldest);
        }
        seen.order.push_back(nonce.to_owned());
        seen.bodies.insert(nonce.to_owned(), hash);
        true
    }
}

/// Reads one text.
pub fn read(config: &SourceConfig, nonces: &Nonces, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    let (Some(url), false) = (&config.public_url, config.token.is_empty()) else {
        return Err(TurnedAway::NotSetUp("Plivo is not set up here: token and public_url are needed"));
    };
    let base = url.split('?').next().unwrap_or_default();
    let nonce = raw.header("x-plivo-signature-v2-nonce");
    let expected = STANDARD.encode(sha256(config.token.reveal().as_bytes(), &[base.as_bytes(), nonce.as_bytes()]));
    let signed = ["x-plivo-signature-v2", "x-plivo-signature-ma-v2"]
        .into_iter()
        .any(|name| same(expected.as_bytes(), raw.header(name).as_bytes()));
    if !signed || nonce.is_empty() || nonce.len() > 128 {
        return Err(TurnedAway::Unproven("the signature does not fit; is public_url the very address set at Plivo?"));
    }
    if !nonces.fits(nonce, raw.body) {
        return Err(TurnedAway::Unproven("this nonce came with another body before"));
    }
    let posted = Parameters::read(raw.body);
    let (id, from) = (posted.need("MessageUUID")?, international(&posted.need("From")?));
    let with_media = posted.get("Type") == Some("mms") || posted.get("Media0").is_some();
    let said = posted.get("Text").or_else(|| posted.get("Body"));
    text(said.map(str::to_owned), with_media, |body| {
        Ok(Told { id, from, to: posted.get("To").map(international).unwrap_or_default(), body, ..Told::default() })
    })
}

/// Sends a message. <https://www.plivo.com/docs/messaging/api/message#send-a-message>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let account = config.account.as_deref()?;
    let path = ["v1", "Account", account, "Message", ""];
    let url = at(config.api_base.as_deref(), "https://api.plivo.com", &path)?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from);
    let body = json!({ "src": from, "dst": reply.note.to, "text": reply.text });
    post_json(&url, &basic(account, config.token.reveal()), &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_belongs_to_one_body_and_memory_is_bounded() {
        let nonces = Nonces::default();
        assert!(nonces.fits("n", b"one") && nonces.fits("n", b"one") && !nonces.fits("n", b"two"));
        for number in 0..2 * MOST_NONCES {
            assert!(nonces.fits(&number.to_string(), b"x"));
        }
        let seen = nonces.0.lock().unwrap();
        assert_eq!((seen.order.len(), seen.bodies.len()), (MOST_NONCES, MOST_NONCES));
    }
}
