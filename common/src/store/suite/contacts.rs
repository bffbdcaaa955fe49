//! Last digits, numbers added later, the do-not-call list, refusals, what a sender asked for.

use super::*;

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
    let unfinished = bench.other.unfinished_of(alice.id, mine).await.unwrap();
    assert_eq!(unfinished, [jobs[0].id.clone(), jobs[1].id.clone()]);
    bench.store.cancel(&jobs[0].id).await.unwrap();
    assert_eq!(bench.other.unfinished_of(alice.id, mine).await.unwrap(), [jobs[1].id.clone()]);
}
