//! One owner: epochs, incarnations, adoption, recovery.

use std::time::Duration;

use super::*;

fn status(text: &str) -> RequestChange {
    RequestChange { status: Some(text.to_owned()), ..RequestChange::default() }
}

pub(super) async fn steps_need_owner_and_epoch(bench: Bench) {
    let me = bench.engine("e1").await;
    let writer = bench.store.writer();
    let call = bench.running(&me, &job(1, "alice")).await;
    let wrong = [
        Call { epoch: call.epoch + 1, ..call.clone() },
        Call { epoch: call.epoch - 1, ..call.clone() },
        Call { owner: "e2".to_owned(), ..call.clone() },
        Call { job: JobId("no such job".to_owned()), ..call.clone() },
    ];
    for stranger in wrong {
        let step = Step { request: status("First leg connected"), ..stranger.step() };
        assert_eq!(writer.step(step).await, Ok(Stepped::Fenced));
    }
    assert_eq!(bench.store.find(&call.job).await.unwrap().unwrap().status, "Request received");
    done(writer.step(Step { request: status("First leg initiated"), ..call.step() }).await);
    assert_eq!(bench.other.find(&call.job).await.unwrap().unwrap().status, "First leg initiated");
}

pub(super) async fn a_step_written_twice_is_written_once(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let mut step = Step { events: vec![event(Outlet::Log, "ev-1", EventMoney::Balance)], ..call.holding(600) };
    step.settlements.push(settlement(LegName::A, 1, 100));
    step.request.release = true;
    let twice = writer::write_twice(&bench.store, step).await;
    assert_eq!(twice[0], twice[1], "the answer is the same");
    let alice = bench.look("alice").await;
    assert_eq!((alice.balance, alice.held, alice.money_seq), (Money(900), Money(600), 2));
    assert_eq!(bench.number("SELECT count(*) FROM outbox WHERE event_id = 'ev-1'").await, 1);
}

pub(super) async fn a_restarted_engine_finds_everything_it_left(bench: Bench) {
    let me = bench.engine("e1").await;
    let alice = bench.account("alice", 1_000).await;
    let writer = bench.store.writer();
    let call = bench.running(&me, &job(1, "alice")).await;
    bench.store.take(&me, &[Take { job: job(2, "alice"), claim: false }]).await.unwrap();
    let answer = FinalResponse {
        leg: LegName::A,
        attempt: 1,
        try_number: 1,
        code: 407,
        bytes: Bytes::from_static(b"SIP/2.0 407\r\n\r\n"),
    };
    let dialog = |cseq_hi, state: &str| DialogState { leg: LegName::A, attempt: 1, state: state.to_owned(), cseq_hi };
    let first = Step {
        request: RequestChange {
            snapshot: Some("{\"state\":1}".to_owned()),
            call_id: Some("call-a-1".to_owned()),
            setup_time: Some(moment()),
            alive_ms: Some(1_234),
            ..status("First leg initiated")
        },
        invites: vec![invite(LegName::A, 1, 1)],
        dialogs: vec![dialog(100, "{}")],
        honour_cancel: true,
        ..call.holding(400)
    };
    done(writer.step(first).await);
    let second = Step {
        finals: vec![answer.clone()],
        invites: vec![invite(LegName::A, 1, 2)],
        dialogs: vec![dialog(200, "{\"early\":true}")],
        ..call.step()
    };
    done(writer.step(second).await);
    let again = bench.other.register_engine("e1").await.unwrap();
    assert_eq!(again.me.incarnation, me.incarnation + 1);
    assert_eq!(again.requests.len(), 1, "a waiting request is nobody's");
    let left = &again.requests[0];
    assert_eq!((left.row.epoch, left.row.owner.as_deref()), (call.epoch + 1, Some("e1")));
    assert_eq!((left.row.snapshot.as_deref(), left.row.alive_ms), (Some("{\"state\":1}"), Some(1_234)));
    assert_eq!(left.row.call_id.as_deref(), Some("call-a-1"));
    assert_eq!(left.dialogs, [dialog(200, "{\"early\":true}")]);
    assert_eq!(left.hold, Some(Purse { account_id: alice.id, held: Money(400) }));
    let invites: Vec<_> = left.invites.iter().map(|stored| (&stored.invite, &stored.final_response)).collect();
    assert_eq!(invites, [(&invite(LegName::A, 1, 1), &Some(answer)), (&invite(LegName::A, 1, 2), &None)]);
    assert!(left.invites.iter().all(|stored| stored.age.is_some_and(|age| age.as_secs() < 30)), "{:?}", left.invites);
    assert!(left.attempts.is_empty());
    let mut waited = left.clone();
    waited.read = waited.read.map(|read| BootMoment { ms: read.ms - 5_000, ..read });
    let old = Some(Duration::from_secs(5));
    assert!(waited.as_of_now().invites.iter().all(|stored| stored.age >= old), "they grow old while they wait");
}

