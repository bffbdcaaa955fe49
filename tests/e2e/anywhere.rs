//! Running it anywhere: what lies in `compose` is read by the tools it is written for, and does what it says.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use ringback_tests::anywhere::{
    compose, drain_timeout, environment, file, image, listed, parts, root_command, said, stages, text, tool, words,
    yaml,
};
use ringback_tests::peers::Peers;
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::process::{self, Process};
use ringback_tests::site::{PIN, SENDER, binary};
use ringback_tests::story::{A, B, SOON, millis, secs};
use ringback_tests::{clock, net, sms};
use serde_json::Value;
use tempfile::TempDir;

/// Where `gcr.io/distroless/cc-debian12` and Debian hold the root certificates.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What `gcr.io/distroless/cc-debian12` holds of what a program is linked with.
const IN_THE_BASE_IMAGE: [&str; 5] =
    ["linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"];

/// The names of a compose file's secrets, each a file in this folder. RabbitMQ's is that of the user whom every broker has.
fn write_secrets(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, secret) in [("postgres", "any"), ("rabbitmq", "guest"), ("sms", "hush-hush")] {
        fs::write(folder.join(name), format!("{secret}\n")).unwrap();
    }
}

/// What the image sets for every part.
fn image_environment() -> BTreeMap<String, String> {
    let pair = said(&image(), "ENV");
    let (name, value) = pair.split_once('=').expect("NAME=value");
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

/// A container of the compose file as a plain process: its command, in its volume, with its environment and no other.
struct Container {
    environment: BTreeMap<String, String>,
    process: Process,
}

/// The host of a compose file: what its containers share.
struct Host {
    folder: TempDir,
    ip: IpAddr,
    peers: std::sync::Arc<Peers>,
    containers: BTreeMap<String, Container>,
}

impl Host {
    /// The host, whose broker and database have begun.
    fn new() -> Host {
        let folder = tempfile::Builder::new().prefix("host").tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        write_secrets(&folder.path().join("secrets"));
        let peers = Peers::shared();
        peers.postgres.database("anywhere").unwrap_or_else(|error| panic!("{error}"));
        Host { folder, ip: net::own_address(), peers, containers: BTreeMap::new() }
    }

    /// A value as it is on this host: other places, other addresses, and nothing else.
    fn here(&self, value: &str) -> String {
        let postgres = self.peers.postgres.url_of("anywhere").replace("postgres://", "");
        value
            .replace("ringback@127.0.0.1:5432/ringback", &postgres)
            .replace("ringback@127.0.0.1:5672", &format!("guest@127.0.0.1:{}", self.peers.rabbit.port()))
            .replace("/run/secrets", &self.folder.path().join("secrets").display().to_string())
    }

    fn start(&mut self, name: &str, service: &Value) {
        let mut all = image_environment();
        for (variable, value) in environment(service) {
            // What is for this host only is for this test only.
            let own =
                if variable.ends_with("__URL") { value } else { value.replace("127.0.0.1", &self.ip.to_string()) };
            all.insert(variable, self.here(&own));
        }
        let mut command = self.program(&all);
        command.args(words(&service["command"]));
        let process = Process::start(name, command, &self.folder.path().join(format!("{name}.log"))).unwrap();
        self.containers.insert(name.to_owned(), Container { environment: all, process });
    }

    fn program(&self, environment: &BTreeMap<String, String>) -> Command {
        let mut command = Command::new(binary("ringback"));
        command.current_dir(self.folder.path().join("state")).env_clear().envs(environment);
        command
    }

    /// `docker compose exec NAME ringback ARGUMENTS`.
    fn exec(&self, name: &str, arguments: &[&str], input: &str) -> (i32, String) {
        let mut command = self.program(&self.containers[name].environment);
        command.args(arguments);
        let (code, out, errors) = process::run(command, input, SOON);
        (code, format!("{out}{errors}"))
    }

    fn ok(&self, name: &str, arguments: &[&str], input: &str) -> String {
        let (code, said) = self.exec(name, arguments, input);
        assert_eq!(code, 0, "{name}: ringback {}: {said}", arguments.join(" "));
        said
    }

    fn wait_healthy(&self) {
        let check = listed(&said(&image(), "HEALTHCHECK"));
        let [_program, arguments @ ..] = &check[..] else { panic!("{check:?}") };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        for (name, container) in &self.containers {
            clock::wait_for(&format!("{name}: {}", container.process.tail(20)), secs(60), || {
                (self.exec(name, &arguments, "").0 == 0).then_some(())
            });
        }
    }
}

#[test]
fn the_big_compose_file_runs_as_it_stands_and_places_a_callback() {
    let mut host = Host::new();
    let file = compose("compose.yaml", &host.ip.to_string());
    let parts = parts(&file);
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["ani", "email", "engine-1", "engine-2", "iif", "sms", "web"]);
    // The page and the interface for application servers end until the accounts that pay are there; Docker starts them again. The
    // engines come last here, because they look for new trunks once a second.
    let (at_once, later): (Vec<_>, Vec<_>) =
        parts.iter().partition(|(name, _)| ["sms", "email", "ani"].contains(&name.as_str()));
    for (name, service) in at_once {
        host.start(name, service);
    }
    host.wait_healthy();
    let phones = Bank::start(SocketAddr::new(host.ip, 5090)).expect("the phones' address is free");
    phones.when(A, Manner::answers(millis(300)));
    phones.when(B, Manner::answers(millis(300)).hangs_up_after(secs(2)));
    let account = ["--balance", "10.00", "--allow", "44", "--limits", "off"];
    for name in ["web", "iif"] {
        host.ok("sms", &[&["account", "add", name][..], &account].concat(), "");
    }
    host.ok("ani", &[&["account", "add", "alice", "--number", SENDER, "--pin-stdin"][..], &account].concat(), PIN);
    host.ok("email", &["trunk", "add", "phones", "--sip", &phones.uri()], "");
    for (name, service) in later {
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        host.start(name, service);
    }
    host.wait_healthy();
    for name in parts.keys() {
        let found: Value = serde_json::from_str(&host.ok(name, &["check", "--json"], "")).expect("JSON");
        assert_eq!(found["problems"], serde_json::json!([]), "{name}: {found}");
    }

    let listener = SocketAddr::new(host.ip, 8081);
    let answer = sms::send(listener, "hush-hush", "text-1", SENDER, &sms::text("alice", PIN, A, B)).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    let request = clock::wait_for("the callback to end", SOON, || {
        let listed: Value = serde_json::from_str(&host.ok("sms", &["request", "list", "--json"], "")).ok()?;
        listed.get(0).filter(|request| request["finished"] == true).cloned()
    });
    assert_eq!(request["result"], "Successful", "{request}");
    let status: Value = serde_json::from_str(&host.ok("web", &["status", "--json"], "")).expect("JSON");
    let engines: Vec<&str> =
        status["engines"].as_array().unwrap().iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(engines, ["engine-1", "engine-2"]);

    for container in host.containers.values_mut() {
        assert_eq!(container.process.terminate(SOON).code(), Some(0), "{}", container.process.tail(20));
    }
}

