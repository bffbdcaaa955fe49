//! From the INVITE to the answer.

use std::time::Duration;

use ringback_sip::{FinalResponse, Leg, LegEvent, Message, Name, OverCause};

use crate::world::*;

fn the_final(story: &mut Story) -> FinalResponse {
    match story.tells().into_iter().next() {
        Some(LegEvent::Final(told)) => told,
        other => panic!("no final response but {other:?}"),
    }
}

#[test]
fn a_new_leg_sends_nothing_and_shows_what_is_to_be_stored() {
    let mut leg = Leg::new(setup());
    assert_eq!((leg.poll_transmit(), leg.poll_event(), leg.poll_timeout()), (None, None, None));
    let invite = parsed(&leg.invite().bytes);
    assert_eq!(invite.branch(), leg.invite().branch);
    assert_eq!((invite.number(Name::Expires), invite.sdp()), (Some(45), Some(OFFER)));
    assert_eq!(invite.header("session-expires"), Some("180"));
    assert!(invite.via().unwrap().param("rport").is_some());
    assert!(invite.header("user-agent").is_none());
}

#[test]
fn silence_is_met_with_the_same_bytes_for_32_seconds_and_told_as_408() {
    let mut story = Story::dialled();
    story.waits(40_000);
    let moments: Vec<u64> = story.sent.iter().map(|(at, _, _)| at.0 - 1_000).collect();
    assert_eq!(moments, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert!(story.sent.iter().all(|(_, transmit, _)| transmit.bytes == story.sent[0].1.bytes));
    let told = the_final(&mut story);
    assert_eq!((told.code, told.bytes.len(), told.retry), (408, 0, false));
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.tells(), [LegEvent::Over { cause: OverCause::NoResponse }]);
}

#[test]
fn a_provisional_response_stops_the_repeats_for_as_long_as_it_rings() {
    let mut story = Story::dialled();
    story.replies("INVITE", 100, "", &[], None);
    story.replies("INVITE", 100, "", &[], None);
    story.waits(170_000);
    assert_eq!((story.sends(), story.tells()), (vec![], vec![LegEvent::Trying]));
}

#[test]
fn each_phone_that_rings_is_told_once_and_its_early_media_with_it() {
    let mut story = Story::dialled();
    for _ in 0..2 {
        story.replies("INVITE", 180, "one", &[], None);
        story.replies("INVITE", 183, "two", &["Reason: Q.850;cause=17"], Some(ANSWER));
    }
    let ringing = LegEvent::Ringing { code: 180, sdp: None, q850: None };
    let media = LegEvent::Ringing { code: 183, sdp: Some(ANSWER.to_owned()), q850: Some(17) };
    assert_eq!(story.tells(), [ringing, media]);
}

#[test]
fn an_answer_is_not_acknowledged_before_it_is_stored_and_repeats_stay_unanswered() {
    let mut story = Story::dialled();
    for _ in 0..3 {
        story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    }
    assert!(story.sends().is_empty());
    let told = the_final(&mut story);
    assert_eq!((told.code, told.sdp.as_deref(), told.retry), (200, Some(ANSWER), false));
    assert!(story.tells().is_empty(), "told once");
    story.does(|leg, now| leg.acknowledge(now));
    story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    assert_eq!(story.sends(), ["ACK", "ACK"], "from now on repeats are acknowledged");
    let (_, ack, message) = story.last_sent("ACK").clone();
    assert_eq!((ack.to, message.request_uri()), (phone(), "sip:bob@10.0.0.3:5060"));
    assert_eq!(message.cseq(), story.last("INVITE").cseq());
    assert_ne!(message.branch(), story.last("INVITE").branch(), "the ACK of a 2xx is a transaction of its own");
}

#[test]
fn the_accepted_state_acknowledges_late_repeats_as_rfc_6026_wants() {
    let mut story = Story::answered();
    story.waits(31_000);
    story.sends();
    story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    assert_eq!(story.sends(), ["ACK"]);
}

#[test]
fn a_refusal_is_not_acknowledged_before_it_is_stored() {
    let mut story = Story::dialled();
    story.replies("INVITE", 486, "bob", &["Reason: Q.850;cause=17;text=\"busy\""], None);
    story.replies("INVITE", 486, "bob", &[], None);
    let told = the_final(&mut story);
    assert_eq!((told.code, told.q850, story.sends().len()), (486, Some(17), 0));
    story.does(|leg, now| leg.acknowledge(now));
    story.replies("INVITE", 486, "bob", &[], None);
    assert_eq!(story.sends(), ["ACK", "ACK"]);
    let ack = story.last("ACK");
    assert_eq!(ack.branch(), story.last("INVITE").branch());
    assert_eq!((ack.to_tag(), ack.request_uri()), ("bob", "sip:+442071838750@10.0.0.2"));
    assert_eq!(story.tells(), [LegEvent::Over { cause: OverCause::Refused { code: 486 } }]);
}

