//! The threads of a busy runtime wait a moment before they look for more, so that what comes meanwhile is worked off at one waking.
//!
//! Being woken for a datagram, an answer of the database or a confirm of the broker costs more than handling it. A phone rings after
//! seconds, so nobody misses these milliseconds; where little happens, everything is handled as it comes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// In microseconds.
static MOMENT: AtomicU64 = AtomicU64::new(0);

/// From now on every thread waits so long; zero: not at all.
pub(crate) fn wait(moment: Duration) {
    MOMENT.store(u64::try_from(moment.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// To be called by each thread of a runtime before it waits for events.
pub(crate) fn before_park() {
    let moment = MOMENT.load(Ordering::Relaxed);
    if moment > 0 {
        std::thread::sleep(Duration::from_micros(moment));
    }
}
