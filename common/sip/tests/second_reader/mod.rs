//! A second reader of SIP, written by other people: the crate rsip. Whatever we write it must read as we do, and on what arrives
//! the two must agree, except where a named fault of its own ([`FAULTS`]) says why not. It stands in tests and fuzzing only.
//!
//! This folder is taken in by path, by the stories of this crate, the end-to-end tests and the fuzz target; each needs a part of it.
#![allow(dead_code)]

mod faults;

pub use faults::FAULTS;

use std::fmt;

use ringback_sip::uri::{NameAddr, Uri};
use ringback_sip::{Message, Name, Reading, read};
use rsip::prelude::*;

/// What a message is acted upon by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Method and Request-URI, or the status code.
    Start,
    /// The branch of the topmost Via.
    Via,
    /// URI and tag.
    From,
    /// URI and tag.
    To,
    /// All of it.
    CallId,
    /// Number and method.
    CSeq,
    /// The URI of the first.
    Contact,
    /// What Content-Length says is there.
    Body,
}

const FIELDS: [Field; 8] =
    [Field::Start, Field::Via, Field::From, Field::To, Field::CallId, Field::CSeq, Field::Contact, Field::Body];

/// What rsip made of a message that ours took.
#[derive(Debug)]
pub enum Second {
    /// It did not read the message, or not one of the fields.
    Refused(String),
    /// It did; these fields otherwise than ours.
    Read(Vec<Difference>),
}

/// A field that the two read differently.
#[derive(Debug)]
pub struct Difference {
    pub field: Field,
    ours: String,
    theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: we read {:?}, rsip {:?}", self.field, self.ours, self.theirs)
    }
}

/// Holds a datagram that we wrote against both readers; `Err` tells what is wrong with it.
pub fn agrees(datagram: &[u8]) -> Result<(), String> {
    let wrong = |why: String| Err(format!("{why}\n{}", String::from_utf8_lossy(datagram)));
    let message = match read(datagram) {
        Reading::Message(message) => message,
        Reading::Refuse(refusal) => return wrong(format!("we refuse what we wrote: {}", refusal.what)),
        Reading::Drop(why) => return wrong(format!("we drop what we wrote: {why}")),
    };
    if !has_legal_lines(&message) {
        return wrong("a line of ours does not end in CR LF, or has a control character".to_owned());
    }
    match second(&message) {
        Second::Refused(why) if !FIELDS.iter().any(|field| is_excused(&message, *field)) => {
            wrong(format!("rsip does not read it: {why}"))
        }
        Second::Refused(_) => Ok(()),
        Second::Read(differences) => {
            let longer = differences.iter().find(|difference| difference.field == Field::Body); // than we may write it
            let difference = longer.or_else(|| unexcused(&message, &differences));
            difference.map_or(Ok(()), |difference| wrong(difference.to_string()))
        }
    }
}

/// What the two read differently without a fault that is known, where both take the message.
pub fn differ(datagram: &[u8]) -> Option<String> {
    let Reading::Message(message) = read(datagram) else { return None };
    if !has_legal_lines(&message) {
        return None;
    }
    let Second::Read(mut differences) = second(&message) else { return None };
    differences.retain(|difference| has_readable_uri(&message, difference.field));
    unexcused(&message, &differences).map(ToString::to_string)
}

/// Line ends are CR LF, and there is no control character elsewhere (RFC 3261 7, 25.1): what has others has no meaning to agree on.
fn has_legal_lines(message: &Message) -> bool {
    let bytes = message.bytes();
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(&bytes[..], |end| &bytes[..end + 4]);
    let text = String::from_utf8_lossy(head).replace("\r\n", "").replace('\t', " ");
    !text.contains(|c: char| c.is_ascii_control())
}

/// Nobody acts upon a party whose URI we cannot read, so it may be anything to others.
fn has_readable_uri(message: &Message, field: Field) -> bool {
    let party = match field {
        Field::From => message.from(),
        Field::To => message.to(),
        Field::Contact => message.contact(),
        _ => return true,
    };
    party.and_then(|party| Uri::parse(party.uri)).is_some()
}

fn unexcused<'a>(message: &Message, differences: &'a [Difference]) -> Option<&'a Difference> {
    differences.iter().find(|difference| !is_excused(message, difference.field))
}

