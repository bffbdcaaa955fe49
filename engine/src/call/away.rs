//! An engine that was away: what has to come back before a call is charged beyond the moment it was last known alive.

use std::time::Duration;

use ringback_common::event::LegName::{self, A, B};
use ringback_sip::Moment;

use super::{Call, Cause, Ending, Output, State, Verdict};

/// How long the account may take to answer once the hold is used up.
const ACCOUNT_PATIENCE: Duration = Duration::from_secs(5);

/// Every end is charged as of `alive` until all that is waited for has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    /// When the call was last known alive.
    pub alive: Moment,
    /// Parties who have yet to say that they are there: A, B.
    unconfirmed: [bool; 2],
    /// The hold was used up meanwhile: until when the account may say whether there is more.
    pub account_until: Option<Moment>,
}

impl Away {
    fn since(alive: Moment) -> Away {
        Away { alive, unconfirmed: [false; 2], account_until: None }
    }
}

impl Call {
    /// The phones of whoever is on the line are asked, and the account is asked anew.
    pub(super) fn resumed(&mut self, alive: Moment) {
        let unconfirmed = [A, B].map(|leg| self.track(leg).is_up());
        self.away = Some(Away { unconfirmed, ..Away::since(alive) });
        if let State::Talking { since, .. } = self.state {
            self.state = self.talking(since, true);
        }
    }

    pub(super) fn confirmed(&mut self, leg: LegName) {
        if let Some(away) = &mut self.away {
            away.unconfirmed[usize::from(leg == B)] = false;
        }
        self.back_if_all_is_well();
    }

    /// The hold is used up and the account has not been heard.
    pub(super) fn wait_for_account(&mut self, now: Moment) {
        let paid_for = self.funded_until();
        let away = self.away.get_or_insert(Away::since(paid_for));
        away.account_until = away.account_until.or(Some(now + ACCOUNT_PATIENCE));
    }

    /// The account has spoken: it pays for now, or the call is cut.
    pub(super) fn account_answered(&mut self, now: Moment) {
        let is_paid = self.funded_until() > now;
        if let Some(away) = &mut self.away
            && away.account_until.is_some()
        {
            away.account_until = (!is_paid).then_some(now);
        }
        self.back_if_all_is_well();
    }

    fn back_if_all_is_well(&mut self) {
        self.away = self.away.filter(|away| away.account_until.is_some() || away.unconfirmed != [false; 2]);
    }

    /// Up to when a leg that ends now is charged: never beyond what the hold pays for, nor beyond what is known.
    pub(super) fn charged_until(&self, now: Moment) -> Moment {
        let known = self.away.map_or(now, |away| away.alive.min(now));
        known.min(self.funded_until())
    }

    /// Where the charge stands still: at the end, or since the engine was away. `None` while it runs on.
    pub fn stands_still_at(&self) -> Option<Moment> {
        let ends = [&self.a, &self.b]
            .into_iter()
            .filter_map(|track| Some(track.ended.filter(|_| track.answered.is_some())?.0));
        ends.max().or(self.away.map(|away| away.alive))
    }

    /// The engine was away: what was answered is charged until it was last known alive, and hung up now.
    pub(super) fn interrupted(&mut self, alive: Moment, now: Moment) {
        self.hang_up_as_of(alive, [Cause::Interrupted; 2]);
        self.close(Ending::Finished(Verdict::Interrupted, Cause::Interrupted), now);
    }

    /// They hung up while the engine was away: nobody is charged beyond the moment they were last known to talk.
    pub(super) fn hung_up_meanwhile(&mut self, leg: LegName, alive: Moment, now: Moment) {
        let causes = if leg == A { [Cause::HungUp, Cause::Completed] } else { [Cause::Completed, Cause::HungUp] };
        self.hang_up_as_of(alive, causes);
        self.close(Ending::Finished(Verdict::Successful, Cause::HungUp), now);
    }

    fn hang_up_as_of(&mut self, alive: Moment, causes: [Cause; 2]) {
        for (leg, cause) in [A, B].into_iter().zip(causes) {
            if self.track(leg).is_up() {
                self.end(leg, alive, cause);
                self.outputs.push_back(Output::HangUp(leg, cause));
            }
        }
    }

    pub(super) fn lost_while_closing(&mut self, ending: Ending, alive: Moment, now: Moment) {
        let ending = match ending {
            Ending::Retry(..) => self.after_caller(Cause::Interrupted, now),
            finished => finished,
        };
        if self.a.is_up() || self.b.is_up() {
            self.interrupted(alive, now);
        } else {
            self.close(ending, now);
        }
    }
}
