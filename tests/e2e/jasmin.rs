//! Texts from a real Jasmin, straight from its broker and by its HTTP thrower, and replies through it.

use ringback_tests::peers::jasmin::{CONNECTOR, Jasmin, USER, USER_PASSWORD};
use ringback_tests::peers::rabbit::Rabbit;
use ringback_tests::peers::smsc::Smsc;
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{Part, Running, Site};
use ringback_tests::story::{SOON, millis, secs};
use ringback_tests::{clock, http};
use serde_json::json;

const FROM: &str = "447700900001";
const TO: &str = "777";
const TEXT: &str = "alice s3cret 004412345678 004498765432";
const A: &str = "+4412345678";
const B: &str = "+4498765432";
const PATH_SECRET: &str = "only-jasmin-knows-this";

struct Scene {
    smsc: Smsc,
    rabbit: Rabbit,
    phones: Bank,
    site: Site,
    _jasmin: Jasmin,
    gateway: Running,
}

/// A message centre, a Jasmin bound to it, and a small site as `prepare` connects it.
fn scene(thrower: bool) -> Scene {
    let mut site = Site::small();
    let rabbit = Rabbit::start().unwrap_or_else(|e| panic!("RabbitMQ: {e}"));
    let smsc = Smsc::start(site.folder());
    let jasmin = Jasmin::start(site.folder(), &rabbit);
    let throw_at = format!("http://{}/sms/jasmin/{PATH_SECRET}", site.at(8081));
    let settings = if thrower {
        let base = jasmin.send_url().trim_end_matches("/send").to_owned();
        vec![
            ("sms.sources.jasmin.provider", "jasmin".to_owned()),
            ("sms.sources.jasmin.path_secret", PATH_SECRET.to_owned()),
            ("sms.sources.jasmin.account", USER.to_owned()),
            ("sms.sources.jasmin.token", USER_PASSWORD.to_owned()),
            ("sms.sources.jasmin.api_base", base),
        ]
    } else {
        vec![
            ("sms.jasmin.url", rabbit.url()),
            ("sms.jasmin.connectors", format!("[\"{CONNECTOR}\"]")),
            ("sms.jasmin.send_url", jasmin.send_url()),
            ("sms.jasmin.username", USER.to_owned()),
            ("sms.jasmin.password", USER_PASSWORD.to_owned()),
        ]
    };
    for (key, value) in settings {
        site.set(key, &value);
    }
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, Manner::answers(millis(300)));
    phones.when(B, Manner::answers(millis(300)).hangs_up_after(secs(1)));
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let gateway = site.start(Part::All);
    jasmin.connect(&smsc, thrower.then_some(throw_at.as_str()));
    smsc.wait_count("bound", 1, secs(20));
    Scene { smsc, rabbit, phones, site, _jasmin: jasmin, gateway }
}

impl Scene {
    fn callbacks_happened(&self, callbacks: usize) {
        self.site.wait_idle(callbacks, secs(30));
        let results: Vec<String> = self.site.probe().requests().into_iter().map(|request| request.result).collect();
        assert_eq!(results, vec!["Successful".to_owned(); callbacks]);
    }

    fn last_reply(&self, taken: usize) -> String {
        let replies = self.smsc.wait_taken(taken, secs(20));
        replies.last().expect("there is one").text()
    }

    fn wait_taken_in(&self, jobs: usize) {
        let probe = self.site.probe();
        clock::wait_for("the text to become a job", secs(20), || (probe.requests().len() == jobs).then_some(()));
    }
}

#[test]
fn texts_are_taken_straight_from_its_broker() {
    let mut scene = scene(false);
    clock::wait_for("our queue", secs(20), || {
        scene.gateway.process.output().contains("texts are taken from Jasmin").then_some(())
    });
    scene.smsc.deliver(FROM, TO, json!({}), TEXT.as_bytes());
    scene.callbacks_happened(1);
    assert!(scene.last_reply(1).starts_with("Your call lasted"), "{}", scene.last_reply(1));

    // In parts whose last one does not come last: these Jasmin itself gives up.
    let text = "alice s3cret 004412345678 004498765433";
    scene.phones.when("+4498765433", Manner::answers(millis(300)).hangs_up_after(secs(1)));
    for (number, body) in [(2, &text[20..]), (1, &text[..20])] {
        let part = [&[5, 0, 3, 77, 2, number][..], body.as_bytes()].concat();
        scene.smsc.deliver(FROM, TO, json!({ "esm_class": 0x40 }), &part);
    }
    scene.callbacks_happened(2);

    // While our own process is down the text waits in our queue there.
    scene.gateway.process.kill9();
    let wide: Vec<u8> = "alice s3cret 004412345678 004498765434".encode_utf16().flat_map(u16::to_be_bytes).collect();
    scene.phones.when("+4498765434", Manner::answers(millis(300)).hangs_up_after(secs(1)));
    let tag = scene.smsc.deliver(FROM, TO, json!({ "data_coding": 8 }), &wide);
    assert_eq!(scene.smsc.wait_answer(tag, SOON), 0, "Jasmin has it");
    scene.smsc.deliver(
        FROM,
        TO,
        json!({ "esm_class": 4 }),
        b"id:1 sub:001 dlvrd:001 submit date:2611210800 done date:2611210800 stat:DELIVRD err:000 text:x",
    );
    scene.gateway = scene.site.start(Part::All);
    scene.callbacks_happened(3);
    assert_eq!(scene.phones.calls_to("+4498765434").len(), 1);
    assert_eq!(
        scene
            .rabbit
            .control(&["-q", "list_queues", "name", "messages"])
            .lines()
            .find(|line| line.starts_with("ringback.jasmin")),
        Some("ringback.jasmin\t0")
    );
}

#[test]
fn texts_are_taken_from_its_thrower_by_the_secret_path_alone() {
    let mut scene = scene(true);
    scene.smsc.deliver(FROM, TO, json!({}), TEXT.as_bytes());
    scene.wait_taken_in(1);
    scene.callbacks_happened(1);
    assert!(scene.last_reply(1).starts_with("Your call lasted"), "{}", scene.last_reply(1));
    let form = format!("id=forged&from={FROM}&to={TO}&binary={}&coding=0", hex::encode(TEXT));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    for path in ["/sms/jasmin", "/sms/jasmin/only-jasmin-knows-thi", "/sms/jasmin.amqp", "/sms/jasmin.amqp/"] {
        let answer = http::post(scene.site.at(8081), path, &headers, form.as_bytes()).expect("it answers");
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
    }
    assert_eq!(scene.site.probe().requests().len(), 1);
}
