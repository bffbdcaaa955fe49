//! IIF under load, and while other parts are down: what was acknowledged is called once, and what was called is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use ringback_tests::capture::{Capture, Packet};
use ringback_tests::clock;
use ringback_tests::iif::{AppServer, House, value};
use ringback_tests::peers::Peers;
use ringback_tests::phone::Manner;
use ringback_tests::site::{Part, Site};
use ringback_tests::story::{millis, secs};

const REQUESTS: usize = 1_000;
const REPEATS: usize = 3;
/// So many calls end while the trigger is down.
const ENDED_WHILE_DOWN: usize = 20;

fn quick() -> Manner {
    Manner::answers(millis(20)).mute()
}

fn a(n: usize) -> String {
    format!("44100{n:07}")
}

fn b(n: usize) -> String {
    format!("44200{n:07}")
}

fn request(n: usize) -> String {
    format!("REQUEST: id={n};user1={};user2={};duration=3600;", a(n), b(n))
}

/// Sends the REQUESTs in this time, evenly.
fn send_all(server: &AppServer, which: impl Iterator<Item = usize>, count: usize, time: std::time::Duration) {
    let start = std::time::Instant::now();
    for (sent, n) in which.enumerate() {
        let due = start + time.mul_f64(sent as f64 / count as f64);
        std::thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
        server.says(request(n));
    }
}

/// All that is heard meanwhile: a socket that nobody reads soon has no room.
fn hears_until(server: &AppServer, over: impl Fn() -> bool) -> Vec<String> {
    let mut heard = Vec::new();
    while !over() {
        heard.extend(server.hears_from(millis(50)).map(|(text, _)| text));
    }
    heard
}

#[test]
fn a_thousand_requests_in_a_second_thrice_each_and_a_trigger_killed_in_the_middle() {
    let house = House::stage(quick(), quick(), |site| {
        site.set("service.log_level", "info");
        site.set("engine.slots", "400");
        site.set("engine.job_lifetime", "3600");
    });
    house.phones.when("44100*", quick());
    house.phones.when("44200*", quick().hangs_up_after(millis(200)));
    let _engine = house.site.start(Part::OnlyEngine);
    let mut trigger = house.site.start(Part::OnlyIif);
    let server = house.server(4000);
    let is_back = AtomicBool::new(false);
    let mut heard: Vec<String> = Vec::new();
    let first = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut rounds = 0;
            // Repeats are sent until it is back; if it never comes back, not for ever.
            while rounds <= REPEATS || (rounds < 60 && !is_back.load(Ordering::Relaxed)) {
                send_all(&server, 0..REQUESTS, REQUESTS, secs(1));
                rounds += 1;
            }
        });
        heard.extend(server.hears_all(secs(30), |all| ids(all, "ACK").len() >= REQUESTS / 4));
        trigger.process.kill9();
        heard.extend(std::iter::from_fn(|| server.has_heard()));
        let first = ids(&heard, "ACK");
        let responded = ids(&heard, "RESPONSE").len();
        clock::wait_for("calls to end while nobody is there to say so", secs(30), || {
            let over = house.site.probe().requests().iter().filter(|request| request.finished).count();
            (over >= responded + ENDED_WHILE_DOWN).then_some(())
        });
        assert_eq!(server.has_heard(), None, "nobody is there");
        let starting = scope.spawn(|| house.site.start(Part::OnlyIif));
        heard.extend(hears_until(&server, || starting.is_finished()));
        trigger = starting.join().expect("it is started");
        assert!(!sending.is_finished(), "it is back while repeats are sent");
        is_back.store(true, Ordering::Relaxed);
        heard.extend(hears_until(&server, || sending.is_finished()));
        first
    });
    assert!(first.len() < REQUESTS, "it was killed in the middle");

    // All of them once more, and again who hears no answer, as UDP wants it: also those that the first process had acknowledged.
    let mut again = Vec::new();
    loop {
        let acked = ids(&again, "ACK");
        let missing: Vec<usize> = (0..REQUESTS).filter(|n| !acked.contains(n)).collect();
        if missing.is_empty() {
            break;
        }
        let time = secs(1).mul_f64(missing.len() as f64 / REQUESTS as f64);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| send_all(&server, missing.iter().copied(), missing.len(), time));
            again.extend(hears_until(&server, || sending.is_finished()));
        });
        again.extend(std::iter::from_fn(|| server.hears_from(secs(1))).map(|(text, _)| text));
        assert!(trigger.process.ended().is_none(), "{}", trigger.process.tail(20));
    }
    heard.extend(again);
    let mut responded = ids(&heard, "RESPONSE");
    heard.extend(server.hears_all(secs(180), |all| {
        responded.extend(all.last().filter(|one| one.starts_with("RESPONSE")).and_then(|one| id_of(one)));
        responded.len() == REQUESTS
    }));
    house.site.wait_idle(REQUESTS, secs(30));
    judge(&house, &heard);
}

