//! One crash: the gateway dies at a named point, comes back, and the phones, the books and the queues are asked what happened.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::billing::{self, Broker};
use crate::judge::{self, Verdict};
use crate::peers::Peers;
use crate::phone::{Bank, Challenge, Manner};
use crate::probe::Cdr;
use crate::site::{Part, Running, SECRET, SENDER, Site};
use crate::story::{A, B, OPENING, SOON, millis, secs};
use crate::{clock, sms};

/// The phones' own password.
const TRUNK_PASSWORD: &str = "knock knock";

/// One crash and what may follow.
pub struct Crash {
    failpoint: String,
    restart_after: Duration,
    a: Vec<Manner>,
    b: Vec<Manner>,
    no_answer: u64,
    orphan: Duration,
    password: bool,
    big: bool,
    settings: Vec<(&'static str, &'static str)>,
    again: Option<&'static str>,
    meanwhile: &'static [&'static str],
}

impl Crash {
    /// Dies at this failpoint, restarts after that time; A and B answer soon and B hangs up after 6 s of talk.
    pub fn at(failpoint: &str, restart_after: Duration) -> Crash {
        Crash {
            failpoint: failpoint.to_owned(),
            restart_after,
            a: vec![Manner::answers(millis(600)).plays(700)],
            b: vec![Manner::answers(millis(600)).plays(1100).hangs_up_after(secs(6))],
            no_answer: 10,
            orphan: secs(5),
            password: false,
            big: false,
            settings: Vec::new(),
            again: None,
            meanwhile: &[],
        }
    }

