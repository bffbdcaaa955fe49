//! How much may come from whom, how often somebody is told why not, and whose name server is too slow to be asked again. Pure: the
//! moment is an argument. Bounded, as [`Buckets`] are.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Instant;

use ringback_common::knock::Buckets;

use crate::mail::Mail;
use crate::trust::organisation;

/// Over so many seconds a rate counts.
const WINDOW: f64 = 600.0;

/// Who wrote, as it is counted: the one address, and the organisation whose domain it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    address: String,
    organisation: String,
}

impl Writer {
    /// Of this mail.
    pub fn of(mail: &Mail<'_>) -> Writer {
        let domain = mail.from_domain();
        let organisation = organisation(domain).unwrap_or_else(|| domain.to_owned());
        Writer { address: mail.from.clone(), organisation }
    }

    /// Under which names a mail of theirs counts. Who is not vouched for uses up nothing of who is.
    fn keys(&self, vouched: bool) -> (String, String) {
        let kind = if vouched { "vouched" } else { "unvouched" };
        (format!("{kind} {}", self.address), format!("{kind} {}", self.organisation))
    }
}

/// What was counted so far.
pub struct Pace {
    writers: Buckets<String>,
    organisations: Buckets<String>,
    told: Buckets<String>,
    slow: Buckets<String>,
}

impl Pace {
    /// So many mails of one address, and of one organisation, in ten minutes.
    pub fn new(per_sender: u32, per_domain: u32) -> Pace {
        let buckets = |most: u32| Buckets::new(most, f64::from(most) / WINDOW);
        Pace {
            writers: buckets(per_sender),
            organisations: buckets(per_domain),
            told: Buckets::new(3, 1.0 / 200.0),
            slow: Buckets::new(3, 1.0 / 20.0),
        }
    }

    /// Counts a mail; false: it is one too many.
    pub fn charge(&mut self, writer: &Writer, vouched: bool, now: Instant) -> bool {
        let (address, organisation) = writer.keys(vouched);
        self.writers.take(address, now).is_ok() && self.organisations.take(organisation, now).is_ok()
    }

    /// Nothing was decided about a mail that was counted: it comes again, and counts then.
    pub fn refund(&mut self, writer: &Writer, vouched: bool) {
        let (address, organisation) = writer.keys(vouched);
        self.writers.give_back(&address);
        self.organisations.give_back(&organisation);
    }

    /// Whether somebody may be told once more why not.
    pub fn may_tell(&mut self, writer: &Writer, now: Instant) -> bool {
        self.told.take(writer.address.clone(), now).is_ok()
    }

    /// They were not told after all.
    pub fn untold(&mut self, writer: &Writer) {
        self.told.give_back(&writer.address);
    }

    /// The name server of this writer's organisation kept us waiting.
    pub fn was_slow(&mut self, writer: &Writer, now: Instant) {
        let _ = self.slow.take(writer.organisation.clone(), now);
    }

    /// Whether it did so too often lately to be asked now.
    pub fn is_slow(&self, writer: &Writer, now: Instant) -> bool {
        self.slow.spent(&writer.organisation, now)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mail::House;

    fn writer(address: &str, organisation: &str) -> Writer {
        Writer { address: address.to_owned(), organisation: organisation.to_owned() }
    }

    #[test]
    fn who_is_not_vouched_for_uses_up_nothing_of_who_is() {
        let (alice, now) = (writer("alice@example.com", "example.com"), Instant::now());
        let mut pace = Pace::new(2, 10);
        assert!(pace.charge(&alice, false, now) && pace.charge(&alice, false, now) && !pace.charge(&alice, false, now));
        assert!(pace.charge(&alice, true, now), "a forger has spent nothing of hers");
    }

    #[test]
    fn many_addresses_and_subdomains_are_one_organisation() {
        let house = House {
            recipients: vec!["call".to_owned()],
            max_size: 1_000,
            own: None,
            domain: Some("gw.test".to_owned()),
        };
        let now = Instant::now();
        let mut pace = Pace::new(2, 3);
        let charged: Vec<bool> = (0..4)
            .map(|n| {
                let raw = format!("From: a{n}@x{n}.evil.test\r\nTo: call@gw.test\r\n\r\n");
                pace.charge(&Writer::of(&Mail::read(raw.as_bytes(), None, &house).unwrap()), true, now)
            })
            .collect();
        assert_eq!(charged, [true, true, true, false]);
    }

    #[test]
    fn a_mail_that_has_to_wait_costs_nothing() {
        let (alice, now) = (writer("alice@example.com", "example.com"), Instant::now());
        let mut pace = Pace::new(2, 2);
        for _ in 0..50 {
            assert!(pace.charge(&alice, true, now));
            pace.refund(&alice, true);
            assert!(pace.may_tell(&alice, now));
            pace.untold(&alice);
        }
        assert!(pace.charge(&alice, true, now) && pace.charge(&alice, true, now) && !pace.charge(&alice, true, now));
    }

    #[test]
    fn a_slow_name_server_is_asked_again_after_a_while() {
        let (alice, now) = (writer("alice@example.com", "example.com"), Instant::now());
        let mut pace = Pace::new(2, 2);
        for _ in 0..3 {
            assert!(!pace.is_slow(&alice, now));
            pace.was_slow(&alice, now);
        }
        assert!(pace.is_slow(&alice, now));
        assert!(!pace.is_slow(&writer("b@other.test", "other.test"), now));
        assert!(!pace.is_slow(&alice, now + Duration::from_secs(21)));
    }
}
