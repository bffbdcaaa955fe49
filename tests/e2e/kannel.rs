//! Texts from a real Kannel and replies through it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use ringback_tests::peers::kannel::{Kannel, USER, USER_PASSWORD};
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{Part, Site};
use ringback_tests::story::{SOON, millis, secs};
use ringback_tests::{clock, http};

const A: &str = "+4412345678";
const B: &str = "+4498765432";
const PATH_SECRET: &str = "only-kannel-knows-this";
const MESSAGE: &str = "447700900001 777 text alice s3cret 004412345678 004498765432";

/// Answers one request as a gateway does whose store is away; Kannel repeats it.
fn not_now(at: SocketAddr) {
    let listener = TcpListener::bind(at).expect("the gateway's address is free");
    let (mut stream, _) = listener.accept().expect("Kannel asks");
    let _ = stream.read(&mut [0; 2_048]).expect("it says what");
    stream
        .write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .expect("it listens");
}

#[test]
fn a_text_through_kannel_places_the_call_and_the_replies_come_back() {
    let mut site = Site::small();
    let parameters = "from=%p&to=%P&text=%b&id=%I&coding=%c&charset=%C";
    let get_url = format!("http://{}/sms/kannel/{PATH_SECRET}?{parameters}", site.at(8081));
    let kannel = Kannel::start(site.folder(), &get_url);
    for (key, value) in [
        ("provider", "kannel"),
        ("path_secret", PATH_SECRET),
        ("account", USER),
        ("token", USER_PASSWORD),
        ("api_base", &kannel.api_base()),
    ] {
        site.set(&format!("sms.sources.kannel.{key}"), value);
    }
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, Manner::answers(millis(300)));
    phones.when(B, Manner::answers(millis(300)).hangs_up_after(secs(1)));
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let phone = kannel.phone("phone.log", &[MESSAGE]);
    not_now(site.at(8081));
    let _gateway = site.start(Part::All);
    phones.wait_call(B, "is hung up on", SOON, |call| call.ended_us.is_some());
    site.wait_idle(1, SOON);
    let shown = |words: &str| phone.output().contains(words);
    clock::wait_for("the final reply", SOON, || shown("text Your call lasted").then_some(()));
    assert!(shown("<777 +447700900001 text Your call"), "from our number: {}\n{}", phone.output(), kannel.tail());

    let forged =
        "?from=447700900001&to=777&text=alice+s3cret+004412345678+004498765432&id=forged&coding=0&charset=UTF-8";
    for path in ["/sms/kannel", "/sms/kannel/only-kannel-knows-thi"] {
        let answer = http::get(site.at(8081), &format!("{path}{forged}")).expect("it answers");
        assert_eq!(answer.status, 401, "{path}: {}", answer.body);
    }
    assert_eq!(site.probe().requests().len(), 1);
}
