//! A private PostgreSQL with fsync and synchronous_commit on: nothing of the machine's PostgreSQL is touched.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock;
use crate::net::free_port;
use crate::process::{self, Process};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const STARTUP: Duration = Duration::from_secs(60);

/// One database server. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Process>,
    programs: PathBuf,
    port: u16,
    folder: TempDir,
    user: Option<(u32, u32)>,
}

impl Postgres {
    /// Makes a cluster and starts it; waits until it answers. Blocks.
    pub fn start() -> io::Result<Postgres> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("postgres").tempdir()?;
        let user = unprivileged()?;
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))?;
        }
        let mut server = Postgres { server: None, programs, port: free_port(LOOPBACK)?, folder, user };
        let mut initdb = server.command("initdb");
        initdb.args(["-U", "ringback", "-A", "trust", "--no-locale", "-E", "UTF8", "-D"]).arg(server.data());
        let (code, out, errors) = process::run(initdb, "", STARTUP);
        if code != 0 {
            return Err(io::Error::other(format!("initdb: {out}{errors}")));
        }
        server.restart()?;
        Ok(server)
    }

    /// The database every cluster has.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// A database of this server.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://ringback@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a new database and answers its URL.
    pub fn database(&self, name: &str) -> io::Result<String> {
        let mut createdb = self.command("createdb");
        createdb.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "ringback", name]);
        match process::run(createdb, "", STARTUP) {
            (0, ..) => Ok(self.url_of(name)),
            (_, out, errors) => Err(io::Error::other(format!("createdb: {out}{errors}"))),
        }
    }

    /// `kill -9` of the postmaster: its workers end by themselves, nothing is flushed.
    pub fn kill9(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill9();
        }
    }

    /// Stops the postmaster in its tracks (SIGSTOP), or lets it go on (SIGCONT): no new connection is answered.
    pub fn freeze(&self, frozen: bool) {
        if let Some(server) = &self.server {
            server.signal_group(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
        }
    }

    /// Starts it again on the same data (if it runs, it is killed first) and waits until it answers.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill9();
        let log = self.folder.path().join("server.log");
        // Workers of a killed postmaster hold its shared memory for a moment; the new one then says so and ends.
        let end = std::time::Instant::now() + STARTUP;
        loop {
            let mut command = self.command("postgres");
            command.arg("-D").arg(self.data()).args(["-c", "listen_addresses=127.0.0.1"]);
            command.args([
                "-c",
                &format!("port={}", self.port),
                "-c",
                "max_connections=100",
                "-c",
                "shared_buffers=64MB",
            ]);
            command.arg("-c").arg(format!("unix_socket_directories={}", self.folder.path().display()));
            let mut server = Process::start("postgres", command, &log)?;
            let ended = clock::wait_for("PostgreSQL to answer", STARTUP, || {
                server.ended().map(|_| true).or_else(|| self.answers().then_some(false))
            });
            if !ended {
                self.server = Some(server);
                return Ok(());
            }
            if std::time::Instant::now() > end {
                return Err(io::Error::other(format!("PostgreSQL ended:\n{}", server.tail(20))));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn answers(&self) -> bool {
        let mut ready = self.command("pg_isready");
        ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let open = TcpStream::connect_timeout(&SocketAddr::new(LOOPBACK, self.port), Duration::from_secs(1)).is_ok();
        open && process::run(ready, "", Duration::from_secs(10)).0 == 0
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The newest PostgreSQL that the distribution installed.
fn programs() -> io::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> =
        versions.map(|v| v.path().join("bin")).filter(|bin| bin.join("postgres").exists()).collect();
    folders.sort();
    let missing = || io::Error::new(io::ErrorKind::NotFound, "PostgreSQL is missing: run ./test, which installs it");
    folders.pop().ok_or_else(missing)
}

/// PostgreSQL refuses to run as root: then it runs as the distribution's user `postgres`.
fn unprivileged() -> io::Result<Option<(u32, u32)>> {
    if !process::am_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&"postgres"));
    let ids = fields.and_then(|f| Some((f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()?)));
    ids.map(Some).ok_or_else(|| io::Error::other("there is no user postgres: run ./test, which installs PostgreSQL"))
}
