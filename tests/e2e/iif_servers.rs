//! Who may ask over IIF, in which dialect, where we listen, and what becomes of everything else that comes to the port.

use std::sync::atomic::{AtomicBool, Ordering};

use ringback_tests::clock;
use ringback_tests::iif::{AppServer, Forger, House, counted, value, wait_counted};
use ringback_tests::phone::Manner;
use ringback_tests::process;
use ringback_tests::site::{Part, binary};
use ringback_tests::story::{SOON, millis, secs};

const SIGHUP: i32 = 1;

fn quick() -> Manner {
    Manner::answers(millis(50)).mute()
}

/// A good REQUEST for call `n`.
fn request(n: usize) -> String {
    format!("REQUEST: id=call-{n};user1=441000000{n:03};user2=442000000{n:03};")
}

fn says(message: &str, code: &str) {
    assert_eq!(value(message, "code"), Some(code), "{message}");
}

/// A site on whose address two peers have a port each, `one` in V1.0, and which hears nobody else.
fn house_of_peers() -> House {
    House::stage(quick(), quick(), |site| {
        let ip = site.ip().to_string();
        for (key, value) in [
            ("iif.application_server", "127.0.0.250"),
            ("iif.peers.one.host", ip.as_str()),
            ("iif.peers.one.port", "4001"),
            ("iif.peers.one.dialect", "v1"),
            ("iif.peers.two.host", ip.as_str()),
            ("iif.peers.two.port", "4002"),
        ] {
            site.set(key, value);
        }
    })
}

#[test]
fn each_application_server_hears_only_its_own_responses_also_after_a_restart() {
    let house = house_of_peers();
    house.phones.when("44*", quick());
    let _engine = house.site.start(Part::OnlyEngine);
    let mut trigger = house.site.start(Part::OnlyIif);
    let (one, two) = (house.server(4001), house.server(4002));
    assert_eq!(one.asks(&request(1)), "ACK: id=call-1;code=ok;", "V1.0 knows no sid");
    let ack = two.asks(&request(1).replace("000001", "000002"));
    assert!(ack.starts_with("ACK: id=call-1;sid="), "the same id of another server is another call: {ack}");
    for number in ["442000000001", "442000000002"] {
        house.phones.wait_call(number, "talks", SOON, |call| call.acked_us.is_some());
    }
    trigger.process.kill9();
    house.phones.hang_up("442000000001");
    house.phones.hang_up("442000000002");
    house.site.wait_idle(2, SOON);
    assert_eq!([one.has_heard(), two.has_heard()], [None, None], "nobody is there to say it");
    let _trigger = house.site.start(Part::OnlyIif);
    let (first, second) = (one.hears(SOON), two.hears(SOON));
    assert!(first.starts_with("RESPONSE: id=call-1;real_duration="), "{first}");
    for (response, number) in [(&first, "442000000001"), (&second, "442000000002")] {
        let call = house.phones.calls_to(number).remove(0);
        let talked =
            call.ended_us.zip(call.answered_us).map(|(end, start)| (end - start) as f64 / 1e6).expect("it talked");
        let told: f64 = value(response, "real_duration").and_then(|told| told.parse().ok()).expect("a duration");
        assert!(told <= talked && talked < told + 1.5, "{told} s told, {talked} s talked");
    }
    assert!(second.starts_with("RESPONSE: id=call-1;sid="), "{second}");
    assert_eq!(value(&second, "sid"), value(&ack, "sid"));
    assert_eq!(two.asks(&request(1).replace("000001", "000002")), ack, "and a repeat hears what it heard before");
    assert_eq!([one.has_heard(), two.has_heard()], [None, None]);
    assert_eq!(house.phones.calls().len(), 4);
}

#[test]
fn a_known_host_on_another_port_hears_fail_and_strangers_hear_nothing() {
    let house = house_of_peers();
    house.phones.when("44*", Manner::rings_for_ever());
    let gateway = house.site.start(Part::All);
    let (one, wrong) = (house.server(4001), house.server(4003));
    assert_eq!(wrong.asks(&request(1)), "ACK: id=call-1;code=fail;", "as V1.0 says it");
    wrong.says("RELEASE: id=call-1;");
    wait_counted(gateway.health(), &["RELEASE", "wrong_port"], 1);
    let stranger = AppServer::start("127.0.0.251:0".parse().expect("an address"), house.site.at(5080));
    for _ in 0..20 {
        stranger.says(request(2));
    }
    wait_counted(gateway.health(), &["dropped", "stranger"], 20);
    one.says("RELEASE: id=call-3;");
    wait_counted(gateway.health(), &["RELEASE", "release_in_v1"], 1);
    assert_eq!(one.asks(&request(3)), "ACK: id=call-3;code=ok;");
    house.phones.wait_call("441000000003", "rings: V1.0 has no RELEASE", SOON, |call| call.ringing_us.is_some());
    assert_eq!([wrong.has_heard(), stranger.has_heard()], [None, None]);
    assert_eq!(house.phones.calls().len(), 1);
}

