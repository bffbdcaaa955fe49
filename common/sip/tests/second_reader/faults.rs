//! What rsip 0.4.0 is known to read wrongly, or not at all, though RFC 3261 lets it be written. Each is shown by a message of its own
//! (`tests/two_readers.rs`), so a fault that a later version mends has to leave this list.

use ringback_sip::uri::{NameAddr, Uri};
use ringback_sip::{Message, Name};

use super::Field;

/// One fault of rsip.
pub struct Fault {
    pub name: &'static str,
    /// The section of RFC 3261 that lets it be written.
    pub section: &'static str,
    /// The lines that make it of the test's plain INVITE: the beginning of the line, and what stands there instead.
    pub example: &'static [(&'static str, &'static str)],
    /// The field that rsip then reads otherwise; none when it refuses the message.
    pub misread: Option<Field>,
    /// Whether this field of a message has it.
    pub is_in: fn(&Message, Field) -> bool,
}

/// All that are known.
#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "compact names are other headers", section: "7.3.3", misread: None,
        example: &[("Via", "v: SIP/2.0/UDP 10.0.0.1:5068;branch=z9hG4bKb")],
        is_in: |message, _| lines(message).any(|line| matches!(line.as_bytes(), [letter, b':' | b' ' | b'\t', ..] if letter.is_ascii_alphabetic())),
    },
    Fault {
        name: "a line may not be folded", section: "7.3.1", misread: None,
        example: &[("Call-ID", "Call-ID:\r\n c")],
        is_in: |message, _| lines(message).skip(1).any(|line| line.starts_with([' ', '\t'])),
    },
    Fault {
        name: "no white space before the colon", section: "7.3.1", misread: None,
        example: &[("To", "To : <sip:bell@inn.example>;tag=t")],
        is_in: |message, _| lines(message).skip(1).filter_map(|line| line.split_once(':')).any(|(name, _)| name.ends_with([' ', '\t'])),
    },
    Fault {
        name: "white space at the end of a line is part of the value", section: "25.1 (LWS)", misread: Some(Field::CallId),
        example: &[("Call-ID", "Call-ID: c ")],
        is_in: |message, field| field != Field::Body && lines(message).any(|line| line.ends_with([' ', '\t'])),
    },
    Fault {
        name: "the version is written in capitals only", section: "7.1", misread: None,
        example: &[("INVITE", "INVITE sip:bell@10.0.0.2 sip/2.0")],
        is_in: |message, field| field == Field::Start && message.is_request() && !lines(message).next().unwrap_or_default().ends_with("SIP/2.0"),
    },
    Fault {
        name: "no method but its own fourteen", section: "25.1 (extension-method)", misread: None,
        example: &[("INVITE", "KNOCK sip:bell@10.0.0.2 SIP/2.0"), ("CSeq", "CSeq: 1 KNOCK")],
        is_in: |message, field| field == Field::CSeq && message.method().as_str().is_empty(),
    },
    Fault {
        name: "methods in small letters are the capital ones", section: "7.1", misread: Some(Field::Start),
        example: &[("INVITE", "invite sip:bell@10.0.0.2 SIP/2.0"), ("CSeq", "CSeq: 1 invite")],
        is_in: |message, field| matches!(field, Field::Start | Field::CSeq) && value(message, Field::CSeq).bytes().any(|b| b.is_ascii_lowercase()),
    },
    Fault {
        name: "between number and method stands a space, no tab", section: "25.1 (LWS)", misread: None,
        example: &[("CSeq", "CSeq: 1\tINVITE")],
        is_in: |message, field| field == Field::CSeq && value(message, field).contains('\t'),
    },
    Fault {
        name: "a body is not cut at Content-Length", section: "18.3", misread: Some(Field::Body),
        example: &[("Content-Length", "Content-Length: 2")],
        is_in: |message, field| field == Field::Body && end_of_head(message) + 4 + message.body().len() != message.bytes().len(),
    },
    Fault {
        name: "a user has no dot", section: "25.1 (unreserved)", misread: Some(Field::From),
        example: &[("From", "From: <sip:front.desk@inn.example>;tag=f")],
        is_in: |message, field| uri(message, field).and_then(|uri| uri.rsplit_once('@')).is_some_and(|(user, _)| user.contains('.')),
    },
    Fault {
        name: "IPv6 in brackets is host and port", section: "25.1 (IPv6reference)", misread: None,
        example: &[("INVITE", "INVITE sip:bell@[2001:db8::2]:5060 SIP/2.0")],
        is_in: |message, field| value(message, field).contains('['),
    },
    Fault {
        name: "a scheme is sip, sips or ends in ://", section: "25.1 (absoluteURI)", misread: Some(Field::From),
        example: &[("From", "From: <tel:112>;tag=f")],
        is_in: |message, field| uri(message, field).and_then(Uri::parse).is_some_and(|uri| uri.host.is_empty()),
    },
    Fault {
        name: "header fields of a URI are host or parameter", section: "19.1.1", misread: Some(Field::From),
        example: &[("From", "From: <sip:desk@inn.example?subject=x>;tag=f")],
        is_in: |message, field| uri(message, field).is_some_and(|uri| uri.contains('?')),
    },
    Fault {
        name: "values of URI parameters are tokens", section: "25.1 (paramchar)", misread: Some(Field::From),
        example: &[("From", "From: <sip:desk@inn.example;seat=a/b>;tag=f")],
        is_in: |message, field| uri(message, field).is_some_and(|uri| parts(uri).skip(1).any(|part| !is_plain(part))),
    },
    Fault {
        name: "values of header parameters are tokens, and what follows another is lost or refused", section: "25.1 (gen-value)", misread: Some(Field::Via),
        example: &[("Via", "Via: SIP/2.0/UDP 10.0.0.1:5068;note=\"x\";branch=z9hG4bKb")],
        is_in: |message, field| params(message, field).any(|part| !is_plain(part.trim_ascii())),
    },
    Fault {
        name: "no white space beside a separator", section: "25.1 (SEMI, EQUAL, SLASH, COLON)", misread: Some(Field::Via),
        example: &[("Via", "Via: SIP/2.0/UDP 10.0.0.1:5068 ;branch=z9hG4bKb")],
        is_in: |message, field| has_white_space(value(message, field)),
    },
    Fault {
        name: "no transport but its own seven", section: "25.1 (other-transport)", misread: None,
        example: &[("Via", "Via: SIP/2.0/QUIC 10.0.0.1:5068;branch=z9hG4bKb")],
        is_in: |message, field| match field {
            Field::Via => message.via().is_some_and(|via| !is_transport(via.transport)),
            _ => uri(message, field).and_then(Uri::parse).and_then(|uri| uri.param("transport")).is_some_and(|name| !is_transport(name)),
        },
    },
    Fault {
        name: "a display name in quotes has no <", section: "25.1 (quoted-string)", misread: Some(Field::From),
        example: &[("From", "From: \"front <desk\" <sip:desk@inn.example>;tag=f")],
        is_in: |message, field| name_addr(message, field).is_some_and(|value| value.display.contains('<')),
    },
    Fault {
        name: "a < in a parameter makes a bare URI a display name", section: "25.1 (contact-param)", misread: None,
        example: &[("Contact", "Contact: sip:desk@10.0.0.1:5068;note=\"<sip:x@inn.example>\"")],
        is_in: |message, field| name_addr(message, field).is_some() && !value(message, field).contains(&format!("<{}>", uri(message, field).unwrap_or_default())) && value(message, field).contains('<'),
    },
    Fault {
        name: "Contact holds one value", section: "7.3.1", misread: None,
        example: &[("Contact", "Contact: <sip:desk@10.0.0.1:5068>, <sip:desk@inn.example>")],
        is_in: |message, field| field == Field::Contact && ringback_sip::uri::split_list(value(message, field)).count() > 1,
    },
];

