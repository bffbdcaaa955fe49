//! Bad input and a bad world: a clear answer to the sender, a clear masked line in the log, nothing lost, and nobody called
//! who should not be.

use std::time::Duration;

use ringback_tests::http::Answer;
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{PIN, Part, Running, SECRET, SENDER, Site};
use ringback_tests::sms;
use ringback_tests::story::{A, B, OPENING, SOON, Story, millis, secs};

fn story() -> Story {
    let b = Manner::answers(millis(200)).plays(1100).hangs_up_after(secs(1));
    Story::begin(Manner::answers(millis(200)).plays(700), b, |site| site.set("engine.attempts", "1"))
}

fn send(story: &Story, id: &str, text: &str) -> Answer {
    story.gateway.sms(id, text).unwrap_or_else(|e| panic!("the trigger does not answer: {e}"))
}

/// Refused with this reason; nobody was called, nothing was booked.
fn refused(story: &Story, answer: &Answer) -> String {
    assert_eq!((answer.status, answer.json()["outcome"].as_str()), (200, Some("reject")), "{}", answer.body);
    nobody_was_called(story);
    answer.json()["reason"].as_str().unwrap_or_else(|| panic!("a refusal without a reason: {}", answer.body)).to_owned()
}

fn nobody_was_called(story: &Story) {
    assert!(story.phones.calls().is_empty(), "{}", story.phones.log().ladder());
    assert_eq!(story.site.probe().requests(), []);
    assert_eq!(story.site.probe().balance("alice"), OPENING);
}

/// The log never shows a number, a PIN or a text in full.
fn log_is_masked(story: &Story) {
    let log = story.gateway.process.output();
    for secret in [A, B, SENDER, PIN, SECRET] {
        let bare = secret.trim_start_matches('+');
        assert!(
            !log.contains(bare),
            "the log shows {bare}:\n{}",
            log.lines().find(|l| l.contains(bare)).unwrap_or_default()
        );
    }
}

#[test]
fn malformed_json_and_a_wrong_signature_are_told_apart() {
    let story = story();
    let listen = story.site.at(8081);
    let broken = b"{\"id\": \"1\", \"from\": ";
    let answer = sms::send_raw(listen, broken, &sms::signature(SECRET, broken)).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.body);
    let body = b"{\"id\":\"1\",\"from\":\"+447700900001\",\"to\":\"100\",\"text\":\"x\"}";
    for signature in ["sha256=00", "", "sha256=zz", &sms::signature("wrong", body)] {
        assert_eq!(sms::send_raw(listen, body, signature).unwrap().status, 401, "{signature:?}");
    }
    nobody_was_called(&story);
    log_is_masked(&story);
}

#[test]
fn a_wrong_pin_and_an_unknown_user_are_answered_alike() {
    let story = story();
    let wrong = send(&story, "1", &sms::text("alice", "wrong", A, B));
    let unknown = send(&story, "2", &sms::text("nobody", PIN, A, B));
    assert_eq!(refused(&story, &wrong), refused(&story, &unknown));
    let stranger =
        sms::send(story.site.at(8081), SECRET, "3", "+447700900999", &sms::text("alice", PIN, A, B)).unwrap();
    refused(&story, &stranger);
    log_is_masked(&story);
}

#[test]
fn texts_that_are_none_and_numbers_that_lead_nowhere_are_refused_with_a_reason() {
    let story = story();
    let too_long = format!("alice {PIN} {A} {B} {}", "x".repeat(2000));
    for (text, reason) in [
        ("hello", "too_few_words"),
        (too_long.as_str(), "too_long"),
        (&sms::text("alice", PIN, A, "+999123"), "country_missing"),
        (&sms::text("alice", PIN, A, "112"), "never_dial"),
        (&sms::text("alice", PIN, "999", B), "never_dial"),
        (&sms::text("alice", PIN, A, "not-a-number"), "bad_number"),
    ] {
        assert_eq!(refused(&story, &send(&story, reason, text)), reason, "{text}");
    }
    log_is_masked(&story);
}

#[test]
fn a_country_that_is_not_allowed_is_never_dialled() {
    let story = story();
    let job = story.gateway.accepted("1", &sms::text("alice", PIN, A, "+12065554123"));
    story.site.wait_idle(1, SOON);
    let shown = story.site.json(&["request", "show", &job]);
    let ended = (shown["request"]["result"].as_str(), shown["request"]["reason"].as_str());
    assert_eq!(ended, (Some("Blocked"), Some("country_not_allowed")));
    assert_eq!(story.told_the_end(), 1, "the sender hears why");
    assert!(story.phones.calls().is_empty(), "{}", story.phones.log().ladder());
    assert_eq!(story.site.probe().balance("alice"), OPENING);
}

