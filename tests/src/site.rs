//! A site of the gateway: its folder, settings, accounts and processes, as an operator would set them up.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Answer, Receiver};
use crate::peers::Peers;
use crate::probe::Probe;
use crate::process::{self, Process};
use crate::{clock, net, sms};

/// The sender every test account knows.
pub const SENDER: &str = "+447700900001";
/// The PIN of every test account.
pub const PIN: &str = "s3cret";
/// The secret that signs texts and replies.
pub const SECRET: &str = "hush-hush";

const STARTING: Duration = Duration::from_secs(30);

/// One site. Small: one process on SQLite. Big: engines and triggers of their own, on a broker and a database.
pub struct Site {
    folder: TempDir,
    ip: IpAddr,
    settings: BTreeMap<String, String>,
    store_url: String,
    prefix: String,
    replies: Receiver,
    senders: AtomicUsize,
}

static NEXT: AtomicUsize = AtomicUsize::new(1);

/// What one process of a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `ringback run`: everything.
    All,
    /// `ringback run --only engine`, on the site's own address.
    OnlyEngine,
    /// `ringback run --only sms`, beside it.
    OnlySms,
    /// `ringback run --only ani`, beside it.
    OnlyAni,
    /// `ringback run --only iif`, beside it.
    OnlyIif,
    /// `ringback-engine`, on an address of its own.
    Engine(u8),
    /// `ringback-trigger-sms`, on an address of its own.
    Sms(u8),
    /// `ringback-trigger-email`, on an address of its own but for what `email.lmtp.listen` says.
    Email(u8),
    /// `ringback-trigger-ani`, on an address of its own.
    Ani(u8),
    /// `ringback-trigger-iif`, on an address of its own.
    Iif(u8),
}

/// A running process of the site.
pub struct Running {
    /// The child.
    pub process: Process,
    /// Its address: SIP, RTP, HTTP and health listen there.
    pub ip: IpAddr,
    part: Part,
}

impl Site {
    /// A site on embedded SQLite.
    pub fn small() -> Site {
        Site::new(None)
    }

    /// A site on embedded SQLite whose database lies in this folder.
    pub fn small_in(folder: &Path) -> Site {
        let url = format!("sqlite://{}", folder.join("ringback.db").display());
        Site::new(Some((&url, &url)))
    }

    /// A site on a database and a queue prefix of its own among these peers.
    pub fn beside(peers: &Peers) -> Site {
        let name = format!("case{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = peers.postgres.database(&name).unwrap_or_else(|e| panic!("{e}"));
        let mut site = Site::new(Some((&url, &peers.rabbit.url())));
        site.prefix = format!("{name}.");
        let prefix = site.prefix.clone();
        site.set("queue.prefix", &prefix);
        site
    }

    /// The name of one of its queues on the broker.
    pub fn queue(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn new(peers: Option<(&str, &str)>) -> Site {
        let folder = tempfile::Builder::new().prefix("ringback-").tempdir().expect("a temporary folder can be made");
        let ip = net::own_address();
        let replies = Receiver::start(ip).expect("a loopback address can be bound");
        let mut site = Site {
            folder,
            ip,
            settings: BTreeMap::new(),
            store_url: String::new(),
            prefix: String::new(),
            replies,
            senders: AtomicUsize::new(0),
        };
        site.init();
        let database = format!("sqlite://{}", site.path("data/ringback.db").display());
        let (store, queue) = peers.unwrap_or((&database, &database));
        site.store_url = store.to_owned();
        let reply_url = site.replies.url("/replies");
        for (key, value) in [
            ("store.url", store),
            ("queue.url", queue),
            ("sms.generic.secret", SECRET),
            ("sms.generic.allow_unsigned", "false"),
            ("sms.generic.reply_url", &reply_url),
            ("sms.announce", "false"),
            ("service.log_level", "info,ringback_engine=debug,ringback_sip=debug"),
            ("service.drain_timeout", "10"),
        ] {
            site.set(key, value);
        }
        site
    }

    /// `ringback init`, then the whole site is made of what it wrote and the environment.
    fn init(&self) {
        let mut command = Command::new(binary("ringback"));
        command.arg("init").current_dir(self.folder.path());
        let (code, out, errors) = process::run(command, "", STARTING);
        assert_eq!(code, 0, "ringback init: {out}{errors}");
        assert!(self.path("ringback.toml").exists(), "ringback init wrote no ringback.toml: {out}{errors}");
    }

    /// Sets a key, `engine.no_answer` for instance, for every process started from now on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(variable(key), value.to_owned());
    }

    /// The site's own address; phones may share it.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// An address and port on the site's own address.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// A file in the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The site's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where replies arrive.
    pub fn replies(&self) -> &Receiver {
        &self.replies
    }

    /// Runs `ringback ARGUMENTS` and answers exit code, output and errors.
    pub fn ask(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = Command::new(binary("ringback"));
        command.args(arguments).current_dir(self.folder.path()).envs(&self.settings);
        process::run(command, input, Duration::from_secs(60))
    }

    /// Runs `ringback ARGUMENTS`, which has to succeed.
    pub fn cli(&self, arguments: &[&str], input: &str) -> String {
        let (code, out, errors) = self.ask(arguments, input);
        assert_eq!(code, 0, "ringback {}: {out}{errors}", arguments.join(" "));
        out
    }

    /// Runs `ringback ARGUMENTS --json`, which has to succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let out = self.cli(&[arguments, &["--json"]].concat(), "");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("ringback {} --json: {e} in {out}", arguments.join(" ")))
    }

