//! Last digits, numbers added later, the do-not-call list, refusals, what a sender asked for.

use super::*;
use crate::end_reason::EndReason;

async fn reachable(bench: &Bench, name: &str, numbers: &[&str], dids: &[&str]) -> Account {
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let new = NewAccount {
        name: name.to_owned(),
        currency: "USD".to_owned(),
        numbers: texts(numbers),
        dids: texts(dids),
        ..NewAccount::default()
    };
    bench.store.add_account(&new).await.unwrap()
}

pub(super) async fn an_account_is_found_by_its_last_seven_digits(bench: Bench) {
    reachable(&bench, "did", &["+447911000001"], &["+15810370728", "+16040370728"]).await;
    reachable(&bench, "number", &["+442070370728", "+447911000002"], &["+442071110000"]).await;
    reachable(&bench, "first", &["+12065551234"], &[]).await;
    reachable(&bench, "second", &["+13105551234"], &[]).await;
    for (digits, names) in [
        ("0370728", vec!["did"]), // the DID wins over a registered number, and two DIDs of one account are one account
        ("1000002", vec!["number"]),
        ("5551234", vec!["first", "second"]),
        ("9999999", vec![]),
        ("551234", vec![]),
        ("65551234", vec![]),
        ("555123%", vec![]),
    ] {
        let found = bench.other.views_by_tail(digits).await.unwrap();
        assert_eq!(found.into_iter().map(|view| view.name).collect::<Vec<_>>(), names, "{digits}");
    }
}

pub(super) async fn a_number_is_added_once_and_taken_from_nobody(bench: Bench) {
    let alice = reachable(&bench, "alice", &["+447911000001"], &[]).await;
    let bob = reachable(&bench, "bob", &["+447911000002"], &[]).await;
    let (one, two) = tokio::join!(
        bench.store.add_number(alice.id, "+447911000003", 2),
        bench.other.add_number(alice.id, "+447911000003", 2)
    );
    assert_eq!((one, two), (Ok(()), Ok(())), "twice is once");
    assert_eq!(bench.look("alice").await.numbers, ["+447911000001", "+447911000003"]);
    let taken = bench.store.add_number(bob.id, "+447911000003", 9).await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    let full = bench.store.add_number(alice.id, "+447911000004", 2).await;
    assert!(matches!(full, Err(StoreError::Invalid(_))), "{full:?}");
    assert!(matches!(bench.store.add_number(404, "+447911000005", 2).await, Err(StoreError::NotFound(_))));
    assert!(bench.store.trigger_secrets().await.unwrap().is_empty());
    let sealed = AccountChange { trigger_secret: Some(Sealed(vec![7; 32])), ..AccountChange::default() };
    bench.store.update_account("bob", &sealed).await.unwrap();
    assert_eq!(bench.other.trigger_secrets().await.unwrap(), [(bob.id, Sealed(vec![7; 32]))]);
}

pub(super) async fn only_the_operator_lifts_what_the_operator_stopped(bench: Bench) {
    let (mine, theirs) = ("+447911000001", "+447911000002");
    bench.store.do_not_call(mine, PutBy::Stop, None).await.unwrap();
    bench.store.do_not_call(theirs, PutBy::Operator, Some("lawyer")).await.unwrap();
    bench.store.do_not_call(theirs, PutBy::Stop, None).await.unwrap();
    let list = bench.other.do_not_call_list(10).await.unwrap();
    let put = |number: &str| list.iter().find(|put| put.number == number).unwrap().clone();
    assert_eq!((put(mine).put_by, put(mine).reason), (PutBy::Stop, None));
    assert_eq!((put(theirs).put_by, put(theirs).reason.as_deref()), (PutBy::Operator, Some("lawyer")));
    assert_eq!(bench.other.not_to_be_called(&["+1", theirs]).await.unwrap(), [theirs]);
    let many = ["+1", "+2", "+3", "+4", "+5", "+6", theirs];
    assert_eq!(bench.other.not_to_be_called(&many).await.unwrap(), [theirs], "however many are asked about");
    assert!(bench.store.may_call_again(mine, PutBy::Stop).await.unwrap());
    assert!(!bench.store.may_call_again(theirs, PutBy::Stop).await.unwrap());
    assert!(bench.store.may_call_again(theirs, PutBy::Operator).await.unwrap());
    assert!(!bench.store.may_call_again(theirs, PutBy::Operator).await.unwrap(), "it is gone");
    assert!(bench.other.not_to_be_called(&[mine, theirs]).await.unwrap().is_empty());
    assert!(bench.other.do_not_call_list(10).await.unwrap().is_empty());
}

