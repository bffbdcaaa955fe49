//! Money outside calls. Every movement is two rows of the ledger that sum to zero; the account's own row is updated first, so
//! its sequence numbers are the order of the commits.

use chrono::Utc;
use rand::random;

use super::Store;
use super::backend::{change, now, on};
use super::columns::Columns;
use super::error::StoreError;
use super::step::Outlet;
use crate::event::{BALANCE_TYPE, BalanceEvent, Envelope};
use crate::money::Money;

impl Store {
    /// Adds money to an account, or takes some that no live call holds (`kind`: `topup`, `correction`). The event is in the
    /// outbox, for the log and for billing if it is fed: whoever counts an account's movements hears of all of them in one place.
    pub async fn topup(&self, name: &str, amount: Money, kind: &str) -> Result<BalanceEvent, StoreError> {
        if amount == Money::ZERO {
            return Err(StoreError::Invalid("an amount of zero moves no money".to_owned()));
        }
        let id = format!("balance-{:032x}", random::<u128>());
        let billing = self.inner.billing_feed.then(|| (Outlet::Billing, "balance".to_owned()));
        let outlets: Vec<_> = billing.into_iter().chain([(Outlet::Log, format!("balance.{kind}"))]).collect();
        let moved = change!(self, tx => {
            let update = sqlx::query(
                "UPDATE accounts SET balance = balance + $2, money_seq = money_seq + 1
                  WHERE name = $1 AND balance + $2 >= held AND balance <= $3 RETURNING id, currency, balance, money_seq",
            );
            let most = i64::MAX.saturating_sub(amount.0.max(0));
            let row = update.bind(name).bind(amount.0).bind(most).fetch_optional(&mut *tx).await?;
            let Some(row) = row else {
                let known = sqlx::query("SELECT 1 AS found FROM accounts WHERE name = $1").bind(name).fetch_optional(&mut *tx).await?;
                return Err(refusal(known.is_some(), name));
            };
            let (account_id, currency, seq) = (row.int("id")?, row.text("currency")?, row.int("money_seq")?);
            let balance = row.money("balance")?;
            for (account, side) in [(format!("account:{account_id}"), amount), ("cash".to_owned(), -amount)] {
                let post = sqlx::query(
                    "INSERT INTO ledger (entry_key, account, amount, currency, account_seq, created)
                     VALUES ($1, $2, $3, $4, $5, $6)",
                );
                let post = post.bind(format!("{id}:{kind}:1")).bind(account).bind(side.0).bind(&currency).bind(seq);
                post.bind(now()).execute(&mut *tx).await?;
            }
            let account = name.to_owned();
            let event = BalanceEvent { account, amount, kind: kind.to_owned(), currency, account_seq: seq, balance };
            let body = envelope(&id, &event)?;
            for (outlet, key) in &outlets {
                let tell = sqlx::query(
                    "INSERT INTO outbox (destination, routing_key, event_id, kind, body, created) VALUES ($1, $2, $3, $4, $5, $6)",
                );
                let tell = tell.bind(outlet.as_str()).bind(key.as_str()).bind(&id).bind(BALANCE_TYPE).bind(&body);
                tell.bind(now()).execute(&mut *tx).await?;
            }
            Ok(event)
        })?;
        outlets.iter().for_each(|(outlet, _)| self.note_outbox_written(*outlet));
        Ok(moved)
    }

    /// The sum of the whole ledger: zero, or something is badly wrong.
    pub async fn ledger_sum(&self) -> Result<Money, StoreError> {
        on!(self, read, pool => {
            let sum = sqlx::query_scalar("SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM ledger");
            Ok(Money(sum.fetch_one(pool).await?))
        })
    }
}

fn refusal(known: bool, name: &str) -> StoreError {
    match known {
        true => StoreError::Invalid(format!(
            "account {name} has not so much that no live call holds, or would have too much"
        )),
        false => StoreError::NotFound(format!("account {name}")),
    }
}

fn envelope(id: &str, event: &BalanceEvent) -> Result<String, StoreError> {
    let envelope = Envelope::new(id.to_owned(), "/ringback/store".to_owned(), BALANCE_TYPE, Utc::now(), None, event);
    serde_json::to_string(&envelope).map_err(|error| StoreError::Invalid(error.to_string()))
}
