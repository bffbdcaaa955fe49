//! Who sent a mail: by our own server's word, or by asking the name server for keys (DKIM) and senders (SPF) ourselves.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mail_auth::common::headers::Header;
use mail_auth::hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::hickory_resolver::system_conf::read_system_conf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, SpfResult};
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::authres;
use crate::fields::Fields;
use crate::mail::{Envelope, Mail};
use crate::signature::{Addressee, Signature};
use crate::trust::{self, Dkim, Evidence, Outcome, Trust};

/// As many signatures of one mail are checked.
const MOST_SIGNATURES: usize = 5;
/// As long may all questions about the signatures of one mail take.
const PATIENCE: Duration = Duration::from_secs(8);
/// As long may the question take who may send for a domain.
const SPF_PATIENCE: Duration = Duration::from_secs(4);

/// Finds out who sent a mail.
pub struct Verifier(Kind);

enum Kind {
    /// Our mail server of this name says so.
    Told(String),
    /// We ask ourselves.
    Own { dns: Box<MessageAuthenticator>, relays: Vec<IpAddr> },
}

/// There is no name server to ask.
#[derive(Debug, thiserror::Error)]
#[error("no name server to check mail with: {0}; name one in [email] resolver")]
pub struct NoResolver(String);

impl Verifier {
    /// Believes the mail server of this name, and asks nobody.
    pub fn told_by(authserv_id: &str) -> Verifier {
        Verifier(Kind::Told(authserv_id.to_owned()))
    }

    /// Asks this name server, else those of the machine. Mail that came through a relay is judged by who gave it to the relay.
    ///
    /// # Errors
    /// There is none.
    pub fn own(resolver: Option<SocketAddr>, relays: &[IpAddr]) -> Result<Verifier, NoResolver> {
        let (config, mut options) = match resolver {
            Some(address) => (only(address), ResolverOpts::default()),
            None => read_system_conf().map_err(|error| NoResolver(error.to_string()))?,
        };
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        let dns = MessageAuthenticator::new(config, options).map_err(|error| NoResolver(error.to_string()))?;
        Ok(Verifier(Kind::Own { dns: Box::new(dns), relays: relays.to_vec() }))
    }

    /// Whether a name server is asked.
    pub fn asks(&self) -> bool {
        matches!(self.0, Kind::Own { .. })
    }

    /// Judges a mail without asking a name server: its signatures may hold or not.
    pub fn judge_unasked(&self, mail: &Mail<'_>) -> Trust {
        let dkim = own_signatures(mail).iter().map(|one| result(one, Outcome::Unknown)).collect();
        let evidence = match &self.0 {
            Kind::Told(server) => told(server, mail),
            Kind::Own { .. } => Some(Evidence { dkim: with_strangers(dkim, mail), ..Evidence::default() }),
        };
        trust::judge(&mail.fields, mail.from_domain(), mail.meant, evidence.as_ref())
    }

    /// Judges a mail by what can be found out about it.
    pub async fn judge(&self, raw: &[u8], mail: &Mail<'_>, envelope: &Envelope) -> Trust {
        let evidence = match &self.0 {
            Kind::Told(server) => told(server, mail),
            Kind::Own { dns, relays } => Some(evidence(dns, relays, raw, mail, envelope).await),
        };
        trust::judge(&mail.fields, mail.from_domain(), mail.meant, evidence.as_ref())
    }
}

fn only(address: SocketAddr) -> ResolverConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

async fn evidence(
    dns: &MessageAuthenticator,
    relays: &[IpAddr],
    raw: &[u8],
    mail: &Mail<'_>,
    envelope: &Envelope,
) -> Evidence {
    let signatures = own_signatures(mail);
    let dkim = dkim(dns, raw, mail.fields.body, &signatures).await;
    let spf = if dkim.iter().any(|one| one.outcome == Outcome::Passed) {
        None // what SPF could say, that the address is no forgery, is known
    } else {
        timeout(SPF_PATIENCE, spf(dns, relays, mail, envelope)).await.ok().flatten()
    };
    Evidence { dkim: with_strangers(dkim, mail), spf, dmarc_failed: false }
}

/// The signatures of the sender's own organisation.
fn own_signatures<'x>(mail: &Mail<'x>) -> Vec<Signature<'x>> {
    let all = Signature::all(&mail.fields).into_iter();
    all.filter(|signature| trust::aligned(&signature.domain, mail.from_domain())).take(MOST_SIGNATURES).collect()
}

