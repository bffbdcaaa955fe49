//! `ringback call`, `ringback request` and `ringback cdr`: callbacks, from the wish to the record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use ringback_common::answer::{Channel, Language, Speaker};
use ringback_common::end_reason::EndReason;
use ringback_common::intake::{Ask, Intake, Payer, Rules, Verdict, Wish};
use ringback_common::job::JobId;
use ringback_common::store::{Cancelling, CdrFilter, CdrRow, RequestFilter, RequestRow};
use serde_json::json;
use uuid::Uuid;

use super::view::{CdrView, RequestView};
use super::{Common, Fail, World, accounts, print};

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(200);
/// A job that no engine has taken after so long meets no gateway that runs.
const UNTAKEN: Duration = Duration::from_secs(10);

/// A callback to ask for.
#[derive(Args)]
pub struct CallArgs {
    /// Called first
    a: String,
    /// Called when A has answered
    b: String,
    /// Who pays
    #[arg(long, value_name = "NAME")]
    account: String,
    /// Wait until it is over; exit code 0 only if both talked
    #[arg(long)]
    wait: bool,
}

/// Submits a job as a trigger would.
pub async fn call(common: &Common, args: CallArgs) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let queue = world.queue().await?;
    let key = world.site_key().await?;
    let Some(account) = world.store.view_by_name(&args.account).await? else {
        return Err(Fail::Unknown(format!("there is no account {}; `ringback account list` shows all", args.account)));
    };
    let intake = Intake::new(world.store.clone(), queue.clone(), key, Rules::from(&world.config));
    let wish = Wish {
        source: "cli".to_owned(),
        message_id: Uuid::new_v4().to_string(),
        sender: account.numbers.first().cloned().unwrap_or_default(),
        payer: Payer::account(account.name),
        ask: Ask::call(args.a, args.b),
        terms: Default::default(),
        forwards: Vec::new(),
        not_before: None,
        received: None,
        reply: None,
        metadata: BTreeMap::new(),
    };
    let job = match intake.submit(wish).await {
        Verdict::Accepted { job } => job,
        Verdict::Rejected { job, reason } => return refused(common, &job, reason.code(), &reason.to_string()),
        Verdict::Limited { job, reason, .. } => return refused(common, &job, reason.code(), &reason.to_string()),
        Verdict::Unavailable { .. } => {
            return Err(Fail::Unreachable(
                "the queue does not take the job now; nothing was asked for, try again".to_owned(),
            ));
        }
    };
    if args.wait {
        return wait(common, &world, &job).await;
    }
    if common.json {
        print::json(&json!({ "job": job, "outcome": "accepted" }));
    } else {
        print::line(&format!("Accepted: {job}. Follow it with: ringback request show {job}"));
    }
    Ok(())
}

fn refused(common: &Common, job: &JobId, code: &str, sentence: &str) -> Result<(), Fail> {
    if common.json {
        print::json(&json!({ "job": job, "outcome": "reject", "reason": code }));
    }
    Err(Fail::Refused(sentence.to_owned()))
}

async fn wait(common: &Common, world: &World, job: &JobId) -> Result<(), Fail> {
    let (mut told, begun) = (String::new(), Instant::now());
    let row = loop {
        match world.store.find(job).await? {
            Some(row) if row.finished => break row,
            None if begun.elapsed() >= UNTAKEN => {
                return Err(Fail::Unreachable(format!(
                    "no engine has taken {job}: does `ringback run` run? It is called if one does within the next minutes; \
                     ringback request cancel {job} takes it back"
                )));
            }
            Some(row) if row.status != told && !common.json => {
                print::line(&row.status);
                told = row.status;
            }
            _ => {}
        }
        tokio::time::sleep(LOOK).await;
    };
    let (result, reason) = (row.result.clone().unwrap_or_default(), row.reason);
    show_story(common, world, row).await?;
    if result == "Successful" {
        return Ok(());
    }
    let why = reason.and_then(why).map(|why| format!(": {why}")).unwrap_or_default();
    Err(Fail::Refused(format!("the callback ended as \"{result}\"{why}")))
}

