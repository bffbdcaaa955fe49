//! Texts from a real message centre over SMPP 3.4, and replies through it.

use ringback_tests::judge;
use ringback_tests::peers::Peers;
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
const THROTTLED: i64 = 0x58;
const TEMPORARY: i64 = 0x64;

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
    let ucs2: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_be_bytes).collect();
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
    // One that is longer than any text: it is answered, and what follows is read.
    let too_long = [&[80_000_u32, 5, 0, 98].map(u32::to_be_bytes).concat()[..], &[b'4'; 79_984]].concat();
    scene.smsc.order(json!({ "raw": hex::encode(too_long) }));
    scene.smsc.order(json!({ "raw": "0000001000000009000000000000004d" }));
    scene.smsc.order(json!({ "ask": true }));
    scene.smsc.wait_count("alive", 1, SOON);
    scene.smsc.wait_count("enquire_link", 1, SOON);
    assert_eq!((scene.smsc.count("bound"), scene.smsc.count("closed")), (1, 0), "the bind is still up");
    let refused = scene.smsc.deliver(FROM, TO, json!({}), b"alice wrong 004412345678 004498765432");
    assert_eq!(scene.smsc.wait_answer(refused, SOON), OK);
    assert!(scene.smsc.wait_taken(1, SOON)[0].text().starts_with("No callback"));
    let half = scene.smsc.deliver(FROM, TO, json!({ "data_coding": 8 }), b"\0half a charact");
    assert_eq!(scene.smsc.wait_answer(half, SOON), OK);
    assert!(scene.smsc.wait_taken(2, SOON)[1].text().starts_with("No callback"), "nobody can read it, and it is said");
    let name = scene.smsc.deliver(FROM, TO, json!({ "source_addr_ton": 5 }), TEXT.as_bytes());
    assert_eq!(scene.smsc.wait_answer(name, SOON), OK, "a name made of digits is nobody's number");
    scene.no_call();
}

/// A text cut into so many parts, each with a header of eight bits.
fn parts(text: &str, count: usize, reference: u8) -> Vec<Vec<u8>> {
    let size = text.len().div_ceil(count);
    let cut =
        |(number, body): (usize, &[u8])| [&[5, 0, 3, reference, count as u8, number as u8 + 1][..], body].concat();
    text.as_bytes().chunks(size).enumerate().map(cut).collect()
}

#[test]
fn parts_in_any_order_become_one_text() {
    let mut scene = scene(|site| site.set("intake.limits.concurrent_calls_per_account", "50"));
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (number, order) in orders.iter().enumerate() {
        let (a, b) = (format!("+4410011111{number}"), format!("+4420011111{number}"));
        scene.phones.when(&a, Manner::answers(millis(200)));
        scene.phones.when(&b, Manner::answers(millis(200)).hangs_up_after(secs(1)));
        let parts = parts(&format!("alice s3cret {a} {b}"), 3, 40 + number as u8);
        let header = json!({ "esm_class": 0x40 });
        for part in order {
            // A window of one: the next part comes when the last one has been answered.
            let tag = scene.smsc.deliver(FROM, TO, header.clone(), &parts[*part]);
            assert_eq!(scene.smsc.wait_answer(tag, SOON), OK, "order {order:?}, part {part}");
        }
        let again = scene.smsc.deliver(FROM, TO, header, &parts[order[2]]);
        assert_eq!(scene.smsc.wait_answer(again, SOON), OK, "a repeat of a part of a finished text");
    }
    scene.callback_happened(orders.len());
    assert_eq!(
        scene.phones.calls().len(),
        2 * orders.len(),
        "one callback for each text:\n{}",
        scene.phones.log().ladder()
    );
}

#[test]
fn a_part_that_never_comes_is_told_to_the_sender() {
    let mut scene = scene(|site| site.set("sms.smpp.main.parts_within", "2"));
    for (part, tlv) in [(1, "sar_total_segments"), (3, "sar_total_segments")] {
        let fields = json!({ "sar_msg_ref_num": 500, tlv: 3, "sar_segment_seqnum": part });
        let tag = scene.smsc.deliver(FROM, TO, fields, &TEXT.as_bytes()[(part - 1) * 10..part * 10]);
        assert_eq!(scene.smsc.wait_answer(tag, SOON), OK);
    }
    let told = scene.smsc.wait_taken(1, SOON);
    assert!(told[0].text().contains("part"), "{}", told[0].text());
    scene.no_call();
    assert_eq!(scene.smsc.submits().len(), 1, "it is said once");
}