/// The ids of the messages of this method.
fn ids(messages: &[String], method: &str) -> BTreeSet<usize> {
    messages.iter().filter(|message| message.starts_with(method)).filter_map(|message| id_of(message)).collect()
}

fn id_of(message: &str) -> Option<usize> {
    value(message, "id")?.parse().ok()
}

fn judge(house: &House, heard: &[String]) {
    let mut sids: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    for message in heard {
        let id = id_of(message).unwrap_or_else(|| panic!("{message}"));
        sids.entry(id).or_default().insert(value(message, "sid").unwrap_or_default());
        assert!(!message.starts_with("ACK") || message.ends_with("code=ok;"), "{message}");
    }
    assert_eq!(sids.len(), REQUESTS);
    assert!(sids.values().all(|sids| sids.len() == 1), "one sid for every ACK and RESPONSE of an id");
    assert_eq!(sids.values().flatten().collect::<BTreeSet<_>>().len(), REQUESTS, "and of that id alone");
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for call in house.phones.calls() {
        *calls.entry(call.number).or_default() += 1;
    }
    for n in 0..REQUESTS {
        assert_eq!([calls.get(&a(n)), calls.get(&b(n))], [Some(&1), Some(&1)], "call {n}");
    }
    assert_eq!(calls.len(), 2 * REQUESTS);
}

#[test]
fn three_hundred_requests_each_with_its_release_right_behind_it_ring_nobody_on() {
    const MANY: usize = 300;
    let peers = Peers::start();
    let house = House::with(Site::beside(&peers), quick(), quick(), |site| {
        site.set("iif.application_server", "any");
        site.set("iif.response_repeats", "2");
    });
    house.phones.when("44*", Manner::rings_for_ever());
    let _engine = house.site.start(Part::Engine(1));
    let trigger = house.site.start(Part::Iif(1));
    let server = AppServer::start(house.site.at(4000), std::net::SocketAddr::new(trigger.ip, 5080));
    let mut heard: Vec<String> = Vec::new();
    // A broker that confirms late, again and again: until then nobody knows the jobs.
    for n in 0..MANY {
        server.says(request(n));
        server.says(format!("RELEASE: id={n};"));
        if n % 30 == 29 {
            std::thread::sleep(millis(100));
            heard.extend(std::iter::from_fn(|| server.has_heard()));
            peers.rabbit.freeze(n % 90 != 89 && n + 1 < MANY);
        }
    }
    // UDP may lose any of it: what is not answered is said again.
    for _ in 0..10 {
        heard.extend(std::iter::from_fn(|| server.hears_from(secs(1))).map(|(text, _)| text));
        let (acked, responded) = (ids(&heard, "ACK"), ids(&heard, "RESPONSE"));
        for n in (0..MANY).filter(|n| !acked.contains(n)) {
            server.says(request(n));
        }
        for n in (0..MANY).filter(|n| !responded.contains(n)) {
            server.says(format!("RELEASE: id={n};"));
        }
        let end = std::time::Instant::now() + secs(5);
        let over = |heard: &[String]| ids(heard, "RESPONSE").len() == MANY && ids(heard, "ACK").len() == MANY;
        while std::time::Instant::now() < end && !over(&heard) {
            heard.extend(server.hears_from(millis(100)).map(|(text, _)| text));
        }
        if over(&heard) {
            break;
        }
    }
    let silent: Vec<usize> = (0..MANY).filter(|n| !ids(&heard, "RESPONSE").contains(n)).collect();
    assert!(silent.is_empty(), "no RESPONSE for {silent:?}; replies: {:?}", house.site.probe().replies());
    assert!(heard.iter().all(|one| value(one, "code").or(value(one, "real_duration")).is_some_and(is_ok_or_none)));
    assert_eq!(ids(&heard, "ACK").len(), MANY);
    assert_eq!(ringback_tests::iif::counted(trigger.health(), "ringback_iif_total", &["too_many_ahead"]), 0);
    house.site.wait_idle(MANY, secs(30));
    for call in house.phones.calls() {
        assert!(call.answered_us.is_none() && call.canceled_us.is_some(), "{} rings on", call.number);
    }
}

