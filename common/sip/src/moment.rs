//! Time as the deciding code sees it: milliseconds since a zero of the owner's choosing.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the owner's own zero. Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// This moment and so many milliseconds more.
    pub const fn plus_ms(self, ms: u64) -> Moment {
        Moment(self.0.saturating_add(ms))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, later: Duration) -> Moment {
        self.plus_ms(u64::try_from(later.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The earliest of several deadlines, some of which may not be running.
pub(crate) fn earliest(deadlines: impl IntoIterator<Item = Option<Moment>>) -> Option<Moment> {
    deadlines.into_iter().flatten().min()
}
