//! SMPP 3.4: texts from message centres, and replies through them. We bind to them (ESME), as often as the settings say.
//!
//! `link` keeps a bind up. `session` is one connection. `inbox` says what becomes of a text. [`pdu`] reads, [`write`] writes.
//!
//! The types and their bytes are rusmpp's. The session is ours and not rusmppc's: that one writes every PDU, with the PINs in it,
//! to the log, queues what comes without a limit, and ends the session at a PDU that it cannot read, which the message centre then
//! repeats for ever.

mod inbox;
mod link;
pub mod pdu;
mod repeats;
mod session;
mod status;
mod wire;
mod write;

pub use crate::text::Message;
pub use link::Binds;
