//! How often a peer may knock, and how often a sender is told why not. Pure: the moment is an argument. Bounded: the number of
//! peers that are remembered has a ceiling.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How many keys are remembered at most. When more come, those that have been quiet longest go.
const MOST_KEYS: usize = 10_000;

/// A bucket of tokens for each key.
pub struct Buckets<K> {
    burst: f64,
    per_second: f64,
    buckets: HashMap<K, Bucket>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// `burst` at once, then `per_second` on average.
    pub fn new(burst: u32, per_second: f64) -> Buckets<K> {
        Buckets { burst: burst.into(), per_second, buckets: HashMap::new() }
    }

    /// Takes one token of this key.
    ///
    /// # Errors
    /// There is none; how long until there is one.
    pub fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        if self.buckets.len() >= MOST_KEYS && !self.buckets.contains_key(&key) {
            self.forget_quiet(now);
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { tokens: self.burst, at: now });
        bucket.tokens = filled(bucket, self.per_second, now).min(self.burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / self.per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// Gives a token back that turned out not to be used.
    pub fn give_back(&mut self, key: &K) {
        if let Some(bucket) = self.buckets.get_mut(key) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.burst);
        }
    }

    /// Whether this key has no token now.
    pub fn spent(&self, key: &K, now: Instant) -> bool {
        self.buckets.get(key).is_some_and(|bucket| filled(bucket, self.per_second, now) < 1.0)
    }

    fn forget_quiet(&mut self, now: Instant) {
        let (burst, per_second) = (self.burst, self.per_second);
        self.buckets.retain(|_, bucket| filled(bucket, per_second, now) < burst);
        if self.buckets.len() >= MOST_KEYS {
            let mut ages: Vec<Instant> = self.buckets.values().map(|bucket| bucket.at).collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            self.buckets.retain(|_, bucket| bucket.at > middle);
        }
    }
}

fn filled(bucket: &Bucket, per_second: f64, now: Instant) -> f64 {
    bucket.tokens + now.saturating_duration_since(bucket.at).as_secs_f64() * per_second
}

/// What is left for those who prove nothing: little for each peer of the world, more for this machine itself, where a proxy may
/// stand for all of them.
pub struct Strangers {
    far: Buckets<IpAddr>,
    near: Buckets<IpAddr>,
}

impl Default for Strangers {
    fn default() -> Strangers {
        Strangers::new()
    }
}

impl Strangers {
    /// Nobody has knocked yet.
    pub fn new() -> Strangers {
        Strangers { far: Buckets::new(30, 1.0), near: Buckets::new(600, 20.0) }
    }

    /// Takes one token of this address.
    ///
    /// # Errors
    /// There is none; how long until there is one.
    pub fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let address = peer(address);
        let buckets = if address.is_loopback() { &mut self.near } else { &mut self.far };
        buckets.take(address, now)
    }
}

/// Who counts as one peer: an IPv4 address, or the /64 network of an IPv6 address.
pub fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        whole => whole,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_an_average() {
        let start = Instant::now();
        let mut buckets = Buckets::new(3, 0.5);
        for _ in 0..3 {
            assert_eq!(buckets.take("peer", start), Ok(()));
        }
        assert_eq!(buckets.take("peer", start), Err(Duration::from_secs(2)));
        assert_eq!(buckets.take("other", start), Ok(()));
        assert_eq!(buckets.take("peer", start + Duration::from_secs(2)), Ok(()));
        assert!(buckets.take("peer", start + Duration::from_secs(2)).is_err());
    }

    #[test]
    fn a_token_comes_back_and_an_empty_bucket_shows() {
        let start = Instant::now();
        let mut buckets = Buckets::new(1, 0.5);
        assert!(!buckets.spent(&"peer", start));
        assert_eq!(buckets.take("peer", start), Ok(()));
        assert!(buckets.spent(&"peer", start) && !buckets.spent(&"peer", start + Duration::from_secs(2)));
        buckets.give_back(&"peer");
        buckets.give_back(&"peer");
        buckets.give_back(&"other");
        assert_eq!(buckets.take("peer", start), Ok(()));
        assert!(buckets.take("peer", start).is_err(), "never more than there were");
    }

    #[test]
    fn memory_is_bounded_however_many_knock() {
        let start = Instant::now();
        let mut buckets = Buckets::new(2, 0.001);
        for n in 0..3 * MOST_KEYS {
            let _ = buckets.take(n, start + Duration::from_micros(n as u64));
        }
        assert!(buckets.buckets.len() <= MOST_KEYS);
    }

    #[test]
    fn this_machine_may_knock_more_often_than_the_world() {
        let start = Instant::now();
        let mut strangers = Strangers::new();
        for (address, most) in [("192.0.2.1", 30), ("2001:db8::1", 30), ("127.0.0.1", 600), ("::1", 600)] {
            let address = address.parse().unwrap();
            let taken = (0..1000).filter(|_| strangers.take(address, start).is_ok()).count();
            assert_eq!(taken, most, "{address}");
            assert!(strangers.take(address, start + Duration::from_secs(1)).is_ok());
        }
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let peers =
            ["2001:db8::1", "2001:db8::ffff:1", "::ffff:10.0.0.1", "10.0.0.1"].map(|a| peer(a.parse().unwrap()));
        assert_eq!(peers[0], peers[1]);
        assert_eq!(peers[2], peers[3]);
    }
}
