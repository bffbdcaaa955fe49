//! Where missed calls come in, and what else comes in there: one socket or two, strangers, floods, and a broker that is away.

use std::net::SocketAddr;

use ringback_tests::clock;
use ringback_tests::iif::counted;
use ringback_tests::missed::Caller;
use ringback_tests::net;
use ringback_tests::peers::Peers;
use ringback_tests::phone::{Bank, Manner, Who};
use ringback_tests::site::{Part, Running, Site};
use ringback_tests::story::{A, B, SOON, millis, secs};

/// The number that is rung.
const ACCESS: &str = "+12065550100";

/// Phones at a trunk, alice at A, and [`ACCESS`], which connects who calls it to B after a second.
fn furnish(site: &Site, a: Manner, b: Manner) -> Bank {
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, a);
    phones.when(B, b);
    site.trunk("phones", &phones.uri(), "");
    let account =
        ["account", "add", "alice", "--balance", "10.00", "--number", A, "--allow", "44,33", "--limits", "off"];
    site.cli(&account, "");
    site.cli(&["app", "add", "hotline", "--type", "2way-callback", "--to", B], "");
    let missed = [
        "app",
        "add",
        "missed",
        "--type",
        "ani-callback",
        "--application",
        "hotline",
        "--set",
        "Delay Before Callback=1",
    ];
    site.cli(&missed, "");
    site.cli(&["did", "add", ACCESS, "--app", "missed"], "");
    phones
}

fn talking(site: &Site) -> Bank {
    furnish(site, Manner::answers(millis(200)), Manner::answers(millis(200)))
}

fn outcomes(process: &Running, outcome: &str) -> u64 {
    counted(process.health(), "ringback_ani_total", &[&format!("outcome=\"{outcome}\"")])
}

/// A well-formed request from there.
fn request(method: &str, n: u32, from: SocketAddr, to: SocketAddr) -> String {
    format!(
        "{method} sip:{ACCESS}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKn{n}\r\nMax-Forwards: 70\r\nFrom: <sip:{A}@y>;tag=1\r\n\
         To: <sip:{ACCESS}@y>\r\nCall-ID: n{n}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Good messages from an address that is no trunk's are not answered and not read, only counted.
fn hears_no_stranger(process: &Running, at: SocketAddr) {
    let here = SocketAddr::new(net::own_address(), 5071);
    let stranger = Caller::start(here, at);
    let counted = || counted(process.health(), "ringback_sip_strangers_total", &[&format!("sip=\"{at}\"")]);
    let before = counted();
    stranger.calls(A, ACCESS, "");
    for (n, method) in (0..).zip(["OPTIONS", "BYE", "INVITE"]) {
        stranger.says(request(method, n, here, at));
    }
    assert!(stranger.hears(millis(700)).is_none(), "a stranger at {at}");
    clock::wait_for("four datagrams of a stranger", SOON, || (counted() == before + 4).then_some(()));
}

#[test]
fn on_one_socket_calls_reach_the_trigger_and_what_belongs_to_a_call_the_engine() {
    let site = Site::small();
    let phones = talking(&site);
    let gateway = site.start(Part::All);
    let caller = Caller::start(site.at(5071), site.at(5060));
    caller.wait_answered();
    assert_eq!(caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON).codes, [100, 603]);
    let b = phones.wait_call(B, "talks", SOON, |call| call.acked_us.is_some());
    assert_eq!(b.gateway, site.at(5060).to_string(), "the engine calls from the socket that is rung");
    assert_eq!(
        caller.to_the_end(&caller.calls("+447700900999", ACCESS, ""), SOON).codes,
        [100, 603],
        "while they talk"
    );
    hears_no_stranger(&gateway, site.at(5060));
    caller.says(request("OPTIONS", 9, site.at(5071), site.at(5060)));
    assert_eq!(caller.hears(SOON).and_then(|answer| answer.status()), Some(200));
    phones.hang_up(B);
    let a = phones.wait_call(A, "is hung up on", SOON, |call| call.ended_us.is_some());
    assert_eq!(a.ended_by, Some(Who::Gateway), "B's BYE reached the engine");
    site.wait_idle(1, SOON);
    assert_eq!((outcomes(&gateway, "accepted"), outcomes(&gateway, "unknown_caller")), (1, 1));
}

#[test]
fn as_processes_of_their_own_each_has_its_port_and_strangers_hear_nothing() {
    let mut site = Site::small();
    site.set("ani.profile", "sippy");
    let phones = talking(&site);
    let engine = site.start(Part::OnlyEngine);
    let trigger = site.start(Part::OnlyAni);
    for (port, to) in [(5071, 5060), (5072, 5062)] {
        let from = if to == 5060 { A } else { "+447700900999" };
        let caller = Caller::start(site.at(port), site.at(to));
        caller.wait_answered();
        assert_eq!(caller.to_the_end(&caller.calls(from, ACCESS, ""), SOON).codes, [100, 603], "{to}");
    }
    let to_engine = Caller::start(site.at(5073), site.at(5068));
    to_engine.wait_answered();
    assert_eq!(to_engine.to_the_end(&to_engine.calls(A, ACCESS, ""), SOON).codes, [480], "the engine takes no calls");
    let b = phones.wait_call(B, "talks", SOON, |call| call.acked_us.is_some());
    assert_eq!(b.gateway, site.at(5068).to_string());
    phones.hang_up(B);
    site.wait_idle(1, SOON);

    for (process, port) in [(&trigger, 5060), (&trigger, 5062), (&engine, 5068)] {
        hears_no_stranger(process, site.at(port));
    }
    assert_eq!((outcomes(&trigger, "accepted"), outcomes(&trigger, "unknown_caller")), (1, 1));
    assert_eq!(counted(engine.health(), "ringback_ani_total", &[]), 0);
}

#[test]
fn a_trigger_that_was_killed_knows_the_call_and_the_window_again() {
    let site = Site::small();
    let phones = talking(&site);
    let _engine = site.start(Part::OnlyEngine);
    let mut trigger = site.start(Part::OnlyAni);
    let caller = Caller::start(site.at(5071), site.at(5060));
    caller.wait_answered();
    let call = caller.calls(A, ACCESS, "");
    assert_eq!(caller.to_the_end(&call, SOON).codes, [100, 603]);
    trigger.process.kill9();
    phones.wait_call(B, "talks", SOON, |call| call.acked_us.is_some());
    phones.hang_up(B);
    site.wait_idle(1, SOON);
    let trigger = site.start(Part::OnlyAni);
    caller.wait_answered();
    caller.says(&call.invite);
    assert_eq!(caller.to_the_end(&call, SOON).codes, [100, 603], "the same call again");
    assert_eq!(outcomes(&trigger, "accepted"), 1, "it is the same job");
    assert_eq!(
        caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON).codes,
        [100, 603],
        "another call within the window"
    );
    assert_eq!(outcomes(&trigger, "same_window"), 1);
    site.wait_idle(1, SOON);
    assert_eq!(phones.calls_to(A).len(), 1);
}

