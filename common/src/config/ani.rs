//! `[ani]`: where missed calls come in, whom to believe about the caller, and how a callback is made of one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sections::{address, seconds};
use crate::money::Money;
use crate::terms::Cli;

/// `[ani]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AniConfig {
    /// The UDP address of the trigger as a process of its own.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Whose rules hold.
    pub profile: AniProfile,
    /// The second address, in Sippy's profile.
    #[serde(deserialize_with = "address")]
    pub sippy_listen: SocketAddr,
    /// The trunks whose calls are taken; empty: all.
    pub trunks: Vec<String>,
    /// The trunks among them whose CLDs the operator's translation rule writes: `ani_<options>_<string>`.
    pub cld_form: Vec<String>,
    /// Whom to believe about the caller's number, first to last.
    pub cli_from: Vec<CliSource>,
    /// What a trunk's word on the caller's number is worth.
    pub verstat: VerstatRule,
    /// Calls of one number within so long become one callback.
    #[serde(deserialize_with = "seconds")]
    pub window: Duration,
    /// Calls in hand at a time; as many more may wait.
    pub calls: usize,
    /// What one unit of a currency is worth in `[tariff] currency`.
    #[serde(default)]
    pub exchange: BTreeMap<String, String>,
    /// `[ani.options]`
    pub options: AniOptions,
    /// Where audio is sent from: `[media] ip`.
    #[serde(skip, default = "nowhere")]
    pub media_ip: IpAddr,
    /// `[tariff] currency`.
    #[serde(skip)]
    pub currency: String,
    /// Callers who are not called back can be sent a text: `[sms] notices`.
    #[serde(skip)]
    pub sms_out: bool,
}

fn nowhere() -> IpAddr {
    Ipv4Addr::UNSPECIFIED.into()
}

/// Whose rules hold where Sippy's differ from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AniProfile {
    /// Ours.
    Native,
    /// Sippy's.
    Sippy,
}

/// Where a caller's number may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CliSource {
    /// What the network asserts (RFC 3325).
    PAssertedIdentity,
    /// What older networks assert, if they screened it.
    RemotePartyId,
    /// What the caller's phone says.
    From,
}

/// What a trunk's word on the caller's number (STIR/SHAKEN) is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerstatRule {
    /// It is not read.
    Ignore,
    /// A number that failed the verification is not called.
    RefuseFailed,
    /// Only a number that passed it is called.
    RequirePassed,
}

/// `[ani.options]`, and an application's own: Sippy's Advanced Parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AniOptions {
    /// Seconds between two attempts.
    pub backoff_interval: u32,
    /// Who pays for callers who are not accounts; empty: nobody.
    pub default_account_username: String,
    /// Where the default account pays for the first call, the second INVITE says so in a header; nobody else is charged here.
    pub enable_anonymous_accounting: bool,
    /// Seconds between the missed call and the callback at least.
    pub delay_before_callback: u32,
    /// How the missed call is refused.
    pub hangup_sip_response_code: u16,
    /// Below this the default account is tried; empty: not looked at.
    pub minimum_balance: String,
    /// Attempts in all.
    pub max_callback_attempts: u32,
    /// Seconds the caller hears it ring.
    pub ringback_time: u32,
    /// How.
    pub ringback_type: RingbackType,
    /// The trunk of the first call; empty: whichever carries it.
    pub sip_proxy_for_callback_calls: String,
    /// Accepted; new callbacks are not looked for, they arrive.
    pub scan_interval: u32,
    /// Seconds the first call rings; 0: as the profile says.
    pub timeout: u32,
    /// What the first call shows; empty: the number that was rung.
    pub fixed_cli: String,
    /// The caller's number is nobody's.
    pub disable_cli_authentication: bool,
    /// Callers who are not accounts are refused.
    pub force_cli_authentication: bool,
    /// The default account pays for the first call, whoever calls.
    pub force_default_account: bool,
    /// The reason in the first call's Diversion; empty: as the profile says; `none`: no Diversion.
    pub reason_for_diversion: String,
}

/// How a caller hears it ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RingbackType {
    /// 180.
    Indicate,
    /// 183, and the tone as audio.
    EarlyMedia,
}

/// An amount below which the default account is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinimumBalance {
    /// How much.
    pub amount: Money,
    /// In what; `None`: in the account's own currency.
    pub currency: Option<String>,
}

