//! The broker or the database dies during ringing and talk: calls live on, nothing is lost, nothing doubled.

use ringback_tests::billing::{self, Broker};
use ringback_tests::clock;
use ringback_tests::http;
use ringback_tests::judge;
use ringback_tests::peers::Peers;
use ringback_tests::phone::{Bank, Manner, Report, Who};
use ringback_tests::site::{PIN, Part, Running, SECRET, SENDER, Site};
use ringback_tests::sms;
use ringback_tests::story::{millis, secs};

/// The big shape with phones of our own.
struct Shape {
    peers: Peers,
    phones: Bank,
    engines: Vec<Running>,
    trigger: Running,
    site: Site,
}

fn shape(engines: u8, slots: usize, talk: u64) -> Shape {
    shape_with(engines, slots, talk, |_| {})
}

fn shape_with(engines: u8, slots: usize, talk: u64, prepare: impl FnOnce(&mut Site)) -> Shape {
    let peers = Peers::start();
    let mut site = Site::beside(&peers);
    site.set("billing.feed.on", "true");
    site.set("engine.slots", &slots.to_string());
    prepare(&mut site);
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when("44100*", Manner::answers(millis(500)).plays(700));
    phones.when("44200*", Manner::answers(secs(3)).plays(1100).hangs_up_after(secs(talk)));
    site.account("alice", "1000.00");
    site.trunk("phones", &phones.uri(), "");
    let engines = (1..=engines).map(|number| site.start(Part::Engine(number))).collect();
    let trigger = site.start(Part::Sms(1));
    Shape { peers, phones, engines, trigger, site }
}

const OPENING: i64 = 1_000_000_000;

fn a(number: usize) -> String {
    format!("+44100{number:07}")
}

fn b(number: usize) -> String {
    format!("+44200{number:07}")
}

impl Shape {
    fn text(&self, number: usize) -> String {
        sms::text("alice", PIN, &a(number), &b(number))
    }

    fn ask(&self, number: usize) {
        self.trigger.accepted(&format!("text-{number}"), &self.text(number));
    }

    /// What each process says on `/readyz`.
    fn ready(&self) -> Vec<u16> {
        let ready = |part: &Running| http::get(part.health(), "/readyz").map_or(0, |answer| answer.status);
        self.engines.iter().chain([&self.trigger]).map(ready).collect()
    }

    fn all_ready(&self) -> Option<()> {
        self.ready().iter().all(|status| *status == 200).then_some(())
    }

    fn talking(&self, number: usize) {
        self.phones.wait_call(&b(number), "talks", secs(30), |call| call.audio.heard_ms(700) >= 500);
    }

    fn ringing(&self, number: usize) {
        self.phones.wait_call(&b(number), "rings", secs(30), |call| call.ringing_us.is_some());
    }

    /// So many callbacks, all well, each once, each booked and published once.
    fn all_is_well(&self, callbacks: usize) {
        self.site.wait_idle(callbacks, secs(120));
        let probe = self.site.probe();
        let results: Vec<String> = probe.requests().into_iter().map(|r| r.result).collect();
        assert_eq!(results, vec!["Successful".to_owned(); callbacks]);
        assert_eq!(probe.cdrs().len(), 2 * callbacks);
        probe.books_are_right("alice", OPENING);
        let log = self.phones.log();
        let twice = judge::attempts_by_number(&log).into_iter().find(|(_, count)| *count != 1);
        assert_eq!(twice, None, "{}", log.ladder());
        judge::insist(
            &log,
            [judge::nothing_is_left(&self.phones.calls()), judge::silent_after_the_end(&self.phones.calls(), 0)],
        );
        let broker = Broker::at(&self.peers.rabbit.url());
        let feed = broker.drain(&self.site.queue("billing")).expect("billing can be drained");
        assert_eq!(billing::read_feed(&feed).len(), 2 * callbacks, "every CDR reached billing");
        for queue in ["callback.jobs", "callback.dead"] {
            broker.wait_empty(&self.site.queue(queue), secs(30));
        }
    }

