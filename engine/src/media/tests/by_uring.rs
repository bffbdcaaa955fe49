//! And again by io_uring, where the kernel allows it; else by epoll once more.

use super::*;

const KIND: Kind = Kind::Auto;

// the same cases on two wires
#[allow(clippy::duplicate_mod)]
#[path = "address.rs"]
mod address;
#[allow(clippy::duplicate_mod)]
#[path = "voice.rs"]
mod voice;
