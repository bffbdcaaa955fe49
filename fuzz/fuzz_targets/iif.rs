//! Datagrams of application servers to the reader and the judge of IIF, with and without a signature.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringback_common::config::{Config, Role};
use ringback_trigger_iif::judge::{Judgement, judge, wish_of};
use ringback_trigger_iif::message::{Message, ack};
use ringback_trigger_iif::peers::Setup;
use ringback_trigger_iif::signature::sign;

const NOW: u64 = 1_700_000_000;

/// One that signs nothing, one that does, and a strict one.
static SETUPS: LazyLock<[Setup; 3]> = LazyLock::new(|| {
    ["", "secret = 'key'\nrequire_time = false", "strict = true"].map(|more| {
        let text = format!("[iif]\naccount = 'alice'\n{more}");
        let config = Config::read(&text, "fuzz", std::path::Path::new("/"), Role::Trigger, []);
        Setup::new(&config.expect("settings that fit").iif)
    })
});

fuzz_target!(|input: &[u8]| {
    let from = "127.0.0.1:4000".parse().expect("an address");
    for setup in SETUPS.iter() {
        let judged = judge(setup, input, from, NOW);
        assert!(judged == judge(setup, input, from, NOW), "judged twice, judged alike");
        match judged.judgement {
            Judgement::Ask(asked) => {
                let (server, request) = *asked;
                assert!(request.id.chars().count() <= 31 && request.forwards.len() <= 3);
                let text = ack(server.dialect, &request.id, 1, true, None);
                let said = Message::read(sign(text, Some(&server.secret)).as_bytes(), true).expect("ours can be read");
                assert!(said.fault.is_none() && said.value("id") == Some(&request.id), "an id comes back as it came");
                assert!(wish_of(&server, request, from).reply.is_some_and(|note| note.len() <= 1_024));
            }
            Judgement::Refuse(refusal) => assert!(!refusal.code.is_empty() && refusal.id.len() <= 255),
            Judgement::Silence(why) => assert!(!why.is_empty()),
            Judgement::Release(_) => {}
        }
    }
});
