//! Two who talk, and the money that lets them.

use std::time::Duration;

use ringback_common::event::LegName::{self, A, B};
use ringback_common::money::Money;
use ringback_sip::Moment;

use super::{Call, Cause, Ending, Output, State, Verdict};
use crate::billing::{self, Meter};

/// How long before the money runs out more is asked for.
const EXTEND_LEAD: Duration = Duration::from_secs(10);
/// An account that could not be asked is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Whoever comes so late to the end of the money was away, and the account has not been heard.
const LATE: Duration = Duration::from_secs(1);

impl Call {
    pub(super) fn start_talking(&mut self, now: Moment) {
        self.b.answered = Some(now);
        self.state = self.talking(now, true);
        self.store();
        self.outputs.push_back(Output::Bridge);
    }

    /// The state of talking with what is held now; `more` while the account may still have some.
    pub(super) fn talking(&self, since: Moment, more: bool) -> State {
        let funded_until = self.funded_until();
        let lead = EXTEND_LEAD.min(Duration::from_millis(funded_until.0.saturating_sub(since.0) / 2));
        let extend_at = (more && funded_until < self.longest())
            .then(|| Moment(funded_until.0 - u64::try_from(lead.as_millis()).unwrap_or(0)));
        State::Talking { since, extend_at, funded_until, spent: !more }
    }

    /// The last moment that the hold pays for, both for whoever has answered.
    pub(super) fn funded_until(&self) -> Moment {
        billing::funded_until(self.held, &self.meters(), self.longest())
    }

    fn longest(&self) -> Moment {
        self.a.answered.map_or(Moment(u64::MAX), |answered| answered + self.plan.max_call)
    }

    fn meters(&self) -> Vec<Meter> {
        let running = |leg: LegName| Some(self.plan.meter(leg, self.track(leg).answered?));
        [A, B].into_iter().filter_map(running).collect()
    }

    /// When they are cut if nothing happens: when the hold is used up, or when the account has been waited for long enough.
    pub(super) fn cut_at(&self) -> Moment {
        self.away.and_then(|away| away.account_until).unwrap_or_else(|| self.funded_until())
    }

    /// Asks for a slice beyond what is held, and beyond what was talked already where nobody could ask in time.
    pub(super) fn ask_for_more(&mut self, now: Moment) {
        if let State::Talking { extend_at, .. } = &mut self.state {
            *extend_at = None;
        }
        if now >= self.funded_until() {
            self.wait_for_account(now);
        }
        let talked = billing::cost_at(&self.meters(), now);
        self.outputs.push_back(Output::Extend(self.held.max(talked) + self.plan.slice()));
    }

    pub(super) fn go_on_talking(&mut self, held: Money, now: Moment) {
        let State::Talking { since, .. } = self.state else { return };
        let whole_slice = held >= self.held + self.plan.slice();
        self.held = held;
        self.state = self.talking(since, whole_slice);
        self.account_answered(now);
        self.store();
    }

    pub(super) fn no_more_money(&mut self, now: Moment) {
        if let State::Talking { extend_at, spent, .. } = &mut self.state {
            (*extend_at, *spent) = (None, true);
        }
        self.account_answered(now);
    }

    /// The account could not be asked: it is asked again as long as the hold lasts.
    pub(super) fn ask_again(&mut self, now: Moment) {
        let (again, cut_at) = (now + ASK_AGAIN, self.cut_at());
        if let State::Talking { extend_at, .. } = &mut self.state {
            *extend_at = (again < cut_at).then_some(again);
        }
    }

    /// Both are cut as of the moment that was paid for. Who comes late to it, because the process was stopped, hears first what the
    /// account says.
    pub(super) fn time_is_up(&mut self, now: Moment) {
        let State::Talking { funded_until, spent, .. } = self.state else { return };
        let waited = self.away.is_some_and(|away| away.account_until.is_some());
        let cause = match spent {
            _ if funded_until >= self.longest() => Cause::TimeLimit,
            true => Cause::OutOfFunds,
            false if !waited && now > funded_until + LATE => return self.wait_for_account(now),
            false => Cause::Interrupted,
        };
        self.close(Ending::Finished(Verdict::Successful, cause), now);
    }

    pub(super) fn talked(&mut self, leg: LegName, cause: Cause, now: Moment) {
        self.end(leg, now, cause);
        self.close(Ending::Finished(Verdict::Successful, cause), now);
    }
}