fn is_excused(message: &Message, field: Field) -> bool {
    FAULTS.iter().any(|fault| (fault.is_in)(message, field))
}

/// Reads a message of ours with rsip.
pub fn second(message: &Message) -> Second {
    match pairs(message) {
        Ok(pairs) => Second::Read(
            pairs
                .into_iter()
                .filter(|(_, ours, theirs)| ours != theirs)
                .map(|(field, ours, theirs)| Difference { field, ours, theirs })
                .collect(),
        ),
        Err(error) => Second::Refused(error.to_string()),
    }
}

type Pair = (Field, String, String);

fn pairs(message: &Message) -> Result<Vec<Pair>, rsip::Error> {
    let theirs = rsip::SipMessage::try_from(&message.bytes()[..])?;
    let (from, to) = (theirs.from_header()?.typed()?, theirs.to_header()?.typed()?);
    let (via, cseq) = (theirs.via_header()?.typed()?, theirs.cseq_header()?.typed()?);
    let branch = via.branch().map(ToString::to_string).unwrap_or_default();
    let method = message.get(Name::CSeq).and_then(|value| value.split_whitespace().nth(1)).unwrap_or_default();
    let mut pairs = vec![
        start(message, &theirs),
        (Field::Via, message.branch().to_owned(), branch),
        party(Field::From, message.from(), &from.uri, from.tag()),
        party(Field::To, message.to(), &to.uri, to.tag()),
        (Field::CallId, message.call_id().to_owned(), theirs.call_id_header()?.value().to_owned()),
        (Field::CSeq, format!("{} {method}", message.cseq()), cseq.to_string()),
        (Field::Body, hex(message.body()), hex(theirs.body())),
    ];
    if let Some(contact) = message.contact() {
        let (ours, theirs) = uris(contact.uri, &theirs.contact_header()?.typed()?.uri);
        pairs.push((Field::Contact, ours, theirs));
    }
    Ok(pairs)
}

fn start(message: &Message, theirs: &rsip::SipMessage) -> Pair {
    match theirs {
        rsip::SipMessage::Request(request) => {
            let (ours, theirs) = uris(message.request_uri(), &request.uri);
            (Field::Start, format!("{} {ours}", message.method_text()), format!("{} {theirs}", request.method))
        }
        rsip::SipMessage::Response(response) => {
            (Field::Start, message.code().to_string(), u16::from(response.status_code.clone()).to_string())
        }
    }
}

fn party(field: Field, ours: Option<NameAddr<'_>>, uri: &rsip::Uri, tag: Option<&rsip::param::Tag>) -> Pair {
    let (ours_uri, theirs_uri) = uris(ours.map_or("", |party| party.uri), uri);
    let ours_tag = ours.and_then(|party| party.tag()).unwrap_or_default();
    let theirs_tag = tag.map(ToString::to_string).unwrap_or_default();
    (field, format!("{ours_uri} tag {ours_tag}"), format!("{theirs_uri} tag {theirs_tag}"))
}

/// The same URI as either reads it: in parts where it has parts for us, else as a text.
fn uris(text: &str, theirs: &rsip::Uri) -> (String, String) {
    let Some(ours) = Uri::parse(text) else {
        return (text.to_ascii_lowercase(), theirs.to_string().to_ascii_lowercase());
    };
    let behind_user = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let params = behind_user.split('?').next().and_then(|uri| uri.split_once(';')).map_or("", |(_, params)| params);
    let theirs_params: String = theirs.params.iter().map(ToString::to_string).collect();
    let shown = |scheme: &str, user: Option<String>, host: &str, port: Option<u16>, params: &str| {
        let (scheme, params) = (scheme.to_ascii_lowercase(), params.to_ascii_lowercase());
        format!("{scheme}: user {user:?} host {host} port {port:?} params {params}")
    };
    (
        shown(ours.scheme, ours.user.map(str::to_owned), ours.host, ours.port, params),
        shown(
            &theirs.scheme.as_ref().map(ToString::to_string).unwrap_or_default(),
            theirs.auth.as_ref().map(ToString::to_string),
            &theirs.host().to_string(),
            theirs.port().map(|port| *port.value()),
            theirs_params.strip_prefix(';').unwrap_or(&theirs_params),
        ),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
