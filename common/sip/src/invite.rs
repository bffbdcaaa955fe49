//! The INVITE of an outgoing call: what it is made of, and the very bytes that are stored before they are sent.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::Credentials;
use crate::frame::{self, Message, Method, Name, Reading};
use crate::identity::Identity;
use crate::talk::session::SessionTimer;
use crate::write::{ALLOW, Writer, contact_of, name_addr};

/// Whom to call, and by which trunk.
#[derive(Clone, Debug)]
pub struct Target {
    /// The Request-URI, `sip:+4420...@trunk`.
    pub request_uri: String,
    /// The trunk's address, where the INVITE goes.
    pub peer: SocketAddr,
    /// A preloaded Route URI, if the trunk wants one.
    pub route: Option<String>,
    /// Used only for requests sent to `peer`, and only in answer to challenges that came from there.
    pub credentials: Option<Credentials>,
}

/// Whom the callee sees. Whatever stands here, it cannot leave its place in the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The From URI.
    pub from_uri: String,
    /// The display name.
    pub display: Option<String>,
    /// Further headers, `P-Asserted-Identity` and the like. Those the core writes itself are left out.
    pub extra_headers: Vec<(String, String)>,
}

/// Everything a new leg needs.
#[derive(Clone, Debug)]
pub struct LegSetup {
    /// Its names.
    pub identity: Identity,
    /// Whom to call.
    pub target: Target,
    /// Who calls.
    pub caller: Caller,
    /// Our address in Via and Contact.
    pub local: SocketAddr,
    /// Our offer.
    pub sdp: String,
    /// Our no-answer time, written as Expires.
    pub expires: Duration,
    /// The session timer we ask for, 90 to 300 seconds; 180 is a good wish.
    pub session: Duration,
}

/// One try of an INVITE. Stored before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The Call-ID.
    pub call_id: String,
    /// The From-tag.
    pub local_tag: String,
    /// The Via branch.
    pub branch: String,
    /// The CSeq number.
    pub cseq: u32,
    /// The message.
    #[serde(with = "as_text")]
    pub bytes: Bytes,
    /// Our address.
    pub local: SocketAddr,
    /// Where it goes.
    pub peer: SocketAddr,
    /// 1 for the first try; each answer to a 401, 407, 422 or 491 is one more.
    pub try_number: u32,
    /// The seconds of its Expires header.
    pub expires_s: u32,
}

impl Invite {
    /// An INVITE as it was stored: its bytes and the two addresses. None when the bytes are not an INVITE of ours.
    pub fn read(bytes: Bytes, local: SocketAddr, peer: SocketAddr, try_number: u32) -> Option<Invite> {
        let Reading::Message(message) = frame::read(&bytes) else { return None };
        let expires_s = message.number(Name::Expires).unwrap_or(0);
        Some(Invite {
            call_id: message.call_id().to_owned(),
            local_tag: message.from_tag().to_owned(),
            branch: message.branch().to_owned(),
            cseq: message.cseq(),
            bytes,
            local,
            peer,
            try_number,
            expires_s,
        })
    }
}

/// INVITEs of ours are UTF-8; the store keeps them readable.
mod as_text {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(std::str::from_utf8(bytes).map_err(serde::ser::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        String::deserialize(from).map(Bytes::from)
    }
}

/// Headers the core writes itself.
const OWN_HEADERS: [&str; 17] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Content-Length",
    "Content-Type",
    "Max-Forwards",
    "Route",
    "Record-Route",
    "Supported",
    "Session-Expires",
    "Min-SE",
    "Expires",
    "Authorization",
    "Proxy-Authorization",
];

impl LegSetup {
    /// Our From value, tag included.
    pub(crate) fn our_value(&self) -> String {
        format!("{};tag={}", name_addr(self.caller.display.as_deref(), &self.caller.from_uri), self.identity.local_tag)
    }

    pub(crate) fn their_value(&self) -> String {
        name_addr(None, &self.target.request_uri)
    }

    /// Writes one try.
    pub(crate) fn write(&self, names: TryNames<'_>, session: &SessionTimer, auth: &[(&'static str, String)]) -> Invite {
        let expires_s = u32::try_from(self.expires.as_secs()).unwrap_or(u32::MAX).max(1);
        let mut writer = self
            .begin(Method::Invite, names.branch, names.cseq, &self.their_value())
            .header("Contact", &contact_of(self.local))
            .header("Allow", ALLOW)
            .header("Supported", "timer")
            .shown("Session-Expires", session.interval_s)
            .shown("Min-SE", session.min_se)
            .shown("Expires", expires_s);
        for (name, value) in auth {
            writer = writer.header(name, value);
        }
        for (name, value) in &self.caller.extra_headers {
            if !is_own_header(name) {
                writer = writer.header(name, value);
            }
        }
        Invite {
            call_id: self.identity.call_id.clone(),
            local_tag: self.identity.local_tag.clone(),
            branch: names.branch.to_owned(),
            cseq: names.cseq,
            bytes: writer.finish(Some(&self.sdp)),
            local: self.local,
            peer: self.target.peer,
            try_number: names.try_number,
            expires_s,
        }
    }

    /// Begins the INVITE or what belongs to its transaction: CANCEL, and the ACK of a refusal.
    pub(crate) fn begin(&self, method: Method, branch: &str, cseq: u32, to: &str) -> Writer {
        let mut writer = Writer::request(method.as_str(), &self.target.request_uri)
            .via(self.local, branch)
            .shown("Max-Forwards", 70);
        if let Some(route) = &self.target.route {
            writer = writer.header("Route", &name_addr(None, route));
        }
        writer
            .header("From", &self.our_value())
            .header("To", to)
            .header("Call-ID", &self.identity.call_id)
            .shown("CSeq", format_args!("{cseq} {}", method.as_str()))
    }

    /// What a stored INVITE was made of. None when the bytes are not an INVITE.
    pub(crate) fn of_stored(invite: &Invite) -> Option<LegSetup> {
        let Reading::Message(message) = frame::read(&invite.bytes) else { return None };
        let from = message.from()?;
        Some(LegSetup {
            identity: Identity {
                call_id: invite.call_id.clone(),
                local_tag: invite.local_tag.clone(),
                branch: invite.branch.clone(),
                cseq: invite.cseq,
            },
            target: Target {
                request_uri: message.request_uri().to_owned(),
                peer: invite.peer,
                route: message.get(Name::Route).and_then(crate::uri::NameAddr::parse).map(|route| route.uri.to_owned()),
                credentials: None,
            },
            caller: Caller {
                from_uri: from.uri.to_owned(),
                display: (!from.display.is_empty()).then(|| from.display_text()),
                extra_headers: extra_headers(&message),
            },
            local: invite.local,
            sdp: message.sdp().unwrap_or_default().to_owned(),
            expires: Duration::from_secs(u64::from(invite.expires_s)),
            session: Duration::from_secs(u64::from(message.number(Name::SessionExpires).unwrap_or(180))),
        })
    }
}

fn extra_headers(message: &Message) -> Vec<(String, String)> {
    let others = message.headers().filter(|(name, _)| !is_own_header(name));
    others.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn is_own_header(name: &str) -> bool {
    let own = Name::of(name);
    own == Name::Allow
        || OWN_HEADERS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name) || own != Name::Other && own == Name::of(known))
}

/// What differs from try to try.
#[derive(Clone, Copy)]
pub(crate) struct TryNames<'a> {
    pub branch: &'a str,
    pub cseq: u32,
    pub try_number: u32,
}
