//! Accounts, lockout, velocity, rates, trunks, summary.

use super::contacts::{by, ending};
use super::pool::application;
use super::*;

pub(super) async fn accounts_are_found_by_their_addresses(bench: Bench) {
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
    let new = NewAccount {
        name: "alice".to_owned(),
        currency: "EUR".to_owned(),
        balance: Money(5_000_000),
        numbers: texts(&["+442071838750", "+12065554123"]),
        dids: texts(&["+442071838751"]),
        emails: texts(&["Alice@Example.NET"]),
        allow: texts(&["44", "1876"]),
        limits: [("jobs_per_account_per_hour".to_owned(), "30".to_owned())].into(),
        limits_off: true,
        language: Some("es".to_owned()),
        mail_must_be_vouched: true,
        password_hash: Some(Sealed("$argon2id$x".to_owned())),
    };
    let added = bench.store.add_account(&new).await.unwrap();
    assert_eq!((added.balance, added.money_seq, added.held, added.enabled), (Money(5_000_000), 1, Money::ZERO, true));
    assert_eq!(
        (&added.numbers, &added.dids, &added.allow, &added.limits),
        (&new.numbers, &new.dids, &new.allow, &new.limits)
    );
    assert_eq!(added.emails, ["alice@example.net"]);
    for found in [
        bench.other.account_by_number("+12065554123").await,
        bench.other.account_by_did("+442071838751").await,
        bench.other.account_by_email("ALICE@example.net").await,
        bench.other.account_by_id(added.id).await,
        bench.other.account_by_name("alice").await,
    ] {
        assert_eq!(found.unwrap().unwrap().id, added.id);
    }
    assert!(bench.other.account_by_did("+12065554123").await.unwrap().is_none(), "a number is not a DID");
    let view = bench.other.view_by_number("+442071838750").await.unwrap().unwrap();
    assert!(view.limits_off && view.available == Money(5_000_000));
    assert!(view.mail_must_be_vouched && view.language.as_deref() == Some("es"));
    let plain =
        AccountChange { language: Some(String::new()), mail_must_be_vouched: Some(false), ..AccountChange::default() };
    let plain = bench.store.update_account("alice", &plain).await.unwrap();
    assert!(!plain.mail_must_be_vouched && plain.language.is_none());
    let folded = bench.other.view_by_any_case("ALICE").await.unwrap().unwrap();
    assert_eq!(folded.id, added.id);
    assert!(bench.other.view_by_any_case("alic").await.unwrap().is_none());
    assert!(!format!("{view:?}").contains("argon2id"), "secrets never show");
    let twice = bench.other.add_account(&new).await;
    assert_eq!(twice.unwrap_err(), StoreError::Conflict("account alice".to_owned()));
    let thief = NewAccount { name: "bob".to_owned(), dids: Vec::new(), emails: Vec::new(), ..new };
    assert!(
        matches!(bench.other.add_account(&thief).await, Err(StoreError::Conflict(what)) if what.contains("number"))
    );
    assert!(bench.store.account_by_name("bob").await.unwrap().is_none(), "nothing is left of it");
}

pub(super) async fn an_account_is_changed_whole_or_not(bench: Bench) {
    bench.account("new", 0).await;
    assert_eq!(bench.store.set_currency("new", "CNY").await, Ok(true), "nothing was ever booked");
    bench.store.topup("new", Money(5), "topup").await.unwrap();
    bench.store.topup("new", Money(-5), "correction").await.unwrap();
    assert_eq!(bench.store.set_currency("new", "USD").await, Ok(false));
    assert_eq!(bench.look("new").await.currency, "CNY");
    let alice = bench.account("alice", 0).await;
    bench.account("bob", 0).await;
    let change = AccountChange {
        trigger_secret: Some(Sealed(vec![1, 2, 255])),
        numbers: Some(vec!["+442071838750".to_owned()]),
        allow: Some(vec!["49".to_owned()]),
        limits_off: Some(true),
        ..AccountChange::default()
    };
    let changed = bench.store.update_account("alice", &change).await.unwrap();
    assert_eq!(
        (changed.id, changed.trigger_secret, changed.limits_off),
        (alice.id, change.trigger_secret.clone(), true)
    );
    let steal = AccountChange { enabled: Some(false), ..change.clone() };
    assert!(matches!(bench.store.update_account("bob", &steal).await, Err(StoreError::Conflict(_))));
    assert!(bench.look("bob").await.enabled, "nothing of a refused change is kept");
    let unlist = AccountChange { numbers: Some(Vec::new()), ..AccountChange::default() };
    let changed = bench.store.update_account("alice", &unlist).await.unwrap();
    assert!(changed.numbers.is_empty() && changed.allow == ["49"]);
    assert!(matches!(bench.store.update_account("carol", &unlist).await, Err(StoreError::NotFound(_))));
    assert_eq!(bench.store.accounts().await.unwrap().len(), 3);
    let shout = NewAccount { name: "two words".to_owned(), currency: "USD".to_owned(), ..NewAccount::default() };
    assert!(matches!(bench.store.add_account(&shout).await, Err(StoreError::Invalid(_))));
}

