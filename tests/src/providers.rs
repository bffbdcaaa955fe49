//! The recorded requests of SMS providers (`tests/vectors/sms`), moved to another moment and signed anew the way their providers
//! sign: at the recorded moment that gives the recorded bytes.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::DateTime;
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::http::{self, Answer};
use crate::sms;

/// The requests to one source, and its settings.
#[derive(Deserialize)]
pub struct Vectors {
    /// The name of the file; the source is called so too.
    #[serde(default)]
    pub name: String,
    /// When they were recorded, in seconds.
    pub now: i64,
    /// `[sms.sources.<name>]`
    pub settings: BTreeMap<String, Value>,
    /// Requests that hold a text.
    pub accepted: Vec<Recorded>,
    /// Amazon's certificate, as far as we are Amazon.
    pub certificate: Option<String>,
    private_key: Option<String>,
}

/// One request.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Recorded {
    /// What is special about it.
    pub what: String,
    /// GET or POST.
    pub method: String,
    /// The last part of the path, if any.
    pub secret: String,
    /// What follows the question mark.
    pub query: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: String,
}

impl Recorded {
    /// Sends it to a source.
    pub fn send(&self, to: SocketAddr, source: &str) -> io::Result<Answer> {
        let mut path = format!("/sms/{source}");
        for (mark, more) in [('/', &self.secret), ('?', &self.query)] {
            if !more.is_empty() {
                path = format!("{path}{mark}{more}");
            }
        }
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        http::send(to, &self.method, &path, &headers, self.body.as_bytes())
    }

    /// The same, asking for another account's money.
    pub fn tampered(&self) -> Recorded {
        let change = |text: &str| text.replace("alice", "mallory").replace("616c696365", "6d616c6c6f7279");
        Recorded { body: change(&self.body), query: change(&self.query), ..self.clone() }
    }
}

/// All files.
pub fn all() -> Vec<Vectors> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/sms");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut vectors: Vectors = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        vectors.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        vectors
    };
    paths.iter().map(read).collect()
}

impl Vectors {
    /// A text setting.
    pub fn setting(&self, key: &str) -> &str {
        self.settings.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A request as it would have been made at this moment.
    pub fn at(&self, request: &Recorded, now: i64) -> Recorded {
        let mut request = self.moved(request, now);
        match self.setting("provider") {
            "generic" => {
                let signature = sms::signature(self.setting("signing_key"), request.body.as_bytes());
                request.headers.insert("x-ringback-signature".to_owned(), signature);
            }
            "vonage" => self.sign_parameters(&mut request),
            "vonage-messages" => self.sign_token(&mut request, "authorization", now),
            "telnyx" => self.sign_by_ed25519(&mut request, now),
            "bird" if request.headers.contains_key("messagebird-signature") => self.sign_hashes(&mut request, now),
            "bird" => self.sign_token(&mut request, "messagebird-signature-jwt", now),
            "sns" => self.sign_by_rsa(&mut request),
            _ => {}
        }
        request
    }

    /// The same with all moments moved, not yet signed.
    fn moved(&self, request: &Recorded, now: i64) -> Recorded {
        let date =
            |seconds, form: &str| DateTime::from_timestamp(seconds, 0).unwrap_or_default().format(form).to_string();
        let forms =
            ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d+%H%%3A%M%%3A%S", "%Y-%m-%dT%H%%3A%M%%3A%S", "%s"];
        let change = |text: &str| {
            forms.iter().fold(text.to_owned(), |text, form| text.replace(&date(self.now, form), &date(now, form)))
        };
        Recorded { body: change(&request.body), query: change(&request.query), ..request.clone() }
    }

    fn sign_parameters(&self, request: &mut Recorded) {
        let text = if request.method == "GET" { &request.query } else { &request.body };
        let mut all: Vec<(String, String)> = match serde_json::from_str::<BTreeMap<String, String>>(text) {
            Ok(json) => json.into_iter().collect(),
            Err(_) => url::form_urlencoded::parse(text.as_bytes()).into_owned().collect(),
        };
        all.sort();
        let old = all.iter().find(|(name, _)| name == "sig").map(|(_, value)| value.clone()).unwrap_or_default();
        let pairs = all.iter().filter(|(name, _)| name != "sig");
        let signed: String = pairs.map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_"))).collect();
        let secret = self.setting("signing_key");
        let new = match self.setting("signature") {
            "md5hash" => hex::encode(Md5::digest(signed + secret)),
            "sha256" => hex::encode(sha256(secret.as_bytes(), signed.as_bytes())),
            _ => old.clone(),
        };
        request.body = request.body.replace(&old, &new);
        request.query = request.query.replace(&old, &new);
    }

    /// The claims stay as they are but for their moments, the address and the body.
    fn sign_token(&self, request: &mut Recorded, header: &str, now: i64) {
        let Some(value) = request.headers.get(header) else { return };
        let token = value.trim_start_matches("Bearer ").to_owned();
        let parts: Vec<&str> = token.split('.').collect();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap_or_default()).unwrap_or_default();
        let mut moved = claims.clone();
        for seconds in [-1, 0, 60] {
            moved = moved.replace(&(self.now + seconds).to_string(), &(now + seconds).to_string());
        }
        let mut claimed: BTreeMap<String, Value> = serde_json::from_str(&claims).unwrap_or_default();
        let url = match request.query.as_str() {
            "" => self.setting("public_url").to_owned(),
            query => format!("{}?{query}", self.setting("public_url")),
        };
        for (name, text) in [("payload_hash", request.body.as_str()), ("url_hash", &url)] {
            if let Some(Value::String(old)) = claimed.remove(name) {
                moved = moved.replace(&old, &hex::encode(Sha256::digest(text)));
            }
        }
        let signed = format!("{}.{}", parts[0], URL_SAFE_NO_PAD.encode(moved));
        let signature = URL_SAFE_NO_PAD.encode(sha256(self.setting("signing_key").as_bytes(), signed.as_bytes()));
        let value = value.replace(&token, &format!("{signed}.{signature}"));
        request.headers.insert(header.to_owned(), value);
    }

