//! `ringback dnc` and `ringback erase`: numbers that must not be rung, and what is kept of a number or a mail address.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ringback_common::store::{DoNotCall, Kept, PutBy};
use serde::Serialize;
use serde_json::{Value, json};

use super::view::{CdrView, RequestView};
use super::{Common, Fail, World, accounts, print};

/// Rows that `dnc list` shows at most.
const MOST: u32 = 100_000;

/// `ringback dnc ...`
#[derive(Subcommand)]
pub enum DncCommand {
    /// Nobody has this number rung any more, from this moment on
    Add {
        /// The number
        number: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// It may be rung again, whoever put it on the list
    Remove {
        /// The number
        number: String,
    },
    /// List them, the newest first
    List,
}

/// A number or a mail address, and where to write what is kept of it.
#[derive(Args)]
pub struct EraseArgs {
    /// The number, or the mail address
    number: String,
    /// Write what is kept of it to this new file first, as JSON
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

#[derive(Serialize)]
struct DncView {
    number: String,
    by: PutBy,
    reason: Option<String>,
    created: chrono::DateTime<chrono::Utc>,
}

impl From<DoNotCall> for DncView {
    fn from(put: DoNotCall) -> DncView {
        DncView { number: put.number, by: put.put_by, reason: put.reason, created: put.created }
    }
}

/// Does what `ringback dnc` says.
pub async fn dnc(common: &Common, command: DncCommand) -> Result<(), Fail> {
    let world = World::open(common).await?;
    match command {
        DncCommand::Add { number, reason } => {
            let number = accounts::number(&number, &world.config)?;
            world.store.do_not_call(&number, PutBy::Operator, reason.as_deref()).await?;
            told(common, &number, true, "is on the do-not-call list; nobody has it rung from now on")
        }
        DncCommand::Remove { number } => {
            let number = accounts::number(&number, &world.config)?;
            if !world.store.may_call_again(&number, PutBy::Operator).await? {
                return Err(Fail::Unknown(format!("{number} is not on the do-not-call list")));
            }
            told(common, &number, false, "may be rung again")
        }
        DncCommand::List => list(common, &world).await,
    }
}

fn told(common: &Common, number: &str, listed: bool, what: &str) -> Result<(), Fail> {
    if common.json {
        print::json(&json!({ "number": number, "do_not_call": listed }));
    } else {
        print::line(&format!("{number} {what}."));
    }
    Ok(())
}

async fn list(common: &Common, world: &World) -> Result<(), Fail> {
    let list = world.store.do_not_call_list(MOST).await?;
    let list: Vec<DncView> = list.into_iter().map(DncView::from).collect();
    if common.json {
        print::json(&list);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = list
        .into_iter()
        .map(|put| {
            let since = put.created.format("%F %T UTC").to_string();
            vec![put.number, put.by.as_str().to_owned(), since, put.reason.unwrap_or_default()]
        })
        .collect();
    print::table(&["NUMBER", "BY", "SINCE", "REASON"], &rows, "No number is on the list.");
    Ok(())
}

/// Shows what is kept of a number or a mail address and erases it.
pub async fn erase(common: &Common, args: EraseArgs) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let number = match accounts::address(&args.number) {
        Some(address) => address,
        None => accounts::number(&args.number, &world.config)?,
    };
    if let Some(file) = &args.export {
        write_new(file, &export(&number, world.store.kept_of(&number).await?))?;
    }
    let erased = world.store.erase(&number).await?;
    if common.json {
        let mut answer = serde_json::to_value(erased).unwrap_or_default();
        answer["number"] = number.into();
        answer["export"] = args.export.map(|file| file.display().to_string()).into();
        print::json(&answer);
        return Ok(());
    }
    print::line(&format!(
        "{number} is erased: {} callbacks and {} events are gone, {} CDRs no longer name it, {} accounts no longer have it.",
        erased.requests, erased.events, erased.cdrs, erased.addresses
    ));
    Ok(())
}

fn export(number: &str, kept: Kept) -> Value {
    json!({
        "number": number,
        "account": kept.account,
        "do_not_call": kept.do_not_call,
        "requests": kept.requests.into_iter().map(RequestView::from).collect::<Vec<_>>(),
        "cdrs": kept.cdrs.into_iter().map(CdrView::from).collect::<Vec<_>>(),
    })
}

/// Only the operator may read it, and nothing is written over.
fn write_new(file: &PathBuf, value: &Value) -> Result<(), Fail> {
    let cannot =
        |error: std::io::Error| Fail::Refused(format!("cannot write {}: {error}; nothing is erased", file.display()));
    let new = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(cannot)?;
    serde_json::to_writer_pretty(&new, value).map_err(|error| cannot(error.into()))?;
    new.sync_all().map_err(cannot)
}
