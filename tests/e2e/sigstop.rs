//! An engine that stops breathing: another one takes over its calls, and the old one, come back, says nothing.

use ringback_tests::capture::{Capture, Packet};
use ringback_tests::clock;
use ringback_tests::judge;
use ringback_tests::peers::Peers;
use ringback_tests::phone::sound::RING_BACK;
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{PIN, Part, Site};
use ringback_tests::sms;
use ringback_tests::story::{A, B, OPENING, SOON, millis, secs};

#[test]
fn an_engine_stopped_for_20_s_while_talking_is_adopted_and_stays_silent() {
    let peers = Peers::shared();
    let site = Site::beside(&peers);
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, Manner::answers(millis(300)).plays(700));
    phones.when(B, Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(40)));
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let old = site.start(Part::Engine(1));
    let trigger = site.start(Part::Sms(1));
    let job = trigger.accepted("1", &sms::text("alice", PIN, A, B));
    phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    let capture = Capture::start(&format!("host {}", old.ip), site.folder()).expect("tcpdump starts");
    let adopter = site.start(Part::Engine(2));

    old.process.signal(libc::SIGSTOP);
    let stopped_us = clock::now_us();
    phones.wait("both parties to be called by the adopter's re-INVITE", secs(15), |calls| {
        calls.iter().filter(|c| c.answered_us.is_some()).all(|c| c.refreshes > 0).then_some(())
    });
    phones.wait_call(A, "hears B again", SOON, |call| heard_since(call, 1100, stopped_us + 6_000_000));
    phones.wait_call(B, "hears A again", SOON, |call| heard_since(call, 700, stopped_us + 6_000_000));
    let left = secs(20).saturating_sub(std::time::Duration::from_micros(clock::now_us() - stopped_us));
    std::thread::sleep(left);
    let epoch = site.probe().request(&job).map(|r| r.epoch);
    old.process.signal(libc::SIGCONT);
    let continued_us = clock::now_us();

    phones.wait_call(B, "hangs up", secs(40), |call| call.ended_us.is_some());
    site.wait_idle(1, SOON);
    let packets = capture.stop().expect("the capture can be read");
    let late: Vec<&Packet> = packets.iter().filter(|p| p.from.ip() == old.ip && p.at_us > continued_us).collect();
    let sip = late.iter().filter(|p| p.from.port() == 5068).count();
    assert_eq!(sip, 0, "the old engine sent SIP after it came back");
    let rtp_until = late.iter().filter(|p| p.is_rtp()).map(|p| p.at_us - continued_us).max().unwrap_or(0);
    assert!(rtp_until <= 20_000, "the old engine sent RTP for {rtp_until} us after it came back");

    let log = phones.log();
    judge::insist(
        &log,
        [
            judge::one_owner_at_a_time(&log),
            judge::nothing_is_left(&phones.calls()),
            judge::never_again_after_answer(&log, A),
        ],
    );
    let probe = site.probe();
    assert_eq!(probe.request(&job).map(|r| r.epoch), epoch, "no write of the old owner after the adoption");
    assert_eq!(probe.cdrs().len(), 2, "one CDR an attempt");
    probe.books_are_right("alice", OPENING);
    drop(adopter);
}

#[test]
fn an_adopted_engine_that_finds_the_database_away_stays_silent_until_it_has_answered() {
    let mut peers = Peers::start();
    let mut site = Site::beside(&peers);
    site.set("engine.no_answer", "60");
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, Manner::answers(millis(300)).plays(700));
    phones.when(B, Manner::rings_for_ever());
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let mut old = site.start(Part::Engine(1));
    let trigger = site.start(Part::Sms(1));
    trigger.accepted("1", &sms::text("alice", PIN, A, B));
    phones.wait_call(A, "hears the ring-back tone", SOON, |call| call.audio.heard_ms(RING_BACK) >= 300);
    let _adopter = site.start(Part::Engine(2));

    old.process.signal(libc::SIGSTOP);
    phones.wait_call(A, "is hung up on by the adopter", secs(30), |call| call.ended_us.is_some());
    let capture = Capture::start(&format!("host {}", old.ip), site.folder()).expect("tcpdump starts");
    peers.postgres.kill9();
    old.process.signal(libc::SIGCONT);
    let continued_us = clock::now_us();
    std::thread::sleep(secs(8)); // the time the database is away: part of the story
    peers.postgres.restart().expect("PostgreSQL starts again");
    old.process.wait(secs(20));
    let packets = capture.stop().expect("the capture can be read");
    let late: Vec<&Packet> =
        packets.iter().filter(|p| p.from.ip() == old.ip && p.at_us > continued_us + 20_000).collect();
    let sip = late.iter().filter(|p| p.from.port() == 5068).count();
    let rtp = late.iter().filter(|p| p.is_rtp()).count();
    assert_eq!((sip, rtp), (0, 0), "SIP and RTP of an engine that was adopted");

    site.wait_idle(1, secs(90));
    judge::insist(&phones.log(), [judge::nothing_is_left(&phones.calls())]);
    site.probe().books_are_right("alice", OPENING);
}

#[test]
fn whom_a_stopped_engine_hangs_up_on_hears_it_before_the_call_is_settled() {
    let peers = Peers::start();
    let mut site = Site::beside(&peers);
    site.set("engine.no_answer", "6");
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, Manner::answers(millis(300)));
    phones.when(B, Manner::rings_for_ever().heeds_expires());
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let mut engine = site.start_failing(Part::Engine(1), Some("bill.committed"));
    let trigger = site.start(Part::Sms(1));
    trigger.accepted("1", &sms::text("alice", PIN, A, B));
    phones.wait_call(B, "rings", SOON, |call| call.ringing_us.is_some());

    engine.process.signal(libc::SIGSTOP);
    peers.postgres.freeze(true);
    phones.wait_call(B, "has stopped ringing by itself", secs(15), |call| call.refused.is_some());
    engine.process.signal(libc::SIGCONT);
    std::thread::sleep(millis(1_500)); // the engine is there and knows that it may not speak: part of the story
    peers.postgres.freeze(false);
    engine.process.wait_killed(secs(20));

    phones.wait_call(A, "was hung up on by the engine that has died since", SOON, |call| call.ended_us.is_some());
    site.probe().books_are_right("alice", OPENING);
}

/// Whether a phone has heard this tone for half a second after that moment.
fn heard_since(call: &ringback_tests::phone::Report, hz: u32, moment_us: u64) -> bool {
    call.audio.heard.iter().any(|h| h.hz == Some(hz) && h.until_us >= moment_us.max(h.from_us) + 500_000)
}
