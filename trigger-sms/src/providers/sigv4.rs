//! Amazon's signature of requests, version 4, for POSTed forms.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::sign::sha256;

/// The type of the body; it is signed too.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Who signs for what.
pub struct Signer<'a> {
    /// The access key's id.
    pub access_key: &'a str,
    /// The access key.
    pub secret_key: &'a str,
    /// Like `eu-west-1`.
    pub region: &'a str,
    /// Like `sns`.
    pub service: &'a str,
}

/// Two headers of a signed request.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    /// `x-amz-date`
    pub date: String,
    /// `authorization`
    pub authorization: String,
}

impl Signer<'_> {
    /// Signs a POST of this body to this host and path.
    pub fn sign(&self, host: &str, path: &str, body: &[u8], now: DateTime<Utc>) -> Signed {
        const HEADERS: &str = "content-type;host;x-amz-date";
        let (day, date) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
        let request = format!(
            "POST\n{path}\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\n\n{HEADERS}\n{}",
            hex::encode(Sha256::digest(body))
        );
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
        let first = format!("AWS4{}", self.secret_key).into_bytes();
        let steps = [day.as_str(), self.region, self.service, "aws4_request", &text];
        let signature = steps.iter().fold(first, |key, step| sha256(&key, &[step.as_bytes()]));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={HEADERS}, Signature={}",
            self.access_key,
            hex::encode(signature)
        );
        Signed { date, authorization }
    }
}