#[test]
fn behind_a_broker_that_is_silent_for_long_no_release_counts_as_ahead_of_its_request() {
    const MANY: usize = 200;
    let peers = Peers::start();
    let house = House::with(Site::beside(&peers), quick(), quick(), |site| {
        site.set("iif.application_server", "any");
        site.set("engine.slots", "400");
    });
    house.phones.when("44*", Manner::rings_for_ever());
    let _engine = house.site.start(Part::Engine(1));
    let trigger = house.site.start(Part::Iif(1));
    let server = AppServer::start(house.site.at(4000), std::net::SocketAddr::new(trigger.ip, 5080));
    let counted = |labels: &[&str]| ringback_tests::iif::counted(trigger.health(), "ringback_iif_total", labels);
    peers.rabbit.freeze(true);
    for n in 0..MANY {
        server.says(request(n));
        server.says(format!("RELEASE: id={n};"));
        std::thread::sleep(millis(2));
    }
    clock::wait_for("every RELEASE to be dealt with", secs(120), || {
        (counted(&["RELEASE"]) >= MANY as u64).then_some(())
    });
    assert!(counted(&["REQUEST", "unavailable"]) > 0, "the broker was silent for longer than anybody waits");
    peers.rabbit.freeze(false);
    let mut heard: Vec<String> = Vec::new();
    let is_over = |heard: &[String]| ids(heard, "ACK").len() == MANY && ids(heard, "RESPONSE").len() == MANY;
    clock::wait_for("an ACK and a RESPONSE for each", secs(90), || {
        for n in (0..MANY).filter(|n| !ids(&heard, "ACK").contains(n)) {
            server.says(request(n));
        }
        heard.extend(std::iter::from_fn(|| server.hears_from(secs(1))).map(|(text, _)| text));
        is_over(&heard).then_some(())
    });
    assert_eq!(counted(&["too_many_ahead"]), 0);
    house.site.wait_idle(MANY, secs(30));
    let called: Vec<_> = house.phones.calls().into_iter().map(|call| call.number).collect();
    assert!(called.is_empty(), "{called:?} were called although they had been released");
}

fn is_ok_or_none(value: &str) -> bool {
    matches!(value, "ok" | "0")
}

