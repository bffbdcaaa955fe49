//! Callers who hang up: a trunk's side of calls that are not answered, by plain datagrams or by SIPp.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::phone::wire::Sip;
use crate::phone::{Bank, Manner};
use crate::site::Site;
use crate::story::{A, B, millis, secs};
use crate::{clock, process, second_reader};

/// The number that is rung.
pub const ACCESS: &str = "+12065550100";

/// What a SIPp hears before it is refused where it rings by audio.
const EARLY: &str = r#"<recv response="183"><action>
    <ereg regexp="m=audio [1-9][0-9]* RTP/AVP [08]" search_in="msg" check_it="true" assign_to="audio"/>
  </action></recv><Reference variables="audio"/>"#;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A small site that is called by its trunk: A's missed call to [`ACCESS`] is a callback that connects A and B.
pub struct House {
    /// The site.
    pub site: Site,
    /// The phones of its trunk.
    pub phones: Bank,
}

impl House {
    /// The same with phones that behave so and these options, as `prepare` sets it up; not yet running.
    pub fn stage(a: Manner, b: Manner, options: &[&str], prepare: impl FnOnce(&mut Site)) -> House {
        let mut site = Site::small();
        site.set("numbers.extensions", r#"["801"]"#);
        prepare(&mut site);
        let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
        phones.when(A, a);
        phones.when(B, b);
        site.trunk("phones", &phones.uri(), "");
        site.cli(
            &["account", "add", "alice", "--balance", "10.00", "--number", A, "--allow", "44,33", "--limits", "off"],
            "",
        );
        site.cli(&["app", "add", "hotline", "--type", "2way-callback", "--to", B], "");
        let mut missed = vec!["app", "add", "missed", "--type", "ani-callback", "--application", "hotline"];
        missed.extend(options.iter().flat_map(|option| ["--set", *option]));
        site.cli(&missed, "");
        site.cli(&["did", "add", ACCESS, "--app", "missed"], "");
        House { site, phones }
    }

    /// A answers, B hangs up after a second.
    pub fn usual(options: &[&str]) -> House {
        House::stage(
            Manner::answers(millis(200)),
            Manner::answers(millis(200)).hangs_up_after(secs(1)),
            options,
            |_| {},
        )
    }

    /// The number of another caller who can pay.
    pub fn customer(&self, n: usize) -> String {
        let (name, number) = (format!("customer{n}"), format!("+447700901{n:03}"));
        let with = ["--balance", "5.00", "--number", &number, "--allow", "44,33", "--limits", "off"];
        self.site.cli(&[&["account", "add", &name][..], &with].concat(), "");
        number
    }

    /// The trunk, calling from this port.
    pub fn caller(&self, port: u16) -> Caller {
        let caller = Caller::start(self.site.at(port), self.site.at(5060));
        caller.wait_answered();
        caller
    }

    /// The columns of all requests, oldest first.
    pub fn rows(&self, columns: &str) -> Vec<Vec<String>> {
        let columns: Vec<String> = columns.split(", ").map(|column| format!("CAST({column} AS TEXT)")).collect();
        let sql = format!("SELECT {} FROM callback_requests ORDER BY i_callback_request", columns.join(", "));
        let rows = self.site.probe().rows(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
    }
}

/// A trunk on a UDP port of its own, for calls to the gateway.
pub struct Caller {
    socket: UdpSocket,
    gateway: SocketAddr,
}

/// A call: what it said, so that it can say it again.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The INVITE.
    pub invite: String,
    branch: String,
    uri: String,
    from: String,
    to: String,
    call_id: String,
}

/// What an attempt heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The status codes, in their order, repeats and answers to CANCEL left out.
    pub codes: Vec<u16>,
    /// When the last came, by [`clock`].
    pub ended_us: u64,
    /// The session description of a 183.
    pub early: Option<String>,
}

