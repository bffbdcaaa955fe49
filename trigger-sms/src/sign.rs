//! Signatures of requests and replies. All comparisons take the same time whatever differs.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The header that signs a generic request, and our reply.
pub const GENERIC_HEADER: &str = "x-ringback-signature";
/// The header that signs a request from Twilio.
pub const TWILIO_HEADER: &str = "x-twilio-signature";

/// `sha256=<hex HMAC-SHA256(secret, body)>`.
pub fn generic(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Whether this header signs this body.
pub fn is_generic(secret: &str, body: &[u8], header: &str) -> bool {
    let expected = generic(secret, body);
    bool::from(expected.as_bytes().ct_eq(header.trim().to_ascii_lowercase().as_bytes()))
}

/// Base64 of HMAC-SHA1 over the public address followed by every parameter's name and value, by name.
pub fn twilio(token: &str, url: &str, parameters: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = parameters.iter().collect();
    sorted.sort();
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Whether this header signs these parameters.
pub fn is_twilio(token: &str, url: &str, parameters: &[(String, String)], header: &str) -> bool {
    bool::from(twilio(token, url, parameters).as_bytes().ct_eq(header.trim().as_bytes()))
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
