//! SDP offer and answer (RFC 8866, RFC 3264): what we say about our media, and what we make of what others say. Pure.
//!
//! Nothing foreign is ever repeated: every line we send is written here. What we read is measured before it is parsed, and
//! keys (`a=crypto`, `k=`) or any other text of a peer never reach a log: errors name the mistake, not the line.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Session};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::media::{Codec, Direction, Forbidden, Home, Negotiated};

/// The payload type that we give to telephone events.
const DTMF: u8 = 101;
/// More than this nobody needs to describe a phone call.
const LONGEST: usize = 64 * 1_024;
const MOST_MEDIA: usize = 32;
const MOST_ATTRIBUTES: usize = 512;
const MOST_LINES: usize = 1_024;

/// Why a description is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SdpError {
    /// Longer, or with more lines, than we read.
    #[error("the SDP is too large")]
    TooLarge,
    /// Not SDP.
    #[error("the SDP cannot be read")]
    Unreadable,
    /// No audio by plain RTP, or all of it declined.
    #[error("the SDP has no audio that we can carry")]
    NoAudio,
    /// Neither PCMU nor PCMA.
    #[error("the SDP has no codec of ours")]
    NoCodec,
    /// No address, or a name instead of one.
    #[error("the SDP has no address")]
    NoAddress,
    /// An address that never gets media.
    #[error("the SDP points to {0}")]
    Forbidden(#[from] Forbidden),
}

impl SdpError {
    /// How to refuse an offer for this reason.
    pub fn status(self) -> u16 {
        match self {
            SdpError::TooLarge => 413,
            _ => 488,
        }
    }
}

/// Whose description is read, and what we allow.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    /// Where our own media lives.
    pub home: &'a Home,
    /// Where the peer's signalling comes from.
    pub signalling_ip: IpAddr,
    /// The peer may sit behind a NAT.
    pub nat: bool,
}

/// Our side of one SDP session: what we said last. The text is always the one that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSdp {
    local: SocketAddr,
    session: u64,
    version: u64,
    text: String,
}

impl LocalSdp {
    /// An offer of PCMU, PCMA and telephone events, under a session number of our choice (at most 62 bits are used).
    pub fn offer(local: SocketAddr, session: u64) -> LocalSdp {
        let session = session & (u64::MAX >> 2);
        let audio = Audio { codecs: &[Codec::Pcmu, Codec::Pcma], dtmf: Some(DTMF), direction: Direction::SendRecv };
        let text = describe(local, session, 1, &[Line::Ours(audio)]);
        LocalSdp { local, session, version: 1, text }
    }

    /// Reads our own description back, as it was stored before a crash.
    pub fn restore(text: &str) -> Result<LocalSdp, SdpError> {
        let session = read(text)?;
        let audio = session.medias.first().ok_or(SdpError::NoAudio)?;
        let ip = address(audio, &session)?;
        let number = session.origin.sess_id.parse().map_err(|_| SdpError::Unreadable)?;
        let version = session.origin.sess_version;
        Ok(LocalSdp { local: SocketAddr::new(ip, audio.port), session: number, version, text: text.to_owned() })
    }

    /// The text to send.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the peer is told to send.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// A new full offer within the session, from this address: for a re-INVITE. Unchanged text keeps its version.
    pub fn reoffer(&mut self, local: SocketAddr) -> &str {
        let audio = Audio { codecs: &[Codec::Pcmu, Codec::Pcma], dtmf: Some(DTMF), direction: Direction::SendRecv };
        self.say(local, &[Line::Ours(audio)]);
        &self.text
    }

    /// Reads the answer to our offer.
    pub fn read_answer(&self, answer: &str, policy: &Policy) -> Result<Negotiated, SdpError> {
        let session = read(answer)?;
        // an answer has our one line first; what else it may have is nothing we offered
        let audio = session.medias.first().filter(|media| is_plain_audio(media)).ok_or(SdpError::NoAudio)?;
        let (ip, theirs) = (address(audio, &session)?, Theirs::read(audio, &session));
        let mut codecs = theirs.codecs();
        let codec = codecs.next().ok_or(SdpError::NoCodec)?;
        let remote = SocketAddr::new(ip, audio.port);
        policy.home.allows(remote)?;
        Ok(Negotiated {
            remote,
            codec,
            also_accepts: codecs.next(),
            dtmf_pt: theirs.dtmf,
            dtmf_pt_in: theirs.dtmf.map(|_| DTMF),
            ptime: theirs.ptime,
            direction: theirs.direction.mirrored(),
            nat: policy.nat,
            signalling_ip: policy.signalling_ip,
        })
    }

