//! An engine that dies for good: another one takes over, from its own address or from the one that moved to it.

use std::sync::Arc;

use ringback_tests::peers::Peers;
use ringback_tests::phone::{Bank, Manner, Report, Who};
use ringback_tests::site::{PIN, Part, Running, Site};
use ringback_tests::sms;
use ringback_tests::story::{A, B, OPENING, SOON, millis, secs};
use ringback_tests::{clock, judge};

/// Engine 1 runs a callback; nobody else is there yet.
struct Stage {
    phones: Bank,
    old: Running,
    _trigger: Running,
    job: String,
    site: Site,
    _peers: Arc<Peers>,
}

fn stage(a: Vec<Manner>, b: Manner, no_answer: u64) -> Stage {
    let peers = Peers::shared();
    let mut site = Site::beside(&peers);
    site.set("engine.no_answer", &no_answer.to_string());
    site.set("engine.backoff", "1");
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when_each(A, a);
    phones.when(B, b);
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let old = site.start(Part::Engine(1));
    let trigger = site.start(Part::Sms(1));
    let job = trigger.accepted("1", &sms::text("alice", PIN, A, B));
    Stage { phones, old, _trigger: trigger, job, site, _peers: peers }
}

impl Stage {
    fn all_is_booked(&self, cdrs: usize) {
        let probe = self.site.probe();
        assert_eq!(probe.cdrs().len(), cdrs, "{:?}", probe.cdrs());
        probe.books_are_right("alice", OPENING);
        assert!(probe.request(&self.job).is_some_and(|r| r.finished && r.epoch >= 1));
        let log = self.phones.log();
        judge::insist(
            &log,
            [
                judge::nothing_is_left(&self.phones.calls()),
                judge::one_owner_at_a_time(&log),
                judge::answered_at_most_once(&log, A),
                judge::answered_at_most_once(&log, B),
                judge::never_again_after_answer(&log, A),
                judge::no_stale_invite(&log),
            ],
        );
    }
}

#[test]
fn two_who_talk_are_joined_again_by_the_survivor() {
    let b = Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(25));
    let mut stage = stage(vec![Manner::answers(millis(300)).plays(700)], b, 30);
    stage.phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    let survivor = stage.site.start(Part::Engine(2));
    stage.old.process.kill9();
    let from_survivor = |call: &ringback_tests::phone::Report| {
        let voice = call.audio.sources.iter().find(|(from, _)| from.starts_with(&format!("{}:", survivor.ip)));
        call.refreshes > 0 && voice.is_some_and(|(_, source)| source.packets >= 50)
    };
    stage.phones.wait_call(A, "hears the survivor", secs(20), from_survivor);
    stage.phones.wait_call(B, "hears the survivor", secs(20), from_survivor);
    stage.phones.wait_call(B, "hangs up by itself", secs(40), |call| call.ended_by == Some(Who::Phone));
    stage.site.wait_idle(1, SOON);
    stage.all_is_booked(2);
}

#[test]
fn a_ringing_phone_is_cancelled_by_a_survivor_at_another_address() {
    let a = vec![Manner::rings_for_ever(), Manner::answers(millis(300)).plays(700)];
    let b = Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(1));
    let mut stage = stage(a, b, 15);
    stage.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    let _survivor = stage.site.start(Part::Engine(2));
    stage.old.process.kill9();
    stage.phones.wait("the first call to be cancelled", secs(20), |calls| calls[0].canceled_us);
    stage.site.wait_idle(1, secs(90));
    let log = stage.phones.log();
    judge::insist(&log, [judge::one_attempt_at_a_time(&log, A, 46_700_000)]);
    assert_eq!(judge::attempts(&log.of_number(A)).len(), 2, "{}", log.ladder());
    let causes: Vec<String> = stage.site.probe().cdrs().into_iter().map(|c| c.cause).collect();
    assert_eq!(causes.first().map(String::as_str), Some("Interrupted"), "{causes:?}");
    stage.all_is_booked(3);
}

