//! The contract that all providers are held to, over requests that their own published SDKs signed or checked
//! (`tests/vectors/sms`; `made_by` in each file says which).

use std::collections::BTreeMap;
use std::path::Path;

use axum::http::{HeaderMap, HeaderName};
use chrono::TimeDelta;
use ringback_common::config::Secret;
use ringback_common::job::JobId;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::replies::{Note, Via};

/// Requests to one source.
#[derive(Deserialize)]
struct Vectors {
    #[serde(default)]
    name: String,
    now: i64,
    settings: SourceConfig,
    /// What the proof covers: `body`, `url`, `time`, `key`, `account`, `channel`, `topic`, `path`, `query`, `basic`.
    covers: Vec<String>,
    accepted: Vec<Recorded>,
    garbage: Vec<Recorded>,
    nothing: Vec<Recorded>,
    /// How far clocks may differ, in seconds.
    window: Option<i64>,
    certificate: Option<String>,
    confirm: Option<Recorded>,
    subscribe_url: Option<String>,
    sigv4: Option<Signed>,
}

#[derive(Clone, Deserialize)]
struct Recorded {
    what: String,
    method: String,
    secret: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: String,
    told: Vec<Expected>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Expected {
    id: String,
    from: String,
    to: String,
    body: String,
}

#[derive(Deserialize)]
struct Signed {
    body: String,
    date: String,
    authorization: String,
}

/// Every file of vectors.
fn all() -> Vec<Vectors> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/sms");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let mut vectors: Vectors = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        vectors.name = path.file_stem().unwrap().to_string_lossy().into_owned();
        vectors
    };
    paths.iter().map(read).collect()
}

impl Vectors {
    fn covers(&self, what: &str) -> bool {
        self.covers.iter().any(|covered| covered == what)
    }

    fn moment(&self, later: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(self.now, 0).unwrap() + TimeDelta::seconds(later)
    }

    /// What a source with these settings makes of a request.
    fn read_by(&self, settings: &SourceConfig, request: &Recorded, later: i64) -> Result<Read, TurnedAway> {
        let provider = Provider::new(settings.clone()).unwrap();
        let headers: HeaderMap = request
            .headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let raw = Raw {
            method: &request.method.parse().unwrap(),
            secret: &request.secret,
            query: &request.query,
            headers: &headers,
            body: request.body.as_bytes(),
            from: "203.0.113.7".parse().unwrap(),
            local: false,
            now: self.moment(later),
        };
        assert!(provider.speaks(raw.method), "{}: {}", self.name, request.what);
        match provider.read(&raw)? {
            Read::Certificate { url, known } => {
                assert!(!known, "this provider knows none yet");
                let certificate = self.certificate.as_ref().expect("only who has certificates asks for them");
                provider.learn(&url, certificate.as_bytes(), raw.now).unwrap();
                provider.read(&raw)
            }
            read => Ok(read),
        }
    }

    fn read(&self, request: &Recorded) -> Result<Read, TurnedAway> {
        self.read_by(&self.settings, request, 0)
    }

    /// It is turned away as unproven, or the test fails.
    fn unproven(&self, settings: &SourceConfig, request: &Recorded, later: i64, why: &str) {
        let read = self.read_by(settings, request, later);
        assert!(matches!(read, Err(TurnedAway::Unproven(_))), "{}, {}, {why}: {read:?}", self.name, request.what);
    }
}

#[test]
fn every_kind_of_provider_has_vectors() {
    let kinds: std::collections::BTreeSet<String> =
        all().iter().map(|vectors| format!("{:?}", vectors.settings.provider.unwrap())).collect();
    assert_eq!(kinds.len(), 13, "{kinds:?}");
}

#[test]
fn the_right_proof_is_accepted_and_the_text_is_read() {
    for vectors in all() {
        for request in &vectors.accepted {
            let Ok(Read::Texts(texts)) = vectors.read(request) else {
                panic!("{}, {}: {:?}", vectors.name, request.what, vectors.read(request));
            };
            let told: Vec<Expected> = texts
                .into_iter()
                .map(|told| Expected { id: told.id, from: told.from, to: told.to, body: told.body })
                .collect();
            assert_eq!(told, request.told, "{}, {}", vectors.name, request.what);
            assert_eq!(vectors.read(request), vectors.read(request), "{}: a repeat is the same", vectors.name);
        }
    }
}

