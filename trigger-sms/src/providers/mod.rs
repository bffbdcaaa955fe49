//! The providers: what each of them posts, how it proves who it is, what it wants to hear, and how a reply is sent through it.
//! Pure: a request goes in as it came, texts or a refusal come out; a reply goes in, an HTTP request comes out.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod africastalking;
mod bird;
mod fields;
mod generic;
mod infobip;
mod jasmin;
mod jwt;
mod kannel;
mod outgoing;
mod plivo;
mod raw;
mod sigv4;
mod sinch;
mod sns;
mod telnyx;
mod twilio;
mod vonage;
mod vonage_messages;

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use ringback_common::config::{ProviderKind, SourceConfig};
use ringback_common::courier::Sent;
use url::Url;

use crate::replies::Reply;
use crate::sign::same;
use crate::text::Outcome;

pub use outgoing::Outgoing;
pub use raw::{Raw, Read, Told, TurnedAway, later};

/// One configured source.
pub struct Provider {
    config: SourceConfig,
    kind: Kind,
}

enum Kind {
    Generic,
    Twilio,
    Vonage,
    VonageMessages,
    Plivo(plivo::Nonces),
    Telnyx,
    Bird,
    Sinch,
    Infobip,
    AfricasTalking,
    Sns(sns::Certificates),
    Kannel,
    Jasmin,
}

impl Provider {
    /// The provider that a source's settings name; `None` if they name none.
    pub fn new(config: SourceConfig) -> Option<Provider> {
        let kind = match config.provider? {
            ProviderKind::Generic => Kind::Generic,
            ProviderKind::Twilio => Kind::Twilio,
            ProviderKind::Vonage => Kind::Vonage,
            ProviderKind::VonageMessages => Kind::VonageMessages,
            ProviderKind::Plivo => Kind::Plivo(plivo::Nonces::default()),
            ProviderKind::Telnyx => Kind::Telnyx,
            ProviderKind::Bird => Kind::Bird,
            ProviderKind::Sinch => Kind::Sinch,
            ProviderKind::Infobip => Kind::Infobip,
            ProviderKind::Africastalking => Kind::AfricasTalking,
            ProviderKind::Sns => Kind::Sns(sns::Certificates::default()),
            ProviderKind::Kannel => Kind::Kannel,
            ProviderKind::Jasmin => Kind::Jasmin,
        };
        Some(Provider { config, kind })
    }

    /// Whether texts come to it by this method.
    pub fn speaks(&self, method: &Method) -> bool {
        let by_get = matches!(self.kind, Kind::Vonage | Kind::Bird | Kind::Kannel);
        *method == Method::POST && !matches!(self.kind, Kind::Kannel) || *method == Method::GET && by_get
    }

    /// Reads a request.
    ///
    /// # Errors
    /// It is turned away.
    pub fn read(&self, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
        let config = &self.config;
        if !config.allow_from.is_empty() && !config.allow_from.iter().any(|net| net.contains(&raw.from.to_canonical()))
        {
            return Err(TurnedAway::Unproven("requests of this source do not come from that address"));
        }
        let in_query = matches!(self.kind, Kind::Kannel) && raw.secret.is_empty();
        if !in_query && !same(config.path_secret.reveal().as_bytes(), raw.secret.as_bytes()) {
            return Err(TurnedAway::Unproven("the last part of the path is not this source's path_secret"));
        }
        match &self.kind {
            Kind::Generic => generic::read(config, raw),
            Kind::Twilio => twilio::read(config, raw),
            Kind::Vonage => vonage::read(config, raw),
            Kind::VonageMessages => vonage_messages::read(config, raw),
            Kind::Plivo(nonces) => plivo::read(config, nonces, raw),
            Kind::Telnyx => telnyx::read(config, raw),
            Kind::Bird => bird::read(config, raw),
            Kind::Sinch => sinch::read(config, raw),
            Kind::Infobip => infobip::read(config, raw),
            Kind::AfricasTalking => africastalking::read(config, raw),
            Kind::Sns(certificates) => sns::read(config, certificates, raw),
            Kind::Kannel => kannel::read(config, raw),
            Kind::Jasmin => jasmin::read(config, raw),
        }
    }

