//! Texts, as the generic SMS webhook takes them, signed.

use std::io;
use std::net::SocketAddr;

use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::http::{self, Answer};

/// `user pin A B`, the text form.
pub fn text(user: &str, pin: &str, a: &str, b: &str) -> String {
    format!("{user} {pin} {a} {b}")
}

/// POSTs one text to `/sms/generic`.
pub fn send(to: SocketAddr, secret: &str, id: &str, from: &str, text: &str) -> io::Result<Answer> {
    let body = json!({ "id": id, "from": from, "to": "100", "text": text }).to_string();
    send_raw(to, body.as_bytes(), &signature(secret, body.as_bytes()))
}

/// POSTs these bytes with this signature.
pub fn send_raw(to: SocketAddr, body: &[u8], signature: &str) -> io::Result<Answer> {
    http::post(to, "/sms/generic", &[("Content-Type", "application/json"), ("X-Ringback-Signature", signature)], body)
}

/// `sha256=` and the HMAC-SHA256 of the raw body in hex.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
