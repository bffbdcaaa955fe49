//! The dice of a seed: the same throws on every machine and with every version of everybody's libraries (SplitMix64).

use std::time::Duration;

/// Throws that follow from a seed alone.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of this seed.
    pub fn of(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Dice of one's own, so that more throws here change nothing elsewhere.
    pub fn apart(&mut self) -> Dice {
        Dice(self.throw())
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of this range, its end left out.
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.throw() % (range.end - range.start).max(1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.throw() % 100 < chance
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.throw() as usize % of.len()]
    }

    /// One of these, each as likely as its weight.
    pub fn weighed<T: Copy>(&mut self, of: &[(u64, T)]) -> T {
        let mut left = self.throw() % of.iter().map(|(weight, _)| weight).sum::<u64>();
        for (weight, one) in of {
            if left < *weight {
                return *one;
            }
            left -= weight;
        }
        of[0].1
    }

    /// Milliseconds of this range.
    pub fn time(&mut self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.within(millis))
    }

    /// Milliseconds of this range, short ones as likely as long ones: each doubling has the same chance.
    pub fn span(&mut self, millis: std::ops::Range<u64>) -> Duration {
        let (low, high) = ((millis.start.max(1) as f64).ln(), (millis.end as f64).ln());
        let throw = (self.throw() >> 11) as f64 / (1u64 << 53) as f64;
        Duration::from_millis((low + (high - low) * throw).exp() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_throws_the_same_again_and_stays_in_its_ranges() {
        let throws = |seed| {
            let mut dice = Dice::of(seed);
            (0..100).map(|_| (dice.within(3..9), dice.span(200..20_000).as_millis())).collect::<Vec<_>>()
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
        assert!(throws(7).iter().all(|(n, ms)| (3..9).contains(n) && (199..20_000).contains(ms)));
    }

    #[test]
    fn weights_are_kept() {
        let mut dice = Dice::of(1);
        let heads = (0..1000).filter(|_| dice.weighed(&[(9, true), (1, false)])).count();
        assert!((850..950).contains(&heads), "{heads}");
    }
}