#[test]
fn ack_is_on_the_wire_before_the_first_invite_at_twenty_requests_a_second() {
    const MANY: usize = 60;
    // Not the 200 ms of a site: here debug builds and other tests share two processors with the queue that confirms.
    let house = House::stage(quick(), quick(), |site| site.set("iif.ack_lead", "1000"));
    house.phones.when("44100*", quick());
    house.phones.when("44200*", quick().hangs_up_after(millis(100)));
    let _gateway = house.site.start(Part::All);
    let server = house.server(4000);
    let filter = format!("host {} and (port 5080 or port 5070)", house.site.ip());
    let capture = Capture::start(&filter, house.site.folder()).expect("tcpdump");
    send_all(&server, 0..MANY, MANY, secs(3));
    server.hears_all(secs(60), |all| ids(all, "RESPONSE").len() == MANY);
    let packets = capture.stop().expect("a capture");
    let first = |begins: &str, of: &str| {
        let text = |packet: &Packet| String::from_utf8_lossy(&packet.payload).into_owned();
        let is_it = |packet: &&Packet| text(packet).starts_with(begins) && text(packet).contains(of);
        packets.iter().find(is_it).unwrap_or_else(|| panic!("no {begins}{of}")).at_us
    };
    let mut leads: Vec<u64> = (0..MANY)
        .map(|n| {
            let ack = first("ACK: ", &format!("id={n};"));
            let invite = first("INVITE ", &format!("sip:+{}@", a(n)));
            assert!(ack < invite, "call {n}: INVITE {} us before ACK", ack - invite);
            invite - ack
        })
        .collect();
    leads.sort_unstable();
    assert!(leads[0] >= 100_000, "the shortest lead is {} us", leads[0]);
    assert!(leads[MANY / 2] < 2_000_000, "and nobody waits long: {} us for half of them", leads[MANY / 2]);
}

#[test]
fn without_a_broker_or_a_database_nobody_hears_anything_and_a_repeat_is_one_call() {
    let mut peers = Peers::start();
    let house = House::with(Site::beside(&peers), quick(), quick(), |site| {
        site.set("iif.application_server", "any");
    });
    house.phones.when("44100*", quick());
    house.phones.when("44200*", quick().hangs_up_after(millis(200)));
    let _engine = house.site.start(Part::Engine(1));
    let trigger = house.site.start(Part::Iif(1));
    let server = AppServer::start(house.site.at(4000), std::net::SocketAddr::new(trigger.ip, 5080));
    let ok = |message: &str| assert_eq!(value(message, "code"), Some("ok"), "{message}");
    let silent = |n: usize, told: u64| {
        server.says(request(n));
        clock::wait_for("the trigger to give up", secs(30), || {
            let unavailable = ["REQUEST", "unavailable"];
            (ringback_tests::iif::counted(trigger.health(), "ringback_iif_total", &unavailable) >= told).then_some(())
        });
        assert!(server.has_heard().is_none_or(|heard| heard.starts_with("RESPONSE")), "nothing is promised");
    };
    let ack_of = |n: usize| {
        clock::wait_for("an ACK after all", secs(60), || {
            server.says(request(n));
            let heard = server.hears_from(secs(2))?.0;
            heard.starts_with("ACK").then_some(heard)
        })
    };
    ok(&ack_of(1));
    peers.rabbit.kill9();
    silent(2, 1);
    peers.rabbit.restart().expect("RabbitMQ starts again");
    ok(&ack_of(2));
    peers.postgres.kill9();
    silent(3, 2);
    peers.postgres.restart().expect("PostgreSQL starts again");
    ok(&ack_of(3));
    for n in [1, 2, 3] {
        house.phones.wait_call(&b(n), "is called", secs(60), |call| call.ended_us.is_some());
        assert_eq!([house.phones.calls_to(&a(n)).len(), house.phones.calls_to(&b(n)).len()], [1, 1]);
    }
    // Not that all events are out: a stream that was declared just before its broker was killed may never come back.
    clock::wait_for("three RESPONSEs", secs(60), || {
        (house.site.probe().replies().get("sent") == Some(&3)).then_some(())
    });
    assert_eq!(house.site.probe().requests().iter().filter(|request| request.finished).count(), 3);
}
