//! One mail as the trigger sees it: who wrote it, to whom, about what, and by which name it is known.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::auto::{Ignored, OWN_FIELD, written_by_a_machine};
use crate::body;
use crate::fields::{Field, Fields};
use crate::form::{self, Form, NoForm};
use crate::signature::Written;
use crate::trust::{Seal, seal};

/// Why a mail beyond [`House::max_size`] is not read.
pub const TOO_LARGE: &str = "too_large";
/// The longest address (RFC 5321, 4.5.3.1.3).
const LONGEST_ADDRESS: usize = 254;
/// Where servers that keep mail write down whom it came for: Dovecot, Postfix and Google, Postfix, Exim, Fastmail.
const DELIVERED: [&str; 4] = ["delivered-to", "x-original-to", "envelope-to", "x-delivered-to"];
/// The longest message id that is kept.
const LONGEST_ID: usize = 200;

/// Who we are.
#[derive(Clone, Debug)]
pub struct House {
    /// Local parts, or whole addresses; lower case.
    pub recipients: Vec<String>,
    /// The longest mail (bytes).
    pub max_size: usize,
    /// The address that replies come from.
    pub own: Option<String>,
    /// The domain of the mailbox that is watched.
    pub domain: Option<String>,
}

impl House {
    /// Whether this address is one of ours: `call@anywhere`, `call+detail@anywhere`, or a listed address.
    pub fn is_ours(&self, address: &str) -> bool {
        self.is_ours_at(address, |_| true)
    }

    /// The same, where a local part alone is ours only at some domains.
    fn is_ours_at(&self, address: &str, here: impl Fn(&str) -> bool) -> bool {
        let Some((local, domain)) = halves(address) else { return false };
        self.recipients.iter().any(|ours| match ours.split_once('@') {
            Some((its_local, its_domain)) => its_local == local && its_domain == domain,
            None => *ours == local && here(&domain),
        })
    }

    /// Whether mail from this address, which came for these recipients, came from ourselves.
    fn is_myself(&self, from: &str, recipients: &[String]) -> bool {
        let mine = |address: &str| self.is_ours(address) && halves(address) == halves(from);
        self.own.as_deref() == Some(from)
            || self.is_ours_at(from, |_| false)
            || recipients.iter().any(|address| mine(address))
    }

    /// Whether this message id is one that our replies have.
    fn wrote(&self, id: &str) -> bool {
        let own = self.own.as_deref().and_then(|own| own.rsplit_once('@'));
        own.is_some_and(|(_, domain)| id.ends_with(&format!(".ringback@{domain}")))
    }
}

/// How a mail came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The sender; empty for a bounce, `None` where nobody says.
    pub mail_from: Option<String>,
    /// The recipients; empty where nobody says.
    pub rcpt_to: Vec<String>,
}

impl Envelope {
    /// What the server that keeps a mailbox wrote down of it: above the first Received, for below it stands what was sent. A bounce
    /// may call itself one anywhere.
    pub fn of_kept(fields: &Fields<'_>) -> Envelope {
        let ours = || fields.all().take_while(|field| !field.is("received"));
        let bare = |field: Field<'_>| field.plain().trim_matches(['<', '>', ' ']).to_owned();
        let path = ours().find(|field| field.is("return-path")).map(bare);
        let bounced = || fields.named("return-path").map(bare).find(String::is_empty);
        let delivered = ours().filter(|field| DELIVERED.iter().any(|name| field.is(name)));
        Envelope { mail_from: path.or_else(bounced), rcpt_to: delivered.map(bare).collect() }
    }

    /// Whether it was for somebody at this domain.
    fn is_for(&self, domain: &str) -> bool {
        self.rcpt_to.iter().filter_map(|address| halves(address)).any(|(_, its)| its == domain)
    }
}

/// Why a mail is not read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is left alone.
    Ignored(Ignored),
    /// It is beyond a limit; the code says which.
    Beyond(&'static str),
}

impl From<Ignored> for Unread {
    fn from(ignored: Ignored) -> Unread {
        Unread::Ignored(ignored)
    }
}

