//! The big shape: trigger-sms and two engines as processes of their own, RabbitMQ and PostgreSQL between them, SIPp as phones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringback_tests::billing::{self, Broker};
use ringback_tests::capture::{self, Capture};
use ringback_tests::judge;
use ringback_tests::peers::Peers;
use ringback_tests::sipp::{Scenario, Sipp};
use ringback_tests::site::{PIN, Part, Running, SECRET, SENDER, Site};
use ringback_tests::sms;
use ringback_tests::story::{millis, secs};

const TEXTS: usize = 1000;
const OPENING: i64 = 1_000_000_000;

/// Broker, database, phones and site, before anything of the gateway runs.
struct Shape {
    peers: Peers,
    site: Site,
    a: Sipp,
    b: Sipp,
}

fn shape() -> Shape {
    let peers = Peers::start();
    let mut site = Site::beside(&peers);
    site.set("billing.feed.on", "true");
    site.set("sms.announce", "false"); // one reply a text
    site.set("service.log_level", "info");
    site.set("sms.announce", "true");
    let a = Sipp::start("a", Scenario::AnswerAndWait, site.at(5070), site.folder()).expect("sipp starts");
    let hang_up = Scenario::AnswerAndHangUp(millis(1000));
    let b = Sipp::start("b", hang_up, site.at(5071), site.folder()).expect("sipp starts");
    site.account("load", "1000.00");
    site.trunk("a", &a.uri(), "44100");
    site.trunk("b", &b.uri(), "44200");
    Shape { peers, site, a, b }
}

fn text_of(number: usize) -> String {
    sms::text("load", PIN, &format!("+44100{number:07}"), &format!("+44200{number:07}"))
}

/// Sends the texts, each twice, from several senders at a pace; a source that gets no 202 goes to the next trigger and
/// repeats until it does.
fn send_all(triggers: &[std::net::SocketAddr], after_each: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let send = |number: usize| {
        let text = text_of(number);
        for time in 0..2 {
            let mut tries = number + time;
            loop {
                let to = triggers[tries % triggers.len()];
                match sms::send(to, SECRET, &format!("text-{number}"), SENDER, &text) {
                    Ok(answer) if answer.status == 202 => break,
                    Ok(answer) => {
                        assert!(matches!(answer.status, 429 | 503), "text {number}: {} {}", answer.status, answer.body)
                    }
                    Err(_) => {}
                }
                tries += 1;
                assert!(tries < number + 600, "text {number} was never accepted");
                std::thread::sleep(millis(50));
            }
        }
        after_each(number);
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= TEXTS {
                        return;
                    }
                    send(number);
                    std::thread::sleep(millis(120));
                }
            });
        }
    });
}

/// What every run of this load leaves behind.
fn everything_is_in_order(shape: &Shape, capture: Capture) {
    let site = &shape.site;
    site.wait_idle(TEXTS, secs(180));
    let (a, b) = (shape.a.wait(TEXTS as u64, secs(30)), shape.b.wait(TEXTS as u64, secs(30)));
    assert_eq!((a.begun, a.failed), (TEXTS as u64, 0), "A's phones: {}", shape.a.errors());
    assert_eq!((b.begun, b.failed), (TEXTS as u64, 0), "B's phones: {}", shape.b.errors());
    let packets = capture.stop().expect("the capture can be read");
    let log = capture::sip_log(&packets, |from| from.port() != 5070);
    assert_eq!(judge::transactions(&log).len(), TEXTS, "first-leg INVITE transactions on the wire");

    let probe = site.probe();
    let results: BTreeMap<String, usize> = probe.requests().into_iter().fold(BTreeMap::new(), |mut counts, request| {
        *counts.entry(format!("{} {}", request.status, request.result)).or_default() += 1;
        counts
    });
    assert_eq!(results, BTreeMap::from([("Finished Successful".to_owned(), TEXTS)]));
    probe.books_are_right("load", OPENING);
    assert_eq!(probe.cdrs().len(), 2 * TEXTS);

    let broker = Broker::at(&shape.peers.rabbit.url());
    let feed = broker.drain(&site.queue("billing")).expect("billing can be drained");
    assert_eq!(billing::read_feed(&feed).len(), 2 * TEXTS, "distinct CDRs on the billing queue");
    for queue in ["callback.jobs", "callback.replies.sms", "callback.dead"] {
        broker.wait_empty(&site.queue(queue), secs(30));
    }
}

