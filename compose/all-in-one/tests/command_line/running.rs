//! What runs, and what waits for it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Site, keys};

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
fn a_part_that_cannot_run_says_what_is_missing() {
    let site = Site::new();
    site.fails(&["run", "--only", "iif"], 2, "[iif] account is empty");
    site.fails(&["run", "--only", "email"], 2, "no mail can come in");
    site.fails(&["run", "--only", "fax"], 2, "no such part");
    site.fails(&["drain"], 1, "no engine");
    site.fails(&["frobnicate"], 2, "unrecognized subcommand");
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
fn a_container_has_no_file_and_is_asked_whether_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringback"));
        command.args(arguments).current_dir(folder.path()).env_remove("RINGBACK_CONFIG");
        let output = command.envs(environment.iter().copied()).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let settings = [("RINGBACK_SERVICE__LISTEN", place.as_str())];

    let (code, _, errors) = run(&["check"], &[]);
    assert!(code == 2 && errors.contains("there is no ringback.toml"), "a wrong folder is said: {errors}");
    let (code, _, errors) = run(&["check", "--config", "other.toml"], &settings);
    assert!(code == 2 && errors.contains("there is no other.toml"), "a file that was named has to be there: {errors}");
    let (code, out, errors) = run(&["check"], &settings);
    assert_eq!(code, 0, "{errors}");
    assert!(out.contains("The environment is in order."), "{out}");
    assert!(folder.path().join("data").exists(), "relative paths start at the working folder");

    let answering = std::thread::spawn(move || {
        for answer in ["200 OK\r\n\r\nready\n", "503 Service Unavailable\r\n\r\nnot ready: queue\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let length = std::io::Read::read(&mut stream, &mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1"));
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
        }
    });
    assert_eq!(run(&["ready", "--json"], &settings).1, "{\"ready\":true}\n");
    let (code, _, errors) = run(&["ready"], &settings);
    assert_eq!((code, errors.as_str()), (3, "ringback: not ready: queue\n"));
    answering.join().unwrap();
    let (code, _, errors) = run(&["ready"], &settings);
    assert!(code == 3 && errors.contains("nobody answers at"), "{errors}");
}

#[test]
fn the_version_is_told_with_its_schema() {
    let site = Site::new();
    let told = site.json(&["version"]);
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    let commit = option_env!("RINGBACK_COMMIT").filter(|commit| !commit.is_empty());
    assert_eq!(told["commit"], commit.map_or(Value::Null, Value::from));
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../common/migrations");
    for database in ["sqlite", "postgres"] {
        let steps = std::fs::read_dir(migrations.join(database)).unwrap().map(|step| step.unwrap().file_name());
        let newest = steps.filter_map(|step| step.to_str()?.strip_suffix(".sql").map(str::to_owned)).max().unwrap();
        assert_eq!(told["schema"][database], newest, "{told}");
    }
    let told = site.ok(&["version"]);
    assert!(told.starts_with(concat!("ringback ", env!("CARGO_PKG_VERSION"), "\ncommit ")), "{told}");
}
