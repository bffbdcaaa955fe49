//! Amazon: texts published to an SNS topic, signed with a key whose certificate stands at an address of Amazon's.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>,
//! <https://docs.aws.amazon.com/sms-voice/latest/userguide/two-way-sms.html>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::{Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use ringback_common::config::SourceConfig;
use serde::Deserialize;
use url::Url;

use super::fields::{at_any, is_any_at, moment, need_at, object, text};
use super::outgoing::{Outgoing, at, encoded};
use super::raw::{Raw, Read, Told, TurnedAway};
use super::sigv4;
use crate::replies::Reply;

/// Amazon repeats a request for about an hour; its timestamp stays.
const WINDOW: i64 = 65 * 60;
/// Certificates that are remembered, and for how long.
const MOST_CERTIFICATES: usize = 16;
const FRESH: TimeDelta = TimeDelta::hours(24);

/// Amazon's keys, by the address of their certificates.
#[derive(Default)]
pub struct Certificates(Mutex<HashMap<String, Key>>);

struct Key {
    /// RSA modulus and exponent, in DER.
    public: Vec<u8>,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Certificates {
    /// Takes in a certificate.
    pub fn learn(&self, url: &Url, pem: &[u8], now: DateTime<Utc>) -> Result<(), &'static str> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| "it is no certificate in PEM")?;
        let certificate = pem.parse_x509().map_err(|_| "it is no X.509 certificate")?;
        let validity = certificate.validity();
        let holds = (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now.timestamp());
        if !holds {
            return Err("the certificate does not hold now");
        }
        let until = DateTime::from_timestamp(validity.not_after.timestamp(), 0).unwrap_or(now).min(now + FRESH);
        let public = certificate.public_key().subject_public_key.data.to_vec();
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST_CERTIFICATES
            && let Some(oldest) = keys.iter().min_by_key(|(_, key)| key.since).map(|(url, _)| url.clone())
        {
            keys.remove(&oldest);
        }
        keys.insert(url.to_string(), Key { public, since: now, until });
        Ok(())
    }

