//! The units: systemd's own tool finds nothing wrong, and the program keeps its side of what they promise.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use ringback_tests::anywhere::{drain_timeout, text, tool};
use ringback_tests::process::Process;
use ringback_tests::site::binary;
use ringback_tests::story::{SOON, secs};
use ringback_tests::{clock, net};

/// A unit's settings; of a word that is said twice, the last.
fn unit(name: &str) -> BTreeMap<String, String> {
    let text = text(&format!("compose/systemd/{name}"));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(word, value)| (word.to_owned(), value.to_owned())).collect()
}

fn seconds(unit: &BTreeMap<String, String>, word: &str) -> u64 {
    unit[word].parse().unwrap_or_else(|_| panic!("{word}={}", unit[word]))
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_little_that_they_might_break() {
    let folder = tempfile::tempdir().unwrap();
    let program = binary("ringback").display().to_string();
    for (file, name) in [("ringback.service", "ringback.service"), ("ringback@.service", "ringback@engine.service")] {
        let path = folder.path().join(name).display().to_string();
        fs::write(&path, text(&format!("compose/systemd/{file}")).replace("/usr/bin/ringback", &program)).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=no", &path]);
        let (code, out, errors) = ringback_tests::process::run(verify, "", SOON);
        let said: Vec<&str> = errors.lines().filter(|line| line.contains(name)).collect();
        assert!(code == 0 && said.is_empty(), "{name}: {out}{errors}");
        // Of 100; a unit that says nothing has 96.
        tool("systemd-analyze", &["security", "--offline=true", "--threshold=20", &path], &[], "");
    }
}

#[test]
fn the_unit_of_a_part_is_that_of_the_whole() {
    let (mut whole, mut part) = (unit("ringback.service"), unit("ringback@.service"));
    assert_eq!(part.remove("ExecStart").unwrap(), format!("{} --only %i", whole.remove("ExecStart").unwrap()));
    for word in ["Description", "EnvironmentFile"] {
        assert_ne!(part.remove(word), whole.remove(word), "{word}");
    }
    assert_eq!(part, whole);
    assert!(seconds(&whole, "TimeoutStopSec") > drain_timeout(), "killed while it drains");
}

#[test]
fn a_service_says_that_it_is_ready_alive_and_coming_to_an_end() {
    let (unit, folder, ip) = (unit("ringback.service"), tempfile::tempdir().unwrap(), net::own_address());
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let here = |text: &str| text.replace(&unit["WorkingDirectory"], &state.display().to_string());
    let (variable, settings) = unit["Environment"].split_once('=').unwrap();
    assert_eq!(Path::new(settings).parent(), Path::new(unit["EnvironmentFile"].trim_start_matches('-')).parent());
    let file = folder.path().join("ringback.toml");
    fs::write(&file, here(&text("compose/systemd/ringback.toml"))).unwrap();

    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_nonblocking(true).unwrap();
    let words: Vec<&str> = unit["ExecStart"].split(' ').collect();
    assert_eq!(words[0], "/usr/bin/ringback");
    let mut command = Command::new(binary("ringback"));
    command.args(&words[1..]).current_dir(&state).env_clear().env(variable, &file);
    for (section, port) in [("SIP", 5060), ("SMS", 8081), ("SERVICE", 9090), ("IIF", 5080)] {
        command.env(format!("RINGBACK_{section}__LISTEN"), format!("{ip}:{port}"));
    }
    command.env("RINGBACK_MEDIA__IP", ip.to_string());
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "400000");
    let mut service = Process::start("service", command, &folder.path().join("log")).unwrap();
    let mut heard = Vec::new();
    let mut hears = |word: &str, times: usize| {
        clock::wait_for(word, SOON, || {
            let mut said = [0; 64];
            while let Ok(length) = manager.recv(&mut said) {
                heard.push(String::from_utf8_lossy(&said[..length]).into_owned());
            }
            (heard.iter().filter(|one| *one == word).count() >= times).then_some(heard.len())
        })
    };
    let ready = hears("READY=1", 1);
    hears("WATCHDOG=1", ready + 2);
    let end = service.terminate(secs(20));
    hears("STOPPING=1", 1);
    assert_eq!(end.code(), Some(0), "{}", service.tail(20));
    // The data, the key and the lock lie where the unit lets it write.
    let beside: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 4, "written beside the state folder: {beside:?}");
    assert!(state.join("ringback.db").exists() && state.join("ringback.site-key").exists());
}

#[test]
fn an_engine_on_postgresql_keeps_its_lock_where_the_unit_lets_it_write() {
    let settings = text("compose/systemd/ringback.toml");
    let state = &unit("ringback.service")["WorkingDirectory"];
    assert_eq!(state, &format!("/var/lib/{}", unit("ringback.service")["StateDirectory"]));
    for key in ["folder = ", "site_key_file = ", "url = "] {
        let value = settings.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
        assert!(value.contains(state), "{key}{value}");
    }
}
