//! Whose phone may ring, and when.

use super::Wrongs;
use crate::chaos::facts::{Absence, Facts, Release, Ring, TRANSACTION_US};
use crate::chaos::plan::Shape;

/// Our clock and the gateway's are the same; what it waits for may be early by so much, for it counts from before the INVITE.
const EARLY_US: u64 = 300_000;

/// Pairs of rings of one number, the earlier first.
fn pairs(facts: &Facts) -> impl Iterator<Item = (&Ring, &Ring)> {
    facts.by_number().into_values().flat_map(|rings| {
        let later = |n: usize| rings[n + 1..].to_vec();
        rings
            .iter()
            .enumerate()
            .flat_map(|(n, earlier)| later(n).into_iter().map(move |l| (*earlier, l)))
            .collect::<Vec<_>>()
    })
}

/// What is heard is done within that time.
const A_MOMENT_US: u64 = 3_000_000;

fn after(earlier: u64, later: u64) -> String {
    format!("{:.3} s later", later.saturating_sub(earlier) as f64 / 1e6)
}

/// Excused is only an answer that nobody could hear: never acknowledged, and nobody at the address it went to while it was said.
pub fn never_after_an_answer(facts: &Facts) -> Wrongs {
    let wrong = |(earlier, later): (&Ring, &Ring)| {
        let at = earlier.answered_us().filter(|at| later.invite_us > *at)?;
        let until = (at + TRANSACTION_US).min(later.invite_us);
        let could_be_heard = earlier.acked_us.is_some() || facts.met_a_repeat(&earlier.gateway, at, until);
        let said = if earlier.acked_us.is_some() { "acknowledged" } else { "not acknowledged" };
        could_be_heard.then(|| {
            format!(
                "{} answered ({}, {said}) and was called again {}",
                later.number,
                earlier.call_id,
                after(at, later.invite_us)
            )
        })
    };
    pairs(facts).filter_map(wrong).collect()
}

/// Excused is only a no that went to an address where nobody was; with several engines also one that was not acknowledged while
/// some process was away: another engine may have taken the call over, and the phone tells it nothing.
pub fn never_after_a_no(facts: &Facts) -> Wrongs {
    let wrong = |(earlier, later): (&Ring, &Ring)| {
        let (code, at) = earlier.said().filter(|(_, at)| earlier.declined() && later.invite_us > *at)?;
        let until = (at + TRANSACTION_US).min(later.invite_us);
        let taken_over = facts.shape == Shape::Big && facts.somebody_was_away(earlier.invite_us, until);
        let could_be_heard =
            earlier.acked_us.is_some() || !taken_over && facts.met_a_repeat(&earlier.gateway, at, until);
        could_be_heard.then(|| {
            format!(
                "{} said {code} ({}) and was called again {}",
                later.number,
                earlier.call_id,
                after(at, later.invite_us)
            )
        })
    };
    pairs(facts).filter_map(wrong).collect()
}

/// No phone gets an INVITE while it still rings of an earlier one.
pub fn one_at_a_time(facts: &Facts) -> Wrongs {
    let wrong = |(earlier, later): (&Ring, &Ring)| {
        let rings = earlier.rang_us.is_some_and(|at| at < later.invite_us);
        let still = earlier.said().is_none_or(|(_, at)| at > later.invite_us);
        (rings && still).then(|| {
            format!("{} still rang ({}) when it was called again ({})", later.number, earlier.call_id, later.call_id)
        })
    };
    pairs(facts).filter_map(wrong).collect()
}

/// Where the gateway cannot have heard how a ringing ended, it waits for INVITE + Expires + 32 s.
pub fn unknown_ends_are_waited_for(facts: &Facts) -> Wrongs {
    let wrong = |(earlier, later): (&Ring, &Ring)| {
        let times = earlier.word.as_ref().map_or(&[][..], |(_, times)| times);
        let before = times.iter().filter(|at| **at < later.invite_us);
        let heard = earlier.acked_us.is_some_and(|at| at < later.invite_us)
            || before.into_iter().any(|at| !facts.was_dead(&earlier.gateway, *at));
        let waited = later.invite_us + EARLY_US >= earlier.invite_us + earlier.expires_us + TRANSACTION_US;
        (earlier.was_noticed() && !heard && !waited).then(|| {
            format!(
                "{} was called again {} though nobody can have heard how the ringing before ended ({})",
                later.number,
                after(earlier.invite_us, later.invite_us),
                earlier.call_id
            )
        })
    };
    pairs(facts).filter_map(wrong).collect()
}

/// A second party whose phone has rung is not called again, by whatever trunk.
pub fn b_rings_once(facts: &Facts) -> Wrongs {
    let is_b = |number: &str| facts.requests.iter().any(|request| request.b.trim_start_matches('+') == number);
    let wrong = |(earlier, later): (&Ring, &Ring)| {
        (earlier.was_noticed() && is_b(&later.number))
            .then(|| format!("{} is a B and rang twice ({} and {})", later.number, earlier.call_id, later.call_id))
    };
    pairs(facts).filter_map(wrong).collect()
}

/// No INVITE is written down for a number once its cancel or STOP was confirmed.
pub fn never_after_a_cancel(facts: &Facts) -> Wrongs {
    let wrong = |(number, at): &(String, u64)| {
        let late = facts.cdrs.iter().find(|cdr| cdr.number == *number && cdr.setup_us > *at)?;
        Some(format!("{number} was called {} ({})", after(*at, late.setup_us), late.id))
    };
    facts.forbidden.iter().filter_map(wrong).collect()
}

