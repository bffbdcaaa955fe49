//! Taking, claiming, cancelling, finding.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

pub(super) async fn a_job_is_taken_once(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 0).await;
    let jobs = [job(1, "alice"), job(2, "alice"), job(3, "nobody")];
    let later = Job { not_before: Some(moment() + TimeDelta::minutes(1)), ..job(4, "alice") };
    let mut takes: Vec<Take> = jobs.iter().map(|job| Take { job: job.clone(), claim: true }).collect();
    takes[1].claim = false;
    takes.push(Take { job: later.clone(), claim: true });
    takes.push(takes[0].clone());
    let taken = bench.store.take(&me, &takes).await.unwrap();
    assert!(matches!(taken[0], Taken::Claimed { epoch: 1, account_id: Some(_) }), "{taken:?}");
    assert_eq!(taken[1], Taken::Waiting);
    assert_eq!(taken[2], Taken::Claimed { epoch: 1, account_id: None });
    assert_eq!(taken[3..], [Taken::Waiting, Taken::Known]);
    assert_eq!(bench.other.take(&me, &takes[..1]).await.unwrap(), [Taken::Known]);
    let row = bench.other.find(&jobs[0].id).await.unwrap().unwrap();
    assert_eq!(row.job, jobs[0], "the wish is kept as it came");
    assert_eq!((row.status.as_str(), row.owner.as_deref(), row.epoch), ("Request received", Some("e1"), 1));
    let stale = Me { incarnation: me.incarnation - 1, ..me };
    assert_eq!(bench.store.take(&stale, &[Take { job: job(9, "alice"), claim: true }]).await, Err(StoreError::Fenced));
    assert!(bench.store.find(&job(9, "alice").id).await.unwrap().is_none());
}

pub(super) async fn a_cancel_may_come_before_its_job(bench: Bench) {
    let me = bench.engine("e1").await;
    let wish = job(1, "alice");
    assert_eq!(bench.other.cancel(&wish.id).await.unwrap(), Cancelling::Remembered);
    let taken = bench.store.take(&me, &[Take { job: wish.clone(), claim: true }]).await.unwrap();
    assert_eq!(taken, [Taken::Ended]);
    assert!(bench.store.claim_due(&me, 10).await.unwrap().is_empty(), "a cancelled request is not run");
    let ended = bench.store.claim_ended(&me, 10).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert!(ended[0].row.canceled && ended[0].row.job == wish);
}

pub(super) async fn a_forged_job_is_stored_as_it_can_be(bench: Bench) {
    let me = bench.engine("e1").await;
    let far = DateTime::<Utc>::MAX_UTC;
    let forged = Job {
        account: "al\0ice".to_owned(),
        sender: Some("\0".to_owned()),
        not_before: Some(DateTime::<Utc>::MIN_UTC),
        not_after: far,
        ..job(1, "x")
    };
    let takes = [Take { job: forged, claim: true }, Take { job: job(2, "x"), claim: true }];
    let taken = bench.store.take(&me, &takes).await.unwrap();
    assert!(taken.iter().all(|taken| matches!(taken, Taken::Claimed { .. })), "{taken:?}");
    assert!(bench.store.find(&takes[0].job.id).await.unwrap().is_some());
}

pub(super) async fn two_engines_never_claim_the_same_request(bench: Bench) {
    let (one, two) = (bench.engine("e1").await, bench.engine("e2").await);
    let takes: Vec<Take> = (0..60).map(|n| Take { job: job(n, "alice"), claim: false }).collect();
    bench.store.take(&one, &takes).await.unwrap();
    assert_eq!(bench.store.due_backlog().await.unwrap(), 60);
    let drain = async |store: &Store, me: &Me| {
        let mut got = Vec::new();
        loop {
            let claimed = store.claim_due(me, 7).await.unwrap();
            assert!(claimed.len() <= 7);
            if claimed.is_empty() {
                return got;
            }
            assert!(claimed.iter().all(|one| one.row.owner.as_deref() == Some(&me.id) && one.row.epoch == 1));
            got.extend(claimed.into_iter().map(|one| one.row.job.id));
        }
    };
    let (first, second) = tokio::join!(drain(&bench.store, &one), drain(&bench.other, &two));
    let all: BTreeSet<_> = first.iter().chain(&second).collect();
    assert_eq!((all.len(), first.len() + second.len()), (60, 60));
    assert_eq!(bench.store.due_backlog().await.unwrap(), 0);
    let stale = Me { incarnation: 0, ..one };
    bench.store.take(&two, &[Take { job: job(99, "alice"), claim: false }]).await.unwrap();
    assert_eq!(bench.store.claim_due(&stale, 1).await.unwrap_err(), StoreError::Fenced);
}

