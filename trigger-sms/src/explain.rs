//! How a text is read and what would happen: the same reading and the same checks as the trigger's, and nothing is dialled,
//! booked or counted.

use ringback_common::intake::{Ask, Checks, Payer, Wish, Written};
use ringback_common::number::Number;
use ringback_common::store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::coding;
use crate::parse::{Callback, Reading, parse, sender};
use crate::replies::refusal_text;

/// What would happen to a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// `job`, `reject` or `ignore`.
    pub outcome: &'static str,
    /// The first party, if it could be read.
    pub a: Option<String>,
    /// The second party, if it could be read.
    pub b: Option<String>,
    /// Why there is no job; null for a job.
    pub reason: Option<String>,
    /// What the sender would be told; null where nobody is answered, and for a job.
    pub message: Option<String>,
    /// The rule by which `a` was read.
    pub a_rule: Option<&'static str>,
    /// The rule by which `b` was read.
    pub b_rule: Option<&'static str>,
}

impl Explanation {
    fn of(outcome: &'static str, reason: &str) -> Explanation {
        let reason = Some(reason.to_owned());
        Explanation { outcome, a: None, b: None, reason, message: None, a_rule: None, b_rule: None }
    }

    fn rejected(reason: &str, sentence: &str) -> Explanation {
        Explanation { message: Some(refusal_text(sentence)), ..Explanation::of("reject", reason) }
    }
}

/// Explains one text from one sender.
///
/// # Errors
/// The store is away.
pub async fn one(checks: &Checks, from: &str, text: &str) -> Result<Explanation, StoreError> {
    let from = match sender(from, &checks.dialling("")) {
        Ok(number) => number,
        Err(ignored) => return Ok(Explanation::of("ignore", ignored.code())),
    };
    match parse(text, &checks.dialling(from.as_str())) {
        Reading::Ignored(ignored) => Ok(Explanation::of("ignore", ignored.code())),
        Reading::Refused(refusal) => Ok(Explanation::rejected(refusal.code(), &refusal.to_string())),
        Reading::Callback(callback) => would_call(checks, &from, callback).await,
    }
}

async fn would_call(checks: &Checks, from: &Number, callback: Callback) -> Result<Explanation, StoreError> {
    let wish = wish_of("explain", "", from, callback);
    let explanation = match checks.examine(&wish).await? {
        Ok(_) => Explanation { outcome: "job", reason: None, ..Explanation::of("job", "") },
        Err(reason) => Explanation::rejected(reason.code(), &reason.to_string()),
    };
    let Written { a, b } = checks.readings(&wish);
    let written = |number: &Option<(Number, _)>| number.as_ref().map(|(number, _)| number.as_str().to_owned());
    Ok(Explanation {
        a: written(&a),
        b: written(&b),
        a_rule: a.map(|(_, rule)| rule.code()),
        b_rule: b.map(|(_, rule)| rule.code()),
        ..explanation
    })
}

/// The wish of a text that was understood.
pub(crate) fn wish_of(source: &str, message_id: &str, from: &Number, callback: Callback) -> Wish {
    Wish {
        source: source.to_owned(),
        message_id: message_id.to_owned(),
        sender: from.as_str().to_owned(),
        payer: Payer::four_words(callback.user, callback.secret),
        ask: Ask::call(callback.a, callback.b),
        received: None,
        reply: None,
        metadata: Default::default(),
    }
}

/// One line of a batch: `text`, or `raw_hex` with `data_coding`.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Value,
    sender: String,
    text: Option<String>,
    raw_hex: Option<String>,
    data_coding: Option<u8>,
}

impl Line {
    /// # Errors
    /// Reason and sentence.
    fn text(&self) -> Result<String, (&'static str, String)> {
        match (&self.text, &self.raw_hex) {
            (Some(text), None) => Ok(text.clone()),
            (None, Some(raw)) => coding::bytes_of_hex(raw, "raw_hex")
                .and_then(|bytes| coding::decode(&bytes, coding::Coding::new(self.data_coding.unwrap_or(0))))
                .map_err(|error| (error.code(), error.to_string())),
            _ => Err(("malformed", "a line has either text, or raw_hex and data_coding".to_owned())),
        }
    }
}

/// Explains one JSON line `{"id","sender","text"}` or `{"id","sender","raw_hex","data_coding"}`; answers one JSON object
/// with the same `id`.
///
/// # Errors
/// The store is away.
pub async fn batch_line(checks: &Checks, line: &str) -> Result<String, StoreError> {
    let (id, explanation) = match serde_json::from_str::<Line>(line) {
        Ok(line) => {
            let explanation = match line.text() {
                Ok(text) => one(checks, &line.sender, &text).await?,
                Err((reason, sentence)) => Explanation::rejected(reason, &sentence),
            };
            (line.id, explanation)
        }
        Err(error) => {
            let id = serde_json::from_str::<Value>(line).ok().and_then(|value| value.get("id").cloned());
            (
                id.unwrap_or(Value::Null),
                Explanation::rejected("malformed", &format!("the line is not understood: {error}")),
            )
        }
    };
    let mut answer = json!({ "id": id });
    if let (Some(object), Ok(Value::Object(fields))) = (answer.as_object_mut(), serde_json::to_value(explanation)) {
        object.extend(fields);
    }
    Ok(answer.to_string())
}

#[cfg(test)]
mod tests;
