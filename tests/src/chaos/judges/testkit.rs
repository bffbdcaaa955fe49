//! The facts of a good run: one callback, both parties up, all of it booked and told. Each judge's test spoils its own part.

use std::collections::BTreeMap;

use serde_json::json;

use crate::chaos::facts::{Absence, Account, Cdr, Facts, News, Posting, Request, Ring, Served};
use crate::chaos::plan::Shape;
use crate::phone::wire::Sip;
use crate::phone::{Entry, Log, Who};

/// A second.
pub const S: u64 = 1_000_000;

/// A ring at this second, answered a second later, up for ten, hung up by us.
pub fn ring(number: &str, at_s: u64) -> Ring {
    Ring {
        number: number.to_owned(),
        trunk: 1,
        call_id: format!("c-{number}-{at_s}"),
        gateway: "g".to_owned(),
        invite_us: at_s * S,
        expires_us: 8 * S,
        rang_us: Some(at_s * S + 1),
        word: Some((200, vec![at_s * S + S])),
        acked_us: Some(at_s * S + S + 1),
        ended: Some((at_s * S + 11 * S, Who::Gateway)),
        bye_us: None,
    }
}

/// The same INVITE at this second, from there.
pub fn invite(at_s: u64, gateway: &str) -> Entry {
    request("INVITE", "z1", 1, "", at_s, gateway)
}

/// A request of the gateway.
pub fn request(method: &str, branch: &str, cseq: u32, to_tag: &str, at_s: u64, gateway: &str) -> Entry {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let text = format!(
        "{method} sip:44100@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch={branch}\r\nFrom: <sip:g@h>;tag=f\r\nTo: <sip:44100@h>{tag}\r\n\
         Call-ID: c\r\nCSeq: {cseq} {method}\r\n\r\n"
    );
    Entry::of(&Sip::parse(text.as_bytes()).unwrap(), &text, true, gateway, at_s * S)
}

/// The 200 to it.
pub fn accepted(request: &Entry) -> Entry {
    Entry { from_gateway: false, status: Some(200), ..request.clone() }
}

/// A dead process.
pub fn absence(address: &str, from_s: u64, until_s: u64) -> Absence {
    Absence { address: address.to_owned(), from_us: from_s * S, until_us: until_s * S, dead: true }
}

fn cdr(leg: &str, ring: &Ring, seq: i64) -> Cdr {
    Cdr {
        id: format!("j:{leg}:1"),
        job: "j".to_owned(),
        number: format!("+{}", ring.number),
        account: "rich".to_owned(),
        call_id: ring.call_id.clone(),
        setup_us: ring.invite_us,
        connected: true,
        duration_ms: 9_998,
        billed_seconds: 10,
        cost: 100_000,
        uncovered: 0,
        account_seq: Some(seq),
        cause: "completed".to_owned(),
    }
}

fn news(kind: &str, seq: u64, more: serde_json::Value) -> News {
    let mut data = json!({ "job": "j", "seq": seq, "account": "rich" });
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    News { id: format!("j:{seq}"), kind: kind.to_owned(), data }
}

fn told(cdr: &Cdr, seq: u64) -> News {
    let money = json!({
        "cdr_id": cdr.id, "billed_seconds": cdr.billed_seconds, "cost": cdr.cost, "duration_ms": cdr.duration_ms,
        "account_seq": cdr.account_seq, "balance": 5,
    });
    news("ringback.cdr.v1", seq, money)
}

/// All of it.
pub fn facts() -> Facts {
    let rings = vec![ring("44100", 1), ring("44200", 1)];
    let cdrs = vec![cdr("a", &rings[0], 2), cdr("b", &rings[1], 3)];
    let opening = News {
        id: "balance:1".to_owned(),
        kind: "ringback.balance.v1".to_owned(),
        data: json!({ "account": "rich", "account_seq": 1 }),
    };
    let feed = vec![opening, told(&cdrs[0], 1), told(&cdrs[1], 2)];
    let end = news("ringback.request.finished.v1", 3, json!({ "cost": 200_000 }));
    let log: Vec<News> = feed.iter().cloned().chain([end]).collect();
    let posting = |entry: &str, account: &str, amount, seq| Posting {
        entry: entry.to_owned(),
        account: account.to_owned(),
        amount,
        seq,
    };
    let moved = |entry: &str, amount: i64, seq| {
        [posting(entry, "account:1", amount, seq), posting(entry, "other", -amount, seq)]
    };
    Facts {
        shape: Shape::Small,
        rings,
        absences: Vec::new(),
        wire: Log::default(),
        iif: "i".to_owned(),
        releases: Vec::new(),
        breakages: Vec::new(),
        accepted: vec!["j".to_owned()],
        forbidden: Vec::new(),
        topped: Vec::new(),
        served: BTreeMap::from([("1".to_owned(), Served { acked: true, responses: vec!["10".to_owned()] })]),
        requests: vec![Request {
            job: "j".to_owned(),
            b: "+44200".to_owned(),
            finished: true,
            result: "Successful".to_owned(),
        }],
        cdrs,
        accounts: vec![Account { key: "account:1".to_owned(), name: "rich".to_owned(), balance: 999_800_000, held: 0 }],
        ledger: [moved("open", 1_000_000_000, 1), moved("a", -100_000, 2), moved("b", -100_000, 3)].concat(),
        holds: 0,
        outbox: log.iter().map(|news| (news.clone(), true)).collect(),
        feed,
        log,
        replies: vec![("j".to_owned(), "final".to_owned())],
        complaints: Vec::new(),
    }
}
