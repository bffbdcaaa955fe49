//! `ringback demo`: a whole gateway on loopback with two phones of its own, and every callback shown as it happens.

mod screen;
mod site;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ringback_common::event::LegName;
use ringback_common::job::{JobId, JobKind};
use ringback_common::queue::{Consumer, Queue, Source};
use ringback_common::service::{self, Failure, Service};
use ringback_common::store::{CdrFilter, CdrRow, Store};
use ringback_trigger_web::picture::{Picture, duration};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::cli::{CdrView, Common, Fail, print, print_cdrs, view_cdrs};
use crate::phones::{Phones, Report, Role, TONE_A, TONE_B};
use crate::run::{Parts, RunError, together};
use screen::Screen;
use site::Site;

/// How long one callback of `--once` may take in all.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the gateway may take to come up.
const START: Duration = Duration::from_secs(20);

/// How to show.
#[derive(Args)]
pub struct DemoArgs {
    /// Make one callback by a text message and end: exit code 0 only if both phones heard each other and both CDRs are booked
    #[arg(long)]
    once: bool,
}

/// How the demo is shown.
#[derive(Clone, Copy)]
struct Way {
    once: bool,
    json: bool,
}

/// Why the demo ended badly.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// It could not be set up.
    #[error("the demo cannot start: {0}")]
    Start(String),
    /// The gateway failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The callback did not go as it should.
    #[error("the callback failed: {0}")]
    Callback(String),
}

impl Failure for DemoError {
    fn exit_code(&self) -> u8 {
        match self {
            DemoError::Run(error) => error.exit_code(),
            DemoError::Start(_) | DemoError::Callback(_) => 1,
        }
    }
}

/// Runs the demo.
pub fn main(common: &Common, args: &DemoArgs) -> Result<ExitCode, Fail> {
    if common.json && !args.once {
        return Err(Fail::Usage("--json goes with --once: it is one answer about one callback".to_owned()));
    }
    let way = Way { once: args.once, json: common.json };
    let site = Site::build(!args.once).map_err(Fail::Refused)?;
    let service = site.config.service.clone();
    Ok(service::main("demo", &service, async |service| Box::pin(show(site, way, service)).await))
}

/// Starts everything, then shows callbacks until the end.
async fn show(site: Site, way: Way, service: Service) -> Result<(), DemoError> {
    let (reports, mut reported) = mpsc::channel(64);
    let phones = Phones::plug_in(reports).map_err(|error| DemoError::Start(error.to_string()))?;
    let stop = service.shutdown.clone();
    site.furnish(phones.address()).await.map_err(DemoError::Start)?;
    let parts = Parts { engine: true, triggers: vec!["sms", "web"] };
    let gateway = together(site.config.clone(), parts, service.clone());
    let watching = async {
        let watched = watch(&site, way, &service, &mut reported).await;
        stop.begin();
        watched
    };
    let (ran, watched) = tokio::join!(gateway, watching);
    ran?;
    watched
}

/// Waits for the gateway, invites the visitor, shows what happens.
async fn watch(
    site: &Site,
    way: Way,
    service: &Service,
    reported: &mut mpsc::Receiver<Report>,
) -> Result<(), DemoError> {
    let start = |error: &dyn std::fmt::Display| DemoError::Start(error.to_string());
    let store = Store::open(&site.config.store).await.map_err(|error| start(&error))?;
    let queue = Queue::open(&site.config.queue).await.map_err(|error| start(&error))?;
    let mut show = Show {
        store,
        screen: if way.json { Screen::silent() } else { Screen::new() },
        json: way.json,
        log: queue.consume(&Source::Tail, 64).await,
        pictures: HashMap::new(),
        reports: Vec::new(),
    };
    if !ready(service).await {
        return Err(DemoError::Start("the gateway did not come up; the lines above say why".to_owned()));
    }
    if way.once {
        site.text_message().await.map_err(DemoError::Callback)?;
        let end = Instant::now() + PATIENCE;
        let shown = timeout_at(end, show.callback(reported)).await;
        return shown.map_err(|_| DemoError::Callback(format!("not over after {} s", PATIENCE.as_secs())))?;
    }
    show.screen.invite(site);
    loop {
        tokio::select! {
            ended = show.callback(reported) => if let Err(error) = ended {
                show.screen.line(&error.to_string());
            },
            () = service.shutdown.wait() => return Ok(()),
        }
    }
}

async fn ready(service: &Service) -> bool {
    let up = async {
        while !service.health.missing().is_some_and(|missing| missing.is_empty()) {
            if service.shutdown.begun() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    };
    timeout(START, up).await.unwrap_or(false)
}

/// What is on the screen, and where its news comes from.
struct Show {
    store: Store,
    screen: Screen,
    log: Consumer,
    pictures: HashMap<String, Picture>,
    reports: Vec<Report>,
    json: bool,
}

/// What `--once --json` prints.
#[derive(Serialize)]
struct Told<'a> {
    job: &'a str,
    result: Option<&'a str>,
    talked_seconds: u64,
    cost: Option<&'a str>,
    heard: Vec<String>,
    cdrs: Vec<CdrView>,
    wrong: &'a [String],
}

impl Show {
    /// Shows what happens until one callback is over, then its records. Safe to drop at any await.
    async fn callback(&mut self, reported: &mut mpsc::Receiver<Report>) -> Result<(), DemoError> {
        let over = loop {
            let message = self.log.next().await;
            let news = Picture::job_of(&message);
            message.ack().await;
            let Some((job, envelope)) = news else { continue };
            if !self.pictures.contains_key(&job) {
                let Some(picture) = self.first_look(&job).await else { continue };
                self.begin(picture, reported);
            }
            let Some(picture) = self.pictures.get_mut(&job) else { continue };
            if picture.hear(&envelope) {
                self.screen.draw(picture);
                if picture.is_over() {
                    break job;
                }
            }
        };
        match self.pictures.remove(&over) {
            Some(picture) => self.sum_up(&picture, reported).await,
            None => Ok(()),
        }
    }