pub(super) async fn a_sender_is_locked_out_after_five_failures(bench: Bench) {
    let rule = Lockout::default();
    for _ in 0..4 {
        assert_eq!(bench.store.auth_failed("+1", rule).await, Ok(false));
    }
    assert_eq!(bench.other.auth_locked("+1").await, Ok(false));
    assert_eq!(bench.other.auth_failed("+1", rule).await, Ok(true));
    assert_eq!(bench.store.auth_locked("+1").await, Ok(true));
    assert_eq!(bench.store.auth_locked("+2").await, Ok(false));
    let brief = Lockout { failures: 1, window_s: 600, lock_s: 0 };
    bench.store.auth_failed("+2", brief).await.unwrap();
    assert_eq!(bench.store.auth_locked("+2").await, Ok(false), "a lock ends");
    let forgetful = Lockout { failures: 2, window_s: 0, lock_s: 900 };
    bench.store.auth_failed("+3", forgetful).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(bench.store.auth_failed("+3", forgetful).await, Ok(false), "a window ends");
}

pub(super) async fn limits_count_distinct_jobs(bench: Bench) {
    let me = bench.engine("e1").await;
    let alice = bench.account("alice", 1_000).await;
    let first = bench.running(&me, &job(1, "alice")).await;
    bench.store.take(&me, &[Take { job: job(1, "alice"), claim: true }]).await.unwrap();
    bench.running(&me, &job(2, "alice")).await;
    let writer = bench.store.writer();
    done(writer.step(first.holding(500)).await);
    done(writer.step(first.settling(500, LegName::A, 1, 120)).await);
    done(writer.step(ending(&first, true)).await);
    let wish = job(3, "alice");
    let counts = bench.other.velocity(alice.id, &wish.id, wish.b.as_ref().map(Number::as_str), &[]).await.unwrap();
    let expected = Counts {
        active: 2,
        jobs_minute: 3,
        jobs_hour: 3,
        jobs_day: 3,
        distinct_b_hour: 3,
        same_b_10min: 1,
        same_prefix7_10min: 1,
        seconds_day: 60,
        spend_hour: Money(120),
        spend_day: Money(120),
        system_spend_hour: Money(120),
    };
    assert_eq!(counts, expected);
}

pub(super) async fn a_burst_uses_a_limit_up_and_what_was_refused_gives_it_back(bench: Bench) {
    let me = bench.engine("e1").await;
    let alice = bench.account("alice", 1_000).await;
    let jobs: Vec<Job> = (1..=4).map(|n| job(n, "alice")).collect();
    let takes: Vec<Take> = jobs.iter().map(|job| Take { job: job.clone(), claim: true }).collect();
    bench.store.take(&me, &takes).await.unwrap();
    let counts = async |job: &Job, confirmed: &[Confirmed]| {
        let counts =
            bench.other.velocity(alice.id, &job.id, job.b.as_ref().map(Number::as_str), confirmed).await.unwrap();
        (counts.jobs_minute, counts.distinct_b_hour, counts.active)
    };
    for (n, job) in (1..).zip(&jobs) {
        assert_eq!(counts(job, &[]).await, (n, n, n), "those before it and itself");
    }
    let call = |job: &Job| Call { job: job.id.clone(), owner: me.id.clone(), epoch: 1, account_id: Some(alice.id) };
    let writer = bench.store.writer();
    done(writer.step(ending(&call(&jobs[1]), false)).await);
    assert_eq!(counts(&jobs[3], &[]).await, (3, 3, 3), "one was refused");
    let ringing = RequestChange { setup_time: Some(moment()), ..RequestChange::default() };
    done(writer.step(Step { request: ringing, ..call(&jobs[3]).step() }).await);
    assert_eq!(counts(&jobs[2], &[]).await, (2, 2, 3), "a phone that rings is in use, whoever came first");
    let confirmed = |job: &Job, due| Confirmed { job: job.id.clone(), b: job.b.clone(), due };
    let (next, later, wish) = (job(5, "alice"), job(6, "alice"), job(7, "alice"));
    let waiting = [confirmed(&jobs[0], true), confirmed(&next, true), confirmed(&later, false)];
    assert_eq!(counts(&wish, &waiting).await, (6, 6, 5), "what is on the queue counts until its row does");
    let hour = moment() - TimeDelta::hours(1);
    assert_eq!(bench.other.questions_since(alice.id, hour, &waiting).await, Ok(2));
}

