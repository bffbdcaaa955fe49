//! docs/conformance.md is true: every test that it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_glossary_knows_the_words_of_the_founding_documents() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for word in ["AS", "IIF", "MSS", "OAM", "PSS", "UE", "ANI", "DNIS", "CLI", "CLD"] {
        assert!(page.lines().any(|line| line.starts_with(&format!("| {word} | "))), "{word}");
    }
}

#[test]
fn every_demand_names_a_test_that_exists() {
    let root = root();
    let table = fs::read_to_string(root.join("docs/conformance.md")).expect("docs/conformance.md");
    let mut seen = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, demand, test] = cells[..] else { panic!("not three cells: {row}") };
        assert!(!demand.is_empty() && seen.insert((id.to_owned(), demand.to_owned())), "said twice, or empty: {row}");
        let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("no file::function: {row}"));
        let source = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let marked = source.split("fn ").zip(source.split("fn ").skip(1));
        let exists = marked.into_iter().any(|(before, after)| {
            let is_it = after.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
            is_it && before.rsplit(['}', ';']).next().is_some_and(|attributes| attributes.contains("test"))
        });
        assert!(exists, "{file} has no test {name}");
    }
    let some =
        ["S2-07", "S4-11", "S4-13", "S4-14", "S4-15", "S4-22", "S4-23", "S4-24", "BR-02", "BR-03", "BR-06", "SX-01"];
    // The documents of the missed call and of IIF have a row for each of their demands, but for the status of a dialogue by voice.
    let whole = [("S0", 50), ("S1", 23), ("S3", 90)];
    let numbered = whole.iter().flat_map(|(document, last)| (1..=*last).map(move |n| format!("{document}-{n:02}")));
    for id in numbered.filter(|id| id != "S3-66").chain(some.map(str::to_owned)) {
        assert!(seen.iter().any(|(one, _)| *one == id), "{id} is missing");
    }
}
