//! How a run of a callback ends: who is hung up, what they are charged, and the last word of a phone that still rings.

use std::time::Duration;

use ringback_common::event::LegName::{self, A, B};
use ringback_sip::Moment;

use super::{Call, Cause, Ending, Output, State, Verdict};

/// How long a cancelled leg may take to say its last word: 64*T1 of RFC 3261 and some.
const LAST_WORD: Duration = Duration::from_secs(40);

impl Call {
    /// The end of a leg that is on the line; it is charged until then at most.
    pub(super) fn end(&mut self, leg: LegName, at: Moment, cause: Cause) {
        let at = self.charged_until(at);
        let track = self.track_mut(leg);
        track.ended = Some((at.max(track.answered.unwrap_or(at)), cause));
    }

    /// Everybody still on the line is hung up at once; a phone that was still ringing is cancelled and waited for.
    pub(super) fn close(&mut self, ending: Ending, now: Moment) {
        let cause = match ending {
            Ending::Finished(Verdict::Successful, Cause::HungUp) => Cause::Completed,
            Ending::Finished(Verdict::FirstLegAborted, _) => Cause::Canceled,
            Ending::Finished(Verdict::SecondLegFailed, _) if self.b.ended.is_some() => Cause::Completed,
            Ending::Finished(_, cause) | Ending::Retry(cause, _) => cause,
        };
        for leg in [A, B] {
            if self.track(leg).is_up() {
                let hung_up = if cause == Cause::NoAnswer { Cause::Completed } else { cause };
                self.end(leg, now, hung_up);
                self.outputs.push_back(Output::HangUp(leg, hung_up));
            } else if self.track(leg).is_ringing() {
                self.outputs.push_back(Output::HangUp(leg, cause));
            }
        }
        if self.a.is_ringing() || self.b.is_ringing() {
            self.state = State::Closing { ending, until: now + LAST_WORD };
            self.store();
        } else {
            self.finish(ending);
        }
    }

    /// The phone was answered while our CANCEL was on its way: it is hung up, costs nothing, and is never rung again.
    pub(super) fn answered_too_late(&mut self, leg: LegName, ending: Ending, now: Moment) {
        if !self.track(leg).is_ringing() {
            return;
        }
        self.outputs.push_back(Output::HangUp(leg, Cause::Canceled));
        self.track_mut(leg).ended = Some((now, Cause::Canceled));
        let ending = match ending {
            Ending::Retry(cause, _) => Ending::Finished(Verdict::FirstLegAborted, cause),
            finished => finished,
        };
        self.finish_unless_ringing(ending);
    }

    /// What a phone says that was still ringing when all was decided. Who says no now is not rung again either.
    pub(super) fn last_word(&mut self, leg: LegName, cause: Cause, ending: Ending, now: Moment) {
        let decided = match ending {
            Ending::Finished(Verdict::FirstLegAborted | Verdict::Canceled, _) => Cause::Canceled,
            Ending::Finished(_, decided) | Ending::Retry(decided, _) => decided,
        };
        if !self.track(leg).is_ringing() {
            return;
        }
        let said = if cause.is_word_of_the_phone() { cause } else { decided };
        self.track_mut(leg).ended = Some((now, said));
        let ending = match ending {
            Ending::Retry(..) | Ending::Finished(Verdict::OutOfRetries, _) if cause.is_no() => {
                Ending::Finished(Verdict::Rejected, cause)
            }
            // The phone itself has said that it rings no more: no need to wait out an unknown end.
            Ending::Retry(Cause::Interrupted, _) if !matches!(cause, Cause::Interrupted | Cause::TrunkFailed) => {
                Ending::Retry(Cause::Interrupted, now + self.plan.backoff)
            }
            other => other,
        };
        self.finish_unless_ringing(ending);
    }

    fn finish_unless_ringing(&mut self, ending: Ending) {
        if let State::Closing { ending: decided, .. } = &mut self.state {
            *decided = ending;
        }
        if !self.a.is_ringing() && !self.b.is_ringing() {
            self.finish(ending);
        }
    }

    pub(super) fn finish(&mut self, ending: Ending) {
        let stamp = match self.state {
            State::Closing { until, .. } => until,
            _ => Moment(0),
        };
        for leg in [A, B] {
            let (Ending::Finished(_, cause) | Ending::Retry(cause, _)) = ending;
            let track = self.track_mut(leg);
            if track.is_ringing() {
                track.ended = Some((stamp, cause));
            }
        }
        self.state = State::Ended;
        self.outputs.push_back(Output::Finish(ending));
    }
}
