//! The settings: one commented default file compiled in, then the site's file, then the environment.
//!
//! Every mistake is found and reported at once. Each override is tried alone on top of the defaults, so one wrong value
//! hides no other; only then are the good ones taken together and checked against each other.

mod ani;
mod check;
mod email;
mod iif;
mod jasmin;
mod limits;
mod retention;
mod secret;
mod sections;
mod smpp;
mod sms;

use std::fmt;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Serialized, Toml};
use serde::Deserialize;

pub use crate::queue::QueueConfig;
pub use crate::service::ServiceConfig;
pub use crate::store::StoreConfig;
pub use ani::{
    AniConfig, AniOptions, AniProfile, CliSource, MinimumBalance, OptionError, RingbackType, SIPPY_CODES, VerstatRule,
};
pub use email::{EmailConfig, ImapConfig, LmtpConfig, SmtpConfig, Tls};
pub use iif::{Dialect, IifConfig, IifPeerConfig, IifProfile, Reread, ServerAddress};
pub use jasmin::JasminConfig;
pub use limits::{LimitError, Limits};
pub use retention::RetentionConfig;
pub use secret::Secret;
pub use sections::{
    BillingConfig, EngineConfig, FeedConfig, IntakeConfig, MediaConfig, NumbersConfig, PortRange, SecretsConfig,
    SipConfig, TariffConfig, WebConfig,
};
pub use smpp::{SmppAlphabet, SmppBind, SmppConfig};
pub use sms::{
    GenericSmsConfig, ProviderKind, ShortCodeConfig, SmsConfig, SourceConfig, TwilioSmsConfig, VonageSignature,
};

/// The default file: every key with its sentence. `ringback init` writes it as it stands.
pub const DEFAULT_FILE: &str = include_str!("ringback.default.toml");

/// All settings, a part for each consumer. Paths are absolute, secrets are read from their files and masked in `Debug`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where everything durable lives.
    pub store: StoreConfig,
    /// What carries jobs, replies and events.
    pub queue: QueueConfig,
    /// How callbacks are run.
    pub engine: EngineConfig,
    /// How we phone.
    pub sip: SipConfig,
    /// How audio travels.
    pub media: MediaConfig,
    /// What numbers cost that no rate covers.
    pub tariff: TariffConfig,
    /// The SMS trigger.
    pub sms: SmsConfig,
    /// The e-mail trigger.
    pub email: EmailConfig,
    /// The missed-call trigger.
    pub ani: AniConfig,
    /// The IIF trigger.
    pub iif: IifConfig,
    /// The web trigger.
    pub web: WebConfig,
    /// What counts as a number here.
    pub numbers: NumbersConfig,
    /// The one door for triggers.
    pub intake: IntakeConfig,
    /// How long what is kept is kept.
    pub retention: RetentionConfig,
    /// Logs, health and metrics.
    pub service: ServiceConfig,
    /// Feeds for other people's billing.
    pub billing: BillingConfig,
    /// Files with keys.
    pub secrets: SecretsConfig,
    /// The folder that relative paths start at.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// Which process asks: only the default of `[sip] listen` differs between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `ringback`: everything in one process, phoning from port 5060.
    AllInOne,
    /// The engine on its own: port 5068, because 5060 belongs to a trigger that listens to phones.
    Engine,
    /// A trigger on its own.
    Trigger,
}

