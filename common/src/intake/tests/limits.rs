//! Limits are counted at the door.

use super::*;

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
async fn of_a_burst_the_door_takes_as_many_as_the_limit_allows() {
    let door = Door::open().await;
    let change = AccountChange {
        limits: Some([("concurrent_calls_per_account".to_owned(), "9".to_owned())].into()),
        ..AccountChange::default()
    };
    door.change("bob", change).await;
    let bobs =
        |n: u32, ask: Ask| Wish { sender: "+447911000002".to_owned(), ask, ..wish(&format!("b{n}"), "bob", "pass") };
    let calls = (0..4).map(|n| door.intake.submit(bobs(n, Ask::call("004412345678", format!("+4420718387{n:02}")))));
    let questions = (4..8).map(|n| door.intake.submit(bobs(n, Ask::Balance)));
    for verdicts in [futures::future::join_all(calls).await, futures::future::join_all(questions).await] {
        let accepted = verdicts.iter().filter(|one| matches!(one, Verdict::Accepted { .. })).count();
        let limit = Reason::Limit("jobs_per_account_per_minute");
        let limited =
            verdicts.iter().filter(|one| matches!(one, Verdict::Limited { reason, .. } if *reason == limit)).count();
        assert_eq!((accepted, limited), (3, 1), "{verdicts:?}");
    }
    assert_eq!(door.jobs().await, 6);
}

#[tokio::test]
async fn a_price_that_was_asked_for_stands_in_no_calls_way() {
    let door = Door::open().await;
    with_dids(&door).await;
    let price = Ask::Rate { number: "+442071838750".to_owned() };
    for (id, source) in [("q1", "sms"), ("q2", "email")] {
        let question = Wish { source: source.to_owned(), ..carols(id, price.clone()) };
        assert!(matches!(door.intake.submit(question).await, Verdict::Accepted { .. }));
    }
    assert_eq!(taken(&door).await.len(), 2, "both wait for a free slot");
    let call = door.intake.submit(carols("m1", Ask::call_to("+442071838750"))).await;
    assert!(matches!(call, Verdict::Accepted { .. }), "{call:?}");
}
