//! Calls that an application server asks for over IIF: what it hears, and what the phones do.

use std::process::Command;

use ringback_tests::iif::{AppServer, House, value, wait_counted};
use ringback_tests::phone::sound::RING_BACK;
use ringback_tests::phone::{Manner, Report, Who};
use ringback_tests::process;
use ringback_tests::site::{PIN, Part};
use ringback_tests::story::{SOON, millis, secs};
use ringback_tests::{clock, sms};

const USER1: &str = "100";
const USER2: &str = "101";
/// The founding documents' own.
const EXAMPLE: &str = "REQUEST: id=1234;user1=100;user2=101;duration=3600;";

fn sid_of(message: &str) -> u64 {
    value(message, "sid").and_then(|sid| sid.parse().ok()).unwrap_or_else(|| panic!("no sid in {message}"))
}

#[test]
fn the_founding_example_calls_both_and_is_answered_by_ack_and_response() {
    let house = House::stage(
        Manner::answers(millis(200)).plays(700),
        Manner::answers(millis(300)).plays(1100).hangs_up_after(millis(2_400)),
        |_| {},
    );
    let _gateway = house.site.start(Part::All);
    let server = house.server(4000);
    server.says(EXAMPLE);
    let (ack, from) = server.hears_from(SOON).expect("an ACK");
    assert_eq!(from, house.site.at(5080), "answers come from the port that was asked");
    let sid = sid_of(&ack);
    assert!(sid > 0);
    assert_eq!(ack, format!("ACK: id=1234;sid={sid};code=ok;"));
    let a = house.phones.wait_call(USER1, "hears user2", SOON, |call| call.audio.heard_ms(1100) >= 500);
    house.phones.wait_call(USER2, "hears user1", SOON, |call| call.audio.heard_ms(700) >= 500);
    assert!(a.audio.heard_ms(RING_BACK) > 0, "user1 heard the ring-back tone while user2 rang");
    assert_eq!(server.hears(SOON), format!("RESPONSE: id=1234;sid={sid};real_duration=2;"));
    let b = house.phones.calls_to(USER2).pop().expect("user2 was called");
    assert!(a.answered_us.expect("user1 answered") < b.invite_us, "user1 first");
    assert_eq!(b.ended_by, Some(Who::Phone));
    house.site.wait_idle(1, SOON);
    assert_eq!(server.asks(EXAMPLE), ack, "the same REQUEST hears the same ACK, also when all is over");
    house.site.wait_idle(1, SOON);
    assert_eq!(house.phones.calls_to(USER1).len(), 1, "and makes no second call");
}

#[test]
fn another_call_under_the_same_id_is_refused_also_after_a_restart() {
    let house = House::stage(Manner::answers(millis(100)).mute(), Manner::rings_for_ever(), |site| {
        site.set("iif.extended", "true");
    });
    let _engine = house.site.start(Part::OnlyEngine);
    let mut trigger = house.site.start(Part::OnlyIif);
    let server = house.server(4000);
    let ack = server.asks(EXAMPLE);
    assert_eq!(value(&ack, "code"), Some("ok"), "{ack}");
    let reused = format!("ACK: id=1234;sid={};code=fail;reason=id_reused;", sid_of(&ack));
    let others = [
        "REQUEST: id=1234;user1=100;user2=102;duration=3600;",
        "REQUEST: id=1234;user1=101;user2=100;duration=3600;",
        "REQUEST: id=1234;user1=100;user2=101;duration=60;",
        "REQUEST: id=1234;user1=100;user2=101;",
    ];
    for other in others {
        assert_eq!(server.asks(other), reused, "{other}");
    }
    house.phones.wait_call(USER2, "rings", SOON, |call| call.ringing_us.is_some());
    trigger.process.kill9();
    let _trigger = house.site.start(Part::OnlyIif);
    for other in others {
        assert_eq!(server.asks(other), reused, "{other}");
    }
    let repeat = "REQUEST: duration=3600;user2=101;user1=100;id=1234;\n";
    assert_eq!(server.asks(repeat), ack, "in another order it is the same call");
    assert_eq!([house.phones.calls_to(USER1).len(), house.phones.calls_to(USER2).len()], [1, 1]);
}

