//! INVITEs of missed calls to the readers of who calls, what is called and who diverted it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback_common::config::{CliSource, VerstatRule};
use ringback_common::number::Dialling;
use ringback_sip::uri::Uri;
use ringback_sip::{Reading, read};
use ringback_trigger_ani::{caller, cld};

/// What each of the settings believes.
const BELIEFS: [&[CliSource]; 3] = [
    &[CliSource::PAssertedIdentity, CliSource::RemotePartyId, CliSource::From],
    &[CliSource::From, CliSource::PAssertedIdentity],
    &[CliSource::RemotePartyId],
];

fuzz_target!(|input: &[u8]| {
    let Reading::Message(invite) = read(input) else { return };
    for sources in BELIEFS {
        let who = caller::read(&invite, sources);
        assert!(who == caller::read(&invite, sources), "read twice, read alike");
        if let Ok(number) = &who.number {
            assert!(number.len() <= input.len() && number.bytes().any(|b| b.is_ascii_digit()));
            let _ = ringback_common::number::read(number, &Dialling::default());
        }
        assert!(who.verstat.allows(VerstatRule::Ignore));
        assert!(!who.verstat.allows(VerstatRule::RequirePassed) || who.verstat.allows(VerstatRule::RefuseFailed));
    }
    let diverted = caller::diverted_from(&invite);
    assert!(diverted.len() <= 4 && diverted.iter().all(|number| number.len() <= input.len()));
    let called = Uri::parse(invite.request_uri()).and_then(|uri| uri.user).unwrap_or_default();
    if let Some(cld) = cld::read(called) {
        assert!(cld.string.len() <= 64 && called.ends_with(&cld.string));
        let _ = cld.application();
    }
});
