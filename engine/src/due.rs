//! When rows come due that this engine stored without dialling them, so that it looks at them then and not at its next look.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Rows that come due within so short a time are looked at together.
const GRAIN: Duration = Duration::from_millis(50);
/// As many moments are remembered; rows beyond them wait for the look of each second.
const MOST: usize = 4_096;

/// Moments to look at the rows. Bounded.
#[derive(Default)]
pub struct DueMoments {
    moments: Mutex<BTreeSet<Instant>>,
    sooner: Notify,
}

impl DueMoments {
    /// A row comes due after so long.
    pub fn add(&self, wait: Duration, now: Instant) {
        let mut moments = self.lock();
        let due = now + wait;
        let covered = moments.range(due..=due + GRAIN).next().is_some();
        if covered || moments.len() >= MOST {
            return;
        }
        moments.insert(due + GRAIN);
        drop(moments);
        self.sooner.notify_one();
    }

    /// Waits for the next moment, and forgets it.
    pub async fn wait(&self) {
        loop {
            let next = self.lock().first().copied();
            let pause = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => break,
                () = self.sooner.notified() => {}
            }
        }
        self.lock().pop_first();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Instant>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_that_come_due_together_are_one_look_and_never_an_early_one() {
        let (due, start) = (DueMoments::default(), Instant::now());
        for ms in [60, 80, 95, 5_000] {
            due.add(Duration::from_millis(ms), start);
        }
        assert_eq!(due.lock().len(), 2);
        due.wait().await;
        assert!(start.elapsed() >= Duration::from_millis(95), "{:?}", start.elapsed());
        assert_eq!(due.lock().first().copied(), Some(start + Duration::from_secs(5) + GRAIN));
    }

    #[tokio::test]
    async fn a_sooner_one_is_heard_while_waiting_for_a_later_one() {
        let (due, start) = (DueMoments::default(), Instant::now());
        due.add(Duration::from_secs(60), start);
        tokio::join!(due.wait(), async { due.add(Duration::from_millis(10), start) });
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }

    #[test]
    fn memory_is_bounded() {
        let (due, start) = (DueMoments::default(), Instant::now());
        for n in 0..2 * MOST as u64 {
            due.add(Duration::from_secs(n), start);
        }
        assert_eq!(due.lock().len(), MOST);
    }
}
