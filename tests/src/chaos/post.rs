//! The processes of a site under chaos: each at an address of its own for the whole run, killed, frozen and started again there, and
//! every time it was away written down.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::facts::Absence;
use crate::clock;
use crate::process;
use crate::site::{Part, Running, Site};

/// Who ends by itself is started again so long later, as a service manager would.
const SERVICE_MANAGER: Duration = Duration::from_secs(1);

/// One process and its place.
pub struct Post {
    /// What it is.
    pub part: Part,
    /// Its address.
    pub ip: IpAddr,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    running: Option<Running>,
    /// Dead since then, and not yet there again.
    dead_since: Option<u64>,
    /// Somebody will start it again, or the service manager does at that moment.
    restart: Restart,
    frozen: u32,
    absences: Vec<Absence>,
    complaints: Vec<String>,
}

#[derive(Clone, Copy, Default)]
enum Restart {
    #[default]
    Nobody,
    At(Instant),
}

impl Post {
    /// An empty one.
    pub fn new(part: Part, ip: IpAddr) -> Post {
        Post { part, ip, held: Mutex::default() }
    }

    /// Starts it and waits until it is ready.
    pub fn begin(&self, site: &Site) {
        let mut running = site.start_at(self.part, self.ip, None).unwrap_or_else(|e| panic!("{:?}: {e}", self.part));
        running.wait_ready();
        self.held().running = Some(running);
    }

    /// `kill -9`, and a start so long later. Who is dead already stays so.
    pub fn kill(&self, back: Duration) {
        let mut held = self.held();
        if let Some(mut running) = held.running.take() {
            held.dead_since.get_or_insert(clock::now_us());
            running.process.kill9();
            held.restart = Restart::At(Instant::now() + back);
        }
    }

    /// SIGSTOP for so long; whoever is killed meanwhile is not continued.
    pub fn freeze(&self, time: Duration) {
        let from_us = clock::now_us();
        let Some(id) = self.signal(libc::SIGSTOP, None) else { return };
        std::thread::sleep(time);
        self.signal(libc::SIGCONT, Some(id));
        let address = self.ip.to_string();
        self.held().absences.push(Absence { address, from_us, until_us: clock::now_us(), dead: false });
    }

    /// Sends a signal to the process, if it is (still) this one; overlapping freezes end with the last.
    fn signal(&self, number: i32, only: Option<u32>) -> Option<u32> {
        let mut held = self.held();
        let id = held.running.as_ref()?.process.id();
        if only.is_some_and(|only| only != id) {
            held.frozen = held.frozen.saturating_sub(1);
            return None;
        }
        if number == libc::SIGSTOP {
            held.frozen += 1;
        } else {
            held.frozen = held.frozen.saturating_sub(1);
        }
        if number == libc::SIGSTOP || held.frozen == 0 {
            held.running.as_ref()?.process.signal(number);
        }
        Some(id)
    }

    /// Looks after it: starts it when its time has come, notes that it is there again, and who ended by itself.
    pub fn look(&self, site: &Site) {
        let mut held = self.held();
        if let Restart::At(at) = held.restart
            && at <= Instant::now()
        {
            held.restart = Restart::Nobody;
            held.frozen = 0;
            match site.start_at(self.part, self.ip, None) {
                Ok(running) => held.running = Some(running),
                Err(error) => held.complaints.push(format!("{:?} does not start: {error}", self.part)),
            }
        }
        if let Some(from_us) = held.dead_since.filter(|_| held.running.is_some() && self.listens()) {
            held.dead_since = None;
            let address = self.ip.to_string();
            held.absences.push(Absence { address, from_us, until_us: clock::now_us(), dead: true });
        }
        if let Some(status) = held.running.as_mut().and_then(|running| running.process.ended()) {
            // An engine that was taken over ends by itself: its calls are another's. Nobody else has a reason.
            let fenced = matches!(self.part, Part::Engine(_)) && status.code().is_some();
            let last = held.running.take().map(|running| running.process.tail(5)).unwrap_or_default();
            if !fenced {
                held.complaints.push(format!("{:?} ended by itself, {status}:\n{last}", self.part));
            }
            held.dead_since.get_or_insert(clock::now_us());
            held.restart = Restart::At(Instant::now() + SERVICE_MANAGER);
        }
    }

    /// Whether it runs and listens.
    pub fn is_there(&self) -> bool {
        let held = self.held();
        held.running.is_some() && held.dead_since.is_none() && held.frozen == 0
    }

    /// When it was away, one that still is included.
    pub fn absences(&self) -> Vec<Absence> {
        let held = self.held();
        let open = held.dead_since.map(|from_us| Absence {
            address: self.ip.to_string(),
            from_us,
            until_us: clock::now_us(),
            dead: true,
        });
        held.absences.iter().cloned().chain(open).collect()
    }

    /// What is wrong with it: it ended by itself, or something in it panicked.
    pub fn complaints(&self, site: &Site) -> Vec<String> {
        let log = site.path(&format!("{}.log", self.log_name()));
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let panics = text.lines().filter(|line| line.contains("panicked at"));
        let panics = panics.map(|line| format!("{:?}: {}", self.part, process::tail(line, 1)));
        self.held().complaints.iter().cloned().chain(panics).collect()
    }

    fn log_name(&self) -> String {
        match self.part {
            Part::Engine(n) => format!("engine-{n}"),
            Part::Sms(n) => format!("sms-{n}"),
            Part::Ani(n) => format!("ani-{n}"),
            Part::Iif(n) => format!("iif-{n}"),
            _ => "ringback".to_owned(),
        }
    }

    /// Whether its UDP port is bound, by the kernel's table: asking the process itself could take as long as it is frozen.
    fn listens(&self) -> bool {
        let port = match self.part {
            Part::Engine(_) => 5068,
            Part::Iif(_) => 5080,
            Part::Sms(_) => return true,
            _ => 5060,
        };
        let IpAddr::V4(ip) = self.ip else { return true };
        let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        let bound = |line: &str| line.split_whitespace().nth(1).is_some_and(|local| local == kernels_way(ip, port));
        table.lines().any(bound)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `0100007F:13C4` for 127.0.0.1:5060.
fn kernels_way(ip: Ipv4Addr, port: u16) -> String {
    format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_port_is_seen_in_the_kernels_table() {
        let post = Post::new(Part::Engine(1), "127.77.1.9".parse().unwrap());
        assert!(!post.listens());
        let _socket = std::net::UdpSocket::bind("127.77.1.9:5068").unwrap();
        assert!(post.listens());
    }
}
