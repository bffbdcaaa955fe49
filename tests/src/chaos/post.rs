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
    /// How often it had been ready when it was started.
    ready_before: usize,
    /// Dead since then, and not yet there again.
    dead_since: Option<u64>,
    restart: Restart,
    /// By so many at once, since then.
    frozen: u32,
    frozen_since: Option<u64>,
    absences: Vec<Absence>,
    complaints: Vec<String>,
}

/// When it is started again.
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
            self.thaw(&mut held);
            held.dead_since.get_or_insert(clock::now_us());
            running.process.kill9();
            held.restart = Restart::At(Instant::now() + back);
        }
    }

    /// SIGSTOP for so long; of freezes that overlap the last to end lets it go on.
    pub fn freeze(&self, time: Duration) {
        let Some(id) = self.stop() else { return };
        std::thread::sleep(time);
        let mut held = self.held();
        let Some(running) = held.running.as_ref().filter(|running| running.process.id() == id) else { return };
        if held.frozen == 1 {
            running.process.signal(libc::SIGCONT);
            self.thaw(&mut held);
        } else {
            held.frozen -= 1;
        }
    }

    fn stop(&self) -> Option<u32> {
        let mut held = self.held();
        let process = &held.running.as_ref()?.process;
        process.signal(libc::SIGSTOP);
        let id = process.id();
        held.frozen += 1;
        held.frozen_since.get_or_insert(clock::now_us());
        Some(id)
    }

    fn thaw(&self, held: &mut Held) {
        held.frozen = 0;
        if let Some(from_us) = held.frozen_since.take() {
            held.absences.push(self.away(from_us, false));
        }
    }

    fn away(&self, from_us: u64, dead: bool) -> Absence {
        Absence { address: self.ip.to_string(), from_us, until_us: clock::now_us(), dead }
    }

    /// Looks after it: starts it when its time has come, notes that it is there again, and who ended by itself.
    pub fn look(&self, site: &Site) {
        let mut held = self.held();
        if let Restart::At(at) = held.restart
            && at <= Instant::now()
        {
            held.restart = Restart::Nobody;
            let ready_before = self.times_ready(site);
            match site.start_at(self.part, self.ip, None) {
                Ok(running) => (held.running, held.ready_before) = (Some(running), ready_before),
                Err(error) => held.complaints.push(format!("{:?} does not start: {error}", self.part)),
            }
        }
        if let Some(from_us) = held.dead_since.filter(|_| held.running.is_some() && self.listens()) {
            held.dead_since = None;
            held.absences.push(self.away(from_us, true));
        }
        if let Some(status) = held.running.as_mut().and_then(|running| running.process.ended()) {
            // An engine that was taken over ends by itself, for its calls are another's; so does whoever starts while the store or
            // the broker is away. Nobody else has a reason.
            let fenced = matches!(self.part, Part::Engine(_)) && status.code().is_some();
            let starting = status.code().is_some() && self.times_ready(site) == held.ready_before;
            let last = held.running.take().map(|running| running.process.tail(5)).unwrap_or_default();
            if !fenced && !starting {
                held.complaints.push(format!("{:?} ended by itself, {status}:\n{last}", self.part));
            }
            self.thaw(&mut held);
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
        let open = held.dead_since.map(|from_us| self.away(from_us, true));
        held.absences.iter().cloned().chain(open).collect()
    }

    /// How often it has said that it is ready, by its log.
    fn times_ready(&self, site: &Site) -> usize {
        let word = match self.part {
            Part::Sms(_) => "texts are taken",
            Part::Iif(_) => "application servers are listened to",
            Part::Ani(_) => "missed calls are taken",
            _ => "the engine takes jobs",
        };
        self.log(site).lines().filter(|line| line.contains(word)).count()
    }

    /// What is wrong with it: it ended by itself, or something in it panicked.
    pub fn complaints(&self, site: &Site) -> Vec<String> {
        let text = self.log(site);
        let panics = text.lines().filter(|line| line.contains("panicked at"));
        let panics = panics.map(|line| format!("{:?}: {}", self.part, process::tail(line, 1)));
        self.held().complaints.iter().cloned().chain(panics).collect()
    }

    fn log(&self, site: &Site) -> String {
        std::fs::read_to_string(site.path(&format!("{}.log", self.log_name()))).unwrap_or_default()
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

    /// Whether its port is bound, by the kernel's table: asking the process itself could take as long as it is frozen.
    fn listens(&self) -> bool {
        let (table, port) = match self.part {
            Part::Sms(_) => ("/proc/net/tcp", 8081),
            Part::Engine(_) => ("/proc/net/udp", 5068),
            Part::Iif(_) => ("/proc/net/udp", 5080),
            _ => ("/proc/net/udp", 5060),
        };
        let IpAddr::V4(ip) = self.ip else { return true };
        let table = std::fs::read_to_string(table).unwrap_or_default();
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
        let post = |part| Post::new(part, "127.77.1.9".parse().unwrap());
        let (engine, sms) = (post(Part::Engine(1)), post(Part::Sms(1)));
        assert!(!engine.listens() && !sms.listens());
        let _socket = std::net::UdpSocket::bind("127.77.1.9:5068").unwrap();
        let _listener = std::net::TcpListener::bind("127.77.1.9:8081").unwrap();
        assert!(engine.listens() && sms.listens());
    }
}
