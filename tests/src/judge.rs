//! The judge: invariants of a crash, asked of the log of what went over the wire. Pure; every verdict names its culprit.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::phone::sound::RING_BACK;
use crate::phone::{Entry, Log, Report};
use crate::probe::Cdr;

/// A verdict: `Err` tells what was wrong, in words for whoever reads the failed test.
pub type Verdict = Result<(), String>;

/// One INVITE transaction.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Who was called.
    pub number: String,
    /// Branch of its INVITE.
    pub branch: String,
    /// Call-ID.
    pub call_id: String,
    /// When it came first.
    pub at_us: u64,
    /// The first final response, and when it left the phone.
    pub final_response: Option<(u16, u64)>,
    /// When the gateway first acknowledged that response: from then on it is stored.
    pub closed_us: Option<u64>,
    /// When the first CANCEL for it came.
    pub canceled_us: Option<u64>,
}

impl Attempt {
    /// Answered 401, 407 or 422: the phone never rang.
    pub fn challenged(&self) -> bool {
        matches!(self.final_response, Some((401 | 407 | 422, _)))
    }

    /// Answered by a 2xx.
    pub fn answered(&self) -> bool {
        self.final_response.is_some_and(|(code, _)| code / 100 == 2)
    }
}

/// The distinct INVITE transactions that reached a phone, challenged ones left out, in order of time.
pub fn attempts(log: &Log) -> Vec<Attempt> {
    transactions(log).into_iter().filter(|attempt| !attempt.challenged()).collect()
}

/// The distinct INVITE transactions of a log (by topmost branch), in order of time.
pub fn transactions(log: &Log) -> Vec<Attempt> {
    let mut seen = HashSet::new();
    let openings = log.entries.iter().filter(|e| e.opens()).filter(|e| seen.insert(e.branch.as_str()));
    openings.map(|invite| transaction(log, invite)).collect()
}

fn transaction(log: &Log, invite: &Entry) -> Attempt {
    let about = |e: &&Entry| e.branch == invite.branch;
    let response =
        log.entries.iter().filter(about).find(|e| e.method == "INVITE" && e.status.is_some_and(|c| c >= 200));
    let ack = |e: &&Entry| {
        e.method == "ACK"
            && e.call_id == invite.call_id
            && e.cseq == invite.cseq
            && Some(&e.to_tag) == response.map(|r| &r.to_tag)
    };
    let cancel = log.entries.iter().filter(about).find(|e| e.status.is_none() && e.method == "CANCEL");
    Attempt {
        number: invite.number.clone(),
        branch: invite.branch.clone(),
        call_id: invite.call_id.clone(),
        at_us: invite.at_us,
        final_response: response.and_then(|e| Some((e.status?, e.at_us))),
        closed_us: log.entries.iter().find(ack).map(|e| e.at_us),
        canceled_us: cancel.map(|e| e.at_us),
    }
}

/// At most one INVITE transaction to this number got a 2xx. (Forks of one transaction count once.)
pub fn answered_at_most_once(log: &Log, number: &str) -> Verdict {
    let answered: Vec<_> = attempts(&log.of_number(number)).into_iter().filter(Attempt::answered).collect();
    if answered.len() <= 1 {
        Ok(())
    } else {
        Err(format!("{number} was answered {} times: {answered:?}", answered.len()))
    }
}

/// No new INVITE transaction to a party after that party's 2xx.
pub fn never_again_after_answer(log: &Log, number: &str) -> Verdict {
    let attempts = attempts(&log.of_number(number));
    let Some(answer) =
        attempts.iter().filter(|a| a.answered()).filter_map(|a| a.final_response).map(|(_, at)| at).min()
    else {
        return Ok(());
    };
    match attempts.iter().find(|a| a.at_us > answer) {
        Some(late) => {
            Err(format!("{number} answered at {answer} us and was called again at {} us ({})", late.at_us, late.branch))
        }
        None => Ok(()),
    }
}

/// No new INVITE transaction to a party before the one before it is closed: by a final response the gateway stored (seen by its ACK,
/// which a crash may delay beyond the next ring of a phone that has refused, or beyond the 32 s that such a phone repeats itself), or
/// by the waiting time after its beginning (intent + Expires + 32 s), with a CANCEL sent.
pub fn one_attempt_at_a_time(log: &Log, number: &str, waiting_us: u64) -> Verdict {
    let transactions = transactions(&log.of_number(number));
    for pair in transactions.windows(2) {
        let (earlier, later) = (&pair[0], &pair[1]);
        let between = (later.at_us - earlier.at_us) / 1000;
        let refused_us =
            earlier.final_response.filter(|(code, at)| *code >= 300 && *at <= later.at_us).map(|(_, at)| at);
        let is_closed = earlier.closed_us.is_some_and(|at| at <= later.at_us || refused_us.is_some());
        if is_closed || refused_us.is_some_and(|at| later.at_us >= at + 32_000_000) {
            continue;
        }
        if later.at_us < earlier.at_us + waiting_us {
            return Err(format!(
                "{number} was called again {between} ms after an attempt that nothing had closed ({} then {})",
                earlier.branch, later.branch
            ));
        }
        if earlier.canceled_us.is_none_or(|at| at > later.at_us) {
            return Err(format!("{number}: {} was never cancelled when {} began", earlier.branch, later.branch));
        }
    }
    Ok(())
}

