//! Callbacks that are asked for by a missed call, from outside: callers, phones, and what is counted.

use ringback_tests::clock;
use ringback_tests::iif::counted;
use ringback_tests::missed::{ACCESS, Caller, House, Missed, sipp};
use ringback_tests::phone::{Manner, Who};
use ringback_tests::site::{Part, Running};
use ringback_tests::story::{A, B, SOON, millis, secs};

/// For whom another account pays, by what the job says; `-`: nobody.
fn real_account(job: &str) -> &str {
    job.split_once(r#""real_account":""#).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("-")
}

fn outcomes(gateway: &Running, outcome: &str) -> u64 {
    counted(gateway.health(), "ringback_ani_total", &[&format!("outcome=\"{outcome}\"")])
}

#[test]
fn a_missed_call_is_refused_and_called_back_no_sooner_than_the_delay() {
    let house = House::usual(&[]);
    let gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    let call = caller.calls(A, ACCESS, "");
    let heard = caller.to_the_end(&call, SOON);
    assert_eq!(heard.codes, [100, 603], "refused at once, never answered");
    let a = house.phones.wait_call(A, "is called back", SOON, |_| true);
    let waited = a.invite_us - heard.ended_us;
    assert!((5_000_000..7_000_000).contains(&waited), "called back after {waited} us");
    assert!(a.from.contains(ACCESS), "A sees the number it rang: {}", a.from);
    let b = house.phones.wait_call(B, "talks and hangs up", SOON, |call| call.ended_by == Some(Who::Phone));
    assert!(b.from.contains(A), "B sees who calls: {}", b.from);
    house.site.wait_idle(1, SOON);
    let row = house.rows("source, original_cli, username, original_cld, original_set_cli, status, result, anon_acct_enabled, default_user_used");
    assert_eq!(row, [["ani", A, "alice", B, ACCESS, "Finished", "Successful", "1", "0"]]);
    assert_eq!(outcomes(&gateway, "accepted"), 1);
}

#[test]
fn each_of_the_thirteen_codes_refuses_a_sipp_on_both_of_sippys_ports() {
    let house = House::stage(Manner::rings_for_ever(), Manner::dead(), &["Delay Before Callback=3600"], |site| {
        site.set("ani.profile", "sippy");
        site.set("ani.window", "0");
    });
    let gateway = house.site.start(Part::All);
    let codes = [403, 404, 408, 410, 480, 484, 486, 488, 500, 501, 502, 503, 603];
    for (n, code) in codes.into_iter().enumerate() {
        house.site.cli(&["app", "set", "missed", &format!("Hangup SIP Response Code={code}")], "");
        let from = house.customer(n);
        let to = house.site.at(if n % 2 == 0 { 5060 } else { 5062 });
        let told = sipp(Missed::Refused(code), 1, &from, ACCESS, house.site.at(5071), to, house.site.folder());
        told.unwrap_or_else(|error| panic!("{code}: {error}"));
    }
    let (code, _, errors) = house.site.ask(&["app", "set", "missed", "Hangup SIP Response Code=487"], "");
    assert_eq!(code, 2, "Sippy has thirteen: {errors}");
    assert_eq!(outcomes(&gateway, "accepted"), 13, "each refusal was of a call that is a job");
    clock::wait_for("thirteen requests", SOON, || (house.rows("a, b").len() == 13).then_some(()));
    for row in house.rows("finished, canceled, status, result") {
        assert_eq!(row, ["0", "0", "Request received", ""], "it waits for its delay");
    }
}

#[test]
fn a_sipp_hears_it_ring_may_repeat_itself_and_is_refused_with_any_code() {
    let house = House::stage(
        Manner::rings_for_ever(),
        Manner::dead(),
        &["Delay Before Callback=3600", "Ringback Time=2"],
        |_| {},
    );
    let gateway = house.site.start(Part::All);
    let cases = [
        (Missed::Rung(487), "indicate", 487),
        (Missed::Early(606), "earlymedia", 606),
        (Missed::Repeating(603), "indicate", 603),
    ];
    for (n, (missed, kind, code)) in cases.into_iter().enumerate() {
        house.site.cli(&["app", "set", "missed", &format!("Hangup SIP Response Code={code}")], "");
        house.site.cli(&["app", "set", "missed", &format!("Ringback Type={kind}")], "");
        let from = house.customer(n);
        sipp(missed, 1, &from, ACCESS, house.site.at(5071), house.site.at(5060), house.site.folder())
            .unwrap_or_else(|error| panic!("{missed:?}: {error}"));
        clock::wait_for("the request", SOON, || house.rows("a").get(n).filter(|row| row[0] == from).map(|_| ()));
        assert_eq!(outcomes(&gateway, "accepted"), n as u64 + 1, "{missed:?}");
    }
    assert_eq!((house.rows("a").len(), outcomes(&gateway, "same_window")), (3, 0), "a repeat is no other call");
}

#[test]
fn a_hundred_calls_in_a_second_are_one_callback() {
    let house = House::usual(&["Delay Before Callback=1"]);
    let gateway = house.site.start(Part::All);
    sipp(Missed::Refused(603), 100, A, ACCESS, house.site.at(5071), house.site.at(5060), house.site.folder())
        .unwrap_or_else(|error| panic!("{error}"));
    house.phones.wait_call(B, "talks and hangs up", SOON, |call| call.ended_us.is_some());
    house.site.wait_idle(1, SOON);
    assert_eq!((house.phones.calls_to(A).len(), house.phones.calls_to(B).len()), (1, 1));
    assert_eq!((outcomes(&gateway, "accepted"), outcomes(&gateway, "same_window")), (1, 99));
    let caller = house.caller(5072);
    assert_eq!(caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON).codes, [100, 603]);
    assert_eq!(outcomes(&gateway, "same_window"), 100, "the window outlives the callback");
}

