//! Phones that answered or said no while their engine was away: whoever hears of it finds the INVITE by its Call-ID and writes it
//! down, so that the owner of the call, now or later, rings that party no more.

use sqlx::AssertSqlSafe;

use super::backend::on;
use super::columns::Columns;
use super::error::StoreError;
use super::rows::StoredInvite;
use super::{Store, owned};
use crate::job::JobId;

/// An INVITE of ours, found by its Call-ID.
#[derive(Clone, Debug)]
pub struct Called {
    /// The job it was sent for.
    pub job: JobId,
    /// The INVITE, with its final response if one is stored.
    pub invite: StoredInvite,
    /// The engine that runs the request.
    pub owner: Option<String>,
    /// Whether the request is finished.
    pub finished: bool,
    /// Whether its answer made a dialog that is stored: then the call has an owner who knows of it.
    pub has_dialog: bool,
}

impl Store {
    /// The INVITEs with this Call-ID, by try.
    pub async fn called(&self, call_id: &str) -> Result<Vec<Called>, StoreError> {
        let sql = format!(
            "SELECT i.*, r.owner, r.finished, {} AS age_ms,
                    EXISTS (SELECT 1 FROM dialogs d WHERE d.job_id = i.job_id AND d.leg = i.leg AND d.attempt = i.attempt)
                        AS has_dialog
               FROM invites i JOIN callback_requests r ON r.job_id = i.job_id WHERE i.call_id = $1 ORDER BY i.try",
            owned::age(&self.inner.backend)
        );
        on!(self, read, pool => {
            let rows = sqlx::query(AssertSqlSafe(sql.as_str())).bind(call_id).fetch_all(pool).await?;
            rows.iter()
                .map(|row| {
                    Ok(Called {
                        job: JobId(row.text("job_id")?),
                        invite: StoredInvite::read(row)?,
                        owner: row.text_opt("owner")?,
                        finished: row.flag("finished")?,
                        has_dialog: row.flag("has_dialog")?,
                    })
                })
                .collect()
        })
    }

    /// The phone has answered: `told` is its 200, or its BYE if that was the first word anybody heard. An answer that is stored
    /// already stays.
    pub async fn mark_answered(&self, called: &Called, told: &[u8]) -> Result<(), StoreError> {
        self.write_word(called, 200, told).await
    }

    /// The phone has said no. Whatever is stored already stays.
    pub async fn mark_refused(&self, called: &Called, code: u16, told: &[u8]) -> Result<(), StoreError> {
        self.write_word(called, code, told).await
    }

    async fn write_word(&self, called: &Called, code: u16, told: &[u8]) -> Result<(), StoreError> {
        let invite = &called.invite.invite;
        on!(self, write, pool => {
            let mark = sqlx::query(
                "UPDATE invites SET final_code = $6, final_bytes = $1
                  WHERE job_id = $2 AND leg = $3 AND attempt = $4 AND try = $5
                    AND (final_code IS NULL OR (final_code >= 300 AND $6 < 300))",
            );
            let mark = mark.bind(told).bind(called.job.as_str()).bind(invite.leg.as_str());
            let mark = mark.bind(i64::from(invite.attempt)).bind(i64::from(invite.try_number)).bind(i64::from(code));
            mark.execute(pool).await?;
            Ok(())
        })
    }
}
