//! Sending a reply through the source that brought the text, and knowing what became of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use reqwest::{Client, Response};
use ringback_common::courier::Sent;
use url::Url;

use crate::providers::Provider;
use crate::replies::{Reply, Via, WaysBack};
use crate::smpp::Binds;

/// So much of an answer is read.
const MOST_BYTES: usize = 64 * 1024;

/// The sources by their names.
pub type Sources = HashMap<Via, Provider>;

/// The ways back to the senders.
pub struct Channels {
    client: Client,
    sources: Arc<Sources>,
    binds: Arc<Binds>,
}

impl Channels {
    /// The ways back that these sources open.
    ///
    /// # Errors
    /// There is no HTTP client on this machine.
    pub fn new(sources: Arc<Sources>, binds: Arc<Binds>) -> Result<Channels, reqwest::Error> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(4))
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Channels { client, sources, binds })
    }

    /// Whether a reply that may have been taken may be sent again, because the receiver drops the second one.
    pub fn deduplicates(&self, via: &Via) -> bool {
        self.sources.get(via).is_some_and(Provider::deduplicates)
    }

    /// Tries once.
    pub async fn send(&self, reply: &Reply) -> Sent {
        if let Some(bind) = reply.note.via.bind() {
            return self.binds.send(bind, &reply.note.from, &reply.note.to, &reply.text).await;
        }
        let source = self.sources.get(&reply.note.via).filter(|source| source.answers());
        let request = source.and_then(|source| Some((source, source.reply(reply, Utc::now())?)));
        let Some((source, request)) = request else {
            return Sent::Never(format!("source {} has no way to reply any more", reply.note.via.name()));
        };
        let request = match request.try_into() {
            Ok(request) => request,
            Err(error) => return Sent::Never(reqwest::Error::without_url(error).to_string()),
        };
        match self.client.execute(request).await {
            Ok(response) => {
                let status = response.status();
                source.judge(status, &beginning(response).await)
            }
            Err(error) if error.is_builder() => Sent::Never(error.without_url().to_string()),
            Err(error) if error.is_connect() => Sent::NotYet(error.without_url().to_string()),
            Err(error) => Sent::Unknown(error.without_url().to_string()),
        }
    }

    /// What stands at an address, if the answer is 200 and short.
    ///
    /// # Errors
    /// Why there is nothing.
    pub async fn fetch(&self, url: Url) -> Result<Vec<u8>, String> {
        match self.client.get(url).send().await {
            Ok(response) if response.status().is_success() => Ok(beginning(response).await),
            Ok(response) => Err(format!("the answer was {}", response.status().as_u16())),
            Err(error) => Err(error.without_url().to_string()),
        }
    }
}

impl WaysBack for Channels {
    fn answers(&self, via: &Via, short: bool) -> bool {
        if let Some(bind) = via.bind() {
            return !short && self.binds.answer(bind);
        }
        self.sources.get(via).is_some_and(|source| source.answers() && (!short || source.reaches_short_numbers()))
    }
}

/// The first part of an answer's body.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(MOST_BYTES - body.len())]);
        if body.len() == MOST_BYTES {
            break;
        }
    }
    body
}
