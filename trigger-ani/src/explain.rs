//! How a missed call is read and what would happen: the same desk and the same checks as the trigger's; nothing is dialled, booked,
//! counted or rung.

use ringback_common::intake::{Checks, Written};
use ringback_common::number::{Number, Rule};
use ringback_common::store::StoreError;
use ringback_sip::{Message, Reading};
use serde::Serialize;

use crate::desk::{Desk, From, Judged};

/// What would happen to a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// `job` or `reject`.
    pub outcome: &'static str,
    /// The first party, if it is known.
    pub a: Option<String>,
    /// The second party, if there is one.
    pub b: Option<String>,
    /// Why there is no job; null for a job.
    pub reason: Option<String>,
    /// Always null: a caller who hung up is told nothing.
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

    fn with(self, a: Option<Number>, b: Option<Number>, rules: (Option<Rule>, Option<Rule>)) -> Explanation {
        let text = |number: Option<Number>| number.map(|number| number.as_str().to_owned());
        let (a_rule, b_rule) = (rules.0.map(Rule::code), rules.1.map(Rule::code));
        Explanation { a: text(a), b: text(b), a_rule, b_rule, ..self }
    }
}

/// An INVITE from this caller to this number of ours, as a trunk would send it. `asserted` is the number that the trunk vouches for.
pub fn invite(from: &str, to: &str, asserted: Option<&str>) -> String {
    let asserted =
        asserted.map_or(String::new(), |number| format!("P-Asserted-Identity: <sip:{number}@trunk.invalid>\r\n"));
    format!(
        "INVITE sip:{to}@ringback.invalid SIP/2.0\r\nVia: SIP/2.0/UDP trunk.invalid;branch=z9hG4bKexplain\r\nMax-Forwards: 70\r\n\
         From: <sip:{from}@trunk.invalid>;tag=explain\r\nTo: <sip:{to}@ringback.invalid>\r\nCall-ID: explain\r\nCSeq: 1 INVITE\r\n\
         {asserted}Content-Length: 0\r\n\r\n"
    )
}

/// Explains one INVITE that came through this trunk.
///
/// # Errors
/// The store is away.
pub async fn one(desk: &Desk, checks: &Checks, datagram: &[u8], from: &From) -> Result<Explanation, StoreError> {
    let message: Message = match ringback_sip::read(datagram) {
        Reading::Message(message) if message.method() == ringback_sip::Method::Invite => message,
        _ => return Ok(Explanation::of("reject", Some("no_invite"))),
    };
    let plan = match desk.judge(&message, from).await? {
        Judged::Callback(plan) => plan,
        Judged::Refused(refusal) => {
            return Ok(Explanation::of("reject", Some(refusal.reason)).with(refusal.caller, None, (None, None)));
        }
    };
    let Written { a, b, .. } = checks.readings(&plan.wish).await?;
    let rules = (a.as_ref().map(|(_, rule)| *rule), b.as_ref().map(|(_, rule)| *rule));
    Ok(match checks.foresee(&plan.wish).await? {
        Ok(approved) => Explanation::of("job", None).with(Some(approved.a), approved.b, rules),
        Err(reason) => Explanation::of("reject", Some(reason.code())).with(a.map(|(a, _)| a), b.map(|(b, _)| b), rules),
    })
}
