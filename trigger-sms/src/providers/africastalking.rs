//! Africa's Talking: a form without a signature, behind a secret path.
//! <https://developers.africastalking.com/docs/sms/notifications>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::config::SourceConfig;
use serde::Deserialize;

use super::fields::{Parameters, international, text};
use super::outgoing::{Outgoing, at, form};
use super::raw::{Raw, Read, Told, TurnedAway, only_by_path};
use crate::replies::Reply;
use ringback_common::courier::Sent;

/// Reads one text. Its `date` does not say in which zone it is.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    only_by_path(config)?;
    let posted = Parameters::read(raw.body);
    let (id, from) = (posted.need("id")?, international(&posted.need("from")?));
    text(posted.get("text").map(str::to_owned), false, |body| {
        Ok(Told { id, from, to: posted.get("to").map(international).unwrap_or_default(), body, ..Told::default() })
    })
}

/// Sends a message. <https://developers.africastalking.com/docs/sms/sending/bulk>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let url = at(config.api_base.as_deref(), "https://api.africastalking.com", &["version1", "messaging"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from);
    let user = config.account.as_deref()?;
    let fields = [("username", user), ("to", &reply.note.to), ("message", &reply.text), ("from", from)];
    form(&url, &[("apikey", config.token.reveal())], &fields)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(rename = "SMSMessageData")]
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    #[serde(default)]
    recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    status_code: i64,
}

/// Every answer is 201; the recipient's `statusCode` says what became of it: 100 to 102 it was taken, 4xx never.
pub fn judge(body: &[u8]) -> Sent {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Sent::Unknown("Africa's Talking's answer is not understood".to_owned());
    };
    match answer.data.recipients.first().map(|recipient| recipient.status_code) {
        Some(100..=102) => Sent::Yes,
        Some(500 | 501) => Sent::Unknown("Africa's Talking does not know what became of it".to_owned()),
        Some(code) => Sent::Never(format!("Africa's Talking answered {code}")),
        None => Sent::Never("Africa's Talking sent it to nobody".to_owned()),
    }
}