/// The very same INVITE may come again within 32 s of the first time, never later: the phone has forgotten it by then.
pub fn no_stale_invite(log: &Log) -> Verdict {
    for first in transactions(log) {
        let again = |e: &&Entry| e.opens() && e.branch == first.branch && e.at_us > first.at_us + 32_000_000;
        if let Some(late) = log.entries.iter().find(again) {
            let after = (late.at_us - first.at_us) / 1000;
            return Err(format!(
                "{} got the INVITE {} again {after} ms after the first time",
                first.number, first.branch
            ));
        }
    }
    Ok(())
}

/// Every answered call ended within `limit_us` after the crash.
pub fn ended_in_time(calls: &[Report], crash_us: u64, limit_us: u64) -> Verdict {
    for call in calls.iter().filter(|c| c.answered_us.is_some_and(|at| at <= crash_us)) {
        match call.ended_us {
            Some(at) if at <= crash_us + limit_us => {}
            Some(at) => {
                let late = at.saturating_sub(crash_us) / 1000;
                return Err(format!("{} stayed up for {late} ms after the crash", call.number));
            }
            None => return Err(format!("{} is still up", call.number)),
        }
    }
    Ok(())
}

/// Nothing is left over: every call was refused or has ended.
pub fn nothing_is_left(calls: &[Report]) -> Verdict {
    let left = |c: &&Report| if c.answered_us.is_some() { c.ended_us.is_none() } else { c.refused.is_none() };
    match calls.iter().find(left) {
        Some(call) => Err(format!("{} ({}) neither ended nor refused", call.number, call.call_id)),
        None => Ok(()),
    }
}

/// Seconds between its 200 and the end.
pub fn talk_seconds(call: &Report) -> Option<f64> {
    Some((call.ended_us?.saturating_sub(call.answered_us?)) as f64 / 1e6)
}

/// A leg is billed no second that its phone has not talked, and not nothing for three. A phone that never talked saw none.
pub fn billed_as_seen(cdr: &Cdr, call: &Report) -> Verdict {
    let (billed, seen) = (cdr.billed_seconds, talk_seconds(call).unwrap_or(0.0));
    if billed as f64 <= seen.ceil() && (billed > 0 || seen < 3.0) {
        Ok(())
    } else {
        Err(format!("{}: {billed} s billed, {seen} s seen", cdr.id))
    }
}

/// No RTP later than 1 s after the end of a call. A gateway that was dead then has that second from `back_us` on, when
/// it was there again (0: it was never away).
pub fn silent_after_the_end(calls: &[Report], back_us: u64) -> Verdict {
    for call in calls {
        if let (Some(ended), Some(last)) = (call.ended_us, call.audio.last_us())
            && last > ended.max(back_us) + 1_000_000
        {
            return Err(format!("{} got RTP {} ms after its BYE", call.number, (last - ended) / 1000));
        }
    }
    Ok(())
}

/// A phone heard nobody but its own other party (and the ring-back tone).
pub fn heard_only(call: &Report, tones: &[u32]) -> Verdict {
    let foreign =
        call.audio.heard.iter().find(|h| {
            h.hz.is_some_and(|hz| hz != RING_BACK && !tones.contains(&hz)) && h.until_us - h.from_us >= 300_000
        });
    match foreign {
        Some(heard) => Err(format!("{} heard {heard:?}, which nobody on its line plays", call.number)),
        None => Ok(()),
    }
}

/// Within a dialog, CSeq of the gateway's new requests only rises; once another address of the gateway has had a
/// request accepted, none from the address before is accepted any more.
pub fn one_owner_at_a_time(log: &Log) -> Verdict {
    one_owner_unless_lost(log, |_, _, _| false)
}

