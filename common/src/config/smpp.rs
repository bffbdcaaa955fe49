//! `[sms.smpp.<name>]`: message centres that we bind to, as many as there are sections.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Secret;
use super::sections::seconds;

/// `[sms.smpp.<name>]`. Every key has a default but `host` and `system_id`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmppConfig {
    /// The message centre.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS, checked against the system's certificates or `ca_file`.
    pub tls: bool,
    /// The authority that signed the message centre's certificate, in PEM.
    pub ca_file: PathBuf,
    /// Our name there.
    pub system_id: String,
    /// At most eight characters, says SMPP 3.4.
    pub password: Secret,
    /// Where the password was read from.
    pub password_file: PathBuf,
    /// What kind of system we are, if the message centre wants to know.
    pub system_type: String,
    /// One connection for both ways, or one for each.
    pub bind: SmppBind,
    /// The numbers we want texts of; empty leaves it to the message centre.
    pub address_range: String,
    /// Type of number of `address_range`.
    pub address_ton: u8,
    /// Numbering plan of `address_range`.
    pub address_npi: u8,
    /// What `data_coding` 0 means there.
    pub alphabet: SmppAlphabet,
    /// A silent peer is asked after this time whether it is still there.
    #[serde(deserialize_with = "seconds")]
    pub enquire_link: Duration,
    /// How long an answer may take.
    #[serde(deserialize_with = "seconds")]
    pub response_timeout: Duration,
    /// Texts in hand, and replies without an answer, at a time.
    pub window: u16,
    /// Replies per second; 0 is no limit.
    pub submit_rate: u32,
    /// How long the parts of a long text have to come together.
    #[serde(deserialize_with = "seconds")]
    pub parts_within: Duration,
    /// The address replies come from; empty: the one the text was sent to.
    pub from: String,
}

/// How we bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmppBind {
    /// One connection for both ways.
    Transceiver,
    /// A receiver and a transmitter.
    Pair,
    /// Only texts to us; there are no replies.
    Receiver,
}

/// The alphabet of `data_coding` 0: the message centre's own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmppAlphabet {
    /// GSM 7-bit, a septet in each byte.
    Gsm,
    /// ISO 8859-1.
    Latin1,
}

impl Default for SmppConfig {
    fn default() -> SmppConfig {
        SmppConfig {
            host: String::new(),
            port: 2775,
            tls: false,
            ca_file: PathBuf::new(),
            system_id: String::new(),
            password: Secret::default(),
            password_file: PathBuf::new(),
            system_type: String::new(),
            bind: SmppBind::Transceiver,
            address_range: String::new(),
            address_ton: 0,
            address_npi: 0,
            alphabet: SmppAlphabet::Gsm,
            enquire_link: Duration::from_secs(30),
            response_timeout: Duration::from_secs(10),
            window: 64,
            submit_rate: 50,
            parts_within: Duration::from_secs(120),
            from: String::new(),
        }
    }
}

impl SmppConfig {
    /// What does not fit: the key and what to write instead.
    pub(super) fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let texts = [
            ("host", &self.host, 1, 253),
            ("system_id", &self.system_id, 1, 15),
            ("system_type", &self.system_type, 0, 12),
            ("address_range", &self.address_range, 0, 40),
            ("from", &self.from, 0, 20),
        ];
        for (key, text, least, most) in texts {
            if text.len() < least || text.len() > most || !text.bytes().all(|b| b.is_ascii_graphic()) {
                wrong.push((key, format!("write {least} to {most} ASCII characters without spaces")));
            }
        }
        if self.password.reveal().len() > 8 || !self.password.reveal().is_ascii() {
            wrong.push(("password", "has more than the 8 ASCII characters that SMPP 3.4 allows".to_owned()));
        }
        for (key, value, least, most) in [
            ("enquire_link", self.enquire_link.as_secs(), 1, 3600),
            ("response_timeout", self.response_timeout.as_secs(), 1, 120),
            ("parts_within", self.parts_within.as_secs(), 1, 3600),
            ("window", self.window.into(), 1, 1000),
            ("port", self.port.into(), 1, 65_535),
        ] {
            if value < least || value > most {
                wrong.push((key, format!("{value} is out of range; write {least} to {most}")));
            }
        }
        wrong
    }
}
