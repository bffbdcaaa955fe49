//! A mailbox that is watched (IMAP): IDLE where the server has it, a look now and then where not.
//!
//! A mail stays unseen where it is until its job is confirmed, or it is clear that there will be none; then it is moved. A crash
//! in between means that it is taken again, and becomes the same job.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_imap::extensions::idle::IdleResponse;
use async_imap::types::{Fetch, UnsolicitedResponse};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use rand::Rng;
use ringback_common::config::ImapConfig;
use ringback_common::failpoint::failpoint;
use ringback_common::service::Shutdown;

use crate::desk::{Desk, Outcome};
use crate::wire::{Stream, WireError, connect};

/// How long the server may think about a command.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause before connecting again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection that lasted as long begins with the first pause again.
const LASTED: Duration = Duration::from_secs(60);
/// The longest pause before a mail that cannot be taken now is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
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
        let begun = tokio::time::Instant::now();
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
    others: BTreeSet<u32>,
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
        }
    }

    async fn run(mut self) -> Result<(), Lost> {
        let mut session = self.sign_in().await?;
        self.select(&mut session).await?;
        watched_now(true);
        tracing::info!(idle = self.abilities.idle, "the mailbox is watched");
        let mut wait = FIRST_PAUSE;
        while !self.shutdown.begun() {
            if self.pass(&mut session).await? {
                wait = FIRST_PAUSE;
            } else {
                self.pause(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                continue;
            }
            if noticed(&session) {
                continue;
            }
            session = if self.abilities.idle { self.idle(session).await? } else { self.poll(session).await? };
        }
        let _ = tokio::time::timeout(Duration::from_secs(2), session.logout()).await;
        Ok(())
    }

    async fn sign_in(&mut self) -> Result<Session, Lost> {
        let stream = tokio::time::timeout(PATIENCE, connect(&self.config)).await??;
        let client = async_imap::Client::new(stream);
        let signed_in = client.login(&self.config.user, self.config.password.reveal());
        let mut session = tokio::time::timeout(PATIENCE, signed_in).await?.map_err(|(error, _)| error)?;
        let able = tokio::time::timeout(PATIENCE, session.capabilities()).await??;
        self.abilities = Abilities {
            idle: able.has_str("IDLE"),
            moving: able.has_str("MOVE"),
            uid_expunge: able.has_str("UIDPLUS"),
        };
        for folder in [&self.config.done, &self.config.rejected] {
            // It is there already, most of the time; if it cannot be made, moving says so.
            let _ = tokio::time::timeout(PATIENCE, session.create(folder)).await?;
        }
        Ok(session)
    }

    /// Opens the mailbox. When its numbers have begun anew, what was remembered of them is worth nothing.
    async fn select(&mut self, session: &mut Session) -> Result<(), Lost> {
        let mailbox = tokio::time::timeout(PATIENCE, session.select(&self.config.mailbox)).await??;
        if self.validity != mailbox.uid_validity {
            self.others.clear();
            self.validity = mailbox.uid_validity;
        }
        Ok(())
    }

    /// Takes every unseen mail; false when one of them cannot be taken now.
    async fn pass(&mut self, session: &mut Session) -> Result<bool, Lost> {
        let _ = noticed(session);
        let found: HashSet<u32> = tokio::time::timeout(PATIENCE, session.uid_search("UNSEEN UNDELETED")).await??;
        let found: BTreeSet<u32> = found.into_iter().collect();
        self.others.retain(|uid| found.contains(uid));
        for uid in found {
            if self.shutdown.begun() {
                return Ok(true);
            }
            if self.others.contains(&uid) {
                continue;
            }
            let Some(outcome) = self.take(session, uid).await? else { continue };
            failpoint("mail.confirmed_not_moved");
            match outcome {
                Outcome::Unavailable(_) => return Ok(false),
                Outcome::NotOurs => {
                    if self.others.len() < MOST_OTHERS {
                        self.others.insert(uid);
                    }
                }
                Outcome::Accepted(_) => self.put_away(session, uid, &self.config.done.clone()).await?,
                Outcome::Rejected(_) | Outcome::Ignored(_) => {
                    self.put_away(session, uid, &self.config.rejected.clone()).await?;
                }
            }
        }
        Ok(true)
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
        match tokio::time::timeout(PATIENCE, self.move_to(session, &uid, folder)).await? {
            Err(async_imap::error::Error::No(why) | async_imap::error::Error::Bad(why)) => {
                tracing::error!(folder, "a mail cannot be moved and stays where it is, seen: {why}");
                tokio::time::timeout(PATIENCE, store(session, &uid, "+FLAGS.SILENT (\\Seen)")).await??;
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

    /// Waits until the server tells of something, for as long as between two looks at most.
    async fn idle(&self, session: Session) -> Result<Session, Lost> {
        let mut idle = session.idle();
        tokio::time::timeout(PATIENCE, idle.init()).await??;
        {
            let (told, stop) = idle.wait_with_timeout(self.config.poll);
            let told = tokio::time::timeout(self.config.poll, told);
            tokio::select! {
                () = self.shutdown.wait() => {}
                told = told => {
                    if let Ok(Ok(IdleResponse::ManualInterrupt)) = told {
                        tracing::debug!("the server ended IDLE");
                    }
                }
            }
            drop(stop);
        }
        Ok(tokio::time::timeout(PATIENCE, idle.done()).await??)
    }

    async fn poll(&self, mut session: Session) -> Result<Session, Lost> {
        self.pause(self.config.poll).await;
        tokio::time::timeout(PATIENCE, session.noop()).await??;
        Ok(session)
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.shutdown.wait() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
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
    Ok(tokio::time::timeout(PATIENCE, fetching).await??)
}

async fn store(session: &mut Session, uid: &str, change: &str) -> async_imap::error::Result<()> {
    session.uid_store(uid, change).await?.try_collect::<Vec<_>>().await.map(drop)
}
