//! Within an answered call: offers both ways, the session timer, digits, and what a callee may not ask.

use ringback_sip::{LegEvent, Method, Name, OverCause};

use crate::world::*;

const NEW_OFFER: &str =
    "v=0\r\no=- 1 2 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 20002 RTP/AVP 0\r\n";

#[test]
fn our_offer_is_accepted_and_acknowledged_by_itself() {
    let mut story = Story::answered();
    story.does(|leg, now| leg.reinvite(NEW_OFFER.to_owned(), None, now));
    assert_eq!(story.sends(), ["INVITE"]);
    let offer = story.last("INVITE");
    assert_eq!((offer.to_tag(), offer.sdp(), offer.request_uri()), ("bob", Some(NEW_OFFER), "sip:bob@10.0.0.3:5060"));
    story.replies("INVITE", 200, "bob", &["Contact: <sip:bob@10.0.0.4:5070>"], Some(ANSWER));
    assert_eq!(story.sends(), ["ACK"]);
    assert_eq!(story.last_sent("ACK").1.to, "10.0.0.4:5070".parse().unwrap(), "a target refresh");
    assert_eq!(story.tells(), [LegEvent::Reinvited { sdp: Some(ANSWER.to_owned()) }]);
    story.replies("INVITE", 200, "bob", &[], Some(ANSWER));
    assert_eq!(story.sends(), ["ACK"]);
}

#[test]
fn a_refused_offer_leaves_the_call_as_it_was() {
    let mut story = Story::answered();
    story.does(|leg, now| leg.reinvite(NEW_OFFER.to_owned(), None, now));
    story.replies("INVITE", 488, "bob", &[], None);
    assert_eq!(story.sends(), ["INVITE", "ACK"]);
    assert_eq!(story.last("ACK").branch(), story.last("INVITE").branch());
    assert_eq!(story.tells(), [LegEvent::ReinviteFailed { code: 488 }]);
}

#[test]
fn after_a_glare_the_owner_of_the_call_id_waits_2_to_4_seconds() {
    let mut story = Story::answered();
    story.does(|leg, now| leg.reinvite(NEW_OFFER.to_owned(), None, now));
    story.replies("INVITE", 491, "bob", &[], None);
    story.sends();
    story.waits(2_050);
    assert!(story.sends().is_empty());
    story.waits(2_000);
    assert_eq!(story.sends()[0], "INVITE");
    story.replies("INVITE", 200, "bob", &[], Some(ANSWER));
    assert!(matches!(story.tells()[..], [LegEvent::Reinvited { .. }]));
}

#[test]
fn the_peers_offer_while_ours_is_on_its_way_is_a_glare() {
    let mut story = Story::answered();
    story.does(|leg, now| leg.reinvite(NEW_OFFER.to_owned(), None, now));
    story.sends();
    let theirs = story.request(Method::Invite, &[CONTACT], Some(OFFER));
    story.hears(&theirs, phone());
    assert_eq!((story.sends(), story.tells().len()), (vec!["491 INVITE".to_owned()], 0));
}

#[test]
fn the_peers_offer_is_told_and_the_owners_answer_is_repeated_until_its_ack() {
    let mut story = Story::answered();
    let offer = story.request(Method::Invite, &["Contact: <sip:bob@10.0.0.4:5070>"], Some(OFFER));
    story.hears(&offer, phone());
    story.hears(&offer, phone());
    assert_eq!(story.tells(), [LegEvent::Offer { sdp: Some(OFFER.to_owned()) }]);
    assert!(story.sends().is_empty());
    story.does(|leg, now| leg.answer_offer(Some(NEW_OFFER.to_owned()), now));
    story.waits(1_000);
    assert_eq!(story.sends(), ["200 INVITE", "200 INVITE"]);
    let ack = story.request_numbered(Method::Ack, offer.cseq(), &[], None);
    story.hears(&ack, phone());
    story.waits(5_000);
    assert_eq!(story.sends(), Vec::<String>::new());
    story.does(|leg, now| leg.hang_up(None, now));
    assert_eq!(story.last("BYE").request_uri(), "sip:bob@10.0.0.4:5070");
}

