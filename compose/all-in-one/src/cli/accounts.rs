//! `ringback account`: who may call, from which numbers, with what money.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};
use clap::{Args, Subcommand};
use ringback_common::config::Config;
use ringback_common::money::Money;
use ringback_common::number::{self, Country, Dialling, NumberError};
use ringback_common::secret::{TriggerSecret, seal_secret};
use ringback_common::store::{Account, AccountChange, NewAccount, Sealed};
use uuid::Uuid;

use super::view::AccountView;
use super::{Common, Fail, World, print};

/// Refusals that `account show` shows.
const LATEST_REFUSALS: u32 = 20;
/// Longer secrets than this are no secrets but files.
const MOST_STDIN: u64 = 4_096;
/// Sign-in passwords have at least so many characters.
const SHORTEST_PASSWORD: usize = 8;

/// `ringback account ...`
#[derive(Subcommand)]
pub enum AccountCommand {
    /// Add an account
    Add(Named),
    /// Change an account: what is given is replaced, the rest stays
    Set(Named),
    /// List all accounts
    List,
    /// Show one account
    Show {
        /// The account
        name: String,
    },
    /// Add money to an account (a negative amount takes some)
    Topup {
        /// The account
        name: String,
        /// How much, like 10.00
        #[arg(allow_negative_numbers = true)]
        amount: String,
    },
    /// No more callbacks on it; live ones are ended
    Disable {
        /// The account
        name: String,
    },
    /// Callbacks on it again
    Enable {
        /// The account
        name: String,
    },
    /// Forget it, with its numbers; only without money and unfinished callbacks, and what was booked stays in the books
    Remove {
        /// The account
        name: String,
    },
}

/// An account and what to set on it.
#[derive(Args)]
pub struct Named {
    /// The account
    name: String,
    #[command(flatten)]
    options: Options,
}

/// What can be set on an account.
#[derive(Args)]
struct Options {
    /// Its money, like 10.00
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    balance: Option<String>,
    /// Three letters, like USD
    #[arg(long)]
    currency: Option<String>,
    /// A number it asks from; may be repeated; on `set` these replace all
    #[arg(long = "number", value_name = "+NUMBER")]
    numbers: Vec<String>,
    /// A number of ours that rings its callback; may be repeated
    #[arg(long = "did", value_name = "+NUMBER")]
    dids: Vec<String>,
    /// An address it asks from; may be repeated
    #[arg(long = "email", value_name = "ADDRESS")]
    emails: Vec<String>,
    /// Read its PIN or SMS password from standard input, all of it; one final line end is dropped
    #[arg(long, conflicts_with = "password_stdin")]
    pin_stdin: bool,
    /// Read its sign-in password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Dialling prefixes it may call, without +, like 44,92,1876; without it, the countries of its numbers
    #[arg(long, value_name = "PREFIX,...", value_delimiter = ',')]
    allow: Option<Vec<String>>,
    /// A limit of its own, like jobs_per_account_per_hour=40; an empty VALUE goes back to the site's
    #[arg(long = "limit", value_name = "KEY=VALUE")]
    own_limits: Vec<String>,
    /// off: no velocity, concurrency or spend limit holds for it
    #[arg(long, value_parser = ["on", "off"])]
    limits: Option<String>,
    /// The language it is answered in; "" goes back to that of its country or message
    #[arg(long, value_parser = ["en", "es", "fr", "zh", ""])]
    language: Option<String>,
    /// on: a mail with its secret counts only if DKIM vouches for the mail too
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    mail_vouched: Option<String>,
}

/// Does what `ringback account` says.
pub async fn account(common: &Common, command: AccountCommand) -> Result<(), Fail> {
    match command {
        AccountCommand::Add(named) => add(common, named).await,
        AccountCommand::Set(named) => set(common, named).await,
        AccountCommand::List => list(common).await,
        AccountCommand::Show { name } => show(common, &name).await,
        AccountCommand::Topup { name, amount } => topup(common, &name, &amount).await,
        AccountCommand::Disable { name } => enable(common, &name, false).await,
        AccountCommand::Enable { name } => enable(common, &name, true).await,
        AccountCommand::Remove { name } => remove(common, &name).await,
    }
}