pub(super) async fn what_is_due_is_claimed_at_once_and_by_nobody_who_was_replaced(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    for n in 0..50 {
        let wish = job(n, "alice");
        bench.store.take(&me, &[Take { job: wish.clone(), claim: false }]).await.unwrap();
        let claimed = bench.other.claim_due(&me, 10).await.unwrap();
        assert_eq!(claimed.len(), 1, "job {n} is due in the moment it is there");
    }
    let replaced = Me { incarnation: me.incarnation - 1, ..me };
    assert_eq!(bench.store.claim_due(&replaced, 1).await.unwrap_err(), StoreError::Fenced, "though nothing is due");
    assert_eq!(bench.store.claim_ended(&replaced, 1).await.unwrap_err(), StoreError::Fenced);
}

pub(super) async fn due_and_expired_requests_are_told_apart(bench: Bench) {
    let me = bench.engine("e1").await;
    let later = Job { not_before: Some(moment() + TimeDelta::minutes(1)), ..job(1, "alice") };
    let expired = Job { not_after: moment() - TimeDelta::seconds(1), ..job(2, "alice") };
    let due = Job { not_before: Some(moment() - TimeDelta::minutes(1)), ..job(3, "alice") };
    let takes: Vec<Take> = [later, expired.clone(), due.clone()].map(|job| Take { job, claim: false }).into();
    bench.store.take(&me, &takes).await.unwrap();
    let jobs = |owned: Vec<OwnedRequest>| owned.into_iter().map(|one| one.row.job.id).collect::<Vec<_>>();
    assert_eq!(jobs(bench.store.claim_due(&me, 10).await.unwrap()), [due.id]);
    assert_eq!(jobs(bench.store.claim_ended(&me, 10).await.unwrap()), [expired.id]);
}

pub(super) async fn a_cancel_is_honoured_wherever_the_request_is(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let writer = bench.store.writer();
    let call = bench.running(&me, &job(1, "alice")).await;
    assert_eq!(bench.other.cancel(&call.job).await.unwrap(), Cancelling::Running);
    assert_eq!(bench.store.cancelled_among(&me).await.unwrap(), std::slice::from_ref(&call.job));
    let dial = Step { invites: vec![invite(LegName::A, 1, 1)], honour_cancel: true, ..call.holding(500) };
    assert_eq!(writer.step(dial).await, Ok(Stepped::Cancelled));
    assert_eq!(bench.number("SELECT count(*) FROM invites").await, 0, "nothing of a refused step is written");
    assert_eq!(bench.look("alice").await.held, Money::ZERO);
    let request = RequestChange {
        status: Some("Finished".to_owned()),
        result: Some("Canceled".to_owned()),
        finished: Some(true),
        ..RequestChange::default()
    };
    done(writer.step(Step { request, ..call.step() }).await);
    assert_eq!(bench.other.cancel(&call.job).await.unwrap(), Cancelling::Finished);
    assert!(bench.store.cancelled_among(&me).await.unwrap().is_empty());
    let waiting = job(2, "alice");
    bench.store.take(&me, &[Take { job: waiting.clone(), claim: false }]).await.unwrap();
    assert_eq!(bench.other.cancel(&waiting.id).await.unwrap(), Cancelling::Waiting);
    assert!(bench.store.claim_due(&me, 10).await.unwrap().is_empty());
    assert_eq!(bench.store.claim_ended(&me, 10).await.unwrap().len(), 1);
}

pub(super) async fn an_update_from_elsewhere_cancels_a_call(bench: Bench) {
    let me = bench.engine("e1").await;
    let call = bench.running(&me, &job(1, "alice")).await;
    assert!(bench.store.cancelled_among(&me).await.unwrap().is_empty());
    assert_eq!(bench.outsider("UPDATE callback_requests SET canceled = TRUE").await, 1);
    assert_eq!(bench.store.cancelled_among(&me).await.unwrap(), [call.job]);
}

pub(super) async fn disabling_an_account_ends_its_calls(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 0).await;
    bench.account("bob", 0).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    bench.running(&me, &job(2, "bob")).await;
    let off = AccountChange { enabled: Some(false), ..AccountChange::default() };
    assert!(!bench.other.update_account("alice", &off).await.unwrap().enabled);
    assert_eq!(bench.store.cancelled_among(&me).await.unwrap(), [call.job]);
}

