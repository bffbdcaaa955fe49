//! What a sender may do beside asking for a callback: register a number, cancel, be left alone; and what was refused to them.

use super::{Checks, Intake, Payer, Proof, Reason, Unavailable, Who, count};
use crate::job::JobId;
use crate::number::Number;
use crate::secret::{TriggerSecret, verify_secret};
use crate::store::{AccountView, Carried, Lockout, PutBy, StoreError};

/// Numbers that one account may have; the operator may give it more.
pub const MOST_NUMBERS: i64 = 20;
/// Characters of a secret that is enough to find its account.
const LONG_ENOUGH: usize = 8;
/// A secret without a name is tried against all accounts at once, so its failures count for the whole site, whoever sends it.
const NAMELESS: &str = "nameless secrets";
const NAMELESS_LOCKOUT: Lockout = Lockout { failures: 50, window_s: 3_600, lock_s: 3_600 };

impl Intake {
    /// Registers the sender's number to the account of this name and secret, or, without a name, to the only account with
    /// this secret. The answer is that account.
    ///
    /// # Errors
    /// Outside: nobody can tell now. Inside: why not.
    pub async fn register(
        &self,
        source: &str,
        sender: &str,
        user: Option<&str>,
        secret: &str,
    ) -> Result<Result<AccountView, Reason>, Unavailable> {
        let mut account_id = None;
        let answer = match Number::e164(sender) {
            Err(_) => Err(Reason::SenderNotANumber),
            Ok(_) if user.is_none() && secret.chars().count() < LONG_ENOUGH => Err(Reason::SecretTooShort),
            Ok(number) => {
                let mut keys = vec![sender.to_owned()];
                keys.push(user.map_or_else(|| NAMELESS.to_owned(), super::tried_account)); // any number may try any account
                match self.guarded(source, &keys, self.account_of(sender, user, secret)).await? {
                    Ok(account) => {
                        account_id = Some(account.id);
                        self.add_number(account, &number).await?
                    }
                    Err(reason) => Err(reason),
                }
            }
        };
        match &answer {
            Ok(_) => count(source, "registered"),
            Err(reason) => {
                count(source, reason.code());
                self.remember(account_id, source, sender, reason.code()).await;
            }
        }
        Ok(answer)
    }

    async fn account_of(
        &self,
        sender: &str,
        user: Option<&str>,
        secret: &str,
    ) -> Result<Result<AccountView, Reason>, StoreError> {
        match user {
            Some(user) => {
                let proof = Proof::Secret { secret: secret.to_owned(), vouched: true };
                self.checks.payer(sender, &Payer { who: Who::Named(user.to_owned()), proof }).await
            }
            None => {
                let Ok(_alone) = self.searching.acquire().await else { return Ok(Err(Reason::BadSecretOrUser)) };
                let found = self.checks.only_account_with(secret).await?;
                Ok(found.ok_or(Reason::BadSecretOrUser))
            }
        }
    }

    async fn add_number(
        &self,
        account: AccountView,
        number: &Number,
    ) -> Result<Result<AccountView, Reason>, Unavailable> {
        if !account.enabled {
            return Ok(Err(Reason::AccountDisabled));
        }
        match self.checks.store().add_number(account.id, number.as_str(), MOST_NUMBERS).await {
            Ok(()) => Ok(Ok(account)),
            Err(StoreError::Conflict(_)) => Ok(Err(Reason::NumberTaken)),
            Err(StoreError::Invalid(_)) => Ok(Err(Reason::TooManyNumbers)),
            Err(error) => Err(error.into()),
        }
    }

    /// Cancels every unfinished callback that this sender asked for on the account that pays; tells how many.
    ///
    /// # Errors
    /// Outside: nobody can tell now. Inside: why not.
    pub async fn cancel_calls(
        &self,
        source: &str,
        sender: &str,
        payer: &Payer,
    ) -> Result<Result<usize, Reason>, Unavailable> {
        let keys = super::failure_keys(sender, payer);
        let account = match self.guarded(source, &keys, self.checks.payer(sender, payer)).await? {
            Ok(account) => account,
            Err(reason) => {
                count(source, reason.code());
                return Ok(Err(reason));
            }
        };
        let store = self.checks.store();
        let mut jobs = store.unfinished_of(account.id, sender).await?;
        for job in self.recent.of(&super::asker(account.id, sender)) {
            if !jobs.contains(&job) && store.find(&job).await?.is_none() {
                jobs.push(job);
            }
        }
        for job in &jobs {
            store.cancel(job).await?;
        }
        count(source, "cancelled");
        Ok(Ok(jobs.len()))
    }

