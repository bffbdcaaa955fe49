//! Mail straight from a mail server: LMTP (RFC 2033). A mail is taken with 250 only when its job is confirmed, or it is clear that
//! there will be none; when we cannot tell, the server keeps it (451). One answer for each recipient.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use ringback_common::config::LmtpConfig;
use ringback_common::service::Shutdown;
use smtp_proto::request::receiver::{DataReceiver, DummyDataReceiver, RequestReceiver};
use smtp_proto::{Error, MAIL_BODY_8BITMIME, MAIL_SMTPUTF8, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::desk::{Desk, Outcome};
use crate::mail::Envelope;

/// As many recipients of one mail are taken.
const MOST_RECIPIENTS: usize = 100;
/// As many mistakes of one connection are answered.
const MOST_MISTAKES: u32 = 20;
/// So much of a mail that is too long is read to its end and forgotten; behind that the connection ends.
const MOST_THROWN_AWAY: usize = 200_000_000;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(120);
/// How long one mail may take to arrive.
const PATIENCE: Duration = Duration::from_secs(600);

/// Takes connections until shutdown, then ends those that are there.
pub async fn serve(listener: TcpListener, config: LmtpConfig, desk: Arc<Desk>, shutdown: Shutdown) {
    let slots = Arc::new(Semaphore::new(config.connections));
    let allow: Arc<[IpAddr]> = config.allow.into();
    let mut sessions = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => break,
            Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await; // out of descriptors, most likely
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            turn_away(stream, "421 4.3.2 too many connections, try again later\r\n").await;
            continue;
        };
        if !is_allowed(peer, &allow) {
            tracing::warn!("a mail server that [email.lmtp] allow does not name was turned away");
            turn_away(stream, "554 5.7.1 not allowed\r\n").await;
            continue;
        }
        let session = Session::new(stream, desk.clone(), shutdown.clone());
        sessions.spawn(async move {
            if let Err(error) = session.run().await {
                tracing::debug!("a delivering mail server went away: {error}");
            }
            drop(slot);
        });
    }
    while sessions.join_next().await.is_some() {}
}

async fn turn_away(mut stream: TcpStream, why: &str) {
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(why.as_bytes())).await;
}

fn is_allowed(peer: SocketAddr, allow: &[IpAddr]) -> bool {
    let ip = peer.ip().to_canonical();
    ip.is_loopback() || allow.iter().any(|allowed| allowed.to_canonical() == ip)
}

/// One connection.
struct Session {
    stream: TcpStream,
    desk: Arc<Desk>,
    shutdown: Shutdown,
    greeted: bool,
    envelope: Envelope,
    answers: String,
    mistakes: u32,
}

/// What comes after a command.
enum Next {
    Command,
    Data,
    Close,
}

impl Session {
    fn new(stream: TcpStream, desk: Arc<Desk>, shutdown: Shutdown) -> Session {
        let envelope = Envelope::default();
        Session { stream, desk, shutdown, greeted: false, envelope, answers: String::new(), mistakes: 0 }
    }

    async fn run(mut self) -> io::Result<()> {
        self.answers.push_str("220 ringback LMTP\r\n");
        let mut receiver = RequestReceiver::default();
        let mut chunk = vec![0; 16 * 1024];
        loop {
            self.flush().await?;
            let length = tokio::select! {
                () = self.shutdown.wait() => 0,
                read = tokio::time::timeout(SILENCE, self.stream.read(&mut chunk)) => read.unwrap_or(Ok(0))?,
            };
            if length == 0 {
                self.answers.push_str("421 4.3.2 closing\r\n");
                return self.flush().await;
            }
            let mut bytes = chunk[..length].iter();
            while !bytes.as_slice().is_empty() {
                let next = match receiver.ingest(&mut bytes) {
                    Ok(request) => self.obey(request),
                    Err(Error::NeedsMoreData { .. }) => continue,
                    Err(error) => self.complain(&error),
                };
                match next {
                    Next::Command => {}
                    Next::Close => return self.flush().await,
                    Next::Data => {
                        self.flush().await?;
                        let rest = bytes.as_slice().to_vec();
                        let taken = tokio::time::timeout(PATIENCE, self.data(rest)).await;
                        chunk = taken.map_err(|_| io::ErrorKind::TimedOut)??;
                        bytes = chunk.iter();
                    }
                }
            }
            chunk.resize(16 * 1024, 0);
        }
    }

    fn obey<T: AsRef<str>>(&mut self, request: Request<T>) -> Next {
        match request {
            Request::Lhlo { .. } => {
                self.greeted = true;
                self.envelope = Envelope::default();
                // No SIZE: a server that knew it would bounce what is longer, to whomever a forger has named.
                self.answers.push_str(
                    "250-ringback\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
                );
            }
            Request::Mail { from } => self.mail(from.address.as_ref(), from.flags),
            Request::Rcpt { to } => self.rcpt(to.address.as_ref()),
            Request::Data if self.envelope.rcpt_to.is_empty() => self.mistake("503 5.5.1 no recipient"),
            Request::Data => {
                self.answers.push_str("354 go ahead\r\n");
                return Next::Data;
            }
            Request::Rset => {
                self.envelope = Envelope::default();
                self.answers.push_str("250 2.0.0 forgotten\r\n");
            }
            Request::Noop { .. } => self.answers.push_str("250 2.0.0 yes\r\n"),
            Request::Vrfy { .. } => self.answers.push_str("252 2.1.5 send it and see\r\n"),
            Request::Quit => {
                self.answers.push_str("221 2.0.0 bye\r\n");
                return Next::Close;
            }
            Request::Helo { .. } | Request::Ehlo { .. } => self.mistake("500 5.5.1 this is LMTP: LHLO"),
            _ => self.mistake("502 5.5.1 not here"),
        }
        if self.mistakes > MOST_MISTAKES { Next::Close } else { Next::Command }
    }

