//! Accounts: who may call, from which addresses, with what money. Triggers read an [`AccountView`] and nothing of the ledger.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

use super::Store;
use super::backend::{change, now, on};
use super::columns::Columns;
use super::error::StoreError;
use crate::money::Money;

/// An account with its addresses, a line each, oldest first: `number +44...`.
macro_rules! account_sql {
    ($end:literal) => {
        concat!(
            "SELECT a.*, (SELECT string_agg(kind || ' ' || value, '\n' ORDER BY kind, place) FROM account_addresses d
                           WHERE d.account_id = a.id) AS addresses
               FROM accounts a ",
            $end
        )
    };
}

/// Bytes or text that never show in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed<T>(pub T);

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(sealed)")
    }
}

/// An account as an operator sees it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its number in the store; part of the trigger secret's HMAC.
    pub id: i64,
    /// Unique.
    pub name: String,
    /// ISO 4217 code.
    pub currency: String,
    /// False: nothing is admitted, live calls are ended.
    pub enabled: bool,
    /// All its money.
    pub balance: Money,
    /// Of the balance, set aside for live calls.
    pub held: Money,
    /// Number of its last money movement.
    pub money_seq: i64,
    /// HMAC of the PIN or SMS password.
    pub trigger_secret: Option<Sealed<Vec<u8>>>,
    /// argon2id hash of the sign-in password.
    pub password_hash: Option<Sealed<String>>,
    /// Registered numbers.
    pub numbers: Vec<String>,
    /// Numbers that ring this account's callback.
    pub dids: Vec<String>,
    /// Registered e-mail addresses, lower case.
    pub emails: Vec<String>,
    /// Allowed dialling prefixes, without `+`.
    pub allow: Vec<String>,
    /// Its own limits, by key of the settings.
    pub limits: BTreeMap<String, String>,
    /// Exempt from every velocity, concurrency and spend limit.
    pub limits_off: bool,
    /// The language it is answered in: `en`, `es`, `fr`, `zh`. `None`: that of its country or message.
    pub language: Option<String>,
    /// A mail with the secret counts only if DKIM vouches for the mail too.
    pub mail_must_be_vouched: bool,
    /// When it was added.
    pub created: DateTime<Utc>,
}

/// An account as a trigger sees it.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// Its number in the store; part of the trigger secret's HMAC.
    pub id: i64,
    /// Unique.
    pub name: String,
    /// ISO 4217 code.
    pub currency: String,
    /// False: nothing is admitted.
    pub enabled: bool,
    /// Its money less what is set aside.
    pub available: Money,
    /// All its money.
    pub balance: Money,
    /// HMAC of the PIN or SMS password.
    pub trigger_secret: Option<Sealed<Vec<u8>>>,
    /// argon2id hash of the sign-in password.
    pub password_hash: Option<Sealed<String>>,
    /// Registered numbers.
    pub numbers: Vec<String>,
    /// Numbers that ring this account's callback.
    pub dids: Vec<String>,
    /// Registered e-mail addresses, lower case.
    pub emails: Vec<String>,
    /// Allowed dialling prefixes, without `+`.
    pub allow: Vec<String>,
    /// Its own limits, by key of the settings.
    pub limits: BTreeMap<String, String>,
    /// Exempt from every velocity, concurrency and spend limit.
    pub limits_off: bool,
    /// The language it is answered in: `en`, `es`, `fr`, `zh`. `None`: that of its country or message.
    pub language: Option<String>,
    /// A mail with the secret counts only if DKIM vouches for the mail too.
    pub mail_must_be_vouched: bool,
}

/// An account to add.
#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// Unique.
    pub name: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Booked as a first top-up when above zero.
    pub balance: Money,
    /// Registered numbers.
    pub numbers: Vec<String>,
    /// Numbers that ring this account's callback.
    pub dids: Vec<String>,
    /// Registered e-mail addresses.
    pub emails: Vec<String>,
    /// Allowed dialling prefixes, without `+`.
    pub allow: Vec<String>,
    /// Its own limits, by key of the settings.
    pub limits: BTreeMap<String, String>,
    /// Exempt from every velocity, concurrency and spend limit.
    pub limits_off: bool,
    /// The language it is answered in: `en`, `es`, `fr`, `zh`. `None`: that of its country or message.
    pub language: Option<String>,
    /// A mail with the secret counts only if DKIM vouches for the mail too.
    pub mail_must_be_vouched: bool,
    /// argon2id hash of the sign-in password.
    pub password_hash: Option<Sealed<String>>,
}

