//! Kamailio in the path: its route set is kept, its password answered, its CANCEL finds the phone, its restart forgiven.

use ringback_tests::judge;
use ringback_tests::kamailio::Kamailio;
use ringback_tests::phone::{Bank, Manner, Who};
use ringback_tests::site::{Part, Running, Site};
use ringback_tests::story::{A, B, OPENING, SOON, Story, millis, secs};

/// A small site whose only trunk is a Kamailio in front of the phones.
fn behind_kamailio(a: Manner, b: Manner, password: Option<(&str, &str)>) -> (Story, Kamailio) {
    let mut site = Site::small();
    site.set("engine.no_answer", "5");
    site.set("engine.attempts", "1");
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when(A, a);
    phones.when(B, b);
    let proxy = Kamailio::start(site.at(5080), phones.address(), password, site.folder()).expect("Kamailio starts");
    site.account("alice", "10.00");
    match password {
        None => site.trunk("proxy", &proxy.uri(), ""),
        Some((user, secret)) => {
            let trunk = ["trunk", "add", "proxy", "--sip", &proxy.uri(), "--user", user, "--password-stdin"];
            site.cli(&trunk, secret);
        }
    }
    let gateway: Running = site.start(Part::All);
    (Story { site, phones, gateway }, proxy)
}

#[test]
fn two_phones_behind_a_record_routing_proxy_talk_and_hang_up() {
    let b = Manner::answers(millis(400)).plays(1100).hangs_up_after(secs(2));
    let (story, _proxy) = behind_kamailio(Manner::answers(millis(400)).plays(700), b, None);
    story.ask("1");
    story.phones.wait_call(A, "hears B", SOON, |call| call.audio.heard_ms(1100) >= 800);
    story.phones.wait_call(B, "hears A", SOON, |call| call.audio.heard_ms(700) >= 800);
    let a = story.phones.wait_call(A, "is hung up on", SOON, |call| call.ended_by == Some(Who::Gateway));
    assert!(a.acked_us.is_some(), "the ACK went by the route set");
    story.wait_over(SOON);
    let log = story.phones.log();
    let direct = |e: &&ringback_tests::phone::Entry| e.from_gateway && !e.gateway.ends_with(":5080");
    assert!(!log.entries.iter().any(|e| direct(&e)), "every request came by the proxy:\n{}", log.ladder());
    story.site.probe().books_are_right("alice", OPENING);
}

#[test]
fn a_proxy_that_asks_for_a_password_is_answered() {
    let b = Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(1));
    let (story, proxy) = behind_kamailio(Manner::answers(millis(300)).plays(700), b, Some(("gw", "open sesame")));
    story.ask("1");
    story.phones.wait_call(B, "talks and hangs up", SOON, |call| call.ended_us.is_some());
    story.wait_over(SOON);
    assert_eq!(judge::attempts(&story.phones.log()).len(), 2, "{}", proxy.output());
    for entry in story.phones.log().entries {
        assert!(!entry.text.contains("open sesame"));
    }
}

#[test]
fn a_phone_that_nobody_answers_is_cancelled_through_the_proxy() {
    let (story, _proxy) = behind_kamailio(Manner::rings_for_ever(), Manner::answers(millis(300)), None);
    story.ask("1");
    let a = story.phones.wait_call(A, "is cancelled", SOON, |call| call.canceled_us.is_some());
    assert_eq!(a.refused, Some(487));
    story.wait_over(SOON);
    assert!(story.phones.calls_to(B).is_empty());
}

#[test]
fn both_phones_behind_a_forking_proxy_are_met() {
    let b = Manner::answers(millis(300)).plays(1100).forked(1).hangs_up_after(secs(2));
    let (story, _proxy) = behind_kamailio(Manner::answers(millis(300)).plays(700), b, None);
    story.ask("1");
    story.phones.wait("the second phone to be hung up on", SOON, |calls| {
        calls.iter().any(|c| c.fork && c.ended_by == Some(Who::Gateway)).then_some(())
    });
    story.wait_over(SOON);
    assert_eq!(story.site.probe().cdrs().len(), 2);
}