#[test]
fn a_callback_that_called_nobody_swallows_no_later_call() {
    let house = House::usual(&["Delay Before Callback=3600"]);
    let gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    let calls = || assert_eq!(caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON).codes, [100, 603]);
    calls();
    let job = clock::wait_for("the request", SOON, || house.rows("job_id").pop())[0].clone();
    calls();
    assert_eq!((outcomes(&gateway, "accepted"), outcomes(&gateway, "same_window")), (1, 1), "it waits");
    house.site.cli(&["request", "cancel", &job], "");
    clock::wait_for("the first to be over", SOON, || (house.rows("finished")[0][0] == "1").then_some(()));
    calls();
    calls();
    assert_eq!((outcomes(&gateway, "accepted"), outcomes(&gateway, "same_window")), (2, 2), "the second is a callback");
}

#[test]
fn who_hangs_up_first_is_called_back_and_repeats_change_nothing() {
    let house = House::usual(&["Ringback Time=30", "Delay Before Callback=2"]);
    let gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    let attempt = caller.attempt(&format!("<sip:{A}@trunk.example>"), ACCESS, "", None);
    for _ in 0..5 {
        caller.says(&attempt.invite);
    }
    let rings = clock::wait_for("180", SOON, || caller.hears(SOON).filter(|message| message.status() == Some(180)));
    assert_eq!(rings.cseq().1, "INVITE");
    for _ in 0..3 {
        caller.cancels(&attempt);
    }
    let heard = caller.to_the_end(&attempt, SOON);
    assert_eq!(heard.codes.last(), Some(&487));
    let a = house.phones.wait_call(A, "is called back", SOON, |_| true);
    let waited = a.invite_us - heard.ended_us;
    assert!((2_000_000..4_000_000).contains(&waited), "counted from the CANCEL: {waited} us");
    caller.says(&attempt.invite);
    house.phones.wait_call(B, "talks and hangs up", SOON, |call| call.ended_us.is_some());
    house.site.wait_idle(1, SOON);
    assert_eq!((house.phones.calls_to(A).len(), outcomes(&gateway, "accepted")), (1, 1));
    assert_eq!(house.rows("job_id").len(), 1);

    let bob = house.customer(1);
    house.phones.when(&bob, Manner::answers(millis(200)));
    sipp(Missed::HangUp, 1, &bob, ACCESS, house.site.at(5072), house.site.at(5060), house.site.folder())
        .unwrap_or_else(|error| panic!("{error}"));
    house.phones.wait_call(&bob, "is called back", SOON, |call| call.ended_us.is_some());
    house.site.wait_idle(2, SOON);
    assert_eq!(house.rows("a, username, result"), [[A, "alice", "Successful"], [&bob, "customer1", "Successful"]]);
    assert_eq!((house.phones.calls_to(B).len(), outcomes(&gateway, "accepted")), (2, 2));
}

