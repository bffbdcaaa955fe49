//! `[email]`: where mail comes from, whom to believe, and how it is answered.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::Secret;
use super::sections::{filled, seconds};

/// `[email]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// Local parts (`call`, at any domain) or whole addresses.
    pub recipients: Vec<String>,
    /// The name server for DKIM and SPF; `None`: the machine's.
    #[serde(deserialize_with = "address_or_none")]
    pub resolver: Option<SocketAddr>,
    /// The name by which our own mail server signs Authentication-Results; `None`: we verify ourselves.
    #[serde(deserialize_with = "filled")]
    pub authserv_id: Option<String>,
    /// Our own mail servers, beside loopback.
    pub relays: Vec<IpAddr>,
    /// The longest mail (bytes).
    pub max_size: usize,
    /// Mails of one sender in ten minutes.
    pub per_sender: u32,
    /// Mails of one domain in ten minutes.
    pub per_domain: u32,
    /// `[email.imap]`
    pub imap: ImapConfig,
    /// `[email.lmtp]`
    pub lmtp: LmtpConfig,
    /// `[email.smtp]`
    pub smtp: SmtpConfig,
}

impl EmailConfig {
    /// Whether mail can come in at all.
    pub fn configured(&self) -> bool {
        self.imap.host.is_some() || self.lmtp.listen.is_some()
    }
}

/// `[email.imap]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImapConfig {
    /// The server; `None` turns it off.
    #[serde(deserialize_with = "filled")]
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: Tls,
    /// Certificates to trust instead of the machine's.
    #[serde(deserialize_with = "path_or_none")]
    pub ca_file: Option<PathBuf>,
    /// Who signs in.
    pub user: String,
    /// With what.
    pub password: Secret,
    /// Where the password was read from.
    pub password_file: PathBuf,
    /// Where mail is looked for.
    pub mailbox: String,
    /// Where mail goes that became a job.
    pub done: String,
    /// Where other mail goes.
    pub rejected: String,
    /// How often to look where the server has no IDLE, and beside it.
    #[serde(deserialize_with = "seconds")]
    pub poll: Duration,
}

/// `[email.lmtp]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LmtpConfig {
    /// The address; `None` turns it off.
    #[serde(deserialize_with = "address_or_none")]
    pub listen: Option<SocketAddr>,
    /// Who may deliver, beside loopback.
    pub allow: Vec<IpAddr>,
    /// Connections at once.
    pub connections: usize,
}

/// `[email.smtp]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// The server that takes replies; `None`: there are none.
    #[serde(deserialize_with = "filled")]
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: Tls,
    /// Certificates to trust instead of the machine's.
    #[serde(deserialize_with = "path_or_none")]
    pub ca_file: Option<PathBuf>,
    /// Who signs in; empty: nobody does.
    pub user: String,
    /// With what.
    pub password: Secret,
    /// Where the password was read from.
    pub password_file: PathBuf,
    /// The address that replies come from.
    pub from: String,
    /// The receiver drops a second mail with the same Message-ID.
    pub idempotent: bool,
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// From the first byte.
    Tls,
    /// After a word in the clear.
    Starttls,
    /// Not at all: loopback only.
    None,
}

fn address_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let Some(text) = filled(deserializer)? else { return Ok(None) };
    let address = text.parse().map_err(|_| {
        de::Error::custom(format!("{text:?} is no address; write IP and port like \"127.0.0.1:8024\", or \"\""))
    })?;
    Ok(Some(address))
}

fn path_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(filled(deserializer)?.map(PathBuf::from))
}
