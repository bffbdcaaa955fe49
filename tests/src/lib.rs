//! Ringback from outside, against real peers: phones, proxies, brokers and databases that run as children of a test,
//! and the judge who reads what went over the wire.
//!
//! Nothing here shares code with the gateway: what the tests know of SIP, RTP and digest they know by themselves. Only the second reader
//! of SIP knows the gateway's, to hold it against somebody else's on every message that comes from the gateway.

pub mod anywhere;
pub mod baresip;
pub mod billing;
pub mod browser;
pub mod capture;
pub mod chaos;
pub mod clock;
pub mod crash;
pub mod disk;
pub mod email;
pub mod http;
pub mod iif;
pub mod judge;
pub mod kamailio;
pub mod missed;
pub mod net;
pub mod peers;
pub mod phone;
pub mod probe;
pub mod process;
pub mod providers;
#[path = "../../common/sip/tests/second_reader/mod.rs"]
mod second_reader;
pub mod sipp;
pub mod site;
pub mod sms;
pub mod story;
