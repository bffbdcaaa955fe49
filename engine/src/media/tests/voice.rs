//! What is heard: bridge, transcoding, early media, tones, keys, silence, the gate.

use super::*;

#[test]
fn two_phones_hear_each_other() {
    let bench = Bench::new(KIND, 1);
    let ((a, mut alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    a.bridge(&b).expect("one call");
    alice.speak(440, 50);
    bob.speak(660, 50);
    let (at_bob, at_alice) = (bob.hear(50), alice.hear(50));
    assert_eq!((at_bob.len(), at_alice.len()), (50, 50));
    assert!(tone_heard(&samples(&at_bob), 440) && !tone_heard(&samples(&at_bob), 660));
    assert!(tone_heard(&samples(&at_alice), 660) && !tone_heard(&samples(&at_alice), 440));
    assert!(is_unbroken(&at_bob) && is_unbroken(&at_alice));
    assert_ne!(at_bob[0].header.ssrc, alice.ssrc, "each leg has an SSRC of its own");
}

#[test]
fn different_codecs_are_translated() {
    let bench = Bench::new(KIND, 2);
    let ((a, mut alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcma));
    b.bridge(&a).expect("one call");
    alice.speak(440, 50);
    bob.speak(660, 50);
    let (at_bob, at_alice) = (bob.hear(50), alice.hear(50));
    assert!(at_bob.iter().all(|packet| packet.header.payload_type == 8 && packet.payload.len() == 160));
    assert!(at_alice.iter().all(|packet| packet.header.payload_type == 0));
    assert!(tone_heard(&samples(&at_bob), 440) && tone_heard(&samples(&at_alice), 660));
}

#[test]
fn ring_back_then_early_media_then_talk_is_one_stream() {
    let bench = Bench::new(KIND, 3);
    let ((a, mut alice), (b, mut bob)) = (bench.connected(2, Codec::Pcma), bench.connected(3, Codec::Pcmu));
    a.play(Sound::ringback("")).expect("told");
    let mut stream = alice.hear(20);
    assert!(tone_heard(&samples(&stream), 425), "ring-back");
    a.relay_one_way(&b).expect("one call");
    bob.speak(660, 30);
    let early = alice.hear(40);
    let spoken: Vec<&Heard> = early.iter().skip_while(|packet| !packet.header.marker).collect();
    assert!(spoken.len() >= 30 - 10, "the tone gives way to the first packet");
    stream.extend(early);
    alice.speak(440, 5);
    bench.received(35);
    a.bridge(&b).expect("one call");
    alice.speak(440, 10);
    let at_bob = bob.hear(10);
    assert!(tone_heard(&samples(&at_bob), 440));
    assert_eq!(bob.leftovers(), 0, "what A said before the bridge never reached B");
    bob.speak(660, 30);
    stream.extend(alice.hear(stream_rest(&stream, 80)));
    assert!(is_unbroken(&stream), "one SSRC, no gap, from the first tone to the talk");
    assert!(tone_heard(&samples(&stream[stream.len() - 25..]), 660));
}

/// How many packets are still to come of so many.
fn stream_rest(stream: &[Heard], all: usize) -> usize {
    all - stream.len()
}

#[test]
fn a_tone_is_heard_at_its_pace_and_stops() {
    let mut bench = Bench::new(KIND, 4);
    let (a, alice) = bench.connected(2, Codec::Pcmu);
    a.play(Sound::tone(1_000)).expect("told");
    let begun = std::time::Instant::now();
    let heard = alice.hear(26);
    let took = begun.elapsed();
    assert!(tone_heard(&samples(&heard), 1_000) && is_unbroken(&heard));
    assert!(heard[1..].iter().all(|packet| !packet.header.marker) && heard[0].header.marker);
    assert!(took >= Duration::from_millis(480), "25 frames of 20 ms came in {took:?}");
    a.play(Sound::pcm(tone(&[425], 1_600).into())).expect("told");
    bench.until(|what| (*what == What::SoundEnded).then_some(()));
    let counters = bench.close(a);
    assert!(counters.packets_out >= 36, "{counters:?}");
}

#[test]
fn a_sound_in_the_middle_of_a_talk_goes_first() {
    let mut bench = Bench::new(KIND, 5);
    let ((a, alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    a.bridge(&b).expect("one call");
    bob.speak(660, 10);
    let mut stream = alice.hear(10);
    a.play(Sound::pcm(tone(&[1_000], 3_200).into())).expect("told");
    bob.speak(660, 10); // not heard
    bench.until(|what| (*what == What::SoundEnded).then_some(()));
    bob.speak(660, 20);
    stream.extend(alice.hear(40));
    assert!(is_unbroken(&stream));
    assert!(tone_heard(&samples(&stream[10..30]), 1_000) && tone_heard(&samples(&stream[30..]), 660));
}

#[test]
fn keys_are_told_and_passed_on_under_the_other_number() {
    let mut bench = Bench::new(KIND, 6);
    let ((a, mut alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    bob.dtmf = 96;
    b.connect(terms(&bob)).expect("allowed");
    a.bridge(&b).expect("one call");
    alice.speak(440, 2);
    alice.press(5);
    alice.speak(440, 2);
    let digit = bench.until(|what| if let What::Digit { digit, ms } = what { Some((*digit, *ms)) } else { None });
    assert_eq!(digit, ('5', 80));
    let heard = bob.hear(10);
    assert!(is_unbroken(&heard));
    let types: Vec<u8> = heard.iter().map(|packet| packet.header.payload_type).collect();
    assert_eq!(types, [0, 0, 96, 96, 96, 96, 96, 96, 0, 0]);
    assert!(
        heard[2..8].iter().all(|packet| packet.header.timestamp == heard[2].header.timestamp && packet.payload[0] == 5)
    );
}

#[test]
fn keys_for_a_phone_that_takes_none_leave_no_gap() {
    let bench = Bench::new(KIND, 7);
    let ((a, mut alice), (b, bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    b.connect(Negotiated { dtmf_pt: None, dtmf_pt_in: None, ..terms(&bob) }).expect("allowed");
    a.bridge(&b).expect("one call");
    alice.speak(440, 2);
    alice.press(5);
    alice.speak(440, 2);
    let heard = bob.hear(4);
    assert!(is_unbroken(&heard) && heard.iter().all(|packet| packet.header.payload_type == 0));
}

#[test]
fn no_digit_is_lost_when_nobody_listens_for_a_while() {
    let mut bench = Bench::new(KIND, 8);
    let (events, inbox) = mpsc::channel(1);
    (bench.events, bench.inbox) = (events, inbox);
    let (_leg, mut alice) = bench.connected(2, Codec::Pcmu);
    for (code, pressed) in (0..10).cycle().zip(1..=60) {
        alice.press(code);
        bench.received(6 * pressed);
    }
    let mut digits = String::new();
    while digits.len() < 60 {
        digits.push(bench.until(|what| if let What::Digit { digit, .. } = what { Some(*digit) } else { None }));
    }
    assert_eq!(digits, "0123456789".repeat(6));
}

#[test]
fn rtp_18_silence_is_told_once_and_not_on_hold() {
    let mut bench = Bench::with_timeout(KIND, 9, Duration::from_millis(200));
    let (a, mut alice) = bench.connected(2, Codec::Pcmu);
    alice.speak(440, 3);
    bench.until(|what| (*what == What::Silent).then_some(()));
    alice.speak(440, 3);
    bench.until(|what| (*what == What::Silent).then_some(()));
    // held by us, then by the peer: no news of silence; the marker that it was not told is the end of a longer sound
    for held in [true, false] {
        a.hold(held).expect("told");
        let direction = if held { Direction::SendRecv } else { Direction::SendOnly };
        a.connect(Negotiated { direction, ..terms(&alice) }).expect("allowed");
        a.play(Sound::pcm(tone(&[425], 4_800).into())).expect("told");
        let first = bench.until(|what| matches!(what, What::Silent | What::SoundEnded).then(|| what.clone()));
        assert_eq!(first, What::SoundEnded, "held: {held}");
    }
}

#[test]
fn a_shut_gate_stops_everything_and_the_deadline_shuts_it() {
    let mut bench = Bench::new(KIND, 10);
    let ((a, mut alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    a.bridge(&b).expect("one call");
    alice.speak(440, 5);
    assert_eq!(bob.hear(5).len(), 5);
    bench.gate.open_until(crate::gate::boot_ms()); // a deadline that has come
    alice.speak(440, 50);
    bob.press(1);
    bench.until(|what| matches!(what, What::Digit { .. }).then_some(()));
    assert_eq!(bob.leftovers(), 0);
    b.play(Sound::pcm(tone(&[425], 800).into())).expect("told");
    bench.until(|what| (*what == What::SoundEnded).then_some(()));
    assert_eq!(bob.leftovers(), 0, "tones neither");
    bench.gate.open_until(u64::MAX);
    alice.speak(440, 5);
    assert_eq!(bob.hear(5).len(), 5);
    assert!(bench.close(b).withheld >= 50);
}

#[test]
fn hold_stops_what_is_sent_and_its_end_lets_it_flow_again() {
    let bench = Bench::new(KIND, 11);
    let ((a, mut alice), (b, mut bob)) = (bench.connected(2, Codec::Pcmu), bench.connected(3, Codec::Pcmu));
    a.bridge(&b).expect("one call");
    // B's re-INVITE says sendonly: we only receive
    b.connect(Negotiated { direction: Direction::RecvOnly, ..terms(&bob) }).expect("allowed");
    alice.speak(440, 5);
    bob.speak(660, 5);
    assert_eq!(alice.hear(5).len(), 5, "music on hold is heard");
    b.connect(terms(&bob)).expect("allowed");
    alice.speak(440, 5);
    assert_eq!(bob.hear(5).len(), 5);
    assert_eq!(bob.leftovers(), 0, "nothing of what was said during the hold");
}

#[test]
fn commands_of_another_epoch_hit_nothing() {
    let bench = Bench::new(KIND, 12);
    let (a, alice) = bench.connected(2, Codec::Pcmu);
    let stranger = CallKey { epoch: KEY.epoch + 1, ..KEY };
    bench.media.inner.crew.tell(stranger, Command::Play(stranger, a.id(), Sound::tone(425))).expect("room");
    bench.media.inner.crew.tell(stranger, Command::Close(stranger, a.id())).expect("room");
    assert_eq!(alice.leftovers(), 0);
    a.play(Sound::tone(440)).expect("told");
    assert_eq!(alice.hear(3).len(), 3, "still there");
    let other = bench.media.open(stranger, &bench.events).expect("a leg");
    assert!(matches!(a.bridge(&other), Err(MediaError::NotOneCall)));
}

#[test]
fn a_lost_leg_is_taken_up_on_its_own_port() {
    let mut bench = Bench::new(KIND, 13);
    let leg = bench.leg();
    let port = leg.local().port();
    assert!(matches!(bench.media.open_port(port, KEY, &bench.events), Err(MediaError::PortTaken(_))));
    bench.close(leg);
    let again = bench.media.open_port(port, KEY, &bench.events).expect("free again");
    assert_eq!(again.local().port(), port);
    assert!(matches!(bench.media.open_port(1_234, KEY, &bench.events), Err(MediaError::PortTaken(1_234))));
}

#[test]
fn the_last_one_out_ends_the_threads() {
    let bench = Bench::new(KIND, 14);
    let (a, mut alice) = bench.connected(2, Codec::Pcmu);
    let Bench { media, events, mut inbox, .. } = bench;
    drop((media, events));
    alice.speak(440, 1);
    assert!(
        matches!(inbox.blocking_recv().expect("alive").what, What::FirstPacket | What::Latched(_)),
        "a leg keeps them alive"
    );
    drop(a);
    while inbox.blocking_recv().is_some() {} // ends when nobody holds the other end any more
}
