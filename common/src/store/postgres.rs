//! The hot paths on PostgreSQL: each a function of the migration, called in one round trip for many jobs at once.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection, PgConnection, Row};

use super::backend::Postgres;
use super::error::StoreError;
use super::requests::{clean, writable};
use super::rows::{Me, Peer, Take, Taken};
use super::step::{DialogState, FinalResponse, NewInvite, OutboxEvent, Settlement, Step, Stepped, cdr_id, unique_id};
use super::writer::Numbered;
use crate::end_reason::EndReason;
use crate::event::LegName;
use crate::failpoint::failpoint;
use crate::job::JobKind;
use crate::json;
use crate::money::Money;

#[derive(Serialize)]
struct TakeJson<'a> {
    n: usize,
    job: Cow<'a, str>,
    account: Cow<'a, str>,
    source: Cow<'a, str>,
    sender: Cow<'a, str>,
    a: &'a str,
    b: Option<&'a str>,
    #[serde(serialize_with = "crate::wall::serialize_opt")]
    next_call: Option<DateTime<Utc>>,
    #[serde(serialize_with = "crate::wall::serialize")]
    not_after: DateTime<Utc>,
    claim: bool,
    kind: JobKind,
    /// Seconds.
    same_call: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cld: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_cli: Option<&'a str>,
    anon_acct: bool,
    default_user: bool,
}

/// Takes jobs from the queue.
pub async fn take(db: &Postgres, me: &Me, takes: &[Take], same_call: Duration) -> Result<Vec<Taken>, StoreError> {
    let mut rows = Vec::with_capacity(takes.len());
    let mut jobs = Vec::with_capacity(takes.len());
    for (place, take) in takes.iter().enumerate() {
        rows.push(TakeJson::of(place + 1, take, same_call));
        jobs.push(take.json()?);
    }
    let rows = json(&rows)?;
    let take = db.lines.run(db, async |connection| {
        let call = sqlx::query_scalar("SELECT ringback_take_v2($1, $2, $3, $4)");
        let call = call.bind(&me.id).bind(me.incarnation).bind(rows).bind(jobs);
        Ok(call.fetch_one(connection).await?)
    });
    let answers: Option<Vec<i64>> = take.await?;
    let answers = answers.ok_or(StoreError::Fenced)?;
    Ok(answers.chunks_exact(2).map(taken).collect())
}

impl<'a> TakeJson<'a> {
    fn of(n: usize, take: &'a Take, same_call: Duration) -> TakeJson<'a> {
        let job = &take.job;
        let (anon_acct, default_user) = take.accounting();
        TakeJson {
            n,
            job: clean(job.id.as_str()),
            account: clean(&job.account),
            source: clean(&job.source),
            sender: clean(take.original_cli()),
            a: job.a.as_str(),
            b: job.b.as_ref().map(|b| b.as_str()),
            next_call: job.not_before.map(writable),
            not_after: writable(job.not_after),
            claim: take.claim,
            kind: job.kind,
            same_call: same_call.as_secs_f64(),
            cld: take.original_cld().map(clean),
            set_cli: take.original_set_cli(),
            anon_acct,
            default_user,
        }
    }
}

fn taken(answer: &[i64]) -> Taken {
    match answer[0] {
        0 => Taken::Waiting,
        1 => Taken::Known,
        2 => Taken::Ended,
        claimed => Taken::Claimed { epoch: claimed - 2, account_id: Some(answer[1]).filter(|id| *id >= 0) },
    }
}

/// A writer's own connection, opened when it is needed.
#[derive(Debug)]
pub struct Line {
    connection: Option<PgConnection>,
    lock_timeout_ms: u32,
}

impl Line {
    /// One that waits only so many milliseconds for rows that somebody else has locked.
    pub fn waiting(lock_timeout_ms: u32) -> Line {
        Line { connection: None, lock_timeout_ms }
    }

    /// Forgets the connection: nobody knows what it still does.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Writes steps in one transaction.
    pub async fn write_steps(&mut self, db: &Postgres, steps: &[Numbered]) -> Result<Vec<Stepped>, StoreError> {
        let parcel = Parcel::of(steps)?;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(db.connect_waiting(self.lock_timeout_ms).await?),
        };
        let charging = steps.iter().any(|numbered| !numbered.step.settlements.is_empty());
        let answers = if charging && cfg!(feature = "failpoints") {
            parcel.send_in_transaction(connection).await?
        } else {
            parcel.send(connection).await?
        };
        if charging {
            failpoint("bill.committed");
        }
        Ok(answers.chunks_exact(3).map(stepped).collect())
    }
}

/// Begins a new incarnation: its number, and the jobs that are this engine's own.
pub async fn register(db: &Postgres, id: &str) -> Result<(i64, Vec<String>), StoreError> {
    let call = sqlx::query("SELECT begun, jobs FROM ringback_register_v1($1)").bind(id);
    let row = call.fetch_one(&db.write).await?;
    Ok((row.try_get("begun")?, row.try_get("jobs")?))
}

