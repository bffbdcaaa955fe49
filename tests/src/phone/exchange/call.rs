//! One call at a phone: what it was, what it is, and the report of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock;
use crate::phone::manner::Manner;
use crate::phone::media::Audio;
use crate::phone::wire::{self, Sdp, Sip};

/// Who ended an answered call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Who {
    /// The gateway sent BYE.
    Gateway,
    /// The phone did.
    Phone,
    /// The phone gave up: nobody acknowledged its 200.
    Timeout,
}

/// One INVITE transaction and what came of it. Moments are microseconds of [`crate::clock`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Who was called.
    pub number: String,
    /// Call-ID.
    pub call_id: String,
    /// Branch of the INVITE.
    pub branch: String,
    /// To-tag of this phone.
    pub tag: String,
    /// Where the INVITE came from.
    pub gateway: String,
    /// The number it showed (From).
    pub from: String,
    /// When the INVITE came first.
    pub invite_us: u64,
    /// How often it came again.
    pub repeats: u32,
    /// When the first 180 or 183 left.
    pub ringing_us: Option<u64>,
    /// When the 200 left.
    pub answered_us: Option<u64>,
    /// When its ACK came.
    pub acked_us: Option<u64>,
    /// The refusal sent, 487 after a CANCEL included.
    pub refused: Option<u16>,
    /// When a CANCEL came.
    pub canceled_us: Option<u64>,
    /// When the answered call ended.
    pub ended_us: Option<u64>,
    /// Who ended it.
    pub ended_by: Option<Who>,
    /// When the phone's own BYE was answered.
    pub bye_answered_us: Option<u64>,
    /// The Reason header of the gateway's BYE or CANCEL.
    pub reason: Option<String>,
    /// Answered 401 or 407 for want of credentials.
    pub challenged: bool,
    /// A further phone behind a fork.
    pub fork: bool,
    /// re-INVITEs and UPDATEs that came.
    pub refreshes: u32,
    /// The status that answered the phone's own re-INVITE.
    pub reinvite_status: Option<u16>,
    /// What it heard.
    pub audio: Audio,
}

/// A call as its phone sees it.
pub(super) struct Call {
    pub report: Report,
    pub invite: Sip,
    pub peer: SocketAddr,
    pub manner: Manner,
    pub last_response: Option<String>,
    pub unacked: HashMap<u32, (String, Duration, Instant)>,
    pub done_with: bool,
    pub forgotten: bool,
    pub local_cseq: u32,
    pub remote_cseq: u32,
    pub target: String,
    pub routes: Vec<String>,
    pub media: SocketAddr,
    pub offer: Option<Sdp>,
    pub sdp_version: u32,
}

impl Call {
    /// A call that begins with this INVITE.
    pub fn new(invite: Sip, peer: SocketAddr, manner: Manner, media: SocketAddr) -> Call {
        let report = Report {
            number: invite.number(),
            call_id: invite.call_id().to_owned(),
            branch: invite.branch().to_owned(),
            tag: format!("{:08x}", rand::random::<u32>()),
            gateway: peer.to_string(),
            from: invite.header("From").map(wire::uri_in).unwrap_or_default(),
            invite_us: clock::now_us(),
            repeats: 0,
            ringing_us: None,
            answered_us: None,
            acked_us: None,
            refused: None,
            canceled_us: None,
            ended_us: None,
            ended_by: None,
            bye_answered_us: None,
            reason: None,
            challenged: false,
            fork: false,
            refreshes: 0,
            reinvite_status: None,
            audio: Audio::default(),
        };
        Call {
            report,
            peer,
            manner,
            last_response: None,
            unacked: HashMap::new(),
            done_with: false,
            forgotten: false,
            local_cseq: 100,
            remote_cseq: invite.cseq().0,
            target: invite.contact().unwrap_or_default(),
            routes: invite.all("Record-Route").flat_map(|v| v.split(',')).map(|v| v.trim().to_owned()).collect(),
            media,
            offer: invite.sdp(),
            sdp_version: 1,
            invite,
        }
    }
}
