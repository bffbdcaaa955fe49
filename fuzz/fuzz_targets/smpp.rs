//! PDUs of a message centre and pickled PDUs of Jasmin, from the bytes to the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback_common::config::JasminConfig;
use ringback_trigger_sms::coding::text_of;
use ringback_trigger_sms::jasmin::routable;
use ringback_trigger_sms::smpp::Message;
use ringback_trigger_sms::smpp::pdu::{Heard, read};

fuzz_target!(|input: &[u8]| {
    // As it came, as a frame whose length is right, and as the body of a deliver_sm.
    let _ = read(input);
    let mut frame = input.to_vec();
    if let Some(length) = frame.get_mut(..4) {
        length.copy_from_slice(&u32::try_from(input.len()).unwrap_or(0).to_be_bytes());
        look(read(&frame).1);
    }
    let length = u32::try_from(16 + input.len()).unwrap_or(0);
    let deliver = [&[length, 5, 0, 7].map(u32::to_be_bytes).concat()[..], input].concat();
    let (sequence, heard) = read(&deliver);
    assert_eq!(sequence, 7);
    look(heard);
    if let Ok(message) = routable::read(input, JasminConfig::default().zone()) {
        check(&message);
    }
});

fn look(heard: Heard) {
    if let Heard::Deliver(message) = heard {
        check(&message);
    }
}

fn check(message: &Message) {
    if let Ok((piece, place)) = message.piece() {
        assert!(place.is_none_or(|place| place.number >= 1 && place.number <= place.total));
        assert!(piece.len() <= message.user_data.len());
        let _ = text_of(&[piece]);
    }
}
