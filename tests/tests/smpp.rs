//! Texts from a real message centre over SMPP 3.4, and replies through it.

use ringback_tests::judge;
use ringback_tests::peers::smsc::{PASSWORD, Smsc};
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{Part, Running, Site};
use ringback_tests::story::{SOON, millis, secs};
use serde_json::json;

/// The sender that the test accounts know, as a message centre writes it.
const FROM: &str = "447700900001";
/// Our number there.
const TO: &str = "777";
/// The founding document's own example.
const TEXT: &str = "alice s3cret 004412345678 004498765432";
const A: &str = "+4412345678";
const B: &str = "+4498765432";
/// Answers of the gateway.
const OK: i64 = 0;

struct Scene {
    smsc: Smsc,
    phones: Bank,
    gateway: Running,
    site: Site,
}

/// A small site bound to a message centre, with two phones that talk for a moment.
fn scene(prepare: impl FnOnce(&mut Site)) -> Scene {
    let mut site = Site::small();
    let smsc = Smsc::start(site.folder());
    smsc.introduce(&mut site);
    prepare(&mut site);
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, Manner::answers(millis(300)).plays(700));
    phones.when(B, Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(1)));
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let gateway = site.start(Part::All);
    smsc.wait_count("bound", 1, SOON);
    Scene { smsc, phones, gateway, site }
}

impl Scene {
    fn callback_happened(&self, callbacks: usize) {
        self.site.wait_idle(callbacks, secs(30));
        let results: Vec<String> = self.site.probe().requests().into_iter().map(|request| request.result).collect();
        assert_eq!(results, vec!["Successful".to_owned(); callbacks]);
        judge::insist(&self.phones.log(), [judge::nothing_is_left(&self.phones.calls())]);
    }

    fn no_call(&self) {
        assert!(self.phones.calls().is_empty(), "{}", self.phones.log().ladder());
    }
}

#[test]
fn a_text_places_the_call_and_the_replies_come_back() {
    let mut scene = scene(|_| {});
    let tag = scene.smsc.deliver(FROM, TO, json!({}), TEXT.as_bytes());
    assert_eq!(scene.smsc.wait_answer(tag, SOON), OK);
    let again = scene.smsc.deliver(FROM, TO, json!({}), TEXT.as_bytes());
    assert_eq!(scene.smsc.wait_answer(again, SOON), OK, "the same text is the same text");
    scene.callback_happened(1);
    let replies = scene.smsc.wait_taken(1, SOON);
    let last = replies.last().expect("there is one");
    assert!(last.text().starts_with("Your call lasted"), "{}", last.text());
    assert_eq!((last.from.clone(), last.to.clone()), ((TO.to_owned(), 3), (FROM.to_owned(), 1)));
    let status = scene.gateway.process.terminate(secs(30));
    assert!(status.success());
    assert_eq!(scene.smsc.count("unbind"), 1, "it says goodbye");
}

#[test]
fn a_wrong_password_stays_outside() {
    let mut site = Site::small();
    let smsc = Smsc::start(site.folder());
    smsc.introduce(&mut site);
    site.set("sms.smpp.main.password", &PASSWORD[1..]);
    let gateway = site.start(Part::All);
    smsc.wait_count("refused", 2, SOON);
    assert_eq!(smsc.count("bound"), 0);
    assert!(gateway.process.output().contains("wrong password"), "{}", gateway.process.tail(20));
}

#[test]
fn texts_in_any_coding_are_read() {
    let mut scene = scene(|_| {});
    let ucs2: Vec<u8> = TEXT.replace("s3cret", "s3cret").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let tag = scene.smsc.deliver(FROM, TO, json!({ "data_coding": 8 }), &ucs2);
    assert_eq!(scene.smsc.wait_answer(tag, SOON), OK);
    scene.callback_happened(1);
}

#[test]
fn what_is_no_text_or_cannot_be_read_becomes_no_job_and_harms_nobody() {
    let mut scene = scene(|_| {});
    let receipt = scene.smsc.deliver(FROM, TO, json!({ "esm_class": 4 }), TEXT.as_bytes());
    assert_eq!(scene.smsc.wait_answer(receipt, SOON), OK);
    // A deliver_sm whose source address never ends; then an unknown request.
    let broken = [&[0, 0, 0, 60, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 99, 0, 1, 1][..], &[b'4'; 41]].concat();
    scene.smsc.order(json!({ "raw": hex::encode(broken) }));
    scene.smsc.order(json!({ "raw": "0000001000000009000000000000004d" }));
    scene.smsc.order(json!({ "ask": true }));
    scene.smsc.wait_count("alive", 1, SOON);
    scene.smsc.wait_count("enquire_link", 1, SOON);
    assert_eq!((scene.smsc.count("bound"), scene.smsc.count("closed")), (1, 0), "the bind is still up");
    let refused = scene.smsc.deliver(FROM, TO, json!({}), b"alice wrong 004412345678 004498765432");
    assert_eq!(scene.smsc.wait_answer(refused, SOON), OK);
    assert!(scene.smsc.wait_taken(1, SOON)[0].text().starts_with("No callback"));
    scene.no_call();
}
