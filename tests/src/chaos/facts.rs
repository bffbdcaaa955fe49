//! What a run left behind, as phones, queues, tables and receivers saw it. Plain data: judges read nothing else.
//!
//! Moments are microseconds of [`crate::clock`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::Shape;
use crate::phone::{Log, Report, Who};

/// How long a transaction lives (timers B, H, I, L).
pub const TRANSACTION_US: u64 = 32_000_000;
/// A process that is there for so long meets at least one repeat of what a phone says until it is acknowledged.
const MEETS_A_REPEAT_US: u64 = 5_000_000;
/// A store that takes writes again is used again within that time.
const SETTLES_WITHIN_US: u64 = 2_000_000;

/// One INVITE transaction at a phone.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Who was called.
    pub number: String,
    /// Through which trunk: 1 or 2.
    pub trunk: u8,
    /// Call-ID.
    pub call_id: String,
    /// The gateway's address.
    pub gateway: String,
    /// When the INVITE came.
    pub invite_us: u64,
    /// Its Expires.
    pub expires_us: u64,
    /// When its phone began to ring.
    pub rang_us: Option<u64>,
    /// The phone's last word: its code, and every time it was said.
    pub word: Option<(u16, Vec<u64>)>,
    /// When that was acknowledged.
    pub acked_us: Option<u64>,
    /// When and by whom an answered call was ended.
    pub ended: Option<(u64, Who)>,
    /// How long the phone's BYE was under way, there and back.
    pub bye_us: Option<u64>,
}

impl Ring {
    /// Every transaction that reached the phones of a trunk.
    pub fn all(reports: &[Report], log: &Log, trunk: u8) -> Vec<Ring> {
        let mut by_branch: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut acks: BTreeMap<(&str, u32, &str), u64> = BTreeMap::new();
        for (place, entry) in log.entries.iter().enumerate() {
            by_branch.entry(&entry.branch).or_default().push(place);
            if entry.method == "ACK" {
                acks.entry((&entry.call_id, entry.cseq, &entry.to_tag)).or_insert(entry.at_us);
            }
        }
        let ring = |report: &Report| {
            let own = || by_branch.get(report.branch.as_str()).into_iter().flatten().map(|place| &log.entries[*place]);
            let invite = own().find(|entry| entry.opens());
            let expires = invite.and_then(|entry| header(&entry.text, "Expires")?.parse::<u64>().ok()).unwrap_or(180);
            let said = |least: u16| {
                own().filter(move |e| {
                    !e.from_gateway && e.method == "INVITE" && e.status.is_some_and(|code| code >= least)
                })
            };
            let word = said(200).next().and_then(|first| first.status);
            let cseq = invite.map_or(0, |entry| entry.cseq);
            Ring {
                number: report.number.clone(),
                trunk,
                call_id: report.call_id.clone(),
                gateway: report.gateway.split(':').next().unwrap_or_default().to_owned(),
                invite_us: report.invite_us,
                expires_us: expires * 1_000_000,
                rang_us: report.ringing_us,
                word: word.map(|code| (code, said(200).map(|entry| entry.at_us).collect())),
                acked_us: acks.get(&(report.call_id.as_str(), cseq, report.tag.as_str())).copied(),
                ended: report.ended_us.zip(report.ended_by),
                bye_us: report.ended_us.zip(report.bye_answered_us).map(|(from, to)| to.saturating_sub(from)),
            }
        };
        reports.iter().map(ring).collect()
    }

    /// The code of the last word, and when it was first said.
    pub fn said(&self) -> Option<(u16, u64)> {
        self.word.as_ref().and_then(|(code, times)| Some((*code, *times.first()?)))
    }

    /// Refused for want of credentials: nobody's phone.
    pub fn is_challenge(&self) -> bool {
        matches!(self.said(), Some((401 | 407 | 422, _)))
    }

    /// When it was picked up.
    pub fn answered_us(&self) -> Option<u64> {
        self.said().filter(|(code, _)| code / 100 == 2).map(|(_, at)| at)
    }

    /// Said no in a way that forbids another ring.
    pub fn declined(&self) -> bool {
        matches!(self.said(), Some((403 | 404 | 410 | 433 | 484 | 485 | 603 | 604 | 607 | 608, _)))
    }