    /// A callback appears. When it is the only one, what the phones said before is about calls that are over.
    fn begin(&mut self, picture: Picture, reported: &mut mpsc::Receiver<Report>) {
        if self.pictures.is_empty() {
            while reported.try_recv().is_ok() {}
            self.reports.clear();
        }
        self.screen.draw(&picture);
        self.pictures.insert(picture.job.clone(), picture);
    }

    async fn first_look(&self, job: &str) -> Option<Picture> {
        let row = self.store.find(&JobId(job.to_owned())).await.ok().flatten()?;
        let mut picture = Picture::requested(job, &row.job.a, row.job.b.as_ref());
        picture.question = row.job.kind == JobKind::Quote;
        Some(picture)
    }

    /// The summary line, what the phones heard, and the records. Says what was not as it should be.
    async fn sum_up(&mut self, picture: &Picture, reported: &mut mpsc::Receiver<Report>) -> Result<(), DemoError> {
        if let Some(told) = &picture.told {
            self.screen.line(&format!("Told: {told}"));
        }
        if picture.question {
            self.screen.line("");
            return Ok(());
        }
        let cost = picture.cost.clone().unwrap_or_else(|| "nothing".to_owned());
        if picture.failed() {
            self.screen.line(&format!("{}. Paid {cost}.", picture.headline()));
        } else {
            self.screen.line(&format!("Both talked {} and paid {cost}.", duration(picture.talk_seconds)));
        }
        let (mut wrong, mut ears) = (Vec::new(), Vec::new());
        if picture.failed() {
            wrong.push(picture.result.clone().unwrap_or_default());
        } else {
            let heard = self.ears(picture, reported).await;
            for (sentence, good) in &heard {
                self.screen.line(&format!("{sentence}."));
                if !good {
                    wrong.push(sentence.clone());
                }
            }
            ears.extend(heard.into_iter().map(|(sentence, _)| sentence));
        }
        let id = JobId(picture.job.clone());
        let filter = CdrFilter { job: Some(id), ..CdrFilter::default() };
        let cdrs = self.store.cdrs(&filter).await.map_err(|error| DemoError::Callback(error.to_string()))?;
        let billed = |leg| cdrs.iter().filter(|cdr| cdr.leg == leg).map(|cdr| cdr.billed_seconds).sum::<i64>();
        let [a, b] = [LegName::A, LegName::B].map(billed);
        if a.max(b) > 0 && (a, b) != (talked(picture), talked(picture)) {
            self.screen.line(&format!(
                "Billed: {a} s of A's call and {b} s of B's; each from its own answer, started seconds whole."
            ));
        }
        if !picture.failed() {
            wrong.extend(unbooked(&cdrs));
        }
        if self.json {
            print::json(&Told {
                job: &picture.job,
                result: picture.result.as_deref(),
                talked_seconds: picture.talk_seconds,
                cost: picture.cost.as_deref(),
                heard: ears,
                cdrs: view_cdrs(cdrs),
                wrong: &wrong,
            });
        } else {
            print_cdrs(view_cdrs(cdrs), "No record.");
        }
        self.screen.line("");
        if wrong.is_empty() { Ok(()) } else { Err(DemoError::Callback(wrong.join("; "))) }
    }

    /// What both phones of this callback heard.
    async fn ears(&mut self, picture: &Picture, reported: &mut mpsc::Receiver<Report>) -> Vec<(String, bool)> {
        let mut heard = Vec::new();
        for (role, name, number, hz) in [(Role::A, "A", &picture.a, TONE_B), (Role::B, "B", &picture.b, TONE_A)] {
            let report = report_of(role, number, &mut self.reports, reported);
            let Ok(Some(report)) = timeout(Duration::from_secs(5), report).await else {
                heard.push((format!("Phone {name} did not say what it heard"), false));
                continue;
            };
            let word = if report.heard_other { "heard" } else { "did not hear" };
            let sentence =
                format!("Phone {name} {word} the other's tone of {hz} Hz ({} packets of audio came)", report.packets);
            heard.push((sentence, report.heard_other));
        }
        heard
    }
}

fn talked(picture: &Picture) -> i64 {
    i64::try_from(picture.talk_seconds).unwrap_or(i64::MAX)
}

/// The report of this phone; what other phones said is kept for their own callbacks.
async fn report_of(
    role: Role,
    number: &str,
    kept: &mut Vec<Report>,
    reported: &mut mpsc::Receiver<Report>,
) -> Option<Report> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    loop {
        let place = kept.iter().position(|report| report.role == role && digits(&report.number) == digits(number));
        if let Some(place) = place {
            return Some(kept.swap_remove(place));
        }
        kept.push(reported.recv().await?);
    }
}

/// What is missing in the records of a callback that went well.
fn unbooked(cdrs: &[CdrRow]) -> Vec<String> {
    let missing = |leg: LegName| {
        let booked = cdrs.iter().any(|cdr| cdr.leg == leg && cdr.connect_time.is_some() && cdr.cost.0 > 0);
        (!booked).then(|| format!("the record of leg {} is not booked", leg.as_str()))
    };
    [LegName::A, LegName::B].into_iter().filter_map(missing).collect()
}
