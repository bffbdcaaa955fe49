//! Who sent a mail: by our own server's word, or by asking the name server for keys (DKIM) and senders (SPF) ourselves.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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
use crate::signature::Signature;
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
        trust::judge(&mail.fields, mail.from_domain(), mail.to_us, evidence.as_ref())
    }

    /// Judges a mail by what can be found out about it.
    pub async fn judge(&self, raw: &[u8], mail: &Mail<'_>, envelope: &Envelope) -> Trust {
        let evidence = match &self.0 {
            Kind::Told(server) => told(server, mail),
            Kind::Own { dns, relays } => Some(evidence(dns, relays, raw, mail, envelope).await),
        };
        trust::judge(&mail.fields, mail.from_domain(), mail.to_us, evidence.as_ref())
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
    let dkim = dkim(dns, raw, &signatures).await;
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
    authres::told_by(server, &mail.fields).map(|results| trust::told(&results, &mail.fields))
}

/// Signatures of others are not checked, because they could not help; that there are some is said.
fn with_strangers(mut dkim: Vec<Dkim>, mail: &Mail<'_>) -> Vec<Dkim> {
    if dkim.is_empty() && mail.fields.count("dkim-signature") > 0 {
        let unread = Dkim { domain: String::new(), outcome: Outcome::Failed, strong: Ok(()) };
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
async fn dkim(dns: &MessageAuthenticator, raw: &[u8], signatures: &[Signature<'_>]) -> Vec<Dkim> {
    let mut results = Vec::new();
    if signatures.is_empty() {
        return results;
    }
    let Some(mut message) = AuthenticatedMessage::parse_with_opts(raw, None, true) else { return results };
    let all = std::mem::take(&mut message.dkim_headers);
    message.errors.clear();
    let deadline = Instant::now() + PATIENCE;
    for signature in signatures {
        let same = all.iter().find(|header| {
            header.value.as_ptr() == signature.field.value.as_ptr()
                && header.header.d.eq_ignore_ascii_case(&signature.domain)
                && header.header.h.len() == signature.covered.len()
                && header.header.h.iter().zip(&signature.covered).all(|(one, other)| one.eq_ignore_ascii_case(other))
        });
        let outcome = match same {
            Some(header) => {
                let mut header = header.clone();
                (header.header.r, header.header.atps) = (false, None); // no reports, no third parties
                message.dkim_headers = vec![header];
                match timeout_at(deadline, dns.verify_dkim(&message)).await {
                    Ok(results) => match results.first().map(|output| output.result()) {
                        Some(DkimResult::Pass) => Outcome::Passed,
                        Some(DkimResult::TempError(_)) => Outcome::Unknown,
                        _ => Outcome::Failed,
                    },
                    Err(_) => Outcome::Unknown,
                }
            }
            None => Outcome::Failed,
        };
        results.push(result(signature, outcome));
        if outcome == Outcome::Passed && signature.strong().is_ok() {
            break;
        }
    }
    results
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
    use super::*;

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
