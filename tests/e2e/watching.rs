//! What Prometheus and Grafana are given: rules that raise an alarm for what they are for, and questions about metrics that exist.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::BTreeSet;

use ringback_tests::anywhere::{text, tool, yaml};
use serde_json::{Value, json};

const RULES: &str = "prometheus/alerts.yml";
const PROOFS: &str = "prometheus/alerts.test.yml";

/// A row of docs/metrics.md: the name, whether it is a histogram, and its labels.
struct Metric {
    name: String,
    histogram: bool,
    labels: BTreeSet<String>,
}

fn metrics() -> Vec<Metric> {
    let page = text("docs/metrics.md");
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let (name, kind) = (cells.next()?.trim_end_matches('`').to_owned(), cells.next()?);
        let labels = kind.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some(Metric { name, histogram: kind.starts_with("histogram"), labels })
    });
    rows.collect()
}

/// The names of metrics and the labels that they are asked for: words of PromQL that stand before `{`, `[` or alone.
fn assert_known(expression: &str, metrics: &[Metric]) {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = expression;
    while let Some(at) = rest.find("ringback_") {
        rest = &rest[at..];
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let metric = metrics.iter().find(|metric| {
            let parts = ["_bucket", "_count", "_sum"];
            metric.name == name && !metric.histogram
                || metric.histogram && parts.iter().any(|part| name.strip_suffix(part) == Some(&metric.name))
        });
        let metric = metric.unwrap_or_else(|| panic!("{name} is no metric of docs/metrics.md: {expression}"));
        let Some(chosen) = after.strip_prefix('{').and_then(|after| after.split('}').next()) else { continue };
        for label in chosen.split(',').filter_map(|one| one.split(['=', '!']).next()).map(str::trim) {
            assert!(label == "instance" || metric.labels.contains(label), "{name} has no {label}: {expression}");
        }
    }
    // What they are summed by: labels of one of the metrics in the expression.
    for by in expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
        for label in by.split(',').map(str::trim).filter(|label| !matches!(*label, "le" | "instance")) {
            let has = |metric: &&Metric| expression.contains(&metric.name) && metric.labels.contains(label);
            assert!(metrics.iter().any(|metric| has(&metric)), "nothing has a label {label}: {expression}");
        }
    }
}

fn rules() -> Vec<Value> {
    let file = yaml(&text(&format!("compose/{RULES}"))).remove(0);
    let groups = file["groups"].as_array().cloned().unwrap_or_default();
    groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
}

/// What the panels of the dashboard ask, as Prometheus hears it.
fn questions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&text("compose/grafana/dashboards/ringback.json")).expect("JSON");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    let mut questions = Vec::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_i64()), "{title}: its id is another one's too");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let mut asked = target["expr"].as_str().expect("a question").replace("$__rate_interval", "5m");
            for variable in &variables {
                asked = asked.replace(&format!("${variable}"), ".*");
            }
            assert!(!asked.contains('$'), "{title} asks for a variable that is not there: {asked}");
            questions.push((title.to_owned(), asked));
        }
    }
    questions
}

#[test]
fn every_alarm_is_raised_for_what_it_is_for() {
    tool("promtool", &["check", "rules", "--lint-fatal", RULES], &[], "");
    tool("promtool", &["test", "rules", PROOFS], &[], "");
    let (proofs, metrics) = (text(&format!("compose/{PROOFS}")), metrics());
    for rule in rules() {
        let name = rule["alert"].as_str().expect("an alarm");
        let proven = format!("alertname=\"{name}\"");
        assert!(proofs.contains(&proven) || proofs.contains(&format!("alertname: {name}\n")), "{name} is not proven");
        assert_known(rule["expr"].as_str().expect("an expression"), &metrics);
        for word in ["summary", "do"] {
            assert!(rule["annotations"][word].is_string(), "{name} does not say its {word}");
        }
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("page" | "ticket")), "{name}: how urgent?");
    }
}

#[test]
fn prometheus_takes_its_settings() {
    tool("promtool", &["check", "config", "--syntax-only", "prometheus/prometheus.yml"], &[], "");
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist_in_words_that_prometheus_understands() {
    let (questions, metrics) = (questions(), metrics());
    assert!(questions.len() > 15, "the dashboard was read: {questions:?}");
    for (_, asked) in &questions {
        assert_known(asked, &metrics);
    }
    let recorded: Vec<Value> = questions
        .iter()
        .enumerate()
        .map(|(n, (title, asked))| json!({ "record": format!("panel:{n}"), "expr": asked, "labels": { "title": title } }))
        .collect();
    let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    // JSON is YAML.
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": recorded }] });
    std::fs::write(file.path(), rules.to_string()).unwrap();
    tool("promtool", &["check", "rules", &file.path().display().to_string()], &[], "");
}