#[test]
fn a_source_is_known_by_its_address_however_the_socket_writes_it() {
    let mut settings = all().into_iter().find(|vectors| vectors.name == "kannel").unwrap().settings;
    settings.allow_from = vec!["192.0.2.0/24".parse().unwrap()];
    let provider = Provider::new(settings.clone()).unwrap();
    for (from, allowed) in [("192.0.2.7", true), ("::ffff:192.0.2.7", true), ("::ffff:198.51.100.7", false)] {
        let raw = Raw {
            method: &Method::GET,
            secret: settings.path_secret.reveal(),
            query: "id=1&from=%2B447700900001&to=777&text=bal",
            headers: &HeaderMap::new(),
            body: b"",
            from: from.parse().unwrap(),
            local: false,
            now: DateTime::UNIX_EPOCH,
        };
        assert_eq!(provider.read(&raw).is_ok(), allowed, "{from}");
    }
}

#[test]
fn an_alphabet_that_has_all_letters_is_kept_narrow() {
    for name in ["vonage-md5", "kannel"] {
        let vectors = all().into_iter().find(|vectors| vectors.name == name).unwrap();
        let provider = Provider::new(vectors.settings.clone()).unwrap();
        let shown = |text: &str| {
            let note = Note { via: Via::new(name), to: "+34911234567".to_owned(), from: "777".to_owned() };
            let reply = Reply { job: JobId("j".to_owned()), kind: "final", note, text: text.to_owned() };
            let request = provider.reply(&reply, vectors.moment(0)).unwrap();
            format!("{} {}", request.uri(), String::from_utf8_lossy(request.body()))
        };
        let wide = |request: &str| request.contains("type=unicode") || request.contains("coding=2");
        assert!(!wide(&shown("Señor: costo 0,20 €")), "{name}: the GSM alphabet has it");
        assert!(wide(&shown("余额")), "{name}");
    }
}

#[test]
fn a_changed_body_is_turned_away() {
    for vectors in all().into_iter().filter(|vectors| vectors.covers("body")) {
        for request in &vectors.accepted {
            let first = &request.told[0].body;
            let (was, is) = (first.split(' ').next().unwrap(), "mallory");
            let mut changed = request.clone();
            let was =
                if request.body.contains(was) || request.query.contains(was) { was.to_owned() } else { "2".to_owned() };
            changed.body = changed.body.replace(&was, is);
            changed.query = changed.query.replace(&was, is);
            assert!(changed.body != request.body || changed.query != request.query, "{}", request.what);
            vectors.unproven(&vectors.settings, &changed, 0, "another sender");
            let mut longer = request.clone();
            let end = if request.body.is_empty() { &mut longer.query } else { &mut longer.body };
            end.push_str("&x=1");
            vectors.unproven(&vectors.settings, &longer, 0, "something added");
        }
    }
}

#[test]
fn a_changed_or_missing_signature_is_turned_away() {
    let signs = |name: &str| name.contains("signature") || name == "authorization";
    for vectors in all() {
        for request in &vectors.accepted {
            for name in request.headers.keys().filter(|name| signs(name) && !name.ends_with("nonce")) {
                let value = &request.headers[name];
                let flipped = if value.ends_with("AAAA=") { "BBBB=" } else { "AAAA=" };
                for wrong in ["", "x", &value[..value.len() - 1], &format!("{}{flipped}", &value[..value.len() - 5])] {
                    let mut changed = request.clone();
                    changed.headers.insert(name.clone(), wrong.to_owned());
                    vectors.unproven(&vectors.settings, &changed, 0, name);
                }
                let mut without = request.clone();
                without.headers.remove(name);
                vectors.unproven(&vectors.settings, &without, 0, "nothing");
            }
        }
    }
}

