//! What really went over the loopback: tcpdump as a child, its file read back packet by packet.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::clock;
use crate::phone::wire::Sip;
use crate::phone::{Entry, Log};
use crate::process::Process;

/// A running capture of one address's UDP traffic.
pub struct Capture {
    process: Process,
    file: PathBuf,
}

/// One UDP packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Microseconds of [`crate::clock`].
    pub at_us: u64,
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Packet {
    /// Whether it looks like RTP: version 2, a payload type in use.
    pub fn is_rtp(&self) -> bool {
        self.payload.len() >= 12 && self.payload[0] >> 6 == 2
    }
}

impl Capture {
    /// Captures everything `filter` (tcpdump's language, `host 127.1.2.3`) lets through.
    pub fn start(filter: &str, folder: &Path) -> io::Result<Capture> {
        clock::now_us();
        let file = folder.join("capture.pcap");
        let mut command = Command::new("tcpdump");
        command.args(["-i", "lo", "-n", "-U", "-B", "16384", "-s", "2048", "-Z", "root", "-w"]).arg(&file);
        command.arg(format!("udp and ({filter})"));
        let process = Process::start("tcpdump", command, &folder.join("tcpdump.log"))?;
        clock::wait_for("tcpdump to listen", Duration::from_secs(10), || {
            process.output().contains("listening on").then_some(())
        });
        Ok(Capture { process, file })
    }

    /// Ends the capture and answers what it saw.
    pub fn stop(mut self) -> io::Result<Vec<Packet>> {
        std::thread::sleep(Duration::from_millis(1_300)); // the kernel hands packets over in blocks, the last after a second
        self.process.terminate(Duration::from_secs(10));
        Ok(packets(&std::fs::read(&self.file)?))
    }
}

/// The SIP messages among the packets, as a log; `gateway` is the address whose messages count as the gateway's. Those are read by a
/// second reader too.
pub fn sip_log(packets: &[Packet], gateway: impl Fn(&SocketAddr) -> bool) -> Log {
    let entry = |packet: &Packet| {
        let message = Sip::parse(&packet.payload)?;
        let ours = gateway(&packet.from);
        let address = if ours { packet.from } else { packet.to };
        let text = String::from_utf8_lossy(&packet.payload);
        Some(Entry::of(&message, &text, ours, &address.to_string(), packet.at_us))
    };
    let log = Log { entries: packets.iter().filter(|p| !p.is_rtp()).filter_map(entry).collect() };
    log.is_read_alike();
    log
}

/// Reads a pcap file with Ethernet frames; what is no UDP over IPv4 is passed over.
fn packets(file: &[u8]) -> Vec<Packet> {
    let mut found = Vec::new();
    let number = |at: usize| file.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let mut at = 24;
    while let (Some(seconds), Some(micros), Some(length)) = (number(at), number(at + 4), number(at + 8)) {
        let Some(frame) = file.get(at + 16..at + 16 + length as usize) else { break };
        let moment = Duration::new(u64::from(seconds), micros * 1000);
        found.extend(udp(frame).map(|(from, to, payload)| Packet {
            at_us: clock::from_wall(moment),
            from,
            to,
            payload,
        }));
        at += 16 + length as usize;
    }
    found
}

fn udp(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
    let ip = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
    let header = usize::from(ip.first()? & 0x0f) * 4;
    let udp = ip.get(header..).filter(|udp| ip[9] == 17 && udp.len() >= 8)?;
    let address = |at: usize, port: usize| {
        let host = Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        SocketAddr::new(IpAddr::V4(host), u16::from_be_bytes([udp[port], udp[port + 1]]))
    };
    Some((address(12, 0), address(16, 2), udp[8..].to_vec()))
}
