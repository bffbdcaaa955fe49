//! A call's time, and up to when it is known alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringback_sip::Moment;
use tokio::time::Instant;

/// Milliseconds since the call began, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct CallClock {
    zero: Instant,
}

impl CallClock {
    /// A clock that shows `moment` now.
    pub fn showing(moment: Moment) -> CallClock {
        CallClock { zero: Instant::now().checked_sub(Duration::from_millis(moment.0)).unwrap_or_else(Instant::now) }
    }

    /// The moment it is.
    pub fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    /// The moment of an instant.
    pub fn moment(&self, at: Instant) -> Moment {
        Moment(u64::try_from(at.saturating_duration_since(self.zero).as_millis()).unwrap_or(u64::MAX))
    }

    /// When a moment comes.
    pub fn instant(&self, at: Moment) -> Instant {
        self.zero + Duration::from_millis(at.0)
    }
}

/// Up to when a call is known alive: what is written down each second, and charged up to after a crash. It stands still once the
/// parties have hung up, written down or not, and while nobody knows whether they are still there.
#[derive(Clone, Debug)]
pub struct Pulse {
    clock: CallClock,
    still_at: Arc<AtomicU64>,
}

impl Pulse {
    /// One that goes on with the clock.
    pub fn of(clock: CallClock) -> Pulse {
        Pulse { clock, still_at: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    /// It stands still at this moment, or goes on.
    pub fn stands_still_at(&self, moment: Option<Moment>) {
        self.still_at.store(moment.map_or(u64::MAX, |at| at.0), Ordering::Relaxed);
    }

    /// The last moment at which the call is known alive.
    pub fn alive(&self) -> Moment {
        self.clock.now().min(Moment(self.still_at.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_hung_up_is_alive_no_longer_however_late_that_is_written_down() {
        let pulse = Pulse::of(CallClock::showing(Moment(74_000)));
        assert!(pulse.alive() >= Moment(74_000));
        pulse.stands_still_at(Some(Moment(12_000)));
        assert_eq!(pulse.alive(), Moment(12_000));
        pulse.stands_still_at(None);
        assert!(pulse.alive() >= Moment(74_000));
    }
}