#[test]
fn what_the_compose_files_say_of_ports_secrets_and_time_fits_together() {
    let watched: BTreeSet<String> = yaml(&text("compose/prometheus/prometheus.yml"))
        .iter()
        .flat_map(|settings| settings["scrape_configs"].as_array().cloned().unwrap_or_default())
        .flat_map(|job| job["static_configs"].as_array().cloned().unwrap_or_default())
        .flat_map(|group| words(&group["targets"]))
        .collect();
    for name in ["single.yaml", "compose.yaml"] {
        let file = compose(name, "192.0.2.10");
        let parts = parts(&file);
        let mut listen = BTreeSet::new();
        for (part, service) in &parts {
            let settings = environment(service);
            let grace = words(&service["stop_grace_period"]).concat();
            let grace: u64 = grace.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{part}: {grace}"));
            assert!(grace > drain_timeout(), "{name}: {part} is killed while it drains");
            assert!(listen.insert(settings["RINGBACK_SERVICE__LISTEN"].clone()), "{name}: {part} shares a port");
            let mounted = |secret: &str| {
                let all = service["secrets"].as_array().cloned().unwrap_or_default();
                all.iter().any(|one| one["source"] == secret || *one == secret)
            };
            for secret in settings.values().filter_map(|value| value.strip_prefix("/run/secrets/")) {
                assert!(mounted(secret), "{name}: {part} reads the secret {secret}, which it does not have");
            }
            let read_only = service["read_only"] == true && words(&service["cap_drop"]) == ["ALL"];
            assert!(read_only, "{name}: {part} may write and do more than it needs");
        }
        let services = file["services"].as_object().unwrap();
        for port in services.values().filter_map(|service| service["ports"].as_array()).flatten() {
            // Without an address docker-compose makes it an object.
            let port = port.as_str().unwrap_or_else(|| panic!("{name}: {port} is open to the world"));
            let place = port.rsplit_once(':').expect("ADDRESS:PORT:PORT").0;
            let asked = parts.values().flat_map(environment).any(|(_, value)| value.contains(place));
            assert!(asked || watched.contains(place), "{name}: {place} is published, and nobody speaks to it");
            assert!(place.starts_with("127.0.0.1:"), "{name}: {place} is open to the world");
        }
        if parts.len() > 1 {
            let missing: Vec<&String> = listen.iter().filter(|listen| !watched.contains(*listen)).collect();
            assert!(missing.is_empty(), "Prometheus does not watch {missing:?}");
            assert_eq!(watched.len(), listen.len() + 1, "Prometheus watches somebody who is not there: {watched:?}");
        }
        let made = text("compose/make-secrets");
        let made = made.lines().find_map(|line| line.strip_prefix("for name in ")?.strip_suffix("; do")).unwrap();
        for (secret, place) in file["secrets"].as_object().unwrap() {
            let place = words(&place["file"]).concat();
            assert!(place.ends_with(&format!("compose/secrets/{secret}")), "{name}: {place}");
            assert!(made.split(' ').any(|one| one == secret), "{name}: make-secrets does not make {secret}");
        }
    }
}