async fn add(common: &Common, named: Named) -> Result<(), Fail> {
    let Named { name, options } = named;
    check_name(&name)?;
    let secrets = Secrets::read(&options)?;
    let balance = options.balance()?.unwrap_or(Money::ZERO);
    let world = World::open(common).await?;
    let new = NewAccount {
        name: name.clone(),
        currency: options.currency(&world.config)?,
        balance,
        numbers: numbers(&options.numbers, "number", &world.config)?,
        dids: numbers(&options.dids, "did", &world.config)?,
        emails: options.emails()?,
        allow: options.allow()?.unwrap_or_default(),
        limits: options.own_limits(BTreeMap::new(), &world.config)?,
        limits_off: options.limits.as_deref() == Some("off"),
        language: options.language.clone().filter(|language| !language.is_empty()),
        mail_must_be_vouched: options.mail_vouched.as_deref() == Some("on"),
        password_hash: secrets.password_hash,
    };
    let key = match &secrets.pin {
        Some(_) => Some(world.site_key().await?),
        None => None,
    };
    let mut account = world.store.add_account(&new).await?;
    if let (Some(pin), Some(key)) = (&secrets.pin, &key) {
        let sealed = Some(seal_secret(key, account.id, pin));
        let change = AccountChange { trigger_secret: sealed, ..AccountChange::default() };
        account = world.store.update_account(&name, &change).await?;
    }
    done(common, account, "is added")
}

async fn set(common: &Common, named: Named) -> Result<(), Fail> {
    let Named { name, options } = named;
    let secrets = Secrets::read(&options)?;
    let balance = options.balance()?;
    let world = World::open(common).await?;
    let before = find(&world, &name).await?;
    if options.currency.is_some() {
        let currency = options.currency(&world.config)?;
        if currency != before.currency && !world.store.set_currency(&name, &currency).await? {
            return Err(Fail::Refused(format!(
                "account {name} is kept in {}, and its books stay so; add another account for another currency",
                before.currency
            )));
        }
    }
    let given = |list: &[String]| {
        (!list.is_empty()).then(|| list.iter().filter(|one| !one.is_empty()).cloned().collect::<Vec<_>>())
    };
    let read = |list: &[String], option| given(list).map(|list| numbers(&list, option, &world.config)).transpose();
    let own_limits = (!options.own_limits.is_empty()).then(|| options.own_limits(before.limits.clone(), &world.config));
    let key = match &secrets.pin {
        Some(_) => Some(world.site_key().await?),
        None => None,
    };
    let change = AccountChange {
        enabled: None,
        trigger_secret: secrets.pin.as_ref().zip(key.as_ref()).map(|(pin, key)| seal_secret(key, before.id, pin)),
        password_hash: secrets.password_hash,
        numbers: read(&options.numbers, "number")?,
        dids: read(&options.dids, "did")?,
        emails: (!options.emails.is_empty()).then(|| options.emails()).transpose()?,
        allow: options.allow()?,
        limits: own_limits.transpose()?,
        limits_off: options.limits.as_deref().map(|limits| limits == "off"),
        language: options.language.clone(),
        mail_must_be_vouched: options.mail_vouched.as_deref().map(|vouched| vouched == "on"),
    };
    let mut account = world.store.update_account(&name, &change).await?;
    if let Some(balance) = balance.filter(|balance| *balance != account.balance) {
        world.store.topup(&name, balance - account.balance, "correction").await?;
        account = find(&world, &name).await?;
    }
    done(common, account, "is changed")
}

async fn list(common: &Common) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let accounts: Vec<AccountView> = world.store.accounts().await?.into_iter().map(AccountView::from).collect();
    if common.json {
        print::json(&accounts);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = accounts
        .into_iter()
        .map(|account| {
            let state = if account.enabled { "on" } else { "off" };
            let money = print::money(&account.balance, &account.currency);
            let held = print::money(&account.held, &account.currency);
            vec![account.name, state.to_owned(), money, held, print::list(&account.numbers)]
        })
        .collect();
    let nothing = "No account yet: ringback account add NAME --balance 10.00 --number +442071838750 --pin-stdin";
    print::table(&["NAME", "STATE", "BALANCE", "HELD", "NUMBERS"], &rows, nothing);
    Ok(())
}

