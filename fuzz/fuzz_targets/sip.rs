//! Datagrams to the framing and to every end a message can come to. One input may hold several, with `SEAM` between them.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../common/sip/tests/torture/cases.rs"]
mod cases;
#[path = "../../common/sip/tests/torture/ends.rs"]
mod ends;
#[path = "../../common/sip/tests/torture/render.rs"]
mod render;

use ends::{Ends, reaction_to};

const SEAM: &[u8] = b"--8<--\r\n";

fuzz_target!(|input: &[u8]| {
    let mut ends = Ends::new();
    let mut rest = input;
    loop {
        let seam = rest.windows(SEAM.len()).position(|bytes| bytes == SEAM);
        let datagram = &rest[..seam.unwrap_or(rest.len())];
        reaction_to(datagram);
        ends.receive(datagram);
        let Some(seam) = seam else { break };
        rest = &rest[seam + SEAM.len()..];
    }
    ends.assert_small();
});
