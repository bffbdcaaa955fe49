//! Two real phones: baresip at both ends, each playing its tone, each recording what it hears.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ringback_tests::baresip::Baresip;
use ringback_tests::clock;
use ringback_tests::net;
use ringback_tests::site::{PIN, Part, Site};
use ringback_tests::sms;
use ringback_tests::story::{A, B, OPENING, SOON, secs};

/// The gateway between a baresip at A and one at B; the operator hangs up after both could hear each other.
fn talk(codec_a: &str, codec_b: &str) {
    let site = Site::small();
    let digits = |number: &str| number.trim_start_matches('+').to_owned();
    let a = Baresip::start(&digits(A), of_its_own(), 700, codec_a, site.folder()).expect("baresip starts");
    let b = Baresip::start(&digits(B), of_its_own(), 1100, codec_b, site.folder()).expect("baresip starts");
    site.account("alice", "10.00");
    site.trunk("a", &a.uri(), &digits(A)[..4]);
    site.trunk("b", &b.uri(), &digits(B)[..4]);
    let gateway = site.start(Part::All);
    let job = gateway.accepted("1", &sms::text("alice", PIN, A, B));
    clock::wait_for("both phones to be joined", SOON, || {
        (a.output().contains("Call established") && b.output().contains("Call established")).then_some(())
    });
    std::thread::sleep(secs(5)); // they talk; baresip writes its recording out when the call ends
    site.cli(&["request", "hangup", &job], "");
    site.wait_idle(1, SOON);
    for phone in [&a, &b] {
        clock::wait_for("the phone to be hung up on", secs(5), || phone.output().contains("terminated").then_some(()));
    }
    for (phone, hz) in [(&a, 1100), (&b, 700)] {
        clock::wait_for("three seconds of the other's tone", secs(5), || (phone.heard_ms(hz) >= 3000).then_some(()));
    }
    assert_eq!(a.heard_ms(700), 0, "A does not hear itself");
    assert_eq!(b.heard_ms(1100), 0, "B does not hear itself");
    site.probe().books_are_right("alice", OPENING);
    assert_eq!(site.probe().cdrs().len(), 2);
}

/// baresip sends its audio from 127.0.0.1 whatever it is told, and the gateway takes audio only from where the SDP says.
fn of_its_own() -> SocketAddr {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    SocketAddr::new(ip, net::free_port(ip).expect("a port is free"))
}

#[test]
fn two_baresips_hear_each_other() {
    talk("PCMU", "PCMU");
}

#[test]
fn two_baresips_with_different_codecs_hear_each_other() {
    talk("PCMU", "PCMA");
}
