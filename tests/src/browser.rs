//! Real browsers, driven by WebDriver as a person would use them: Chromium through its chromedriver, Firefox through the
//! Marionette port that geckodriver speaks to as well.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::Process;
use crate::{clock, http, net};

/// The W3C's name of an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// A browser on a busy machine takes its time.
const STARTING: Duration = Duration::from_secs(120);

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's chromium with chromium-driver.
    Chromium,
    /// Debian's firefox-esr.
    Firefox,
}

/// A browser with one window and a profile of its own; closed when dropped.
pub struct Browser {
    wire: Wire,
    _process: Process,
    _profile: TempDir,
}

/// How commands travel.
enum Wire {
    /// HTTP to a driver: its address and `/session/<id>`.
    Driver(SocketAddr, String),
    /// `<length>:<json>` over TCP.
    Marionette(BufReader<TcpStream>),
}

impl Browser {
    /// Starts one, with its log in this folder.
    pub fn open(kind: Kind, folder: &Path) -> Browser {
        let profile = tempfile::Builder::new().prefix("ringback-browser-").tempdir().expect("a profile can be made");
        let port = net::free_port(Ipv4Addr::LOCALHOST.into()).expect("a free port");
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (process, wire) = match kind {
            Kind::Chromium => chromium(at, profile.path(), folder),
            Kind::Firefox => firefox(at, profile.path(), folder),
        };
        Browser { wire, _process: process, _profile: profile }
    }

    /// Opens an address and waits until the page is there.
    pub fn go(&mut self, url: &str) {
        self.command("url", "WebDriver:Navigate", json!({ "url": url }));
    }

    /// Types into the field that this CSS selector finds.
    pub fn types(&mut self, selector: &str, text: &str) {
        let id = self.find(selector);
        let keys = json!({ "id": id, "text": text });
        self.command(&format!("element/{id}/value"), "WebDriver:ElementSendKeys", keys);
    }

    /// Presses what this CSS selector finds.
    pub fn presses(&mut self, selector: &str) {
        let id = self.find(selector);
        self.command(&format!("element/{id}/click"), "WebDriver:ElementClick", json!({ "id": id }));
    }

    /// What a script on the page returns.
    pub fn script(&mut self, script: &str) -> Value {
        self.command("execute/sync", "WebDriver:ExecuteScript", json!({ "script": script, "args": [] }))
    }

    /// The text of what this CSS selector finds now, if it finds anything.
    pub fn text(&mut self, selector: &str) -> Option<String> {
        let script = format!("const found = document.querySelector({selector:?}); return found && found.textContent");
        self.script(&script).as_str().map(|text| text.trim().to_owned())
    }

    /// Waits until that text begins so.
    pub fn waits_for(&mut self, selector: &str, beginning: &str, limit: Duration) -> String {
        clock::wait_for(&format!("{beginning:?} in {selector}"), limit, || {
            self.text(selector).filter(|text| text.starts_with(beginning))
        })
    }

    /// Writes what the window shows to a PNG file.
    pub fn photographs(&mut self, file: &Path) {
        let picture = match &self.wire {
            Wire::Driver(at, session) => taken(http::get(*at, &format!("{session}/screenshot"))),
            Wire::Marionette(_) => self.command("", "WebDriver:TakeScreenshot", json!({ "full": false })),
        };
        let bytes = STANDARD.decode(picture.as_str().unwrap_or_default()).expect("a screenshot is base64");
        std::fs::write(file, bytes).expect("a screenshot can be written");
    }

    /// What the console complains of at addresses that begin so (Chromium only): what a page's policy forbids it, files that are not
    /// there.
    pub fn complaints(&mut self, at_page: &str) -> Vec<String> {
        match &self.wire {
            Wire::Driver(at, session) => {
                let kind = json!({ "type": "browser" }).to_string();
                let entries = taken(http::post(*at, &format!("{session}/se/log"), &[], kind.as_bytes()));
                let said = |entry: &Value| entry["message"].as_str().map(str::to_owned);
                let all = entries.as_array().into_iter().flatten().filter_map(said);
                all.filter(|said| said.starts_with(at_page)).collect()
            }
            Wire::Marionette(_) => Vec::new(),
        }
    }

