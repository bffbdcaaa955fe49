//! The one place that writes SIP. Nothing that comes from outside can end a line here: control characters become spaces.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt::{Display, Write};
use std::net::SocketAddr;

use bytes::Bytes;

use crate::frame::{Message, Method, Name, is_token};
use crate::transmit::{Reason, Transmit};

/// The methods we answer.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";
/// Seconds after which who is turned away may come back.
pub(crate) const RETRY_AFTER: &str = "5";

/// How a message travels; written into the Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
}

impl Transport {
    fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
        }
    }
}

/// Writes a message line by line.
pub(crate) struct Writer {
    text: String,
}

impl Writer {
    /// Begins a request.
    pub fn request(method: &str, uri: &str) -> Writer {
        let mut text = String::with_capacity(1024);
        text.push_str(method);
        text.push(' ');
        text.extend(uri.chars().filter(|c| !c.is_control() && !matches!(c, ' ' | '<' | '>' | '"')));
        text.push_str(" SIP/2.0\r\n");
        Writer { text }
    }

    fn response(code: u16, phrase: &str) -> Writer {
        let mut writer = Writer { text: String::with_capacity(1024) };
        writer.text.push_str("SIP/2.0 ");
        writer.push_shown(code);
        writer.text.push(' ');
        writer.push_clean(phrase);
        writer.text.push_str("\r\n");
        writer
    }

    /// A header. One whose name is no token is left out.
    pub fn header(mut self, name: &str, value: &str) -> Writer {
        if is_token(name) {
            self.text.push_str(name);
            self.text.push_str(": ");
            self.push_clean(value);
            self.text.push_str("\r\n");
        }
        self
    }

    /// A header whose value is ours: a number or an address.
    pub fn shown(mut self, name: &str, value: impl Display) -> Writer {
        self.text.push_str(name);
        self.text.push_str(": ");
        self.push_shown(value);
        self.text.push_str("\r\n");
        self
    }

    /// The topmost Via.
    pub fn via(self, local: SocketAddr, branch: &str) -> Writer {
        self.shown("Via", format_args!("SIP/2.0/{} {local};branch={branch};rport", Transport::Udp.as_str()))
    }

    /// A Reason header, if there is a reason.
    pub fn reason(self, reason: Option<&Reason>) -> Writer {
        let Some(reason) = reason else { return self };
        let text = reason.text.as_deref().map(|text| format!(";text={}", quoted(text))).unwrap_or_default();
        self.header("Reason", &format!("{};cause={}{text}", reason.protocol, reason.cause))
    }

    /// Ends with a body, or without.
    pub fn finish(mut self, sdp: Option<&str>) -> Bytes {
        if sdp.is_some() {
            self.text.push_str("Content-Type: application/sdp\r\n");
        }
        let body = sdp.unwrap_or_default();
        self = self.shown("Content-Length", body.len());
        self.text.push_str("\r\n");
        self.text.push_str(body);
        Bytes::from(self.text)
    }

    fn push_shown(&mut self, value: impl Display) {
        let _ = write!(self.text, "{value}"); // writing into a String cannot fail
    }

    fn push_clean(&mut self, value: &str) {
        if value.bytes().any(|b| b.is_ascii_control()) {
            self.text.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
        } else {
            self.text.push_str(value);
        }
    }
}

/// A quoted string; control characters are left out.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A name-addr value of a URI, which cannot leave its brackets.
pub(crate) fn name_addr(display: Option<&str>, uri: &str) -> String {
    let uri: String = uri.chars().filter(|c| !c.is_control() && !matches!(c, ' ' | '<' | '>' | '"')).collect();
    match display {
        Some(display) if !display.is_empty() => format!("{} <{uri}>", quoted(display)),
        _ => format!("<{uri}>"),
    }
}

/// The Contact of a socket.
pub(crate) fn contact_of(local: SocketAddr) -> String {
    format!("<sip:{local}>")
}

/// A response to a request, addressed as RFC 3261 18.2.2 and RFC 3581 say: always to the IP the packet came from.
pub(crate) struct Reply<'a> {
    request: &'a Message,
    code: u16,
    phrase: &'a str,
    to_tag: &'a str,
    headers: Vec<(&'static str, String)>,
    sdp: Option<&'a str>,
}