    /// Answers an offer of the peer: the first audio line that we can carry, all others declined. Holds are followed. What
    /// we answer becomes [`text`](Self::text); its version rises only if it changed.
    pub fn answer(&mut self, offer: &str, policy: &Policy) -> Result<Negotiated, SdpError> {
        let session = read(offer)?;
        let chosen = session.medias.iter().position(is_plain_audio).ok_or(SdpError::NoAudio)?;
        let audio = &session.medias[chosen];
        let (ip, theirs) = (address(audio, &session)?, Theirs::read(audio, &session));
        let codec = theirs.codecs().next().ok_or(SdpError::NoCodec)?;
        let remote = SocketAddr::new(ip, audio.port);
        let mut direction = theirs.direction.mirrored();
        if ip.is_unspecified() && remote.port() >= 1_024 {
            // a hold in the manner of RFC 2543: nothing is sent there
            direction = if direction.receives() { Direction::RecvOnly } else { Direction::Inactive };
        } else {
            policy.home.allows(remote)?;
        }
        let ours = Audio { codecs: &[codec], dtmf: theirs.dtmf, direction };
        let lines: Vec<Line> = session
            .medias
            .iter()
            .enumerate()
            .map(|(place, media)| if place == chosen { Line::Ours(ours) } else { Line::declining(media) })
            .collect();
        self.say(self.local, &lines);
        Ok(Negotiated {
            remote,
            codec,
            also_accepts: None,
            dtmf_pt: theirs.dtmf,
            dtmf_pt_in: theirs.dtmf,
            ptime: theirs.ptime,
            direction,
            nat: policy.nat,
            signalling_ip: policy.signalling_ip,
        })
    }

    fn say(&mut self, local: SocketAddr, lines: &[Line]) {
        if describe(local, self.session, self.version, lines) != self.text {
            self.version += 1;
            self.text = describe(local, self.session, self.version, lines);
            self.local = local;
        }
    }
}

/// A media line that we write.
#[derive(Clone, Copy)]
enum Line<'a> {
    Ours(Audio<'a>),
    /// Media type, protocol and format, in our own words.
    Declined(&'static str, &'static str, &'static str),
}

#[derive(Clone, Copy)]
struct Audio<'a> {
    codecs: &'a [Codec],
    dtmf: Option<u8>,
    direction: Direction,
}

impl Line<'_> {
    /// The line that declines one of the peer's: of the same kind, but written by us.
    fn declining(media: &Media) -> Line<'static> {
        let kind = match media.media.as_str() {
            "video" => "video",
            "image" => "image",
            "text" => "text",
            "message" => "message",
            "application" => "application",
            _ => "audio",
        };
        match media.proto.as_str() {
            "RTP/SAVP" => Line::Declined(kind, "RTP/SAVP", "0"),
            "RTP/SAVPF" => Line::Declined(kind, "RTP/SAVPF", "0"),
            "RTP/AVPF" => Line::Declined(kind, "RTP/AVPF", "0"),
            "UDP/TLS/RTP/SAVP" => Line::Declined(kind, "UDP/TLS/RTP/SAVP", "0"),
            "UDP/TLS/RTP/SAVPF" => Line::Declined(kind, "UDP/TLS/RTP/SAVPF", "0"),
            "udptl" => Line::Declined(kind, "udptl", "t38"),
            "TCP/MSRP" => Line::Declined(kind, "TCP/MSRP", "*"),
            _ => Line::Declined(kind, "RTP/AVP", "0"),
        }
    }
}