pub(super) async fn an_account_remembers_its_latest_refusals(bench: Bench) {
    let alice = bench.account("alice", 0).await;
    let bob = bench.account("bob", 0).await;
    bench.store.add_refusal(bob.id, "email", "mail_not_vouched", "b…@example.net").await.unwrap();
    for n in 0..105 {
        bench.store.add_refusal(alice.id, "sms", &format!("reason_{n}"), "+44…3456").await.unwrap();
    }
    let latest = bench.other.refusals(alice.id, 2).await.unwrap();
    let told: Vec<_> =
        latest.iter().map(|one| (one.source.as_str(), one.reason.as_str(), one.sender.as_str())).collect();
    assert_eq!(told, [("sms", "reason_104", "+44…3456"), ("sms", "reason_103", "+44…3456")]);
    assert_eq!(bench.other.refusals(alice.id, 1_000).await.unwrap().len(), 100);
    assert_eq!(bench.other.refusals(bob.id, 1_000).await.unwrap().len(), 1);
}

pub(super) async fn a_senders_last_and_unfinished_requests_are_found(bench: Bench) {
    let alice = bench.account("alice", 1_000_000).await;
    bench.account("bob", 1_000_000).await;
    let me = bench.engine("e1").await;
    let by = |n: u32, account: &str, sender: &str| Job { sender: Some(sender.to_owned()), ..job(n, account) };
    let (mine, other) = ("+447911000001", "+447911000002");
    let jobs = [by(1, "alice", mine), by(2, "alice", mine), by(3, "alice", other), by(4, "bob", mine)];
    for job in &jobs {
        bench.running(&me, job).await;
    }
    let last = bench.other.last_request(alice.id, mine).await.unwrap().unwrap();
    assert_eq!((last.job.id, last.job.b), (jobs[1].id.clone(), jobs[1].b.clone()));
    assert!(bench.other.last_request(alice.id, "+447911000003").await.unwrap().is_none());
    let asked = |sender: &'static str, since, but: usize| {
        let (store, job) = (bench.other.clone(), jobs[but].id.clone());
        async move { store.asked_since("sms", sender, since, &job).await.unwrap() }
    };
    let ago = moment() - TimeDelta::minutes(1);
    assert!(asked(mine, ago, 0).await && !asked(other, ago, 2).await, "its own job is no other");
    assert!(!asked(mine, moment() + TimeDelta::minutes(1), 0).await && !asked("+447911000003", ago, 0).await);
    let unfinished = bench.other.unfinished_of(alice.id, mine).await.unwrap();
    assert_eq!(unfinished, [jobs[0].id.clone(), jobs[1].id.clone()]);
    bench.store.cancel(&jobs[0].id).await.unwrap();
    assert_eq!(bench.other.unfinished_of(alice.id, mine).await.unwrap(), [jobs[1].id.clone()]);
}

