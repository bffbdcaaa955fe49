//! What is to leave, and what has happened: the two queues an owner empties after every call.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One datagram that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// The message.
    pub bytes: Bytes,
}

/// Why a call is hung up (RFC 3326).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `Q.850` or `SIP`.
    pub protocol: String,
    /// The cause of that protocol.
    pub cause: u16,
    /// For people.
    pub text: Option<String>,
}

impl Reason {
    /// A cause of Q.850.
    pub fn q850(cause: u8) -> Reason {
        Reason { protocol: "Q.850".to_owned(), cause: u16::from(cause), text: None }
    }
}

/// What a leg, or an incoming call, has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// 100: somebody has the INVITE.
    Trying,
    /// A provisional response above 100, told once per early dialog, code and description.
    Ringing {
        /// 180, 183, ...
        code: u16,
        /// The early media description.
        sdp: Option<String>,
        /// The Q.850 cause of its Reason header.
        q850: Option<u8>,
    },
    /// The first final response of a try. It is not ACKed before `acknowledge`.
    Final(FinalResponse),
    /// An INVITE that was sent again after a crash met silence to the end of its life: nobody knows whether a phone rings. It is
    /// being cancelled; `Over` follows.
    GivenUp,
    /// The caller's ACK to our 200 came (incoming calls only).
    Confirmed,
    /// The peer offers (None: asks us to offer); `answer_offer` replies.
    Offer {
        /// Its description.
        sdp: Option<String>,
    },
    /// Our `reinvite` was accepted, or the peer's ACK brought its answer to our offer.
    Reinvited {
        /// Its answer.
        sdp: Option<String>,
    },
    /// Our `reinvite` was refused; the call goes on as it was.
    ReinviteFailed {
        /// The status code; 408 for silence.
        code: u16,
    },
    /// The session timer was refreshed, by either side.
    Refreshed,
    /// A new block of CSeq numbers must be durable (`cseq_reserved`), then `reserve_done`.
    Reserve,
    /// A digit by INFO.
    Digits(char),
    /// The peer's BYE, answered.
    RemoteHangUp {
        /// Its Reason header.
        reason: Option<Reason>,
    },
    /// The last a leg says. Afterwards it sends nothing but repeats of answers.
    Over {
        /// How it ended.
        cause: OverCause,
    },
}

/// A final response to our INVITE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalResponse {
    /// The status code; 408 without bytes when nothing came within 32 seconds.
    pub code: u16,
    /// The reason phrase.
    pub phrase: String,
    /// The response as it came, for the store; or the BYE of a phone that nobody has heard answer (code 200).
    pub bytes: Bytes,
    /// The answer of a 2xx.
    pub sdp: Option<String>,
    /// The Q.850 cause of its Reason header.
    pub q850: Option<u8>,
    /// `Leg::invite` is already the next try: store both, `acknowledge`, `dial`.
    pub retry: bool,
    /// How long to wait before that, or what Retry-After asks for.
    pub retry_after: Option<Duration>,
}

impl FinalResponse {
    /// Whether the phone has answered and hung up at once, as far as anybody has heard.
    pub fn is_hang_up(&self) -> bool {
        self.bytes.starts_with(b"BYE ")
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverCause {
    /// Hung up before anything was sent.
    NeverSent,
    /// The callee refused, or an incoming call was refused by us, with this code.
    Refused {
        /// The status code.
        code: u16,
    },
    /// No answer of any kind to the INVITE.
    NoResponse,
    /// Cancelled; the code that ended the INVITE, if any came.
    Canceled {
        /// Mostly 487.
        code: Option<u16>,
    },
    /// The answer crossed our CANCEL: it was acknowledged and hung up at once.
    AnsweredLate,
    /// Our BYE was answered, or needed no answer.
    HungUp,
    /// The peer's BYE.
    RemoteHangUp,
    /// The peer knows the call no more (481, 408), or is silent.
    PeerGone,
    /// The session timer ran out.
    SessionExpired,
}

/// The two queues.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub transmits: VecDeque<Transmit>,
    pub events: VecDeque<LegEvent>,
}

impl Outbox {
    pub fn send(&mut self, transmit: Transmit) {
        self.transmits.push_back(transmit);
    }

    pub fn tell(&mut self, event: LegEvent) {
        self.events.push_back(event);
    }
}
