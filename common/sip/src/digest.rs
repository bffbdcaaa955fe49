//! Digest answers to a trunk's challenges (RFC 3261 22, RFC 7616, RFC 8760), and to nobody else's.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;

use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::frame::{Message, Name};
use crate::identity::draw_cnonce;
use crate::uri::{split_list, unquote};
use crate::write::quoted;

/// What a trunk knows us by.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
    /// Answer challenges of this realm only; None: of any realm of that trunk.
    pub realm: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// Ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

#[derive(Clone, Debug)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    session: bool,
    qop_auth: bool,
    stale: bool,
}

impl Challenge {
    /// None for a scheme, algorithm or quality of protection we cannot serve.
    fn parse(text: &str) -> Option<Challenge> {
        let (scheme, rest) = text.trim_ascii().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let value = |name: &str| {
            split_list(rest).find_map(|param| {
                let (key, value) = param.split_once('=')?;
                key.trim_ascii().eq_ignore_ascii_case(name).then(|| unquote(value.trim_ascii()))
            })
        };
        let (algorithm, session) =
            match value("algorithm").unwrap_or_else(|| "MD5".to_owned()).to_ascii_uppercase().as_str() {
                "MD5" => (Algorithm::Md5, false),
                "MD5-SESS" => (Algorithm::Md5, true),
                "SHA-256" => (Algorithm::Sha256, false),
                "SHA-256-SESS" => (Algorithm::Sha256, true),
                _ => return None,
            };
        let qop = value("qop");
        let qop_auth =
            qop.as_deref().is_some_and(|list| list.split(',').any(|q| q.trim_ascii().eq_ignore_ascii_case("auth")));
        if qop.is_some_and(|list| !list.trim_ascii().is_empty()) && !qop_auth {
            return None;
        }
        let stale = value("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        Some(Challenge {
            realm: value("realm")?,
            nonce: value("nonce")?,
            opaque: value("opaque"),
            algorithm,
            session,
            qop_auth,
            stale,
        })
    }
}

#[derive(Clone, Debug)]
struct Answering {
    challenge: Challenge,
    nonce_count: u32,
    tries: u8,
}

/// The answers of one call to its trunk.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    trunk: SocketAddr,
    credentials: Option<Credentials>,
    user_agent: Option<Answering>,
    proxy: Option<Answering>,
}

impl Auth {
    /// Credentials for requests to this trunk address, and no other.
    pub fn for_trunk(trunk: SocketAddr, credentials: Option<Credentials>) -> Auth {
        Auth { trunk, credentials, user_agent: None, proxy: None }
    }

    /// The trunk's credentials, when they are known only later.
    pub fn set_credentials(&mut self, credentials: Option<Credentials>) {
        self.credentials = credentials;
    }

    /// A new request may be challenged afresh.
    pub fn begin_request(&mut self) {
        for answering in [&mut self.user_agent, &mut self.proxy].into_iter().flatten() {
            answering.tries = 0;
        }
    }

    /// Takes the challenge of a 401 or 407 to a request that went to `asked`. True: try again with `headers`.
    /// One answer to each kind of challenge, and one more when the nonce was merely stale.
    pub fn challenged(&mut self, response: &Message, asked: SocketAddr, from: SocketAddr) -> bool {
        let (name, place) = match response.code() {
            401 => (Name::WwwAuthenticate, &mut self.user_agent),
            407 => (Name::ProxyAuthenticate, &mut self.proxy),
            _ => return false,
        };
        let Some(credentials) = &self.credentials else { return false };
        if asked != self.trunk || from.ip() != self.trunk.ip() {
            return false;
        }
        let is_ours = |challenge: &Challenge| credentials.realm.as_ref().is_none_or(|realm| *realm == challenge.realm);
        let mut best: Option<Challenge> = None;
        for challenge in response.all(name).filter_map(Challenge::parse).filter(is_ours) {
            if best.as_ref().is_none_or(|best| challenge.algorithm > best.algorithm) {
                best = Some(challenge);
            }
        }
        let Some(challenge) = best else { return false };
        let tries = place.as_ref().map_or(0, |answering| answering.tries);
        if tries > 1 || tries == 1 && !challenge.stale {
            return false;
        }
        *place = Some(Answering { challenge, nonce_count: 0, tries: tries + 1 });
        true
    }