    fn mail(&mut self, from: &str, flags: u64) {
        if !self.greeted || self.envelope.mail_from.is_some() {
            return self.mistake("503 5.5.1 LHLO, then MAIL once");
        }
        let binary = flags & !(MAIL_BODY_8BITMIME | MAIL_SMTPUTF8 | smtp_proto::MAIL_BODY_7BIT) != 0;
        if binary {
            return self.mistake("555 5.5.4 such mail is not taken");
        }
        self.envelope.mail_from = Some(from.to_owned());
        self.answers.push_str("250 2.1.0 ok\r\n");
    }

    fn rcpt(&mut self, to: &str) {
        if self.envelope.mail_from.is_none() {
            self.mistake("503 5.5.1 MAIL first");
        } else if !self.desk.house().is_ours(to) {
            self.answers.push_str("550 5.1.1 nobody of that name\r\n");
        } else if self.envelope.rcpt_to.len() >= MOST_RECIPIENTS {
            self.answers.push_str("452 4.5.3 too many recipients\r\n");
        } else {
            self.envelope.rcpt_to.push(to.to_owned());
            self.answers.push_str("250 2.1.5 ok\r\n");
        }
    }

    fn complain(&mut self, error: &Error) -> Next {
        self.mistake(match error {
            Error::UnknownCommand => "500 5.5.1 unknown command",
            Error::ResponseTooLong => "500 5.5.2 line too long",
            Error::InvalidSenderAddress => "501 5.1.7 no such sender",
            Error::InvalidRecipientAddress => "501 5.1.3 no such recipient",
            Error::UnsupportedParameter { .. } => "555 5.5.4 unknown parameter",
            _ => "501 5.5.4 not understood",
        });
        // What is left of a line that was too long would be read as a command.
        if *error == Error::ResponseTooLong || self.mistakes > MOST_MISTAKES { Next::Close } else { Next::Command }
    }

    fn mistake(&mut self, answer: &str) {
        self.mistakes += 1;
        self.answers.push_str(answer);
        self.answers.push_str("\r\n");
    }

    /// Takes the mail itself and answers for each recipient; what came behind its end is given back.
    async fn data(&mut self, mut chunk: Vec<u8>) -> io::Result<Vec<u8>> {
        let envelope = std::mem::take(&mut self.envelope);
        let mut mail = Vec::new();
        let mut receiver = DataReceiver::new();
        receiver.ingest(&mut b"\r\n".iter(), &mut mail); // so that a dot on the very first line counts
        mail.clear();
        let mut surplus: Option<DummyDataReceiver> = None;
        let mut thrown_away = 0;
        loop {
            let mut bytes = chunk.iter();
            let ended = match &mut surplus {
                Some(surplus) => surplus.ingest(&mut bytes),
                None => receiver.ingest(&mut bytes, &mut mail),
            };
            if ended {
                let rest = bytes.as_slice().to_vec();
                let outcome = if surplus.is_some() {
                    self.desk.too_large(None)
                } else {
                    self.desk.take(&mail, Some(&envelope), Utc::now()).await
                };
                self.answer_each(&envelope, &outcome);
                return Ok(rest);
            }
            if surplus.is_none() && mail.len() > self.desk.house().max_size {
                surplus = Some(DummyDataReceiver::new_data(&receiver));
                mail = Vec::new();
            }
            chunk.resize(16 * 1024, 0);
            let length = tokio::time::timeout(SILENCE, self.stream.read(&mut chunk)).await.unwrap_or(Ok(0))?;
            thrown_away += if surplus.is_some() { length } else { 0 };
            if length == 0 || thrown_away > MOST_THROWN_AWAY {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            chunk.truncate(length);
        }
    }

    fn answer_each(&mut self, envelope: &Envelope, outcome: &Outcome) {
        let answer = match outcome {
            Outcome::Accepted(job) => format!("250 2.0.0 job {job}"),
            Outcome::Rejected(reason) => format!("250 2.0.0 taken, no callback: {reason}"),
            Outcome::Ignored(reason) => format!("250 2.0.0 taken and left alone: {reason}"),
            Outcome::NotOurs => "550 5.1.1 nobody of that name".to_owned(),
            Outcome::Unavailable(_) => "451 4.3.0 not now, try again".to_owned(),
        };
        for _ in &envelope.rcpt_to {
            self.answers.push_str(&answer);
            self.answers.push_str("\r\n");
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let answers = std::mem::take(&mut self.answers);
        let written = tokio::time::timeout(SILENCE, self.stream.write_all(answers.as_bytes())).await;
        written.map_err(|_| io::ErrorKind::TimedOut)?
    }
}
