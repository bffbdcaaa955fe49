//! Answers: tables for people, JSON for machines.

use std::io::{self, Write};

use ringback_common::money::Money;
use serde::Serialize;

/// Prints one JSON value on a line of its own.
pub fn json(value: &impl Serialize) {
    let text = serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    line(&text);
}

/// Prints a table of comma-separated values (RFC 4180) under the names of their fields.
pub fn csv(rows: &[impl Serialize]) {
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(io::stdout().lock());
    // A reader that went away (`| head`) ends the command quietly.
    let _ = rows.iter().try_for_each(|row| out.serialize(row)).and_then(|()| Ok(out.flush()?));
}

/// Prints a line. A reader that went away (`| head`) ends the command quietly.
pub fn line(text: &str) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints columns as wide as they need to be; nothing at all says so.
pub fn table(heads: &[&str], rows: &[Vec<String>], nothing: &str) {
    if rows.is_empty() {
        return line(nothing);
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let written = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(&written(heads.to_vec()));
    for row in rows {
        line(&written(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>().iter().map(String::as_str).collect()));
    }
}

/// Shows control characters instead of obeying them: names and texts come from outside.
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// An amount for people, from the text that machines get.
pub fn money(amount: &str, currency: &str) -> String {
    amount.parse::<Money>().map_or_else(|_| format!("{amount} {currency}"), |amount| amount.shown(currency))
}

/// A list in one cell.
pub fn list(items: &[String]) -> String {
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}
