//! What commands answer in JSON. The field names are a contract (docs/cli.md); money is text with its point, like "10.00".

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ringback_common::end_reason::EndReason;
use ringback_common::event::LegName;
use ringback_common::store::{Account, CdrRow, Rate, RequestRow, Trunk};
use serde::Serialize;

/// An account.
#[derive(Serialize)]
pub struct AccountView {
    pub name: String,
    pub enabled: bool,
    pub currency: String,
    pub balance: String,
    pub held: String,
    pub available: String,
    pub numbers: Vec<String>,
    pub dids: Vec<String>,
    pub emails: Vec<String>,
    pub allow: Vec<String>,
    pub limits: BTreeMap<String, String>,
    pub limits_off: bool,
    pub language: Option<String>,
    pub mail_must_be_vouched: bool,
    pub pin: bool,
    pub password: bool,
    pub created: DateTime<Utc>,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> AccountView {
        AccountView {
            available: (account.balance - account.held).to_string(),
            name: account.name,
            enabled: account.enabled,
            currency: account.currency,
            balance: account.balance.to_string(),
            held: account.held.to_string(),
            numbers: account.numbers,
            dids: account.dids,
            emails: account.emails,
            allow: account.allow,
            limits: account.limits,
            limits_off: account.limits_off,
            language: account.language,
            mail_must_be_vouched: account.mail_must_be_vouched,
            pin: account.trigger_secret.is_some(),
            password: account.password_hash.is_some(),
            created: account.created,
        }
    }
}

/// A trunk. The password is never shown.
#[derive(Serialize)]
pub struct TrunkView {
    pub name: String,
    pub enabled: bool,
    pub sip: String,
    pub user: Option<String>,
    pub prefixes: Vec<String>,
    pub priority: i64,
    pub cli: Option<String>,
}

impl From<Trunk> for TrunkView {
    fn from(trunk: Trunk) -> TrunkView {
        TrunkView {
            name: trunk.name,
            enabled: trunk.enabled,
            sip: trunk.sip,
            user: trunk.username,
            prefixes: trunk.prefixes,
            priority: trunk.priority,
            cli: trunk.cli,
        }
    }
}

/// A price.
#[derive(Serialize)]
pub struct RateView {
    pub prefix: String,
    pub leg: LegName,
    pub per_minute: String,
}

impl From<Rate> for RateView {
    fn from(rate: Rate) -> RateView {
        RateView { prefix: rate.prefix, leg: rate.leg, per_minute: rate.per_minute.to_string() }
    }
}

/// A request.
#[derive(Serialize)]
pub struct RequestView {
    pub id: String,
    pub account: String,
    pub source: String,
    pub a: String,
    pub b: Option<String>,
    pub status: String,
    pub result: Option<String>,
    pub reason: Option<EndReason>,
    pub finished: bool,
    pub canceled: bool,
    pub attempts: i64,
    pub owner: Option<String>,
    pub created: DateTime<Utc>,
    pub next_call: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub setup_time: Option<DateTime<Utc>>,
    pub connect_time: Option<DateTime<Utc>>,
    pub disconnect_time: Option<DateTime<Utc>>,
}

impl From<RequestRow> for RequestView {
    fn from(row: RequestRow) -> RequestView {
        RequestView {
            id: row.job.id.0,
            account: row.job.account,
            source: row.job.source,
            a: row.job.a.as_str().to_owned(),
            b: row.job.b.map(|b| b.as_str().to_owned()),
            status: row.status,
            result: row.result,
            reason: row.reason,
            finished: row.finished,
            canceled: row.canceled,
            attempts: row.call_count,
            owner: row.owner,
            created: row.creation_time,
            next_call: row.next_call,
            not_after: row.not_after,
            setup_time: row.setup_time,
            connect_time: row.connect_time,
            disconnect_time: row.disconnect_time,
        }
    }
}

/// A call detail record.
#[derive(Serialize)]
pub struct CdrView {
    pub cdr_id: String,
    pub job: String,
    pub leg: LegName,
    pub attempt: u32,
    pub source: String,
    pub account: String,
    pub number: String,
    pub cli: String,
    pub trunk: String,
    pub setup_time: DateTime<Utc>,
    pub connect_time: Option<DateTime<Utc>>,
    pub disconnect_time: DateTime<Utc>,
    pub duration_ms: i64,
    pub billed_seconds: i64,
    pub cost: String,
    pub currency: String,
    pub cause: String,
    pub sip_code: Option<u16>,
    pub q850: Option<u8>,
    pub call_id: String,
    pub balance: String,
    pub uncovered: String,
}

impl From<CdrRow> for CdrView {
    fn from(cdr: CdrRow) -> CdrView {
        CdrView {
            cdr_id: cdr.cdr_id,
            job: cdr.job.0,
            leg: cdr.leg,
            attempt: cdr.attempt,
            source: cdr.source,
            account: cdr.account,
            number: cdr.number,
            cli: cdr.cli,
            trunk: cdr.trunk,
            setup_time: cdr.setup_time,
            connect_time: cdr.connect_time,
            disconnect_time: cdr.disconnect_time,
            duration_ms: cdr.duration_ms,
            billed_seconds: cdr.billed_seconds,
            cost: cdr.cost.to_string(),
            currency: cdr.currency,
            cause: cdr.cause,
            sip_code: cdr.sip_code,
            q850: cdr.q850,
            call_id: cdr.call_id,
            balance: cdr.balance.to_string(),
            uncovered: cdr.uncovered.to_string(),
        }
    }
}