    /// An account with this balance, [`SENDER`] and [`PIN`], without limits, that may call 44 and 33.
    pub fn account(&self, name: &str, balance: &str) {
        let sender = sender(self.senders.fetch_add(1, Ordering::Relaxed));
        let arguments =
            ["account", "add", name, "--balance", balance, "--number", &sender, "--allow", "44,33", "--limits", "off"];
        self.cli(&[&arguments[..], &["--pin-stdin"]].concat(), PIN);
    }

    /// A trunk to these phones for numbers that begin so (no plus); an empty prefix means all.
    pub fn trunk(&self, name: &str, uri: &str, prefix: &str) {
        let mut arguments = vec!["trunk", "add", name, "--sip", uri];
        if !prefix.is_empty() {
            arguments.extend(["--prefix", prefix]);
        }
        self.cli(&arguments, "");
    }

    /// Starts a process and waits until it is ready.
    pub fn start(&self, part: Part) -> Running {
        let mut running = self.start_failing(part, None);
        running.wait_ready();
        running
    }

    /// Starts a process armed with a failpoint, or without; does not wait.
    pub fn start_failing(&self, part: Part, failpoint: Option<&str>) -> Running {
        let ip = match part {
            Part::All | Part::OnlyEngine | Part::OnlySms | Part::OnlyAni | Part::OnlyIif => self.ip,
            Part::Engine(_) | Part::Sms(_) | Part::Email(_) | Part::Ani(_) | Part::Iif(_) => net::own_address(),
        };
        self.start_at(part, ip, failpoint).unwrap_or_else(|e| panic!("{part:?}: {e}"))
    }

    /// Starts a process on this address.
    pub fn start_at(&self, part: Part, ip: IpAddr, failpoint: Option<&str>) -> io::Result<Running> {
        let (program, arguments, log): (_, &[&str], _) = match part {
            Part::All => ("ringback", &["run"], "ringback.log".to_owned()),
            Part::OnlyEngine => ("ringback", &["run", "--only", "engine"], "engine.log".to_owned()),
            Part::OnlySms => ("ringback", &["run", "--only", "sms"], "sms.log".to_owned()),
            Part::OnlyAni => ("ringback", &["run", "--only", "ani"], "ani.log".to_owned()),
            Part::OnlyIif => ("ringback", &["run", "--only", "iif"], "iif.log".to_owned()),
            Part::Engine(number) => ("ringback-engine", &[], format!("engine-{number}.log")),
            Part::Sms(number) => ("ringback-trigger-sms", &[], format!("sms-{number}.log")),
            Part::Email(number) => ("ringback-trigger-email", &[], format!("email-{number}.log")),
            Part::Ani(number) => ("ringback-trigger-ani", &[], format!("ani-{number}.log")),
            Part::Iif(number) => ("ringback-trigger-iif", &[], format!("iif-{number}.log")),
        };
        let mut command = Command::new(binary(program));
        command.args(arguments).arg("--config").arg(self.path("ringback.toml")).current_dir(self.folder.path());
        command.envs(&self.settings).envs(self.addresses(part, ip));
        if let Some(name) = failpoint {
            command.env("FAIL", name);
        }
        let process = Process::start(&log, command, &self.path(&log))?;
        Ok(Running { process, ip, part })
    }