#[test]
fn the_secrets_are_made_once_for_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(file("compose/make-secrets"), folder.path().join("make-secrets")).unwrap();
    let make = || tool(&folder.path().join("make-secrets").display().to_string(), &[], &[], "");
    make();
    let secrets = folder.path().join("secrets");
    let read = || fs::read_to_string(secrets.join("postgres")).unwrap();
    let first = read();
    assert_eq!(first.trim().len(), 32, "{first}");
    assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(secrets.join("sms")).unwrap().permissions().mode() & 0o777, 0o644);
    make();
    assert_eq!(read(), first, "they stay");
}

#[test]
fn the_image_is_built_from_what_is_here() {
    let stages = stages();
    let [build, image] = &stages[..] else { panic!("two stages: {stages:?}") };
    let command = said(build, "RUN");
    let manifest = text("Cargo.toml");
    let after = |word: &str| command.split_once(word).unwrap().1.split_whitespace().next().unwrap().to_owned();
    let (profile, package) = (after("--profile "), after("--package "));
    assert!(manifest.contains(&format!("[profile.{profile}]")), "no profile {profile}");
    assert!(text("compose/all-in-one/Cargo.toml").contains(&format!("name = \"{package}\"")), "no package {package}");
    assert!(command.contains(&format!("target/{profile}/{package} ")), "{command}");
    let rust = said(build, "FROM");
    let needs = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(rust.starts_with(&format!("rust:{needs}-")), "{rust}, and the workspace needs {needs}");
    for (_, copied) in image.iter().filter(|(word, _)| word == "COPY") {
        let source = copied.split(' ').find(|word| word.starts_with("/image")).unwrap();
        assert!(command.split_whitespace().any(|word| word == source), "{source} is copied and was not made");
    }
    let program = &listed(&said(image, "ENTRYPOINT"))[0];
    assert_eq!(&listed(&said(image, "HEALTHCHECK"))[0], program);
    let ignored = text("compose/Dockerfile.dockerignore");
    for secret in ["compose/secrets", ".git", "**/target"] {
        assert!(ignored.lines().any(|line| line == secret), "{secret} goes to the builder");
    }
}