/// What to change; `None` leaves it. Lists are replaced whole.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// Enable or disable.
    pub enabled: Option<bool>,
    /// HMAC of the PIN or SMS password (needs the account's id, so it follows the adding).
    pub trigger_secret: Option<Sealed<Vec<u8>>>,
    /// argon2id hash of the sign-in password.
    pub password_hash: Option<Sealed<String>>,
    /// Registered numbers.
    pub numbers: Option<Vec<String>>,
    /// Numbers that ring this account's callback.
    pub dids: Option<Vec<String>>,
    /// Registered e-mail addresses.
    pub emails: Option<Vec<String>>,
    /// Allowed dialling prefixes, without `+`.
    pub allow: Option<Vec<String>>,
    /// Its own limits, by key of the settings.
    pub limits: Option<BTreeMap<String, String>>,
    /// Exempt from every limit or not.
    pub limits_off: Option<bool>,
    /// The language it is answered in; empty: that of its country or message.
    pub language: Option<String>,
    /// Whether a mail with the secret counts only if DKIM vouches for the mail too.
    pub mail_must_be_vouched: Option<bool>,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> AccountView {
        AccountView {
            id: account.id,
            name: account.name,
            currency: account.currency,
            enabled: account.enabled,
            available: account.balance - account.held,
            balance: account.balance,
            trigger_secret: account.trigger_secret,
            password_hash: account.password_hash,
            numbers: account.numbers,
            dids: account.dids,
            emails: account.emails,
            allow: account.allow,
            limits: account.limits,
            limits_off: account.limits_off,
            language: account.language,
            mail_must_be_vouched: account.mail_must_be_vouched,
        }
    }
}

/// The three kinds of addresses an account may have; each belongs to one account.
const NUMBER: &str = "number";
const DID: &str = "did";
const EMAIL: &str = "email";
/// So many last digits of a DID or number name an account.
const TAIL: usize = 7;

