//! What becomes of a datagram, as far as that can be said without asking anybody. The desk acts on it, `explain` shows it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;

use ringback_common::config::Dialect;
use ringback_common::intake::{Ask, Payer, Wish};
use ringback_common::job::JobId;
use serde::{Deserialize, Serialize};

use crate::SOURCE;
use crate::message::{self, Message, Method};
use crate::peers::{Server, Setup, Speaker};
use crate::request::{Request, short};
use crate::signature;

/// What becomes of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing, and nobody is answered; why.
    Silence(&'static str),
    /// `code=fail`.
    Refuse(Refusal),
    /// A call is asked for.
    Ask(Box<(Server, Request)>),
    /// A call is to be ended.
    Release(JobId),
}

/// A REQUEST that is no call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who asked; `None`: nobody that we know.
    pub server: Option<Server>,
    /// How they are spoken to.
    pub dialect: Dialect,
    /// The id as it is said back.
    pub id: String,
    /// Why, in snake_case.
    pub code: &'static str,
}

/// A datagram judged, and what in it was tolerated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What becomes of it.
    pub judgement: Judgement,
    /// What it wants; `None`: it is no message, or nobody's.
    pub method: Option<Method>,
    /// What was taken although the interface does not know it so.
    pub tolerated: Vec<&'static str>,
}

/// Judges one datagram.
pub fn judge(setup: &Setup, datagram: &[u8], from: SocketAddr, unix_now: u64) -> Judged {
    let silence = |why| Judged { judgement: Judgement::Silence(why), method: None, tolerated: Vec::new() };
    let speaker = setup.speaker(from);
    if speaker == Speaker::Stranger {
        return silence("stranger");
    }
    let Some(message) = Message::read(datagram, setup.strict) else { return silence("no_message") };
    let judgement = match (message.method, speaker) {
        (Method::Ack | Method::Response, _) => Judgement::Silence("not_for_us"),
        (Method::Request, Speaker::Server(server)) => request(setup, datagram, &message, server, unix_now),
        (Method::Request, Speaker::WrongPort(dialect)) => {
            let id = message.echo().to_owned();
            Judgement::Refuse(Refusal { server: None, dialect, id, code: "wrong_port" })
        }
        (Method::Release, Speaker::Server(server)) => release(datagram, &message, &server, unix_now),
        (_, _) => Judgement::Silence("wrong_port"),
    };
    Judged { judgement, method: Some(message.method), tolerated: message.tolerated }
}

fn request(setup: &Setup, datagram: &[u8], message: &Message, server: Server, unix_now: u64) -> Judgement {
    if !signature::holds(&server.secret, datagram, message, unix_now) {
        return Judgement::Silence("not_signed");
    }
    match Request::read(message, setup.default_caller.as_ref()) {
        Ok(request) => Judgement::Ask(Box::new((server, request))),
        Err(unfit) => Judgement::Refuse(Refusal {
            dialect: server.dialect,
            server: Some(server),
            id: message.echo().to_owned(),
            code: unfit.code(),
        }),
    }
}

/// RELEASE is never answered: what is wrong with it is only counted.
fn release(datagram: &[u8], message: &Message, server: &Server, unix_now: u64) -> Judgement {
    if server.dialect == Dialect::V1 {
        return Judgement::Silence("release_in_v1");
    }
    if !signature::holds(&server.secret, datagram, message, unix_now) {
        return Judgement::Silence("not_signed");
    }
    if let Some(fault) = message.fault {
        return Judgement::Silence(fault.code());
    }
    let Ok(Some(id)) = short(message, "id") else { return Judgement::Silence("release_without_id") };
    let job = job_of(server, id);
    match message.filled("sid") {
        Some(sid) if sid.parse() != Ok(message::sid(&job)) => Judgement::Silence("wrong_sid"),
        _ => Judgement::Release(job),
    }
}

/// The job of this application server's call.
pub fn job_of(server: &Server, id: &str) -> JobId {
    JobId::of_message(SOURCE, id, &server.name)
}

/// What a job carries so that its RESPONSE finds the application server that asked, also after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where REQUEST came from.
    pub to: SocketAddr,
    /// The application server's id of the call.
    pub id: String,
    /// The application server.
    pub server: String,
    /// It is spoken to in V1.0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub v1: bool,
}

/// The wish of a REQUEST.
pub fn wish_of(server: &Server, request: Request, from: SocketAddr) -> Wish {
    let note =
        Note { to: from, id: request.id.clone(), server: server.name.clone(), v1: server.dialect == Dialect::V1 };
    Wish {
        source: SOURCE.to_owned(),
        message_id: request.id,
        sender: server.name.clone(),
        payer: Payer::account(&server.account),
        ask: Ask::call(request.user1, request.user2),
        terms: request.terms,
        forwards: request.forwards,
        not_before: None,
        received: None,
        reply: serde_json::to_string(&note).ok(),
        metadata: Default::default(),
    }
}