#[test]
fn a_text_in_parts_survives_a_crash_between_them() {
    let mut scene = scene(|_| {});
    let parts = parts(TEXT, 2, 9);
    let header = json!({ "esm_class": 0x40 });
    let tag = scene.smsc.deliver(FROM, TO, header.clone(), &parts[1]);
    assert_eq!(scene.smsc.wait_answer(tag, SOON), OK);
    scene.gateway.process.kill9();
    let secret = b"s3cret";
    let database = std::fs::read(scene.site.path("data/ringback.db")).expect("there is a database");
    assert!(!database.windows(secret.len()).any(|bytes| bytes == secret), "no PIN lies in the database");
    scene.gateway = scene.site.start(Part::All);
    scene.smsc.wait_count("bound", 2, SOON);
    let tag = scene.smsc.deliver(FROM, TO, header, &parts[0]);
    assert_eq!(scene.smsc.wait_answer(tag, SOON), OK);
    scene.callback_happened(1);
}

#[test]
fn a_message_centre_that_dies_is_found_again_and_what_it_repeats_is_known() {
    let mut scene = scene(|_| {});
    let tag = scene.smsc.deliver(FROM, TO, json!({}), TEXT.as_bytes());
    assert_eq!(scene.smsc.wait_answer(tag, SOON), OK);
    scene.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    scene.smsc.kill9();
    scene.smsc.restart();
    scene.smsc.wait_count("bound", 2, secs(20));
    let tag = scene.smsc.deliver(FROM, TO, json!({}), TEXT.as_bytes());
    assert_eq!(scene.smsc.wait_answer(tag, SOON), OK, "the repeat is known");
    scene.callback_happened(1);
    let told = scene.smsc.wait_taken(1, secs(20));
    assert!(told.last().expect("there is one").text().starts_with("Your call lasted"));
}

#[test]
fn a_reply_is_tried_again_while_it_is_throttled_and_never_after_a_doubt() {
    let mut scene = scene(|site| site.set("sms.announce", "false"));
    scene.smsc.order(json!({ "status": [0x58, 0x14] }));
    let tag = scene.smsc.deliver(FROM, TO, json!({}), b"hello");
    assert_eq!(scene.smsc.wait_answer(tag, SOON), OK);
    assert_eq!(scene.smsc.wait_taken(1, SOON).len(), 1);
    assert_eq!(scene.smsc.submits().len(), 3, "throttled, full, taken");
    scene.smsc.order(json!({ "mute": true }));
    let tag = scene.smsc.deliver(FROM, TO, json!({}), b"hello again");
    assert_eq!(scene.smsc.wait_answer(tag, SOON), OK);
    scene.smsc.wait_count("submit", 4, SOON);
    scene.smsc.order(json!({ "drop": true }));
    scene.smsc.wait_count("bound", 2, SOON);
    let probe = scene.site.probe();
    ringback_tests::clock::wait_for("the reply to be unknown", SOON, || {
        (probe.replies().get("unknown") == Some(&1)).then_some(())
    });
    assert_eq!(scene.smsc.submits().len(), 4, "it is not sent again");
}

#[test]
fn too_many_texts_at_a_time_are_throttled() {
    let mut scene = scene(|site| {
        site.set("sms.smpp.main.window", "1");
        site.set("sms.smpp.main.bind", "pair");
    });
    let tags: Vec<u64> =
        (0..40).map(|number| scene.smsc.deliver(FROM, TO, json!({}), format!("hello {number}").as_bytes())).collect();
    let answers: Vec<i64> = tags.iter().map(|tag| scene.smsc.wait_answer(*tag, SOON)).collect();
    assert!(answers.iter().all(|answer| [OK, THROTTLED].contains(answer)), "{answers:?}");
    assert!(answers.contains(&THROTTLED) && answers.contains(&OK), "{answers:?}");
    scene.smsc.wait_count("bound", 2, SOON);
    scene.smsc.wait_taken(1, SOON);
}

#[test]
fn while_the_broker_is_down_a_text_waits_at_the_message_centre() {
    let peers = Peers::start();
    let mut site = Site::beside(&peers);
    let mut smsc = Smsc::start(site.folder());
    smsc.introduce(&mut site);
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, Manner::answers(millis(300)));
    phones.when(B, Manner::answers(millis(300)).hangs_up_after(secs(1)));
    site.account("alice", "10.00");
    site.trunk("phones", &phones.uri(), "");
    let _engine = site.start(Part::Engine(1));
    let _trigger = site.start(Part::Sms(1));
    smsc.wait_count("bound", 1, SOON);
    peers.rabbit.freeze(true);
    let tag = smsc.deliver(FROM, TO, json!({}), TEXT.as_bytes());
    assert_eq!(smsc.wait_answer(tag, SOON), TEMPORARY, "no confirm, no job");
    peers.rabbit.freeze(false);
    let taken = ringback_tests::clock::wait_for("the text to be taken", secs(40), || {
        let tag = smsc.deliver(FROM, TO, json!({}), TEXT.as_bytes());
        (smsc.wait_answer(tag, SOON) == OK).then_some(true)
    });
    assert!(taken);
    site.wait_idle(1, secs(40));
    assert_eq!(phones.calls_to(A).len(), 1, "{}", phones.log().ladder());
    assert_eq!(phones.calls_to(B).len(), 1);
    assert!(smsc.wait_taken(1, SOON).last().expect("there is one").text().starts_with("Your call lasted"));
}
