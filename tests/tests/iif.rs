//! Calls that an application server asks for over IIF, from outside: datagrams, phones, and what is counted.

use std::net::SocketAddr;

use ringback_tests::clock;
use ringback_tests::iif::{AppServer, counted, value};
use ringback_tests::phone::{Bank, Manner, Who};
use ringback_tests::site::{Part, Site};
use ringback_tests::story::{SOON, millis, secs};

/// The founding documents' numbers.
const USER1: &str = "100";
const USER2: &str = "101";
const EXAMPLE: &str = "REQUEST: id=1234;user1=100;user2=101;duration=3600;";

/// A site whose application server is on its own address, with phones 100 and 101.
struct House {
    site: Site,
    phones: Bank,
}

impl House {
    fn stage(user1: Manner, user2: Manner, prepare: impl FnOnce(&mut Site)) -> House {
        let mut site = Site::small();
        let ip = site.ip().to_string();
        for (key, value) in [
            ("numbers.extensions", r#"["100","101","102","103","104"]"#),
            ("iif.account", "alice"),
            ("iif.application_server", &ip),
        ] {
            site.set(key, value);
        }
        prepare(&mut site);
        let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
        phones.when(USER1, user1);
        phones.when(USER2, user2);
        site.account("alice", "10.00");
        site.cli(
            &["trunk", "add", "phones", "--sip", &phones.uri(), "--prefix", "100", "--prefix", "101", "--prefix", "44"],
            "",
        );
        House { site, phones }
    }

    fn server(&self, port: u16) -> AppServer {
        AppServer::start(self.site.at(port), self.site.at(5080))
    }
}

/// Waits until the trigger has counted so many messages with these labels.
fn wait_counted(health: SocketAddr, labels: &[&str], most: u64) {
    clock::wait_for(&format!("{labels:?} to be counted"), SOON, || {
        (counted(health, "ringback_iif_total", labels) >= most).then_some(())
    });
}

#[test]
fn the_founding_example_calls_both_and_is_answered_by_ack_and_response() {
    let house = House::stage(
        Manner::answers(millis(200)).plays(700),
        Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(2)),
        |_| {},
    );
    let _gateway = house.site.start(Part::All);
    let server = house.server(4000);
    server.says(EXAMPLE);
    let (ack, from) = server.hears_from(SOON).expect("an ACK");
    assert_eq!(from, house.site.at(5080), "answers come from the port that was asked");
    let sid: u64 = value(&ack, "sid").and_then(|sid| sid.parse().ok()).expect("a sid");
    assert_eq!(ack, format!("ACK: id=1234;sid={sid};code=ok;"));
    assert!(sid > 0);
    let a = house.phones.wait_call(USER1, "hears user2", SOON, |call| call.audio.heard_ms(1100) >= 500);
    house.phones.wait_call(USER2, "hears user1", SOON, |call| call.audio.heard_ms(700) >= 500);
    let response = server.hears(SOON);
    assert_eq!(response, format!("RESPONSE: id=1234;sid={sid};real_duration=2;"));
    let b = house.phones.calls_to(USER2).pop().expect("user2 was called");
    assert!(a.answered_us.expect("user1 answered") < b.invite_us, "user1 first");
    assert_eq!(b.ended_by, Some(Who::Phone));
    house.site.wait_idle(1, SOON);
    assert_eq!(server.asks(EXAMPLE), ack, "the same REQUEST hears the same ACK, also when all is over");
    house.site.wait_idle(1, SOON);
    assert_eq!(house.phones.calls_to(USER1).len(), 1, "and makes no second call");
}
