//! A request that belongs to no call we know: what its sender is told, statelessly.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;

use crate::frame::{Message, Method, Name};
use crate::talk::serve::answer_plain;
use crate::transmit::Transmit;
use crate::write::Reply;

/// The extensions we can be required to understand.
const SUPPORTED: [&str; 1] = ["timer"];

/// The answer, with this To-tag. None for an ACK, which has none. An INVITE outside a dialog is told 480: whoever takes calls
/// has taken it before.
pub fn answer(request: &Message, from: SocketAddr, tag: &str) -> Option<Transmit> {
    let within_dialog = !request.to_tag().is_empty();
    let reply = match request.method() {
        Method::Ack => return None,
        _ if within_dialog => Reply::to(request, 481),
        Method::Invite => Reply::to(request, 480),
        Method::Info => Reply::to(request, 481),
        Method::Options => refuse_extensions(request).unwrap_or_else(|| answer_plain(request)),
        _ => answer_plain(request),
    };
    Some(reply.tag(tag).send(from))
}

/// The refusal of a request that requires what we do not know (RFC 3261 8.2.2.3).
pub(crate) fn refuse_extensions(request: &Message) -> Option<Reply<'_>> {
    let known = |tag: &str| SUPPORTED.iter().any(|known| known.eq_ignore_ascii_case(tag));
    let unknown: Vec<&str> = request.list(Name::Require).filter(|tag| !known(tag)).collect();
    (!unknown.is_empty()).then(|| Reply::to(request, 420).header("Unsupported", unknown.join(", ")))
}