#[test]
fn the_founding_example_said_by_a_shell_is_a_call() {
    let phone = || Manner::answers(millis(100)).mute();
    let house = House::stage(phone(), phone().hangs_up_after(millis(300)), |_| {});
    let _gateway = house.site.start(Part::All);
    let ip = house.site.ip().to_string();
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"printf %s "$EXAMPLE" | nc -u -w1 -s "$HOST" "$HOST" 5080"#]);
    shell.env("EXAMPLE", EXAMPLE).env("HOST", &ip);
    let (_, said, errors) = process::run(shell, "", secs(20));
    assert!(said.starts_with("ACK: id=1234;sid=") && said.contains(";code=ok;"), "{said}{errors}");
    house.phones.wait_call(USER2, "has talked", SOON, |call| call.ended_us.is_some());
    house.site.wait_idle(1, SOON);
    assert_eq!([house.phones.calls_to(USER1).len(), house.phones.calls_to(USER2).len()], [1, 1]);
}

/// The demonstration that miniSIPServer ships: one string, and nobody waits for an answer.
const SENDER: &str = r#"<?php
$message = $argv[3];
$socket = socket_create(AF_INET, SOCK_DGRAM, SOL_UDP);
if ($socket === false) {
    exit(1);
}
socket_bind($socket, $argv[1]);
$sent = socket_sendto($socket, $message, strlen($message), 0, $argv[1], (int) $argv[2]);
socket_close($socket);
exit($sent === strlen($message) ? 0 : 1);
"#;

#[test]
fn senders_that_never_read_an_answer_are_served() {
    let house = House::stage(
        Manner::answers(millis(100)).mute(),
        Manner::answers(millis(100)).mute().hangs_up_after(millis(300)),
        |_| {},
    );
    let _gateway = house.site.start(Part::All);
    let script = house.site.path("callback.php");
    std::fs::write(&script, SENDER).expect("the folder is ours");
    let ip = house.site.ip().to_string();
    let mut php = Command::new("php");
    php.arg(&script).args([&ip, "5080", EXAMPLE]);
    let (code, out, errors) = process::run(php, "", secs(20));
    assert_eq!(code, 0, "{out}{errors}");
    house.phones.wait_call(USER2, "has talked", SOON, |call| call.ended_us.is_some());
    house.site.wait_idle(1, SOON);

    let mut nc = Command::new("nc");
    nc.args(["-u", "-w", "1", "-s", &ip, &ip, "5080"]);
    let (_, said, _) = process::run(nc, "REQUEST: id=1235;user1=100;user2=101", secs(20));
    assert!(said.starts_with("ACK: id=1235;sid=") && said.contains(";code=ok;"), "{said}");
    house.phones.wait("both calls to be over", SOON, |calls| {
        let over = calls.iter().filter(|call| call.number == USER2 && call.ended_us.is_some()).count();
        (over == 2).then_some(())
    });
    house.site.wait_idle(2, SOON);
    assert_eq!(house.site.probe().replies().get("sent"), Some(&2), "and nobody minds that they are gone");
}

/// The parties of call number `n`.
fn pair(n: usize) -> [String; 2] {
    [format!("4410000000{n:02}"), format!("4420000000{n:02}")]
}

fn request(n: usize) -> String {
    let [a, b] = pair(n);
    format!("REQUEST: id=call-{n};user1={a};user2={b};")
}

