//! The checks that need no queue: who pays, and may these numbers be called? `explain` runs them alone.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::{Ask, Party, Payer, Proof, Reason, Who, Wish};
use crate::config::{Config, Limits};
use crate::guard::{self, Block};
use crate::job::{JobId, Quote};
use crate::money::Money;
use crate::number::{Country, Dialling, Number, Rule, read};
use crate::queue::PublishError;
use crate::secret::{SiteKey, TriggerSecret, verify_secret};
use crate::store::{AccountView, Confirmed, Store, StoreError};

/// What the site says about numbers and limits.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Short numbers that may be dialled.
    pub extensions: Vec<String>,
    /// The country of national numbers whose sender has none.
    pub home_country: Option<String>,
    /// How old a job may be when it is dialled.
    pub job_lifetime: Duration,
    /// How long after a wish the same one from another trigger is the same callback.
    pub same_call_window: Duration,
    /// The site's limits.
    pub limits: Limits,
    /// How long what a message brought is kept.
    pub keep_messages: Duration,
}

impl From<&Config> for Rules {
    fn from(config: &Config) -> Rules {
        Rules {
            extensions: config.numbers.extensions.clone(),
            home_country: config.numbers.home_country.clone(),
            job_lifetime: config.engine.job_lifetime,
            same_call_window: config.intake.same_call_window,
            limits: config.intake.limits.clone(),
            keep_messages: Duration::from_secs(3600 * u64::from(config.retention.message_hours)),
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
    /// The second party; `None`: A is asked by voice, or a quote needs none.
    pub b: Option<Number>,
    /// What is asked, if nobody is to be called.
    pub quote: Option<Quote>,
    /// Numbers to be tried when B is busy.
    pub forwards: Vec<Number>,
}

impl Approved {
    /// Every number that may come to be called, and which it is.
    fn called(&self) -> impl Iterator<Item = (Party, &Number)> {
        let a = self.quote.is_none().then_some((Party::A, &self.a));
        let b = self.b.iter().map(|b| (Party::B, b));
        a.into_iter().chain(b).chain(self.forwards.iter().map(|forward| (Party::Forward, forward)))
    }
}

/// The numbers that a message wrote down, in dialable form, each with the rule by which it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The first party.
    pub a: Option<(Number, Rule)>,
    /// The second party.
    pub b: Option<(Number, Rule)>,
    /// Those to be tried when B is busy.
    pub forwards: Vec<Number>,
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

    pub(super) fn site_key(&self) -> &SiteKey {
        &self.site_key
    }

    /// How numbers from this sender are read.
    pub fn dialling(&self, sender: &str) -> Dialling<'_> {
        let home = || self.rules.home_country.as_deref().and_then(Country::by_code);
        let country = Number::e164(sender).ok().and_then(|sender| Country::of(&sender)).or_else(home);
        Dialling { country, extensions: &self.rules.extensions }
    }

    /// Each of the two parties that the wish names in dialable form; `None` where there is none, or it cannot be read.
    ///
    /// # Errors
    /// The store is away.
    pub async fn readings(&self, wish: &Wish) -> Result<Written, StoreError> {
        let home = match Number::e164(&wish.sender) {
            Ok(_) => None,
            Err(_) => {
                self.payer(&wish.sender, &wish.payer).await?.ok().and_then(|payer| payer.numbers.into_iter().next())
            }
        };
        let from = self.dialling(home.as_deref().unwrap_or(&wish.sender));
        let [a, b] = wish.ask.numbers();
        let one = |text: Option<&str>| text.and_then(|text| read(text, &from).ok());
        Ok(Written { a: one(a), b: one(b), forwards: Vec::new() })
    }

    /// The numbers that the wish names in dialable form, as its sender means them.
    ///
    /// # Errors
    /// The first number that cannot be read.
    pub fn numbers(&self, wish: &Wish) -> Result<Written, Reason> {
        self.numbers_from(wish, &wish.sender)
    }

    fn numbers_from(&self, wish: &Wish, sender: &str) -> Result<Written, Reason> {
        let from = self.dialling(sender);
        let [a, b] = wish.ask.numbers();
        let one = |party, text: Option<&str>| {
            let number = text.map(|text| read(text, &from)).transpose();
            number.map_err(|error| Reason::BadNumber(party, error))
        };
        let (a, b) = (one(Party::A, a)?, one(Party::B, b)?);
        let mut forwards = Vec::with_capacity(wish.forwards.len());
        for text in &wish.forwards {
            forwards.extend(one(Party::Forward, Some(text))?.map(|(number, _)| number));
        }
        Ok(Written { a, b, forwards })
    }

