//! Child processes that never outlive the test: killed by id when dropped, and by the kernel when the test dies.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::clock;

/// A running child whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

type Order = (Command, Sender<io::Result<Child>>);

static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();

impl Process {
    /// Starts `command` with its output appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> io::Result<Process> {
        let out = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = spawn(command).map_err(|e| {
            io::Error::new(e.kind(), format!("{program} does not start ({e}); ./test installs the peers"))
        })?;
        Ok(Process { name: name.to_owned(), child, log: log.to_owned(), ended: None })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How much memory it has just now (KiB).
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        kib.expect("the process lives")
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        if self.ended.is_none() {
            send(self.child.id() as i32, number);
        }
    }

    /// Sends a signal to it and to everyone it started.
    pub fn signal_group(&self, number: i32) {
        if self.ended.is_none() {
            send(-(self.child.id() as i32), number);
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.signal(libc::SIGKILL);
        if let Ok(status) = self.child.wait() {
            self.ended = Some(status);
        }
    }

    /// Asks it to end (SIGTERM) and waits.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait(limit)
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits until it ends; fails the test, with its last lines, when it does not.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        clock::wait_for(&what, limit, || self.ended())
    }

    /// Waits until it dies by SIGKILL (a failpoint); answers the moment.
    pub fn wait_killed(&mut self, limit: Duration) -> u64 {
        let status = self.wait(limit);
        assert_eq!(
            status.signal(),
            Some(libc::SIGKILL),
            "{} ended with {status} instead of being killed:\n{}",
            self.name,
            self.tail(30)
        );
        clock::now_us()
    }

    /// What it wrote so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines it wrote.
    pub fn tail(&self, lines: usize) -> String {
        tail(&self.output(), lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(libc::SIGCONT);
            self.signal_group(libc::SIGKILL); // its process group: Kamailio's workers and whoever else it made
            self.kill9();
        }
    }
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs a command to its end, with `input` on its standard input, and answers its exit code and output; fails the test when it takes longer than `limit`.
pub fn run(mut command: Command, input: &str, limit: Duration) -> (i32, String, String) {
    let what = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command)
        .unwrap_or_else(|e| panic!("{what} does not start: {e}; ./test builds and installs what it needs"));
    let id = child.id() as i32;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()); // who does not read its input has ended and says why
    }
    let (sender, done) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = match done.recv_timeout(limit) {
        Ok(Ok(output)) => output,
        other => {
            send(id, libc::SIGKILL);
            panic!("{what} did not end within {} s: {other:?}", limit.as_secs());
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A signal to a child of ours that is not yet reaped, or (negative) to the process group it leads.
#[allow(unsafe_code)]
fn send(id: i32, number: i32) {
    // SAFETY: kill takes no pointers.
    unsafe {
        libc::kill(id, number);
    }
}

/// Whether the tests run as root.
#[allow(unsafe_code)]
pub fn am_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Spawns from one thread that lives as long as the test: the kernel kills a child when the *thread* that made it ends.
fn spawn(mut command: Command) -> io::Result<Child> {
    die_with_us(&mut command);
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, born) = channel();
    let gone = || io::Error::other("the spawning thread is gone");
    spawner.send((command, answer)).map_err(|_| gone())?;
    born.recv().map_err(|_| gone())?
}

#[allow(unsafe_code)]
fn die_with_us(command: &mut Command) {
    command.process_group(0);
    // SAFETY: prctl is async-signal-safe and takes no pointers here.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}
