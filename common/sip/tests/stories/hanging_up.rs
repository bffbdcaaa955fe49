//! Ends of every kind, and CANCEL above all.

use ringback_sip::{LegEvent, Message, Method, OverCause, Reason};

use crate::world::*;

fn over(cause: OverCause) -> Vec<LegEvent> {
    vec![LegEvent::Over { cause }]
}

#[test]
fn hung_up_before_anything_was_sent_it_is_simply_over() {
    let mut story = Story::of(ringback_sip::Leg::new(setup()));
    story.does(|leg, now| leg.hang_up(None, now));
    story.does(|leg, now| leg.dial(now));
    assert_eq!((story.tells(), story.sends().len()), (over(OverCause::NeverSent), 0));
}

#[test]
fn cancel_carries_the_branch_the_uri_and_the_way_of_the_invite() {
    let mut story = Story::dialled();
    story.replies("INVITE", 180, "bob", &[CONTACT, "Record-Route: <sip:10.0.0.5;lr>"], None);
    story.tells();
    story.does(|leg, now| leg.hang_up(Some(Reason::q850(16)), now));
    let (_, transmit, cancel) = story.last_sent("CANCEL").clone();
    let invite = story.last("INVITE");
    assert_eq!(transmit.to, trunk());
    assert_eq!(cancel.header("via"), invite.header("via"));
    assert_eq!((cancel.request_uri(), cancel.cseq()), (invite.request_uri(), invite.cseq()));
    assert_eq!((cancel.header("to"), cancel.header("from")), (invite.header("to"), invite.header("from")));
    assert_eq!((cancel.header("route"), cancel.header("reason")), (None, Some("Q.850;cause=16")));
    story.replies("CANCEL", 200, "bob", &[], None);
    story.sends();
    story.replies("INVITE", 487, "bob", &[], None);
    assert!(matches!(&story.tells()[..], [LegEvent::Final(told)] if told.code == 487));
    assert!(story.sends().is_empty(), "it is stored first, as any final response");
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.sends(), ["ACK"]);
    assert_eq!(story.tells(), over(OverCause::Canceled { code: Some(487) }));
}

#[test]
fn cancel_waits_for_the_first_provisional_response() {
    let mut story = Story::dialled();
    story.does(|leg, now| leg.hang_up(None, now));
    assert!(story.sends().is_empty());
    story.replies("INVITE", 100, "", &[], None);
    assert_eq!(story.sends(), ["CANCEL"]);
    story.replies("INVITE", 180, "bob", &[], None);
    assert!(story.sends().is_empty(), "one CANCEL");
    assert!(story.tells().is_empty(), "ringing is nobody's business any more");
}

#[test]
fn a_cancel_that_nobody_answers_ends_after_32_seconds() {
    let mut story = Story::dialled();
    story.replies("INVITE", 180, "bob", &[], None);
    story.tells();
    story.does(|leg, now| leg.hang_up(None, now));
    story.waits(31_900);
    assert!(story.tells().is_empty());
    assert!(story.sends().len() > 8, "repeated");
    story.waits(200);
    assert_eq!(story.tells(), over(OverCause::Canceled { code: None }));
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let mut story = Story::dialled();
    story.replies("INVITE", 180, "bob", &[], None);
    story.tells();
    story.does(|leg, now| leg.hang_up(Some(Reason::q850(16)), now));
    story.sends();
    story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    story.replies("CANCEL", 481, "bob", &[], None);
    assert!(story.sends().is_empty(), "nothing is acknowledged before it is stored");
    assert!(matches!(&story.tells()[..], [LegEvent::Final(told)] if told.code == 200));
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.sends(), ["ACK", "BYE"]);
    assert_eq!(story.last("BYE").header("reason"), Some("Q.850;cause=16"));
    story.replies("BYE", 200, "bob", &[], None);
    assert_eq!(story.tells(), over(OverCause::HungUp));
    story.sends();
    story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    assert_eq!(story.sends(), ["ACK"], "even after the last word");
}

#[test]
fn hung_up_while_the_answer_is_being_stored_it_is_acknowledged_first() {
    let mut story = Story::dialled();
    story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    story.does(|leg, now| leg.hang_up(None, now));
    assert!(story.sends().is_empty());
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.sends(), ["ACK", "BYE"]);
}

