//! What happens by itself: ringing, answering, hanging up, repeating.

use std::time::{Duration, Instant};

use super::{Due, Exchange, GIVE_UP, T2, Who};
use crate::clock;
use crate::phone::manner::Finish;

impl Exchange {
    pub(super) fn later(&mut self, id: usize, after: Duration, due: Due) {
        self.counter += 1;
        self.due.insert((Instant::now() + after, self.counter), (id, due));
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let (id, due) = entry.remove();
            self.perform(id, due);
        }
    }

    pub(super) fn perform(&mut self, id: usize, due: Due) {
        let talking = self.calls[id].report.answered_us.is_some() && !self.calls[id].done_with;
        let ringing = self.calls[id].report.answered_us.is_none() && !self.calls[id].done_with;
        match due {
            Due::Ring if ringing => {
                self.respond(id, 180, &[], "");
                self.calls[id].report.ringing_us.get_or_insert(clock::now_us());
            }
            Due::Early if ringing => {
                let body = self.describe(id, "sendrecv");
                self.respond(id, 183, &[], &body);
                self.calls[id].report.ringing_us.get_or_insert(clock::now_us());
                self.speak(id);
            }
            Due::Finish if ringing => match self.calls[id].manner.finish.clone() {
                Finish::Refuse(_, code, reason) => {
                    let headers: Vec<_> = reason.into_iter().map(|r| ("Reason", r)).collect();
                    self.refuse(id, code, &headers);
                }
                _ => self.answer(id),
            },
            Due::Expire if ringing => {
                self.media.silence(id as u64);
                self.refuse(id, 487, &[]);
            }
            Due::Resend(cseq) => self.resend(id, cseq),
            Due::HangUp if talking => self.send_bye(id, Who::Phone),
            Due::Reinvite(direction) if talking => {
                self.calls[id].sdp_version += 1;
                let body = self.describe(id, &direction);
                self.send_request(id, "INVITE", &[], &body);
            }
            Due::Type(digits) if talking => self.media.type_digits(id as u64, &digits),
            Due::CloseMedia => self.media.close(id as u64),
            Due::Forget => self.calls[id].forgotten = true,
            Due::Client(branch) => self.resend_request(&branch),
            Due::Ring | Due::Early | Due::Finish | Due::Expire | Due::HangUp | Due::Reinvite(_) | Due::Type(_) => {}
        }
    }

    /// Repeats a final response nobody has acknowledged; after 32 s a phone hangs up (RFC 3261 13.3.1.4).
    pub(super) fn resend(&mut self, id: usize, cseq: u32) {
        let call = &mut self.calls[id];
        let Some((text, interval, since)) = call.unacked.get_mut(&cseq) else {
            return;
        };
        if since.elapsed() >= GIVE_UP {
            call.unacked.remove(&cseq);
            if call.report.answered_us.is_some() && !call.done_with {
                self.send_bye(id, Who::Timeout);
            }
            return;
        }
        *interval = (*interval * 2).min(T2);
        let (text, next) = (text.clone(), *interval);
        self.outgoing.push((call.peer, text));
        self.later(id, next, Due::Resend(cseq));
    }

    pub(super) fn resend_request(&mut self, branch: &str) {
        let Some(pending) = self.pending.get_mut(branch) else {
            return;
        };
        if Instant::now() >= pending.until {
            self.pending.remove(branch);
            return;
        }
        if pending.method == "INVITE" && pending.provisional {
            let id = pending.call;
            return self.later(id, T2, Due::Client(branch.to_owned()));
        }
        pending.interval = (pending.interval * 2).min(T2);
        let (id, next, again) = (pending.call, pending.interval, (pending.to, pending.text.clone()));
        self.outgoing.push(again);
        self.later(id, next, Due::Client(branch.to_owned()));
    }
}