    /// Whether a person noticed: it rang, or had a word that only a person has.
    pub fn was_noticed(&self) -> bool {
        !self.is_challenge() && (self.rang_us.is_some() || self.answered_us().is_some() || self.declined())
    }

    /// From answer to end.
    pub fn talk_us(&self) -> Option<u64> {
        Some(self.ended?.0.saturating_sub(self.answered_us()?))
    }
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// A time in which a process of the gateway was dead or frozen.
#[derive(Clone, Debug, PartialEq)]
pub struct Absence {
    /// Its address.
    pub address: String,
    /// From then on.
    pub from_us: u64,
    /// Until then.
    pub until_us: u64,
    /// Dead; else frozen, so that what came meanwhile is heard late.
    pub dead: bool,
}

/// A time in which something was broken.
#[derive(Clone, Debug)]
pub struct Breakage {
    /// From then on.
    pub from_us: u64,
    /// Until then.
    pub until_us: u64,
    /// The store: nothing could be written, or not by everybody.
    pub of_store: bool,
}

/// A RELEASE that was sent.
#[derive(Clone, Debug)]
pub struct Release {
    /// A and B, as they are called.
    pub numbers: [String; 2],
    /// When its REQUEST was sent first.
    pub asked_us: u64,
    /// When it was sent.
    pub at_us: u64,
}

/// A row of `callback_requests`.
#[derive(Clone, Debug)]
pub struct Request {
    /// Job.
    pub job: String,
    /// Second party.
    pub b: String,
    /// Over.
    pub finished: bool,
    /// How it ended.
    pub result: String,
}

/// A row of `call_records`.
#[derive(Clone, Debug, Default)]
pub struct Cdr {
    /// `job:leg:attempt`.
    pub id: String,
    /// Job.
    pub job: String,
    /// Who was called.
    pub number: String,
    /// Who paid.
    pub account: String,
    /// Call-ID of its last try.
    pub call_id: String,
    /// When its INVITE was written down.
    pub setup_us: u64,
    /// Whether it was answered.
    pub connected: bool,
    /// From answer to end.
    pub duration_ms: i64,
    /// Seconds charged.
    pub billed_seconds: i64,
    /// Micro-units charged.
    pub cost: i64,
    /// Micro-units that nobody paid.
    pub uncovered: i64,
    /// Number of the money movement.
    pub account_seq: Option<i64>,
    /// Why it ended.
    pub cause: String,
}

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// As it stands in the ledger: `account:1`.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Micro-units.
    pub balance: i64,
    /// Micro-units held.
    pub held: i64,
}

/// One side of a posting.
#[derive(Clone, Debug)]
pub struct Posting {
    /// What belongs together.
    pub entry: String,
    /// `account:1`, `revenue`, `cash`.
    pub account: String,
    /// Micro-units.
    pub amount: i64,
    /// Of the customer's account.
    pub seq: i64,
}

/// An event, on a queue or in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// What it says.
    pub data: Value,
}

impl News {
    /// Reads the envelope; an unreadable one has no id.
    pub fn of(envelope: &Value) -> News {
        let text = |name: &str| envelope[name].as_str().unwrap_or_default().to_owned();
        News { id: text("id"), kind: text("type"), data: envelope["data"].clone() }
    }
}

/// What became of a REQUEST: everything the application server heard of it.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Acknowledged with `code=ok`.
    pub acked: bool,
    /// The durations of its RESPONSEs.
    pub responses: Vec<String>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What was run.
    pub shape: Shape,
    /// Every INVITE transaction, by time.
    pub rings: Vec<Ring>,
    /// Times in which processes were away.
    pub absences: Vec<Absence>,
    /// Every SIP message.
    pub wire: Log,
    /// Where the application server's datagrams went.
    pub iif: String,
    /// RELEASEs.
    pub releases: Vec<Release>,
    /// Times in which anything at all was broken.
    pub breakages: Vec<Breakage>,
    /// Jobs whose text was answered "accepted".
    pub accepted: Vec<String>,
    /// Numbers that must not be called from then on: a cancel or STOP that was confirmed.
    pub forbidden: Vec<(String, u64)>,
    /// Top-ups that were confirmed, and those that may have been: account, micro-units.
    pub topped: Vec<(String, i64, bool)>,
    /// Requests by REQUEST.
    pub served: BTreeMap<String, Served>,
    /// The rows.
    pub requests: Vec<Request>,
    /// The CDRs.
    pub cdrs: Vec<Cdr>,
    /// The accounts.
    pub accounts: Vec<Account>,
    /// The ledger.
    pub ledger: Vec<Posting>,
    /// Rows of `holds`.
    pub holds: i64,
    /// The outbox: what is to be told, and whether it was.
    pub outbox: Vec<(News, bool)>,
    /// What the billing system took off its queue.
    pub feed: Vec<News>,
    /// What the log of events holds.
    pub log: Vec<News>,
    /// Replies that reached a sender: job and kind.
    pub replies: Vec<(String, String)>,
    /// What is wrong with the processes themselves: one that ended by itself, one that panicked, one that never came to rest.
    pub complaints: Vec<String>,
}