#[test]
fn a_ringing_phone_goes_on_ringing_when_the_address_moves() {
    let a = vec![Manner::answers(secs(18)).plays(700)];
    let b = Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(1));
    let mut stage = stage(a, b, 40);
    stage.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    stage.old.process.kill9();
    let mut survivor = stage.site.start_at(Part::Engine(2), stage.old.ip, None).expect("the binary is there");
    survivor.wait_ready();
    stage.phones.wait_call(B, "talks and hangs up", secs(40), |call| call.ended_us.is_some());
    stage.site.wait_idle(1, SOON);
    let log = stage.phones.log();
    assert_eq!(judge::attempts(&log.of_number(A)).len(), 1, "A rang once:\n{}", log.ladder());
    stage.all_is_booked(2);
}

/// A rings; its engine dies and is adopted at another address, where nobody hears what A says meanwhile.
fn heard_by_nobody(a: Manner, says: impl Fn(&Report) -> bool) -> (Stage, Running) {
    let mut stage = stage(vec![a], Manner::answers(millis(300)), 5);
    stage.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    stage.old.process.kill9();
    let survivor = stage.site.start(Part::Engine(2));
    stage.phones.wait_call(A, "says its word", SOON, says);
    stage.phones.wait_call(A, "is cancelled by the survivor", secs(25), |call| call.canceled_us.is_some());
    (stage, survivor)
}

fn has_answered(call: &Report) -> bool {
    call.answered_us.is_some()
}

impl Stage {
    /// Another process at the address of the dead one.
    fn moves_in(&self, failpoint: Option<&str>) -> Running {
        let mut next = self.site.start_at(Part::Engine(3), self.old.ip, failpoint).expect("the binary is there");
        next.wait_ready_or_dead();
        next
    }

    fn never_rings_again(&self, result: &str) {
        self.site.wait_idle(1, secs(90));
        let log = self.phones.log();
        assert_eq!(judge::attempts(&log.of_number(A)).len(), 1, "{}", log.ladder());
        assert_eq!(self.site.probe().request(&self.job).map(|r| r.result).as_deref(), Some(result));
        self.all_is_booked(1);
    }
}

#[test]
fn who_answers_a_dead_engine_is_hung_up_on_at_its_address_and_never_rung_again() {
    let (stage, _survivor) = heard_by_nobody(Manner::answers(secs(2)).plays(700), has_answered);
    let mut dying = stage.moves_in(Some("orphan.marked"));
    dying.process.wait_killed(secs(20));
    let _next = stage.moves_in(None);
    stage.phones.wait_call(A, "is hung up on", secs(10), |call| call.ended_by == Some(Who::Gateway));
    stage.never_rings_again("Interrupted");
}

#[test]
fn who_hangs_up_on_a_dead_engine_is_answered_at_its_address_and_never_rung_again() {
    let (stage, _survivor) =
        heard_by_nobody(Manner::answers(secs(2)).plays(700).hangs_up_after(secs(25)), has_answered);
    stage.phones.wait_call(A, "hangs up", secs(30), |call| call.ended_us.is_some());
    let _next = stage.moves_in(None);
    let status = clock::wait_for("the BYE to be answered", secs(10), || {
        let log = stage.phones.log();
        log.entries.iter().filter(|e| e.from_gateway && e.method == "BYE").find_map(|e| e.status)
    });
    assert_eq!(status, 200, "{}", stage.phones.log().ladder());
    stage.never_rings_again("Interrupted");
}

#[test]
fn who_declines_to_a_dead_engine_is_heard_at_its_address_and_never_rung_again() {
    let (stage, _survivor) = heard_by_nobody(Manner::refuses(secs(2), 603), |call| call.refused.is_some());
    let _next = stage.moves_in(None);
    clock::wait_for("the refusal to be acknowledged", secs(20), || {
        judge::attempts(&stage.phones.log().of_number(A))[0].closed_us
    });
    stage.never_rings_again("Rejected");
}