pub(super) async fn every_column_of_callback_requests_can_be_written_from_elsewhere(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.running(&me, &job(1, "alice")).await;
    let hit = bench
        .outsider(
            "INSERT INTO callback_requests (anon_acct_enabled, authname, call_count, call_id, canceled, connect_time,
                creation_time, credit_time, default_user_used, disconnect_time, finished, i_callback_request, md5secret,
                next_call, original_cli, original_set_cli, original_cld, setup_time, result, status, twoway_call_id,
                twoway_cli, twoway_authname, twoway_md5secret, username, job_id, source, a, b, not_after, job)
             SELECT TRUE, 'u', 0, 'id', FALSE, NULL, creation_time, 30, FALSE, NULL, FALSE, 77, 'x', next_call, '1', '2', '3',
                NULL, NULL, status, NULL, '4', '5', '6', 'u', 'j', 'sql', a, b, not_after, job FROM callback_requests",
        )
        .await;
    assert_eq!(hit, 1);
    let written =
        "SELECT count(*) FROM callback_requests WHERE i_callback_request = 77 AND authname = 'u' AND call_id = 'id'
                      AND credit_time = 30 AND md5secret = 'x' AND original_cli = '1' AND original_set_cli = '2'
                      AND original_cld = '3' AND twoway_cli = '4' AND twoway_authname = '5' AND twoway_md5secret = '6'
                      AND username = 'u' AND connect_time IS NULL AND result IS NULL AND status = 'Request received'";
    assert_eq!(bench.number(written).await, 1);
    let others = "SELECT count(*) FROM callback_requests WHERE anon_acct_enabled AND NOT default_user_used";
    assert_eq!(bench.number(others).await, 2);
}

pub(super) async fn requests_are_found_and_listed(bench: Bench) {
    let me = bench.engine("e1").await;
    let alice = bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    bench.running(&me, &job(2, "bob")).await;
    let writer = bench.store.writer();
    done(writer.step(Step { invites: vec![invite(LegName::A, 1, 1)], ..call.holding(700) }).await);
    done(writer.step(call.settling(700, LegName::A, 1, 100)).await);
    let story = bench.other.story(&call.job).await.unwrap().unwrap();
    assert_eq!((story.invites.len(), story.cdrs.len()), (1, 1));
    assert_eq!(story.hold, Some(Purse { account_id: alice.id, held: Money(600) }));
    let of = |account: &str, finished| RequestFilter {
        account: Some(account.to_owned()),
        finished,
        ..RequestFilter::default()
    };
    assert_eq!(bench.store.list(&RequestFilter::default()).await.unwrap().len(), 2);
    assert_eq!(bench.store.list(&of("alice", Some(false))).await.unwrap()[0].job.id, call.job);
    assert!(bench.store.list(&of("alice", Some(true))).await.unwrap().is_empty());
    assert_eq!(bench.store.stored_among(&[job(9, "alice").id, call.job.clone()]).await, Ok(vec![call.job]));
    assert!(bench.store.story(&JobId("none".to_owned())).await.unwrap().is_none());
}

pub(super) async fn a_panic_is_counted(bench: Bench) {
    let me = bench.engine("e1").await;
    let call = bench.running(&me, &job(1, "alice")).await;
    for times in 1..=3 {
        assert_eq!(bench.store.poisoned(&call.job, &call.owner, call.epoch).await, Ok(times));
    }
    assert_eq!(bench.store.poisoned(&call.job, &call.owner, call.epoch + 1).await, Err(StoreError::Fenced));
    assert_eq!(bench.store.find(&call.job).await.unwrap().unwrap().poisoned, 3);
}

pub(super) async fn a_cancel_wakes_the_engine(bench: Bench) {
    let sleeping = bench.store.clone();
    let mut engine = tokio::spawn(async move { sleeping.woken().await });
    // The first words may be spoken before anyone listens: a hint, so it is given until it is heard.
    let heard = timeout(Duration::from_secs(20), async {
        loop {
            bench.other.cancel(&JobId("somebody's".to_owned())).await.unwrap();
            if timeout(Duration::from_millis(50), &mut engine).await.is_ok() {
                return;
            }
        }
    });
    heard.await.expect("the engine is woken");
}