#[test]
fn a_release_ends_a_call_in_every_state_and_is_answered_by_its_response() {
    let house = House::stage(Manner::rings_for_ever(), Manner::rings_for_ever(), |site| {
        site.set("iif.ack_lead", "1000");
        site.set("engine.backoff", "600");
    });
    let answers = || Manner::answers(millis(100)).plays(700);
    house.phones.when("44*", Manner::rings_for_ever());
    for n in [4, 5, 7] {
        house.phones.when(&pair(n)[0], answers());
    }
    house.phones.when(&pair(5)[1], answers());
    house.phones.when(&pair(6)[0], Manner::refuses(millis(50), 486));
    house.phones.when(&pair(7)[1], answers().hangs_up_after(millis(500)));
    let gateway = house.site.start(Part::All);
    let server = house.server(4000);
    let released = |count| wait_counted(gateway.health(), &["RELEASE", "accepted"], count);
    let ask = |n: usize| {
        let ack = server.asks(&request(n));
        assert_eq!((value(&ack, "id"), value(&ack, "code")), (Some(format!("call-{n}").as_str()), Some("ok")), "{ack}");
        sid_of(&ack)
    };
    let ends = |n: usize, sid: u64| {
        let response = server.hears(SOON);
        let told = format!("RESPONSE: id=call-{n};sid={sid};real_duration=");
        let seconds = response.strip_prefix(&told).and_then(|rest| rest.trim_end_matches(';').parse::<u64>().ok());
        seconds.unwrap_or_else(|| panic!("{told}... was expected, not {response}"))
    };

    server.says("RELEASE: id=call-1;");
    released(1);
    let sid = ask(1);
    assert_eq!(ends(1, sid), 0, "released before it was asked for: RELEASE overtook REQUEST");

    let sid = ask(2);
    server.says(format!("RELEASE: id=call-2;sid={sid};"));
    assert_eq!(ends(2, sid), 0, "released before anybody's phone rang");
    for n in [1, 2] {
        assert_eq!(house.phones.calls_to(&pair(n)[0]).len(), 0);
    }

    let sid = ask(3);
    house.phones.wait_call(&pair(3)[0], "rings", SOON, |call| call.ringing_us.is_some());
    server.says(format!("RELEASE: id=call-3;sid={};", sid ^ 1));
    wait_counted(gateway.health(), &["RELEASE", "ignored", "wrong_sid"], 1);
    assert_eq!(house.phones.calls_to(&pair(3)[0])[0].canceled_us, None, "another sid releases nothing");
    server.says("RELEASE: id=call-3;");
    assert_eq!(ends(3, sid), 0);
    house.phones.wait_call(&pair(3)[0], "is cancelled", SOON, |call| call.canceled_us.is_some());

    let sid = ask(4);
    house.phones.wait_call(&pair(4)[1], "rings", SOON, |call| call.ringing_us.is_some());
    server.says(format!("RELEASE: id=call-4;sid={sid};"));
    assert_eq!(ends(4, sid), 0, "nobody talked");
    house.phones.wait_call(&pair(4)[0], "is hung up on", SOON, |call| call.ended_by == Some(Who::Gateway));
    house.phones.wait_call(&pair(4)[1], "is cancelled", SOON, |call| call.canceled_us.is_some());

    let sid = ask(5);
    house.phones.wait_call(&pair(5)[1], "hears user1", SOON, |call| call.audio.heard_ms(700) >= 1_200);
    server.says(format!("RELEASE: id=call-5;sid={sid};"));
    assert!((1..=4).contains(&ends(5, sid)), "what they talked");
    for number in pair(5) {
        house.phones.wait_call(&number, "is hung up on", SOON, |call| call.ended_by == Some(Who::Gateway));
    }

    let sid = ask(6);
    let waits = || house.site.probe().requests().iter().any(|request| request.status == "Waiting for retry");
    clock::wait_for("user1 to be tried again later", SOON, || waits().then_some(()));
    server.says("RELEASE: id=call-6;");
    assert_eq!(ends(6, sid), 0, "and it is not tried again");
    assert_eq!(house.phones.calls_to(&pair(6)[0]).len(), 1);

    let sid = ask(7);
    ends(7, sid);
    server.says(format!("RELEASE: id=call-7;sid={sid};"));
    released(7);
    house.site.wait_idle(7, SOON);
    assert_eq!(server.has_heard(), None, "a RELEASE of what is over changes nothing");
}

