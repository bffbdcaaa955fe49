//! One run from its seed to its verdict.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::facts::Facts;
use super::plan::{Plan, Shape};
use super::stage::Stage;
use super::{asks, breaking, gather, judges};
use crate::billing::Broker;
use crate::phone::Report;
use crate::site::binary;

/// How long there is trouble.
const TROUBLE: Duration = Duration::from_secs(60);
/// How long it may take after the last trouble until everything is at rest: two attempts, the first of unknown end.
const REST: Duration = Duration::from_secs(150);

/// How much one judge may say.
const SENTENCES: usize = 6;

/// Runs these seeds on a shape, one after the other. Fails with the scripts and the verdicts of those that were not right.
pub fn seeds(shape: Shape, seeds: impl IntoIterator<Item = u64>, calm: bool) {
    let mut wrong = Vec::new();
    for seed in seeds {
        let plan = Plan::draw(shape, seed, TROUBLE);
        let plan = if calm { plan.calm() } else { plan };
        let verdict = run(&plan);
        println!(
            "{shape:?}, seed {seed}: {}",
            if verdict.is_empty() { "good".to_owned() } else { verdict.join("\n  ") }
        );
        if !verdict.is_empty() {
            eprintln!("{plan}");
            wrong.push(format!("{shape:?}, seed {seed} (CHAOS_SEED={seed} ./test chaos):\n  {}", verdict.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lets a plan happen; answers what is wrong.
pub fn run(plan: &Plan) -> Vec<String> {
    let stage = Stage::set(plan);
    let unrest = perform(&stage, plan);
    let facts = gather::facts(&stage, plan.shape, unrest);
    let asked = plan.asks.len();
    println!(
        "{:?}, seed {}: {asked} asked, {} requests, {} INVITEs, {} CDRs, {} times away",
        plan.shape,
        plan.seed,
        facts.requests.len(),
        facts.rings.len(),
        facts.cdrs.len(),
        facts.absences.len()
    );
    let verdict = judges::all(&facts);
    if !verdict.is_empty() {
        keep(&stage, plan, &facts);
    }
    short(verdict)
}

/// What each judge says, not more than a few sentences of one.
fn short(verdict: Vec<(&'static str, String)>) -> Vec<String> {
    let by_judge = verdict.chunk_by(|one, other| one.0 == other.0);
    by_judge
        .flat_map(|wrongs| {
            let more = wrongs.len().saturating_sub(SENTENCES);
            let rest = (more > 0).then(|| format!("{}: and {more} more", wrongs[0].0));
            wrongs.iter().take(SENTENCES).map(|(judge, wrong)| format!("{judge}: {wrong}")).chain(rest)
        })
        .collect()
}

/// Everybody does what the plan says, then all wait until there is rest; answers what does not come to it.
fn perform(stage: &Stage, plan: &Plan) -> Option<String> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| stage.listen(|| over.load(Ordering::Relaxed)));
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                stage.posts.iter().for_each(|post| post.look(&stage.site));
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        std::thread::scope(|scope| {
            for (n, ask) in plan.asks.iter().enumerate() {
                scope.spawn(move || {
                    stage.wait_for(ask.at);
                    asks::ask(stage, plan, n);
                });
            }
            for (at, deed) in &plan.deeds {
                scope.spawn(move || {
                    stage.wait_for(*at);
                    asks::deed(stage, *deed);
                });
            }
            for (at, trouble) in &plan.troubles {
                scope.spawn(move || {
                    stage.wait_for(*at);
                    breaking::happen(stage, *trouble);
                });
            }
        });
        let unrest = come_to_rest(stage);
        over.store(true, Ordering::Relaxed);
        unrest
    })
}

/// Waits until every request is finished and told, every phone is quiet and every process is there.
fn come_to_rest(stage: &Stage) -> Option<String> {
    let probe = stage.site.probe();
    let end = Instant::now() + REST;
    loop {
        let unrest = unrest(stage, &probe)?;
        if Instant::now() > end {
            return Some(format!("not at rest after {} s: {unrest}", REST.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What is not at rest just now.
fn unrest(stage: &Stage, probe: &crate::probe::Probe) -> Option<String> {
    if let Some(post) = stage.posts.iter().find(|post| !post.is_there()) {
        return Some(format!("{:?} is not there", post.part));
    }
    if let Err(why) = probe.idle(0) {
        return Some(why);
    }
    let jobs = match stage.peers() {
        Some(peers) => Broker::at(&peers.rabbit.url()).depth(&stage.site.queue("callback.jobs")).map_or(1, i64::from),
        None => probe.waiting("callback.jobs"),
    };
    if jobs != 0 {
        return Some(format!("{jobs} jobs wait"));
    }
    let open = |call: &Report| call.refused.is_none() && call.ended_us.is_none();
    let noticed = |call: &Report| call.ringing_us.is_some() || call.answered_us.is_some();
    let calls: Vec<Report> = stage.phones.iter().flat_map(|bank| bank.calls()).collect();
    if let Some(call) = calls.iter().find(|call| open(call) && noticed(call)) {
        return Some(format!("the phone of {} is not quiet ({})", call.number, call.call_id));
    }
    let diary = stage.diary();
    let waiting = diary.served.iter().find(|(_, served)| served.acked && served.responses.is_empty());
    waiting.map(|(id, _)| format!("REQUEST {id} was not responded to"))
}

/// Keeps the logs, the ladder, the rows and the script where they can be read.
fn keep(stage: &Stage, plan: &Plan, facts: &Facts) {
    let folder = kept(plan);
    let kept = keep_in(stage, plan, facts, &folder);
    eprintln!("logs, ladder and rows: {} {}", folder.display(), kept.err().map(|e| e.to_string()).unwrap_or_default());
}

fn keep_in(stage: &Stage, plan: &Plan, facts: &Facts, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("script"), plan.to_string())?;
    std::fs::write(folder.join("ladder"), facts.wire.ladder())?;
    let (absences, broken) = (&facts.absences, &facts.breakages);
    std::fs::write(
        folder.join("rows"),
        format!("{:#?}\n{:#?}\n{absences:#?}\n{broken:#?}", facts.requests, facts.cdrs),
    )?;
    for entry in std::fs::read_dir(stage.site.folder())?.flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "log") {
            std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// `target/test-logs/chaos-Small-7`.
fn kept(plan: &Plan) -> PathBuf {
    let target = binary("ringback").parent().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
    target.join("test-logs").join(format!("chaos-{:?}-{}", plan.shape, plan.seed))
}
