//! Loading everything an engine needs to go on with requests: rows, dialogs, INVITEs, holds, settled attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sqlx::{AssertSqlSafe, Connection, Database, Encode, Executor, IntoArguments, Type};

use super::backend::Backend;
use super::boot::BootMoment;
use super::columns::Columns;
use super::error::StoreError;
use super::postings::Purse;
use super::rows::{CdrRow, OwnedRequest, RequestRow, StoredInvite};
use super::step::{DialogState, FinalResponse, NewInvite};
use crate::end_reason::EndReason;

/// A JSON array of texts, the form in which lists travel to both databases.
pub fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from(texts.map(str::to_owned).collect::<Vec<String>>()).to_string()
}

/// The requests of these jobs with all that belongs to them, in the order they are due.
pub async fn load<C>(connection: &mut C, backend: &Backend, jobs: &[String]) -> Result<Vec<OwnedRequest>, StoreError>
where
    C: Connection<Database: Database<Row: Columns, Arguments: IntoArguments<C::Database>>>,
    String: Type<C::Database> + for<'q> Encode<'q, C::Database>,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let which = backend.among("job_id", 1);
    let jobs = list(jobs.iter().map(String::as_str));
    let mut loaded = Vec::new();
    let mut places = BTreeMap::new();
    let requests = format!("SELECT * FROM callback_requests WHERE {which} ORDER BY next_call, i_callback_request");
    for row in rows(connection, requests, &jobs).await? {
        let Some(row) = readable(RequestRow::read(&row)) else { continue };
        places.insert(row.job.id.0.clone(), loaded.len());
        let (dialogs, invites, attempts) = (Vec::new(), Vec::new(), Vec::new());
        loaded.push(OwnedRequest { row, dialogs, invites, hold: None, attempts, read: None });
    }
    let dialogs = format!("SELECT * FROM dialogs WHERE {which} ORDER BY leg, attempt");
    for row in rows(connection, dialogs, &jobs).await? {
        if let Some(place) = places.get(&row.text("job_id")?) {
            loaded[*place].dialogs.extend(readable(DialogState::read(&row)));
        }
    }
    let age = age(backend);
    let invites = format!("SELECT invites.*, {age} AS age_ms FROM invites WHERE {which} ORDER BY leg, attempt, try");
    let rows_of_invites = rows(connection, invites, &jobs).await?;
    let read = BootMoment::now();
    loaded.iter_mut().for_each(|request| request.read.clone_from(&read));
    for row in rows_of_invites {
        if let Some(place) = places.get(&row.text("job_id")?) {
            loaded[*place].invites.extend(readable(StoredInvite::read(&row)));
        }
    }
    for row in rows(connection, format!("SELECT * FROM holds WHERE {which}"), &jobs).await? {
        if let Some(place) = places.get(&row.text("job_id")?) {
            loaded[*place].hold = Some(Purse { account_id: row.int("account_id")?, held: row.money("amount")? });
        }
    }
    let attempts = format!("SELECT * FROM call_records WHERE {which} ORDER BY leg, attempt");
    for row in rows(connection, attempts, &jobs).await? {
        if let Some(place) = places.get(&row.text("job_id")?) {
            loaded[*place].attempts.push(CdrRow::read(&row)?);
        }
    }
    Ok(loaded)
}

/// A row, or an alarm: one that cannot be read, damaged or of a later version, must not keep an engine from all the others.
fn readable<T>(row: Result<T, StoreError>) -> Option<T> {
    row.inspect_err(|error| {
        metrics::counter!("ringback_unreadable_total", "what" => "row").increment(1);
        tracing::error!(%error, "a stored row of a request cannot be read and is passed over");
    })
    .ok()
}

async fn rows<C>(connection: &mut C, sql: String, jobs: &str) -> Result<Vec<<C::Database as Database>::Row>, StoreError>
where
    C: Connection<Database: Database<Arguments: IntoArguments<C::Database>>>,
    String: Type<C::Database> + for<'q> Encode<'q, C::Database>,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    Ok(sqlx::query::<C::Database>(AssertSqlSafe(sql)).bind(jobs.to_owned()).fetch_all(connection).await?)
}

/// An SQL expression for the age of an INVITE in milliseconds, NULL when nobody knows.
pub(super) fn age(backend: &Backend) -> String {
    match (backend, BootMoment::now()) {
        (Backend::Postgres(_), _) => "CAST(extract(epoch FROM clock_timestamp() - intent) * 1000 AS BIGINT)".to_owned(),
        (Backend::Sqlite(_), Some(BootMoment { boot, ms }))
            if boot.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) =>
        {
            format!("CASE WHEN intent_boot = '{boot}' THEN {ms} - intent_ms END")
        }
        (Backend::Sqlite(_), _) => "NULL".to_owned(),
    }
}

impl RequestRow {
    pub(super) fn read<R: Columns>(row: &R) -> Result<RequestRow, StoreError> {
        Ok(RequestRow {
            id: row.int("i_callback_request")?,
            job: row.json("job")?,
            account_id: row.int_opt("account_id")?,
            owner: row.text_opt("owner")?,
            epoch: row.int("epoch")?,
            status: row.text("status")?,
            result: row.text_opt("result")?,
            reason: row.text_opt("reason")?.map(|said| EndReason::read(&said)),
            canceled: row.flag("canceled")?,
            twin: row.flag("twin")?,
            finished: row.flag("finished")?,
            creation_time: row.time("creation_time")?,
            next_call: row.time("next_call")?,
            call_count: row.int("call_count")?,
            call_id: row.text_opt("call_id")?,
            twoway_call_id: row.text_opt("twoway_call_id")?,
            credit_time: row.int_opt("credit_time")?,
            setup_time: row.time_opt("setup_time")?,
            connect_time: row.time_opt("connect_time")?,
            disconnect_time: row.time_opt("disconnect_time")?,
            not_after: row.time("not_after")?,
            last_alive: row.time_opt("last_alive")?,
            alive_ms: row.int_opt("alive_ms")?,
            poisoned: row.int("poisoned")?,
            snapshot: row.text_opt("snapshot")?,
        })
    }
}

impl DialogState {
    fn read<R: Columns>(row: &R) -> Result<DialogState, StoreError> {
        let (leg, attempt) = (row.leg("leg")?, row.small("attempt")?);
        Ok(DialogState { leg, attempt, state: row.text("state")?, cseq_hi: row.int("cseq_hi")? })
    }
}

impl StoredInvite {
    pub(super) fn read<R: Columns>(row: &R) -> Result<StoredInvite, StoreError> {
        let (leg, attempt, try_number) = (row.leg("leg")?, row.small("attempt")?, row.small("try")?);
        let final_response = match (row.int_opt("final_code")?, row.bytes_opt("final_bytes")?) {
            (Some(code), Some(bytes)) => {
                let code = u16::try_from(code).map_err(|_| StoreError::Broken(format!("final_code is {code}")))?;
                Some(FinalResponse { leg, attempt, try_number, code, bytes: Bytes::from(bytes) })
            }
            _ => None,
        };
        let age = row.int_opt("age_ms")?.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        let invite = NewInvite {
            leg,
            attempt,
            try_number,
            call_id: row.text("call_id")?,
            branch: row.text("branch")?,
            bytes: Bytes::from(row.bytes("bytes")?),
            sdp: row.text_opt("sdp")?,
            local_addr: row.address("local_addr")?,
            peer_addr: row.address("peer_addr")?,
            expires_s: row.small("expires_s")?,
        };
        Ok(StoredInvite { invite, age, intent: row.time("intent")?, final_response })
    }
}
