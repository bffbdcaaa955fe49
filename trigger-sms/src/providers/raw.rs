//! A request as it came from a provider, what it holds once it has proved itself, and why it is turned away.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ringback_common::config::SourceConfig;
use serde_json::Value;
use url::Url;

use crate::coding::Place;
use crate::sign::same;

/// A request as it came. Nothing of it is believed yet.
pub struct Raw<'a> {
    /// GET or POST.
    pub method: &'a Method,
    /// What follows the source's name in the path.
    pub secret: &'a str,
    /// What follows the question mark.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// Who sent it: the socket's address, or what a trusted proxy says.
    pub from: IpAddr,
    /// It came from this machine to a door that only this machine can reach.
    pub local: bool,
    /// When it came.
    pub now: DateTime<Utc>,
}

impl Raw<'_> {
    /// A header, if it is there once and is text.
    pub fn header(&self, name: &str) -> &str {
        let mut all = self.headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (Some(one), None) => one.to_str().unwrap_or_default().trim(),
            _ => "",
        }
    }

    /// The address that was signed: the source's public address, with the query as it came.
    pub fn signed_url(&self, public_url: &str) -> String {
        let base = public_url.split('?').next().unwrap_or_default();
        if self.query.is_empty() { base.to_owned() } else { format!("{base}?{}", self.query) }
    }

    /// Whether this moment in seconds is within so many of now.
    pub fn is_recent(&self, seconds: Option<i64>, tolerance: i64) -> bool {
        seconds.is_some_and(|then| self.now.timestamp().abs_diff(then) <= tolerance.unsigned_abs())
    }
}

/// A text as its provider tells it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The provider's id of the message.
    pub id: String,
    /// The sender.
    pub from: String,
    /// Our number.
    pub to: String,
    /// What it says.
    pub body: String,
    /// When the provider received it.
    pub received: Option<DateTime<Utc>>,
    /// The provider's own data.
    pub metadata: BTreeMap<String, Value>,
    /// It is one part of several, which the provider does not join.
    pub place: Option<Place>,
}

/// What a request that proved itself holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Texts, at least one.
    Texts(Vec<Told>),
    /// Something else that the provider tells, and what.
    Nothing(&'static str),
    /// It cannot be checked before this certificate is here: [`Provider::learn`] it and read again.
    Certificate {
        /// Where it stands.
        url: Url,
        /// It was there before, and got too old.
        known: bool,
    },
    /// The provider wants this address to be asked for, once, to see that we are here.
    Confirm(Url),
}

/// Why a request is turned away.
#[derive(Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// It does not prove who sent it.
    Unproven(&'static str),
    /// It proves who sent it and makes no sense.
    Malformed(String),
    /// The source is not set up.
    NotSetUp(&'static str),
}

impl TurnedAway {
    pub fn malformed(what: impl Into<String>) -> TurnedAway {
        TurnedAway::Malformed(what.into())
    }
}

/// The site's user and password by HTTP Basic; where none are configured, the path's secret has been enough.
pub fn signed_in(config: &SourceConfig, raw: &Raw<'_>) -> Result<(), TurnedAway> {
    let Some(user) = &config.user else {
        return if config.path_secret.is_empty() {
            Err(TurnedAway::NotSetUp("this source has neither a path_secret nor user and password"))
        } else {
            Ok(())
        };
    };
    let sent = raw.header("authorization").strip_prefix("Basic ").and_then(|text| STANDARD.decode(text.trim()).ok());
    let expected = format!("{user}:{}", config.password.reveal());
    if !config.password.is_empty() && sent.is_some_and(|sent| same(expected.as_bytes(), &sent)) {
        Ok(())
    } else {
        Err(TurnedAway::Unproven("sign in with this source's user and password (HTTP Basic)"))
    }
}

/// Providers that have nothing but the secret in the path.
pub fn only_by_path(config: &SourceConfig) -> Result<(), TurnedAway> {
    if config.path_secret.is_empty() {
        return Err(TurnedAway::NotSetUp("this source has no path_secret"));
    }
    Ok(())
}

/// An answer that says when to come back.
pub fn later(status: StatusCode, wait: Duration, body: impl IntoResponse) -> Response {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    (status, [(header::RETRY_AFTER, format!("{seconds}"))], body).into_response()
}
