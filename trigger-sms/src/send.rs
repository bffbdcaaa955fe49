//! Sending a reply through the provider that brought the text, and knowing what became of it.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use ringback_common::config::{GenericSmsConfig, TwilioSmsConfig};
use ringback_common::job::JobId;
use serde_json::json;

use crate::replies::{Note, Via};
use crate::sign;

/// A reply to one sender.
pub struct Reply {
    /// The job it belongs to.
    pub job: JobId,
    /// `final`: how the callback ended. `refused`: why there was none.
    pub kind: &'static str,
    /// Where to.
    pub note: Note,
    /// What to say.
    pub text: String,
}

/// What became of a try.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// The provider has taken it.
    Yes,
    /// Nothing was taken; it may be tried again.
    NotYet(String),
    /// The provider will never take it.
    Never(String),
    /// It may have been taken.
    Unknown(String),
}

/// The ways back to the senders.
pub struct Channels {
    client: Client,
    generic: GenericSmsConfig,
    twilio: TwilioSmsConfig,
}

impl Channels {
    /// The ways back that the settings open.
    ///
    /// # Errors
    /// There is no HTTP client on this machine.
    pub fn new(generic: GenericSmsConfig, twilio: TwilioSmsConfig) -> Result<Channels, reqwest::Error> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(4))
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Channels { client, generic, twilio })
    }

    /// Whether a reply that may have been taken may be sent again, because the receiver drops the second one.
    pub fn deduplicates(&self, via: Via) -> bool {
        via == Via::Generic && self.generic.idempotent
    }

    /// Tries once.
    pub async fn send(&self, reply: &Reply) -> Sent {
        let request = match reply.note.via {
            Via::Generic => self.generic_request(reply),
            Via::Twilio => self.twilio_request(reply),
        };
        let Some(request) = request else {
            return Sent::Never(format!("[sms.{}] has no way to reply any more", reply.note.via.name()));
        };
        match request.send().await {
            Ok(response) => judge(response.status()),
            Err(error) if error.is_builder() => Sent::Never(error.to_string()),
            Err(error) if error.is_connect() => Sent::NotYet(error.without_url().to_string()),
            Err(error) => Sent::Unknown(error.without_url().to_string()),
        }
    }

    fn generic_request(&self, reply: &Reply) -> Option<RequestBuilder> {
        let url = self.generic.reply_url.as_ref()?;
        let Reply { job, kind, note, text } = reply;
        let body = json!({ "job": job, "kind": kind, "to": note.to, "from": note.from, "text": text }).to_string();
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("idempotency-key", format!("{job}:{kind}"));
        if !self.generic.secret.is_empty() {
            request =
                request.header(sign::GENERIC_HEADER, sign::generic(self.generic.secret.reveal(), body.as_bytes()));
        }
        Some(request.body(body))
    }

    fn twilio_request(&self, reply: &Reply) -> Option<RequestBuilder> {
        let account = self.twilio.account_sid.as_ref()?;
        let base = self.twilio.api_base.trim_end_matches('/');
        let from = self.twilio.from.as_ref().unwrap_or(&reply.note.from);
        let form = [("To", &reply.note.to), ("From", from), ("Body", &reply.text)];
        let request = self.client.post(format!("{base}/2010-04-01/Accounts/{account}/Messages.json"));
        Some(request.basic_auth(account, Some(self.twilio.auth_token.reveal())).form(&form))
    }
}

/// What an HTTP status says about the reply: 2xx it was taken; 408, 425, 429 and 503 not now; other 4xx and redirects never;
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
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_became_of_a_reply() {
        for (status, same) in [
            (200, Sent::Yes),
            (202, Sent::Yes),
            (302, Sent::Never(String::new())),
            (400, Sent::Never(String::new())),
            (429, Sent::NotYet(String::new())),
            (503, Sent::NotYet(String::new())),
            (500, Sent::Unknown(String::new())),
            (504, Sent::Unknown(String::new())),
        ] {
            let judged = judge(StatusCode::from_u16(status).unwrap());
            assert_eq!(std::mem::discriminant(&judged), std::mem::discriminant(&same), "{status}: {judged:?}");
        }
    }
}