    /// What the provider hears.
    pub fn answer(&self, outcome: &Outcome) -> Response {
        if matches!(self.kind, Kind::Generic) {
            return generic::answer(outcome);
        }
        match outcome {
            Outcome::Accepted(_) | Outcome::Rejected(_) | Outcome::Done(_) | Outcome::Ignored(_) => match self.kind {
                Kind::Twilio | Kind::Plivo(_) => {
                    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], "<Response/>").into_response()
                }
                Kind::Jasmin => ([(header::CONTENT_TYPE, "text/plain")], jasmin::TAKEN).into_response(),
                Kind::Kannel => ([(header::CONTENT_TYPE, "text/plain")], "").into_response(),
                _ => StatusCode::OK.into_response(),
            },
            Outcome::Limited(_, wait) => later(StatusCode::TOO_MANY_REQUESTS, *wait, ()),
            Outcome::Unavailable(wait) => later(StatusCode::SERVICE_UNAVAILABLE, *wait, ()),
        }
    }

    /// Takes in a certificate that [`Read::Certificate`] asked for.
    ///
    /// # Errors
    /// It is none.
    pub fn learn(&self, url: &Url, pem: &[u8], now: DateTime<Utc>) -> Result<(), &'static str> {
        match &self.kind {
            Kind::Sns(certificates) => certificates.learn(url, pem, now),
            _ => Err("this provider has no certificates"),
        }
    }

    /// Where an address that the provider named is really asked for: there, or at a stand-in on this machine.
    pub fn stand_in(&self, url: &Url) -> Url {
        let stand_in = self.config.certificates.as_deref().and_then(|base| Url::parse(base).ok());
        stand_in.map_or_else(
            || url.clone(),
            |mut base| {
                base.set_path(url.path());
                base.set_query(url.query());
                base
            },
        )
    }

    /// Whether it brings long texts in parts.
    pub fn brings_parts(&self) -> bool {
        matches!(self.kind, Kind::Vonage)
    }

    /// Whether replies can be sent through it.
    pub fn answers(&self) -> bool {
        self.config.answers()
    }

    /// Whether it reaches short numbers of our own site.
    pub fn reaches_short_numbers(&self) -> bool {
        matches!(self.kind, Kind::Generic)
    }

    /// Whether the receiver of replies drops the second of two with the same key.
    pub fn deduplicates(&self) -> bool {
        matches!(self.kind, Kind::Generic) && self.config.idempotent
    }

    /// The request that sends a reply; `None` if the settings do not say how.
    pub fn reply(&self, reply: &Reply, now: DateTime<Utc>) -> Option<Outgoing> {
        let config = &self.config;
        match &self.kind {
            Kind::Generic => generic::reply(config, reply),
            Kind::Twilio => twilio::reply(config, reply),
            Kind::Vonage => vonage::reply(config, reply),
            Kind::VonageMessages => vonage_messages::reply(config, reply),
            Kind::Plivo(_) => plivo::reply(config, reply),
            Kind::Telnyx => telnyx::reply(config, reply),
            Kind::Bird => bird::reply(config, reply),
            Kind::Sinch => sinch::reply(config, reply),
            Kind::Infobip => infobip::reply(config, reply),
            Kind::AfricasTalking => africastalking::reply(config, reply),
            Kind::Sns(_) => sns::reply(config, reply, now),
            Kind::Kannel => kannel::reply(config, reply),
            Kind::Jasmin => jasmin::reply(config, reply),
        }
    }

    /// What the answer to a reply means.
    pub fn judge(&self, status: StatusCode, body: &[u8]) -> Sent {
        let by_status = judge(status);
        if by_status != Sent::Yes {
            return by_status;
        }
        match &self.kind {
            Kind::Vonage => vonage::judge(body),
            Kind::Infobip => infobip::judge(body),
            Kind::AfricasTalking => africastalking::judge(body),
            _ => Sent::Yes,
        }
    }
}

/// What an HTTP status says about a reply: 2xx it was taken; 408, 425, 429 and 503 not now; other 4xx and redirects never;
/// any other failure leaves it open.
fn judge(status: StatusCode) -> Sent {
    let said = format!("the receiver answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Sent::Yes,
        408 | 425 | 429 | 503 => Sent::NotYet(said),
        300..=499 => Sent::Never(said),
        _ => Sent::Unknown(said),
    }
}

#[cfg(test)]
mod shapes;
#[cfg(test)]
mod tests;
