//! The command line as an operator and a script use it: the binary itself, in a folder of its own. The field names and exit
//! codes here are those of docs/cli.md.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder with settings of its own.
struct Site(tempfile::TempDir);

impl Site {
    /// After `ringback init`.
    fn new() -> Site {
        let site = Site(tempfile::tempdir().unwrap());
        site.ok(&["init"]);
        site
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringback"))
            .args(arguments)
            .current_dir(self.folder())
            .env_remove("RINGBACK_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, b"")
    }

    fn ok_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = self.run_with(arguments, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, b"")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {answer}"))
    }

    /// Fails with this code, and says this on standard error.
    fn fails(&self, arguments: &[&str], code: i32, says: &str) {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(says), "{arguments:?} should say {says:?}: {errors}");
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn init_writes_settings_that_work_as_they_stand() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.folder().join("ringback.toml")).unwrap();
    assert!(text.lines().filter(|line| line.starts_with('#')).count() > 50, "commented");
    assert!(site.folder().join("data").is_dir());
    assert_eq!(keys(&site.json(&["check"])), ["ok", "problems", "warnings"]);
    site.fails(&["init"], 1, "there already");
    assert_eq!(std::fs::read_to_string(site.folder().join("ringback.toml")).unwrap(), text, "and stays as it was");
}

#[test]
fn without_settings_every_command_says_how_to_get_some() {
    let site = Site(tempfile::tempdir().unwrap());
    for command in [&["status"][..], &["run"], &["check"], &["account", "list"], &["drain"]] {
        site.fails(command, 2, "ringback init");
    }
    site.fails(&["--config", "elsewhere.toml", "status"], 2, "elsewhere.toml");
    assert_eq!(std::fs::read_dir(site.folder()).unwrap().count(), 0, "and makes nothing");
}

#[test]
fn check_tells_all_mistakes_at_once() {
    let site = Site::new();
    std::fs::write(
        site.folder().join("ringback.toml"),
        "[sip]\nlisen='x'\n[engine]\nslots='many'\n[web]\nlisten='127.0.0.1:8081'\n",
    )
    .unwrap();
    for says in ["did you mean `listen`", "slots = 200", "taken by"] {
        site.fails(&["check"], 2, says);
    }
}

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
fn what_is_not_utf_8_is_refused_and_never_a_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let site = Site::new();
    let odd = OsStr::from_bytes(b"caf\xe9");
    let run = |name: &str, argument: &OsStr| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringback"));
        command.current_dir(site.folder()).env(name, odd).args(["account", "show"]).arg(argument).output().unwrap()
    };
    assert_eq!(run("OTHER", OsStr::new("x")).status.code(), Some(4), "the environment of others is not read");
    let refused = run("RINGBACK_ENGINE__ID", OsStr::new("x"));
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not UTF-8"));
    assert_eq!(run("OTHER", odd).status.code(), Some(2));
}