#[test]
fn a_redirection_is_an_ending_and_never_followed() {
    let mut story = Story::dialled();
    story.replies("INVITE", 302, "evil", &["Contact: <sip:00979123456789@10.9.9.9>"], None);
    assert!(!the_final(&mut story).retry);
    story.does(|leg, now| leg.acknowledge(now));
    story.waits(60_000);
    assert_eq!(story.sends(), ["ACK"]);
}

#[test]
fn of_several_answers_the_first_is_the_call_and_the_others_are_acknowledged_and_hung_up() {
    let mut story = Story::dialled();
    story.replies("INVITE", 200, "first", &[CONTACT], Some(ANSWER));
    story.replies("INVITE", 200, "second", &["Contact: <sip:eve@10.0.0.4:5060>"], Some(ANSWER));
    assert_eq!(story.tells().len(), 1);
    assert_eq!(story.sends(), ["ACK", "BYE"], "the second only; the first waits for the store");
    let bye = story.last("BYE");
    assert_eq!((bye.to_tag(), bye.request_uri()), ("second", "sip:eve@10.0.0.4:5060"));
    story.replies("INVITE", 200, "second", &[], Some(ANSWER));
    assert_eq!(story.sends(), ["ACK"], "its repeats are acknowledged, not hung up again");
    story.replies("BYE", 200, "", &[], None);
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.last("ACK").to_tag(), "first");
    assert!(story.tells().is_empty() && !story.leg.is_over());
}

#[test]
fn an_answer_without_contact_is_acknowledged_by_what_rang_or_by_the_way_the_invite_went() {
    let mut story = Story::dialled();
    story.replies("INVITE", 180, "bob", &[CONTACT, "Record-Route: <sip:10.0.0.2;lr>"], None);
    story.replies("INVITE", 200, "bob", &[], Some(ANSWER));
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!((story.last("ACK").request_uri(), story.last_sent("ACK").1.to), ("sip:bob@10.0.0.3:5060", trunk()));
    assert_eq!(story.last("ACK").header("route"), Some("<sip:10.0.0.2;lr>"));

    let mut bare = Story::dialled();
    bare.replies("INVITE", 200, "bob", &[], Some(ANSWER));
    bare.does(|leg, now| leg.acknowledge(now));
    assert_eq!((bare.last("ACK").request_uri(), bare.last_sent("ACK").1.to), ("sip:+442071838750@10.0.0.2", trunk()));
}

#[test]
fn loose_routers_stand_in_route_and_the_contact_in_the_request_uri() {
    let routes = "Record-Route: <sip:10.0.0.5;lr>, <sip:10.0.0.2;lr>";
    let story = Story::answered_with(&[CONTACT, routes]);
    let (_, transmit, ack) = story.last_sent("ACK").clone();
    assert_eq!(ack.request_uri(), "sip:bob@10.0.0.3:5060");
    assert_eq!(
        ack.list(Name::Route).collect::<Vec<_>>(),
        ["<sip:10.0.0.2;lr>", "<sip:10.0.0.5;lr>"],
        "the other way round"
    );
    assert_eq!(transmit.to, trunk());
}

#[test]
fn a_strict_router_takes_the_request_uri_and_the_contact_goes_last() {
    let story = Story::answered_with(&[CONTACT, "Record-Route: <sip:10.0.0.5;lr>", "Record-Route: <sip:10.0.0.2>"]);
    let ack = story.last("ACK");
    assert_eq!(ack.request_uri(), "sip:10.0.0.2");
    assert_eq!(ack.list(Name::Route).collect::<Vec<_>>(), ["<sip:10.0.0.5;lr>", "<sip:bob@10.0.0.3:5060>"]);
}

#[test]
fn a_router_that_forgot_its_brackets_is_as_loose_as_it_says() {
    let routes = "Record-Route: sip:10.0.0.5;transport=udp;lr;service=scscf, sip:10.0.0.2;lr";
    let story = Story::answered_with(&[CONTACT, routes]);
    let ack = story.last("ACK");
    assert_eq!(ack.request_uri(), "sip:bob@10.0.0.3:5060");
    assert_eq!(
        ack.list(Name::Route).collect::<Vec<_>>(),
        ["<sip:10.0.0.2;lr>", "<sip:10.0.0.5;transport=udp;lr;service=scscf>"]
    );
}

