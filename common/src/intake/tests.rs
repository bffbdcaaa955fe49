//! Texts at the door, with a real store and queue on SQLite.

use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::guard::Block;
use crate::number::NumberError;
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
        payer: Payer::Secret { user: user.to_owned(), secret: secret.to_owned() },
        a: "004412345678".to_owned(),
        b: "004498765432".to_owned(),
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
    let other = Wish { b: "+442071838750".to_owned(), ..good("m3") };
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
        let wish = Wish { a: a.to_owned(), b: b.to_owned(), ..good(code) };
        assert_eq!(door.refusal(wish).await, reason);
        assert_eq!(reason.code(), code);
        assert_eq!(reason.to_string().contains("never called"), code == "never_dial", "{reason}");
    }
    door.change("alice", AccountChange { allow: Some(vec!["1876".to_owned()]), ..AccountChange::default() }).await;
    let lifted = Wish { b: "18765551234".to_owned(), ..good("lifted") };
    assert!(matches!(door.intake.submit(lifted).await, Verdict::Accepted { .. }));
}

#[tokio::test]
async fn limits_count_distinct_jobs_and_say_which_one_it_was() {
    let door = Door::open().await;
    let me = door.store.register_engine("e1").await.unwrap().me;
    let bobs = |n: u32| Wish {
        sender: "+447911000002".to_owned(),
        b: format!("+4420718387{n:02}"),
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
    let by = |name: &str| Wish { payer: Payer::Account(name.to_owned()), sender: "cli".to_owned(), ..good(name) };
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