/// The same where an adopter may be lost as well, so that a call goes back to an address that had it before: `lost` says whether
/// whoever is at an address was away between two moments.
pub fn one_owner_unless_lost(log: &Log, lost: impl Fn(&str, u64, u64) -> bool) -> Verdict {
    let mut highest: HashMap<(&str, &str), u32> = HashMap::new();
    let mut speaker: HashMap<&str, Vec<(&str, u64)>> = HashMap::new();
    let accepted: HashSet<&str> = log
        .entries
        .iter()
        .filter(|e| !e.from_gateway && e.status.is_some_and(|c| c / 100 == 2))
        .map(|e| e.branch.as_str())
        .collect();
    let mut seen = HashSet::new();
    for entry in log
        .entries
        .iter()
        .filter(|e| e.from_gateway && e.status.is_none() && !matches!(e.method.as_str(), "ACK" | "CANCEL"))
    {
        if !seen.insert((&entry.branch, &entry.method)) || !accepted.contains(entry.branch.as_str()) {
            continue;
        }
        let dialog = (entry.call_id.as_str(), entry.from_tag.as_str());
        let last = highest.entry(dialog).or_insert(0);
        if entry.cseq <= *last && !entry.to_tag.is_empty() {
            return Err(format!(
                "{} {} came with CSeq {} after {last} was accepted",
                entry.number, entry.method, entry.cseq
            ));
        }
        *last = entry.cseq.max(*last);
        let speakers = speaker.entry(&entry.call_id).or_default();
        let before = speakers.last().copied().filter(|(owner, _)| *owner != entry.gateway);
        let knew_it = speakers.iter().any(|(owner, _)| *owner == entry.gateway);
        if let Some((owner, spoke)) = before
            && knew_it
            && !lost(owner, spoke, entry.at_us)
        {
            return Err(format!(
                "{} {} from {} was accepted after its adopter had spoken",
                entry.number, entry.method, entry.gateway
            ));
        }
        speakers.retain(|(owner, _)| *owner != entry.gateway);
        speakers.push((&entry.gateway, entry.at_us));
    }
    Ok(())
}

/// The messages and RTP packets one gateway address sent after a moment: what a stopped and continued engine may not do.
pub fn sent_after<'a>(log: &'a Log, gateway: &str, moment_us: u64) -> Vec<&'a Entry> {
    log.entries.iter().filter(|e| e.from_gateway && e.gateway.starts_with(gateway) && e.at_us > moment_us).collect()
}

/// How many INVITE transactions each number got.
pub fn attempts_by_number(log: &Log) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for attempt in attempts(log) {
        *counts.entry(attempt.number).or_default() += 1;
    }
    counts
}

