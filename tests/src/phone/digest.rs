//! Digest authentication from the asking side (RFC 3261 section 22, RFC 8760).

use md5::Md5;
use sha2::{Digest, Sha256};

use super::wire::Sip;

/// A hash a phone offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `algorithm=MD5`
    Md5,
    /// `algorithm=SHA-256`
    Sha256,
}

/// What a phone wants to see before it rings.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// 401 or 407.
    pub code: u16,
    /// Its realm.
    pub realm: String,
    /// The user it knows.
    pub user: String,
    /// And that user's password.
    pub password: String,
    /// Offered in this order, one header each.
    pub algorithms: Vec<Algorithm>,
    /// The first right answer is refused once with `stale=true` and another nonce.
    pub stale_once: bool,
    /// No answer is ever good enough.
    pub never_content: bool,
}

impl Challenge {
    /// Asks by 401 or 407 for this user, MD5.
    pub fn new(code: u16, user: &str, password: &str) -> Challenge {
        Challenge {
            code,
            realm: "phones".to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            algorithms: vec![Algorithm::Md5],
            stale_once: false,
            never_content: false,
        }
    }

    /// The headers of the refusal that carries this challenge.
    pub(crate) fn headers(&self, nonce: &str, stale: bool) -> Vec<(&'static str, String)> {
        let name = if self.code == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        let stale = if stale { ", stale=true" } else { "" };
        let one = |algorithm: &Algorithm| {
            let algorithm = if *algorithm == Algorithm::Md5 { "MD5" } else { "SHA-256" };
            (
                name,
                format!(
                    "Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth,auth-int\"{stale}",
                    self.realm
                ),
            )
        };
        self.algorithms.iter().map(one).collect()
    }

    /// Whether the request carries the right answer to `nonce`.
    pub(crate) fn satisfied_by(&self, request: &Sip, nonce: &str) -> bool {
        let name = if self.code == 401 { "Authorization" } else { "Proxy-Authorization" };
        let method = request.method().unwrap_or("");
        !self.never_content && request.all(name).any(|header| self.right(header, method, nonce))
    }

    fn right(&self, header: &str, method: &str, nonce: &str) -> bool {
        let get = |name: &str| attribute(header, name).unwrap_or_default();
        let algorithm = match get("algorithm").to_ascii_uppercase().as_str() {
            "SHA-256" => Algorithm::Sha256,
            _ => Algorithm::Md5,
        };
        if get("nonce") != nonce
            || get("username") != self.user
            || get("realm") != self.realm
            || !self.algorithms.contains(&algorithm)
        {
            return false;
        }
        let ha1 = hash(algorithm, &format!("{}:{}:{}", self.user, self.realm, self.password));
        let ha2 = hash(algorithm, &format!("{method}:{}", get("uri")));
        let expected = match get("qop").as_str() {
            "auth" => hash(algorithm, &format!("{ha1}:{nonce}:{}:{}:auth:{ha2}", get("nc"), get("cnonce"))),
            "" => hash(algorithm, &format!("{ha1}:{nonce}:{ha2}")),
            _ => return false,
        };
        get("response") == expected
    }
}

/// `name=value` or `name="value"` among the attributes of a Digest header.
fn attribute(header: &str, name: &str) -> Option<String> {
    let mut rest = header.trim().strip_prefix("Digest")?.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').map_or((after, ""), |(v, n)| (v, n)),
        };
        if key.trim().trim_start_matches(',').trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next.trim_start().trim_start_matches(',').trim_start();
    }
    None
}

fn hash(algorithm: Algorithm, text: &str) -> String {
    match algorithm {
        Algorithm::Md5 => hex::encode(Md5::digest(text.as_bytes())),
        Algorithm::Sha256 => hex::encode(Sha256::digest(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 section 3.9.1, whose responses stand in the RFC.
    fn example(algorithm: &str, response: &str) -> Sip {
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let text = format!(
            "GET /dir/index.html SIP/2.0\r\nAuthorization: Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
             uri=\"/dir/index.html\", algorithm={algorithm}, nonce=\"{nonce}\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", opaque=\"x\"\r\n\r\n"
        );
        Sip::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_answers_of_rfc_7616_are_right_and_others_wrong() {
        let mut challenge = Challenge::new(401, "Mufasa", "Circle of Life");
        challenge.realm = "http-auth@example.org".to_owned();
        challenge.algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let md5 = example("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        let sha = example("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        assert!(challenge.satisfied_by(&md5, nonce));
        assert!(challenge.satisfied_by(&sha, nonce));
        assert!(!challenge.satisfied_by(&sha, "another"));
        assert!(!challenge.satisfied_by(&example("MD5", "8ca523f5e9506fed4657c9700eebdbed"), nonce));
    }
}