pub(super) async fn a_request_that_called_nobody_was_not_asked_lately(bench: Bench) {
    bench.account("alice", 1_000_000).await;
    bench.account("bob", 1_000_000).await;
    let me = bench.engine("e1").await;
    let writer = bench.store.writer();
    let mine = "+447911000001";
    let of = |source: &str, n: u32, account: &str| {
        let job = Job { sender: Some(mine.to_owned()), ..job(n, account) };
        by(source, n, &job)
    };
    let asked = async |source: &str| {
        let (ago, none) = (moment() - TimeDelta::minutes(1), JobId("none".to_owned()));
        bench.other.asked_since(source, mine, ago, &none).await.unwrap()
    };
    let call = bench.running(&me, &of("web", 1, "alice")).await;
    assert!(asked("web").await, "it is under way");
    done(writer.step(ending(&call, false)).await);
    assert!(!asked("web").await, "it ended before anybody was called");
    let call = bench.running(&me, &of("email", 1, "bob")).await;
    done(writer.step(ending(&call, true)).await);
    assert!(asked("email").await, "somebody was called");

    bench.running(&me, &of("sms", 2, "alice")).await;
    let twin = of("web", 2, "alice");
    assert_eq!(take(&bench.other, &me, &twin).await, Taken::Ended);
    assert!(asked("sms").await && !asked("web").await, "a twin calls nobody");
    let unwanted = of("sms", 2, "alice").id;
    bench.store.cancel(&unwanted).await.unwrap();
    assert!(!asked("sms").await, "it was canceled before anybody was called");
}

/// The same account, A and B by another trigger.
pub(super) fn by(source: &str, n: u32, of: &Job) -> Job {
    Job { id: JobId(format!("{source}-{n}")), source: source.to_owned(), ..of.clone() }
}

async fn take(store: &Store, me: &Me, job: &Job) -> Taken {
    store.take(me, &[Take { job: job.clone(), claim: true }]).await.unwrap()[0]
}

pub(super) fn ending(call: &Call, dialled: bool) -> Step {
    let mut step = call.step();
    step.request.finished = Some(true);
    step.request.release = true;
    step.request.reason = Some(EndReason::Talked);
    step.request.setup_time = dialled.then(moment);
    step
}

pub(super) async fn the_same_call_by_two_triggers_is_one(bench: Bench) {
    let alice = bench.account("alice", 1_000_000).await;
    let me = bench.engine("e1").await;
    let writer = bench.store.writer();
    let first = job(1, "alice");
    let call = bench.running(&me, &first).await;
    let twin = by("email", 1, &first);
    for again in [&twin, &by("sms", 2, &first)] {
        assert_eq!(take(&bench.other, &me, again).await, Taken::Ended, "{:?} while it is under way", again.id);
    }
    assert!(bench.store.claim_due(&me, 9).await.unwrap().is_empty(), "a twin is never dialled");
    let ended = bench.store.claim_ended(&me, 9).await.unwrap();
    assert!(ended.len() == 2 && ended.iter().all(|one| one.row.twin && !one.row.canceled), "{ended:?}");
    for one in &ended {
        let twin = Call { job: one.row.job.id.clone(), owner: me.id.clone(), epoch: one.row.epoch, account_id: None };
        done(writer.step(ending(&twin, false)).await);
    }
    done(writer.step(ending(&call, true)).await);
    assert_eq!(bench.other.find(&first.id).await.unwrap().unwrap().reason, Some(EndReason::Talked));

    let (a, b) = (first.a.as_str(), first.b.as_ref().map(Number::as_str));
    let lately = async |source: &str| {
        let (none, since) = (JobId("none".to_owned()), moment() - TimeDelta::seconds(30));
        let wished = Wished { account_id: alice.id, a, b, job: &none, source };
        bench.other.same_call(&wished, since).await.unwrap()
    };
    assert_eq!((lately("email").await, lately("sms").await), (true, false));
    assert_eq!(
        take(&bench.store, &me, &by("email", 2, &first)).await,
        Taken::Ended,
        "within the window, though it ended"
    );
    let window = std::time::Duration::ZERO;
    let later = [Take { job: by("email", 3, &first), claim: true }];
    let taken = bench.store.take_apart(&me, &later, window).await.unwrap();
    assert!(matches!(taken[0], Taken::Claimed { .. }), "after the window: {taken:?}");
    bench.store.cancel(&later[0].job.id).await.unwrap();
    let taken = take(&bench.store, &me, &by("sms", 3, &first)).await;
    assert!(
        matches!(taken, Taken::Claimed { .. }),
        "the same trigger after the end, beside a cancelled one: {taken:?}"
    );
    let other_b = Job { b: None, ..by("web", 1, &first) };
    assert!(matches!(take(&bench.store, &me, &other_b).await, Taken::Claimed { .. }), "another call");
    assert_eq!(take(&bench.store, &me, &Job { b: None, ..by("web", 2, &first) }).await, Taken::Ended);
}

