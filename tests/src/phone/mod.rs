//! Phones for tests: plain sockets and a small SIP of their own, so that they judge the gateway instead of sharing its mistakes.

mod bank;
mod digest;
mod exchange;
mod log;
mod manner;
mod media;
pub mod sound;
#[cfg(test)]
mod tests;
pub mod wire;

pub use bank::Bank;
pub use digest::{Algorithm, Challenge};
pub use exchange::{Report, Who};
pub use log::{Entry, Log};
pub use manner::Manner;
pub use media::{Audio, Source};