#[test]
fn whoever_hangs_up_releases_the_other_and_is_reported() {
    let house = House::stage(Manner::dead(), Manner::dead(), |_| {});
    let answers = || Manner::answers(millis(100)).plays(700);
    let hangs_up = || answers().hangs_up_after(millis(2_500));
    for (n, user1, user2) in [(1, hangs_up(), answers()), (2, answers(), hangs_up())] {
        let [a, b] = pair(n);
        house.phones.when(&a, user1);
        house.phones.when(&b, user2);
    }
    let _gateway = house.site.start(Part::All);
    let server = house.server(4000);
    for (n, first) in [(1, 0), (2, 1)] {
        let sid = sid_of(&server.asks(&request(n)));
        let ended = |party: usize, by: Who| {
            house.phones.wait_call(&pair(n)[party], "is over", SOON, |call| call.ended_by.is_some_and(|who| who == by))
        };
        ended(first, Who::Phone);
        ended(1 - first, Who::Gateway);
        assert_eq!(server.hears(SOON), format!("RESPONSE: id=call-{n};sid={sid};real_duration=2;"));
    }
}

#[test]
fn a_line_with_a_number_of_its_own_shows_that_where_nobody_names_a_caller() {
    let phone = || Manner::answers(millis(100)).mute();
    let house = House::stage(phone(), phone().hangs_up_after(millis(300)), |_| {});
    house.site.cli(&["trunk", "set", "phones", "--cli", "+442071838700"], "");
    let _gateway = house.site.start(Part::All);
    let server = house.server(4000);
    server.asks(EXAMPLE);
    for user in [USER1, USER2] {
        let call = house.phones.wait_call(user, "is called", SOON, |_| true);
        assert_eq!(user_of(&call.from), "+442071838700", "{user}");
    }
}

/// What a phone shows of a From address.
fn user_of(from: &str) -> String {
    from.trim_start_matches("sip:").split('@').next().unwrap_or_default().to_owned()
}

#[test]
fn phones_show_the_callers_that_the_request_names_and_talk_as_long_as_it_says() {
    let phone = || Manner::answers(millis(100)).mute();
    let house = House::stage(phone(), phone(), |site| site.set("iif.extended", "true"));
    house.phones.when("44*", phone());
    let gateway = house.site.start(Part::All);
    let server = house.server(4000);
    let shown = |number: &str| user_of(&house.phones.wait_call(number, "is called", SOON, |_| true).from);
    let talk = |parameters: &str, n: usize| {
        let [a, b] = pair(n);
        let ack = server.asks(&format!("REQUEST: id=call-{n};user1={a};user2={b};duration=3;{parameters}"));
        assert_eq!(value(&ack, "code"), Some("ok"), "{ack}");
        let callers = [shown(&a), shown(&b)];
        let response = server.hears(secs(20));
        assert_eq!(value(&response, "result"), Some("Successful"), "{response}");
        assert_eq!(value(&response, "cause"), Some("time_limit"));
        let seconds =
            |call: &Report| call.ended_us.zip(call.answered_us).map(|(end, start)| (end - start) as f64 / 1e6);
        let calls: Vec<Report> = [&a, &b].map(|number| house.phones.calls_to(number).remove(0)).into();
        let (first, second) = (seconds(&calls[0]).expect("answered"), seconds(&calls[1]).expect("answered"));
        assert!((2.7..3.3).contains(&first), "{first} s from user1's answer");
        assert!(second < first, "both end together, and user2 came later");
        let told: f64 = value(&response, "real_duration").and_then(|told| told.parse().ok()).expect("a duration");
        // Whole seconds, begun when the answer was read: on a busy machine that is a little after the phone has said it.
        assert!(told <= second && second < told + 1.5, "{told} s told, {second} s talked");
        callers
    };
    assert_eq!(talk("caller1=0800123;caller2=+442071838750;", 1), ["0800123", "+442071838750"]);
    assert_eq!(talk("", 2), ["anonymous".to_owned(), format!("+{}", pair(2)[0])], "nobody, and user2 sees user1");
    clock::wait_for("both RESPONSEs to be written down", SOON, || {
        (house.site.probe().replies().get("sent") == Some(&2)).then_some(())
    });
    drop(gateway);
    let mut house = house;
    house.site.set("iif.default_caller", "0900");
    let _gateway = house.site.start(Part::All);
    let [a, b] = pair(3);
    let ack = server.asks(&format!("REQUEST: id=call-3;user1={a};user2={b};duration=1;"));
    assert_eq!(value(&ack, "code"), Some("ok"), "{ack}");
    let shown = |number: &str| user_of(&house.phones.wait_call(number, "is called", SOON, |_| true).from);
    assert_eq!([shown(&a), shown(&b)], ["0900", "0900"]);
    server.hears(SOON);
}