    /// What the command of this message came to, if it has been carried out already.
    ///
    /// # Errors
    /// Nobody can tell now.
    pub async fn carried_before(&self, message: &JobId) -> Result<Option<Carried>, Unavailable> {
        Ok(self.checks.store().command_of(message).await?)
    }

    /// Remembers what the command of this message came to.
    ///
    /// # Errors
    /// It is not written down.
    pub async fn carried(&self, message: &JobId, carried: &Carried) -> Result<(), Unavailable> {
        Ok(self.checks.store().command_carried(message, carried).await?)
    }

    /// The sender's own number is not to be rung any more.
    ///
    /// # Errors
    /// Outside: it is not written down. Inside: the sender is not a number.
    pub async fn stop(&self, source: &str, sender: &str) -> Result<Result<(), Reason>, Unavailable> {
        if Number::e164(sender).is_err() {
            return Ok(Err(Reason::SenderNotANumber));
        }
        self.checks.store().do_not_call(sender, PutBy::Stop, None).await?;
        count(source, "stopped");
        Ok(Ok(()))
    }

    /// The sender's own number may be rung again. False: the operator has put it on the list, and only they take it off.
    ///
    /// # Errors
    /// Outside: nobody can tell now. Inside: the sender is not a number.
    pub async fn start(&self, source: &str, sender: &str) -> Result<Result<bool, Reason>, Unavailable> {
        if Number::e164(sender).is_err() {
            return Ok(Err(Reason::SenderNotANumber));
        }
        let store = self.checks.store();
        store.may_call_again(sender, PutBy::Stop).await?;
        let still = store.not_to_be_called(&[sender]).await?;
        count(source, "started");
        Ok(Ok(still.is_empty()))
    }

    /// A trigger refused a message by itself: counted, and kept for the owner of the account, if there is one.
    pub async fn refused(&self, source: &str, sender: &str, account: Option<&str>, reason: &'static str) {
        count(source, reason);
        let Some(name) = account else { return };
        match self.checks.store().view_by_name(name).await {
            Ok(account) => self.remember(account.map(|account| account.id), source, sender, reason).await,
            Err(error) => tracing::debug!(%error, "a refusal is not remembered"),
        }
    }

    /// Keeps a refusal for the account's owner. Only a convenience: that it failed is no reason to refuse otherwise.
    pub(super) async fn remember(&self, account_id: Option<i64>, source: &str, sender: &str, reason: &str) {
        let Some(account_id) = account_id else { return };
        if !super::may_write(&self.written, account_id, source) {
            metrics::counter!("ringback_refusals_unwritten_total", "trigger" => source.to_owned()).increment(1);
            return;
        }
        if let Err(error) = self.checks.store().add_refusal(account_id, source, reason, &masked(sender)).await {
            tracing::debug!(%error, "a refusal is not remembered");
        }
    }
}

/// When failures under this name lock out, where the site's settings do not say so.
pub(super) fn lockout_of(key: &str) -> Option<Lockout> {
    (key == NAMELESS).then_some(NAMELESS_LOCKOUT)
}

impl Checks {
    /// The enabled account that alone has this secret.
    async fn only_account_with(&self, secret: &str) -> Result<Option<AccountView>, StoreError> {
        let Ok(secret) = TriggerSecret::read(secret) else { return Ok(None) };
        let mut found = Vec::new();
        for (place, (id, sealed)) in self.store().trigger_secrets().await?.iter().enumerate() {
            if verify_secret(self.site_key(), *id, Some(sealed), &secret) {
                found.push(*id);
            }
            if place % 1_000 == 999 {
                tokio::task::yield_now().await;
            }
        }
        match found[..] {
            [id] => Ok(self.store().account_by_id(id).await?.map(AccountView::from)),
            _ => Ok(None),
        }
    }
}

/// A sender as it may be shown: `+44…56`, `a…@example.net`.
fn masked(sender: &str) -> String {
    if let Ok(number) = Number::e164(sender) {
        return number.to_string();
    }
    let start: String = sender.chars().take(1).collect();
    match sender.rsplit_once('@') {
        Some((_, host)) => format!("{start}…@{}", host.chars().take(100).collect::<String>()),
        None => format!("{start}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_shown_in_part() {
        assert_eq!(masked("+447911123456"), "+44…3456");
        assert_eq!(masked("alice@example.net"), "a…@example.net");
        assert_eq!(masked("web"), "w…");
    }
}
