//! What was charged, for what, and whether the books say so.

use std::collections::{BTreeMap, BTreeSet};

use super::Wrongs;
use crate::chaos::facts::{Cdr, Facts, News, Ring};
use crate::chaos::plan::{ACCOUNTS, MAX_CALL, PRICE};
use crate::phone::Who;

/// A phone's own BYE is under way for at most so long, on a busy machine (or until it was answered, where that is sooner): all the time
/// that may be charged beyond what the phone saw. Where we hung up, none may.
const BYE_TRAVEL_US: u64 = 250_000;

/// Charged seconds are at most what the phone saw from its 200 to the BYE, rounded up.
pub fn billed_within_the_phones_seconds(facts: &Facts) -> Wrongs {
    let wrong = |cdr: &Cdr| {
        let own = facts.rings.iter().filter(|ring| ring.call_id == cdr.call_id);
        let seen = own.filter_map(|ring| {
            let travel = match ring.ended?.1 {
                Who::Gateway => 0,
                Who::Phone | Who::Timeout => ring.bye_us.unwrap_or(BYE_TRAVEL_US).min(BYE_TRAVEL_US),
            };
            Some((ring.talk_us()?, travel, ring.ended?.1))
        });
        let longest = seen.max_by_key(|(talk, travel, _)| talk + travel);
        let (talk, travel, who) = longest.unwrap_or((0, 0, Who::Gateway));
        let may = (talk + travel).div_ceil(1_000_000) as i64;
        (cdr.billed_seconds > may).then(|| {
            let talk = talk as f64 / 1e6;
            let CdrWords(duration, cause) = CdrWords::of(cdr);
            format!(
                "{}: {} s billed ({duration} s, {cause}), the phone was up for {talk:.3} s until {who:?} hung up",
                cdr.id, cdr.billed_seconds
            )
        })
    };
    facts.cdrs.iter().filter_map(wrong).collect()
}

/// Nobody is told of more whole seconds of talk than both phones were up together.
pub fn talk_is_told_as_it_was(facts: &Facts) -> Wrongs {
    let wrong = |news: &News| {
        let told = news.data["talk_seconds"].as_u64().filter(|told| *told > 0)?;
        let request = facts.requests.iter().find(|request| news.data["job"] == request.job.as_str())?;
        let numbers = [news.data["a"].as_str()?, &request.b].map(|number| number.trim_start_matches('+'));
        let up = |place: usize| {
            facts.rings.iter().filter(move |ring| ring.number == numbers[place] && ring.answered_us().is_some())
        };
        let joint = up(0).flat_map(|a| up(1).map(move |b| joint_us(a, b))).max().unwrap_or(0);
        (told * 1_000_000 > joint + BYE_TRAVEL_US).then(|| {
            format!("{}: {told} s of talk are told, both were up for {:.3} s", request.job, joint as f64 / 1e6)
        })
    };
    facts.log.iter().filter_map(wrong).collect()
}

fn joint_us(a: &Ring, b: &Ring) -> u64 {
    let from = a.answered_us().max(b.answered_us()).unwrap_or(0);
    let until = [a, b].iter().filter_map(|ring| ring.ended).map(|(at, _)| at).min().unwrap_or(0);
    until.saturating_sub(from)
}

struct CdrWords(f64, String);

impl CdrWords {
    fn of(cdr: &Cdr) -> CdrWords {
        CdrWords(cdr.duration_ms as f64 / 1e3, cdr.cause.clone())
    }
}

/// Billed seconds follow from the duration, costs from billed seconds; who did not answer pays nothing, nothing is uncovered, and
/// nobody pays beyond the longest call.
pub fn costs_follow_the_tariff(facts: &Facts) -> Wrongs {
    let wrong = |cdr: &Cdr| {
        let seconds = if cdr.connected { (cdr.duration_ms + 999) / 1000 } else { 0 };
        let seconds = seconds.min(MAX_CALL.as_secs() as i64);
        let cost = (seconds * PRICE + 59) / 60;
        ((cdr.billed_seconds, cdr.cost, cdr.uncovered) != (seconds, cost, 0)).then(|| {
            format!(
                "{}: {} ms are {seconds} s and cost {cost}; it says {} s, {} and {} uncovered ({})",
                cdr.id, cdr.duration_ms, cdr.billed_seconds, cdr.cost, cdr.uncovered, cdr.cause
            )
        })
    };
    facts.cdrs.iter().filter_map(wrong).collect()
}

/// Postings sum to zero one by one; what the ledger took for a CDR is that CDR's cost; an account's movements are numbered without gaps.
pub fn the_ledger_is_right(facts: &Facts) -> Wrongs {
    let mut wrongs = Wrongs::new();
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for posting in &facts.ledger {
        *sums.entry(&posting.entry).or_default() += posting.amount;
    }
    wrongs.extend(sums.iter().filter(|(_, sum)| **sum != 0).map(|(entry, sum)| format!("{entry} sums to {sum}")));
    for account in &facts.accounts {
        let own = || facts.ledger.iter().filter(|posting| posting.account == account.key);
        let seqs: BTreeSet<i64> = own().map(|posting| posting.seq).collect();
        if seqs.iter().copied().ne(1..=seqs.len() as i64) || seqs.len() != own().count() {
            wrongs.push(format!("the movements of {} are numbered {seqs:?}", account.name));
        }
        let charged: i64 = facts.cdrs.iter().filter(|cdr| cdr.account == account.name).map(|cdr| cdr.cost).sum();
        let taken: i64 = -own().map(|posting| posting.amount).filter(|amount| *amount < 0).sum::<i64>();
        if charged != taken {
            wrongs.push(format!("{}: the CDRs cost {charged}, the ledger took {taken}", account.name));
        }
    }
    wrongs
}

