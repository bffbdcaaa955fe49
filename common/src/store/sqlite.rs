//! The hot paths on SQLite: take and step, statement by statement in one short transaction.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::backend::{Sqlite, now};
use super::boot::BootMoment;
use super::columns::Columns;
use super::error::StoreError;
use super::requests::{SAME_CALL, clean, writable};
use super::rows::{Me, Take, Taken};
use super::step::{EventMoney, Step, Stepped};
use super::till::{self, Posted};
use super::writer::Numbered;
use crate::end_reason::EndReason;
use crate::failpoint::failpoint;
use crate::job::JobKind;
use crate::money::Money;

/// Takes jobs from the queue.
pub async fn take(db: &Sqlite, me: &Me, takes: &[Take], same_call: Duration) -> Result<Vec<Taken>, StoreError> {
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    let mine =
        sqlx::query("SELECT 1 FROM engines WHERE id = $1 AND incarnation = $2").bind(&me.id).bind(me.incarnation);
    if mine.fetch_optional(&mut *tx).await?.is_none() {
        return Err(StoreError::Fenced);
    }
    let mut answers = Vec::with_capacity(takes.len());
    for take in takes {
        answers.push(take_one(&mut tx, me, take, same_call).await?);
    }
    tx.commit().await?;
    Ok(answers)
}

async fn take_one(tx: &mut SqliteConnection, me: &Me, take: &Take, same_call: Duration) -> Result<Taken, StoreError> {
    let (job, present) = (&take.job, now());
    let payer = sqlx::query_scalar("SELECT id FROM accounts WHERE name = $1").bind(&job.account);
    let account_id: Option<i64> = payer.fetch_optional(&mut *tx).await?;
    let cancel = sqlx::query("SELECT 1 FROM cancels WHERE job_id = $1").bind(job.id.as_str());
    let cancelled = cancel.fetch_optional(&mut *tx).await?.is_some();
    let doubled = job.kind == JobKind::Callback && has_twin(tx, take, account_id, present, same_call).await?;
    let due = job.not_before.map_or(present, writable);
    let accounting = take.accounting();
    let claimed = take.claim && !cancelled && !doubled && due <= present;
    let inserted = sqlx::query(
        "INSERT INTO callback_requests (creation_time, next_call, canceled, original_cli, username, authname, job_id, account_id,
                                        source, a, b, owner, epoch, not_after, job, kind, twin, original_cld, original_set_cli,
                                        anon_acct_enabled, default_user_used)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) ON CONFLICT (job_id) DO NOTHING",
    )
    .bind(present)
    .bind(due)
    .bind(cancelled)
    .bind(clean(take.original_cli()))
    .bind(clean(&job.account))
    .bind(clean(job.id.as_str()))
    .bind(account_id)
    .bind(clean(&job.source))
    .bind(job.a.as_str())
    .bind(job.b.as_ref().map(|b| b.as_str()))
    .bind(claimed.then_some(&me.id))
    .bind(i64::from(claimed))
    .bind(writable(job.not_after))
    .bind(take.json()?)
    .bind(job.kind.as_str())
    .bind(doubled)
    .bind(take.original_cld().map(clean))
    .bind(take.original_set_cli())
    .bind(accounting.0)
    .bind(accounting.1)
    .execute(&mut *tx)
    .await?;
    Ok(match (inserted.rows_affected(), cancelled || doubled, claimed) {
        (0, _, _) => Taken::Known,
        (_, true, _) => Taken::Ended,
        (_, _, true) => Taken::Claimed { epoch: 1, account_id },
        _ => Taken::Waiting,
    })
}

/// Whether this call was asked for before.
async fn has_twin(
    tx: &mut SqliteConnection,
    take: &Take,
    account_id: Option<i64>,
    present: DateTime<Utc>,
    same_call: Duration,
) -> Result<bool, StoreError> {
    let (job, since) = (&take.job, present - TimeDelta::from_std(same_call).unwrap_or_default());
    let twin = sqlx::query(SAME_CALL).bind(account_id).bind(job.a.as_str()).bind(job.b.as_ref().map(|b| b.as_str()));
    let twin = twin.bind(job.id.as_str()).bind(&job.source).bind(since).fetch_optional(tx).await?;
    Ok(twin.is_some())
}