#[test]
fn another_address_secret_account_or_channel_is_turned_away() {
    for vectors in all() {
        for request in &vectors.accepted {
            let turned_away = |covered: &str, change: &dyn Fn(&mut SourceConfig)| {
                let mut settings = vectors.settings.clone();
                change(&mut settings);
                if vectors.covers(covered) {
                    vectors.unproven(&settings, request, 0, covered);
                }
            };
            turned_away("url", &|settings| settings.public_url = Some("https://sms.example.net/sms/other".to_owned()));
            turned_away("key", &|settings| {
                let other = Secret::new("bm90IHRoZSByaWdodCBrZXkgYXQgYWxsLCByZWFsbHk=");
                (settings.token, settings.signing_key) = (other.clone(), other);
            });
            turned_away("account", &|settings| settings.account = Some("another".to_owned()));
            turned_away("channel", &|settings| settings.channel = Some("another".to_owned()));
            turned_away("topic", &|settings| settings.topics = vec!["arn:aws:sns:eu-west-1:1:other".to_owned()]);
            turned_away("path", &|settings| settings.path_secret = Secret::new("another-path-secret"));
            turned_away("query", &|settings| settings.path_secret = Secret::new("another-path-secret"));
            turned_away("basic", &|settings| settings.password = Secret::new("another"));
            turned_away("basic", &|settings| settings.user = Some("another".to_owned()));
            let mut elsewhere = vectors.settings.clone();
            elsewhere.allow_from = vec!["198.51.100.0/24".parse().unwrap()];
            vectors.unproven(&elsewhere, request, 0, "from elsewhere");
            elsewhere.allow_from.push("203.0.113.7/32".parse().unwrap());
            assert!(vectors.read_by(&elsewhere, request, 0).is_ok(), "{}: from a listed address", vectors.name);
            let mut stray = request.clone();
            stray.secret.push('x');
            vectors.unproven(&vectors.settings, &stray, 0, "a path of its own");
        }
    }
}

#[test]
fn what_is_too_old_or_too_new_is_turned_away() {
    for vectors in all().into_iter().filter(|vectors| vectors.covers("time")) {
        let window = vectors.window.unwrap();
        for request in &vectors.accepted {
            vectors.unproven(&vectors.settings, request, window + 1, "an old one");
            vectors.unproven(&vectors.settings, request, -window - 1, "one of tomorrow");
            let near =
                vectors.read_by(&vectors.settings, request, if vectors.name == "messagebird" { 60 } else { window });
            assert!(near.is_ok(), "{}, {}: {near:?}", vectors.name, request.what);
        }
    }
}

#[test]
fn proven_nonsense_is_refused_with_a_sentence_and_other_news_do_nothing() {
    for vectors in all() {
        for request in &vectors.garbage {
            match vectors.read(request) {
                Err(TurnedAway::Malformed(why)) => {
                    assert!(why.len() > 20 && why.len() < 200, "{}: {why}", vectors.name)
                }
                other => panic!("{}, {:?} {:?}: {other:?}", vectors.name, request.query, request.body),
            }
        }
        for request in &vectors.nothing {
            let read = vectors.read(request);
            assert!(matches!(read, Ok(Read::Nothing(_))), "{}, {}: {read:?}", vectors.name, request.what);
        }
    }
}

#[test]
fn unproven_garbage_of_every_kind_is_turned_away_and_nothing_panics() {
    let long = "9".repeat(70_000);
    let deep = "[".repeat(60_000);
    for vectors in all() {
        for garbage in
            ["", "%", "{", "{}", "null", "&&&=", "\u{0}", &long, &deep, "sig=&timestamp=9e99", "{\"a\":1e999}"]
        {
            for method in ["GET", "POST"] {
                let mut request = vectors.accepted[0].clone();
                let provider = Provider::new(vectors.settings.clone()).unwrap();
                if !provider.speaks(&method.parse().unwrap()) {
                    continue;
                }
                request.method = method.to_owned();
                request.secret = String::new();
                request.headers = request.headers.keys().map(|name| (name.clone(), "garbage".to_owned())).collect();
                request.headers.entry("content-type".to_owned()).or_insert("text/plain".to_owned());
                (request.body, request.query) = (garbage.to_owned(), garbage.to_owned());
                vectors.unproven(&vectors.settings, &request, 0, garbage.get(..5).unwrap_or(garbage));
            }
        }
    }
}

#[test]
fn a_source_without_its_secrets_takes_nothing() {
    for vectors in all() {
        let settings = SourceConfig { provider: vectors.settings.provider, ..SourceConfig::default() };
        for request in &vectors.accepted {
            let read = vectors.read_by(&settings, &Recorded { secret: String::new(), ..request.clone() }, 0);
            assert!(
                matches!(read, Err(TurnedAway::NotSetUp(_) | TurnedAway::Unproven(_))),
                "{}: {read:?}",
                vectors.name
            );
        }
    }
}

#[test]
fn a_subscription_is_confirmed_only_for_a_configured_topic() {
    let vectors = all().into_iter().find(|vectors| vectors.name == "sns").unwrap();
    let confirm = vectors.confirm.clone().unwrap();
    let url = Url::parse(vectors.subscribe_url.as_deref().unwrap()).unwrap();
    assert_eq!(vectors.read(&confirm), Ok(Read::Confirm(url)));
    let mut other = vectors.settings.clone();
    other.topics = vec!["arn:aws:sns:eu-west-1:123456789012:others".to_owned()];
    vectors.unproven(&other, &confirm, 0, "a topic of others");
    let elsewhere = confirm.body.replace("https://sns.eu-west-1.amazonaws.com/?", "https://evil.example/?");
    vectors.unproven(&vectors.settings, &Recorded { body: elsewhere, ..confirm }, 0, "an address of others");
}