/// Sippy's names, and ours.
const NAMES: [(&str, &str); 17] = [
    ("Backoff Interval", "backoff_interval"),
    ("Default Account Username", "default_account_username"),
    ("Enable_Anonymous_Accounting", "enable_anonymous_accounting"),
    ("Delay Before Callback", "delay_before_callback"),
    ("Hangup SIP Response Code", "hangup_sip_response_code"),
    ("Minimum Balance", "minimum_balance"),
    ("Max # Of Callback Attempts", "max_callback_attempts"),
    ("Ringback Time", "ringback_time"),
    ("Ringback Type", "ringback_type"),
    ("SIP Proxy For Callback Calls", "sip_proxy_for_callback_calls"),
    ("Scan Interval", "scan_interval"),
    ("Timeout", "timeout"),
    ("Fixed CLI", "fixed_cli"),
    ("Disable CLI Authentication", "disable_cli_authentication"),
    ("Force CLI Authentication", "force_cli_authentication"),
    ("Force Default Account", "force_default_account"),
    ("The Reason For Diversion", "reason_for_diversion"),
];

/// The codes that Sippy's application can hang up with.
pub const SIPPY_CODES: [u16; 13] = [403, 404, 408, 410, 480, 484, 486, 488, 500, 501, 502, 503, 603];

/// Why an option is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Nobody knows it.
    #[error("there is no option {0:?}; known are: {known}", known = known())]
    Unknown(String),
    /// Its value does not fit.
    #[error("{0}: {1}")]
    Value(&'static str, String),
}

fn known() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}

impl AniOptions {
    /// These, with one changed: by Sippy's name (`Ringback Time`) or ours (`ringback_time`).
    ///
    /// # Errors
    /// No such option, or its value is of another kind.
    pub fn with(&self, name: &str, value: &str) -> Result<AniOptions, OptionError> {
        let named = NAMES.iter().find(|(sippy, ours)| sippy.eq_ignore_ascii_case(name.trim()) || *ours == name.trim());
        let (sippy, ours) = named.ok_or_else(|| OptionError::Unknown(name.to_owned()))?;
        let value = value.trim();
        let literal = serde_json::from_str(&value.to_ascii_lowercase()).ok();
        let text = serde_json::Value::from(if *ours == "ringback_type" {
            value.to_ascii_lowercase()
        } else {
            value.to_owned()
        });
        let mut all = serde_json::to_value(self).unwrap_or_default();
        let mut last = String::new();
        for reading in literal.into_iter().chain([text]) {
            all[*ours] = reading;
            match serde_json::from_value(all.clone()) {
                Ok(options) => return Ok(options),
                Err(error) => last = error.to_string(),
            }
        }
        Err(OptionError::Value(sippy, last))
    }

    /// These, with an application's own before them.
    ///
    /// # Errors
    /// The first that is not taken.
    pub fn with_all(&self, own: &BTreeMap<String, String>) -> Result<AniOptions, OptionError> {
        own.iter().try_fold(self.clone(), |options, (name, value)| options.with(name, value))
    }