    /// Numbers, sender and proof, account, balance, and the numbers nobody may call; not: limits, countries, routes, rates.
    ///
    /// # Errors
    /// Outside: the store is away. Inside: why the wish is refused.
    pub async fn examine(&self, wish: &Wish) -> Result<Result<Approved, Reason>, StoreError> {
        self.examine_and_name(wish, &mut None).await
    }

    /// [`Checks::examine`], and the limits as far as the store knows what was used: what waits on the queue is not seen.
    ///
    /// # Errors
    /// Outside: the store is away. Inside: why the wish would be refused.
    pub async fn foresee(&self, wish: &Wish) -> Result<Result<Approved, Reason>, StoreError> {
        let approved = match self.examine(wish).await? {
            Ok(approved) => approved,
            Err(reason) => return Ok(Err(reason)),
        };
        let job = JobId::of_message(&wish.source, &wish.message_id, &wish.sender);
        let limit = self.limit_beyond(&job, &approved, &[]).await?;
        Ok(limit.map_or(Ok(approved), |limit| Err(Reason::Limit(limit))))
    }

    /// The limit that this job would go beyond, after those that are confirmed already.
    pub(super) async fn limit_beyond(
        &self,
        job: &JobId,
        approved: &Approved,
        before: &[Confirmed],
    ) -> Result<Option<&'static str>, StoreError> {
        let (account, store) = (&approved.account, &self.store);
        if account.limits_off {
            return Ok(None);
        }
        let limits = self.rules.limits.overridden(&account.limits).unwrap_or_else(|error| {
            tracing::error!(account = account.name, "its own limits are not understood, the site's hold: {error}");
            Cow::Borrowed(&self.rules.limits)
        });
        if approved.quote.is_some() {
            let asked = store.questions_since(account.id, Utc::now() - TimeDelta::minutes(1), before).await?;
            let too_often = asked >= i64::from(limits.jobs_per_account_per_minute);
            return Ok(too_often.then_some("jobs_per_account_per_minute"));
        }
        let counts = store.velocity(account.id, job, approved.b.as_ref().map(Number::as_str), before).await?;
        Ok(guard::limit_reached(&counts, &limits))
    }

    /// [`Checks::examine`]; tells also which account would have paid, if it got so far or belongs to the sender.
    pub(super) async fn examine_and_name(
        &self,
        wish: &Wish,
        account_id: &mut Option<i64>,
    ) -> Result<Result<Approved, Reason>, StoreError> {
        let by_number = Number::e164(&wish.sender).is_ok();
        let early = if by_number { self.numbers(wish) } else { Ok(Written::default()) };
        let early = match early {
            Ok(written) => written,
            Err(reason) => return Ok(Err(reason)),
        };
        let account = match self.payer_and_name(&wish.sender, &wish.payer, account_id).await? {
            Ok(account) => account,
            Err(reason) => return Ok(Err(reason)),
        };
        *account_id = Some(account.id);
        let home = account.numbers.first().map_or("", String::as_str);
        let written = match if by_number { Ok(early) } else { self.numbers_from(wish, home) } {
            Ok(written) => written,
            Err(reason) => return Ok(Err(reason)),
        };
        let approved = match self.parties(wish, account, written).await? {
            Ok(approved) => approved,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Err(reason) = may_call(&approved) {
            return Ok(Err(reason));
        }
        Ok(self.not_stopped(&approved).await?.map(|()| approved))
    }

    /// The two parties: as they were written, or as the account and its past say.
    async fn parties(
        &self,
        wish: &Wish,
        account: AccountView,
        written: Written,
    ) -> Result<Result<Approved, Reason>, StoreError> {
        let quote = match &wish.ask {
            Ask::Redial => {
                let Some(last) = self.store.last_request(account.id, &wish.sender).await? else {
                    return Ok(Err(Reason::NothingToRepeat));
                };
                let forwards = written.forwards;
                return Ok(Ok(Approved { account, a: last.job.a, b: last.job.b, quote: None, forwards }));
            }
            Ask::Callback { .. } => None,
            Ask::Balance => Some(Quote::Balance),
            Ask::Rate { .. } => Some(Quote::Rate),
            Ask::LastCall => Some(Quote::LastCall),
        };
        if let (Proof::Registered, Some((a, _))) = (&wish.payer.proof, &written.a)
            && a.as_str() != wish.sender
            && !account.numbers.iter().any(|own| own == a.as_str())
        {
            return Ok(Err(Reason::PinNeeded));
        }
        let forwards = written.forwards;
        let b = written.b.map(|(number, _)| number);
        let a =
            written.a.map(|(number, _)| number).or_else(|| callback_number(&wish.sender, &wish.payer.who, &account));
        Ok(a.ok_or(Reason::NoCallbackNumber).map(|a| Approved { account, a, b, quote, forwards }))
    }

    /// Whether a party is on the do-not-call list.
    async fn not_stopped(&self, approved: &Approved) -> Result<Result<(), Reason>, StoreError> {
        if approved.quote.is_some() {
            return Ok(Ok(()));
        }
        let numbers: Vec<&str> = approved.called().map(|(_, number)| number.as_str()).collect();
        let stopped = self.store.not_to_be_called(&numbers).await?;
        let party = approved.called().find(|(_, number)| stopped.iter().any(|one| one == number.as_str()));
        Ok(party.map_or(Ok(()), |(party, _)| Err(Reason::Blocked(party, Block::DoNotCall))))
    }

    /// The account that pays for what this sender wants.
    ///
    /// An unknown user, somebody else's account and a wrong secret take the same steps and hear the same answer.
    ///
    /// # Errors
    /// Outside: the store is away. Inside: why nobody pays.
    pub async fn payer(&self, sender: &str, payer: &Payer) -> Result<Result<AccountView, Reason>, StoreError> {
        self.payer_and_name(sender, payer, &mut None).await
    }

    async fn payer_and_name(
        &self,
        sender: &str,
        payer: &Payer,
        account_id: &mut Option<i64>,
    ) -> Result<Result<AccountView, Reason>, StoreError> {
        let own = match &payer.proof {
            Proof::Trusted => return self.trusted(sender, &payer.who).await,
            Proof::Secret { secret, vouched } => {
                let named = self.named(sender, &payer.who).await?;
                return Ok(self.by_secret_alone(named, secret, *vouched));
            }
            Proof::Registered | Proof::RegisteredAndSecret(_) => self.store.view_by_number(sender).await?,
            Proof::Mail(from) => self.store.view_by_email(from).await?,
        };
        let Some(own) = own else { return Ok(Err(Reason::SenderNotRegistered)) };
        *account_id = Some(own.id);
        let named = match &payer.who {
            Who::Sender => Ok(true),
            Who::Named(name) => Ok(name.to_lowercase() == own.name.to_lowercase()),
            Who::Suffix(digits) => decide_by_sender(&self.store.views_by_tail(digits).await?, Some(&own)),
        };
        Ok(match (&payer.proof, named) {
            (Proof::RegisteredAndSecret(secret), Ok(right_account)) => {
                let right_secret = self.fits(Some(&own), secret);
                if right_secret & right_account { Ok(own) } else { Err(Reason::BadSecretOrUser) }
            }
            (_, Ok(true)) => Ok(own),
            (_, Ok(false)) => Err(Reason::NotYourAccount),
            (_, Err(reason)) => Err(reason),
        })
    }

    /// Whether an address that is vouched for tries the secret of an account that it is not registered to.
    pub(super) async fn tries_another(&self, wish: &Wish) -> Result<bool, StoreError> {
        let Proof::Secret { vouched: true, .. } = &wish.payer.proof else { return Ok(false) };
        let meant = self.named(&wish.sender, &wish.payer.who).await?.ok().flatten();
        let own = self.owner(&wish.sender).await?;
        Ok(!matches!((meant, own), (Some(meant), Some(own)) if meant.id == own.id))
    }

    /// The account that the trigger vouches for.
    async fn trusted(&self, sender: &str, who: &Who) -> Result<Result<AccountView, Reason>, StoreError> {
        let account = match who {
            Who::Named(name) => self.store.view_by_name(name).await?,
            Who::Sender => return Ok(self.owner(sender).await?.ok_or(Reason::SenderNotRegistered)),
            Who::Suffix(digits) => match one_of(self.store.views_by_tail(digits).await?, self.owner(sender).await?) {
                Ok(account) => account,
                Err(reason) => return Ok(Err(reason)),
            },
        };
        Ok(account.ok_or(Reason::UnknownAccount))
    }

    /// The account that is meant, whether the sender may use it or not.
    async fn named(&self, sender: &str, who: &Who) -> Result<Result<Option<AccountView>, Reason>, StoreError> {
        Ok(match who {
            Who::Named(name) => Ok(self.store.view_by_any_case(name).await?),
            Who::Sender => Ok(self.owner(sender).await?),
            Who::Suffix(digits) => one_of(self.store.views_by_tail(digits).await?, self.owner(sender).await?),
        })
    }

    fn by_secret_alone(
        &self,
        named: Result<Option<AccountView>, Reason>,
        secret: &str,
        vouched: bool,
    ) -> Result<AccountView, Reason> {
        let account = named.as_ref().ok().and_then(Option::as_ref);
        let right = self.fits(account, secret);
        match named? {
            Some(account) if right && account.mail_must_be_vouched && !vouched => Err(Reason::MailNotVouched),
            Some(account) if right => Ok(account),
            _ => Err(Reason::BadSecretOrUser),
        }
    }

    /// Whether this is the account's secret; in the same time whether it is or not, and whether there is an account or not.
    fn fits(&self, account: Option<&AccountView>, secret: &str) -> bool {
        let (well_formed, secret) = match TriggerSecret::read(secret) {
            Ok(secret) => (true, secret),
            Err(_) => (false, TriggerSecret::never()),
        };
        let (id, sealed) = account.map_or((0, None), |account| (account.id, account.trigger_secret.as_ref()));
        verify_secret(&self.site_key, id, sealed, &secret) & well_formed
    }

    /// The account to which the sender, a number or a mail address, is registered.
    async fn owner(&self, sender: &str) -> Result<Option<AccountView>, StoreError> {
        if sender.contains('@') {
            self.store.view_by_email(sender).await
        } else {
            self.store.view_by_number(sender).await
        }
    }
}

