//! `ringback status` and `ringback drain`.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use ringback_common::lock;
use ringback_common::queue::Source;
use ringback_common::store::Summary;
use serde_json::{Value, json};

use super::view::TrunkView;
use super::{Common, Fail, World, print};

/// Shows the state of the whole.
pub async fn status(common: &Common) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let summary = world.store.summary().await?;
    let trunks: Vec<TrunkView> = world.store.trunks().await?.into_iter().map(TrunkView::from).collect();
    let queue = world.queue().await?;
    let waiting = tokio::time::timeout(Duration::from_secs(5), queue.depth(&Source::Jobs)).await;
    let waiting = waiting.ok().and_then(Result::ok);
    if common.json {
        print::json(&machine(&summary, &trunks, waiting));
    } else {
        people(&summary, &trunks, waiting);
    }
    match waiting {
        Some(_) => Ok(()),
        None => {
            Err(Fail::Unreachable("the queue does not answer; check [queue] url and that the broker runs".to_owned()))
        }
    }
}

fn machine(summary: &Summary, trunks: &[TrunkView], waiting: Option<u64>) -> Value {
    let live: serde_json::Map<String, Value> =
        summary.live.iter().map(|(status, count)| (status.clone(), json!(count))).collect();
    let unpublished: Vec<Value> = summary
        .unpublished
        .iter()
        .map(|(destination, rows, age)| json!({ "destination": destination, "rows": rows, "oldest_seconds": age }))
        .collect();
    let oldest = summary
        .unpublished
        .iter()
        .map(|(_, _, age)| *age)
        .fold(None, |most: Option<f64>, age| Some(most.map_or(age, |most| most.max(age))));
    let held: Vec<Value> = summary
        .held
        .iter()
        .map(|(currency, money)| json!({ "currency": currency, "amount": money.to_string() }))
        .collect();
    json!({
        "engines": summary.engines,
        "live": live,
        "backlog": summary.backlog,
        "scheduled": summary.scheduled,
        "queued": waiting,
        "unpublished": unpublished,
        "oldest_unpublished_seconds": oldest,
        "holds": { "count": summary.holds, "amounts": held },
        "trunks": trunks,
    })
}

fn people(summary: &Summary, trunks: &[TrunkView], waiting: Option<u64>) {
    let engines: Vec<Vec<String>> = summary
        .engines
        .iter()
        .map(|engine| {
            let state = if engine.retired { "stopped" } else { "in service" };
            vec![engine.id.clone(), state.to_owned(), engine.incarnation.to_string(), engine.live.to_string()]
        })
        .collect();
    print::table(&["ENGINE", "STATE", "INCARNATION", "LIVE"], &engines, "No engine has run yet: ringback run");
    print::line("");
    let live: Vec<Vec<String>> =
        summary.live.iter().map(|(status, count)| vec![status.clone(), count.to_string()]).collect();
    print::table(&["LIVE CALLBACKS", "COUNT"], &live, "No live callback.");
    print::line("");
    let queued = waiting.map_or_else(|| "unknown (the queue does not answer)".to_owned(), |jobs| jobs.to_string());
    print::line(&format!("jobs in the queue     {queued}"));
    print::line(&format!("due, not yet claimed  {}", summary.backlog));
    print::line(&format!("scheduled for later   {}", summary.scheduled));
    for (destination, rows, age) in &summary.unpublished {
        print::line(&format!("events for {destination:<10} {rows} unpublished, the oldest for {age:.0} s"));
    }
    let held: Vec<String> = summary.held.iter().map(|(currency, money)| money.shown(currency)).collect();
    print::line(&format!("holds                 {} ({})", summary.holds, print::list(&held)));
    print::line("");
    let rows: Vec<Vec<String>> = trunks
        .iter()
        .map(|trunk| vec![trunk.name.clone(), if trunk.enabled { "on" } else { "off" }.to_owned(), trunk.sip.clone()])
        .collect();
    print::table(&["TRUNK", "STATE", "SIP"], &rows, "No trunk yet: ringback trunk add NAME --sip sip:host:port");
}

/// How to drain.
#[derive(Args)]
pub struct DrainArgs {
    /// How long to wait for it to stop, in seconds; [service] drain_timeout if not given
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Asks the gateway on this machine to stop, as SIGTERM does, and waits for it.
pub fn drain(common: &Common, args: &DrainArgs) -> Result<(), Fail> {
    let config = super::world::settings(&common.config)?;
    let path = config.lock_file();
    let holder =
        || lock::holder(&path).map_err(|error| Fail::Refused(format!("cannot read {}: {error}", path.display())));
    let Some(pid) = holder()? else {
        return Err(Fail::Refused(format!(
            "no engine with these settings runs on this machine ({}); on another machine, send SIGTERM there",
            path.display()
        )));
    };
    ask_to_stop(pid, &super::drain_file(&config))?;
    let patience = Duration::from_secs(args.timeout.unwrap_or(config.service.drain_timeout + 5));
    let begun = Instant::now();
    while holder()?.is_some() {
        if begun.elapsed() >= patience {
            return Err(Fail::Refused(format!(
                "process {pid} takes no new calls, but live ones are not over after {} s; run drain again to wait longer",
                patience.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    if common.json {
        print::json(&json!({ "process": pid, "stopped": true, "seconds": begun.elapsed().as_secs_f64() }));
    } else {
        print::line(&format!("Process {pid} has stopped."));
    }
    Ok(())
}

/// SIGTERM, once: a second one would end the process at once, and live calls with it.
fn ask_to_stop(pid: u32, asked: &Path) -> Result<(), Fail> {
    let before = std::fs::read_to_string(asked).ok().and_then(|text| text.trim().parse().ok());
    if before == Some(pid) {
        return Ok(());
    }
    terminate(pid)?;
    std::fs::write(asked, format!("{pid}\n")).map_err(|error| {
        Fail::Refused(format!("process {pid} is stopping, but {} cannot be written: {error}", asked.display()))
    })
}

#[allow(unsafe_code)]
fn terminate(pid: u32) -> Result<(), Fail> {
    let pid = i32::try_from(pid).map_err(|_| Fail::Refused(format!("{pid} is no process")))?;
    // SAFETY: kill takes two numbers and touches no memory of ours.
    if unsafe { libc::kill(pid, libc::SIGTERM) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Fail::Refused(format!("process {pid} cannot be told: {error}; run this as the user that runs the gateway")))
}