/// Writes a description.
fn describe(local: SocketAddr, session: u64, version: u64, lines: &[Line]) -> String {
    use std::fmt::Write;

    let family = if local.is_ipv4() { "IP4" } else { "IP6" };
    let ip = local.ip();
    let mut text = format!("v=0\r\no=- {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n");
    for line in lines {
        // writing to a String cannot fail
        let _ = match line {
            Line::Declined(kind, proto, format) => write!(text, "m={kind} 0 {proto} {format}\r\n"),
            Line::Ours(audio) => write!(text, "{}", audio.describe(local.port())),
        };
    }
    text
}

impl Audio<'_> {
    fn describe(&self, port: u16) -> String {
        let mut formats = String::new();
        let mut maps = String::new();
        for codec in self.codecs {
            let (payload_type, name) = (codec.payload_type(), name(*codec));
            formats += &format!(" {payload_type}");
            maps += &format!("a=rtpmap:{payload_type} {name}/8000\r\n");
        }
        if let Some(dtmf) = self.dtmf {
            formats += &format!(" {dtmf}");
            maps += &format!("a=rtpmap:{dtmf} telephone-event/8000\r\na=fmtp:{dtmf} 0-16\r\n");
        }
        let direction = match self.direction {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        };
        format!("m=audio {port} RTP/AVP{formats}\r\n{maps}a=ptime:20\r\na={direction}\r\n")
    }
}

fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
    }
}

/// Parses what is small enough to be honest.
fn read(text: &str) -> Result<Session, SdpError> {
    if text.len() > LONGEST {
        return Err(SdpError::TooLarge);
    }
    let (mut lines, mut media, mut attributes) = (0, 0, 0);
    for line in text.split(['\r', '\n']).filter(|line| !line.is_empty()) {
        lines += 1;
        media += usize::from(line.starts_with("m="));
        attributes += usize::from(line.starts_with("a="));
    }
    if lines > MOST_LINES || media > MOST_MEDIA || attributes > MOST_ATTRIBUTES {
        return Err(SdpError::TooLarge);
    }
    Session::parse(text.as_bytes()).map_err(|_| SdpError::Unreadable)
}

fn is_plain_audio(media: &Media) -> bool {
    media.media == "audio" && media.proto == "RTP/AVP" && media.port != 0
}

/// The media's own address, else the session's.
fn address(media: &Media, session: &Session) -> Result<IpAddr, SdpError> {
    let connection: &Connection =
        media.connections.first().or(session.connection.as_ref()).ok_or(SdpError::NoAddress)?;
    let address = connection.try_address().map_err(|_| SdpError::NoAddress)?;
    Ok(address.ip.to_canonical())
}

/// What a peer says about its audio.
struct Theirs<'a> {
    formats: &'a str,
    dtmf: Option<u8>,
    ptime: u32,
    direction: Direction,
}

impl<'a> Theirs<'a> {
    fn read(media: &'a Media, session: &Session) -> Theirs<'a> {
        let dtmf = media.attributes.iter().find_map(|attribute| telephone_event(attribute, &media.fmt));
        let ptime = value(&media.attributes, "ptime").and_then(|ptime| ptime.parse().ok());
        let direction = direction(&media.attributes).or_else(|| direction(&session.attributes));
        Theirs {
            formats: &media.fmt,
            dtmf,
            ptime: ptime.unwrap_or(20),
            direction: direction.unwrap_or(Direction::SendRecv),
        }
    }

    /// Those we know, in the peer's order, each once.
    fn codecs(&self) -> impl Iterator<Item = Codec> {
        let mut known = self.formats.split_whitespace().filter_map(|format| format.parse().ok()).filter_map(Codec::of);
        let first = known.next();
        let second = known.find(|codec| Some(*codec) != first);
        first.into_iter().chain(second)
    }
}

fn value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.attribute == name)?.value.as_deref().map(str::trim)
}

