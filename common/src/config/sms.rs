//! `[sms]`: where texts come from. `[sms.generic]` and `[sms.twilio]` are two sources by their own names; any number of further
//! ones stand in `[sms.sources.<name>]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use super::sections::{address, filled};
use super::{JasminConfig, Mistake, Secret, SmppConfig, secret};

/// `[sms]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsConfig {
    /// The HTTP address.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The sender is told when the call is about to be made, not only how it ended.
    pub announce: bool,
    /// The source through which texts go that answer none; `None`: there are none.
    #[serde(deserialize_with = "filled")]
    pub notices: Option<String>,
    /// Whom they come from.
    pub notices_from: String,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "networks")]
    pub proxies: Vec<IpNet>,
    /// `[sms.generic]`
    pub generic: GenericSmsConfig,
    /// `[sms.twilio]`
    pub twilio: TwilioSmsConfig,
    /// `[sms.sources.<name>]`
    #[serde(default)]
    pub sources: BTreeMap<String, SourceConfig>,
    /// `[sms.smpp.<name>]`
    #[serde(default)]
    pub smpp: BTreeMap<String, SmppConfig>,
    /// `[sms.jasmin]`
    #[serde(default)]
    pub jasmin: JasminConfig,
    /// `[[sms.shortcode]]`
    #[serde(default)]
    pub shortcode: Vec<ShortCodeConfig>,
}

/// `[[sms.shortcode]]`: what may be written to one number of ours.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShortCodeConfig {
    /// As the provider writes it in its requests.
    pub number: String,
    /// The forms, by name; an operator's name stands for all of its forms.
    #[serde(default = "usual_forms")]
    pub forms: Vec<String>,
    /// The word that every text here begins with.
    #[serde(default)]
    pub keyword: Option<String>,
}

fn usual_forms() -> Vec<String> {
    vec!["words".to_owned(), "commands".to_owned()]
}

/// `[sms.generic]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenericSmsConfig {
    /// Signs requests and replies; empty when there is none.
    pub secret: Secret,
    /// Where the secret was read from.
    pub secret_file: PathBuf,
    /// Takes unsigned texts on a loopback listener.
    pub allow_unsigned: bool,
    /// Where replies go.
    #[serde(deserialize_with = "filled")]
    pub reply_url: Option<String>,
    /// The receiver deduplicates.
    pub idempotent: bool,
}

/// `[sms.twilio]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioSmsConfig {
    /// Twilio's name for us; `None` turns the endpoint off.
    #[serde(deserialize_with = "filled")]
    pub account_sid: Option<String>,
    /// Signs requests, and signs us in.
    pub auth_token: Secret,
    /// Where the token was read from.
    pub auth_token_file: PathBuf,
    /// The address that Twilio signs.
    #[serde(deserialize_with = "filled")]
    pub public_url: Option<String>,
    /// Where replies are sent through.
    pub api_base: String,
    /// The number replies come from.
    #[serde(deserialize_with = "filled")]
    pub from: Option<String>,
}

/// Who speaks at a source, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // They are names of companies and programs.
pub enum ProviderKind {
    Generic,
    Twilio,
    Vonage,
    VonageMessages,
    Plivo,
    Telnyx,
    Bird,
    Sinch,
    Infobip,
    Africastalking,
    Sns,
    Kannel,
    Jasmin,
}

