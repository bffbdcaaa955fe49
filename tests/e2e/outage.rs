//! A gateway that stands still or dies while two talk: nobody pays for it, and nobody is cut who can pay.

use ringback_tests::clock;
use ringback_tests::judge;
use ringback_tests::phone::{Manner, Report, Who};
use ringback_tests::site::Part;
use ringback_tests::story::{A, B, OPENING, SOON, Story, millis, secs};

/// Two who talk under a hold of six seconds.
fn in_talk() -> Story {
    let phone = |hz| Manner::answers(millis(300)).plays(hz);
    let story = Story::begin(phone(700), phone(1100), |site| site.set("engine.hold_seconds", "6"));
    story.ask("text-1");
    story.phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    story
}

/// Each leg is billed no second that its phone has not talked.
fn bills_what_the_phones_saw(story: &Story) {
    story.wait_over(SOON);
    let probe = story.site.probe();
    let cdrs = probe.cdrs();
    assert_eq!(cdrs.len(), 2, "one CDR an attempt");
    for (cdr, call) in cdrs.iter().zip([story.a(), story.b()]) {
        assert_eq!(judge::billed_as_seen(cdr, &call), Ok(()));
    }
    probe.books_are_right("alice", OPENING);
}

fn is_over(call: &Report) -> bool {
    call.ended_us.is_some()
}

#[test]
fn who_hangs_up_on_a_gateway_that_stands_still_pays_to_that_second() {
    let story = in_talk();
    story.gateway.process.signal(libc::SIGSTOP);
    std::thread::sleep(millis(1_500)); // the outage itself
    story.phones.hang_up(B);
    std::thread::sleep(secs(3));
    story.gateway.process.signal(libc::SIGCONT);
    story.phones.wait_call(A, "is hung up on", SOON, is_over);
    bills_what_the_phones_saw(&story);
}

#[test]
fn a_gateway_that_stood_still_over_the_end_of_the_hold_asks_for_more_before_it_cuts() {
    let story = in_talk();
    story.gateway.process.signal(libc::SIGSTOP);
    std::thread::sleep(secs(7)); // the outage itself
    story.gateway.process.signal(libc::SIGCONT);
    story.phones.wait_call(B, "hears A for longer", SOON, |call| is_over(call) || call.audio.heard_ms(700) >= 4_000);
    assert!(!is_over(&story.b()), "there is money for hours, and B was cut");
    story.phones.hang_up(B);
    story.phones.wait_call(A, "is hung up on", SOON, is_over);
    bills_what_the_phones_saw(&story);
}

#[test]
fn who_hangs_up_on_a_dead_gateway_pays_to_the_last_second_it_was_known_alive() {
    let mut story = in_talk();
    story.gateway.process.kill9();
    std::thread::sleep(millis(500));
    story.phones.hang_up(B);
    std::thread::sleep(millis(5_500)); // the outage itself: beyond the hold, and not too long to go on
    story.gateway = story.site.start(Part::All);
    story.phones.wait_call(A, "is hung up on", SOON, is_over);
    bills_what_the_phones_saw(&story);
}

#[test]
fn two_who_wait_for_a_dead_gateway_talk_on_beyond_their_hold() {
    let mut story = in_talk();
    story.gateway.process.kill9();
    std::thread::sleep(millis(5_500)); // the outage itself
    let heard = story.b().audio.heard_ms(700);
    story.gateway = story.site.start(Part::All);
    story.phones.wait_call(B, "hears A again", SOON, |call| is_over(call) || call.audio.heard_ms(700) >= heard + 3_000);
    assert!(!is_over(&story.b()), "there is money for hours, and B was cut");
    story.phones.hang_up(A);
    let b = story.phones.wait_call(B, "is hung up on", SOON, is_over);
    assert_eq!(b.ended_by, Some(Who::Gateway));
    bills_what_the_phones_saw(&story);
}

#[test]
fn who_waits_for_a_b_that_declines_while_the_gateway_stands_still_does_not_pay_for_that() {
    let story = Story::begin(Manner::answers(millis(300)), Manner::refuses(millis(1_500), 486), |_| {});
    story.ask("text-1");
    story.phones.wait_call(B, "rings", SOON, |call| call.ringing_us.is_some());
    story.gateway.process.signal(libc::SIGSTOP);
    std::thread::sleep(millis(2_500)); // the outage itself
    story.phones.hang_up(A);
    std::thread::sleep(secs(4));
    story.gateway.process.signal(libc::SIGCONT);
    bills_what_the_phones_saw(&story);
}

/// The step with A's answer and B's INVITE waits for the store while A hangs up, and then it is refused.
#[test]
fn who_hangs_up_while_the_store_is_away_and_has_cancelled_meanwhile_is_settled() {
    let a = Manner::answers(millis(2_500)).hangs_up_after(millis(300));
    let story = Story::begin(a, Manner::answers(millis(300)), |_| {});
    story.ask("text-1");
    let probe = story.site.probe();
    let rings = "SELECT COUNT(*) FROM outbox WHERE CAST(body AS TEXT) LIKE '%ringback.leg.ringing.v1%'";
    clock::wait_for("the ringing is written down", SOON, || (probe.number(rings) > 0).then_some(()));
    let cancel = "UPDATE callback_requests SET canceled = TRUE";
    probe.hold_open("BEGIN IMMEDIATE", &[cancel], secs(3), "COMMIT").expect("the store is held");
    story.phones.wait_call(A, "has hung up", SOON, is_over);
    story.wait_over(SOON);
    let legs: Vec<_> = probe.cdrs().iter().map(|cdr| (cdr.leg.clone(), cdr.billed_seconds)).collect();
    assert_eq!(legs, [("a".to_owned(), 1)]);
    assert!(story.phones.calls_to(B).is_empty(), "B was called");
    probe.books_are_right("alice", OPENING);
}
