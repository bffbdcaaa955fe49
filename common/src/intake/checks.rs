//! The checks that need no queue: who pays, and may these numbers be called? `explain` runs them alone.

use std::time::Duration;

use super::{Party, Payer, Reason, Wish};
use crate::config::{Config, Limits};
use crate::guard;
use crate::money::Money;
use crate::number::{Country, Dialling, Number, Rule, read};
use crate::queue::PublishError;
use crate::secret::{SiteKey, TriggerSecret, verify_secret};
use crate::store::{AccountView, Store, StoreError};

/// What the site says about numbers and limits.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Short numbers that may be dialled.
    pub extensions: Vec<String>,
    /// The country of national numbers whose sender has none.
    pub home_country: Option<String>,
    /// How old a job may be when it is dialled.
    pub job_lifetime: Duration,
    /// The site's limits.
    pub limits: Limits,
}

impl From<&Config> for Rules {
    fn from(config: &Config) -> Rules {
        Rules {
            extensions: config.numbers.extensions.clone(),
            home_country: config.numbers.home_country.clone(),
            job_lifetime: config.engine.job_lifetime,
            limits: config.intake.limits.clone(),
        }
    }
}

/// Why there is no answer now.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue is away, full or silent.
    #[error(transparent)]
    Queue(PublishError),
}

/// A wish that may become a job.
#[derive(Clone, Debug)]
pub struct Approved {
    /// Who pays.
    pub account: AccountView,
    /// The first party.
    pub a: Number,
    /// How it was read.
    pub a_rule: Rule,
    /// The second party.
    pub b: Number,
    /// How it was read.
    pub b_rule: Rule,
}

/// The checks. They read the store and change nothing.
#[derive(Clone)]
pub struct Checks {
    store: Store,
    site_key: SiteKey,
    rules: Rules,
}

impl Checks {
    /// Checks against this store.
    pub fn new(store: Store, site_key: SiteKey, rules: Rules) -> Checks {
        Checks { store, site_key, rules }
    }

    /// The site's rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// How numbers from this sender are read.
    pub fn dialling(&self, sender: &str) -> Dialling<'_> {
        let home = || self.rules.home_country.as_deref().and_then(Country::by_code);
        let country = Number::e164(sender).ok().and_then(|sender| Country::of(&sender)).or_else(home);
        Dialling { country, extensions: &self.rules.extensions }
    }

    /// Each of the two numbers in dialable form with the rule by which it was read; `None` where it cannot be read.
    pub fn readings(&self, wish: &Wish) -> [Option<(Number, Rule)>; 2] {
        let from = self.dialling(&wish.sender);
        [&wish.a, &wish.b].map(|text| read(text, &from).ok())
    }

    /// The two numbers in dialable form, and how each was read.
    ///
    /// # Errors
    /// The first number that cannot be read.
    pub fn numbers(&self, wish: &Wish) -> Result<[(Number, Rule); 2], Reason> {
        let from = self.dialling(&wish.sender);
        let a = read(&wish.a, &from).map_err(|error| Reason::BadNumber(Party::A, error))?;
        let b = read(&wish.b, &from).map_err(|error| Reason::BadNumber(Party::B, error))?;
        Ok([a, b])
    }

    /// Numbers, sender and secret, account, balance, and the numbers nobody may call; not: limits, countries, routes, rates.
    ///
    /// # Errors
    /// Outside: the store is away. Inside: why the wish is refused.
    pub async fn examine(&self, wish: &Wish) -> Result<Result<Approved, Reason>, StoreError> {
        let [(a, a_rule), (b, b_rule)] = match self.numbers(wish) {
            Ok(numbers) => numbers,
            Err(reason) => return Ok(Err(reason)),
        };
        let account = match self.payer(wish).await? {
            Ok(account) => account,
            Err(reason) => return Ok(Err(reason)),
        };
        let approved = Approved { account, a, a_rule, b, b_rule };
        Ok(may_call(&approved).map(|()| approved))
    }

    /// The account that pays. A secret counts only from a number registered to that very account, so the sender alone finds
    /// the account, and an unknown user and a wrong secret take the same steps.
    async fn payer(&self, wish: &Wish) -> Result<Result<AccountView, Reason>, StoreError> {
        let (user, secret) = match &wish.payer {
            Payer::Account(name) => {
                return Ok(self.store.view_by_name(name).await?.ok_or(Reason::UnknownAccount));
            }
            Payer::Secret { user, secret } => (user, secret),
        };
        let Some(account) = self.store.view_by_number(&wish.sender).await? else {
            return Ok(Err(Reason::SenderNotRegistered));
        };
        let (well_formed, secret) = match TriggerSecret::read(secret) {
            Ok(secret) => (true, secret),
            Err(_) => (false, TriggerSecret::never()),
        };
        let right_secret = verify_secret(&self.site_key, account.id, account.trigger_secret.as_ref(), &secret);
        let right_user = user.to_lowercase() == account.name.to_lowercase();
        Ok(if right_secret & right_user & well_formed { Ok(account) } else { Err(Reason::BadSecretOrUser) })
    }
}

/// The account may spend, and both numbers may be called.
fn may_call(approved: &Approved) -> Result<(), Reason> {
    let Approved { account, a, b, .. } = approved;
    if !account.enabled {
        return Err(Reason::AccountDisabled);
    }
    if account.balance <= Money::ZERO {
        return Err(Reason::NoMoney);
    }
    for (party, number) in [(Party::A, a), (Party::B, b)] {
        guard::check(number, &account.allow).map_err(|block| Reason::Blocked(party, block))?;
    }
    if a == b { Err(Reason::SameNumber) } else { Ok(()) }
}