#[test]
fn check_sees_a_setting_with_one_underscore_too_few() {
    let site = Site::new();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringback"));
    let command = command.current_dir(site.folder()).env("RINGBACK_SIP_LISTEN", "127.0.0.1:5070").arg("check");
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(said.contains("RINGBACK_SIP__LISTEN"), "{said}");
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
fn a_call_is_accepted_without_a_running_gateway_and_waits() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "5.00", "--number", "+442071838750"]);
    let call = ["call", "+442071838750", "+442079460018", "--account", "alice"];
    let accepted = site.json(&call);
    assert_eq!(accepted["outcome"], "accepted");
    let job = accepted["job"].as_str().unwrap();
    assert_eq!(job.len(), 32);
    let status = site.json(&["status"]);
    let documented = [
        "engines",
        "live",
        "backlog",
        "scheduled",
        "queued",
        "unpublished",
        "oldest_unpublished_seconds",
        "holds",
        "trunks",
    ];
    for field in documented {
        assert!(status.get(field).is_some(), "{field} in {status}");
    }
    assert_eq!(status["queued"], 1);
    site.fails(&["request", "show", job], 4, "when an engine takes it");
    assert_eq!(site.json(&["request", "cancel", job])["cancel"], "remembered");
    assert_eq!(site.json(&["request", "list"]), serde_json::json!([]));
    assert_eq!(site.json(&["cdr", "list"]), serde_json::json!([]));
    site.fails(&["call", "+442071838750", "+442079460018", "--account", "nobody"], 4, "account list");
    site.fails(&["call", "+442071838750", "911", "--account", "alice"], 1, "");
    site.fails(&["call", "+442071838750", "+9799123456", "--account", "alice"], 1, "second number");
}

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
        ["a", "a_rule", "b", "b_rule", "message", "not_looked_at", "outcome", "price_a", "price_b", "reason"]
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
fn check_knows_what_is_dangerous_and_what_cannot_work_about_application_servers() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "5.00"]);
    let check = |iif: &str| {
        std::fs::write(site.folder().join("ringback.toml"), format!("[iif]\n{iif}\n")).unwrap();
        String::from_utf8(site.run(&["check", "--json"]).stdout).unwrap()
    };
    for (iif, says) in [
        ("account = 'nobody'", "there is no account nobody"),
        ("account = 'alice'\napplication_server = ''", "lets every application server in"),
        ("account = 'alice'\napplication_server = 'any'\nprofile = 'native'", "lets every application server in"),
        ("account = 'alice'\napplication_server = ''\nprofile = 'native'", "is blank"),
        (
            "account = 'alice'\napplication_server = '192.0.2.1'",
            "[iif] listen 127.0.0.1:5080 reaches this machine only",
        ),
        ("account = 'alice'\nlisten = '127.0.0.1:5060'", "is taken by sip.listen"),
        ("account = 'alice'\n[iif.peers.one]\nport = 4000", "host: is missing"),
        ("[iif.peers.one]\nhost = '127.0.0.1'", "name who pays"),
        ("account = 'alice'\ndefault_caller = 'a b'", "31 letters"),
        ("account = 'alice'", "shows nobody to A"),
    ] {
        let found = check(iif);
        assert!(found.contains(says), "{iif} should say {says:?}: {found}");
    }
    let found = check("account = 'alice'\ndefault_caller = '+442071838750'");
    assert!(found.contains(r#""ok":true"#) && !found.contains("iif"), "{found}");
}

#[test]
fn check_knows_trunks_of_missed_calls_that_do_not_exist() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "5.00"]);
    assert!(site.ok(&["check"]).contains("there is no trunk yet, so nothing can be called"));
    site.ok(&["trunk", "add", "switch", "--sip", "sip:127.0.0.10:5060"]);
    for (ani, says) in [
        ("cld_form = ['swich']", Some("[ani] cld_form: there is no trunk swich")),
        ("trunks = ['carrier']", Some("[ani] trunks: there is no trunk carrier")),
        ("trunks = ['switch']\ncld_form = ['switch']", None),
    ] {
        std::fs::write(site.folder().join("ringback.toml"), format!("[ani]\n{ani}\n")).unwrap();
        let found = String::from_utf8(site.run(&["check", "--json"]).stdout).unwrap();
        assert_eq!(found.contains(r#""ok":true"#), says.is_none(), "{found}");
        assert!(says.is_none_or(|says| found.contains(says)), "{ani}: {found}");
    }
}

#[test]
fn a_part_that_cannot_run_says_what_is_missing() {
    let site = Site::new();
    site.fails(&["run", "--only", "iif"], 2, "[iif] account is empty");
    site.fails(&["run", "--only", "email"], 2, "no mail can come in");
    site.fails(&["run", "--only", "fax"], 2, "no such part");
    site.fails(&["drain"], 1, "no engine");
    site.fails(&["frobnicate"], 2, "unrecognized subcommand");
}

#[test]
fn an_error_is_json_when_json_is_asked_for() {
    let site = Site::new();
    let output = site.run(&["account", "show", "nobody", "--json"]);
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(keys(&error), ["code", "error"]);
    assert_eq!(error["code"], 4);
}

#[test]
fn one_engine_at_a_time_runs_on_an_embedded_store() {
    let site = Site::new();
    let _lock = ringback_common::lock::EngineLock::take(&site.folder().join("data/engine.lock")).unwrap();
    site.fails(&["run"], 1, "another engine");
    site.fails(&["run", "--only", "engine"], 1, &format!("process {}", std::process::id()));
}

/// `ringback run` at sockets of its own, once its engine takes jobs.
fn gateway(folder: &Path) -> std::process::Child {
    let anywhere = |key: &str| (format!("RINGBACK_{key}__LISTEN"), "127.0.0.1:0");
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_ringback"))
        .arg("run")
        .current_dir(folder)
        .envs(["SIP", "SMS", "WEB", "SERVICE"].map(anywhere))
        .env_remove("RINGBACK_CONFIG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(gateway.stderr.as_mut().unwrap());
    let mut lines = std::io::BufRead::lines(lines).map_while(Result::ok);
    assert!(lines.any(|line| line.contains("the engine takes jobs")), "it ended before it was ready");
    gateway
}

/// No file is written and none is there: the sockets are variables, the rest are the defaults.
#[test]
fn a_gateway_runs_by_its_environment_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = gateway(folder.path());
    let drain = Command::new(env!("CARGO_BIN_EXE_ringback"))
        .args(["drain", "--timeout", "30"])
        .current_dir(folder.path())
        .env_remove("RINGBACK_CONFIG")
        .env("RINGBACK_SERVICE__LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    assert_eq!(drain.status.code(), Some(0), "{}", String::from_utf8_lossy(&drain.stderr));
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
    assert!(!folder.path().join("ringback.toml").exists() && folder.path().join("data/ringback.db").exists());
}

#[test]
fn a_running_gateway_drains_and_leaves_in_good_order() {
    let site = Site::new();
    let mut gateway = gateway(site.folder());
    let engines = site.json(&["status"])["engines"].clone();
    assert_eq!((engines[0]["retired"].clone(), engines[0]["live"].clone()), (false.into(), 0.into()));
    let drained = site.json(&["drain", "--timeout", "30"]);
    assert_eq!((&drained["stopped"], &drained["process"]), (&true.into(), &gateway.id().into()));
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
    assert_eq!(site.json(&["status"])["engines"][0]["retired"], true);
    site.fails(&["drain"], 1, "no engine");
}

#[test]
fn the_demo_makes_one_callback_and_judges_it() {
    let site = Site(tempfile::tempdir().unwrap());
    let story = site.ok(&["demo", "--once"]);
    for step in ["requested", "ringing A", "A answered", "ringing B", "talking", "over", "Both talked"] {
        assert!(story.contains(step), "{step} in {story}");
    }
    assert_eq!(story.matches(" heard the other's tone").count(), 2, "{story}");
    assert!(story.contains(":a:1") && story.contains(":b:1"), "both records: {story}");
    assert!(!story.contains('\u{1b}'), "plain lines when piped");
    assert_eq!(std::fs::read_dir(site.folder()).unwrap().count(), 0, "nothing is left behind");
}

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

#[test]
fn wrong_usage_is_json_when_json_is_asked_for() {
    let site = Site::new();
    let output = site.run(&["call", "--json"]);
    let told: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &told["code"]), (Some(2), &2.into()), "{told}");
    assert!(told["error"].as_str().unwrap().contains("required"), "{told}");
    assert!(site.ok(&["call", "--help", "--json"]).contains("Usage"), "help is no error");
    std::fs::write(site.folder().join("ringback.toml"), "[engine]\nslots = 0\n").unwrap();
    let output = site.run(&["check", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["problems"].as_array().unwrap().len(), 1, "{found}");
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

#[test]
fn explaining_at_a_new_site_makes_no_site_key() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "9", "--number", "+442071838750"]);
    site.json(&["explain", "sms", "--from", "+442071838750", "alice 1234 +442071838750 +4930123456"]);
    assert!(!site.folder().join("ringback.site-key").exists());
}

