//! `[sms.jasmin]`: texts straight from the RabbitMQ of a Jasmin SMS gateway.

use std::path::PathBuf;

use chrono::{FixedOffset, Offset, Utc};
use serde::Deserialize;

use super::Secret;

/// `[sms.jasmin]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JasminConfig {
    /// Jasmin's broker, `amqp://USER:PASSWORD@HOST:5672/VHOST`; empty turns it off.
    pub url: Secret,
    /// Where the URL was read from.
    pub url_file: PathBuf,
    /// Jasmin's SMPP client connectors whose texts are for us; one word `#` takes all.
    pub connectors: Vec<String>,
    /// Our queue on that broker; all triggers of a site share it.
    pub queue: String,
    /// How many texts are in hand at a time.
    pub prefetch: u16,
    /// How far the clock of Jasmin's machine is from UTC, `+02:00`: it stamps texts with its local time.
    pub utc_offset: String,
    /// Jasmin's HTTP interface for replies, `http://HOST:1401/send`; empty: no replies.
    pub send_url: String,
    /// Jasmin's user who sends replies.
    pub username: String,
    /// That user's password.
    pub password: Secret,
    /// Where the password was read from.
    pub password_file: PathBuf,
}

impl Default for JasminConfig {
    fn default() -> JasminConfig {
        JasminConfig {
            url: Secret::default(),
            url_file: PathBuf::new(),
            connectors: vec!["#".to_owned()],
            queue: "ringback.jasmin".to_owned(),
            prefetch: 32,
            utc_offset: "+00:00".to_owned(),
            send_url: String::new(),
            username: String::new(),
            password: Secret::default(),
            password_file: PathBuf::new(),
        }
    }
}

impl JasminConfig {
    /// The zone of Jasmin's clock.
    pub fn zone(&self) -> FixedOffset {
        self.utc_offset.parse().unwrap_or(Utc.fix())
    }

    /// What does not fit: the key and what to write instead.
    pub(super) fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let url = self.url.reveal();
        if !url.is_empty() && !url.starts_with("amqp://") && !url.starts_with("amqps://") {
            wrong.push(("url", "write amqp://USER:PASSWORD@HOST:5672/VHOST".to_owned()));
        }
        if !self.send_url.is_empty()
            && !url::Url::parse(&self.send_url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        {
            wrong.push(("send_url", "is no web address; write it like http://127.0.0.1:1401/send".to_owned()));
        }
        if self.connectors.is_empty() || self.connectors.iter().any(|cid| cid.is_empty() || cid.len() > 64) {
            wrong.push((
                "connectors",
                "write the names of Jasmin's SMPP client connectors, or [\"#\"] for all".to_owned(),
            ));
        }
        if self.queue.is_empty() || self.queue.len() > 128 {
            wrong.push(("queue", "write 1 to 128 characters".to_owned()));
        }
        if self.utc_offset.parse::<FixedOffset>().is_err() {
            wrong.push(("utc_offset", "write it like +02:00".to_owned()));
        }
        if self.prefetch == 0 || self.prefetch > 1000 {
            wrong.push(("prefetch", format!("{} is out of range; write 1 to 1000", self.prefetch)));
        }
        wrong
    }
}