async fn show(common: &Common, name: &str) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let account = find(&world, name).await?;
    let refusals = world.store.refusals(account.id, LATEST_REFUSALS).await?;
    let account = AccountView::from(account);
    if common.json {
        let mut answer = serde_json::to_value(&account).unwrap_or_default();
        answer["refusals"] = serde_json::to_value(&refusals).unwrap_or_default();
        print::json(&answer);
        return Ok(());
    }
    let yes = |there: bool| if there { "set" } else { "not set" }.to_owned();
    let allow =
        if account.allow.is_empty() { "the countries of its numbers".to_owned() } else { account.allow.join(",") };
    let own: Vec<String> = account.limits.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let limits = if account.limits_off { "off".to_owned() } else { print::list(&own) };
    for (what, value) in [
        ("name", account.name),
        ("state", if account.enabled { "on" } else { "off" }.to_owned()),
        ("balance", print::money(&account.balance, &account.currency)),
        ("held by live calls", print::money(&account.held, &account.currency)),
        ("numbers", print::list(&account.numbers)),
        ("dids", print::list(&account.dids)),
        ("emails", print::list(&account.emails)),
        ("PIN", yes(account.pin)),
        ("sign-in password", yes(account.password)),
        ("may call", allow),
        ("own limits", limits),
        ("answered in", account.language.unwrap_or_else(|| "the language of its country or message".to_owned())),
        (
            "mail with its secret",
            if account.mail_must_be_vouched { "only if DKIM vouches" } else { "counts" }.to_owned(),
        ),
    ] {
        print::line(&format!("{what:<20}{}", print::plain(&value)));
    }
    if !refusals.is_empty() {
        print::line("");
        let rows: Vec<Vec<String>> = refusals
            .into_iter()
            .map(|one| vec![one.created.format("%F %T UTC").to_string(), one.source, one.sender, one.reason])
            .collect();
        print::table(&["REFUSED", "BY", "FROM", "REASON"], &rows, "");
    }
    Ok(())
}

async fn topup(common: &Common, name: &str, amount: &str) -> Result<(), Fail> {
    let amount = amount.parse::<Money>().map_err(|error| Fail::Usage(format!("{amount}: {error}")))?;
    let world = World::open(common).await?;
    world.store.topup(name, amount, "topup").await?;
    let account = find(&world, name).await?;
    done(common, account, "has new money")
}

async fn enable(common: &Common, name: &str, enabled: bool) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let change = AccountChange { enabled: Some(enabled), ..AccountChange::default() };
    let account = world.store.update_account(name, &change).await?;
    done(common, account, if enabled { "is enabled" } else { "is disabled" })
}

async fn remove(common: &Common, name: &str) -> Result<(), Fail> {
    let world = World::open(common).await?;
    find(&world, name).await?;
    world.store.remove_account(name).await?;
    if common.json {
        print::json(&serde_json::json!({ "name": name, "removed": true }));
    } else {
        print::line(&format!("Account {name} is forgotten; its books stay."));
    }
    Ok(())
}

/// The account of this name.
pub async fn find(world: &World, name: &str) -> Result<Account, Fail> {
    let account = world.store.account_by_name(name).await?;
    account.ok_or_else(|| Fail::Unknown(format!("there is no account {name}; `ringback account list` shows all")))
}

fn done(common: &Common, account: Account, what: &str) -> Result<(), Fail> {
    let account = AccountView::from(account);
    if common.json {
        print::json(&account);
    } else {
        let balance = print::money(&account.balance, &account.currency);
        print::line(&format!("Account {} {what}; it has {balance}.", account.name));
    }
    Ok(())
}

/// What came from standard input.
struct Secrets {
    pin: Option<TriggerSecret>,
    password_hash: Option<Sealed<String>>,
}

impl Secrets {
    fn read(options: &Options) -> Result<Secrets, Fail> {
        let mut secrets = Secrets { pin: None, password_hash: None };
        if options.pin_stdin {
            let pin = TriggerSecret::read(&stdin_secret()?);
            secrets.pin = Some(pin.map_err(|error| Fail::Usage(format!("--pin-stdin: {error}")))?);
        }
        if options.password_stdin {
            secrets.password_hash = Some(Sealed(hash_password(&stdin_secret()?)?));
        }
        Ok(secrets)
    }
}

/// All of standard input as UTF-8, without one final line end.
pub fn stdin_secret() -> Result<String, Fail> {
    let input = io::stdin();
    if input.is_terminal() {
        eprintln!("Type it, then Enter and Ctrl-D (it is shown on the screen; a pipe hides it):");
    }
    let mut bytes = Vec::new();
    input
        .lock()
        .take(MOST_STDIN + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Fail::Usage(format!("standard input cannot be read: {error}")))?;
    if bytes.len() as u64 > MOST_STDIN {
        return Err(Fail::Usage("standard input is too long for a secret".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| Fail::Usage("standard input is not UTF-8".to_owned()))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(text.to_owned())
}

fn hash_password(password: &str) -> Result<String, Fail> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(Fail::Usage(format!("a sign-in password has at least {SHORTEST_PASSWORD} characters")));
    }
    let salt = SaltString::encode_b64(Uuid::new_v4().as_bytes());
    let hash = salt.and_then(|salt| Ok(Argon2::default().hash_password(password.as_bytes(), &salt)?.to_string()));
    hash.map_err(|error| Fail::Refused(format!("the password cannot be hashed: {error}")))
}

