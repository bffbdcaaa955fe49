//! Twilio: a form, signed over our public address and its parameters.
//! <https://www.twilio.com/docs/usage/webhooks/webhooks-security>
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::config::SourceConfig;

use super::fields::{Parameters, text};
use super::outgoing::{Outgoing, at, basic, form};
use super::raw::{Raw, Read, Told, TurnedAway};
use crate::replies::Reply;
use crate::sign::{TWILIO_HEADER, is_twilio};

/// Reads one text. There is no timestamp in the signature: what is played again has the same message id.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    let (Some(account), Some(url), false) = (&config.account, &config.public_url, config.token.is_empty()) else {
        return Err(TurnedAway::NotSetUp(
            "Twilio is not set up here: account SID, auth token and public_url are needed",
        ));
    };
    let posted = Parameters::read(raw.body);
    let signed = is_twilio(config.token.reveal(), &raw.signed_url(url), &posted.0, raw.header(TWILIO_HEADER));
    if !signed || posted.get("AccountSid") != Some(account) {
        return Err(TurnedAway::Unproven("the signature does not fit; is public_url the very address set at Twilio?"));
    }
    let (id, from) = (posted.need("MessageSid")?, posted.need("From")?);
    let with_media = posted.get("NumMedia").is_some_and(|count| count != "0");
    text(posted.get("Body").map(str::to_owned), with_media, |body| {
        Ok(Told { id, from, to: posted.get("To").unwrap_or_default().to_owned(), body, ..Told::default() })
    })
}

/// Creates a message. <https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let account = config.account.as_deref()?;
    let path = ["2010-04-01", "Accounts", account, "Messages.json"];
    let url = at(config.api_base.as_deref(), "https://api.twilio.com", &path)?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from);
    let fields = [("To", reply.note.to.as_str()), ("From", from), ("Body", &reply.text)];
    form(&url, &[("authorization", &basic(account, config.token.reveal()))], &fields)
}
