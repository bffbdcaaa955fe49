//! The command statuses of SMPP 3.4 that we say or judge by.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// All is well.
pub const OK: u32 = 0x00;
/// No such command.
pub const BAD_COMMAND: u32 = 0x03;
/// The message centre's queue is full.
pub const QUEUE_FULL: u32 = 0x14;
/// Too many at a time.
pub const THROTTLED: u32 = 0x58;
/// Not now: repeat it later.
pub const TEMPORARY: u32 = 0x64;
/// Never: do not repeat it.
pub const PERMANENT: u32 = 0x65;

/// Whether a `submit_sm` with this answer may be tried again: it was not taken.
pub fn passes(status: u32) -> bool {
    matches!(status, QUEUE_FULL | THROTTLED)
}

/// What the operator may do about a refused bind.
pub fn hint(status: u32) -> &'static str {
    match status {
        0x05 => " (already bound: is another process using this system_id?)",
        0x0d => " (bind failed: system_id, password and address are to be checked)",
        0x0e => " (wrong password)",
        0x0f => " (unknown system_id)",
        0x53 => " (wrong system_type)",
        _ => "",
    }
}
