//! The signed interface: the last parameter of a message, `hmac=<hex>`, is HMAC-SHA256 over everything before it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt::Write;

use hmac::{Hmac, Mac};
use ringback_common::config::Secret;
use sha2::Sha256;

use crate::message::Message;

/// The parameter that signs.
const NAME: &[u8] = b"hmac=";
/// A `time` may be so far off (seconds).
const WINDOW: u64 = 300;

/// Why a datagram is nobody's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It has no signature, or not one of this secret.
    NotSigned,
    /// It does not say when it was written, so that it could be an old one.
    NoTime,
    /// It was not written just now.
    OtherTime,
}

impl Doubt {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Doubt::NotSigned => "not_signed",
            Doubt::NoTime => "no_time",
            Doubt::OtherTime => "other_time",
        }
    }
}

/// Whether a datagram is signed with this secret, and was written just now: without a `time` it may not be where `require_time`.
/// No secret: nothing is asked.
///
/// # Errors
/// What is to be doubted.
pub fn verify(
    secret: &Secret,
    datagram: &[u8],
    message: &Message,
    require_time: bool,
    unix_now: u64,
) -> Result<(), Doubt> {
    if secret.is_empty() {
        return Ok(());
    }
    if !signed(secret, datagram) {
        return Err(Doubt::NotSigned);
    }
    match message.value("time") {
        Some(time) if time.parse().is_ok_and(|time: u64| time.abs_diff(unix_now) <= WINDOW) => Ok(()),
        Some(_) => Err(Doubt::OtherTime),
        None if require_time => Err(Doubt::NoTime),
        None => Ok(()),
    }
}

fn signed(secret: &Secret, datagram: &[u8]) -> bool {
    let Some(place) = datagram.windows(NAME.len()).rposition(|window| window == NAME) else { return false };
    let (covered, rest) = datagram.split_at(place);
    let apart = covered.last().is_some_and(|before| matches!(before, b';' | b' ' | b':'));
    let end = |b: &u8| b.is_ascii_whitespace() || matches!(b, b';' | b'\0');
    let digits = &rest[NAME.len()..];
    let digits = &digits[..digits.iter().position(end).unwrap_or(digits.len())];
    let nothing_after = rest[NAME.len() + digits.len()..].iter().all(end);
    let Ok(claimed) = hex::decode(digits) else { return false };
    apart && nothing_after && mac(secret, covered).is_some_and(|mac| mac.verify_slice(&claimed).is_ok())
}

/// A message of ours with its signature, where there is a secret.
pub fn sign(mut text: String, secret: Option<&Secret>) -> String {
    let mac = secret.filter(|secret| !secret.is_empty()).and_then(|secret| mac(secret, text.as_bytes()));
    if let Some(mac) = mac {
        // Writing to a String does not fail.
        let _ = write!(text, "hmac={};", hex::encode(mac.finalize().into_bytes()));
    }
    text
}

fn mac(secret: &Secret, covered: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).ok()?;
    mac.update(covered);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn verified(datagram: &str, require_time: bool) -> Result<(), Doubt> {
        let message = Message::read(datagram.as_bytes(), false).unwrap();
        verify(&Secret::new("key"), datagram.as_bytes(), &message, require_time, NOW)
    }

    fn accepted(datagram: &str) -> bool {
        verified(datagram, false).is_ok()
    }

    fn signed_text(text: &str) -> String {
        sign(text.to_owned(), Some(&Secret::new("key")))
    }

    #[test]
    fn a_known_answer() {
        // printf %s 'RELEASE: id=1234;' | openssl dgst -sha256 -hmac key
        let text = signed_text("RELEASE: id=1234;");
        assert_eq!(text, "RELEASE: id=1234;hmac=5d52b38c7ae48f207059082adeff3e99afc4441adff822c7a716aa7de258ea97;");
    }

    #[test]
    fn what_is_signed_counts_and_what_was_changed_does_not() {
        let good = signed_text("REQUEST: id=1;user1=2;user2=3;");
        assert!(accepted(&good) && accepted(&format!("{good}\r\n")) && accepted(good.trim_end_matches(';')));
        for bad in [
            "REQUEST: id=1;user1=2;user2=3;".to_owned(),
            good.replace("user2=3", "user2=4"),
            format!("{good}user2=4;"),
            good.replace("hmac=", "hmac=00"),
            good.replace(";hmac", "hmac"),
            "REQUEST: id=1;hmac=;".to_owned(),
            "REQUEST: id=1;hmac=zz;".to_owned(),
        ] {
            assert!(!accepted(&bad), "{bad}");
        }
    }

    #[test]
    fn an_old_time_is_not_taken_and_none_only_where_the_settings_say_so() {
        let at = |time: u64| accepted(&signed_text(&format!("REQUEST: id=1;user1=2;user2=3;time={time};")));
        assert!(at(NOW) && at(NOW - 300) && at(NOW + 300));
        assert!(!at(NOW - 301) && !at(NOW + 301) && !at(0));
        assert!(!accepted(&signed_text("REQUEST: id=1;time=soon;")));
        let timeless = signed_text("REQUEST: id=1;user1=2;user2=3;");
        assert_eq!([verified(&timeless, false), verified(&timeless, true)], [Ok(()), Err(Doubt::NoTime)]);
        assert_eq!(verified(&signed_text("REQUEST: id=1;time=5;"), true), Err(Doubt::OtherTime));
        assert_eq!(verified("REQUEST: id=1;time=5;", true), Err(Doubt::NotSigned));
    }

    #[test]
    fn without_a_secret_nothing_is_asked_and_nothing_added() {
        let text = "REQUEST: id=1;user1=2;user2=3;";
        let message = Message::read(text.as_bytes(), false).unwrap();
        assert_eq!(verify(&Secret::default(), text.as_bytes(), &message, true, NOW), Ok(()));
        assert_eq!(sign(text.to_owned(), Some(&Secret::default())), text);
        assert_eq!(sign(text.to_owned(), None), text);
    }
}