pub(super) async fn what_all_share_is_used_by_those_who_call(bench: Bench) {
    let me = bench.engine("e1").await;
    let free =
        NewAccount { name: "free".to_owned(), currency: "USD".to_owned(), limits_off: true, ..NewAccount::default() };
    bench.store.add_account(&free).await.unwrap();
    let writer = bench.store.writer();
    let alice = bench.account("alice", 1_000).await;
    let victim = job(1, "alice");
    let counts = async |job: &Job| {
        let counts = bench.other.velocity(alice.id, &job.id, job.b.as_ref().map(Number::as_str), &[]).await.unwrap();
        (counts.same_b_10min, counts.same_prefix7_10min)
    };
    let beyond = RequestChange { twoway_call_id: Some("b".to_owned()), ..RequestChange::default() };
    bench.account("cent", 1).await;
    for n in 1..=20 {
        let call = bench.running(&me, &Job { a: number(n), ..by("sms", n, &job(1, "cent")) }).await;
        done(writer.step(ending(&call, n > 10)).await);
    }
    assert_eq!(counts(&victim).await, (1, 1), "refused, or only the first phone rang: nobody called it");
    for n in 21..=23 {
        bench.running(&me, &Job { a: number(n), ..by("sms", n, &job(1, "cent")) }).await;
    }
    assert_eq!(counts(&victim).await, (2, 2), "one account is about to, however often");
    bench.account("bob", 1_000).await;
    let called = bench.running(&me, &by("sms", 24, &job(1, "bob"))).await;
    assert_eq!(counts(&victim).await, (3, 3), "so is another");
    bench.running(&me, &by("sms", 25, &job(1, "free"))).await;
    assert_eq!(counts(&victim).await, (3, 3), "an account without limits uses none up");
    done(writer.step(Step { request: beyond, ..called.step() }).await);
    done(writer.step(ending(&called, true)).await);
    assert_eq!((counts(&victim).await, counts(&job(2, "alice")).await), ((3, 3), (1, 3)), "it was called");
    let b = victim.b.as_ref().map(|b| b.as_str().to_owned());
    let hotline = Application { b, ..application("hotline", AppKind::TwoWay) };
    bench.store.add_application(&hotline).await.unwrap();
    assert_eq!(counts(&victim).await, (1, 1), "a number that the operator himself has everybody connected to");
}

fn number(n: u32) -> Number {
    Number::e164(&format!("+4477{n:08}")).unwrap()
}

pub(super) async fn rates_and_trunks_are_kept(bench: Bench) {
    bench.store.set_rate("44", None, Money(100_000)).await.unwrap();
    bench.store.set_rate("44", Some(LegName::B), Money(0)).await.unwrap();
    let rates = bench.other.rates().await.unwrap();
    let prices: Vec<_> = rates.iter().map(|rate| (rate.leg, rate.per_minute.0)).collect();
    assert_eq!(prices, [(LegName::A, 100_000), (LegName::B, 0)]);
    assert!(matches!(bench.store.set_rate("44", None, Money(-1)).await, Err(StoreError::Invalid(_))));
    assert!(matches!(bench.store.set_rate("+44", None, Money(1)).await, Err(StoreError::Invalid(_))));
    let trunk = |name: &str, priority| Trunk {
        name: name.to_owned(),
        sip: "sip:127.0.0.1:5070".to_owned(),
        username: Some("u".to_owned()),
        password: Some(Sealed("p".to_owned())),
        prefixes: vec!["44".to_owned()],
        priority,
        cli: None,
        enabled: true,
    };
    bench.store.add_trunk(&trunk("slow", 20)).await.unwrap();
    bench.store.add_trunk(&trunk("main", 10)).await.unwrap();
    assert!(matches!(bench.store.add_trunk(&trunk("main", 10)).await, Err(StoreError::Conflict(_))));
    bench.other.enable_trunk("main", false).await.unwrap();
    let off = Trunk { enabled: false, ..trunk("main", 10) };
    assert_eq!(bench.store.trunks().await.unwrap(), [off, trunk("slow", 20)]);
    bench.store.remove_trunk("main").await.unwrap();
    assert!(matches!(bench.store.remove_trunk("main").await, Err(StoreError::NotFound(_))));
    bench.store.set_setting("home", "44").await.unwrap();
    bench.store.set_setting("home", "49").await.unwrap();
    assert_eq!(bench.other.setting("home").await, Ok(Some("49".to_owned())));
    assert_eq!(bench.other.setting("none").await, Ok(None));
}

pub(super) async fn the_summary_tells_the_state(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let later = Job { not_before: Some(moment() + TimeDelta::hours(1)), ..job(3, "alice") };
    let takes = [Take { job: job(2, "alice"), claim: false }, Take { job: later, claim: false }];
    bench.store.take(&me, &takes).await.unwrap();
    let talking = RequestChange { status: Some("Second leg connected".to_owned()), ..RequestChange::default() };
    done(bench.store.writer().step(Step { request: talking, ..call.holding(300) }).await);
    bench.store.beat(&me).await.unwrap();
    let summary = bench.other.summary().await.unwrap();
    assert_eq!(summary.live, [("Second leg connected".to_owned(), 1)]);
    assert_eq!((summary.backlog, summary.scheduled, summary.holds), (1, 1, 1));
    assert_eq!(summary.held, [("USD".to_owned(), Money(300))]);
    assert_eq!(
        (summary.unpublished.len(), summary.unpublished[0].1),
        (2, 1),
        "the top-up, for billing and for the log"
    );
    let engine = &summary.engines[0];
    assert_eq!((engine.id.as_str(), engine.incarnation, engine.beat, engine.live), ("e1", 1, 1, 1));
    assert!(bench.other.healthy());
}
