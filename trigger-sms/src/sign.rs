//! Signatures of requests and replies. All comparisons take the same time whatever differs.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The header that signs a generic request, and our reply.
pub const GENERIC_HEADER: &str = "x-ringback-signature";
/// The header that signs a request from Twilio.
pub const TWILIO_HEADER: &str = "x-twilio-signature";

/// Whether two texts or signatures are the same.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// An HMAC over these parts, one after the other.
pub fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// HMAC-SHA256 over these parts.
pub fn sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    mac::<Hmac<Sha256>>(key, parts)
}

/// `sha256=<hex HMAC-SHA256(secret, body)>`.
pub fn generic(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(sha256(secret.as_bytes(), &[body])))
}

/// Whether this header signs this body.
pub fn is_generic(secret: &str, body: &[u8], header: &str) -> bool {
    same(generic(secret, body).as_bytes(), header.trim().to_ascii_lowercase().as_bytes())
}

/// Base64 of HMAC-SHA1 over the public address followed by every parameter's name and value, by name.
pub fn twilio(token: &str, url: &str, parameters: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = parameters.iter().collect();
    sorted.sort();
    let mut parts = vec![url.as_bytes()];
    for (name, value) in sorted {
        parts.extend([name.as_bytes(), value.as_bytes()]);
    }
    STANDARD.encode(mac::<Hmac<Sha1>>(token.as_bytes(), &parts))
}

/// Whether this header signs these parameters.
pub fn is_twilio(token: &str, url: &str, parameters: &[(String, String)], header: &str) -> bool {
    same(twilio(token, url, parameters).as_bytes(), header.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generic_signature_covers_every_byte() {
        let header = generic("secret", b"{\"id\":\"1\"}");
        let by_openssl = "sha256=6146142a2ce0159e84c0767881e4ec80bc397da62526e7d19f70795eb79460c0";
        assert_eq!(header, by_openssl);
        assert!(is_generic("secret", b"{\"id\":\"1\"}", &header));
        assert!(is_generic("secret", b"{\"id\":\"1\"}", &header.to_uppercase()));
        assert!(!is_generic("secret", b"{\"id\":\"2\"}", &header));
        assert!(!is_generic("other", b"{\"id\":\"1\"}", &header));
        for wrong in ["", "sha256=", &header[..20], &header[7..]] {
            assert!(!is_generic("secret", b"{\"id\":\"1\"}", wrong), "{wrong}");
        }
    }

    #[test]
    fn twilios_published_vectors_hold() {
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        for (from, signature) in
            [("+14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8="), ("+14158675310", "GvWf1cFY/Q7PnoempGyD5oXAezc=")]
        {
            let parameters: Vec<(String, String)> = [
                ("CallSid", "CA1234567890ABCDE"),
                ("Caller", from),
                ("Digits", "1234"),
                ("From", from),
                ("To", "+18005551212"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
            assert_eq!(twilio("12345", url, &parameters), signature);
            assert!(is_twilio("12345", url, &parameters, signature));
            assert!(!is_twilio("12346", url, &parameters, signature));
            assert!(!is_twilio("12345", "https://mycompany.com/myapp.php", &parameters, signature));
        }
    }
}
