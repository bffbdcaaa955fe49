//! The judges of a run. Pure: each reads the facts and answers what is wrong, a sentence a culprit. Each has a test of its own
//! with facts that are wrong, so that none is there that cannot say no.

mod legs;
mod money;
mod news;
mod rings;
#[cfg(test)]
pub(super) mod testkit;

use super::facts::Facts;

/// What is wrong, in words.
pub type Wrongs = Vec<String>;

/// A judge.
type Judge = fn(&Facts) -> Wrongs;

/// Every judge, by what it insists on.
pub const JUDGES: [(&str, Judge); 23] = [
    ("whoever answered is not rung again", rings::never_after_an_answer),
    ("whoever declined is not rung again", rings::never_after_a_no),
    ("nobody is rung twice at once", rings::one_at_a_time),
    ("an unknown end is waited for", rings::unknown_ends_are_waited_for),
    ("B rings once", rings::b_rings_once),
    ("nobody is called after a confirmed cancel or STOP", rings::never_after_a_cancel),
    ("a RELEASE ends its call", rings::a_release_ends_its_call),
    ("no INVITE is stale", legs::no_invite_is_stale),
    ("a call has one owner at a time", legs::one_owner_at_a_time),
    ("no leg is left up", legs::nothing_is_left),
    ("nobody answers into nothing", legs::answers_are_heard),
    ("one CDR an attempt", legs::one_cdr_an_attempt),
    ("nobody pays beyond the phone's second", money::billed_within_the_phones_seconds),
    ("talk is told as it was", money::talk_is_told_as_it_was),
    ("seconds cost what the tariff says", money::costs_follow_the_tariff),
    ("the ledger is right", money::the_ledger_is_right),
    ("the accounts are right", money::the_accounts_are_right),
    ("the feed is the table", news::the_feed_is_the_table),
    ("numbers have no gaps", news::numbers_have_no_gaps),
    ("everything is told", news::everything_is_told),
    ("each request ends once", news::each_request_ends_once),
    ("replies come at most once", news::replies_come_once),
    ("processes live and come to rest", processes),
];

/// What every judge says: the judge, and what is wrong.
pub fn all(facts: &Facts) -> Vec<(&'static str, String)> {
    JUDGES.iter().flat_map(|(name, judge)| judge(facts).into_iter().map(move |wrong| (*name, wrong))).collect()
}

fn processes(facts: &Facts) -> Wrongs {
    facts.complaints.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_run_pleases_every_judge() {
        assert_eq!(all(&testkit::facts()), []);
    }

    #[test]
    fn a_complaint_is_passed_on() {
        let mut facts = testkit::facts();
        facts.complaints.push("it panicked".to_owned());
        assert_eq!(processes(&facts).len(), 1);
    }
}
