//! The sections of the settings, one struct for each consumer. What each key means stands in `ringback.default.toml`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::Limits;
use crate::money::Money;

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// This engine's name; never empty once loaded.
    pub id: String,
    /// Live callbacks at most.
    pub slots: usize,
    /// How long a phone rings.
    #[serde(deserialize_with = "seconds")]
    pub no_answer: Duration,
    /// Tries of A in all.
    pub attempts: u32,
    /// Time between two tries.
    #[serde(deserialize_with = "seconds")]
    pub backoff: Duration,
    /// The longest callback from A's answer.
    #[serde(rename = "max_call_seconds", deserialize_with = "seconds")]
    pub max_call: Duration,
    /// How old a job may be when it is dialled.
    #[serde(deserialize_with = "seconds")]
    pub job_lifetime: Duration,
    /// Seconds of talking that one hold pays for.
    pub hold_seconds: u64,
}

/// `[sip]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipConfig {
    /// The UDP address we phone from.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The session timer we ask for.
    #[serde(deserialize_with = "seconds")]
    pub session_expires: Duration,
}

/// `[media]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaConfig {
    /// The address audio comes from.
    #[serde(deserialize_with = "ip")]
    pub ip: IpAddr,
    /// UDP ports for audio.
    pub ports: PortRange,
    /// Relay threads.
    pub threads: usize,
    /// Silence that ends a call.
    #[serde(deserialize_with = "seconds")]
    pub rtp_timeout: Duration,
}

/// Ports from a first to a last, written `20000-29999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// Both ends included.
    pub fn range(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<PortRange, String> {
        let ends = text
            .split_once('-')
            .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
        match ends {
            Some((first, last)) if first >= 1024 && first < last => Ok(PortRange { first, last }),
            _ => Err(format!(
                "{text:?} is no range of ports; write it like \"20000-29999\", above 1023, the lower first"
            )),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PortRange, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// `[tariff]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffConfig {
    /// A minute of leg A; `None` refuses numbers without a rate of their own.
    #[serde(deserialize_with = "price")]
    pub a: Option<Money>,
    /// A minute of leg B.
    #[serde(deserialize_with = "price")]
    pub b: Option<Money>,
    /// Three capital letters.
    pub currency: String,
}

/// `[web]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebConfig {
    /// The HTTP address; loopback only.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Who pays; `None` turns the page off.
    #[serde(deserialize_with = "filled")]
    pub account: Option<String>,
}

/// `[numbers]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumbersConfig {
    /// Short numbers that may be dialled.
    pub extensions: Vec<String>,
    /// The country of national numbers whose sender has none.
    #[serde(deserialize_with = "filled")]
    pub home_country: Option<String>,
}

/// `[intake]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeConfig {
    /// How long after a wish the same one from another trigger is the same callback.
    #[serde(deserialize_with = "seconds")]
    pub same_call_window: Duration,
    /// `[intake.limits]`
    pub limits: Limits,
}

/// `[billing]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BillingConfig {
    /// `[billing.feed]`
    pub feed: FeedConfig,
}

/// `[billing.feed]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// Whether the queue `billing` exists.
    pub on: bool,
}

/// `[secrets]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsConfig {
    /// The key of PINs and SMS passwords.
    pub site_key_file: PathBuf,
}

/// A URL without the password in it.
fn masked(url: &str) -> String {
    let mut parts = url.split(',').map(|one| match url::Url::parse(one) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("***"));
            url.to_string()
        }
        _ => one.to_owned(),
    });
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |all, one| format!("{all},{one}"))
}

impl fmt::Debug for crate::store::StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("url", &masked(&self.url))
            .field("connections", &self.connections)
            .field("billing_feed", &self.billing_feed)
            .finish()
    }
}

impl fmt::Debug for crate::queue::QueueConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueConfig")
            .field("url", &masked(&self.url))
            .field("prefix", &self.prefix)
            .field("declare", &self.declare)
            .field("max_length", &self.max_length)
            .field("prefetch", &self.prefetch)
            .field("log_days", &self.log_days)
            .field("billing_feed", &self.billing_feed)
            .field("replies", &self.replies)
            .field("data_dir", &self.data_dir)
            .finish()
    }
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_secs(u64::from(u32::deserialize(deserializer)?)))
}

pub(super) fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    let Some(text) = filled(deserializer)? else { return Ok(None) };
    match text.parse::<Money>() {
        Ok(price) if price >= Money::ZERO => Ok(Some(price)),
        _ => Err(de::Error::custom(format!("{text:?} is no price; write a minute's price like \"0.10\", in quotes"))),
    }
}

fn read_address<E: de::Error>(text: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| E::custom(format!("{text:?} is no address; write IP and port like \"127.0.0.1:5060\"")))
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    read_address(&String::deserialize(deserializer)?)
}

fn ip<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::custom(format!("{text:?} is no IP address; write it like \"127.0.0.1\"")))
}