#[test]
fn the_image_runs_on_what_it_holds_and_writes_only_into_its_volume() {
    let image = image();
    let root = tempfile::Builder::new().prefix("image").tempdir().unwrap();
    let inside = |path: &str| root.path().join(path.trim_start_matches('/'));
    let program = listed(&said(&image, "ENTRYPOINT")).remove(0);
    let (user, group) = {
        let user = said(&image, "USER");
        user.split_once(':').map(|(u, g)| (u.to_owned(), g.to_owned())).unwrap()
    };
    assert!(
        user != "0" && user.parse::<u32>().is_ok(),
        "{user}: a number, so that Kubernetes sees that it is not root"
    );

    // The base image: certificates, libraries, and nothing else.
    fs::create_dir_all(inside(CERTIFICATES).parent().unwrap()).unwrap();
    fs::copy(CERTIFICATES, inside(CERTIFICATES)).unwrap();
    let linked = tool("ldd", &[&binary("ringback").display().to_string()], &[], "");
    for line in linked.lines() {
        let name = line.split_whitespace().next().unwrap();
        let base = Path::new(name).file_name().unwrap().to_str().unwrap();
        assert!(IN_THE_BASE_IMAGE.contains(&base), "the base image has no {base}");
        let place = line.split("=> ").nth(1).unwrap_or(name).split_whitespace().next().unwrap();
        if place.starts_with('/') {
            fs::create_dir_all(inside(place).parent().unwrap()).unwrap();
            fs::copy(place, inside(place)).unwrap();
        }
    }
    // Its own steps. The program is the one under test instead of the one that is built for people.
    for (_, copied) in image.iter().filter(|(word, _)| word == "COPY") {
        let words: Vec<&str> = copied.split(' ').collect();
        let target = words[words.len() - 1];
        if target == program {
            fs::create_dir_all(inside(target).parent().unwrap()).unwrap();
            fs::copy(binary("ringback"), inside(target)).unwrap();
            continue;
        }
        fs::create_dir_all(inside(target)).unwrap();
        let mode = words.iter().find_map(|word| word.strip_prefix("--chmod=")).unwrap();
        fs::set_permissions(inside(target), fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap())).unwrap();
        let owner = words.iter().find_map(|word| word.strip_prefix("--chown=")).unwrap();
        as_root(&["chown", owner, &inside(target).display().to_string()]);
    }
    write_secrets(&inside("/run/secrets"));
    // A temporary folder is its owner's alone; a container's root is everybody's to look at.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let before = files(root.path());

    let file = compose("single.yaml", "127.0.0.1");
    let (ip, service) = (net::own_address().to_string(), &parts(&file)["ringback"]);
    let mut settings = image_environment();
    settings.extend(environment(service).into_iter().map(|(name, value)| (name, value.replace("127.0.0.1", &ip))));
    let folder = said(&image, "WORKDIR");
    let enter = |arguments: &[String]| {
        let root = root.path().display().to_string();
        let mut words =
            vec!["unshare", "--root", &root, "--wd", &folder, "--setgid", &group, "--setuid", &user, &program];
        words.extend(arguments.iter().map(String::as_str));
        let mut command = root_command(&words);
        command.env_clear().envs(&settings);
        command
    };
    let check = listed(&said(&image, "HEALTHCHECK"));
    let healthy = || process::run(enter(&check[1..]), "", SOON).0 == 0;
    assert!(!healthy(), "healthy before it runs");
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut gateway = Process::start("image", enter(&listed(&said(&image, "CMD"))), log.path()).unwrap();
    clock::wait_for("the image to be healthy", secs(30), || {
        assert!(gateway.ended().is_none(), "{}", gateway.tail(20));
        healthy().then_some(())
    });
    let (code, out, errors) = process::run(enter(&["status".to_owned()]), "", SOON);
    assert_eq!(code, 0, "{out}{errors}");
    assert_eq!(gateway.terminate(SOON).code(), Some(0), "{}", gateway.tail(20));
    let stays = |path: &String| !path.starts_with(folder.trim_start_matches('/'));
    assert_eq!(files(root.path()).into_iter().filter(stays).collect::<Vec<_>>(), before, "written beside the volume");
    assert!(inside(&folder).join("data/ringback.db").exists(), "the data are in the volume");
}

/// Every file under a folder, without that of the volume.
fn files(folder: &Path) -> Vec<String> {
    let listed = tool("find", &[&folder.display().to_string(), "-type", "f", "-printf", "%P\n"], &[], "");
    let mut files: Vec<String> = listed.lines().map(str::to_owned).collect();
    files.sort();
    files
}

fn as_root(words: &[&str]) {
    let (code, out, errors) = process::run(root_command(words), "", SOON);
    assert_eq!(code, 0, "{}: {out}{errors}", words.join(" "));
}
