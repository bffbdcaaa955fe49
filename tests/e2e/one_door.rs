//! What the engine makes of jobs that no phone should hear of: questions, the same call by two triggers, numbers that must not
//! be rung; and what it announces.

#![allow(clippy::unwrap_used)] // a file of tests

use std::time::Duration;

use ringback_common::event::{Envelope, RequestEvent};
use ringback_common::job::{JOB_TYPE, Job, JobId, JobKind, Quote};
use ringback_common::money::Money;
use ringback_common::queue::{Destination, Message, Queue, QueueConfig, Source};
use ringback_tests::clock;
use ringback_tests::http::Received;
use ringback_tests::phone::{Manner, Who};
use ringback_tests::site::{Part, SENDER, Site};
use ringback_tests::story::{A, B, SOON, Story, millis, secs};
use serde_json::json;

/// A trigger of our own: puts jobs on the site's queue and hears its events.
struct Trigger {
    runtime: tokio::runtime::Runtime,
    queue: Queue,
}

impl Trigger {
    fn of(site: &Site) -> Trigger {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let url = format!("sqlite://{}", site.path("data/ringback.db").display());
        let settings = QueueConfig { url, data_dir: site.path("data"), ..QueueConfig::default() };
        let queue = runtime.block_on(Queue::open(&settings)).unwrap();
        // Declared before anybody asks, as a trigger does it: an engine drops replies to a source that reads none.
        drop(runtime.block_on(queue.consume(&replies(), 1)));
        Trigger { runtime, queue }
    }

    fn publish(&self, jobs: &[Job]) {
        let messages: Vec<_> = jobs
            .iter()
            .map(|job| {
                let (id, time) = (job.id.0.clone(), job.created);
                let envelope = Envelope::new(id.clone(), "/test".to_owned(), JOB_TYPE, time, None, job);
                let body = serde_json::to_vec(&envelope).unwrap().into();
                (Destination::Jobs, Message { id, kind: JOB_TYPE.to_owned(), body })
            })
            .collect();
        for answer in self.runtime.block_on(self.queue.publish_all(&messages)) {
            answer.unwrap();
        }
    }

    /// The first event of this state of this job, and what the trigger itself was told.
    fn event(&self, source: &Source, state: &str, job: &Job) -> RequestEvent {
        let kind = format!("ringback.request.{state}.v1");
        let heard = async {
            let mut log = self.queue.consume(source, 64).await;
            loop {
                let delivery = log.next().await;
                let wanted = delivery.kind == kind;
                let event = wanted.then(|| serde_json::from_slice::<Envelope<RequestEvent>>(&delivery.body).unwrap());
                delivery.ack().await;
                if let Some(event) = event.filter(|event| event.data.job == job.id) {
                    return event.data;
                }
            }
        };
        let heard = async { tokio::time::timeout(SOON, heard).await };
        self.runtime.block_on(heard).unwrap_or_else(|_| panic!("no {kind} of {}", job.id))
    }
}

fn job(id: &str, source: &str) -> Job {
    let (now, later) = ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    serde_json::from_value(json!({
        "id": JobId::of_message(source, id, SENDER), "source": source, "account": "alice", "a": A, "b": B, "sender": SENDER,
        "created": now, "not_after": later, "reply": "note",
    }))
    .unwrap()
}

fn question(id: &str, quote: Quote) -> Job {
    Job { kind: JobKind::Quote, quote: Some(quote), ..job(id, "test") }
}

fn ended(site: &Site, job: &Job) -> (String, String) {
    let shown = site.json(&["request", "show", job.id.as_str()]);
    let text = |key: &str| shown["request"][key].as_str().unwrap_or_default().to_owned();
    (text("result"), text("reason"))
}

fn replies() -> Source {
    Source::Replies { source: "test".to_owned() }
}

