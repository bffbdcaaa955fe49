//! Replies as mails: threaded, marked as written by a machine, from the null sender so that no bounce of them comes back.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use ringback_common::answer::Subject;
use ringback_common::config::{self, SmtpConfig};
use ringback_common::courier::Sent;
use ringback_common::job::JobId;

use crate::auto::OWN_FIELD;
use crate::replies::Note;

/// How long the mail server may think about a step.
const PATIENCE: Duration = Duration::from_secs(30);

/// One reply.
pub struct Reply {
    /// The job it is about.
    pub job: JobId,
    /// `refused`, `admitted` or `final`.
    pub kind: &'static str,
    /// To whom.
    pub note: Note,
    /// What it says.
    pub text: String,
}

/// A mail server that takes replies.
pub struct MailServer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    idempotent: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum MailServerError {
    /// The certificates cannot be read.
    #[error("[email.smtp] ca_file {0}")]
    Certificates(String),
    /// The settings do not fit.
    #[error("[email.smtp]: {0}")]
    Settings(String),
}

impl MailServer {
    /// Through this server; `None` if there is none.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn new(config: &SmtpConfig) -> Result<Option<MailServer>, MailServerError> {
        let Some(host) = &config.host else { return Ok(None) };
        let settings = |error: &dyn std::fmt::Display| MailServerError::Settings(error.to_string());
        let address: Address = config.from.parse().map_err(|error| settings(&error))?;
        let tls = match config.tls {
            config::Tls::None => Tls::None,
            config::Tls::Tls => Tls::Wrapper(parameters(host, config)?),
            config::Tls::Starttls => Tls::Required(parameters(host, config)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str());
        builder = builder.port(config.port).tls(tls).timeout(Some(PATIENCE));
        if !config.user.is_empty() {
            builder = builder.credentials(Credentials::new(config.user.clone(), config.password.reveal().to_owned()));
        }
        let from = Mailbox::new(None, address);
        Ok(Some(MailServer { transport: builder.build(), from, idempotent: config.idempotent }))
    }

    /// Whether a second mail with the same id is dropped on the other side.
    pub fn deduplicates(&self) -> bool {
        self.idempotent
    }

    /// Sends one reply, once.
    pub async fn send(&self, reply: &Reply) -> Sent {
        let (envelope, mail) = match self.written(reply) {
            Ok(written) => written,
            Err(why) => return Sent::Never(why),
        };
        match self.transport.send_raw(&envelope, &mail).await {
            Ok(_) => Sent::Yes,
            Err(error) if error.is_permanent() || error.is_client() => {
                if is_ours(&error) || !self.is_up().await {
                    return Sent::NotYet(told(&error));
                }
                Sent::Never(told(&error))
            }
            Err(error) if error.is_transient() || error.is_tls() || not_reached(&error) => Sent::NotYet(told(&error)),
            Err(error) => Sent::Unknown(told(&error)),
        }
    }

    /// Whether the server takes mail from us at all: it is there, secured, and lets us in. If not, what it refuses is not the mail.
    async fn is_up(&self) -> bool {
        self.transport.test_connection().await.unwrap_or(false)
    }

    /// The mail, and its envelope with the null sender.
    fn written(&self, reply: &Reply) -> Result<(Envelope, Vec<u8>), String> {
        let to: Address =
            reply.note.to.parse().map_err(|error| format!("the sender's address cannot be written: {error}"))?;
        let domain = self.from.email.domain();
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(subject(reply))
            .message_id(Some(format!("<{}.{}.ringback@{domain}>", reply.job, reply.kind)))
            .raw_header(plain("Auto-Submitted", "auto-replied"))
            .raw_header(plain("X-Auto-Response-Suppress", "All"))
            .raw_header(plain(OWN_FIELD, reply.job.as_str()));
        if let Some(id) = &reply.note.id {
            message = message.in_reply_to(format!("<{id}>"));
        }
        if !reply.note.references.is_empty() {
            let all: Vec<String> = reply.note.references.iter().map(|id| format!("<{id}>")).collect();
            message = message.references(all.join(" "));
        }
        let message =
            message.singlepart(SinglePart::plain(format!("{}\r\n", reply.text))).map_err(|error| error.to_string())?;
        let envelope = Envelope::new(None, vec![to]).map_err(|error| error.to_string())?;
        Ok((envelope, message.formatted()))
    }
}

fn plain(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// `Re:` and what was asked, else what the reply is about.
fn subject(reply: &Reply) -> String {
    let asked = reply.note.subject.trim();
    let answered = asked.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("re:"));
    match asked {
        "" => reply.note.speaker().subject(match reply.kind {
            "admitted" => Subject::Calling,
            "refused" => Subject::Refused,
            _ => Subject::Over,
        }),
        _ if answered => asked.to_owned(),
        _ => format!("Re: {asked}"),
    }
}

/// Certificates to trust: those of a file, else the machine's.
fn parameters(host: &str, config: &SmtpConfig) -> Result<TlsParameters, MailServerError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(file) = &config.ca_file {
        let wrong =
            |error: &dyn std::fmt::Display| MailServerError::Certificates(format!("{}: {error}", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
        builder = builder.certificate_store(CertificateStore::None);
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| wrong(&error))?);
    }
    builder.build_rustls().map_err(|error| MailServerError::Settings(error.to_string()))
}

/// What went wrong, without the words of the server: they may name the sender.
fn told(error: &lettre::transport::smtp::Error) -> String {
    error.status().map_or_else(|| error.to_string(), |code| format!("the mail server said {code}"))
}