/// How many replies each job got of each kind: `job kind`.
fn replies_by_kind(site: &Site) -> BTreeMap<String, usize> {
    let text = |reply: &serde_json::Value, key: &str| reply[key].as_str().unwrap_or("none").to_owned();
    let replies = site.replies().received().into_iter().map(|reply| reply.json());
    replies.map(|reply| format!("{} {}", text(&reply, "job"), text(&reply, "kind"))).fold(
        BTreeMap::new(),
        |mut counts, reply| {
            *counts.entry(reply).or_default() += 1;
            counts
        },
    )
}

/// How many jobs got a reply of this kind.
fn of_kind(replies: &BTreeMap<String, usize>, kind: &str) -> usize {
    replies.keys().filter(|reply| reply.ends_with(&format!(" {kind}"))).count()
}

#[test]
fn a_thousand_texts_each_sent_twice_are_a_thousand_callbacks() {
    let shape = shape();
    let capture = Capture::start(&format!("host {} and port 5070", shape.site.ip()), shape.site.folder())
        .expect("tcpdump starts");
    let _engines: Vec<Running> = [1, 2].map(|n| shape.site.start(Part::Engine(n))).into();
    let trigger = shape.site.start(Part::Sms(1));
    send_all(&[(trigger.ip, 8081).into()], |_| {});
    everything_is_in_order(&shape, capture);
    shape.site.replies().wait(2 * TEXTS, secs(60));
    let replies = replies_by_kind(&shape.site);
    assert_eq!((of_kind(&replies, "admitted"), of_kind(&replies, "final")), (TEXTS, TEXTS));
    assert!(replies.values().all(|count| *count == 1), "a sender got two replies");
}

#[test]
fn a_trigger_killed_in_the_middle_loses_no_text_and_sends_no_reply_twice() {
    let shape = shape();
    let capture = Capture::start(&format!("host {} and port 5070", shape.site.ip()), shape.site.folder())
        .expect("tcpdump starts");
    let _engine = shape.site.start(Part::Engine(1));
    let survivor = shape.site.start(Part::Sms(1));
    let victim = std::sync::Mutex::new(shape.site.start(Part::Sms(2)));
    let addresses: Vec<std::net::SocketAddr> = {
        let victim = victim.lock().expect("nobody panicked");
        [survivor.ip, victim.ip].map(|ip| (ip, 8081).into()).into()
    };
    let killed = AtomicUsize::new(0);
    send_all(&addresses, |number| {
        if number >= TEXTS / 2 && killed.fetch_add(1, Ordering::Relaxed) == 0 {
            victim.lock().expect("nobody panicked").process.kill9();
        }
    });
    everything_is_in_order(&shape, capture);
    let probe = shape.site.probe();
    let states = ringback_tests::clock::wait_for("two thousand replies to be settled", Duration::from_secs(60), || {
        let states = probe.replies();
        let settled = states.get("sent").unwrap_or(&0) + states.get("unknown").unwrap_or(&0);
        (settled == 2 * TEXTS as i64 && !states.contains_key("sending")).then_some(states)
    });
    let (sent, unknown) = (states.get("sent").copied().unwrap_or(0), states.get("unknown").copied().unwrap_or(0));
    assert!(unknown <= 64, "{unknown} replies are unknown, more than the killed trigger held");
    let received = replies_by_kind(&shape.site);
    assert!(received.values().all(|count| *count == 1), "a sender got two replies");
    let sent_jobs =
        probe.rows("SELECT job_id || ' ' || kind FROM replies WHERE state = 'sent'").expect("replies can be read");
    let missing = sent_jobs.iter().filter(|row| !received.contains_key(row[0].as_deref().unwrap_or_default())).count();
    assert_eq!(missing, 0, "{sent} are marked sent, {missing} of them never came");
}