#[test]
fn a_call_is_announced_with_its_price_and_questions_are_answered_without_one() {
    let story =
        Story::begin(Manner::answers(millis(100)), Manner::answers(millis(100)).hangs_up_after(secs(2)), |_| {});
    let trigger = Trigger::of(&story.site);
    let before = question("l0", Quote::LastCall);
    trigger.publish(std::slice::from_ref(&before));
    let nothing = trigger.event(&replies(), "finished", &before);
    assert_eq!((nothing.result.as_deref(), nothing.talk_seconds, nothing.cost), (Some("Answered"), None, None));

    let call = job("c", "test");
    trigger.publish(std::slice::from_ref(&call));
    let admitted = trigger.event(&replies(), "admitted", &call);
    assert_eq!(admitted.balance, Some(Money(10_000_000)));
    let (a, b) = (admitted.price_a.unwrap(), admitted.price_b.unwrap());
    assert_eq!(admitted.minutes, Some((10_000_000 / u64::try_from(a.0 + b.0).unwrap()).min(60)));
    assert_eq!((admitted.seq, admitted.currency.as_deref(), admitted.reply.as_deref()), (1, Some("USD"), Some("note")));
    story.site.wait_idle(2, SOON);
    assert_eq!(ended(&story.site, &call), ("Successful".to_owned(), "talked".to_owned()));
    assert_eq!(trigger.event(&Source::Log, "admitted", &call).seq, 1, "the log has it too");
    let invites = story.phones.calls().len();

    let asked = [Quote::Balance, Quote::Rate, Quote::LastCall].map(|quote| question(&format!("{quote:?}"), quote));
    trigger.publish(&asked);
    let [balance, rate, last] = asked.each_ref().map(|job| trigger.event(&Source::Log, "finished", job));
    let cost = trigger.event(&Source::Log, "finished", &call).cost.unwrap();
    assert_eq!(balance.balance, Some(Money(10_000_000) - cost));
    assert_eq!((rate.price_a, rate.price_b, rate.quote), (Some(a), Some(b), Some(Quote::Rate)));
    assert_eq!((last.cost, last.b.as_ref().map(|b| b.as_str())), (Some(cost), Some(B)));
    assert!((1..=4).contains(&last.talk_seconds.unwrap()), "{last:?}");

    let by_voice = Job { b: None, ..job("v", "test") };
    trigger.publish(std::slice::from_ref(&by_voice));
    trigger.event(&Source::Log, "finished", &by_voice);
    let reason = "by_voice".to_owned();
    assert_eq!(ended(&story.site, &by_voice), ("Rejected".to_owned(), reason));
    assert_eq!(story.phones.calls().len(), invites, "nobody was called for it");
    story.site.wait_idle(6, SOON);
    story.site.probe().books_are_right("alice", 10_000_000);
}

#[test]
fn two_triggers_at_the_same_moment_ring_once() {
    let story =
        Story::begin(Manner::answers(millis(300)), Manner::answers(millis(100)).hangs_up_after(secs(2)), |_| {});
    let trigger = Trigger::of(&story.site);
    let pair = [job("1", "test"), job("1", "other")];
    trigger.publish(&pair);
    story.site.wait_idle(2, SOON);
    let mut ends = pair.each_ref().map(|job| ended(&story.site, job));
    ends.sort();
    let already = "already_calling".to_owned();
    assert_eq!(ends, [("Rejected".to_owned(), already), ("Successful".to_owned(), "talked".to_owned())]);
    let late = job("2", "other");
    let same = Job { source: ended_well(&story.site, &pair).source.clone(), ..job("3", "test") };
    let other = if same.source == "other" { Job { source: "test".to_owned(), ..late } } else { late };
    trigger.publish(std::slice::from_ref(&other));
    assert_eq!(
        trigger.event(&Source::Log, "finished", &other).result.as_deref(),
        Some("Rejected"),
        "within the window"
    );
    trigger.publish(std::slice::from_ref(&same));
    assert_eq!(trigger.event(&Source::Log, "finished", &same).result.as_deref(), Some("Successful"), "a new wish");
    assert_eq!(story.phones.calls_to(A).len(), 2);
    story.site.probe().books_are_right("alice", 10_000_000);
}

#[test]
fn of_four_wishes_at_once_a_limit_of_three_a_minute_lets_three_through() {
    let story = Story::begin(Manner::answers(millis(100)), Manner::answers(millis(100)), |_| {});
    for number in ["+44100*", "+44200*"] {
        story.phones.when(number, Manner::answers(millis(100)).hangs_up_after(secs(1)));
    }
    let own = ["--number", "+447700900222", "--allow", "44", "--limit", "concurrent_calls_per_account=9"];
    story.site.cli(&[&["account", "add", "bob", "--balance", "5.00"], &own[..]].concat(), "");
    let trigger = Trigger::of(&story.site);
    let number = |leg: u8, n: u8| format!("+44{leg}00{n:07}").parse().unwrap();
    let jobs: Vec<Job> = (1..=4)
        .map(|n| Job {
            account: "bob".to_owned(),
            a: number(1, n),
            b: Some(number(2, n)),
            ..job(&format!("burst-{n}"), "test")
        })
        .collect();
    trigger.publish(&jobs);
    story.site.wait_idle(4, SOON);
    let ends: Vec<(String, String)> = jobs.iter().map(|job| ended(&story.site, job)).collect();
    let called = ends.iter().filter(|(result, _)| result == "Successful").count();
    let limit = "jobs_per_account_per_minute";
    let refused = ends.iter().filter(|(_, reason)| reason == limit).count();
    assert_eq!((called, refused), (3, 1), "{ends:?}");
}

#[test]
fn while_its_trunks_host_is_not_found_a_wish_waits_and_is_not_refused() {
    let (site, phones) =
        Story::stage(Manner::answers(millis(100)), Manner::answers(millis(100)).hangs_up_after(secs(1)), |_| {});
    site.cli(&["trunk", "remove", "phones"], "");
    site.trunk("phones", "sip:trunk.invalid:5070", "");
    let _gateway = site.start(Part::All);
    let (trigger, call) = (Trigger::of(&site), job("1", "test"));
    trigger.publish(std::slice::from_ref(&call));
    clock::wait_for("the request to be put off", SOON, || {
        let shown = site.json(&["request", "show", call.id.as_str()]);
        let epoch = site.probe().requests().first().map(|request| request.epoch)?;
        (epoch > 1 && shown["request"]["result"].is_null()).then_some(())
    });
    site.cli(&["trunk", "remove", "phones"], "");
    site.trunk("phones", &phones.uri(), "");
    site.wait_idle(1, SOON);
    assert_eq!(ended(&site, &call), ("Successful".to_owned(), "talked".to_owned()));
}

