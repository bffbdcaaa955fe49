//! The rules of money of a call, once for both databases. Pure.
//!
//! Only the engine that owns a job changes its hold, so it knows the amount ([`Purse`]), and works out what a step does to the
//! account ([`Postings`]) before its events are written: what is told is what is charged. The database applies that whole or not
//! at all: only while the hold is what it was taken for, and only from money that nobody else holds. It adds what it alone knows,
//! the sequence numbers and closing balances.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::money::Money;

/// The money of one job, as the engine that owns it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    /// Who pays.
    pub account_id: i64,
    /// What is set aside for the job.
    pub held: Money,
}

/// What one step does to the money of its account, beside the charges of its settlements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postings {
    /// Who pays.
    pub account_id: i64,
    /// What is held for the job before. A hold of any other amount refuses the step.
    pub from: Money,
    /// What is held after it; nothing ends the hold.
    pub to: Money,
}

impl Purse {
    /// Sets the hold to `amount` in all.
    pub fn holding(self, amount: Money) -> Postings {
        Postings { account_id: self.account_id, from: self.held, to: amount }
    }

    /// Gives back whatever is not charged in the same step.
    pub fn releasing(self) -> Postings {
        self.holding(Money::ZERO)
    }

    /// The step is written.
    pub fn posted(&mut self, postings: Postings) {
        *self = Purse { account_id: postings.account_id, held: postings.to };
    }
}

impl Postings {
    /// What must be on the account and held for nobody, if this step charges so much: zero or less when the hold pays for it all.
    pub fn need(self, charged: impl Iterator<Item = Money>) -> Money {
        let charged: i128 = charged.map(|cost| i128::from(cost.0)).sum();
        let need = charged + i128::from(self.to.0) - i128::from(self.from.0);
        Money(i64::try_from(need).unwrap_or(if need > 0 { i64::MAX } else { i64::MIN }))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// A balance and what is held of it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Account {
        balance: i64,
        held: i64,
    }

    impl Account {
        /// What both databases do.
        fn post(&mut self, postings: Postings, charges: &[i64]) -> bool {
            if postings.need(charges.iter().copied().map(Money)).0 > self.balance - self.held {
                return false;
            }
            self.balance -= charges.iter().sum::<i64>();
            self.held += postings.to.0 - postings.from.0;
            true
        }
    }

    #[test]
    fn no_order_of_steps_spends_what_is_not_there_or_what_another_job_holds() {
        for seed in 0..500 {
            let mut dice = StdRng::seed_from_u64(seed);
            let balance = dice.random_range(0..2_000);
            let mut account = Account { balance, held: 0 };
            let mut purses = [Purse { account_id: 1, held: Money::ZERO }; 3];
            let mut spent = 0;
            for _ in 0..40 {
                let job = dice.random_range(0..purses.len());
                let postings = purses[job].holding(Money(dice.random_range(0..1_000)));
                let charges: Vec<i64> = (0..dice.random_range(0..3)).map(|_| dice.random_range(0..400)).collect();
                if account.post(postings, &charges) {
                    purses[job].posted(postings);
                    spent += charges.iter().sum::<i64>();
                }
                let held = purses.iter().map(|purse| purse.held.0).sum();
                assert_eq!(account, Account { balance: balance - spent, held }, "seed {seed}");
                assert!(account.held <= account.balance, "seed {seed}: {account:?}");
            }
            for purse in purses {
                assert!(
                    account.post(purse.releasing(), &[purse.held.0]),
                    "seed {seed}: a hold pays for what it was set aside for"
                );
            }
            assert_eq!(account.held, 0);
        }
    }

    #[test]
    fn amounts_beyond_all_bounds_are_never_there() {
        let purse = Purse { account_id: 1, held: Money::ZERO };
        assert_eq!(purse.holding(Money(i64::MAX)).need([Money(i64::MAX)].into_iter()), Money(i64::MAX));
        let rich = Purse { held: Money(i64::MAX), ..purse };
        assert_eq!(rich.releasing().need(std::iter::empty()), Money(-i64::MAX));
    }
}
