//! The life of a callback, told in the words of the trade, on a pretend clock.

mod late;

use super::*;
use crate::billing::Tariff;
use ringback_common::number::Number;

struct Story {
    call: Call,
    now: Moment,
    stored: Vec<Snapshot>,
    laws: Laws,
}

/// What happens in a story.
type Happens = fn(&mut Story);

/// What holds in every story: the hold pays for every end, and nobody who answered or said no is dialled again.
#[derive(Clone, Copy, Default)]
struct Laws {
    had_their_say: [bool; 2],
}

impl Laws {
    fn hear(&mut self, call: &Call, input: Input) {
        let (Input::Answered(leg) | Input::Over(leg, Cause::Rejected | Cause::NoSuchNumber)) = input else { return };
        self.had_their_say[usize::from(leg == B)] |= call.track(leg).is_ringing();
    }

    /// `heard` outputs are older than what is judged.
    fn hold(self, call: &Call, heard: usize) {
        let paid_for = |leg: LegName| call.plan.party(leg).tariff.cost(call.track(leg).answered_for());
        assert!(paid_for(A) + paid_for(B) <= call.held, "more is charged than is held: {:?}", call.snapshot());
        for leg in [A, B] {
            let (track, had_their_say) = (call.track(leg), self.had_their_say[usize::from(leg == B)]);
            if let (Some(answered), Some((ended, _))) = (track.answered, track.ended) {
                assert!(
                    ended <= call.funded_until().max(answered),
                    "{leg:?} ends after what is paid for: {:?}",
                    call.snapshot()
                );
            }
            let again = |output: &Output| match output {
                Output::Dial(dialled) => *dialled == leg,
                Output::Finish(Ending::Retry(..)) => leg == A,
                _ => false,
            };
            assert!(
                !had_their_say || !call.outputs.iter().skip(heard).any(again),
                "{leg:?} is dialled again: {:?}",
                call.snapshot()
            );
        }
    }
}

fn party(number: &str, trunks: &[&str]) -> Party {
    let routes = trunks.iter().map(|trunk| Route { trunk: (*trunk).to_owned(), cli: "+4930111".to_owned() }).collect();
    Party { number: Number::e164(number).unwrap(), routes, tariff: Tariff { per_minute: Money(100_000) } }
}

fn plan() -> CallPlan {
    CallPlan {
        a: party("+4412345678", &["one"]),
        b: party("+4498765432", &["one"]),
        attempt: 1,
        attempts: 3,
        no_answer: Duration::from_secs(45),
        backoff: Duration::from_secs(10),
        max_call: Duration::from_secs(3600),
        slice_seconds: 120,
    }
}

impl Story {
    fn begins() -> Story {
        Story::of(plan())
    }

    fn of(plan: CallPlan) -> Story {
        let held = plan.slice();
        Story { call: Call::new(plan, held, Moment(0)), now: Moment(0), stored: Vec::new(), laws: Laws::default() }
    }

    /// A has answered and B rings.
    fn with_caller_on_the_line() -> Story {
        let mut story = Story::begins();
        story.hears(Input::Answered(A));
        story.does();
        story
    }

    fn in_talk() -> Story {
        let mut story = Story::with_caller_on_the_line();
        story.waits(5);
        story.hears(Input::Answered(B));
        assert_eq!(story.does(), ["store", "bridge"]);
        story
    }

    fn hears(&mut self, input: Input) {
        let heard = self.call.outputs.len();
        self.laws.hear(&self.call, input);
        self.call.handle(input, self.now);
        self.laws.hold(&self.call, heard);
    }

    /// The process stands still: nobody ticks.
    fn is_stopped_for(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    fn charged_seconds(&self) -> [u64; 2] {
        [A, B].map(|leg| self.call.plan.party(leg).tariff.billed_seconds(self.call.track(leg).answered_for()))
    }

    fn waits(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.call.poll_timeout().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            let before = self.call.snapshot();
            self.hears(Input::Tick);
            if self.call.snapshot() == before {
                break;
            }
        }
        self.now = until;
    }