#[test]
fn an_offer_without_description_asks_for_ours_and_the_ack_brings_the_answer() {
    let mut story = Story::answered();
    let asked = story.request(Method::Invite, &[CONTACT], None);
    story.hears(&asked, phone());
    assert_eq!(story.tells(), [LegEvent::Offer { sdp: None }]);
    story.does(|leg, now| leg.answer_offer(Some(NEW_OFFER.to_owned()), now));
    let ack = story.request_numbered(Method::Ack, asked.cseq(), &[], Some(ANSWER));
    story.hears(&ack, phone());
    assert_eq!(story.tells(), [LegEvent::Reinvited { sdp: Some(ANSWER.to_owned()) }]);
}

#[test]
fn an_offer_the_owner_cannot_take_is_refused_and_one_that_is_cancelled_ends_with_487() {
    let mut story = Story::answered();
    let offer = story.request(Method::Invite, &[CONTACT], Some(OFFER));
    story.hears(&offer, phone());
    story.does(|leg, now| leg.answer_offer(None, now));
    assert_eq!(story.sends(), ["488 INVITE"]);
    let ack = story.request_numbered(Method::Ack, offer.cseq(), &[], None);
    story.hears(&ack, phone());
    let second = story.request(Method::Invite, &[CONTACT], Some(OFFER));
    story.hears(&second, phone());
    let text = String::from_utf8(second.bytes().to_vec()).unwrap();
    let cancel = text.replacen("INVITE", "CANCEL", 1).replace(" INVITE\r\n", " CANCEL\r\n");
    story.hears(&parsed(cancel.as_bytes()), phone());
    assert_eq!(story.sends(), ["200 CANCEL", "487 INVITE"]);
    story.does(|leg, now| leg.answer_offer(Some(NEW_OFFER.to_owned()), now));
    assert!(story.sends().is_empty(), "too late");
}

#[test]
fn a_refresh_by_the_peer_needs_nobody() {
    let mut story = Story::answered_with(&[CONTACT, "Session-Expires: 180;refresher=uas", "Require: timer"]);
    let header = ["Supported: timer", "Session-Expires: 180;refresher=uac", CONTACT];
    for (method, sdp) in [(Method::Invite, Some(ANSWER)), (Method::Update, None), (Method::Update, Some(ANSWER))] {
        story.waits(80_000);
        let refresh = story.request(method, &header, sdp);
        story.hears(&refresh, phone());
        let reply = story.sent.last().unwrap().2.clone();
        assert_eq!((reply.code(), reply.header("session-expires")), (200, Some("180;refresher=uac")));
        assert_eq!(reply.sdp(), sdp.map(|_| OFFER));
        assert_eq!(story.tells(), [LegEvent::Refreshed]);
        let ack = story.request_numbered(Method::Ack, refresh.cseq(), &[], None);
        story.hears(&ack, phone());
    }
    let offer = story.request(Method::Update, &header, Some(NEW_OFFER));
    story.hears(&offer, phone());
    assert_eq!(story.sent.last().unwrap().2.code(), 488, "offers by UPDATE are not taken");
}

#[test]
fn a_session_interval_below_the_least_is_refused() {
    let mut story = Story::answered();
    let refresh = story.request(Method::Update, &["Supported: timer", "Session-Expires: 30"], None);
    story.hears(&refresh, phone());
    let reply = &story.sent.last().unwrap().2;
    assert_eq!((reply.code(), reply.number(Name::MinSe)), (422, Some(90)));
}

#[test]
fn we_refresh_at_half_time_with_the_same_description() {
    let mut story = Story::answered();
    story.waits(89_999);
    assert!(story.sends().is_empty());
    story.waits(1);
    for _ in 0..40 {
        assert_eq!(story.sends()[0], "INVITE");
        let refresh = story.last("INVITE");
        assert_eq!((refresh.sdp(), refresh.header("session-expires")), (Some(OFFER), Some("180;refresher=uac")));
        story.replies("INVITE", 200, "bob", &["Session-Expires: 180;refresher=uac"], Some(ANSWER));
        assert_eq!((story.sends(), story.tells()), (vec!["ACK".to_owned()], vec![LegEvent::Refreshed]));
        story.waits(90_000);
    }
}

#[test]
fn a_peer_that_promised_to_refresh_and_does_not_is_hung_up_before_the_end() {
    let mut story = Story::answered_with(&[CONTACT, "Session-Expires: 180;refresher=uas"]);
    story.waits(147_000);
    assert!(story.sends().is_empty());
    story.waits(1_100);
    assert_eq!(story.sends(), ["BYE"]);
    story.replies("BYE", 200, "bob", &[], None);
    assert_eq!(story.tells(), [LegEvent::Over { cause: OverCause::SessionExpired }]);
}