/// The server wants another password, a user or TLS before it takes anything (RFC 4954, 6; RFC 3207, 4).
fn is_ours(error: &lettre::transport::smtp::Error) -> bool {
    error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538))
}

/// The server could not be spoken to at all, so nothing was taken.
fn not_reached(error: &lettre::transport::smtp::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = source {
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound};
            return matches!(io.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | NotFound);
        }
        source = one.source();
    }
    error.to_string().starts_with("Connection error")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn channel() -> MailServer {
        at(1, config::Tls::None, "")
    }

    fn at(port: u16, tls: config::Tls, user: &str) -> MailServer {
        let config = SmtpConfig {
            host: Some("127.0.0.1".to_owned()),
            port,
            tls,
            ca_file: None,
            user: user.to_owned(),
            password: config::Secret::default(),
            password_file: Default::default(),
            from: "gateway@gw.test".to_owned(),
            idempotent: false,
        };
        MailServer::new(&config).unwrap().unwrap()
    }

    fn reply(subject: &str) -> Reply {
        let note = Note {
            to: "alice@example.com".to_owned(),
            subject: subject.to_owned(),
            id: Some("m1@example.com".to_owned()),
            references: vec!["m0@example.com".to_owned(), "m1@example.com".to_owned()],
            language: "en".to_owned(),
        };
        Reply { job: JobId("abc".to_owned()), kind: "final", note, text: "你好, it cost 0.10".to_owned() }
    }

    #[test]
    fn a_reply_is_threaded_marked_and_comes_from_nobody() {
        let (envelope, mail) = channel().written(&reply("0370728\u{ff03}")).unwrap();
        assert!(envelope.from().is_none());
        assert_eq!(envelope.to()[0].to_string(), "alice@example.com");
        let parsed = mail_parser::MessageParser::default().parse(&mail).unwrap();
        assert_eq!(parsed.message_id(), Some("abc.final.ringback@gw.test"));
        assert_eq!(parsed.in_reply_to().as_text(), Some("m1@example.com"));
        assert_eq!(parsed.references().as_text_list().map(<[_]>::len), Some(2));
        assert_eq!(parsed.subject(), Some("Re: 0370728\u{ff03}"));
        assert_eq!(parsed.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
        assert_eq!(parsed.header_raw(OWN_FIELD).map(str::trim), Some("abc"));
        assert!(parsed.reply_to().is_none());
        assert_eq!(parsed.body_text(0).unwrap().trim(), "你好, it cost 0.10");
        assert_eq!(channel().written(&reply("x")).unwrap().1.len(), channel().written(&reply("x")).unwrap().1.len());
    }

    #[test]
    fn nothing_in_a_note_ends_a_line() {
        let mut nasty = reply("x\r\nBcc: eve@evil.test");
        nasty.note.id = Some("m1@x>\r\nBcc: eve@evil.test".to_owned());
        let (_, mail) = channel().written(&nasty).unwrap();
        let text = String::from_utf8(mail).unwrap();
        assert!(!text.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_tried_again() {
        assert!(matches!(channel().send(&reply("x")).await, Sent::NotYet(_)));
    }

    /// A mail server of one machine's making: says `answer` to what begins with `word`, and yes to everything else.
    async fn saying(word: &'static str, answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(one_client(stream, word, answer));
            }
        });
        port
    }

    async fn one_client(stream: TcpStream, word: &'static str, answer: &'static str) -> std::io::Result<()> {
        let mut stream = BufStream::new(stream);
        let mut line = "GREETING".to_owned();
        let mut in_data = false;
        loop {
            let usual = match line.split_whitespace().next().unwrap_or_default() {
                "." => "250 taken",
                _ if in_data => "",
                "GREETING" => "220 here",
                "EHLO" => "250-here\r\n250 AUTH PLAIN",
                "AUTH" => "235 welcome",
                "DATA" => "354 go ahead",
                _ => "250 yes",
            };
            let say = if line.starts_with(word) && !in_data { answer } else { usual };
            in_data = (in_data || say.starts_with("354")) && line.trim_end() != ".";
            if !say.is_empty() {
                stream.write_all(format!("{say}\r\n").as_bytes()).await?;
                stream.flush().await?;
            }
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
    }

    #[tokio::test]
    async fn only_a_refused_mail_is_given_up_not_a_refused_password() {
        use config::Tls::{None, Starttls};
        for (word, answer, tls, user, expected) in [
            ("QUIT", "221 bye", None, "", "yes"),
            ("QUIT", "221 bye", None, "us", "yes"),
            ("RCPT", "550 5.1.1 nobody of that name", None, "us", "never"),
            ("DATA", "554 5.6.0 no such mail here", None, "", "never"),
            ("RCPT", "450 4.2.1 later", None, "", "not yet"),
            ("AUTH", "535 5.7.8 wrong password", None, "us", "not yet"),
            ("AUTH", "534 5.7.9 too weak", None, "us", "not yet"),
            ("MAIL", "530 5.7.0 authentication required", None, "", "not yet"),
            ("GREETING", "554 5.3.2 closed for today", None, "", "not yet"),
            ("EHLO", "250 no AUTH here", None, "us", "not yet"),
            ("QUIT", "221 no STARTTLS here", Starttls, "", "not yet"),
        ] {
            let sent = at(saying(word, answer).await, tls, user).send(&reply("x")).await;
            let became = match &sent {
                Sent::Yes => "yes",
                Sent::Never(_) => "never",
                Sent::NotYet(_) => "not yet",
                Sent::Unknown(_) => "unknown",
            };
            assert_eq!(became, expected, "{word} {answer}: {sent:?}");
        }
    }
}
