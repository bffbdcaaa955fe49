//! Mail as people, mail servers and forgers send it: written, signed and delivered.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use mail_auth::common::crypto::{RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::process;

/// A domain that signs its mail.
pub struct Domain {
    name: String,
    key: String,
    public: String,
}

impl Domain {
    /// With a fresh RSA key of 2048 bits, made by openssl.
    pub fn new(name: &str) -> Domain {
        let openssl = |arguments: &[&str], input: &str| {
            let mut command = Command::new("openssl");
            command.args(arguments);
            let (code, out, errors) = process::run(command, input, Duration::from_secs(60));
            assert_eq!(code, 0, "openssl {arguments:?}: {errors}");
            out
        };
        let key = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "");
        let public = openssl(&["rsa", "-pubout"], &key);
        let public = public.lines().filter(|line| !line.starts_with('-')).collect();
        Domain { name: name.to_owned(), key, public }
    }

    /// What its name server has to say: the key of its signatures.
    pub fn record(&self) -> (String, String) {
        (format!("s1._domainkey.{}", self.name), format!("v=DKIM1; k=rsa; p={}", self.public))
    }

    /// Signs a mail as a provider does.
    pub fn sign(&self, mail: &str) -> String {
        self.sign_only(&["From", "To", "Subject", "Date", "Message-ID"], mail)
    }

    /// Signs these fields of a mail, and its body.
    pub fn sign_only(&self, fields: &[&str], mail: &str) -> String {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("openssl writes PEM");
        let key = RsaKey::<Sha256>::from_key_der(key).expect("openssl made the key");
        let signer =
            DkimSigner::from_key(key).domain(self.name.as_str()).selector("s1").headers(fields.iter().copied());
        let signature = signer.sign(mail.as_bytes()).expect("the mail can be signed");
        format!("{}{mail}", signature.to_header())
    }
}

/// A mail of one line.
pub fn write(id: &str, from: &str, to: &str, subject: &str, body: &str) -> String {
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: <{id}@client.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n",
        now()
    )
}

/// The moment, as a mail writes it.
fn now() -> String {
    let mut date = Command::new("date");
    date.arg("-R").env("LC_ALL", "C");
    process::run(date, "", Duration::from_secs(10)).1.trim().to_owned()
}

/// A mail server's side of LMTP.
pub struct Lmtp {
    stream: BufReader<TcpStream>,
}

impl Lmtp {
    /// Connects and says LHLO.
    pub fn connect(to: SocketAddr) -> io::Result<Lmtp> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut lmtp = Lmtp { stream: BufReader::new(stream) };
        lmtp.answer()?;
        lmtp.says("LHLO client.test")?;
        Ok(lmtp)
    }

    /// Says one line and hears the answer, all lines of it.
    pub fn says(&mut self, line: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Hears one answer.
    pub fn answer(&mut self) -> io::Result<String> {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            all += &line;
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(all);
            }
        }
    }

    /// Delivers a mail and answers what is said for each recipient.
    pub fn deliver(&mut self, from: &str, to: &[&str], mail: &str) -> io::Result<Vec<String>> {
        self.says(&format!("MAIL FROM:<{from}>"))?;
        for to in to {
            self.says(&format!("RCPT TO:<{to}>"))?;
        }
        self.says("DATA")?;
        let stuffed = mail.replace("\r\n.", "\r\n..");
        self.raw(format!("{stuffed}.\r\n").as_bytes())?;
        to.iter().map(|_| self.answer()).collect()
    }
}
