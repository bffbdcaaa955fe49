//! Somebody opens a transaction, changes a row and goes for a walk: nobody else's callback notices, and all is settled when he is back.

use std::sync::atomic::{AtomicBool, Ordering};

use ringback_tests::clock;
use ringback_tests::http;
use ringback_tests::judge;
use ringback_tests::peers::Peers;
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{PIN, Part, Site};
use ringback_tests::sms;
use ringback_tests::story::{A, B, OPENING, SOON, Story, millis, secs};

/// Sessions of the gateway at the database, whatever they do.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ringback'";
/// Those that wait for somebody's lock.
const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ringback' AND wait_event_type = 'Lock'";
/// Callbacks beside the one that is locked.
const OTHERS: usize = 10;

#[test]
fn a_cancel_that_is_left_uncommitted_holds_up_its_own_call_only() {
    let peers = Peers::shared();
    let site = Site::beside(&peers);
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when("44*", Manner::answers(millis(300)).plays(700));
    phones.when("4420*", Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(2)));
    phones.when(B, Manner::answers(millis(300)).plays(1100));
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let _engine = site.start(Part::Engine(1));
    let trigger = site.start(Part::Sms(1));
    let locked = trigger.accepted("locked", &sms::text("alice", PIN, A, B));
    phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    let probe = site.probe();
    let before = probe.number(SESSIONS);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let cancel = format!("UPDATE callback_requests SET canceled = TRUE WHERE job_id = '{locked}'");
            site.probe().hold_open("BEGIN", &[&cancel], secs(20), "ROLLBACK").expect("the outsider comes back");
            over.store(true, Ordering::SeqCst);
        });
        std::thread::sleep(millis(500)); // the lock is there before the others come
        phones.hang_up(B);
        for n in 0..OTHERS {
            let (a, b) = (format!("+44100000000{n}"), format!("+44200000000{n}"));
            trigger.accepted(&format!("other-{n}"), &sms::text("alice", PIN, &a, &b));
        }
        let settled = || probe.requests().into_iter().filter(|request| request.finished).count();
        clock::wait_for("the others to be settled", secs(18), || {
            let (sessions, waiting) = (probe.number(SESSIONS), probe.number(WAITING));
            assert!(waiting <= 5, "{waiting} sessions wait for one lock");
            assert!(sessions <= before + 12, "{sessions} sessions, {before} before");
            (settled() == OTHERS).then_some(())
        });
        assert!(!over.load(Ordering::SeqCst), "they were settled while the lock was held");
    });
    site.wait_idle(OTHERS + 1, SOON);
    for n in 0..OTHERS {
        assert_eq!(phones.calls_to(&format!("+44200000000{n}")).len(), 1);
    }
    let talked = judge::talk_seconds(&phones.calls_to(B)[0]).expect("B has hung up");
    let billed = probe.cdrs().into_iter().find(|cdr| cdr.job == locked && cdr.leg == "b").expect("B has its CDR");
    assert!(billed.billed_seconds as f64 <= talked.ceil(), "{} s billed, {talked} s seen", billed.billed_seconds);
    judge::insist(&phones.log(), [judge::nothing_is_left(&phones.calls())]);
    probe.books_are_right("alice", OPENING);
}

#[test]
fn an_embedded_file_that_somebody_has_locked_is_waited_for() {
    let phone = |hz| Manner::answers(millis(300)).plays(hz);
    let story = Story::begin(phone(700), phone(1100), |_| {});
    story.ask("text-1");
    story.phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    let ready = || http::get(story.gateway.health(), "/readyz").map_or(0, |answer| answer.status);
    std::thread::scope(|scope| {
        scope.spawn(|| story.site.probe().hold_open("BEGIN IMMEDIATE", &[], secs(12), "ROLLBACK").expect("he is back"));
        clock::wait_for("the gateway to say that it is not ready", secs(10), || (ready() == 503).then_some(()));
        let heard = story.b().audio.heard_ms(700);
        story.phones.wait_call(B, "still hears A", SOON, |call| call.audio.heard_ms(700) > heard + 1_000);
        story.phones.hang_up(B);
        story.phones.wait_call(A, "is hung up on at once", SOON, |call| call.ended_us.is_some());
    });
    clock::wait_for("the gateway to be ready", SOON, || (ready() == 200).then_some(()));
    story.wait_over(SOON);
    let (probe, seen) = (story.site.probe(), judge::talk_seconds(&story.b()).expect("B has hung up"));
    let b = probe.cdrs().into_iter().find(|cdr| cdr.leg == "b").expect("B has its CDR");
    assert!(
        b.billed_seconds > 0 && b.billed_seconds as f64 <= seen.ceil(),
        "{} s billed, {seen} s seen",
        b.billed_seconds
    );
    probe.books_are_right("alice", OPENING);
}