/// What our own server tells.
fn told(server: &str, mail: &Mail<'_>) -> Option<Evidence> {
    authres::told_by(server, &mail.fields, mail.from_domain()).map(|results| trust::told(&results, &mail.fields))
}

/// Signatures of others are not checked, because they could not help; that there are some is said.
fn with_strangers(mut dkim: Vec<Dkim>, mail: &Mail<'_>) -> Vec<Dkim> {
    if dkim.is_empty() && mail.fields.count("dkim-signature") > 0 {
        let unread = Dkim { domain: String::new(), outcome: Outcome::Failed, strong: Ok(Addressee::Signed) };
        let stranger = Signature::all(&mail.fields).first().map(|one| result(one, Outcome::Passed));
        dkim.push(stranger.unwrap_or(unread));
    }
    dkim
}

fn result(signature: &Signature<'_>, outcome: Outcome) -> Dkim {
    Dkim { domain: signature.domain.clone(), outcome, strong: signature.strong() }
}

/// Each signature alone, so that the library's answer is certainly about the one that was read here; until one vouches, or time is
/// up.
async fn dkim(dns: &MessageAuthenticator, raw: &[u8], body: &[u8], signatures: &[Signature<'_>]) -> Vec<Dkim> {
    let mut results = Vec::new();
    let read = |relaxed: bool, signed| {
        let wanted = signatures.iter().any(|signature| signature.relaxed_body == relaxed);
        wanted.then(|| Signed::read(signed)).flatten()
    };
    let (mut simple, mut relaxed) = (read(false, raw), read(true, without_blank_end(raw, body)));
    let deadline = Instant::now() + PATIENCE;
    for signature in signatures {
        let signed = if signature.relaxed_body { &mut relaxed } else { &mut simple };
        let outcome = match signed.as_mut().and_then(|signed| signed.by(signature)) {
            Some(message) => match timeout_at(deadline, dns.verify_dkim(message)).await {
                Ok(results) => match results.first().map(|output| output.result()) {
                    Some(DkimResult::Pass) => Outcome::Passed,
                    Some(DkimResult::TempError(_)) => Outcome::Unknown,
                    _ => Outcome::Failed,
                },
                Err(_) => Outcome::Unknown,
            },
            None => Outcome::Failed,
        };
        results.push(result(signature, outcome));
        if outcome == Outcome::Passed && signature.strong().is_ok() {
            break;
        }
    }
    results
}

/// A mail as the library reads it, and all of its signatures.
struct Signed<'x> {
    message: AuthenticatedMessage<'x>,
    signatures: Vec<Header<'x, mail_auth::dkim::Signature>>,
}

impl<'x> Signed<'x> {
    fn read(raw: &'x [u8]) -> Option<Signed<'x>> {
        let mut message = AuthenticatedMessage::parse_with_opts(raw, None, true)?;
        message.errors.clear();
        let signatures = std::mem::take(&mut message.dkim_headers);
        Some(Signed { message, signatures })
    }

    /// The mail as if this were its only signature, if the library has read the same one.
    fn by(&mut self, signature: &Signature<'_>) -> Option<&AuthenticatedMessage<'x>> {
        let mut header = self
            .signatures
            .iter()
            .find(|header| {
                header.value.as_ptr() == signature.field.value.as_ptr()
                    && header.header.d.eq_ignore_ascii_case(&signature.domain)
                    && header.header.h.len() == signature.covered.len()
                    && header
                        .header
                        .h
                        .iter()
                        .zip(&signature.covered)
                        .all(|(one, other)| one.eq_ignore_ascii_case(other))
            })?
            .clone();
        (header.header.r, header.header.atps) = (false, None); // no reports, no third parties
        self.message.dkim_headers = vec![header];
        Some(&self.message)
    }
}

/// A mail without the white space that its body ends in. Relaxed, lines of nothing else are no part of it (RFC 6376, 3.4.4), which
/// the library takes for empty lines; a last line without its end it completes.
fn without_blank_end<'x>(raw: &'x [u8], body: &[u8]) -> &'x [u8] {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    &raw[..raw.len() - body.iter().rev().take_while(blank).count()]
}