#[test]
fn the_caller_hears_it_ring_by_180_or_as_audio() {
    let house = House::usual(&["Ringback Time=2", "Delay Before Callback=3600"]);
    let _gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    let began = clock::now_us();
    let heard = caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON);
    assert_eq!(heard.codes, [100, 180, 603]);
    assert!(heard.ended_us - began >= 2_000_000, "rang for {} us", heard.ended_us - began);

    house.site.cli(&["app", "set", "missed", "Ringback Type=earlymedia"], "");
    let ear = std::net::UdpSocket::bind(house.site.at(0)).expect("a port is free");
    let port = ear.local_addr().expect("it is bound").port();
    let attempt = caller.attempt("<sip:+447700900444@trunk.example>", ACCESS, "", Some(port));
    caller.says(&attempt.invite);
    let heard = caller.to_the_end(&attempt, SOON);
    assert_eq!(heard.codes, [100, 603], "nobody pays for this one, so it does not ring");
    house.site.cli(&["account", "add", "bob", "--balance", "1.00", "--number", "+447700900444"], "");
    let attempt = caller.attempt("<sip:+447700900444@trunk.example>", ACCESS, "", Some(port));
    let began = clock::now_us();
    caller.says(&attempt.invite);
    let heard = caller.to_the_end(&attempt, SOON);
    assert_eq!(heard.codes, [100, 183, 603]);
    assert!(heard.early.as_deref().unwrap_or_default().contains("m=audio"), "{:?}", heard.early);
    ear.set_read_timeout(Some(millis(100))).expect("a time limit");
    let mut buffer = [0; 400];
    let packets = std::iter::from_fn(|| ear.recv(&mut buffer).ok()).take_while(|length| *length == 172).count();
    let most = usize::try_from((heard.ended_us - began) / 20_000).expect("a few") + 2;
    assert!((80..=most).contains(&packets), "{packets} packets of 20 ms, and {most} would fit");
}

#[test]
fn a_personal_number_rings_its_owner_at_once_whoever_calls() {
    let house = House::usual(&[]);
    let personal = "+12065550199";
    house.site.cli(&["did", "add", personal, "--account", "alice", "--to", B], "");
    let gateway = house.site.start(Part::All);
    house.site.cli(&["app", "list"], "");
    let caller = house.caller(5071);
    let attempt = caller.attempt("\"Anonymous\" <sip:anonymous@anonymous.invalid>", personal, "", None);
    caller.says(&attempt.invite);
    let heard = caller.to_the_end(&attempt, SOON);
    assert_eq!(heard.codes, [100, 603]);
    let a = house.phones.wait_call(A, "is called", SOON, |_| true);
    let waited = a.invite_us - heard.ended_us.min(a.invite_us);
    assert!(a.invite_us > heard.ended_us && waited < 1_500_000, "after {waited} us");
    assert!(a.from.contains(personal), "{}", a.from);
    house.phones.wait_call(B, "talks and hangs up", SOON, |call| call.ended_us.is_some());
    house.site.wait_idle(1, SOON);
    assert_eq!(outcomes(&gateway, "accepted"), 1);
}