/// Writes steps in one transaction.
pub async fn write_steps(db: &Sqlite, steps: &[Numbered]) -> Result<Vec<Stepped>, StoreError> {
    let mut tx = db.write.begin_with("BEGIN IMMEDIATE").await?;
    let mut answers = Vec::with_capacity(steps.len());
    for numbered in steps {
        answers.push(write_step(&mut tx, numbered).await?);
    }
    let charging = steps.iter().any(|numbered| !numbered.step.settlements.is_empty());
    if charging {
        failpoint("bill.in_txn");
    }
    tx.commit().await?;
    if charging {
        failpoint("bill.commit_unknown");
        failpoint("bill.committed");
    }
    Ok(answers)
}

/// All checks come before the first write, so that a refusal leaves nothing behind.
async fn write_step(tx: &mut SqliteConnection, numbered: &Numbered) -> Result<Stepped, StoreError> {
    let step = &numbered.step;
    let guard = sqlx::query(
        "SELECT owner, epoch, step, canceled, account_id, source, a, b FROM callback_requests WHERE job_id = $1",
    );
    let Some(row) = guard.bind(step.job.as_str()).fetch_optional(&mut *tx).await? else { return Ok(Stepped::Fenced) };
    if row.int("epoch")? != step.epoch {
        return Ok(Stepped::Fenced);
    }
    if row.int("step")? >= numbered.number {
        return already_written(tx, step, row.int_opt("account_id")?).await;
    }
    if row.text_opt("owner")?.as_deref() != Some(step.owner.as_str()) {
        return Ok(Stepped::Fenced);
    }
    if step.honour_cancel && (row.flag("canceled")? || cancel_waits(tx, step).await? || is_stopped(tx, &row).await?) {
        return Ok(Stepped::Cancelled);
    }
    let posted = match step.postings {
        None => None,
        Some(postings) => match till::post(tx, step, postings, &row.text("source")?).await? {
            Some(posted) => Some(posted),
            None => return Ok(Stepped::NoFunds),
        },
    };
    write_request(tx, numbered).await?;
    write_wire(tx, step).await?;
    let closing = match &posted {
        Some(posted) => Some(posted.balance),
        None => balance_of(tx, row.int_opt("account_id")?, step).await?,
    };
    write_events(tx, step, posted.as_ref(), closing).await?;
    let (balance, account_seq) = posted.map_or((Money::ZERO, 0), |posted| (posted.balance, posted.seq));
    Ok(Stepped::Done { balance, account_seq })
}

async fn already_written(
    tx: &mut SqliteConnection,
    step: &Step,
    account_id: Option<i64>,
) -> Result<Stepped, StoreError> {
    let payer = step.postings.map(|postings| postings.account_id).or(account_id);
    let query = sqlx::query("SELECT balance, money_seq FROM accounts WHERE id = $1").bind(payer);
    Ok(match query.fetch_optional(tx).await? {
        Some(row) => Stepped::Done { balance: row.money("balance")?, account_seq: row.int("money_seq")? },
        None => Stepped::Done { balance: Money::ZERO, account_seq: 0 },
    })
}

async fn cancel_waits(tx: &mut SqliteConnection, step: &Step) -> Result<bool, StoreError> {
    let query = sqlx::query("SELECT 1 FROM cancels WHERE job_id = $1").bind(step.job.as_str());
    Ok(query.fetch_optional(tx).await?.is_some())
}

/// A party is on the do-not-call list.
async fn is_stopped(tx: &mut SqliteConnection, request: &SqliteRow) -> Result<bool, StoreError> {
    let query = sqlx::query("SELECT 1 FROM do_not_call WHERE number IN ($1, $2)");
    let query = query.bind(request.text("a")?).bind(request.text_opt("b")?);
    Ok(query.fetch_optional(tx).await?.is_some())
}

async fn write_request(tx: &mut SqliteConnection, numbered: &Numbered) -> Result<(), StoreError> {
    let (step, change) = (&numbered.step, &numbered.step.request);
    sqlx::query(
        "UPDATE callback_requests SET
            step = $1, last_alive = $2, status = coalesce($3, status), result = coalesce($4, result),
            snapshot = coalesce($5, snapshot), next_call = coalesce($6, next_call), call_count = coalesce($7, call_count),
            call_id = coalesce($8, call_id), twoway_call_id = coalesce($9, twoway_call_id),
            setup_time = coalesce($10, setup_time), connect_time = coalesce($11, connect_time),
            disconnect_time = coalesce($12, disconnect_time), finished = coalesce($13, finished),
            alive_ms = coalesce($14, alive_ms), owner = CASE WHEN $15 THEN NULL ELSE owner END,
            reason = coalesce($17, reason)
         WHERE job_id = $16",
    )
    .bind(numbered.number)
    .bind(now())
    .bind(&change.status)
    .bind(&change.result)
    .bind(&change.snapshot)
    .bind(change.next_call)
    .bind(change.call_count)
    .bind(&change.call_id)
    .bind(&change.twoway_call_id)
    .bind(change.setup_time)
    .bind(change.connect_time)
    .bind(change.disconnect_time)
    .bind(change.finished)
    .bind(change.alive_ms)
    .bind(change.release)
    .bind(step.job.as_str())
    .bind(change.reason.map(EndReason::code))
    .execute(tx)
    .await?;
    Ok(())
}

