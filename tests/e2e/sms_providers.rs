//! Every SMS provider: its recorded request rings the phones, the answer comes back through its interface, and a tampered one
//! does nothing. One gateway for all of them.

use std::collections::BTreeMap;

use ringback_tests::clock;
use ringback_tests::http::{Received, Receiver};
use ringback_tests::phone::Manner;
use ringback_tests::providers::{self, Recorded, Vectors};
use ringback_tests::story::{A, SOON, Story, millis};
use serde_json::Value;

/// The two parties of `alice s3cret 004412345678 004498765432`.
const PARTIES: [&str; 2] = ["+4412345678", "+4498765432"];
/// What makes every provider's sender of replies content.
const CONTENT: &str =
    r#"{"sid":"SM1","messages":[{"status":"0"}],"SMSMessageData":{"Recipients":[{"statusCode":101}]}}"#;

/// Which of the recorded requests are sent: those that a moment's signature can be made for, and one of each kind.
fn chosen(vectors: &Vectors) -> Option<&Recorded> {
    match vectors.name.trim_start_matches("our-") {
        "vonage-md5" | "vonage-sha1" | "vonage-sha512" => None,
        "vonage-sha256" => vectors.accepted.iter().find(|request| request.what == "by GET"),
        "sns" => vectors.accepted.iter().find(|request| request.what == "version 2"),
        "jasmin" => vectors.accepted.iter().find(|request| request.what == "UCS-2"),
        _ => vectors.accepted.first(),
    }
}

/// All sources. None is called like a provider that has a section of its own.
fn sources() -> Vec<Vectors> {
    let mut sources: Vec<Vectors> = providers::all().into_iter().filter(|vectors| chosen(vectors).is_some()).collect();
    sources.iter_mut().for_each(|vectors| vectors.name = format!("our-{}", vectors.name));
    sources
}

/// A section of the settings for each file; replies go to the receiver, below the source's name.
fn configure(
    site: &mut ringback_tests::site::Site,
    sources: &[Vectors],
    interfaces: &Receiver,
    certificates: &Receiver,
) {
    site.set("sms.announce", "true");
    for vectors in sources {
        let mut settings = vectors.settings.clone();
        settings.insert("api_base".to_owned(), Value::from(interfaces.url(&format!("/{}", vectors.name))));
        if vectors.certificate.is_some() {
            settings.insert("certificates".to_owned(), Value::from(certificates.url("")));
        }
        for (key, value) in settings {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            site.set(&format!("sms.sources.{}.{key}", vectors.name), &text);
        }
    }
}

/// The replies that came through this source's interface.
fn replies(interfaces: &Receiver, name: &str) -> Vec<Received> {
    let mine = |one: &Received| one.path.trim_start_matches('/').split(['/', '?']).next() == Some(name);
    interfaces.received().into_iter().filter(mine).collect()
}

/// Whether a reply says how the call ended, as far as the provider's way of writing lets us see.
fn is_final(reply: &Received) -> bool {
    let body = String::from_utf8_lossy(&reply.body);
    [body.as_ref(), reply.path.as_str()].iter().any(|text| text.contains("USD") && text.contains("cost"))
        || reply.path.contains("hex-content=") && reply.path.contains("0055005300440020006c006500660074")
}

/// The same with every letter of its second half another: whatever a signature is made of, it is another one.
fn forge(value: &str) -> String {
    let another = |letter: char| match letter {
        'z' => 'a',
        'Z' => 'A',
        letter if letter.is_ascii_alphabetic() => char::from(letter as u8 + 1),
        other => other,
    };
    value.chars().enumerate().map(|(n, c)| if n < value.len() / 2 { c } else { another(c) }).collect()
}

/// Whether what proves the request covers its body.
fn signs_its_body(vectors: &Vectors) -> bool {
    let by_secret_alone = ["plivo", "sinch", "infobip", "africastalking", "kannel", "jasmin"];
    !by_secret_alone.contains(&vectors.setting("provider"))
}

#[test]
fn a_recorded_text_of_every_provider_rings_the_phones_and_is_answered_through_it() {
    let sources = sources();
    let here = ringback_tests::net::own_address();
    let (interfaces, certificates) = (Receiver::start(here).unwrap(), Receiver::start(here).unwrap());
    interfaces.say(CONTENT);
    certificates.say(sources.iter().find_map(|vectors| vectors.certificate.as_deref()).unwrap());
    let quick = || Manner::answers(millis(20)).mute();
    let story = Story::begin(quick(), quick(), |site| configure(site, &sources, &interfaces, &certificates));
    story.phones.when(PARTIES[0], quick());
    story.phones.when(PARTIES[1], quick().hangs_up_after(millis(150)));
    let door = story.site.at(8081);

    let mut asked = BTreeMap::new();
    for (done, vectors) in sources.iter().enumerate() {
        let request = vectors.at(chosen(vectors).unwrap(), chrono::Utc::now().timestamp());
        let turned_away = |request: &Recorded, why: &str| {
            let answer = request.send(door, &vectors.name).unwrap();
            assert_eq!(answer.status, 401, "{}, {why}: {}", vectors.name, answer.body);
        };
        if signs_its_body(vectors) {
            turned_away(&request.tampered(), "another sender's money");
        }
        for (name, value) in &request.headers {
            if name.contains("signature") && !name.ends_with("nonce") || name == "authorization" {
                let mut forged = request.clone();
                forged.headers.insert(name.clone(), forge(value));
                turned_away(&forged, name);
            }
        }
        turned_away(&Recorded { secret: "0123456789abcdef".to_owned(), ..request.clone() }, "a wrong path");

        let first = request.send(door, &vectors.name).unwrap();
        let again = request.send(door, &vectors.name).unwrap();
        let expected = if vectors.name == "our-generic" { 202 } else { 200 };
        assert_eq!((first.status, again.status), (expected, expected), "{}: {}", vectors.name, first.body);
        assert_eq!(first.body, again.body, "{}", vectors.name);
        if vectors.name == "our-jasmin" {
            assert_eq!(first.body, "ACK/Jasmin");
        }
        story.site.wait_idle(done + 1, SOON);
        assert_eq!(story.phones.calls_to(PARTIES[1]).len(), done + 1, "{}: one call for two copies", vectors.name);
        if vectors.setting("provider") == "plivo" {
            turned_away(&request.tampered(), "the signature of another body");
        }
        asked.insert(vectors.name.clone(), request);
    }
    assert_eq!(asked.len(), 18);
    for name in asked.keys() {
        let came = clock::wait_for(&format!("{name}: two replies, one of them final"), SOON, || {
            Some(replies(&interfaces, name)).filter(|came| came.len() >= 2 && came.iter().any(is_final))
        });
        assert_eq!(came.len(), 2, "{name}: calling now, and how it ended");
    }
    let probe = story.site.probe();
    assert_eq!(probe.replies().get("sent"), Some(&(2 * asked.len() as i64)), "{:?}", probe.replies());
    assert!(story.phones.calls_to(A).is_empty());
}