pub(super) async fn two_triggers_at_the_same_moment_get_one_call(bench: Bench) {
    bench.account("alice", 1_000_000).await;
    let me = bench.engine("e1").await;
    for n in 1..=30 {
        let wish = job(n, "alice");
        let (sms, email) = (by("sms", n, &wish), by("email", n, &wish));
        let answers = tokio::join!(take(&bench.store, &me, &sms), take(&bench.other, &me, &email));
        let claimed = [answers.0, answers.1].iter().filter(|taken| matches!(taken, Taken::Claimed { .. })).count();
        assert_eq!(claimed, 1, "{answers:?}");
        assert!([answers.0, answers.1].contains(&Taken::Ended), "{answers:?}");
    }
    let refused = Job { account: "nobody".to_owned(), ..job(99, "alice") };
    for n in 1..=2 {
        assert!(
            matches!(take(&bench.store, &me, &by("sms", 100 + n, &refused)).await, Taken::Claimed { .. }),
            "no account"
        );
    }
}

pub(super) async fn a_number_stopped_meanwhile_is_not_invited(bench: Bench) {
    bench.account("alice", 1_000_000).await;
    let me = bench.engine("e1").await;
    let writer = bench.store.writer();
    let jobs = [job(1, "alice"), job(2, "alice")];
    for (wish, stopped) in [(&jobs[0], jobs[0].b.as_ref().unwrap()), (&jobs[1], &jobs[1].a)] {
        let call = bench.running(&me, wish).await;
        bench.other.do_not_call(stopped.as_str(), PutBy::Stop, None).await.unwrap();
        let mut invite_a = Step { invites: vec![invite(LegName::A, 1, 1)], ..call.step() };
        invite_a.honour_cancel = true;
        assert_eq!(writer.step(invite_a.clone()).await, Ok(Stepped::Cancelled));
        assert!(bench.other.story(&wish.id).await.unwrap().unwrap().invites.is_empty());
        bench.other.may_call_again(stopped.as_str(), PutBy::Stop).await.unwrap();
        done(writer.step(invite_a).await);
    }
}

pub(super) async fn questions_are_no_calls(bench: Bench) {
    let alice = bench.account("alice", 1_000_000).await;
    let me = bench.engine("e1").await;
    let question =
        |n: u32| Job { kind: JobKind::Quote, quote: Some(crate::job::Quote::Rate), ..by("sms", n, &job(1, "alice")) };
    for n in 1..=3 {
        assert!(
            matches!(take(&bench.store, &me, &question(n)).await, Taken::Claimed { .. }),
            "asked as often as one likes"
        );
    }
    let (wish, hour) = (job(1, "alice"), moment() - TimeDelta::hours(1));
    let all = bench.other.velocity(alice.id, &wish.id, None, &[]).await.unwrap();
    assert_eq!((all.jobs_minute, all.jobs_day, all.active, all.distinct_b_hour), (1, 1, 1, 0), "the job alone");
    assert_eq!(bench.other.questions_since(alice.id, hour, &[]).await.unwrap(), 3);
    let b = wish.b.as_ref().map(Number::as_str);
    let wished = Wished { account_id: alice.id, a: wish.a.as_str(), b, job: &wish.id, source: "email" };
    assert_eq!(bench.other.same_call(&wished, hour).await, Ok(false), "while they wait for an answer, too");
    assert!(bench.other.last_request(alice.id, "+442071838750").await.unwrap().is_none());
    let row = bench.other.find(&question(1).id).await.unwrap().unwrap();
    assert_eq!((row.job.kind, row.job.quote), (JobKind::Quote, Some(crate::job::Quote::Rate)));
    assert!(
        matches!(take(&bench.store, &me, &job(1, "alice")).await, Taken::Claimed { .. }),
        "nor does one stand in for a call"
    );
}
