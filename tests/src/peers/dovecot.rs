//! A private Dovecot: mailboxes in a folder of the test, IMAP and LMTP on an address of its own.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock;
use crate::process::{self, Process};

const STARTUP: Duration = Duration::from_secs(30);
/// The password of every mailbox.
pub const PASSWORD: &str = "secret";

/// One server. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Dovecot {
    server: Option<Process>,
    ip: IpAddr,
    folder: TempDir,
}

impl Dovecot {
    /// Starts it on this address: IMAP on 21143, IMAP over TLS on 21993, LMTP on 21024. `can` names what it says it can do;
    /// empty: everything.
    pub fn start(ip: IpAddr, can: &str) -> io::Result<Dovecot> {
        let folder = tempfile::Builder::new().prefix("dovecot").tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        for name in ["mail", "home"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
        }
        certificate(folder.path(), ip)?;
        std::fs::write(folder.path().join("dovecot.conf"), settings(folder.path(), ip, can))?;
        let mut dovecot = Dovecot { server: None, ip, folder };
        dovecot.restart()?;
        Ok(dovecot)
    }

    /// Starts it again on the same mail (if it runs, it is killed first) and waits until it answers.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill9();
        let mut command = Command::new("/usr/sbin/dovecot");
        command.arg("-F").arg("-c").arg(self.folder.path().join("dovecot.conf"));
        let mut server = Process::start("dovecot", command, &self.folder.path().join("dovecot.log"))?;
        for address in [self.imap(), self.lmtp()] {
            clock::wait_for("Dovecot to listen", STARTUP, || {
                assert!(server.ended().is_none(), "Dovecot ended:\n{}", server.tail(20));
                TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
            });
        }
        self.server = Some(server);
        Ok(())
    }

    /// `kill -9` of the master and of everyone it started.
    pub fn kill9(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal_group(libc::SIGKILL);
            server.kill9();
        }
    }

    /// Where mailboxes are read.
    pub fn imap(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 21143)
    }

    /// The same over TLS.
    pub fn imaps(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 21993)
    }

    /// Where mail is delivered.
    pub fn lmtp(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 21024)
    }

    /// The certificate that it shows.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The mails in a folder of somebody's mailbox ("" is the inbox): whether each was seen, and what it says.
    pub fn mails(&self, user: &str, folder: &str) -> Vec<(bool, String)> {
        let mut root = self.folder.path().join("mail").join(user);
        if !folder.is_empty() {
            root.push(format!(".{folder}"));
        }
        let mut mails = Vec::new();
        for place in ["new", "cur"] {
            for entry in std::fs::read_dir(root.join(place)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let seen = name.rsplit_once(":2,").is_some_and(|(_, flags)| flags.contains('S'));
                if let Ok(bytes) = std::fs::read(entry.path()) {
                    mails.push((seen, String::from_utf8_lossy(&bytes).into_owned()));
                }
            }
        }
        mails
    }

    /// Waits until a folder holds so many mails; answers them.
    pub fn wait(&self, user: &str, folder: &str, count: usize, limit: Duration) -> Vec<(bool, String)> {
        let what = format!("{count} mails in {user} {folder:?}");
        clock::wait_for(&what, limit, || Some(self.mails(user, folder)).filter(|mails| mails.len() >= count))
    }

    /// Lays a mail into a folder ("" is the inbox) that has been there for so long; `readable` to the server, or not.
    pub fn place(&self, user: &str, folder: &str, mail: &str, age: Duration, readable: bool) {
        let mut root = self.folder.path().join("mail").join(user);
        if !folder.is_empty() {
            root.push(format!(".{folder}"));
        }
        let name = format!("{}.placed", clock::now_us());
        let waiting = root.join("tmp").join(&name);
        std::fs::write(&waiting, mail).expect("the folder is ours");
        let file = std::fs::File::options().write(true).open(&waiting).expect("it was just written");
        file.set_modified(std::time::SystemTime::now() - age).expect("the file is ours");
        let mode = if readable { 0o666 } else { 0o000 };
        std::fs::set_permissions(&waiting, std::fs::Permissions::from_mode(mode)).expect("the file is ours");
        std::fs::rename(&waiting, root.join("new").join(name)).expect("the folder is ours");
    }

    /// Makes a mailbox forget its numbers, as after a restored backup: its UIDVALIDITY changes.
    pub fn renumber(&self, user: &str) {
        let root = self.folder.path().join("mail").join(user);
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("dovecot") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let (next, marker) = ("V1999999999 N1000 Gabcdefabcdefabcdefabcdefabcdefab\n", root.join("dovecot-uidlist"));
        std::fs::write(&marker, format!("3 {next}")).expect("the mailbox is ours");
        std::fs::set_permissions(&marker, std::fs::Permissions::from_mode(0o666)).expect("the mailbox is ours");
    }
}

fn settings(folder: &Path, ip: IpAddr, can: &str) -> String {
    let here = folder.display();
    let can = if can.is_empty() { String::new() } else { format!("imap_capability = {can}\n") };
    format!(
        "protocols = imap lmtp\nlisten = {ip}\nbase_dir = {here}/run\nstate_dir = {here}/state\nlog_path = /dev/stderr\n\
         ssl = yes\nssl_cert = <{here}/certificate.pem\nssl_key = <{here}/key.pem\ndisable_plaintext_auth = no\n\
         first_valid_uid = 1\nrecipient_delimiter = +\nauth_username_format = %Lu\nmail_location = maildir:{here}/mail/%u\n{can}\
         passdb {{\n driver = static\n args = password={PASSWORD}\n}}\n\
         userdb {{\n driver = static\n args = uid=mail gid=mail home={here}/home/%u allow_all_users=yes\n}}\n\
         service imap-login {{\n chroot =\n inet_listener imap {{\n port = 21143\n }}\n inet_listener imaps {{\n port = 21993\n \
         ssl = yes\n }}\n}}\n\
         service lmtp {{\n inet_listener lmtp {{\n port = 21024\n }}\n}}\nservice anvil {{\n chroot =\n}}\n"
    )
}

/// A certificate for this address that only the test trusts.
fn certificate(folder: &Path, ip: IpAddr) -> io::Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-subj", "/CN=dovecot.test"]);
    openssl.args(["-addext", &format!("subjectAltName=IP:{ip}"), "-addext", "basicConstraints=critical,CA:FALSE"]);
    match process::run(openssl, "", STARTUP) {
        (0, ..) => Ok(()),
        (_, out, errors) => Err(io::Error::other(format!("openssl: {out}{errors}"))),
    }
}