#[test]
fn by_default_the_server_on_this_machine_and_by_a_blank_address_every_one() {
    let house = House::stage(quick(), quick(), |_| {});
    house.phones.when("44*", Manner::rings_for_ever());
    let other = || AppServer::start("127.0.0.252:0".parse().expect("an address"), house.site.at(5080));
    let gateway = house.site.start(Part::All);
    let stranger = other();
    stranger.says(request(1));
    wait_counted(gateway.health(), &["dropped", "stranger"], 1);
    assert_eq!(stranger.has_heard(), None);
    drop((gateway, stranger));
    let mut house = house;
    house.site.set("iif.application_server", "");
    let warned = house.site.cli(&["check"], "");
    assert!(warned.contains("lets every application server in"), "{warned}");
    let gateway = house.site.start(Part::All);
    assert!(gateway.process.output().contains("lets every application server in"), "a warning at the start");
    let known = AppServer::start("127.0.0.252:0".parse().expect("an address"), house.site.at(5080));
    says(&known.asks(&request(2)), "ok");
    house.site.set("iif.profile", "native");
    let (code, _, errors) = house.site.ask(&["check"], "");
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("[iif] application_server: is blank"), "{errors}");
    house.site.set("iif.application_server", "any");
    house.site.cli(&["check"], "");
}

#[test]
fn the_port_is_closed_by_zero_and_changed_without_a_restart() {
    let house = House::stage(quick(), quick(), |_| {});
    house.phones.when("44*", Manner::rings_for_ever());
    let first = std::fs::read_to_string(house.site.path("ringback.toml")).expect("the site's settings");
    let listen = |port: u16| listen_at(&house, &first, house.site.at(port));
    listen(0);
    let trigger = start_by_file(&house);
    let server = |port: u16| AppServer::start(house.site.at(0), house.site.at(port));
    let logged = |what: &str, times: usize| {
        clock::wait_for(what, SOON, || (trigger.output().matches(what).count() >= times).then_some(()));
    };
    logged("the IIF port is closed", 1);
    for (n, port) in [(1, 5081), (2, 5082)] {
        listen(port);
        trigger.signal(SIGHUP);
        logged("the settings of [iif] were read again", n);
        says(&server(port).asks(&request(n)), "ok");
    }
    let file = house.site.path("ringback.toml");
    std::fs::write(&file, "[iif]\nlisten = \"nowhere\"").expect("the folder is ours");
    trigger.signal(SIGHUP);
    logged("the settings stay as they were", 1);
    listen(5081);
    let good = std::fs::read_to_string(&file).expect("what was just written");
    let nobodys = format!("{good}\n[iif.peers.new]\nhost = \"192.0.2.9\"\naccount = \"nobody\"\n");
    std::fs::write(&file, nobodys).expect("the folder is ours");
    trigger.signal(SIGHUP);
    logged("the settings stay as they were: [iif] account: there is no account nobody", 1);
    let old = server(5081);
    old.says(request(3));
    says(&server(5082).asks(&request(4)), "ok");
    assert_eq!(old.has_heard(), None, "nobody listens where we were");
    listen(0);
    trigger.signal(SIGHUP);
    logged("the IIF port is closed", 2);
    drop(old);
    for port in [5081, 5082] {
        std::net::UdpSocket::bind(house.site.at(port)).unwrap_or_else(|error| panic!("{port} is still open: {error}"));
    }
}

/// Writes the site's first settings with another [iif] listen.
fn listen_at(house: &House, first: &str, address: std::net::SocketAddr) {
    let text = first.replace("listen = \"127.0.0.1:5080\"\n", "");
    let text = text.replace("[iif]\n", &format!("[iif]\nlisten = \"{address}\"\n"));
    std::fs::write(house.site.path("ringback.toml"), text).expect("the folder is ours");
}

