//! The names a call goes by on the wire: random, unguessable, drawn once, stored before they are used.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What every branch of RFC 3261 begins with.
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

/// Call-ID, tag, branch and first CSeq of one INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The Call-ID.
    pub call_id: String,
    /// The From-tag.
    pub local_tag: String,
    /// The Via branch of the INVITE.
    pub branch: String,
    /// The CSeq number of the INVITE.
    pub cseq: u32,
}

/// A preset Call-ID that cannot be written into a SIP message.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a Call-ID is 1 to 255 visible ASCII characters without spaces; give another one or none")]
pub struct BadCallId;

impl Identity {
    /// Draws everything by a cryptographic generator.
    pub fn draw() -> Identity {
        Identity {
            call_id: hex_of::<16>(),
            local_tag: draw_tag(),
            branch: draw_branch(),
            cseq: rand::rng().random_range(1..40_000),
        }
    }

    /// Draws all but the Call-ID, which the caller of our service has chosen.
    pub fn with_call_id(call_id: &str) -> Result<Identity, BadCallId> {
        if call_id.is_empty() || call_id.len() > 255 || !call_id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadCallId);
        }
        Ok(Identity { call_id: call_id.to_owned(), ..Identity::draw() })
    }
}

/// A fresh tag of 80 random bits.
pub(crate) fn draw_tag() -> String {
    hex_of::<10>()
}

/// A fresh branch of 96 random bits.
pub(crate) fn draw_branch() -> String {
    let mut branch = String::with_capacity(31);
    branch.push_str(MAGIC_COOKIE);
    branch.push_str(&hex_of::<12>());
    branch
}

/// A client nonce for digest.
pub(crate) fn draw_cnonce() -> String {
    hex_of::<8>()
}

/// A wait between the two figures, in milliseconds, both included.
pub(crate) fn draw_wait_ms(shortest: u64, longest: u64) -> u64 {
    rand::rng().random_range(shortest..=longest)
}

fn hex_of<const N: usize>() -> String {
    let mut random = [0u8; N];
    rand::rng().fill(&mut random[..]);
    hex::encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_calls_share_no_name() {
        let (one, other) = (Identity::draw(), Identity::draw());
        assert_ne!(one.call_id, other.call_id);
        assert_ne!(one.local_tag, other.local_tag);
        assert_ne!(one.branch, other.branch);
        assert!(one.branch.starts_with(MAGIC_COOKIE));
        assert!(one.local_tag.len() >= 16, "at least 64 bits of tag");
    }

    #[test]
    fn a_preset_call_id_cannot_smuggle_a_header() {
        assert_eq!(Identity::with_call_id("abc@host").map(|i| i.call_id), Ok("abc@host".to_owned()));
        assert_eq!(Identity::with_call_id("a\r\nX: y"), Err(BadCallId));
        assert_eq!(Identity::with_call_id(""), Err(BadCallId));
    }
}