    /// What does not fit: our name of the option, and a sentence.
    pub fn mistakes(&self, profile: AniProfile) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let ranges = [
            ("backoff_interval", self.backoff_interval, 0, 3_600),
            ("delay_before_callback", self.delay_before_callback, 0, 3_600),
            ("max_callback_attempts", self.max_callback_attempts, 1, 10),
            ("ringback_time", self.ringback_time, 0, 60),
            ("scan_interval", self.scan_interval, 1, 3_600),
            ("timeout", self.timeout, 0, 600),
        ];
        for (key, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                wrong.push((key, format!("{value} is out of range; write {low} to {high}")));
            }
        }
        let code = self.hangup_sip_response_code;
        if profile == AniProfile::Sippy && !SIPPY_CODES.contains(&code) {
            let codes = SIPPY_CODES.map(|code| code.to_string()).join(", ");
            wrong.push(("hangup_sip_response_code", format!("{code} is none of Sippy's; write one of {codes}")));
        } else if !(400..=699).contains(&code) {
            wrong.push(("hangup_sip_response_code", format!("{code} refuses no call; write 400 to 699")));
        }
        if let Err(what) = self.minimum() {
            wrong.push(("minimum_balance", what));
        }
        if !self.fixed_cli.is_empty()
            && let Err(error) = Cli::read(&self.fixed_cli)
        {
            wrong.push(("fixed_cli", error.to_string()));
        }
        if !is_token(&self.reason_for_diversion) {
            wrong.push(("reason_for_diversion", "is no reason; write one word, like unconditional".to_owned()));
        }
        wrong
    }

    /// The amount below which the default account is tried.
    ///
    /// # Errors
    /// It is no amount.
    pub fn minimum(&self) -> Result<Option<MinimumBalance>, String> {
        let text = self.minimum_balance.trim();
        if text.is_empty() || text.eq_ignore_ascii_case("not set") {
            return Ok(None);
        }
        let (amount, currency) =
            text.split_once(' ').map_or((text, None), |(amount, rest)| (amount, Some(rest.trim())));
        let fits = currency.is_none_or(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()));
        match amount.parse() {
            Ok(amount) if fits => Ok(Some(MinimumBalance { amount, currency: currency.map(str::to_owned) })),
            _ => Err(format!("{text:?} is no amount; write it like \"2\" or \"2 USD\"")),
        }
    }

    /// How long the first call rings; `None`: as the engine's settings say.
    pub fn no_answer(&self, profile: AniProfile) -> Option<u32> {
        match (self.timeout, profile) {
            (0, AniProfile::Sippy) => Some(300),
            (0, AniProfile::Native) => None,
            (seconds, _) => Some(seconds),
        }
    }

    /// The reason in the first call's Diversion; `None`: it has none.
    pub fn diversion(&self, profile: AniProfile) -> Option<&str> {
        match (self.reason_for_diversion.as_str(), profile) {
            ("none", _) | ("", AniProfile::Native) => None,
            ("", AniProfile::Sippy) => Some("unconditional"),
            (reason, _) => Some(reason),
        }
    }
}

