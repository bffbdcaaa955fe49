//! The gateway dies by `kill -9` at a named point and comes back: nobody is called twice, charged twice, or left on a line.
//!
//! Each case has a loopback address of its own; they run side by side. `crash_matrix` holds the rest of the points.

use ringback_tests::crash::{Aftermath, Crash};
use ringback_tests::phone::{Manner, Who};
use ringback_tests::story::{A, B, millis, secs};
use ringback_tests::{clock, http, judge};

/// One callback with no second ring anywhere: one attempt at A, at most one at B.
fn once(aftermath: &Aftermath) {
    assert_eq!(aftermath.attempts(A), 1, "{}", aftermath.phones.log().ladder());
    assert!(aftermath.attempts(B) <= 1, "{}", aftermath.phones.log().ladder());
}

/// As `once`, and the callback went on to its good end.
fn once_and_well(aftermath: &Aftermath) {
    once(aftermath);
    assert_eq!(aftermath.attempts(B), 1, "{}", aftermath.phones.log().ladder());
    assert_eq!(aftermath.result(), "Successful");
}

#[test]
fn a_job_that_was_only_delivered_is_delivered_again() {
    once_and_well(&Crash::at("eng.delivered", secs(1)).happens());
}

#[test]
fn a_job_whose_row_is_stored_goes_on_without_the_queue() {
    once_and_well(&Crash::at("eng.job_row", secs(1)).happens());
}

#[test]
fn an_invite_that_was_stored_and_not_sent_is_sent_once() {
    once_and_well(&Crash::at("eng.reserved", secs(1)).happens());
}

#[test]
fn an_invite_that_was_sent_is_sent_again_byte_for_byte() {
    let answers_late = vec![Manner::answers(secs(5)).plays(700)];
    let aftermath = Crash::at("leg_a.invite_sent", secs(1)).a(answers_late).happens();
    once_and_well(&aftermath);
    let log = aftermath.phones.log();
    let invites: Vec<_> = log.of_number(A).entries.into_iter().filter(|e| e.opens()).collect();
    assert!(invites.len() >= 2, "the INVITE came again:\n{}", log.ladder());
    assert!(invites.iter().all(|e| e.text == invites[0].text), "and was the very same:\n{}", log.ladder());
    assert_eq!(held_back(&aftermath), 0, "nothing that recovery sent met a shut gate");
}

/// Datagrams that the gateway's second life did not send because its gate was shut.
fn held_back(aftermath: &Aftermath) -> u64 {
    clock::wait_for("the figure of the gate", secs(10), || {
        let body = http::get(aftermath.gateway.health(), "/metrics").ok()?.body;
        let line = body.lines().find(|line| line.starts_with("ringback_sip_gated_total"))?;
        line.rsplit(' ').next()?.parse().ok()
    })
}

#[test]
fn an_answer_of_a_that_was_not_stored_is_met_by_its_repeat() {
    let aftermath = Crash::at("leg_a.got_200_not_stored", secs(1)).happens();
    once(&aftermath);
    let a = &aftermath.phones.calls_to(A)[0];
    assert!(a.acked_us.is_some_and(|at| at > aftermath.crash_us), "nothing is acknowledged before it is stored");
}

#[test]
fn an_invite_to_b_that_was_sent_rings_b_once() {
    once(&Crash::at("leg_b.invite_sent", secs(1)).happens());
}

#[test]
fn two_who_talk_are_joined_again_and_talk_on() {
    let aftermath = Crash::at("talk.bridged", secs(1)).happens();
    once_and_well(&aftermath);
    let ladder = aftermath.phones.log().ladder();
    assert!(aftermath.phones.calls().iter().all(|call| call.refreshes > 0), "each is asked for: {ladder}");
    let b = &aftermath.phones.calls_to(B)[0];
    assert_eq!(b.ended_by, Some(Who::Phone), "nobody cut it: {ladder}");
    assert!(b.ended_us.is_some_and(|end| end > aftermath.back_us), "{ladder}");
    assert!(b.audio.heard_ms(700) >= 3_000, "B heard A for more than the second before the crash: {:?}", b.audio);
}

#[test]
fn a_settlement_that_was_rolled_back_is_done_again() {
    once_and_well(&Crash::at("bill.in_txn", secs(1)).orphans_end_within(secs(33)).happens());
}

#[test]
fn a_settlement_that_was_committed_is_not_done_again() {
    once_and_well(&Crash::at("bill.committed", secs(1)).orphans_end_within(secs(33)).happens());
}

#[test]
fn a_cdr_without_a_confirm_is_published_again_under_the_same_id() {
    once_and_well(&Crash::at("cdr.published_no_confirm", secs(1)).orphans_end_within(secs(33)).happens());
}

#[test]
fn a_settlement_that_was_rolled_back_in_postgresql_is_done_again() {
    once_and_well(&Crash::at("bill.in_txn", secs(1)).on_the_big_shape().orphans_end_within(secs(33)).happens());
}

#[test]
fn a_cdr_without_a_confirm_of_rabbitmq_is_published_again_under_the_same_id() {
    let crash = Crash::at("cdr.published_no_confirm", secs(1)).on_the_big_shape();
    once_and_well(&crash.orphans_end_within(secs(33)).happens());
}

