//! A text to a known caller who is not called back, where texts can be sent: why not, at most once a day.

use chrono::Utc;
use ringback_common::answer::{Channel, Language, Speaker, Why};
use ringback_common::guard;
use ringback_common::intake::Reason;
use ringback_common::job::JobId;
use ringback_common::notice::Notice;
use ringback_common::number::{Country, Number};
use ringback_common::queue::Queue;
use ringback_common::store::{AccountView, Store, StoreError};

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
        let account = match self.listener(caller, account).await {
            Ok(Some(account)) => account,
            Ok(None) => return,
            Err(error) => return tracing::warn!("a caller is not told why they are not called back: {error}"),
        };
        let language = Language::of(account.language.as_deref(), None, Country::of(caller));
        let text = Speaker::new(language, Channel::Sms).refused(why, None);
        let day = Utc::now().date_naive().to_string();
        let job = JobId::of_message("ani notice", &day, caller.as_str());
        if let Err(error) = (Notice { job, to: caller.clone(), text }).publish(SOURCE, CHANNEL, &self.queue).await {
            tracing::warn!("a caller is not told why they are not called back: {error}");
        }
    }

    /// The caller's account, if they may be sent a text: nobody who asked not to be called, and no number that is never called.
    async fn listener(&self, caller: &Number, account: &str) -> Result<Option<AccountView>, StoreError> {
        let Some(account) = self.store.view_by_name(account).await? else { return Ok(None) };
        let unwanted = guard::check(caller, &account.allow).is_err()
            || !self.store.not_to_be_called(&[caller.as_str()]).await?.is_empty();
        Ok((!unwanted).then_some(account))
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

    use ringback_common::store::PutBy;

    use super::*;
    use crate::testsite::{OWNER, TestSite};

    #[tokio::test]
    async fn no_text_goes_to_who_asked_not_to_be_called_or_to_a_number_that_is_never_called() {
        let site = TestSite::open().await;
        let teller = Teller::new(site.store.clone(), site.queue.clone(), true);
        site.store.do_not_call("+447700900222", PutBy::Operator, None).await.unwrap();
        for (caller, account, texts) in [
            ("+447700900222", "other", 0),
            ("+19005551234", "owner", 0),
            ("+18765551234", "owner", 0),
            (OWNER, "owner", 1),
        ] {
            teller.tell(&Number::e164(caller).unwrap(), account, Why::Reason(Reason::NoMoney)).await;
            assert_eq!(site.texts().await, texts, "{caller}");
        }
    }

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