#[test]
fn the_calls_of_a_trunk_that_is_not_named_are_not_for_us() {
    let mut site = Site::small();
    site.set("ani.trunks", r#"["other"]"#);
    let phones = talking(&site);
    let gateway = site.start(Part::All);
    let caller = Caller::start(site.at(5071), site.at(5060));
    caller.wait_answered();
    assert_eq!(caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON).codes, [100, 480]);
    assert_eq!(outcomes(&gateway, "not_a_trunk"), 1);
    assert!(phones.calls().is_empty());
}

#[test]
fn while_the_broker_is_away_callers_are_told_to_try_again_and_who_hung_up_is_not_forgotten() {
    let mut peers = Peers::start();
    let mut site = Site::beside(&peers);
    site.set("ani.options.ringback_time", "1");
    let phones = talking(&site);
    let _engine = site.start(Part::Engine(1));
    let trigger = site.start(Part::Ani(1));
    let at = |port| SocketAddr::new(trigger.ip, port);
    // The trunk calls from its own address; the trigger is at another.
    let caller = Caller::start(site.at(5071), at(5060));
    caller.wait_answered();
    peers.rabbit.kill9();
    let heard = caller.to_the_end(&caller.calls("+447700900998", ACCESS, ""), SOON);
    assert_eq!(heard.codes.last(), Some(&603), "who would be refused anyway is refused");
    let heard = caller.to_the_end(&caller.calls(A, ACCESS, ""), secs(30));
    assert_eq!(heard.codes, [100, 180, 503], "not now");
    assert_eq!(outcomes(&trigger, "unavailable"), 1);
    let attempt = caller.calls(A, ACCESS, "");
    clock::wait_for("180", SOON, || caller.hears(SOON).filter(|message| message.status() == Some(180)));
    caller.cancels(&attempt);
    assert_eq!(caller.to_the_end(&attempt, SOON).codes.last(), Some(&487));
    peers.rabbit.restart().expect("the broker starts again");
    phones.wait_call(A, "is called back", secs(60), |_| true);
    phones.wait_call(B, "talks", SOON, |call| call.acked_us.is_some());
    phones.hang_up(B);
    phones.wait_call(A, "is hung up on", SOON, |call| call.ended_us.is_some());
    assert_eq!(phones.calls_to(A).len(), 1);
}

