//! All of it by epoll.

use super::*;

const KIND: Kind = Kind::Epoll;

#[path = "address.rs"]
mod address;
#[path = "voice.rs"]
mod voice;
