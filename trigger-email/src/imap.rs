//! A mailbox that is watched (IMAP): IDLE where the server has it, a look now and then where not.
//!
//! A mail stays unseen where it is until its job is confirmed, or it is clear that there will be none; then it is moved. A crash
//! in between means that it is taken again, and becomes the same job. What has to wait lets the others pass ([`Memory`]).

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_imap::types::{Fetch, UnsolicitedResponse};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use futures::future::join_all;
use rand::Rng;
use ringback_common::config::ImapConfig;
use ringback_common::failpoint::failpoint;
use ringback_common::service::Shutdown;
use tokio::time::timeout;

use crate::desk::{Away, Desk, Outcome};
use crate::fields::LONGEST_HEADER;
use crate::memory::Memory;
use crate::sweep::Sweeper;
use crate::wire::{Stream, WireError, connect};

/// How long the server may think about a command.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause before connecting again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection that lasted as long begins with the first pause again.
const LASTED: Duration = Duration::from_secs(60);
/// After as many in a row for which store or queue are away, the rest waits too.
const ENOUGH: usize = 3;
/// Mails that are decided at a time: name servers are slow. Each is in memory, at most `max_size` of it.
const AT_ONCE: usize = 4;

pub(crate) type Session = async_imap::Session<Stream>;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the mail server: {}", kind(.0))]
    Server(#[from] async_imap::error::Error),
    #[error("the mail server does not answer")]
    Silent(#[from] tokio::time::error::Elapsed),
}

/// What went wrong, without what the server said: a mail may be in it.
fn kind(error: &async_imap::error::Error) -> String {
    use async_imap::error::Error;
    match error {
        Error::Io(error) => error.kind().to_string(),
        Error::Bad(_) => "it does not understand a command (BAD)".to_owned(),
        Error::No(_) => "it refuses a command (NO)".to_owned(),
        Error::ConnectionLost => "the connection is lost".to_owned(),
        Error::Parse(_) => "it says what cannot be read as IMAP".to_owned(),
        _ => "a command cannot be sent".to_owned(),
    }
}

/// Watches until shutdown, connecting again whenever the server goes away; what was put away is deleted when its time is over.
pub async fn watch(config: ImapConfig, desk: Arc<Desk>, sweeper: Sweeper, shutdown: Shutdown) {
    let config = Arc::new(config);
    let (memory, sweeper) = (Arc::new(Mutex::new(Memory::default())), Arc::new(sweeper));
    let mut pause = FIRST_PAUSE;
    while !shutdown.begun() {
        let begun = Instant::now();
        let watch = Watch {
            config: config.clone(),
            desk: desk.clone(),
            sweeper: sweeper.clone(),
            shutdown: shutdown.clone(),
            abilities: Abilities::default(),
            memory: memory.clone(),
        };
        // A task of its own: a library that stumbles over what a server says ends the connection, not the trigger.
        match tokio::spawn(watch.run()).await {
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
    sweeper: Arc<Sweeper>,
    shutdown: Shutdown,
    abilities: Abilities,
    /// Outlives the connection.
    memory: Arc<Mutex<Memory>>,
}

/// What the server can do.
#[derive(Clone, Copy, Default)]
pub(crate) struct Abilities {
    idle: bool,
    moving: bool,
    uid_expunge: bool,
}

/// A mail as it was fetched.
struct Fetched {
    uid: u32,
    received: DateTime<Utc>,
    /// All of it, or only the header because it is too long.
    what: Fetch,
    too_large: bool,
}

impl Watch {
    async fn run(mut self) -> Result<(), Lost> {
        let mut session = self.sign_in().await?;
        self.open(&mut session).await?;
        watched_now(true);
        tracing::info!(idle = self.abilities.idle, "the mailbox is watched");
        while !self.shutdown.begun() {
            self.pass(&mut session).await?;
            if noticed(&session) {
                continue;
            }
            if self.sweeper.is_due(Instant::now()) {
                self.sweeper.sweep(&mut session, self.abilities, [&self.config.done, &self.config.rejected]).await?;
                self.open(&mut session).await?;
                continue;
            }
            let next = self.memory().next(Instant::now()).map_or(self.config.poll, |next| next.min(self.config.poll));
            let next = next.max(Duration::from_millis(100));
            session = if self.abilities.idle {
                idle(session, next, &self.shutdown).await?
            } else {
                self.poll(session, next).await?
            };
        }
        let _ = timeout(Duration::from_secs(2), session.logout()).await;
        Ok(())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Opens the mailbox.
    async fn open(&self, session: &mut Session) -> Result<(), Lost> {
        let mailbox = timeout(PATIENCE, session.select(&self.config.mailbox)).await??;
        if self.memory().opened(mailbox.uid_validity, Instant::now()) {
            tracing::warn!("the connection broke on a mail; it is put off");
        }
        Ok(())
    }

    /// Takes every unseen mail that is due, a few at a time.
    async fn pass(&mut self, session: &mut Session) -> Result<(), Lost> {
        let _ = noticed(session);
        let found: HashSet<u32> = timeout(PATIENCE, session.uid_search("UNSEEN UNDELETED")).await??;
        let due = self.memory().due(&found.into_iter().collect::<BTreeSet<u32>>(), Instant::now());
        let mut in_vain = 0;
        for some in due.chunks(AT_ONCE) {
            if self.shutdown.begun() || in_vain >= ENOUGH {
                break;
            }
            let mut mails = Vec::new();
            for uid in some {
                self.memory().begin(*uid);
                let fetched = self.fetch(session, *uid).await?;
                self.memory().end();
                match fetched {
                    Some(mail) => mails.push(mail),
                    None => self.memory().stumbled(*uid, Instant::now()),
                }
            }
            let outcomes = join_all(mails.iter().map(|mail| self.decide(mail))).await;
            failpoint("mail.confirmed_not_moved");
            for (mail, outcome) in mails.iter().zip(outcomes) {
                in_vain = if outcome == Outcome::Unavailable(Away::Ours) { in_vain + 1 } else { 0 };
                self.memory().begin(mail.uid);
                self.settle(session, mail.uid, &outcome).await?;
                self.memory().end();
            }
        }
        Ok(())
    }

    /// Fetches one mail; if it is too long, its header. `None` when the server does not hand it out, or it has gone meanwhile.
    async fn fetch(&self, session: &mut Session, uid: u32) -> Result<Option<Fetched>, Lost> {
        let Some(about) = fetch(session, uid, "(UID RFC822.SIZE INTERNALDATE)").await? else { return Ok(None) };
        let received = about.internal_date().map_or_else(Utc::now, DateTime::<Utc>::from);
        let longest = self.desk.house().max_size;
        let too_large = about.size.is_none_or(|size| size as usize > longest);
        let query = if too_large {
            format!("(UID BODY.PEEK[HEADER]<0.{LONGEST_HEADER}>)")
        } else {
            format!("(UID BODY.PEEK[]<0.{}>)", longest + 1)
        };
        let fetched = fetch(session, uid, &query).await?;
        let whole = |what: &Fetch| if too_large { what.header().is_some() } else { what.body().is_some() };
        Ok(fetched.filter(whole).map(|what| Fetched { uid, received, what, too_large }))
    }

    async fn decide(&self, mail: &Fetched) -> Outcome {
        match mail.what.body() {
            Some(raw) if !mail.too_large => self.desk.take(raw, None, mail.received).await,
            _ => self.desk.too_large(mail.what.header()),
        }
    }

    /// What the mailbox, or our memory of it, has of the outcome.
    async fn settle(&self, session: &mut Session, uid: u32, outcome: &Outcome) -> Result<(), Lost> {
        let folder = match outcome {
            Outcome::Unavailable(_) => {
                self.memory().waits(uid, Instant::now());
                return Ok(());
            }
            Outcome::NotOurs => {
                self.memory().is_for_another(uid);
                return Ok(());
            }
            Outcome::Accepted(_) => &self.config.done,
            Outcome::Rejected(_) | Outcome::Ignored(_) => &self.config.rejected,
        };
        self.put_away(session, uid, folder).await?;
        self.memory().forget(uid);
        Ok(())
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
        delete(session, self.abilities, uid).await
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

/// Deletes these mails of the open folder.
pub(crate) async fn delete(session: &mut Session, can: Abilities, uids: &str) -> async_imap::error::Result<()> {
    store(session, uids, "+FLAGS.SILENT (\\Seen \\Deleted)").await?;
    if can.uid_expunge {
        session.uid_expunge(uids).await?.try_collect::<Vec<_>>().await?;
    } else {
        session.expunge().await?.try_collect::<Vec<_>>().await?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_a_mail_stands_in_an_error() {
        use async_imap::error::{Error, ParseError};
        let mail = "Subject: 0370728";
        for error in [
            Error::Parse(ParseError::Invalid(mail.as_bytes().to_vec())),
            Error::Parse(ParseError::Unexpected(mail.to_owned())),
            Error::Bad(mail.to_owned()),
            Error::No(mail.to_owned()),
            Error::Io(std::io::Error::other(mail)),
        ] {
            let told = Lost::from(error).to_string();
            assert!(
                told.starts_with("the mail server: ") && !told.contains("0370728") && !told.contains("48, 51"),
                "{told}"
            );
        }
    }
}
