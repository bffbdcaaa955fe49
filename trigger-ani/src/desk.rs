//! The desk: says what becomes of a missed call. What was rung, who rang, who pays, whom to call; it reads the store and changes
//! nothing.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ringback_common::config::{AniConfig, AniOptions};
use ringback_common::intake::{Ask, Checks, Payer as PaidBy, Wish};
use ringback_common::job::JobId;
use ringback_common::number::Number;
use ringback_common::store::{AccountView, AppKind, Application, Behind, Store, StoreError};
use ringback_common::terms::{Cli, Diversion, Session, Terms};
use ringback_sip::Message;
use ringback_sip::uri::Uri;

use crate::SOURCE;
use crate::caller::{self, Caller, NoCaller};
use crate::cld::{self, SubApplication};
use crate::payer::{self, Matched};

/// The time for which no job waits and is tried, whatever an application's options say.
const LONGEST: Duration = Duration::from_secs(86_400);
/// A phone is taken to ring so long where nothing is said.
const RINGS: u32 = 120;
/// What lies between the attempts besides.
const SLACK: u64 = 60;

/// The sender of a job whose caller has no number.
const NOBODY: &str = "anonymous";

/// The trunk that brought a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// Its name.
    pub trunk: String,
    /// The number that every call through it shows.
    pub cli: Option<String>,
    /// The operator's translation rule writes what it calls, so `ani_<options>_<string>` is no caller's wish.
    pub cld_form: bool,
}

/// What becomes of a call.
pub enum Judged {
    /// A callback.
    Callback(Box<Plan>),
    /// None.
    Refused(Refusal),
}

/// A callback to be asked for.
pub struct Plan {
    /// What intake is asked for, but for the moment.
    pub wish: Wish,
    /// How the missed call is treated.
    pub options: AniOptions,
    /// The numbers of which one callback within a while is enough.
    pub numbers: Vec<String>,
    /// The caller's number, and the account that is theirs: they may be told why not.
    pub known: Option<(Number, String)>,
}

/// No callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Stable, in snake_case.
    pub reason: &'static str,
    /// How the call is refused.
    pub code: u16,
    /// The caller's number, if it could be read.
    pub caller: Option<Number>,
    /// The account that is theirs.
    pub account: Option<String>,
}

/// One call, as far as it is read.
#[derive(Clone, Copy)]
struct Rung<'a> {
    invite: &'a Message,
    /// The user part of the Request-URI.
    called: &'a str,
    caller: &'a Caller,
}

/// What a number that was rung leads to.
struct Target {
    options: AniOptions,
    /// Who is called and pays, if that does not depend on who calls.
    owner: Option<String>,
    application: SubApplication,
    cld: String,
    no_anonymous_accounting: bool,
    /// The second party stands in the CLD itself, not in the pool.
    free: bool,
}

/// Says what becomes of calls.
#[derive(Clone)]
pub struct Desk {
    config: AniConfig,
    checks: Checks,
    store: Store,
}

impl Desk {
    /// A desk by these settings.
    pub fn new(config: AniConfig, checks: Checks, store: Store) -> Desk {
        Desk { config, checks, store }
    }

    /// The settings.
    pub fn config(&self) -> &AniConfig {
        &self.config
    }

    /// What becomes of this INVITE. The same one has the same answer while the store is the same.
    ///
    /// # Errors
    /// The store is away.
    pub async fn judge(&self, invite: &Message, from: &From) -> Result<Judged, StoreError> {
        let caller = caller::read(invite, &self.config.cli_from);
        let number = self.number(&caller);
        let known = number.clone().ok();
        let refused =
            |reason, code| Ok(Judged::Refused(Refusal { reason, code, caller: known.clone(), account: None }));
        let called = Uri::parse(invite.request_uri()).and_then(|uri| uri.user).unwrap_or_default();
        let rung = Rung { invite, called, caller: &caller };
        let target = match self.target(called, from).await? {
            Ok(target) => target,
            Err(reason) => return refused(reason, 404),
        };
        let code = target.options.hangup_sip_response_code;
        if !caller.verstat.allows(self.config.verstat) {
            return refused("verstat", code);
        }
        if self.loops(invite, number.as_ref().ok(), from, &target.options.fixed_cli).await? {
            return refused("loop", code);
        }
        match &target.owner {
            Some(owner) => {
                let plan = self.personal(rung, number.ok(), owner, &target).await?;
                Ok(Judged::Callback(Box::new(plan)))
            }
            None => match number {
                Ok(number) => self.by_caller(rung, number, &target).await,
                Err(why) => refused(why.code(), code),
            },
        }
    }