/// A mail that somebody wrote to us.
#[derive(Clone)]
pub struct Mail<'x> {
    /// Its header and body.
    pub fields: Fields<'x>,
    /// The one From address, in lower case.
    pub from: String,
    /// Who says that it was meant for us.
    pub meant: Meant,
    /// Decoded.
    pub subject: String,
    /// Without brackets.
    pub message_id: Option<String>,
    /// What it asks for.
    pub form: Result<Form, NoForm>,
    seal: Seal,
}

impl<'x> Mail<'x> {
    /// Reads a mail as it came.
    ///
    /// # Errors
    /// It is not for us, written by a machine, or beyond a limit.
    pub fn read(raw: &'x [u8], envelope: Option<&Envelope>, house: &House) -> Result<Mail<'x>, Unread> {
        let fields = Fields::read(raw);
        let Addressed { envelope, meant } = addressed(&fields, envelope, house)?;
        if raw.len() > house.max_size {
            return Err(Unread::Beyond(TOO_LARGE));
        }
        if fields.too_much {
            return Err(Unread::Beyond("too_much_header"));
        }
        if envelope.mail_from.as_deref() == Some("") {
            return Err(Ignored::NullSender.into());
        }
        if let Some(ignored) = written_by_a_machine(&fields) {
            return Err(ignored.into());
        }
        let from = one_from(&fields)?;
        let message_id = fields.only("message-id").and_then(|field| field.ids().pop());
        let ours = fields.count(OWN_FIELD) > 0 || message_id.as_deref().is_some_and(|id| house.wrote(id));
        if ours || house.is_myself(&from, &envelope.rcpt_to) {
            return Err(Ignored::Loop.into());
        }
        if from.starts_with("mailer-daemon@") {
            return Err(Ignored::NullSender.into());
        }
        let subject = fields.only("subject").map(|field| field.text()).unwrap_or_default();
        let lines = body::lines(raw).map_err(|_| Unread::Beyond("too_many_parts"))?;
        let form = form::read(&subject, &lines);
        let seal = seal(&fields, domain_of(&from));
        Ok(Mail { fields, from, meant, subject, message_id, form, seal })
    }

    /// The domain of the From address.
    pub fn from_domain(&self) -> &str {
        domain_of(&self.from)
    }

    /// By what a repeat of this mail is known: what whoever vouches for it has signed, word for word, and when it was written; not
    /// what a stranger can change without breaking a signature (white space, the Message-ID, a To that is left open). Only where
    /// nobody signs, To and the Message-ID count too. Drawn from the mail alone, so that it is the same whether a name server answers or not.
    pub fn identity(&self) -> String {
        let mut words = Words::default();
        for name in ["from", "subject"] {
            self.fields.named(name).for_each(|field| words.add(field.value));
            words.end();
        }
        match self.seal {
            Seal::Dated(Written::At(seconds)) => words.add(format!("t={seconds}").as_bytes()),
            Seal::Dated(Written::Date) => words.add(self.fields.only("date").map_or(&b""[..], |field| field.value)),
            Seal::Absent | Seal::Disputed => {
                let loose = ["to", "date", "message-id"];
                loose.iter().flat_map(|name| self.fields.named(name)).for_each(|field| words.add(field.value));
            }
        }
        words.end();
        words.add(self.fields.body);
        words.hashed()
    }

    /// Whether there is a signature by which it may be vouched for, if that holds.
    pub fn may_be_vouched(&self) -> bool {
        matches!(self.seal, Seal::Dated(_))
    }

    /// When it was written, by what its signature says of that, else by its Date.
    pub fn written(&self) -> Option<DateTime<Utc>> {
        match self.seal {
            Seal::Dated(Written::At(seconds)) => DateTime::from_timestamp(seconds.into(), 0),
            _ => self.fields.date(),
        }
    }

    /// The languages its writer understands, the best first.
    pub fn languages(&self) -> Option<String> {
        let field = self.fields.only("accept-language").or_else(|| self.fields.only("content-language"))?;
        Some(field.plain().chars().filter(char::is_ascii).take(40).collect())
    }

    /// What its answer refers to: References and its own id, at most `longest` bytes, the newest kept.
    pub fn references(&self, longest: usize) -> Vec<String> {
        let earlier = self.fields.only("references").map(|field| field.ids()).unwrap_or_default();
        let mut room = longest;
        let mut kept: Vec<String> = Vec::new();
        for id in self.own_id().into_iter().chain(earlier.into_iter().filter(|id| is_id(id)).rev()) {
            match room.checked_sub(id.len() + 3) {
                Some(left) => room = left,
                None => break,
            }
            kept.push(id);
        }
        kept.reverse();
        kept
    }

    /// Its own id, if it can be written into another mail.
    pub fn own_id(&self) -> Option<String> {
        self.message_id.clone().filter(|id| is_id(id))
    }
}

/// Who says that a mail was meant for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meant {
    /// To names a recipient of ours.
    pub by_to: bool,
    /// The envelope does, or what the server that keeps the mail wrote down of it.
    pub by_envelope: bool,
}

