//! The little SIP a test phone speaks: a message read without help from the code it judges.

use std::net::{IpAddr, SocketAddr};

/// One SIP message, as it stood on the wire.
#[derive(Clone, Debug)]
pub struct Sip {
    /// The request or status line.
    pub start: String,
    /// Header names in their long form, values unfolded, in order.
    pub headers: Vec<(String, String)>,
    /// What followed the empty line.
    pub body: String,
}

const LONG_NAMES: [(&str, &str); 10] = [
    ("v", "Via"),
    ("f", "From"),
    ("t", "To"),
    ("i", "Call-ID"),
    ("m", "Contact"),
    ("l", "Content-Length"),
    ("c", "Content-Type"),
    ("k", "Supported"),
    ("s", "Subject"),
    ("x", "Session-Expires"),
];

impl Sip {
    /// Reads one datagram; `None` when it is no SIP message.
    pub fn parse(datagram: &[u8]) -> Option<Sip> {
        let text = String::from_utf8_lossy(datagram);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        if !start.contains("SIP/2.0") {
            return None;
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
            } else if let Some((name, value)) = line.split_once(':') {
                headers.push((long_name(name.trim()), value.trim().to_owned()));
            }
        }
        Some(Sip { start, headers, body: body.to_owned() })
    }

    /// The method, if it is a request.
    pub fn method(&self) -> Option<&str> {
        if self.start.starts_with("SIP/2.0") { None } else { self.start.split(' ').next() }
    }

    /// The status code, if it is a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The Request-URI.
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// The called number: digits of the Request-URI's user part, without the plus.
    pub fn number(&self) -> String {
        user_of(self.uri()).trim_start_matches('+').to_owned()
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Every header of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The branch of the topmost Via: the name of the transaction.
    pub fn branch(&self) -> &str {
        self.header("Via").map(|via| parameter(via.split(',').next().unwrap_or(via), "branch")).unwrap_or("")
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or("")
    }

    /// CSeq: number and method.
    pub fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.header("CSeq").and_then(|c| c.split_once(' ')).unwrap_or(("0", ""));
        (number.trim().parse().unwrap_or(0), method.trim())
    }

    /// The tag of From or To.
    pub fn tag(&self, header: &str) -> &str {
        let value = self.header(header).unwrap_or("");
        parameter(value.rsplit_once('>').map_or(value, |(_, parameters)| parameters), "tag")
    }

    /// The URI in Contact.
    pub fn contact(&self) -> Option<String> {
        self.header("Contact").map(uri_in)
    }

    /// The session description, unless there is none.
    pub fn sdp(&self) -> Option<Sdp> {
        Sdp::parse(&self.body)
    }
}

/// An answer to `request`, ready to send.
pub fn answer(request: &Sip, code: u16, local_tag: &str, extra: &[(&str, String)], body: &str) -> String {
    let mut text = format!("SIP/2.0 {code} {}\r\n", reason(code));
    for name in ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"] {
        for value in request.all(name) {
            let tag_missing = name == "To" && code > 100 && request.tag("To").is_empty() && !local_tag.is_empty();
            let tag = if tag_missing { format!(";tag={local_tag}") } else { String::new() };
            text.push_str(&format!("{name}: {value}{tag}\r\n"));
        }
    }
    close(text, extra, body)
}

/// Ends a message: further headers, then the body with its length.
pub fn close(mut text: String, extra: &[(&str, String)], body: &str) -> String {
    for (name, value) in extra {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}

/// The URI inside `<...>`, or the bare one up to its parameters.
pub fn uri_in(value: &str) -> String {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or("").to_owned(),
        None => value.split(';').next().unwrap_or("").trim().to_owned(),
    }
}

/// Where a `sip:` URI with a literal address points; port 5060 when it names none.
pub fn address_of(uri: &str) -> Option<SocketAddr> {
    let host = uri.strip_prefix("sip:").unwrap_or(uri);
    let host = host.split(['?', ';']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
    host.parse().ok().or_else(|| Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, 5060)))
}

/// The user part of a URI.
pub fn user_of(uri: &str) -> &str {
    let uri = uri.strip_prefix("sip:").unwrap_or(uri);
    uri.split_once('@').map_or("", |(user, _)| user.split(';').next().unwrap_or(user))
}

/// `;name=value` in a header value.
pub fn parameter<'a>(value: &'a str, name: &str) -> &'a str {
    value
        .split(';')
        .skip(1)
        .filter_map(|part| part.trim().split_once('='))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map_or("", |(_, v)| v.trim())
}