/// How Vonage's SMS API signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VonageSignature {
    /// MD5 over the parameters and the secret.
    #[default]
    Md5Hash,
    /// HMAC-MD5 over the parameters.
    Md5,
    /// HMAC-SHA1.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// `[sms.sources.<name>]`: one list of keys for all providers; docs/sms.md says who wants which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Whose requests these are.
    pub provider: Option<ProviderKind>,
    /// The provider's name for us: account SID, auth ID, API key, workspace, service plan, user name.
    #[serde(deserialize_with = "filled")]
    pub account: Option<String>,
    /// Signs us in where replies are sent through; Twilio and Plivo sign requests with it too.
    pub token: Secret,
    /// Where the token was read from.
    pub token_file: PathBuf,
    /// Proves that requests come from the provider: a shared secret, or the provider's public key.
    pub signing_key: Secret,
    /// Where the signing key was read from.
    pub signing_key_file: PathBuf,
    /// How Vonage's SMS API signs.
    pub signature: VonageSignature,
    /// The last part of the path, `/sms/<name>/<path_secret>`, known to the provider alone.
    pub path_secret: Secret,
    /// Where the path secret was read from.
    pub path_secret_file: PathBuf,
    /// The user that the provider signs in as, by HTTP Basic.
    #[serde(deserialize_with = "filled")]
    pub user: Option<String>,
    /// Its password.
    pub password: Secret,
    /// Where the password was read from.
    pub password_file: PathBuf,
    /// Networks that requests may come from; empty is the whole world.
    #[serde(deserialize_with = "networks")]
    pub allow_from: Vec<IpNet>,
    /// Takes unsigned texts on a loopback listener; generic only.
    pub allow_unsigned: bool,
    /// The address that the provider knows us by, as it is signed.
    #[serde(deserialize_with = "filled")]
    pub public_url: Option<String>,
    /// Where replies are sent through, when it is not the provider's own address.
    #[serde(deserialize_with = "filled")]
    pub api_base: Option<String>,
    /// The number replies come from.
    #[serde(deserialize_with = "filled")]
    pub from: Option<String>,
    /// Bird's channel.
    #[serde(deserialize_with = "filled")]
    pub channel: Option<String>,
    /// Amazon's region.
    #[serde(deserialize_with = "filled")]
    pub region: Option<String>,
    /// Amazon's topics (ARNs) whose texts are ours.
    pub topics: Vec<String>,
    /// A stand-in for Amazon's certificates and confirmations, on this machine: for tests.
    #[serde(deserialize_with = "filled")]
    pub certificates: Option<String>,
    /// The receiver of replies deduplicates; generic only.
    pub idempotent: bool,
}

impl SmsConfig {
    /// Every source by its name: the last part of its path.
    pub fn all_sources(&self) -> BTreeMap<String, SourceConfig> {
        let mut all = self.sources.clone();
        let generic = self.generic.clone();
        all.insert(
            "generic".to_owned(),
            SourceConfig {
                provider: Some(ProviderKind::Generic),
                signing_key: generic.secret,
                allow_unsigned: generic.allow_unsigned,
                api_base: generic.reply_url,
                idempotent: generic.idempotent,
                ..SourceConfig::default()
            },
        );
        let twilio = self.twilio.clone();
        all.insert(
            "twilio".to_owned(),
            SourceConfig {
                provider: Some(ProviderKind::Twilio),
                account: twilio.account_sid,
                token: twilio.auth_token,
                public_url: twilio.public_url,
                api_base: Some(twilio.api_base),
                from: twilio.from,
                ..SourceConfig::default()
            },
        );
        all
    }

    /// Reads the secrets that stand in files.
    pub(super) fn settle(&mut self, folder: &Path, place: &str, mistakes: &mut Vec<Mistake>) {
        let mut read = |secret: &mut Secret, file: &Path, key: &str| {
            secret::from_file(secret, file, folder, key, place, mistakes);
        };
        read(&mut self.generic.secret, &self.generic.secret_file, "sms.generic.secret");
        read(&mut self.twilio.auth_token, &self.twilio.auth_token_file, "sms.twilio.auth_token");
        for (name, source) in &mut self.sources {
            for (secret, file, key) in [
                (&mut source.token, &source.token_file, "token"),
                (&mut source.signing_key, &source.signing_key_file, "signing_key"),
                (&mut source.path_secret, &source.path_secret_file, "path_secret"),
                (&mut source.password, &source.password_file, "password"),
            ] {
                read(secret, file, &format!("sms.sources.{name}.{key}"));
            }
        }
        for (name, SmppConfig { password, password_file, ca_file, .. }) in &mut self.smpp {
            read(password, password_file, &format!("sms.smpp.{name}.password"));
            if !ca_file.as_os_str().is_empty() {
                *ca_file = folder.join(&ca_file);
            }
        }
        let JasminConfig { url, url_file, password, password_file, .. } = &mut self.jasmin;
        read(url, url_file, "sms.jasmin.url");
        read(password, password_file, "sms.jasmin.password");
    }
}

