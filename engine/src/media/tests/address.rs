//! Whose packets count: attacks by RTP, on real sockets. Attackers sit on 127.88.<test>.99.

use super::*;

const ATTACKER: u8 = 99;

/// Two phones in a talk, and an attacker.
struct Talk {
    bench: Bench,
    a: LegMedia,
    alice: Phone,
    b: LegMedia,
    bob: Phone,
    mallory: Phone,
}

fn talk(net: u8) -> Talk {
    let bench = Bench::new(KIND, net);
    let ((a, alice), (b, bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    a.bridge(&b).expect("one call");
    let mallory = Phone::new(host(bench.net, ATTACKER), a.local(), Codec::Pcmu);
    Talk { bench, a, alice, b, bob, mallory }
}

#[test]
fn rtp_01_rtpbleed_classic() {
    let Talk { mut bench, a, mut alice, b, bob, mut mallory } = talk(20);
    for _ in 0..50 {
        alice.speak(440, 1);
        for port in (20_000..=20_099).step_by(2) {
            mallory.to.set_port(port);
            (0..4).for_each(|_| mallory.send(0, &[0x55; 160]));
        }
    }
    let heard = bob.hear(50);
    assert_eq!(heard.len(), 50, "no packet of the talk is lost");
    assert!(is_unbroken(&heard) && tone_heard(&samples(&heard), 440));
    assert_eq!(mallory.leftovers(), 0);
    assert!(bench.close(a).dropped_source > 0 && bench.close(b).dropped_source > 0);
}

#[test]
fn rtp_02_race_before_the_first_packet() {
    let bench = Bench::new(KIND, 21);
    let ((a, mut alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    a.connect(Negotiated { nat: true, ..terms(&alice) }).expect("allowed");
    let mut mallory = Phone::new(host(bench.net, ATTACKER), a.local(), Codec::Pcmu);
    a.bridge(&b).expect("one call");
    mallory.speak(1_000, 100);
    bob.speak(660, 20);
    assert_eq!(alice.hear(20).len(), 20, "media goes to the SDP's address from the first packet on");
    alice.speak(440, 20);
    let heard = bob.hear(20);
    assert!(heard.len() == 20 && tone_heard(&samples(&heard), 440), "and only the peer is heard");
    assert_eq!(mallory.leftovers(), 0);
}

#[test]
fn rtp_03_nat_mode_learns_the_port() {
    let mut bench = Bench::new(KIND, 22);
    let ((a, alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    a.connect(Negotiated { nat: true, ..terms(&alice) }).expect("allowed");
    a.bridge(&b).expect("one call");
    let mut behind = alice.moved();
    behind.speak(440, 3);
    bob.speak(660, 1);
    assert_eq!(alice.hear(1).len(), 1, "after three packets nothing is learned yet");
    behind.speak(440, 1);
    let latched = bench.until(|what| {
        if let What::Latched(address) = what { (*address == behind.address()).then_some(*address) } else { None }
    });
    assert_eq!(latched, behind.address());
    bob.speak(660, 5);
    assert_eq!(behind.hear(5).len(), 5);
    assert_eq!(alice.leftovers(), 0);
}

#[test]
fn rtp_04_nat_mode_ignores_other_hosts() {
    let bench = Bench::new(KIND, 23);
    let ((a, alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    a.connect(Negotiated { nat: true, ..terms(&alice) }).expect("allowed");
    a.bridge(&b).expect("one call");
    let mut mallory = Phone::new(host(bench.net, ATTACKER), a.local(), Codec::Pcmu);
    let mut behind = alice.moved();
    for _ in 0..10 {
        mallory.speak(1_000, 100);
        behind.speak(440, 1);
    }
    bob.hear(7); // from the fourth on
    behind.speak(440, 10);
    let heard = bob.hear(10);
    assert!(heard.len() == 10 && tone_heard(&samples(&heard), 440));
    bob.speak(660, 5);
    assert_eq!(behind.hear(5).len(), 5);
    assert_eq!(mallory.leftovers(), 0);
}

#[test]
fn rtp_05_a_peer_that_moves_in_the_middle_is_not_followed() {
    let Talk { mut bench, a, mut alice, b: _b, mut bob, .. } = talk(24);
    alice.speak(440, 5);
    assert_eq!(bob.hear(5).len(), 5);
    let mut elsewhere = alice.moved();
    elsewhere.speak(440, 20);
    bob.speak(660, 5);
    assert_eq!(alice.hear(5).len(), 5, "media stays where it was");
    assert_eq!((bob.leftovers(), elsewhere.leftovers()), (0, 0));
    assert_eq!(bench.close(a).dropped_source, 20);
}

#[test]
fn rtp_06_another_ssrc_from_the_right_address_is_told_and_smoothed() {
    let Talk { mut bench, a, mut alice, b: _b, bob, .. } = talk(25);
    alice.speak(440, 10);
    (alice.ssrc, alice.sequence, alice.timestamp) = (alice.ssrc.wrapping_add(1), 9, 9);
    alice.speak(440, 10);
    let heard = bob.hear(20);
    assert!(heard.len() == 20 && is_unbroken(&heard));
    bench.until(|what| (*what == What::SsrcChanged).then_some(()));
    assert_eq!(bench.close(a).ssrc_changes, 1);
}

#[test]
fn rtp_07_packets_after_the_end_reach_nobody() {
    let Talk { mut bench, a, mut alice, b, bob, .. } = talk(26);
    alice.speak(440, 1);
    assert_eq!(bob.hear(1).len(), 1);
    let port = a.local().port();
    bench.close(a);
    bench.close(b);
    // the port rests; nobody else gets it though all others are taken
    let others: Vec<LegMedia> = std::iter::from_fn(|| bench.media.open(KEY, &bench.events).ok()).collect();
    assert_eq!(others.len(), 48);
    assert!(others.iter().all(|leg| leg.local().port() != port));
    let _ = alice.socket.send_to(&[0x80; 172], alice.to); // may be refused by ICMP
    assert_eq!(bob.leftovers(), 0);
}

#[test]
fn rtp_08_the_old_calls_stream_is_not_heard_in_the_new_one() {
    let Talk { mut bench, a, mut alice, b, bob, .. } = talk(27);
    alice.speak(440, 5);
    assert_eq!(bob.hear(5).len(), 5);
    let stale = leg::Stale { from: alice.address(), ssrc: alice.ssrc };
    bench.close(a);
    // the same port for the next call, whose peer has the very same address
    let mut lease = bench.media.inner.ports.take_exactly(alice.to.port()).expect("free");
    lease.stale = Some(stale);
    let socket = bench.media.bind(&lease).expect("free");
    let next = bench.media.seat(KEY, &bench.events, socket, lease).expect("a leg");
    next.connect(terms(&alice)).expect("allowed");
    next.bridge(&b).expect("one call");
    alice.speak(440, 20);
    alice.ssrc = alice.ssrc.wrapping_add(1);
    alice.speak(660, 20);
    let heard = bob.hear(20);
    assert!(tone_heard(&samples(&heard), 660) && !tone_heard(&samples(&heard), 440));
    assert_eq!(bob.leftovers(), 0);
    assert_eq!(bench.close(next).dropped_source, 20);
}

#[test]
fn rtp_08_a_stream_from_another_address_is_not_heard_either() {
    let Talk { mut bench, a, alice: mut old, b: _b, .. } = talk(28);
    old.speak(440, 1);
    bench.close(a);
    let next = bench.media.open_port(old.to.port(), KEY, &bench.events).expect("free");
    let newcomer = Phone::new(host(bench.net, 4), next.local(), Codec::Pcmu);
    next.connect(terms(&newcomer)).expect("allowed");
    next.play(Sound::tone(425)).expect("told");
    old.speak(440, 20);
    assert_eq!(newcomer.hear(5).len(), 5);
    assert_eq!(bench.close(next).dropped_source, 20);
}

#[test]
fn rtp_09_payload_types_nobody_agreed_on() {
    let Talk { mut bench, a, mut alice, b: _b, bob, .. } = talk(29);
    for payload_type in [127, 18, 8, 13] {
        alice.send(payload_type, &[0; 160]);
    }
    alice.speak(440, 1);
    assert_eq!(bob.hear(1).len(), 1);
    assert_eq!(bob.leftovers(), 0);
    assert_eq!(bench.close(a).dropped_pt, 4);
}

#[test]
fn rtp_10_and_11_nonsense_from_the_right_address() {
    let Talk { mut bench, a, mut alice, b: _b, bob, .. } = talk(30);
    let good = packet::tests::packet(0, 1, 2, 3, &[0; 160]);
    let mut sent = 0;
    let mut send = |datagram: &[u8]| {
        alice.send_raw(datagram);
        sent += 1;
    };
    for length in 0..12 {
        send(&good[..length]);
    }
    for first in [0x00, 0x40, 0xC0] {
        send(&[&[first], &good[1..]].concat());
    }
    send(&[&[0x8F], &good[1..12]].concat());
    send(&[&[0x90], &good[1..12], &[0, 0, 0xFF, 0xFF]].concat());
    send(&[&[0xA0], &good[1..12], &[255]].concat());
    send(&good[..12]); // no voice in it
    alice.speak(440, 1);
    assert_eq!(bob.hear(1).len(), 1);
    assert_eq!(bob.leftovers(), 0);
    assert_eq!(bench.close(a).dropped_malformed, sent);
}

#[test]
fn rtp_12_oversized_packets() {
    let Talk { mut bench, a, mut alice, b: _b, bob, .. } = talk(31);
    for length in [481, 1_488, 1_489, 9_000, 65_495] {
        alice.send(0, &vec![0; length]);
    }
    alice.send(0, &[0; 480]); // three times the usual is still taken
    alice.speak(440, 1);
    assert_eq!(bob.hear(2).len(), 2);
    assert_eq!(bob.leftovers(), 0);
    assert_eq!(bench.close(a).dropped_malformed, 5);
}

/// RTCP: a BYE, a sender report, and some that lie about their length.
fn rtcp() -> Vec<Vec<u8>> {
    let with = |head: [u8; 4], length: usize| [&head[..], &vec![0xFF; length]].concat();
    vec![
        with([0x81, 203, 0, 1], 4),
        with([0x80, 200, 0, 6], 24),
        with([0x9F, 200, 0xFF, 0xFF], 8),
        with([0x81, 202, 0, 200], 4),
        with([0xBF, 207, 0xFF, 0xFF], 1_400),
        with([0x81, 203, 0, 0], 0),
    ]
}

#[test]
fn rtp_13_rtcp_bye_from_an_attacker() {
    let Talk { mut bench, a, mut alice, b: _b, bob, mallory } = talk(32);
    let port = SocketAddr::new(a.local().ip(), a.local().port() + 1);
    for datagram in rtcp() {
        let _ = mallory.socket.send_to(&datagram, port); // nobody listens there
        mallory.send_raw(&datagram);
    }
    alice.speak(440, 10);
    assert_eq!(bob.hear(10).len(), 10);
    assert_eq!(bench.close(a).packets_in, 10);
}

#[test]
fn rtp_14_malformed_rtcp_from_the_peer_itself() {
    let Talk { mut bench, a, mut alice, b: _b, bob, .. } = talk(33);
    for datagram in rtcp() {
        alice.send_raw(&datagram);
    }
    alice.speak(440, 10);
    assert_eq!(bob.hear(10).len(), 10);
    assert_eq!(bob.leftovers(), 0);
    assert_eq!(bench.close(a).dropped_malformed, 6);
}

#[test]
fn rtp_15_rtcp_is_never_answered() {
    let Talk { a: _a, mut alice, b: _b, bob, mallory, bench: _bench } = talk(34);
    for datagram in rtcp() {
        mallory.send_raw(&datagram);
        alice.send_raw(&datagram);
    }
    alice.speak(440, 1);
    assert_eq!(bob.hear(1).len(), 1);
    assert_eq!((mallory.leftovers(), alice.leftovers()), (0, 0));
}

#[test]
fn rtp_16_keys_from_elsewhere_are_no_keys() {
    let Talk { mut bench, a, mut alice, b: _b, mut mallory, .. } = talk(35);
    alice.press(1);
    mallory.ssrc = alice.ssrc;
    mallory.press(9);
    alice.press(2);
    let mut digit = || bench.until(|what| if let What::Digit { digit, .. } = what { Some(*digit) } else { None });
    assert_eq!((digit(), digit()), ('1', '2'));
    assert_eq!(bench.close(a).dropped_source, 6);
}

#[test]
fn rtp_19_media_is_never_sent_where_it_must_not_go() {
    let bench = Bench::new(KIND, 36);
    let (a, alice) = bench.connected(2, Codec::Pcmu);
    let own_port = bench.leg().local();
    for remote in [
        "0.0.0.0:4000",
        "169.254.169.254:4000",
        "224.0.0.1:4000",
        "255.255.255.255:4000",
        "127.0.0.1:53",
        &own_port.to_string(),
    ] {
        let remote = remote.parse().expect("address");
        let refused = a.connect(Negotiated { remote, ..terms(&alice) });
        assert!(matches!(refused, Err(MediaError::Forbidden(_))), "{remote}");
    }
}