pub(super) async fn a_row_that_cannot_be_read_keeps_no_engine_from_the_others(bench: Bench) {
    let me = bench.engine("e1").await;
    let call = bench.running(&me, &job(1, "alice")).await;
    bench.running(&me, &job(2, "alice")).await;
    let damage = "UPDATE callback_requests SET job = '{\"kind\":\"of tomorrow\"}' WHERE b = '+49300000002'";
    assert_eq!(bench.outsider(damage).await, 1);
    let again = bench.other.register_engine("e1").await.unwrap();
    assert_eq!(again.requests.iter().map(|one| &one.row.job.id).collect::<Vec<_>>(), [&call.job]);
}

pub(super) async fn a_restarted_engine_fences_its_former_self(bench: Bench) {
    let me = bench.engine("e1").await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    assert_eq!(bench.store.beat(&me).await, Ok(Beat::Alive));
    let again = bench.other.register_engine("e1").await.unwrap().me;
    assert_eq!(bench.store.beat(&me).await, Ok(Beat::Fenced));
    assert_eq!(bench.store.standing(&me).await, Ok(Beat::Fenced));
    assert_eq!(bench.store.standing(&again).await, Ok(Beat::Alive));
    assert_eq!(writer.step(Step { request: status("x"), ..call.step() }).await, Ok(Stepped::Fenced));
    let now = Call { epoch: call.epoch + 1, ..call };
    done(writer.step(Step { request: status("First leg initiated"), ..now.step() }).await);
}

pub(super) async fn only_one_engine_adopts_a_silent_one(bench: Bench) {
    let dead = bench.engine("dead").await;
    let (one, two) = (bench.engine("e1").await, bench.engine("e2").await);
    let calls = [bench.running(&dead, &job(1, "alice")).await, bench.running(&dead, &job(2, "alice")).await];
    let seen = bench.store.peers(&one).await.unwrap().into_iter().find(|peer| peer.id == "dead").unwrap();
    let (first, second) = tokio::join!(bench.store.adopt(&seen, &one), bench.other.adopt(&seen, &two));
    let adopted: Vec<_> = [first.unwrap(), second.unwrap()].into_iter().flatten().collect();
    assert_eq!(adopted.len(), 1, "one of the two adopts");
    let adopter = adopted[0][0].row.owner.clone();
    assert!(adopted[0].len() == 2 && adopted[0].iter().all(|one| one.row.epoch == 2 && one.row.owner == adopter));
    let writer = bench.store.writer();
    for call in calls {
        assert_eq!(writer.step(Step { request: status("x"), ..call.step() }).await, Ok(Stepped::Fenced));
    }
    assert_eq!(bench.store.beat(&dead).await, Ok(Beat::Fenced));
    assert!(bench.store.peers(&one).await.unwrap().iter().all(|peer| peer.id != "dead"), "nobody watches it any more");
    assert_eq!(bench.store.take(&dead, &[Take { job: job(3, "x"), claim: true }]).await, Err(StoreError::Fenced));
}

pub(super) async fn an_engine_that_beats_is_not_adopted(bench: Bench) {
    let (slow, me) = (bench.engine("slow").await, bench.engine("me").await);
    let call = bench.running(&slow, &job(1, "alice")).await;
    let seen = bench.store.peers(&me).await.unwrap().remove(0);
    bench.other.beat(&slow).await.unwrap();
    assert!(bench.store.adopt(&seen, &me).await.unwrap().is_none());
    assert_eq!(bench.store.find(&call.job).await.unwrap().unwrap().owner.as_deref(), Some("slow"));
    let seen = bench.store.peers(&me).await.unwrap().remove(0);
    let again = bench.other.register_engine("me").await.unwrap().me;
    assert_eq!(bench.store.adopt(&seen, &me).await.unwrap_err(), StoreError::Fenced, "a fenced engine adopts nobody");
    assert_eq!(bench.store.beat(&slow).await, Ok(Beat::Alive));
    bench.store.leave(&again).await.unwrap();
    assert!(bench.store.peers(&slow).await.unwrap().is_empty());
}

