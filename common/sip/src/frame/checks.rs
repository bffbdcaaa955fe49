//! What every message must have before anybody acts upon it (RFC 3261 8.1.1, 8.2, 20), and the refusal when it has not.

use std::net::SocketAddr;

use super::{Message, Method, Name, Reading, Start, Via, digits, is_token};
use crate::transmit::Transmit;
use crate::uri::{NameAddr, Uri, split_list};
use crate::write::Reply;

/// CSeq numbers are below 2^31 (RFC 3261 8.1.1.5).
const CSEQ_LIMIT: u32 = 1 << 31;

/// A request that is refused before anybody looks at its meaning.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status code of the reply.
    pub code: u16,
    /// What was wrong; header-safe, the reason phrase of the reply.
    pub what: &'static str,
    message: Message,
}

impl Refusal {
    pub(super) fn new(message: Message, code: u16, what: &'static str) -> Refusal {
        Refusal { code, what, message }
    }

    /// A refusal when there is somebody to tell: a request other than ACK with a readable top Via.
    pub(super) fn into_reading(self) -> Reading {
        if !self.message.is_request() || self.message.method() == Method::Ack || self.message.get(Name::Via).is_none() {
            return Reading::Drop(self.what);
        }
        Reading::Refuse(self)
    }

    /// The stateless reply, for the source the request came from.
    pub fn reply(&self, from: SocketAddr, to_tag: &str) -> Transmit {
        Reply::to(&self.message, self.code).phrase(self.what).tag(to_tag).send(from)
    }

    /// What could be read of the request.
    pub fn message(&self) -> &Message {
        &self.message
    }
}

type Fault = (u16, &'static str);

/// Checks the mandatory headers and cuts the body.
pub(super) fn check(mut message: Message, has_end_of_head: bool) -> Reading {
    match faults(&mut message, has_end_of_head) {
        Ok(()) => Reading::Message(message),
        Err((code, what)) => Refusal::new(message, code, what).into_reading(),
    }
}

fn faults(message: &mut Message, has_end_of_head: bool) -> Result<(), Fault> {
    check_doubles(message)?;
    check_vias(message)?;
    check_parties(message)?;
    check_cseq(message)?;
    check_numbers(message)?;
    cut_body(message, has_end_of_head)?;
    check_uri(message)
}

fn check_doubles(message: &Message) -> Result<(), Fault> {
    for (at, line) in message.lines.iter().enumerate() {
        let double = line.name.is_single() && message.lines[..at].iter().any(|earlier| earlier.name == line.name);
        if double {
            return Err((400, "Header Field Given Twice"));
        }
    }
    Ok(())
}

fn check_vias(message: &Message) -> Result<(), Fault> {
    let mut top = message.all(Name::Via);
    let first = top.next().ok_or((400, "Missing Via"))?;
    let mut vias = split_list(first);
    let via = vias.next().and_then(Via::parse).ok_or((400, "Bad Via"))?;
    let line_is_clean = !first.trim_ascii_end().ends_with([',', ';']);
    let bare_cookie = via.branch() == Some(crate::identity::MAGIC_COOKIE);
    if !line_is_clean || bare_cookie || vias.any(|via| Via::parse(via).is_none()) {
        return Err((400, "Bad Via"));
    }
    if !message.is_request() && message.list(Name::Via).nth(1).is_some() {
        return Err((400, "Response For Somebody Else")); // RFC 3261 8.1.3.3
    }
    Ok(())
}

fn check_parties(message: &Message) -> Result<(), Fault> {
    let from = message.get(Name::From).ok_or((400, "Missing From"))?;
    let to = message.get(Name::To).ok_or((400, "Missing To"))?;
    NameAddr::parse(from).ok_or((400, "Bad From"))?;
    NameAddr::parse(to).ok_or((400, "Bad To"))?;
    let call_id = message.get(Name::CallId).ok_or((400, "Missing Call-ID"))?;
    if call_id.is_empty() || call_id.len() > 512 || call_id.contains([' ', '\t']) {
        return Err((400, "Bad Call-ID"));
    }
    Ok(())
}

fn check_cseq(message: &mut Message) -> Result<(), Fault> {
    const BAD: Fault = (400, "Bad CSeq");
    let value = message.get(Name::CSeq).ok_or((400, "Missing CSeq"))?;
    let (number, method) = value.split_once([' ', '\t']).ok_or(BAD)?;
    let method = method.trim_ascii();
    let number: u32 = digits(number).filter(|n| *n < CSEQ_LIMIT).ok_or(BAD)?;
    if !is_token(method) {
        return Err(BAD);
    }
    if let Start::Request { method: asked, method_text, .. } = &message.start
        && method_text.of(&message.head) != method
    {
        return Err(if *asked == Method::Other { (501, "Not Implemented") } else { (400, "CSeq Method Mismatch") });
    }
    let method = Method::of(method);
    message.cseq = number;
    message.cseq_method = method;
    Ok(())
}

/// Numbers beyond their range end a response and are told to the sender of a request (RFC 4475 3.1.2.4, 3.1.2.5).
fn check_numbers(message: &Message) -> Result<(), Fault> {
    if message.get(Name::MaxForwards).is_some_and(|v| digits::<u32>(v).is_none_or(|n| n > 255)) {
        return Err((400, "Bad Max-Forwards"));
    }
    Ok(())
}

fn cut_body(message: &mut Message, has_end_of_head: bool) -> Result<(), Fault> {
    if !has_end_of_head {
        return Err((400, "No End of Header Fields"));
    }
    let Some(length) = message.get(Name::ContentLength) else { return Ok(()) };
    let length: usize = digits(length).ok_or((400, "Bad Content-Length"))?;
    if length > message.body.len() {
        return Err((400, "Body Shorter Than Content-Length"));
    }
    message.body.truncate(length);
    Ok(())
}

fn check_uri(message: &Message) -> Result<(), Fault> {
    if !message.is_request() {
        return Ok(());
    }
    let uri = Uri::parse(message.request_uri()).ok_or((400, "Bad Request-URI"))?;
    if uri.host.is_empty() && !uri.scheme.eq_ignore_ascii_case("tel") {
        return Err((416, "Unsupported URI Scheme"));
    }
    if uri.headers.is_some() {
        return Err((400, "Header Fields in Request-URI"));
    }
    Ok(())
}