    fn does(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(output) = self.call.poll_output() {
            done.push(match output {
                Output::Store(snapshot) => {
                    self.stored.push(*snapshot);
                    "store".to_owned()
                }
                Output::StoreSoon => {
                    self.stored.push(self.call.snapshot());
                    "store soon".to_owned()
                }
                Output::Dial(leg) => format!("dial {leg:?}"),
                Output::RingBack => "ring-back".to_owned(),
                Output::PassEarlyMedia => "early media".to_owned(),
                Output::Bridge => "bridge".to_owned(),
                Output::Extend(amount) => format!("extend to {amount}"),
                Output::HangUp(leg, cause) => format!("hang up {leg:?}: {}", cause.as_str()),
                Output::Finish(Ending::Finished(verdict, cause)) => {
                    format!("finish: {}, {}", verdict.as_str(), cause.as_str())
                }
                Output::Finish(Ending::Retry(cause, at)) => {
                    format!("retry after {} at {}", cause.as_str(), at.0 / 1000)
                }
            });
        }
        done
    }
}

#[test]
fn a_callback_is_dialled_answered_joined_and_ends_when_b_hangs_up() {
    let mut story = Story::begins();
    assert_eq!(story.does(), ["store", "dial A"]);
    story.waits(3);
    story.hears(Input::Ringing(A));
    assert_eq!(story.does(), ["store soon"]);
    story.waits(2);
    story.hears(Input::Answered(A));
    assert_eq!(story.does(), ["store", "ring-back", "dial B"]);
    story.waits(5);
    story.hears(Input::Answered(B));
    assert_eq!(story.does(), ["store", "bridge"]);
    story.waits(60);
    story.hears(Input::Over(B, Cause::HungUp));
    assert_eq!(story.does(), ["hang up A: completed", "finish: Successful, hung_up"]);
    assert_eq!(story.call.talked_for(), Duration::from_secs(60));
    assert_eq!(story.call.track(A).answered_for(), Duration::from_secs(65));
    assert_eq!(story.call.track(B).answered_for(), Duration::from_secs(60));
}

#[test]
fn b_is_not_dialled_when_a_does_not_answer() {
    let mut story = Story::begins();
    story.does();
    story.waits(45);
    assert_eq!(story.does(), ["hang up A: no_answer", "store"]);
    story.hears(Input::Over(A, Cause::NoAnswer));
    assert_eq!(story.does(), ["retry after no_answer at 55"]);
    assert_eq!(story.call.track(B).dialled, None);
}

#[test]
fn the_time_to_answer_begins_when_the_invite_has_left() {
    let mut story = Story::begins();
    story.does();
    story.now = Moment(2_000);
    story.hears(Input::Dialled(A));
    story.waits(44);
    assert_eq!(story.does(), [""; 0]);
    story.waits(1);
    assert_eq!(story.does(), ["hang up A: no_answer", "store"]);
}

#[test]
fn the_last_attempt_is_out_of_retries() {
    let mut story = Story::of(CallPlan { attempt: 3, ..plan() });
    story.does();
    story.hears(Input::Over(A, Cause::Busy));
    assert_eq!(story.does(), ["finish: Out of retries, busy"]);
}

#[test]
fn a_party_who_said_no_is_not_rung_again() {
    for cause in [Cause::Rejected, Cause::NoSuchNumber] {
        let mut story = Story::of(CallPlan { a: party("+4412345678", &["one", "two"]), ..plan() });
        story.does();
        story.hears(Input::Over(A, cause));
        assert_eq!(story.does(), [format!("finish: Rejected, {}", cause.as_str())]);
    }
}

#[test]
fn another_trunk_is_tried_only_when_the_party_was_not_reached() {
    let mut story = Story::of(CallPlan { a: party("+4412345678", &["one", "two"]), ..plan() });
    story.does();
    story.hears(Input::Over(A, Cause::TrunkFailed));
    assert_eq!(story.does(), ["store", "dial A"]);
    assert_eq!(story.call.track(A).route, 1);
    story.hears(Input::Over(A, Cause::Busy));
    assert_eq!(story.does(), ["retry after busy at 10"]);
}

