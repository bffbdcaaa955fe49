//! Money on SQLite: applies the postings of one step to its account. PostgreSQL's is the function `ringback_post_v1`.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::backend::now;
use super::columns::Columns;
use super::error::StoreError;
use super::postings::Postings;
use super::step::{Settlement, Step, attempt_label, cdr_id, unique_id};
use crate::money::Money;

/// The account as the step leaves it.
pub struct Posted {
    /// All its money.
    pub balance: Money,
    /// Number of its last money movement.
    pub seq: i64,
    /// By attempt: the number of its charge, if it cost anything, and the balance after it.
    pub charges: BTreeMap<String, (Option<i64>, Money)>,
}

/// Who pays, as written into CDR and ledger.
struct Payer {
    id: i64,
    name: String,
    currency: String,
}

/// Applies them; `None` when the money is not there, and nothing is written. An attempt that has its CDR is left as it is.
pub async fn post(
    tx: &mut SqliteConnection,
    step: &Step,
    postings: Postings,
    source: &str,
) -> Result<Option<Posted>, StoreError> {
    insist_on_hold(tx, step, postings).await?;
    let query = sqlx::query("SELECT name, currency, balance, held, money_seq FROM accounts WHERE id = $1");
    let Some(row) = query.bind(postings.account_id).fetch_optional(&mut *tx).await? else {
        return Err(StoreError::Invalid(format!("there is no account {}", postings.account_id)));
    };
    let (balance, seq) = (row.money("balance")?, row.int("money_seq")?);
    let need = step.need().unwrap_or_default();
    if need > Money::ZERO && need > balance - row.money("held")? {
        return Ok(None);
    }
    let payer = Payer { id: postings.account_id, name: row.text("name")?, currency: row.text("currency")? };
    let mut posted = Posted { balance, seq, charges: BTreeMap::new() };
    for settled in &step.settlements {
        posted.charge(tx, step, settled, &payer, source).await?;
    }
    set_hold(tx, step, postings).await?;
    sqlx::query("UPDATE accounts SET balance = $1, held = held + $2, money_seq = $3 WHERE id = $4")
        .bind(posted.balance.0)
        .bind((postings.to - postings.from).0)
        .bind(posted.seq)
        .bind(payer.id)
        .execute(tx)
        .await?;
    Ok(Some(posted))
}

async fn insist_on_hold(tx: &mut SqliteConnection, step: &Step, postings: Postings) -> Result<(), StoreError> {
    let query = sqlx::query("SELECT account_id, amount FROM holds WHERE job_id = $1").bind(step.job.as_str());
    let row = query.fetch_optional(tx).await?;
    let (owner, held) = match &row {
        Some(row) => (row.int("account_id")?, row.money("amount")?),
        None => (postings.account_id, Money::ZERO),
    };
    if owner != postings.account_id {
        return Err(StoreError::Invalid(format!(
            "the hold of job {} belongs to account {owner}, not {}",
            step.job, postings.account_id
        )));
    }
    if held != postings.from {
        return Err(StoreError::Invalid(format!("the hold of job {} is {held}, not {}", step.job, postings.from)));
    }
    Ok(())
}

async fn set_hold(tx: &mut SqliteConnection, step: &Step, postings: Postings) -> Result<(), StoreError> {
    let job = step.job.as_str();
    if postings.to == Money::ZERO {
        sqlx::query("DELETE FROM holds WHERE job_id = $1").bind(job).execute(tx).await?;
        return Ok(());
    }
    let set = sqlx::query(
        "INSERT INTO holds (job_id, account_id, amount) VALUES ($1, $2, $3)
         ON CONFLICT (job_id) DO UPDATE SET amount = excluded.amount",
    );
    set.bind(job).bind(postings.account_id).bind(postings.to.0).execute(tx).await?;
    Ok(())
}

impl Posted {
    /// Writes the CDR of one attempt and what it cost into the ledger.
    async fn charge(
        &mut self,
        tx: &mut SqliteConnection,
        step: &Step,
        settled: &Settlement,
        payer: &Payer,
        source: &str,
    ) -> Result<(), StoreError> {
        let cdr_id = cdr_id(&step.job, settled.leg, settled.attempt);
        let seq = (settled.cost > Money::ZERO).then_some(self.seq + 1);
        let balance = self.balance - settled.cost;
        let new = write_cdr(tx, step, settled, payer, (&cdr_id, source, seq, balance)).await?;
        if !new {
            return Ok(());
        }
        self.balance = balance;
        if let Some(seq) = seq {
            self.seq = seq;
            write_ledger(tx, step, settled, payer, (&cdr_id, seq)).await?;
        }
        self.charges.insert(attempt_label(settled.leg, settled.attempt), (seq, balance));
        Ok(())
    }
}

async fn write_ledger(
    tx: &mut SqliteConnection,
    step: &Step,
    settled: &Settlement,
    payer: &Payer,
    (cdr_id, seq): (&str, i64),
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ledger (entry_key, account, amount, currency, account_seq, job_id, created)
         VALUES ($1, $2, -$3, $4, $5, $6, $7), ($1, 'revenue', $3, $4, $5, $6, $7)",
    )
    .bind(format!("{cdr_id}:charge:1"))
    .bind(format!("account:{}", payer.id))
    .bind(settled.cost.0)
    .bind(&payer.currency)
    .bind(seq)
    .bind(step.job.as_str())
    .bind(now())
    .execute(tx)
    .await?;
    Ok(())
}

/// False: it is there already.
async fn write_cdr(
    tx: &mut SqliteConnection,
    step: &Step,
    settled: &Settlement,
    payer: &Payer,
    (cdr_id, source, seq, balance): (&str, &str, Option<i64>, Money),
) -> Result<bool, StoreError> {
    let written = sqlx::query(
        "INSERT INTO call_records (cdr_id, uniqueid, job_id, leg, attempt, source, account_id, account, number, cli, trunk,
                                   setup_time, connect_time, disconnect_time, duration_ms, billed_seconds, cost,
                                   currency, cause, sip_code, q850, call_id, account_seq, balance)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
         ON CONFLICT (cdr_id) DO NOTHING",
    )
    .bind(cdr_id)
    .bind(unique_id(cdr_id))
    .bind(step.job.as_str())
    .bind(settled.leg.as_str())
    .bind(i64::from(settled.attempt))
    .bind(source)
    .bind(payer.id)
    .bind(&payer.name)
    .bind(&settled.number)
    .bind(&settled.cli)
    .bind(&settled.trunk)
    .bind(settled.setup_time)
    .bind(settled.connect_time)
    .bind(settled.disconnect_time)
    .bind(settled.duration_ms.min(i64::MAX as u64) as i64)
    .bind(settled.billed_seconds.min(i64::MAX as u64) as i64)
    .bind(settled.cost.0)
    .bind(&payer.currency)
    .bind(&settled.cause)
    .bind(settled.sip_code.map(i64::from))
    .bind(settled.q850.map(i64::from))
    .bind(&settled.call_id)
    .bind(seq)
    .bind(balance.0)
    .execute(tx)
    .await?;
    Ok(written.rows_affected() == 1)
}