impl Config {
    /// Reads the defaults, `file` if there is one, and this process's environment.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn load(file: Option<&Path>, role: Role) -> Result<Config, ConfigErrors> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                let what =
                    format!("cannot be read ({error}); write one with `ringback init`, or name another with --config");
                ConfigErrors(vec![Mistake { place: path.display().to_string(), key: String::new(), what }])
            })?,
            None => String::new(),
        };
        let place = file.map_or_else(|| "settings".to_owned(), |path| path.display().to_string());
        let folder = file.and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
        let folder = std::path::absolute(folder.join(".")).unwrap_or_else(|_| PathBuf::from("."));
        let mut config = Config::read(&text, &place, &folder, role, texts(std::env::vars_os()))?;
        config.iif.reread = Reread(file.map(|file| (file.to_path_buf(), role)));
        Ok(config)
    }

    /// The defaults alone, for a folder.
    pub fn defaults(folder: &Path) -> Config {
        Config::read("", "defaults", folder, Role::AllInOne, []).expect("the compiled-in default file is tested")
    }

    /// Reads a text and an environment that are given: what [`Config::load`] does, for tests and for the demo.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn read(
        text: &str,
        place: &str,
        folder: &Path,
        role: Role,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigErrors> {
        let mut mistakes = Vec::new();
        let overrides = overrides(text, place, environment, &mut mistakes);
        let mut figment = Figment::from(Toml::string(DEFAULT_FILE));
        if role == Role::Engine {
            figment = figment.merge(Serialized::default("sip.listen", "127.0.0.1:5068"));
        }
        let defaults = figment.clone();
        for change in overrides {
            match change.tried_on(&defaults) {
                Ok(good) => figment = figment.merge(good),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let mut config = match figment.extract::<Config>() {
            Ok(config) => config,
            Err(error) => {
                mistakes.extend(
                    error.into_iter().map(|one| Mistake::of_figment(place, &one.path.join("."), &one, &defaults)),
                );
                return Err(ConfigErrors(mistakes));
            }
        };
        config.settle(folder, place, &mut mistakes);
        check::check(&config, place, &mut mistakes);
        if mistakes.is_empty() { Ok(config) } else { Err(ConfigErrors(mistakes)) }
    }

    /// The site's own files: paths become absolute, the engine gets its name, secrets come out of their files.
    fn settle(&mut self, folder: &Path, place: &str, mistakes: &mut Vec<Mistake>) {
        self.folder = folder.to_path_buf();
        for url in [&mut self.store.url, &mut self.queue.url] {
            if let Some(path) = url.strip_prefix("sqlite://") {
                *url = format!("sqlite://{}", folder.join(path).display());
            }
        }
        let (store, queue) = (&mut self.store, &mut self.queue);
        secret::into_url(&mut store.url, &store.password_file, folder, "store.password", place, mistakes);
        secret::into_url(&mut queue.url, &queue.password_file, folder, "queue.password", place, mistakes);
        self.queue.billing_feed = self.billing.feed.on;
        self.store.billing_feed = self.billing.feed.on;
        self.queue.data_dir = self.data_folder();
        self.secrets.site_key_file = folder.join(&self.secrets.site_key_file);
        if self.engine.id.is_empty() {
            self.engine.id = host_name();
        }
        self.sms.settle(folder, place, mistakes);
        (self.ani.media_ip, self.ani.currency) = (self.media.ip, self.tariff.currency.clone());
        self.ani.sms_out = self.sms.notices.is_some();
        self.iif.settle(folder, place, mistakes);
        let ImapConfig { password, password_file, .. } = &mut self.email.imap;
        secret::from_file(password, password_file, folder, "email.imap.password", place, mistakes);
        let SmtpConfig { password, password_file, .. } = &mut self.email.smtp;
        secret::from_file(password, password_file, folder, "email.smtp.password", place, mistakes);
        for file in [&mut self.email.imap.ca_file, &mut self.email.smtp.ca_file].into_iter().flatten() {
            *file = folder.join(&file);
        }
    }

    /// The folder of the embedded store (`data`), or `[service] folder` when the store is elsewhere.
    pub fn data_folder(&self) -> PathBuf {
        let file = self.store.url.strip_prefix("sqlite://").map(Path::new);
        file.and_then(Path::parent).map_or_else(|| self.folder.join(&self.service.folder), Path::to_path_buf)
    }

    /// The file whose lock ([`crate::lock`]) says that an engine with these settings runs here: one engine at a time on an
    /// embedded store, one of each name otherwise.
    pub fn lock_file(&self) -> PathBuf {
        let name = if self.embedded() { "engine.lock".to_owned() } else { format!("engine-{}.lock", self.engine.id) };
        self.data_folder().join(name)
    }

    /// Whether the store is embedded SQLite.
    pub fn embedded(&self) -> bool {
        self.store.url.starts_with("sqlite:")
    }
}

/// One value that somebody set.
struct Override {
    place: String,
    key: String,
    /// What it may mean, likeliest first: a text from the environment may be a number or a text of digits.
    readings: Vec<figment::value::Value>,
}

impl Override {
    fn tried_on(self, defaults: &Figment) -> Result<Serialized<figment::value::Value>, Mistake> {
        let mut first = None;
        for reading in self.readings {
            let provider = Serialized::default(&self.key, reading);
            match defaults.clone().merge(&provider).extract::<Config>() {
                Ok(_) => return Ok(provider),
                Err(error) => first = first.or(Some(error)),
            }
        }
        let error = first.unwrap_or_else(|| Kind::Message("no value".to_owned()).into());
        Err(Mistake::of_figment(&self.place, &self.key, &error, defaults))
    }
}

/// Names and values as text; what is no UTF-8 is shown with a mark in its place and fits no key and no value.
fn texts(environment: std::env::VarsOs) -> impl Iterator<Item = (String, String)> {
    environment.map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Whether the environment sets anything.
pub fn in_environment(environment: std::env::VarsOs) -> bool {
    texts(environment).any(|(name, _)| is_setting(&name).is_some())
}

/// The key with its underscores, where the name is one of a setting.
fn is_setting(name: &str) -> Option<&str> {
    name.strip_prefix("RINGBACK_").filter(|rest| rest.contains("__"))
}

/// Names in the environment that look like settings with one underscore too few, and are not read.
pub fn overlooked(environment: std::env::VarsOs) -> Vec<String> {
    let defaults = DEFAULT_FILE.parse::<toml::Table>().unwrap_or_default();
    let mut overlooked: Vec<String> = texts(environment).filter_map(|(name, _)| meant(&name, &defaults)).collect();
    overlooked.sort_unstable();
    overlooked
}

/// What `RINGBACK_SIP_LISTEN` would have to be called; `None` where no key has that name.
fn meant(name: &str, defaults: &toml::Table) -> Option<String> {
    let rest = name.strip_prefix("RINGBACK_").filter(|rest| !rest.contains("__"))?.to_ascii_lowercase();
    let (section, key) = defaults.keys().find_map(|section| {
        let key = rest.strip_prefix(section.as_str())?.strip_prefix('_')?;
        defaults[section].as_table()?.contains_key(key).then_some((section, key))
    })?;
    let right = format!("RINGBACK_{}__{}", section.to_ascii_uppercase(), key.to_ascii_uppercase());
    Some(format!("{name} is not read; a setting has two underscores between section and key: {right}"))
}

/// Everything the file and the environment set, leaf by leaf.
fn overrides(
    text: &str,
    place: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Override> {
    let mut all = Vec::new();
    match text.parse::<toml::Table>() {
        Ok(table) => leaves(place, "", toml::Value::Table(table), &mut all),
        Err(error) => mistakes.push(Mistake {
            place: place.to_owned(),
            key: String::new(),
            what: format!("is not TOML: {}", error.to_string().trim_end()),
        }),
    }
    for (name, value) in environment {
        let Some(rest) = is_setting(&name) else { continue };
        let key = rest.to_ascii_lowercase().replace("__", ".");
        if value.contains('\u{fffd}') {
            mistakes.push(Mistake { place: name, key, what: "the value is not UTF-8".to_owned() });
            continue;
        }
        let parsed = value.parse::<figment::value::Value>().unwrap_or_else(|never| match never {});
        all.push(Override { place: name, key, readings: vec![parsed, value.into()] });
    }
    all
}

fn leaves(place: &str, path: &str, value: toml::Value, all: &mut Vec<Override>) {
    match value {
        toml::Value::Table(table) if !table.is_empty() || path.is_empty() => {
            for (key, value) in table {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                leaves(place, &path, value, all);
            }
        }
        leaf => {
            if let Ok(reading) = figment::value::Value::serialize(leaf) {
                all.push(Override { place: place.to_owned(), key: path.to_owned(), readings: vec![reading] });
            }
        }
    }
}

/// One thing that is wrong, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file or the environment variable.
    pub place: String,
    /// The key with its section: `sip.listen`. Empty when it is about the file as a whole.
    pub key: String,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl Mistake {
    fn of_figment(place: &str, key: &str, error: &figment::Error, defaults: &Figment) -> Mistake {
        let what = match &error.kind {
            Kind::UnknownField(name, known) => unknown(name, known),
            Kind::InvalidType(found, _) => format!("{found} does not fit here; {}", example(key, defaults)),
            Kind::Message(message) => message.clone(),
            other => format!("{other}; {}", example(key, defaults)),
        };
        Mistake { place: place.to_owned(), key: key.to_owned(), what }
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let likely = known.iter().min_by_key(|candidate| distance(name, candidate));
    match likely {
        Some(likely) if distance(name, likely) <= 2 => format!("there is no `{name}` here; did you mean `{likely}`?"),
        _ => format!("there is no `{name}` here; known are {}", known.join(", ")),
    }
}

fn example(key: &str, defaults: &Figment) -> String {
    let leaf = key.rsplit('.').next().unwrap_or(key);
    let written = defaults.find_value(key).ok().and_then(|value| toml::Value::try_from(value).ok());
    written.map_or_else(|| "see the default file".to_owned(), |value| format!("write it like {leaf} = {value}"))
}

/// How many letters have to be changed, added or dropped to make one word the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for j in 0..to.len() {
            let replaced = diagonal + usize::from(letter != to[j]);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.rsplit_once('.') {
            Some((section, key)) => write!(f, "{}: [{section}] {key}: {}", self.place, self.what),
            None if self.key.is_empty() => write!(f, "{} {}", self.place, self.what),
            None => write!(f, "{}: {}: {}", self.place, self.key, self.what),
        }
    }
}

/// Every mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Mistake>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "engine".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