impl Facts {
    /// Transactions that were no challenge, by number, each number's by time.
    pub fn by_number(&self) -> BTreeMap<&str, Vec<&Ring>> {
        let mut numbers: BTreeMap<&str, Vec<&Ring>> = BTreeMap::new();
        for ring in self.rings.iter().filter(|ring| !ring.is_challenge()) {
            numbers.entry(&ring.number).or_default().push(ring);
        }
        numbers
    }

    /// Whether the process at an address was dead at a moment.
    pub fn was_dead(&self, address: &str, at_us: u64) -> bool {
        self.absences.iter().any(|a| a.dead && a.address == address && a.from_us <= at_us && at_us < a.until_us)
    }

    /// Whether the process at an address was there, with a store that takes what it hears, for long enough in one piece to meet a
    /// repeat within this time: nothing is acknowledged that is not stored.
    pub fn met_a_repeat(&self, address: &str, from_us: u64, until_us: u64) -> bool {
        let absences = self.absences.iter().filter(|a| a.address == address).map(|a| (a.from_us, a.until_us));
        let store = self.breakages.iter().filter(|b| b.of_store).map(|b| (b.from_us, b.until_us + SETTLES_WITHIN_US));
        let mut away: Vec<(u64, u64)> = absences.chain(store).filter(|(a, b)| *b > from_us && *a < until_us).collect();
        away.sort_unstable();
        let mut there_since = from_us;
        for (gone_us, back_us) in away {
            if gone_us.saturating_sub(there_since) >= MEETS_A_REPEAT_US {
                return true;
            }
            there_since = there_since.max(back_us);
        }
        until_us.saturating_sub(there_since) >= MEETS_A_REPEAT_US
    }

    /// Whether any process was away between these moments.
    pub fn somebody_was_away(&self, from_us: u64, until_us: u64) -> bool {
        self.absences.iter().any(|a| a.until_us > from_us && a.from_us < until_us)
    }

    /// What was broken between these moments.
    pub fn broken(&self, from_us: u64, until_us: u64) -> impl Iterator<Item = &Breakage> {
        self.breakages.iter().filter(move |b| b.until_us > from_us && b.from_us < until_us)
    }
}

#[cfg(test)]
mod tests {
    use super::super::judges::testkit;
    use super::*;

    #[test]
    fn a_process_that_is_there_for_five_seconds_in_one_piece_meets_a_repeat() {
        let mut facts = testkit::facts();
        let away = |from_s: u64, until_s: u64| Absence {
            address: "g".to_owned(),
            from_us: from_s * 1_000_000,
            until_us: until_s * 1_000_000,
            dead: true,
        };
        facts.absences = vec![away(10, 20), away(24, 40)];
        let met = |facts: &Facts, from: u64, until: u64| facts.met_a_repeat("g", from * 1_000_000, until * 1_000_000);
        assert!(!met(&facts, 12, 40) && !met(&facts, 20, 30) && !met(&facts, 8, 41));
        assert!(met(&facts, 4, 12) && met(&facts, 12, 46) && facts.met_a_repeat("h", 0, 5_000_000));
        facts.breakages.push(Breakage { from_us: 41_000_000, until_us: 42_000_000, of_store: true });
        assert!(!met(&facts, 12, 46) && met(&facts, 12, 49), "two seconds to settle");
        assert!(facts.was_dead("g", 15_000_000) && !facts.was_dead("g", 22_000_000));
    }
}
