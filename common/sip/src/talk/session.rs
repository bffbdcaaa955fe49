//! The session timer of RFC 4028: who refreshes, when, and when the call is given up.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::{Deserialize, Serialize};

use crate::frame::{Message, Name};
use crate::moment::{Moment, earliest};
use crate::uri::param;

/// The shortest interval we accept.
pub(crate) const MIN_SE: u32 = 90;

/// How long after a refused refresh the next is tried.
const REFRESH_AGAIN: u64 = 10_000;

/// The agreed interval of one dialog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionTimer {
    pub interval_s: u32,
    pub min_se: u32,
    pub we_refresh: bool,
    /// The peer knows no session timer: we refresh, and nobody ends the call for want of it.
    pub missing: bool,
    #[serde(skip)]
    refresh_at: Option<Moment>,
    #[serde(skip)]
    ends_at: Option<Moment>,
}

/// What became due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Refresh,
    Expired,
}

impl SessionTimer {
    /// The wish of a call, 90 to 300 seconds.
    pub fn wish(interval_s: u32) -> SessionTimer {
        let interval_s = interval_s.clamp(MIN_SE, 300);
        SessionTimer { interval_s, min_se: MIN_SE, we_refresh: true, missing: true, refresh_at: None, ends_at: None }
    }

    /// The header of our request: whoever refreshes now goes on doing it.
    pub fn offer(&self) -> String {
        format!("{};refresher={}", self.interval_s, if self.we_refresh { "uac" } else { "uas" })
    }

    /// The 2xx to our INVITE or re-INVITE decides.
    pub fn agreed(&mut self, response: &Message, now: Moment) {
        match read(response) {
            Some((interval_s, refresher)) => {
                self.interval_s = interval_s.max(MIN_SE).min(self.interval_s);
                self.we_refresh = refresher != Some(Refresher::Uas);
                self.missing = false;
            }
            None => (self.we_refresh, self.missing) = (true, true),
        }
        self.arm(now);
    }

    /// The peer asks by INVITE, re-INVITE or UPDATE. Err: its interval is too small, answer 422 with Min-SE.
    /// Ok: the Session-Expires of our 2xx, and whether it must carry `Require: timer`.
    pub fn asked(&mut self, request: &Message, now: Moment) -> Result<(String, bool), ()> {
        let speaks_it = request.lists(Name::Supported, "timer") || request.lists(Name::Require, "timer");
        match read(request) {
            Some((interval_s, _)) if interval_s < MIN_SE => return Err(()),
            Some((interval_s, refresher)) => {
                self.interval_s = interval_s.min(self.interval_s.max(request.number(Name::MinSe).unwrap_or(0)));
                self.we_refresh = match refresher {
                    Some(refresher) => refresher == Refresher::Uas,
                    None => !speaks_it,
                };
                self.missing = false;
            }
            None => (self.we_refresh, self.missing) = (true, !speaks_it),
        }
        self.arm(now);
        let refresher = if self.we_refresh { "uas" } else { "uac" };
        Ok((format!("{};refresher={refresher}", self.interval_s), !self.we_refresh))
    }

    /// A 422 asks for more.
    pub fn raise(&mut self, response: &Message) -> bool {
        let wanted = response.number(Name::MinSe).unwrap_or(0);
        let raised = wanted > self.interval_s && wanted <= 7_200;
        if raised {
            (self.interval_s, self.min_se) = (wanted, wanted);
        }
        raised
    }

    /// Begins a new interval.
    pub fn arm(&mut self, now: Moment) {
        let interval = u64::from(self.interval_s) * 1000;
        self.refresh_at = self.we_refresh.then(|| now.plus_ms(interval / 2));
        self.ends_at = (!self.missing).then(|| now.plus_ms(interval - (interval / 3).min(32_000)));
    }

    /// A refresh, or an offer that would have been one, was refused, not fatally: once more before the end.
    pub fn refresh_later(&mut self, now: Moment) {
        if self.we_refresh && !self.missing {
            self.refresh_at.get_or_insert(now.plus_ms(REFRESH_AGAIN));
        }
    }

    /// No more of it.
    pub fn stop(&mut self) {
        (self.refresh_at, self.ends_at) = (None, None);
    }

    pub fn poll_timeout(&self) -> Option<Moment> {
        earliest([self.refresh_at, self.ends_at])
    }

    pub fn handle_timeout(&mut self, now: Moment) -> Option<Due> {
        if self.ends_at.is_some_and(|at| at <= now) {
            self.stop();
            return Some(Due::Expired);
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = self.missing.then(|| now.plus_ms(u64::from(self.interval_s) * 500));
            return Some(Due::Refresh);
        }
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Refresher {
    Uac,
    Uas,
}

fn read(message: &Message) -> Option<(u32, Option<Refresher>)> {
    let value = message.get(Name::SessionExpires)?;
    let (_, params) = value.split_once(';').unwrap_or((value, ""));
    let refresher = match param(params, "refresher") {
        Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
        Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
        _ => None,
    };
    Some((message.number(Name::SessionExpires)?, refresher))
}
