//! Mistakes that are found before they bite.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::Site;

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
fn check_sees_a_setting_with_one_underscore_too_few() {
    let site = Site::new();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringback"));
    let command = command.current_dir(site.folder()).env("RINGBACK_SIP_LISTEN", "127.0.0.1:5070").arg("check");
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(said.contains("RINGBACK_SIP__LISTEN"), "{said}");
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
