//! Many texts at once over HTTP on the small site, and texts that come while it shuts down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use ringback_tests::phone::Manner;
use ringback_tests::site::{PIN, SECRET, SENDER};
use ringback_tests::sms;
use ringback_tests::story::{A, B, SOON, Story, millis, secs};

const TEXTS: usize = 300;
const SENDERS: usize = 16;
const SIGTERM: i32 = 15;

fn text_of(number: usize) -> String {
    sms::text("alice", PIN, &format!("+44100{number:07}"), &format!("+44200{number:07}"))
}

#[test]
fn three_hundred_texts_at_once_are_three_hundred_callbacks() {
    let quick = || Manner::answers(millis(20)).mute();
    let story = Story::begin(quick(), quick(), |site| {
        site.set("service.log_level", "info");
        site.set("engine.slots", "400");
        site.set("sms.announce", "true");
    });
    story.phones.when("44100*", quick());
    story.phones.when("44200*", quick().hangs_up_after(millis(100)));
    story.site.cli(&["account", "topup", "alice", "1000"], "");
    let next = AtomicUsize::new(0);
    let jobs: BTreeSet<String> = std::thread::scope(|scope| {
        let send = || {
            let mut jobs = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= TEXTS {
                    return jobs;
                }
                jobs.push(story.gateway.accepted(&format!("load-{number}"), &text_of(number)));
            }
        };
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        senders.into_iter().flat_map(|sender| sender.join().expect("every text was accepted")).collect()
    });
    assert_eq!(jobs.len(), TEXTS, "each text is a job of its own");
    story.site.wait_idle(TEXTS, secs(40));
    let probe = story.site.probe();
    let rows: BTreeSet<String> = probe.requests().into_iter().map(|request| request.job).collect();
    assert_eq!(rows, jobs, "nothing is lost and nothing is made up");
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for reply in story.site.replies().wait(2 * TEXTS, secs(30)) {
        *kinds.entry(reply.json()["kind"].as_str().unwrap_or("none").to_owned()).or_default() += 1;
    }
    assert_eq!(kinds, BTreeMap::from([("admitted".to_owned(), TEXTS), ("final".to_owned(), TEXTS)]));
    let called: BTreeSet<String> = story.phones.calls().into_iter().map(|call| call.number).collect();
    assert_eq!(called.len(), 2 * TEXTS, "each party of each text was called");
}

#[test]
fn a_gateway_that_shuts_down_asks_texts_to_come_back_and_ends_its_calls() {
    let phone = || Manner::answers(millis(50)).mute();
    let mut story = Story::begin(phone(), phone(), |_| {});
    story.ask("text-1");
    story.phones.wait_call(B, "talks", SOON, |call| call.acked_us.is_some());
    story.gateway.process.signal(SIGTERM);
    let answer = ringback_tests::clock::wait_for("the doors to be closed", SOON, || {
        let answer =
            sms::send(story.site.at(8081), SECRET, "text-2", SENDER, &sms::text("alice", PIN, A, "+442071838751"));
        answer.ok().filter(|answer| answer.status != 202)
    });
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.headers.get("retry-after").map(String::as_str), Some("5"));
    assert_eq!(answer.json()["error"], "shutting_down");
    story.phones.hang_up(B);
    assert!(story.gateway.process.wait(secs(20)).success());
    assert!(sms::send(story.site.at(8081), SECRET, "text-3", SENDER, "x").is_err(), "nobody is there any more");
}