/// `ringback request ...`
#[derive(Subcommand)]
pub enum RequestCommand {
    /// List callbacks, the newest first
    List(RequestListArgs),
    /// Show one with its CDRs
    Show {
        /// The job, as `call` and `request list` show it
        id: String,
    },
    /// Cancel it, whether it waits, rings or talks
    Cancel {
        /// The job
        id: String,
    },
    /// Hang up a live one
    Hangup {
        /// The job
        id: String,
    },
}

/// Which callbacks.
#[derive(Args)]
pub struct RequestListArgs {
    /// Only this account's
    #[arg(long)]
    account: Option<String>,
    /// Only those that are not over
    #[arg(long, conflicts_with = "finished")]
    live: bool,
    /// Only those that are over
    #[arg(long)]
    finished: bool,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

/// Does what `ringback request` says.
pub async fn request(common: &Common, command: RequestCommand) -> Result<(), Fail> {
    let world = World::open(common).await?;
    match command {
        RequestCommand::List(args) => list(common, &world, args).await,
        RequestCommand::Show { id } => {
            let row = find(&world, &id).await?;
            show_story(common, &world, row).await
        }
        RequestCommand::Cancel { id } => cancel(common, &world, &id).await,
        RequestCommand::Hangup { id } => {
            let row = find(&world, &id).await?;
            if row.owner.is_none() && !row.finished {
                return Err(Fail::Refused(format!(
                    "{id} is not being called now ({}); use `ringback request cancel`",
                    row.status
                )));
            }
            cancel(common, &world, &id).await
        }
    }
}

async fn find(world: &World, id: &str) -> Result<RequestRow, Fail> {
    let row = world.store.find(&JobId(id.to_owned())).await?;
    row.ok_or_else(|| {
        Fail::Unknown(format!(
            "there is no request {id}; one that was accepted a moment ago appears when an engine takes it"
        ))
    })
}

async fn list(common: &Common, world: &World, args: RequestListArgs) -> Result<(), Fail> {
    let finished = match (args.live, args.finished) {
        (true, _) => Some(false),
        (_, true) => Some(true),
        _ => None,
    };
    if let Some(name) = &args.account {
        accounts::find(world, name).await?;
    }
    let filter = RequestFilter { account: args.account, finished, limit: args.limit, ..RequestFilter::default() };
    let requests: Vec<RequestView> = world.store.list(&filter).await?.into_iter().map(RequestView::from).collect();
    if common.json {
        print::json(&requests);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = requests
        .into_iter()
        .map(|one| {
            let state = match one.result {
                Some(result) => format!("{}: {result}", one.status),
                None => one.status,
            };
            let created = one.created.format("%Y-%m-%d %H:%M:%S").to_string();
            vec![one.id, created, one.account, one.a, one.b.unwrap_or_else(|| "-".to_owned()), state]
        })
        .collect();
    print::table(
        &["JOB", "CREATED (UTC)", "ACCOUNT", "A", "B", "STATE"],
        &rows,
        "No callback yet: ringback call A B --account NAME",
    );
    Ok(())
}

/// Why a callback ended, for people.
fn why(reason: EndReason) -> Option<String> {
    Speaker::new(Language::English, Channel::Sms).ended(reason)
}

async fn show_story(common: &Common, world: &World, row: RequestRow) -> Result<(), Fail> {
    let filter = CdrFilter { job: Some(row.job.id.clone()), ..CdrFilter::default() };
    let cdrs = oldest_first(world.store.cdrs(&filter).await?);
    let request = RequestView::from(row);
    let (finished, attempts) = (request.finished, request.attempts);
    if common.json {
        print::json(&json!({ "request": request, "cdrs": cdrs }));
        return Ok(());
    }
    let result = request.result.map(|result| format!(": {result}")).unwrap_or_default();
    let reason = request.reason.filter(|_| finished).and_then(why).map(|why| format!(" ({why})")).unwrap_or_default();
    print::line(&print::plain(&format!("{}  {}{result}{reason}", request.id, request.status)));
    let from =
        format!("account {}, asked by {}, {}", request.account, request.source, request.created.format("%F %T UTC"));
    print::line(&print::plain(&from));
    let nothing = match (finished, attempts) {
        (true, 0) => "No phone was called.",
        (true, _) => "No call was recorded.",
        (false, _) => "No call is recorded yet; that happens when it ends.",
    };
    print_cdrs(cdrs, nothing);
    Ok(())
}

async fn cancel(common: &Common, world: &World, id: &str) -> Result<(), Fail> {
    if !may_still_come(id) {
        find(world, id).await?;
    }
    let met = world.store.cancel(&JobId(id.to_owned())).await?;
    if met == Cancelling::Finished {
        return Err(Fail::Refused(format!("{id} is over already; `ringback request show {id}` says how it ended")));
    }
    if common.json {
        print::json(&json!({ "job": id, "cancel": met }));
        return Ok(());
    }
    print::line(match met {
        Cancelling::Remembered => "No such request yet; should it come, it is cancelled.",
        _ => "Cancelled; an engine ends it within a second.",
    });
    Ok(())
}

/// Whether a job that no engine has taken yet can have this id: triggers make 32 hexadecimal digits.
fn may_still_come(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `ringback cdr ...`
#[derive(Subcommand)]
pub enum CdrCommand {
    /// List records, the newest first
    List(CdrListArgs),
}

/// Which records.
#[derive(Args)]
pub struct CdrListArgs {
    /// Only this account's
    #[arg(long)]
    account: Option<String>,
    /// Only this callback's
    #[arg(long)]
    job: Option<String>,
    /// Only those that ended at this moment or later: 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 24h, 7d ago
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Comma-separated values with a line of names (those of --json), for a spreadsheet
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

/// A moment as people write it; without an hour, midnight UTC.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let ago = text.char_indices().last().and_then(|(at, unit)| {
        let count = text[..at].parse::<u32>().ok()?;
        let seconds = match unit {
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        Utc::now().checked_sub_signed(TimeDelta::seconds(i64::from(count) * seconds))
    });
    ago.ok_or_else(|| "write it like 2026-01-31, 2026-01-31T12:00:00Z, 90m, 24h or 7d".to_owned())
}

/// Lists call detail records.
pub async fn cdrs(common: &Common, args: CdrListArgs) -> Result<(), Fail> {
    let world = World::open(common).await?;
    if let Some(name) = &args.account {
        accounts::find(&world, name).await?;
    }
    if let Some(job) = &args.job {
        find(&world, job).await?;
    }
    let filter = CdrFilter { account: args.account, job: args.job.map(JobId), since: args.since, limit: args.limit };
    let cdrs: Vec<CdrView> = world.store.cdrs(&filter).await?.into_iter().map(CdrView::from).collect();
    if args.csv {
        print::csv(&cdrs);
    } else if common.json {
        print::json(&cdrs);
    } else {
        print_cdrs(cdrs, "No record yet.");
    }
    Ok(())
}

/// Records in the order of what happened.
pub fn oldest_first(mut cdrs: Vec<CdrRow>) -> Vec<CdrView> {
    cdrs.sort_by_key(|cdr| (cdr.setup_time, cdr.leg));
    cdrs.into_iter().map(CdrView::from).collect()
}

/// Records as a table.
pub fn print_cdrs(cdrs: Vec<CdrView>, nothing: &str) {
    let rows: Vec<Vec<String>> = cdrs
        .into_iter()
        .map(|cdr| {
            let seconds = format!("{:.1} s", cdr.duration_ms as f64 / 1000.0);
            let ended = cdr.disconnect_time.format("%Y-%m-%d %H:%M:%S").to_string();
            let code = cdr.sip_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
            let cost = print::money(&cdr.cost, &cdr.currency);
            vec![
                cdr.cdr_id,
                ended,
                cdr.number,
                cdr.trunk,
                seconds,
                cdr.billed_seconds.to_string(),
                cost,
                cdr.cause,
                code,
            ]
        })
        .collect();
    let heads = ["CDR", "ENDED (UTC)", "NUMBER", "TRUNK", "TALKED", "BILLED", "COST", "CAUSE", "SIP"];
    print::table(&heads, &rows, nothing);
}