fn end_of_head(message: &Message) -> usize {
    let bytes = message.bytes();
    bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len())
}

/// The lines of the head as they arrived.
fn lines(message: &Message) -> impl Iterator<Item = &str> {
    std::str::from_utf8(&message.bytes()[..end_of_head(message)]).unwrap_or_default().split("\r\n")
}

/// What is written in a field.
fn value(message: &Message, field: Field) -> &str {
    let name = match field {
        Field::Start => return message.request_uri(),
        Field::Body => return "",
        Field::Via => Name::Via,
        Field::From => Name::From,
        Field::To => Name::To,
        Field::CallId => return "",
        Field::CSeq => Name::CSeq,
        Field::Contact => Name::Contact,
    };
    message.get(name).unwrap_or_default()
}

fn name_addr(message: &Message, field: Field) -> Option<NameAddr<'_>> {
    match field {
        Field::From => message.from(),
        Field::To => message.to(),
        Field::Contact => message.contact(),
        _ => None,
    }
}

fn uri(message: &Message, field: Field) -> Option<&str> {
    match field {
        Field::Start if message.is_request() => Some(message.request_uri()),
        _ => name_addr(message, field).map(|value| value.uri),
    }
}

/// Host and parameters of a URI.
fn parts(uri: &str) -> impl Iterator<Item = &str> {
    uri.rsplit_once('@').map_or(uri, |(_, rest)| rest).split(';')
}

/// The parameters of a value that has some outside its URI, cut at every semicolon.
fn params(message: &Message, field: Field) -> impl Iterator<Item = &str> {
    let behind = match field {
        Field::Via => value(message, field),
        _ => match (value(message, field), uri(message, field)) {
            (value, Some(uri)) => value.split_once(uri).map_or("", |(_, rest)| rest),
            _ => "",
        },
    };
    behind.split(';').skip(1)
}

/// A parameter as rsip takes it: `token` or `token=token`.
fn is_plain(param: &str) -> bool {
    let is_token = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b));
    let (name, value) = param.split_once('=').unwrap_or((param, ""));
    is_token(name) && is_token(value)
}

fn has_white_space(value: &str) -> bool {
    let beside = |mark: char| {
        value.split(mark).skip(1).any(|part| part.starts_with([' ', '\t']))
            || value.rsplit(mark).skip(1).any(|part| part.ends_with([' ', '\t']))
    };
    [';', '=', '/', ':'].into_iter().any(beside)
}

fn is_transport(name: &str) -> bool {
    ["UDP", "TCP", "TLS", "SCTP", "TLS-SCTP", "WS", "WSS"].iter().any(|known| known.eq_ignore_ascii_case(name))
}
