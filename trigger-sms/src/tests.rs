//! Texts over HTTP and answers over HTTP, with a real store and queue on SQLite. The engine is played by the test.

mod wary;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use chrono::Utc;
use reqwest::{Client, Response};
use ringback_common::config::{Config, Secret};
use ringback_common::event::{Envelope, RequestEvent};
use ringback_common::job::{Job, JobId};
use ringback_common::queue::{Consumer, Destination, Message, QueueConfig, Source};
use ringback_common::secret::{TriggerSecret, seal_secret};
use ringback_common::store::{AccountChange, Begun, NewAccount, StoreConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::replies::{ADMITTED_TYPE, FINISHED_TYPE};

const SENDER: &str = "+447911123456";
const SECRET: &str = "shared";
const GOOD: &str = "alice pass 004412345678 004498765432";
const ENOUGH: Duration = Duration::from_secs(20);

/// A provider that takes replies and says so to the test.
struct Provider {
    address: SocketAddr,
    taken: mpsc::UnboundedReceiver<Taken>,
}

struct Taken {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Provider {
    async fn open(address: &str) -> Provider {
        Provider::answering(StatusCode::CREATED, address).await
    }

    async fn answering(status: StatusCode, address: &str) -> Provider {
        let (tell, taken) = mpsc::unbounded_channel();
        let take = move |State(tell): State<mpsc::UnboundedSender<Taken>>,
                         uri: Uri,
                         headers: HeaderMap,
                         body: Bytes| async move {
            tell.send(Taken { path: uri.path().to_owned(), headers, body }).unwrap();
            status
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(take).with_state(tell);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Provider { address, taken }
    }

    async fn next(&mut self) -> Taken {
        tokio::time::timeout(ENOUGH, self.taken.recv()).await.expect("a reply comes").unwrap()
    }
}

/// The trigger between a provider and an engine.
struct Site {
    address: SocketAddr,
    store: Store,
    queue: Queue,
    jobs: Consumer,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Result<(), RunError>>,
    client: Client,
    _folder: TempDir,
}

impl Site {
    async fn open(reply_url: Option<String>, change: impl FnOnce(&mut SmsConfig)) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url.clone())).await.unwrap();
        let data_dir = folder.path().to_owned();
        let queue = Queue::open(&QueueConfig { url, data_dir, ..QueueConfig::default() }).await.unwrap();
        let site_key = SiteKey::from_bytes([9; 32]);
        add_alice(&store, &site_key).await;
        let config = Config::defaults(folder.path());
        let mut sms = config.sms.clone();
        sms.generic.secret = Secret::new(SECRET);
        sms.generic.reply_url = reply_url;
        change(&mut sms);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let world = World { store: store.clone(), queue: queue.clone(), site_key, rules: Rules::from(&config) };
        let running = tokio::spawn(run_on(listener, sms, world, shutdown.clone()));
        let jobs = queue.consume(&Source::Jobs, 8).await;
        let _ = rustls::crypto::ring::default_provider().install_default();
        Site { address, store, queue, jobs, shutdown, running, client: Client::new(), _folder: folder }
    }

    async fn post(&self, body: Vec<u8>, signature: Option<&str>) -> Response {
        let mut request = self.client.post(format!("http://{}/sms/generic", self.address));
        if let Some(signature) = signature {
            request = request.header(sign::GENERIC_HEADER, signature);
        }
        request.body(body).send().await.unwrap()
    }

    async fn text(&self, id: &str, text: &str) -> Response {
        let body = json!({ "id": id, "from": SENDER, "to": "+12065550100", "text": text, "later": 1 }).to_string();
        let signature = sign::generic(SECRET, body.as_bytes());
        self.post(body.into_bytes(), Some(&signature)).await
    }

    async fn next_job(&mut self) -> Job {
        let delivery = tokio::time::timeout(ENOUGH, self.jobs.next()).await.expect("a job comes");
        let envelope: Envelope<Job> = serde_json::from_slice(&delivery.body).unwrap();
        delivery.ack().await;
        envelope.data
    }

    /// What the engine says at the end. `copy` makes the same news a different message.
    async fn finish(&self, job: &Job, copy: u32) {
        let end = RequestEvent {
            status: "Finished".to_owned(),
            result: Some("Successful".to_owned()),
            talk_seconds: Some(50),
            cost: Some("0.20".parse().unwrap()),
            balance: Some("9.80".parse().unwrap()),
            ..news_of(job)
        };
        self.say(FINISHED_TYPE, format!("{}:7:{copy}", job.id), end).await;
    }

    /// What the engine says when it is about to call A.
    async fn admit(&self, job: &Job) {
        self.say(ADMITTED_TYPE, format!("{}:1", job.id), news_of(job)).await;
    }

    async fn say(&self, kind: &str, id: String, event: RequestEvent) {
        let envelope = Envelope::new(id.clone(), "/test".to_owned(), kind, Utc::now(), None, event);
        let body = serde_json::to_vec(&envelope).unwrap().into();
        let to = Destination::Replies { source: "sms".to_owned() };
        self.queue.publish(&to, &Message { id, kind: kind.to_owned(), body }).await.unwrap();
    }

    /// Ends the trigger and waits for it.
    async fn close(self) -> (Store, Queue) {
        self.shutdown.begin();
        tokio::time::timeout(ENOUGH, self.running).await.expect("it ends").unwrap().unwrap();
        (self.store, self.queue)
    }
}

