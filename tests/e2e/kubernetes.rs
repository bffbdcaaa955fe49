//! The manifests: Kubernetes' schemas take them, and what they tell the program is what it understands.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ringback_tests::anywhere::{drain_timeout, file, image, said, text, tool, words, yaml};
use ringback_tests::process;
use ringback_tests::site::{binary, peers_folder};
use ringback_tests::story::SOON;
use serde_json::Value;

const FILES: [&str; 3] = ["common.yaml", "engine.yaml", "triggers.yaml"];

fn manifests() -> Vec<Value> {
    FILES.iter().flat_map(|name| yaml(&text(&format!("compose/kubernetes/{name}")))).collect()
}

/// What runs pods of ours, by the name of its part.
fn workloads() -> BTreeMap<String, Value> {
    let all = manifests().into_iter().filter(|one| one["spec"]["template"].is_object());
    all.map(|one| (words(&one["metadata"]["name"]).concat(), one)).collect()
}

/// The one container of a pod, or of its beginning.
fn only(containers: &Value) -> Value {
    let [one] = &containers.as_array().expect("containers")[..] else { panic!("not one: {containers}") };
    one.clone()
}

/// What a container's environment is on a node with this address.
fn environment(container: &Value, part: &str, node: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let named =
            |one: &&Value| one["kind"] == "ConfigMap" && one["metadata"]["name"] == source["configMapRef"]["name"];
        let manifests = manifests();
        let map = manifests.iter().find(named).expect("the map is there");
        let data = map["data"].as_object().expect("data").iter();
        all.extend(data.map(|(name, value)| (name.clone(), words(value).concat())));
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("status.hostIP") => node.to_owned(),
            Some("metadata.name") => format!("{part}-0"),
            Some(other) => panic!("{part}: {other}"),
            None => words(&variable["value"]).concat().replace("$(HOST_IP)", all.get("HOST_IP").map_or("$", |ip| ip)),
        };
        all.insert(words(&variable["name"]).concat(), value);
    }
    all
}

#[test]
fn kubernetes_takes_the_manifests() {
    let validate = peers_folder().join("kubernetes/bin/kubernetes-validate").display().to_string();
    let files = FILES.map(|name| file(&format!("compose/kubernetes/{name}")).display().to_string());
    let arguments = ["--strict", "--quiet", &files[0], &files[1], &files[2]];
    tool(&validate, &arguments, &[], "");
}

#[test]
fn every_part_understands_what_its_pod_tells_it() {
    let workloads = workloads();
    assert_eq!(workloads.keys().collect::<Vec<_>>(), ["ani", "email", "engine", "iif", "sms", "web"]);
    std::thread::scope(|scope| {
        for (part, workload) in &workloads {
            scope.spawn(move || understands(part, workload));
        }
    });
}