#[test]
fn a_hangs_up_while_b_rings_and_b_is_cancelled_at_once() {
    let mut story = Story::with_caller_on_the_line();
    story.waits(4);
    story.hears(Input::Over(A, Cause::HungUp));
    assert_eq!(story.does(), ["hang up B: canceled", "store"]);
    story.hears(Input::Over(B, Cause::NoAnswer));
    assert_eq!(story.does(), ["finish: First leg aborted, hung_up"]);
    assert_eq!(story.call.track(B).answered_for(), Duration::ZERO);
}

#[test]
fn who_has_answered_and_hung_up_unheard_is_not_rung_again() {
    let mut story = Story::begins();
    story.does();
    story.hears(Input::Over(A, Cause::HungUp));
    assert_eq!(story.does(), ["finish: First leg aborted, hung_up"]);
    let mut story = Story::with_caller_on_the_line();
    story.hears(Input::Over(B, Cause::HungUp));
    assert_eq!(story.does(), ["hang up A: completed", "finish: Second leg failed, hung_up"]);
}

#[test]
fn b_answering_into_our_cancel_is_hung_up_and_costs_nothing() {
    let mut story = Story::with_caller_on_the_line();
    story.hears(Input::Over(A, Cause::HungUp));
    story.does();
    story.hears(Input::Answered(B));
    assert_eq!(story.does(), ["hang up B: canceled", "finish: First leg aborted, hung_up"]);
    assert_eq!(story.call.track(B).answered_for(), Duration::ZERO);
}

#[test]
fn a_answering_into_our_cancel_is_never_rung_again() {
    let mut story = Story::begins();
    story.waits(45);
    story.does();
    story.hears(Input::Answered(A));
    assert_eq!(story.does(), ["hang up A: canceled", "finish: First leg aborted, no_answer"]);
}

#[test]
fn b_busy_ends_a_as_well_and_a_is_not_redialled() {
    let mut story = Story::with_caller_on_the_line();
    story.waits(2);
    story.hears(Input::Over(B, Cause::Busy));
    assert_eq!(story.does(), ["hang up A: completed", "finish: Second leg failed, busy"]);
    assert_eq!(story.call.track(A).answered_for(), Duration::from_secs(2));
}

#[test]
fn b_not_answering_is_cancelled_after_our_time() {
    let mut story = Story::with_caller_on_the_line();
    story.waits(45);
    assert_eq!(story.does(), ["hang up A: completed", "hang up B: no_answer", "store"]);
    story.hears(Input::Over(B, Cause::NoAnswer));
    assert_eq!(story.does(), ["finish: Second leg failed, no_answer"]);
}

#[test]
fn early_media_is_heard_and_is_no_answer() {
    let mut story = Story::with_caller_on_the_line();
    story.hears(Input::EarlyMedia(B));
    assert_eq!(story.does(), ["early media"]);
    assert!(matches!(story.call.state(), State::RingingDestination { .. }));
}

#[test]
fn the_hold_is_extended_in_time_and_the_call_cut_when_there_is_no_more() {
    let mut story = Story::in_talk();
    // 0.40 held, two legs at 0.10 a minute, B five seconds later: covered until 122.5 s.
    story.waits(110);
    assert_eq!(story.does(), ["extend to 0.80"]);
    story.hears(Input::Extended(Money(800_000)));
    assert_eq!(story.does(), ["store"]);
    story.waits(120);
    assert_eq!(story.does(), ["extend to 1.20"]);
    story.hears(Input::NoMoreMoney);
    story.waits(3600);
    assert_eq!(
        story.does(),
        ["hang up A: out_of_funds", "hang up B: out_of_funds", "finish: Successful, out_of_funds"]
    );
    let spent = [A, B].map(|leg| Tariff { per_minute: Money(100_000) }.cost(story.call.track(leg).answered_for()));
    assert!(spent[0] + spent[1] <= Money(800_000));
}