/// Names stand in texts (`username password ...`), so they hold no spaces and no quotes.
pub fn check_name(name: &str) -> Result<(), Fail> {
    let fits = |letter: char| letter.is_alphanumeric() || "._-+@".contains(letter);
    if name.is_empty() || name.chars().count() > 64 || !name.chars().all(fits) {
        return Err(Fail::Usage(format!("{name:?} is no name; write 1 to 64 letters, digits and . _ - + @")));
    }
    Ok(())
}

fn numbers(list: &[String], option: &str, config: &Config) -> Result<Vec<String>, Fail> {
    let one = |text: &String| read(text, config).map_err(|error| Fail::Usage(format!("--{option} {text}: {error}")));
    list.iter().map(one).collect()
}

/// A mail address, in lower case; `None` if it is none.
pub fn address(text: &str) -> Option<String> {
    let (user, host) = text.rsplit_once('@')?;
    let plain = !text.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    (plain && !user.is_empty() && !host.is_empty()).then(|| text.to_lowercase())
}

/// A number as the operator writes it, in dialable form.
pub fn number(text: &str, config: &Config) -> Result<String, Fail> {
    read(text, config).map_err(|error| Fail::Usage(format!("{text}: {error}")))
}

fn read(text: &str, config: &Config) -> Result<String, NumberError> {
    let country = config.numbers.home_country.as_deref().and_then(Country::by_code);
    let from = Dialling { country, extensions: &config.numbers.extensions };
    number::read(text, &from).map(|(number, _)| number.as_str().to_owned())
}

impl Options {
    fn balance(&self) -> Result<Option<Money>, Fail> {
        let Some(text) = &self.balance else { return Ok(None) };
        match text.parse::<Money>() {
            Ok(balance) if balance >= Money::ZERO => Ok(Some(balance)),
            Ok(_) => Err(Fail::Usage(format!("--balance {text}: a balance is zero or more"))),
            Err(error) => Err(Fail::Usage(format!("--balance {text}: {error}"))),
        }
    }

    fn currency(&self, config: &Config) -> Result<String, Fail> {
        let currency = self.currency.as_deref().unwrap_or(&config.tariff.currency).to_ascii_uppercase();
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(Fail::Usage(format!("--currency {currency}: write three letters like USD")));
        }
        Ok(currency)
    }

    fn emails(&self) -> Result<Vec<String>, Fail> {
        let given: Vec<String> = self.emails.iter().filter(|email| !email.is_empty()).cloned().collect();
        match given.iter().find(|email| address(email).is_none()) {
            Some(bad) => Err(Fail::Usage(format!("--email {bad}: write it like name@example.net"))),
            None => Ok(given),
        }
    }

    fn allow(&self) -> Result<Option<Vec<String>>, Fail> {
        let Some(allow) = &self.allow else { return Ok(None) };
        let prefixes = allow.iter().map(|prefix| prefix.trim().trim_start_matches('+').to_owned());
        let prefixes: Vec<String> = prefixes.filter(|prefix| !prefix.is_empty()).collect();
        match prefixes.iter().find(|prefix| prefix.len() > 15 || !prefix.bytes().all(|b| b.is_ascii_digit())) {
            Some(bad) => Err(Fail::Usage(format!("--allow {bad}: write dialling prefixes without +, like 44,92,1876"))),
            None => Ok(Some(prefixes)),
        }
    }

    fn own_limits(
        &self,
        mut kept: BTreeMap<String, String>,
        config: &Config,
    ) -> Result<BTreeMap<String, String>, Fail> {
        for text in &self.own_limits {
            if let Some(key) = text.strip_suffix('=') {
                kept.remove(key);
                continue;
            }
            let (key, value) = config
                .intake
                .limits
                .read_override(text)
                .map_err(|error| Fail::Usage(format!("--limit {text}: {error}")))?;
            kept.insert(key, value);
        }
        Ok(kept)
    }
}
