//! What /proc says of a process and of the machine.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::ops::Sub;
use std::time::Duration;

/// CPU time of the processes of a shape.
#[derive(Clone, Copy)]
pub struct Usage {
    /// The process that runs the engine.
    pub engine: Duration,
    /// The trigger, when it is a process of its own.
    pub trigger: Option<Duration>,
}

impl Usage {
    /// Milliseconds for each of so many.
    pub fn ms_per(cpu: Duration, count: usize) -> f64 {
        cpu.as_secs_f64() * 1e3 / count.max(1) as f64
    }
}

impl Sub for Usage {
    type Output = Usage;

    fn sub(self, before: Usage) -> Usage {
        let trigger = self.trigger.zip(before.trigger).map(|(now, before)| now - before);
        Usage { engine: self.engine - before.engine, trigger }
    }
}

/// User and system time so far.
pub fn cpu(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    of_ticks(ticks.sum())
}

/// Resident memory.
pub fn resident_kb(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).expect("a process has resident memory")
}

/// Time all processors together were busy.
pub fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").expect("/proc is there");
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    of_ticks([0, 1, 2, 5, 6].iter().filter_map(|field| fields.get(*field)).sum())
}

/// What processor this is, and how many of it.
pub fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let count = std::thread::available_parallelism().map_or(0, |count| count.get());
    format!("{count} x {}, Linux {}", model.unwrap_or("unknown processor"), kernel.trim())
}

/// CPU microseconds of one small datagram sent and received over loopback by one thread: how fast the machine is today, so that
/// figures of two days compare.
pub fn bare_packet_us() -> f64 {
    const PACKETS: u32 = 100_000;
    let [from, to] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports"));
    from.connect(to.local_addr().expect("it is bound")).expect("loopback is there");
    let (packet, mut buffer) = ([0; 172], [0; 172]);
    let before = thread_cpu();
    for _ in 0..PACKETS {
        from.send(&packet).and_then(|_| to.recv(&mut buffer)).expect("one datagram always fits");
    }
    (thread_cpu() - before).as_secs_f64() * 1e6 / f64::from(PACKETS)
}

/// What this thread has used.
fn thread_cpu() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").expect("/proc is there");
    Duration::from_nanos(schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds come first"))
}

/// Linux shows times in hundredths of a second.
fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}
