//! `[iif]`: which application servers may ask for calls, on whose money, and how they are spoken to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::sections::{address, filled, seconds};
use super::sms::is_source_name;
use super::{Config, ConfigErrors, Mistake, Role, Secret, secret};
use crate::terms::Cli;

/// `[iif]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IifConfig {
    /// The UDP address; port 0 closes it.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Who may ask without a section of its own.
    pub application_server: ServerAddress,
    /// Who pays for that one's calls, and for peers that name nobody; `None`: nobody.
    #[serde(deserialize_with = "filled")]
    pub account: Option<String>,
    /// How that one is spoken to.
    pub dialect: Dialect,
    /// Signs what that one says, and what we say to it; empty: nothing is signed.
    pub secret: Secret,
    /// Where the secret was read from.
    pub secret_file: PathBuf,
    /// What is signed has to say when it was written, so that it cannot be sent again by who captured it.
    pub require_time: bool,
    /// What a phone shows where REQUEST names no caller; `None`: the first call shows nobody.
    #[serde(deserialize_with = "cli_or_none")]
    pub default_caller: Option<Cli>,
    /// Whose rules hold.
    pub profile: IifProfile,
    /// Refuses methods in lower case and names in upper case.
    pub strict: bool,
    /// So long after ACK may leave, nobody's phone rings yet.
    #[serde(deserialize_with = "milliseconds")]
    pub ack_lead: Duration,
    /// How often RESPONSE is said again.
    pub response_repeats: u32,
    /// The time between two of them.
    #[serde(deserialize_with = "seconds")]
    pub response_interval: Duration,
    /// Adds `reason` to a refusing ACK, `result` and `cause` to RESPONSE.
    pub extended: bool,
    /// `[iif.peers.<name>]`
    #[serde(default)]
    pub peers: BTreeMap<String, IifPeerConfig>,
    /// Where these settings come from.
    #[serde(skip)]
    pub reread: Reread,
}

/// `[iif.peers.<name>]`: one application server, known by host and port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IifPeerConfig {
    /// Where its datagrams come from; never `None` once loaded.
    pub host: Option<IpAddr>,
    /// From which port; 0: any.
    pub port: u16,
    /// Who pays; `None`: the account of `[iif]`.
    #[serde(deserialize_with = "filled")]
    pub account: Option<String>,
    /// How it is spoken to; `None`: as `[iif]` says.
    pub dialect: Option<Dialect>,
    /// Signs what it says, and what we say to it.
    pub secret: Secret,
    /// Where the secret was read from.
    pub secret_file: PathBuf,
}

/// Which application servers may ask without a section of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// The one at this address.
    One(IpAddr),
    /// Whoever can reach us, because the address is blank.
    Blank,
    /// Whoever can reach us, because it says `any`.
    Any,
}

/// Which version of the interface an application server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// V1.0: three methods and no `sid`.
    V1,
    /// With RELEASE and `sid`.
    #[default]
    V2,
}

/// Whose rules hold where miniSIPServer's are dangerous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IifProfile {
    /// miniSIPServer's: a blank address lets every application server in.
    Minisipserver,
    /// Ours: that has to be said by the word `any`.
    Native,
}

/// A file of settings that can be read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reread(pub(super) Option<(PathBuf, Role)>);

impl Reread {
    /// Reads the whole settings again, as they are now; `None`: there is no file.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn read(&self) -> Option<Result<Config, ConfigErrors>> {
        self.0.as_ref().map(|(file, role)| Config::load(Some(file), *role))
    }
}

impl ServerAddress {
    /// Whether it lets in who sends from there.
    pub fn lets_in(self, from: IpAddr) -> bool {
        match self {
            ServerAddress::One(ip) => ip.to_canonical() == from.to_canonical(),
            ServerAddress::Blank | ServerAddress::Any => true,
        }
    }

    /// Whether anybody may ask.
    pub fn is_open(self) -> bool {
        !matches!(self, ServerAddress::One(_))
    }
}

impl IifConfig {
    /// Whether anybody could pay for a call.
    pub fn configured(&self) -> bool {
        self.account.is_some() || self.peers.values().any(|peer| peer.account.is_some())
    }

