//! As much HTTP as the tests need: one request at a time out, and a little server that writes down what it is sent.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// GET.
pub fn get(to: SocketAddr, path: &str) -> io::Result<Answer> {
    send(to, "GET", path, &[], b"")
}

/// POST with these headers.
pub fn post(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    send(to, "POST", path, headers, body)
}

/// Any request.
pub fn send(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(&[request.as_bytes(), body].concat())?;
    let mut reader = BufReader::new(stream);
    let (start, headers, body) = read_message(&mut reader)?;
    let status = start.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status =
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP status in {start:?}")))?;
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

type Message = (String, HashMap<String, String>, Vec<u8>);

fn read_message(reader: &mut impl BufRead) -> io::Result<Message> {
    let mut start = String::new();
    if reader.read_line(&mut start)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut body = Vec::new();
    match headers.get("content-length").and_then(|l| l.parse::<u64>().ok()) {
        Some(length) => {
            reader.take(length).read_to_end(&mut body)?;
        }
        None if headers.get("transfer-encoding").is_some_and(|t| t == "chunked") => read_chunks(reader, &mut body)?,
        None if start.starts_with("HTTP/") => {
            reader.read_to_end(&mut body)?;
        }
        None => {}
    }
    Ok((start.trim().to_owned(), headers, body))
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            return Ok(());
        }
        reader.by_ref().take(size).read_to_end(body)?;
        let mut end = String::new();
        reader.read_line(&mut end)?;
    }
}

/// One request a [`Receiver`] was sent.
#[derive(Clone, Debug)]
pub struct Received {
    /// When, in microseconds of [`crate::clock`].
    pub at_us: u64,
    /// Its path.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// Raw body.
    pub body: Vec<u8>,
}

impl Received {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A server that answers every request alike and remembers it: the far end of replies.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    received: Mutex<Vec<Received>>,
    status: AtomicU16,
    body: Mutex<String>,
    over: AtomicBool,
}

impl Receiver {
    /// Listens on a free port of this address and answers 200.
    pub fn start(ip: std::net::IpAddr) -> io::Result<Receiver> {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            status: AtomicU16::new(200),
            body: Mutex::new("{\"sid\":\"SM1\"}".to_owned()),
            over: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = serving.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Receiver { address, shared })
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers this status from now on.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// Says this from now on.
    pub fn say(&self, body: &str) {
        *self.shared.body.lock().unwrap_or_else(PoisonError::into_inner) = body.to_owned();
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many requests came.
    pub fn wait(&self, count: usize, limit: Duration) -> Vec<Received> {
        clock::wait_for(&format!("{count} replies"), limit, || Some(self.received()).filter(|r| r.len() >= count))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(200));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let Ok(reading) = stream.try_clone() else { return };
        let mut reader = BufReader::new(reading);
        let mut stream = stream;
        while let Ok((start, headers, body)) = read_message(&mut reader) {
            let path = start.split(' ').nth(1).unwrap_or("/").to_owned();
            let one = Received { at_us: clock::now_us(), path, headers, body };
            self.received.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            let status = self.status.load(Ordering::Relaxed);
            let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = format!(
                "HTTP/1.1 {status} Noted\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_noted_and_answered() {
        let receiver = Receiver::start("127.0.0.1".parse().unwrap()).unwrap();
        receiver.answer(503);
        let answer = post(receiver.address, "/reply", &[("X-A", "1")], b"{\"a\":1}").unwrap();
        assert_eq!(answer.status, 503);
        let received = receiver.wait(1, Duration::from_secs(1));
        assert_eq!((received[0].path.as_str(), received[0].json()["a"].as_i64()), ("/reply", Some(1)));
    }
}
