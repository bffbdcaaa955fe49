//! From a datagram to a message, in one pass, and the mending on the way: compact names, folded lines, Latin-1 bytes,
//! bad header lines, a body longer than it says.
//!
//! [`read`] never panics and never guesses: what it cannot make sense of is refused with a reason when it is a request that
//! can be answered, and dropped otherwise.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod checks;
mod message;
mod name;
#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;

pub use checks::Refusal;
pub use message::Via;
pub use name::{Method, Name};

/// No datagram is larger.
pub const MAX_DATAGRAM: usize = 65_535;
/// Start line and headers together.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 128;

/// What a datagram turned out to be.
#[derive(Clone, Debug)]
pub enum Reading {
    /// A message to act upon.
    Message(Message),
    /// A request that cannot be understood but can be told so, statelessly, by `Refusal::reply`.
    Refuse(Refusal),
    /// Nothing that deserves an answer; the text says why.
    Drop(&'static str),
}

/// The first line.
#[derive(Clone, Debug)]
enum Start {
    Request { method: Method, method_text: Span, uri: Span },
    Response { code: u16, reason: Span },
}

/// Where in the head something stands.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(range: Range<usize>) -> Span {
        Span { start: range.start as u32, end: range.end as u32 } // a head is at most 64 kB and twice that after mending
    }

    fn of(self, head: &str) -> &str {
        head.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Line {
    name: Name,
    written: Span,
    value: Span,
}

/// A SIP message whose mandatory headers have been checked.
#[derive(Clone, Debug)]
pub struct Message {
    raw: Bytes,
    head: Box<str>,
    start: Start,
    lines: Vec<Line>,
    body: Bytes,
    cseq: u32,
    cseq_method: Method,
}

/// Reads one datagram.
pub fn read(datagram: &[u8]) -> Reading {
    let leading = datagram.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let datagram = &datagram[leading..];
    if datagram.is_empty() {
        return Reading::Drop("keep-alive");
    }
    if datagram.len() > MAX_DATAGRAM {
        return Reading::Drop("larger than any datagram");
    }
    let (head_end, body_start) = end_of_head(datagram);
    if head_end > MAX_HEAD {
        return Reading::Drop("head larger than 32 kB");
    }
    let head = mend(&datagram[..head_end]);
    let mut lines = split_lines(&head);
    let Some(first) = lines.next() else { return Reading::Drop("no start line") };
    let (start, fault) = match read_start(&head, first) {
        Ok(start) => (start, None),
        Err(StartFault::Nonsense(why)) => return Reading::Drop(why),
        Err(StartFault::Refuse(start, code, what)) => (start, Some((code, what))),
    };
    let mut headers = Vec::with_capacity(24);
    headers.extend(lines.filter_map(|line| read_header(&head, line)).take(MAX_HEADERS + 1));
    let fault = fault.or((headers.len() > MAX_HEADERS).then_some((400, "Too Many Header Fields")));
    let message = Message::of(datagram, head, start, headers, body_start);
    match fault {
        Some((code, what)) => Refusal::new(message, code, what).into_reading(),
        None => checks::check(message, head_end < datagram.len()),
    }
}

/// The end of the headers and the beginning of the body. Lone line feeds are taken for line ends, as all stacks do.
fn end_of_head(datagram: &[u8]) -> (usize, usize) {
    let mut at = 0;
    while let Some(found) = datagram[at..].iter().position(|b| *b == b'\n') {
        let newline = at + found;
        match &datagram[newline + 1..] {
            [b'\r', b'\n', ..] => return (newline + 1, newline + 3),
            [b'\n', ..] => return (newline + 1, newline + 2),
            _ => at = newline + 1,
        }
    }
    (datagram.len(), datagram.len())
}

/// Bytes that are no UTF-8 are taken for Latin-1; folded lines become one line.
fn mend(head: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(head.len());
    let mut rest = head;
    loop {
        match std::str::from_utf8(rest) {
            Ok(good) => break text.push_str(good),
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(good).unwrap_or_default());
                text.push(char::from(bad[0]));
                rest = &bad[1..];
            }
        }
    }
    let folded = |bytes: &[u8]| bytes.windows(2).any(|pair| pair[0] == b'\n' && matches!(pair[1], b' ' | b'\t'));
    if folded(text.as_bytes()) {
        text = text.replace("\r\n ", "   ").replace("\r\n\t", "   ").replace("\n ", "  ").replace("\n\t", "  ");
    }
    text.into_boxed_str()
}

/// The ranges of the lines, without their ends.
fn split_lines(head: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = head.get(at..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').unwrap_or(rest.len());
        let line = at..at + rest[..length].trim_end_matches('\r').len();
        at += length + 1;
        Some(line)
    })
}

enum StartFault {
    Nonsense(&'static str),
    Refuse(Start, u16, &'static str),
}

fn read_start(head: &str, line: Range<usize>) -> Result<Start, StartFault> {
    let text = &head[line.clone()];
    if let Some(rest) = text.strip_prefix("SIP/2.0 ") {
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let code = digits(code).filter(|code| code_is_fine(*code)).ok_or(StartFault::Nonsense("no status code"))?;
        return Ok(Start::Response { code, reason: Span::new(line.end - reason.len()..line.end) });
    }
    let Some((method, rest)) = text.split_once(' ') else { return Err(StartFault::Nonsense("no start line of SIP")) };
    let Some((uri, version)) = rest.trim_ascii_end().rsplit_once(' ') else {
        return Err(StartFault::Nonsense("no start line of SIP"));
    };
    if !is_token(method) || !version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/")) {
        return Err(StartFault::Nonsense("no start line of SIP"));
    }
    let uri_at = line.start + method.len() + 1;
    let start = Start::Request {
        method: Method::of(method),
        method_text: Span::new(line.start..line.start + method.len()),
        uri: Span::new(uri_at..uri_at + uri.len()),
    };
    match () {
        () if !version.eq_ignore_ascii_case("SIP/2.0") => Err(StartFault::Refuse(start, 505, "Version Not Supported")),
        () if rest.ends_with([' ', '\t']) => Err(StartFault::Refuse(start, 400, "Bad Request-Line")),
        () if uri.is_empty() || uri.contains([' ', '\t', '<', '>', '"']) => {
            Err(StartFault::Refuse(start, 400, "Bad Request-URI"))
        }
        () => Ok(start),
    }
}

fn code_is_fine(code: u16) -> bool {
    (100..700).contains(&code)
}

pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
        })
}

/// One header line; None for a line that is no header, which is left out.
fn read_header(head: &str, line: Range<usize>) -> Option<Line> {
    let text = &head[line.clone()];
    let (name, value) = text.split_once(':')?;
    let name = name.trim_ascii_end();
    if !is_token(name) || has_bare_control(value) {
        return None;
    }
    let start = line.end - value.trim_ascii_start().len();
    let value = start..start + value.trim_ascii().len();
    Some(Line {
        name: Name::of(name),
        written: Span::new(line.start..line.start + name.len()),
        value: Span::new(value),
    })
}

/// A control character that no backslash introduces (RFC 3261 25.1, quoted-pair). A carriage return is never legal.
fn has_bare_control(value: &str) -> bool {
    let mut escaped = false;
    value.bytes().any(|byte| {
        let legal = escaped && byte != b'\r' || byte >= b' ' && byte != 0x7f || byte == b'\t';
        escaped = byte == b'\\' && !escaped;
        !legal
    })
}

/// A number written as digits and nothing else.
pub(crate) fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}
