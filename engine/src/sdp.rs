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
