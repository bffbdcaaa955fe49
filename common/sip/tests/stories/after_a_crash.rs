//! What is stored, and how a call goes on, or ends, when its process has died.

use std::time::Duration;

use ringback_sip::{Invite, Leg, LegEvent, LegState, Method, Moment, OverCause};

use crate::world::*;

/// Through the store and back.
fn stored<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn restarted(story: &Story) -> Story {
    let (state, invite): (LegState, Invite) = (stored(&story.leg.snapshot()), stored(story.leg.invite()));
    Story::of(Leg::restore(state, invite, Moment(0)))
}

#[test]
fn the_very_same_bytes_leave_again_and_no_longer_than_the_invite_lives() {
    let first = Story::dialled();
    let mut again = restarted(&first);
    assert!(again.sends().is_empty(), "nothing by itself");
    again.does(|leg, now| leg.resume(Duration::from_secs(20), now));
    again.waits(11_900);
    assert!(again.sent.iter().all(|(_, transmit, _)| *transmit == first.sent[0].1));
    assert!(again.sent.len() > 3 && again.tells().is_empty());
}

#[test]
fn silence_after_a_resume_is_no_word_about_the_phone_and_ends_in_a_cancel() {
    let mut again = restarted(&Story::dialled());
    again.does(|leg, now| leg.resume(Duration::from_millis(29_900), now));
    again.sends();
    again.waits(2_200);
    assert_eq!(again.tells(), [LegEvent::GivenUp]);
    assert!(again.sends().contains(&"CANCEL".to_owned()));
    again.waits(33_000);
    assert_eq!(again.tells(), [LegEvent::Over { cause: OverCause::Canceled { code: None } }]);
}

#[test]
fn a_phone_that_answers_after_its_invite_was_given_up_is_acknowledged_and_hung_up() {
    let mut again = restarted(&Story::dialled());
    again.does(|leg, now| leg.resume(Duration::from_secs(20), now));
    again.waits(13_000);
    again.tells();
    again.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    assert!(matches!(&again.tells()[..], [LegEvent::Final(told)] if told.code == 200));
    again.sends();
    again.does(|leg, now| leg.acknowledge(now));
    assert_eq!(again.sends(), ["ACK", "BYE"]);
}

#[test]
fn a_resumed_invite_that_was_hung_up_before_any_word_has_an_unknown_end() {
    let mut again = restarted(&Story::dialled());
    again.does(|leg, now| leg.resume(Duration::from_secs(20), now));
    again.does(|leg, now| leg.hang_up(None, now));
    again.waits(60_000);
    assert_eq!(again.tells(), [LegEvent::Over { cause: OverCause::Canceled { code: None } }]);
}

