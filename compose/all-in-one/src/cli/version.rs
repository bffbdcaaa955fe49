//! `ringback version`, and the manual pages and completions that a package of it has.

use std::path::Path;

use clap_complete::Shell;
use ringback_common::store::newest_schema;
use serde_json::{Map, Value, json};

use super::{Common, Fail, print};

/// Who builds for others says so: RINGBACK_COMMIT=$(git rev-parse HEAD) cargo build ...
const COMMIT: Option<&str> = option_env!("RINGBACK_COMMIT");

/// Says which version this is.
pub fn version(common: &Common) -> Result<(), Fail> {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), COMMIT.filter(|commit| !commit.is_empty()));
    if common.json {
        let schema: Map<String, Value> =
            newest_schema().into_iter().map(|(database, step)| (database.to_owned(), step.into())).collect();
        print::json(&json!({ "version": version, "commit": commit, "schema": schema }));
        return Ok(());
    }
    print::line(&format!("ringback {version}"));
    print::line(&format!("commit   {}", commit.unwrap_or("unknown (RINGBACK_COMMIT was not set when it was built)")));
    for (database, step) in newest_schema() {
        print::line(&format!("schema   {step} ({database})"));
    }
    Ok(())
}

/// A manual page for each command, and completions for bash, zsh and fish.
pub fn pages(command: clap::Command, folder: &Path) -> Result<(), Fail> {
    let mut command = command.disable_help_subcommand(true);
    let refused = |error| Fail::Refused(format!("cannot write into {}: {error}", folder.display()));
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "ringback", folder).map_err(refused)?;
    }
    clap_mangen::generate_to(command, folder).map_err(refused)
}