#[test]
fn what_the_engine_cannot_do_yet_travels_in_the_job() {
    let phone = || Manner::answers(millis(100)).mute();
    let house = House::stage(phone(), Manner::refuses(millis(50), 486), |_| {});
    let _gateway = house.site.start(Part::All);
    let server = house.server(4000);
    let ack = server.asks(
        "REQUEST: id=9;user1=100;user2=101;ann_id1=00080003;ann_id2=00080004;ann_digit2=123;record_call;fob_nbr1=102;\
         fob_nbr2=103;fob_nbr3=104;",
    );
    assert_eq!(value(&ack, "code"), Some("ok"), "{ack}");
    assert_eq!(server.hears(SOON), format!("RESPONSE: id=9;sid={};real_duration=0;", sid_of(&ack)), "user2 was busy");
    let jobs = house.site.probe().rows("SELECT job FROM callback_requests").expect("the job is kept");
    let job: serde_json::Value = serde_json::from_str(jobs[0][0].as_deref().unwrap_or_default()).expect("JSON");
    let carried = serde_json::json!({
        "cli_a": "anonymous", "forwards": ["102", "103", "104"], "announce_a": "00080003", "announce_b": "00080004",
        "say_b": "123", "record": true,
    });
    assert_eq!(job["terms"], carried);
}

#[test]
fn accounts_limits_the_do_not_call_list_and_other_triggers_hold_here_too() {
    let phone = || Manner::rings_for_ever();
    let house = House::stage(phone(), phone(), |site| {
        site.set("iif.extended", "true");
        site.set("iif.peers.small.host", "127.0.0.9");
        site.set("iif.peers.small.account", "small");
    });
    house.phones.when("44*", phone());
    house.site.cli(
        &["account", "add", "small", "--balance", "5.00", "--allow", "44", "--limit", "jobs_per_account_per_minute=1"],
        "",
    );
    house.site.cli(&["dnc", "add", "+442071838751"], "");
    let gateway = house.site.start(Part::All);
    let server = house.server(4000);
    let refused = |server: &AppServer, message: &str, reason: &str| {
        let ack = server.asks(message);
        assert_eq!((value(&ack, "code"), value(&ack, "reason")), (Some("fail"), Some(reason)), "{message}: {ack}");
        assert_eq!(server.asks(message), ack, "and again when it comes again");
    };
    refused(&server, "REQUEST: id=1;user1=100;user2=+442071838751;", "do_not_call");
    refused(&server, "REQUEST: id=2;user1=100;user2=101;fob_nbr1=102;fob_nbr2=+442071838751;", "do_not_call");
    refused(&server, "REQUEST: id=3;user1=100;user2=999;", "never_dial");
    refused(&server, "REQUEST: id=4;user1=100;user2=100;", "same_number");
    refused(&server, "REQUEST: id=5;user1=100;user2=101;fob_nbr3=+881612345678;", "hard_block_prefixes");
    gateway.accepted("text-1", &sms::text("alice", PIN, "+441000000010", "+442000000010"));
    house.phones.wait_call("441000000010", "rings for the text", SOON, |call| call.ringing_us.is_some());
    refused(&server, "REQUEST: id=6;user1=441000000010;user2=442000000010;", "already_calling");

    let small = AppServer::start("127.0.0.9:0".parse().expect("an address"), house.site.at(5080));
    assert_eq!(value(&small.asks("REQUEST: id=1;user1=441000000021;user2=442000000021;"), "code"), Some("ok"));
    house.phones.wait_call("441000000021", "rings", SOON, |call| call.ringing_us.is_some());
    refused(&small, "REQUEST: id=2;user1=441000000022;user2=442000000022;", "jobs_per_account_per_minute");
    let told = house.site.cli(&["account", "show", "small"], "");
    assert!(told.contains("jobs_per_account_per_minute"), "its owner can read it: {told}");
}
