//! The command line as an operator and a script use it: the binary itself, in a folder of its own. The field names and exit
//! codes here are those of docs/cli.md.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod accounts;
mod check;
mod explain;
mod privacy;
mod running;

use std::io::Write;
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
fn an_error_is_json_when_json_is_asked_for() {
    let site = Site::new();
    let output = site.run(&["account", "show", "nobody", "--json"]);
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(keys(&error), ["code", "error"]);
    assert_eq!(error["code"], 4);
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