/// The jobs that were the dead one's; `None` if it is not known to be dead.
pub async fn adopt(db: &Postgres, dead: &Peer, me: &Me) -> Result<Option<Vec<String>>, StoreError> {
    let call = sqlx::query("SELECT mine, jobs FROM ringback_adopt_v1($1, $2, $3, $4, $5)");
    let call = call.bind(&dead.id).bind(dead.beat).bind(dead.incarnation).bind(&me.id).bind(me.incarnation);
    let row = call.fetch_one(&db.write).await?;
    if row.try_get("mine")? { Ok(row.try_get("jobs")?) } else { Err(StoreError::Fenced) }
}

fn stepped(answer: &[i64]) -> Stepped {
    match answer[0] {
        0 => Stepped::Done { balance: Money(answer[1]), account_seq: answer[2] },
        1 => Stepped::Cancelled,
        2 => Stepped::NoFunds,
        _ => Stepped::Fenced,
    }
}

/// A batch as it travels: small things as JSON, texts and datagrams beside it, named by their place from 1.
struct Parcel<'a> {
    steps: String,
    texts: Vec<&'a str>,
    blobs: Vec<&'a [u8]>,
}

impl<'a> Parcel<'a> {
    fn of(steps: &'a [Numbered]) -> Result<Parcel<'a>, StoreError> {
        let (mut texts, mut blobs) = (Vec::new(), Vec::new());
        let rows: Vec<StepJson> = steps.iter().map(|numbered| StepJson::of(numbered, &mut texts, &mut blobs)).collect();
        let payers = steps.iter().filter_map(|numbered| numbered.step.postings);
        let mut accounts: Vec<i64> = payers.map(|postings| postings.account_id).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let batch = BatchJson { accounts, steps: rows };
        Ok(Parcel { steps: json(&batch)?, texts, blobs })
    }

    async fn send(self, connection: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
        let call = sqlx::query_scalar("SELECT ringback_steps_v2($1, $2, $3)");
        Ok(call.bind(self.steps).bind(self.texts).bind(self.blobs).fetch_one(connection).await?)
    }

    /// The same in an explicit transaction, so that a test can end the process before and after COMMIT.
    async fn send_in_transaction(self, connection: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
        let mut tx = connection.begin().await?;
        let answers = self.send(&mut tx).await?;
        failpoint("bill.in_txn");
        tx.commit().await?;
        failpoint("bill.commit_unknown");
        Ok(answers)
    }
}

#[derive(Serialize)]
struct BatchJson<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<i64>,
    steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    job: &'a str,
    owner: &'a str,
    epoch: i64,
    n: i64,
    cancel: bool,
    release: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "crate::wall::serialize_opt")]
    next_call: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    twoway_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "crate::wall::serialize_opt")]
    setup_time: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "crate::wall::serialize_opt")]
    connect_time: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "crate::wall::serialize_opt")]
    disconnect_time: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alive_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_from: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_to: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    need: Option<Money>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invites: Vec<InviteJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    finals: Vec<FinalJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dialogs: Vec<DialogJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settlements: Vec<SettlementJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventJson<'a>>,
}

#[derive(Serialize)]
struct InviteJson<'a> {
    leg: LegName,
    attempt: u32,
    r#try: u32,
    call_id: &'a str,
    branch: &'a str,
    bytes: usize,
    sdp: Option<usize>,
    local_addr: String,
    peer_addr: String,
    expires_s: u32,
}

#[derive(Serialize)]
struct FinalJson {
    leg: LegName,
    attempt: u32,
    r#try: u32,
    code: u16,
    bytes: usize,
}

#[derive(Serialize)]
struct DialogJson {
    leg: LegName,
    attempt: u32,
    state: usize,
    cseq_hi: i64,
}

#[derive(Serialize)]
struct SettlementJson<'a> {
    leg: LegName,
    attempt: u32,
    cdr_id: String,
    uniqueid: String,
    number: &'a str,
    cli: &'a str,
    trunk: &'a str,
    #[serde(serialize_with = "crate::wall::serialize")]
    setup_time: DateTime<Utc>,
    #[serde(serialize_with = "crate::wall::serialize_opt")]
    connect_time: Option<DateTime<Utc>>,
    #[serde(serialize_with = "crate::wall::serialize")]
    disconnect_time: DateTime<Utc>,
    duration_ms: u64,
    billed_seconds: u64,
    cost: Money,
    cause: &'a str,
    sip_code: Option<u16>,
    q850: Option<u8>,
    call_id: &'a str,
}

