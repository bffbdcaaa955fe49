//! One callback on the small site: from a text to two phones that hear each other, to CDRs and a reply.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ringback_tests::judge;
use ringback_tests::phone::sound::RING_BACK;
use ringback_tests::phone::{Algorithm, Bank, Challenge, Manner, Who};
use ringback_tests::site::{Part, SECRET};
use ringback_tests::story::{A, B, OPENING, SOON, Story, millis, secs, since};
use ringback_tests::{clock, sms};

/// A phone that answers soon and plays its tone.
fn phone(hz: u32) -> Manner {
    Manner::answers(millis(300)).plays(hz)
}

#[test]
fn a_text_brings_two_phones_together_and_is_answered_with_the_price() {
    let b = Manner::answers(millis(2500)).plays(1100).hangs_up_after(secs(4));
    let story = Story::begin(phone(700), b, |site| site.set("sms.announce", "true"));
    let asked = clock::now_us();
    let job = story.ask("text-1");
    assert_eq!(story.ask("text-1"), job, "the same text again is the same job");

    story.phones.wait_call(A, "hears the ring-back tone", SOON, |call| call.audio.heard_ms(RING_BACK) >= 500);
    story.phones.wait_call(A, "hears B", SOON, |call| call.audio.heard_ms(1100) >= 1500);
    story.phones.wait_call(B, "hears A", SOON, |call| call.audio.heard_ms(700) >= 1500);
    story.phones.wait_call(A, "is hung up on after B", SOON, |call| call.ended_by == Some(Who::Gateway));
    assert_eq!(story.b().ended_by, Some(Who::Phone));
    story.wait_over(SOON);
    let (a, b) = (story.a(), story.b());
    let connected = b.answered_us.expect("B answered") - asked;
    assert!(connected < 5_000_000, "connected after {connected} us, of which they let it ring for 2.8 s");
    assert!(a.from.contains(B) && b.from.contains(A), "each sees the other's number: {} {}", a.from, b.from);

    let probe = story.site.probe();
    let request = probe.request(&job).expect("the job has a row");
    assert_eq!((request.status.as_str(), request.result.as_str()), ("Finished", "Successful"));
    let cdrs = probe.cdrs();
    let legs: Vec<_> = cdrs.iter().map(|c| (c.leg.as_str(), c.attempt, c.connected)).collect();
    assert_eq!(legs, [("a", 1, true), ("b", 1, true)]);
    for (cdr, call) in cdrs.iter().zip([story.a(), story.b()]) {
        let seen = judge::talk_seconds(&call).expect("the call was answered and ended");
        let billed = cdr.billed_seconds as f64;
        assert!(billed <= seen.ceil() + 0.01 && billed > seen - 1.5, "{}: {billed} s billed, {seen} s seen", cdr.leg);
        assert!(cdr.cost > 0);
    }
    probe.books_are_right("alice", OPENING);

    let replies = story.site.replies().wait(2, SOON);
    let told: Vec<_> = replies.iter().map(|reply| reply.json()).collect();
    let kinds: Vec<_> = told.iter().map(|told| told["kind"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds, ["admitted", "final"], "that it begins and how it ended, no more");
    let said: Vec<_> = told.iter().map(|told| told["text"].as_str().unwrap_or_default()).collect();
    assert!(said[0].starts_with("We are calling you now, then the other number. A minute costs "), "{said:?}");
    assert!(said[1].starts_with("Your call lasted ") && said[1].ends_with(" left."), "{said:?}");
    for (reply, kind) in replies.iter().zip(kinds) {
        assert_eq!(reply.json()["job"], job.as_str());
        assert_eq!(reply.headers.get("x-ringback-signature"), Some(&sms::signature(SECRET, &reply.body)));
        assert_eq!(reply.headers.get("idempotency-key"), Some(&format!("{job}:{kind}")));
    }
    assert_eq!(probe.replies().get("sent"), Some(&2));

    let log = story.phones.log();
    judge::insist(
        &log,
        [
            judge::answered_at_most_once(&log, A),
            judge::answered_at_most_once(&log, B),
            judge::never_again_after_answer(&log, A),
            judge::silent_after_the_end(&story.phones.calls(), 0),
            judge::heard_only(&story.a(), &[1100]),
            judge::heard_only(&story.b(), &[700]),
        ],
    );
    assert_eq!(judge::attempts(&log).len(), 2, "one INVITE transaction a party:\n{}", log.ladder());
}

#[test]
fn a_hears_b_before_b_answers_but_not_the_other_way_round() {
    let b = Manner::answers(secs(3)).plays(1250).early_media(millis(200)).hangs_up_after(secs(2));
    let story = Story::begin(phone(800), b, |_| {});
    story.ask("text-1");
    let early = story.phones.wait_call(A, "hears early media", SOON, |call| call.audio.heard_ms(1250) >= 800);
    let b = story.b();
    assert!(b.answered_us.is_none(), "B has not answered yet: {early:?}");
    assert_eq!(b.audio.heard_ms(800), 0, "B hears nobody before it answers");
    story.phones.wait_call(B, "hears A once it answered", SOON, |call| call.audio.heard_ms(800) >= 800);
    story.wait_over(SOON);
    story.site.probe().books_are_right("alice", OPENING);
}

#[test]
fn two_codecs_understand_each_other_and_digits_pass() {
    let a = phone(600).types(secs(2), "19*#");
    let b = phone(1400).alaw().hangs_up_after(secs(5));
    let story = Story::begin(a, b, |_| {});
    story.ask("text-1");
    story.phones.wait_call(A, "hears B", SOON, |call| call.audio.heard_ms(1400) >= 1000);
    story.phones.wait_call(B, "hears A", SOON, |call| call.audio.heard_ms(600) >= 1000);
    story.phones.wait_call(B, "reads A's digits", SOON, |call| call.audio.digits == "19*#");
    story.wait_over(SOON);
    let lost: u64 = story.phones.calls().iter().map(|c| c.audio.lost + c.audio.strange).sum();
    assert!(lost <= 5, "{lost} packets were lost or strange");
}

#[test]
fn a_busy_caller_is_tried_again_after_the_pause() {
    let story = Story::begin(phone(700), phone(1100).hangs_up_after(secs(1)), |site| site.set("engine.backoff", "2"));
    story.phones.when_each(A, vec![Manner::refuses(millis(100), 486), phone(700)]);
    story.ask("text-1");
    story.phones.wait_call(B, "talks and hangs up", SOON, |call| call.ended_us.is_some());
    story.wait_over(SOON);
    let log = story.phones.log();
    let tries = judge::attempts(&log.of_number(A));
    assert_eq!(tries.len(), 2, "{}", log.ladder());
    assert!(tries[1].at_us - tries[0].at_us >= 1_900_000, "the pause was kept");
    let cdrs = story.site.probe().cdrs();
    let legs: Vec<_> = cdrs.iter().map(|c| (c.leg.as_str(), c.attempt, c.connected)).collect();
    assert_eq!(legs, [("a", 1, false), ("a", 2, true), ("b", 1, true)]);
    story.site.probe().books_are_right("alice", OPENING);
}

#[test]
fn a_caller_who_never_answers_is_cancelled_and_b_is_left_in_peace() {
    let story = Story::begin(Manner::rings_for_ever(), phone(1100), |site| {
        site.set("engine.no_answer", "5");
        site.set("engine.attempts", "1");
    });
    let job = story.ask("text-1");
    let a = story.phones.wait_call(A, "is cancelled", SOON, |call| call.canceled_us.is_some());
    let rang = since(a.invite_us);
    assert!(rang >= millis(4800), "it rang {rang:?}");
    story.wait_over(SOON);
    assert!(story.phones.calls_to(B).is_empty(), "B was never called");
    let request = story.site.probe().request(&job).expect("the job has a row");
    assert_eq!(request.status, "Finished");
    assert_ne!(request.result, "Successful");
    story.site.probe().books_are_right("alice", OPENING);
    assert_eq!(story.told_the_end(), 1, "the sender hears that nobody answered");
}

#[test]
fn a_busy_destination_ends_the_callback_and_charges_only_a() {
    let story = Story::begin(phone(700), Manner::refuses(millis(300), 486).because("Q.850;cause=17"), |_| {});
    story.ask("text-1");
    story.phones.wait_call(A, "is hung up on", SOON, |call| call.ended_by == Some(Who::Gateway));
    story.wait_over(SOON);
    let cdrs = story.site.probe().cdrs();
    let legs: BTreeSet<_> = cdrs.iter().map(|c| (c.leg.as_str(), c.connected, c.cost > 0)).collect();
    assert_eq!(legs, BTreeSet::from([("a", true, true), ("b", false, false)]));
    story.site.probe().books_are_right("alice", OPENING);
}

#[test]
fn where_the_first_call_is_free_the_second_alone_is_charged() {
    let (site, phones) = Story::stage(phone(700), phone(1100).hangs_up_after(secs(2)), |_| {});
    site.cli(&["rate", "set", "44", "0", "--leg", "a"], "");
    site.cli(&["rate", "set", "44", "0.60", "--leg", "b"], "");
    let story = Story { gateway: site.start(Part::All), site, phones };
    story.ask("text-1");
    story.wait_over(SOON);
    let costs: Vec<_> =
        story.site.probe().cdrs().iter().map(|cdr| (cdr.leg.clone(), cdr.billed_seconds, cdr.cost)).collect();
    let [(_, a_seconds, 0), (_, b_seconds, b_cost)] = costs[..] else { panic!("{costs:?}") };
    assert!(a_seconds >= b_seconds && (2..=3).contains(&b_seconds), "{costs:?}");
    assert_eq!(b_cost, b_seconds * 10_000, "a cent a second");
    story.site.probe().books_are_right("alice", OPENING);
}

#[test]
fn a_trunk_that_asks_for_a_password_gets_it_also_after_a_stale_nonce() {
    let challenge = Challenge {
        stale_once: true,
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        ..Challenge::new(407, "gw", "pass word")
    };
    let (site, phones) =
        Story::stage(phone(700).asks(challenge.clone()), phone(1100).asks(challenge).hangs_up_after(secs(1)), |_| {});
    site.cli(&["trunk", "remove", "phones"], "");
    site.cli(&["trunk", "add", "phones", "--sip", &phones.uri(), "--user", "gw", "--password-stdin"], "pass word\n");
    let gateway = site.start(ringback_tests::site::Part::All);
    let story = Story { site, phones, gateway };
    story.ask("text-1");
    story.phones.wait_call(B, "talks and hangs up", SOON, |call| call.ended_us.is_some());
    story.wait_over(SOON);
    let challenged = story.phones.calls().iter().filter(|c| c.challenged).count();
    assert_eq!(challenged, 4, "each party asked once and once more as stale");
    assert_eq!(story.site.probe().cdrs().len(), 2);
}

#[test]
fn a_trunk_that_is_never_content_is_given_up() {
    let endless = Challenge { never_content: true, ..Challenge::new(401, "gw", "wrong") };
    let (site, phones) = Story::stage(phone(700).asks(endless), phone(1100), |site| site.set("engine.attempts", "1"));
    site.cli(&["trunk", "remove", "phones"], "");
    site.cli(&["trunk", "add", "phones", "--sip", &phones.uri(), "--user", "gw", "--password-stdin"], "other\n");
    let gateway = site.start(ringback_tests::site::Part::All);
    let story = Story { site, phones, gateway };
    story.ask("text-1");
    story.wait_over(SOON);
    let tries = story.phones.calls().len();
    assert!((2..=3).contains(&tries), "{tries} INVITEs to a trunk that refuses each");
    story.site.probe().books_are_right("alice", OPENING);
}

#[test]
fn every_phone_behind_a_fork_but_the_first_is_hung_up_on() {
    let story = Story::begin(phone(700), phone(1100).forked(2).hangs_up_after(secs(3)), |_| {});
    story.ask("text-1");
    let calls = story.phones.wait("both further phones to be hung up on", SOON, |calls| {
        let forks: Vec<_> = calls.iter().filter(|c| c.fork).cloned().collect();
        (forks.len() == 2 && forks.iter().all(|c| c.ended_by == Some(Who::Gateway))).then_some(forks)
    });
    assert!(calls.iter().all(|c| c.acked_us.is_some()), "each 2xx was acknowledged");
    story.phones.wait_call(A, "hears B", SOON, |call| call.audio.heard_ms(1100) >= 1000);
    story.wait_over(SOON);
    assert_eq!(story.site.probe().cdrs().len(), 2);
}

#[test]
fn a_party_that_holds_the_line_is_answered_and_comes_back() {
    let b = phone(1100).reinvites(millis(1500), "sendonly").hangs_up_after(secs(5));
    let story = Story::begin(phone(700), b, |_| {});
    story.ask("text-1");
    story.phones.wait("the re-INVITE to be answered 200", SOON, |calls| {
        calls.iter().any(|c| c.reinvite_status == Some(200)).then_some(())
    });
    story.wait_over(SOON);
    story.site.probe().books_are_right("alice", OPENING);
}

#[test]
fn a_session_timer_that_a_phone_agrees_to_is_asked_for() {
    let story = Story::begin(phone(700).session_expires(90), phone(1100).hangs_up_after(secs(1)), |_| {});
    story.ask("text-1");
    story.wait_over(SOON);
    let log = story.phones.log();
    let invites: Vec<_> = log.entries.iter().filter(|e| e.opens()).collect();
    assert!(!invites.is_empty());
    for invite in invites {
        assert!(invite.text.contains("Session-Expires"), "every INVITE asks for a session timer: {}", invite.text);
        assert!(
            invite.text.lines().any(|l| l.starts_with("Expires: ")),
            "every INVITE says how long it may ring: {}",
            invite.text
        );
    }
}

#[test]
fn an_update_of_canceled_ends_a_ringing_and_a_talking_callback_within_a_second() {
    let story = Story::begin(Manner::rings_for_ever(), phone(1100), |site| site.set("engine.attempts", "1"));
    let ringing = story.ask("text-1");
    story.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    let probe = story.site.probe();
    let cancel = |job: &str| {
        assert_eq!(probe.execute(&format!("UPDATE callback_requests SET canceled = TRUE WHERE job_id = '{job}'")), 1)
    };
    cancel(&ringing);
    let asked = ringback_tests::clock::now_us();
    story.phones.wait_call(A, "is cancelled", SOON, |call| call.canceled_us.is_some());
    assert!(since(asked) < millis(2000), "it took {:?}", since(asked));
    story.site.wait_idle(1, SOON);

    story.phones.when(A, phone(700));
    let talking = story.ask("text-2");
    story.phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    cancel(&talking);
    let asked = ringback_tests::clock::now_us();
    story.phones.wait_call(B, "is hung up on", SOON, |call| call.ended_by == Some(Who::Gateway));
    assert!(since(asked) < millis(2000), "it took {:?}", since(asked));
    story.site.wait_idle(2, SOON);
    assert_eq!(judge::nothing_is_left(&story.phones.calls()), Ok(()));
    probe.books_are_right("alice", OPENING);
}

#[test]
fn a_destination_that_asks_not_to_be_called_while_a_rings_is_not_called_and_a_pays_his_answer() {
    let story = Story::begin(Manner::answers(secs(4)).plays(700), phone(1100), |_| {});
    let job = story.ask("text-1");
    story.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    story.site.cli(&["dnc", "add", B], "");
    story.phones.wait_call(A, "is hung up on", SOON, |call| call.ended_by == Some(Who::Gateway));
    story.wait_over(SOON);
    let probe = story.site.probe();
    let row = probe.rows(&format!(
        "SELECT result, reason, CASE WHEN connect_time IS NULL THEN 'never' ELSE 'answered' END FROM callback_requests \
         WHERE job_id = '{job}'"
    ));
    let row: Vec<_> = row.expect("the job has a row").remove(0).into_iter().flatten().collect();
    assert_eq!(row, ["Blocked", "blocked", "answered"]);
    let legs: Vec<_> = probe.cdrs().iter().map(|c| (c.leg.clone(), c.connected, c.billed_seconds)).collect();
    assert_eq!(legs, [("a".to_owned(), true, 1)]);
    assert!(story.phones.calls_to(B).is_empty(), "B was called");
    assert_eq!(judge::nothing_is_left(&story.phones.calls()), Ok(()));
    probe.books_are_right("alice", OPENING);
}

#[test]
fn a_call_is_cut_when_the_money_is_gone() {
    let story = Story::begin(phone(700), phone(1100), |site| site.set("engine.hold_seconds", "6"));
    story.site.cli(
        &[
            "account",
            "add",
            "poor",
            "--balance",
            "0.05",
            "--number",
            "+447700900777",
            "--allow",
            "44",
            "--limits",
            "off",
            "--pin-stdin",
        ],
        "poor-pin",
    );
    let answer =
        sms::send(story.site.at(8081), SECRET, "text-1", "+447700900777", &sms::text("poor", "poor-pin", A, B))
            .expect("the trigger listens");
    assert_eq!(answer.status, 202, "{}", answer.body);
    let b = story.phones.wait_call(B, "is hung up on", secs(40), |call| call.ended_by == Some(Who::Gateway));
    story.wait_over(SOON);
    let a = story.a();
    assert_eq!(a.ended_by, Some(Who::Gateway));
    let apart = a.ended_us.zip(b.ended_us).map(|(a, b)| a.abs_diff(b)).expect("both are over");
    assert!(apart < 500_000, "both are cut at one instant, not {apart} us apart");
    let probe = story.site.probe();
    let cost: i64 = probe.cdrs().iter().map(|c| c.cost).sum();
    assert!((38_000..=50_000).contains(&cost), "0.05 were there, {cost} micro-units were spent");
    assert!(probe.balance("poor") >= 0);
    let talked = judge::talk_seconds(&b).expect("B talked");
    assert!((9.0..=15.5).contains(&talked), "0.05 pay both legs at 0.10 a minute for about 15 s, B talked {talked} s");
}

#[test]
fn a_trunk_that_fails_makes_room_for_the_next_one() {
    let (site, phones) = Story::stage(phone(700), phone(1100).hangs_up_after(secs(2)), |_| {});
    let broken = Bank::start(site.at(5071)).expect("the broken trunk's address is free");
    broken.when("*", Manner::refuses(millis(50), 503).without_ringing());
    site.trunk("broken", &broken.uri(), "44");
    let story = Story { gateway: site.start(Part::All), site, phones };
    let job = story.ask("text-1");
    story.wait_over(SOON);
    let probe = story.site.probe();
    assert_eq!(probe.request(&job).expect("the job has a row").result, "Successful");
    assert_eq!(judge::attempts(&broken.log()).len(), 2, "{}", broken.log().ladder());
    let legs: Vec<_> = probe.cdrs().iter().map(|c| (c.leg.clone(), c.attempt, c.connected)).collect();
    assert_eq!(legs, [("a".to_owned(), 1, true), ("b".to_owned(), 1, true)], "one CDR an attempt, however many trunks");
    probe.books_are_right("alice", OPENING);
}

#[test]
fn a_refusal_whose_ack_got_lost_is_acknowledged_again_after_the_callback_is_over() {
    let busy = Manner::refuses(millis(300), 486).loses_acks(2);
    let story = Story::begin(busy, phone(1100), |site| site.set("engine.attempts", "1"));
    story.ask("text-1");
    story.wait_over(SOON);
    let acks = || story.phones.log().of_number(A).entries.into_iter().filter(|e| e.method == "ACK").collect::<Vec<_>>();
    let acks = ringback_tests::clock::wait_for("the third ACK", SOON, || Some(acks()).filter(|acks| acks.len() == 3));
    assert!(acks.iter().all(|ack| ack.text == acks[0].text), "{}", story.phones.log().ladder());
}

/// How often a text stands in the files of the data folder.
fn traces(folder: &Path, text: &str) -> usize {
    let entries = std::fs::read_dir(folder).expect("the data folder").map(|entry| entry.expect("an entry").path());
    let files =
        entries.filter(|path| path.is_file()).map(|path| std::fs::read(path).expect("a file of the data folder"));
    files.map(|bytes| bytes.windows(text.len()).filter(|run| *run == text.as_bytes()).count()).sum()
}

#[test]
fn the_files_of_a_running_site_are_private_and_an_erased_number_is_in_none_of_them() {
    let mut story = Story::begin(phone(700), phone(1100).hangs_up_after(secs(1)), |_| {});
    story.ask("text-1");
    story.wait_over(SOON);
    let data = story.site.path("data");
    let mut open: Vec<(PathBuf, u32)> = files_below(&data).into_iter().chain([data.clone()]).map(with_mode).collect();
    assert!(open.len() >= 5, "folder, database, log, index and lock: {open:?}");
    open.retain(|(_, mode)| mode & 0o077 != 0);
    assert_eq!(open, [], "others may open these");

    story.site.replies().wait(1, SOON);
    clock::wait_for("the reply to be settled and its number erased", SOON, || {
        (story.site.ask(&["erase", B], "").0 == 0).then_some(())
    });
    story.gateway.process.terminate(SOON);
    assert_eq!(traces(&data, B), 0, "as text");
    assert_eq!(traces(&data, B.trim_start_matches('+')), 0, "in SIP messages and jobs");
    assert!(traces(&data, A) > 0, "the other number is still there, so the files were looked into");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn with_mode(path: PathBuf) -> (PathBuf, u32) {
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
    (path, mode)
}