/// What phones write in Contact, whose URI the ACK is for, and where it goes.
#[test]
fn the_ack_is_for_the_contact_however_it_is_written() {
    let cases = [
        (r#"sip:bob@10.0.0.3:5060;+sip.instance="<urn:gsma:imei:35-1>";audio"#, "sip:bob@10.0.0.3:5060", phone()),
        (
            r#"<sip:bob@10.0.0.3:5060;transport=udp>;+sip.instance="<urn:uuid:1>""#,
            "sip:bob@10.0.0.3:5060;transport=udp",
            phone(),
        ),
        ("<sip:+44;postd=pp22@10.0.0.3:5060;user=phone>", "sip:+44;postd=pp22@10.0.0.3:5060;user=phone", phone()),
        (
            "<sip:bob@10.0.0.3:5060;alias=[2001:db8::99]~43691~5>",
            "sip:bob@10.0.0.3:5060;alias=[2001:db8::99]~43691~5",
            phone(),
        ),
        ("<sip:PBX#1@10.0.0.3:5060>;expires=60,<sip:x@10.0.0.4>", "sip:PBX#1@10.0.0.3:5060", phone()),
        ("<sip:bob@[fe80::1%eth0]:5060>", "sip:bob@[fe80::1%eth0]:5060", trunk()),
        ("<sip:bob@10.0.0.3:0>", "sip:bob@10.0.0.3:0", trunk()),
        (r#"<sip:bob@10.0.0.3;thinfo="VG8+">"#, "sip:+442071838750@10.0.0.2", trunk()),
        ("<sip:bob@inn.example@10.0.0.3>", "sip:+442071838750@10.0.0.2", trunk()),
        ("<sip:bob@10.0.0.3?Subject=x>", "sip:+442071838750@10.0.0.2", trunk()),
        ("<tel:+442071838750>", "sip:+442071838750@10.0.0.2", trunk()),
    ];
    for (contact, uri, to) in cases {
        let story = Story::answered_with(&[&format!("Contact: {contact}")]);
        assert_eq!((story.last("ACK").request_uri(), story.last_sent("ACK").1.to), (uri, to), "{contact}");
    }
}

#[test]
fn a_phone_behind_a_router_is_reached_by_the_way_the_invite_went() {
    let mut setup = setup();
    setup.target.peer = "203.0.113.7:5060".parse().unwrap();
    let mut story = Story::dialled_with(setup.clone());
    let answer = response(&story.last("INVITE"), 200, "bob", &[CONTACT], Some(ANSWER));
    story.hears(&answer, setup.target.peer);
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.last_sent("ACK").1.to, setup.target.peer);
}

#[test]
fn a_session_interval_too_small_is_raised_once() {
    let mut story = Story::dialled();
    story.replies("INVITE", 422, "x", &["Min-SE: 600"], None);
    assert!(the_final(&mut story).retry);
    story.does(|leg, now| leg.acknowledge(now));
    story.does(|leg, now| leg.dial(now));
    assert_eq!(story.sends(), ["ACK", "INVITE"]);
    let again = story.last("INVITE");
    assert_eq!((again.number(Name::SessionExpires), again.number(Name::MinSe)), (Some(600), Some(600)));
    assert_eq!(again.cseq(), story.sent[0].2.cseq() + 1);
    assert_ne!(again.branch(), story.sent[0].2.branch());
    story.replies("INVITE", 422, "x", &["Min-SE: 900"], None);
    assert!(!the_final(&mut story).retry);
}

#[test]
fn a_pending_request_at_the_other_side_is_tried_once_more_after_a_wait() {
    let mut story = Story::dialled();
    story.replies("INVITE", 491, "x", &[], None);
    let told = the_final(&mut story);
    let wait = told.retry_after.unwrap();
    assert!(told.retry && wait >= Duration::from_millis(2_100) && wait <= Duration::from_secs(4));
}

#[test]
fn responses_with_a_foreign_branch_or_from_a_foreign_address_change_nothing() {
    let mut story = Story::dialled();
    let good = response(&story.last("INVITE"), 200, "bob", &[CONTACT], Some(ANSWER));
    story.hears(&good, stranger());
    let text = String::from_utf8(good.bytes().to_vec()).unwrap();
    let foreign: Message = parsed(text.replace(good.branch(), "z9hG4bKguessed").as_bytes());
    story.hears(&foreign, trunk());
    assert!(story.tells().is_empty() && story.sends().is_empty());
    story.hears(&good, trunk());
    assert_eq!(story.tells().len(), 1);
}

#[test]
fn our_own_invite_that_comes_back_is_a_loop() {
    let mut story = Story::dialled();
    let own = story.last("INVITE");
    story.hears(&own, trunk());
    assert_eq!(story.sends(), ["482 INVITE"]);
    assert!(story.tells().is_empty());
}

#[test]
fn what_a_job_says_cannot_leave_its_place_in_the_invite() {
    let mut setup = setup();
    setup.caller.display = Some("a\r\nX-Evil: \"y\\".to_owned());
    setup.caller.from_uri = "sip:a@b>\r\nX-Evil: y".to_owned();
    setup.caller.extra_headers = vec![
        ("P-Asserted-Identity".to_owned(), "<sip:+1@x>\r\nX-Evil: y".to_owned()),
        ("X-Evil:\r\n".to_owned(), "y".to_owned()),
        ("Via".to_owned(), "SIP/2.0/UDP evil".to_owned()),
        ("v".to_owned(), "SIP/2.0/UDP evil".to_owned()),
        ("Content-Length".to_owned(), "0".to_owned()),
    ];
    let leg = Leg::new(setup);
    let invite = parsed(&leg.invite().bytes);
    assert!(invite.header("X-Evil").is_none());
    assert_eq!(invite.all(Name::Via).count(), 1);
    assert_eq!(invite.sdp(), Some(OFFER));
    assert_eq!(invite.from().unwrap().display_text(), "aX-Evil: \"y\\");
    assert!(invite.header("p-asserted-identity").unwrap().starts_with("<sip:+1@x>"));
}
