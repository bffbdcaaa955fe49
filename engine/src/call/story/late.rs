//! What was decided late, or while the process or the store was away: who pays until when.

use super::*;

#[test]
fn a_call_that_is_cut_late_is_charged_to_what_was_paid_for() {
    let mut story = Story::in_talk();
    story.waits(110);
    story.does();
    story.hears(Input::NoMoreMoney);
    story.is_stopped_for(9);
    story.hears(Input::Tick);
    assert_eq!(
        story.does(),
        ["hang up A: out_of_funds", "hang up B: out_of_funds", "finish: Successful, out_of_funds"]
    );
    assert_eq!(story.charged_seconds(), [122, 117]);
}

#[test]
fn whoever_waits_for_b_or_hangs_up_late_pays_no_more_than_is_held() {
    let short = CallPlan { slice_seconds: 10, ..plan() };
    let ends: [Happens; 6] = [
        |story| story.hears(Input::Over(A, Cause::HungUp)),
        |story| story.hears(Input::Over(B, Cause::Busy)),
        |story| story.hears(Input::Cancel),
        |story| story.hears(Input::Tick),
        |story| story.hears(Input::Gone(A, Moment(25_000))),
        |story| story.hears(Input::Lost { alive: Moment(25_000) }),
    ];
    for end in ends {
        let mut waits = Story::of(short.clone());
        waits.hears(Input::Answered(A));
        waits.is_stopped_for(25);
        end(&mut waits);
        assert_eq!(waits.charged_seconds(), [20, 0], "the hold of 10 s for two is 20 s for one");
    }
    for end in [Input::Over(B, Cause::HungUp), Input::Silent(A), Input::Cancel, Input::Gone(B, Moment(25_000))] {
        let mut talks = Story::of(short.clone());
        talks.hears(Input::Answered(A));
        talks.hears(Input::Answered(B));
        talks.is_stopped_for(25);
        talks.hears(end);
        assert_eq!(talks.charged_seconds(), [10, 10], "{end:?}");
    }
}

#[test]
fn a_process_that_was_stopped_asks_for_money_before_it_cuts() {
    let mut rich = Story::in_talk();
    rich.is_stopped_for(200);
    rich.hears(Input::Tick);
    assert_eq!(rich.does(), [format!("extend to {}", Money(1_075_001))]);
    rich.waits(1);
    rich.hears(Input::Extended(Money(1_075_001)));
    assert_eq!(rich.does(), ["store"]);
    rich.waits(30);
    rich.hears(Input::Over(B, Cause::HungUp));
    assert_eq!(rich.does(), ["hang up A: completed", "finish: Successful, hung_up"]);
    assert_eq!(rich.charged_seconds(), [236, 231]);

    for silent in [false, true] {
        let mut poor = Story::in_talk();
        poor.is_stopped_for(200);
        poor.hears(Input::Tick);
        poor.does();
        if !silent {
            poor.hears(Input::NoMoreMoney);
        }
        poor.waits(5);
        let why = if silent { "Interrupted" } else { "out_of_funds" };
        assert_eq!(poor.does().last(), Some(&format!("finish: Successful, {why}")));
        assert_eq!(poor.charged_seconds(), [122, 117]);
    }
}

#[test]
fn an_account_that_was_asked_before_the_process_was_stopped_is_heard_before_the_cut() {
    let mut story = Story::in_talk();
    story.waits(110);
    assert_eq!(story.does(), ["extend to 0.80"]);
    story.is_stopped_for(20);
    story.hears(Input::Tick);
    assert_eq!(story.does(), [""; 0]);
    story.hears(Input::Extended(Money(800_000)));
    assert_eq!(story.does(), ["store"]);
    story.waits(10);
    assert!(matches!(story.call.state(), State::Talking { .. }));
}

#[test]
fn an_account_that_cannot_be_asked_is_asked_each_second_until_the_hold_is_used_up() {
    let mut story = Story::in_talk();
    story.waits(107);
    for _ in 0..10 {
        assert_eq!(story.does(), ["extend to 0.80"]);
        story.hears(Input::NotAsked);
        story.waits(1);
    }
    story.waits(1);
    let asked_last = story.does();
    assert_eq!(asked_last.last().map(String::as_str), Some("finish: Successful, Interrupted"), "{asked_last:?}");
    assert_eq!(story.charged_seconds(), [122, 117]);
}

/// A hold of 60 s, last known alive at 52 s, and the engine back at 64.3 s.
fn back_after_an_outage() -> Story {
    let mut story = Story::of(CallPlan { slice_seconds: 60, ..plan() });
    story.hears(Input::Answered(A));
    story.hears(Input::Answered(B));
    story.does();
    story.now = Moment(64_300);
    story.hears(Input::Resumed { alive: Moment(52_000) });
    story.hears(Input::Tick);
    assert_eq!(story.does(), [format!("extend to {}", Money(416_668))]);
    assert_eq!(story.call.stands_still_at(), Some(Moment(52_000)));
    story
}

#[test]
fn after_an_outage_every_end_is_as_of_the_last_second_known_alive_until_all_are_back() {
    let ends: [Happens; 8] = [
        |story| story.hears(Input::Over(B, Cause::HungUp)),
        |story| story.hears(Input::Gone(A, Moment(52_000))),
        |story| story.hears(Input::Silent(A)),
        |story| story.hears(Input::Cancel),
        |story| story.hears(Input::Lost { alive: Moment(64_000) }),
        |story| {
            story.hears(Input::NoMoreMoney);
            story.hears(Input::Tick);
        },
        |story| story.waits(5),
        |story| {
            story.hears(Input::Extended(Money(416_668)));
            story.hears(Input::Confirmed(A));
            story.hears(Input::Over(B, Cause::HungUp));
        },
    ];
    for (i, end) in ends.into_iter().enumerate() {
        let mut story = back_after_an_outage();
        end(&mut story);
        assert_eq!(story.call.state(), &State::Ended, "end {i}");
        assert_eq!(story.charged_seconds(), [52, 52], "end {i}");
    }
}

#[test]
fn after_an_outage_a_rich_caller_whose_friend_is_still_there_talks_on() {
    let mut story = back_after_an_outage();
    story.hears(Input::Confirmed(A));
    story.hears(Input::Confirmed(B));
    story.hears(Input::Extended(Money(416_668)));
    assert_eq!(story.does(), ["store"]);
    assert_eq!(story.call.stands_still_at(), None);
    story.waits(16);
    story.hears(Input::Over(A, Cause::HungUp));
    assert_eq!(story.charged_seconds(), [81, 81]);
    assert_eq!(story.call.stands_still_at(), Some(Moment(80_300)));
}

#[test]
fn a_hang_up_that_had_to_wait_to_be_read_ends_the_charge_when_it_came() {
    let mut story = Story::in_talk();
    story.is_stopped_for(30);
    story.call.handle(Input::Over(B, Cause::HungUp), Moment(17_200));
    assert_eq!(story.charged_seconds(), [18, 13]);
    assert_eq!(story.call.stands_still_at(), Some(Moment(17_200)));
}
