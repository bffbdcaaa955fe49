//! Texts at the door, with a real store and queue on SQLite.

use tempfile::TempDir;

use serde_json::Value;

use super::*;
use crate::config::Config;
use crate::guard::Block;
use crate::job::Quote;
use crate::number::{Number, NumberError};
use crate::queue::{QueueConfig, Source};
use crate::secret::{TriggerSecret, seal_secret};
use crate::store::{AccountChange, NewAccount, StoreConfig, Take};

struct Door {
    intake: Intake,
    store: Store,
    queue: Queue,
    _folder: TempDir,
}

const SENDER: &str = "+447911123456";
const STRANGER: &str = "+447911999999";

impl Door {
    async fn open() -> Door {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url.clone())).await.unwrap();
        let settings = QueueConfig { url, data_dir: folder.path().to_owned(), ..QueueConfig::default() };
        let queue = Queue::open(&settings).await.unwrap();
        let site_key = SiteKey::from_bytes([7; 32]);
        let rules = Rules::from(&Config::defaults(folder.path()));
        let intake = Intake::new(store.clone(), queue.clone(), site_key.clone(), rules);
        let door = Door { intake, store, queue, _folder: folder };
        for (name, number, balance, limits_off) in [
            ("alice", SENDER, "10.00", true),
            ("poor", "+447911000001", "0.00", true),
            ("bob", "+447911000002", "5.00", false),
        ] {
            let new = NewAccount {
                name: name.to_owned(),
                currency: "USD".to_owned(),
                balance: balance.parse().unwrap(),
                numbers: vec![number.to_owned()],
                limits_off,
                ..NewAccount::default()
            };
            let account = door.store.add_account(&new).await.unwrap();
            let secret = TriggerSecret::read("pass").unwrap();
            let trigger_secret = Some(seal_secret(&site_key, account.id, &secret));
            door.change(name, AccountChange { trigger_secret, ..AccountChange::default() }).await;
        }
        door
    }

    async fn change(&self, name: &str, change: AccountChange) {
        self.store.update_account(name, &change).await.unwrap();
    }

    async fn jobs(&self) -> u64 {
        self.queue.depth(&Source::Jobs).await.unwrap()
    }

    #[track_caller]
    fn rejected(verdict: &Verdict) -> Reason {
        match verdict {
            Verdict::Rejected { reason, .. } => *reason,
            other => panic!("not rejected: {other:?}"),
        }
    }

    async fn refusal(&self, wish: Wish) -> Reason {
        Door::rejected(&self.intake.submit(wish).await)
    }
}

fn wish(id: &str, user: &str, secret: &str) -> Wish {
    Wish {
        source: "sms".to_owned(),
        message_id: id.to_owned(),
        sender: SENDER.to_owned(),
        payer: Payer::four_words(user, secret),
        ask: Ask::call("004412345678", "004498765432"),
        received: None,
        reply: Some("note".to_owned()),
        metadata: BTreeMap::new(),
    }
}

fn good(id: &str) -> Wish {
    wish(id, "alice", "pass")
}

#[tokio::test]
async fn an_accepted_wish_is_one_job_on_the_queue_without_its_secret() {
    let door = Door::open().await;
    let job = JobId::of_message("sms", "m1", SENDER);
    assert_eq!(door.intake.submit(good("m1")).await, Verdict::Accepted { job: job.clone() });
    let delivery = door.queue.consume(&Source::Jobs, 1).await.next().await;
    assert_eq!((delivery.id.as_str(), delivery.kind.as_str()), (job.as_str(), JOB_TYPE));
    let text = String::from_utf8(delivery.body.to_vec()).unwrap();
    assert!(!text.contains("pass"), "{text}");
    let envelope: Envelope<Job> = serde_json::from_str(&text).unwrap();
    assert_eq!(envelope.data.account, "alice");
    assert_eq!(envelope.data.a.as_str(), "+4412345678");
    assert_eq!(envelope.data.b.unwrap().as_str(), "+4498765432");
    assert_eq!(envelope.data.reply.as_deref(), Some("note"));
}

#[tokio::test]
async fn a_repeat_is_accepted_again_whatever_changed_and_queued_once() {
    let door = Door::open().await;
    let first = door.intake.submit(good("m1")).await;
    door.change("alice", AccountChange { enabled: Some(false), ..AccountChange::default() }).await;
    assert_eq!(door.intake.submit(good("m1")).await, first);
    assert_eq!(door.jobs().await, 1);
    assert_eq!(door.refusal(good("m2")).await, Reason::AccountDisabled);
}

