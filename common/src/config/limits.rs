//! Limits against fraud: the site's values, and how an account's own values replace them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::money::Money;

/// How much may happen before somebody has to look. Counts are over distinct jobs that were not refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Callbacks of one account at once.
    pub concurrent_calls_per_account: u32,
    /// Jobs of one account in a minute.
    pub jobs_per_account_per_minute: u32,
    /// Jobs of one account in an hour.
    pub jobs_per_account_per_hour: u32,
    /// Jobs of one account in a day.
    pub jobs_per_account_per_day: u32,
    /// Different B numbers of one account in an hour.
    pub distinct_b_numbers_per_account_per_hour: u32,
    /// Calls of everybody to one B number in ten minutes.
    pub same_b_number_all_accounts_per_10min: u32,
    /// Calls of everybody to numbers with the same first seven digits in ten minutes.
    pub same_prefix7_all_accounts_per_10min: u32,
    /// Charged minutes of one account in a day.
    pub minutes_per_account_per_day: u32,
    /// Spending of one account in an hour.
    #[serde(with = "amount")]
    pub spend_per_account_per_hour: Money,
    /// Spending of one account in a day.
    #[serde(with = "amount")]
    pub spend_per_account_per_day: Money,
    /// Charged minutes of one account to other countries in a day.
    pub international_minutes_per_account_per_day: u32,
    /// The longest call.
    pub max_call_seconds: u32,
    /// Spending of an account in its first day.
    #[serde(with = "amount")]
    pub first_day_spend_new_account: Money,
    /// Spending of everybody in an hour that raises an alarm.
    #[serde(with = "amount")]
    pub system_spend_per_hour_alarm: Money,
    /// Spending of everybody in an hour that stops new callbacks.
    #[serde(with = "amount")]
    pub system_spend_per_hour_stop: Money,
    /// Wrong secrets of one sender in ten minutes before it is locked out.
    pub failed_auth_per_sender_per_10min: u32,
    /// How long a locked-out sender stays so, in seconds.
    pub failed_auth_lock_seconds: u32,
    /// How often one leg is dialled for one job.
    pub max_leg_attempts: u32,
}

/// Why a limit was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Not of the form KEY=VALUE.
    #[error("write a limit as KEY=VALUE, like jobs_per_account_per_hour=40")]
    Form,
    /// No limit has this name.
    #[error("there is no limit `{0}`; known are {1}")]
    Unknown(String, String),
    /// The value does not fit.
    #[error("{0} = {1}: write a whole number, or an amount like 5.00 for spending")]
    Value(String, String),
}

impl Limits {
    /// Reads `KEY=VALUE` as the command line gives it; what comes back goes into the account's own limits.
    ///
    /// # Errors
    /// Says what to write.
    pub fn read_override(&self, text: &str) -> Result<(String, String), LimitError> {
        let (key, value) = text.split_once('=').ok_or(LimitError::Form)?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        self.overridden(&BTreeMap::from([(key.clone(), value.clone())]))?;
        Ok((key, value))
    }

    /// These limits with an account's own values in place of some.
    ///
    /// # Errors
    /// A name or value that is none of ours; the store holds only what [`Limits::read_override`] let through.
    pub fn overridden(&self, own: &BTreeMap<String, String>) -> Result<Cow<'_, Limits>, LimitError> {
        if own.is_empty() {
            return Ok(Cow::Borrowed(self));
        }
        let mut all = self.as_map();
        let names = || self.as_map().keys().cloned().collect::<Vec<String>>().join(", ");
        for (key, value) in own {
            let bad = || LimitError::Value(key.clone(), value.clone());
            let place = all.get_mut(key).ok_or_else(|| LimitError::Unknown(key.clone(), names()))?;
            *place = match place {
                Value::String(_) if value.parse().is_ok_and(|amount: Money| amount >= Money::ZERO) => {
                    value.clone().into()
                }
                Value::Number(_) => value.parse::<u32>().map_err(|_| bad())?.into(),
                _ => return Err(bad()),
            };
        }
        serde_json::from_value(Value::Object(all)).map(Cow::Owned).map_err(|_| LimitError::Form)
    }

    fn as_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

mod amount {
    use super::{Deserialize, Deserializer, Money, Serializer};

    pub fn serialize<S: Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(money)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse::<Money>() {
            Ok(money) if money >= Money::ZERO => Ok(money),
            _ => Err(serde::de::Error::custom(format!("{text:?} is no amount; write it like \"5.00\", in quotes"))),
        }
    }
}
