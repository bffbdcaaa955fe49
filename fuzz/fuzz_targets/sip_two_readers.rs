//! Datagrams to our reader of SIP and to a second one, which must agree where both take the message.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../common/sip/tests/second_reader/mod.rs"]
mod second_reader;

fuzz_target!(|datagram: &[u8]| {
    if let Some(difference) = second_reader::differ(datagram) {
        panic!("{difference}");
    }
});
