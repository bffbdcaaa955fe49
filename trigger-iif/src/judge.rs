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
use crate::request::{Content, Request, short};
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
    Release(Release),
}

/// A call that is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its job.
    pub job: JobId,
    /// Under whose name it counts ([`Server::counted_as`]).
    pub by: String,
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
        (Method::Release, Speaker::Server(server)) => release(setup, datagram, &message, &server, unix_now),
        (_, _) => Judgement::Silence("wrong_port"),
    };
    Judged { judgement, method: Some(message.method), tolerated: message.tolerated }
}

fn request(setup: &Setup, datagram: &[u8], message: &Message, server: Server, unix_now: u64) -> Judgement {
    if let Err(doubt) = signature::verify(&server.secret, datagram, message, setup.require_time, unix_now) {
        return Judgement::Silence(doubt.code());
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
fn release(setup: &Setup, datagram: &[u8], message: &Message, server: &Server, unix_now: u64) -> Judgement {
    if server.dialect == Dialect::V1 {
        return Judgement::Silence("release_in_v1");
    }
    if let Err(doubt) = signature::verify(&server.secret, datagram, message, setup.require_time, unix_now) {
        return Judgement::Silence(doubt.code());
    }
    if let Some(fault) = message.fault {
        return Judgement::Silence(fault.code());
    }
    let Ok(Some(id)) = short(message, "id") else { return Judgement::Silence("release_without_id") };
    let job = job_of(server, id);
    match message.filled("sid") {
        Some(sid) if sid.parse() != Ok(message::sid(&job)) => Judgement::Silence("wrong_sid"),
        _ => Judgement::Release(Release { job, by: server.counted_as().to_owned() }),
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
    /// It signs, and must not hear anything that is not signed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
    /// What was asked for ; absent where an older version wrote the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

/// The wish of a REQUEST.
pub fn wish_of(server: &Server, request: Request, from: SocketAddr) -> Wish {
    let note = Note {
        to: from,
        id: request.id.clone(),
        server: server.name.clone(),
        v1: server.dialect == Dialect::V1,
        signed: !server.secret.is_empty(),
        content: Some(request.content),
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use ringback_common::config::{Config, Role, Secret};

    fn judged(settings: &str, datagram: &str, from: &str) -> String {
        let config = Config::read(settings, "test", std::path::Path::new("/srv"), Role::Trigger, []).unwrap();
        match judge(&Setup::new(&config.iif), datagram.as_bytes(), from.parse().unwrap(), 0).judgement {
            Judgement::Silence(why) => format!("silence: {why}"),
            Judgement::Refuse(refusal) => format!("fail {}: {}", refusal.id, refusal.code),
            Judgement::Ask(asked) => format!("{} asks for {} and {}", asked.0.name, asked.1.user1, asked.1.user2),
            Judgement::Release(Release { job, .. }) => {
                format!("release {}", if job == of("127.0.0.1") { "it" } else { "another" })
            }
        }
    }

    fn of(server: &str) -> JobId {
        JobId::of_message(SOURCE, "1", server)
    }

    #[test]
    fn who_says_what_and_what_becomes_of_it() {
        let plain = "[iif]\naccount = 'alice'";
        let v1 = "[iif]\naccount = 'alice'\ndialect = 'v1'";
        let secret = "[iif]\naccount = 'alice'\nsecret = 'key'";
        let peer = "[iif]\naccount = 'alice'\n[iif.peers.one]\nhost = '127.0.0.1'\nport = 7";
        let (here, there) = ("127.0.0.1:4000", "192.0.2.1:4000");
        let good = "REQUEST: id=1;user1=2;user2=3;";
        let right = format!("RELEASE: id=1;sid={};", message::sid(&of("127.0.0.1")));
        for (settings, datagram, from, becomes) in [
            (plain, good, here, "127.0.0.1 asks for 2 and 3"),
            (plain, good, there, "silence: stranger"),
            (plain, "REQUEST: id=1;user1=2;", here, "fail 1: user2_missing"),
            (plain, "HELLO: id=1;", here, "silence: no_message"),
            (plain, "ACK: id=1;sid=2;code=ok;", here, "silence: not_for_us"),
            (plain, "RESPONSE: id=1;sid=2;real_duration=3;", here, "silence: not_for_us"),
            (plain, "RELEASE: id=1;", here, "release it"),
            (plain, "RELEASE: id=2;", here, "release another"),
            (plain, right.as_str(), here, "release it"),
            (plain, "RELEASE: id=1;sid=5;", here, "silence: wrong_sid"),
            (plain, "RELEASE: sid=5;", here, "silence: release_without_id"),
            (plain, "RELEASE: id=1;id=2;", here, "silence: parameter_twice"),
            (v1, good, here, "127.0.0.1 asks for 2 and 3"),
            (v1, "RELEASE: id=1;", here, "silence: release_in_v1"),
            (secret, good, here, "silence: not_signed"),
            (secret, "REQUEST: id=1;", here, "silence: not_signed"),
            (secret, "RELEASE: id=1;", here, "silence: not_signed"),
            (peer, good, here, "fail 1: wrong_port"),
            (peer, "RELEASE: id=1;", here, "silence: wrong_port"),
            (peer, good, "127.0.0.1:7", "one asks for 2 and 3"),
        ] {
            assert_eq!(judged(settings, datagram, from), becomes, "{settings}: {datagram} from {from}");
        }
    }

    #[test]
    fn the_way_back_fits_into_a_job_however_long_its_parts_are() {
        let name = "n".repeat(64);
        let secret = Secret::new("key");
        let server = Server { name, account: "a".to_owned(), dialect: Dialect::V1, secret };
        let id = "\u{10ffff}".repeat(31);
        let request = Request {
            id: id.clone(),
            user1: String::new(),
            user2: String::new(),
            forwards: Vec::new(),
            terms: Default::default(),
            content: Content::of(&Message::read(b"REQUEST: id=1;", false).unwrap()),
        };
        let from = "[2001:db8::1]:65535".parse().unwrap();
        let content = Some(request.content.clone());
        let note = wish_of(&server, request, from).reply.unwrap();
        assert!(note.len() <= ringback_common::job::MAX_REPLY_BYTES, "{}", note.len());
        let back = Note { to: from, id, server: server.name, v1: true, signed: true, content };
        assert_eq!(serde_json::from_str::<Note>(&note).unwrap(), back);
    }
}
