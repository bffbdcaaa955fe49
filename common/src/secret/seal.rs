//! What lies in the store sealed with the site key: texts that wait for their other parts and may hold a PIN, and passwords that
//! we must know to use them. A copy of the database alone opens nothing.

use std::fmt;

use hmac::Mac;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
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

/// What stands before a sealed column; the number is the way it is sealed.
const SEALED: &str = "sealed:1:";

/// A column of a row of the store. What is sealed for one place opens at no other.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's own name.
    pub row: &'a str,
    /// The column.
    pub column: &'a str,
}

impl Place<'_> {
    /// Whether this is a sealed column, and not one that was written before columns were sealed.
    pub fn is_sealed(kept: &str) -> bool {
        kept.starts_with(SEALED)
    }

    /// Seals a column.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn seal(&self, key: &SiteKey, plain: &str) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError)?;
        let mut body = plain.as_bytes().to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        column_key(key)?.seal_in_place_append_tag(nonce_used, self.told(), &mut body).map_err(|_| SealError)?;
        Ok(format!("{SEALED}{}{}", hex::encode(nonce), hex::encode(body)))
    }

    /// What was sealed here, or written before columns were sealed.
    ///
    /// # Errors
    /// It was sealed with another key or for another place, or changed since.
    pub fn open(&self, key: &SiteKey, kept: &str) -> Result<String, SealError> {
        let Some(sealed) = kept.strip_prefix(SEALED) else { return Ok(kept.to_owned()) };
        let mut sealed = hex::decode(sealed).map_err(|_| SealError)?;
        let (nonce, body) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let plain = column_key(key)?.open_in_place(nonce, self.told(), body).map_err(|_| SealError)?;
        String::from_utf8(plain.to_vec()).map_err(|_| SealError)
    }

    fn told(&self) -> Aad<String> {
        Aad::from(format!("{}\0{}\0{}", self.table, self.row, self.column))
    }
}

/// A key of its own for columns, by HKDF from the site key.
fn column_key(key: &SiteKey) -> Result<LessSafeKey, SealError> {
    let from = Salt::new(HKDF_SHA256, b"ringback").extract(&key.0);
    let key = from.expand(&[b"sealed column 1"], &CHACHA20_POLY1305).map_err(|_| SealError)?;
    Ok(LessSafeKey::new(UnboundKey::from(key)))
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

    #[test]
    fn a_column_opens_with_its_key_at_its_place_and_nowhere_else() {
        let (key, other) = (SiteKey::from_bytes([7; 32]), SiteKey::from_bytes([8; 32]));
        let place = Place { table: "trunks", row: "main", column: "password" };
        let sealed = place.seal(&key, "hunter2 \u{e9}").unwrap();
        assert!(Place::is_sealed(&sealed) && !sealed.contains("hunter2"), "{sealed}");
        assert_ne!(sealed, place.seal(&key, "hunter2 \u{e9}").unwrap(), "never the same twice");
        assert_eq!(place.open(&key, &sealed).unwrap(), "hunter2 \u{e9}");
        assert_eq!(place.open(&key, "written before").unwrap(), "written before");
        assert_eq!(place.open(&other, &sealed), Err(SealError));
        for elsewhere in
            [Place { table: "t", ..place }, Place { row: "second", ..place }, Place { column: "cli", ..place }]
        {
            assert_eq!(elsewhere.open(&key, &sealed), Err(SealError), "{elsewhere:?}");
        }
        for bad in [
            "sealed:1:",
            "sealed:1:00",
            "sealed:1:xyz",
            &sealed[..sealed.len() - 2],
            &sealed.replace("sealed:1:", "sealed:1:0"),
        ] {
            assert_eq!(place.open(&key, bad), Err(SealError), "{bad}");
        }
    }
}
