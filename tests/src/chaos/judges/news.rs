//! What billing, the log, application servers and senders were told.

use std::collections::{BTreeMap, BTreeSet};

use super::Wrongs;
use crate::chaos::facts::{Facts, News};

const CDR: &str = "ringback.cdr.v1";
const FINISHED: &str = "ringback.request.finished.v1";

/// Every CDR is in the feed under one id with the money of the table, and nothing else is. A repeat is the very same.
pub fn the_feed_is_the_table(facts: &Facts) -> Wrongs {
    let mut wrongs = Wrongs::new();
    let mut told: BTreeMap<&str, Vec<&News>> = BTreeMap::new();
    for news in facts.feed.iter().filter(|news| news.kind == CDR) {
        told.entry(news.data["cdr_id"].as_str().unwrap_or("none")).or_default().push(news);
    }
    for cdr in &facts.cdrs {
        let Some(all) = told.remove(cdr.id.as_str()) else {
            wrongs.push(format!("{} is not in the feed", cdr.id));
            continue;
        };
        if all.iter().any(|news| **news != *all[0]) {
            wrongs.push(format!("{} is in the feed in two ways", cdr.id));
        }
        let figure = |name: &str| all[0].data[name].as_i64();
        let row = [Some(cdr.billed_seconds), Some(cdr.cost), Some(cdr.duration_ms), cdr.account_seq];
        let feed = ["billed_seconds", "cost", "duration_ms", "account_seq"].map(figure);
        if row != feed || all[0].data["account"] != cdr.account.as_str() {
            wrongs.push(format!(
                "{}: seconds, cost, duration and number are {row:?} in the table and {feed:?} in the feed",
                cdr.id
            ));
        }
    }
    wrongs.extend(told.keys().map(|id| format!("{id} is in the feed and in no table")));
    wrongs
}

/// An account's money movements reach billing without gaps, top-ups too; a job's news are numbered from 1 without gaps.
pub fn numbers_have_no_gaps(facts: &Facts) -> Wrongs {
    let mut wrongs = Wrongs::new();
    for account in &facts.accounts {
        let seqs = |of: BTreeSet<i64>| of;
        let booked = seqs(facts.ledger.iter().filter(|p| p.account == account.key).map(|p| p.seq).collect());
        let own = facts.feed.iter().filter(|news| news.data["account"] == account.name.as_str());
        let told = seqs(own.filter_map(|news| news.data["account_seq"].as_i64()).collect());
        if booked != told {
            let missing: Vec<_> = booked.symmetric_difference(&told).collect();
            wrongs.push(format!(
                "{}: billing does not know {} of its {} movements: {missing:?}",
                account.name,
                missing.len(),
                booked.len()
            ));
        }
    }
    let mut jobs: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (news, _) in &facts.outbox {
        if let (Some(job), Some(seq)) = (news.data["job"].as_str(), news.data["seq"].as_u64()) {
            jobs.entry(job).or_default().insert(seq);
        }
    }
    let gap = |(job, seqs): (&&str, &BTreeSet<u64>)| {
        seqs.iter().copied().ne(1..=seqs.len() as u64).then(|| format!("the news of {job} are numbered {seqs:?}"))
    };
    wrongs.extend(jobs.iter().filter_map(gap));
    wrongs
}

/// Whatever stands in the outbox was published and is on its queue; the log and the feed tell of one thing the same.
pub fn everything_is_told(facts: &Facts) -> Wrongs {
    let mut wrongs = Wrongs::new();
    let waiting = facts.outbox.iter().filter(|(_, published)| !published).count();
    if waiting > 0 {
        wrongs.push(format!("{waiting} events were never published"));
    }
    let log: BTreeMap<&str, &News> = facts.log.iter().map(|news| (news.id.as_str(), news)).collect();
    for news in &facts.feed {
        match log.get(news.id.as_str()) {
            None => wrongs.push(format!("{} is in the feed and not in the log", news.id)),
            Some(copy) if **copy != *news => wrongs.push(format!("{} is told in two ways", news.id)),
            Some(_) => {}
        }
    }
    let missing = |(news, _): &&(News, bool)| !log.contains_key(news.id.as_str()) && news.data["reply"].is_null();
    wrongs.extend(
        facts.outbox.iter().filter(missing).map(|(news, _)| format!("{} ({}) is not in the log", news.id, news.kind)),
    );
    wrongs
}