#[derive(Serialize)]
struct EventJson<'a> {
    destination: &'static str,
    routing_key: &'a str,
    event_id: &'a str,
    kind: &'a str,
    body: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    money: Option<String>,
}

/// Lays a thing beside the JSON and tells its place.
fn lay<T>(pile: &mut Vec<T>, thing: T) -> usize {
    pile.push(thing);
    pile.len()
}

impl<'a> StepJson<'a> {
    fn of(numbered: &'a Numbered, texts: &mut Vec<&'a str>, blobs: &mut Vec<&'a [u8]>) -> StepJson<'a> {
        let (step, change) = (&numbered.step, &numbered.step.request);
        StepJson {
            job: step.job.as_str(),
            owner: &step.owner,
            epoch: step.epoch,
            n: numbered.number,
            cancel: step.honour_cancel,
            release: change.release,
            status: change.status.as_deref(),
            result: change.result.as_deref(),
            reason: change.reason.map(EndReason::code),
            snapshot: change.snapshot.as_ref().map(|snapshot| lay(texts, snapshot.as_str())),
            next_call: change.next_call,
            call_count: change.call_count,
            call_id: change.call_id.as_deref(),
            twoway_call_id: change.twoway_call_id.as_deref(),
            setup_time: change.setup_time,
            connect_time: change.connect_time,
            disconnect_time: change.disconnect_time,
            finished: change.finished,
            alive_ms: change.alive_ms,
            payer: step.postings.map(|postings| postings.account_id),
            hold_from: step.postings.map(|postings| postings.from),
            hold_to: step.postings.map(|postings| postings.to),
            need: step.need(),
            invites: step.invites.iter().map(|invite| InviteJson::of(invite, texts, blobs)).collect(),
            finals: step.finals.iter().map(|response| FinalJson::of(response, blobs)).collect(),
            dialogs: step.dialogs.iter().map(|dialog| DialogJson::of(dialog, texts)).collect(),
            settlements: step.settlements.iter().map(|settled| SettlementJson::of(step, settled)).collect(),
            events: step.events.iter().map(|event| EventJson::of(event, texts)).collect(),
        }
    }
}

impl<'a> InviteJson<'a> {
    fn of(invite: &'a NewInvite, texts: &mut Vec<&'a str>, blobs: &mut Vec<&'a [u8]>) -> InviteJson<'a> {
        InviteJson {
            leg: invite.leg,
            attempt: invite.attempt,
            r#try: invite.try_number,
            call_id: &invite.call_id,
            branch: &invite.branch,
            bytes: lay(blobs, &invite.bytes[..]),
            sdp: invite.sdp.as_ref().map(|sdp| lay(texts, sdp.as_str())),
            local_addr: invite.local_addr.to_string(),
            peer_addr: invite.peer_addr.to_string(),
            expires_s: invite.expires_s,
        }
    }
}

impl FinalJson {
    fn of<'a>(response: &'a FinalResponse, blobs: &mut Vec<&'a [u8]>) -> FinalJson {
        FinalJson {
            leg: response.leg,
            attempt: response.attempt,
            r#try: response.try_number,
            code: response.code,
            bytes: lay(blobs, &response.bytes[..]),
        }
    }
}

impl DialogJson {
    fn of<'a>(dialog: &'a DialogState, texts: &mut Vec<&'a str>) -> DialogJson {
        let state = lay(texts, dialog.state.as_str());
        DialogJson { leg: dialog.leg, attempt: dialog.attempt, state, cseq_hi: dialog.cseq_hi }
    }
}

impl<'a> SettlementJson<'a> {
    fn of(step: &Step, settled: &'a Settlement) -> SettlementJson<'a> {
        let cdr_id = cdr_id(&step.job, settled.leg, settled.attempt);
        SettlementJson {
            leg: settled.leg,
            attempt: settled.attempt,
            uniqueid: unique_id(&cdr_id),
            cdr_id,
            number: &settled.number,
            cli: &settled.cli,
            trunk: &settled.trunk,
            setup_time: settled.setup_time,
            connect_time: settled.connect_time,
            disconnect_time: settled.disconnect_time,
            duration_ms: settled.duration_ms,
            billed_seconds: settled.billed_seconds,
            cost: settled.cost,
            cause: &settled.cause,
            sip_code: settled.sip_code,
            q850: settled.q850,
            call_id: &settled.call_id,
        }
    }
}

impl<'a> EventJson<'a> {
    fn of(event: &'a OutboxEvent, texts: &mut Vec<&'a str>) -> EventJson<'a> {
        EventJson {
            destination: event.destination.as_str(),
            routing_key: &event.routing_key,
            event_id: &event.event_id,
            kind: &event.kind,
            body: lay(texts, event.body.as_str()),
            money: event.money.label(),
        }
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    json::text(value, 4_096).map_err(|error| StoreError::Invalid(format!("cannot be written as JSON: {error}")))
}