    /// What works and should be known.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.account.is_some() && self.application_server.is_open() {
            let account = self.account.as_deref().unwrap_or_default();
            warnings.push(format!(
                "[iif] application_server lets every application server in that can reach {}: it may call on the money of {account}; \
                 name one address, or a section [iif.peers.NAME] for each",
                self.listen
            ));
        }
        if self.configured() && self.default_caller.is_none() {
            warnings.push(
                "[iif] default_caller is empty: a REQUEST without caller1 shows nobody to A (\"anonymous\"), which some carriers refuse; \
                 write a number, or give the trunk one with --cli"
                    .to_owned(),
            );
        }
        warnings
    }

    /// Reads the secrets that stand in files.
    pub(super) fn settle(&mut self, folder: &Path, place: &str, mistakes: &mut Vec<Mistake>) {
        secret::from_file(&mut self.secret, &self.secret_file, folder, "iif.secret", place, mistakes);
        for (name, peer) in &mut self.peers {
            let key = format!("iif.peers.{name}.secret");
            secret::from_file(&mut peer.secret, &peer.secret_file, folder, &key, place, mistakes);
        }
    }

    /// What does not fit: key and sentence.
    pub(super) fn mistakes(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut add = |key: &str, what: String| wrong.push((format!("iif.{key}"), what));
        if self.profile == IifProfile::Native && self.application_server == ServerAddress::Blank {
            add(
                "application_server",
                "is blank; write an address, or \"any\" to let every application server in".to_owned(),
            );
        }
        if self.ack_lead > Duration::from_secs(5) {
            add("ack_lead", format!("{} is out of range; write 0 to 5000", self.ack_lead.as_millis()));
        }
        if self.response_repeats > 10 {
            add("response_repeats", format!("{} is out of range; write 0 to 10", self.response_repeats));
        }
        if !(1..=60).contains(&self.response_interval.as_secs()) {
            add("response_interval", format!("{} is out of range; write 1 to 60", self.response_interval.as_secs()));
        }
        let mut seen = BTreeMap::new();
        let mut secrets: Vec<(&Secret, &str)> = Vec::new();
        if !self.secret.is_empty() {
            secrets.push((&self.secret, "[iif] secret"));
        }
        for (name, peer) in &self.peers {
            if peer.account.is_none() && self.account.is_none() {
                add(&format!("peers.{name}.account"), "is missing, and so is [iif] account; name who pays".to_owned());
            }
            match peer.host {
                None => add(&format!("peers.{name}.host"), "is missing; write the address it sends from".to_owned()),
                Some(host) => {
                    if let Some(other) = seen.insert((host, peer.port), name) {
                        let what = format!("{host}:{} is {other}'s already; give each its own", peer.port);
                        add(&format!("peers.{name}.port"), what);
                    }
                }
            }
            if !peer.secret.is_empty() {
                match secrets.iter().find(|(secret, _)| **secret == peer.secret) {
                    Some((_, whose)) => {
                        let what = format!(
                            "is the same as {whose}: what one signs would be good for the other; give each its own"
                        );
                        add(&format!("peers.{name}.secret"), what);
                    }
                    None => secrets.push((&peer.secret, name)),
                }
            }
            if !is_source_name(name) {
                let what = format!("{name:?}: name a peer in up to 32 lower-case letters, digits and dashes");
                add(&format!("peers.{name}.host"), what);
            }
        }
        wrong
    }
}

impl<'de> Deserialize<'de> for ServerAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ServerAddress, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.trim() {
            "" => Ok(ServerAddress::Blank),
            "any" => Ok(ServerAddress::Any),
            address => address.parse().map(ServerAddress::One).map_err(|_| {
                de::Error::custom(format!("{text:?} is no IP address; write one like \"127.0.0.1\", or \"any\""))
            }),
        }
    }
}

fn cli_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cli>, D::Error> {
    filled(deserializer)?.map(|text| Cli::read(&text).map_err(de::Error::custom)).transpose()
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Duration::from_millis(u64::from(u32::deserialize(deserializer)?)))
}
