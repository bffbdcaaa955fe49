//! How a message is read and what would happen: the same judgement and the same checks as the trigger's, and nothing is dialled,
//! booked or counted.

use std::net::SocketAddr;

use ringback_common::intake::Checks;
use ringback_common::job::JobId;
use ringback_common::number::{Number, Rule};
use ringback_common::store::StoreError;
use serde::Serialize;

use crate::SOURCE;
use crate::judge::{Judgement, Refusal, job_of, judge, wish_of};
use crate::message::{ack, sid};
use crate::peers::{Server, Setup};
use crate::request::Request;

/// What would happen to a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// `job`, `reject` or `ignore`: nobody is answered.
    pub outcome: &'static str,
    /// The first party, if it could be read.
    pub a: Option<String>,
    /// The second party, if it could be read.
    pub b: Option<String>,
    /// Why there is no job; null for a job. A RELEASE is its own reason: `release`.
    pub reason: Option<String>,
    /// The ACK that would be sent (without its signature); null where nobody is answered.
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
}

/// Explains one message that came from there.
///
/// # Errors
/// The store is away.
pub async fn one(
    checks: &Checks,
    setup: &Setup,
    datagram: &[u8],
    from: SocketAddr,
    unix_now: u64,
) -> Result<Explanation, StoreError> {
    match judge(setup, datagram, from, unix_now).judgement {
        Judgement::Silence(why) => Ok(Explanation::of("ignore", Some(why))),
        Judgement::Release(_) => Ok(Explanation::of("ignore", Some("release"))),
        Judgement::Refuse(refusal) => Ok(refused(setup, &refusal)),
        Judgement::Ask(asked) => {
            let (server, request) = *asked;
            asks(checks, setup, server, request, from).await
        }
    }
}

fn refused(setup: &Setup, refusal: &Refusal) -> Explanation {
    let name = refusal.server.as_ref().map_or("unknown", |server| server.name.as_str());
    let sid = sid(&JobId::of_message(SOURCE, &refusal.id, name));
    let message = ack(refusal.dialect, &refusal.id, sid, false, setup.extended.then_some(refusal.code));
    Explanation { message: Some(message), ..Explanation::of("reject", Some(refusal.code)) }
}

async fn asks(
    checks: &Checks,
    setup: &Setup,
    server: Server,
    request: Request,
    from: SocketAddr,
) -> Result<Explanation, StoreError> {
    let (id, dialect, sid) = (request.id.clone(), server.dialect, sid(&job_of(&server, &request.id)));
    let wish = wish_of(&server, request, from);
    let read = checks.readings(&wish).await?;
    let rule = |read: &Option<(Number, Rule)>| read.as_ref().map(|(_, rule)| rule.code());
    let (a_rule, b_rule) = (rule(&read.a), rule(&read.b));
    let (a, b, reason) = match checks.foresee(&wish).await? {
        Ok(call) => (Some(call.a), call.b, None),
        Err(reason) => (read.a.map(|(number, _)| number), read.b.map(|(number, _)| number), Some(reason.code())),
    };
    let [a, b] = [a, b].map(|number| number.map(|number| number.as_str().to_owned()));
    let message = ack(dialect, &id, sid, reason.is_none(), reason.filter(|_| setup.extended));
    let outcome = if reason.is_none() { "job" } else { "reject" };
    Ok(Explanation { a, b, message: Some(message), a_rule, b_rule, ..Explanation::of(outcome, reason) })
}