    fn find(&mut self, selector: &str) -> String {
        let what = json!({ "using": "css selector", "value": selector });
        let found = self.command("element", "WebDriver:FindElement", what);
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector} on the page: {found}")).to_owned()
    }

    fn command(&mut self, path: &str, name: &str, with: Value) -> Value {
        match &mut self.wire {
            Wire::Driver(at, session) => {
                taken(http::post(*at, &format!("{session}/{path}"), &[], with.to_string().as_bytes()))
            }
            Wire::Marionette(stream) => marionette(stream, name, &with),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is its driver's child and must be closed by it; Firefox is ours and ends with its process.
        if let Wire::Driver(at, session) = &self.wire {
            let _ = http::send(*at, "DELETE", session, &[], b"");
        }
    }
}

fn chromium(at: SocketAddr, profile: &Path, folder: &Path) -> (Process, Wire) {
    let mut command = Command::new("chromedriver");
    command.arg(format!("--port={}", at.port()));
    let process = Process::start("chromedriver", command, &folder.join("chromedriver.log"))
        .unwrap_or_else(|error| panic!("{error}"));
    clock::wait_for("chromedriver", STARTING, || {
        http::get(at, "/status").ok().filter(|answer| answer.json()["value"]["ready"] == true)
    });
    let mut arguments: Vec<String> = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
        .into_iter()
        .chain(["disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"])
        .map(|flag| format!("--{flag}"))
        .collect();
    arguments.extend([format!("--user-data-dir={}", profile.display()), "--window-size=800,900".to_owned()]);
    let wanted = json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    } } });
    let session = taken(http::post(at, "/session", &[], wanted.to_string().as_bytes()));
    let id = session["sessionId"].as_str().unwrap_or_else(|| panic!("no session in {session}"));
    (process, Wire::Driver(at, format!("/session/{id}")))
}

fn firefox(at: SocketAddr, profile: &Path, folder: &Path) -> (Process, Wire) {
    let settings = format!(
        "user_pref('marionette.port', {});\nuser_pref('app.update.enabled', false);\n\
         user_pref('datareporting.policy.dataSubmissionEnabled', false);\nuser_pref('network.captive-portal-service.enabled', false);\n",
        at.port()
    );
    std::fs::write(profile.join("user.js"), settings).expect("a profile can be written");
    let mut command = Command::new("firefox-esr");
    command.args(["--headless", "--marionette", "--no-remote", "--width", "800", "--height", "900", "--profile"]);
    command.arg(profile).env("HOME", profile).env("MOZ_CRASHREPORTER_DISABLE", "1");
    let process =
        Process::start("firefox", command, &folder.join("firefox.log")).unwrap_or_else(|error| panic!("{error}"));
    let stream = clock::wait_for("firefox", STARTING, || TcpStream::connect(at).ok());
    stream.set_read_timeout(Some(STARTING)).expect("a timeout can be set");
    let mut stream = BufReader::new(stream);
    frame(&mut stream); // who it is
    marionette(&mut stream, "WebDriver:NewSession", &json!({}));
    (process, Wire::Marionette(stream))
}

/// The value in a driver's answer.
fn taken(answer: std::io::Result<http::Answer>) -> Value {
    let answer = answer.unwrap_or_else(|error| panic!("the browser does not answer: {error}"));
    assert_eq!(answer.status, 200, "the browser refuses: {}", answer.body);
    answer.json()["value"].take()
}

/// `[0, id, name, parameters]` out, `[1, id, error, result]` back; one at a time, so every id is 1.
fn marionette(stream: &mut BufReader<TcpStream>, name: &str, with: &Value) -> Value {
    let text = json!([0, 1, name, with]).to_string();
    write!(stream.get_mut(), "{}:{text}", text.len()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut answer = frame(stream);
    assert!(answer[2].is_null(), "{name} {with}: {}", answer[2]);
    let mut result = answer[3].take();
    match result.get_mut("value") {
        Some(value) => value.take(),
        None => result,
    }
}

fn frame(stream: &mut BufReader<TcpStream>) -> Value {
    let mut length = 0_usize;
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("the browser does not answer: {error}"));
        match byte[0] {
            digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
            _ => break,
        }
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text).unwrap_or_else(|error| panic!("the browser's answer is cut off: {error}"));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("the browser's answer is no JSON: {error}"))
}