#[test]
fn every_way_to_pay_happens() {
    let house = House::stage(Manner::dead(), Manner::dead(), &["Delay Before Callback=3600"], |site| {
        site.set("ani.window", "0")
    });
    house.site.cli(&["account", "add", "pool", "--balance", "5.00", "--allow", "44", "--limits", "off"], "");
    house
        .site
        .cli(&["account", "add", "broke", "--balance", "1.00", "--limits", "off", "--number", "+447700900222"], "");
    house.site.cli(&["account", "add", "447700900555", "--balance", "3.00", "--limits", "off"], "");
    house.site.cli(&["account", "add", "shadow", "--balance", "3.00", "--number", "+447700900555"], "");
    let cases: [(&[&str], &str, &str); 16] = [
        (&[], A, "alice 0 -"),
        (&[], "+447700900555", "447700900555 0 -"),
        (&[], "+447700900666", "unknown_caller"),
        (&["Default Account Username=pool"], "+447700900661", "pool 1 -"),
        (&["Default Account Username=pool", "Force CLI Authentication=True"], "+447700900662", "unknown_caller"),
        (
            &["Default Account Username=pool", "Force CLI Authentication=True", "Force Default Account=True"],
            A,
            "pool 1 alice",
        ),
        (&["Force CLI Authentication=True"], "+447700900663", "unknown_caller"),
        (&["Force CLI Authentication=True"], A, "alice 0 -"),
        (&["Force Default Account=True"], A, "no_default_account"),
        (&["Force Default Account=True", "Minimum Balance=2 USD"], "+447700900222", "no_default_account"),
        (
            &["Force Default Account=True", "Minimum Balance=2 USD", "Default Account Username=pool"],
            "+447700900222",
            "pool 1 broke",
        ),
        (&["Disable CLI Authentication=True", "Default Account Username=pool"], "+447700900222", "pool 1 -"),
        (&["Disable CLI Authentication=True"], A, "no_default_account"),
        (&["Minimum Balance=2 USD"], "+447700900222", "below_minimum_balance"),
        (&["Minimum Balance=2 USD", "Default Account Username=pool"], "+447700900222", "pool 1 broke"),
        (&["Minimum Balance=0.50"], "+447700900222", "broke 0 -"),
    ];
    let gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    for (n, (options, from, expected)) in cases.into_iter().enumerate() {
        let (app, did) = (format!("app{n}"), format!("+12065551{n:03}"));
        house.site.cli(
            &["app", "add", &format!("b{n}"), "--type", "2way-callback", "--to", &format!("+4420718380{n:02}")],
            "",
        );
        let mut add = vec!["app", "add", &app, "--type", "ani-callback", "--application"];
        let hotline = format!("b{n}");
        add.extend([hotline.as_str(), "--set", "Delay Before Callback=3600"]);
        add.extend(options.iter().flat_map(|option| ["--set", *option]));
        house.site.cli(&add, "");
        house.site.cli(&["did", "add", &did, "--app", &app], "");
        let (before, refused) = (house.rows("job_id").len(), outcomes(&gateway, expected));
        assert_eq!(caller.to_the_end(&caller.calls(from, &did, ""), SOON).codes, [100, 603], "{options:?}");
        let decided = clock::wait_for(&format!("{options:?} to be decided as {expected}"), SOON, || {
            let rows = house.rows("username, default_user_used, job");
            let row = rows.get(before).map(|row| format!("{} {} {}", row[0], row[1], real_account(&row[2])));
            row.or_else(|| (outcomes(&gateway, expected) > refused).then(|| expected.to_owned()))
        });
        assert_eq!(decided, expected, "{options:?}");
    }
}

#[test]
fn the_founding_example_starts_a_session_and_noanonacct_is_heard() {
    let house = House::stage(Manner::dead(), Manner::dead(), &[], |site| {
        site.set("ani.profile", "sippy");
        site.set("ani.window", "0");
        site.set("ani.options.delay_before_callback", "3600");
    });
    house.site.cli(&["account", "add", "801", "--balance", "5.00", "--limits", "off"], "");
    let _gateway = house.site.start(Part::All);
    let caller = Caller::start(house.site.at(5071), house.site.at(5062));
    caller.wait_answered();
    assert_eq!(caller.to_the_end(&caller.calls("801", "ani_callingcard_en_th", ""), SOON).codes, [100, 603]);
    let columns = "a, original_cli, original_cld, username, anon_acct_enabled";
    let first = clock::wait_for("the request", SOON, || house.rows(columns).pop());
    assert_eq!(first, ["801", "801", "callingcard_en_th", "801", "1"]);
    let job = house.rows("job")[0][0].clone();
    for said in [
        r#""cli":"801""#,
        r#""cld":"callingcard_en_th""#,
        r#""application":"callingcard""#,
        r#""no_answer_seconds":300"#,
    ] {
        assert!(job.contains(said), "{said} in {job}");
    }
    house.site.cli(&["request", "cancel", &house.rows("job_id")[0][0]], "");
    clock::wait_for("the first to be over", SOON, || (house.rows("finished")[0][0] == "1").then_some(()));
    assert_eq!(caller.to_the_end(&caller.calls("801", "ani_noanonacct_callingcard_en_th", ""), SOON).codes, [100, 603]);
    let second = clock::wait_for("the second request", SOON, || house.rows(columns).get(1).cloned());
    assert_eq!(second, ["801", "801", "callingcard_en_th", "801", "0"]);
    assert_eq!(caller.to_the_end(&caller.calls("801", "ani_voicemail_en", ""), SOON).codes, [100, 404]);
    assert_eq!(house.rows("job_id").len(), 2);
}