/// News of a job that was just admitted.
fn news_of(job: &Job) -> RequestEvent {
    RequestEvent {
        job: job.id.clone(),
        seq: 7,
        source: "sms".to_owned(),
        account: job.account.clone(),
        status: "Request received".to_owned(),
        result: None,
        reason: None,
        a: job.a.clone(),
        b: job.b.clone(),
        quote: None,
        price_a: Some("0.10".parse().unwrap()),
        price_b: Some("0.10".parse().unwrap()),
        minutes: Some(50),
        attempts: None,
        talk_seconds: None,
        cost: None,
        currency: Some("USD".to_owned()),
        balance: Some("10.00".parse().unwrap()),
        reply: job.reply.clone(),
        metadata: BTreeMap::new(),
    }
}

async fn add_alice(store: &Store, site_key: &SiteKey) {
    let new = NewAccount {
        name: "alice".to_owned(),
        currency: "USD".to_owned(),
        balance: "10.00".parse().unwrap(),
        numbers: vec![SENDER.to_owned()],
        limits_off: true,
        ..NewAccount::default()
    };
    let account = store.add_account(&new).await.unwrap();
    let secret = TriggerSecret::read("pass").unwrap();
    let trigger_secret = Some(seal_secret(site_key, account.id, &secret));
    store.update_account("alice", &AccountChange { trigger_secret, ..AccountChange::default() }).await.unwrap();
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_signed_text_is_accepted_and_its_repeat_hears_the_same() {
    let mut site = Site::open(None, |_| ()).await;
    let first = site.text("m1", GOOD).await;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    let first = first.bytes().await.unwrap();
    let job = site.next_job().await;
    assert_eq!(serde_json::from_slice::<Value>(&first).unwrap(), json!({ "job": job.id, "outcome": "accepted" }));
    assert_eq!((job.a.as_str(), job.b.unwrap().as_str().to_owned()), ("+4412345678", "+4498765432".to_owned()));
    assert_eq!(job.reply, None, "there is no way to answer");
    let again = site.text("m1", GOOD).await;
    assert_eq!((again.status(), again.bytes().await.unwrap()), (StatusCode::ACCEPTED, first));
    let (_, queue) = site.close().await;
    assert_eq!(queue.depth(&Source::Jobs).await.unwrap(), 0);
}

#[tokio::test]
async fn every_bad_request_gets_a_clear_answer_and_no_job() {
    let site = Site::open(None, |_| ()).await;
    let signed = |body: &str| Some(sign::generic(SECRET, body.as_bytes()));
    let good = json!({ "id": "1", "from": SENDER, "to": "+1", "text": GOOD }).to_string();
    let long = "x".repeat(70_000);
    let cases = [
        (good.clone(), None, 401, "bad_signature"),
        (good.clone(), Some("sha256=00".to_owned()), 401, "bad_signature"),
        (good.clone(), signed("other"), 401, "bad_signature"),
        ("{".to_owned(), signed("{"), 400, "malformed"),
        ("[".repeat(60_000), signed(&"[".repeat(60_000)), 400, "malformed"),
        (r#"{"id":1,"from":"a","to":"b","text":"c"}"#.to_owned(), None, 401, "bad_signature"),
        (long.clone(), signed(&long), 413, "too_large"),
    ];
    for (body, signature, status, code) in cases {
        let response = site.post(body.clone().into_bytes(), signature.as_deref()).await;
        assert_eq!(response.status().as_u16(), status, "{:.60}", body);
        assert_eq!(json_of(response).await["error"], code, "{:.60}", body);
    }
    for body in [
        r#"{"id":1,"from":"a","to":"b","text":"c"}"#,
        r#"{"id":"1","id":"2","from":"a","to":"b","text":"c"}"#,
        r#"{"id":"","from":"a","to":"b","text":"c"}"#,
        r#"{"id":"1","from":"a\u001b","to":"b","text":"c"}"#,
        r#"{"id":"1","from":"a","to":"b","text":"c","received_at":"yesterday"}"#,
        r#"{"id":"1","from":"a","to":"b"}"#,
    ] {
        let response = site.post(body.into(), signed(body).as_deref()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
    }
    let get = site.client.get(format!("http://{}/sms/generic", site.address)).send().await.unwrap();
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    let lost = site.client.post(format!("http://{}/sms", site.address)).send().await.unwrap();
    assert_eq!(lost.status(), StatusCode::NOT_FOUND);
    let off = site.client.post(format!("http://{}/sms/twilio", site.address)).send().await.unwrap();
    assert_eq!(off.status(), StatusCode::NOT_FOUND);
    let (_, queue) = site.close().await;
    assert_eq!(queue.depth(&Source::Jobs).await.unwrap(), 0);
}

#[tokio::test]
async fn a_header_without_end_is_refused() {
    let site = Site::open(None, |_| ()).await;
    let header = "x".repeat(100_000);
    let answer = site.client.post(format!("http://{}/sms/generic", site.address)).header("x-long", header).send().await;
    assert!(answer.is_err() || answer.unwrap().status().is_client_error());
    assert_eq!(site.text("m1", GOOD).await.status(), StatusCode::ACCEPTED, "others are served");
}

#[tokio::test]
async fn texts_that_lead_to_nothing_say_why() {
    let site = Site::open(None, |_| ()).await;
    for (text, outcome, reason) in [
        ("hello", "reject", "too_few_words"),
        ("alice wrong 004412345678 004498765432", "reject", "bad_secret_or_user"),
        ("nobody pass 004412345678 004498765432", "reject", "bad_secret_or_user"),
        ("alice pass 004412345678 999", "reject", "never_dial"),
        ("alice pass 004412345678 18765551234", "reject", "nanp_caribbean_review"),
        (&"long ".repeat(400), "reject", "too_long"),
        (" ", "ignore", "empty_text"),
    ] {
        let response = site.text(reason, text).await;
        assert_eq!(response.status(), StatusCode::OK, "{reason}");
        assert_eq!(json_of(response).await, json!({ "outcome": outcome, "reason": reason }));
    }
    let (_, queue) = site.close().await;
    assert_eq!(queue.depth(&Source::Jobs).await.unwrap(), 0);
}

#[tokio::test]
async fn unsigned_texts_are_taken_only_on_loopback_and_not_from_browsers() {
    let unsigned = |sms: &mut SmsConfig| sms.generic.secret = Secret::default();
    let body = json!({ "id": "1", "from": SENDER, "to": "+1", "text": GOOD }).to_string();
    let closed = Site::open(None, unsigned).await;
    assert_eq!(closed.post(body.clone().into(), None).await.status(), StatusCode::UNAUTHORIZED);
    let open = |sms: &mut SmsConfig| {
        unsigned(sms);
        sms.generic.allow_unsigned = true;
    };
    let site = Site::open(None, open).await;
    assert_eq!(site.post(body.clone().into(), None).await.status(), StatusCode::ACCEPTED);
    let page =
        site.client.post(format!("http://{}/sms/generic", site.address)).header("origin", "https://evil.example");
    assert_eq!(page.body(body).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let mut config = Config::defaults(std::path::Path::new(".")).sms;
    open(&mut config);
    let public: SocketAddr = "192.0.2.1:8081".parse().unwrap();
    assert!(matches!(sources(&config, public), Err(RunError::UnsignedInPublic(..))));
    config.generic.reply_url = Some("ftp://example.net".to_owned());
    assert!(matches!(sources(&config, site.address), Err(RunError::Address(name, _)) if name == "generic"));
}

#[tokio::test]
async fn the_sender_gets_one_signed_final_reply() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let mut site = Site::open(Some(format!("http://{}/replies", provider.address)), |_| ()).await;
    site.text("m1", GOOD).await;
    let job = site.next_job().await;
    site.finish(&job, 1).await;
    let reply = provider.next().await;
    assert_eq!(reply.path, "/replies");
    assert_eq!(reply.headers["idempotency-key"], format!("{}:final", job.id));
    assert!(sign::is_generic(SECRET, &reply.body, reply.headers[sign::GENERIC_HEADER].to_str().unwrap()));
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    let text = "Your call lasted 50 s and cost 0.20 USD. 9.80 USD left.";
    assert_eq!(told, json!({ "job": job.id, "kind": "final", "to": SENDER, "from": "+12065550100", "text": text }));
    site.finish(&job, 2).await;
    site.text("m2", "alice pass 004412345678 +442071838750").await;
    let other = site.next_job().await;
    site.finish(&other, 1).await;
    let next: Value = serde_json::from_slice(&provider.next().await.body).unwrap();
    assert_eq!(next["job"], json!(other.id), "the repeated news was not told again");
    let (store, queue) = site.close().await;
    assert_eq!(store.reply_begin(&job.id, "final").await.unwrap(), Begun::Done);
    assert_eq!(queue.depth(&Source::Replies { source: "sms".to_owned() }).await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_sender_is_told_once_why() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    for _ in 0..2 {
        assert_eq!(site.text("m1", "hello").await.status(), StatusCode::OK);
    }
    assert_eq!(site.text("m2", "alice pass 1 2").await.status(), StatusCode::OK);
    let mut told: Vec<String> = Vec::new();
    for _ in 0..2 {
        let reply: Value = serde_json::from_slice(&provider.next().await.body).unwrap();
        assert_eq!((&reply["kind"], &reply["to"]), (&json!("refused"), &json!(SENDER)));
        told.push(reply["text"].as_str().unwrap().to_owned());
    }
    told.sort();
    assert!(told[0].contains("something is missing"), "{told:?}");
    assert!(told[1].contains("the first number: the number is too short"), "{told:?}");
    assert!(told.iter().all(|text| text.contains(parse::EXAMPLE)), "{told:?}");
    site.close().await;
    assert!(provider.taken.try_recv().is_err());
}

#[tokio::test]
async fn a_reply_cut_off_by_a_crash_is_sent_again_only_to_a_receiver_that_deduplicates() {
    for idempotent in [false, true] {
        let mut provider = Provider::open("127.0.0.1:0").await;
        let reply_url = Some(format!("http://{}/", provider.address));
        let mut site = Site::open(reply_url, |sms| sms.generic.idempotent = idempotent).await;
        site.text("m1", GOOD).await;
        let cut_off = site.next_job().await;
        assert_eq!(site.store.reply_begin(&cut_off.id, "final").await.unwrap(), Begun::Fresh);
        site.finish(&cut_off, 1).await;
        site.text("m2", "alice pass 004412345678 +442071838750").await;
        let other = site.next_job().await;
        site.finish(&other, 1).await;
        let mut told = Vec::new();
        for _ in 0..(1 + usize::from(idempotent)) {
            let reply: Value = serde_json::from_slice(&provider.next().await.body).unwrap();
            told.push(JobId(reply["job"].as_str().unwrap().to_owned()));
        }
        assert_eq!(told.contains(&cut_off.id), idempotent);
        assert!(told.contains(&other.id));
        let (store, _) = site.close().await;
        assert!(provider.taken.try_recv().is_err());
        assert_eq!(store.reply_begin(&cut_off.id, "final").await.unwrap(), Begun::Done, "sent or unknown");
    }
}

#[tokio::test]
async fn a_reply_waits_for_a_provider_that_is_away() {
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let mut site = Site::open(Some(format!("http://{address}/")), |_| ()).await;
    site.text("m1", GOOD).await;
    let job = site.next_job().await;
    site.finish(&job, 1).await;
    let started = tokio::time::timeout(ENOUGH, async {
        let replies = Source::Replies { source: "sms".to_owned() };
        while site.queue.depth(&replies).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    });
    started.await.expect("the reply is in hand");
    let mut provider = Provider::open(&address.to_string()).await;
    let reply: Value = serde_json::from_slice(&provider.next().await.body).unwrap();
    assert_eq!(reply["job"], json!(job.id));
    site.close().await;
}

#[tokio::test]
async fn a_shutdown_gives_back_what_certainly_was_not_sent() {
    let mut provider = Provider::answering(StatusCode::SERVICE_UNAVAILABLE, "127.0.0.1:0").await;
    let mut site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    site.text("m1", GOOD).await;
    let job = site.next_job().await;
    site.finish(&job, 1).await;
    provider.next().await;
    let (store, queue) = site.close().await;
    assert_eq!(store.reply_begin(&job.id, "final").await.unwrap(), Begun::Fresh);
    assert_eq!(queue.depth(&Source::Replies { source: "sms".to_owned() }).await.unwrap(), 1, "it is back on the queue");
}

#[tokio::test]
async fn twilio_is_believed_by_its_signature_and_answered_through_its_interface() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let api_base = format!("http://{}", provider.address);
    let url = "https://sms.example.net/sms/twilio";
    let mut site = Site::open(None, |sms| {
        sms.twilio.account_sid = Some("AC1".to_owned());
        sms.twilio.auth_token = Secret::new("token");
        sms.twilio.public_url = Some(url.to_owned());
        sms.twilio.api_base = api_base;
    })
    .await;
    let form: Vec<(String, String)> =
        [("MessageSid", "SM1"), ("AccountSid", "AC1"), ("From", SENDER), ("To", "+12065550100"), ("Body", GOOD)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
    let send = |signature: String| {
        let request = site.client.post(format!("http://{}/sms/twilio", site.address)).form(&form);
        request.header(sign::TWILIO_HEADER, signature).send()
    };
    assert_eq!(send("wrong".to_owned()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let answer = send(sign::twilio("token", url, &form)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.text().await.unwrap(), "<Response/>");
    let job = site.next_job().await;
    site.finish(&job, 1).await;
    let reply = provider.next().await;
    assert_eq!(reply.path, "/2010-04-01/Accounts/AC1/Messages.json");
    assert_eq!(reply.headers["authorization"], "Basic QUMxOnRva2Vu");
    let sent: BTreeMap<_, _> = url::form_urlencoded::parse(&reply.body).into_owned().collect();
    assert_eq!((sent["To"].as_str(), sent["From"].as_str()), (SENDER, "+12065550100"));
    assert!(sent["Body"].starts_with("Your call lasted 50 s"), "{sent:?}");
}

#[tokio::test]
async fn a_flood_of_bad_signatures_is_slowed_and_good_ones_are_not() {
    let site = Site::open(None, |_| ()).await;
    let mut turned_away = 0;
    let slowed = tokio::time::timeout(ENOUGH, async {
        loop {
            let answer = site.post(b"{}".to_vec(), Some("sha256=00")).await;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                return answer;
            }
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            turned_away += 1;
        }
    });
    let slowed = slowed.await.expect("no limit was met");
    assert!(slowed.headers().contains_key("retry-after"));
    assert!(turned_away >= 600, "{turned_away}");
    let too_long = site.post(vec![b'x'; 65 * 1024], Some("sha256=00")).await;
    assert_eq!(too_long.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let signature = sign::generic(SECRET, b"{}");
    assert_eq!(site.post(b"{}".to_vec(), Some(&signature)).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(site.text("m1", GOOD).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn without_a_store_the_source_is_asked_to_come_back() {
    let site = Site::open(None, |_| ()).await;
    site.store.close().await;
    let answer = site.text("m1", GOOD).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "5");
}

/// What the sender of a text is told, by kind.
async fn told(provider: &mut Provider) -> (String, String) {
    let reply: Value = serde_json::from_slice(&provider.next().await.body).unwrap();
    (reply["kind"].as_str().unwrap().to_owned(), reply["text"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn commands_are_carried_out_and_answered_and_questions_become_jobs() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let mut site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    let mut said = async |id: &str, text: &str| {
        let answer = json_of(site.text(id, text).await).await;
        assert_eq!((&answer["outcome"], answer["job"].is_null()), (&json!("done"), true), "{text}: {answer}");
        let (kind, text) = told(&mut provider).await;
        assert_eq!(kind, "answer");
        (answer["reason"].as_str().unwrap().to_owned(), text)
    };
    let help = said("c1", "help").await;
    assert_eq!(help.0, "help");
    assert!(help.1.contains(parse::EXAMPLE) && help.1.contains("RATE +4915112345678"), "{help:?}");
    assert_eq!(
        said("c2", "STOP").await,
        ("stopped".to_owned(), "We will not call this number any more. Send START to allow it again.".to_owned())
    );
    let stopped = json_of(site.text("m0", "alice pass +447911123456 004498765432").await).await;
    assert_eq!(stopped, json!({ "outcome": "reject", "reason": "do_not_call" }));
    assert_eq!(told(&mut provider).await.0, "refused");
    let mut said = async |id: &str, text: &str| {
        let answer = json_of(site.text(id, text).await).await;
        let (kind, text) = told(&mut provider).await;
        (answer["outcome"].as_str().unwrap().to_owned(), kind, text)
    };
    let started = said("c3", "start").await;
    assert_eq!(started.2, "We may call this number again.");
    assert_eq!(said("c4", "x").await.2, "No call of yours is under way.");
    let registered = said("c5", "REG alice pass").await;
    assert!(registered.2.starts_with("This number now belongs to the account alice."), "{registered:?}");
    let wrong = said("c6", "REG alice wrong").await;
    assert_eq!((wrong.0.as_str(), wrong.1.as_str()), ("reject", "refused"));
    assert_eq!(wrong.2, "Not done: the user name or the password is wrong.");
    assert_eq!(site.text("q1", "bal").await.status(), StatusCode::ACCEPTED);
    let job = site.next_job().await;
    assert_eq!(job.quote, Some(ringback_common::job::Quote::Balance));
    assert_eq!(site.text("q2", "rate +4915112345678").await.status(), StatusCode::ACCEPTED);
    assert_eq!(site.next_job().await.b.unwrap().as_str(), "+4915112345678");
}

#[tokio::test]
async fn a_callback_under_way_is_cancelled_by_its_sender() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let mut site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    site.text("m1", GOOD).await;
    site.next_job().await;
    assert_eq!(json_of(site.text("m2", "X").await).await["outcome"], "done");
    assert_eq!(told(&mut provider).await.1, "Your call is cancelled.");
}

#[tokio::test]
async fn an_account_is_answered_in_its_language_and_told_that_the_call_begins() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let mut site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    let language = Some("es".to_owned());
    site.store.update_account("alice", &AccountChange { language, ..AccountChange::default() }).await.unwrap();
    site.text("m1", GOOD).await;
    let job = site.next_job().await;
    site.admit(&job).await;
    let begun = "Le llamamos ahora y después al otro numero. Un minuto cuesta 0.20 USD; 10.00 USD duran 50 min.";
    assert_eq!(told(&mut provider).await, ("admitted".to_owned(), begun.to_owned()));
    site.finish(&job, 1).await;
    let over = "Su llamada duro 50 s y costo 0.20 USD. Quedan 9.80 USD.";
    assert_eq!(told(&mut provider).await, ("final".to_owned(), over.to_owned()));
    site.text("m2", "hola").await;
    let refused = told(&mut provider).await;
    assert!(refused.1.starts_with("Sin llamada: falta algo en el mensaje. Envie: nombre clave"), "{refused:?}");
}

#[tokio::test]
async fn our_own_texts_and_numbers_are_left_alone_and_chatter_is_answered_little() {
    let mut provider = Provider::open("127.0.0.1:0").await;
    let site = Site::open(Some(format!("http://{}/", provider.address)), |_| ()).await;
    for (from, to, text, reason) in [
        (SENDER, SENDER, "bal", "own_number"),
        (SENDER, "777", "Your call lasted 50 s and cost 0.20 USD. 9.80 USD left.", "own_answer"),
        (SENDER, "777", "Pas d'appel : le message n'est pas compris.", "own_answer"),
        ("InfoSMS", "777", "hello", "sender_is_no_number"),
        ("82345", "777", "hello", "sender_is_no_number"),
    ] {
        let body = json!({ "id": format!("{from}{text}"), "from": from, "to": to, "text": text }).to_string();
        let signature = sign::generic(SECRET, body.as_bytes());
        let answer = json_of(site.post(body.into_bytes(), Some(&signature)).await).await;
        assert_eq!(answer, json!({ "outcome": "ignore", "reason": reason }));
    }
    for n in 0..20 {
        assert_eq!(json_of(site.text(&format!("h{n}"), "help").await).await["outcome"], "done");
        assert_eq!(json_of(site.text(&format!("w{n}"), "what?").await).await["outcome"], "reject");
    }
    let mut kinds: Vec<String> = Vec::new();
    for _ in 0..13 {
        kinds.push(told(&mut provider).await.0);
    }
    assert_eq!(kinds.iter().filter(|kind| *kind == "answer").count(), 10);
    assert_eq!(kinds.iter().filter(|kind| *kind == "refused").count(), 3);
    site.close().await;
    assert!(provider.taken.try_recv().is_err());
}
