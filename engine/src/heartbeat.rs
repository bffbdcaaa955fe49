//! The engine's beat: proof of life, and the licence to send.
//!
//! Each second the engine raises its beat. A beat that was written opens the gate for four seconds, counted from before the
//! statement was sent, by a clock that goes on while the process is stopped. When the gate has closed, nothing is sent until
//! the store was asked: the row is unchanged (go on), it belongs to somebody else (drop everything), or there is no answer
//! (cut off: live calls go on to what is paid for, nothing new begins). An unanswered question is good for four seconds too,
//! counted from before it was asked, so a store that is away silences nobody. A process that was stopped for longer may have
//! been adopted meanwhile: its unanswered questions are good for nothing until the store has answered once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ringback_common::store::{Beat, Me, OwnedRequest, Peer, Store};
use tokio::sync::mpsc;

use crate::gate::{Gate, boot_ms};

/// How often.
const PERIOD: Duration = Duration::from_secs(1);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one beat lets us send.
const LICENCE_MS: u64 = 4_000;
/// How many unchanged reads make a peer dead.
const READS_UNTIL_DEAD: u32 = 5;
/// After a late beat of our own we judge nobody for so long.
const MODESTY_MS: u64 = 20_000;

/// What the beat finds.
#[derive(Debug)]
pub enum Finding {
    /// Our name belongs to somebody else: drop every call, send nothing, exit.
    Fenced,
    /// A peer went silent and its requests are ours now; it was first seen silent this long ago.
    Adopted {
        /// Its requests.
        requests: Vec<OwnedRequest>,
        /// How long its beat has stood still.
        silent_for: Duration,
    },
}

/// Beats until the process ends; `findings` hears what matters. The registration, which was asked for at `registered_at` and
/// answered, is the first beat: it opens the gate.
pub async fn run(store: Store, me: Me, registered_at: u64, gate: Arc<Gate>, findings: mpsc::Sender<Finding>) {
    let mut watch = Watch::default();
    let mut licence = Licence::of(registered_at);
    gate.open_until(registered_at + LICENCE_MS);
    let mut ticker = tokio::time::interval(PERIOD);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticker.tick().await;
        let late = licence.asks(boot_ms());
        let mut answer = ask(&store, &me).await;
        if late && answer.is_none() {
            answer = ask(&store, &me).await; // the first question may have died with an old connection
        }
        gate.open_until(licence.after(answer));
        match answer {
            Some(Beat::Alive) => {}
            Some(Beat::Fenced) => {
                let _ = findings.send(Finding::Fenced).await;
                return;
            }
            None => {
                watch.forget(boot_ms());
                continue;
            }
        }
        if late {
            watch.forget(boot_ms());
        }
        judge_peers(&store, &me, &mut watch, &findings).await;
    }
}

/// Until when we may send. Pure: told the moment, in milliseconds of CLOCK_BOOTTIME.
#[derive(Debug)]
struct Licence {
    last_asked: u64,
    last_answered: u64,
    /// Our own questions have had a hole since the store answered last: we were stopped, and may have been adopted.
    hole: bool,
}

impl Licence {
    fn of(registered_at: u64) -> Licence {
        Licence { last_asked: registered_at, last_answered: registered_at, hole: false }
    }

    /// A question is about to be asked; answers whether the last answer is older than it was good for.
    fn asks(&mut self, now: u64) -> bool {
        self.hole |= now.saturating_sub(self.last_asked) > LICENCE_MS;
        self.last_asked = now;
        now.saturating_sub(self.last_answered) > LICENCE_MS
    }

    /// The question was answered, or was not: the gate is open until this moment.
    fn after(&mut self, answer: Option<Beat>) -> u64 {
        match answer {
            Some(Beat::Alive) => (self.last_answered, self.hole) = (self.last_asked, false),
            Some(Beat::Fenced) => return 0,
            None if self.hole => return 0,
            None => {}
        }
        self.last_asked + LICENCE_MS
    }
}

/// The store's answer, if it gives one in time.
async fn ask(store: &Store, me: &Me) -> Option<Beat> {
    tokio::time::timeout(PATIENCE, store.beat(me)).await.ok()?.ok()
}

async fn judge_peers(store: &Store, me: &Me, watch: &mut Watch, findings: &mpsc::Sender<Finding>) {
    let Ok(Ok(peers)) = tokio::time::timeout(PATIENCE, store.peers(me)).await else {
        watch.forget(boot_ms());
        return;
    };
    for (dead, silent_for) in watch.read(&peers, boot_ms()) {
        // Beside the beat: an engine with many calls takes a while to adopt, and our own heart must not stop for it.
        tokio::spawn(adopt(store.clone(), me.clone(), dead, silent_for, findings.clone()));
    }
}

