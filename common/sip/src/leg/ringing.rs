//! Early dialogs: what each phone that rings has told about itself (RFC 3261 12.1.2, 13.2.2.1).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Leg;
use crate::dialog::{CSEQ_BLOCK, Dialog, routes_of_response, target_of};
use crate::frame::Message;
use crate::transmit::LegEvent;

/// More phones than these may ring, but we do not listen to them.
const MOST: usize = 16;

#[derive(Debug)]
pub(super) struct EarlyDialog {
    pub to_tag: String,
    contact: Option<String>,
    routes: Vec<String>,
    last: (u16, Option<String>),
}

impl Leg {
    /// A provisional response above 100: told when it brings news.
    pub(super) fn ringing(&mut self, response: &Message) {
        let to_tag = response.to_tag();
        let last = (response.code(), response.sdp().map(str::to_owned));
        let contact = target_of(response).map(str::to_owned);
        match self.early.iter().position(|early| early.to_tag == to_tag) {
            Some(at) if self.early[at].last == last => return,
            Some(at) => {
                let early = &mut self.early[at];
                early.last.clone_from(&last);
                if contact.is_some() {
                    (early.contact, early.routes) = (contact, routes_of_response(response));
                }
            }
            None if self.early.len() == MOST => return,
            None => {
                let routes = routes_of_response(response);
                self.early.push(EarlyDialog { to_tag: to_tag.to_owned(), contact, routes, last: last.clone() });
            }
        }
        let (code, sdp) = last;
        self.out.tell(LegEvent::Ringing { code, sdp, q850: response.q850() });
    }

    /// The dialog a 2xx makes. One without Contact is acknowledged all the same: by what it told while ringing, or by the way the
    /// INVITE went.
    pub(super) fn dialog_of(&self, response: &Message) -> Dialog {
        let remote_tag = response.to_tag();
        let early = self.early.iter().find(|early| early.to_tag == remote_tag);
        let contact = target_of(response).map(str::to_owned);
        let mut routes = routes_of_response(response);
        if routes.is_empty() && contact.is_none() {
            routes = early.map(|early| early.routes.clone()).unwrap_or_default();
        }
        Dialog {
            call_id: self.invite.call_id.clone(),
            local: self.setup.our_value(),
            remote: response.get(crate::frame::Name::To).unwrap_or_default().to_owned(),
            local_tag: self.invite.local_tag.clone(),
            remote_tag: remote_tag.to_owned(),
            target: contact.or_else(|| early?.contact.clone()).unwrap_or_else(|| self.setup.target.request_uri.clone()),
            former_target: String::new(),
            routes,
            peer: self.invite.peer,
            local_addr: self.setup.local,
            invite_cseq: self.invite.cseq,
            cseq: self.invite.cseq,
            reserved: self.invite.cseq + CSEQ_BLOCK - 1,
            remote_cseq: 0,
            local_sdp: self.setup.sdp.clone(),
            remote_sdp: response.sdp().unwrap_or_default().to_owned(),
        }
    }
}
