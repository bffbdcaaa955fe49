//! Stories of calls on a pretend clock: one end scripted, or two real ends with a bad network between them.
#![allow(clippy::unwrap_used)]

mod after_a_crash;
mod answering;
mod calling;
mod digest;
mod hanging_up;
#[path = "../second_reader/mod.rs"]
mod second_reader;
mod talking;
mod two_ends;
mod world;
