//! The tables: what each message of RFC 4475 and RFC 5118 is about, and what we do with it.

use Reaction::{Accept, Drop, Refuse};

/// What comes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It does what it asks for: an INVITE rings, OPTIONS is answered 200, a response reaches its call.
    Accept,
    /// It is a request and is answered with this code.
    Refuse(u16),
    /// Nothing is sent and no call hears of it.
    Drop,
}

/// One message of RFC 4475 or RFC 5118.
pub struct Case {
    /// Its name in the RFC, and of its file here without `.sip`.
    pub name: &'static str,
    /// Its section there.
    pub section: &'static str,
    /// What is special about it.
    pub special: &'static str,
    /// What we do.
    pub reaction: Reaction,
    /// Why: section of RFC 3261 unless another is named.
    pub because: &'static str,
}

const fn case(
    name: &'static str,
    section: &'static str,
    special: &'static str,
    reaction: Reaction,
    because: &'static str,
) -> Case {
    Case { name, section, special, reaction, because }
}

/// Every message of RFC 4475 (SIP torture test messages) in its order, and one more that travels with them.
#[rustfmt::skip]
pub const RFC4475: &[Case] = &[
    case("wsinv", "3.1.1.1", "white space and folding wherever the grammar allows them, mixed-case and compact names, a To tag", Refuse(481), "12.2.2: read in full, but its To tag names a dialog that we do not have"),
    case("intmeth", "3.1.1.2", "every odd character that is still legal: method, user, header name, quoted control characters", Refuse(501), "8.2.1, 21.5.2: well formed, a method we do not know"),
    case("esc01", "3.1.1.3", "percent escapes in the user part and in parameter names that must not change what the URI means", Accept, "19.1.2"),
    case("escnull", "3.1.1.4", "an escaped NUL in the user part", Refuse(405), "8.2.1: read past the NUL; we are no registrar"),
    case("esc02", "3.1.1.5", "percent signs where they are no escapes: method, header name, display name", Refuse(501), "7.1: a method is a token, not the one its escapes would spell"),
    case("lwsdisp", "3.1.1.6", "no space between display name and <", Accept, "25.1: name-addr"),
    case("longreq", "3.1.1.7", "very long values, 32 Via lines, white space before colons", Accept, "7.3: no length is too long that fits the datagram"),
    case("dblreq", "3.1.1.8", "a second request in the same datagram behind Content-Length: 0", Refuse(405), "18.3: octets behind the body are thrown away; the first is a REGISTER, the second is never seen"),
    case("semiuri", "3.1.1.9", "semicolon and escaped @ in the user part", Accept, "19.1.1: they belong to the user, not to parameters"),
    case("transports", "3.1.1.10", "five transports in the Via lines, one of them unknown", Accept, "18.2.2: only the topmost Via matters to us"),
    case("mpart01", "3.1.1.11", "a MESSAGE with a binary multipart body, NUL and stray CR LF inside", Refuse(405), "8.2.1, 7.4: the body is not ours to read; MESSAGE is not offered"),
    case("unreason", "3.1.1.12", "a reason phrase that is not ASCII", Accept, "7.2: the phrase is for people"),
    case("noreason", "3.1.1.13", "an empty reason phrase", Accept, "25.1: Reason-Phrase may be empty"),
    case("badinv01", "3.1.2.1", "separators with nothing between them in Via and Contact", Refuse(400), "21.4.1: the topmost Via is not one"),
    case("clerr", "3.1.2.2", "Content-Length larger than the datagram", Refuse(400), "18.3"),
    case("ncl", "3.1.2.3", "a negative Content-Length", Refuse(400), "20.14, 21.4.1"),
    case("scalar02", "3.1.2.4", "numbers beyond their range in a request: CSeq, Max-Forwards, Expires", Refuse(400), "8.1.1.5: CSeq is below 2^31"),
    case("scalarlg", "3.1.2.5", "numbers beyond their range in a response: CSeq, Retry-After, Warning", Drop, "8.1.1.5, 17.1.3: no request of ours has such a CSeq"),
    case("quotbal", "3.1.2.6", "a display name whose quotation mark never closes", Refuse(400), "21.4.1, 25.1: quoted-string"),
    case("ltgtruri", "3.1.2.7", "the Request-URI in < >", Refuse(400), "7.1, 21.4.1"),
    case("lwsruri", "3.1.2.8", "a space inside the Request-URI", Refuse(400), "7.1: no white space; guessing would change where it goes"),
    case("lwsstart", "3.1.2.9", "several spaces between the parts of the request line", Refuse(400), "7.1: a single SP"),
    case("trws", "3.1.2.10", "spaces behind the request line", Refuse(400), "7.1: CRLF follows the version"),
    case("escruri", "3.1.2.11", "headers escaped into the Request-URI", Refuse(400), "19.1.1, table 1: headers are not allowed there"),
    case("baddate", "3.1.2.12", "a Date in another zone than GMT", Accept, "20.17: not needed, so the line counts as absent (RFC 4475 3.1.2.12 allows it)"),
    case("regbadct", "3.1.2.13", "a Contact with ? but without < >", Refuse(405), "8.2.1: we are no registrar and do not read it"),
    case("badaspec", "3.1.2.14", "spaces between < and the URI and before >", Refuse(400), "25.1: name-addr, 21.4.1"),
    case("baddn", "3.1.2.15", "an unquoted display name with a comma", Refuse(400), "25.1: display-name, 21.4.1"),
    case("badvers", "3.1.2.16", "a version of SIP that does not exist", Refuse(505), "21.5.6"),
    case("mismatch01", "3.1.2.17", "CSeq names another known method than the request line", Refuse(400), "8.1.1.5"),
    case("mismatch02", "3.1.2.18", "an unknown method, CSeq says INVITE", Refuse(501), "8.2.1, 21.5.2: a method we do not know (RFC 4475 allows 400 and 501)"),
    case("bigcode", "3.1.2.19", "a status code beyond 699", Drop, "7.2, 17.1.3: three digits"),
    case("badbranch", "3.2.1", "the branch is the magic cookie and nothing else", Refuse(400), "8.1.1.7, 17.2.3: it cannot tell one transaction from another (RFC 4475 allows it)"),
    case("insuf", "3.3.1", "no To, From or Call-ID", Refuse(400), "8.1.1, 21.4.1: answered with what there is"),
    case("unkscm", "3.3.2", "a Request-URI of a scheme nobody knows", Refuse(416), "8.2.2.1"),
    case("novelsc", "3.3.3", "a Request-URI of a known scheme that is not SIP's", Refuse(416), "8.2.2.1"),
    case("unksm2", "3.3.4", "schemes in To, From and Contact that are not SIP's", Refuse(405), "8.2.1: we are no registrar and do not route by them"),
    case("bext01", "3.3.5", "Require and Proxy-Require of extensions nobody supports", Refuse(420), "8.2.2.3: Unsupported lists those of Require"),
    case("invut", "3.3.6", "a body of an unknown type", Refuse(415), "8.2.3: Accept lists application/sdp"),
    case("regaut01", "3.3.7", "an unknown scheme in Authorization", Refuse(405), "8.2.1: we are no registrar"),
    case("multi01", "3.3.8", "To, From, Call-ID, CSeq, Max-Forwards twice", Refuse(400), "7.3.1, 21.4.1"),
    case("mcl01", "3.3.9", "two Content-Length with different values", Refuse(400), "20.14, 21.4.1"),
    case("bcast", "3.3.10", "a response with a second Via, a broadcast address", Drop, "8.1.3.3: a response to us has one Via"),
    case("zeromf", "3.3.11", "Max-Forwards: 0", Accept, "8.2, 16.3: it has arrived; only a proxy would mind"),
    case("cparam01", "3.3.12", "an unknown parameter of the Contact header", Refuse(405), "8.2.1: we are no registrar"),
    case("cparam02", "3.3.13", "an unknown parameter of the Contact's URI", Refuse(405), "8.2.1: we are no registrar"),
    case("regescrt", "3.3.14", "a Route escaped into the Contact's URI", Refuse(405), "8.2.1: we are no registrar"),
    case("sdp01", "3.3.15", "Accept does not name application/sdp", Refuse(406), "20.1, 21.4.7"),
    case("inv2543", "3.4.1", "an INVITE of RFC 2543: no branch, no From tag, no Contact, no Content-Length, no Max-Forwards", Accept, "8.1.1, 17.2.3, 18.3: what the old one left out has a default"),
    case("test", "-", "no version, no Via, no CSeq, addresses without a scheme, a line without a colon", Drop, "7.1, 18.2.2: nothing says that it is SIP or where an answer would go"),
];

