//! docs/conformance.md is true: every demand of the founding documents has a row, every test that it names exists, and its states are
//! counted as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The founding documents and how many demands each has; SX is what stands between their lines.
const DOCUMENTS: [(&str, usize); 7] =
    [("S0", 50), ("S1", 23), ("S2", 20), ("S3", 90), ("S4", 88), ("BR", 14), ("SX", 12)];

/// What nobody says of a demand that is met.
const EXCUSES: [&str; 12] = [
    "missing",
    "carried",
    "not in this version",
    "not used",
    "not yet",
    "not done",
    "later",
    "only kept",
    "cannot",
    "no test",
    "nobody reads",
    "planned",
];

struct Row {
    id: String,
    demand: String,
    state: String,
    tests: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn rows() -> Vec<Row> {
    let page = read("docs/conformance.md");
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() >= 2) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, demand, state, tests] = cells[..] else { panic!("not four cells: {line}") };
        if id != "id" {
            let tests = tests.split(", ").filter(|test| *test != "-").map(str::to_owned).collect();
            rows.push(Row { id: id.to_owned(), demand: demand.to_owned(), state: state.to_owned(), tests });
        }
    }
    rows
}

/// Of a founding document, and not what others offer.
fn is_founding(id: &str) -> bool {
    DOCUMENTS.iter().any(|(document, _)| id.strip_prefix(document).is_some_and(|rest| rest.starts_with('-')))
}

#[test]
fn the_glossary_knows_the_words_of_the_founding_documents() {
    let page = read("ARCHITECTURE.md");
    for word in ["AS", "IIF", "MSS", "OAM", "PSS", "UE", "ANI", "DNIS", "CLI", "CLD"] {
        assert!(page.lines().any(|line| line.starts_with(&format!("| {word} | "))), "{word}");
    }
}

#[test]
fn every_demand_of_the_founding_documents_has_one_row() {
    let wanted: BTreeSet<String> = DOCUMENTS
        .into_iter()
        .flat_map(|(document, last)| (1..=last).map(move |n| format!("{document}-{n:02}")))
        .collect();
    assert_eq!(wanted.len(), 297);
    let all: Vec<String> = rows().into_iter().map(|row| row.id).filter(|id| is_founding(id)).collect();
    let distinct: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(wanted.difference(&distinct).collect::<Vec<_>>(), [""; 0], "without a row");
    assert_eq!(distinct.difference(&wanted).collect::<Vec<_>>(), [""; 0], "nobody demands");
    assert_eq!(all.len(), wanted.len(), "one has two rows");
}

#[test]
fn a_row_says_what_its_state_says() {
    let mut seen = BTreeSet::new();
    for Row { id, demand, state, tests } in rows() {
        assert!(!demand.is_empty() && seen.insert((id.clone(), demand.clone())), "said twice, or empty: {id} {demand}");
        match state.as_str() {
            "done" => {
                let excuse = EXCUSES.into_iter().find(|excuse| demand.to_lowercase().contains(excuse));
                assert_eq!(excuse, None, "{id} is called done: {demand}");
                assert!(!tests.is_empty(), "{id} is done and names no test");
            }
            "part" => assert!(demand.contains("; missing: ") && !tests.is_empty(), "{id}: what is missing, and a test"),
            "open" => assert!(demand.contains("; missing: ") && tests.is_empty(), "{id}: what is missing, and no test"),
            other => panic!("{id}: no such state: {other}"),
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for (id, test) in rows().iter().flat_map(|row| row.tests.iter().map(|test| (&row.id, test))) {
        let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{id}: no file::function: {test}"));
        let source = sources.entry(file.to_owned()).or_insert_with(|| read(file));
        let exists = source.split("fn ").zip(source.split("fn ").skip(1)).any(|(before, after)| {
            let is_it = after.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
            is_it && before.rsplit(['}', ';']).next().is_some_and(|attributes| attributes.contains("test"))
        });
        assert!(exists, "{id}: {file} has no test {name}");
    }
}

#[test]
fn the_states_are_counted_as_they_are() {
    let count = |founding: bool| {
        let of =
            |state: &str| rows().iter().filter(|row| is_founding(&row.id) == founding && row.state == state).count();
        [of("done"), of("part"), of("open")]
    };
    let ([done, part, open], others) = (count(true), count(false));
    let says = format!(
        "Of the {} demands of the founding documents {done} are done, {part} in part, {open} open; of the {} others {}, {} and {}.",
        done + part + open,
        others.iter().sum::<usize>(),
        others[0],
        others[1],
        others[2]
    );
    assert!(read("docs/conformance.md").contains(&says), "the page should say: {says}");
}

#[test]
fn packages_and_folders_are_where_the_design_card_has_them() {
    let members = read("Cargo.toml");
    for folder in [
        "trigger-sms",
        "trigger-email",
        "trigger-web",
        "trigger-ani",
        "engine",
        "common",
        "compose/all-in-one",
        "tests",
    ] {
        assert!(
            members.contains(&format!("\"{folder}\"")) && root().join(folder).join("Cargo.toml").exists(),
            "{folder}"
        );
    }
    for (package, folders) in [
        ("lapin", &["common"][..]),
        ("lettre", &["trigger-email"]),
        ("mail-parser", &["trigger-email"]),
        ("async-imap", &["trigger-email"]),
        ("reqwest", &["trigger-sms"]),
        ("rsip", &["tests"]),
        ("tokio", &["common", "engine", "trigger-sms", "trigger-email", "trigger-web", "trigger-ani"]),
        ("serde", &["common", "engine", "trigger-sms", "trigger-email", "trigger-web", "trigger-ani"]),
    ] {
        for folder in folders {
            let manifest = read(&format!("{folder}/Cargo.toml"));
            let used = manifest.split("[dev-dependencies]").next().unwrap_or_default();
            assert!(used.lines().any(|line| line.starts_with(&format!("{package}."))), "{package} in {folder}");
        }
    }
}
