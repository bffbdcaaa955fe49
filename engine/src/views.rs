//! Accounts as they were read a moment ago, so that a burst of callbacks for one account does not read it each time.
//!
//! Good only for a plain yes to a rich account: the hold in the store is the authority on money, and whatever else is decided
//! is decided on what the store says now. A disabled account or a new block is seen within a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringback_common::money::Money;
use ringback_common::store::AccountView;

/// How long a view is good.
const FRESH: Duration = Duration::from_secs(1);
/// Views kept at most.
const MOST: usize = 1_024;
/// So many holds must fit into what the account had, or it is read again.
const RICH: i64 = 16;

/// Views by account name.
#[derive(Debug, Default)]
pub struct Views(Mutex<HashMap<String, Read>>);

#[derive(Debug)]
struct Read {
    at: Instant,
    view: Arc<AccountView>,
}

impl Read {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.at) < FRESH
    }
}

impl Views {
    /// The view of this account, if it was read within the last second.
    pub fn recent(&self, name: &str, now: Instant) -> Option<Arc<AccountView>> {
        self.views().get(name).filter(|read| read.is_fresh(now)).map(|read| Arc::clone(&read.view))
    }

    /// Keeps a view that the store was asked for at this moment.
    pub fn keep(&self, view: Arc<AccountView>, at: Instant) {
        let mut views = self.views();
        if views.len() >= MOST {
            views.retain(|_, read| read.is_fresh(at));
        }
        if views.len() < MOST {
            views.insert(view.name.clone(), Read { at, view });
        }
    }

    fn views(&self) -> MutexGuard<'_, HashMap<String, Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an account with this much to spare can be trusted to have this hold a second later.
pub fn is_rich(available: Money, hold: Money) -> bool {
    available.0 >= hold.0.saturating_mul(RICH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str) -> Arc<AccountView> {
        Arc::new(AccountView {
            id: 1,
            name: name.to_owned(),
            currency: "USD".to_owned(),
            enabled: true,
            available: Money(5),
            balance: Money(5),
            trigger_secret: None,
            password_hash: None,
            numbers: Vec::new(),
            dids: Vec::new(),
            emails: Vec::new(),
            allow: Vec::new(),
            limits: Default::default(),
            limits_off: false,
            language: None,
            mail_must_be_vouched: false,
        })
    }

    #[test]
    fn a_view_is_good_for_a_second_and_there_is_an_end_to_their_number() {
        let (views, now) = (Views::default(), Instant::now());
        views.keep(view("alice"), now);
        assert_eq!(views.recent("alice", now + FRESH / 2).map(|view| view.available), Some(Money(5)));
        assert!(views.recent("alice", now + FRESH).is_none() && views.recent("bob", now).is_none());
        for number in 0..MOST + 9 {
            views.keep(view(&number.to_string()), now + FRESH);
        }
        assert_eq!(views.views().len(), MOST);
        assert!(views.recent("alice", now + FRESH).is_none(), "the stale one made room");
    }

    #[test]
    fn rich_is_who_could_pay_many_holds() {
        assert!(is_rich(Money(160), Money(10)) && !is_rich(Money(159), Money(10)));
        assert!(!is_rich(Money(i64::MAX - 1), Money(i64::MAX)));
    }
}