impl Caller {
    /// At this address, calling the gateway at that one.
    pub fn start(address: SocketAddr, gateway: SocketAddr) -> Caller {
        let socket = UdpSocket::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).expect("a larger buffer is allowed");
        Caller { socket, gateway }
    }

    /// Waits until the gateway answers at all.
    pub fn wait_answered(&self) {
        let (here, n) = (self.socket.local_addr().expect("it is bound"), NEXT.fetch_add(1, Ordering::Relaxed));
        let options = format!(
            "OPTIONS sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK-there-{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:trunk@{here}>;tag=o{n}\r\nTo: <sip:{}>\r\nCall-ID: there-{n}@{here}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            self.gateway, self.gateway
        );
        clock::wait_for("the gateway to answer", Duration::from_secs(15), || {
            self.says(&options);
            self.hears(Duration::from_millis(100)).filter(|answer| answer.status() == Some(200))
        });
        while self.hears(Duration::from_millis(10)).is_some() {}
    }

    /// Calls as this number; `more` are further header lines.
    pub fn calls(&self, from: &str, cld: &str, more: &str) -> Attempt {
        let attempt = self.attempt(&format!("<sip:{from}@trunk.example>"), cld, more, None);
        self.says(&attempt.invite);
        attempt
    }

    /// A call that is not made yet; `from` is a whole From value without its tag, `offer` the port of an offered G.711 stream.
    pub fn attempt(&self, from: &str, cld: &str, more: &str, offer: Option<u16>) -> Attempt {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let here = self.socket.local_addr().expect("it is bound");
        let (branch, call_id) = (format!("z9hG4bK-missed-{n}"), format!("missed-{n}-{}@{here}", std::process::id()));
        let (uri, from) = (format!("sip:{cld}@{}", self.gateway), format!("{from};tag=c{n}"));
        let to = format!("<{uri}>");
        let body = offer.map_or(String::new(), |port| {
            let ip = here.ip();
            format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8 101\r\na=sendrecv\r\n")
        });
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let invite = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch={branch}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{here}>\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Attempt { invite, branch, uri, from, to, call_id }
    }

    /// Sends a datagram.
    pub fn says(&self, text: impl AsRef<[u8]>) {
        self.socket.send_to(text.as_ref(), self.gateway).expect("loopback takes datagrams");
    }

    /// Hangs up before anybody answered.
    pub fn cancels(&self, attempt: &Attempt) {
        self.says(self.of(attempt, "CANCEL", &attempt.to));
    }

    fn of(&self, attempt: &Attempt, method: &str, to: &str) -> String {
        let here = self.socket.local_addr().expect("it is bound");
        let Attempt { branch, uri, from, call_id, .. } = attempt;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch={branch}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        )
    }

    /// The next message; a second reader of SIP must read it too. The answer to a request without Call-ID has none either, and is a
    /// message to nobody.
    pub fn hears(&self, limit: Duration) -> Option<Sip> {
        self.socket.set_read_timeout(Some(limit.max(Duration::from_millis(1)))).expect("a time limit");
        let mut buffer = [0; 65_536];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        let message = Sip::parse(&buffer[..length])?;
        if message.header("Call-ID").is_some() {
            second_reader::agrees(&buffer[..length]).unwrap_or_else(|why| panic!("{why}"));
        }
        Some(message)
    }

    /// Waits until it is refused, or hangs up when its patience is over; says everything again until it is heard (RFC 3261
    /// section 17.1.1). Answers the final response, if there was one in time.
    pub fn gives_up(&self, attempt: &Attempt, patience: Duration, limit: Duration) -> Option<u16> {
        let start = Instant::now();
        let (mut rings, mut canceled) = (false, false);
        let (mut interval, mut again) = (Duration::from_millis(500), start + Duration::from_millis(500));
        while start.elapsed() < limit {
            if rings && !canceled && start.elapsed() >= patience {
                (canceled, interval, again) = (true, Duration::from_millis(500), Instant::now());
            }
            if (canceled || !rings) && Instant::now() >= again {
                if canceled {
                    self.cancels(attempt)
                } else {
                    self.says(&attempt.invite)
                }
                interval = (interval * 2).min(Duration::from_secs(4));
                again = Instant::now() + interval;
            }
            let Some(message) = self.hears(Duration::from_millis(50)) else { continue };
            match message.status().filter(|_| message.call_id() == attempt.call_id && message.cseq().1 == "INVITE") {
                Some(code) if code >= 200 => {
                    self.says(self.of(attempt, "ACK", message.header("To").unwrap_or_default()));
                    return Some(code);
                }
                Some(_) => rings = true,
                None => {}
            }
        }
        None
    }

    /// Everything up to the final response, which it acknowledges.
    pub fn to_the_end(&self, attempt: &Attempt, limit: Duration) -> Heard {
        let end = Instant::now() + limit;
        let mut heard = Heard { codes: Vec::new(), ended_us: 0, early: None };
        while Instant::now() < end {
            let Some(message) = self.hears(end - Instant::now()) else { break };
            let Some(code) = message.status() else { continue };
            if message.call_id() != attempt.call_id || message.cseq().1 != "INVITE" {
                continue;
            }
            heard.ended_us = clock::now_us();
            if heard.codes.last() != Some(&code) {
                heard.codes.push(code);
            }
            if code == 183 {
                heard.early = Some(message.body.clone());
            }
            if code >= 200 {
                self.says(self.of(attempt, "ACK", message.header("To").unwrap_or_default()));
                return heard;
            }
        }
        panic!("no final response within {limit:?}, only {:?}", heard.codes)
    }
}

