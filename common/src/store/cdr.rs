//! CDRs as they are read. They are written by the step that ends an attempt.

use super::Store;
use super::backend::on;
use super::columns::Columns;
use super::error::StoreError;
use super::rows::{CdrFilter, CdrRow};
use crate::job::JobId;

impl Store {
    /// CDRs, newest first.
    pub async fn cdrs(&self, filter: &CdrFilter) -> Result<Vec<CdrRow>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(
                "SELECT * FROM call_records
                  WHERE ($1 IS NULL OR account = $1) AND ($2 IS NULL OR job_id = $2) AND ($3 IS NULL OR disconnect_time >= $3)
                  ORDER BY disconnect_time DESC, cdr_id DESC LIMIT $4",
            );
            let job = filter.job.as_ref().map(JobId::as_str);
            let query = query.bind(&filter.account).bind(job).bind(filter.since).bind(i64::from(filter.limit));
            query.fetch_all(pool).await?.iter().map(CdrRow::read).collect()
        })
    }
}

impl CdrRow {
    pub(super) fn read<R: Columns>(row: &R) -> Result<CdrRow, StoreError> {
        let small = |name: &str| -> Result<Option<u16>, StoreError> {
            let code = row.int_opt(name)?;
            code.map(|code| u16::try_from(code).map_err(|_| StoreError::Broken(format!("{name} is {code}"))))
                .transpose()
        };
        Ok(CdrRow {
            cdr_id: row.text("cdr_id")?,
            job: JobId(row.text("job_id")?),
            leg: row.leg("leg")?,
            attempt: row.small("attempt")?,
            source: row.text("source")?,
            account: row.text("account")?,
            number: row.text("number")?,
            cli: row.text("cli")?,
            trunk: row.text("trunk")?,
            setup_time: row.time("setup_time")?,
            connect_time: row.time_opt("connect_time")?,
            disconnect_time: row.time("disconnect_time")?,
            duration_ms: row.int("duration_ms")?,
            billed_seconds: row.int("billed_seconds")?,
            cost: row.money("cost")?,
            uncovered: row.money("uncovered")?,
            currency: row.text("currency")?,
            cause: row.text("cause")?,
            sip_code: small("sip_code")?,
            q850: small("q850")?.and_then(|cause| u8::try_from(cause).ok()),
            call_id: row.text("call_id")?,
            account_seq: row.int_opt("account_seq")?,
            balance: row.money("balance")?,
        })
    }
}
