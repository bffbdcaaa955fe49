//! What would a message do?

use serde_json::Value;

use crate::{Site, keys};

#[test]
fn explain_reads_a_text_and_leaves_no_trace() {
    let site = Site::new();
    site.ok_with(
        &["account", "add", "alice", "--balance", "5.00", "--number", "+442071838750", "--pin-stdin"],
        b"1234",
    );
    let text = "alice 1234 442071838750 4930123456";
    let would = site.json(&["explain", "sms", "--from", "+442071838750", text]);
    assert_eq!(
        (&would["outcome"], &would["a"], &would["b"]),
        (&"job".into(), &"+442071838750".into(), &"+4930123456".into())
    );
    let wrong = site.json(&["explain", "sms", "--from", "+442071838750", "alice 9999 442071838750 4930123456"]);
    assert_eq!((&wrong["outcome"], &wrong["reason"]), (&"reject".into(), &"bad_secret_or_user".into()));
    for _ in 0..8 {
        site.json(&["explain", "sms", "--from", "+442071838750", "alice 9999 442071838750 4930123456"]);
    }
    assert_eq!(site.json(&["explain", "sms", "--from", "+442071838750", text])["outcome"], "job", "no lockout was fed");
    let lines = format!("{{\"id\":7,\"sender\":\"+442071838750\",\"text\":\"{text}\"}}\n\nnonsense\n");
    let answers = site.ok_with(&["explain", "sms", "--batch"], lines.as_bytes());
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2);
    assert_eq!((&answers[0]["id"], &answers[0]["outcome"]), (&7.into(), &"job".into()));
    assert_eq!(answers[1]["outcome"], "reject");
    assert_eq!(site.json(&["status"])["queued"], 0, "nothing was published");
}

#[test]
fn explain_reads_a_message_of_an_application_server_and_leaves_no_trace() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "5.00", "--number", "+442071838750"]);
    let settings = "[numbers]\nextensions = ['100', '101']\n[iif]\naccount = 'alice'\n";
    std::fs::write(site.folder().join("ringback.toml"), settings).unwrap();
    let explain = |message: &str, from: &str| site.json(&["explain", "iif", message, "--from", from]);
    let example = "REQUEST: id=1234;user1=100;user2=101;duration=3600;";
    let would = explain(example, "127.0.0.1:4000");
    assert_eq!(
        keys(&would),
        [
            "a",
            "a_rule",
            "b",
            "b_rule",
            "message",
            "not_looked_at",
            "outcome",
            "price_a",
            "price_b",
            "reason",
            "trunks_a",
            "trunks_b"
        ]
    );
    assert_eq!([&would["outcome"], &would["a"], &would["b"], &would["a_rule"]], ["job", "100", "101", "extension"]);
    let ack = would["message"].as_str().unwrap();
    assert!(ack.starts_with("ACK: id=1234;sid=") && ack.ends_with(";code=ok;"), "{ack}");
    assert_eq!(explain(example, "127.0.0.1:4001"), would, "another port, the same call");
    for (message, from, outcome, reason) in [
        (example, "192.0.2.1:4000", "ignore", "stranger"),
        ("REQUEST: id=1234;user1=100;user2=101;duration=-1;", "127.0.0.1:4000", "reject", "bad_duration"),
        ("REQUEST: id=1234;user1=100;user2=112;", "127.0.0.1:4000", "reject", "never_dial"),
        ("RELEASE: id=1234;", "127.0.0.1:4000", "ignore", "release"),
        ("RELEASE: id=1234;sid=5678;", "127.0.0.1:4000", "ignore", "wrong_sid"),
        ("ACK: id=1234;sid=5678;code=ok;", "127.0.0.1:4000", "ignore", "not_for_us"),
    ] {
        let would = explain(message, from);
        assert_eq!((&would["outcome"], &would["reason"]), (&outcome.into(), &reason.into()), "{message}");
        assert_eq!(would["message"].is_string(), outcome == "reject", "{would}");
    }
    let told = site.ok(&["explain", "iif", example, "--from", "127.0.0.1:4000"]);
    assert!(told.contains("It would be a job.") && told.contains("Answer  ACK: id=1234;sid="), "{told}");
    site.fails(&["explain", "iif", example, "--from", "somewhere"], 2, "--from");
    assert_eq!(site.json(&["status"])["queued"], 0, "nothing was published");
    assert_eq!(site.json(&["account", "show", "alice"])["refusals"], serde_json::json!([]), "nothing was remembered");
}