impl Store {
    /// Adds an account; its first money is booked as a top-up.
    pub async fn add_account(&self, new: &NewAccount) -> Result<Account, StoreError> {
        new.check()?;
        let (allow, limits) = (json(&new.allow)?, json(&new.limits)?);
        let password = new.password_hash.as_ref().map(|hash| hash.0.as_str());
        let addresses = new.addresses();
        change!(self, tx => {
            let insert = sqlx::query_scalar(
                "INSERT INTO accounts (name, currency, allow, limits, limits_off, password_hash, created, language,
                                       mail_must_be_vouched)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
            );
            let insert = insert.bind(&new.name).bind(&new.currency).bind(&allow).bind(&limits).bind(new.limits_off);
            let insert = insert.bind(password).bind(now()).bind(&new.language).bind(new.mail_must_be_vouched);
            let added: Result<i64, sqlx::Error> = insert.fetch_one(&mut *tx).await;
            let id = added.map_err(|error| StoreError::from(error).named(&format!("account {}", new.name)))?;
            for (place, (kind, value)) in (0_i64..).zip(&addresses) {
                let insert = sqlx::query("INSERT INTO account_addresses (kind, value, account_id, place) VALUES ($1, $2, $3, $4)");
                let added = insert.bind(*kind).bind(value.as_str()).bind(id).bind(place).execute(&mut *tx).await;
                added.map_err(|error| StoreError::from(error).named(&format!("{kind} {value}")))?;
            }
            Ok(())
        })?;
        if new.balance > Money::ZERO {
            self.topup(&new.name, new.balance, "topup").await?;
        }
        self.account_by_name(&new.name).await?.ok_or_else(|| StoreError::NotFound(format!("account {}", new.name)))
    }

    /// Changes an account.
    pub async fn update_account(&self, name: &str, change: &AccountChange) -> Result<Account, StoreError> {
        let allow = change.allow.as_ref().map(json).transpose()?;
        let limits = change.limits.as_ref().map(json).transpose()?;
        let secret = change.trigger_secret.as_ref().map(|secret| secret.0.as_slice());
        let password = change.password_hash.as_ref().map(|hash| hash.0.as_str());
        let lists = [(NUMBER, &change.numbers), (DID, &change.dids), (EMAIL, &change.emails)];
        change!(self, tx => {
            let update = sqlx::query_scalar(
                "UPDATE accounts SET enabled = coalesce($2, enabled), trigger_secret = coalesce($3, trigger_secret),
                        password_hash = coalesce($4, password_hash), allow = coalesce($5, allow),
                        limits = coalesce($6, limits), limits_off = coalesce($7, limits_off),
                        language = coalesce($8, language),
                        mail_must_be_vouched = coalesce($9, mail_must_be_vouched)
                  WHERE name = $1 RETURNING id",
            );
            let update = update.bind(name).bind(change.enabled).bind(secret).bind(password).bind(&allow).bind(&limits);
            let update = update.bind(change.limits_off).bind(&change.language).bind(change.mail_must_be_vouched);
            let id: Option<i64> = update.fetch_optional(&mut *tx).await?;
            let id = id.ok_or_else(|| StoreError::NotFound(format!("account {name}")))?;
            for (kind, values) in lists.iter().filter_map(|(kind, values)| Some((*kind, values.as_ref()?))) {
                let delete = sqlx::query("DELETE FROM account_addresses WHERE account_id = $1 AND kind = $2");
                delete.bind(id).bind(kind).execute(&mut *tx).await?;
                for (place, value) in (0_i64..).zip(values.iter().map(|value| address(kind, value))) {
                    let insert = sqlx::query("INSERT INTO account_addresses (kind, value, account_id, place) VALUES ($1, $2, $3, $4)");
                    let added = insert.bind(kind).bind(value.as_str()).bind(id).bind(place).execute(&mut *tx).await;
                    added.map_err(|error| StoreError::from(error).named(&format!("{kind} {value}")))?;
                }
            }
            Ok(())
        })?;
        if change.enabled == Some(false) {
            self.wake().await;
        }
        self.account_by_name(name).await?.ok_or_else(|| StoreError::NotFound(format!("account {name}")))
    }

    /// Forgets an account, its numbers and addresses. One with money or unfinished callbacks stays; what was booked on it stays
    /// in the ledger and in the CDRs.
    pub async fn remove_account(&self, name: &str) -> Result<(), StoreError> {
        change!(self, tx => {
            let find = sqlx::query("SELECT id, balance, held FROM accounts WHERE name = $1").bind(name);
            let Some(row) = find.fetch_optional(&mut *tx).await? else {
                return Err(StoreError::NotFound(format!("account {name}")));
            };
            let (id, balance, held) = (row.int("id")?, row.money("balance")?, row.money("held")?);
            let unfinished = sqlx::query_scalar("SELECT count(*) FROM callback_requests WHERE account_id = $1 AND NOT finished");
            let unfinished: i64 = unfinished.bind(id).fetch_one(&mut *tx).await?;
            if balance != Money::ZERO || held != Money::ZERO || unfinished > 0 {
                return Err(StoreError::Invalid(format!(
                    "account {name} has money or unfinished callbacks; disable it, pay it out with `--balance 0`, then remove it"
                )));
            }
            let gone = sqlx::query("DELETE FROM accounts WHERE id = $1 AND balance = 0 AND held = 0").bind(id);
            match gone.execute(&mut *tx).await?.rows_affected() {
                1 => Ok(()),
                _ => Err(StoreError::Conflict(format!("account {name}"))),
            }
        })
    }

    /// Changes the currency of an account whose books are empty. False: they are not, and nothing is changed.
    pub async fn set_currency(&self, name: &str, currency: &str) -> Result<bool, StoreError> {
        on!(self, write, pool => {
            let change = sqlx::query(
                "UPDATE accounts SET currency = $2 WHERE name = $1 AND money_seq = 0 AND balance = 0 AND held = 0
                    AND NOT EXISTS (SELECT 1 FROM call_records c WHERE c.account_id = accounts.id)",
            );
            Ok(change.bind(name).bind(currency).execute(pool).await?.rows_affected() == 1)
        })
    }

    /// The account of this name.
    pub async fn account_by_name(&self, name: &str) -> Result<Option<Account>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(account_sql!("WHERE a.name = $1")).bind(name);
            query.fetch_optional(pool).await?.map(|row| Account::read(&row)).transpose()
        })
    }

    /// The account of this number in the store.
    pub async fn account_by_id(&self, id: i64) -> Result<Option<Account>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(account_sql!("WHERE a.id = $1")).bind(id);
            query.fetch_optional(pool).await?.map(|row| Account::read(&row)).transpose()
        })
    }

    /// The account this number is registered to.
    pub async fn account_by_number(&self, number: &str) -> Result<Option<Account>, StoreError> {
        self.account_at(NUMBER, number).await
    }

    /// The account whose callback this DID rings.
    pub async fn account_by_did(&self, did: &str) -> Result<Option<Account>, StoreError> {
        self.account_at(DID, did).await
    }

    /// The account this e-mail address is registered to.
    pub async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        self.account_at(EMAIL, email).await
    }

    async fn account_at(&self, kind: &str, value: &str) -> Result<Option<Account>, StoreError> {
        let value = address(kind, value);
        on!(self, read, pool => {
            let query = sqlx::query(account_sql!(
                "WHERE a.id = (SELECT account_id FROM account_addresses WHERE kind = $1 AND value = $2)"
            ));
            query.bind(kind).bind(&value).fetch_optional(pool).await?.map(|row| Account::read(&row)).transpose()
        })
    }

    /// What a trigger may see of the account of this name.
    pub async fn view_by_name(&self, name: &str) -> Result<Option<AccountView>, StoreError> {
        Ok(self.account_by_name(name).await?.map(AccountView::from))
    }

    /// What a trigger may see of the account this number is registered to.
    pub async fn view_by_number(&self, number: &str) -> Result<Option<AccountView>, StoreError> {
        Ok(self.account_by_number(number).await?.map(AccountView::from))
    }

    /// What a trigger may see of the account this e-mail address is registered to.
    pub async fn view_by_email(&self, email: &str) -> Result<Option<AccountView>, StoreError> {
        Ok(self.account_by_email(email).await?.map(AccountView::from))
    }

    /// What a trigger may see of the account whose name is written so, whether in capitals or not; the exact one first.
    pub async fn view_by_any_case(&self, name: &str) -> Result<Option<AccountView>, StoreError> {
        let account = on!(self, read, pool => {
            let query = sqlx::query(account_sql!("WHERE lower(a.name) = lower($1) ORDER BY a.name <> $1, a.id LIMIT 1"));
            query.bind(name).fetch_optional(pool).await?.map(|row| Account::read(&row)).transpose()
        })?;
        Ok(account.map(AccountView::from))
    }

    /// The accounts, at most ten, of which a DID ends in these seven digits; where there is none, those of which a registered
    /// number does. Anything but seven digits is nobody's.
    pub async fn views_by_tail(&self, digits: &str) -> Result<Vec<AccountView>, StoreError> {
        if digits.len() != TAIL || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Ok(Vec::new());
        }
        let by_did = self.accounts_by_tail(DID, digits).await?;
        let by_number = self.accounts_by_tail(NUMBER, digits).await?; // asked anyway: the time tells nobody whose digits they are
        let found = if by_did.is_empty() { by_number } else { by_did };
        Ok(found.into_iter().map(AccountView::from).collect())
    }

    async fn accounts_by_tail(&self, kind: &str, digits: &str) -> Result<Vec<Account>, StoreError> {
        let sql = match self.inner.backend.is_postgres() {
            true => account_sql!(
                "WHERE a.id IN (SELECT account_id FROM account_addresses
                                 WHERE right(value, 7) = $2 AND kind IN ('did', 'number') AND kind = $1) ORDER BY a.id LIMIT 10"
            ),
            false => account_sql!(
                "WHERE a.id IN (SELECT account_id FROM account_addresses
                                 WHERE substr(value, -7) = $2 AND kind IN ('did', 'number') AND kind = $1) ORDER BY a.id LIMIT 10"
            ),
        };
        on!(self, read, pool => {
            sqlx::query(sql).bind(kind).bind(digits).fetch_all(pool).await?.iter().map(Account::read).collect()
        })
    }

    /// Registers one more number to an account, unless it has `most` already.
    ///
    /// # Errors
    /// `Conflict` when the number is registered to another account; `Invalid` when the account has enough.
    pub async fn add_number(&self, account_id: i64, number: &str, most: i64) -> Result<(), StoreError> {
        change!(self, tx => {
            let lock = sqlx::query("UPDATE accounts SET name = name WHERE id = $1").bind(account_id);
            if lock.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(StoreError::NotFound("the account".to_owned()));
            }
            let held = sqlx::query_scalar("SELECT account_id FROM account_addresses WHERE kind = $1 AND value = $2");
            let holder: Option<i64> = held.bind(NUMBER).bind(number).fetch_optional(&mut *tx).await?;
            match holder {
                Some(holder) if holder == account_id => return Ok(()),
                Some(_) => return Err(StoreError::Conflict("the number".to_owned())),
                None => {}
            }
            let count = sqlx::query_scalar("SELECT count(*) FROM account_addresses WHERE kind = $1 AND account_id = $2");
            let count: i64 = count.bind(NUMBER).bind(account_id).fetch_one(&mut *tx).await?;
            if count >= most {
                return Err(StoreError::Invalid(format!("the account has {count} numbers already")));
            }
            let add = sqlx::query(
                "INSERT INTO account_addresses (kind, value, account_id, place)
                 SELECT $1, $2, $3, coalesce(max(place) + 1, 0) FROM account_addresses WHERE kind = $1 AND account_id = $3",
            );
            add.bind(NUMBER).bind(number).bind(account_id).execute(&mut *tx).await?;
            Ok(())
        })
    }

    /// Every enabled account's number in the store, with its sealed trigger secret.
    pub async fn trigger_secrets(&self) -> Result<Vec<(i64, Sealed<Vec<u8>>)>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query("SELECT id, trigger_secret FROM accounts WHERE enabled AND trigger_secret IS NOT NULL");
            let rows = query.fetch_all(pool).await?;
            rows.iter().map(|row| Ok((row.int("id")?, Sealed(row.bytes("trigger_secret")?)))).collect()
        })
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        on!(self, read, pool => {
            let rows = sqlx::query(account_sql!("ORDER BY a.name")).fetch_all(pool).await?;
            rows.iter().map(Account::read).collect()
        })
    }
}

