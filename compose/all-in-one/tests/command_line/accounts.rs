//! Accounts, trunks, rates, applications and numbers.

use serde_json::Value;

use crate::{Site, keys};

#[test]
fn an_account_lives_from_add_to_disable() {
    let site = Site::new();
    let added = site.ok_with(
        &[
            "account",
            "add",
            "alice",
            "--balance",
            "0.00",
            "--currency",
            "EUR",
            "--number",
            "+44 (0)20 7183 8750",
            "--number",
            "+4930123456",
            "--did",
            "+442079460018",
            "--email",
            "alice@example.net",
            "--allow",
            "44,92,1876",
            "--limit",
            "jobs_per_account_per_hour=40",
            "--pin-stdin",
            "--json",
        ],
        "gr\u{fc}n 1\n".as_bytes(),
    );
    let added: Value = serde_json::from_str(&added).unwrap();
    let mut fields = keys(&added);
    fields.sort_unstable();
    let documented = [
        "allow",
        "available",
        "balance",
        "created",
        "currency",
        "dids",
        "emails",
        "enabled",
        "held",
        "language",
        "limits",
        "limits_off",
        "mail_must_be_vouched",
        "name",
        "numbers",
        "password",
        "pin",
    ];
    assert_eq!(fields, documented);
    assert_eq!(added["balance"], "0.00");
    assert_eq!(added["currency"], "EUR");
    assert_eq!(added["numbers"], serde_json::json!(["+442071838750", "+4930123456"]));
    assert_eq!(added["allow"], serde_json::json!(["44", "92", "1876"]));
    assert_eq!(added["limits"]["jobs_per_account_per_hour"], "40");
    assert_eq!((&added["pin"], &added["password"]), (&Value::Bool(true), &Value::Bool(false)));

    assert_eq!(site.json(&["account", "topup", "alice", "2.5"])["balance"], "2.50");
    assert_eq!(site.json(&["account", "set", "alice", "--balance", "1.25"])["balance"], "1.25");
    let limited = site.json(&["account", "set", "alice", "--limits", "off", "--limit", "jobs_per_account_per_hour="]);
    assert_eq!(limited["limits_off"], true);
    assert_eq!(limited["limits"], serde_json::json!({}));
    assert_eq!(limited["numbers"], added["numbers"], "what is not named stays");
    assert_eq!(site.json(&["account", "disable", "alice"])["enabled"], false);
    assert_eq!(site.json(&["account", "show", "alice"])["enabled"], false);
    assert_eq!(site.json(&["account", "list"]).as_array().unwrap().len(), 1);
    site.ok_with(&["account", "set", "alice", "--password-stdin"], b"correct horse battery");
    assert_eq!(site.json(&["account", "show", "alice"])["password"], true);
}

#[test]
fn accounts_are_refused_with_a_reason() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--number", "+442071838750"]);
    site.fails(&["account", "add", "alice"], 1, "taken already");
    site.fails(&["account", "add", "bob", "--number", "+442071838750"], 1, "+442071838750 is taken already");
    site.fails(&["account", "show", "nobody"], 4, "account list");
    site.fails(&["account", "set", "nobody", "--balance", "1.00"], 4, "nobody");
    site.fails(&["account", "topup", "nobody", "1.00"], 4, "nobody");
    for (arguments, says) in [
        (&["account", "add", "two words"][..], "letters, digits"),
        (&["account", "add", "x", "--balance", "ten"], "like 10.00"),
        (&["account", "add", "x", "--balance", "-1.00"], "zero or more"),
        (&["account", "add", "x", "--number", "12"], "--number 12"),
        (&["account", "add", "x", "--limit", "jobs=1"], "known are"),
        (&["account", "add", "x", "--limit", "jobs_per_account_per_hour=many"], "whole number"),
        (&["account", "add", "x", "--allow", "44,x"], "--allow x"),
        (&["account", "add", "x", "--pin-stdin"], "empty"),
        (&["account", "add", "x", "--pin-stdin", "--password-stdin"], "cannot be used with"),
        (&["account", "add", "x", "--email", "nobody"], "name@example.net"),
        (&["account", "add", "x", "--currency", "dollars"], "three letters"),
    ] {
        site.fails(arguments, 2, says);
    }
    assert_eq!(site.json(&["account", "list"]).as_array().unwrap().len(), 1, "nothing half done");
}