#[test]
fn a_store_that_is_away_lets_the_call_go_on_to_what_is_paid_for() {
    let mut story = Story::in_talk();
    story.waits(3600);
    let done = story.does();
    assert_eq!(done[0], "extend to 0.80");
    assert_eq!(done[1..], ["hang up A: Interrupted", "hang up B: Interrupted", "finish: Successful, Interrupted"]);
    assert_eq!(story.call.track(A).answered_for(), Duration::from_millis(122_000));
}

#[test]
fn the_longest_call_is_an_hour_however_rich_the_account() {
    let mut story = Story::of(CallPlan { slice_seconds: 10_000, ..plan() });
    story.hears(Input::Answered(A));
    story.hears(Input::Answered(B));
    story.does();
    story.waits(4000);
    assert_eq!(story.does(), ["hang up A: time_limit", "hang up B: time_limit", "finish: Successful, time_limit"]);
}

#[test]
fn cancel_has_a_defined_end_in_every_state() {
    let mut ringing_a = Story::begins();
    ringing_a.does();
    ringing_a.hears(Input::Cancel);
    assert_eq!(ringing_a.does(), ["hang up A: canceled", "store"]);
    ringing_a.hears(Input::Over(A, Cause::NoAnswer));
    assert_eq!(ringing_a.does(), ["finish: Canceled, canceled"]);

    let mut ringing_b = Story::with_caller_on_the_line();
    ringing_b.hears(Input::Cancel);
    assert_eq!(ringing_b.does(), ["hang up A: canceled", "hang up B: canceled", "store"]);
    ringing_b.hears(Input::Over(B, Cause::NoAnswer));
    assert_eq!(ringing_b.does(), ["finish: Canceled, canceled"]);

    let mut talking = Story::in_talk();
    talking.hears(Input::Cancel);
    assert_eq!(talking.does(), ["hang up A: canceled", "hang up B: canceled", "finish: Canceled, canceled"]);
    talking.hears(Input::Cancel);
    assert_eq!(talking.does(), [""; 0], "a second cancel changes nothing");
}

#[test]
fn an_engine_that_was_away_charges_until_it_was_last_known_alive() {
    let mut story = Story::in_talk();
    story.waits(100);
    story.hears(Input::Lost { alive: Moment(65_000) });
    assert_eq!(story.does(), ["hang up A: Interrupted", "hang up B: Interrupted", "finish: Interrupted, Interrupted"]);
    assert_eq!(story.call.track(A).answered_for(), Duration::from_secs(65));
    assert_eq!(story.call.track(B).answered_for(), Duration::from_secs(60));
}

#[test]
fn who_hung_up_while_the_engine_was_away_pays_until_it_was_last_known_alive() {
    let mut story = Story::in_talk();
    story.waits(100);
    story.hears(Input::Gone(B, Moment(65_000)));
    assert_eq!(story.does(), ["hang up A: completed", "hang up B: hung_up", "finish: Successful, hung_up"]);
    assert_eq!(story.call.track(A).answered_for(), Duration::from_secs(65));
    assert_eq!(story.call.track(B).answered_for(), Duration::from_secs(60));
}

#[test]
fn a_ringing_party_of_a_lost_engine_is_cancelled_and_left_alone_until_its_phone_must_be_silent() {
    let mut story = Story::begins();
    story.waits(40);
    story.does();
    story.hears(Input::Lost { alive: Moment(1_000) });
    assert_eq!(story.does(), ["hang up A: Interrupted", "store"]);
    story.waits(40);
    assert_eq!(story.does(), ["retry after Interrupted at 77"]);
}

#[test]
fn a_phone_that_confirms_the_cancel_of_a_lost_engine_may_be_rung_after_the_backoff() {
    let mut story = Story::begins();
    story.waits(40);
    story.does();
    story.hears(Input::Lost { alive: Moment(1_000) });
    story.hears(Input::Over(A, Cause::NoAnswer));
    assert_eq!(story.does(), ["hang up A: Interrupted", "store", "retry after Interrupted at 50"]);
}