pub(super) async fn a_lost_answer_leaves_no_orphan(bench: Bench) {
    let me = bench.engine("e1").await;
    let known = bench.running(&me, &job(1, "alice")).await;
    let lost = bench.running(&me, &job(2, "alice")).await;
    let strays = bench.store.strays(&me, std::slice::from_ref(&known.job)).await.unwrap();
    assert_eq!(strays.len(), 1);
    assert_eq!((&strays[0].row.job.id, strays[0].row.epoch), (&lost.job, lost.epoch + 1));
    assert!(bench.store.strays(&me, &[known.job, lost.job]).await.unwrap().is_empty());
}

pub(super) async fn signs_of_life_reach_the_row(bench: Bench) {
    let me = bench.engine("e1").await;
    let calls = [bench.running(&me, &job(1, "alice")).await, bench.running(&me, &job(2, "alice")).await];
    let sign = |call: &Call, epoch, alive_ms| Alive { job: call.job.clone(), epoch, alive_ms };
    let signs = [sign(&calls[0], calls[0].epoch, 5_000), sign(&calls[1], calls[1].epoch + 1, 6_000)];
    bench.store.alive(&me, &signs).await.unwrap();
    let row = bench.other.find(&calls[0].job).await.unwrap().unwrap();
    assert!(row.alive_ms == Some(5_000) && row.last_alive.is_some_and(|at| (moment() - at).num_seconds().abs() < 60));
    assert_eq!(
        bench.other.find(&calls[1].job).await.unwrap().unwrap().alive_ms,
        None,
        "another epoch's word counts not"
    );
}

pub(super) async fn a_released_request_is_claimed_again(bench: Bench) {
    let me = bench.engine("e1").await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    let retry = |next_call| RequestChange {
        next_call: Some(next_call),
        call_count: Some(1),
        release: true,
        ..status("Waiting for retry")
    };
    done(writer.step(Step { request: retry(moment()), ..call.step() }).await);
    assert_eq!(writer.step(call.step()).await, Ok(Stepped::Fenced), "it is nobody's now");
    let claimed = bench.other.claim_due(&me, 1).await.unwrap();
    assert_eq!((claimed[0].row.epoch, claimed[0].row.call_count), (2, 1));
    let now = Call { epoch: 2, ..call };
    done(writer.step(Step { request: retry(moment() + TimeDelta::hours(1)), ..now.step() }).await);
    assert!(bench.other.claim_due(&me, 1).await.unwrap().is_empty(), "not due yet");
}

pub(super) async fn a_phone_that_answered_nobody_is_found_by_its_call_id(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let invites = vec![invite(LegName::A, 1, 1), invite(LegName::A, 1, 2)];
    done(bench.store.writer().step(Step { invites, ..call.holding(400) }).await);
    assert!(bench.other.called("call-of-somebody-else").await.unwrap().is_empty());
    let found = bench.other.called("call-a-1").await.unwrap();
    let [first, second] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&first.job, first.invite.invite.branch.as_str()), (&call.job, "z9hG4bK-1-1"));
    assert_eq!((second.owner.as_deref(), second.finished, second.has_dialog), (Some("e1"), false, false));
    bench.other.mark_refused(first, 603, b"SIP/2.0 603 Decline").await.unwrap();
    bench.other.mark_refused(first, 404, b"SIP/2.0 404 Not Found").await.unwrap();
    bench.other.mark_answered(second, b"SIP/2.0 200 OK").await.unwrap();
    bench.other.mark_answered(second, b"BYE").await.unwrap();
    bench.other.mark_refused(second, 603, b"SIP/2.0 603 Decline").await.unwrap();
    let again = bench.other.register_engine("e1").await.unwrap();
    let told: Vec<_> = again.requests[0].invites.iter().map(|one| one.final_response.as_ref()).collect();
    assert!(told[0].is_some_and(|last| (last.code, &last.bytes[..]) == (603, &b"SIP/2.0 603 Decline"[..])));
    assert!(
        told[1].is_some_and(|last| (last.code, &last.bytes[..]) == (200, &b"SIP/2.0 200 OK"[..])),
        "the first stays"
    );
}