fn understands(part: &str, workload: &Value) {
    let pod = &workload["spec"]["template"]["spec"];
    let folder = tempfile::tempdir().unwrap();
    let [secrets, state] = ["secrets", "state"].map(|name| folder.path().join(name));
    for path in [&secrets, &state] {
        fs::create_dir(path).unwrap();
    }
    for (name, secret) in [("postgres", "x"), ("rabbitmq", "x"), ("sms", "x"), ("site-key", &"07".repeat(32))] {
        fs::write(secrets.join(name), format!("{secret}\n")).unwrap();
    }
    let (volumes, ours) = (only(&pod["initContainers"])["volumeMounts"].clone(), only(&pod["containers"]));
    assert_eq!(volumes, ours["volumeMounts"], "{part}");
    let here = |text: &str| {
        let place = |name: &str| {
            let mount = volumes.as_array().unwrap().iter().find(|mount| mount["name"] == name).expect("mounted");
            words(&mount["mountPath"]).concat()
        };
        text.replace(&place("secrets"), &secrets.display().to_string())
            .replace(&place("state"), &state.display().to_string())
    };
    let begin: Vec<String> = words(&only(&pod["initContainers"])["command"]).iter().map(|word| here(word)).collect();
    let begin: Vec<&str> = begin.iter().map(String::as_str).collect();
    tool(begin[0], &begin[1..], &[], "");

    let mut settings = environment(&ours, part, "127.0.0.9");
    for (name, value) in &mut settings {
        *value = here(value);
        if name.ends_with("__URL") {
            // Where nobody listens: the settings are looked at, not the cluster.
            *value = value.replace("@postgres:5432", "@127.0.0.1:1").replace("@rabbitmq:5672", "@127.0.0.1:1");
        }
    }
    let mut command = Command::new(binary("ringback"));
    command.arg("check").current_dir(&state).env_clear().envs(&settings);
    let (code, out, errors) = process::run(command, "", SOON);
    assert!(code == 3, "{part}: all is well but for the database: {out}{errors}");
    let key = fs::metadata(state.join("ringback.site-key")).expect("the site key is where the program looks for it");
    assert_eq!(key.permissions().mode() & 0o777, 0o600, "{part}: another one may read the site key");
    assert_eq!(words(&ours["args"]), ["run", "--only", part]);

    let listen = &settings["RINGBACK_SERVICE__LISTEN"];
    let ports = ours["ports"].as_array().unwrap();
    let health = ports.iter().find(|port| port["name"] == "health").expect("a port for health");
    assert!(listen.ends_with(&format!(":{}", health["containerPort"])), "{part}: {listen} {health}");
    for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        let asked = &ours[probe]["httpGet"];
        assert!(asked["path"] == path && asked["port"] == "health", "{part}: {probe} {asked}");
    }
    for port in ports {
        let at = format!(":{}", port["containerPort"]);
        let opened = settings.iter().any(|(name, value)| name.ends_with("__LISTEN") && value.ends_with(&at));
        assert!(opened, "{part}: no setting opens {port}");
    }
}

#[test]
fn pods_have_time_to_drain_and_no_more_rights_than_they_need() {
    let user = said(&image(), "USER");
    let user = user.split(':').next().unwrap();
    let (workloads, mut ports_of_nodes) = (workloads(), BTreeMap::new());
    for (part, workload) in &workloads {
        let template = &workload["spec"]["template"];
        let (pod, labels) = (&template["spec"], &template["metadata"]["labels"]);
        assert_eq!(&workload["spec"]["selector"]["matchLabels"], labels, "{part}");
        assert!(
            pod["terminationGracePeriodSeconds"].as_u64() > Some(drain_timeout()),
            "{part} is killed while it drains"
        );
        assert!(pod["securityContext"]["runAsNonRoot"] == true, "{part}");
        assert_eq!(pod["securityContext"]["runAsUser"].to_string(), user, "{part}: the image's user");
        for container in [only(&pod["initContainers"]), only(&pod["containers"])] {
            let rights = &container["securityContext"];
            assert!(rights["readOnlyRootFilesystem"] == true && rights["allowPrivilegeEscalation"] == false, "{part}");
            assert_eq!(words(&rights["capabilities"]["drop"]), ["ALL"], "{part}");
        }
        // What has a node's network shares its ports with the others there.
        if pod["hostNetwork"] == true {
            for port in only(&pod["containers"])["ports"].as_array().unwrap() {
                let place = (port["protocol"].to_string(), port["containerPort"].to_string());
                let other = ports_of_nodes.insert(place, part.clone());
                assert_eq!(other, None, "{part} wants {port} on the same node");
            }
        }
    }
    for one in manifests() {
        let (kind, name) = (words(&one["kind"]).concat(), words(&one["metadata"]["name"]).concat());
        let chosen = match kind.as_str() {
            "Service" => &one["spec"]["selector"],
            "PodDisruptionBudget" => &one["spec"]["selector"]["matchLabels"],
            _ => continue,
        };
        let template = &workloads[&name]["spec"]["template"];
        assert_eq!(chosen, &template["metadata"]["labels"], "{kind} {name} is for other pods");
        let ports = only(&template["spec"]["containers"])["ports"].clone();
        for port in one["spec"]["ports"].as_array().into_iter().flatten() {
            assert!(ports.as_array().unwrap().iter().any(|one| one["name"] == port["targetPort"]), "{name}: {port}");
        }
    }
}
