//! Secrets, numbers that are not called, and what is erased.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::{Site, keys};

#[test]
fn a_number_on_the_do_not_call_list_is_refused_and_comes_off_again() {
    let site = Site::new();
    site.ok_with(&["account", "add", "alice", "--balance", "9", "--number", "+442071838750", "--pin-stdin"], b"1234");
    let added = site.json(&["dnc", "add", "0049 30 123456", "--reason", "asked us"]);
    assert_eq!(added, serde_json::json!({ "number": "+4930123456", "do_not_call": true }));
    let list = site.json(&["dnc", "list"]);
    assert_eq!(keys(&list[0]), ["by", "created", "number", "reason"]);
    assert_eq!((&list[0]["by"], &list[0]["reason"]), (&"operator".into(), &"asked us".into()));
    assert!(site.ok(&["dnc", "list"]).contains("+4930123456  operator"));
    let text = "alice 1234 +442071838750 +4930123456";
    let explained = site.json(&["explain", "sms", "--from", "+442071838750", text]);
    assert_eq!((&explained["outcome"], &explained["reason"]), (&"reject".into(), &"do_not_call".into()), "{explained}");
    site.fails(&["call", "+442071838750", "+4930123456", "--account", "alice"], 1, "not to be called");
    let shown = site.json(&["account", "show", "alice"]);
    assert_eq!(shown["refusals"][0]["reason"], "do_not_call", "explaining leaves no trace, asking does: {shown}");
    assert_eq!(shown["refusals"].as_array().unwrap().len(), 1);
    assert!(site.ok(&["account", "show", "alice"]).contains("do_not_call"));
    assert_eq!(site.json(&["dnc", "remove", "+4930123456"])["do_not_call"], false);
    site.fails(&["dnc", "remove", "+4930123456"], 4, "is not on the do-not-call list");
    site.ok(&["call", "+442071838750", "+4930123456", "--account", "alice"]);
}

#[test]
fn a_number_is_exported_and_erased() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "9", "--number", "+442071838750"]);
    let erased = site.json(&["erase", "+442071838750", "--export", "kept.json"]);
    assert_eq!(keys(&erased), ["addresses", "cdrs", "events", "export", "number", "requests"]);
    assert_eq!((&erased["addresses"], &erased["requests"]), (&1.into(), &0.into()));
    let kept: Value = serde_json::from_slice(&std::fs::read(site.folder().join("kept.json")).unwrap()).unwrap();
    assert_eq!(keys(&kept), ["account", "cdrs", "do_not_call", "number", "requests"]);
    assert_eq!(kept["account"], "alice");
    assert_eq!(site.json(&["account", "show", "alice"])["numbers"], serde_json::json!([]));
    site.fails(&["erase", "+442071838750", "--export", "kept.json"], 1, "nothing is erased");
    site.fails(&["erase", "no number"], 2, "write it like");
}

#[test]
fn web_47_a_mail_address_is_exported_and_erased() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--email", "alice@example.net", "--email", "work@example.net"]);
    let erased = site.json(&["erase", "Alice@Example.net", "--export", "kept.json"]);
    assert_eq!((&erased["number"], &erased["addresses"]), (&"alice@example.net".into(), &1.into()));
    let kept = std::fs::read_to_string(site.folder().join("kept.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((&kept["number"], &kept["account"]), (&"alice@example.net".into(), &"alice".into()));
    assert_eq!(site.json(&["account", "show", "alice"])["emails"], serde_json::json!(["work@example.net"]));
    site.fails(&["erase", "alice@"], 2, "write it like");
}

/// How often these bytes stand in the files of the data folder.
fn traces(site: &Site, text: &str) -> usize {
    let entries = std::fs::read_dir(site.folder().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap());
    files.map(|bytes| bytes.windows(text.len()).filter(|run| *run == text.as_bytes()).count()).sum()
}

#[test]
fn a_trunk_password_is_not_in_the_database_and_other_people_open_nothing() {
    let site = Site::new();
    let add = ["trunk", "add", "main", "--sip", "sip:192.0.2.1:5060", "--user", "us", "--password-stdin"];
    site.ok_with(&add, b"hunter2hunter2");
    site.ok_with(&["trunk", "set", "main", "--password-stdin"], b"correcthorse");
    assert_eq!(traces(&site, "hunter2hunter2") + traces(&site, "correcthorse"), 0);
    assert!(traces(&site, "sip:192.0.2.1") > 0, "or nothing is shown by this");
    let mode = |name: &str| std::fs::metadata(site.folder().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("data"), mode("data/ringback.db"), mode("ringback.site-key")), (0o700, 0o600, 0o600));
}

#[test]
fn an_erased_number_is_in_no_file() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "9", "--number", "+442071838751"]);
    assert!(traces(&site, "+442071838751") > 0);
    site.ok(&["erase", "+442071838751"]);
    assert_eq!(traces(&site, "+442071838751"), 0);
}

#[test]
fn a_lost_or_wrong_site_key_is_said_by_every_command_and_never_made_anew() {
    let site = Site::new();
    site.ok_with(&["account", "add", "alice", "--balance", "9", "--number", "+442071838750", "--pin-stdin"], b"1234");
    let text = "alice 1234 +442071838750 +4930123456";
    let commands = [
        &["explain", "sms", "--from", "+442071838750", text][..],
        &["account", "list"],
        &["account", "set", "alice", "--allow", "44"],
        &["trunk", "list"],
        &["status"],
        &["call", "+442071838750", "+4930123456", "--account", "alice"],
        &["erase", "+442071838750"],
        &["check"],
        &["run"],
    ];
    let key = site.folder().join("ringback.site-key");
    let copy = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    for command in commands {
        site.fails(command, 2, "put your copy of the file there");
        assert!(!key.exists(), "{command:?} makes no new key");
    }
    for (bad, says) in [("not a key", "holds no site key"), (&"5".repeat(64), "is not the site key")] {
        std::fs::write(&key, bad).unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        for command in commands {
            site.fails(command, 2, says);
        }
    }
    site.fails(&["site-key", "renew"], 2, "--forget");
    std::fs::write(&key, &copy).unwrap();
    assert_eq!(
        site.json(&["explain", "sms", "--from", "+442071838750", text])["outcome"],
        "job",
        "the copy is as good"
    );

    std::fs::remove_file(&key).unwrap();
    let renewed = site.json(&["site-key", "renew", "--forget"]);
    assert_eq!((&renewed["accounts"], &renewed["trunks"]), (&serde_json::json!(["alice"]), &serde_json::json!([])));
    assert_eq!(site.json(&["explain", "sms", "--from", "+442071838750", text])["outcome"], "reject", "no PIN now");
    site.ok_with(&["account", "set", "alice", "--pin-stdin"], b"1234");
    assert_eq!(site.json(&["explain", "sms", "--from", "+442071838750", text])["outcome"], "job");
}