/// Every request that was accepted has a row, every row an end, every end one event; it tells what was charged. Every REQUEST that was
/// acknowledged has its RESPONSE, and repeats say the same.
pub fn each_request_ends_once(facts: &Facts) -> Wrongs {
    let mut wrongs = Wrongs::new();
    let rows: BTreeSet<&str> = facts.requests.iter().map(|request| request.job.as_str()).collect();
    let lost = facts.accepted.iter().filter(|job| !rows.contains(job.as_str()));
    wrongs.extend(lost.map(|job| format!("{job} was accepted and is nowhere")));
    for request in &facts.requests {
        let job = request.job.as_str();
        if !request.finished {
            wrongs.push(format!("{job} is not finished"));
            continue;
        }
        let ends = facts.log.iter().filter(|news| news.kind == FINISHED && news.data["job"] == job);
        let ends: BTreeMap<&str, &News> = ends.map(|news| (news.id.as_str(), news)).collect();
        let [end] = ends.values().copied().collect::<Vec<_>>()[..] else {
            wrongs.push(format!("{job} ended {} times", ends.len()));
            continue;
        };
        let charged: i64 = facts.cdrs.iter().filter(|cdr| cdr.job == job).map(|cdr| cdr.cost).sum();
        let told = end.data["cost"].as_i64().unwrap_or(0);
        if told != charged {
            wrongs.push(format!("{job} was charged {charged} and told {told} ({})", request.result));
        }
    }
    for (id, served) in &facts.served {
        let different: BTreeSet<&String> = served.responses.iter().collect();
        if served.acked && different.len() != 1 {
            wrongs.push(format!("REQUEST {id} was acknowledged and heard {:?}", served.responses));
        }
    }
    wrongs
}

/// Nobody gets a reply twice.
pub fn replies_come_once(facts: &Facts) -> Wrongs {
    let mut counts: BTreeMap<&(String, String), usize> = BTreeMap::new();
    for reply in &facts.replies {
        *counts.entry(reply).or_default() += 1;
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    twice.map(|((job, kind), count)| format!("the {kind} reply of {job} came {count} times")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testkit::facts;
    use super::*;

    #[test]
    fn a_cdr_that_billing_misses_or_knows_otherwise_is_found() {
        let mut wrong = facts();
        wrong.feed[1].data["cost"] = 1.into();
        assert_eq!(the_feed_is_the_table(&wrong).len(), 1, "other money");
        let mut repeated = facts();
        repeated.feed.push(repeated.feed[1].clone());
        assert_eq!(the_feed_is_the_table(&repeated), Wrongs::new(), "a repeat is no harm");
        repeated.feed.last_mut().unwrap().data["balance"] = 1.into();
        assert_eq!(the_feed_is_the_table(&repeated).len(), 1, "a repeat that says something else");
        let mut missing = facts();
        missing.feed.retain(|news| news.kind != CDR);
        assert_eq!(the_feed_is_the_table(&missing).len(), 2);
        let mut foreign = facts();
        foreign.cdrs.pop();
        assert_eq!(the_feed_is_the_table(&foreign).len(), 1, "a CDR of nobody");
    }

    #[test]
    fn a_movement_billing_never_heard_of_and_a_gap_in_a_jobs_news_are_found() {
        let mut wrong = facts();
        wrong.feed.retain(|news| news.kind == CDR);
        assert_eq!(numbers_have_no_gaps(&wrong).len(), 1, "the opening balance");
        let mut wrong = facts();
        wrong.outbox.retain(|(news, _)| news.data["seq"] != 2);
        assert_eq!(numbers_have_no_gaps(&wrong).len(), 1);
    }

    #[test]
    fn what_waits_and_what_the_log_misses_or_tells_otherwise_is_found() {
        let mut wrong = facts();
        wrong.outbox[0].1 = false;
        assert_eq!(everything_is_told(&wrong).len(), 1);
        let mut wrong = facts();
        let place = wrong.log.iter().position(|news| news.kind == CDR).unwrap();
        wrong.log[place].data["cost"] = 1.into();
        assert_eq!(everything_is_told(&wrong).len(), 1);
        wrong.log.remove(place);
        assert_eq!(everything_is_told(&wrong).len(), 2, "neither feed nor outbox find it");
    }

    #[test]
    fn a_lost_request_an_open_one_one_without_end_and_one_told_otherwise_are_found() {
        let mut wrong = facts();
        wrong.accepted.push("lost".to_owned());
        assert_eq!(each_request_ends_once(&wrong).len(), 1);
        let mut wrong = facts();
        wrong.requests[0].finished = false;
        assert_eq!(each_request_ends_once(&wrong).len(), 1);
        let mut wrong = facts();
        wrong.log.retain(|news| news.kind != FINISHED);
        assert_eq!(each_request_ends_once(&wrong).len(), 1);
        let mut wrong = facts();
        wrong.log.iter_mut().filter(|news| news.kind == FINISHED).for_each(|news| news.data["cost"] = 0.into());
        assert_eq!(each_request_ends_once(&wrong).len(), 1);
        let mut wrong = facts();
        wrong.served.values_mut().for_each(|served| served.responses.clear());
        assert_eq!(each_request_ends_once(&wrong).len(), 1, "no RESPONSE");
    }

    #[test]
    fn a_reply_that_comes_twice_is_found() {
        let mut wrong = facts();
        wrong.replies.push(wrong.replies[0].clone());
        assert_eq!(replies_come_once(&wrong).len(), 1);
    }
}
