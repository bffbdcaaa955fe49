//! Descriptions of the other side, as an answer to our offer and as an offer.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use ringback_engine::media::{Home, Negotiated};
use ringback_engine::sdp::{LocalSdp, Policy};

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THEIRS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let home = Home { ip: OURS, ports: 20_000..=29_999 };
    let policy = Policy { home: &home, signalling_ip: THEIRS, nat: true };
    let mut ours = LocalSdp::offer(SocketAddr::new(OURS, 20_000), 7);
    if let Ok(agreed) = ours.read_answer(&text, &policy) {
        check(&agreed, &home);
    }
    if let Ok(agreed) = ours.answer(&text, &policy) {
        check(&agreed, &home);
        assert!(ours.text().len() <= 8_192, "our answer stays small");
        assert_eq!(LocalSdp::restore(ours.text()).expect("our own words can be read").text(), ours.text());
        let said = ours.text().to_owned();
        assert_eq!(ours.answer(&text, &policy).as_ref(), Ok(&agreed), "the same offer is answered the same");
        assert_eq!(ours.text(), said, "and nothing new is said");
    }
});

/// Media goes only where it may.
fn check(agreed: &Negotiated, home: &Home) {
    assert!(home.allows(agreed.remote).is_ok() || !agreed.direction.sends(), "{agreed:?}");
    assert!(agreed.dtmf_pt.is_none_or(|payload_type| payload_type < 128));
}
