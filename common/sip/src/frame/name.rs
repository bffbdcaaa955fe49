//! Methods and header names: the ones we act upon have a value of their own, all others keep their letters.

/// A request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// INVITE
    Invite,
    /// ACK
    Ack,
    /// BYE
    Bye,
    /// CANCEL
    Cancel,
    /// OPTIONS
    Options,
    /// INFO
    Info,
    /// UPDATE
    Update,
    /// PRACK
    Prack,
    /// NOTIFY
    Notify,
    /// REFER
    Refer,
    /// SUBSCRIBE
    Subscribe,
    /// MESSAGE
    Message,
    /// REGISTER
    Register,
    /// PUBLISH
    Publish,
    /// Any other token; `Message::method_text` has the letters.
    Other,
}

const METHODS: [(Method, &str); 14] = [
    (Method::Invite, "INVITE"),
    (Method::Ack, "ACK"),
    (Method::Bye, "BYE"),
    (Method::Cancel, "CANCEL"),
    (Method::Options, "OPTIONS"),
    (Method::Info, "INFO"),
    (Method::Update, "UPDATE"),
    (Method::Prack, "PRACK"),
    (Method::Notify, "NOTIFY"),
    (Method::Refer, "REFER"),
    (Method::Subscribe, "SUBSCRIBE"),
    (Method::Message, "MESSAGE"),
    (Method::Register, "REGISTER"),
    (Method::Publish, "PUBLISH"),
];

impl Method {
    /// Methods are case-sensitive (RFC 3261 7.1).
    pub fn of(text: &str) -> Method {
        METHODS.iter().find(|(_, name)| *name == text).map_or(Method::Other, |(method, _)| *method)
    }

    /// The letters of a method we know; empty for `Other`.
    pub fn as_str(self) -> &'static str {
        METHODS.iter().find(|(method, _)| *method == self).map_or("", |(_, name)| name)
    }
}

/// A header name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the variants are the names
pub enum Name {
    Allow,
    Authorization,
    CallId,
    Contact,
    ContentLength,
    ContentType,
    CSeq,
    Expires,
    From,
    MaxForwards,
    MinSe,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyRequire,
    Reason,
    RecordRoute,
    Replaces,
    Require,
    RetryAfter,
    Route,
    SessionExpires,
    Supported,
    To,
    Via,
    WwwAuthenticate,
    Other,
}

/// Value, full name, compact form.
const NAMES: [(Name, &str, Option<u8>); 25] = [
    (Name::Via, "Via", Some(b'v')),
    (Name::From, "From", Some(b'f')),
    (Name::To, "To", Some(b't')),
    (Name::CallId, "Call-ID", Some(b'i')),
    (Name::CSeq, "CSeq", None),
    (Name::Contact, "Contact", Some(b'm')),
    (Name::ContentLength, "Content-Length", Some(b'l')),
    (Name::ContentType, "Content-Type", Some(b'c')),
    (Name::MaxForwards, "Max-Forwards", None),
    (Name::RecordRoute, "Record-Route", None),
    (Name::Route, "Route", None),
    (Name::Supported, "Supported", Some(b'k')),
    (Name::Allow, "Allow", None),
    (Name::Require, "Require", None),
    (Name::ProxyRequire, "Proxy-Require", None),
    (Name::SessionExpires, "Session-Expires", Some(b'x')),
    (Name::MinSe, "Min-SE", None),
    (Name::Expires, "Expires", None),
    (Name::Reason, "Reason", None),
    (Name::RetryAfter, "Retry-After", None),
    (Name::WwwAuthenticate, "WWW-Authenticate", None),
    (Name::ProxyAuthenticate, "Proxy-Authenticate", None),
    (Name::Authorization, "Authorization", None),
    (Name::ProxyAuthorization, "Proxy-Authorization", None),
    (Name::Replaces, "Replaces", None),
];

/// Compact forms of headers that have no value of their own here.
const OTHER_COMPACT: [(u8, &str); 11] = [
    (b'a', "Accept-Contact"),
    (b'b', "Referred-By"),
    (b'd', "Request-Disposition"),
    (b'e', "Content-Encoding"),
    (b'j', "Reject-Contact"),
    (b'n', "Identity-Info"),
    (b'o', "Event"),
    (b'r', "Refer-To"),
    (b's', "Subject"),
    (b'u', "Allow-Events"),
    (b'y', "Identity"),
];

impl Name {
    /// The value of a name, full or compact, in any case.
    pub fn of(text: &str) -> Name {
        let found = match text.as_bytes() {
            [letter] => NAMES.iter().find(|(_, _, compact)| *compact == Some(letter.to_ascii_lowercase())),
            _ => NAMES.iter().find(|(_, name, _)| name.len() == text.len() && name.eq_ignore_ascii_case(text)),
        };
        found.map_or(Name::Other, |(name, _, _)| *name)
    }

    /// Whether a message may carry it once only (of those whose doubling is dangerous).
    pub(super) fn is_single(self) -> bool {
        matches!(self, Name::From | Name::To | Name::CallId | Name::CSeq | Name::MaxForwards | Name::ContentLength)
    }
}

/// Whether a header as written (perhaps compact) is the one asked for.
pub(super) fn same_name(written: &str, asked: &str) -> bool {
    written.eq_ignore_ascii_case(long_form(asked)) || long_form(written).eq_ignore_ascii_case(long_form(asked))
}

fn long_form(name: &str) -> &str {
    let [letter] = name.as_bytes() else { return name };
    OTHER_COMPACT.iter().find(|(compact, _)| *compact == letter.to_ascii_lowercase()).map_or(name, |(_, long)| long)
}
