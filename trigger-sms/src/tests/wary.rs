//! What is limited, repeated, cut in parts or sent by strangers.

use ringback_common::config::{ProviderKind, SourceConfig};
use ringback_common::store::Take;

use super::*;

/// A signed generic text from this sender.
async fn text_from(site: &Site, id: &str, from: &str, text: &str) -> Value {
    let body = json!({ "id": id, "from": from, "to": "+12065550100", "text": text }).to_string();
    let signature = sign::generic(SECRET, body.as_bytes());
    json_of(site.post(body.into_bytes(), Some(&signature)).await).await
}

#[tokio::test]
async fn a_text_over_a_limit_is_refused_and_its_sender_told() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    let limits = Some([("jobs_per_account_per_minute".to_owned(), "0".to_owned())].into());
    let change = AccountChange { limits_off: Some(false), limits, ..AccountChange::default() };
    site.store.update_account("alice", &change).await.unwrap();
    let answer = site.text("m1", GOOD).await;
    assert_eq!(answer.status(), StatusCode::OK, "asked again, it would ring at any time");
    assert_eq!(json_of(answer).await, json!({ "outcome": "reject", "reason": "jobs_per_account_per_minute" }));
    let (kind, text) = told(&mut provider).await;
    assert_eq!(kind, "refused");
    assert!(text.starts_with("No callback: "), "{text}");
    let (_, queue) = site.close().await;
    assert_eq!(queue.depth(&Source::Jobs).await.unwrap(), 0);
}

#[tokio::test]
async fn a_command_that_comes_again_is_not_carried_out_again() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let mut site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    let cancelled = json!({ "outcome": "done", "reason": "cancelled" });
    assert_eq!(json_of(site.text("x1", "X").await).await, cancelled);
    assert_eq!(told(&mut provider).await.1, "No call of yours is under way.");
    site.text("m1", GOOD).await;
    let job = site.next_job().await;
    let me = site.store.register_engine("e1").await.unwrap().me;
    site.store.take(&me, &[Take { job: job.clone(), claim: false }]).await.unwrap();
    assert_eq!(json_of(site.text("x1", "X").await).await, cancelled, "the repeat hears the same");
    assert!(!site.store.find(&job.id).await.unwrap().unwrap().canceled, "and cancels no later call");
    assert_eq!(json_of(site.text("x2", "X").await).await, cancelled);
    assert!(site.store.find(&job.id).await.unwrap().unwrap().canceled);
    assert_eq!(told(&mut provider).await.1, "Your call is cancelled.");
    site.close().await;
    assert!(provider.taken.try_recv().is_err());
}

#[tokio::test]
async fn strangers_are_told_little_and_premium_numbers_nothing() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    for (id, from) in [("p1", "+19005551234"), ("p2", "+881612345678"), ("p3", "+18765551234")] {
        assert_eq!(text_from(&site, id, from, "hello").await["outcome"], "reject", "{from}");
    }
    for number in 0..5 {
        text_from(&site, &format!("s{number}"), "+447700900100", "hello").await;
    }
    for number in 0..120 {
        text_from(&site, &format!("t{number}"), &format!("+447700901{number:03}"), "hello").await;
    }
    assert_eq!(json_of(site.text("m1", "hello").await).await["outcome"], "reject");
    let mut all: Vec<String> = Vec::new();
    while all.last().is_none_or(|to| to != SENDER) {
        let reply: Value = serde_json::from_slice(&provider.next().await.body).unwrap();
        all.push(reply["to"].as_str().unwrap().to_owned());
    }
    site.close().await;
    while let Ok(reply) = provider.taken.try_recv() {
        let reply: Value = serde_json::from_slice(&reply.body).unwrap();
        all.push(reply["to"].as_str().unwrap().to_owned());
    }
    let told = |number: &str| all.iter().filter(|to| to.starts_with(number)).count();
    assert_eq!((told("+19"), told("+881"), told("+1876")), (0, 0, 0));
    assert_eq!(told("+447700900100"), 3, "then silence for a day");
    assert!((90..=100).contains(&(all.len() - 1)), "all strangers together: {}", all.len());
}

const PATH_SECRET: &str = "only-vonage-knows-this";

/// A site that Vonage posts to, and that answers through a stand-in.
async fn vonages(provider: &Provider) -> Site {
    let source = SourceConfig {
        provider: Some(ProviderKind::Vonage),
        path_secret: Secret::new(PATH_SECRET),
        account: Some("key".to_owned()),
        token: Secret::new("token"),
        api_base: Some(format!("http://{}", provider.address)),
        ..SourceConfig::default()
    };
    Site::open(None, |sms| drop(sms.sources.insert("vonage".to_owned(), source))).await
}

