//! What we do with twisted SIP: the messages of RFC 4475 and RFC 5118, in versions of our own, and in the originals where
//! `TORTURE_DIR` has them; then the same messages spoilt in twenty thousand ways. The tables are in docs/sip-torture.md.
#![allow(clippy::unwrap_used)]

#[path = "torture/cases.rs"]
mod cases;
#[path = "torture/ends.rs"]
mod ends;
#[path = "torture/mutate.rs"]
mod mutate;
#[path = "torture/render.rs"]
mod render;

use std::fs;
use std::path::{Path, PathBuf};

use cases::{Case, RFC4475, RFC5118, Reaction};
use ends::{Ends, reaction_to};
use mutate::{Dice, spoil};

/// How many spoilt messages are tried.
const SPOILT: usize = 20_000;

#[test]
fn our_own_messages_meet_the_reaction_of_the_table() {
    let wrong: Vec<String> =
        RFC4475.iter().chain(RFC5118).filter_map(|case| differs(case, &own_message(case))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_messages_of_the_rfcs_meet_the_same_reaction() {
    let folder = originals();
    for (rfc, table) in [("rfc4475", RFC4475), ("rfc5118", RFC5118)] {
        let folder = folder.join(rfc);
        if !folder.is_dir() {
            println!(
                "{} is not there: the messages of {rfc} were not tried, only ours; TORTURE_DIR names its parent",
                folder.display()
            );
            continue;
        }
        let original = |case: &Case| {
            let file = folder.join(case.name).with_extension("dat");
            fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        let wrong: Vec<String> = table.iter().filter_map(|case| differs(case, &original(case))).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        println!("{rfc}: {} originals tried", table.len());
    }
}

#[test]
fn the_tables_in_the_documentation_are_these() {
    let file = repository().join("docs/sip-torture.md");
    let page = fs::read_to_string(&file).unwrap();
    for (heading, table) in [("## RFC 4475\n", RFC4475), ("## RFC 5118\n", RFC5118)] {
        let table = written(table);
        assert!(
            page.contains(&format!("{heading}\n{table}")),
            "{} should have under {heading}\n{table}",
            file.display()
        );
    }
}

#[test]
fn spoilt_messages_neither_break_nor_swell_anything() {
    let messages = every_message();
    let mut dice = Dice::new(4475);
    let mut ends = Ends::new();
    for round in 0..SPOILT {
        let message = spoil(&messages[round % messages.len()], &messages[dice.roll(messages.len())], &mut dice);
        ends.receive(&message);
        if round % 1_000 == 0 {
            ends.assert_small();
        }
    }
    ends.assert_small();
}

/// What is wrong with our reaction, if anything; and no call that it does not concern minds the message.
fn differs(case: &Case, message: &[u8]) -> Option<String> {
    let mut ends = Ends::new();
    ends.receive(message);
    ends.receive(message);
    ends.assert_small();
    let Case { name, section, reaction, because, .. } = case;
    let ours = reaction_to(message);
    (ours != *reaction).then(|| format!("{name} ({section}): {ours:?} instead of {reaction:?}; {because}"))
}

fn own_message(case: &Case) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture").join(case.name).with_extension("sip");
    render::render(&fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// Those of the tables, and those that a call of ours hears from its peer.
fn every_message() -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = RFC4475.iter().chain(RFC5118).map(own_message).collect();
    let calls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/call");
    let mut files: Vec<PathBuf> = fs::read_dir(calls).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    messages.extend(files.iter().map(|file| render::render(&fs::read_to_string(file).unwrap())));
    messages
}

fn originals() -> PathBuf {
    let folder = std::env::var_os("TORTURE_DIR").unwrap_or_else(|| "../shared/torture".into());
    repository().join(folder)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn written(table: &[Case]) -> String {
    let mut page = "| Message | Section | What is special | We | Because |\n|---|---|---|---|---|\n".to_owned();
    for Case { name, section, special, reaction, because } in table {
        let reaction = match reaction {
            Reaction::Accept => "accept".to_owned(),
            Reaction::Refuse(code) => format!("refuse {code}"),
            Reaction::Drop => "drop".to_owned(),
        };
        page += &format!("| `{name}` | {section} | {special} | {reaction} | {because} |\n");
    }
    page
}