#[test]
fn amazons_requests_are_signed_as_botocore_signs_them() {
    let vectors = all().into_iter().find(|vectors| vectors.name == "sns").unwrap();
    let made = vectors.sigv4.as_ref().unwrap();
    let signer = sigv4::Signer {
        access_key: vectors.settings.account.as_deref().unwrap(),
        secret_key: vectors.settings.token.reveal(),
        region: "eu-west-1",
        service: "sns",
    };
    let signed = signer.sign("sns.eu-west-1.amazonaws.com", "/", made.body.as_bytes(), vectors.moment(0));
    assert_eq!((signed.date, signed.authorization), (made.date.clone(), made.authorization.clone()));
}

#[test]
fn answers_make_a_provider_content_or_repeat() {
    let wait = std::time::Duration::from_secs(5);
    for vectors in all() {
        let provider = Provider::new(vectors.settings.clone()).unwrap();
        let status = |outcome: &Outcome| provider.answer(outcome).status().as_u16();
        let taken = if vectors.name == "generic" { 202 } else { 200 };
        assert_eq!(status(&Outcome::Accepted(JobId("j".to_owned()))), taken, "{}", vectors.name);
        assert_eq!(status(&Outcome::Rejected("no")), 200, "{}", vectors.name);
        assert_eq!(status(&Outcome::Ignored("no")), 200, "{}", vectors.name);
        for (outcome, code) in [(Outcome::Limited("many", wait), 429), (Outcome::Unavailable(wait), 503)] {
            let answer = provider.answer(&outcome);
            assert_eq!(
                (answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()),
                (code, "5"),
                "{}",
                vectors.name
            );
        }
    }
}

/// A reply in Spanish, whose letters are no ASCII.
fn reply_to(via: &str) -> Reply {
    Reply {
        job: JobId("0123456789abcdef".to_owned()),
        kind: "final",
        note: Note { via: Via::new(via), to: "+447700900001".to_owned(), from: "+442071838750".to_owned() },
        text: "Señor & Cía: 3 min = 0.45 USD".to_owned(),
    }
}

#[test]
fn replies_go_out_as_each_providers_interface_wants_them() {
    for vectors in all() {
        let provider = Provider::new(vectors.settings.clone()).unwrap();
        assert!(provider.answers(), "{}", vectors.name);
        let request = provider.reply(&reply_to(&vectors.name), vectors.moment(0)).unwrap();
        let (method, address, proof, field) = expected(&vectors);
        assert_eq!(
            (request.method().as_str(), request.uri().to_string().split('?').next().unwrap()),
            (method, address),
            "{}",
            vectors.name
        );
        let (name, value) = proof.split_once(": ").unwrap_or((proof, ""));
        let given = request.headers().get(name).map_or("", |value| value.to_str().unwrap());
        assert!(given.starts_with(value), "{}: {name}: {given}", vectors.name);
        let sent = [request.uri().query().unwrap_or_default().as_bytes(), request.body()].concat();
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.contains(field), "{}: {field} in {sent}", vectors.name);
    }
}