    /// The key behind this address; without one, whether there was one.
    fn key(&self, url: &Url, now: DateTime<Utc>) -> Result<Vec<u8>, bool> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(url.as_str());
        key.filter(|key| key.until >= now).map(|key| key.public.clone()).ok_or(key.is_some())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Posted {
    #[serde(rename = "Type")]
    kind: String,
    message_id: String,
    topic_arn: String,
    subject: Option<String>,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL", alias = "SigningCertUrl")]
    signing_cert_url: String,
    token: Option<String>,
    #[serde(rename = "SubscribeURL", alias = "SubscribeUrl")]
    subscribe_url: Option<String>,
}

/// Reads one text, or says which certificate or confirmation is due.
pub fn read(config: &SourceConfig, certificates: &Certificates, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    let posted: Posted =
        serde_json::from_slice(raw.body).map_err(|_| TurnedAway::Unproven("this is no message of SNS"))?;
    if !config.topics.contains(&posted.topic_arn) {
        return Err(TurnedAway::Unproven("the topic is none of this source's topics"));
    }
    let certificate = amazons(&posted.signing_cert_url, &posted.topic_arn)
        .filter(|url| url.path().ends_with(".pem"))
        .ok_or(TurnedAway::Unproven("SigningCertURL is no address of Amazon's for the topic's region"))?;
    if !raw.is_recent(moment(&posted.timestamp).map(|moment| moment.timestamp()), WINDOW) {
        return Err(TurnedAway::Unproven("the message is more than an hour old, or the clocks differ"));
    }
    let key = match certificates.key(&certificate, raw.now) {
        Ok(key) => key,
        Err(known) => return Ok(Read::Certificate { url: certificate, known }),
    };
    if !is_signed(&posted, &key) {
        return Err(TurnedAway::Unproven("the signature does not fit"));
    }
    match posted.kind.as_str() {
        "Notification" => notified(posted),
        "SubscriptionConfirmation" => {
            let url = posted.subscribe_url.as_deref().and_then(|url| amazons(url, &posted.topic_arn));
            url.map(Read::Confirm).ok_or_else(|| TurnedAway::malformed("SubscribeURL is no address of Amazon's"))
        }
        _ => Ok(Read::Nothing("SNS tells of something else than a text")),
    }
}

/// What stands in a topic's message: JSON of its own.
fn notified(posted: Posted) -> Result<Read, TurnedAway> {
    let message = object(posted.message.as_bytes())?;
    let said = |place: &str| at_any(&message, &[place]);
    let from = need_at(&message, &["/originationNumber"])?;
    text(said("/messageBody"), is_any_at(&message, "/mediaUrls"), |body| {
        Ok(Told {
            id: said("/inboundMessageId").unwrap_or(posted.message_id),
            from,
            to: said("/destinationNumber").unwrap_or_default(),
            body,
            received: moment(&posted.timestamp),
            ..Told::default()
        })
    })
}

/// An address of SNS in the region of this topic.
fn amazons(url: &str, topic: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let mut parts = topic.split(':').skip(1);
    let (partition, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    let is_region =
        !region.is_empty() && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let domain = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let fits = url.host_str() == Some(format!("sns.{region}.{domain}").as_str())
        && url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    (service == "sns" && is_region && fits).then_some(url)
}

/// Names and values, each on a line of its own, in the order of the names.
fn canonical(posted: &Posted) -> String {
    let subscription = matches!(posted.kind.as_str(), "SubscriptionConfirmation" | "UnsubscribeConfirmation");
    let only_there = |value: &Option<String>| value.clone().filter(|_| subscription);
    let lines = [
        ("Message", Some(posted.message.clone())),
        ("MessageId", Some(posted.message_id.clone())),
        ("Subject", posted.subject.clone().filter(|_| !subscription)),
        ("SubscribeURL", only_there(&posted.subscribe_url)),
        ("Timestamp", Some(posted.timestamp.clone())),
        ("Token", only_there(&posted.token)),
        ("TopicArn", Some(posted.topic_arn.clone())),
        ("Type", Some(posted.kind.clone())),
    ];
    lines.into_iter().filter_map(|(name, value)| Some(format!("{name}\n{}\n", value?))).collect()
}

fn is_signed(posted: &Posted, key: &[u8]) -> bool {
    let algorithm: &RsaParameters = match posted.signature_version.as_str() {
        "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "2" => &RSA_PKCS1_2048_8192_SHA256,
        _ => return false,
    };
    let Ok(signature) = STANDARD.decode(&posted.signature) else { return false };
    UnparsedPublicKey::new(algorithm, key).verify(canonical(posted).as_bytes(), &signature).is_ok()
}

/// Publishes to the sender's number. <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
pub fn reply(config: &SourceConfig, reply: &Reply, now: DateTime<Utc>) -> Option<Outgoing> {
    let region = config.region.as_deref()?;
    let url = at(config.api_base.as_deref(), &format!("https://sns.{region}.amazonaws.com"), &[""])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from);
    let body = encoded(&[
        ("Action", "Publish"),
        ("Version", "2010-03-31"),
        ("PhoneNumber", &reply.note.to),
        ("Message", &reply.text),
        ("MessageAttributes.entry.1.Name", "AWS.MM.SMS.OriginationNumber"),
        ("MessageAttributes.entry.1.Value.DataType", "String"),
        ("MessageAttributes.entry.1.Value.StringValue", from),
    ]);
    let host = url.host_str().map(|host| url.port().map_or(host.to_owned(), |port| format!("{host}:{port}")))?;
    let signer = sigv4::Signer {
        access_key: config.account.as_deref()?,
        secret_key: config.token.reveal(),
        region,
        service: "sns",
    };
    let signed = signer.sign(&host, url.path(), body.as_bytes(), now);
    Request::post(url.as_str())
        .header(header::CONTENT_TYPE, sigv4::CONTENT_TYPE)
        .header("x-amz-date", signed.date)
        .header(header::AUTHORIZATION, signed.authorization)
        .body(body.into_bytes())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazons_own_addresses_in_the_topics_region_are_asked() {
        let topic = "arn:aws:sns:eu-west-1:123456789012:texts";
        assert!(amazons("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem", topic).is_some());
        assert!(amazons("https://sns.cn-north-1.amazonaws.com.cn/x.pem", "arn:aws-cn:sns:cn-north-1:1:t").is_some());
        for url in [
            "http://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-2.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
            "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
            "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
            "https://user@sns.eu-west-1.amazonaws.com/x.pem",
            "https://bucket.s3.amazonaws.com/x.pem",
            "file:///etc/passwd",
            "",
        ] {
            assert!(amazons(url, topic).is_none(), "{url}");
        }
        assert!(amazons("https://sns..amazonaws.com/x.pem", "arn:aws:sns::1:t").is_none());
    }

    #[test]
    fn a_certificate_that_got_too_old_is_told_from_one_that_anybody_made_up() {
        let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/sms/sns.json");
        let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(vectors).unwrap()).unwrap();
        let now = DateTime::from_timestamp(vectors["now"].as_i64().unwrap(), 0).unwrap();
        let url = |name| Url::parse(&format!("https://sns.eu-west-1.amazonaws.com/{name}.pem")).unwrap();
        let certificates = Certificates::default();
        certificates.learn(&url("true"), vectors["certificate"].as_str().unwrap().as_bytes(), now).unwrap();
        assert!(certificates.key(&url("true"), now + FRESH).is_ok());
        let later = now + FRESH + TimeDelta::seconds(1);
        assert_eq!(certificates.key(&url("true"), later), Err(true), "fetched anew, whatever strangers ask for");
        assert_eq!(certificates.key(&url("made-up"), later), Err(false));
    }

    #[test]
    fn what_is_no_certificate_is_not_learnt() {
        let certificates = Certificates::default();
        let url = Url::parse("https://sns.eu-west-1.amazonaws.com/x.pem").unwrap();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for garbage in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &[0; 70_000]] {
            assert!(certificates.learn(&url, garbage, now).is_err());
        }
        assert_eq!(certificates.key(&url, now), Err(false), "it is not known");
    }
}