#[test]
fn explaining_at_a_new_site_makes_no_site_key() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "9", "--number", "+442071838750"]);
    site.json(&["explain", "sms", "--from", "+442071838750", "alice 1234 +442071838750 +4930123456"]);
    assert!(!site.folder().join("ringback.site-key").exists());
}

#[test]
fn explain_looks_at_limits_rates_and_trunks_and_says_what_it_did_not_look_at() {
    let site = Site::new();
    let account = ["account", "add", "alice", "--balance", "9", "--number", "+442071838750", "--pin-stdin"];
    site.ok_with(&account, b"1234");
    site.ok(&["rate", "set", "44", "0.015"]);
    let text = "alice 1234 +442071838750 +4930123456";
    let explain = ["explain", "sms", "--from", "+442071838750", text];
    let free = site.json(&explain);
    assert_eq!((&free["outcome"], &free["price_a"]), (&"job".into(), &"0.015".into()), "{free}");
    assert_eq!((&free["trunks_a"], &free["trunks_b"]), (&serde_json::json!([]), &serde_json::json!([])));
    site.ok(&["trunk", "add", "all", "--sip", "sip:192.0.2.1:5060"]);
    site.ok(&["trunk", "add", "uk", "--sip", "sip:192.0.2.2:5060", "--prefix", "44"]);
    let carried = site.json(&explain);
    assert_eq!(carried["trunks_a"], serde_json::json!(["uk", "all"]), "the longest prefix first: {carried}");
    assert_eq!(carried["trunks_b"], serde_json::json!(["all"]));
    let told = site.ok(&explain);
    assert!(told.contains("a minute of A 0.015 USD") && told.contains("for A uk, then all; for B all"), "{told}");
    assert!(told.contains("Not looked at: whether the trunks are there, countries"), "{told}");
    site.ok(&["trunk", "disable", "all"]);
    assert_eq!(site.json(&explain)["trunks_b"], serde_json::json!([]));
    site.ok(&["account", "set", "alice", "--limit", "jobs_per_account_per_hour=0"]);
    let limited = site.json(&explain);
    assert_eq!((&limited["outcome"], &limited["reason"]), (&"reject".into(), &"jobs_per_account_per_hour".into()));
}

#[test]
fn parameters_of_a_request_have_31_characters_and_not_32() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "5.00", "--number", "+442071838750", "--allow", "44"]);
    std::fs::write(site.folder().join("ringback.toml"), "[iif]\naccount = 'alice'\n").unwrap();
    let explain = |parameters: &str| {
        let would = site.json(&["explain", "iif", &format!("REQUEST: {parameters}"), "--from", "127.0.0.1:4000"]);
        would["reason"].as_str().unwrap_or(would["outcome"].as_str().unwrap()).to_owned()
    };
    let padded = |text: &str, length: usize| format!("{text:-<length$}");
    let good = ["1234", "+442071838750", "+442079460018"];
    for (place, name) in ["id", "user1", "user2"].into_iter().enumerate() {
        for (length, outcome) in [(31, "job"), (32, "parameter_too_long")] {
            let value = padded(good[place], length);
            let all = ["id", "user1", "user2"].into_iter().zip(good);
            let all = all.map(|(other, usual)| format!("{other}={};", if other == name { &value } else { usual }));
            assert_eq!(explain(&all.collect::<String>()), outcome, "{name} of {length}");
        }
    }
    let more = |parameter: &str| explain(&format!("id=1234;user1=+442071838750;user2=+442079460018;{parameter}"));
    for name in ["caller1", "caller2"] {
        assert_eq!(more(&format!("{name}={}", "1".repeat(31))), "job", "{name}");
        assert_eq!(more(&format!("{name}={}", "1".repeat(32))), "parameter_too_long", "{name}");
    }
    for duration in ["0", "1", "3600", "00000000000000000000000000000000003600"] {
        assert_eq!(more(&format!("duration={duration};")), "job", "{duration}");
    }
    for duration in ["-1", "long", "", "1.5"] {
        assert_eq!(more(&format!("duration={duration};")), "bad_duration", "{duration}");
    }
}