#[test]
fn a_refusal_that_had_to_wait_for_the_broker_is_counted_as_late() {
    let peers = Peers::start();
    let site = Site::beside(&peers);
    let phones = talking(&site);
    let _engine = site.start(Part::Engine(1));
    let trigger = site.start(Part::Ani(1));
    let late = || counted(trigger.health(), "ringback_ani_late_total", &[]);
    let caller = Caller::start(site.at(5071), SocketAddr::new(trigger.ip, 5060));
    caller.wait_answered();
    peers.rabbit.freeze(true);
    let call = caller.calls(A, ACCESS, "");
    assert_eq!(caller.hears(SOON).and_then(|answer| answer.status()), Some(100));
    assert!(caller.hears(secs(2)).is_none(), "no refusal before the job is safe");
    peers.rabbit.freeze(false);
    assert_eq!(caller.to_the_end(&call, SOON).codes, [603]);
    assert_eq!((outcomes(&trigger, "accepted"), late()), (1, 1));
    phones.wait_call(A, "is called back", SOON, |_| true);
    assert!(site.logs().contains("over later than its callback counts from"));
}

#[test]
fn callers_who_hung_up_wait_for_the_broker_in_a_room_of_their_own_and_when_it_is_full_others_are_turned_away() {
    let (bob, carol, dave) = ("+447700900333", "+447700900444", "+447700900555");
    let mut peers = Peers::start();
    let mut site = Site::beside(&peers);
    site.set("ani.options.ringback_time", "30");
    site.set("ani.calls", "1");
    let phones = furnish(&site, Manner::rings_for_ever(), Manner::dead());
    for (name, number) in [("bob", bob), ("carol", carol), ("dave", dave)] {
        phones.when(number, Manner::rings_for_ever());
        site.cli(&["account", "add", name, "--balance", "10.00", "--number", number, "--limits", "off"], "");
    }
    let _engine = site.start(Part::Engine(1));
    let mut trigger = site.start(Part::Ani(1));
    let caller = Caller::start(site.at(5071), SocketAddr::new(trigger.ip, 5060));
    caller.wait_answered();
    let rings = |number: &str| {
        let attempt = caller.calls(number, ACCESS, "");
        clock::wait_for("180", secs(30), || caller.hears(SOON).filter(|message| message.status() == Some(180)));
        attempt
    };
    let hangs_up = |number: &str| {
        let attempt = rings(number);
        caller.cancels(&attempt);
        assert_eq!(caller.to_the_end(&attempt, SOON).codes.last(), Some(&487), "{number}");
    };
    peers.rabbit.kill9();
    hangs_up(A);
    hangs_up(bob); // there is one place, and A's call waits elsewhere
    caller.calls(carol, ACCESS, "");
    let heard = clock::wait_for("503", SOON, || caller.hears(SOON).filter(|message| message.status() == Some(503)));
    assert_eq!(heard.header("Retry-After"), Some("5"));
    assert_eq!((outcomes(&trigger, "turned_away"), outcomes(&trigger, "lost")), (1, 0));
    peers.rabbit.restart().expect("the broker starts again");
    for number in [A, bob] {
        phones.wait_call(number, "is called back", secs(60), |_| true);
    }

    peers.rabbit.kill9();
    hangs_up(carol);
    let attempt = rings(dave);
    assert_eq!(outcomes(&trigger, "accepted"), 2);
    assert!(trigger.process.terminate(secs(30)).success());
    assert_eq!(caller.to_the_end(&attempt, SOON).codes, [503], "who still waits may try elsewhere");
    assert_eq!(site.logs().matches("a missed call is lost").count(), 1, "who has gone is not forgotten silently");
}