#[test]
fn responses_wait_for_a_closed_port_and_what_cannot_be_opened_changes_nothing() {
    let house = House::stage(quick(), quick(), |_| {});
    house.phones.when("44*", quick());
    let first = std::fs::read_to_string(house.site.path("ringback.toml")).expect("the site's settings");
    let _engine = house.site.start(Part::OnlyEngine);
    listen_at(&house, &first, house.site.at(5081));
    let trigger = start_by_file(&house);
    let reread = |address, told: &str, times: usize| {
        listen_at(&house, &first, address);
        trigger.signal(SIGHUP);
        clock::wait_for(told, SOON, || (trigger.output().matches(told).count() >= times).then_some(()));
    };
    let server = AppServer::start(house.site.at(4000), house.site.at(5081));
    says(&server.asks(&request(1)), "ok");
    house.phones.wait_call("442000000001", "talks", SOON, |call| call.acked_us.is_some());
    reread(house.site.at(0), "the settings of [iif] were read again", 1);
    house.phones.hang_up("442000000001");
    house.site.wait_idle(1, SOON);
    assert_eq!((server.has_heard(), house.site.probe().replies().get("sent")), (None, None));
    let _taken = std::net::UdpSocket::bind(house.site.at(5082)).expect("a port of somebody else");
    reread(house.site.at(5082), "the settings stay as they were: [iif] listen", 1);
    assert_eq!(server.has_heard(), None);
    reread(house.site.at(5081), "the settings of [iif] were read again", 2);
    let response = server.hears(SOON);
    assert!(response.starts_with("RESPONSE: id=call-1;"), "{response}");
    reread(std::net::SocketAddr::new("0.0.0.0".parse().expect("every address"), 5081), "were read again", 3);
    says(&server.asks(&request(2)), "ok");
}

/// The trigger, whose [iif] listen stands in the file and not in its environment.
fn start_by_file(house: &House) -> process::Process {
    let mut command = std::process::Command::new(binary("ringback"));
    command.args(["run", "--only", "iif", "--config"]).arg(house.site.path("ringback.toml"));
    let ip = house.site.ip();
    let database = format!("sqlite://{}", house.site.path("data/ringback.db").display());
    for (name, value) in [
        ("RINGBACK_IIF__ACCOUNT", "alice".to_owned()),
        ("RINGBACK_IIF__APPLICATION_SERVER", ip.to_string()),
        ("RINGBACK_SERVICE__LISTEN", house.site.at(9092).to_string()),
        ("RINGBACK_STORE__URL", database.clone()),
        ("RINGBACK_QUEUE__URL", database),
    ] {
        command.env(name, value);
    }
    process::Process::start("iif", command, &house.site.path("iif.log")).expect("it is built")
}

#[test]
fn a_signed_interface_hears_only_what_is_signed_and_signs_what_it_says() {
    let house = House::stage(quick(), quick(), |site| site.set("iif.secret", "shared"));
    house.phones.when("44*", quick().hangs_up_after(millis(200)));
    let gateway = house.site.start(Part::All);
    let server = house.server(4000);
    server.says(request(1));
    server.says(format!("{}hmac={};", request(1), "0".repeat(64)));
    server.says(signed("RELEASE: id=call-2;", "guessed"));
    wait_counted(gateway.health(), &["not_signed"], 3);
    server.says(signed(&request(2), "shared"));
    wait_counted(gateway.health(), &["no_time"], 1);
    assert_eq!(server.has_heard(), None);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let ack = server.asks(&signed(&format!("{}time={now};", request(2)), "shared"));
    says(&ack, "ok");
    let response = server.hears(SOON);
    for message in [&ack, &response] {
        let (covered, _) = message.split_once("hmac=").expect("it is signed");
        assert_eq!(*message, signed(covered, "shared"));
    }
    assert_eq!(value(&response, "id"), Some("call-2"));
}

