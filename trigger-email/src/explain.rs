//! How a mail is read and what would happen: the same reading, the same judgement and the same checks as the trigger's; nothing
//! is dialled, booked, counted or answered.

use ringback_common::answer::{Language, Why};
use ringback_common::intake::{Checks, Written};
use ringback_common::number::{Number, Rule};
use ringback_common::store::StoreError;
use serde::Serialize;

use crate::desk::wish_of;
use crate::form::Form;
use crate::mail::{Envelope, House, Mail, Unread};
use crate::replies::{refusal, why_doubted, why_no_form, why_refused};
use crate::trust::Trust;
use crate::verify::Verifier;

/// What would happen to a mail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// `job`, `reject` or `ignore`.
    pub outcome: &'static str,
    /// The first party, if it is known.
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
    fn of(outcome: &'static str, reason: Option<&str>) -> Explanation {
        let reason = reason.map(str::to_owned);
        Explanation { outcome, a: None, b: None, reason, message: None, a_rule: None, b_rule: None }
    }

    fn rejected(mail: &Mail<'_>, trust: &Trust, reason: &str, why: Why) -> Explanation {
        let language = Language::of(None, mail.languages().as_deref(), None);
        let message = trust.answerable.then(|| refusal(language, why));
        Explanation { message, ..Explanation::of("reject", Some(reason)) }
    }

    fn with(self, a: Option<(Number, Option<Rule>)>, b: Option<(Number, Option<Rule>)>) -> Explanation {
        let number =
            |party: &Option<(Number, Option<Rule>)>| party.as_ref().map(|(number, _)| number.as_str().to_owned());
        let rule = |party: &Option<(Number, Option<Rule>)>| party.as_ref().and_then(|(_, rule)| rule.map(Rule::code));
        Explanation { a: number(&a), b: number(&b), a_rule: rule(&a), b_rule: rule(&b), ..self }
    }
}

/// Explains one mail that came with this envelope.
///
/// # Errors
/// The store is away.
pub async fn one(
    checks: &Checks,
    house: &House,
    verifier: &Verifier,
    raw: &[u8],
    envelope: &Envelope,
) -> Result<Explanation, StoreError> {
    let raw = &with_line_ends(raw);
    let mail = match Mail::read(raw, Some(envelope), house) {
        Ok(mail) => mail,
        Err(Unread::Ignored(ignored)) => return Ok(Explanation::of("ignore", Some(ignored.code()))),
        Err(Unread::Beyond(limit)) => return Ok(Explanation::of("reject", Some(limit))),
    };
    let trust = verifier.judge(raw, &mail, envelope).await;
    let form = match &mail.form {
        Ok(form) => form,
        Err(no_form) => return Ok(Explanation::rejected(&mail, &trust, no_form.code(), why_no_form(*no_form))),
    };
    if let (Form::Digits(_), Err(doubt)) = (form, &trust.vouched) {
        return Ok(Explanation::rejected(&mail, &trust, doubt.code(), why_doubted(*doubt)));
    }
    let wish = wish_of("explain", &mail, form, &trust);
    let Written { a, b, .. } = checks.readings(&wish).await?;
    let rule_of = |read: &Option<(Number, Rule)>| read.as_ref().map(|(_, rule)| *rule);
    let (a_rule, b_rule) = (rule_of(&a), rule_of(&b));
    Ok(match checks.foresee(&wish).await? {
        Ok(call) => Explanation::of("job", None).with(Some((call.a, a_rule)), call.b.map(|b| (b, b_rule))),
        Err(reason) => {
            let read = |read: Option<(Number, Rule)>| read.map(|(number, rule)| (number, Some(rule)));
            Explanation::rejected(&mail, &trust, reason.code(), why_refused(reason)).with(read(a), read(b))
        }
    })
}

/// A mail that was kept as a file has lost its carriage returns; what was signed had them.
fn with_line_ends(raw: &[u8]) -> Vec<u8> {
    if raw.windows(2).any(|two| two == b"\r\n") {
        return raw.to_vec();
    }
    let mut whole = Vec::with_capacity(raw.len() + raw.len() / 32);
    for byte in raw {
        if *byte == b'\n' {
            whole.push(b'\r');
        }
        whole.push(*byte);
    }
    whole
}