async fn write_wire(tx: &mut SqliteConnection, step: &Step) -> Result<(), StoreError> {
    for invite in &step.invites {
        let moment = BootMoment::now();
        sqlx::query(
            "INSERT INTO invites (job_id, leg, attempt, try, call_id, branch, bytes, sdp, local_addr, peer_addr, expires_s, intent,
                                  intent_boot, intent_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING",
        )
        .bind(step.job.as_str())
        .bind(invite.leg.as_str())
        .bind(i64::from(invite.attempt))
        .bind(i64::from(invite.try_number))
        .bind(&invite.call_id)
        .bind(&invite.branch)
        .bind(&invite.bytes[..])
        .bind(&invite.sdp)
        .bind(invite.local_addr.to_string())
        .bind(invite.peer_addr.to_string())
        .bind(i64::from(invite.expires_s))
        .bind(now())
        .bind(moment.as_ref().map(|moment| &moment.boot))
        .bind(moment.as_ref().map(|moment| moment.ms))
        .execute(&mut *tx)
        .await?;
    }
    for response in &step.finals {
        sqlx::query(
            "UPDATE invites SET final_code = $1, final_bytes = $2
             WHERE job_id = $3 AND leg = $4 AND attempt = $5 AND try = $6 AND final_code IS NULL",
        )
        .bind(i64::from(response.code))
        .bind(&response.bytes[..])
        .bind(step.job.as_str())
        .bind(response.leg.as_str())
        .bind(i64::from(response.attempt))
        .bind(i64::from(response.try_number))
        .execute(&mut *tx)
        .await?;
    }
    for dialog in &step.dialogs {
        sqlx::query(
            "INSERT INTO dialogs (job_id, leg, attempt, state, cseq_hi) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (job_id, leg, attempt) DO UPDATE SET state = excluded.state, cseq_hi = excluded.cseq_hi",
        )
        .bind(step.job.as_str())
        .bind(dialog.leg.as_str())
        .bind(i64::from(dialog.attempt))
        .bind(&dialog.state)
        .bind(dialog.cseq_hi)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The balance that a step without money shows in its events, if one of them asks.
async fn balance_of(
    tx: &mut SqliteConnection,
    account_id: Option<i64>,
    step: &Step,
) -> Result<Option<Money>, StoreError> {
    if !step.events.iter().any(|event| event.money == EventMoney::Balance) {
        return Ok(None);
    }
    let query = sqlx::query_scalar("SELECT balance FROM accounts WHERE id = $1").bind(account_id);
    let balance: Option<i64> = query.fetch_optional(tx).await?;
    Ok(balance.map(Money))
}

/// All events of a step in one statement.
async fn write_events(
    tx: &mut SqliteConnection,
    step: &Step,
    posted: Option<&Posted>,
    closing: Option<Money>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(step.events.len());
    for event in &step.events {
        let (seq, balance) = match event.money.label() {
            None => (None, None),
            Some(_) if event.money == EventMoney::Balance => (None, closing),
            Some(attempt) => match posted.and_then(|posted| posted.charges.get(&attempt)) {
                Some((seq, balance)) => (*seq, Some(*balance)),
                None => continue,
            },
        };
        let (to, key, id) = (event.destination.as_str(), event.routing_key.as_str(), event.event_id.as_str());
        rows.push((to, key, id, event.kind.as_str(), event.body.as_str(), seq, balance));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let rows = serde_json::to_string(&rows).map_err(|error| StoreError::Invalid(error.to_string()))?;
    sqlx::query(
        "INSERT INTO outbox (destination, routing_key, event_id, kind, body, account_seq, balance, created)
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, $2 FROM json_each($1) WHERE TRUE
         ON CONFLICT DO NOTHING",
    )
    .bind(rows)
    .bind(now())
    .execute(tx)
    .await?;
    Ok(())
}
