//! What of a leg outlives its process.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Leg, Stage};
use crate::dialog::Dialog;
use crate::digest::Auth;
use crate::frame::{self, Method, Reading};
use crate::identity::Identity;
use crate::invite::{Caller, Invite, LegSetup, Target};
use crate::moment::Moment;
use crate::talk::Talk;
use crate::talk::session::SessionTimer;

/// The version that is written. It is raised when a field comes whose meaning a reader must not miss.
const VERSION: u8 = 1;

/// A leg as it is stored: the answered dialog, or nothing more than its INVITE, which is stored by itself. Passwords are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegState {
    version: u8,
    dialog: Option<Dialog>,
    session: SessionTimer,
    over: bool,
}

impl LegState {
    /// A state as it was stored.
    ///
    /// # Errors
    /// Why it cannot be read; a later version than ours is not read either.
    pub fn read(text: &str) -> Result<LegState, String> {
        #[derive(Deserialize)]
        struct Written {
            version: u8,
        }
        let Written { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version > VERSION {
            return Err(format!("it is of version {version}, and {VERSION} is known here"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The dialog that a stored INVITE and the 2xx to it make, for whoever has nothing else of it. No CSeq up to `cseq_hi` is used
    /// again. None when the answer is no 2xx to this INVITE.
    pub fn of_answer(invite: &Invite, answer: &[u8], cseq_hi: u32) -> Option<LegState> {
        let Reading::Message(answer) = frame::read(answer) else { return None };
        let is_accepted = !answer.is_request() && (200..300).contains(&answer.code());
        if !is_accepted || answer.method() != Method::Invite || answer.call_id() != invite.call_id {
            return None;
        }
        let leg = Leg::of_stored(invite);
        let mut dialog = leg.dialog_of(&answer);
        dialog.reserved = dialog.reserved.max(cseq_hi);
        Some(LegState { version: VERSION, dialog: Some(dialog), session: leg.session, over: false })
    }

    /// The upper end of the CSeq block this state reserves; 0 before the answer.
    pub fn cseq_reserved(&self) -> u32 {
        self.dialog.as_ref().map_or(0, |dialog| dialog.reserved)
    }

    /// The Call-ID of an answered call.
    pub fn call_id(&self) -> Option<&str> {
        self.dialog.as_ref().map(|dialog| dialog.call_id.as_str())
    }

    /// The addresses that may speak in an answered call.
    pub fn peers(&self) -> Vec<std::net::IpAddr> {
        self.dialog.as_ref().map(Dialog::peers).unwrap_or_default()
    }

    /// The two descriptions an answered call agreed upon: ours and theirs.
    pub fn descriptions(&self) -> Option<(&str, &str)> {
        self.dialog.as_ref().map(|dialog| (dialog.local_sdp.as_str(), dialog.remote_sdp.as_str()))
    }
}

impl Leg {
    /// What is to be stored.
    pub fn snapshot(&self) -> LegState {
        let session = self.talk.as_ref().map_or(&self.session, |talk| &talk.session);
        LegState {
            version: VERSION,
            dialog: self.talk.as_ref().map(|talk| talk.dialog.clone()),
            session: session.clone(),
            over: self.over,
        }
    }

    /// The same process again, before any answer: the INVITE as it was stored, to be taken up by `resume`.
    pub fn stored(invite: &Invite) -> Leg {
        Leg::of_stored(invite)
    }

    /// The same process again, at the same address. An unanswered leg is `Written`: `resume` it or drop it for `abandon`. An
    /// answered one sends its ACK (again), tells `Reserve`, and asks nothing before `reserve_done`.
    pub fn restore(state: LegState, invite: Invite, now: Moment) -> Leg {
        let mut leg = Leg::of_stored(&invite);
        leg.session = state.session.clone();
        leg.take_over(state, now);
        leg
    }

    /// Another engine, at another address, goes on with an answered call: `Reserve` comes first, then `reinvite` with the new
    /// contact. A state without a dialog is over at once.
    pub fn adopt(mut state: LegState, local: SocketAddr, now: Moment) -> Leg {
        if let Some(dialog) = &mut state.dialog {
            dialog.local_addr = local;
        }
        let dialog = state.dialog.as_ref();
        let peer = dialog.map_or(local, |dialog| dialog.peer);
        let setup = LegSetup {
            identity: Identity {
                call_id: dialog.map(|dialog| dialog.call_id.clone()).unwrap_or_default(),
                local_tag: dialog.map(|dialog| dialog.local_tag.clone()).unwrap_or_default(),
                branch: crate::identity::draw_branch(),
                cseq: dialog.map_or(1, |dialog| dialog.invite_cseq),
            },
            target: Target {
                request_uri: dialog.map(|dialog| dialog.target.clone()).unwrap_or_default(),
                peer,
                route: None,
                credentials: None,
            },
            caller: Caller::default(),
            local,
            sdp: dialog.map(|dialog| dialog.local_sdp.clone()).unwrap_or_default(),
            expires: Duration::from_secs(60),
            session: Duration::from_secs(u64::from(state.session.interval_s)),
        };
        let mut leg = Leg::new(setup);
        leg.take_over(state, now);
        if leg.talk.is_none() {
            leg.hang_up(None, now);
        }
        leg
    }

    fn take_over(&mut self, state: LegState, now: Moment) {
        let Some(dialog) = state.dialog.filter(|_| !state.over) else { return };
        let auth = Auth::for_trunk(dialog.peer, None);
        let mut talk = Talk::resume(dialog, state.session, auth, true, now, &mut self.out);
        talk.acknowledge(&mut self.out);
        self.talk = Some(talk);
        self.stage = Stage::Answered;
    }

    /// A leg made from a stored INVITE. One whose bytes cannot be read knows at least its names and addresses.
    pub(super) fn of_stored(invite: &Invite) -> Leg {
        let setup = LegSetup::of_stored(invite).unwrap_or_else(|| LegSetup {
            identity: Identity {
                call_id: invite.call_id.clone(),
                local_tag: invite.local_tag.clone(),
                branch: invite.branch.clone(),
                cseq: invite.cseq,
            },
            target: Target {
                request_uri: format!("sip:{}", invite.peer),
                peer: invite.peer,
                route: None,
                credentials: None,
            },
            caller: Caller { from_uri: format!("sip:{}", invite.local), display: None, extra_headers: Vec::new() },
            local: invite.local,
            sdp: String::new(),
            expires: Duration::from_secs(u64::from(invite.expires_s)),
            session: Duration::from_secs(180),
        });
        let session = SessionTimer::wish(u32::try_from(setup.session.as_secs()).unwrap_or(u32::MAX));
        Leg::of(setup, invite.clone(), session)
    }
}