#[test]
fn bye_is_repeated_until_it_is_answered_or_nobody_is_there() {
    for (answer, cause) in [(Some(200), OverCause::HungUp), (Some(481), OverCause::HungUp), (None, OverCause::HungUp)] {
        let mut story = Story::answered();
        story.does(|leg, now| leg.hang_up(None, now));
        story.waits(1_600);
        assert_eq!(story.sends(), ["BYE", "BYE", "BYE"]);
        assert!(story.tells().is_empty());
        match answer {
            Some(code) => story.replies("BYE", code, "bob", &[], None),
            None => story.waits(31_000),
        }
        assert_eq!(story.tells(), over(cause));
        story.sends();
        story.waits(300_000);
        assert!(story.sends().is_empty() && story.leg.is_over());
    }
}

#[test]
fn the_peers_bye_is_answered_and_so_are_its_repeats() {
    let mut story = Story::answered();
    let bye = story.request(Method::Bye, &["Reason: Q.850;cause=16;text=\"bye, bye\""], None);
    story.hears(&bye, phone());
    story.hears(&bye, phone());
    assert_eq!(story.sends(), ["200 BYE", "200 BYE"]);
    let reason = Some(Reason { text: Some("bye, bye".to_owned()), ..Reason::q850(16) });
    assert_eq!(story.tells(), [LegEvent::RemoteHangUp { reason }, LegEvent::Over { cause: OverCause::RemoteHangUp }]);
}

#[test]
fn a_bye_before_the_answer_is_stored_is_answered_behind_the_ack() {
    let mut story = Story::dialled();
    story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    story.tells();
    let bye = story.request(Method::Bye, &[], None);
    story.hears(&bye, trunk());
    assert_eq!(story.tells().len(), 2);
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.sends(), ["ACK", "200 BYE"]);
}

#[test]
fn byes_that_cross_end_the_call_once() {
    let mut story = Story::answered();
    story.does(|leg, now| leg.hang_up(None, now));
    let bye = story.request(Method::Bye, &[], None);
    story.hears(&bye, phone());
    story.replies("BYE", 481, "bob", &[], None);
    let overs = story.tells().into_iter().filter(|event| matches!(event, LegEvent::Over { .. })).count();
    assert_eq!((overs, story.sends()), (1, vec!["BYE".to_owned(), "200 BYE".to_owned()]));
}

#[test]
fn a_stranger_with_the_right_names_can_end_nothing() {
    let mut story = Story::answered();
    for method in [Method::Bye, Method::Cancel, Method::Invite, Method::Update, Method::Refer] {
        let forged = story.request(method, &[CONTACT], Some(OFFER));
        story.hears(&forged, stranger());
        let expected = format!("481 {}", method.as_str());
        assert_eq!(story.sends(), [expected]);
        assert_eq!(story.sent.last().unwrap().1.to, stranger());
    }
    assert!(story.tells().is_empty() && !story.leg.is_over());
}

#[test]
fn the_peer_with_guessed_tags_can_end_nothing() {
    let mut story = Story::answered();
    let bye = story.request(Method::Bye, &[], None);
    let text = String::from_utf8(bye.bytes().to_vec()).unwrap();
    let guessed: Message = parsed(text.replace("tag=bob", "tag=eve").as_bytes());
    story.hears(&guessed, phone());
    assert_eq!(story.sends(), ["481 BYE"]);
    assert!(story.tells().is_empty());
}

#[test]
fn a_bye_is_answered_once_the_answer_that_it_ends_is_durable() {
    let mut story = Story::dialled();
    story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    story.tells();
    let bye = story.request(Method::Bye, &[], None);
    story.hears(&bye, trunk());
    assert!(matches!(story.tells().first(), Some(LegEvent::RemoteHangUp { .. })), "the owner hears of it at once");
    story.hears(&bye, trunk());
    assert_eq!(story.sends(), [""; 0]);
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.sends(), ["ACK", "200 BYE"]);
    story.hears(&bye, trunk());
    assert_eq!(story.sends(), ["200 BYE"], "the 200 got lost");
}