#[test]
fn only_a_translation_rule_says_by_the_cld_who_is_called_and_only_accounts_pay_for_it() {
    let house = House::stage(Manner::dead(), Manner::dead(), &[], |site| {
        site.set("ani.profile", "sippy");
        site.set("ani.window", "0");
        site.set("ani.options.delay_before_callback", "3600");
        site.set("ani.options.default_account_username", "pool");
    });
    house.site.cli(&["account", "add", "pool", "--balance", "5.00", "--limits", "off"], "");
    let gateway = house.site.start(Part::All);
    let dialled = format!("ani_2waycallback_{}", B.trim_start_matches('+'));
    let carrier = house.caller(5071);
    assert_eq!(carrier.to_the_end(&carrier.calls(A, &dialled, ""), SOON).codes, [100, 404], "dialled at a carrier");
    assert_eq!(carrier.to_the_end(&carrier.calls(A, "ani_callingcard_en", ""), SOON).codes, [100, 404]);
    assert_eq!(outcomes(&gateway, "unknown_did"), 2);
    let switch = Caller::start(house.site.at(5072), house.site.at(5062));
    switch.wait_answered();
    assert_eq!(switch.to_the_end(&switch.calls("+447700900999", &dialled, ""), SOON).codes, [100, 603], "a stranger");
    assert_eq!(outcomes(&gateway, "not_their_own_account"), 1);
    assert_eq!(house.rows("job_id").len(), 0);
    assert_eq!(switch.to_the_end(&switch.calls(A, &dialled, ""), SOON).codes, [100, 603]);
    let row = clock::wait_for("the request", SOON, || house.rows("username, a, b, default_user_used").pop());
    assert_eq!(row, ["alice", A, B, "0"]);
}

#[test]
fn natively_a_cld_of_the_form_counts_at_the_trunks_that_are_named_for_it() {
    let mut house = House::stage(Manner::dead(), Manner::dead(), &[], |_| {});
    let gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    assert_eq!(caller.to_the_end(&caller.calls(A, "ani_callingcard_en", ""), SOON).codes, [100, 404]);
    assert_eq!(outcomes(&gateway, "unknown_did"), 1);
    drop(gateway);
    house.site.set("ani.cld_form", r#"["phones"]"#);
    let gateway = house.site.start(Part::All);
    caller.wait_answered();
    assert_eq!(caller.to_the_end(&caller.calls(A, "ani_callingcard_en", ""), SOON).codes, [100, 603]);
    assert_eq!(outcomes(&gateway, "accepted"), 1);
}

#[test]
fn one_callback_at_a_time_is_room_for_both_of_its_calls() {
    let answers = || Manner::answers(secs(2));
    let house = House::stage(answers(), answers(), &["Delay Before Callback=0"], |_| {});
    let only_one = ["account", "set", "alice", "--limits", "on", "--limit", "concurrent_calls_per_account=1"];
    house.site.cli(&only_one, "");
    let _gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    assert_eq!(caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON).codes, [100, 603]);
    let is = |status: &str| {
        clock::wait_for(status, SOON, || (house.rows("status, result") == [[status, ""]]).then_some(()));
    };
    is("First leg initiated");
    is("Second leg initiated");
    is("Second leg connected");
    house.phones.hang_up(B);
    house.site.wait_idle(1, SOON);
    assert_eq!(house.rows("status, result"), [["Finished", "Successful"]]);
}