impl<'a> Reply<'a> {
    pub fn to(request: &'a Message, code: u16) -> Reply<'a> {
        Reply { request, code, phrase: phrase_of(code), to_tag: "", headers: Vec::new(), sdp: None }
    }

    pub fn phrase(mut self, phrase: &'a str) -> Reply<'a> {
        self.phrase = phrase;
        self
    }

    /// The To-tag; left alone when the request already has one.
    pub fn tag(mut self, tag: &'a str) -> Reply<'a> {
        self.to_tag = tag;
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply<'a> {
        self.headers.push((name, value.into()));
        self
    }

    pub fn sdp(mut self, sdp: Option<&'a str>) -> Reply<'a> {
        self.sdp = sdp;
        self
    }

    pub fn send(self, from: SocketAddr) -> Transmit {
        let mut writer = Writer::response(self.code, self.phrase);
        for (at, via) in self.request.list(Name::Via).enumerate() {
            writer = if at == 0 { writer.header("Via", &stamped(via, from)) } else { writer.header("Via", via) };
        }
        if let Some(value) = self.request.get(Name::From) {
            writer = writer.header("From", value);
        }
        if let Some(value) = self.request.get(Name::To) {
            let add_tag = self.code > 100 && !self.to_tag.is_empty() && self.request.to_tag().is_empty();
            writer = if add_tag {
                writer.header("To", &format!("{value};tag={}", self.to_tag))
            } else {
                writer.header("To", value)
            };
        }
        for name in [(Name::CallId, "Call-ID"), (Name::CSeq, "CSeq")] {
            if let Some(value) = self.request.get(name.0) {
                writer = writer.header(name.1, value);
            }
        }
        if self.request.method() == Method::Invite && (101..300).contains(&self.code) {
            for route in self.request.all(Name::RecordRoute) {
                writer = writer.header("Record-Route", route);
            }
        }
        for (name, value) in &self.headers {
            writer = writer.header(name, value);
        }
        Transmit { to: reply_address(self.request, from), bytes: writer.finish(self.sdp) }
    }
}

/// The top Via with what we saw of its sender.
fn stamped(via: &str, from: SocketAddr) -> String {
    let mut stamped = String::with_capacity(via.len() + 48);
    let mut has_rport = false;
    for (at, part) in via.split(';').enumerate() {
        let name = part.split('=').next().unwrap_or_default().trim_ascii();
        if at > 0 && name.eq_ignore_ascii_case("received") {
            continue;
        }
        if at > 0 {
            stamped.push(';');
        }
        if at > 0 && name.eq_ignore_ascii_case("rport") {
            has_rport = true;
            let _ = write!(stamped, "rport={}", from.port()); // writing into a String cannot fail
        } else {
            stamped.push_str(part);
        }
    }
    let host_differs =
        crate::frame::Via::parse(via).is_none_or(|v| v.host.trim_matches(['[', ']']).parse() != Ok(from.ip()));
    if has_rport || host_differs {
        let _ = write!(stamped, ";received={}", from.ip());
    }
    stamped
}

/// The source IP always; the source port when the sender asked for it, else its sent-by port.
fn reply_address(request: &Message, from: SocketAddr) -> SocketAddr {
    match request.via() {
        Some(via) if via.param("rport").is_none() => SocketAddr::new(from.ip(), via.port.unwrap_or(5060)),
        _ => from,
    }
}

fn phrase_of(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        603 => "Decline",
        _ if code < 200 => "Progress",
        _ if code < 300 => "OK",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_from_outside_cannot_begin_a_header_of_its_own() {
        let bytes = Writer::request("INVITE", "sip:a\r\nX: y@b")
            .header("From", "\"a\r\nX: y\" <sip:a@b>")
            .header("Bad Name", "x")
            .finish(None);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.lines().all(|line| !line.starts_with("X:") && !line.starts_with("Bad")), "{text}");
        assert_eq!(name_addr(Some("a\r\nX: \"y"), "sip:a>\r\n;evil@b"), "\"aX: \\\"y\" <sip:a;evil@b>");
    }
}