#[test]
fn check_finds_what_cannot_work() {
    let site = Site::new();
    site.ok(&["account", "add", "alice", "--balance", "9"]);
    site.ok(&["trunk", "add", "near", "--sip", "sip:127.0.0.9:5060"]);
    assert!(site.ok(&["check"]).contains("is in order"));
    let told = |site: &Site| {
        let found: Value = serde_json::from_slice(&site.run(&["check", "--json"]).stdout).unwrap();
        (found["problems"].to_string(), found["warnings"].to_string())
    };
    for (sip, says) in [
        ("sip:192.0.2.7:5060", "[sip] listen 127.0.0.1:5060 reaches this machine only"),
        ("sip:no-such-host.invalid", "no-such-host.invalid:5060 is not found"),
        ("sip:[::1]:5060", "has IPv6 addresses only, and [sip] listen 127.0.0.1:5060 speaks IPv4"),
        ("sip:::1", "[::1]:5060 has IPv6 addresses only"),
    ] {
        site.ok(&["trunk", "add", "far", "--sip", sip]);
        site.fails(&["check"], 1, says);
        site.ok(&["trunk", "disable", "far"]);
        assert_eq!(told(&site).0, "[]", "one that carries nothing is no problem");
        site.ok(&["trunk", "remove", "far"]);
    }
    for (path, says) in [("data", "opened"), ("data/ringback.db", "opened"), ("ringback.toml", "read")] {
        let path = site.folder().join(path);
        let before = std::fs::metadata(&path).unwrap().permissions();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let says = format!("{} can be {says} by others", path.file_name().unwrap().to_str().unwrap());
        assert!(told(&site).1.contains(&says), "{says}");
        std::fs::set_permissions(&path, before).unwrap();
    }
    let settings = site.folder().join("ringback.toml");
    let with = |text: &str| std::fs::write(&settings, text).unwrap();
    for (text, code, says) in [
        ("[store]\nurl='postgres://a:b@127.0.0.1:1/c'\n[queue]\nurl='amqp://'", 2, "names no host"),
        ("[store]\nurl='postgres://a:b@127.0.0.1:1/c'\n[queue]\nurl='amqp://a:b@/vhost'", 2, "names no host"),
        ("[sip]\nlisten='[::1]:5060'", 2, "not both IPv4 or both IPv6"),
        (
            "[store]\nurl='sqlite:///proc/self/ringback.db'\n[queue]\nurl='sqlite:///proc/self/ringback.db'",
            3,
            "the data folder /proc/self cannot be written",
        ),
        (
            "[sms.generic]\nsecret='x'\nreply_url='http://no-such-host.invalid/x'",
            1,
            "[sms.generic] reply_url: no-such-host.invalid:0 is not found",
        ),
        (
            "[email.imap]\nhost='no-such-host.invalid'\nuser='u'\npassword='p'",
            1,
            "[email.imap] host: no-such-host.invalid",
        ),
        (
            "[iif]\naccount='alice'\ndefault_caller='+442071838750'\n[iif.peers.one]\nhost='::1'",
            1,
            "[iif.peers.one] host: [::1]:0 has IPv6",
        ),
    ] {
        with(text);
        site.fails(&["check"], code, says);
    }
    with("");
    let database = site.folder().join("data/ringback.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let end = bytes.len();
    bytes[end - 4096..].fill(0x5a);
    std::fs::write(&database, &bytes).unwrap();
    site.fails(&["check"], 1, "is damaged");
    std::fs::write(&database, "not a database, but long enough to look like one".repeat(100)).unwrap();
    site.fails(&["check"], 1, "the database is damaged");
    site.fails(&["account", "list"], 1, "put your last backup in its place");
}

#[test]
fn the_demo_answers_a_machine_in_one_json_value() {
    let site = Site(tempfile::tempdir().unwrap());
    let told: Value = serde_json::from_str(&site.ok(&["demo", "--once", "--json"])).unwrap();
    assert_eq!(keys(&told), ["cdrs", "cost", "heard", "job", "result", "talked_seconds", "wrong"]);
    assert_eq!((&told["result"], &told["wrong"]), (&"Successful".into(), &serde_json::json!([])));
    let (cost, currency) = told["cost"].as_str().unwrap().split_once(' ').unwrap();
    assert_eq!((cost.split_once('.').unwrap().1.len(), currency), (2, "USD"), "as people pay: {told}");
    assert_eq!(told["cdrs"].as_array().unwrap().len(), 2);
    site.fails(&["demo", "--json"], 2, "--json goes with --once");
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
