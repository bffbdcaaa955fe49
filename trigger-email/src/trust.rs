//! The law of trust for mail: who may spend by it, and who may be answered. Decides over what was verified elsewhere.
//!
//! A mail is vouched for by a DKIM signature that passes, is aligned with the one From address, covers From, Subject and To, all of
//! the body and when it was written; or by our own server's Authentication-Results saying so, if a signature that is still in the mail keeps the
//! same rule. A signer that leaves To open has to cover the Message-ID, and the mail has to have come for us by its envelope. SPF and DMARC never vouch: they do not cover what the mail says.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::authres::Told;
use crate::fields::Fields;
use crate::mail::Meant;
use crate::signature::{Addressee, Signature, Weakness, Written};

/// What is known about a mail's origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Every DKIM result.
    pub dkim: Vec<Dkim>,
    /// The domain of an envelope sender that SPF allows.
    pub spf: Option<String>,
    /// Somebody we trust says `dmarc=fail`.
    pub dmarc_failed: bool,
}

/// One DKIM result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    /// Who signed, in lower case.
    pub domain: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it keeps the rule on `h=`, `l=` and `t=`.
    pub strong: Result<Addressee, Weakness>,
}

/// What became of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// Nobody knows: the name server is away.
    Unknown,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The From address may spend; else why not.
    pub vouched: Result<(), Doubt>,
    /// The From address is no invention of somebody else: an answer harms nobody.
    pub answerable: bool,
}

/// What the signatures that could vouch for a mail say of when it was written. Read off the mail alone, whether they hold or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// There is none.
    Absent,
    /// All say it by the same, and it can be read.
    Dated(Written),
    /// They differ: take one away or invent one, and it is another mail.
    Disputed,
}

/// Why a mail is not vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// There is no signature.
    #[error("the mail is not signed by its sender's domain (DKIM)")]
    Unsigned,
    /// There is one, and it does not hold.
    #[error("the mail's DKIM signature does not hold")]
    Broken,
    /// A good one of somebody else's.
    #[error("the mail is signed by another domain than its sender's")]
    Misaligned,
    /// It covers too few fields.
    #[error("the mail's DKIM signature does not cover From, Subject, Date, and To or Message-ID")]
    Uncovered,
    /// It covers only the beginning of the body.
    #[error("the mail's DKIM signature covers only a part of it")]
    Cut,
    /// `dmarc=fail`
    #[error("the mail violates the policy of its sender's domain (DMARC)")]
    DmarcFailed,
    /// The header can be understood in two ways.
    #[error("the mail's header is malformed")]
    Malformed,
    /// The signed To names nobody here, or To is open and no envelope names us: it was meant for somebody else.
    #[error("the mail was not written to us")]
    OtherTo,
    /// Our own server's word is missing.
    #[error("our mail server did not say who sent the mail")]
    Untold,
    /// The name server is away.
    #[error("the mail's signature cannot be checked now")]
    Unknown,
}

impl Doubt {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Doubt::Unsigned => "dkim_missing",
            Doubt::Broken => "dkim_broken",
            Doubt::Misaligned => "dkim_misaligned",
            Doubt::Uncovered => "dkim_uncovered",
            Doubt::Cut => "dkim_length",
            Doubt::DmarcFailed => "dmarc_failed",
            Doubt::Malformed => "malformed_header",
            Doubt::OtherTo => "to_somebody_else",
            Doubt::Untold => "not_authenticated",
            Doubt::Unknown => "dns_unavailable",
        }
    }
}

/// Fields that a mail has once, or it can be read in two ways: signatures cover the lowest, programs show any.
const ONCE: [&str; 7] = ["from", "subject", "to", "date", "message-id", "content-type", "content-transfer-encoding"];

/// Judges a mail from this domain, meant for us by what `meant` says; no evidence means that our own server should have spoken and
/// did not.
pub fn judge(fields: &Fields<'_>, from_domain: &str, meant: Meant, evidence: Option<&Evidence>) -> Trust {
    let malformed = !fields.sound || ONCE.iter().any(|name| fields.count(name) > 1);
    let Some(evidence) = evidence.filter(|_| !malformed) else {
        let doubt = if malformed { Doubt::Malformed } else { Doubt::Untold };
        return Trust { vouched: Err(doubt), answerable: false };
    };
    let aligned = |domain: &str| aligned(domain, from_domain);
    let signed = evidence.dkim.iter().any(|dkim| dkim.outcome == Outcome::Passed && aligned(&dkim.domain));
    let answerable = !evidence.dmarc_failed && (signed || evidence.spf.as_deref().is_some_and(aligned));
    let vouched = if evidence.dmarc_failed {
        Err(Doubt::DmarcFailed)
    } else {
        vouched(&evidence.dkim, meant, aligned).and_then(|()| match seal(fields, from_domain) {
            Seal::Disputed => Err(Doubt::Uncovered),
            Seal::Absent | Seal::Dated(_) => Ok(()),
        })
    };
    Trust { vouched, answerable }
}

