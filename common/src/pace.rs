//! How busy something is, counted in events a second. Pure.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

use std::time::{Duration, Instant};

/// Events of the time before this one are forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    window: Duration,
    since: Instant,
    events: usize,
    per_second: f64,
}

impl Pace {
    /// Counts in windows of this length; nothing has happened yet.
    pub fn new(window: Duration, now: Instant) -> Pace {
        Pace { window, since: now, events: 0, per_second: 0.0 }
    }

    /// So many more.
    pub fn count(&mut self, events: usize, now: Instant) {
        self.events += events;
        let since = now.saturating_duration_since(self.since);
        if since >= self.window {
            self.per_second = self.events as f64 / since.as_secs_f64();
            (self.since, self.events) = (now, 0);
        }
    }

    /// Events a second in the last window that ended.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_ends_says_how_much_happened_in_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(Duration::from_millis(200), start);
        pace.count(10, at(10));
        assert_eq!(pace.per_second(), 0.0, "the first window is not over");
        pace.count(10, at(200));
        assert_eq!(pace.per_second(), 100.0);
        pace.count(1, at(10_200));
        assert_eq!(pace.per_second(), 0.1, "after a silence it is slow");
    }
}
