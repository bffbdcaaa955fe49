//! One clock for everything the tests see: microseconds since this process began, monotonic.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

static ZERO: OnceLock<(Instant, SystemTime)> = OnceLock::new();

/// Microseconds since the clock was first asked.
pub fn now_us() -> u64 {
    zero().0.elapsed().as_micros() as u64
}

/// A wall-clock moment (as a capture stamps it) on this clock; zero if it lies before.
pub fn from_wall(since_epoch: Duration) -> u64 {
    let moment = SystemTime::UNIX_EPOCH + since_epoch;
    moment.duration_since(zero().1).map_or(0, |d| d.as_micros() as u64)
}

/// Asks `ready` again and again (every 20 ms) until it answers or the time is up.
pub fn wait_for<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ready() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {} s in vain for {what}", limit.as_secs_f32());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn zero() -> &'static (Instant, SystemTime) {
    ZERO.get_or_init(|| (Instant::now(), SystemTime::now()))
}
