//! Whether every leg has an end, and a record.

use std::collections::BTreeSet;

use super::Wrongs;
use crate::chaos::facts::{Cdr, Facts, Ring, TRANSACTION_US};
use crate::judge;
use crate::phone::Who;

/// A trouble casts its shadow so far: what was begun before it, and what is mended after it.
const SHADOW_US: u64 = 10_000_000;

/// Every phone that rang had its last word, and every one that was picked up was hung up by somebody.
pub fn nothing_is_left(facts: &Facts) -> Wrongs {
    let wrong = |ring: &Ring| match ring.said() {
        None if ring.was_noticed() => Some(format!("{} still rings ({})", ring.number, ring.call_id)),
        Some((200, _)) if ring.ended.is_none() => Some(format!("{} is still up ({})", ring.number, ring.call_id)),
        _ => None,
    };
    facts.rings.iter().filter_map(wrong).collect()
}

/// Nobody who picked up hears nothing until the phone gives up, if the gateway was there at all to hear that it was picked up.
pub fn answers_are_heard(facts: &Facts) -> Wrongs {
    let wrong = |ring: &Ring| {
        let at = ring.answered_us()?;
        let unheard = matches!(ring.ended, Some((_, Who::Timeout)));
        (unheard && facts.met_a_repeat(&ring.gateway, at, at + TRANSACTION_US))
            .then(|| format!("{} picked up and was left alone for 32 s ({})", ring.number, ring.call_id))
    };
    facts.rings.iter().filter_map(wrong).collect()
}

/// The very same INVITE comes again within 32 s or not at all: the phone has forgotten it by then.
pub fn no_invite_is_stale(facts: &Facts) -> Wrongs {
    judge::no_stale_invite(&facts.wire).err().into_iter().collect()
}

/// Once a call's adopter has spoken, its owner before is not heard any more, unless the adopter was lost in its turn.
pub fn one_owner_at_a_time(facts: &Facts) -> Wrongs {
    let lost = |owner: &str, from_us, until_us| {
        let ip = owner.split(':').next().unwrap_or_default();
        facts.absences.iter().any(|a| a.address == ip && a.until_us > from_us && a.from_us < until_us)
    };
    judge::one_owner_unless_lost(&facts.wire, lost).err().into_iter().collect()
}

