//! A mailbox that is watched (IMAP): IDLE where the server has it, a look now and then where not.
//!
//! A mail stays unseen where it is until its job is confirmed, or it is clear that there will be none; then it is moved. A crash
//! in between means that it is taken again, and becomes the same job.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_imap::types::{Fetch, UnsolicitedResponse};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use rand::Rng;
use ringback_common::config::ImapConfig;
use ringback_common::failpoint::failpoint;
use ringback_common::service::Shutdown;
use tokio::time::{Instant, timeout};

use crate::desk::{Away, Desk, Outcome};
use crate::wire::{Stream, WireError, connect};

/// How long the server may think about a command.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause before connecting again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection that lasted as long begins with the first pause again.
const LASTED: Duration = Duration::from_secs(60);
/// When a mail that cannot be taken now is tried again.
const LATER: Duration = Duration::from_secs(5);
/// After as many in a row that cannot be taken now, it is not the mails.
const ENOUGH: usize = 3;
/// Mails for somebody else that are remembered, so that they are fetched once.
const MOST_OTHERS: usize = 10_000;

type Session = async_imap::Session<Stream>;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the mail server: {0}")]
    Server(#[from] async_imap::error::Error),
    #[error("the mail server does not answer")]
    Silent(#[from] tokio::time::error::Elapsed),
}

/// Watches until shutdown, connecting again whenever the server goes away.
pub async fn watch(config: ImapConfig, desk: Arc<Desk>, shutdown: Shutdown) {
    let config = Arc::new(config);
    let mut pause = FIRST_PAUSE;
    while !shutdown.begun() {
        let begun = Instant::now();
        // A task of its own: a library that stumbles over what a server says ends the connection, not the trigger.
        let watched = tokio::spawn(Watch::new(&config, &desk, &shutdown).run());
        match watched.await {
            Ok(Ok(())) => {}
            Ok(Err(lost)) => tracing::warn!("the mailbox is not watched, trying again: {lost}"),
            Err(_) => tracing::error!("the mailbox is not watched, trying again: its reader failed"),
        }
        watched_now(false);
        pause = if begun.elapsed() > LASTED { FIRST_PAUSE } else { pause };
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.5));
        tokio::select! {
            () = shutdown.wait() => {}
            () = tokio::time::sleep(jittered) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn watched_now(watched: bool) {
    metrics::gauge!("ringback_email_mailbox_watched").set(if watched { 1.0 } else { 0.0 });
}

/// One connection.
struct Watch {
    config: Arc<ImapConfig>,
    desk: Arc<Desk>,
    shutdown: Shutdown,
    abilities: Abilities,
    validity: Option<u32>,
    /// For somebody else.
    others: BTreeSet<u32>,
    /// Not now, but then.
    later: BTreeMap<u32, Instant>,
}

/// What the server can do.
#[derive(Clone, Copy, Default)]
struct Abilities {
    idle: bool,
    moving: bool,
    uid_expunge: bool,
}

impl Watch {
    fn new(config: &Arc<ImapConfig>, desk: &Arc<Desk>, shutdown: &Shutdown) -> Watch {
        Watch {
            config: config.clone(),
            desk: desk.clone(),
            shutdown: shutdown.clone(),
            abilities: Abilities::default(),
            validity: None,
            others: BTreeSet::new(),
            later: BTreeMap::new(),
        }
    }

    async fn run(mut self) -> Result<(), Lost> {
        let mut session = self.sign_in().await?;
        self.select(&mut session).await?;
        watched_now(true);
        tracing::info!(idle = self.abilities.idle, "the mailbox is watched");
        while !self.shutdown.begun() {
            self.pass(&mut session).await?;
            if noticed(&session) {
                continue;
            }
            let next = if self.later.is_empty() { self.config.poll } else { self.config.poll.min(LATER) };
            session = if self.abilities.idle {
                idle(session, next, &self.shutdown).await?
            } else {
                self.poll(session, next).await?
            };
        }
        let _ = timeout(Duration::from_secs(2), session.logout()).await;
        Ok(())
    }

    async fn sign_in(&mut self) -> Result<Session, Lost> {
        let stream = timeout(PATIENCE, connect(&self.config)).await??;
        let client = async_imap::Client::new(stream);
        let signed_in = client.login(&self.config.user, self.config.password.reveal());
        let mut session = timeout(PATIENCE, signed_in).await?.map_err(|(error, _)| error)?;
        let able = timeout(PATIENCE, session.capabilities()).await??;
        self.abilities = Abilities {
            idle: able.has_str("IDLE"),
            moving: able.has_str("MOVE"),
            uid_expunge: able.has_str("UIDPLUS"),
        };
        for folder in [&self.config.done, &self.config.rejected] {
            // It is there already, most of the time; if it cannot be made, moving says so.
            let _ = timeout(PATIENCE, session.create(folder)).await?;
        }
        Ok(session)
    }

    /// Opens the mailbox. When its numbers have begun anew, what was remembered of them is worth nothing.
    async fn select(&mut self, session: &mut Session) -> Result<(), Lost> {
        let mailbox = timeout(PATIENCE, session.select(&self.config.mailbox)).await??;
        if self.validity != mailbox.uid_validity {
            self.others.clear();
            self.later.clear();
            self.validity = mailbox.uid_validity;
        }
        Ok(())
    }

    /// Takes every unseen mail. One that cannot be taken now lets the others pass.
    async fn pass(&mut self, session: &mut Session) -> Result<(), Lost> {
        let _ = noticed(session);
        let found: HashSet<u32> = timeout(PATIENCE, session.uid_search("UNSEEN UNDELETED")).await??;
        let found: BTreeSet<u32> = found.into_iter().collect();
        self.others.retain(|uid| found.contains(uid));
        self.later.retain(|uid, _| found.contains(uid));
        let mut in_vain = 0;
        for uid in found {
            let waits = self.later.get(&uid).is_some_and(|then| Instant::now() < *then);
            if waits || self.others.contains(&uid) {
                continue;
            }
            if self.shutdown.begun() || in_vain >= ENOUGH {
                break;
            }
            let Some(outcome) = self.take(session, uid).await? else { continue };
            failpoint("mail.confirmed_not_moved");
            self.later.remove(&uid);
            in_vain = if outcome == Outcome::Unavailable(Away::Ours) { in_vain + 1 } else { 0 };
            match outcome {
                Outcome::Unavailable(_) => drop(self.later.insert(uid, Instant::now() + LATER)),
                Outcome::NotOurs if self.others.len() < MOST_OTHERS => drop(self.others.insert(uid)),
                Outcome::NotOurs => {}
                Outcome::Accepted(_) => self.put_away(session, uid, &self.config.done).await?,
                Outcome::Rejected(_) | Outcome::Ignored(_) => {
                    self.put_away(session, uid, &self.config.rejected).await?;
                }
            }
        }
        Ok(())
    }

    /// Fetches one mail, if it is not too long, and takes it; `None` when it has gone meanwhile.
    async fn take(&self, session: &mut Session, uid: u32) -> Result<Option<Outcome>, Lost> {
        let Some(about) = fetch(session, uid, "(UID RFC822.SIZE INTERNALDATE)").await? else { return Ok(None) };
        let longest = self.desk.house().max_size;
        if about.size.is_none_or(|size| size as usize > longest) {
            return Ok(Some(self.desk.too_large()));
        }
        let received = about.internal_date().map_or_else(Utc::now, DateTime::<Utc>::from);
        let query = format!("(UID BODY.PEEK[]<0.{}>)", longest + 1);
        let Some(mail) = fetch(session, uid, &query).await? else { return Ok(None) };
        let Some(raw) = mail.body() else { return Ok(None) };
        Ok(Some(self.desk.take(raw, None, received).await))
    }

    /// Moves a mail. If that is not possible, it is marked as seen, so that it is not taken again and again.
    async fn put_away(&self, session: &mut Session, uid: u32, folder: &str) -> Result<(), Lost> {
        let uid = uid.to_string();
        match timeout(PATIENCE, self.move_to(session, &uid, folder)).await? {
            Err(async_imap::error::Error::No(why) | async_imap::error::Error::Bad(why)) => {
                tracing::error!(folder, "a mail cannot be moved and stays where it is, seen: {why}");
                timeout(PATIENCE, store(session, &uid, "+FLAGS.SILENT (\\Seen)")).await??;
                Ok(())
            }
            moved => Ok(moved?),
        }
    }

    async fn move_to(&self, session: &mut Session, uid: &str, folder: &str) -> async_imap::error::Result<()> {
        if self.abilities.moving {
            return session.uid_mv(uid, folder).await;
        }
        session.uid_copy(uid, folder).await?;
        store(session, uid, "+FLAGS.SILENT (\\Seen \\Deleted)").await?;
        if self.abilities.uid_expunge {
            session.uid_expunge(uid).await?.try_collect::<Vec<_>>().await?;
        } else {
            session.expunge().await?.try_collect::<Vec<_>>().await?;
        }
        Ok(())
    }

    async fn poll(&self, mut session: Session, next: Duration) -> Result<Session, Lost> {
        tokio::select! {
            () = self.shutdown.wait() => {}
            () = tokio::time::sleep(next) => {}
        }
        timeout(PATIENCE, session.noop()).await??;
        Ok(session)
    }
}

/// Waits until the server tells of something, but not beyond the next look.
async fn idle(session: Session, next: Duration, shutdown: &Shutdown) -> Result<Session, Lost> {
    let mut idle = session.idle();
    timeout(PATIENCE, idle.init()).await??;
    {
        let (told, stop) = idle.wait_with_timeout(next);
        tokio::select! {
            () = shutdown.wait() => {}
            _ = timeout(next, told) => {} // the server may keep its own wait alive, so this one is ours
        }
        drop(stop);
    }
    Ok(timeout(PATIENCE, idle.done()).await??)
}

/// Whether the server has told of new mail since this was asked last.
fn noticed(session: &Session) -> bool {
    let mut new = false;
    while let Ok(told) = session.unsolicited_responses.try_recv() {
        new |= matches!(told, UnsolicitedResponse::Exists(_) | UnsolicitedResponse::Recent(_));
    }
    new
}

async fn fetch(session: &mut Session, uid: u32, query: &str) -> Result<Option<Fetch>, Lost> {
    let fetching = async {
        let fetched: Vec<Fetch> = session.uid_fetch(uid.to_string(), query).await?.try_collect().await?;
        Ok::<_, async_imap::error::Error>(fetched.into_iter().find(|one| one.uid == Some(uid)))
    };
    Ok(timeout(PATIENCE, fetching).await??)
}

async fn store(session: &mut Session, uid: &str, change: &str) -> async_imap::error::Result<()> {
    session.uid_store(uid, change).await?.try_collect::<Vec<_>>().await.map(drop)
}