#[test]
fn silence_on_the_line_ends_the_call() {
    let mut story = Story::in_talk();
    story.waits(60);
    story.hears(Input::Silent(A));
    assert_eq!(story.does(), ["hang up A: media_lost", "hang up B: media_lost", "finish: Successful, media_lost"]);
}

#[test]
fn both_hanging_up_at_once_is_one_end() {
    let mut story = Story::in_talk();
    story.hears(Input::Over(A, Cause::HungUp));
    story.hears(Input::Over(B, Cause::HungUp));
    assert_eq!(story.does(), ["hang up B: completed", "finish: Successful, hung_up"]);
}

/// What A's phone may say to our CANCEL, whatever made us send it.
#[test]
fn a_last_word_that_is_a_no_is_the_end_in_every_state() {
    let plan_of = |attempt| CallPlan { attempt, ..plan() };
    let stories: [(&str, Happens, [&str; 2]); 4] = [
        ("nobody answered", |story| story.waits(45), ["no_answer"; 2]),
        ("the engine was lost", |story| story.hears(Input::Lost { alive: Moment(1_000) }), ["Interrupted"; 2]),
        (
            "lost again while it waits",
            |story| {
                story.waits(45);
                story.hears(Input::Lost { alive: Moment(46_000) });
            },
            ["Interrupted", "no_answer"],
        ),
        (
            "stopped over the end of the ringing",
            |story| {
                story.is_stopped_for(60);
                story.hears(Input::Tick);
            },
            ["no_answer"; 2],
        ),
    ];
    for (what, happens, decided) in stories {
        for (attempt, decided) in [1, 3].into_iter().zip(decided) {
            for code in 300..700 {
                let cause = Cause::of_status(code);
                let mut story = Story::of(plan_of(attempt));
                happens(&mut story);
                story.does();
                story.hears(Input::Over(A, cause));
                let end = story.does().join(" ");
                let expected = match cause {
                    Cause::Rejected | Cause::NoSuchNumber => format!("finish: Rejected, {}", cause.as_str()),
                    _ if attempt == 3 => format!("finish: Out of retries, {decided}"),
                    _ => format!("retry after {decided} at "),
                };
                assert!(end.starts_with(&expected), "{what}, attempt {attempt}, {code}: {end}");
            }
        }
    }
}

#[test]
fn a_cancelled_callback_stays_cancelled_whatever_the_phone_says_last() {
    for code in 300..700 {
        let mut story = Story::begins();
        story.hears(Input::Cancel);
        story.does();
        story.hears(Input::Over(A, Cause::of_status(code)));
        assert_eq!(story.does(), ["finish: Canceled, canceled"], "{code}");
    }
}

#[test]
fn whatever_b_says_a_has_answered_and_is_not_called_again() {
    for code in 300..700 {
        let cause = Cause::of_status(code);
        let mut rings = Story::with_caller_on_the_line();
        rings.hears(Input::Over(B, cause));
        let end = format!("finish: Second leg failed, {}", cause.as_str());
        assert_eq!(rings.does(), ["hang up A: completed".to_owned(), end], "{code}");

        let mut too_late = Story::with_caller_on_the_line();
        too_late.waits(45);
        too_late.does();
        too_late.hears(Input::Over(B, cause));
        assert_eq!(too_late.does(), ["finish: Second leg failed, no_answer"], "{code}");
    }
}