/// All of these hold, or the test fails with the first that does not and the ladder of the messages.
pub fn insist(log: &Log, verdicts: impl IntoIterator<Item = Verdict>) {
    for verdict in verdicts {
        if let Err(wrong) = verdict {
            panic!("{wrong}\n{}", log.ladder());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::wire::Sip;

    /// A log of lines `at from-gateway? what number branch cseq to-tag gateway`.
    fn log(lines: &[(u64, bool, &str, &str, u32, &str, &str)]) -> Log {
        let entry = |(at, from_gateway, what, branch, cseq, to_tag, gateway): &(
            u64,
            bool,
            &str,
            &str,
            u32,
            &str,
            &str,
        )| {
            let method = what.split(' ').next_back().unwrap();
            let start = match what.split_once(' ') {
                Some((code, _)) => format!("SIP/2.0 {code} X"),
                None => format!("{method} sip:441@h SIP/2.0"),
            };
            let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
            let text = format!(
                "{start}\r\nVia: SIP/2.0/UDP h;branch={branch}\r\nFrom: <sip:g@h>;tag=f\r\nTo: <sip:441@h>{tag}\r\nCall-ID: c\r\nCSeq: {cseq} {method}\r\n\r\n"
            );
            Entry::of(&Sip::parse(text.as_bytes()).unwrap(), &text, *from_gateway, gateway, at * 1000)
        };
        Log { entries: lines.iter().map(entry).collect() }
    }

    #[test]
    fn a_repeated_invite_is_one_attempt_and_a_challenge_is_none() {
        let log = log(&[
            (1, true, "INVITE", "x", 1, "", "g"),
            (2, false, "401 INVITE", "x", 1, "t", "g"),
            (3, true, "INVITE", "y", 2, "", "g"),
            (4, true, "INVITE", "y", 2, "", "g"),
            (5, false, "200 INVITE", "y", 2, "t", "g"),
        ]);
        assert_eq!(attempts(&log).len(), 1);
        assert_eq!(never_again_after_answer(&log, "441"), Ok(()));
        assert_eq!(answered_at_most_once(&log, "441"), Ok(()));
    }

    #[test]
    fn a_second_ring_after_the_answer_is_found() {
        let log = log(&[
            (1, true, "INVITE", "x", 1, "", "g"),
            (2, false, "200 INVITE", "x", 1, "t", "g"),
            (3, true, "INVITE", "y", 1, "", "g"),
            (4, false, "200 INVITE", "y", 1, "u", "g"),
        ]);
        assert!(never_again_after_answer(&log, "441").is_err());
        assert!(answered_at_most_once(&log, "441").is_err());
    }

    #[test]
    fn an_attempt_that_nothing_closed_must_be_waited_for_and_cancelled() {
        let lines = [
            (1, true, "INVITE", "x", 1, "", "g"),
            (2, false, "486 INVITE", "x", 1, "t", "g"),
            (3000, true, "INVITE", "y", 1, "", "g"),
        ];
        assert!(one_attempt_at_a_time(&log(&lines), "441", 4_000_000).unwrap_err().contains("nothing had closed"));
        assert!(one_attempt_at_a_time(&log(&lines), "441", 2_000_000).unwrap_err().contains("never cancelled"));
        let mut canceled = lines.to_vec();
        canceled.insert(2, (2000, true, "CANCEL", "x", 1, "", "g"));
        assert_eq!(one_attempt_at_a_time(&log(&canceled), "441", 2_000_000), Ok(()));
        let mut closed = lines.to_vec();
        closed.insert(2, (3, true, "ACK", "x", 1, "t", "g"));
        assert_eq!(one_attempt_at_a_time(&log(&closed), "441", 4_000_000), Ok(()));
        let mut closed_late = lines.to_vec();
        closed_late.push((3500, true, "ACK", "x", 1, "t", "g"));
        assert_eq!(one_attempt_at_a_time(&log(&closed_late), "441", 4_000_000), Ok(()), "its ACK was late");
        let mut silent = lines.to_vec();
        silent[2].0 = 32_002;
        assert_eq!(one_attempt_at_a_time(&log(&silent), "441", 42_000_000), Ok(()), "it has said no for 32 s");
    }

    #[test]
    fn an_invite_that_comes_again_too_late_is_found() {
        let lines = |late| [(1, true, "INVITE", "x", 1, "", "g"), (late, true, "INVITE", "x", 1, "", "g")];
        assert_eq!(no_stale_invite(&log(&lines(31_000))), Ok(()));
        assert!(no_stale_invite(&log(&lines(32_100))).is_err());
    }

    #[test]
    fn an_old_owner_that_is_still_heard_is_found() {
        let fine = [
            (1, true, "INVITE", "x", 1, "", "g1"),
            (2, false, "200 INVITE", "x", 1, "t", "g1"),
            (3, true, "INVITE", "y", 100, "t", "g2"),
            (4, false, "200 INVITE", "y", 100, "t", "g2"),
            (5, true, "BYE", "z", 2, "t", "g1"),
            (6, false, "500 BYE", "z", 2, "t", "g1"),
        ];
        assert_eq!(one_owner_at_a_time(&log(&fine)), Ok(()));
        let mut wrong = fine.to_vec();
        wrong[5] = (6, false, "200 BYE", "z", 2, "t", "g1");
        assert!(one_owner_at_a_time(&log(&wrong)).is_err());
        wrong[4] = (5, true, "BYE", "z", 200, "t", "g1");
        assert!(one_owner_at_a_time(&log(&wrong)).unwrap_err().contains("adopter"));
        let lost = |owner: &str, _, _| owner == "g2";
        assert_eq!(one_owner_unless_lost(&log(&wrong), lost), Ok(()), "the adopter was lost");
        assert!(one_owner_unless_lost(&log(&wrong), |owner, _, _| owner == "g1").is_err());
    }

    #[test]
    fn a_second_too_many_and_a_talk_for_nothing_are_found() {
        let cdr = |billed_seconds| Cdr { billed_seconds, ..Cdr::default() };
        let call = |talked_us: u64| Report { answered_us: Some(7), ended_us: Some(7 + talked_us), ..Report::default() };
        assert_eq!(billed_as_seen(&cdr(4), &call(3_000_001)), Ok(()), "a started second counts");
        assert!(billed_as_seen(&cdr(4), &call(3_000_000)).unwrap_err().contains("4 s billed, 3 s seen"));
        assert!(billed_as_seen(&cdr(0), &call(3_000_000)).is_err(), "nothing for three seconds");
        assert_eq!(billed_as_seen(&cdr(0), &call(2_900_000)), Ok(()));
        let unanswered = Report { refused: Some(486), ..Report::default() };
        assert_eq!(billed_as_seen(&cdr(0), &unanswered), Ok(()));
        assert!(billed_as_seen(&cdr(1), &unanswered).is_err(), "a phone that never talked");
        let up = Report { answered_us: Some(7), ..Report::default() };
        assert!(billed_as_seen(&cdr(1), &up).is_err(), "a phone that is still up has seen no end");
    }
}
