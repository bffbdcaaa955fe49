//! Signed claims about a request: JSON web tokens by HMAC.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::sign::same;

/// What a provider claims about its request.
#[derive(Deserialize)]
pub struct Claims {
    /// Who claims it.
    pub iss: Option<String>,
    /// When it was claimed.
    pub iat: Option<i64>,
    /// Not to be believed before.
    pub nbf: Option<i64>,
    /// Not to be believed after.
    pub exp: Option<i64>,
    /// The claim's own id.
    pub jti: Option<String>,
    /// Which account it is about.
    pub api_key: Option<String>,
    /// SHA-256 of the address, in hexadecimal.
    pub url_hash: Option<String>,
    /// SHA-256 of the body, in hexadecimal.
    pub payload_hash: Option<String>,
}

/// The claims of a token that this secret signed. The moments in them are the caller's to check.
pub fn read(token: &str, secret: &str, algorithms: &[Algorithm]) -> Option<Claims> {
    let mut validation = Validation::default();
    validation.algorithms = algorithms.to_vec();
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let read = decode::<Claims>(token, &DecodingKey::from_secret(secret.as_bytes()), &validation);
    read.ok().map(|data| data.claims)
}

/// Whether a claimed hash is that of these bytes.
pub fn is_hash_of(claimed: Option<&str>, bytes: &[u8]) -> bool {
    let expected = hex::encode(Sha256::digest(bytes));
    claimed.is_some_and(|claimed| same(expected.as_bytes(), claimed.to_ascii_lowercase().as_bytes()))
}