#[tokio::test]
async fn a_repeat_is_known_from_the_store_after_a_restart() {
    let door = Door::open().await;
    let first = door.intake.submit(good("m1")).await;
    let delivery = door.queue.consume(&Source::Jobs, 1).await.next().await;
    let envelope: Envelope<Job> = serde_json::from_slice(&delivery.body).unwrap();
    let me = door.store.register_engine("e1").await.unwrap().me;
    door.store.take(&me, &[Take { job: envelope.data, claim: false }]).await.unwrap();
    delivery.ack().await;
    let restarted = Intake { recent: Arc::default(), ..door.intake.clone() };
    assert_eq!(restarted.submit(good("m1")).await, first);
    assert_eq!(Door::rejected(&restarted.submit(good("m2")).await), Reason::AlreadyCalling);
    assert_eq!(door.jobs().await, 0);
}

#[tokio::test]
async fn the_same_call_twice_is_already_under_way() {
    let door = Door::open().await;
    door.intake.submit(good("m1")).await;
    assert_eq!(door.refusal(good("m2")).await, Reason::AlreadyCalling);
    let other = Wish { ask: Ask::call("004412345678", "+442071838750"), ..good("m3") };
    assert!(matches!(door.intake.submit(other).await, Verdict::Accepted { .. }));
    assert_eq!(door.jobs().await, 2);
}

#[tokio::test]
async fn wrong_secret_and_unknown_user_hear_the_same() {
    let door = Door::open().await;
    for (user, secret) in
        [("alice", "wrong"), ("nobody", "pass"), ("bob", "pass"), ("alice", ""), ("alice", "pa\u{7}ss")]
    {
        assert_eq!(door.refusal(wish(user, user, secret)).await, Reason::BadSecretOrUser, "{user} {secret:?}");
    }
    let door = Door::open().await;
    let stranger = Wish { sender: STRANGER.to_owned(), ..good("m1") };
    assert_eq!(door.refusal(stranger).await, Reason::SenderNotRegistered);
    assert!(matches!(door.intake.submit(wish("m2", "Alice", "pass")).await, Verdict::Accepted { .. }), "autocapital");
}

#[tokio::test]
async fn five_wrong_secrets_lock_a_sender_and_nobody_can_tell() {
    let door = Door::open().await;
    for n in 0..5 {
        assert_eq!(door.refusal(wish(&format!("w{n}"), "alice", "wrong")).await, Reason::BadSecretOrUser);
    }
    assert_eq!(door.refusal(good("m1")).await, Reason::BadSecretOrUser);
    assert!(door.intake.checks().examine(&good("m1")).await.unwrap().is_ok(), "explain still tells the operator");
    assert_eq!(door.jobs().await, 0);
}

#[tokio::test]
async fn explaining_feeds_no_lockout() {
    let door = Door::open().await;
    for _ in 0..10 {
        let answer = door.intake.checks().examine(&wish("e", "alice", "wrong")).await.unwrap();
        assert_eq!(answer.err(), Some(Reason::BadSecretOrUser));
    }
    assert!(matches!(door.intake.submit(good("m1")).await, Verdict::Accepted { .. }));
}

#[tokio::test]
async fn money_numbers_and_blocks_are_checked_and_named() {
    let door = Door::open().await;
    let poor = Wish { sender: "+447911000001".to_owned(), ..wish("p", "poor", "pass") };
    assert_eq!(door.refusal(poor).await, Reason::NoMoney);
    let cases = [
        ("999", "004498765432", Reason::BadNumber(Party::A, NumberError::TooShort), "never_dial"),
        ("004412345678", "*31#", Reason::BadNumber(Party::B, NumberError::StarOrHash), "never_dial"),
        ("+97912345678", "004498765432", Reason::Blocked(Party::A, Block::HardBlocked), "hard_block_prefixes"),
        ("004412345678", "18765551234", Reason::Blocked(Party::B, Block::CaribbeanReview), "nanp_caribbean_review"),
        ("004412345678", "+4412345678", Reason::SameNumber, "same_number"),
        ("004412345678", "+44123456780000000", Reason::BadNumber(Party::B, NumberError::TooLong), "number_too_long"),
        ("hello", "004498765432", Reason::BadNumber(Party::A, NumberError::NotDigits), "bad_number"),
    ];
    for (a, b, reason, code) in cases {
        let wish = Wish { ask: Ask::call(a, b), ..good(code) };
        assert_eq!(door.refusal(wish).await, reason);
        assert_eq!(reason.code(), code);
        assert_eq!(reason.to_string().contains("never called"), code == "never_dial", "{reason}");
    }
    door.change("alice", AccountChange { allow: Some(vec!["1876".to_owned()]), ..AccountChange::default() }).await;
    let lifted = Wish { ask: Ask::call("004412345678", "18765551234"), ..good("lifted") };
    assert!(matches!(door.intake.submit(lifted).await, Verdict::Accepted { .. }));
}

