//! The page in real browsers: somebody types two numbers, presses Call, and sees the callback ring, talk and end.

use ringback_tests::browser::{Browser, Kind};
use ringback_tests::phone::Manner;
use ringback_tests::site::binary;
use ringback_tests::story::{A, B, OPENING, SOON, Story, secs};

#[test]
fn chromium_presses_call_and_sees_the_callback_ring_talk_and_end() {
    presses_call(Kind::Chromium, "chromium");
}

#[test]
fn firefox_presses_call_and_sees_the_callback_ring_talk_and_end() {
    presses_call(Kind::Firefox, "firefox");
}

fn presses_call(kind: Kind, name: &str) {
    let b = Manner::answers(secs(4)).plays(1100).hangs_up_after(secs(5));
    let story = Story::begin(Manner::answers(secs(4)).plays(700), b, |site| site.set("web.account", "alice"));
    let mut browser = Browser::open(kind, story.site.folder());
    let page = format!("http://{}/", story.site.at(8080));
    browser.go(&page);

    browser.types("#a", "+44 7700 900111");
    browser.types("#b", "+44 20");
    browser.presses("button[type=submit]");
    browser.waits_for("[role=alert]", "", SOON);
    assert_eq!(browser.script("return document.querySelector('#a').value"), "+44 7700 900111", "what was typed stays");
    assert!(story.phones.calls().is_empty(), "nobody is rung for half a number");

    browser.script("document.querySelector('#b').value = ''");
    browser.types("#b", "+44 20 7183 8750");
    browser.presses("button[type=submit]");
    browser.waits_for("h1", "Your phone rings", SOON);
    browser.waits_for("h1", "Their phone rings", SOON);
    browser.waits_for("h1", "Talking", SOON);
    browser.photographs(&shot(name, "talking"));
    browser.waits_for("h1", "Over", SOON);
    browser.photographs(&shot(name, "over"));
    let detail = browser.text(".detail").unwrap_or_default();
    assert!(detail.starts_with("You talked ") && detail.contains(" and paid "), "{detail}");
    story.wait_over(SOON);
    assert_eq!((story.phones.calls_to(A).len(), story.phones.calls_to(B).len()), (1, 1), "each was rung once");
    story.site.probe().books_are_right("alice", OPENING);

    browser.presses("main p a");
    browser.waits_for("button", "Call", SOON);
    let mut complaints = browser.complaints(&page);
    complaints.retain(|complaint| !complaint.contains("422")); // the half number's answer
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Beside the binaries' folder, for whoever wants to look.
fn shot(browser: &str, moment: &str) -> std::path::PathBuf {
    let target = binary("ringback").parent().and_then(|folder| folder.parent().map(|target| target.to_owned()));
    target.unwrap_or_default().join(format!("browser-{browser}-{moment}.png"))
}