impl SourceConfig {
    /// Whether its replies have somewhere to go.
    pub fn answers(&self) -> bool {
        let signed_in = !self.token.is_empty();
        match self.provider {
            None => false,
            Some(ProviderKind::Generic) => self.api_base.is_some(),
            Some(ProviderKind::Telnyx) => signed_in,
            Some(ProviderKind::Infobip) => signed_in && self.api_base.is_some(),
            Some(ProviderKind::Kannel | ProviderKind::Jasmin) => self.account.is_some() && self.api_base.is_some(),
            Some(ProviderKind::Bird) => signed_in && (self.account.is_some() == self.channel.is_some()),
            Some(ProviderKind::Sns) => signed_in && self.account.is_some() && self.region.is_some(),
            Some(_) => signed_in && self.account.is_some(),
        }
    }

    /// Which keys are missing or do not fit, and what to write instead.
    pub(super) fn mistakes(&self) -> Vec<(&'static str, String)> {
        let Some(provider) = self.provider else {
            return vec![("provider", "is missing; write the provider's name, like \"vonage\"".to_owned())];
        };
        let mut wrong = Vec::new();
        for (key, missing, why) in self.wants(provider) {
            if missing {
                wrong.push((key, format!("is missing; {why}")));
            }
        }
        for (key, url) in [("public_url", &self.public_url), ("api_base", &self.api_base)] {
            if url.as_ref().is_some_and(|url| !is_web_address(url)) {
                wrong.push((key, "is no web address; write it like https://example.net/path".to_owned()));
            }
        }
        if self.certificates.as_ref().is_some_and(|url| !is_loopback_address(url)) {
            wrong.push((
                "certificates",
                "is for tests on this machine; write http://127.0.0.1:PORT, or nothing".to_owned(),
            ));
        }
        let unfit =
            |secret: &Secret| !secret.reveal().bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        if unfit(&self.path_secret) || (1..16).contains(&self.path_secret.reveal().len()) {
            wrong.push(("path_secret", "write at least 16 letters, digits, dots, dashes, underscores".to_owned()));
        }
        wrong
    }

    /// Key, whether it is missing, and what it is for.
    fn wants(&self, provider: ProviderKind) -> Vec<(&'static str, bool, &'static str)> {
        let (no_key, no_token, no_url) =
            (self.signing_key.is_empty(), self.token.is_empty(), self.public_url.is_none());
        let no_proof = self.path_secret.is_empty();
        let no_login = no_proof && (self.user.is_none() || self.password.is_empty());
        let url = ("public_url", no_url, "without it no signature can be checked");
        match provider {
            ProviderKind::Generic => {
                vec![("signing_key", no_key && !self.allow_unsigned, "requests are signed with it")]
            }
            ProviderKind::Twilio => vec![
                ("account", self.account.is_none(), "it is the account SID"),
                ("token", no_token, "it stands beside the account SID in Twilio's console"),
                url,
            ],
            ProviderKind::Plivo => vec![("token", no_token, "it is the auth token in Plivo's console"), url],
            ProviderKind::Vonage => vec![("signing_key", no_key && no_proof, "it is the account's signature secret")],
            ProviderKind::VonageMessages => vec![("signing_key", no_key, "it is the account's signature secret")],
            ProviderKind::Telnyx => vec![("signing_key", no_key, "it is the public key in Mission Control")],
            ProviderKind::Bird => vec![("signing_key", no_key, "it is the webhook's signing key"), url],
            ProviderKind::Sinch | ProviderKind::Infobip => {
                vec![("path_secret", no_login, "set it, or user and password: these requests carry no signature")]
            }
            ProviderKind::Africastalking | ProviderKind::Kannel | ProviderKind::Jasmin => {
                vec![("path_secret", no_proof, "these requests carry no signature")]
            }
            ProviderKind::Sns => vec![("topics", self.topics.is_empty(), "write the ARNs of your topics")],
        }
    }
}

/// Whether it is an `http://` or `https://` address.
pub(super) fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn is_loopback_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    })
}

/// What a source may be called: it stands in a path and in an environment variable.
pub(super) fn is_source_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let read = |text: String| {
        let one = text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| IpNet::from(ip)));
        one.ok_or_else(|| de::Error::custom(format!("{text:?} is no network; write 192.0.2.7 or 192.0.2.0/24")))
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(read).collect()
}
