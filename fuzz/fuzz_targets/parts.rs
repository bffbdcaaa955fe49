//! Short messages, some of them parts, with lying headers, repeats and a clock that runs: what is joined is what was sent.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringback_trigger_sms::coding::{Piece, Raw, piece, text_of};
use ringback_trigger_sms::join::{End, Joiner, Key, MOST_PARTS};

fuzz_target!(|input: &[u8]| {
    let mut joiner: Joiner<usize> = Joiner::new(Duration::from_secs(60));
    let mut now = Duration::ZERO;
    let (mut given, mut answered) = (0, 0);
    let mut rest = input;
    while let [control, length, after @ ..] = rest {
        let (user_data, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        now += Duration::from_secs(u64::from(control >> 4));
        let data_coding = [0, 1, 3, 8, 0x10, 0xf5, 6, 0xe0][usize::from(control & 7)];
        let packed = control & 8 != 0;
        let raw = Raw { user_data, data_coding, has_header: !packed, packed };
        let Ok((piece, place)) = piece(raw) else { continue };
        let _ = text_of(std::slice::from_ref(&piece));
        let Some(place) = place else { continue };
        assert!(place.number > 0 && place.number <= place.total);
        let from = ["+44", "+49"][user_data.len() % 2];
        given += 1;
        let ends = joiner.add(Key::new("fuzz", from, "777", &place), place.number, piece, given, now);
        let mut whole = Vec::new();
        for end in ends {
            answered += told(&end, &mut whole);
        }
        for key in whole {
            if control & 1 == 0 {
                answered += joiner.settled(&key, now).len();
            }
        }
    }
    let mut whole = Vec::new();
    for end in joiner.expire(now + Duration::from_secs(61)) {
        answered += told(&end, &mut whole);
    }
    assert_eq!(given, answered, "every part is answered once");
    assert!(whole.is_empty() && joiner.poll_timeout().is_none());
    assert!(Piece::Text(String::new()).is_empty());
});

/// How many parts an end answers; whole texts' keys are kept.
fn told(end: &End<usize>, whole: &mut Vec<Key>) -> usize {
    match end {
        End::Whole { key, id, parts, .. } => {
            assert!(parts.len() >= usize::from(key.total) && key.total <= MOST_PARTS && id.len() == 32);
            whole.push(key.clone());
            parts.len()
        }
        End::Again { .. } => 1,
        End::Missing { parts, .. } | End::TooLong { parts, .. } => parts.len(),
    }
}