    /// Whether this caller had another callback within the window, also before we were started.
    ///
    /// # Errors
    /// The store is away.
    pub async fn had_one_lately(&self, plan: &Plan) -> Result<bool, StoreError> {
        let Wish { source, message_id, sender, .. } = &plan.wish;
        let window = TimeDelta::from_std(self.config.window).unwrap_or_default();
        if window.is_zero() || sender == NOBODY {
            return Ok(false);
        }
        let job = JobId::of_message(source, message_id, sender);
        self.store.asked_since(source, sender, Utc::now() - window, &job).await
    }

    /// Whether this job ended before anybody's phone was called.
    ///
    /// # Errors
    /// The store is away.
    pub async fn called_nobody(&self, job: &JobId) -> Result<bool, StoreError> {
        let row = self.store.find(job).await?;
        Ok(row.is_some_and(|row| row.twin || (row.setup_time.is_none() && (row.finished || row.canceled))))
    }

    fn number(&self, caller: &Caller) -> Result<Number, NoCaller> {
        let written = caller.number.as_ref().map_err(|why| *why)?;
        let read = ringback_common::number::read_caller(written, &self.checks.dialling(""));
        read.map(|(number, _)| number).map_err(|_| NoCaller::Garbled)
    }

    // --- What was rung ------------------------------------------------------------------------------------------------------

