//! SIPp as phones for load: one process a leg, each answer counted.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::clock;
use crate::process::Process;

/// How the phones of one SIPp behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Answer at once and wait for BYE (tests/sipp/answer_wait.xml).
    AnswerAndWait,
    /// Answer at once and hang up after so long (tests/sipp/answer_hang_up.xml).
    AnswerAndHangUp(Duration),
}

/// What SIPp counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Dialogs that began.
    pub begun: u64,
    /// Dialogs that went to their end as written.
    pub successful: u64,
    /// Dialogs that did not.
    pub failed: u64,
    /// Messages SIPp repeated.
    pub repeated: u64,
}

/// A running SIPp.
pub struct Sipp {
    process: Process,
    statistics: PathBuf,
    errors: PathBuf,
    address: SocketAddr,
}

impl Sipp {
    /// Phones on `address`; files go to `folder`, named after `name`.
    pub fn start(name: &str, scenario: Scenario, address: SocketAddr, folder: &Path) -> io::Result<Sipp> {
        let (file, pause) = match scenario {
            Scenario::AnswerAndWait => ("answer_wait.xml", Duration::ZERO),
            Scenario::AnswerAndHangUp(after) => ("answer_hang_up.xml", after),
        };
        let (statistics, errors) = (folder.join(format!("{name}.csv")), folder.join(format!("{name}.errors")));
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp").join(file));
        command.args([
            "-i",
            &address.ip().to_string(),
            "-p",
            &address.port().to_string(),
            "-d",
            &pause.as_millis().to_string(),
        ]);
        let media = 30_000 + address.port() % 1000 * 10;
        command.args([
            "-mp",
            &media.to_string(),
            "-nostdin",
            "-trace_stat",
            "-fd",
            "1",
            "-trace_err",
            "-buff_size",
            "4194304",
        ]);
        command.arg("-stf").arg(&statistics).arg("-error_file").arg(&errors);
        command.current_dir(folder).env("TERM", "dumb");
        let process = Process::start(&format!("sipp {name}"), command, &folder.join(format!("{name}.out")))?;
        let sipp = Sipp { process, statistics, errors, address };
        clock::wait_for(&format!("sipp {name} to listen"), Duration::from_secs(10), || sipp.listens().then_some(()));
        Ok(sipp)
    }

    /// As a trunk's URI.
    pub fn uri(&self) -> String {
        format!("sip:{}", self.address)
    }

    /// What it has counted up to the last second.
    pub fn counts(&self) -> Counts {
        let text = std::fs::read_to_string(&self.statistics).unwrap_or_default();
        let mut lines = text.lines().filter(|line| line.ends_with(';'));
        let (Some(head), Some(last)) = (lines.next(), lines.next_back()) else { return Counts::default() };
        let value = |name: &str| {
            let place = head.split(';').position(|column| column == name);
            place.and_then(|p| last.split(';').nth(p)?.parse().ok()).unwrap_or(0)
        };
        Counts {
            begun: value("TotalCallCreated"),
            successful: value("SuccessfulCall(C)"),
            failed: value("FailedCall(C)"),
            repeated: value("Retransmissions(C)"),
        }
    }

    /// Waits until so many dialogs are over, well or badly.
    pub fn wait(&self, dialogs: u64, limit: Duration) -> Counts {
        let what = format!("{dialogs} dialogs at {} (has {:?})", self.address, self.counts());
        clock::wait_for(&what, limit, || Some(self.counts()).filter(|c| c.successful + c.failed >= dialogs))
    }

    /// What it complained about.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    fn listens(&self) -> bool {
        let port = format!(":{:04X} ", self.address.port());
        let sockets = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        let ours = |ip: std::net::Ipv4Addr| format!(" {:08X}{port}", u32::from_le_bytes(ip.octets()));
        matches!(self.address.ip(), std::net::IpAddr::V4(ip) if sockets.contains(&ours(ip))) && self.process.id() > 0
    }
}