/// The domain of the envelope sender, if SPF allows whoever gave the mail to our servers to use it.
async fn spf(dns: &MessageAuthenticator, relays: &[IpAddr], mail: &Mail<'_>, envelope: &Envelope) -> Option<String> {
    let mail_from = envelope.mail_from.as_deref()?;
    let domain = mail_from.rsplit_once('@')?.1.to_ascii_lowercase();
    if !trust::aligned(&domain, mail.from_domain()) {
        return None;
    }
    let (ip, helo) = giver(&mail.fields, relays)?;
    let asked = SpfParameters::verify_mail_from(ip, &helo, "localhost", mail_from);
    (dns.verify_spf(asked).await.result() == SpfResult::Pass).then_some(domain)
}

/// Who gave the mail to our servers: the topmost Received that does not name one of them.
fn giver(fields: &Fields<'_>, relays: &[IpAddr]) -> Option<(IpAddr, String)> {
    for field in fields.named("received") {
        let HeaderValue::Received(received) = MessageStream::new(field.value).parse_received() else { return None };
        let ip = received.from_ip()?;
        if !ip.is_loopback() && !relays.contains(&ip) {
            let helo = received.from().map(|host| host.to_string()).unwrap_or_default();
            return Some((ip, helo));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn white_space_at_the_end_of_a_relaxed_body_is_nothing() {
        let hash = |body: &str, relaxed: bool| {
            let c = if relaxed { "relaxed/relaxed" } else { "relaxed/simple" };
            let head = format!(
                "DKIM-Signature: v=1; a=rsa-sha256; c={c}; d=b.c; s=s; h=from; bh=eA==; b=eA==\r\nFrom: a@b.c\r\n"
            );
            let raw = format!("{head}\r\n{body}");
            let body = Fields::read(raw.as_bytes()).body;
            let signed = if relaxed { without_blank_end(raw.as_bytes(), body) } else { raw.as_bytes() };
            let message = AuthenticatedMessage::parse_with_opts(signed, None, true).unwrap();
            assert_eq!(message.dkim_headers.len(), 1);
            message.body_hashes[0].3.clone()
        };
        let sha = |text: &str| Sha256::digest(text.as_bytes()).to_vec();
        for (body, canonical) in [
            ("hello\r\n", "hello\r\n"),
            ("hello\r\n \r\n", "hello\r\n"),
            ("hello\r\n\t\r\n", "hello\r\n"),
            ("hello\r\n\r\n \r\n", "hello\r\n"),
            ("hello\r\n \r\n\r\n \t \r\n\r\n", "hello\r\n"),
            ("x\r\n ", "x\r\n"),
            ("x \t", "x\r\n"),
            ("x", "x\r\n"),
            (" \r\n", ""),
            ("\t", ""),
            ("\r\n\r\n", ""),
            ("", ""),
            ("a \t b\r\n \r\nc  \r\n \r\n", "a b\r\n\r\nc\r\n"),
            (" \r\nx\r\n", "\r\nx\r\n"),
        ] {
            assert_eq!(hash(body, true), sha(canonical), "{body:?}");
        }
        assert_eq!(hash("hello\r\n \r\n", false), sha("hello\r\n \r\n"), "a simple body keeps it");
    }

    #[test]
    fn the_giver_is_the_first_who_is_not_ours() {
        let raw = b"Received: from mx.gw.test ([127.0.0.1]) by imap.gw.test with LMTP id x for <call@gw.test>; Mon, 1 Jan 2026 00:00:00 +0000\r\n\
            Received: from edge (edge.gw.test [10.0.0.5])\r\n\tby mx.gw.test (Postfix) with ESMTP id 1\r\n\tfor <call@gw.test>; Mon, 1 Jan 2026 00:00:00 +0000 (UTC)\r\n\
            Received: from mail.example.com (unknown [192.0.2.7]) by edge; Mon, 1 Jan 2026 00:00:00 +0000\r\n\
            Received: from forged ([203.0.113.1]) by mail.example.com; Mon, 1 Jan 2026 00:00:00 +0000\r\n\r\n";
        let fields = Fields::read(raw);
        let found = |relays: &[IpAddr]| giver(&fields, relays).map(|(ip, _)| ip.to_string());
        assert_eq!(found(&["10.0.0.5".parse().unwrap()]).as_deref(), Some("192.0.2.7"));
        assert_eq!(found(&[]).as_deref(), Some("10.0.0.5"), "a relay that is not listed is a stranger");
        assert_eq!(giver(&Fields::read(b"From: a@b.c\r\n\r\n"), &[]), None);
    }
}