fn signed(text: &str, secret: &str) -> String {
    use hmac::{Hmac, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(text.as_bytes());
    format!("{text}hmac={};", hex::encode(mac.finalize().into_bytes()))
}

#[test]
fn a_response_is_said_again_as_often_as_the_settings_want() {
    let house = House::stage(quick(), quick(), |site| {
        site.set("iif.response_repeats", "2");
        site.set("iif.response_interval", "1");
    });
    house.phones.when("44*", quick().hangs_up_after(millis(200)));
    let _gateway = house.site.start(Part::All);
    let server = house.server(4000);
    says(&server.asks(&request(1)), "ok");
    let said: Vec<String> = (0..3).map(|_| server.hears(SOON)).collect();
    assert!(said[0].starts_with("RESPONSE: id=call-1;"), "{said:?}");
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
}

#[test]
fn hostile_datagrams_are_answered_as_stated_or_not_at_all_and_cost_little() {
    let house = House::stage(quick(), quick(), |_| {});
    house.phones.when("44*", Manner::rings_for_ever());
    let gateway = house.site.start(Part::All);
    let server = house.server(4000);
    let fails = |message: &[u8], id: &str| {
        server.says(message);
        let ack = server.hears(SOON);
        let told = (value(&ack, "id"), value(&ack, "code"));
        assert_eq!(told, (Some(id), Some("fail")), "{}: {ack}", String::from_utf8_lossy(message));
    };
    let ok = request(1);
    let long = format!("REQUEST: id=call-1;user1={};user2=100;", "9".repeat(10_000));
    let many = format!("REQUEST: id=call-1;{}", "a=1;".repeat(1_000));
    fails(long.as_bytes(), "call-1");
    fails(many.as_bytes(), "call-1");
    fails(&many.as_bytes()[..800], "call-1");
    fails(b"REQUEST: id=call-1;user1=10\x000;user2=101;", "call-1");
    fails(b"REQUEST: id=call-1;user1=100;user2=101;user2=102;", "call-1");
    fails(b"REQUEST: id=call-1;user1=100;user2=\xff\xfe;", "call-1");
    fails(b"REQUEST: user1=100;user2=101;", "");
    fails(b"REQUEST: id=call-1;user2=101;", "call-1");
    fails(b"REQUEST: id=call-1;user1=100;", "call-1");
    fails(b"REQUEST: id=call-1;user1=100;user2=101;duration=-1;", "call-1");
    fails(b"REQUEST: id=call-1;user1=100;user2=101;ann_id1=3;", "call-1");
    fails(format!("REQUEST: id={};user1=100;user2=101;", "i".repeat(32)).as_bytes(), &"i".repeat(32));
    fails(b"REQUEST: id=call-1;user1=100' OR 1=1--;user2=101;", "call-1");
    fails(b"REQUEST: id=call-1;user1=sip:100@evil.test;user2=101;", "call-1");

    let silent: [&[u8]; 12] = [
        b"",
        b"\0\0\0\0",
        b"REQUEST",
        b"HELLO: id=call-1;user1=100;user2=101;",
        b"ACK: id=call-1;sid=1;code=ok;",
        b"RESPONSE: id=call-1;sid=1;real_duration=5;",
        b"RELEASE: id=;",
        b"RELEASE: id=call-1;sid=0;",
        b"RELEASE: id=call-1;sid=-5;",
        b"RELEASE: id=call-1;id=call-2;",
        b"INVITE sip:100@127.0.0.1 SIP/2.0\r\n\r\n",
        &[0xff; 1_400],
    ];
    for datagram in silent {
        server.says(datagram);
    }
    wait_counted(gateway.health(), &["ringback_iif_total", "ignored"], silent.len() as u64);
    assert_eq!(server.has_heard(), None);
    assert_eq!(house.phones.calls().len(), 0, "nothing of it called anybody");

    let flood = AppServer::start("127.0.0.253:0".parse().expect("an address"), house.site.at(5080));
    pours(&flood, &ok, 20_000, gateway.health());
    says(&server.asks(&ok), "ok");
    assert_eq!(flood.has_heard(), None, "a flood from elsewhere is dropped unread and holds up nobody");
    house.phones.wait_call("441000000001", "rings", secs(20), |call| call.ringing_us.is_some());
    assert_eq!(house.phones.calls().len(), 1);
}

#[test]
fn a_flood_of_one_application_server_keeps_no_other_from_its_ack() {
    const BURST: usize = 100;
    let house = house_of_peers();
    let trigger = house.site.start(Part::OnlyIif);
    let (one, two) = (house.server(4001), house.server(4002));
    let before = trigger.process.memory();
    let heard = AtomicBool::new(false);
    let ack = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut said = 0;
            while said < 20_000 || (said < 400_000 && !heard.load(Ordering::Relaxed)) {
                for n in said..said + BURST {
                    one.says(format!("REQUEST: id=flood-{n};user1=44100{n:07};user2=44200{n:07};"));
                }
                said += BURST;
                std::thread::sleep(millis(10));
            }
        });
        wait_counted(trigger.health(), &["dropped", "too_many"], 1);
        // The kernel may lose some of it, of everybody's.
        let ack = (0..10).find_map(|_| {
            two.says("REQUEST: id=call-2;user1=100;user2=101;");
            two.hears_from(millis(200))
        });
        heard.store(true, Ordering::Relaxed);
        ack
    });
    let (ack, _) = ack.expect("two hears its ACK while one pours");
    says(&ack, "ok");
    let after = trigger.process.memory();
    assert!(after < before + 100_000, "{before} KiB before, {after} after");
}