/// A's phone, busy at the first attempt, picked up at the second.
fn busy_then_there() -> Vec<Manner> {
    vec![Manner::refuses(millis(300), 486), Manner::answers(millis(300)).plays(700)]
}

#[test]
fn a_busy_answer_that_was_not_stored_is_heard_again_after_10_s() {
    let aftermath = Crash::at("leg_a.got_486_not_stored", secs(10)).a(busy_then_there()).happens();
    assert_eq!(aftermath.attempts(A), 2, "{}", aftermath.phones.log().ladder());
    let first = &judge::attempts(&aftermath.phones.log().of_number(A))[0];
    assert!(first.closed_us.is_some_and(|at| at > aftermath.back_us), "the repeated 486 was stored and acknowledged");
}

#[test]
fn a_busy_answer_that_was_not_stored_is_interrupted_after_40_s() {
    let aftermath = Crash::at("leg_a.got_486_not_stored", secs(40)).a(busy_then_there()).happens();
    interrupted_first(&aftermath);
}

#[test]
fn a_challenge_that_was_not_stored_is_heard_again_after_10_s() {
    let aftermath = Crash::at("leg_a.got_401_not_stored", secs(10)).behind_a_password().happens();
    once_and_well(&aftermath);
}

#[test]
fn a_challenge_that_was_not_stored_is_interrupted_after_40_s() {
    let aftermath = Crash::at("leg_a.got_401_not_stored", secs(40)).behind_a_password().happens();
    assert_eq!(aftermath.causes(A).first().map(String::as_str), Some("Interrupted"));
    assert_eq!(aftermath.attempts(A), 1, "the phone itself rang once:\n{}", aftermath.phones.log().ladder());
}

#[test]
fn a_ringing_phone_goes_on_ringing_after_10_s() {
    let rings_long = vec![Manner::answers(secs(14)).plays(700)];
    let aftermath = Crash::at("leg_a.got_180", secs(10)).a(rings_long).no_answer(30).happens();
    once_and_well(&aftermath);
    assert_eq!(aftermath.phones.calls_to(A)[0].canceled_us, None);
}

#[test]
fn a_ringing_phone_is_cancelled_after_40_s_and_called_again_only_then() {
    let rings_on = vec![Manner::rings_for_ever(), Manner::answers(millis(300)).plays(700)];
    let aftermath = Crash::at("leg_a.got_180", secs(40)).a(rings_on).happens();
    interrupted_first(&aftermath);
}

/// Two attempts at A: the first cancelled and booked as Interrupted before the second began.
fn interrupted_first(aftermath: &Aftermath) {
    let attempts = judge::attempts(&aftermath.phones.log().of_number(A));
    assert_eq!(attempts.len(), 2, "{}", aftermath.phones.log().ladder());
    let canceled = attempts[0].canceled_us.unwrap_or_else(|| panic!("no CANCEL:\n{}", aftermath.phones.log().ladder()));
    assert!(canceled > aftermath.crash_us && canceled < attempts[1].at_us);
    let causes = aftermath.causes(A);
    assert_eq!(causes.first().map(String::as_str), Some("Interrupted"), "{causes:?}");
}

/// What a later version of the engine may have written.
const OF_TOMORROW: &[&str] = &[r#"UPDATE callback_requests SET snapshot = '{"version":99}'"#];
const ALL_OF_TOMORROW: &[&str] =
    &[r#"UPDATE callback_requests SET snapshot = '{"version":99}'"#, r#"UPDATE dialogs SET state = '{"version":99}'"#];
const DIALOGS_OF_TOMORROW: &[&str] = &[r#"UPDATE dialogs SET state = '{"version":99}'"#];

#[test]
fn a_ringing_call_that_cannot_be_read_is_cancelled_and_closed_and_rings_no_more() {
    let rings_on = vec![Manner::rings_for_ever()];
    let aftermath = Crash::at("leg_a.got_180", secs(1)).a(rings_on).meanwhile(OF_TOMORROW).happens();
    once(&aftermath);
    assert!(aftermath.phones.calls_to(A)[0].canceled_us.is_some(), "{}", aftermath.phones.log().ladder());
    assert_eq!((aftermath.result().as_str(), aftermath.causes(A)), ("Interrupted", vec!["Interrupted".to_owned()]));
}

#[test]
fn two_whose_call_cannot_be_read_are_hung_up_on_and_booked() {
    for damage in [ALL_OF_TOMORROW, DIALOGS_OF_TOMORROW] {
        let talks_on = vec![Manner::answers(millis(600)).plays(1100)];
        let aftermath = Crash::at("talk.bridged", secs(1)).b(talks_on).meanwhile(damage).happens();
        once(&aftermath);
        let ended = aftermath.phones.calls().iter().all(|call| call.ended_by == Some(Who::Gateway));
        assert!(ended, "{}", aftermath.phones.log().ladder());
        assert_eq!(aftermath.result(), "Interrupted");
        assert_eq!((aftermath.causes(A).len(), aftermath.causes(B).len()), (1, 1));
    }
}
