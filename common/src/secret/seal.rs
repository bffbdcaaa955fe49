//! Texts that lie in the store for a moment, sealed with the site key: they may hold a PIN.

use std::fmt;

use hmac::Mac;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::{HmacSha256, SiteKey};

/// Why a sealed text cannot be read, or none can be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealError;

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was sealed with another site key, or changed since")
    }
}

impl std::error::Error for SealError {}

/// Seals bytes; nobody reads them without the site key.
///
/// # Errors
/// The system gives no random numbers.
pub fn seal(key: &SiteKey, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError)?;
    let mut body = plain.to_vec();
    let nonce_used = Nonce::assume_unique_for_key(nonce);
    sealing_key(key)?.seal_in_place_append_tag(nonce_used, Aad::empty(), &mut body).map_err(|_| SealError)?;
    Ok([nonce.as_slice(), &body].concat())
}

/// What was sealed.
///
/// # Errors
/// It was sealed with another key, or changed since.
pub fn unseal(key: &SiteKey, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
    let mut body = body.to_vec();
    let plain = sealing_key(key)?.open_in_place(nonce, Aad::empty(), &mut body).map_err(|_| SealError)?;
    Ok(plain.to_vec())
}

/// A mark of these fields that tells nothing of them without the site key: they may hold a PIN, which is soon guessed.
pub fn mark(key: &SiteKey, fields: &[&[u8]]) -> [u8; 32] {
    let mut mark = derived(key, b"ringback mark 1");
    for field in fields {
        mark.update(&(field.len() as u64).to_be_bytes());
        mark.update(field);
    }
    mark.finalize().into_bytes().into()
}

fn sealing_key(key: &SiteKey) -> Result<LessSafeKey, SealError> {
    let derived = derived(key, b"ringback sealed text 1").finalize().into_bytes();
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, &derived).map_err(|_| SealError)?;
    Ok(LessSafeKey::new(unbound))
}

/// The beginning of an HMAC under a key of its own, made of the site key: done with, it is that key or a hash by it.
fn derived(key: &SiteKey, purpose: &[u8]) -> HmacSha256 {
    let mut derived = HmacSha256::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    derived.update(purpose);
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_its_fields_and_of_nobody_without_the_key() {
        let (one, other) = (SiteKey::from_bytes([1; 32]), SiteKey::from_bytes([2; 32]));
        assert_eq!(mark(&one, &[b"alice", b"pin"]), mark(&one, &[b"alice", b"pin"]));
        assert_ne!(mark(&one, &[b"alice", b"pin"]), mark(&other, &[b"alice", b"pin"]), "equal texts at two sites");
        assert_ne!(mark(&one, &[b"alice", b"pin"]), mark(&one, &[b"alic", b"epin"]));
    }

    #[test]
    fn only_the_same_key_opens_what_it_sealed() {
        let key = SiteKey::from_bytes([7; 32]);
        let sealed = seal(&key, b"alice s3cret").unwrap();
        assert!(!sealed.windows(6).any(|bytes| bytes == b"s3cret"));
        assert_ne!(sealed, seal(&key, b"alice s3cret").unwrap(), "never the same twice");
        assert_eq!(unseal(&key, &sealed).unwrap(), b"alice s3cret");
        assert_eq!(unseal(&SiteKey::from_bytes([8; 32]), &sealed), Err(SealError));
        let mut changed = sealed.clone();
        changed[15] ^= 1;
        assert_eq!(unseal(&key, &changed), Err(SealError));
        assert_eq!(unseal(&key, b"short"), Err(SealError));
    }
}