    /// While the gateway is away somebody does this to its database, in SQL.
    pub fn meanwhile(self, sql: &'static [&'static str]) -> Crash {
        Crash { meanwhile: sql, ..self }
    }

    /// With this setting of the site.
    pub fn set(mut self, key: &'static str, value: &'static str) -> Crash {
        self.settings.push((key, value));
        self
    }

    /// Dies once more, at this failpoint, when it comes back.
    pub fn and_again_at(self, failpoint: &'static str) -> Crash {
        Crash { again: Some(failpoint), ..self }
    }

    /// An engine of its own, on PostgreSQL and RabbitMQ, with the trigger beside it.
    pub fn on_the_big_shape(self) -> Crash {
        Crash { big: true, ..self }
    }

    /// A behaves so, one manner an attempt.
    pub fn a(self, manners: Vec<Manner>) -> Crash {
        Crash { a: manners, ..self }
    }

    /// B behaves so, one manner an attempt.
    pub fn b(self, manners: Vec<Manner>) -> Crash {
        Crash { b: manners, ..self }
    }

    /// Nobody may be left on a line longer than this after the gateway is back.
    pub fn orphans_end_within(self, limit: Duration) -> Crash {
        Crash { orphan: limit, ..self }
    }

    /// A phone may ring so many seconds.
    pub fn no_answer(self, seconds: u64) -> Crash {
        Crash { no_answer: seconds, ..self }
    }

    /// The trunk asks for a password (401) before any phone rings.
    pub fn behind_a_password(mut self) -> Crash {
        self.password = true;
        let ask = |manner: Manner| manner.asks(Challenge::new(401, "gw", TRUNK_PASSWORD));
        self.a = self.a.into_iter().map(ask).collect();
        self.b = self.b.into_iter().map(ask).collect();
        self
    }

    /// Lets it happen, and judges it.
    pub fn happens(self) -> Aftermath {
        let peers = self.big.then(Peers::shared);
        let site = self.site(peers.as_deref());
        let phones = self.phones(&site);
        let (part, other) = self.parts();
        let beside = other.map(|part| site.start(part));
        let trigger = beside.as_ref().filter(|_| matches!(part, Part::Engine(_)));
        let door = SocketAddr::new(trigger.map_or(site.ip(), |trigger| trigger.ip), 8081);
        let mut dying = site.start_at(part, site.ip(), Some(&self.failpoint)).expect("the gateway's binary starts");
        dying.wait_ready();
        let text = sms::text("alice", crate::site::PIN, A, B);
        let _ = sms::send(door, SECRET, "text-1", SENDER, &text); // the answer may die with the gateway: the source repeats
        let crash_us = dying.process.wait_killed(secs(40));
        for sql in self.meanwhile {
            assert!(site.probe().execute(sql) > 0, "{sql}");
        }
        std::thread::sleep(self.restart_after);
        if let Some(failpoint) = self.again {
            let mut dying = site.start_at(part, site.ip(), Some(failpoint)).expect("the gateway's binary starts");
            dying.process.wait_killed(secs(40));
            std::thread::sleep(self.restart_after);
        }
        let mut gateway = site.start_at(part, site.ip(), None).expect("the gateway's binary starts");
        gateway.wait_ready();
        let back_us = clock::now_us();
        let job = repeat_text(door, &text);
        site.wait_idle(1, secs(self.no_answer + 32) + secs(40));
        let aftermath = Aftermath { site, phones, gateway, job, crash_us, back_us, peers, _beside: beside };
        aftermath.judge(&self);
        aftermath
    }

    /// Who dies, and who lives beside it: a trigger dies at its own points.
    fn parts(&self) -> (Part, Option<Part>) {
        match (self.big, self.failpoint.starts_with("trig.")) {
            (false, _) => (Part::All, None),
            (true, false) => (Part::Engine(1), Some(Part::Sms(1))),
            (true, true) => (Part::Sms(1), Some(Part::Engine(1))),
        }
    }

    fn site(&self, peers: Option<&Peers>) -> Site {
        let mut site = peers.map_or_else(Site::small, Site::beside);
        site.set("engine.no_answer", &self.no_answer.to_string());
        site.set("engine.backoff", "1");
        site.set("engine.attempts", "2");
        site.set("billing.feed.on", "true");
        for (key, value) in &self.settings {
            site.set(key, value);
        }
        site
    }

    fn phones(&self, site: &Site) -> Bank {
        let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
        phones.when_each(A, self.a.clone());
        phones.when_each(B, self.b.clone());
        site.account("alice", "10.00");
        if self.password {
            let trunk = ["trunk", "add", "phones", "--sip", &phones.uri(), "--user", "gw", "--password-stdin"];
            site.cli(&trunk, TRUNK_PASSWORD);
        } else {
            site.trunk("phones", &phones.uri(), "");
        }
        phones
    }
}

/// The source sends its text again until it hears that it was accepted.
fn repeat_text(door: SocketAddr, text: &str) -> String {
    clock::wait_for("the repeated text to be accepted", SOON, || {
        let answer = sms::send(door, SECRET, "text-1", SENDER, text).ok()?;
        (answer.status == 202).then(|| answer.json()["job"].as_str().unwrap_or_default().to_owned())
    })
}

/// What was found when everything was at rest again.
pub struct Aftermath {
    /// The site.
    pub site: Site,
    /// Its phones.
    pub phones: Bank,
    /// The gateway's second life.
    pub gateway: Running,
    /// The job.
    pub job: String,
    /// When it died.
    pub crash_us: u64,
    /// When it was ready again.
    pub back_us: u64,
    peers: Option<Arc<Peers>>,
    _beside: Option<Running>,
}

