//! `[retention]`: how long what is kept is kept.

use chrono::TimeDelta;
use serde::Deserialize;

/// `[retention]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Days that finished requests stay, with their INVITEs and dialogs.
    pub requests_days: u32,
    /// Days that CDRs stay.
    pub cdrs_days: u32,
    /// Days after which a CDR that is kept longer loses the end of its numbers.
    pub cdr_numbers_days: u32,
    /// Days that a published event stays in the outbox.
    pub outbox_days: u32,
    /// Days that refusals stay in an account's history.
    pub refusals_days: u32,
    /// Days after which nobody remembers that a reply was sent.
    pub replies_days: u32,
    /// Hours after which a finished request loses what its message brought: the way back to its sender, and metadata.
    pub message_hours: u32,
}

impl Default for RetentionConfig {
    fn default() -> RetentionConfig {
        RetentionConfig {
            requests_days: 90,
            cdrs_days: 90,
            cdr_numbers_days: 180,
            outbox_days: 7,
            refusals_days: 30,
            replies_days: 90,
            message_hours: 24,
        }
    }
}

impl RetentionConfig {
    /// So many days.
    pub(crate) fn days(days: u32) -> TimeDelta {
        TimeDelta::days(days.into())
    }
}