    /// The headers for a request to `to`: empty unless it goes to the trunk and the trunk has challenged us.
    pub fn headers(&mut self, method: &str, uri: &str, to: SocketAddr) -> Vec<(&'static str, String)> {
        let Some(credentials) = self.credentials.as_ref().filter(|_| to == self.trunk) else { return Vec::new() };
        let kinds = [("Authorization", &mut self.user_agent), ("Proxy-Authorization", &mut self.proxy)];
        kinds
            .into_iter()
            .filter_map(|(name, answering)| {
                Some((name, answer(answering.as_mut()?, credentials, method, uri, &draw_cnonce())))
            })
            .collect()
    }
}

fn answer(answering: &mut Answering, credentials: &Credentials, method: &str, uri: &str, cnonce: &str) -> String {
    answering.nonce_count += 1;
    let Challenge { realm, nonce, opaque, algorithm, session, qop_auth, .. } = &answering.challenge;
    let hash = |text: String| match algorithm {
        Algorithm::Md5 => hex::encode(Md5::digest(text)),
        Algorithm::Sha256 => hex::encode(Sha256::digest(text)),
    };
    let mut secret = hash(format!("{}:{realm}:{}", credentials.username, credentials.password));
    if *session {
        secret = hash(format!("{secret}:{nonce}:{cnonce}"));
    }
    let request = hash(format!("{method}:{uri}"));
    let count = format!("{:08x}", answering.nonce_count);
    let response = match qop_auth {
        true => hash(format!("{secret}:{nonce}:{count}:{cnonce}:auth:{request}")),
        false => hash(format!("{secret}:{nonce}:{request}")),
    };
    let algorithm = match (algorithm, session) {
        (Algorithm::Md5, false) => "MD5",
        (Algorithm::Md5, true) => "MD5-sess",
        (Algorithm::Sha256, false) => "SHA-256",
        (Algorithm::Sha256, true) => "SHA-256-sess",
    };
    let mut value = format!(
        "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={algorithm}",
        quoted(&credentials.username),
        quoted(realm),
        quoted(nonce),
        quoted(uri),
    );
    if *qop_auth {
        value.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""));
    } else if *session {
        value.push_str(&format!(", cnonce=\"{cnonce}\""));
    }
    if let Some(opaque) = opaque {
        value.push_str(&format!(", opaque={}", quoted(opaque)));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(challenge: &str, credentials: (&str, &str), method: &str, uri: &str, cnonce: &str) -> String {
        let challenge = Challenge::parse(challenge).expect("a challenge");
        let credentials =
            Credentials { username: credentials.0.to_owned(), password: credentials.1.to_owned(), realm: None };
        answer(&mut Answering { challenge, nonce_count: 0, tries: 1 }, &credentials, method, uri, cnonce)
    }

    #[test]
    fn the_examples_of_rfc_7616_come_out_right() {
        let rest = r#"realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let ask = |algorithm: &str| {
            answered(
                &format!("Digest algorithm={algorithm}, {rest}"),
                ("Mufasa", "Circle of Life"),
                "GET",
                "/dir/index.html",
                cnonce,
            )
        };
        assert!(ask("MD5").contains(r#"response="8ca523f5e9506fed4657c9700eebdbec""#));
        assert!(
            ask("SHA-256").contains(r#"response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1""#)
        );
    }

    #[test]
    fn the_example_without_qop_of_rfc_2069_form_comes_out() {
        let value = answered(
            r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#,
            ("Mufasa", "CircleOfLife"),
            "GET",
            "/dir/index.html",
            "x",
        );
        assert!(value.contains(r#"response="1949323746fe6a43ef61f9606e7febea""#), "{value}");
        assert!(!value.contains("qop"));
    }

    #[test]
    fn only_integrity_or_an_unknown_algorithm_is_not_answered() {
        assert!(Challenge::parse(r#"Digest realm="r", nonce="n", qop="auth-int""#).is_none());
        assert!(Challenge::parse(r#"Digest realm="r", nonce="n", algorithm=SHA-512-256"#).is_none());
        assert!(Challenge::parse(r#"Basic realm="r""#).is_none());
    }
}
