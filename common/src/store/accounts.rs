//! Accounts: who may call, from which addresses, with what money. Triggers read an [`AccountView`] and nothing of the ledger.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::money::Money;

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
}