    async fn target(&self, called: &str, from: &From) -> Result<Result<Target, &'static str>, StoreError> {
        if let Some(cld) = cld::read(called).filter(|_| from.cld_form) {
            let named = self.store.application(&cld.string).await?;
            let mut target = match named {
                Some(application) => self.started(&application, Some(&cld.string)).await?,
                None => cld
                    .application()
                    .map(|application| Target {
                        free: matches!(application, SubApplication::TwoWay(_)),
                        ..self.plain(application, cld.string.clone())
                    })
                    .ok_or("unknown_application"),
            };
            if let Ok(target) = &mut target {
                target.no_anonymous_accounting = cld.no_anonymous_accounting;
            }
            return Ok(target);
        }
        let Ok((number, _)) = ringback_common::number::read_caller(called, &self.checks.dialling("")) else {
            return Ok(Err("unknown_did"));
        };
        let Some(did) = self.store.did(number.as_str()).await? else { return Ok(Err("unknown_did")) };
        match did.behind {
            Behind::Application(name) => match self.store.application(&name).await? {
                Some(application) => self.started(&application, None).await,
                None => Ok(Err("unknown_application")),
            },
            Behind::Account { name, b } => {
                let application = b.map_or(SubApplication::CallingCard, SubApplication::TwoWay);
                let cld = number.as_str().to_owned();
                let mut target = self.plain(application, cld);
                target.options.delay_before_callback = 0;
                Ok(Ok(Target { owner: Some(name), ..target }))
            }
        }
    }

    fn plain(&self, application: SubApplication, cld: String) -> Target {
        let options = self.config.options.clone();
        Target { options, owner: None, application, cld, no_anonymous_accounting: false, free: false }
    }

    /// What this application is, or starts. Its session is called by its own string, else by the one that was rung for.
    async fn started(
        &self,
        named: &Application,
        rung_for: Option<&str>,
    ) -> Result<Result<Target, &'static str>, StoreError> {
        let options = match self.config.options.with_all(&named.options) {
            Ok(options) => options,
            Err(error) => {
                tracing::error!(application = named.name, "its options are not understood: {error}");
                return Ok(Err("unknown_application"));
            }
        };
        let second = match (&named.kind, &named.application) {
            (AppKind::AniCallback, Some(started)) => self.store.application(started).await?,
            _ => Some(named.clone()),
        };
        let Some(Application { kind, cld, b, .. }) = second else { return Ok(Err("unknown_application")) };
        let application = match (kind, b) {
            (AppKind::CallingCard, _) => SubApplication::CallingCard,
            (AppKind::TwoWay, Some(b)) => SubApplication::TwoWay(b),
            _ => return Ok(Err("unknown_application")),
        };
        let cld = cld.or_else(|| rung_for.map(str::to_owned)).unwrap_or_else(|| match &application {
            SubApplication::CallingCard => "callingcard".to_owned(),
            SubApplication::TwoWay(b) => b.clone(),
        });
        Ok(Ok(Target { options, ..self.plain(application, cld) }))
    }

    // --- Who rang -----------------------------------------------------------------------------------------------------------

    /// Whether the call is our own one coming back: its caller, or whoever diverted it, is on the line with us, or is a number of
    /// ours.
    async fn loops(
        &self,
        invite: &Message,
        caller: Option<&Number>,
        from: &From,
        fixed: &str,
    ) -> Result<bool, StoreError> {
        let dialling = self.checks.dialling("");
        let diverted = caller::diverted_from(invite);
        let diverted =
            diverted.iter().filter_map(|text| Some(ringback_common::number::read_caller(text, &dialling).ok()?.0));
        for number in caller.cloned().into_iter().chain(diverted) {
            let own = from.cli.as_deref() == Some(number.as_str()) || fixed == number.as_str();
            if own
                || self.store.did(number.as_str()).await?.is_some()
                || self.store.on_the_line(number.as_str()).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn by_caller(&self, rung: Rung<'_>, number: Number, target: &Target) -> Result<Judged, StoreError> {
        let account = if target.options.disable_cli_authentication { None } else { self.account_of(&number).await? };
        let matched = account
            .as_ref()
            .map(|account| Matched { account: account.name.clone(), solvent: self.solvent(account, &target.options) });
        let known = matched.as_ref().map(|matched| (number.clone(), matched.account.clone()));
        let payer = match payer::decide(&target.options, matched.as_ref(), target.free) {
            Ok(payer) => payer,
            Err(why) => {
                let code = target.options.hangup_sip_response_code;
                let account = matched.map(|matched| matched.account);
                return Ok(Judged::Refused(Refusal { reason: why.code(), code, caller: Some(number), account }));
            }
        };
        let session = Session {
            cli: cli_of(&number),
            cld: target.cld.clone(),
            application: target.application.as_str().to_owned(),
            anon_acct_enabled: target.options.enable_anonymous_accounting && !target.no_anonymous_accounting,
            default_user_used: payer.default_used,
            real_account: payer.real,
        };
        let ask = Ask::Callback { a: Some(number.as_str().to_owned()), b: second_party(&target.application) };
        let wish = self.wish(rung, number.as_str(), (payer.account, ask), session, target);
        let numbers = vec![number.as_str().to_owned()];
        Ok(Judged::Callback(Box::new(Plan { wish, options: target.options.clone(), numbers, known })))
    }

    /// First the account that is named by the number, as it is written or in digits; then the one it is registered to.
    async fn account_of(&self, number: &Number) -> Result<Option<AccountView>, StoreError> {
        for name in [number.as_str(), number.digits()] {
            if let Some(account) = self.store.view_by_name(name).await? {
                return Ok(Some(account));
            }
        }
        self.store.view_by_number(number.as_str()).await
    }

    fn solvent(&self, account: &AccountView, options: &AniOptions) -> bool {
        let Ok(minimum) = options.minimum() else { return false };
        minimum.is_none_or(|minimum| match self.config.converted(&minimum, &account.currency) {
            Some(least) => account.balance >= least,
            None => {
                tracing::warn!(currency = account.currency, "minimum_balance cannot be converted; see [ani.exchange]");
                false
            }
        })
    }

    /// A personal number: its owner is called, whoever rang.
    async fn personal(
        &self,
        rung: Rung<'_>,
        number: Option<Number>,
        owner: &str,
        target: &Target,
    ) -> Result<Plan, StoreError> {
        let sender = number.as_ref().map_or_else(|| NOBODY.to_owned(), |number| number.as_str().to_owned());
        let session = Session {
            cli: number.as_ref().map_or_else(Cli::anonymous, cli_of),
            cld: target.cld.clone(),
            application: target.application.as_str().to_owned(),
            anon_acct_enabled: target.options.enable_anonymous_accounting,
            default_user_used: false,
            real_account: None,
        };
        let ask = Ask::Callback { a: None, b: second_party(&target.application) };
        let wish = self.wish(rung, &sender, (owner.to_owned(), ask), session, target);
        let numbers = [format!("did {}", target.cld)].into_iter().chain(number.as_ref().map(|n| n.as_str().to_owned()));
        let numbers = numbers.collect();
        let known = match number {
            Some(number) => {
                self.account_of(&number).await?.filter(|own| own.name == owner).map(|own| (number, own.name))
            }
            None => None,
        };
        Ok(Plan { wish, options: target.options.clone(), numbers, known })
    }

    fn wish(
        &self,
        rung: Rung<'_>,
        sender: &str,
        (account, ask): (String, Ask),
        session: Session,
        target: &Target,
    ) -> Wish {
        let Rung { invite, called, caller } = rung;
        let options = &target.options;
        let rung = ringback_common::number::read_caller(called, &self.checks.dialling(""))
            .ok()
            .map(|(number, _)| cli_of(&number));
        let fixed = Cli::read(&options.fixed_cli).ok();
        let diversion = options.diversion(self.config.profile).zip(fixed.clone().or_else(|| rung.clone()));
        let trunk_a = Some(options.sip_proxy_for_callback_calls.clone()).filter(|trunk| !trunk.is_empty());
        let terms = Terms {
            cli_a: fixed.or(rung),
            cli_b: caller.private.then(Cli::anonymous),
            attempts: Some(options.max_callback_attempts),
            backoff_seconds: Some(options.backoff_interval),
            no_answer_seconds: options.no_answer(self.config.profile),
            trunk_a,
            diversion: diversion.map(|(reason, from)| Diversion { from, reason: reason.to_owned() }),
            session: Some(session),
            ..Terms::default()
        };
        Wish {
            source: SOURCE.to_owned(),
            message_id: invite.call_id().to_owned(),
            sender: sender.to_owned(),
            payer: PaidBy::account(account),
            ask,
            terms,
            forwards: Vec::new(),
            not_before: None,
            received: None,
            reply: None,
            metadata: Default::default(),
        }
    }
}

impl Plan {
    /// The wish, when the call is over at this moment: from then on it counts how old the job is.
    pub fn wish_at(&self, over: DateTime<Utc>, lead: Duration) -> Wish {
        let delay = Duration::from_secs(self.options.delay_before_callback.into()) + lead;
        Wish { not_before: Some(over + delay), received: Some(over), ..self.wish.clone() }
    }

    /// How old the job may become: as long as its delay and all of its attempts take.
    pub fn lifetime(&self) -> Duration {
        let AniOptions { delay_before_callback, backoff_interval, max_callback_attempts, .. } = self.options;
        let attempt = u64::from(self.wish.terms.no_answer_seconds.unwrap_or(RINGS)) + u64::from(backoff_interval);
        let attempts = attempt.saturating_mul(max_callback_attempts.into());
        Duration::from_secs(attempts.saturating_add(u64::from(delay_before_callback) + SLACK)).min(LONGEST)
    }
}

fn cli_of(number: &Number) -> Cli {
    Cli::read(number.as_str()).unwrap_or_else(|_| Cli::anonymous())
}

fn second_party(application: &SubApplication) -> Option<String> {
    match application {
        SubApplication::CallingCard => None,
        SubApplication::TwoWay(b) => Some(b.clone()),
    }
}

#[cfg(test)]
mod tests;
