//! What every request must pass and every answer carries: this page has no sign-in, so it is for this machine alone, and
//! for posts that come from the page itself.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::problem;

const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
         object-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"), // with no-referrer a browser sends `Origin: null` for our own form
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Refuses what does not come from this machine's own browser on this page, and dresses every answer.
pub async fn guard(request: Request, next: Next) -> Response {
    let answer = match refusal(request.method(), request.headers()) {
        Some((headline, detail)) => problem(axum::http::StatusCode::FORBIDDEN, headline, detail),
        None => next.run(request).await,
    };
    dressed(answer)
}

fn dressed(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer.into_response()
}

/// Why a request is refused. A foreign name for this address is DNS rebinding; a post from elsewhere is forgery.
///
/// Where a post comes from is what the browser says of it in `Sec-Fetch-Site`, which no page can write, else in `Origin`. One that
/// hides its origin (`null`) is believed only with the former.
fn refusal(method: &Method, headers: &HeaderMap) -> Option<(&'static str, &'static str)> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !names_this_machine(host) {
        return Some(("Not from here", "Open this page by its own address, as it was printed."));
    }
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let own = match (site, text(header::ORIGIN)) {
        (None, None) => true, // no browser: nobody's cookies or place are borrowed, and the token is asked for anyway
        (Some("same-origin" | "none"), None | Some("null")) => true,
        (Some("same-origin" | "none") | None, Some(origin)) => is_at(origin, host),
        (Some(_), _) => false,
    };
    (!own).then_some(("Not from this page", "Open the form and send it again."))
}

/// Whether an origin is this very host and port, behind a terminator of TLS or not.
fn is_at(origin: &str, host: &str) -> bool {
    let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    name.is_some_and(|name| name.eq_ignore_ascii_case(host))
}

fn names_this_machine(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: Method, pairs: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        refusal(&method, &headers).is_none()
    }

    #[test]
    fn web_01_a_post_from_elsewhere_is_forgery() {
        let host = ("host", "127.0.0.1:8080");
        assert!(judged(Method::POST, &[host]));
        for own in ["http://127.0.0.1:8080", "https://127.0.0.1:8080"] {
            assert!(judged(Method::POST, &[host, ("origin", own)]), "a browser too old for Sec-Fetch-Site: {own}");
            assert!(judged(Method::POST, &[host, ("origin", own), ("sec-fetch-site", "same-origin")]));
        }
        for foreign in
            ["https://evil.example", "http://127.0.0.1:9999", "http://127.0.0.1:80801", "http://[", "", "null"]
        {
            assert!(!judged(Method::POST, &[host, ("origin", foreign)]), "{foreign}");
            assert!(!judged(Method::POST, &[host, ("origin", foreign), ("sec-fetch-site", "cross-site")]), "{foreign}");
        }
        for site in ["cross-site", "same-site", "", "SAME-ORIGIN"] {
            assert!(!judged(Method::POST, &[host, ("sec-fetch-site", site)]), "{site}");
            assert!(!judged(Method::POST, &[host, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", site)]));
        }
        assert!(!judged(Method::POST, &[host, ("origin", "http://127.0.0.1:9"), ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn a_browser_that_hides_its_origin_is_believed_where_it_says_same_origin() {
        let hidden = [("host", "127.0.0.1:8080"), ("origin", "null"), ("sec-fetch-site", "same-origin")];
        assert!(judged(Method::POST, &hidden));
    }

    #[test]
    fn a_foreign_name_for_this_machine_is_refused() {
        for good in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.3.2.1", "LOCALHOST"] {
            assert!(judged(Method::GET, &[("host", good)]), "{good}");
        }
        for bad in ["evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1:8080", ""] {
            assert!(!judged(Method::GET, &[("host", bad)]), "{bad}");
        }
    }
}