#[test]
fn the_first_call_says_why_it_was_diverted_and_the_second_that_both_are_paid() {
    let options = [
        "Delay Before Callback=0",
        "Default Account Username=pool",
        "Force Default Account=True",
        "Fixed CLI=+12065550177",
    ];
    let house = House::stage(
        Manner::answers(millis(200)),
        Manner::answers(millis(200)).hangs_up_after(secs(1)),
        &options,
        |site| site.set("ani.profile", "sippy"),
    );
    house.site.cli(&["account", "add", "pool", "--balance", "5.00", "--allow", "44", "--limits", "off"], "");
    let _gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    caller.to_the_end(&caller.calls(A, ACCESS, "Privacy: id\r\n"), SOON);
    house.phones.wait_call(B, "talks and hangs up", SOON, |call| call.ended_us.is_some());
    house.site.wait_idle(1, SOON);
    let invite = |number: &str| {
        let log = house.phones.log().of_number(number.trim_start_matches('+'));
        let first = log
            .entries
            .into_iter()
            .find(|entry| entry.method == "INVITE" && entry.from_gateway && entry.status.is_none());
        first.unwrap_or_else(|| panic!("no INVITE to {number}")).text
    };
    let (a, b) = (invite(A), invite(B));
    assert!(a.contains("Diversion: <sip:+12065550177@") && a.contains(";reason=unconditional"), "{a}");
    assert!(a.contains("From: <sip:+12065550177@") && a.contains("Expires: 300"), "{a}");
    assert!(b.contains("X-2Way-Need-Bind: yes") && !b.contains("Diversion"), "{b}");
    assert!(b.contains("From: <sip:anonymous@") && !b.contains(A), "the caller wanted no number shown: {b}");
    assert_eq!(house.rows("username, default_user_used, anon_acct_enabled"), [["pool", "1", "1"]]);
    assert_eq!(real_account(&house.rows("job")[0][0]), "alice");
    let probe = house.site.probe();
    probe.books_are_right("pool", 5_000_000);
    assert!(probe.balance("pool") < 5_000_000, "the default account paid for both calls");
    assert_eq!((probe.balance("alice"), probe.charged("alice")), (10_000_000, 0), "and the caller's own for none");
}

#[test]
fn a_call_that_is_our_own_or_forged_or_unwanted_is_not_called_back() {
    let house = House::stage(Manner::rings_for_ever(), Manner::dead(), &["Delay Before Callback=0"], |site| {
        site.set("ani.window", "0")
    });
    house.site.cli(&["account", "add", "bob", "--balance", "1.00", "--number", B], "");
    house.site.cli(&["account", "add", "carol", "--balance", "1.00", "--number", "+447700900888"], "");
    house.site.cli(&["dnc", "add", "+447700900888"], "");
    let gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    assert_eq!(caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON).codes, [100, 603]);
    house.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    clock::wait_for("A's call to be known", SOON, || {
        (house.rows("status")[0][0] == "First leg initiated").then_some(())
    });
    let unwanted = [
        (B, "", "loop"),
        ("+447700900999", &*format!("Diversion: <sip:{A}@phone>;reason=unconditional\r\n"), "loop"),
        (ACCESS, "", "loop"),
        ("+447700900888", "", "do_not_call"),
        ("+447700900888", "P-Asserted-Identity: <tel:+447700900888;verstat=TN-Validation-Failed>\r\n", "verstat"),
        ("anonymous", "", "withheld"),
        ("alice", "", "garbled"),
        (&*"4".repeat(100), "", "garbled"),
        ("112", "", "garbled"),
        ("+19005551234", "", "unknown_caller"),
    ];
    for (from, more, reason) in unwanted {
        let before = outcomes(&gateway, reason);
        assert_eq!(caller.to_the_end(&caller.calls(from, ACCESS, more), SOON).codes, [100, 603], "{from}");
        assert_eq!(outcomes(&gateway, reason), before + 1, "{from} {reason}");
    }
    assert_eq!(house.rows("job_id").len(), 1);
}

#[test]
fn sip_24_a_wave_of_foreign_numbers_is_called_neither_back_nor_on_a_default_account() {
    let house =
        House::stage(Manner::dead(), Manner::dead(), &["Delay Before Callback=0"], |site| site.set("ani.window", "0"));
    house.site.cli(&["account", "add", "pool", "--balance", "5.00", "--allow", "44"], "");
    let gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    let wave = |from: u32| {
        for n in from..from + 10 {
            let victim = format!("+23276{n:06}");
            assert_eq!(caller.to_the_end(&caller.calls(&victim, ACCESS, ""), SOON).codes, [100, 603], "{victim}");
            clock::wait_for("the engine, whose requests the limits count", SOON, || {
                (house.rows("job_id").len() as u64 == outcomes(&gateway, "accepted")).then_some(())
            });
        }
    };
    wave(0);
    assert_eq!(
        (outcomes(&gateway, "unknown_caller"), house.rows("job_id").len()),
        (10, 0),
        "nobody pays for strangers"
    );
    house.site.cli(&["app", "set", "missed", "Default Account Username=pool"], "");
    wave(10);
    let asked = outcomes(&gateway, "accepted");
    assert!((1..10).contains(&asked), "{asked}: the default account has limits of its own");
    house.site.wait_idle(usize::try_from(asked).expect("a few"), SOON);
    assert!(house.rows("result").iter().all(|row| row[0] == "Blocked"), "{:?}", house.rows("result"));
    assert!(house.phones.calls().is_empty(), "no phone rang");
}