    /// How long the longest gap in what a phone heard of its other party was, in microseconds.
    fn longest_gap(&self, number: &str, hz: u32) -> u64 {
        let call = self.phones.calls_to(number).pop().expect("the phone was called");
        let heard: Vec<_> = call.audio.heard.iter().filter(|h| h.hz == Some(hz)).collect();
        heard.windows(2).map(|pair| pair[1].from_us.saturating_sub(pair[0].until_us)).max().unwrap_or(0)
    }
}

#[test]
fn a_broker_killed_during_ringing_and_talk_is_not_noticed_by_the_calls() {
    let mut shape = shape(1, 50, 15);
    shape.ask(1);
    shape.talking(1);
    shape.ask(2);
    shape.ringing(2);
    shape.peers.rabbit.kill9();
    let answer = sms::send((shape.trigger.ip, 8081).into(), SECRET, "text-3", SENDER, &shape.text(3))
        .expect("the trigger listens");
    assert_eq!(answer.status, 503, "a broker that is away is said politely: {}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
    shape.talking(2);
    shape.peers.rabbit.restart().expect("RabbitMQ starts again");
    clock::wait_for("the refused text to be accepted", secs(60), || {
        let answer = shape.trigger.sms("text-3", &shape.text(3)).ok()?;
        (answer.status == 202).then_some(())
    });
    shape.all_is_well(3);
    for number in [1, 2] {
        assert!(shape.longest_gap(&a(number), 1100) < 300_000, "A of {number} noticed");
    }
}

#[test]
fn a_database_killed_during_ringing_and_talk_is_not_noticed_by_the_calls() {
    let mut shape = shape(1, 50, 15);
    shape.ask(1);
    shape.talking(1);
    shape.ask(2);
    shape.ringing(2);
    shape.peers.postgres.kill9();
    std::thread::sleep(secs(3)); // the time the database is away: part of the story
    shape.peers.postgres.restart().expect("PostgreSQL starts again");
    clock::wait_for("every process to be ready", secs(10), || shape.all_ready());
    shape.ask(3);
    shape.all_is_well(3);
    assert!(shape.longest_gap(&a(1), 1100) < 300_000, "the call that was up noticed");
}

/// As after a failover to a standby that nobody has promoted: reads are answered, writes are not.
#[test]
fn a_database_made_read_only_lets_nothing_begin_anywhere_and_all_is_settled_afterwards() {
    let shape = shape_with(2, 1, 60, |site| site.set("engine.hold_seconds", "10"));
    for later in [3, 4] {
        shape.phones.when(&b(later), Manner::answers(millis(500)).plays(1100).hangs_up_after(secs(4)));
    }
    shape.ask(1);
    shape.ask(2);
    shape.talking(1);
    shape.talking(2);
    shape.ask(3); // both slots are taken: it waits
    let operator = shape.site.probe();
    let read_only = |change: &str| {
        operator.execute(&format!("ALTER SYSTEM {change}"));
        operator.rows("SELECT CAST(pg_reload_conf() AS TEXT)").expect("the settings are read again");
    };
    read_only("SET default_transaction_read_only = on");
    clock::wait_for("nobody to be ready", secs(4), || (shape.ready() == [503; 3]).then_some(()));
    shape.phones.hang_up(&b(2));
    let is_over = |call: &Report| call.ended_us.is_some();
    shape.phones.wait_call(&a(2), "is hung up on at once", secs(5), is_over);
    let refused = || {
        let answer = shape.trigger.sms("text-4", &shape.text(4)).expect("the trigger listens");
        assert_eq!((answer.status, shape.ready()), (503, vec![503; 3]), "{}", answer.body);
    };
    let cut = clock::wait_for("the hold to be used up", secs(30), || {
        refused();
        shape.phones.calls_to(&b(1)).pop().filter(is_over)
    });
    assert_eq!(cut.ended_by, Some(Who::Gateway), "cut where the hold ends");
    for number in [3, 4] {
        assert_eq!(shape.phones.calls_to(&a(number)).len(), 0, "a call began that nothing could explain");
    }
    read_only("RESET default_transaction_read_only");
    clock::wait_for("every process to be ready", secs(10), || shape.all_ready());
    shape.ask(4);
    shape.site.wait_idle(4, secs(60));
    let (probe, log) = (shape.site.probe(), shape.phones.log());
    assert_eq!(probe.cdrs().len(), 8, "one CDR an attempt");
    for cdr in probe.cdrs() {
        let call = shape.phones.calls_to(&cdr.number).pop().expect("the phone was called");
        let seen = judge::talk_seconds(&call).expect("the call was answered and ended");
        let billed = cdr.billed_seconds as f64;
        assert!(billed > 0.0 && billed <= seen.ceil(), "{} {}: {billed} s billed, {seen} s seen", cdr.number, cdr.leg);
    }
    let twice = judge::attempts_by_number(&log).into_iter().find(|(_, count)| *count != 1);
    assert_eq!(twice, None, "{}", log.ladder());
    judge::insist(&log, [judge::nothing_is_left(&shape.phones.calls())]);
    probe.books_are_right("alice", OPENING);
}

#[test]
fn a_database_away_for_a_minute_under_two_engines_costs_no_call() {
    let mut shape = shape(2, 20, 75);
    let calls = 40;
    for number in 1..=calls {
        shape.ask(number);
    }
    for number in 1..=calls {
        shape.talking(number);
    }
    let epochs = || shape.site.probe().requests().into_iter().map(|r| (r.job, r.owner, r.epoch)).collect::<Vec<_>>();
    let before = epochs();
    let owners: std::collections::BTreeSet<_> = before.iter().map(|(_, owner, _)| owner.clone()).collect();
    assert_eq!(owners.len(), 2, "both engines have calls");
    shape.peers.postgres.kill9();
    std::thread::sleep(secs(60)); // the time the database is away: part of the story
    shape.peers.postgres.restart().expect("PostgreSQL starts again");
    std::thread::sleep(secs(7)); // longer than an adopter would need to find an engine silent
    for (job, owner, epoch) in before {
        let now = shape.site.probe().request(&job).expect("the request is there");
        assert_eq!(now.epoch, epoch, "{job} of {owner:?} was adopted");
    }
    shape.all_is_well(calls);
    for number in 1..=calls {
        assert!(shape.longest_gap(&a(number), 1100) < 300_000, "A of {number} lost its audio");
        assert!(shape.longest_gap(&b(number), 700) < 300_000, "B of {number} lost its audio");
    }
    assert_eq!(shape.engines.len(), 2);
}

#[test]
fn the_embedded_store_is_shared_by_engine_trigger_and_command_line_under_load() {
    let site = Site::small();
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when("44100*", Manner::answers(millis(100)));
    phones.when("44200*", Manner::answers(millis(100)).hangs_up_after(secs(1)));
    site.account("alice", "1000.00");
    site.trunk("phones", &phones.uri(), "");
    let _engine = site.start(Part::OnlyEngine);
    let trigger = site.start(Part::OnlySms);
    let calls = 60;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..10 {
                site.cli(&["account", "topup", "alice", "1.00"], "");
                site.cli(&["rate", "set", &format!("4477{number}"), "0.20"], "");
            }
        });
        for number in 1..=calls {
            trigger.accepted(&format!("text-{number}"), &sms::text("alice", PIN, &a(number), &b(number)));
        }
    });
    site.wait_idle(calls, secs(60));
    let probe = site.probe();
    assert!(probe.requests().iter().all(|r| r.result == "Successful"), "{:?}", probe.requests());
    probe.books_are_right("alice", OPENING + 10_000_000);
    let twice = judge::attempts_by_number(&phones.log()).into_iter().find(|(_, count)| *count != 1);
    assert_eq!(twice, None);
}
