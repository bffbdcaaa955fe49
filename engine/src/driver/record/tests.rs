use std::collections::BTreeSet;

use ringback_common::answer::{Channel, Language, Speaker};
use ringback_common::event::RequestEvent;
use ringback_common::job::Job;

use super::*;
use crate::billing::Tariff;
use crate::call::{Input, Party, Route};
use crate::events::Herald;

fn party(number: &str) -> Party {
    let route = Route { trunk: "one".to_owned(), cli: "+442071838750".to_owned() };
    let number = ringback_common::number::Number::e164(number).unwrap();
    Party { number, routes: vec![route], tariff: Tariff { per_minute: Money(60_000) } }
}

fn plan() -> CallPlan {
    CallPlan {
        a: party("+442071838750"),
        b: party("+4915112345678"),
        attempt: 1,
        attempts: 3,
        no_answer: Duration::from_secs(45),
        backoff: Duration::from_secs(10),
        max_call: Duration::from_secs(3600),
        slice_seconds: 60,
    }
}

fn invite(leg: LegName) -> NewInvite {
    NewInvite {
        leg,
        attempt: 1,
        try_number: 1,
        call_id: "call".to_owned(),
        branch: "z9hG4bK".to_owned(),
        bytes: Vec::new().into(),
        sdp: None,
        local_addr: ([127, 0, 0, 1], 5060).into(),
        peer_addr: ([127, 0, 0, 1], 5070).into(),
        expires_s: 45,
    }
}

fn job() -> Job {
    let job = serde_json::json!({
        "id": "j", "source": "sms", "account": "alice", "a": "+442071838750", "b": "+4915112345678",
        "created": "2026-01-31T12:00:00Z", "not_after": "2026-01-31T12:10:00Z",
    });
    serde_json::from_value(job).unwrap()
}

fn record() -> Record {
    let keeper = Keeper { engine: "e".to_owned(), billing: false, epoch: 1 };
    let purse = Purse { account_id: 1, held: Money::ZERO };
    let job = job();
    let began = job.created;
    Record::begin(keeper, job, purse, "USD".to_owned(), plan().slice(), 0, began)
}

/// Somebody cancels while the first trunk refuses A's call and the second is to be tried.
#[test]
fn a_detour_that_never_left_leaves_the_cdr_with_the_call_that_was_made() {
    let mut record = record();
    let mut call = Call::new(plan(), plan().slice(), Moment(0));
    let first = record.step(&call, call.snapshot(), vec![invite(A)], Vec::new(), Moment(0));
    record.written(&Carried::of(&first));
    record.legs[0].sip_code = Some(503);
    let detour = NewInvite { call_id: "detour".to_owned(), try_number: 2, ..invite(A) };
    let stored = record.step(&call, call.snapshot(), vec![detour], Vec::new(), Moment(50));
    let refused = &mut record.clone();
    refused.not_written();
    record.written(&Carried::of(&stored));
    call.handle(Input::Cancel, Moment(60));
    call.handle(Input::Over(A, Cause::Canceled), Moment(60));
    let cdr_of = |record: &mut Record| {
        let ending = Ending::Finished(Verdict::Canceled, Cause::Canceled);
        let cdr = record.final_step(&call, ending, Moment(70)).settlements.remove(0);
        (cdr.call_id, cdr.sip_code)
    };
    assert_eq!(cdr_of(refused), ("call".to_owned(), Some(503)));
    assert_eq!(cdr_of(&mut record), ("call".to_owned(), Some(503)), "it was stored, and hung up before it could leave");
    record.leaves(A, "detour");
    assert_eq!(cdr_of(&mut record), ("detour".to_owned(), None));
}

/// A phone wants to know who calls, and somebody has cancelled before the INVITE with the credentials is stored.
#[test]
fn a_new_try_that_was_refused_gives_no_number_out_twice() {
    let mut record = record();
    let mut call = Call::new(plan(), plan().slice(), Moment(0));
    let first = record.step(&call, call.snapshot(), vec![invite(A)], Vec::new(), Moment(0));
    record.written(&Carried::of(&first));
    let _new_try = record.bare_step();
    record.not_written();
    call.handle(Input::Cancel, Moment(60));
    call.handle(Input::Over(A, Cause::Canceled), Moment(60));
    let last = record.final_step(&call, Ending::Finished(Verdict::Canceled, Cause::Canceled), Moment(70));
    let ids = |step: &Step| step.events.iter().map(|event| event.event_id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&first).intersection(&ids(&last)).count(), 0);
    assert_eq!(record.seq, u32::try_from(ids(&first).union(&ids(&last)).count()).unwrap());
}