/// How the signatures that could vouch for a mail from this domain date it.
pub fn seal(fields: &Fields<'_>, from_domain: &str) -> Seal {
    let signatures = Signature::all(fields);
    let strong = signatures.iter().filter(|one| one.strong().is_ok() && aligned(&one.domain, from_domain));
    let mut said = strong.filter_map(|one| one.written);
    let Some(first) = said.next() else { return Seal::Absent };
    let readable = first != Written::Date || fields.date().is_some();
    if readable && said.all(|other| other == first) { Seal::Dated(first) } else { Seal::Disputed }
}

fn vouched(dkim: &[Dkim], meant: Meant, aligned: impl Fn(&str) -> bool) -> Result<(), Doubt> {
    let passed = || dkim.iter().filter(|one| one.outcome == Outcome::Passed);
    let mut doubt = None;
    for one in passed().filter(|one| aligned(&one.domain)) {
        match one.strong {
            Ok(Addressee::Signed) if meant.by_to => return Ok(()),
            Ok(Addressee::Open) if meant.by_envelope => return Ok(()),
            Ok(_) => doubt = Some(Doubt::OtherTo),
            Err(Weakness::Cut) => doubt = doubt.or(Some(Doubt::Cut)),
            Err(Weakness::Uncovered) => doubt = doubt.or(Some(Doubt::Uncovered)),
        }
    }
    let own = |outcome| dkim.iter().any(|one| one.outcome == outcome && aligned(&one.domain));
    Err(match doubt {
        Some(doubt) => doubt,
        None if own(Outcome::Unknown) => Doubt::Unknown,
        None if own(Outcome::Failed) => Doubt::Broken,
        None if passed().next().is_some() => Doubt::Misaligned,
        None if dkim.is_empty() => Doubt::Unsigned,
        None => Doubt::Broken,
    })
}

/// Relaxed alignment (RFC 7489): the same organisation's domain, by the list of public suffixes.
pub fn aligned(domain: &str, from_domain: &str) -> bool {
    match (organisation(domain), organisation(from_domain)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// The domain that an organisation has registered, in ASCII.
pub fn organisation(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii(domain.trim_end_matches('.')).ok()?;
    psl::domain_str(&ascii).map(str::to_owned)
}

/// What our own server told, as evidence: each `dkim=pass` counts as strong as the weakest signature in the mail that it may
/// speak of, and as nothing if the mail has signatures and none of them can be the one.
pub fn told(results: &[Told], fields: &Fields<'_>) -> Evidence {
    let signatures = Signature::all(fields);
    let any = fields.count("dkim-signature") > 0;
    let dkim = results.iter().filter(|told| told.method == "dkim").filter_map(|told| {
        let passed = told.result == "pass";
        let domain = signer(told)?;
        let meant: Vec<&Signature<'_>> = signatures.iter().filter(|signature| is_meant(signature, told)).collect();
        let strong = if any && meant.is_empty() { Err(Weakness::Uncovered) } else { weakest(&meant) };
        let outcome = if passed { Outcome::Passed } else { Outcome::Failed };
        Some(Dkim { domain, outcome, strong })
    });
    let spf = results.iter().find(|told| told.method == "spf" && told.result == "pass");
    let mail_from = spf.and_then(|told| told.property("smtp.mailfrom"));
    Evidence {
        dkim: dkim.collect(),
        spf: mail_from.map(|address| address.rsplit('@').next().unwrap_or_default().to_ascii_lowercase()),
        dmarc_failed: results.iter().any(|told| told.method == "dmarc" && told.result == "fail"),
    }
}

/// What all of these signatures keep of the rule; without one, our server's word stands for a signed To.
fn weakest(signatures: &[&Signature<'_>]) -> Result<Addressee, Weakness> {
    let all: Vec<Addressee> = signatures.iter().map(|one| one.strong()).collect::<Result<_, _>>()?;
    Ok(if all.contains(&Addressee::Open) { Addressee::Open } else { Addressee::Signed })
}

/// `header.d`, else the domain of `header.i`.
fn signer(told: &Told) -> Option<String> {
    let identity =
        || told.property("header.i").and_then(|identity| identity.rsplit_once('@')).map(|(_, domain)| domain);
    told.property("header.d").or_else(identity).map(str::to_ascii_lowercase)
}

fn is_meant(signature: &Signature<'_>, told: &Told) -> bool {
    let domain = match told.property("header.d") {
        Some(domain) => signature.domain.eq_ignore_ascii_case(domain),
        None => signer(told)
            .is_some_and(|domain| domain == signature.domain || domain.ends_with(&format!(".{}", signature.domain))),
    };
    domain
        && told.property("header.s").is_none_or(|selector| signature.selector.eq_ignore_ascii_case(selector))
        && told.property("header.b").is_none_or(|begin| signature.value.starts_with(begin))
}

#[cfg(test)]
mod tests;