/// Whether the sender's own account is the one meant by the last digits that all of these share.
fn decide_by_sender(found: &[AccountView], own: Option<&AccountView>) -> Result<bool, Reason> {
    let mine = own.is_some_and(|own| found.iter().any(|account| account.id == own.id));
    if mine || found.len() <= 1 { Ok(mine) } else { Err(Reason::AmbiguousDid) }
}

/// The one account of these; the sender's own, if there are several.
fn one_of(mut found: Vec<AccountView>, own: Option<AccountView>) -> Result<Option<AccountView>, Reason> {
    if found.len() > 1 {
        return if decide_by_sender(&found, own.as_ref())? { Ok(own) } else { Err(Reason::AmbiguousDid) };
    }
    Ok(found.pop())
}

/// Where an account is called back: at the sender, if that number is its own; else at the number that the last digits name, where
/// they are no DID's; else at its first number.
fn callback_number(sender: &str, who: &Who, account: &AccountView) -> Option<Number> {
    let named = |number: &&String| match who {
        Who::Suffix(digits) => number.ends_with(digits) && !account.dids.iter().any(|did| did.ends_with(digits)),
        Who::Named(_) | Who::Sender => false,
    };
    let of = |meant: &dyn Fn(&&String) -> bool| account.numbers.iter().find(meant);
    of(&|number| *number == sender).or_else(|| of(&named)).or_else(|| account.numbers.first())?.parse().ok()
}

/// The account may spend, and both numbers may be called. Who only asks a question needs no money.
fn may_call(approved: &Approved) -> Result<(), Reason> {
    let Approved { account, a, b, quote, .. } = approved;
    if !account.enabled {
        return Err(Reason::AccountDisabled);
    }
    if quote.is_none() && account.balance <= Money::ZERO {
        return Err(Reason::NoMoney);
    }
    for (party, number) in approved.called() {
        guard::check(number, &account.allow).map_err(|block| Reason::Blocked(party, block))?;
    }
    if quote.is_none() && b.as_ref() == Some(a) { Err(Reason::SameNumber) } else { Ok(()) }
}