/// Method, address, the header that signs us in, and what stands in body or query.
fn expected(vectors: &Vectors) -> (&'static str, &'static str, &'static str, &'static str) {
    const FORM: &str = "Se%C3%B1or+%26+C%C3%ADa%3A+3+min+%3D+0.45+USD";
    match vectors.name.split('-').next().unwrap() {
        "generic" => {
            ("POST", "http://127.0.0.1/replies", "idempotency-key: 0123456789abcdef:final", r#""text":"Señor & Cía"#)
        }
        "twilio" => (
            "POST",
            "https://api.twilio.com/2010-04-01/Accounts/AC0123456789abcdef/Messages.json",
            "authorization: Basic QUMwMTIzNDU2Nzg5YWJjZGVmOjEyMzQ1",
            "To=%2B447700900001&From=%2B442071838750&Body=Se%C3%B1or+%26",
        ),
        "vonage" if vectors.name == "vonage-messages" => (
            "POST",
            "https://api.nexmo.com/v1/messages",
            "authorization: Basic YWJjZDEyMzQ6cw==",
            r#""to":"447700900001""#,
        ),
        "vonage" => (
            "POST",
            "https://rest.nexmo.com/sms/json",
            "content-type: application/x-www-form-urlencoded",
            "api_key=abcd1234&api_secret=s&from=442071838750&to=447700900001&type=unicode&text=Se",
        ),
        "plivo" => (
            "POST",
            "https://api.plivo.com/v1/Account/MAXXXXXXXXXXXXXXXXXX/Message/",
            "authorization: Basic TUFYWFhYWFhYWFhYWFhYWFhYWFg6TXpZNU9EUTVOekUyTlRRNU9EWTA=",
            r#""dst":"+447700900001","src":"+442071838750""#,
        ),
        "telnyx" => (
            "POST",
            "https://api.telnyx.com/v2/messages",
            "authorization: Bearer KEY0123",
            r#"{"from":"+442071838750","text":"Señor & Cía: 3 min = 0.45 USD","to":"+447700900001"}"#,
        ),
        "bird" => (
            "POST",
            "https://api.bird.com/workspaces/workspace/channels/614208aa-b153-4d5d-9989-2fddfc0ce4c3/messages",
            "authorization: AccessKey access",
            r#""contacts":[{"identifierKey":"phonenumber","identifierValue":"+447700900001"}]"#,
        ),
        "messagebird" => (
            "POST",
            "https://rest.messagebird.com/messages",
            "authorization: AccessKey access",
            "originator=442071838750&recipients=447700900001&body=Se%C3%B1or+%26",
        ),
        "sinch" => (
            "POST",
            "https://us.sms.api.sinch.com/xms/v1/plan/batches",
            "authorization: Bearer apitoken",
            r#""from":"442071838750","to":["447700900001"]"#,
        ),
        "infobip" => (
            "POST",
            "https://example.api.infobip.com/sms/3/messages",
            "authorization: App key",
            r#""destinations":[{"to":"447700900001"}],"sender":"442071838750""#,
        ),
        "africastalking" => (
            "POST",
            "https://api.africastalking.com/version1/messaging",
            "apikey: key",
            "username=sandbox&to=%2B447700900001&message=Se",
        ),
        "sns" => (
            "POST",
            "https://sns.eu-west-1.amazonaws.com/",
            "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260921/eu-west-1/sns/aws4_request, ",
            "Action=Publish&Version=2010-03-31&PhoneNumber=%2B447700900001&Message=Se",
        ),
        "kannel" => ("GET", "http://127.0.0.1:13013/cgi-bin/sendsms", "x: ", FORM),
        _ => ("GET", "http://127.0.0.1:1401/send", "x: ", "coding=8&hex-content=005300650"),
    }
}

#[test]
fn answers_to_replies_are_understood() {
    let judged = |name: &str, status: u16, body: &str| {
        let vectors = all().into_iter().find(|vectors| vectors.name == name).unwrap();
        let sent =
            Provider::new(vectors.settings).unwrap().judge(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        match sent {
            Sent::Yes => "yes",
            Sent::NotYet(_) => "not yet",
            Sent::Never(_) => "never",
            Sent::Unknown(_) => "unknown",
        }
    };
    for (status, means) in [
        (200, "yes"),
        (202, "yes"),
        (302, "never"),
        (400, "never"),
        (429, "not yet"),
        (503, "not yet"),
        (500, "unknown"),
    ] {
        assert_eq!(judged("twilio", status, "{}"), means, "{status}");
    }
    let vonage = |status: &str| json!({ "message-count": "1", "messages": [{ "status": status }] }).to_string();
    for (status, means) in [("0", "yes"), ("1", "not yet"), ("5", "unknown"), ("29", "never")] {
        assert_eq!(judged("vonage-md5", 200, &vonage(status)), means, "{status}");
    }
    assert_eq!(judged("vonage-md5", 200, "<html>"), "unknown");
    let at =
        |code: i64| json!({ "SMSMessageData": { "Recipients": [{ "statusCode": code, "number": "+1" }] } }).to_string();
    for (code, means) in [(101, "yes"), (403, "never"), (500, "unknown")] {
        assert_eq!(judged("africastalking", 201, &at(code)), means, "{code}");
    }
    assert_eq!(
        judged("africastalking", 201, r#"{"SMSMessageData":{"Message":"InvalidSenderId","Recipients":[]}}"#),
        "never"
    );
    let infobip = |group: i64| json!({ "messages": [{ "status": { "groupId": group } }] }).to_string();
    for (group, means) in [(1, "yes"), (5, "never")] {
        assert_eq!(judged("infobip", 200, &infobip(group)), means, "{group}");
    }
}