    fn sign_by_ed25519(&self, request: &mut Recorded, now: i64) {
        let seed = STANDARD.decode(self.private_key.as_deref().unwrap_or_default()).unwrap_or_default();
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("the recorded key is a seed");
        let signature = STANDARD.encode(key.sign(format!("{now}|{}", request.body).as_bytes()));
        request.headers.insert("telnyx-timestamp".to_owned(), now.to_string());
        request.headers.insert("telnyx-signature-ed25519".to_owned(), signature);
    }

    fn sign_hashes(&self, request: &mut Recorded, now: i64) {
        let mut signed = format!("{now}\n{}\n", self.setting("public_url")).into_bytes();
        signed.extend(Sha256::digest(&request.body));
        let signature = STANDARD.encode(sha256(self.setting("signing_key").as_bytes(), &signed));
        request.headers.insert("messagebird-request-timestamp".to_owned(), now.to_string());
        request.headers.insert("messagebird-signature".to_owned(), signature);
    }

    /// Version 2; what is signed by version 1 stays as it was.
    fn sign_by_rsa(&self, request: &mut Recorded) {
        let posted: BTreeMap<String, Value> = serde_json::from_str(&request.body).unwrap_or_default();
        let field = |name: &str| posted.get(name).and_then(Value::as_str);
        if field("SignatureVersion") != Some("2") {
            return;
        }
        let names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
        let signed: String = names.iter().filter_map(|name| Some(format!("{name}\n{}\n", field(name)?))).collect();
        let pem = self.private_key.as_deref().unwrap_or_default();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let key =
            RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap_or_default()).expect("the recorded key is PKCS #8");
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("it can be signed");
        let old = field("Signature").unwrap_or_default();
        request.body = request.body.replace(old, &STANDARD.encode(signature));
    }
}

fn sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_recorded_moment_requests_are_as_recorded() {
        let mut other = 0;
        for vectors in all() {
            for request in &vectors.accepted {
                assert_eq!(vectors.at(request, vectors.now), *request, "{}, {}", vectors.name, request.what);
                other += usize::from(vectors.at(request, vectors.now + 86_400) != *request);
            }
        }
        assert!(other > 15, "only {other} requests know what time it is");
    }
}
