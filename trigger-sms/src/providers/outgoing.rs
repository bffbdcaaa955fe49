//! Requests to providers, that send replies.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use axum::http::{Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

/// A request that is ready to be sent.
pub type Outgoing = Request<Vec<u8>>;

/// An address below the provider's own, or below `api_base` when that is set.
pub fn at(api_base: Option<&str>, own: &str, path: &[&str]) -> Option<Url> {
    let mut url = Url::parse(api_base.unwrap_or(own)).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}

/// `Basic` and the credentials.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// POSTs JSON with this `Authorization`.
pub fn json(url: &Url, authorization: &str, body: &Value) -> Option<Outgoing> {
    let request = Request::post(url.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, authorization);
    request.body(body.to_string().into_bytes()).ok()
}

/// POSTs a form with these further headers.
pub fn form(url: &Url, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Option<Outgoing> {
    let mut request = Request::post(url.as_str())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(encoded(fields).into_bytes()).ok()
}

/// Fields as forms and queries write them.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}