/// How callers of a SIPp behave.
#[derive(Clone, Copy, Debug)]
pub enum Missed {
    /// Wait until they are refused with this code, without hearing it ring.
    Refused(u16),
    /// The same, after 180.
    Rung(u16),
    /// The same, after 183 with the audio that it rings by.
    Early(u16),
    /// Hear nothing at first, say their INVITE three times, and are refused with this code.
    Repeating(u16),
    /// Hear it ring, hang up, and hear 487.
    HangUp,
}

/// SIPp as so many callers within a second, from one number; an error says what it heard instead.
pub fn sipp(
    missed: Missed,
    calls: u32,
    from: &str,
    cld: &str,
    at: SocketAddr,
    gateway: SocketAddr,
    folder: &Path,
) -> io::Result<()> {
    let (file, rings, code) = match missed {
        Missed::Refused(code) => ("missed_refused.xml", "", code),
        Missed::Rung(code) => ("missed_refused.xml", r#"<recv response="180"/>"#, code),
        Missed::Early(code) => ("missed_refused.xml", EARLY, code),
        Missed::Repeating(code) => ("missed_repeating.xml", "", code),
        Missed::HangUp => ("missed_hang_up.xml", "", 487),
    };
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let scenario = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp").join(file))?;
    let written = folder.join(format!("missed-{n}.xml"));
    std::fs::write(&written, scenario.replace("@RINGS@", rings).replace("@CODE@", &code.to_string()))?;
    let mut command = Command::new("sipp");
    command.arg(gateway.to_string()).arg("-sf").arg(&written).args([
        "-i",
        &at.ip().to_string(),
        "-p",
        &at.port().to_string(),
    ]);
    command.args(["-m", &calls.to_string(), "-r", &calls.to_string(), "-key", "cli", from, "-key", "cld", cld]);
    command.args(["-nostdin", "-pause_msg_ign", "-timeout", "40s", "-timeout_error", "-trace_err", "-error_file"]);
    command.arg(folder.join(format!("missed-{n}.errors"))).current_dir(folder).env("TERM", "dumb");
    let (status, out, errors) = process::run(command, "", Duration::from_secs(60));
    match status {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("sipp ended with {status}: {}{errors}", process::tail(&out, 30)))),
    }
}