/// Somebody cancels or B asks not to be called while A rings; then A answers.
#[test]
fn an_answer_whose_step_was_refused_is_told_by_the_last_step_and_no_number_is_lost() {
    let mut record = record();
    let began = record.began;
    let mut call = Call::new(plan(), plan().slice(), Moment(0));
    let first = record.step(&call, call.snapshot(), vec![invite(A)], Vec::new(), Moment(0));
    record.written(&Carried::of(&first));

    call.handle(Input::Answered(A), Moment(5_000));
    let refused = record.step(&call, call.snapshot(), vec![invite(B)], Vec::new(), Moment(5_000));
    assert!(refused.honour_cancel);
    record.not_written();
    call.handle(Input::Blocked, Moment(5_020));
    call.handle(Input::Over(B, Cause::Canceled), Moment(5_020));
    let last = record.final_step(&call, Ending::Finished(Verdict::Blocked, Cause::Canceled), Moment(5_030));

    let mut told: Vec<&OutboxEvent> = first.events.iter().chain(&last.events).collect();
    told.dedup_by_key(|event| &event.event_id);
    let ids: Vec<&str> = told.iter().map(|event| event.event_id.as_str()).collect();
    let gapless: Vec<String> = (1..=ids.len()).map(|seq| format!("j:{seq}")).collect();
    assert_eq!(ids, gapless);
    let answered = last.events.iter().filter(|event| event.kind == "ringback.leg.answered.v1");
    assert_eq!(answered.count(), 1, "A's answer is told");
    assert!(last.events.iter().all(|event| !event.body.contains("calling_b")), "B is not called");
    assert_eq!(last.request.connect_time, Some(began + Duration::from_secs(5)));
    assert_eq!(last.request.disconnect_time, Some(began + Duration::from_millis(5_020)));
    assert_eq!(last.request.result.as_deref(), Some("Blocked"));
    let settled: Vec<_> = last.settlements.iter().map(|one| (one.leg, one.billed_seconds)).collect();
    assert_eq!(settled, [(A, 1)]);
}

#[test]
fn a_stored_call_is_read_by_its_version() {
    let party = |number: &str| {
        serde_json::json!({"number": number, "tariff": {"per_minute": 1},
                           "routes": [{"trunk": "t", "cli": "+442071838750"}]})
    };
    let pause = serde_json::json!({"secs": 1, "nanos": 0});
    let mut stored = serde_json::json!({
        "plan": {"a": party("+442071838750"), "b": party("+4915112345678"), "attempt": 1, "attempts": 2,
                 "no_answer": pause, "backoff": pause, "max_call": pause, "slice_seconds": 60},
        "call": {"state": {"RingingCaller": {"until": 1}}, "a": {"route": 0, "dialled": 0, "answered": null, "ended": null},
                 "b": {"route": 0, "dialled": null, "answered": null, "ended": null}, "held": 5},
        "account_id": 1, "currency": "USD", "began": "2026-01-31T12:00:00Z", "seq": 4,
    });
    let read = |stored: &serde_json::Value| StoredCall::read(&stored.to_string());
    assert_eq!(read(&stored).map(|call| call.seq), Ok(4), "as it was written before there were versions");
    stored["version"] = VERSION.into();
    assert_eq!(read(&stored).map(|call| call.seq), Ok(4));
    stored["version"] = (VERSION + 1).into();
    assert!(read(&stored).is_err_and(|why| why.contains("version 2")), "whatever it means");
}

#[test]
fn every_reason_can_be_said_in_every_language() {
    let job = job();
    let verdicts = [
        Verdict::OutOfRetries,
        Verdict::Expired,
        Verdict::FirstLegAborted,
        Verdict::SecondLegFailed,
        Verdict::Canceled,
        Verdict::Interrupted,
        Verdict::NoFunds,
        Verdict::Rejected,
        Verdict::Blocked,
        Verdict::Poisoned,
    ];
    let causes =
        [Cause::Busy, Cause::NoAnswer, Cause::Rejected, Cause::NoSuchNumber, Cause::TrunkFailed, Cause::HungUp];
    for (verdict, cause) in verdicts.into_iter().flat_map(|verdict| causes.map(|cause| (verdict, cause))) {
        let mut herald = Herald { engine: "e", job: &job, currency: "USD", billing: false, seq: 0, now: job.created };
        let reason = reason_of(verdict, cause);
        let outcome = Outcome { result: "unknown".to_owned(), reason: Some(reason), ..Outcome::default() };
        let told = herald.finished(&outcome).remove(0).body;
        let event = serde_json::from_str::<serde_json::Value>(&told).unwrap()["data"].take();
        let event: RequestEvent = serde_json::from_value(event).unwrap();
        for language in Language::ALL {
            let speaker = Speaker::new(language, Channel::Sms);
            let bare = speaker.finished(&RequestEvent { reason: None, ..event.clone() });
            assert_ne!(speaker.finished(&event), bare, "{language:?}: {reason}");
        }
    }
}