/// A mail for us.
struct Addressed {
    envelope: Envelope,
    meant: Meant,
}

/// Without an envelope, what the server that keeps the mail wrote down counts, and To.
fn addressed(fields: &Fields<'_>, envelope: Option<&Envelope>, house: &House) -> Result<Addressed, Ignored> {
    let kept = envelope.is_none();
    let envelope = envelope.cloned().unwrap_or_else(|| Envelope::of_kept(fields));
    let meant = Meant {
        by_to: is_to_us(fields, &envelope, kept, house),
        by_envelope: envelope.rcpt_to.iter().any(|address| house.is_ours(address)),
    };
    let ours = meant.by_envelope || (kept && meant.by_to);
    if ours { Ok(Addressed { envelope, meant }) } else { Err(Ignored::OtherRecipient) }
}

/// Whether a kept mail, of which only the header was fetched, is for us.
pub fn is_for_us(header: &[u8], house: &House) -> bool {
    addressed(&Fields::read(header), None, house).is_ok()
}

/// Whether its To names us: a listed address, or one of our local parts at a domain that the mail came for. Another `call@` may be
/// anybody's, and a mail to it that somebody hands on to us was not meant for us.
fn is_to_us(fields: &Fields<'_>, envelope: &Envelope, kept: bool, house: &House) -> bool {
    let mailbox = house.domain.as_deref().filter(|_| kept);
    let here = |domain: &str| mailbox == Some(domain) || envelope.is_for(domain);
    let mut to = fields.named("to").flat_map(|field| field.addresses());
    to.any(|address| house.is_ours_at(&address, here))
}

/// Local part without `+detail`, and domain, in lower case.
fn halves(address: &str) -> Option<(String, String)> {
    let address = address.trim().trim_matches(['<', '>']).to_lowercase();
    let (local, domain) = address.rsplit_once('@')?;
    Some((local.split('+').next().unwrap_or_default().to_owned(), domain.to_owned()))
}

fn domain_of(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or_default()
}

/// A hash of words, whatever white space is between them.
#[derive(Default)]
struct Words {
    hash: Sha256,
    gathered: Vec<u8>,
}

impl Words {
    /// So many bytes are hashed at once.
    const GATHERED: usize = 8 * 1024;

    /// Adds all words of a text.
    fn add(&mut self, text: &[u8]) {
        for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            if word.len() > Self::GATHERED {
                self.flush();
                self.hash.update(word);
            } else {
                self.gathered.extend_from_slice(word);
            }
            self.end();
        }
    }

    /// No word goes on beyond here; said once more, no field does.
    fn end(&mut self) {
        self.gathered.push(b' ');
        if self.gathered.len() >= Self::GATHERED {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.hash.update(&self.gathered);
        self.gathered.clear();
    }

    fn hashed(mut self) -> String {
        self.flush();
        hex::encode(&self.hash.finalize()[..16])
    }
}

fn is_id(id: &str) -> bool {
    let plain = id.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>'));
    plain && !id.is_empty() && id.len() <= LONGEST_ID
}

/// The one address of the one From.
fn one_from(fields: &Fields<'_>) -> Result<String, Ignored> {
    let addresses = fields.only("from").map(|field| field.addresses()).unwrap_or_default();
    let [address] = addresses.as_slice() else { return Err(Ignored::NotOneFrom) };
    let plain =
        address.chars().all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | '"' | ',' | ';'));
    match address.split_once('@') {
        Some((local, domain))
            if plain
                && !local.is_empty()
                && domain.contains('.')
                && !domain.contains('@')
                && address.len() <= LONGEST_ADDRESS =>
        {
            Ok(address.to_lowercase())
        }
        _ => Err(Ignored::NotOneFrom),
    }
}

#[cfg(test)]
mod tests;
