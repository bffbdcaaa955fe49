//! What a message says: everything that is asked of one, found in place.

use bytes::Bytes;

use super::{Line, Message, Method, Name, Start, digits, is_token, name};
use crate::uri::{NameAddr, param, split_host_port, split_list};

impl Message {
    pub(super) fn of(datagram: &[u8], head: Box<str>, start: Start, lines: Vec<Line>, body_start: usize) -> Message {
        let raw = Bytes::copy_from_slice(datagram);
        let body = raw.slice(body_start..);
        Message { raw, head, start, lines, body, cseq: 0, cseq_method: Method::Other }
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of a request; of a response, the method it answers.
    pub fn method(&self) -> Method {
        match self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => self.cseq_method,
        }
    }

    /// The letters of a request's method; empty for a response.
    pub fn method_text(&self) -> &str {
        match self.start {
            Start::Request { method_text, .. } => method_text.of(&self.head),
            Start::Response { .. } => "",
        }
    }

    /// The Request-URI; empty for a response.
    pub fn request_uri(&self) -> &str {
        match self.start {
            Start::Request { uri, .. } => uri.of(&self.head),
            Start::Response { .. } => "",
        }
    }

    /// The status code of a response; 0 for a request.
    pub fn code(&self) -> u16 {
        match self.start {
            Start::Response { code, .. } => code,
            Start::Request { .. } => 0,
        }
    }

    /// The reason phrase of a response.
    pub fn reason_phrase(&self) -> &str {
        match self.start {
            Start::Response { reason, .. } => reason.of(&self.head),
            Start::Request { .. } => "",
        }
    }

    /// The first value of a header by any of its names (`"via"`, `"v"`), in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        match Name::of(name) {
            Name::Other => {
                self.lines.iter().find(|l| l.name == Name::Other && name::same_name(l.written.of(&self.head), name))
            }
            known => self.lines.iter().find(|l| l.name == known),
        }
        .map(|line| line.value.of(&self.head))
    }

    /// The first line of a header.
    pub fn get(&self, name: Name) -> Option<&str> {
        self.all(name).next()
    }

    /// All lines of a header in their order; a line may still hold a list.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.name == name).map(|line| line.value.of(&self.head))
    }

    /// All values of a list header, over all its lines.
    pub fn list(&self, name: Name) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(split_list)
    }

    /// Every header as written: name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|line| (line.written.of(&self.head), line.value.of(&self.head)))
    }

    /// Whether a list header of option tags holds this one.
    pub fn lists(&self, name: Name, tag: &str) -> bool {
        self.list(name).any(|value| value.eq_ignore_ascii_case(tag))
    }

    /// The topmost Via.
    pub fn via(&self) -> Option<Via<'_>> {
        self.list(Name::Via).next().and_then(Via::parse)
    }

    /// The branch of the topmost Via; empty without one.
    pub fn branch(&self) -> &str {
        self.via().and_then(|via| via.branch()).unwrap_or_default()
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.get(Name::CallId).unwrap_or_default()
    }

    /// The From value.
    pub fn from(&self) -> Option<NameAddr<'_>> {
        self.get(Name::From).and_then(NameAddr::parse)
    }

    /// The To value.
    pub fn to(&self) -> Option<NameAddr<'_>> {
        self.get(Name::To).and_then(NameAddr::parse)
    }

    /// The tag of the From value; empty without one.
    pub fn from_tag(&self) -> &str {
        self.from().and_then(|from| from.tag()).unwrap_or_default()
    }

    /// The tag of the To value; empty without one.
    pub fn to_tag(&self) -> &str {
        self.to().and_then(|to| to.tag()).unwrap_or_default()
    }

    /// The first Contact.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        self.list(Name::Contact).next().and_then(NameAddr::parse)
    }

    /// The CSeq number.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// A header that is a number, perhaps with parameters after it (`Session-Expires: 180;refresher=uac`).
    pub fn number(&self, name: Name) -> Option<u32> {
        let value = self.get(name)?;
        digits(value.split([';', ' ', '(', '\t']).next()?)
    }

    /// The body, cut to its Content-Length.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body when it is a session description.
    pub fn sdp(&self) -> Option<&str> {
        let kind = self.get(Name::ContentType)?.split(';').next()?.trim_ascii();
        let text = kind.eq_ignore_ascii_case("application/sdp").then(|| std::str::from_utf8(&self.body).ok())??;
        (!text.is_empty()).then_some(text)
    }

    /// The Q.850 cause of a Reason header.
    pub fn q850(&self) -> Option<u8> {
        self.list(Name::Reason).find_map(|reason| {
            let (protocol, params) = reason.split_once(';')?;
            protocol.trim_ascii().eq_ignore_ascii_case("Q.850").then(|| param(params, "cause")?.parse().ok())?
        })
    }

    /// The message as it arrived.
    pub fn bytes(&self) -> &Bytes {
        &self.raw
    }
}

/// A Via value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport as written.
    pub transport: &'a str,
    /// The host of sent-by.
    pub host: &'a str,
    /// The port of sent-by.
    pub port: Option<u16>,
    params: &'a str,
}

impl<'a> Via<'a> {
    /// Reads one value (not a list). None when it is no Via of SIP/2.0.
    pub fn parse(text: &'a str) -> Option<Via<'a>> {
        let (protocol, rest) = text.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        if !protocol.trim_ascii().eq_ignore_ascii_case("SIP") || version.trim_ascii() != "2.0" {
            return None;
        }
        let rest = rest.trim_ascii_start();
        let (transport, rest) = rest.split_at(rest.find([' ', '\t'])?);
        let (sent_by, params) = rest.split_once(';').unwrap_or((rest, ""));
        let compact: (&str, Option<&str>) = match sent_by.trim_ascii().rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.contains(']') => {
                (host.trim_ascii_end(), Some(port.trim_ascii_start()))
            }
            _ => (sent_by.trim_ascii(), None),
        };
        let (host, inner_port) = split_host_port(compact.0)?;
        let port = match compact.1 {
            Some(port) => Some(digits(port)?),
            None => inner_port,
        };
        let params_are_fine = params.is_empty()
            || params.split(';').all(|p| is_token(p.split('=').next().unwrap_or_default().trim_ascii()));
        (is_token(transport) && params_are_fine).then_some(Via { transport, host, port, params })
    }

    /// The branch.
    pub fn branch(&self) -> Option<&'a str> {
        self.param("branch")
    }

    /// A parameter; `Some("")` when it has no value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }
}