/// Every message of RFC 5118 (SIP torture test messages for IPv6) in its order.
#[rustfmt::skip]
pub const RFC5118: &[Case] = &[
    case("ipv6-good", "4.1", "addresses in brackets wherever they may stand", Refuse(405), "8.2.1: well formed; we are no registrar"),
    case("ipv6-bad", "4.2", "a Request-URI without the brackets", Refuse(400), "19.1.1, 25.1: IPv6reference"),
    case("port-ambiguous", "4.3", "what was meant as a port stands inside the brackets", Refuse(405), "25.1: it is a part of the address; we are no registrar"),
    case("port-unambiguous", "4.4", "the port behind the brackets", Refuse(405), "8.2.1: well formed; we are no registrar"),
    case("via-received-param-with-delim", "4.5", "brackets in received, which its grammar does not ask for", Refuse(481), "12.2.2: read; no such dialog"),
    case("via-received-param-no-delim", "4.5", "received as its grammar has it", Accept, "18.2.1"),
    case("ipv6-in-sdp", "4.6", "IPv6 in the offer", Accept, "RFC 4566 5.7: the offer is the media's to judge"),
    case("mult-ip-in-header", "4.7", "both families in the Via lines", Refuse(481), "18.2.2: only the topmost matters; no such dialog"),
    case("mult-ip-in-sdp", "4.8", "both families in the offer", Accept, "RFC 4566 5.7: the offer is the media's to judge"),
    case("ipv4-mapped-ipv6", "4.9", "IPv4-mapped addresses in Via, Contact and offer", Accept, "RFC 4291 2.5.5.2"),
    case("ipv6-bug-abnf-3-colons", "4.10", "three colons in a row, which the grammar of RFC 3261 let pass", Refuse(400), "RFC 5118 4.10: RFC 3986 has the right grammar"),
    case("ipv6-correct-abnf-2-colons", "4.10", "the same address written rightly", Accept, "RFC 3986 3.2.2"),
];