#[test]
fn a_forged_source_brings_its_forger_no_answer_and_few_rows() {
    const MANY: u64 = 400;
    let house = House::stage(quick(), quick(), |_| {});
    house.phones.when("44*", Manner::rings_for_ever());
    let gateway = house.site.start(Part::All);
    let server = house.server(4000);
    let forger = Forger::start(server.address(), house.site.at(5080));
    forger.says("REQUEST: id=forged;user1=100;user1=101;");
    let ack = server.hears(SOON);
    assert_eq!(
        (value(&ack, "id"), value(&ack, "code")),
        (Some("forged"), Some("fail")),
        "who it came from hears it: {ack}"
    );
    for n in 0..MANY {
        forger.says(&format!("REQUEST: id=forged-{n};user1=100;"));
        server.hears(SOON);
        forger.says(&format!("RELEASE: id=forged-{n};"));
    }
    wait_counted(gateway.health(), &["RELEASE"], MANY);
    wait_counted(gateway.health(), &["RELEASE", "too_many_ahead"], MANY / 4);
    let rows = |table: &str| {
        let rows = house.site.probe().rows(&format!("SELECT CAST(count(*) AS TEXT) FROM {table}")).expect("a count");
        rows[0][0].as_ref().and_then(|count| count.parse::<u64>().ok()).expect("a number")
    };
    assert!((100..3 * MANY / 4).contains(&rows("cancels")), "{} cancels", rows("cancels"));
    assert!(rows("refusals") <= 100);
    assert!(
        counted(gateway.health(), "ringback_refusals_unwritten_total", &["iif"]) >= MANY / 4,
        "and few were written"
    );
    let ack = server.asks(&request(1));
    says(&ack, "ok");
    house.phones.wait_call("441000000001", "rings", SOON, |call| call.ringing_us.is_some());
    server.says("RELEASE: id=call-1;");
    let response = server.hears(SOON);
    assert!(
        response.starts_with("RESPONSE: id=call-1;"),
        "a RELEASE of a call that is known always counts: {response}"
    );
    assert_eq!(server.has_heard(), None);
}

/// Says it until the trigger has dropped so many as a stranger's. No burst leaves before the last one is read: what overflows on
/// loopback takes the datagrams of everybody with it.
fn pours(stranger: &AppServer, message: &str, many: u64, health: std::net::SocketAddr) {
    const BURST: usize = 250;
    let dropped = || counted(health, "ringback_iif_dropped_total", &["stranger"]);
    let mut before = dropped();
    while before < many {
        for _ in 0..BURST {
            stranger.says(message);
        }
        let mut last = before;
        before = clock::wait_for("a burst to be read to its end", SOON, || {
            let seen = std::mem::replace(&mut last, dropped());
            (last > before && last == seen).then_some(last)
        });
    }
}

#[test]
fn wrong_letters_are_refused_only_where_that_is_wanted() {
    let house = House::stage(quick(), quick(), |_| {});
    house.phones.when("44*", Manner::rings_for_ever());
    let gateway = house.site.start(Part::All);
    let server = house.server(4000);
    says(&server.asks(&request(1).replace("REQUEST", "request")), "ok");
    says(&server.asks(&request(2).replace("id=", "ID=")), "ok");
    assert_eq!(gateway.process.output().matches("it is taken all the same").count(), 2, "each with a line in the log");
    drop(gateway);
    let mut house = house;
    house.site.set("iif.strict", "true");
    let _gateway = house.site.start(Part::All);
    says(&server.asks(&request(3).replace("REQUEST", "request")), "fail");
    says(&server.asks(&request(4).replace("id=", "ID=")), "fail");
    says(&server.asks(&request(5)), "ok");
}
