//! A text to a known caller who is not called back, where texts can be sent: why not, at most once a day.

use chrono::Utc;
use ringback_common::answer::{Channel, Language, Speaker, Why};
use ringback_common::intake::Reason;
use ringback_common::job::JobId;
use ringback_common::notice::Notice;
use ringback_common::number::{Country, Number};
use ringback_common::queue::Queue;
use ringback_common::store::Store;

use crate::SOURCE;
use crate::payer::NoPayer;

/// The trigger that sends texts.
const CHANNEL: &str = "sms";

/// Tells callers why not.
pub struct Teller {
    store: Store,
    queue: Queue,
    on: bool,
}

impl Teller {
    /// Tells nobody unless it is `on`.
    pub fn new(store: Store, queue: Queue, on: bool) -> Teller {
        Teller { store, queue, on }
    }

    /// Tells a caller, whose account this is. That it failed is no reason to refuse otherwise.
    pub async fn tell(&self, caller: &Number, account: &str, why: Why) {
        if !self.on {
            return;
        }
        let own = self.store.view_by_name(account).await.ok().flatten().and_then(|account| account.language);
        let language = Language::of(own.as_deref(), None, Country::of(caller));
        let text = Speaker::new(language, Channel::Sms).refused(why, None);
        let day = Utc::now().date_naive().to_string();
        let job = JobId::of_message("ani notice", &day, caller.as_str());
        if let Err(error) = (Notice { job, to: caller.clone(), text }).publish(SOURCE, CHANNEL, &self.queue).await {
            tracing::warn!("a caller is not told why they are not called back: {error}");
        }
    }
}

/// What a caller whom intake refuses is told; `None`: nothing. Who asked not to be called wants no text either.
pub fn of_reason(reason: Reason) -> Option<Why> {
    matches!(reason, Reason::NoMoney | Reason::AccountDisabled | Reason::Limit(_)).then_some(Why::Reason(reason))
}

/// What a caller is told for whom nobody pays; `None`: nothing.
pub fn of_no_payer(code: &str) -> Option<Why> {
    match code {
        _ if code == NoPayer::BelowMinimum.code() => Some(Why::Reason(Reason::NoMoney)),
        _ if code == NoPayer::NoDefaultAccount.code() => Some(Why::Text("not_now")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ringback_common::guard::Block;
    use ringback_common::intake::Party;

    use super::*;

    #[test]
    fn the_broke_and_the_limited_are_told_and_who_wants_no_calls_gets_no_text() {
        assert_eq!(of_reason(Reason::NoMoney), Some(Why::Reason(Reason::NoMoney)));
        assert!(of_reason(Reason::Limit("jobs_per_account_per_minute")).is_some());
        assert_eq!(of_reason(Reason::Blocked(Party::A, Block::DoNotCall)), None);
        assert_eq!(of_reason(Reason::AlreadyCalling), None);
        assert_eq!(of_no_payer("below_minimum_balance"), Some(Why::Reason(Reason::NoMoney)));
        assert_eq!([of_no_payer("unknown_caller"), of_no_payer("loop"), of_no_payer("verstat")], [None; 3]);
    }
}
