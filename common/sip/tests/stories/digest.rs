//! Challenges: answered to the trunk, in moderation, and to nobody else.

use ringback_sip::{LegEvent, Message, Name};

use crate::world::*;

const MD5: &str = r#"Proxy-Authenticate: Digest realm="trunk", nonce="n1", algorithm=MD5, qop="auth,auth-int""#;
const SHA256: &str = r#"Proxy-Authenticate: Digest realm="trunk", nonce="n2", algorithm=SHA-256, qop="auth""#;
const WWW: &str = r#"WWW-Authenticate: Digest realm="registrar", nonce="n3", qop="auth""#;
const STALE: &str = r#"Proxy-Authenticate: Digest realm="trunk", nonce="n4", stale=TRUE, qop="auth""#;

/// One refusal with a challenge; the next try is dialled if there is one.
fn challenged(story: &mut Story, code: u16, challenges: &[&str]) -> bool {
    story.replies("INVITE", code, "x", challenges, None);
    let retry = match story.tells().last() {
        Some(LegEvent::Final(told)) => told.retry,
        other => panic!("{other:?}"),
    };
    story.does(|leg, now| leg.acknowledge(now));
    if retry {
        story.does(|leg, now| leg.dial(now));
    }
    retry
}

#[test]
fn a_challenge_of_the_trunk_is_answered_by_a_new_try_that_is_stored_first() {
    let mut story = Story::dialled();
    story.replies("INVITE", 407, "x", &[MD5], None);
    assert!(story.sends().is_empty(), "neither ACK nor INVITE before the store");
    let next = parsed(&story.leg.invite().bytes);
    let answer = next.get(Name::ProxyAuthorization).unwrap();
    for part in [r#"username="ringback""#, r#"realm="trunk""#, r#"nonce="n1""#, "qop=auth,", "nc=00000001", "cnonce="] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    assert_eq!((story.leg.invite().try_number, next.cseq()), (2, story.sent[0].2.cseq() + 1));
    assert_eq!(
        (next.call_id(), next.from_tag(), next.to_tag()),
        (story.sent[0].2.call_id(), story.sent[0].2.from_tag(), "")
    );
    story.does(|leg, now| leg.acknowledge(now));
    story.does(|leg, now| leg.dial(now));
    assert_eq!(story.sends(), ["ACK", "INVITE"]);
    assert_eq!(story.last("ACK").branch(), story.sent[0].2.branch(), "the ACK of the first try");
}

#[test]
fn of_two_algorithms_the_stronger_is_chosen() {
    for order in [[MD5, SHA256], [SHA256, MD5]] {
        let mut story = Story::dialled();
        assert!(challenged(&mut story, 407, &order));
        let answer = story.last("INVITE").get(Name::ProxyAuthorization).unwrap().to_owned();
        assert!(answer.contains("algorithm=SHA-256") && answer.contains(r#"nonce="n2""#), "{answer}");
    }
}

#[test]
fn a_401_after_a_407_is_answered_and_both_answers_go_along() {
    let mut story = Story::dialled();
    assert!(challenged(&mut story, 407, &[MD5]));
    assert!(challenged(&mut story, 401, &[WWW]));
    let invite = story.last("INVITE");
    assert!(invite.get(Name::Authorization).unwrap().contains(r#"realm="registrar""#));
    assert!(invite.get(Name::ProxyAuthorization).unwrap().contains("nc=00000002"), "the same nonce, counted");
    story.replies("INVITE", 200, "bob", &[CONTACT], Some(ANSWER));
    assert!(matches!(story.tells()[..], [LegEvent::Final(_)]));
}

#[test]
fn a_stale_nonce_gives_one_more_try_and_an_endless_407_ends() {
    let mut story = Story::dialled();
    assert!(challenged(&mut story, 407, &[MD5]));
    assert!(challenged(&mut story, 407, &[STALE]));
    assert!(!challenged(&mut story, 407, &[STALE]));
    assert!(story.leg.is_over());
    let mut wrong = Story::dialled();
    assert!(challenged(&mut wrong, 407, &[MD5]));
    assert!(!challenged(&mut wrong, 407, &[MD5]), "a wrong password stays wrong");
}

#[test]
fn without_credentials_for_that_realm_a_challenge_is_an_ending() {
    let mut none = setup();
    none.target.credentials = None;
    assert!(!challenged(&mut Story::dialled_with(none), 401, &[WWW]));
    let mut other = setup();
    other.target.credentials.as_mut().unwrap().realm = Some("trunk".to_owned());
    assert!(!challenged(&mut Story::dialled_with(other.clone()), 401, &[WWW]));
    assert!(challenged(&mut Story::dialled_with(other), 407, &[MD5]));
}

#[test]
fn within_the_call_the_nonce_is_used_again_and_counted() {
    let mut story = Story::dialled();
    assert!(challenged(&mut story, 407, &[MD5]));
    let routed = [CONTACT, "Record-Route: <sip:10.0.0.2;lr>"];
    story.replies("INVITE", 200, "bob", &routed, Some(ANSWER));
    story.does(|leg, now| leg.acknowledge(now));
    story.does(|leg, now| leg.hang_up(None, now));
    let counted =
        |message: &Message, nc: &str| message.get(Name::ProxyAuthorization).is_some_and(|answer| answer.contains(nc));
    assert!(counted(&story.last("ACK"), "nc=00000002") && counted(&story.last("BYE"), "nc=00000003"));
    story.sends();
    story.replies("BYE", 407, "bob", &[STALE], None);
    assert_eq!(story.sends(), ["BYE"]);
    assert!(story.last("BYE").get(Name::ProxyAuthorization).unwrap().contains(r#"nonce="n4""#));
}

#[test]
fn a_callee_that_challenges_us_learns_nothing() {
    for method in ["BYE", "INVITE"] {
        for challenger in [phone(), trunk()] {
            let mut story = Story::answered();
            match method {
                "BYE" => story.does(|leg, now| leg.hang_up(None, now)),
                _ => story.does(|leg, now| leg.reinvite(OFFER.to_owned(), None, now)),
            }
            story.sends();
            assert_eq!(story.last_sent(method).1.to, phone(), "the request went to the callee, not to the trunk");
            let challenge = response(&story.last(method), 407, "bob", &[MD5], None);
            story.hears(&challenge, challenger);
            assert!(!story.sends().contains(&method.to_owned()));
            assert!(story.sent.iter().all(|(_, _, m)| m.get(Name::ProxyAuthorization).is_none()));
        }
    }
}

#[test]
fn no_password_is_printed_or_stored() {
    let story = Story::answered();
    assert!(!format!("{:?}", story.leg).contains("open sesame"));
    assert!(!serde_json::to_string(&story.leg.snapshot()).unwrap().contains("open sesame"));
}