/// A RELEASE behind its REQUEST lets nobody be called any more. It was certainly heard where the trigger was never away since the
/// REQUEST; what it says takes a moment, or as long as nothing can be written.
pub fn a_release_ends_its_call(facts: &Facts) -> Wrongs {
    let wrong = |release: &Release| {
        let heard_until = release.at_us + A_MOMENT_US;
        let away = |a: &&Absence| a.address == facts.iif && a.until_us > release.asked_us && a.from_us < heard_until;
        if facts.absences.iter().any(|absence| away(&absence)) {
            return None;
        }
        let own = |ring: &&Ring| release.numbers.contains(&ring.number) && ring.invite_us > heard_until;
        let late = facts.rings.iter().find(own)?;
        let store_was_away = facts.broken(release.asked_us, late.invite_us).any(|breakage| breakage.of_store);
        (!store_was_away).then(|| {
            format!(
                "{} was called {} than its RELEASE ({})",
                late.number,
                after(release.at_us, late.invite_us),
                late.call_id
            )
        })
    };
    facts.releases.iter().filter_map(wrong).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{S, absence, facts, ring};
    use super::*;
    use crate::chaos::facts::Breakage;

    /// Two rings of A; the first had this word at second 2.
    fn twice(code: u16, second_at: u64) -> Facts {
        let mut facts = facts();
        let mut first = ring("44100", 1);
        first.ended = None;
        first.word = Some((code, vec![2 * S]));
        facts.rings = vec![first, ring("44100", second_at)];
        facts
    }

    #[test]
    fn a_ring_after_an_answer_is_found_unless_nobody_could_hear_it() {
        let mut facts = twice(200, 50);
        assert_eq!(never_after_an_answer(&facts).len(), 1);
        facts.rings[0].acked_us = None;
        assert_eq!(never_after_an_answer(&facts).len(), 1, "somebody was there");
        facts.absences.push(absence("g", 1, 40));
        assert_eq!(never_after_an_answer(&facts), Wrongs::new());
        facts.absences[0].until_us = 20 * S;
        assert_eq!(never_after_an_answer(&facts).len(), 1, "somebody came back in time to hear a repeat");
    }

    #[test]
    fn a_ring_after_a_no_is_found_and_one_after_busy_is_none() {
        assert_eq!(never_after_a_no(&twice(603, 50)).len(), 1);
        assert_eq!(never_after_a_no(&twice(486, 50)), Wrongs::new());
        let mut facts = twice(603, 50);
        facts.rings[0].acked_us = None;
        facts.absences.push(absence("g", 1, 10));
        assert_eq!(never_after_a_no(&facts).len(), 1);
        facts.shape = Shape::Big;
        assert_eq!(never_after_a_no(&facts), Wrongs::new(), "another engine may have taken it over");
    }

    #[test]
    fn two_invites_at_once_are_found() {
        let mut facts = twice(487, 50);
        assert_eq!(one_at_a_time(&facts), Wrongs::new());
        facts.rings[0].word = Some((487, vec![51 * S]));
        assert_eq!(one_at_a_time(&facts).len(), 1);
        facts.rings[0].word = None;
        assert_eq!(one_at_a_time(&facts).len(), 1);
    }

    #[test]
    fn an_end_that_nobody_heard_is_waited_for() {
        let mut facts = twice(486, 40);
        facts.rings[0].acked_us = None;
        assert_eq!(unknown_ends_are_waited_for(&facts), Wrongs::new(), "somebody heard it");
        facts.absences.push(absence("g", 1, 10));
        assert_eq!(unknown_ends_are_waited_for(&facts).len(), 1, "1 + 8 + 32 is 41");
        facts.rings[1].invite_us = 41 * S;
        assert_eq!(unknown_ends_are_waited_for(&facts), Wrongs::new());
    }

    #[test]
    fn a_second_ring_of_a_b_is_found_and_a_detour_is_none() {
        let mut facts = facts();
        facts.rings.push(ring("44200", 30));
        assert_eq!(b_rings_once(&facts).len(), 1);
        let b = facts.rings.iter_mut().find(|ring| ring.number == "44200").unwrap();
        (b.rang_us, b.word) = (None, Some((503, vec![2 * S])));
        assert_eq!(b_rings_once(&facts), Wrongs::new());
    }

    #[test]
    fn a_release_that_was_dropped_is_found_unless_it_could_not_be_heard_or_written() {
        let mut wrong = twice(486, 30);
        wrong.releases.push(Release { numbers: ["44100", "44200"].map(str::to_owned), asked_us: S, at_us: 10 * S });
        assert_eq!(a_release_ends_its_call(&wrong).len(), 1);
        let mut unheard = wrong.clone();
        unheard.absences.push(absence("i", 9, 11));
        assert_eq!(a_release_ends_its_call(&unheard), Wrongs::new());
        wrong.breakages.push(Breakage { from_us: 9 * S, until_us: 20 * S, of_store: true });
        assert_eq!(a_release_ends_its_call(&wrong), Wrongs::new());
        wrong.breakages[0].of_store = false;
        assert_eq!(a_release_ends_its_call(&wrong).len(), 1);
    }

    #[test]
    fn an_invite_after_a_confirmed_cancel_is_found() {
        let mut facts = facts();
        facts.forbidden.push(("+44100".to_owned(), 2 * S));
        assert_eq!(never_after_a_cancel(&facts), Wrongs::new());
        facts.forbidden.push(("+44100".to_owned(), S / 2));
        assert_eq!(never_after_a_cancel(&facts).len(), 1);
    }
}
