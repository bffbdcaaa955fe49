//! What is kept of one number, or of one e-mail address: shown to whom it belongs, and erased if they want it. Amounts stay, without
//! the number. Of an address stand only the callbacks it asked for and the account it is registered to.

use serde::Serialize;

use super::Store;
use super::backend::{Backend, change, on};
use super::error::StoreError;
use super::purge::OF_A_REQUEST;
use super::rows::{CdrRow, RequestRow};

/// What stands in the place of an erased number.
const ERASED: &str = "erased";
/// What stands before an address where wrong secrets of it are counted (see intake).
const COUNTED_AS: [&str; 3] = ["", "unvouched ", "unvouched account of "];
/// Requests of one number that are handled at once.
const AT_ONCE: i64 = 1_000;

/// What is kept of a number.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Requests in which it is the sender, A or B.
    pub requests: Vec<RequestRow>,
    /// CDRs that name it.
    pub cdrs: Vec<CdrRow>,
    /// The account it is registered to, as a number, a DID or an address.
    pub account: Option<String>,
    /// Whether it is on the do-not-call list; it stays there, or it would be rung again.
    pub do_not_call: bool,
}

/// How many rows lost the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Requests that are gone, with their INVITEs, dialogs and replies.
    pub requests: u64,
    /// CDRs that stay without the number.
    pub cdrs: u64,
    /// Events that are gone from the outbox and from the embedded event log.
    pub events: u64,
    /// Accounts that no longer have it.
    pub addresses: u64,
}

impl Store {
    /// What is kept of this number, or address.
    pub async fn kept_of(&self, number: &str) -> Result<Kept, StoreError> {
        let (requests, cdrs) = on!(self, read, pool => {
            let requests = sqlx::query(
                "SELECT * FROM callback_requests WHERE a = $1 OR b = $1 OR original_cli = $1 ORDER BY i_callback_request",
            );
            let requests = requests.bind(number).fetch_all(pool).await?;
            let cdrs = sqlx::query("SELECT * FROM call_records WHERE number = $1 OR cli = $1 ORDER BY disconnect_time, cdr_id");
            let cdrs = cdrs.bind(number).fetch_all(pool).await?;
            let requests: Result<Vec<_>, StoreError> = requests.iter().map(RequestRow::read).collect();
            let cdrs: Result<Vec<_>, StoreError> = cdrs.iter().map(CdrRow::read).collect();
            Ok((requests?, cdrs?))
        })?;
        let account = match self.account_by_number(number).await? {
            Some(account) => Some(account),
            None if number.contains('@') => self.account_by_email(number).await?,
            None => self.account_by_did(number).await?,
        };
        let do_not_call = !self.not_to_be_called(&[number]).await?.is_empty();
        Ok(Kept { requests, cdrs, account: account.map(|account| account.name), do_not_call })
    }

    /// Erases a number, or an address, wherever it stands but on the do-not-call list. The money that calls cost stays in the ledger and in CDRs
    /// that no longer name it. Of an embedded store's file no byte of it is left.
    ///
    /// # Errors
    /// `Invalid` while a callback with this number is not finished, or an event that names it is not published. `Unavailable` when it is erased but may
    /// stand in the write-ahead log for a while; erasing again does no harm.
    pub async fn erase(&self, number: &str) -> Result<Erased, StoreError> {
        let mut all = Erased::default();
        loop {
            let some = self.erase_some(number).await?;
            all.requests += some.requests;
            all.cdrs += some.cdrs;
            all.events += some.events;
            all.addresses += some.addresses;
            if some.requests < AT_ONCE as u64 {
                break;
            }
        }
        self.rewrite_once().await?;
        self.empty_log().await?;
        Ok(all)
    }

    async fn erase_some(&self, number: &str) -> Result<Erased, StoreError> {
        let embedded = matches!(self.inner.backend, Backend::Sqlite(_)) && self.has_embedded_log().await?;
        let jobs: Vec<String> = on!(self, read, pool => {
            let jobs = sqlx::query_scalar(
                "SELECT job_id FROM callback_requests WHERE (a = $1 OR b = $1 OR original_cli = $1) AND finished
                  ORDER BY i_callback_request LIMIT $2",
            );
            Ok(jobs.bind(number).bind(AT_ONCE).fetch_all(pool).await?)
        })?;
        change!(self, tx => {
            let live = sqlx::query_scalar(
                "SELECT count(*) FROM callback_requests WHERE (a = $1 OR b = $1 OR original_cli = $1) AND NOT finished",
            );
            let live: i64 = live.bind(number).fetch_one(&mut *tx).await?;
            if live > 0 {
                return Err(StoreError::Invalid(format!(
                    "{live} callbacks of it are not finished; let them end or cancel them, then erase again"
                )));
            }
            let mut erased = Erased { requests: jobs.len() as u64, ..Erased::default() };
            for job in &jobs {
                let (from, to) = (format!("{job}:"), format!("{job};")); // event ids are job:seq
                let waiting = sqlx::query("SELECT id FROM outbox WHERE event_id >= $1 AND event_id < $2 AND destination IN ('replies', 'billing', 'log') AND published IS NULL LIMIT 1");
                if waiting.bind(&from).bind(&to).fetch_optional(&mut *tx).await?.is_some() {
                    return Err(StoreError::Invalid(
                        "news of a callback of it is not published yet; see `ringback status`, then erase again".to_owned(),
                    ));
                }
                let outbox = sqlx::query("DELETE FROM outbox WHERE event_id >= $1 AND event_id < $2 AND destination IN ('replies', 'billing', 'log')");
                erased.events += outbox.bind(&from).bind(&to).execute(&mut *tx).await?.rows_affected();
                if embedded {
                    let log = sqlx::query("DELETE FROM queue_log WHERE message_id >= $1 AND message_id < $2");
                    erased.events += log.bind(&from).bind(&to).execute(&mut *tx).await?.rows_affected();
                }
                for sql in OF_A_REQUEST {
                    sqlx::query(sql).bind(job).execute(&mut *tx).await?;
                }
            }
            let cdrs = sqlx::query(
                "UPDATE call_records SET number = CASE WHEN number = $1 THEN $2 ELSE number END, cli = CASE WHEN cli = $1 THEN $2 ELSE cli END
                  WHERE number = $1 OR cli = $1",
            );
            erased.cdrs = cdrs.bind(number).bind(ERASED).execute(&mut *tx).await?.rows_affected();
            let address = sqlx::query("DELETE FROM account_addresses WHERE kind IN ('number', 'did', 'email') AND value = $1");
            erased.addresses = address.bind(number).execute(&mut *tx).await?.rows_affected();
            for before in COUNTED_AS {
                let failures = sqlx::query("DELETE FROM auth_failures WHERE sender = $1");
                failures.bind(format!("{before}{number}")).execute(&mut *tx).await?;
            }
            sqlx::query("UPDATE dids SET b = NULL WHERE b = $1").bind(number).execute(&mut *tx).await?;
            let parts = sqlx::query("DELETE FROM sms_parts WHERE sender = $1 OR '+' || sender = $1");
            parts.bind(number).execute(&mut *tx).await?;
            Ok(erased)
        })
    }

    /// Whether the queue lives in the store's file too.
    async fn has_embedded_log(&self) -> Result<bool, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query("SELECT 1 AS found FROM sqlite_master WHERE name = 'queue_log'");
            Ok(query.fetch_optional(pool).await?.is_some())
        })
    }
}
