//! Money on SQLite: the paying account while one step works on it. PostgreSQL's is in the function `ringback_steps_v1`.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::backend::now;
use super::columns::Columns;
use super::error::StoreError;
use super::step::{HoldChange, Settlement, Step, attempt_label, cdr_id, unique_id};
use crate::money::Money;

/// The paying account while a step works on it.
pub struct Till {
    id: i64,
    name: String,
    currency: String,
    /// All its money.
    pub balance: Money,
    held: Money,
    /// Number of its last money movement.
    pub seq: i64,
    /// Of this job's hold.
    hold: Option<Money>,
}

/// What opening the till came to.
pub enum Opened {
    NotNeeded,
    Open(Till),
    NoFunds,
}

impl Till {
    /// The account that this step's hold or charge concerns, the hold already set.
    pub async fn open(tx: &mut SqliteConnection, step: &Step) -> Result<Opened, StoreError> {
        if !step.touches_money() {
            return Ok(Opened::NotNeeded);
        }
        let invalid = |text: String| Err(StoreError::Invalid(text));
        let query = sqlx::query("SELECT account_id, amount FROM holds WHERE job_id = $1").bind(step.job.as_str());
        let (mut payer, mut hold) = (step.payer(), None);
        if let Some(row) = query.fetch_optional(&mut *tx).await? {
            let owner = row.int("account_id")?;
            if payer.is_some_and(|payer| payer != owner) {
                return invalid(format!("the hold of job {} belongs to account {owner}", step.job));
            }
            (payer, hold) = (Some(owner), Some(row.money("amount")?));
        } else if matches!(step.hold, Some(HoldChange::Extend { .. })) {
            return invalid(format!("job {} has no open hold to extend", step.job));
        }
        let Some(id) = payer else { return Ok(Opened::NotNeeded) };
        let query = sqlx::query("SELECT name, currency, balance, held, money_seq FROM accounts WHERE id = $1").bind(id);
        let Some(row) = query.fetch_optional(&mut *tx).await? else {
            return invalid(format!("there is no account {id}"));
        };
        let mut till = Till {
            id,
            name: row.text("name")?,
            currency: row.text("currency")?,
            balance: row.money("balance")?,
            held: row.money("held")?,
            seq: row.int("money_seq")?,
            hold,
        };
        match step.hold_amount() {
            Some(amount) if !till.hold(amount) => Ok(Opened::NoFunds),
            _ => Ok(Opened::Open(till)),
        }
    }

    /// Sets the hold if the free balance allows.
    fn hold(&mut self, amount: Money) -> bool {
        let more = amount - self.hold.unwrap_or_default();
        if more > self.balance - self.held {
            return false;
        }
        self.held += more;
        self.hold = Some(amount);
        true
    }

    /// Charges one attempt, once, and writes its CDR. Returns what nobody could pay.
    pub async fn settle(
        &mut self,
        tx: &mut SqliteConnection,
        step: &Step,
        settled: &Settlement,
        source: &str,
        charges: &mut BTreeMap<String, (Option<i64>, Money)>,
    ) -> Result<Money, StoreError> {
        let cdr_id = cdr_id(&step.job, settled.leg, settled.attempt);
        let known = sqlx::query("SELECT 1 FROM call_records WHERE cdr_id = $1").bind(&cdr_id);
        if known.fetch_optional(&mut *tx).await?.is_some() {
            return Ok(Money::ZERO);
        }
        let from_hold = settled.cost.min(self.hold.unwrap_or_default());
        let from_free = (settled.cost - from_hold).min(self.balance - self.held);
        let charged = from_hold + from_free;
        let uncovered = settled.cost - charged;
        self.balance -= charged;
        self.held -= from_hold;
        self.hold = self.hold.map(|hold| hold - from_hold);
        let seq = (charged > Money::ZERO).then_some(self.seq + 1);
        if let Some(seq) = seq {
            self.seq = seq;
            let key = format!("{cdr_id}:charge:1");
            self.post(tx, &key, &format!("account:{}", self.id), -charged, step).await?;
            self.post(tx, &key, "revenue", charged, step).await?;
        }
        self.write_cdr(tx, step, settled, source, (&cdr_id, charged, uncovered, seq)).await?;
        charges.insert(attempt_label(settled.leg, settled.attempt), (seq, self.balance));
        Ok(uncovered)
    }

    async fn post(
        &self,
        tx: &mut SqliteConnection,
        key: &str,
        account: &str,
        amount: Money,
        step: &Step,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO ledger (entry_key, account, amount, currency, account_seq, job_id, created)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(key)
        .bind(account)
        .bind(amount.0)
        .bind(&self.currency)
        .bind(self.seq)
        .bind(step.job.as_str())
        .bind(now())
        .execute(tx)
        .await?;
        Ok(())
    }

    async fn write_cdr(
        &self,
        tx: &mut SqliteConnection,
        step: &Step,
        settled: &Settlement,
        source: &str,
        (cdr_id, charged, uncovered, seq): (&str, Money, Money, Option<i64>),
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO call_records (cdr_id, uniqueid, job_id, leg, attempt, source, account_id, account, number, cli, trunk,
                                       setup_time, connect_time, disconnect_time, duration_ms, billed_seconds, cost, uncovered,
                                       currency, cause, sip_code, q850, call_id, account_seq, balance)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                     $24, $25)",
        )
        .bind(cdr_id)
        .bind(unique_id(cdr_id))
        .bind(step.job.as_str())
        .bind(settled.leg.as_str())
        .bind(i64::from(settled.attempt))
        .bind(source)
        .bind(self.id)
        .bind(&self.name)
        .bind(&settled.number)
        .bind(&settled.cli)
        .bind(&settled.trunk)
        .bind(settled.setup_time)
        .bind(settled.connect_time)
        .bind(settled.disconnect_time)
        .bind(settled.duration_ms.min(i64::MAX as u64) as i64)
        .bind(settled.billed_seconds.min(i64::MAX as u64) as i64)
        .bind(charged.0)
        .bind(uncovered.0)
        .bind(&self.currency)
        .bind(&settled.cause)
        .bind(settled.sip_code.map(i64::from))
        .bind(settled.q850.map(i64::from))
        .bind(&settled.call_id)
        .bind(seq)
        .bind(self.balance.0)
        .execute(tx)
        .await?;
        Ok(())
    }

    /// Writes hold and account back.
    pub async fn close(&mut self, tx: &mut SqliteConnection, step: &Step) -> Result<(), StoreError> {
        if step.release_hold {
            self.held -= self.hold.take().unwrap_or_default();
            sqlx::query("DELETE FROM holds WHERE job_id = $1").bind(step.job.as_str()).execute(&mut *tx).await?;
        } else if let Some(hold) = self.hold {
            sqlx::query(
                "INSERT INTO holds (job_id, account_id, amount) VALUES ($1, $2, $3)
                 ON CONFLICT (job_id) DO UPDATE SET amount = excluded.amount",
            )
            .bind(step.job.as_str())
            .bind(self.id)
            .bind(hold.0)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("UPDATE accounts SET balance = $1, held = $2, money_seq = $3 WHERE id = $4")
            .bind(self.balance.0)
            .bind(self.held.0)
            .bind(self.seq)
            .bind(self.id)
            .execute(tx)
            .await?;
        Ok(())
    }
}
