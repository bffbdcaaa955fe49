//! A message centre: npm's `smpp` as a child process, told what to do over a socket of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clock;
use crate::net::free_port;
use crate::process::Process;
use crate::site::{Site, peers_folder};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The name and password that it knows.
pub const SYSTEM_ID: &str = "ringback";
/// See [`SYSTEM_ID`].
pub const PASSWORD: &str = "pa55word";

/// A running message centre. Dropped, it is killed.
pub struct Smsc {
    process: Option<Process>,
    port: u16,
    control_port: u16,
    log: PathBuf,
    control: Option<TcpStream>,
    heard: Arc<Heard>,
    tag: u64,
}

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Value>>,
    more: Condvar,
}

/// One `submit_sm` that it got.
#[derive(Clone, Debug)]
pub struct Submit {
    /// What it was answered.
    pub status: u64,
    /// The sender, and its type of number.
    pub from: (String, u64),
    /// The receiver, and its type of number.
    pub to: (String, u64),
    /// `data_coding`.
    pub coding: u64,
    /// `esm_class`.
    pub esm_class: u64,
    /// The bytes of the text.
    pub bytes: Vec<u8>,
}

impl Smsc {
    /// Starts one.
    pub fn start(folder: &Path) -> Smsc {
        let port = || free_port(LOOPBACK).expect("a port is free");
        let mut smsc = Smsc {
            process: None,
            port: port(),
            control_port: port(),
            log: folder.join("smsc.log"),
            control: None,
            heard: Arc::default(),
            tag: 0,
        };
        smsc.restart();
        smsc
    }

    /// Names it in the settings of a site, as bind `main`.
    pub fn introduce(&self, site: &mut Site) {
        for (key, value) in [
            ("host", "127.0.0.1"),
            ("port", &self.port.to_string()),
            ("system_id", SYSTEM_ID),
            ("password", PASSWORD),
            ("enquire_link", "2"),
            ("response_timeout", "3"),
        ] {
            site.set(&format!("sms.smpp.main.{key}"), value);
        }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(LOOPBACK, self.port)
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        self.control = None;
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) {
        self.kill9();
        let modules = peers_folder().join("npm/node_modules");
        assert!(modules.join("smpp").exists(), "{} has no smpp: ./test installs it", modules.display());
        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/smsc.js"));
        command.args([&self.port.to_string(), &self.control_port.to_string(), SYSTEM_ID, PASSWORD]);
        command.env("NODE_PATH", modules);
        self.process = Some(Process::start("smsc", command, &self.log).unwrap_or_else(|e| panic!("{e}")));
        let control = SocketAddr::new(LOOPBACK, self.control_port);
        let stream = clock::wait_for("the message centre to start", Duration::from_secs(20), || {
            TcpStream::connect(control).ok()
        });
        let (reading, heard) = (stream.try_clone().expect("a socket has two ends"), self.heard.clone());
        std::thread::spawn(move || heard.listen(reading));
        self.control = Some(stream);
    }

    /// Gives an order.
    pub fn order(&mut self, order: Value) {
        let line = format!("{order}\n");
        let control = self.control.as_mut().expect("it runs");
        control.write_all(line.as_bytes()).expect("it listens");
    }

    /// Delivers a text; answers a tag by which [`Smsc::answer`] knows it.
    pub fn deliver(&mut self, from: &str, to: &str, fields: Value, bytes: &[u8]) -> u64 {
        self.tag += 1;
        let mut deliver = json!({ "source_addr": from, "destination_addr": to, "data_coding": 0 });
        for (name, value) in fields.as_object().expect("fields are an object") {
            deliver[name] = value.clone();
        }
        self.order(json!({ "deliver": deliver, "hex": hex::encode(bytes), "tag": self.tag }));
        self.tag
    }

    /// The status that a delivered text was answered with, if it was.
    pub fn answer(&self, tag: u64) -> Option<i64> {
        answer(&self.heard.events(), tag)
    }

    /// Waits for that answer.
    pub fn wait_answer(&self, tag: u64, limit: Duration) -> i64 {
        self.wait(&format!("the answer to text {tag}"), limit, |events| answer(events, tag))
    }

    /// How often something happened: `bound`, `refused`, `unbind`, `closed`, `enquire_link`.
    pub fn count(&self, event: &str) -> usize {
        self.heard.events().iter().filter(|one| one["event"] == event).count()
    }

    /// Waits until something has happened so often.
    pub fn wait_count(&self, event: &str, count: usize, limit: Duration) {
        self.wait(&format!("{count} times {event}"), limit, |events| {
            (events.iter().filter(|one| one["event"] == event).count() >= count).then_some(())
        });
    }

    /// Every `submit_sm` so far.
    pub fn submits(&self) -> Vec<Submit> {
        self.heard.events().iter().filter(|event| event["event"] == "submit").map(submit).collect()
    }

    /// Waits for so many replies that it took.
    pub fn wait_taken(&self, count: usize, limit: Duration) -> Vec<Submit> {
        self.wait(&format!("{count} replies"), limit, |events| {
            let taken = events.iter().filter(|event| event["event"] == "submit" && event["status"] == 0).map(submit);
            let taken: Vec<Submit> = taken.collect();
            (taken.len() >= count).then_some(taken)
        })
    }

    fn wait<T>(&self, what: &str, limit: Duration, mut ask: impl FnMut(&[Value]) -> Option<T>) -> T {
        let end = Instant::now() + limit;
        loop {
            let events = self.heard.events();
            if let Some(answer) = ask(&events) {
                return answer;
            }
            assert!(Instant::now() < end, "waited {} s in vain for {what}; so far: {events:#?}", limit.as_secs());
            let waited = self.heard.more.wait_timeout(events, Duration::from_millis(100));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Submit {
    /// What it says, in plain ASCII or UCS-2; without the header of a part.
    pub fn text(&self) -> String {
        let body = if self.esm_class & 0x40 == 0 { &self.bytes[..] } else { &self.bytes[7..] };
        match self.coding {
            8 => {
                let units = body.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                char::decode_utf16(units).map(|c| c.unwrap_or('?')).collect()
            }
            _ => String::from_utf8_lossy(body).into_owned(),
        }
    }
}

fn answer(events: &[Value], tag: u64) -> Option<i64> {
    let answer = |event: &&Value| event["event"] == "answer" && event["tag"] == tag;
    events.iter().find(answer).and_then(|event| event["status"].as_i64())
}

fn submit(event: &Value) -> Submit {
    let (text, number) = (
        |name: &str| event[name].as_str().unwrap_or_default().to_owned(),
        |name: &str| event[name].as_u64().unwrap_or_default(),
    );
    Submit {
        status: number("status"),
        from: (text("from"), number("from_ton")),
        to: (text("to"), number("to_ton")),
        coding: number("coding"),
        esm_class: number("esm_class"),
        bytes: hex::decode(text("hex")).unwrap_or_default(),
    }
}

impl Heard {
    fn listen(&self, stream: TcpStream) {
        for line in BufReader::new(stream).lines() {
            let Ok(line): io::Result<String> = line else { return };
            if let Ok(event) = serde_json::from_str(&line) {
                self.events().push(event);
                self.more.notify_all();
            }
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Value>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