/// `a=rtpmap:101 telephone-event/8000`, if the number is dynamic and on the media line.
fn telephone_event(attribute: &Attribute, formats: &str) -> Option<u8> {
    let (number, encoding) =
        attribute.value.as_deref().filter(|_| attribute.attribute == "rtpmap")?.trim().split_once(' ')?;
    let mut parts = encoding.trim().split('/');
    let is_event = parts.next()?.eq_ignore_ascii_case("telephone-event") && parts.next()? == "8000";
    let listed = formats.split_whitespace().any(|format| format == number);
    number.parse().ok().filter(|number| is_event && listed && (96..=127).contains(number))
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| match attribute.attribute.as_str() {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn home() -> Home {
        Home { ip: "198.51.100.7".parse().expect("address"), ports: 20_000..=29_999 }
    }

    fn policy(home: &Home) -> Policy<'_> {
        Policy { home, signalling_ip: "203.0.113.5".parse().expect("address"), nat: false }
    }

    fn ours() -> LocalSdp {
        LocalSdp::offer("198.51.100.7:20002".parse().expect("address"), 42)
    }

    fn read_answer(answer: &str) -> Result<Negotiated, SdpError> {
        ours().read_answer(answer, &policy(&home()))
    }

    /// A description with this address, port and whatever else.
    fn theirs(ip: &str, port: &str, more: &str) -> String {
        format!(
            "v=0\r\no=x 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{more}"
        )
    }

    #[test]
    fn the_offer_says_what_we_can() {
        let offer = ours();
        assert_eq!(
            offer.text(),
            "v=0\r\no=- 42 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 20002 RTP/AVP 0 8 101\r\n\
             a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
             a=ptime:20\r\na=sendrecv\r\n"
        );
        assert_eq!(LocalSdp::restore(offer.text()), Ok(offer), "read back after a crash");
    }

    #[test]
    fn an_answer_is_understood() {
        let agreed = read_answer(&theirs("203.0.113.5", "4000", "a=ptime:30\r\na=sendonly\r\n")).expect("good");
        assert_eq!(agreed.remote.to_string(), "203.0.113.5:4000");
        assert_eq!((agreed.codec, agreed.also_accepts, agreed.ptime), (Codec::Pcmu, None, 30));
        assert_eq!((agreed.dtmf_pt, agreed.dtmf_pt_in), (Some(101), Some(101)));
        assert_eq!(agreed.direction, Direction::RecvOnly);
    }

    #[test]
    fn the_media_lines_own_address_and_the_peers_order_and_numbers_count() {
        let answer = "v=0\no=x 1 1 IN IP4 203.0.113.5\ns=-\nc=IN IP4 127.0.0.1\na=inactive\nm=audio 4000 RTP/AVP 18 8 0 96\n\
                      c=IN IP4 203.0.113.9\na=rtpmap:96 Telephone-Event/8000\na=sendrecv\n";
        let agreed = read_answer(answer).expect("bare line feeds and no t= line are common enough");
        assert_eq!(agreed.remote.to_string(), "203.0.113.9:4000");
        assert_eq!((agreed.codec, agreed.also_accepts), (Codec::Pcma, Some(Codec::Pcmu)));
        assert_eq!((agreed.dtmf_pt, agreed.dtmf_pt_in), (Some(96), Some(101)));
        assert_eq!(agreed.direction, Direction::SendRecv);
        let wideband = answer.replace("Telephone-Event/8000", "telephone-event/16000");
        assert_eq!(read_answer(&wideband).expect("good").dtmf_pt, None);
    }

    #[test]
    fn an_answer_without_our_codecs_or_audio_is_refused() {
        let answer = |media: &str| read_answer(&format!("v=0\r\nc=IN IP4 203.0.113.5\r\n{media}\r\n"));
        assert_eq!(answer("m=audio 4000 RTP/AVP 18 101"), Err(SdpError::NoCodec));
        assert_eq!(answer("m=audio 0 RTP/AVP 0"), Err(SdpError::NoAudio));
        assert_eq!(answer("m=audio 4000 RTP/SAVP 0"), Err(SdpError::NoAudio));
        assert_eq!(answer("m=video 4000 RTP/AVP 0"), Err(SdpError::NoAudio));
        assert_eq!(read_answer("v=0\r\nm=audio 4000 RTP/AVP 0\r\n"), Err(SdpError::NoAddress));
        assert_eq!(read_answer("v=0\r\nc=IN IP4 host.example\r\nm=audio 4000 RTP/AVP 0\r\n"), Err(SdpError::NoAddress));
        assert_eq!(read_answer(""), Err(SdpError::Unreadable));
        assert_eq!(read_answer("hello"), Err(SdpError::Unreadable));
    }

    #[test]
    fn an_offer_is_answered_in_our_own_words() {
        let home = home();
        let mut ours = ours();
        let offer = "v=0\r\no=evil 1 1 IN IP4 203.0.113.5\r\ns=evil\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n\
                     m=video 5000 RTP/AVP 96\r\na=rtpmap:96 evil/90000\r\nm=image 5002 udptl t38\r\nm=audio 4000 RTP/AVP 8 97 0\r\n\
                     a=rtpmap:97 telephone-event/8000\r\na=sendonly\r\nm=audio 4002 RTP/AVP 0\r\nm=evil 9 evil evil\r\n";
        let agreed = ours.answer(offer, &policy(&home)).expect("good");
        assert_eq!((agreed.codec, agreed.dtmf_pt, agreed.direction), (Codec::Pcma, Some(97), Direction::RecvOnly));
        let media: Vec<&str> =
            ours.text().lines().filter(|line| line.starts_with("m=") || line.ends_with("only")).collect();
        assert_eq!(
            media,
            [
                "m=video 0 RTP/AVP 0",
                "m=image 0 udptl t38",
                "m=audio 20002 RTP/AVP 8 97",
                "a=recvonly",
                "m=audio 0 RTP/AVP 0",
                "m=audio 0 RTP/AVP 0"
            ]
        );
        assert!(!ours.text().contains("evil"));
    }

    #[test]
    fn the_version_rises_only_with_a_change() {
        let (home, mut ours) = (home(), ours());
        let mut answer = |more: &str| {
            ours.answer(&theirs("203.0.113.5", "4000", more), &policy(&home)).expect("good");
            ours.text().lines().nth(1).expect("o=").to_owned()
        };
        assert_eq!(answer(""), "o=- 42 2 IN IP4 198.51.100.7", "one codec instead of two");
        assert_eq!(answer(""), "o=- 42 2 IN IP4 198.51.100.7", "a refresh changes nothing");
        assert_eq!(answer("a=sendonly\r\n"), "o=- 42 3 IN IP4 198.51.100.7", "hold");
        assert_eq!(answer("a=sendrecv\r\n"), "o=- 42 4 IN IP4 198.51.100.7", "and back");
        let moved = "198.51.100.8:20004".parse().expect("address");
        assert!(ours.reoffer(moved).contains("o=- 42 5 IN IP4 198.51.100.8\r\n"));
        assert!(ours.text().contains("m=audio 20004 RTP/AVP 0 8 101\r\n"));
        let before = ours.text().to_owned();
        assert_eq!(ours.reoffer(moved), before);
    }

    #[test]
    fn holds_of_every_kind() {
        let home = home();
        let agreed = |ip: &str, more: &str| {
            ours().answer(&theirs(ip, "4000", more), &policy(&home)).map(|agreed| agreed.direction)
        };
        assert_eq!(agreed("203.0.113.5", ""), Ok(Direction::SendRecv));
        assert_eq!(agreed("203.0.113.5", "a=sendonly\r\n"), Ok(Direction::RecvOnly));
        assert_eq!(agreed("203.0.113.5", "a=recvonly\r\n"), Ok(Direction::SendOnly));
        assert_eq!(agreed("203.0.113.5", "a=inactive\r\n"), Ok(Direction::Inactive));
        assert_eq!(agreed("0.0.0.0", ""), Ok(Direction::RecvOnly), "RFC 2543");
        assert_eq!(agreed("0.0.0.0", "a=inactive\r\n"), Ok(Direction::Inactive));
    }

    #[test]
    fn rtp_19_answers_that_point_where_nothing_may_go() {
        let answer = |ip: &str| read_answer(&theirs(ip, "4000", ""));
        assert_eq!(answer("0.0.0.0"), Err(SdpError::Forbidden(Forbidden::Unspecified)));
        assert_eq!(answer("127.0.0.1"), Err(SdpError::Forbidden(Forbidden::Loopback)));
        assert_eq!(answer("169.254.169.254"), Err(SdpError::Forbidden(Forbidden::LinkLocal)));
        assert_eq!(answer("224.0.0.1/127"), Err(SdpError::Forbidden(Forbidden::NotOneHost)));
        assert_eq!(read_answer(&theirs("198.51.100.7", "20002", "")), Err(SdpError::Forbidden(Forbidden::Ourselves)));
        let (home, mut local) = (home(), ours());
        assert!(local.answer(&theirs("127.0.0.1", "4000", ""), &policy(&home)).is_err(), "nor in a re-INVITE");
        assert_eq!(local, ours(), "a refused offer changes nothing");
    }

    #[test]
    fn rtp_21_ports_that_are_none() {
        for port in ["0", "1", "22", "53", "1023", "65536", "-1", "99999999999", "", "x"] {
            let refused = read_answer(&theirs("203.0.113.5", port, ""));
            assert!(refused.is_err_and(|error| error.status() == 488), "port {port}");
        }
        assert!(read_answer(&theirs("203.0.113.5", "65535", "")).is_ok());
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // real time is what this is about
    fn rtp_22_too_much_of_everything_is_refused_in_no_time() {
        let begun = Instant::now();
        let base = theirs("203.0.113.5", "4000", "");
        for (more, times) in
            [("m=audio 4000 RTP/AVP 0\r\n", 1_000), ("a=x\r\n", 10_000), ("a=x", 400_000), ("b=AS:1\r\n", 2_000)]
        {
            let text = base.clone() + &more.repeat(times);
            assert_eq!(read_answer(&text), Err(SdpError::TooLarge));
        }
        assert_eq!(SdpError::TooLarge.status(), 413);
        let long_line = base.clone() + "a=" + &"x".repeat(60_000) + "\r\n";
        assert!(read_answer(&long_line).is_ok());
        assert!(read_answer(&(base + &"a=x\r\n".repeat(500))).is_ok());
        assert!(begun.elapsed() < Duration::from_millis(250), "five times 50 ms: {:?}", begun.elapsed());
    }

    #[test]
    fn rtp_23_foreign_text_is_never_repeated() {
        let home = home();
        for evil in ["evil\r\na=evil", "ev\0il", "\u{fffd}evil", "evil\ra=evil"] {
            let mut local = ours();
            let offer = format!(
                "v=0\r\no=evil 1 1 IN IP4 203.0.113.5\r\ns={evil}\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na={evil}\r\n"
            );
            let _ = local.answer(&offer, &policy(&home)); // refused or not: it is not repeated
            assert!(!local.text().contains("evil") && !local.text().contains('\0') && local.text().is_ascii());
        }
    }

    #[test]
    fn rtp_24_keys_appear_in_no_message() {
        let secret = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        let crypto = format!(
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{secret}\r\nk=clear:{secret}\r\na=fingerprint:sha-256 {secret}\r\n"
        );
        let good = read_answer(&theirs("203.0.113.5", "4000", &crypto));
        assert!(good.is_ok() && !format!("{good:?}").contains(secret));
        let secure = theirs("203.0.113.5", "4000", &crypto).replace("RTP/AVP", "RTP/SAVP");
        for broken in [secure, theirs("203.0.113.5", "x", &crypto), theirs("127.0.0.1", "4000", &crypto)] {
            let error = read_answer(&broken).expect_err("refused");
            assert!(!format!("{error} {error:?}").contains(secret));
        }
    }

    #[test]
    fn no_text_can_hurt() {
        let base = theirs("203.0.113.5", "4000", "a=ptime:20\r\na=sendrecv\r\nk=clear:x\r\nr=1 1 1\r\nz=0 -1h\r\n");
        let mut noise = 11u64;
        let mut next = |below: usize| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 33) as usize % below
        };
        let mut readable = 0;
        for _ in 0..20_000 {
            let mut bytes = base.clone().into_bytes();
            for _ in 0..1 + next(4) {
                let place = next(bytes.len());
                match next(3) {
                    0 => bytes[place] = next(128) as u8,
                    1 => drop(bytes.remove(place)),
                    _ => bytes.insert(place, b"\r\n=/: 0909"[next(10)]),
                }
            }
            readable += usize::from(read_answer(&String::from_utf8_lossy(&bytes)).is_ok());
        }
        assert!((1..20_000).contains(&readable));
    }
}
