//! Asks for callbacks by text, at an even rate, and puts together what the trigger and the phones saw of each.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ringback_tests::clock;
use ringback_tests::site::{PIN, SENDER};
use ringback_tests::sms;
use serde_json::json;

use crate::phones::Phones;
use crate::shape::{ACCOUNT, PREFIXES, Shape};

/// Connections to the trigger.
const SENDERS: u32 = 8;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Texts to be sent, numbered.
pub struct Texts {
    to: SocketAddr,
    ids: Range<u32>,
}

impl Texts {
    /// The next so many, with numbers that no earlier text had.
    pub fn next(shape: &Shape, count: u32) -> Texts {
        let first = NEXT.fetch_add(count, Ordering::Relaxed);
        Texts { to: shape.sms(), ids: first..first + count }
    }

    /// Their numbers; the phones know them as the last seven digits of whom they are called for.
    pub fn ids(&self) -> Range<u32> {
        self.ids.clone()
    }

    /// Sends them, so many a second; when each was accepted, in microseconds, in order.
    pub fn send(&self, rate: u32) -> Vec<Option<u64>> {
        let begun = clock::now_us();
        let mut accepted = vec![None; self.ids.len()];
        std::thread::scope(|scope| {
            let senders: Vec<_> =
                (0..SENDERS).map(|first| scope.spawn(move || self.send_some(first, rate, begun))).collect();
            for (number, when) in senders.into_iter().flat_map(|sender| sender.join().expect("no sender panics")) {
                accepted[number as usize] = when;
            }
        });
        accepted
    }

    fn send_some(&self, first: u32, rate: u32, begun: u64) -> Vec<(u32, Option<u64>)> {
        let mut connection = Connection::open(self.to).expect("the trigger listens");
        let mine = (first..self.ids.len() as u32).step_by(SENDERS as usize);
        mine.map(|number| {
            let due = begun + u64::from(number) * 1_000_000 / u64::from(rate);
            std::thread::sleep(Duration::from_micros(due.saturating_sub(clock::now_us())));
            let status =
                connection.post("/sms/generic", &body(self.ids.start + number), None).expect("the trigger answers");
            (number, (status == 202).then(clock::now_us))
        })
        .collect()
    }
}

/// A text that asks for a callback between two numbers of its own.
pub fn body(id: u32) -> String {
    let [a, b] = PREFIXES.map(|prefix| format!("+{prefix}{id:07}"));
    json!({ "id": format!("bench-{id}"), "from": SENDER, "to": "100", "text": sms::text(ACCOUNT, PIN, &a, &b) })
        .to_string()
}

/// One callback as seen from outside; microseconds.
pub struct Seen {
    accepted: Option<u64>,
    invited: [Option<u64>; 2],
    answered_a: Option<u64>,
    /// Both parties were called, answered and hung up on.
    pub complete: bool,
}

impl Seen {
    /// From the trigger's "accepted" to A's INVITE. Zero when the INVITE was faster than the answer.
    pub fn accepted_to_invite(&self) -> Option<u64> {
        Some(self.invited[0]?.saturating_sub(self.accepted?))
    }

    /// From A's 200 to B's INVITE.
    pub fn answer_to_b_invite(&self) -> Option<u64> {
        Some(self.invited[1]?.saturating_sub(self.answered_a?))
    }
}

/// What became of these texts.
pub fn seen(texts: &Texts, accepted: &[Option<u64>], phones: &Phones) -> Vec<Seen> {
    let one = |(id, accepted): (u32, &Option<u64>)| {
        let legs = phones.calls_of(id);
        Seen {
            accepted: *accepted,
            invited: [0, 1].map(|leg| legs[leg].as_ref().map(|call| call.invited_us)),
            answered_a: legs[0].as_ref().map(|call| call.answered_us),
            complete: accepted.is_some() && legs.iter().all(|call| call.as_ref().is_some_and(|call| call.over)),
        }
    };
    texts.ids().zip(accepted).map(one).collect()
}

/// A connection that is kept, unlike those of [`ringback_tests::http`].
pub struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub fn open(to: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Connection { reader: BufReader::new(stream.try_clone()?), stream })
    }

    /// POSTs JSON, signed or not, and answers the status code.
    pub fn post(&mut self, path: &str, body: &str, signature: Option<&str>) -> io::Result<u16> {
        let length = body.len();
        let signature = signature.map(|text| format!("X-Ringback-Signature: {text}\r\n")).unwrap_or_default();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{signature}Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes())?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.starts_with("http/") {
                status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            } else if line.is_empty() {
                break;
            }
        }
        io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())?;
        Ok(status)
    }
}