/// What a session description says about its first audio stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sdp {
    /// Where its media wants to be sent.
    pub media: SocketAddr,
    /// Offered payload types, in order.
    pub payloads: Vec<u8>,
    /// Payload type of telephone-event.
    pub events: Option<u8>,
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub direction: String,
}

impl Sdp {
    /// Reads the first audio stream.
    pub fn parse(text: &str) -> Option<Sdp> {
        let mut session_address = None;
        let mut stream: Option<Sdp> = None;
        for line in text.lines() {
            let (kind, value) = line.split_once('=')?;
            match (kind, stream.as_mut()) {
                ("c", None) => session_address = value.rsplit(' ').next()?.parse::<IpAddr>().ok(),
                ("c", Some(stream)) => stream.media.set_ip(value.rsplit(' ').next()?.parse().ok()?),
                ("m", Some(_)) => break,
                ("m", None) if value.starts_with("audio ") => {
                    let mut words = value.split(' ').skip(1);
                    let port = words.next()?.parse().ok()?;
                    let ip = session_address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
                    let payloads = words.skip(1).filter_map(|w| w.parse().ok()).collect();
                    let direction = "sendrecv".to_owned();
                    stream = Some(Sdp { media: SocketAddr::new(ip, port), payloads, events: None, direction });
                }
                ("a", Some(stream)) => match value {
                    "sendrecv" | "sendonly" | "recvonly" | "inactive" => stream.direction = value.to_owned(),
                    _ if value.contains("telephone-event/8000") => {
                        stream.events = value.strip_prefix("rtpmap:")?.split(' ').next()?.parse().ok();
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        stream
    }

    /// Writes a description of one audio stream of ours.
    pub fn write(media: SocketAddr, version: u32, payload: u8, events: Option<u8>, direction: &str) -> String {
        let ip = media.ip();
        let codec = if payload == 8 { "PCMA" } else { "PCMU" };
        let mut text = format!("v=0\r\no=phone 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n");
        let list = events.map_or(format!("{payload}"), |e| format!("{payload} {e}"));
        text.push_str(&format!("m=audio {} RTP/AVP {list}\r\na=rtpmap:{payload} {codec}/8000\r\n", media.port()));
        if let Some(events) = events {
            text.push_str(&format!("a=rtpmap:{events} telephone-event/8000\r\na=fmtp:{events} 0-16\r\n"));
        }
        text.push_str(&format!("a=ptime:20\r\na={direction}\r\n"));
        text
    }
}

fn long_name(name: &str) -> String {
    LONG_NAMES.iter().find(|(short, _)| name.eq_ignore_ascii_case(short)).map_or(name, |(_, long)| long).to_owned()
}

fn reason(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Because",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:+442071838750@127.0.0.1:5070 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.9:5068;rport;branch=z9hG4bKx\r\n\
        From: \"A;tag=no\" <sip:1@h>;tag=abc\r\nTo: <sip:2@h>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\nContact:\r\n <sip:gw@127.0.0.9:5068>\r\n\r\n\
        v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

    #[test]
    fn an_invite_is_read_with_compact_and_folded_headers() {
        let invite = Sip::parse(INVITE.as_bytes()).unwrap();
        assert_eq!((invite.method(), invite.number().as_str()), (Some("INVITE"), "442071838750"));
        assert_eq!((invite.branch(), invite.tag("From"), invite.tag("To")), ("z9hG4bKx", "abc", ""));
        assert_eq!(invite.cseq(), (7, "INVITE"));
        assert_eq!(address_of(&invite.contact().unwrap()), Some("127.0.0.9:5068".parse().unwrap()));
        let sdp = invite.sdp().unwrap();
        assert_eq!(
            (sdp.media.to_string().as_str(), sdp.payloads, sdp.events),
            ("127.0.0.9:20000", vec![0, 8, 101], Some(101))
        );
    }

    #[test]
    fn an_answer_keeps_the_transaction_and_adds_the_tag_once() {
        let invite = Sip::parse(INVITE.as_bytes()).unwrap();
        let ringing = Sip::parse(answer(&invite, 180, "mine", &[], "").as_bytes()).unwrap();
        assert_eq!((ringing.status(), ringing.branch(), ringing.tag("To")), (Some(180), "z9hG4bKx", "mine"));
    }
}
