//! The page from outside: a real listener, plain HTTP by hand.

use bytes::Bytes;
use ringback_common::config::Config;
use ringback_common::queue::{Destination, Message, QueueConfig};
use ringback_common::store::{NewAccount, StoreConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

struct Page {
    address: SocketAddr,
    queue: Queue,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

/// The page of account `demo`, with a store of its own.
async fn page() -> Page {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/ringback.db", folder.path().display());
    let store = Store::open(&StoreConfig::new(url.as_str())).await.unwrap();
    let queue = Queue::open(&QueueConfig { url, ..QueueConfig::default() }).await.unwrap();
    for name in ["demo", "<script>"] {
        let balance = ringback_common::money::Money(5_000_000);
        let currency = "USD".to_owned();
        let new = NewAccount { name: name.to_owned(), currency, balance, limits_off: true, ..NewAccount::default() };
        store.add_account(&new).await.unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let rules = Rules::from(&Config::defaults(folder.path()));
    let world = World { store, queue: queue.clone(), site_key: SiteKey::from_bytes([1; 32]), rules };
    tokio::spawn(run_on(listener, Some("demo".to_owned()), world, shutdown.clone()));
    Page { address, queue, shutdown, _folder: folder }
}

impl Page {
    async fn send(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{head}\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A refused body may be answered by a reset after the answer; what came counts.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1"), "").await
    }

    async fn post(&self, kind: &str, body: &str) -> String {
        self.send(&format!("POST /call HTTP/1.1\r\nContent-Type: {kind}"), body).await
    }

    async fn form(&self, extra: &str) -> String {
        let page = self.get("/").await;
        let field = |name: &str| {
            let from = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
            from.split('"').next().unwrap().to_owned()
        };
        format!("token={}&once={}{extra}", field("token"), field("once"))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.map_or("", |line| line[name.len() + 1..].trim())
}

const FORM: &str = "application/x-www-form-urlencoded";
const NUMBERS: &str = "&a=%2B442071838750&b=%2B4930123456";

#[tokio::test]
async fn a_form_becomes_a_callback_with_a_page_of_its_own() {
    let page = page().await;
    let form = page.form(NUMBERS).await;
    let answer = page.post(FORM, &form).await;
    assert_eq!(status(&answer), 303, "{answer}");
    let place = header(&answer, "location").to_owned();
    let again = page.post(FORM, &form).await;
    assert_eq!(header(&again, "location"), place, "the same form twice is the same callback");
    let shown = page.get(&place).await;
    assert!(shown.contains("Requested") && shown.contains("+44 20 7183 8750"), "{shown}");
    assert!(shown.contains("http-equiv=\"refresh\""), "without JavaScript the page reloads itself");
}

#[tokio::test]
async fn the_picture_follows_the_event_log() {
    let page = page().await;
    let answer = page.post(FORM, &page.form(NUMBERS).await).await;
    let job = header(&answer, "location").trim_start_matches("/call/").to_owned();
    let mut stream = TcpStream::connect(page.address).await.unwrap();
    let request = format!("GET /call/{job}/events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", page.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    read_until(&mut stream, &mut heard, "Requested").await;
    assert_eq!(header(&heard, "content-type"), "text/event-stream");
    for (seq, state, word) in [(1, "calling_a", "Your phone rings"), (2, "talking", "Talking")] {
        tell(&page, &job, seq, state).await;
        read_until(&mut stream, &mut heard, word).await;
    }
    assert!(heard.contains("event: picture"), "{heard}");
}

async fn tell(page: &Page, job: &str, seq: u32, state: &str) {
    let kind = format!("ringback.request.{state}.v1");
    let body = json!({"type": kind, "data": {"job": job, "seq": seq}}).to_string();
    let message = Message { id: format!("{job}:{seq}"), kind, body: Bytes::from(body) };
    let to = Destination::Log { routing_key: format!("request.{state}") };
    page.queue.publish(&to, &message).await.unwrap();
}

async fn read_until(stream: &mut TcpStream, heard: &mut String, word: &str) {
    let patience = std::time::Duration::from_secs(10);
    while !heard.contains(word) {
        let mut part = [0; 4096];
        let read = tokio::time::timeout(patience, stream.read(&mut part))
            .await
            .unwrap_or_else(|_| panic!("no {word} in {heard}"));
        let read = read.unwrap();
        assert!(read > 0, "the stream ended without {word}: {heard}");
        heard.push_str(&String::from_utf8_lossy(&part[..read]));
    }
}

#[tokio::test]
async fn web_01_to_03_forged_posts_become_nothing() {
    let page = page().await;
    let form = page.form(NUMBERS).await;
    let foreign = format!("POST /call HTTP/1.1\r\nOrigin: https://evil.example\r\nContent-Type: {FORM}");
    assert_eq!(status(&page.send(&foreign, &form).await), 403);
    assert_eq!(status(&page.post(FORM, &form.replacen("token=", "token=0", 1)).await), 403);
    assert_eq!(status(&page.get("/call?a=1&b=2").await), 405);
    assert_eq!(status(&page.post("text/plain", "{\"a\":\"+442071838750\"}").await), 415);
    assert_eq!(status(&page.post("application/json", "{}").await), 415);
    let waiting = page.queue.depth(&ringback_common::queue::Source::Jobs).await.unwrap();
    assert_eq!(waiting, 0, "no job");
}

#[tokio::test]
async fn web_05_and_06_every_answer_is_dressed() {
    let page = page().await;
    for path in ["/", "/nowhere", "/static/ringback.css", "/call/unknown"] {
        let answer = page.get(path).await;
        let policy = header(&answer, "content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "referrer-policy"), "same-origin", "no-referrer hides our own origin from us");
        assert!(!header(&answer, "cache-control").is_empty());
    }
    assert_eq!(status(&page.get("/call/unknown").await), 404);
    assert_eq!(header(&page.get("/").await, "cache-control"), "no-store");
}

#[tokio::test]
async fn web_11_and_12_a_form_has_its_fields_and_no_others() {
    let page = page().await;
    for extra in ["&account=other", "&price=0", "&b=%2B1", "&max_seconds=999999"] {
        let form = format!("{}{extra}", page.form(NUMBERS).await);
        assert_eq!(status(&page.post(FORM, &form).await), 400, "{extra}");
    }
    assert_eq!(status(&page.post(FORM, "a=1").await), 400);
}

#[tokio::test]
async fn web_19_what_was_typed_is_shown_and_never_obeyed() {
    let page = page().await;
    let form = page.form("&a=%3Cscript%3Ealert(1)%3C%2Fscript%3E&b=%22%3E%3Cb%3E").await;
    let answer = page.post(FORM, &form).await;
    assert_eq!(status(&answer), 422);
    assert!(!answer.contains("<script>alert") && !answer.contains("\"><b>"), "{answer}");
    assert!(answer.contains("role=\"alert\""), "says what to put right: {answer}");
}

#[tokio::test]
async fn web_22_and_25_big_bodies_and_odd_methods_are_refused() {
    let page = page().await;
    let begun = std::time::Instant::now();
    assert_eq!(status(&page.post(FORM, &"a".repeat(100_000)).await), 413);
    assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    for method in ["PUT", "TRACE", "DELETE"] {
        assert_eq!(status(&page.send(&format!("{method} / HTTP/1.1"), "").await), 405, "{method}");
    }
}

#[tokio::test]
async fn the_first_paint_is_light() {
    let page = page().await;
    let mut bytes = 0;
    for path in ["/", "/static/ringback.css", "/static/live.js", "/static/icon.svg"] {
        let answer = page.get(path).await;
        assert_eq!(status(&answer), 200, "{path}");
        bytes += answer.len();
    }
    assert!(bytes < 100_000, "{bytes} bytes");
}

#[tokio::test]
async fn the_page_is_for_this_machine_alone() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/ringback.db", folder.path().display());
    let store = Store::open(&StoreConfig::new(url.as_str())).await.unwrap();
    let queue = Queue::open(&QueueConfig { url, ..QueueConfig::default() }).await.unwrap();
    let world = || World {
        store: store.clone(),
        queue: queue.clone(),
        site_key: SiteKey::from_bytes([1; 32]),
        rules: Rules::from(&Config::defaults(folder.path())),
    };
    let config = |listen: &str, account: Option<&str>| WebConfig {
        listen: listen.parse().unwrap(),
        account: account.map(str::to_owned),
    };
    let open = run(config("0.0.0.0:0", Some("demo")), world(), Shutdown::new()).await;
    assert!(matches!(open, Err(RunError::NotLoopback(_))));
    let nobody = run(config("127.0.0.1:0", None), world(), Shutdown::new()).await;
    assert!(matches!(nobody, Err(RunError::NoAccount)));
    let stranger = run(config("127.0.0.1:0", Some("nobody")), world(), Shutdown::new()).await;
    assert!(matches!(stranger, Err(RunError::UnknownAccount(_))));
}
