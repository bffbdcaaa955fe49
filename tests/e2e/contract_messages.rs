//! The contract on the wire: every message of a real callback, off the real queues, fits the schemas in `common/schema`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jsonschema::Validator;
use ringback_tests::billing::{self, Broker, Taken};
use ringback_tests::clock;
use ringback_tests::peers::Peers;
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{PIN, Part, Site};
use ringback_tests::sms;
use ringback_tests::story::{A, B, SOON, millis, secs};
use serde_json::Value;

/// Every type of this version, and who describes it.
const TYPES: [(&str, &str); 12] = [
    ("ringback.job.v1", "job.v1.json"),
    ("ringback.request.admitted.v1", "request.v1.json"),
    ("ringback.request.calling_a.v1", "request.v1.json"),
    ("ringback.request.calling_b.v1", "request.v1.json"),
    ("ringback.request.talking.v1", "request.v1.json"),
    ("ringback.request.waiting.v1", "request.v1.json"),
    ("ringback.request.finished.v1", "request.v1.json"),
    ("ringback.leg.ringing.v1", "leg.v1.json"),
    ("ringback.leg.answered.v1", "leg.v1.json"),
    ("ringback.leg.ended.v1", "leg.v1.json"),
    ("ringback.cdr.v1", "cdr.v1.json"),
    ("ringback.balance.v1", "balance.v1.json"),
];

