//! The gate in front of the wire: sending is allowed until a moment that the supervisor keeps moving ahead.
//!
//! An engine that no longer knows whether it still owns its calls must fall silent by itself. So permission is not a flag
//! that somebody has to clear in time, it is a deadline that runs out: after a stop of the whole process the first look at
//! the clock says no. The clock is `CLOCK_BOOTTIME`, which goes on while the machine sleeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often whoever waits for the gate looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// Milliseconds of `CLOCK_BOOTTIME`.
pub fn boot_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
}

/// Says whether anything may be sent now. Shared by the media threads and the SIP socket.
#[derive(Debug)]
pub struct Gate {
    until: AtomicU64,
}

impl Gate {
    /// A gate that is shut until somebody opens it.
    pub fn closed() -> Gate {
        Gate { until: AtomicU64::new(0) }
    }

    /// A gate for an engine that nobody can adopt (embedded store): open until it is closed.
    pub fn open() -> Gate {
        Gate { until: AtomicU64::new(u64::MAX) }
    }

    /// Opens the gate until this moment of [`boot_ms`], which may also be earlier than before.
    pub fn open_until(&self, boot_ms: u64) {
        self.until.store(boot_ms, Ordering::Release);
    }

    /// Shuts the gate at once.
    pub fn close(&self) {
        self.open_until(0);
    }

    /// Resolves when something may be sent. For a beginning, which has no hurry: it looks now and then.
    pub async fn opens(&self) {
        while !self.is_open() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether something may be sent now.
    pub fn is_open(&self) -> bool {
        match self.until.load(Ordering::Acquire) {
            0 => false,
            u64::MAX => true,
            until => boot_ms() < until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_shuts_by_itself_and_by_hand() {
        let gate = Gate::closed();
        assert!(!gate.is_open());
        gate.open_until(boot_ms() + 60_000);
        assert!(gate.is_open());
        gate.open_until(boot_ms());
        assert!(!gate.is_open(), "a deadline that has come shuts it");
        gate.open_until(u64::MAX);
        assert!(gate.is_open());
        gate.close();
        assert!(!gate.is_open());
    }
}
