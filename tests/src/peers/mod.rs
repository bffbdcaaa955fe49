//! The gateway's surroundings, each a private child process of the test.

pub mod postgres;
pub mod rabbit;
