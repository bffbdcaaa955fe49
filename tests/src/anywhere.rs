//! The ways to run the gateway on real machines, as their own tools read them: compose files, the Dockerfile, manifests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::process;

/// The tools only read files.
const SOON: Duration = Duration::from_secs(60);

/// A file of this repository.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Its text.
pub fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a tool of the distribution, which has to succeed; answers what it printed.
pub fn tool(program: &str, arguments: &[&str], environment: &[(&str, &str)], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(file("compose")).envs(environment.iter().copied());
    let (code, out, errors) = process::run(command, input, SOON);
    assert_eq!(code, 0, "{program} {}: {out}{errors}", arguments.join(" "));
    out
}

/// The documents of a YAML text.
pub fn yaml(text: &str) -> Vec<Value> {
    const PROGRAM: &str = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let json = tool("/usr/bin/python3", &["-c", PROGRAM], &[], text);
    serde_json::from_str(&json).expect("python writes JSON")
}

/// A compose file for a host with this address, as `docker-compose config` understands it: checked against the specification,
/// variables, anchors and defaults filled in.
pub fn compose(name: &str, ip: &str) -> Value {
    let read = tool("docker-compose", &["-f", name, "config"], &[("RINGBACK_IP", ip)], "");
    yaml(&read).remove(0)
}

/// The services of a compose file that run our image, by name.
pub fn parts(compose: &Value) -> BTreeMap<String, Value> {
    let services = compose["services"].as_object().expect("services");
    let ours = services.iter().filter(|(_, service)| words(&service["image"]).concat().starts_with("ringback:"));
    ours.map(|(name, service)| (name.clone(), service.clone())).collect()
}

/// A text or a list of texts.
pub fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().flat_map(words).collect(),
        Value::String(one) => vec![one.clone()],
        _ => Vec::new(),
    }
}

/// The environment of a service.
pub fn environment(service: &Value) -> BTreeMap<String, String> {
    let map = service["environment"].as_object().expect("an environment");
    map.iter().map(|(name, value)| (name.clone(), words(value).concat())).collect()
}

/// An instruction of a Dockerfile: its word, and what follows it on its line and the lines continued.
pub type Instruction = (String, String);

/// The last stage of the Dockerfile: what the image is.
pub fn image() -> Vec<Instruction> {
    stages().pop().expect("a stage")
}

/// The stages of the Dockerfile.
pub fn stages() -> Vec<Vec<Instruction>> {
    let text = text("compose/Dockerfile").replace("\\\n", " ");
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let (word, rest) = line.split_once(' ').expect("an instruction and its words");
        if word == "FROM" {
            stages.push(Vec::new());
        }
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        stages.last_mut().expect("FROM comes first").push((word.to_owned(), rest));
    }
    stages
}

/// What the last stage says with this word, once.
pub fn said(stage: &[Instruction], word: &str) -> String {
    let mut all = stage.iter().filter(|(one, _)| one == word);
    let said = all.next().unwrap_or_else(|| panic!("the Dockerfile says no {word}")).1.clone();
    assert!(all.next().is_none(), "the Dockerfile says {word} twice");
    said
}

/// The words of an instruction's JSON list.
pub fn listed(instruction: &str) -> Vec<String> {
    let list = &instruction[instruction.find('[').expect("a JSON list")..];
    serde_json::from_str(list).unwrap_or_else(|error| panic!("{list}: {error}"))
}

/// How long an operator grants a drain, in seconds.
pub fn drain_timeout() -> u64 {
    let defaults = text("common/src/ringback.default.toml");
    let line = defaults.lines().find_map(|line| line.strip_prefix("drain_timeout = ")).expect("the setting");
    line.parse().expect("seconds")
}

/// A command as root, which `./test` is or may become.
pub fn root_command(words: &[&str]) -> Command {
    let words = if process::am_root() { words.to_vec() } else { [&["sudo", "-n", "-E"], words].concat() };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}
