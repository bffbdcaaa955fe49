//! How Ringback phones.
//!
//! Everything but [`net`] is pure: no socket, no clock, no task. An owner hands a [`Leg`] (an outgoing call) or an
//! [`IncomingCall`] its messages and the present [`Moment`], and empties `poll_transmit` and `poll_event` after every call.
//!
//! | Module | Story |
//! |---|---|
//! | [`frame`] | from a datagram to a message, with all the mending and refusing |
//! | [`leg`] | an outgoing call: INVITE, early dialogs, answer, CANCEL, forks, what survives a crash |
//! | [`incoming`] | an incoming call |
//! | `talk` | what an answered call is from either end: re-INVITE, BYE, session timer, requests of the peer |
//! | `digest` | answers to the trunk's challenges |
//! | [`ping`] | is that trunk alive |
//! | [`g711`], [`tone`] | how voice is written, and the tones that are played |
//! | `linger` | the ACKs of calls that have ended |
//! | [`net`] | the only file with sockets |

mod dialog;
pub mod digest;
pub mod frame;
pub mod g711;
pub mod identity;
pub mod incoming;
pub mod invite;
pub mod leg;
mod linger;
mod moment;
pub mod net;
pub mod ping;
pub mod stray;
mod talk;
pub mod tone;
mod transaction;
pub mod transmit;
pub mod uri;
mod write;

pub use digest::Credentials;
pub use frame::{Message, Method, Name, Reading, read};
pub use identity::Identity;
pub use incoming::IncomingCall;
pub use invite::{Caller, Invite, LegSetup, Target};
pub use leg::{Leg, LegState};
pub use moment::Moment;
pub use net::{Arrival, Endpoint, EndpointError, Line, Orphan};
pub use ping::{Ping, Pong};
pub use transmit::{FinalResponse, LegEvent, OverCause, Reason, Transmit};