    fn addresses(&self, part: Part, ip: IpAddr) -> BTreeMap<String, String> {
        let (sip, health) = match part {
            Part::All => (5060, 9090),
            Part::OnlySms => (5060, 9091),
            Part::OnlyIif => (5060, 9092),
            Part::OnlyAni => (5068, 9093),
            Part::OnlyEngine | Part::Engine(_) => (5068, 9090),
            Part::Sms(_) | Part::Email(_) | Part::Ani(_) | Part::Iif(_) => (5060, 9090),
        };
        let id = match part {
            Part::Engine(number) => format!("e{number}"),
            _ => "e1".to_owned(),
        };
        let at = |port: u16| SocketAddr::new(ip, port).to_string();
        [
            ("engine.id", id),
            ("sip.listen", at(sip)),
            ("media.ip", ip.to_string()),
            ("sms.listen", at(8081)),
            ("web.listen", at(8080)),
            ("ani.listen", at(5060)),
            ("ani.sippy_listen", at(5062)),
            ("iif.listen", at(5080)),
            ("service.listen", at(health)),
        ]
        .into_iter()
        .map(|(key, value)| (variable(key), value))
        .filter(|(name, _)| !self.settings.contains_key(name))
        .collect()
    }

    /// The site's database.
    pub fn probe(&self) -> Probe {
        Probe::open(&self.store_url)
    }

    /// Waits until every request is finished, every event is out and no money is held.
    pub fn wait_idle(&self, requests: usize, limit: Duration) {
        let probe = self.probe();
        let end = Instant::now() + limit;
        while let Err(why) = probe.idle(requests) {
            assert!(Instant::now() < end, "not at rest after {} s: {why}", limit.as_secs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The last lines of every process's log, for a failed test.
    pub fn logs(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten().map(|e| e.path());
        let logs = files.filter(|path| path.extension().is_some_and(|e| e == "log"));
        let show = |path: PathBuf| {
            format!(
                "== {}\n{}\n",
                path.display(),
                process::tail(&std::fs::read_to_string(&path).unwrap_or_default(), 60)
            )
        };
        logs.map(show).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

impl Running {
    /// Waits until `/readyz` says so.
    pub fn wait_ready(&mut self) {
        let health = self.health();
        let end = Instant::now() + STARTING;
        loop {
            if http::get(health, "/readyz").is_ok_and(|answer| answer.status == 200) {
                return;
            }
            if let Some(status) = self.process.ended() {
                panic!("{:?} ended with {status} before it was ready:\n{}", self.part, self.process.tail(40));
            }
            assert!(Instant::now() < end, "{:?} is not ready:\n{}", self.part, self.process.tail(40));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it can be spoken to at all: ready, or already dead of its failpoint.
    pub fn wait_ready_or_dead(&mut self) {
        let health = self.health();
        clock::wait_for("the process to be ready or dead", STARTING, || {
            let ready = http::get(health, "/readyz").is_ok_and(|answer| answer.status == 200);
            (ready || self.process.ended().is_some()).then_some(())
        });
    }

    /// Where health and metrics are served.
    pub fn health(&self) -> SocketAddr {
        let port = match self.part {
            Part::OnlySms => 9091,
            Part::OnlyIif => 9092,
            Part::OnlyAni => 9093,
            _ => 9090,
        };
        SocketAddr::new(self.ip, port)
    }

    /// Sends a text to its SMS trigger.
    pub fn sms(&self, id: &str, text: &str) -> io::Result<Answer> {
        sms::send(SocketAddr::new(self.ip, 8081), SECRET, id, SENDER, text)
    }

    /// Sends a text that has to be accepted; answers the job.
    pub fn accepted(&self, id: &str, text: &str) -> String {
        let answer = self.sms(id, text).unwrap_or_else(|e| panic!("text {id}: {e}\n{}", self.process.tail(30)));
        assert_eq!(
            (answer.status, answer.json()["outcome"].as_str()),
            (202, Some("accepted")),
            "text {id}: {}",
            answer.body
        );
        answer.json()["job"].as_str().unwrap_or_default().to_owned()
    }
}

/// The number of the account that was added to a site as this one, counted from 0.
pub fn sender(account: usize) -> String {
    match account {
        0 => SENDER.to_owned(),
        n => format!("+4477009{:05}", 10_000 + n),
    }
}

/// Where a binary of the gateway lies: RINGBACK_BIN_DIR, or beside this test's own target folder.
pub fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os("RINGBACK_BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().unwrap_or_default();
        test.parent().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default()
    });
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: ./test builds it", path.display());
    path
}

/// Where `./test` puts the peers that the distribution does not have: `peers` in the target folder.
pub fn peers_folder() -> PathBuf {
    binary("ringback").parent().and_then(Path::parent).map(|target| target.join("peers")).unwrap_or_default()
}

/// `engine.no_answer` as an environment variable.
fn variable(key: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    format!("RINGBACK_{}__{}", section.replace('.', "__"), name).to_uppercase()
}