#[test]
fn a_peer_without_session_timer_is_flagged_and_refreshed_by_us_but_never_cut() {
    let mut story = Story::answered_with(&[CONTACT]);
    assert!(story.leg.session_timer_missing());
    for _ in 0..5 {
        story.waits(90_000);
        assert_eq!(story.sends()[0], "INVITE");
        story.replies("INVITE", 488, "bob", &[], None);
        story.sends();
    }
    assert!(story.tells().is_empty() && !story.leg.is_over());
}

#[test]
fn a_refresh_that_finds_nobody_ends_the_call() {
    for (code, bye_expected) in [(481, false), (408, true)] {
        let mut story = Story::answered();
        story.waits(90_000);
        story.replies("INVITE", code, "bob", &[], None);
        let sent = story.sends();
        assert_eq!(sent.contains(&"BYE".to_owned()), bye_expected, "{sent:?}");
        assert_eq!(story.tells(), [LegEvent::Over { cause: OverCause::PeerGone }]);
    }
    let mut story = Story::answered();
    story.waits(90_000 + 33_000);
    assert_eq!(story.tells(), [LegEvent::Over { cause: OverCause::PeerGone }], "silence");
}

#[test]
fn gaps_in_the_peers_cseq_are_legal_and_steps_back_are_not() {
    let mut story = Story::answered();
    for (cseq, code) in [(500, "200 OPTIONS"), (90_000, "200 OPTIONS"), (89_999, "500 OPTIONS")] {
        let options = story.request_numbered(Method::Options, cseq, &[], None);
        story.hears(&options, phone());
        assert_eq!(story.sends(), [code]);
    }
}

#[test]
fn a_callee_can_press_keys_but_not_make_us_dial() {
    let mut story = Story::answered();
    let answers = [
        (Method::Refer, "403 REFER"),
        (Method::Notify, "405 NOTIFY"),
        (Method::Subscribe, "405 SUBSCRIBE"),
        (Method::Message, "405 MESSAGE"),
        (Method::Prack, "481 PRACK"),
        (Method::Options, "200 OPTIONS"),
    ];
    for (method, answer) in answers {
        let request = story.request(method, &["Refer-To: <sip:00979123456789@10.9.9.9>", "Event: refer"], None);
        story.hears(&request, phone());
        assert_eq!(story.sends(), [answer]);
    }
    assert!(story.tells().is_empty());
    for (kind, body, digit) in
        [("dtmf-relay", "Signal=5\r\nDuration=160\r\n", '5'), ("dtmf", "#", '#'), ("dtmf-relay", "Signal= 10\r\n", '*')]
    {
        let info = story.request(Method::Info, &[], Some(body));
        let text = String::from_utf8(info.bytes().to_vec())
            .unwrap()
            .replace("application/sdp", &format!("application/{kind}"));
        story.hears(&parsed(text.as_bytes()), phone());
        story.hears(&parsed(text.as_bytes()), phone());
        assert_eq!(story.tells(), [LegEvent::Digits(digit)], "once, though the INFO came twice");
        assert_eq!(story.sends(), ["200 INFO", "200 INFO"]);
    }
}

#[test]
fn answers_go_to_the_packets_source_and_say_so() {
    let mut story = Story::answered();
    let options = story.request(Method::Options, &[], None);
    story.hears(&options, "10.0.0.2:40000".parse().unwrap());
    let (_, transmit, reply) = story.sent.last().unwrap();
    assert_eq!(transmit.to, "10.0.0.2:40000".parse().unwrap(), "rport");
    let via = reply.via().unwrap();
    assert_eq!((via.param("rport"), via.param("received")), (Some("40000"), Some("10.0.0.2")));
    let text = String::from_utf8(options.bytes().to_vec()).unwrap();
    let lying = text
        .replace("10.0.0.2:5060;", "victim.example:5099;maddr=10.9.9.9;")
        .replace(";rport", "")
        .replace("bKOPT", "bKother");
    story.hears(&parsed(lying.as_bytes()), "10.0.0.2:40000".parse().unwrap());
    let (_, transmit, reply) = story.sent.last().unwrap();
    assert_eq!(transmit.to, "10.0.0.2:5099".parse().unwrap());
    assert_eq!(reply.via().unwrap().param("received"), Some("10.0.0.2"));
}