#[test]
fn a_job_whose_caller_would_be_asked_by_voice_ends_with_a_sentence_and_rings_nobody() {
    let house = House::usual(&[]);
    let personal = "+12065550199";
    house.site.cli(&["did", "add", personal, "--account", "alice"], "");
    let _gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    assert_eq!(caller.to_the_end(&caller.calls(A, personal, ""), SOON).codes, [100, 603]);
    house.site.wait_idle(1, SOON);
    assert_eq!(house.rows("status, result"), [["Finished", "Rejected"]]);
    assert!(house.phones.calls().is_empty());
    house.site.probe().books_are_right("alice", 10_000_000);
}

#[test]
fn a_known_caller_who_is_broke_is_told_once_a_day_by_sms_and_a_stranger_is_not() {
    let house = House::stage(Manner::dead(), Manner::dead(), &[], |site| {
        site.set("ani.window", "0");
        site.set("sms.notices", "generic");
        site.set("sms.notices_from", ACCESS);
    });
    house.site.cli(&["account", "add", "broke", "--number", "+447700900222"], "");
    let _gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    house.site.cli(&["account", "add", "poor", "--number", "+447700900223"], "");
    for from in ["+447700900222", "+447700900999", "+447700900222", "+447700900223"] {
        assert_eq!(caller.to_the_end(&caller.calls(from, ACCESS, ""), SOON).codes, [100, 603], "{from}");
    }
    house.site.replies().wait(2, SOON);
    let texts: Vec<_> = house.site.replies().received().iter().map(|told| told.json()).collect();
    let mut told: Vec<_> = texts.iter().map(|text| text["to"].as_str().unwrap_or_default()).collect();
    told.sort_unstable();
    assert_eq!(told, ["+447700900222", "+447700900223"], "each once");
    let text = texts.iter().find(|text| text["to"] == "+447700900222").expect("broke was told");
    assert_eq!(
        (text["to"].as_str(), text["from"].as_str(), text["kind"].as_str()),
        (Some("+447700900222"), Some(ACCESS), Some("notice"))
    );
    assert!(text["text"].as_str().unwrap_or_default().contains("no money"), "{text}");
}

#[test]
fn explain_says_what_the_trigger_would_do() {
    let answers = || Manner::answers(millis(200));
    let house = House::stage(answers(), answers(), &["Force CLI Authentication=True"], |site| {
        site.set("ani.cld_form", r#"["phones"]"#)
    });
    let explain = |from: &str, to: &str| house.site.json(&["explain", "ani", "--from", from, "--to", to]);
    let job = explain(A, ACCESS);
    assert_eq!((job["outcome"].as_str(), job["a"].as_str(), job["b"].as_str()), (Some("job"), Some(A), Some(B)));
    assert_eq!((job["a_rule"].as_str(), job["reason"].is_null(), job["message"].is_null()), (Some("plus"), true, true));
    let refused = |from: &str, to: &str| explain(from, to)["reason"].as_str().map(str::to_owned);
    assert_eq!(refused("+447700900999", ACCESS).as_deref(), Some("unknown_caller"));
    assert_eq!(refused("anonymous", ACCESS).as_deref(), Some("withheld"));
    assert_eq!(refused(A, "+12065550198").as_deref(), Some("unknown_did"));
    assert_eq!(refused(A, "ani_voicemail").as_deref(), Some("unknown_did"), "no trunk's translation rule wrote that");
    let by_rule = house.site.json(&["explain", "ani", "--from", A, "--to", "ani_voicemail", "--trunk", "phones"]);
    assert_eq!(by_rule["reason"], "unknown_application");
    let asserted = house.site.json(&[
        "explain",
        "ani",
        "--from",
        "anonymous",
        "--to",
        ACCESS,
        "--asserted",
        A,
        "--trunk",
        "phones",
    ]);
    assert_eq!(asserted["outcome"], "job");
    assert_eq!(house.rows("job_id").len(), 0, "nothing was asked for");
    let (code, _, errors) = house.site.ask(&["explain", "ani", "--from", A, "--to", ACCESS, "--trunk", "none"], "");
    assert_eq!(code, 4, "{errors}");
}
