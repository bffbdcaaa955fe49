//! How often senders are told something. Pure: the moment is an argument. Who sends much is answered only a few times: another
//! machine may be at the other end, and the site pays for each text.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Instant;

use crate::knock::Buckets;

/// What senders were told lately.
pub struct Patience {
    /// Answers to commands.
    answers: Buckets<String>,
    /// Refusals, to senders who belong to an account.
    refusals: Buckets<String>,
    /// Refusals, to senders who belong to none: nobody pays for them.
    strangers: Buckets<String>,
    /// Whatever all of those are told together.
    all_strangers: Buckets<()>,
}

impl Patience {
    /// Nobody was told anything yet.
    pub fn new() -> Patience {
        Patience {
            answers: Buckets::new(10, 1.0 / 30.0),
            refusals: Buckets::new(3, 1.0 / 200.0),
            strangers: Buckets::new(3, 1.0 / 86_400.0),
            all_strangers: Buckets::new(100, 1.0 / 10.0),
        }
    }

    /// Whether this sender is told one thing more; `known` says that it belongs to an account.
    pub fn lasts(&mut self, sender: &str, known: bool, refusal: bool, now: Instant) -> bool {
        let own = match (refusal, known) {
            (false, _) => &mut self.answers,
            (true, true) => &mut self.refusals,
            (true, false) => &mut self.strangers,
        };
        own.take(sender.to_owned(), now).is_ok() && (known || self.all_strangers.take((), now).is_ok())
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stranger_hears_three_refusals_and_then_one_a_day() {
        let (mut patience, now) = (Patience::new(), Instant::now());
        let mut told = |known, hours: u64| {
            let now = now + Duration::from_secs(hours * 3_600);
            (0..20).filter(|_| patience.lasts("+447700900001", known, true, now)).count()
        };
        assert_eq!([told(false, 0), told(false, 1), told(false, 25)], [3, 0, 1]);
        assert_eq!([told(true, 25), told(true, 26)], [3, 3], "who belongs to an account is told again soon");
    }

    #[test]
    fn all_strangers_together_hear_only_so_much() {
        let (mut patience, now) = (Patience::new(), Instant::now());
        let mut told =
            |refusal| (0..500).filter(|n| patience.lasts(&format!("+4477009{n:05}"), false, refusal, now)).count();
        assert_eq!([told(true), told(false)], [100, 0], "commands too");
        assert!(patience.lasts("+447911123456", true, true, now), "others are told");
    }
}