/// The checked-in schemas.
struct Contract(BTreeMap<&'static str, Validator>);

impl Contract {
    fn read() -> Contract {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/schema");
        let validator = |(kind, file): (&'static str, &str)| {
            let text = std::fs::read_to_string(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            let schema: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
            let built = jsonschema::options().should_validate_formats(true).build(&schema);
            (kind, built.unwrap_or_else(|e| panic!("{file}: {e}")))
        };
        Contract(TYPES.map(validator).into())
    }

    /// The message fits its schema, and what stands around its body says the same as the envelope.
    fn insist(&self, message: &Taken) {
        let body = &message.body;
        let schema =
            self.0.get(message.kind.as_str()).unwrap_or_else(|| panic!("no schema describes {}", message.kind));
        if let Err(error) = schema.validate(body) {
            panic!("{}: {error} at {} in {body:#}", message.kind, error.instance_path());
        }
        assert_eq!(message.content_type, "application/cloudevents+json");
        assert_eq!(
            (body["type"].as_str(), body["id"].as_str()),
            (Some(message.kind.as_str()), Some(message.id.as_str()))
        );
    }
}

/// A is busy once and then answers, so that every kind of news there is has to be told.
#[test]
fn every_message_of_a_callback_fits_its_schema() {
    let (contract, peers) = (Contract::read(), Peers::shared());
    let mut site = Site::beside(&peers);
    site.set("billing.feed.on", "true");
    site.set("engine.backoff", "1");
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when_each(A, vec![Manner::refuses(millis(500), 486), Manner::answers(millis(500)).plays(700)]);
    phones.when(B, Manner::answers(millis(500)).plays(1100).hangs_up_after(secs(1)));
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let broker = Broker::at(&peers.rabbit.url());

    let mut trigger = site.start(Part::Sms(1));
    let job = trigger.accepted("1", &sms::text("alice", PIN, A, B));
    trigger.process.kill9(); // so that nobody takes the reply before we look at it
    let jobs = broker.messages(&site.queue("callback.jobs"), 1, false, SOON);
    assert_eq!(jobs.len(), 1, "the job waits on the queue");
    contract.insist(&jobs[0]);
    assert_eq!((jobs[0].kind.as_str(), jobs[0].body["data"]["id"].as_str()), (TYPES[0].0, Some(job.as_str())));
    assert_eq!(jobs[0].route, (site.queue("callback.jobs"), "job".to_owned()));
    assert!(!jobs[0].body.to_string().contains(PIN), "no secret travels in a job");

    let _engine = site.start(Part::Engine(1));
    site.wait_idle(1, secs(60));
    let log = whole_log(&broker, &site, &job);
    log.iter().for_each(|message| contract.insist(message));
    let told: BTreeSet<&str> = log.iter().map(|message| message.kind.as_str()).collect();
    assert_eq!(told, TYPES[1..].iter().map(|(kind, _)| *kind).collect(), "what the log tells of");
    let states = log.iter().filter_map(|message| message.kind.strip_prefix("ringback.request."));
    let states: Vec<&str> = states.map(|state| state.trim_end_matches(".v1")).collect();
    let in_order = ["admitted", "calling_a", "waiting", "calling_a", "calling_b", "talking", "finished"];
    assert_eq!(states, in_order, "B's answer is told before the end, and each in its turn");
    every_number_is_there(&log, &job);
    assert!(jobs[0].body["data"]["reply"].is_string(), "somebody waits for an answer");
    let noted = log.iter().find(|message| !message.body["data"]["reply"].is_null());
    assert!(noted.is_none(), "the way back to a sender is nobody else's business: {noted:?}");

    let mut billed = broker.messages(&site.queue("billing"), 4, true, SOON);
    billed.iter().for_each(|message| contract.insist(message));
    let keys: Vec<&str> = billed.iter().map(|message| message.route.1.as_str()).collect();
    assert_eq!(keys, ["cdr.balance", "cdr.a", "cdr.a", "cdr.b"], "the opening balance, busy A, answered A, answered B");
    let feed: Vec<Value> = billed.iter().map(|message| message.body.clone()).collect();
    assert_eq!(billing::read_feed(&feed).len(), 3, "three CDRs, and no movement of the account is left out");
    let balance = log.iter().find(|message| message.kind == "ringback.balance.v1").map(|message| &message.body);
    assert_eq!(Some(&billed.remove(0).body), balance, "the log has the very same top-up");
    let copies: Vec<&Value> = log.iter().filter(|m| m.kind == "ringback.cdr.v1").map(|m| &m.body).collect();
    assert_eq!(billed.iter().map(|m| &m.body).collect::<Vec<_>>(), copies, "the log has the very same CDRs");

    let replies = broker.messages(&site.queue("callback.replies.sms"), 2, true, SOON);
    let kinds: Vec<&str> = replies.iter().map(|reply| reply.kind.as_str()).collect();
    assert_eq!(kinds, ["ringback.request.admitted.v1", "ringback.request.finished.v1"], "both wait for their trigger");
    for reply in &replies {
        contract.insist(reply);
        assert_eq!(reply.body["data"]["reply"], jobs[0].body["data"]["reply"], "the trigger's own note, untouched");
    }
    for queue in ["callback.jobs", "callback.dead", "billing", "callback.replies.sms"] {
        broker.wait_empty(&site.queue(queue), SOON);
    }
}

/// The log from its beginning until the callback is finished.
fn whole_log(broker: &Broker, site: &Site, job: &str) -> Vec<Taken> {
    let last = |message: &Taken| message.kind == "ringback.request.finished.v1" && message.body["subject"] == job;
    clock::wait_for("the log to tell the end", secs(60), || {
        let log = broker.messages(&site.queue("callback.events.log"), usize::MAX, true, secs(2));
        log.iter().any(last).then_some(log)
    })
}

/// A job's news are numbered from 1 without gaps, an account's money movements as well.
fn every_number_is_there(log: &[Taken], job: &str) {
    let data = || log.iter().map(|message| &message.body["data"]);
    let numbers = data().filter(|data| data["job"] == job).filter_map(|data| data["seq"].as_u64());
    let numbers: Vec<u64> = numbers.collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "seq of the job's news");
    let money: BTreeSet<i64> = data().filter_map(|data| data["account_seq"].as_i64()).collect();
    assert_eq!(money, BTreeSet::from([1, 2, 3]), "account_seq: the opening balance, A's charge, B's charge");
}
