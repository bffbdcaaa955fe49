//! Shapes of posts as providers send them: pictures, missing and empty and structured bodies, several messages, odd ones beside
//! good ones. All of them are taken, and none says more than its sender wrote.

use axum::http::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{EncodingKey, Header, encode};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ringback_common::config::Secret;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::sign::{sha256, twilio};

const KEY: &str = "a key of forty characters for everything";
const URL: &str = "https://sms.example.net/sms/x";
const PATH: &str = "secret-in-the-path";
const NOW: i64 = 1_790_000_000;

/// What a source of this kind makes of a body that proves itself: the ids and texts, or the sentence of a refusal.
fn told(kind: ProviderKind, body: &str) -> Result<Vec<(String, String)>, String> {
    let telnyx = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let is_telnyx = kind == ProviderKind::Telnyx;
    let signing_key = match kind {
        ProviderKind::Telnyx => STANDARD.encode(telnyx.public_key().as_ref()),
        ProviderKind::Bird | ProviderKind::VonageMessages => KEY.to_owned(),
        _ => String::new(),
    };
    let config = SourceConfig {
        provider: Some(kind),
        account: (kind == ProviderKind::Twilio).then(|| "AC1".to_owned()),
        token: Secret::new(KEY),
        signing_key: Secret::new(signing_key.as_str()),
        path_secret: Secret::new(PATH),
        public_url: Some(URL.to_owned()),
        ..SourceConfig::default()
    };
    let signed = |more: &[&[u8]]| STANDARD.encode(sha256(KEY.as_bytes(), more));
    let claims = json!({ "iss": "MessageBird", "jti": "1", "iat": NOW, "nbf": NOW, "exp": NOW + 60,
        "url_hash": hex::encode(Sha256::digest(URL)), "payload_hash": hex::encode(Sha256::digest(body)) });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(KEY.as_bytes())).unwrap();
    let now = NOW.to_string();
    let is_json = body.starts_with('{');
    let headers: Vec<(&str, String)> = match kind {
        ProviderKind::Twilio => {
            vec![("x-twilio-signature", twilio(KEY, URL, &fields::Parameters::read(body.as_bytes()).0))]
        }
        ProviderKind::Plivo => {
            vec![
                ("x-plivo-signature-v2", signed(&[URL.as_bytes(), b"n"])),
                ("x-plivo-signature-v2-nonce", "n".to_owned()),
            ]
        }
        ProviderKind::Bird if is_json => vec![
            ("messagebird-signature", signed(&[now.as_bytes(), b"\n", URL.as_bytes(), b"\n", &Sha256::digest(body)])),
            ("messagebird-request-timestamp", now.clone()),
        ],
        ProviderKind::Bird => vec![("messagebird-signature-jwt", token)],
        ProviderKind::VonageMessages => vec![("authorization", format!("Bearer {token}"))],
        _ if is_telnyx => {
            let signature = telnyx.sign(&[now.as_bytes(), b"|", body.as_bytes()].concat());
            vec![("telnyx-timestamp", now.clone()), ("telnyx-signature-ed25519", STANDARD.encode(signature))]
        }
        _ => Vec::new(),
    };
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect();
    let by_get = kind == ProviderKind::Kannel;
    let raw = Raw {
        method: if by_get { &Method::GET } else { &Method::POST },
        secret: PATH,
        query: if by_get { body } else { "" },
        headers: &headers,
        body: if by_get { b"" } else { body.as_bytes() },
        from: "203.0.113.7".parse().unwrap(),
        local: false,
        now: DateTime::from_timestamp(NOW, 0).unwrap(),
    };
    match Provider::new(config).unwrap().read(&raw) {
        Ok(Read::Texts(texts)) => Ok(texts.into_iter().map(|told| (told.id, told.body)).collect()),
        Ok(Read::Nothing(_)) => Ok(Vec::new()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn messages_without_text_are_taken_and_say_nothing() {
    use ProviderKind::*;
    for (kind, body) in [
        (Twilio, "AccountSid=AC1&MessageSid=MM1&From=%2B447700900001&To=%2B1&NumMedia=1&MediaUrl0=https%3A%2F%2Fx"),
        (Twilio, "AccountSid=AC1&MessageSid=MM1&From=%2B447700900001&To=%2B1&NumMedia=1&Body="),
        (Twilio, "AccountSid=AC1&MessageSid=SM1&From=%2B447700900001&MessageStatus=delivered"),
        (Plivo, "MessageUUID=1&From=447700900001&To=44&Type=mms&Media0=https%3A%2F%2Fx"),
        (Plivo, "MessageUUID=1&From=447700900001&To=44&Type=mms&Text=&MediaCount=1"),
        (Bird, "id=1&originator=447700900001&recipient=44&message=x&mediaUrls=y"),
        (Bird, "id=1&originator=447700900001&recipient=44&message=x"),
        (
            Bird,
            r#"{"event":"sms.inbound","payload":{"id":"1","channelId":"c","body":{"type":"image","image":{"images":[]}}}}"#,
        ),
        (Bird, r#"{"event":"sms.inbound","payload":{"id":"1","channelId":"c","sender":null,"body":null}}"#),
        (Bird, r#"{"event":"sms.inbound","payload":{"id":"1","body":{"type":"text","text":null}}}"#),
        (Infobip, r#"{"results":[{"messageId":"1","from":"44","text":null}]}"#),
        (Infobip, r#"{"results":[{"messageId":"1","from":"44","message":[{"contentType":"image/jpeg","url":"x"}]}]}"#),
        (Infobip, r#"{"results":[null,7,"x",{}]}"#),
        (
            Sinch,
            r#"{"type":"mo_media","id":"1","from":"44","to":"45","body":{"subject":"","message":"","media":[{}]}}"#,
        ),
        (Sinch, r#"{"type":"mo_media","id":"1","from":"44","to":"45","body":{"media":[{}]}}"#),
        (Sinch, r#"{"type":"mo_binary","id":"1","from":"44","to":"45","body":"AAA=","udh":"00"}"#),
        (Sinch, r#"{"type":"mo_text","id":"1","from":"44","to":"45","body":null}"#),
        (Sinch, r#"{"type":"mo_text","id":"1","from":"44","to":"45"}"#),
        (
            Telnyx,
            r#"{"data":{"event_type":"message.received","payload":{"id":"1","from":{"phone_number":"+44"},"text":null,"media":[{}]}}}"#,
        ),
        (
            Telnyx,
            r#"{"data":{"event_type":"message.received","payload":{"id":"1","from":{"phone_number":"+44"},"text":"","media":[{}]}}}"#,
        ),
        (
            VonageMessages,
            r#"{"channel":"mms","message_type":"image","message_uuid":"1","from":"44","to":"45","image":{"url":"x"}}"#,
        ),
        (
            VonageMessages,
            r#"{"channel":"sms","message_type":"text","message_uuid":"1","from":"44","to":"45","text":null}"#,
        ),
        (VonageMessages, r#"{"message_uuid":"1","status":"delivered","from":{"type":"sms","number":"44"},"to":{}}"#),
        (Vonage, "msisdn=447700900001&to=44&messageId=1&type=text"),
        (Africastalking, "id=1&from=%2B447700900001&to=777"),
        (Kannel, "id=1&from=%2B447700900001&to=777"),
        (Jasmin, "id=1&from=447700900001&to=777&coding=0"),
    ] {
        assert_eq!(told(kind, body), Ok(Vec::new()), "{kind:?} {body}");
    }
}

#[test]
fn a_text_is_found_wherever_it_stands() {
    use ProviderKind::*;
    let parts = r#"[{"contentType":"text/plain; charset=utf-8","value":"bal"},{"contentType":"image/png","url":"x"}]"#;
    let infobip = format!(r#"{{"results":[{{"messageId":"1","from":447700900001,"message":{parts}}}]}}"#);
    for (kind, body) in [
        (Twilio, "AccountSid=AC1&MessageSid=1&From=%2B447700900001&NumMedia=1&MediaUrl0=x&Body=bal"),
        (Plivo, "MessageUUID=1&From=447700900001&Type=mms&Media0=x&Body=bal"),
        (Plivo, "MessageUUID=1&From=447700900001&Type=mms&Media0=x&Text=bal"),
        (Bird, "id=1&id=1&body=bal&body=bal&originator=447700900001&recipient=44"),
        (Bird, "id=1&message_id=1&payload=bal&originator=447700900001"),
        (Bird, r#"{"event":"sms.inbound","payload":{"id":"1","body":{"type":"text","text":{"text":"bal"}}}}"#),
        (
            Bird,
            r#"{"event":"sms.inbound","payload":{"id":"1","body":{"type":"image","image":{"text":"bal","images":[]}}}}"#,
        ),
        (Infobip, r#"{"results":[{"messageId":"1","from":"44","to":null,"text":"bal","receivedAt":null}]}"#),
        (Infobip, r#"{"results":[{"messageId":"1","from":"44","message":{"type":"TEXT","text":"bal"}}]}"#),
        (Infobip, &infobip),
        (
            Sinch,
            r#"{"type":"mo_media","id":"1","from":"44","to":"45","body":{"subject":"","message":"bal","media":[{}]}}"#,
        ),
        (Sinch, r#"{"type":"mo_text","id":"1","from":44,"body":"bal"}"#),
        (
            Telnyx,
            r#"{"data":{"event_type":"message.received","payload":{"id":"1","from":{"phone_number":"+44"},"to":[],"text":"bal","media":[{}]}}}"#,
        ),
        (
            Telnyx,
            r#"{"data":{"event_type":"message.received","payload":{"id":"1","from":"+44","to":"+45","text":"bal"}}}"#,
        ),
        (
            VonageMessages,
            r#"{"channel":"sms","message_type":"text","message_uuid":"1","from":"44","to":"45","text":"bal"}"#,
        ),
        (
            VonageMessages,
            r#"{"message_uuid":"1","from":{"type":"sms","number":"44"},"to":{"type":"sms","number":"45"},"message":{"content":{"type":"text","text":"bal"}}}"#,
        ),
    ] {
        assert_eq!(told(kind, body), Ok(vec![("1".to_owned(), "bal".to_owned())]), "{kind:?} {body}");
    }
}

#[test]
fn an_odd_message_does_not_cost_the_good_one_beside_it() {
    let good = r#"{"messageId":"2","from":"447700900001","to":"44","text":"bal"}"#;
    for odd in [
        "null",
        "{}",
        "[]",
        "7",
        r#"{"messageId":"1","from":"44","text":null}"#,
        r#"{"messageId":{},"from":[],"text":{}}"#,
    ] {
        for both in [format!("{odd},{good}"), format!("{good},{odd}")] {
            let read = told(ProviderKind::Infobip, &format!(r#"{{"results":[{both}],"messageCount":2}}"#));
            assert_eq!(read, Ok(vec![("2".to_owned(), "bal".to_owned())]), "{odd}");
        }
    }
}

#[test]
fn what_names_neither_message_nor_sender_is_still_refused() {
    use ProviderKind::*;
    for (kind, body) in [
        (Twilio, "AccountSid=AC1&Body=bal"),
        (Plivo, "Text=bal"),
        (Bird, "body=bal"),
        (Bird, r#"{"event":"sms.inbound"}"#),
        (Infobip, "{}"),
        (Sinch, r#"{"type":"mo_text","body":"bal"}"#),
        (Telnyx, r#"{"data":{"event_type":"message.received","payload":{"text":"bal"}}}"#),
        (VonageMessages, r#"{"channel":"sms","message_type":"text","text":"bal"}"#),
        (Africastalking, "text=bal"),
        (Kannel, "text=bal"),
    ] {
        assert!(told(kind, body).is_err_and(|why| why.starts_with("Err(Malformed")), "{kind:?} {body}");
    }
}
