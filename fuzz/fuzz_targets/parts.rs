//! Short messages, some of them parts, with lying headers, repeats and conflicts: what is joined was sent as one text.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use ringback_common::store::LongText;
use ringback_trigger_sms::coding::{Piece, Raw, piece, text_of};
use ringback_trigger_sms::join::{End, Joiner, is_too_long, text_at};

/// What the parts of a text say that came since the last one that contradicts another.
type Sent = HashMap<u8, (Vec<u8>, Piece)>;

fuzz_target!(|input: &[u8]| {
    let mut joiner = Joiner::default();
    let mut sent: HashMap<LongText, Sent> = HashMap::new();
    let mut rest = input;
    while let [control, length, after @ ..] = rest {
        let (user_data, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        let data_coding = [0, 1, 3, 8, 0x10, 0xf5, 6, 0xe0][usize::from(control & 7)];
        let packed = control & 8 != 0;
        let raw = Raw { user_data, data_coding, has_header: !packed, packed };
        let Ok((piece, place)) = piece(raw) else { continue };
        let _ = text_of(std::slice::from_ref(&piece));
        let Some(place) = place else { continue };
        assert!(place.number > 0 && place.number <= place.total);
        let text = text_at("fuzz", ["+44", "+49"][user_data.len() % 2], "777", &place);
        let of_this = sent.entry(text.clone()).or_default();
        if of_this.get(&place.number).is_some_and(|(other, _)| other != user_data) {
            of_this.clear();
        }
        of_this.entry(place.number).or_insert((user_data.to_vec(), piece.clone()));
        match joiner.add(text, place.number, user_data, piece) {
            End::Waits | End::Past => {}
            End::TooLong => assert!(is_too_long(place.total, user_data.len())),
            End::Whole(said) => {
                let numbers = 1..=place.total;
                let pieces: Vec<Piece> = numbers.map(|number| of_this[&number].1.clone()).collect();
                assert!(said == text_of(&pieces), "a text that nobody sent");
            }
        }
    }
});
