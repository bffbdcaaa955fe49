//! A trigger to copy. Somebody puts `NAME.ask` into a folder; it becomes a job and `NAME.taken`; `NAME.answer` says how it ended.
//! Whoever may write there may spend anybody's money, so this is for the operator's own scripts, and for reading.
//!
//! Every trigger does these four things: take a message from its source, read it ([`parse`], pure), submit a [`Wish`] and tell the
//! source only what intake has answered, and carry the replies back (the courier).

pub mod parse;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringback_common::answer::{Channel as Room, Language, Speaker};
use ringback_common::courier::{Channel, Courier, Sent, Unread};
use ringback_common::event::{Envelope, RequestEvent};
use ringback_common::intake::{Intake, Rules, Verdict, Wish};
use ringback_common::job::JobId;
use ringback_common::queue::Queue;
use ringback_common::secret::SiteKey;
use ringback_common::service::Shutdown;
use ringback_common::store::{Store, StoreError};

/// The name of this trigger: `source` of its jobs, and where its replies go.
pub const SOURCE: &str = "template";

/// How often the folder is looked at.
const PAUSE: Duration = Duration::from_millis(250);
/// As many files are taken at a time.
const MOST: usize = 100;
/// Longer files are not read (bytes).
const LONGEST: u64 = 1_000;

/// What the trigger works with.
pub struct World {
    /// Accounts and requests.
    pub store: Store,
    /// Jobs go out, outcomes come in.
    pub queue: Queue,
    /// Seals secrets.
    pub site_key: SiteKey,
    /// The site's rules.
    pub rules: Rules,
}

/// Why the trigger does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder cannot be made.
    #[error("{0}: {1}; make it, or let us")]
    Folder(PathBuf, io::Error),
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes files and answers them until shutdown.
///
/// # Errors
/// It cannot start.
pub async fn run(folder: PathBuf, world: World, shutdown: Shutdown) -> Result<(), RunError> {
    std::fs::create_dir_all(&folder).map_err(|error| RunError::Folder(folder.clone(), error))?;
    let intake = Intake::new(world.store.clone(), world.queue.clone(), world.site_key, world.rules);
    let courier = Courier::new(SOURCE, world.store, Files(folder.clone()), shutdown.clone());
    let taking = async {
        while !shutdown.begun() {
            for name in asked(&folder) {
                take(&folder, &name, &intake).await;
            }
            tokio::select! {
                () = shutdown.wait() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    };
    tokio::join!(taking, courier.run(&world.queue));
    Ok(())
}

/// The names that ask.
fn asked(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let asking = files.filter(|path| path.extension().is_some_and(|extension| extension == "ask"));
    let names = asking.filter_map(|path| path.file_stem()?.to_str().map(str::to_owned));
    names.filter(|name| is_name(name)).take(MOST).collect()
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// One file. It is put aside only when its job is confirmed, or it is clear that there will be none; a crash before that means that
/// it is taken again, and becomes the same job.
async fn take(folder: &Path, name: &str, intake: &Intake) {
    let file = folder.join(format!("{name}.ask"));
    let short = std::fs::metadata(&file).is_ok_and(|about| about.len() <= LONGEST);
    let text = if short { std::fs::read_to_string(&file).unwrap_or_default() } else { String::new() };
    let refused = match parse::parse(&text) {
        None => Some("write: account first-number second-number".to_owned()),
        Some((payer, ask)) => {
            let wish = Wish {
                source: SOURCE.to_owned(),
                message_id: name.to_owned(),
                sender: name.to_owned(),
                payer,
                ask,
                terms: Default::default(),
                forwards: Vec::new(),
                not_before: None,
                received: None,
                reply: Some(name.to_owned()),
                metadata: Default::default(),
            };
            match intake.submit(wish).await {
                Verdict::Accepted { .. } => None,
                Verdict::Rejected { reason, .. } | Verdict::Limited { reason, .. } => Some(reason.to_string()),
                Verdict::Unavailable { .. } => return,
            }
        }
    };
    let answered = refused.map_or(Ok(()), |why| write(folder, name, &format!("No callback: {why}")));
    if let Err(error) = answered.and_then(|()| std::fs::rename(&file, folder.join(format!("{name}.taken")))) {
        tracing::error!("a file cannot be put aside and is taken again: {error}");
    }
}

fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    std::fs::write(folder.join(format!("{name}.answer")), format!("{text}\n"))
}

/// Replies as files.
struct Files(PathBuf);

/// One reply.
struct Reply {
    job: JobId,
    name: String,
    text: String,
}

impl Channel for Files {
    type Reply = Reply;

    async fn read(&self, _: &Store, kind: &str, body: &[u8]) -> Result<Option<Reply>, Unread> {
        if kind != "ringback.request.finished.v1" {
            return Ok(None);
        }
        let end = serde_json::from_slice::<Envelope<RequestEvent>>(body)?.data;
        let text = Speaker::new(Language::English, Room::Sms).finished(&end);
        Ok(end.reply.filter(|name| is_name(name)).map(|name| Reply { job: end.job, name, text }))
    }

    fn key<'a>(&self, reply: &'a Reply) -> (&'a JobId, &'static str) {
        (&reply.job, "final")
    }

    /// The same file written twice is one file.
    fn deduplicates(&self, _: &Reply) -> bool {
        true
    }

    async fn send(&self, reply: &Reply) -> Sent {
        write(&self.0, &reply.name, &reply.text).map_or_else(|error| Sent::NotYet(error.to_string()), |()| Sent::Yes)
    }

    fn count(&self, _: &Reply, outcome: &'static str) {
        tracing::info!(outcome, "a reply");
    }
}
