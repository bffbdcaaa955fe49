//! URIs and name-addr values, read in place without allocating.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, SocketAddr};

use crate::frame::digits;

/// A `sip:` or `sips:` URI, or one of a scheme we do not dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme as written.
    pub scheme: &'a str,
    /// The user part, still escaped.
    pub user: Option<&'a str>,
    /// The host; empty for schemes other than sip and sips.
    pub host: &'a str,
    /// The port, where one is written.
    pub port: Option<u16>,
    params: &'a str,
    /// Header fields after the question mark.
    pub headers: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Reads a URI. None when it is none, or when it holds what no URI may hold.
    pub fn parse(text: &'a str) -> Option<Uri<'a>> {
        if text.bytes().any(|b| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f)) {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        if !is_scheme(scheme) || rest.is_empty() {
            return None;
        }
        if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
            return Some(Uri { scheme, user: None, host: "", port: None, params: "", headers: None });
        }
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains('@') => return None, // not escaped: which host is meant is anybody's guess
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let (host_port, params) = split_at_char(rest, ';');
        let (host, port) = split_host_port(host_port)?;
        Some(Uri { scheme, user, host, port, params, headers })
    }

    /// Whether it is a URI we can phone or answer.
    pub fn is_sip(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("sip")
    }

    /// Whether it may stand in a request line of ours: a host to go to and no header fields (RFC 3261 19.1.1, table 1).
    pub(crate) fn is_target(&self) -> bool {
        !self.host.is_empty() && self.headers.is_none()
    }

    /// A parameter of the URI; `Some("")` when it has no value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }

    /// The address, when the host is a literal one.
    pub fn address(&self) -> Option<SocketAddr> {
        let host = self.host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(self.host);
        let ip: IpAddr = host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port.unwrap_or(5060)))
    }
}

fn is_scheme(scheme: &str) -> bool {
    let bytes = scheme.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Splits `host:port`; IPv6 hosts keep their brackets.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let host_end = match text.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_end);
    let host_is_fine = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(is_v6),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    if !host_is_fine {
        return None;
    }
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(digits(port)?))),
        None if rest.is_empty() => Some((host, None)),
        None => None,
    }
}

/// An IPv6 address, perhaps with a zone, which no RFC has in SIP and Asterisk writes for link-local addresses.
fn is_v6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let zone_is_fine = zone.is_none_or(|zone| {
        !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    });
    zone_is_fine && address.parse::<std::net::Ipv6Addr>().is_ok()
}

/// A From, To, Contact, Route or Record-Route value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes and escapes included.
    pub display: &'a str,
    /// The URI.
    pub uri: &'a str,
    params: &'a str,
}

impl<'a> NameAddr<'a> {
    /// Reads one value (not a list). None for unbalanced quotes or brackets and for what is no URI.
    pub fn parse(text: &'a str) -> Option<NameAddr<'a>> {
        let text = text.trim_ascii();
        let quoted = if text.starts_with('"') { end_of_quoted(text)? } else { 0 };
        // behind a quotation mark it stands in a parameter of a bare URI
        let first = text[quoted..].find(['<', '"']).map(|at| at + quoted);
        let Some(open) = first.filter(|at| text.as_bytes()[*at] == b'<') else {
            if quoted > 0 {
                return None;
            }
            let (uri, params) = split_at_char(text, ';');
            let uri = uri.trim_ascii_end();
            return has_scheme(uri).then_some(NameAddr { display: "", uri, params });
        };
        let display = text[..open].trim_ascii();
        if quoted > 0 && display.len() != quoted || quoted == 0 && !is_plain_display(display) {
            return None;
        }
        let close = text[open..].find('>')? + open;
        let (uri, rest) = (&text[open + 1..close], text[close + 1..].trim_ascii_start());
        let params = match rest.strip_prefix(';') {
            Some(params) => params,
            None if rest.is_empty() => "",
            None => return None,
        };
        has_scheme(uri).then_some(NameAddr { display, uri, params })
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.param("tag").filter(|tag| !tag.is_empty())
    }

    /// A parameter of the value; `Some("")` when it has no value.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        param(self.params, name)
    }

    /// The display name without quotes and escapes.
    pub fn display_text(&self) -> String {
        unquote(self.display)
    }
}

/// Schemes of any kind may stand in From and To; but one must be there and no space in it.
fn has_scheme(uri: &str) -> bool {
    !uri.bytes().any(|b| b <= b' ' || matches!(b, b'<' | b'"' | 0x7f))
        && uri.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
}

