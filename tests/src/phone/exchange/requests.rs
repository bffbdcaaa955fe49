//! What a phone asks by itself: BYE, re-INVITE, their repeats and their answers.

use std::time::Instant;

use super::{Due, Exchange, GIVE_UP, Pending, T1, Who};
use crate::clock;
use crate::phone::wire::{self, Sip};

impl Exchange {
    pub(super) fn on_response(&mut self, response: &Sip) {
        let (branch, code) = (response.branch().to_owned(), response.status().unwrap_or(0));
        let Some(pending) = self.pending.get_mut(&branch) else {
            return;
        };
        if code < 200 {
            pending.provisional = true;
            return;
        }
        let (id, method, to) = (pending.call, pending.method, pending.to);
        self.pending.remove(&branch);
        if method == "BYE" {
            self.calls[id].report.bye_answered_us = Some(clock::now_us());
        }
        if method != "INVITE" {
            return;
        }
        self.calls[id].report.reinvite_status = Some(code);
        let (cseq, _) = response.cseq();
        let ack_branch = if code < 300 { new_branch() } else { branch };
        let ack = self.request(id, "ACK", cseq, &ack_branch, &[], "");
        self.outgoing.push((to, ack));
        if let Some(sdp) = response.sdp() {
            self.calls[id].offer = Some(sdp);
            self.speak(id);
        }
    }

    pub(super) fn send_bye(&mut self, id: usize, who: Who) {
        self.send_request(id, "BYE", &[], "");
        self.end(id, who);
    }

    pub(super) fn send_request(&mut self, id: usize, method: &'static str, headers: &[(&str, String)], body: &str) {
        self.calls[id].local_cseq += 1;
        let branch = new_branch();
        let text = self.request(id, method, self.calls[id].local_cseq, &branch, headers, body);
        let call = &self.calls[id];
        let hop = call.routes.first().map_or(call.target.clone(), |route| wire::uri_in(route));
        let to = wire::address_of(&hop).unwrap_or(call.peer);
        let until = Instant::now() + GIVE_UP;
        self.pending.insert(
            branch.clone(),
            Pending { call: id, method, text: text.clone(), to, interval: T1, until, provisional: false },
        );
        self.say(to, text, self.calls[id].manner.doubles);
        self.later(id, T1, Due::Client(branch));
    }

    pub(super) fn request(
        &self,
        id: usize,
        method: &str,
        cseq: u32,
        branch: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> String {
        let call = &self.calls[id];
        let mut text = format!("{method} {} SIP/2.0\r\n", call.target);
        text.push_str(&format!("Via: SIP/2.0/UDP {};rport;branch={branch}\r\nMax-Forwards: 70\r\n", self.address));
        for route in &call.routes {
            text.push_str(&format!("Route: {route}\r\n"));
        }
        let to = call.invite.header("To").unwrap_or("");
        text.push_str(&format!(
            "From: {to};tag={}\r\nTo: {}\r\n",
            call.report.tag,
            call.invite.header("From").unwrap_or("")
        ));
        text.push_str(&format!("Call-ID: {}\r\nCSeq: {cseq} {method}\r\n", call.report.call_id));
        text.push_str(&format!("Contact: <sip:{}@{}>\r\n", call.report.number, self.address));
        wire::close(text, headers, body)
    }
}

fn new_branch() -> String {
    format!("z9hG4bK{:016x}", rand::random::<u64>())
}
