//! Who has which RTP port. One owner, which lets a port rest before it is given out again.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::leg::Stale;

/// A port rests for so long, so that what is still under way to the old call does not reach a new one.
pub const DRAIN: Duration = Duration::from_millis(2_500);

/// The even ports of a range.
#[derive(Debug)]
pub struct Ports {
    /// In the order in which they were given back: the front has rested longest.
    free: Mutex<VecDeque<Free>>,
}

#[derive(Debug)]
struct Free {
    port: u16,
    since: Option<Instant>,
    stale: Option<Stale>,
}

/// A port that is ours until this is dropped. Drop the socket first.
#[derive(Debug)]
pub struct Lease {
    /// The port.
    pub port: u16,
    /// The stream that came last, then and now.
    pub stale: Option<Stale>,
    owner: Arc<Ports>,
}

impl Ports {
    /// All even ports of the range, beginning at a random one.
    pub fn new(range: &RangeInclusive<u16>) -> Arc<Ports> {
        let mut free: VecDeque<Free> =
            range.clone().filter(|port| port % 2 == 0).map(|port| Free { port, since: None, stale: None }).collect();
        if !free.is_empty() {
            let start = rand::random_range(0..free.len());
            free.rotate_left(start);
        }
        Arc::new(Ports { free: Mutex::new(free) })
    }

    /// The port that has rested longest by now; `None` if all are taken or resting.
    pub fn take(self: &Arc<Ports>, now: Instant) -> Option<Lease> {
        let mut free = self.lock();
        let rested = free.front()?.since.is_none_or(|since| now.saturating_duration_since(since) >= DRAIN);
        if !rested {
            return None;
        }
        free.pop_front().map(|free| self.lease(free))
    }

    /// Exactly this port, rested or not: the peer of a call that is taken up again still sends there.
    pub fn take_exactly(self: &Arc<Ports>, port: u16) -> Option<Lease> {
        let mut free = self.lock();
        let place = free.iter().position(|free| free.port == port)?;
        free.remove(place).map(|free| self.lease(Free { stale: None, ..free }))
    }

    fn lease(self: &Arc<Ports>, free: Free) -> Lease {
        Lease { port: free.port, stale: free.stale, owner: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Free>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.owner.lock().push_back(Free { port: self.port, since: Some(Instant::now()), stale: self.stale });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_even_and_begin_anywhere() {
        let ports = Ports::new(&(40_001..=40_009));
        let mut leases: Vec<Lease> = std::iter::from_fn(|| ports.take(Instant::now())).collect();
        leases.sort_by_key(|lease| lease.port);
        assert_eq!(leases.iter().map(|lease| lease.port).collect::<Vec<_>>(), [40_002, 40_004, 40_006, 40_008]);
        let begins: std::collections::HashSet<u16> = (0..50)
            .filter_map(|_| Ports::new(&(40_000..=41_000)).take(Instant::now()).map(|lease| lease.port))
            .collect();
        assert!(begins.len() > 1, "the first port is not always the same");
    }

    #[test]
    fn rtp_07_a_port_rests_before_it_is_used_again() {
        let ports = Ports::new(&(40_000..=40_001));
        let lease = ports.take(Instant::now()).expect("one port");
        assert!(ports.take(Instant::now()).is_none(), "taken");
        drop(lease);
        assert!(ports.take(Instant::now()).is_none(), "resting");
        let again = ports.take_exactly(40_000).expect("recovery does not wait");
        drop(again);
        assert!(ports.take(Instant::now() + DRAIN).is_some());
    }
}