#[test]
fn an_end_that_nobody_has_seen_counts_from_the_newest_invite() {
    let mut failed_over = Story::of(CallPlan { a: party("+4412345678", &["one", "two"]), ..plan() });
    failed_over.waits(30);
    failed_over.hears(Input::Over(A, Cause::TrunkFailed));
    failed_over.does();
    let stored = failed_over.stored.pop().unwrap();
    failed_over.call = Call::restore(failed_over.call.plan.clone(), stored);
    failed_over.waits(10);
    failed_over.hears(Input::Lost { alive: Moment(35_000) });
    failed_over.does();
    failed_over.waits(40);
    assert_eq!(failed_over.does(), ["retry after Interrupted at 107"], "30 s, 45 s of ringing, 32 s");
    assert_eq!(failed_over.call.track(A).dialled, Some(Moment(0)), "the attempt began with its first INVITE");

    let mut challenged = Story::begins();
    challenged.waits(20);
    challenged.hears(Input::Dialled(A));
    challenged.hears(Input::Lost { alive: Moment(21_000) });
    challenged.does();
    challenged.waits(40);
    assert_eq!(challenged.does(), ["retry after Interrupted at 97"], "20 s, 45 s of ringing, 32 s");

    let mut restored = Story::begins();
    restored.does();
    restored.call.invited(A, Moment(4_000));
    restored.waits(10);
    restored.hears(Input::Lost { alive: Moment(5_000) });
    restored.does();
    restored.waits(40);
    assert_eq!(restored.does(), ["retry after Interrupted at 81"], "as the store knows it");
}

#[test]
fn a_number_that_must_not_be_called_any_more_ends_as_blocked() {
    let mut story = Story::with_caller_on_the_line();
    story.hears(Input::Blocked);
    assert_eq!(story.does(), ["hang up A: canceled", "hang up B: canceled", "store"]);
    story.hears(Input::Over(B, Cause::Canceled));
    assert_eq!(story.does(), ["finish: Blocked, canceled"]);
}

/// Every reachable state, restored from its stored form, goes on exactly as the original does, for every input; and the laws hold.
#[test]
fn cut_at_any_store_the_end_and_the_money_are_the_same() {
    let inputs = [
        Input::Dialled(A),
        Input::Dialled(B),
        Input::Ringing(A),
        Input::Answered(A),
        Input::Over(A, Cause::HungUp),
        Input::Over(A, Cause::Rejected),
        Input::Over(A, Cause::TrunkFailed),
        Input::Ringing(B),
        Input::EarlyMedia(B),
        Input::Answered(B),
        Input::Over(B, Cause::Rejected),
        Input::Over(B, Cause::TrunkFailed),
        Input::Silent(A),
        Input::Extended(Money(900_000)),
        Input::NoMoreMoney,
        Input::NotAsked,
        Input::Cancel,
        Input::Blocked,
        Input::Resumed { alive: Moment(30_000) },
        Input::Confirmed(A),
        Input::Confirmed(B),
        Input::Lost { alive: Moment(30_000) },
        Input::Gone(A, Moment(30_000)),
        Input::Tick,
    ];
    let two_trunks = CallPlan { a: party("+4412345678", &["one", "two"]), ..plan() };
    let mut frontier = vec![(Story::of(two_trunks.clone()).call, Laws::default(), 0_u64)];
    let mut states = std::collections::HashSet::new();
    while let Some((call, laws, depth)) = frontier.pop() {
        if depth == 5 {
            continue;
        }
        for input in inputs {
            let now = Moment((depth + 1) * 21_000);
            let (mut original, mut laws) = (call.clone(), laws);
            original.outputs.clear();
            laws.hear(&original, input);
            original.handle(input, now);
            laws.hold(&original, 0);
            if call.away.is_none() {
                let stored = serde_json::to_string(&call.snapshot()).unwrap();
                let mut restored = Call::restore(two_trunks.clone(), serde_json::from_str(&stored).unwrap());
                restored.handle(input, now);
                assert_eq!(original.snapshot(), restored.snapshot());
                assert_eq!(original.outputs, restored.outputs);
            }
            assert!(original.poll_timeout().is_some() || original.state == State::Ended, "no state waits for ever");
            states.insert(std::mem::discriminant(&original.state));
            let changed = original.snapshot() != call.snapshot() || original.away.is_some() != call.away.is_some();
            if original.state != State::Ended && changed {
                frontier.push((original, laws, depth + 1));
            }
        }
    }
    assert_eq!(states.len(), 5, "every state was cut: A rings, B rings, they talk, it closes, it is over");
}
