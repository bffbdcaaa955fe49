//! Mails that were put away are deleted when their time is over: what people wrote, passwords too, is not kept.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_imap::types::Fetch;
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use tokio::time::timeout;

use crate::imap::{Abilities, Lost, PATIENCE, Session, delete};

/// How often the folders are looked through.
const EVERY: Duration = Duration::from_secs(600);
/// Mails of a folder that are looked at in one go; when all of them were old, the next go follows at once.
const AT_ONCE: usize = 500;

/// Deletes what was received too long ago from the folders that mails are put away in.
pub struct Sweeper {
    keep: TimeDelta,
    next: Mutex<Option<Instant>>,
}

impl Sweeper {
    /// So long a mail is kept.
    pub fn new(keep: Duration) -> Sweeper {
        Sweeper { keep: TimeDelta::from_std(keep).unwrap_or(TimeDelta::days(1)), next: Mutex::new(None) }
    }

    /// Whether it is time to look.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|next| next <= now)
    }

    /// Looks through these folders; the last of them is open afterwards.
    pub(crate) async fn sweep(&self, session: &mut Session, can: Abilities, folders: [&String; 2]) -> Result<(), Lost> {
        let cutoff = Utc::now() - self.keep;
        let mut more = false;
        for folder in folders {
            match timeout(PATIENCE, session.select(folder)).await? {
                Ok(_) => more |= self.sweep_open(session, can, cutoff).await?,
                Err(async_imap::error::Error::No(_)) => {} // it was never made, so nothing is in it
                Err(error) => return Err(error.into()),
            }
        }
        let next = Instant::now() + if more { Duration::ZERO } else { EVERY };
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        Ok(())
    }

    /// Deletes the old mails of the open folder; true: there may be more.
    async fn sweep_open(&self, session: &mut Session, can: Abilities, cutoff: DateTime<Utc>) -> Result<bool, Lost> {
        // Servers compare whole days, in a time zone of their own; which of them are old, their INTERNALDATE tells.
        let before = (cutoff + TimeDelta::days(2)).format("BEFORE %d-%b-%Y").to_string();
        let found = timeout(PATIENCE, session.uid_search(&before)).await??;
        let candidates: BTreeSet<u32> = found.into_iter().collect();
        let candidates: Vec<u32> = candidates.into_iter().take(AT_ONCE).collect();
        if candidates.is_empty() {
            return Ok(false);
        }
        let dated = async {
            let fetched = session.uid_fetch(list(&candidates), "(UID INTERNALDATE)").await?;
            fetched.try_collect::<Vec<Fetch>>().await
        };
        let dated = timeout(PATIENCE, dated).await??;
        let is_old = |mail: &&Fetch| mail.internal_date().is_some_and(|received| received < cutoff);
        let old: Vec<u32> = dated.iter().filter(is_old).filter_map(|mail| mail.uid).collect();
        if old.is_empty() {
            return Ok(false);
        }
        timeout(PATIENCE, delete(session, can, &list(&old))).await??;
        tracing::info!(mails = old.len(), "mails whose time is over are deleted");
        Ok(old.len() == AT_ONCE)
    }
}

fn list(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