#[test]
fn a_number_that_calls_again_and_again_takes_the_places_of_nobody() {
    let bob = "+447700900333";
    let mut site = Site::small();
    site.set("ani.options.ringback_time", "30");
    site.set("ani.calls", "2");
    let _phones = talking(&site);
    site.cli(&["account", "add", "bob", "--balance", "10.00", "--number", bob, "--limits", "off"], "");
    let gateway = site.start(Part::All);
    let caller = Caller::start(site.at(5071), site.at(5060));
    caller.wait_answered();
    let rings = |number: &str| {
        let attempt = caller.calls(number, ACCESS, "");
        clock::wait_for("180", SOON, || caller.hears(SOON).filter(|message| message.status() == Some(180)));
        attempt
    };
    let first = rings(A);
    for again in 1..=5 {
        let began = clock::now_us();
        let heard = caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON);
        assert_eq!(heard.codes, [100, 603], "refused without ringing");
        assert!(heard.ended_us - began < 2_000_000, "after {} us", heard.ended_us - began);
        assert_eq!(outcomes(&gateway, "same_window"), again);
    }
    let other = rings(bob);
    for (attempt, accepted) in [(first, 1), (other, 2)] {
        caller.cancels(&attempt);
        assert_eq!(
            caller.to_the_end(&attempt, SOON).codes.last(),
            Some(&487),
            "the first rang until its caller hung up"
        );
        clock::wait_for("the job", SOON, || (outcomes(&gateway, "accepted") == accepted).then_some(()));
    }
}

#[test]
fn nonsense_and_floods_get_the_stated_answer_or_none_and_cost_little() {
    let site = Site::small();
    let _phones = talking(&site);
    let gateway = site.start(Part::All);
    let caller = Caller::start(site.at(5071), site.at(5060));
    caller.wait_answered();
    let good = |method: &str, n: u32| request(method, n, site.at(5071), site.at(5060));
    let stated = [
        ("OPTIONS", 200),
        ("REGISTER", 405),
        ("MESSAGE", 405),
        ("SUBSCRIBE", 405),
        ("REFER", 403),
        ("BYE", 481),
        ("NONSENSE", 501),
    ];
    for (n, (method, code)) in (0..).zip(stated) {
        caller.says(good(method, n));
        assert_eq!(caller.hears(SOON).and_then(|answer| answer.status()), Some(code), "{method}");
    }
    let malformed: [(Vec<u8>, Option<u16>); 12] = [
        (b"\0\0\0\0".to_vec(), None),
        (b"INVITE".to_vec(), None),
        (vec![b'x'; 10_000], None),
        (b"INVITE sip:x SIP/2.0\r\n\r\n".to_vec(), None),
        (b"\xff\xfe\r\n\r\n".to_vec(), None),
        (b"SIP/2.0 200 OK\r\n\r\n".to_vec(), None),
        (good("ACK", 90).into_bytes(), None),
        (good("INVITE", 91).replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia").into_bytes(), Some(505)),
        (good("INVITE", 92).replace("Call-ID: n92\r\n", "").into_bytes(), Some(400)),
        (good("INVITE", 93).replace("CSeq: 1 INVITE", "CSeq: 1 BYE").into_bytes(), Some(400)),
        (good("INVITE", 94).replace("Content-Length: 0", "Content-Length: 9").into_bytes(), Some(400)),
        (good("ACK", 95).replace("Call-ID: n95\r\n", "").into_bytes(), None),
    ];
    for (datagram, code) in malformed {
        caller.says(&datagram);
        let heard = caller.hears(code.map_or(millis(300), |_| SOON)).map(|answer| answer.status());
        assert_eq!(heard, code.map(Some), "{}", String::from_utf8_lossy(&datagram[..datagram.len().min(300)]));
    }
    let hostile = ["'; DROP TABLE dids;--", "%00", "ani_", "ani_callingcard%0d%0a", "+", "anonymous", &"9".repeat(200)];
    for cld in hostile.map(|cld| cld.replace(' ', "%20")) {
        let heard = caller.to_the_end(&caller.calls(A, &cld, ""), SOON);
        assert!(heard.codes.last().is_some_and(|code| (400..500).contains(code)), "{cld}: {:?}", heard.codes);
    }
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).unwrap_or_default();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .and_then(|line| line.split_whitespace().nth(1))
            .map(str::to_owned);
        line.and_then(|kib| kib.parse::<u64>().ok()).expect("the process lives")
    };
    let before = memory();
    for n in 0..3_000 {
        caller.says(caller.attempt("<sip:+447700900777@y>", &format!("+1206556{n:04}"), "", None).invite);
    }
    while caller.hears(millis(500)).is_some() {}
    assert!(memory() < before + 100_000, "{} KiB before, {} after", before, memory());
    let later = Caller::start(site.at(5074), site.at(5060));
    let heard = later.to_the_end(&later.calls(A, ACCESS, ""), SOON);
    assert_eq!(heard.codes, [100, 603], "a good call right after the flood");
    assert_eq!(outcomes(&gateway, "accepted"), 1);
}