/// Balances are what the ledger says, from the opening one and the top-ups that were confirmed; nothing is held.
pub fn the_accounts_are_right(facts: &Facts) -> Wrongs {
    let mut wrongs = Wrongs::new();
    if facts.holds != 0 {
        wrongs.push(format!("{} holds are left", facts.holds));
    }
    for account in &facts.accounts {
        let own = || facts.ledger.iter().filter(|posting| posting.account == account.key).map(|posting| posting.amount);
        let (sum, paid_in): (i64, i64) = (own().sum(), own().filter(|amount| *amount > 0).sum());
        if account.balance != sum || account.held != 0 || account.balance < 0 {
            let (name, balance, held) = (&account.name, account.balance, account.held);
            wrongs.push(format!("{name}: balance {balance}, by the ledger {sum}, held {held}"));
        }
        let opening = ACCOUNTS.iter().find(|(name, _)| *name == account.name).map_or(0, |(_, opening)| *opening);
        let topped = |confirmed_only: bool| -> i64 {
            let own = facts
                .topped
                .iter()
                .filter(|(name, _, confirmed)| *name == account.name && (*confirmed || !confirmed_only));
            own.map(|(_, amount, _)| amount).sum()
        };
        let (least, most) = (opening + topped(true), opening + topped(false));
        if !(least..=most).contains(&paid_in) {
            wrongs.push(format!(
                "{}: {paid_in} came in, at least {least} was confirmed, at most {most} asked for",
                account.name
            ));
        }
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{S, facts};
    use super::*;

    #[test]
    fn a_second_beyond_the_phones_is_found() {
        let mut facts = facts();
        facts.cdrs[0].billed_seconds = 11;
        assert_eq!(billed_within_the_phones_seconds(&facts).len(), 1, "it was up for 10.0 s");
        facts.rings[0].ended = Some((12 * S, Who::Phone));
        facts.rings[0].bye_us = Some(1);
        assert_eq!(billed_within_the_phones_seconds(&facts), Wrongs::new(), "its BYE was under way for a microsecond");
        facts.rings[0].word = Some((486, vec![2 * S]));
        assert_eq!(billed_within_the_phones_seconds(&facts).len(), 1, "nobody answered");
    }

    #[test]
    fn more_talk_than_the_phones_had_is_found() {
        let mut wrong = facts();
        let end = wrong.log.last_mut().unwrap();
        end.data["a"] = "+44100".into();
        end.data["talk_seconds"] = 10.into();
        assert_eq!(talk_is_told_as_it_was(&wrong), Wrongs::new());
        wrong.rings[1].ended = Some((11 * S, Who::Gateway));
        assert_eq!(talk_is_told_as_it_was(&wrong).len(), 1);
    }

    #[test]
    fn a_wrong_price_and_uncovered_seconds_are_found() {
        let mut facts = facts();
        facts.cdrs[0].cost += 1;
        facts.cdrs[1].uncovered = 1;
        assert_eq!(costs_follow_the_tariff(&facts).len(), 2);
        let mut facts = super::super::testkit::facts();
        (facts.cdrs[0].duration_ms, facts.cdrs[0].billed_seconds, facts.cdrs[0].cost) = (40_001, 41, 410_000);
        assert_eq!(costs_follow_the_tariff(&facts).len(), 1, "beyond the longest call");
        let mut facts = super::super::testkit::facts();
        facts.cdrs[0].connected = false;
        assert_eq!(costs_follow_the_tariff(&facts).len(), 1, "nobody answered and somebody paid");
    }

    #[test]
    fn a_posting_out_of_balance_a_gap_and_a_charge_nobody_asked_for_are_found() {
        let mut wrong = facts();
        wrong.ledger[0].amount += 1;
        assert_eq!(the_ledger_is_right(&wrong).len(), 1, "does not sum to zero");
        let mut wrong = facts();
        wrong.ledger.iter_mut().filter(|posting| posting.seq == 3).for_each(|posting| posting.seq = 4);
        assert_eq!(the_ledger_is_right(&wrong).len(), 1, "3 is missing");
        let mut wrong = facts();
        wrong.cdrs[0].cost -= 1;
        assert_eq!(the_ledger_is_right(&wrong).len(), 1, "it took more");
    }

    #[test]
    fn a_balance_a_hold_and_a_top_up_that_is_gone_are_found() {
        let mut wrong = facts();
        wrong.accounts[0].balance -= 1;
        wrong.holds = 1;
        wrong.topped.push(("rich".to_owned(), 5, true));
        assert_eq!(the_accounts_are_right(&wrong).len(), 3);
        let mut unsure = facts();
        unsure.topped.push(("rich".to_owned(), 5, false));
        assert_eq!(the_accounts_are_right(&unsure), Wrongs::new());
    }
}
