//! The other side: an incoming call and the trunk's health.

use ringback_sip::{IncomingCall, LegEvent, Message, Method, Moment, OverCause, Ping, Pong, Transmit};

use crate::world::*;

struct Phone {
    call: IncomingCall,
    now: Moment,
}

impl Phone {
    fn called(invite: &Message) -> Phone {
        Phone { call: IncomingCall::new(invite, ours(), phone(), Moment(0)).unwrap(), now: Moment(0) }
    }

    fn sends(&mut self) -> Vec<String> {
        self.transmits().iter().map(|transmit| title(&parsed(&transmit.bytes))).collect()
    }

    fn transmits(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.call.poll_transmit()).map(written).collect()
    }

    fn tells(&mut self) -> Vec<LegEvent> {
        std::iter::from_fn(|| self.call.poll_event()).collect()
    }

    fn waits(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        while let Some(due) = self.call.poll_timeout().filter(|due| *due <= until) {
            self.now = due;
            self.call.handle_timeout(due);
        }
        self.now = until;
    }
}

fn invite() -> Message {
    parsed(&ringback_sip::Leg::new(setup()).invite().bytes)
}

/// The INVITE's text with something replaced, as another message of the caller.
fn turned(message: &Message, turns: &[(&str, &str)]) -> Message {
    let mut text = String::from_utf8(message.bytes().to_vec()).unwrap();
    for (from, to) in turns {
        text = text.replace(from, to);
    }
    parsed(text.as_bytes())
}

fn ack_of(invite: &Message, answer: &Message) -> Message {
    let to = format!("To: {}", answer.header("to").unwrap());
    turned(invite, &[("INVITE", "ACK"), ("To: <sip:+442071838750@10.0.0.2>", &to)])
}

#[test]
fn it_rings_answers_and_repeats_the_answer_until_the_ack() {
    let invite = invite();
    let mut phone = Phone::called(&invite);
    phone.call.ring(180, None, Moment(0));
    phone.call.receive(&invite, ours(), Moment(100));
    assert_eq!(phone.sends(), ["100 INVITE", "180 INVITE", "180 INVITE"]);
    phone.call.answer(ANSWER.to_owned(), Moment(0));
    phone.waits(3_600);
    let answers = phone.transmits();
    assert_eq!(answers.len(), 4);
    let answer = parsed(&answers[0].bytes);
    assert_eq!((answer.code(), answer.header("session-expires")), (200, Some("180;refresher=uac")));
    phone.call.receive(&ack_of(&invite, &answer), ours(), phone.now);
    assert_eq!(phone.tells(), [LegEvent::Confirmed]);
    phone.waits(10_000);
    assert!(phone.sends().is_empty());
}

#[test]
fn an_answer_nobody_acknowledges_is_hung_up() {
    let mut phone = Phone::called(&invite());
    phone.call.answer(ANSWER.to_owned(), Moment(0));
    phone.waits(32_000);
    assert_eq!(phone.sends().last().unwrap(), "BYE");
    phone.waits(32_100);
    assert_eq!(phone.tells(), [LegEvent::Over { cause: OverCause::PeerGone }]);
    assert_eq!(phone.call.poll_timeout(), None);
}

#[test]
fn a_caller_without_a_name_to_ask_for_is_hung_up_where_the_call_came_from() {
    let contact = format!("Contact: {}\r\n", invite().header("contact").unwrap());
    let nameless =
        [(&*contact, "Contact: <mailto:x@inn.example>\r\n"), ("<sip:+12065550100@ringback.example>", "<tel:112>")];
    let mut phone = Phone::called(&turned(&invite(), &nameless));
    phone.call.answer(ANSWER.to_owned(), Moment(0));
    phone.waits(32_000);
    let bye = parsed(&phone.transmits().last().unwrap().bytes);
    assert_eq!((bye.method(), bye.request_uri()), (Method::Bye, "sip:10.0.0.1:5068"));
}

#[test]
fn hung_up_before_the_ack_of_its_answer_it_waits_for_that_ack() {
    let invite = invite();
    let mut phone = Phone::called(&invite);
    phone.call.answer(ANSWER.to_owned(), Moment(0));
    let answer = parsed(&phone.transmits().last().unwrap().bytes);
    phone.call.hang_up(None, Moment(10));
    assert!(phone.sends().is_empty());
    phone.call.receive(&ack_of(&invite, &answer), ours(), Moment(20));
    assert_eq!(phone.sends(), ["BYE"]);
}