async fn adopt(store: Store, me: Me, dead: Peer, silent_for: Duration, findings: mpsc::Sender<Finding>) {
    match store.adopt(&dead, &me).await {
        Ok(Some(requests)) => {
            tracing::warn!(engine = dead.id, calls = requests.len(), "adopted the calls of a silent engine");
            let _ = findings.send(Finding::Adopted { requests, silent_for }).await;
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(engine = dead.id, %error, "could not adopt the calls of a silent engine"),
    }
}

/// What we have seen of the others. Pure: told the moment, in milliseconds of CLOCK_BOOTTIME.
#[derive(Debug, Default)]
struct Watch {
    seen: HashMap<String, Sighting>,
    modest_until: u64,
}

#[derive(Debug)]
struct Sighting {
    peer: Peer,
    first_seen: u64,
    unchanged: u32,
}

impl Watch {
    /// A read or a beat of ours failed or came late: who cannot read the clock judges nobody.
    fn forget(&mut self, now: u64) {
        self.seen.clear();
        self.modest_until = now + MODESTY_MS;
    }

    /// One successful read of all peers; answers those that have stood still for five reads, and for how long.
    fn read(&mut self, peers: &[Peer], now: u64) -> Vec<(Peer, Duration)> {
        self.seen.retain(|id, _| peers.iter().any(|peer| peer.id == *id));
        let mut dead = Vec::new();
        for peer in peers {
            match self.seen.get_mut(&peer.id) {
                Some(sighting) if sighting.peer == *peer => {
                    sighting.unchanged += 1;
                    if sighting.unchanged >= READS_UNTIL_DEAD && now >= self.modest_until {
                        sighting.unchanged = 0;
                        dead.push((peer.clone(), Duration::from_millis(now.saturating_sub(sighting.first_seen))));
                    }
                }
                _ => {
                    let sighting = Sighting { peer: peer.clone(), first_seen: now, unchanged: 0 };
                    self.seen.insert(peer.id.clone(), sighting);
                }
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(beat: i64) -> Peer {
        Peer { id: "other".to_owned(), incarnation: 1, beat }
    }

    #[test]
    fn a_store_that_is_away_silences_nobody() {
        let mut licence = Licence::of(0);
        for second in 1..60 {
            licence.asks(second * 1_000);
            assert_eq!(licence.after(None), second * 1_000 + LICENCE_MS, "second {second}");
        }
    }

    #[test]
    fn who_was_stopped_stays_silent_until_the_store_has_answered_once() {
        let mut licence = Licence::of(0);
        licence.asks(1_000);
        assert_eq!(licence.after(Some(Beat::Alive)), 5_000);
        for second in 21..40 {
            licence.asks(second * 1_000);
            assert_eq!(licence.after(None), 0, "second {second}: nobody knows whose the calls are");
        }
        licence.asks(40_000);
        assert_eq!(licence.after(Some(Beat::Alive)), 44_000);
        licence.asks(41_000);
        assert_eq!(licence.after(None), 45_000, "a store that goes away again silences nobody");
    }

    #[test]
    fn who_was_stopped_within_a_question_stays_silent_as_well() {
        let mut licence = Licence::of(0);
        assert!(!licence.asks(1_000));
        assert_eq!(licence.after(None), 5_000, "over by the time the process goes on");
        assert!(licence.asks(21_000));
        assert_eq!(licence.after(None), 0);
        assert_eq!(licence.after(Some(Beat::Fenced)), 0);
    }

    #[test]
    fn a_peer_is_dead_after_five_reads_without_a_beat() {
        let mut watch = Watch::default();
        for second in 0..5 {
            assert!(watch.read(&[peer(7)], second * 1_000).is_empty());
        }
        let dead = watch.read(&[peer(7)], 5_000);
        assert_eq!(dead, [(peer(7), Duration::from_secs(5))]);
    }

    #[test]
    fn a_beat_in_between_begins_anew() {
        let mut watch = Watch::default();
        for second in 0..20 {
            assert!(watch.read(&[peer(second / 4)], u64::try_from(second).unwrap() * 1_000).is_empty());
        }
    }

    #[test]
    fn who_was_late_itself_adopts_nobody_for_twenty_seconds() {
        let mut watch = Watch::default();
        watch.forget(0);
        for second in 0..20 {
            assert!(watch.read(&[peer(7)], second * 1_000).is_empty(), "second {second}");
        }
        assert_eq!(watch.read(&[peer(7)], 20_000).len(), 1);
    }

    #[test]
    fn a_failed_read_begins_anew() {
        let mut watch = Watch::default();
        for second in 0..4 {
            watch.read(&[peer(7)], second * 1_000);
        }
        watch.forget(4_000);
        assert!(watch.read(&[peer(7)], 30_000).is_empty(), "the first read after it only looks");
    }
}
