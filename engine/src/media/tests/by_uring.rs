//! And again by io_uring, where the kernel allows it; else by epoll once more.

use super::*;

const KIND: Kind = Kind::Auto;

#[path = "address.rs"]
mod address;
#[path = "voice.rs"]
mod voice;