fn ended_well<'a>(site: &Site, jobs: &'a [Job]) -> &'a Job {
    jobs.iter().find(|job| ended(site, job).0 == "Successful").unwrap()
}

#[test]
fn a_number_put_on_the_list_while_a_rings_is_not_dialled() {
    let b = Manner::answers(millis(100)).hangs_up_after(secs(1));
    let story = Story::begin(Manner::answers(secs(4)), b, |_| {});
    let trigger = Trigger::of(&story.site);
    let call = job("1", "test");
    trigger.publish(std::slice::from_ref(&call));
    story.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    story.site.cli(&["dnc", "add", B], "");
    story.phones.wait_call(A, "is hung up on", SOON, |call| call.ended_by == Some(Who::Gateway));
    story.site.wait_idle(1, SOON);
    assert!(story.phones.calls_to(B).is_empty(), "B was not called");

    let again = job("2", "test");
    trigger.publish(std::slice::from_ref(&again));
    let told = trigger.event(&Source::Log, "finished", &again);
    assert_eq!(told.result.as_deref(), Some("Blocked"));
    assert_eq!(ended(&story.site, &again).1, "do_not_call");
    assert_eq!(story.phones.calls_to(A).len(), 1, "nor is A called for it");
    story.site.cli(&["dnc", "remove", B], "");
    let third = job("3", "test");
    trigger.publish(std::slice::from_ref(&third));
    story.phones.wait_call(B, "is called again", Duration::from_secs(20), |call| call.answered_us.is_some());
    trigger.event(&replies(), "finished", &third);
    story.site.wait_idle(3, SOON);
    story.site.probe().books_are_right("alice", 10_000_000);
}

#[test]
fn a_wish_that_came_too_late_has_expired_and_its_sender_is_told() {
    let story = Story::begin(Manner::answers(millis(100)), Manner::answers(millis(100)), |_| {});
    let trigger = Trigger::of(&story.site);
    let late = Job { not_after: "2026-01-01T00:10:00Z".parse().unwrap(), ..job("1", "test") };
    trigger.publish(std::slice::from_ref(&late));
    let told = trigger.event(&replies(), "finished", &late);
    assert_eq!((told.status.as_str(), told.result.as_deref()), ("Finished", Some("Expired")));
    assert_eq!(ended(&story.site, &late), ("Expired".to_owned(), "expired".to_owned()));
    story.site.wait_idle(1, SOON);
    assert!(story.phones.calls().is_empty(), "nobody is called any more");
    story.site.probe().books_are_right("alice", 10_000_000);
}

#[test]
fn what_a_text_asks_is_answered_by_a_text() {
    let story =
        Story::begin(Manner::answers(millis(100)), Manner::answers(millis(100)).hangs_up_after(secs(2)), |_| {});
    let hears = |id: &str, text: &str, answer: &str| {
        // As a provider does: a text that was not taken comes again.
        clock::wait_for(&format!("{text} to be taken"), SOON, || {
            let taken = story.gateway.sms(id, text).unwrap();
            assert!(matches!(taken.status, 200 | 202 | 503), "{text}: {}", taken.body);
            (taken.status != 503).then_some(())
        });
        let said = |reply: &Received| reply.json()["text"].as_str().unwrap_or_default().starts_with(answer);
        clock::wait_for(&format!("{answer:?} in answer to {text}"), SOON, || {
            story.site.replies().received().iter().any(said).then_some(())
        });
    };
    hears("1", "BAL", "You have 10.00 USD.");
    hears("2", "LAST", "You have made no call yet.");
    hears("3", "RATE +442071838750", "A minute costs 0.20 USD: 0.10 USD for your phone, 0.10 USD for theirs.");
    story.ask("4");
    story.site.wait_idle(4, SOON);
    hears("5", "last", "Your last call lasted ");
    let left = Money(story.site.probe().balance("alice"));
    assert!(left < Money(10_000_000));
    hears("6", "bal", "You have 9.99 USD.");
    hears("7", "RE", "Your call lasted ");
    story.site.wait_idle(7, SOON);
    assert_eq!([A, B].map(|number| story.phones.calls_to(number).len()), [2, 2], "once more");
    story.phones.when(A, Manner::rings_for_ever());
    story.ask("8");
    clock::wait_for("A to ring", SOON, || story.phones.calls_to(A).get(2)?.ringing_us);
    hears("9", "X", "Your call is cancelled.");
    clock::wait_for("A to be cancelled", SOON, || story.phones.calls_to(A).get(2)?.canceled_us);
    hears("10", "HELP", "You can send: ");
}
