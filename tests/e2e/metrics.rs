//! What whoever watches sees: every metric is on the page docs/metrics.md and means what it says, and the log tells of a callback
//! when it begins, is answered and ends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ringback_tests::iif::counted;
use ringback_tests::phone::Manner;
use ringback_tests::story::{A, B, SOON, Story, millis, secs};
use ringback_tests::{clock, http};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names in the first column of the page's tables.
fn on_the_page() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).expect("the page can be read");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
    rows.filter(|name| name.starts_with("ringback_")).collect()
}

/// The names that the programs give to their metrics.
fn in_the_source() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders: Vec<PathBuf> =
        ["common/src", "engine/src", "compose/all-in-one/src"].map(|folder| root().join(folder)).to_vec();
    folders.extend(["sms", "email", "web", "ani", "iif"].map(|name| root().join(format!("trigger-{name}/src"))));
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).expect("a source folder").map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for macro_name in ["counter!(", "gauge!(", "histogram!("] {
                let after = text.split(macro_name).skip(1);
                names.extend(
                    after.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned)),
                );
            }
        }
    }
    names.remove("ringback_test_total");
    names
}

#[test]
fn the_page_names_every_metric_and_no_other() {
    let (page, source) = (on_the_page(), in_the_source());
    assert!(source.len() > 20, "the source was read: {source:?}");
    assert_eq!(page, source);
}

#[test]
fn a_callback_is_counted_as_it_was_and_told_in_the_log() {
    let b = Manner::answers(millis(800)).plays(1100).hangs_up_after(secs(3));
    let story = Story::begin(Manner::answers(millis(600)).plays(700), b, |_| {});
    let job = story.ask("text-1");
    story.phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    let health = story.gateway.health();
    assert_eq!(counted(health, "ringback_calls{", &["talking"]), 1);
    story.wait_over(SOON);
    clock::wait_for("what is read each second to be read", SOON, || {
        (counted(health, "ringback_replies_total", &["sms", "sent"]) > 0).then_some(())
    });

    let scraped = http::get(health, "/metrics").expect("metrics").body;
    let known = on_the_page();
    let names: BTreeSet<&str> =
        scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in names {
        assert!(known.contains(name), "{name} is not in docs/metrics.md");
    }
    assert_eq!(counted(health, "ringback_calls{", &[]), 0, "{scraped}");
    assert_eq!(counted(health, "ringback_requests_total", &["outcome=\"successful\""]), 1, "{scraped}");
    for leg in ["leg=\"a\"", "leg=\"b\""] {
        assert_eq!(counted(health, "ringback_legs_total", &[leg, "trunk=", "cause="]), 1, "{scraped}");
        assert_eq!(counted(health, "ringback_post_dial_delay_seconds_count", &[leg]), 1, "{scraped}");
        assert!((2..=5).contains(&counted(health, "ringback_billed_seconds_total", &[leg])), "{scraped}");
    }
    assert!((2..=4).contains(&counted(health, "ringback_talk_seconds_total", &[])), "{scraped}");
    assert_eq!(counted(health, "ringback_accepted_to_invite_seconds_count", &[]), 1, "{scraped}");
    assert!(scraped.contains("ringback_accepted_to_invite_seconds_bucket{le=\"1\"}"), "a histogram: {scraped}");
    for name in ["ringback_sip_unsent_total", "ringback_rtp_refused_total"] {
        assert!(scraped.contains(name), "{name}: {scraped}");
    }

    let log = story.site.logs();
    for says in ["a callback begins", "answered", "a callback has ended"] {
        assert!(log.lines().any(|line| line.contains(says) && line.contains(&job)), "{says}: {log}");
    }
    for number in [A, B] {
        assert!(!log.contains(number), "numbers are masked");
    }
}