fn is_token(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl AniConfig {
    /// What does not fit: key and sentence.
    pub(super) fn mistakes(&self) -> Vec<(String, String)> {
        let mut wrong: Vec<(String, String)> = Vec::new();
        let mut add = |key: &str, what: String| wrong.push((format!("ani.{key}"), what));
        for (key, what) in self.options.mistakes(self.profile) {
            add(&format!("options.{key}"), what);
        }
        for (key, names) in [("trunks", &self.trunks), ("cld_form", &self.cld_form)] {
            if names.iter().any(|name| name.trim().is_empty()) {
                add(key, "has an empty name; name trunks as `ringback trunk list` shows them".to_owned());
            }
        }
        for name in self.cld_form.iter().filter(|name| !self.trunks.is_empty() && !self.trunks.contains(name)) {
            add("cld_form", format!("{name:?} is none of [ani] trunks, so its calls are not taken; name it there too"));
        }
        if self.cli_from.is_empty() {
            add("cli_from", "is empty; name p-asserted-identity, remote-party-id or from".to_owned());
        }
        if self.window > Duration::from_secs(86_400) {
            add("window", format!("{} is out of range; write 0 to 86400", self.window.as_secs()));
        }
        if !(1..=100_000).contains(&self.calls) {
            add("calls", format!("{} is out of range; write 1 to 100000", self.calls));
        }
        for (currency, rate) in &self.exchange {
            if !rate.parse::<Money>().is_ok_and(|rate| rate > Money::ZERO) {
                add(&format!("exchange.{currency}"), format!("{rate:?} is no rate; write it like \"1.08\""));
            }
        }
        wrong
    }

    /// The minimum in this currency; `None`: nobody said what the one is worth in the other.
    pub fn converted(&self, minimum: &MinimumBalance, to: &str) -> Option<Money> {
        let from = minimum.currency.as_deref().unwrap_or(to);
        if from == to {
            return Some(minimum.amount);
        }
        let worth = |currency: &str| match self.exchange.get(currency) {
            Some(rate) => rate.parse::<Money>().ok().map(|rate| rate.0).filter(|rate| *rate > 0),
            None => (currency == self.currency).then_some(Money::SCALE),
        };
        let (from, to) = (i128::from(worth(from)?), i128::from(worth(to)?));
        i64::try_from(i128::from(minimum.amount.0) * from / to).ok().map(Money)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    fn config() -> AniConfig {
        Config::defaults(Path::new(".")).ani
    }

    #[test]
    fn the_defaults_are_sippys() {
        let options = config().options;
        assert_eq!((options.backoff_interval, options.delay_before_callback, options.scan_interval), (10, 5, 5));
        assert_eq!((options.hangup_sip_response_code, options.max_callback_attempts), (603, 3));
        assert_eq!((options.ringback_time, options.ringback_type), (0, RingbackType::Indicate));
        assert_eq!((options.minimum(), options.default_account_username.as_str()), (Ok(None), ""));
        assert!(options.enable_anonymous_accounting && options.fixed_cli.is_empty());
        assert!(options.sip_proxy_for_callback_calls.is_empty());
        assert!(
            !options.disable_cli_authentication && !options.force_cli_authentication && !options.force_default_account
        );
        assert_eq!((options.no_answer(AniProfile::Sippy), options.no_answer(AniProfile::Native)), (Some(300), None));
        assert_eq!(options.diversion(AniProfile::Sippy), Some("unconditional"));
        assert_eq!(options.diversion(AniProfile::Native), None);
    }

    #[test]
    fn every_option_is_set_by_sippys_name() {
        let mut options = config().options;
        for (name, value) in [
            ("Backoff Interval", "7"),
            ("Default Account Username", "801"),
            ("Enable_Anonymous_Accounting", "False"),
            ("Delay Before Callback", "0"),
            ("Hangup SIP Response Code", "486"),
            ("Minimum Balance", "2 USD"),
            ("Max # Of Callback Attempts", "1"),
            ("Ringback Time", "4"),
            ("Ringback Type", "earlymedia"),
            ("SIP Proxy For Callback Calls", "main"),
            ("Scan Interval", "6"),
            ("Timeout", "30"),
            ("Fixed CLI", "442071838750"),
            ("Disable CLI Authentication", "True"),
            ("Force CLI Authentication", "true"),
            ("force default account", "True"),
            ("reason_for_diversion", "deflection"),
        ] {
            let before = options.clone();
            options = options.with(name, value).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_ne!(options, before, "{name}");
        }
        assert_eq!((options.default_account_username.as_str(), options.fixed_cli.as_str()), ("801", "442071838750"));
        assert_eq!(options.mistakes(AniProfile::Sippy), []);
        assert!(matches!(options.with("Ringback", "1"), Err(OptionError::Unknown(_))));
        assert!(matches!(options.with("Timeout", "long"), Err(OptionError::Value("Timeout", _))));
    }

    #[test]
    fn sippys_profile_knows_thirteen_codes_and_ours_every_refusal() {
        let with = |code: u16| AniOptions { hangup_sip_response_code: code, ..config().options };
        for code in 300..=700 {
            let [sippy, native] =
                [AniProfile::Sippy, AniProfile::Native].map(|profile| with(code).mistakes(profile).is_empty());
            assert_eq!((sippy, native), (SIPPY_CODES.contains(&code), (400..=699).contains(&code)), "{code}");
        }
    }

    #[test]
    fn a_minimum_is_held_against_the_accounts_own_currency() {
        let exchange = [("EUR".to_owned(), "1.25".to_owned()), ("JPY".to_owned(), "0.005".to_owned())].into();
        let config = AniConfig { exchange, ..config() };
        let minimum = |text: &str| AniOptions { minimum_balance: text.to_owned(), ..config.options.clone() }.minimum();
        let in_currency =
            |text: &str, to: &str| config.converted(&minimum(text).unwrap().unwrap(), to).map(|m| m.to_string());
        assert_eq!(in_currency("2 USD", "USD").as_deref(), Some("2.00"));
        assert_eq!(in_currency("2 USD", "EUR").as_deref(), Some("1.60"));
        assert_eq!(in_currency("2 EUR", "JPY").as_deref(), Some("500.00"));
        assert_eq!(in_currency("2", "EUR").as_deref(), Some("2.00"));
        assert_eq!(in_currency("2 USD", "CHF"), None, "nobody said what it is worth");
        for bad in ["two", "2 usd", "2 EURO", "2USD"] {
            assert!(minimum(bad).is_err(), "{bad}");
        }
        assert_eq!(minimum("Not set"), Ok(None));
    }
}
