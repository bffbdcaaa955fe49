//! A private Postfix: takes mail by SMTP and hands it on by LMTP. Nothing of the machine's Postfix is touched.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock;
use crate::process::{self, Process};

const STARTUP: Duration = Duration::from_secs(60);

/// One mail server. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Postfix {
    _server: Process,
    address: SocketAddr,
    folder: TempDir,
}

const SERVICES: &str = "\
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n -  0 cleanup
qmgr      unix  n - n 1  1 qmgr
rewrite   unix  - - n -  - trivial-rewrite
bounce    unix  - - n -  0 bounce
defer     unix  - - n -  0 bounce
trace     unix  - - n -  0 bounce
proxymap  unix  - - n -  - proxymap
showq     unix  n - n -  - showq
error     unix  - - n -  - error
retry     unix  - - n -  - error
discard   unix  - - n -  - discard
lmtp      unix  - - n -  - lmtp
anvil     unix  - - n -  1 anvil
scache    unix  - - n -  1 scache
postlog   unix-dgram n - n - 1 postlogd
";

impl Postfix {
    /// Starts it on this address, port 21025. Mail goes to the LMTP server named for its recipient, else to `others`.
    pub fn start(ip: IpAddr, others: SocketAddr, routes: &[(&str, SocketAddr)]) -> io::Result<Postfix> {
        let folder = tempfile::Builder::new().prefix("postfix").tempdir()?;
        let here = folder.path();
        std::fs::set_permissions(here, std::fs::Permissions::from_mode(0o755))?;
        for name in ["etc", "queue", "data"] {
            std::fs::create_dir(here.join(name))?;
        }
        let mut chown = Command::new("chown");
        chown.arg("postfix").arg(here.join("data"));
        process::run(chown, "", STARTUP);
        std::fs::write(here.join("etc/master.cf"), format!("{ip}:21025 inet n - n - - smtpd\n{SERVICES}"))?;
        let transports: String = routes.iter().map(|(to, lmtp)| format!("{to} lmtp:inet:{lmtp}\n")).collect();
        std::fs::write(here.join("etc/transport"), transports)?;
        std::fs::write(here.join("etc/main.cf"), settings(&here.display().to_string(), others))?;

        let mut check = Command::new("/usr/sbin/postfix");
        check.arg("-c").arg(here.join("etc")).arg("check");
        let (code, out, errors) = process::run(check, "", STARTUP);
        if code != 0 {
            let log = std::fs::read_to_string(here.join("postfix.log")).unwrap_or_default();
            return Err(io::Error::other(format!("postfix check: {out}{errors}{log}")));
        }
        let mut master = Command::new("/usr/lib/postfix/sbin/master");
        master.arg("-d").arg("-c").arg(here.join("etc"));
        let mut server = Process::start("postfix", master, &here.join("master.log"))?;
        let address = SocketAddr::new(ip, 21025);
        clock::wait_for("Postfix to listen", STARTUP, || {
            assert!(server.ended().is_none(), "Postfix ended:\n{}", server.tail(20));
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
        });
        Ok(Postfix { _server: server, address, folder })
    }

    /// Where it takes mail.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it wrote down so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("postfix.log")).unwrap_or_default()
    }

    /// Waits until its log says this so many times.
    pub fn wait_says(&self, what: &str, times: usize, limit: Duration) {
        clock::wait_for(&format!("Postfix to say {what:?}"), limit, || {
            (self.log().matches(what).count() >= times).then_some(())
        });
    }

    /// Sends a mail as it stands, header and all, with swaks (an empty `from` is the null sender); it has to be taken.
    pub fn swaks(&self, from: &str, to: &str, mail: &str) {
        let data = self.folder.path().join("mail.eml");
        std::fs::write(&data, mail).expect("the folder is ours");
        let from = if from.is_empty() { "<>" } else { from };
        let mut command = Command::new("swaks");
        command.args(["--server", &self.address.to_string(), "--from", from, "--to", to, "--helo", "client.test"]);
        command.args(["--suppress-data", "--data"]).arg(format!("@{}", data.display()));
        let (code, out, errors) = process::run(command, "", Duration::from_secs(30));
        assert_eq!(code, 0, "swaks: {out}{errors}");
    }
}

fn settings(here: &str, others: SocketAddr) -> String {
    format!(
        "compatibility_level = 3.6\nqueue_directory = {here}/queue\ndata_directory = {here}/data\n\
         command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmyhostname = mx.gw.test\nmydestination =\n\
         mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nalias_maps =\nalias_database =\n\
         local_recipient_maps =\nvirtual_mailbox_domains = gw.test, example.test, evil.test\nvirtual_mailbox_maps = static:all\n\
         virtual_transport = lmtp:inet:{others}\ntransport_maps = texthash:{here}/etc/transport\n\
         default_transport = error:no way out of this machine\nsmtp_dns_support_level = disabled\n\
         smtpd_recipient_restrictions = permit_mynetworks, reject\nmaillog_file = {here}/postfix.log\n\
         maillog_file_prefixes = {here}\nimport_environment = MAIL_CONFIG={here}/etc\nqueue_run_delay = 1s\n\
         minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nlmtp_connection_cache_on_demand = no\n"
    )
}
