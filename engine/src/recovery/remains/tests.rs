#![allow(clippy::disallowed_methods)]

use std::sync::Arc;

use chrono::TimeDelta;
use ringback_common::job::Job;
use ringback_common::store::{FinalResponse, NewInvite, Purse, Rate, RequestRow};
use ringback_sip::{Caller, Identity, Invite, LegSetup, Target};

use super::*;
use crate::call::{Call, Input, Output};
use crate::routing::{Trunk, Trunks};

fn began() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn invite(leg: LegName, seconds: i64, code: Option<u16>) -> StoredInvite {
    let peer = "10.0.0.2:5060".parse().unwrap();
    let Invite { call_id, branch, bytes, local, expires_s, .. } = ringback_sip::Leg::new(LegSetup {
        identity: Identity::draw(),
        target: Target { request_uri: "sip:+447@10.0.0.2".to_owned(), peer, route: None, credentials: None },
        caller: Caller { from_uri: "sip:+4930@10.0.0.1".to_owned(), ..Caller::default() },
        local: "10.0.0.1:5068".parse().unwrap(),
        sdp: String::new(),
        expires: Duration::from_secs(45),
        session: Duration::from_secs(180),
    })
    .invite()
    .clone();
    StoredInvite {
        invite: NewInvite {
            leg,
            attempt: 1,
            try_number: 1,
            call_id,
            branch,
            bytes,
            sdp: None,
            local_addr: local,
            peer_addr: peer,
            expires_s,
        },
        age: None,
        intent: began() + TimeDelta::seconds(seconds),
        final_response: code.map(|code| FinalResponse { leg, attempt: 1, try_number: 1, code, bytes: "".into() }),
    }
}

fn request(connected: Option<i64>, alive_ms: Option<i64>, invites: Vec<StoredInvite>) -> OwnedRequest {
    let job: Job = serde_json::from_value(serde_json::json!({
        "id": "j", "source": "sms", "account": "alice", "a": "+442071838750", "b": "+4915112345678",
        "created": "2026-01-31T12:00:00Z", "not_after": "2026-01-31T12:10:00Z",
    }))
    .unwrap();
    let row = RequestRow {
        id: 1,
        account_id: Some(7),
        owner: None,
        epoch: 3,
        status: String::new(),
        result: None,
        reason: None,
        canceled: false,
        twin: false,
        finished: false,
        creation_time: began(),
        next_call: began(),
        call_count: 1,
        call_id: None,
        twoway_call_id: None,
        credit_time: None,
        setup_time: Some(began()),
        connect_time: connected.map(|seconds| began() + TimeDelta::seconds(seconds)),
        disconnect_time: None,
        not_after: job.not_after,
        last_alive: None,
        alive_ms,
        poisoned: 0,
        snapshot: Some(r#"{"version":9,"seq":12,"call":"of tomorrow"}"#.to_owned()),
        job,
    };
    let hold = Some(Purse { account_id: 7, held: Money(500_000) });
    OwnedRequest { row, dialogs: Vec::new(), invites, hold, attempts: Vec::new(), read: None }
}

fn remains(request: &OwnedRequest) -> Option<StoredCall> {
    let trunk = Trunk {
        name: "phones".to_owned(),
        host: "10.0.0.2".to_owned(),
        address: "10.0.0.2:5060".parse().ok(),
        credentials: None,
        prefixes: Vec::new(),
        priority: 0,
        cli: None,
    };
    let rate = Rate { prefix: "44".to_owned(), leg: A, per_minute: Money(60_000) };
    let tables = Tables { trunks: Arc::new(Trunks(vec![trunk])), rates: Arc::new(vec![rate]) };
    let prices = TariffConfig { a: None, b: Some(Money(120_000)), currency: "USD".to_owned() };
    call_of(request, &tables, &prices)
}

/// How the call goes on when it is told that its engine was away: what it hangs up, and its two tracks.
fn ended(stored: StoredCall, alive: u64) -> (Vec<LegName>, Track, Track) {
    let mut call = Call::restore(stored.plan, stored.call);
    call.handle(Input::Lost { alive: Moment(alive) }, Moment(60_000));
    let hung_up = std::iter::from_fn(|| call.poll_output()).filter_map(|output| match output {
        Output::HangUp(leg, _) => Some(leg),
        Output::Dial(leg) => panic!("{leg:?} is dialled anew"),
        _ => None,
    });
    (hung_up.collect(), call.track(A).clone(), call.track(B).clone())
}

#[test]
fn a_phone_that_may_ring_is_hung_up_on_and_the_request_closed_as_interrupted() {
    let stored = remains(&request(None, None, vec![invite(A, 0, None)])).unwrap();
    assert_eq!((stored.seq, stored.account_id, stored.began), (12, 7, began()));
    let route = &stored.plan.a.routes[0];
    assert_eq!((route.trunk.as_str(), route.cli.as_str()), ("phones", "+4930"));
    let mut call = Call::restore(stored.plan.clone(), stored.call.clone());
    let (hung_up, a, _) = ended(stored, 0);
    assert_eq!((hung_up, a.dialled, a.answered), (vec![A], Some(Moment(0)), None));
    call.handle(Input::Lost { alive: Moment(0) }, Moment(60_000));
    call.handle(Input::Over(A, Cause::Interrupted), Moment(61_000));
    let last = std::iter::from_fn(|| call.poll_output()).last();
    assert_eq!(last, Some(Output::Finish(Ending::Finished(Verdict::Interrupted, Cause::Interrupted))));
}

#[test]
fn two_who_talk_are_hung_up_on_and_a_pays_until_the_last_sign_of_life() {
    let invites = vec![invite(A, 0, Some(200)), invite(B, 5, Some(200))];
    let stored = remains(&request(Some(5), Some(40_000), invites)).unwrap();
    assert_eq!((stored.plan.a.tariff.per_minute, stored.plan.b.tariff.per_minute), (Money(60_000), Money(120_000)));
    let (hung_up, a, b) = ended(stored, 40_000);
    assert_eq!(hung_up, [A, B]);
    assert_eq!((a.answered_for(), b.answered_for()), (Duration::from_secs(35), Duration::ZERO));
    assert_eq!(b.dialled, Some(Moment(5_000)));
}

#[test]
fn a_call_whose_attempts_are_settled_has_nobody_to_hang_up_on() {
    assert!(remains(&request(None, None, Vec::new())).is_none());
}

#[test]
fn the_last_number_is_read_where_it_can_be_and_never_one_that_was_used() {
    assert_eq!(last_seq(Some(r#"{"seq":12}"#)), 12);
    assert_eq!(last_seq(Some("not JSON")), SEQ_UNKNOWN);
    assert_eq!(last_seq(None), SEQ_UNKNOWN);
}