#[test]
fn a_resumed_call_answers_a_challenge_once_its_credentials_are_back() {
    let mut again = restarted(&Story::dialled());
    again.leg.set_credentials(setup().target.credentials);
    again.does(|leg, now| leg.resume(Duration::from_secs(1), now));
    again.replies("INVITE", 407, "x", &[r#"Proxy-Authenticate: Digest realm="r", nonce="n""#], None);
    assert!(matches!(&again.tells()[..], [LegEvent::Final(told)] if told.retry));
    assert_eq!(parsed(&again.leg.invite().bytes).sdp(), Some(OFFER));
}

#[test]
fn an_invite_too_old_to_resume_is_cancelled_instead() {
    let mut again = restarted(&Story::dialled());
    assert!(Leg::may_resume(Duration::from_secs(30)) && !Leg::may_resume(Duration::from_millis(30_001)));
    again.does(|leg, now| leg.resume(Duration::from_millis(30_001), now));
    assert_eq!(again.sends(), ["CANCEL"], "with less than two seconds left nobody would hear the answer in time");
}

#[test]
fn an_abandoned_invite_is_cancelled_by_its_stored_branch() {
    let first = Story::dialled();
    let other = "10.0.0.9:5068".parse().unwrap();
    let mut story = Story::of(Leg::abandon(&stored(first.leg.invite()), other, Moment(0)));
    assert_eq!(story.sends(), ["CANCEL"]);
    assert_eq!(story.last("CANCEL").header("via"), first.sent[0].2.header("via"));
    assert_eq!(story.last_sent("CANCEL").1.to, trunk());
    story.replies("CANCEL", 200, "bob", &[], None);
    let refusal = response(&first.sent[0].2, 487, "bob", &[], None);
    story.hears(&refusal, trunk());
    assert!(matches!(&story.tells()[..], [LegEvent::Final(told)] if told.code == 487));
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.sends(), ["ACK"]);
    assert_eq!(story.tells(), [LegEvent::Over { cause: OverCause::Canceled { code: Some(487) } }]);
}

#[test]
fn an_abandoned_invite_that_was_answered_is_acknowledged_and_hung_up() {
    let first = Story::dialled();
    let other = "10.0.0.9:5068".parse().unwrap();
    let mut story = Story::of(Leg::abandon(first.leg.invite(), other, Moment(0)));
    story.replies("CANCEL", 481, "bob", &[], None);
    story.waits(3_000);
    let late = response(&first.sent[0].2, 200, "bob", &[CONTACT], Some(ANSWER));
    story.sends();
    story.hears(&late, trunk());
    assert!(story.sends().is_empty(), "nothing is acknowledged before it is stored");
    assert!(matches!(&story.tells()[..], [LegEvent::Final(told)] if told.code == 200));
    story.does(|leg, now| leg.acknowledge(now));
    assert_eq!(story.sends(), ["ACK", "BYE"]);
    assert_eq!(story.last("BYE").via().unwrap().host, "10.0.0.9");
    story.replies("BYE", 200, "bob", &[], None);
    assert_eq!(story.tells(), [LegEvent::Over { cause: OverCause::HungUp }]);
}

#[test]
fn an_abandoned_invite_that_nobody_knows_is_over_soon() {
    let first = Story::dialled();
    let mut story = Story::of(Leg::abandon(first.leg.invite(), ours(), Moment(0)));
    story.replies("CANCEL", 481, "bob", &[], None);
    story.waits(6_000);
    assert_eq!(story.tells(), [LegEvent::Over { cause: OverCause::Canceled { code: None } }]);
}

#[test]
fn an_answered_call_is_acknowledged_again_and_goes_on_in_the_next_cseq_block() {
    let mut first = Story::answered();
    first.does(|leg, now| leg.reinvite(OFFER.to_owned(), None, now));
    let used = first.last("INVITE").cseq();
    let mut again = restarted(&first);
    assert_eq!(again.sends(), ["ACK"], "perhaps the first was never sent");
    assert_eq!(again.tells(), [LegEvent::Reserve]);
    again.does(|leg, now| leg.resume(Duration::from_secs(90), now));
    assert!(again.sends().is_empty(), "there is no INVITE to resume");
    assert_eq!(again.leg.cseq_reserved(), first.leg.cseq_reserved() + 100);
    again.does(|leg, now| leg.hang_up(None, now));
    assert!(again.sends().is_empty(), "not before the block is durable");
    again.does(|leg, now| leg.reserve_done(now));
    assert_eq!(again.sends(), ["BYE"]);
    let bye = again.last("BYE");
    assert!(bye.cseq() == first.leg.cseq_reserved() + 1 && bye.cseq() > used);
    assert_eq!(
        (bye.from_tag(), bye.to_tag(), bye.request_uri()),
        (first.sent[0].2.from_tag(), "bob", "sip:bob@10.0.0.3:5060")
    );
}

#[test]
fn another_engine_takes_an_answered_call_over_with_its_own_contact() {
    let first = Story::answered();
    let other = "10.0.0.9:5068".parse().unwrap();
    let mut story = Story::of(Leg::adopt(stored(&first.leg.snapshot()), other, Moment(0)));
    assert_eq!(story.tells(), [LegEvent::Reserve]);
    story.does(|leg, now| leg.reinvite(OFFER.to_owned(), Some(other), now));
    story.does(|leg, now| leg.reserve_done(now));
    assert_eq!(story.sends(), ["ACK", "INVITE"]);
    let offer = story.last("INVITE");
    assert_eq!(offer.contact().unwrap().uri, "sip:10.0.0.9:5068");
    assert_eq!(offer.via().unwrap().host, "10.0.0.9");
    story.replies("INVITE", 200, "bob", &["Session-Expires: 180;refresher=uac"], Some(ANSWER));
    assert_eq!(story.tells(), [LegEvent::Reinvited { sdp: Some(ANSWER.to_owned()) }]);
}

#[test]
fn a_state_of_a_later_version_is_not_read() {
    let state = serde_json::to_string(&Story::answered().leg.snapshot()).unwrap();
    assert!(LegState::read(&state).is_ok());
    let later = state.replacen("\"version\":1", "\"version\":2", 1);
    assert!(LegState::read(&later).is_err_and(|why| why.contains("version 2")));
    assert!(LegState::read("{}").is_err());
}

#[test]
fn a_dialog_that_cannot_be_read_is_ended_by_the_invite_and_its_answer() {
    let mut first = Story::dialled();
    let answer = response(
        &first.sent[0].2,
        200,
        "bob",
        &[CONTACT, "Record-Route: <sip:10.0.0.7;lr>", "Record-Route: <sip:10.0.0.2;lr>"],
        Some(ANSWER),
    );
    first.hears(&answer, trunk());
    first.does(|leg, now| leg.acknowledge(now));
    let invite: Invite = stored(first.leg.invite());
    let state = LegState::of_answer(&invite, answer.bytes(), invite.cseq + 777).unwrap();
    let mut story = Story::of(Leg::adopt(state, ours(), Moment(0)));
    story.does(|leg, now| leg.reserve_done(now));
    story.does(|leg, now| leg.hang_up(None, now));
    assert_eq!(story.sends(), ["ACK", "BYE"]);
    let (bye, ack) = (story.last("BYE"), first.last("ACK"));
    assert_eq!((bye.call_id(), bye.from_tag(), bye.to_tag()), (ack.call_id(), ack.from_tag(), "bob"));
    assert_eq!((bye.request_uri(), bye.header("Route")), (ack.request_uri(), ack.header("Route")));
    assert_eq!(bye.cseq(), invite.cseq + 778, "above all that may have been used");
    for other in [response(&first.sent[0].2, 486, "bob", &[], None), first.sent[0].2.clone()] {
        assert_eq!(LegState::of_answer(&invite, other.bytes(), 0), None);
    }
}

#[test]
fn adopting_what_was_never_answered_is_over_at_once() {
    let mut story = Story::of(Leg::adopt(Story::dialled().leg.snapshot(), ours(), Moment(0)));
    assert!(matches!(story.tells()[..], [LegEvent::Over { .. }]));
    assert!(story.sends().is_empty());
}

#[test]
fn a_long_call_reserves_its_next_block_before_the_last_number_is_used() {
    let mut story = Story::answered();
    let first_block = story.leg.cseq_reserved();
    let mut asked = 0;
    for _ in 0..300 {
        story.waits(90_000);
        if story.tells().contains(&LegEvent::Reserve) {
            asked += 1;
            assert!(story.last("INVITE").cseq() <= story.leg.cseq_reserved() - 100);
            assert_eq!(stored(&story.leg.snapshot()).cseq_reserved(), story.leg.cseq_reserved());
            story.does(|leg, now| leg.reserve_done(now));
        }
        story.replies("INVITE", 200, "bob", &["Session-Expires: 180;refresher=uac"], Some(ANSWER));
    }
    assert_eq!((asked, story.leg.cseq_reserved()), (3, first_block + 300));
}

#[test]
fn with_the_store_away_an_exhausted_block_still_has_a_number_for_the_bye() {
    let mut story = Story::answered();
    for _ in 0..120 {
        story.waits(40_000);
        story.does(|leg, now| leg.reinvite(OFFER.to_owned(), None, now));
        story.replies("INVITE", 200, "bob", &["Session-Expires: 180;refresher=uac"], Some(ANSWER));
    }
    let durable = story.leg.cseq_reserved() - 100;
    assert!(story.last("INVITE").cseq() <= durable);
    story.does(|leg, now| leg.hang_up(None, now));
    assert!(story.last("BYE").cseq() <= durable);
}

#[test]
fn a_bye_before_any_answer_is_the_word_of_a_phone_that_nobody_heard_answer() {
    let mut again = restarted(&Story::dialled());
    again.does(|leg, now| leg.resume(Duration::from_secs(20), now));
    again.sends();
    let bye = again.request(Method::Bye, &[], None);
    again.hears(&bye, trunk());
    assert!(matches!(&again.tells()[..], [LegEvent::Final(told)] if told.code == 200 && told.is_hang_up()));
    assert_eq!(again.sends(), [""; 0], "it is written down first");
    again.hears(&bye, trunk());
    assert_eq!((again.sends(), again.tells()), (vec![], vec![]), "a repeat is no news");
    again.does(|leg, now| leg.acknowledge(now));
    assert_eq!(again.sends(), ["200 BYE"]);
    assert_eq!(again.tells(), [LegEvent::Over { cause: OverCause::RemoteHangUp }]);
    again.hears(&bye, trunk());
    assert_eq!(again.sends(), ["200 BYE"], "the 200 got lost");
}
