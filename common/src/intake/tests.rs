//! Texts at the door, with a real store and queue on SQLite.

mod commands;
mod limits;

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
const CAROL: &str = "+447911000011";

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
        terms: Default::default(),
        forwards: Vec::new(),
        not_before: None,
        received: None,
        reply: Some("note".to_owned()),
        metadata: BTreeMap::new(),
    }
}

fn good(id: &str) -> Wish {
    wish(id, "alice", "pass")
}

fn carols(id: &str, ask: Ask) -> Wish {
    Wish { sender: CAROL.to_owned(), payer: Payer::sender(), ask, ..good(id) }
}

/// What an engine does with the jobs on the queue, without calling anybody.
async fn taken(door: &Door) -> Vec<Job> {
    let me = door.store.register_engine("e1").await.unwrap().me;
    let waiting = door.jobs().await;
    let mut jobs = door.queue.consume(&Source::Jobs, 8).await;
    let mut taken = Vec::new();
    for _ in 0..waiting {
        let delivery = jobs.next().await;
        let job = serde_json::from_slice::<Envelope<Job>>(&delivery.body).unwrap().data;
        door.store.take(&me, &[Take { job: job.clone(), claim: false }]).await.unwrap();
        delivery.ack().await;
        taken.push(job);
    }
    taken
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
async fn who_owns_a_domain_cannot_guess_for_ever_and_who_owns_the_account_goes_on() {
    let door = Door::open().await;
    with_dids(&door).await;
    let mail = |id: &str, from: &str, secret: &str| Wish {
        source: "email".to_owned(),
        sender: from.to_owned(),
        payer: Payer::mail_form("carol", secret, true),
        ..good(id)
    };
    for (n, from) in ["a@evil.example", "b@evil.example", "erin@example.net", "c@evil.example", "d@worse.example"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(door.refusal(mail(&format!("g{n}"), from, "guess")).await, Reason::BadSecretOrUser);
    }
    let sixth = mail("g6", "e@evil.example", "long enough");
    assert_eq!(door.refusal(sixth).await, Reason::BadSecretOrUser, "even the right one is not found by guessing");
    let own = mail("own", "Carol@Example.net", "long enough");
    assert!(matches!(door.intake.submit(own).await, Verdict::Accepted { .. }), "her own address is not locked out");
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
        (
            "carol@example.net",
            Payer::mail("0000119", "carol@example.net"),
            Ask::call_me(),
            Ok((second.clone(), None, None)),
        ),
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

#[tokio::test]
async fn the_same_call_by_another_trigger_is_already_under_way() {
    let door = Door::open().await;
    with_dids(&door).await;
    let mail = |id: &str| Wish { source: "email".to_owned(), ..carols(id, Ask::call_to("+442071838750")) };
    door.intake.submit(carols("m1", Ask::call_to("+442071838750"))).await;
    assert_eq!(door.refusal(mail("e1")).await, Reason::AlreadyCalling, "on its way to an engine");
    let first = taken(&door).await.remove(0);
    let restarted = Intake { recent: Arc::default(), ..door.intake.clone() };
    assert_eq!(Door::rejected(&restarted.submit(mail("e2")).await), Reason::AlreadyCalling);
    let me = door.store.register_engine("e1").await.unwrap().me;
    let claimed = door.store.claim_due(&me, 1).await.unwrap().remove(0);
    let mut end = crate::store::Step::new(first.id.clone(), "e1", claimed.row.epoch);
    (end.request.finished, end.request.setup_time) = (Some(true), Some(Utc::now()));
    door.store.writer().step(end).await.unwrap();
    assert_eq!(Door::rejected(&restarted.submit(mail("e3")).await), Reason::AlreadyCalling, "within the window");
    let again = restarted.submit(carols("m2", Ask::call_to("+442071838750"))).await;
    assert!(matches!(again, Verdict::Accepted { .. }), "the same trigger after the end is a new callback");
}

#[tokio::test]
async fn refusals_stand_in_the_history_of_the_account_they_concern() {
    let door = Door::open().await;
    door.refusal(wish("m1", "alice", "wrong")).await;
    door.refusal(Wish { ask: Ask::call("hello", "world"), ..good("m2") }).await;
    door.refusal(Wish { sender: STRANGER.to_owned(), ..good("m3") }).await;
    door.intake.refused("email", "alice@example.net", Some("alice"), "mail_not_signed").await;
    door.intake.refused("email", "alice@example.net", Some("nobody"), "mail_not_signed").await;
    door.intake.refused("email", "alice@example.net", None, "mail_not_signed").await;
    let id = door.store.account_by_name("alice").await.unwrap().unwrap().id;
    let history = door.store.refusals(id, 20).await.unwrap();
    let told: Vec<_> =
        history.iter().map(|one| (one.source.as_str(), one.reason.as_str(), one.sender.as_str())).collect();
    assert_eq!(told, [("email", "mail_not_signed", "a…@example.net"), ("sms", "bad_secret_or_user", "+44…3456")]);
}

#[tokio::test]
async fn another_phone_is_called_first_only_for_a_password_or_if_it_is_the_accounts() {
    let door = Door::open().await;
    with_dids(&door).await;
    let carol = "+447911000011";
    let (own, other) = ("+4479110000119", "+442071838750");
    for (payer, a, expected) in [
        (Payer::sender(), other, Err(Reason::PinNeeded)),
        (Payer { who: Who::Suffix("0370728".to_owned()), proof: Proof::Registered }, other, Err(Reason::PinNeeded)),
        (Payer::sender(), own, Ok(())),
        (Payer::sender(), carol, Ok(())),
        (Payer::sender_with_secret("long enough"), other, Ok(())),
    ] {
        let wish = Wish {
            source: "sms".to_owned(),
            message_id: "m".to_owned(),
            sender: carol.to_owned(),
            payer,
            ask: Ask::call(a, "+4915112345678"),
            terms: Default::default(),
            forwards: Vec::new(),
            not_before: None,
            received: None,
            reply: None,
            metadata: BTreeMap::new(),
        };
        let found = door.intake.checks().examine(&wish).await.unwrap();
        assert_eq!(found.map(|_| ()), expected, "{a}");
    }
}

/// The next job on the queue.
async fn next_job(door: &Door) -> Job {
    let delivery = door.queue.consume(&Source::Jobs, 1).await.next().await;
    let envelope: Envelope<Job> = serde_json::from_slice(&delivery.body).unwrap();
    delivery.ack().await;
    envelope.data
}

#[tokio::test]
async fn forward_numbers_are_checked_like_the_parties_and_travel_in_dialable_form() {
    let door = Door::open().await;
    let with =
        |id: &str, forward: &str| Wish { forwards: vec!["004412345679".to_owned(), forward.to_owned()], ..good(id) };
    assert_eq!(
        door.refusal(with("m1", "hello")).await,
        Reason::BadNumber(Party::Forward, crate::number::NumberError::NotDigits)
    );
    let blocked = door.refusal(with("m2", "+881612345678")).await;
    assert!(matches!(blocked, Reason::Blocked(Party::Forward, _)), "{blocked:?}");
    door.store.do_not_call("+4412345670", crate::store::PutBy::Operator, None).await.unwrap();
    assert_eq!(
        door.refusal(with("m3", "004412345670")).await,
        Reason::Blocked(Party::Forward, crate::guard::Block::DoNotCall)
    );
    assert!(matches!(door.intake.submit(with("m4", "004412345671")).await, Verdict::Accepted { .. }));
    let forwards: Vec<String> = next_job(&door).await.terms.forwards.into_iter().map(String::from).collect();
    assert_eq!(forwards, ["+4412345679", "+4412345671"]);
}

#[tokio::test]
async fn a_lead_holds_jobs_back_and_nothing_else_does() {
    let door = Door::open().await;
    door.intake.submit(good("m1")).await;
    assert_eq!(next_job(&door).await.not_before, None);
    let patient = door.intake.clone().with_lead(Duration::from_millis(200));
    let other = Wish { ask: Ask::call("004412345678", "+442071838750"), ..good("m2") };
    assert!(matches!(patient.submit(other).await, Verdict::Accepted { .. }));
    let job = next_job(&door).await;
    assert_eq!(job.not_before, Some(job.created + TimeDelta::milliseconds(200)));
}