#[test]
fn no_money_no_call() {
    let story = story();
    let sender = "+447700900555";
    let add = [
        "account",
        "add",
        "broke",
        "--balance",
        "0.00",
        "--number",
        sender,
        "--allow",
        "44",
        "--limits",
        "off",
        "--pin-stdin",
    ];
    story.site.cli(&add, PIN);
    let answer = sms::send(story.site.at(8081), SECRET, "1", sender, &sms::text("broke", PIN, A, B)).unwrap();
    refused(&story, &answer);
}

#[test]
fn the_same_text_again_is_the_same_job_also_after_it_is_over() {
    let story = story();
    let job = story.ask("1");
    story.wait_over(SOON);
    assert_eq!(story.ask("1"), job);
    story.wait_over(SOON);
    assert_eq!(story.phones.calls_to(A).len(), 1);
    assert_eq!(story.site.probe().requests().len(), 1);
}

#[test]
fn a_second_call_between_the_same_two_is_refused_while_the_first_lasts() {
    let story = story();
    story.phones.when(A, Manner::rings_for_ever());
    story.ask("1");
    story.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    let answer = send(&story, "2", &sms::text("alice", PIN, A, B));
    assert_eq!((answer.status, answer.json()["outcome"].as_str()), (200, Some("reject")), "{}", answer.body);
    assert_eq!(story.phones.calls_to(A).len(), 1);
}

#[test]
fn a_trunk_that_is_down_is_a_named_failure_and_costs_nothing() {
    let story = story();
    story.phones.set_deaf(true);
    story.ask("1");
    story.site.wait_idle(1, secs(100));
    let probe = story.site.probe();
    let cdrs = probe.cdrs();
    assert!(!cdrs.is_empty() && cdrs.iter().all(|c| !c.connected && c.cost == 0), "{cdrs:?}");
    assert_ne!(probe.requests()[0].result, "Successful");
    probe.books_are_right("alice", OPENING);
    assert_eq!(story.told_the_end(), 1, "the sender hears that it did not work");
    log_is_masked(&story);
}

#[test]
fn too_many_wrong_pins_lock_the_sender_without_saying_so() {
    let story = story();
    let wrong = sms::text("alice", "wrong", A, B);
    let first = refused(&story, &send(&story, "0", &wrong));
    for id in 1..6 {
        refused(&story, &send(&story, &id.to_string(), &wrong));
    }
    let right_but_locked = send(&story, "9", &sms::text("alice", PIN, A, B));
    assert_eq!(refused(&story, &right_but_locked), first, "the answer does not reveal the lock");
}

#[test]
fn settings_with_mistakes_are_refused_with_all_of_them_at_once() {
    let mut site = Site::small();
    site.set("engine.slots", "many");
    site.set("sip.listen", "nowhere");
    let (code, out, errors) = site.ask(&["check"], "");
    let said = format!("{out}{errors}");
    assert_ne!(code, 0);
    assert!(said.contains("SLOTS") || said.contains("slots"), "{said}");
    assert!(said.contains("LISTEN") || said.contains("listen"), "{said}");
}

#[test]
fn a_second_engine_on_the_same_embedded_store_is_turned_away() {
    let story = story();
    let ip = ringback_tests::net::own_address();
    let mut second = story.site.start_at(Part::All, ip, None).expect("the binary is there");
    let status = second.process.wait(SOON);
    assert!(!status.success());
    assert!(second.process.output().contains("engine.lock"), "{}", second.process.tail(20));
}

/// A site without `ringback run`: who talks to it meets a closed door, and finds it open again.
#[test]
fn a_text_while_the_gateway_is_away_is_kept_by_its_source() {
    let (site, phones): (Site, Bank) =
        Story::stage(Manner::answers(millis(200)), Manner::answers(millis(200)).hangs_up_after(secs(1)), |_| {});
    let text = sms::text("alice", PIN, A, B);
    assert!(sms::send(site.at(8081), SECRET, "1", SENDER, &text).is_err());
    let gateway: Running = site.start(Part::All);
    gateway.accepted("1", &text);
    phones.wait_call(B, "talks and hangs up", Duration::from_secs(15), |call| call.ended_us.is_some());
    site.wait_idle(1, SOON);
}