#[tokio::test]
async fn limits_count_distinct_jobs_and_say_which_one_it_was() {
    let door = Door::open().await;
    let me = door.store.register_engine("e1").await.unwrap().me;
    let bobs = |n: u32| Wish {
        sender: "+447911000002".to_owned(),
        ask: Ask::call("004412345678", format!("+4420718387{n:02}")),
        ..wish(&format!("b{n}"), "bob", "pass")
    };
    let mut jobs = door.queue.consume(&Source::Jobs, 1).await;
    for n in 0..3 {
        assert!(matches!(door.intake.submit(bobs(n)).await, Verdict::Accepted { .. }), "{n}");
        let delivery = jobs.next().await;
        let envelope: Envelope<Job> = serde_json::from_slice(&delivery.body).unwrap();
        door.store.take(&me, &[Take { job: envelope.data, claim: false }]).await.unwrap();
        delivery.ack().await;
    }
    match door.intake.submit(bobs(3)).await {
        Verdict::Limited { reason, retry_after, .. } => {
            assert_eq!(reason.code(), "jobs_per_account_per_minute");
            assert_eq!(retry_after, Duration::from_secs(60));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(door.intake.submit(bobs(2)).await, Verdict::Accepted { .. }), "a repeat is no new job");
}

#[tokio::test]
async fn a_vouched_account_needs_no_secret_but_must_exist() {
    let door = Door::open().await;
    let by = |name: &str| Wish { payer: Payer::account(name), sender: "cli".to_owned(), ..good(name) };
    assert_eq!(door.refusal(by("nobody")).await, Reason::UnknownAccount);
    assert!(matches!(door.intake.submit(by("alice")).await, Verdict::Accepted { .. }));
}

#[tokio::test]
async fn a_store_that_is_gone_asks_the_source_to_repeat() {
    let door = Door::open().await;
    door.store.close().await;
    assert_eq!(door.intake.submit(good("m1")).await, Verdict::Unavailable { retry_after: RETRY_AFTER });
}

#[tokio::test]
async fn an_over_large_job_is_refused() {
    let door = Door::open().await;
    let metadata = BTreeMap::from([("note".to_owned(), Value::from("x".repeat(MAX_JOB_BYTES)))]);
    assert_eq!(door.refusal(Wish { metadata, ..good("m1") }).await, Reason::TooLarge);
}

/// Two accounts whose DIDs end alike, beside those of [`Door::open`].
async fn with_dids(door: &Door) {
    for (name, number, did, email) in [
        ("carol", "+447911000011", "+15810370728", "carol@example.net"),
        ("dave", "+447911000012", "+16040370728", "dave@example.net"),
        ("erin", "+447911000013", "+15815550001", "erin@example.net"),
    ] {
        let new = NewAccount {
            name: name.to_owned(),
            currency: "USD".to_owned(),
            balance: "10.00".parse().unwrap(),
            numbers: vec![number.to_owned(), format!("{number}9")],
            dids: vec![did.to_owned()],
            emails: vec![email.to_owned()],
            limits_off: true,
            ..NewAccount::default()
        };
        let account = door.store.add_account(&new).await.unwrap();
        let secret =
            seal_secret(&SiteKey::from_bytes([7; 32]), account.id, &TriggerSecret::read("long enough").unwrap());
        if name != "dave" {
            door.change(name, AccountChange { trigger_secret: Some(secret), ..AccountChange::default() }).await;
        }
    }
}

#[tokio::test]
async fn every_proof_opens_the_right_account_and_no_other() {
    let door = Door::open().await;
    with_dids(&door).await;
    let by = |who: Who, proof: Proof| Payer { who, proof };
    let (named, suffix) = (|n: &str| Who::Named(n.to_owned()), |d: &str| Who::Suffix(d.to_owned()));
    let secret = |s: &str, vouched| Proof::Secret { secret: s.to_owned(), vouched };
    let with = |s: &str| Proof::RegisteredAndSecret(s.to_owned());
    let mail = |from: &str| Proof::Mail(from.to_owned());
    let (carol, stranger, carols) = ("+447911000011", "+447911999999", "carol@example.net");
    let cases: Vec<(&str, Payer, Result<&str, Reason>)> = vec![
        (carol, Payer::sender(), Ok("carol")),
        (stranger, Payer::sender(), Err(Reason::SenderNotRegistered)),
        (carol, by(named("Carol"), Proof::Registered), Ok("carol")),
        (carol, by(named("erin"), Proof::Registered), Err(Reason::NotYourAccount)),
        (carol, by(named("nobody"), Proof::Registered), Err(Reason::NotYourAccount)),
        (carol, by(suffix("0370728"), Proof::Registered), Ok("carol")),
        (carol, by(suffix("5550001"), Proof::Registered), Err(Reason::NotYourAccount)),
        (carol, by(suffix("9999999"), Proof::Registered), Err(Reason::NotYourAccount)),
        ("+447911000013", by(suffix("0370728"), Proof::Registered), Err(Reason::AmbiguousDid)),
        (carol, Payer::sender_with_secret("long enough"), Ok("carol")),
        (carol, Payer::sender_with_secret("wrong"), Err(Reason::BadSecretOrUser)),
        (carol, by(suffix("0370728"), with("long enough")), Ok("carol")),
        (carol, by(suffix("5550001"), with("long enough")), Err(Reason::BadSecretOrUser)),
        (stranger, by(named("carol"), with("long enough")), Err(Reason::SenderNotRegistered)),
        (carols, Payer::mail("0370728", carols), Ok("carol")),
        (carols, by(Who::Sender, mail("Carol@Example.net")), Ok("carol")),
        (carols, Payer::mail("5550001", carols), Err(Reason::NotYourAccount)),
        (carols, Payer::mail("9999999", carols), Err(Reason::NotYourAccount)),
        ("x@y.example", Payer::mail("0370728", "x@y.example"), Err(Reason::SenderNotRegistered)),
        ("erin@example.net", Payer::mail("0370728", "erin@example.net"), Err(Reason::AmbiguousDid)),
        ("erin@example.net", Payer::mail("0000139", "erin@example.net"), Ok("erin")),
        ("x@y.example", Payer::mail_form("carol", "long enough", false), Ok("carol")),
        ("x@y.example", Payer::mail_form("CAROL", "long enough", false), Ok("carol")),
        ("x@y.example", Payer::mail_form("carol", "wrong", false), Err(Reason::BadSecretOrUser)),
        ("x@y.example", Payer::mail_form("nobody", "long enough", false), Err(Reason::BadSecretOrUser)),
        ("x@y.example", by(suffix("5550001"), secret("long enough", false)), Ok("erin")),
        ("x@y.example", by(suffix("0370728"), secret("long enough", false)), Err(Reason::AmbiguousDid)),
        (carols, by(suffix("0370728"), secret("long enough", false)), Ok("carol")),
        ("dave@example.net", Payer::mail_form("dave", "long enough", true), Err(Reason::BadSecretOrUser)),
        ("cli", by(suffix("5550001"), Proof::Trusted), Ok("erin")),
        ("cli", by(suffix("9999999"), Proof::Trusted), Err(Reason::UnknownAccount)),
        (carols, by(Who::Sender, Proof::Trusted), Ok("carol")),
    ];
    for (place, (sender, payer, expected)) in cases.into_iter().enumerate() {
        let found = door.intake.checks().payer(sender, &payer).await.unwrap();
        assert_eq!(found.map(|account| account.name), expected.map(str::to_owned), "case {place}, {sender}");
    }
}

#[tokio::test]
async fn an_account_may_want_its_mail_vouched_for() {
    let door = Door::open().await;
    with_dids(&door).await;
    door.change("erin", AccountChange { mail_must_be_vouched: Some(true), ..AccountChange::default() }).await;
    let by = |secret: &str, vouched| Payer::mail_form("erin", secret, vouched);
    let ask =
        async |payer| door.intake.checks().payer("erin@example.net", &payer).await.unwrap().map(|account| account.name);
    assert_eq!(ask(by("long enough", true)).await, Ok("erin".to_owned()));
    assert_eq!(ask(by("long enough", false)).await, Err(Reason::MailNotVouched));
    assert_eq!(ask(by("wrong", false)).await, Err(Reason::BadSecretOrUser), "who has no secret learns nothing");
}

#[tokio::test]
async fn a_spoofed_address_locks_out_no_owner_and_tries_no_account_for_long() {
    let door = Door::open().await;
    with_dids(&door).await;
    let mail = |id: &str, from: &str, secret: &str, vouched| Wish {
        source: "email".to_owned(),
        sender: from.to_owned(),
        payer: Payer::mail_form("carol", secret, vouched),
        ..good(id)
    };
    for n in 0..5 {
        let from = format!("spoofed{n}@example.net");
        assert_eq!(door.refusal(mail(&format!("s{n}"), &from, "guess", false)).await, Reason::BadSecretOrUser);
    }
    let unvouched = mail("u", "carol@example.net", "long enough", false);
    assert_eq!(door.refusal(unvouched).await, Reason::BadSecretOrUser, "guessing at carol's account is over for now");
    let vouched = mail("v", "carol@example.net", "long enough", true);
    assert!(matches!(door.intake.submit(vouched).await, Verdict::Accepted { .. }), "and she herself goes on");
}

#[tokio::test]
async fn a_missing_first_party_is_the_accounts_own_number() {
    let door = Door::open().await;
    with_dids(&door).await;
    let examine = async |sender: &str, payer, ask| {
        let wish = Wish { sender: sender.to_owned(), payer, ask, ..good("m") };
        door.intake.checks().examine(&wish).await.unwrap().map(|approved| (approved.a, approved.b, approved.quote))
    };
    let number = |text: &str| text.parse::<Number>().unwrap();
    let (first, second, b) = (number("+447911000011"), number("+4479110000119"), number("+442071838750"));
    let by_mail = || Payer::mail("0370728", "carol@example.net");
    let cases = [
        (first.as_str(), Payer::sender(), Ask::call_to("020 7183 8750"), Ok((first.clone(), Some(b.clone()), None))),
        (second.as_str(), Payer::sender(), Ask::call_me(), Ok((second.clone(), None, None))),
        ("carol@example.net", by_mail(), Ask::call_me(), Ok((first.clone(), None, None))),
        ("carol@example.net", by_mail(), Ask::call_to("020 7183 8750"), Ok((first.clone(), Some(b.clone()), None))),
        (first.as_str(), Payer::sender(), Ask::call_to(first.as_str()), Err(Reason::SameNumber)),
        (first.as_str(), Payer::sender(), Ask::Balance, Ok((first.clone(), None, Some(Quote::Balance)))),
        (first.as_str(), Payer::sender(), Ask::LastCall, Ok((first.clone(), None, Some(Quote::LastCall)))),
        (
            first.as_str(),
            Payer::sender(),
            Ask::Rate { number: "020 7183 8750".to_owned() },
            Ok((first.clone(), Some(b.clone()), Some(Quote::Rate))),
        ),
    ];
    for (place, (sender, payer, ask, expected)) in cases.into_iter().enumerate() {
        assert_eq!(examine(sender, payer, ask).await, expected, "case {place}");
    }
    door.change("carol", AccountChange { numbers: Some(Vec::new()), ..AccountChange::default() }).await;
    assert_eq!(examine("carol@example.net", by_mail(), Ask::call_me()).await, Err(Reason::NoCallbackNumber));
}

#[tokio::test]
async fn a_question_becomes_a_job_that_dials_nothing_and_may_be_asked_again() {
    let door = Door::open().await;
    let poor =
        |id: &str| Wish { sender: "+447911000001".to_owned(), payer: Payer::sender(), ask: Ask::Balance, ..good(id) };
    for id in ["q1", "q2"] {
        assert!(matches!(door.intake.submit(poor(id)).await, Verdict::Accepted { .. }), "no money is needed to ask");
        let delivery = door.queue.consume(&Source::Jobs, 1).await.next().await;
        let envelope: Envelope<Job> = serde_json::from_slice(&delivery.body).unwrap();
        assert_eq!((envelope.data.kind, envelope.data.quote), (JobKind::Quote, Some(Quote::Balance)));
        delivery.ack().await;
    }
    let plain: Value =
        serde_json::to_value(Job { kind: JobKind::Callback, quote: None, ..job_of(&door).await }).unwrap();
    assert!(plain.get("kind").is_none() && plain.get("quote").is_none(), "{plain}");
}

async fn job_of(door: &Door) -> Job {
    assert!(matches!(door.intake.submit(good("plain")).await, Verdict::Accepted { .. }));
    let delivery = door.queue.consume(&Source::Jobs, 1).await.next().await;
    let envelope: Envelope<Job> = serde_json::from_slice(&delivery.body).unwrap();
    delivery.ack().await;
    envelope.data
}