#[test]
fn a_refusal_is_repeated_until_its_ack() {
    let invite = invite();
    let mut phone = Phone::called(&invite);
    phone.call.reject(603, Moment(0));
    phone.waits(600);
    assert_eq!(phone.sends(), ["100 INVITE", "603 INVITE", "603 INVITE"]);
    assert_eq!(phone.tells(), [LegEvent::Over { cause: OverCause::Refused { code: 603 } }]);
    phone.call.receive(&turned(&invite, &[("INVITE", "ACK")]), ours(), phone.now);
    phone.waits(60_000);
    assert!(phone.sends().is_empty());
}

#[test]
fn who_is_turned_away_hears_when_to_come_back() {
    let mut phone = Phone::called(&invite());
    phone.call.turn_away(Moment(0));
    let refusal = parsed(&phone.transmits().last().unwrap().bytes);
    assert_eq!((refusal.code(), refusal.header("retry-after")), (503, Some("5")));
    assert_eq!(phone.tells(), [LegEvent::Over { cause: OverCause::Refused { code: 503 } }]);
}

#[test]
fn a_cancel_is_believed_from_the_caller_only() {
    let invite = invite();
    let mut phone = Phone::called(&invite);
    phone.sends();
    let cancel = turned(&invite, &[("INVITE", "CANCEL")]);
    phone.call.receive(&cancel, stranger(), Moment(0));
    assert_eq!((phone.sends(), phone.tells().len()), (vec!["481 CANCEL".to_owned()], 0));
    phone.call.receive(&cancel, ours(), Moment(0));
    assert_eq!(phone.sends(), ["200 CANCEL", "487 INVITE"]);
    assert_eq!(phone.tells(), [LegEvent::Over { cause: OverCause::Canceled { code: Some(487) } }]);
    phone.call.answer(ANSWER.to_owned(), Moment(0));
    assert!(phone.sends().is_empty(), "too late");
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let invite = invite();
    let mut phone = Phone::called(&invite);
    phone.call.answer(ANSWER.to_owned(), Moment(0));
    phone.sends();
    phone.call.receive(&turned(&invite, &[("INVITE", "CANCEL")]), ours(), Moment(0));
    assert_eq!((phone.sends(), phone.tells().len()), (vec!["200 CANCEL".to_owned()], 0));
}

#[test]
fn the_same_call_by_another_way_is_a_merged_request() {
    let invite = invite();
    let mut phone = Phone::called(&invite);
    phone.sends();
    phone.call.receive(&turned(&invite, &[("z9hG4bK", "z9hG4bKother")]), ours(), Moment(0));
    assert_eq!(phone.sends(), ["482 INVITE"]);
}

#[test]
fn what_an_invite_may_not_ask_for_is_refused_with_the_right_words() {
    let cases = [
        ("Supported: timer", "Require: 100rel, timer", 420),
        ("Supported: timer", "Replaces: x;to-tag=1;from-tag=2", 403),
        ("application/sdp", "application/unknown", 415),
        ("Session-Expires: 180", "Session-Expires: 30", 422),
        ("Allow: ", "Accept: text/plain\r\nAllow: ", 406),
    ];
    for (from, to, code) in cases {
        let refusal = IncomingCall::new(&turned(&invite(), &[(from, to)]), ours(), phone(), Moment(0)).unwrap_err();
        let refusal = parsed(&written(refusal).bytes);
        assert_eq!(refusal.code(), code, "{to}");
        assert!(!refusal.to_tag().is_empty());
        match code {
            420 => assert_eq!(refusal.header("unsupported"), Some("100rel")),
            422 => assert_eq!(refusal.header("min-se"), Some("90")),
            _ => {}
        }
    }
}

#[test]
fn options_tells_whether_a_trunk_is_alive() {
    let mut ping = Ping::send("sip:10.0.0.2", trunk(), ours(), Moment(0));
    let question = parsed(&written(ping.poll_transmit().unwrap()).bytes);
    assert_eq!((question.method(), question.call_id()), (Method::Options, ping.call_id()));
    ping.receive(&response(&question, 200, "x", &[], None), stranger(), Moment(10));
    assert_eq!(ping.pong(), None);
    ping.receive(&response(&question, 404, "x", &[], None), trunk(), Moment(10));
    assert_eq!((ping.pong(), ping.poll_timeout()), (Some(Pong::Alive { code: 404 }), None));

    let mut silent = Ping::send("sip:10.0.0.2", trunk(), ours(), Moment(0));
    let mut moments = Vec::new();
    while let Some(due) = silent.poll_timeout() {
        silent.handle_timeout(due);
        moments.push(due.0);
    }
    assert_eq!(moments, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]);
    assert_eq!(silent.pong(), Some(Pong::Silent));
}
