//! All of it by epoll.

use super::*;

const KIND: Kind = Kind::Epoll;

// the same cases on two wires
#[allow(clippy::duplicate_mod)]
#[path = "address.rs"]
mod address;
#[allow(clippy::duplicate_mod)]
#[path = "voice.rs"]
mod voice;
