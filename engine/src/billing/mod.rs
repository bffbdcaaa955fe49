//! What a callback costs and how long its hold lasts. Pure: integers in, integers out.
//!
//! Both legs are charged per started second of their own answered time, each at its own
//! price a minute. A price of a second is not rounded: the cost of a leg is rounded up once, to the next micro-unit.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use ringback_common::money::Money;
use ringback_sip::Moment;
use serde::{Deserialize, Serialize};

/// The price of one leg: micro-units a minute, charged by the started second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tariff {
    /// What a minute costs.
    pub per_minute: Money,
}

/// What an attempt is charged, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Seconds.
    pub seconds: u64,
    /// Their price.
    pub cost: Money,
}

impl Tariff {
    /// What an answered time is charged: all of it, or the seconds that `most` pays for.
    pub fn bill(self, answered: Duration, most: Money) -> Bill {
        let seconds = self.billed_seconds(answered);
        let seconds = match self.per_minute.0 {
            ..=0 => seconds,
            price => seconds.min(u64::try_from(i128::from(most.0) * 60 / i128::from(price)).unwrap_or(0)),
        };
        Bill { seconds, cost: self.cost_of_seconds(seconds) }
    }

    /// The seconds that are charged for an answered time: started seconds count whole.
    pub fn billed_seconds(self, answered: Duration) -> u64 {
        u64::try_from(answered.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
    }

    /// What an answered time costs.
    pub fn cost(self, answered: Duration) -> Money {
        self.cost_of_seconds(self.billed_seconds(answered))
    }

    fn cost_of_seconds(self, seconds: u64) -> Money {
        let micros = (i128::from(self.per_minute.0.max(0)) * i128::from(seconds) + 59) / 60;
        Money(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// A leg that is being charged: since when, at what price.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// The answer.
    pub since: Moment,
    /// The price.
    pub tariff: Tariff,
}

/// What all running legs together have cost at a moment.
pub fn cost_at(meters: &[Meter], at: Moment) -> Money {
    meters.iter().map(|meter| meter.tariff.cost(Duration::from_millis(at.0.saturating_sub(meter.since.0)))).sum()
}

/// The last moment, at most `limit`, at which the hold still covers what all legs cost together: the joint
/// duration of two simultaneous calls. One instant for both legs, computed once.
pub fn funded_until(held: Money, meters: &[Meter], limit: Moment) -> Moment {
    let start = meters.iter().map(|meter| meter.since.0).min().unwrap_or(limit.0);
    if cost_at(meters, limit) <= held {
        return limit;
    }
    let (mut covered, mut beyond) = (start, limit.0);
    while beyond.saturating_sub(covered) > 1 {
        let middle = covered + (beyond - covered) / 2;
        if cost_at(meters, Moment(middle)) <= held {
            covered = middle;
        } else {
            beyond = middle;
        }
    }
    Moment(covered)
}

/// The hold that lets both legs run for `seconds` side by side.
pub fn hold_for(a: Tariff, b: Tariff, seconds: u64) -> Money {
    a.cost_of_seconds(seconds) + b.cost_of_seconds(seconds)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const TEN_CENTS: Tariff = Tariff { per_minute: Money(100_000) };

    fn meters(a_since: u64, b_since: u64) -> [Meter; 2] {
        [a_since, b_since].map(|since| Meter { since: Moment(since), tariff: TEN_CENTS })
    }

    #[test]
    fn five_yuan_at_ten_cents_a_minute_last_fifty_minutes() {
        let one_leg = [Meter { since: Moment(0), tariff: TEN_CENTS }];
        let end = funded_until(Money(5_000_000), &one_leg, Moment(u64::MAX / 2));
        assert_eq!(end, Moment(50 * 60 * 1000));
    }

    #[test]
    fn a_started_second_is_charged_whole_and_rounded_up_once() {
        assert_eq!(TEN_CENTS.billed_seconds(Duration::ZERO), 0);
        assert_eq!(TEN_CENTS.billed_seconds(Duration::from_millis(1)), 1);
        assert_eq!(TEN_CENTS.cost(Duration::from_millis(1)), Money(1_667));
        assert_eq!(TEN_CENTS.cost(Duration::from_secs(60)), Money(100_000));
        assert_eq!(Tariff { per_minute: Money(1) }.cost(Duration::from_secs(1)), Money(1));
    }

    #[test]
    fn two_legs_run_out_at_one_instant_and_never_a_unit_beyond() {
        for held in [1, 9_999, 123_456, 1_000_000] {
            let legs = meters(0, 4_200);
            let end = funded_until(Money(held), &legs, Moment(3_600_000));
            assert!(cost_at(&legs, end) <= Money(held));
            assert!(cost_at(&legs, Moment(end.0 + 1)) > Money(held), "not a millisecond is given away at {held}");
        }
    }

    /// Both legs at any price, answered and ended at any moment, with any hold.
    #[test]
    fn whatever_ends_by_the_funded_moment_is_paid_by_the_hold() {
        for seed in 0..20_000 {
            let mut dice = StdRng::seed_from_u64(seed);
            let price = |dice: &mut StdRng| Tariff {
                per_minute: Money(dice.random_range(0..3) * dice.random_range(0..90_001)),
            };
            let legs =
                [0, dice.random_range(0..90_000)].map(|since| Meter { since: Moment(since), tariff: price(&mut dice) });
            let held = Money(dice.random_range(0..1_000_000));
            let end = funded_until(held, &legs, Moment(dice.random_range(0..7_200_000)));
            let ends = legs.map(|leg| dice.random_range(0..=end.0.saturating_sub(leg.since.0)));
            let mut left = held;
            for (leg, answered) in legs.iter().zip(ends.map(Duration::from_millis)) {
                let bill = leg.tariff.bill(answered, left);
                let whole = Bill { seconds: leg.tariff.billed_seconds(answered), cost: leg.tariff.cost(answered) };
                assert_eq!(bill, whole, "seed {seed}: {leg:?} for {answered:?}, {left} left of {held}");
                left -= bill.cost;
            }
        }
    }

    #[test]
    fn a_slice_pays_for_its_last_started_second_of_both_legs() {
        for seed in 0..20_000 {
            let mut dice = StdRng::seed_from_u64(seed);
            let [a, b] = [0; 2].map(|_| Tariff { per_minute: Money(dice.random_range(0..90_001)) });
            let seconds = dice.random_range(1..3_600);
            let both = [a, b].map(|tariff| Meter { since: Moment(0), tariff });
            let end = funded_until(hold_for(a, b, seconds), &both, Moment(u64::MAX / 2));
            assert!(end >= Moment(seconds * 1_000), "seed {seed}: {a:?} and {b:?} for {seconds} s end at {end:?}");
        }
    }

    #[test]
    fn a_bill_is_cut_to_the_seconds_that_are_paid_for() {
        let minute = Duration::from_secs(60);
        assert_eq!(TEN_CENTS.bill(minute, Money(100_000)), Bill { seconds: 60, cost: Money(100_000) });
        assert_eq!(TEN_CENTS.bill(minute, Money(99_999)), Bill { seconds: 59, cost: Money(98_334) });
        assert_eq!(TEN_CENTS.bill(minute, Money(1_666)), Bill { seconds: 0, cost: Money(0) });
        assert_eq!(TEN_CENTS.bill(minute, Money(-5)), Bill { seconds: 0, cost: Money(0) });
        let free = Tariff { per_minute: Money(0) };
        assert_eq!(free.bill(minute, Money(0)), Bill { seconds: 60, cost: Money(0) });
        for seed in 0..20_000 {
            let mut dice = StdRng::seed_from_u64(seed);
            let tariff = Tariff { per_minute: Money(dice.random_range(1..200_000)) };
            let (answered, most) =
                (Duration::from_millis(dice.random_range(0..600_000)), Money(dice.random_range(0..500_000)));
            let bill = tariff.bill(answered, most);
            assert!(bill.cost <= most && bill.cost <= tariff.cost(answered), "seed {seed}: {bill:?}");
            let one_more = tariff.cost_of_seconds(bill.seconds + 1);
            assert!(bill.cost == tariff.cost(answered) || one_more > most, "seed {seed}: no second is given away");
        }
    }

    #[test]
    fn the_limit_of_the_engine_holds_however_rich_the_account() {
        assert_eq!(funded_until(Money(i64::MAX), &meters(0, 0), Moment(3_600_000)), Moment(3_600_000));
    }

    #[test]
    fn an_absurd_duration_overflows_nothing() {
        let rich = Tariff { per_minute: Money(i64::MAX) };
        assert_eq!(rich.cost(Duration::from_secs(u64::MAX)), Money(i64::MAX));
        assert_eq!(hold_for(rich, rich, u64::MAX), Money(i64::MAX));
    }
}