impl NewAccount {
    fn check(&self) -> Result<(), StoreError> {
        let invalid = |text: &str| Err(StoreError::Invalid(text.to_owned()));
        if self.name.is_empty() || self.name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return invalid("an account's name is one word");
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return invalid("a currency is three capital letters, like USD");
        }
        if self.balance < Money::ZERO {
            return invalid("a first balance is zero or more");
        }
        Ok(())
    }

    fn addresses(&self) -> Vec<(&'static str, String)> {
        let lists = [(NUMBER, &self.numbers), (DID, &self.dids), (EMAIL, &self.emails)];
        lists
            .into_iter()
            .flat_map(|(kind, values)| values.iter().map(move |value| (kind, address(kind, value))))
            .collect()
    }
}

/// E-mail addresses are kept in lower case.
fn address(kind: &str, value: &str) -> String {
    if kind == EMAIL { value.to_lowercase() } else { value.to_owned() }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Invalid(error.to_string()))
}

impl Account {
    fn read<R: Columns>(row: &R) -> Result<Account, StoreError> {
        let mut account = Account {
            id: row.int("id")?,
            name: row.text("name")?,
            currency: row.text("currency")?,
            enabled: row.flag("enabled")?,
            balance: row.money("balance")?,
            held: row.money("held")?,
            money_seq: row.int("money_seq")?,
            trigger_secret: row.bytes_opt("trigger_secret")?.map(Sealed),
            password_hash: row.text_opt("password_hash")?.map(Sealed),
            numbers: Vec::new(),
            dids: Vec::new(),
            emails: Vec::new(),
            allow: row.json("allow")?,
            limits: row.json("limits")?,
            limits_off: row.flag("limits_off")?,
            language: row.text_opt("language")?.filter(|language| !language.is_empty()),
            mail_must_be_vouched: row.flag("mail_must_be_vouched")?,
            created: row.time("created")?,
        };
        for line in row.text_opt("addresses")?.unwrap_or_default().lines() {
            match line.split_once(' ') {
                Some((NUMBER, number)) => account.numbers.push(number.to_owned()),
                Some((DID, did)) => account.dids.push(did.to_owned()),
                Some((EMAIL, email)) => account.emails.push(email.to_owned()),
                _ => return Err(StoreError::Broken(format!("an address of account {}", account.name))),
            }
        }
        Ok(account)
    }
}