/// One part, as Vonage posts it.
async fn part(site: &Site, reference: &str, total: u8, number: u8, text: &str) -> StatusCode {
    let place = [total, number].map(|count| count.to_string());
    let form = [
        ("msisdn", &SENDER[1..]),
        ("to", "12065550100"),
        ("messageId", &format!("{reference}-{number}")),
        ("text", text),
        ("concat", "true"),
        ("concat-ref", reference),
        ("concat-total", &place[0]),
        ("concat-part", &place[1]),
    ];
    let url = format!("http://{}/sms/vonage/{PATH_SECRET}", site.address);
    site.client.post(url).form(&form).send().await.unwrap().status()
}

#[tokio::test]
async fn parts_that_a_provider_posts_one_by_one_become_one_text() {
    let provider = Provider::open("127.0.0.1:0").await;
    let mut site = vonages(&provider).await;
    for (number, text) in [(3, "004498765432"), (1, "alice pass "), (1, "alice pass "), (2, "004412345678 ")] {
        assert_eq!(part(&site, "12", 3, number, text).await, StatusCode::OK);
    }
    let job = site.next_job().await;
    assert_eq!((job.a.as_str(), job.b.unwrap().as_str()), ("+4412345678", "+4498765432"));
    assert_eq!(part(&site, "12", 3, 2, "004412345678 ").await, StatusCode::OK, "a repeat of a part");
    let (_, queue) = site.close().await;
    assert_eq!(queue.depth(&Source::Jobs).await.unwrap(), 0);
}

#[tokio::test]
async fn a_text_in_too_many_parts_is_refused_once_and_each_of_them_anew() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let site = vonages(&provider).await;
    for reference in ["13", "14"] {
        for number in 1..=30 {
            assert_eq!(part(&site, reference, 30, number, "hello").await, StatusCode::OK);
        }
        let reply = provider.next().await;
        let sent: BTreeMap<_, _> = url::form_urlencoded::parse(&reply.body).into_owned().collect();
        assert!(sent["text"].starts_with("No callback: "), "{sent:?}");
    }
    site.close().await;
    assert!(provider.taken.try_recv().is_err());
}

#[tokio::test]
async fn a_part_beyond_what_a_sender_may_leave_unfinished_is_refused_and_said() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let site = vonages(&provider).await;
    for reference in 0..=64 {
        assert_eq!(part(&site, &reference.to_string(), 2, 1, "alice pass ").await, StatusCode::OK);
    }
    let reply = provider.next().await;
    let sent: BTreeMap<_, _> = url::form_urlencoded::parse(&reply.body).into_owned().collect();
    assert!(sent["text"].contains("part"), "{sent:?}");
    site.close().await;
    assert!(provider.taken.try_recv().is_err(), "the others wait");
}

#[tokio::test]
async fn a_stranger_makes_us_fetch_few_certificates() {
    let mut amazon = Provider::answering(StatusCode::NOT_FOUND, "127.0.0.1:0").await;
    let topic = "arn:aws:sns:eu-west-1:123456789012:texts";
    let source = SourceConfig {
        provider: Some(ProviderKind::Sns),
        topics: vec![topic.to_owned()],
        certificates: Some(format!("http://{}", amazon.address)),
        ..SourceConfig::default()
    };
    let site = Site::open(None, |sms| drop(sms.sources.insert("sns".to_owned(), source))).await;
    let mut answers = Vec::new();
    for number in 0..10 {
        let forged = json!({
            "Type": "Notification", "MessageId": "1", "TopicArn": topic, "Message": "{}", "Signature": "AAAA",
            "Timestamp": Utc::now().to_rfc3339(), "SignatureVersion": "2",
            "SigningCertURL": format!("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{number}.pem"),
        });
        let url = format!("http://{}/sms/sns", site.address);
        answers.push(site.client.post(url).body(forged.to_string()).send().await.unwrap().status());
    }
    assert_eq!(answers[..2], [StatusCode::SERVICE_UNAVAILABLE; 2], "there may be such a certificate");
    assert_eq!(answers[2..], [StatusCode::UNAUTHORIZED; 8], "this peer has asked enough");
    site.close().await;
    let mut fetched = 0;
    while amazon.taken.try_recv().is_ok() {
        fetched += 1;
    }
    assert_eq!(fetched, 2);
}