impl Aftermath {
    fn judge(&self, crash: &Crash) {
        let log = self.phones.log();
        let calls = self.phones.calls();
        let waiting_us = (crash.no_answer + 32) * 1_000_000 - 300_000;
        let limit_us = (crash.orphan + secs(7)).as_micros() as u64;
        judge::insist(
            &log,
            [
                judge::answered_at_most_once(&log, A),
                judge::answered_at_most_once(&log, B),
                judge::never_again_after_answer(&log, A),
                judge::never_again_after_answer(&log, B),
                judge::one_attempt_at_a_time(&log, A, waiting_us),
                judge::one_attempt_at_a_time(&log, B, waiting_us),
                judge::no_stale_invite(&log),
                judge::nothing_is_left(&calls),
                judge::ended_in_time(&calls, self.back_us, limit_us),
                judge::silent_after_the_end(&calls, self.back_us),
                judge::one_owner_at_a_time(&log),
                self.one_cdr_per_attempt(),
            ],
        );
        let probe = self.site.probe();
        let requests = probe.requests();
        assert_eq!(requests.len(), 1, "one text is one request: {requests:?}");
        assert_eq!((requests[0].job.as_str(), requests[0].finished), (self.job.as_str(), true));
        probe.books_are_right("alice", OPENING);
        self.nobody_paid_too_much();
        let mut kinds: Vec<String> =
            self.site.replies().received().iter().map(|reply| reply.json()["kind"].to_string()).collect();
        kinds.sort();
        let told = kinds.len();
        kinds.dedup();
        assert_eq!(kinds.len(), told, "the sender was told twice: {kinds:?}");
        self.queues_are_right(probe.cdrs().len());
    }

    /// No job waits, none is dead, every CDR reached billing under an id of its own, and billing can follow the account.
    fn queues_are_right(&self, cdrs: usize) {
        let feed = match &self.peers {
            None => {
                let probe = self.site.probe();
                assert_eq!(
                    (probe.waiting("callback.jobs"), probe.waiting("callback.dead")),
                    (0, 0),
                    "jobs and dead letters"
                );
                probe.bodies("billing")
            }
            Some(peers) => {
                let broker = Broker::at(&peers.rabbit.url());
                broker.wait_empty(&self.site.queue("callback.jobs"), SOON);
                broker.wait_empty(&self.site.queue("callback.dead"), SOON);
                broker.drain(&self.site.queue("billing")).expect("billing can be drained")
            }
        };
        assert_eq!(billing::read_feed(&feed).len(), cdrs, "every CDR reached billing, each id once");
    }

    /// As many CDRs as attempts were dialled (one Call-ID each, however often it was tried), each with its number. One more may be
    /// there, and free, for an INVITE that was written down and not sent before the crash.
    fn one_cdr_per_attempt(&self) -> Verdict {
        let log = self.phones.log();
        for number in [A, B] {
            let dialled: BTreeSet<String> =
                judge::transactions(&log.of_number(number)).into_iter().map(|attempt| attempt.call_id).collect();
            let booked: Vec<Cdr> = self.site.probe().cdrs().into_iter().filter(|c| c.number == number).collect();
            let unsent = booked.len().saturating_sub(dialled.len());
            let free = booked.iter().filter(|c| !c.connected && c.cost == 0).count();
            if booked.len() < dialled.len() || unsent > free.min(1) {
                return Err(format!("{number}: {} attempts on the wire, CDRs {booked:?}", dialled.len()));
            }
        }
        Ok(())
    }

    /// Charged seconds are at most what the phone saw, rounded up.
    fn nobody_paid_too_much(&self) {
        for cdr in self.site.probe().cdrs() {
            let calls = self.phones.calls_to(&cdr.number);
            let seen = calls.iter().filter_map(judge::talk_seconds).fold(0.0, f64::max);
            let billed = cdr.billed_seconds as f64;
            assert!(billed <= seen.ceil(), "{}: {billed} s billed, the phone was up for {seen} s", cdr.id);
        }
    }

    /// How many INVITE transactions reached this number's phone.
    pub fn attempts(&self, number: &str) -> usize {
        judge::attempts(&self.phones.log().of_number(number)).len()
    }

    /// The causes of this number's CDRs, in order of attempt.
    pub fn causes(&self, number: &str) -> Vec<String> {
        self.site.probe().cdrs().into_iter().filter(|c| c.number == number).map(|c| c.cause).collect()
    }

    /// The request's result.
    pub fn result(&self) -> String {
        self.site.probe().request(&self.job).map(|r| r.result).unwrap_or_default()
    }
}