#[test]
fn a_pin_is_all_of_standard_input_but_one_line_end() {
    let site = Site::new();
    for (name, pin, fits) in [
        ("a", &b"1234\n"[..], true),
        ("b", b"1234\r\n", true),
        ("c", b" spaces \"and quotes\" ", true),
        ("d", b"1234\n\n", false),
        ("e", b"12\n34", false),
        ("f", &[0xff, 0xfe], false),
        ("g", &[b'x'; 65], false),
    ] {
        let output = site.run_with(&["account", "add", name, "--pin-stdin"], pin);
        assert_eq!(
            output.status.code(),
            Some(if fits { 0 } else { 2 }),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn trunks_are_added_listed_switched_and_removed() {
    let site = Site::new();
    let password = b"secret-of-the-trunk\n";
    let add = [
        "trunk",
        "add",
        "acme",
        "--sip",
        "sip:127.0.0.1:5070",
        "--user",
        "u",
        "--password-stdin",
        "--prefix",
        "44",
        "--prefix",
        "100",
        "--priority",
        "5",
        "--cli",
        "+442071838750",
    ];
    site.ok_with(&add, password);
    site.ok(&["trunk", "add", "rest", "--sip", "sip:sip.example.net"]);
    let trunks = site.json(&["trunk", "list"]);
    assert_eq!(trunks.as_array().unwrap().len(), 2);
    let mut fields = keys(&trunks[0]);
    fields.sort_unstable();
    assert_eq!(fields, ["cli", "enabled", "name", "prefixes", "priority", "sip", "user"]);
    assert_eq!(trunks[0]["prefixes"], serde_json::json!(["44", "100"]));
    assert!(!trunks.to_string().contains("secret-of-the-trunk"));
    assert_eq!(site.json(&["trunk", "disable", "acme"])["enabled"], false);
    assert_eq!(site.json(&["trunk", "enable", "acme"])["enabled"], true);
    assert_eq!(site.json(&["trunk", "remove", "acme"])["removed"], true);
    site.fails(&["trunk", "remove", "acme"], 4, "acme");
    site.fails(&["trunk", "add", "rest", "--sip", "sip:127.0.0.1:5070"], 1, "taken already");
    for sip in ["127.0.0.1:5070", "sip:", "sip:user@host", "sip:host:0", "sip:host;transport=tcp", "sip:a b"] {
        site.fails(&["trunk", "add", "bad", "--sip", sip], 2, "sip:sip.example.net:5060");
    }
    site.fails(&["trunk", "add", "bad", "--sip", "sip:h", "--prefix", "+44"], 2, "without +");
    site.fails(&["trunk", "add", "bad", "--sip", "sip:h", "--user", "u"], 2, "--password-stdin");
}

#[test]
fn a_trunk_is_changed_and_what_is_not_named_stays() {
    let site = Site::new();
    site.ok_with(
        &["trunk", "add", "acme", "--sip", "sip:a", "--user", "u", "--password-stdin", "--prefix", "44"],
        b"pw",
    );
    let changed = site.json(&["trunk", "set", "acme", "--sip", "sip:b:5070", "--priority", "7"]);
    assert_eq!((&changed["sip"], &changed["priority"]), (&"sip:b:5070".into(), &7.into()));
    assert_eq!((&changed["user"], &changed["prefixes"]), (&"u".into(), &serde_json::json!(["44"])));
    let changed = site.json(&["trunk", "set", "acme", "--user", "", "--prefix", "", "--cli", "+442071838750"]);
    assert_eq!((&changed["user"], &changed["prefixes"]), (&Value::Null, &serde_json::json!([])));
    assert_eq!(changed["cli"], "+442071838750");
    site.fails(&["trunk", "set", "acme", "--user", "u"], 2, "--password-stdin");
    site.fails(&["trunk", "set", "acme", "--sip", "b"], 2, "sip:sip.example.net:5060");
    site.fails(&["trunk", "set", "other", "--priority", "1"], 4, "trunk list");
}

#[test]
fn accounts_and_rates_are_removed_and_who_does_not_exist_is_said_to() {
    let site = Site::new();
    site.ok(&["rate", "set", "44", "0.10"]);
    site.ok(&["rate", "remove", "44", "--leg", "a"]);
    assert_eq!(site.json(&["rate", "list"]).as_array().unwrap().len(), 1);
    site.ok(&["rate", "remove", "+44"]);
    site.fails(&["rate", "remove", "44"], 4, "44");
    site.ok(&["account", "add", "alice", "--balance", "5.00", "--number", "+442071838750"]);
    site.fails(&["account", "remove", "alice"], 1, "--balance 0");
    site.ok(&["account", "set", "alice", "--balance", "0"]);
    assert_eq!(site.json(&["account", "remove", "alice"])["removed"], true);
    site.fails(&["account", "remove", "alice"], 4, "account list");
    site.ok(&["account", "add", "bob", "--number", "+442071838750"]);
    for command in [&["cdr", "list", "--account", "nobody"][..], &["request", "list", "--account", "nobody"]] {
        site.fails(command, 4, "no account nobody");
    }
    for command in [&["cdr", "list", "--job", "nonsense"][..], &["request", "cancel", "nonsense"]] {
        site.fails(command, 4, "no request nonsense");
    }
    for since in ["2026-01-31", "2026-01-31T12:00:00Z", "90m", "24h", "7d"] {
        assert_eq!(site.json(&["cdr", "list", "--since", since]), serde_json::json!([]));
    }
    site.fails(&["cdr", "list", "--since", "yesterday"], 2, "24h");
}

#[test]
fn applications_and_numbers_are_added_listed_changed_and_removed() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--number", "+447700900111", "--did", "+12065550190"]);
    site.ok(&["app", "add", "cards", "--type", "calling-card", "--cld", "callingcard_en_th"]);
    let missed =
        ["app", "add", "missed", "--type", "ani-callback", "--application", "cards", "--set", "Ringback Time=4"];
    let missed = site.json(&missed);
    assert_eq!(keys(&missed), ["application", "b", "cld", "name", "options", "type"]);
    assert_eq!((&missed["type"], &missed["options"]["Ringback Time"]), (&"ani-callback".into(), &"4".into()));
    for (wrong, says) in [
        (&["app", "add", "x", "--type", "2way-callback"][..], "needs --to"),
        (&["app", "add", "x", "--type", "ani-callback"], "needs --application"),
        (&["app", "add", "x", "--type", "calling-card", "--to", "+442071838750"], "does not belong"),
        (&["app", "set", "missed", "Ringback Tim=4"], "no option"),
        (&["app", "set", "missed", "Ringback Time=900"], "out of range"),
        (&["app", "set", "missed", "Hangup SIP Response Code=200"], "refuses no call"),
        (&["did", "add", "12", "--app", "missed"], "12"),
    ] {
        site.fails(wrong, 2, says);
    }
    site.fails(&["app", "add", "x", "--type", "ani-callback", "--application", "none"], 4, "no application none");
    site.fails(&["did", "add", "+12065550100", "--app", "none"], 4, "no application none");
    site.fails(&["did", "add", "+12065550100", "--app", "cards"], 1, "ani-callback");
    let did = site.json(&["did", "add", "+12065550100", "--app", "missed"]);
    assert_eq!(keys(&did), ["account", "app", "b", "number"]);
    site.fails(&["did", "add", "1 206 555 0100", "--account", "alice"], 1, "taken");
    site.ok(&["did", "add", "+12065550199", "--account", "alice", "--to", "+442071838750"]);
    let all = site.json(&["did", "list"]);
    let numbers: Vec<&str> = all.as_array().unwrap().iter().map(|did| did["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["+12065550100", "+12065550190", "+12065550199"], "the account's own is among them");
    assert_eq!((&all[2]["account"], &all[2]["b"]), (&"alice".into(), &"+442071838750".into()));
    let back = site.json(&["app", "set", "missed", "Ringback Time=", "delay_before_callback=0"]);
    assert_eq!(back["options"], serde_json::json!({ "delay_before_callback": "0" }));
    site.fails(&["app", "remove", "missed"], 1, "in use");
    assert_eq!(site.json(&["did", "remove", "+12065550100"])["removed"], true);
    assert_eq!(site.json(&["app", "remove", "missed"])["removed"], true);
    assert_eq!(site.json(&["app", "list"]).as_array().unwrap().len(), 1);
    site.fails(&["app", "remove", "missed"], 4, "missed");
}

#[test]
fn a_rate_is_set_for_one_leg_or_both() {
    let site = Site::new();
    let both = site.json(&["rate", "set", "44", "0.10"]);
    assert_eq!(both.as_array().unwrap().len(), 2);
    assert_eq!(keys(&both[0]), ["leg", "per_minute", "prefix"]);
    site.ok(&["rate", "set", "+1", "0.0015", "--leg", "b"]);
    let list = site.json(&["rate", "list"]);
    let us: Vec<&Value> = list.as_array().unwrap().iter().filter(|rate| rate["prefix"] == "1").collect();
    assert_eq!(us.len(), 1);
    assert_eq!((&us[0]["leg"], &us[0]["per_minute"]), (&"b".into(), &"0.0015".into()));
    assert!(site.ok(&["rate", "list"]).contains("All other numbers: a 0.10, b 0.10 (USD)."));
    site.fails(&["rate", "set", "44", "-1"], 2, "");
    site.fails(&["rate", "set", "44", "NaN"], 2, "like 10.00");
    site.fails(&["rate", "set", "gb", "0.10"], 2, "digits");
}

#[test]
fn every_advanced_parameter_is_set_by_sippys_name() {
    let site = Site::new();
    site.ok(&["account", "add", "pool"]);
    site.ok(&["trunk", "add", "main", "--sip", "sip:sip.example.net"]);
    site.ok(&["app", "add", "hotline", "--type", "2way-callback", "--to", "+442071838750"]);
    site.ok(&["app", "add", "missed", "--type", "ani-callback", "--application", "hotline"]);
    let parameters = [
        "Backoff Interval=7",
        "Default Account Username=pool",
        "Enable_Anonymous_Accounting=False",
        "Delay Before Callback=0",
        "Hangup SIP Response Code=486",
        "Minimum Balance=2 USD",
        "Max # Of Callback Attempts=1",
        "Ringback Time=4",
        "Ringback Type=earlymedia",
        "SIP Proxy For Callback Calls=main",
        "Scan Interval=6",
        "Timeout=30",
        "Fixed CLI=442071838750",
        "Disable CLI Authentication=True",
        "Force CLI Authentication=True",
        "Force Default Account=True",
        "The Reason For Diversion=deflection",
    ];
    let set = site.json(&[&["app", "set", "missed"], &parameters[..]].concat());
    let kept = set["options"].as_object().unwrap();
    assert_eq!(kept.len(), parameters.len(), "{set}");
    for parameter in parameters {
        let (name, value) = parameter.split_once('=').unwrap();
        assert_eq!(kept.get(name).and_then(|kept| kept.as_str()), Some(value), "{name} in {set}");
    }
}