/// As many CDRs as attempts. An attempt is a Call-ID at the first trunk; the second carries on what the first could not. A CDR whose
/// INVITE no phone saw is one that was written down when something broke: nobody was charged for it.
pub fn one_cdr_an_attempt(facts: &Facts) -> Wrongs {
    let numbers: BTreeSet<&str> = facts.rings.iter().map(|ring| ring.number.as_str()).collect();
    let seen: BTreeSet<&str> = facts.rings.iter().map(|ring| ring.call_id.as_str()).collect();
    let mut wrongs = Wrongs::new();
    let ids: BTreeSet<&str> = facts.cdrs.iter().map(|cdr| cdr.id.as_str()).collect();
    if ids.len() != facts.cdrs.len() {
        wrongs.push(format!("{} CDRs have only {} ids", facts.cdrs.len(), ids.len()));
    }
    for cdr in facts.cdrs.iter().filter(|cdr| !seen.contains(cdr.call_id.as_str())) {
        let mut broken = facts.broken(cdr.setup_us.saturating_sub(SHADOW_US), cdr.setup_us + SHADOW_US);
        let shadow = broken.next().is_some();
        if cdr.connected || cdr.cost != 0 || !shadow {
            wrongs.push(format!("{} has a CDR ({}) and no INVITE", cdr.number, cdr.id));
        }
    }
    for number in numbers {
        let at_first = |ring: &&Ring| ring.number == number && ring.trunk == 1;
        let dialled: BTreeSet<&str> = facts.rings.iter().filter(at_first).map(|ring| ring.call_id.as_str()).collect();
        let own = |cdr: &&Cdr| cdr.number.trim_start_matches('+') == number && seen.contains(cdr.call_id.as_str());
        let booked = facts.cdrs.iter().filter(own).count();
        if dialled.len() != booked {
            wrongs.push(format!("{number} was dialled {} times and has {booked} CDRs ({dialled:?})", dialled.len()));
        }
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{S, absence, accepted, facts, invite, request, ring};
    use super::*;
    use crate::chaos::facts::Breakage;

    #[test]
    fn an_invite_that_comes_again_too_late_and_a_second_owner_are_found() {
        let mut wrong = facts();
        wrong.wire.entries = vec![invite(1, "g"), invite(34, "g")];
        assert_eq!(no_invite_is_stale(&wrong).len(), 1);
        wrong.wire.entries.pop();
        assert_eq!(no_invite_is_stale(&wrong), Wrongs::new());
        let (own, adopted) =
            (request("INVITE", "z2", 2, "t", 3, "g:5068"), request("INVITE", "z3", 200, "t", 4, "h:5068"));
        let late = request("BYE", "z4", 300, "t", 9, "g:5068");
        wrong.wire.entries = [own, adopted].iter().flat_map(|r| [r.clone(), accepted(r)]).collect();
        assert_eq!(one_owner_at_a_time(&wrong), Wrongs::new());
        wrong.wire.entries.extend([late.clone(), accepted(&late)]);
        assert_eq!(one_owner_at_a_time(&wrong).len(), 1);
        wrong.absences.push(absence("h", 1, 3));
        assert_eq!(one_owner_at_a_time(&wrong).len(), 1, "it was away before it was the owner");
        wrong.absences.push(absence("h", 5, 7));
        assert_eq!(one_owner_at_a_time(&wrong), Wrongs::new(), "the adopter was lost");
    }

    #[test]
    fn a_phone_that_rings_on_and_one_that_is_still_up_are_found() {
        let mut facts = facts();
        facts.rings[0].word = None;
        assert_eq!(nothing_is_left(&facts).len(), 1);
        facts.rings[0].rang_us = None;
        assert_eq!(nothing_is_left(&facts), Wrongs::new(), "nobody noticed");
        facts.rings[1].ended = None;
        assert_eq!(nothing_is_left(&facts).len(), 1);
    }

    #[test]
    fn an_answer_into_nothing_is_found_unless_nobody_was_there() {
        let mut facts = facts();
        facts.rings[0].ended = Some((34 * S, Who::Timeout));
        assert_eq!(answers_are_heard(&facts).len(), 1);
        facts.absences.push(absence("g", 1, 31));
        assert_eq!(answers_are_heard(&facts), Wrongs::new());
    }

    #[test]
    fn a_missing_cdr_and_one_too_many_are_found() {
        let mut facts = facts();
        let spare = facts.cdrs.pop().unwrap();
        assert_eq!(one_cdr_an_attempt(&facts).len(), 1, "one is missing");
        facts.cdrs.push(spare.clone());
        facts.cdrs.push(Cdr {
            id: "j:b:2".to_owned(),
            call_id: "unseen".to_owned(),
            connected: false,
            cost: 0,
            ..spare
        });
        assert_eq!(one_cdr_an_attempt(&facts).len(), 1, "one has no INVITE");
        facts.breakages.push(Breakage { from_us: S, until_us: 2 * S, of_store: false });
        assert_eq!(one_cdr_an_attempt(&facts), Wrongs::new(), "it was written down when something broke");
        facts.cdrs[2].cost = 10_000;
        assert_eq!(one_cdr_an_attempt(&facts).len(), 1, "and charged");
        facts.cdrs[2] = facts.cdrs[0].clone();
        assert!(one_cdr_an_attempt(&facts).len() >= 2, "the same twice");
    }

    #[test]
    fn another_trunk_is_the_same_attempt() {
        let mut facts = facts();
        let mut first = ring("44100", 1);
        (first.call_id, first.word, first.ended) = ("c0".to_owned(), Some((503, vec![S])), None);
        facts.rings[0].trunk = 2;
        facts.rings.push(first);
        assert_eq!(one_cdr_an_attempt(&facts), Wrongs::new());
    }
}