/// An unquoted display name: words. Phones do write other things there, so only what would end the value is refused.
fn is_plain_display(display: &str) -> bool {
    !display.bytes().any(|b| matches!(b, b'"' | b',' | b';' | b'>') || b < b' ' && b != b'\t')
}

/// Where a quoted string that begins at the first byte ends (the index after the closing quote).
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Takes the quotes and escapes off.
pub(crate) fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else { return text.to_owned() };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// The text before the first `mark` and what follows it.
fn split_at_char(text: &str, mark: char) -> (&str, &str) {
    text.split_once(mark).unwrap_or((text, ""))
}

/// The values of a list header, split at commas outside quotes and angle brackets.
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    split_outside(text, b',').map(str::trim_ascii).filter(|value| !value.is_empty())
}

/// A parameter by name, case-insensitively; quotes around the value stay.
pub(crate) fn param<'a>(params: &'a str, name: &str) -> Option<&'a str> {
    split_outside(params, b';').find_map(|param| {
        let (key, value) = param.split_once('=').unwrap_or((param, ""));
        key.trim_ascii().eq_ignore_ascii_case(name).then_some(value.trim_ascii())
    })
}

fn split_outside(text: &str, mark: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = find_outside(text, mark);
        rest = at.map(|at| &text[at + 1..]);
        Some(&text[..at.unwrap_or(text.len())])
    })
}

fn find_outside(text: &str, mark: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' => bracketed = true,
            b'>' => bracketed = false,
            _ if byte == mark && !bracketed => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_shows_its_parts() {
        let uri = Uri::parse("sip:+4420;isub=1@[2001:db8::1]:5070;lr;transport=udp?Subject=x").unwrap();
        assert_eq!((uri.user, uri.host, uri.port), (Some("+4420;isub=1"), "[2001:db8::1]", Some(5070)));
        assert_eq!((uri.param("lr"), uri.param("TRANSPORT"), uri.headers), (Some(""), Some("udp"), Some("Subject=x")));
        assert_eq!(uri.address().unwrap().port(), 5070);
        assert_eq!(Uri::parse("sip:host.example").unwrap().address(), None);
        let zoned = Uri::parse("sip:a@[fe80::1%eth0]:5062").unwrap();
        assert_eq!((zoned.host, zoned.port, zoned.address()), ("[fe80::1%eth0]", Some(5062), None));
        assert!(!Uri::parse("tel:+4420").unwrap().is_sip());
        for bad in [
            "sip:",
            "sip:a b@c",
            "<sip:a@b>",
            "sip:a@b:99999",
            "sip:a@b:x",
            "nothing",
            "sip:a@b@c",
            "sip:a@[::1",
            "sip:a@[::1%]",
            "sip:a@[%eth0]",
        ] {
            assert_eq!(Uri::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn separators_inside_a_quoted_display_name_are_letters() {
        let value = NameAddr::parse(r#" "Bell; <Alexander>, \"A.\"" <sip:a@b;lr> ; tag=1"#).unwrap();
        assert_eq!(value.display_text(), r#"Bell; <Alexander>, "A.""#);
        assert_eq!((value.uri, value.tag()), ("sip:a@b;lr", Some("1")));
        assert_eq!(NameAddr::parse("caller<sip:a@b>;tag=2").unwrap().display, "caller");
        assert_eq!(NameAddr::parse("sip:a@b;tag=3").unwrap().tag(), Some("3"));
        let bare = NameAddr::parse(r#"sip:a@b;+sip.instance="<urn:gsma:imei:1>";audio"#).unwrap();
        assert_eq!(
            (bare.uri, bare.param("+sip.instance"), bare.param("audio")),
            ("sip:a@b", Some("\"<urn:gsma:imei:1>\""), Some(""))
        );
        for bad in [
            r#""open <sip:a@b>"#,
            "Bell, A <sip:a@b>",
            "<sip:a@b",
            "<sip: a@b>",
            "plain",
            "",
            r#""x" sip:a@b"#,
            "<sip:a@b> x",
        ] {
            assert_eq!(NameAddr::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_list_splits_at_its_own_commas_only() {
        let list: Vec<_> = split_list(r#"<sip:a,b@c>, "x, y" <sip:d@e>,,sip:f@g"#).collect();
        assert_eq!(list, ["<sip:a,b@c>", r#""x, y" <sip:d@e>"#, "sip:f@g"]);
    }
}
