//! The phones of both parties: one UDP socket and one thread a party. They answer at once, and B hangs up after a while.
//!
//! They know only as much SIP as that takes; the phones of `ringback_tests::phone` know more and cost more.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringback_tests::clock;
use socket2::SockRef;

/// SIP's T1: what is not answered goes out again after it, then after twice as long.
const T1: u64 = 500_000;
/// How often a party's socket is left to look at the time.
const GLANCE: Duration = Duration::from_millis(5);
/// B hangs up a hundred calls a second when all are to end.
const APART: u64 = 10_000;

/// What one phone knows of its call; microseconds.
#[derive(Clone)]
pub struct Call {
    /// When its INVITE came.
    pub invited_us: u64,
    /// When it answered.
    pub answered_us: u64,
    /// Whether the answer was acknowledged.
    pub acknowledged: bool,
    /// Whether somebody hung up and the other side agreed.
    pub over: bool,
    /// Where the gateway wants its audio.
    pub audio: SocketAddr,
    dialog: Dialog,
}

/// What is needed to speak in a dialog.
#[derive(Clone)]
struct Dialog {
    peer: SocketAddr,
    answer: String,
    hang_up: String,
}

/// The phones of both parties.
pub struct Phones {
    parties: [Arc<Party>; 2],
}

/// One party: A's or B's phones.
struct Party {
    name: &'static str,
    socket: UdpSocket,
    /// Where its phones take audio.
    audio: UdpSocket,
    calls: Mutex<HashMap<u32, Call>>,
    /// Microseconds until it hangs up, zero for never.
    hang_up_after: AtomicU64,
    hang_up_all: AtomicBool,
    over: AtomicBool,
}

impl Phones {
    /// Phones on free ports. Nobody hangs up until told.
    pub fn plug_in() -> Phones {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let parties = ["a", "b"].map(|name| Arc::new(Party::on(ip, name)));
        for party in &parties {
            let party = Arc::clone(party);
            std::thread::spawn(move || party.run());
        }
        Phones { parties }
    }

    /// From now on B hangs up by itself.
    pub fn hang_up_after(&self, talk: Duration) {
        self.parties[1].hang_up_after.store(talk.as_micros() as u64, Ordering::Relaxed);
    }

    /// B ends every call.
    pub fn hang_up_all(&self) {
        self.parties[1].hang_up_all.store(true, Ordering::Relaxed);
    }

    /// Where A's and B's phones are called.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        self.parties.each_ref().map(|party| party.socket.local_addr().expect("it is bound"))
    }

    /// The sockets that A's and B's phones speak and hear with.
    pub fn audio(&self) -> [UdpSocket; 2] {
        self.parties.each_ref().map(|party| party.audio.try_clone().expect("a socket can be shared"))
    }

    /// What both phones know of a callback.
    pub fn calls_of(&self, id: u32) -> [Option<Call>; 2] {
        self.parties.each_ref().map(|party| party.calls().get(&id).cloned())
    }

    /// Where the gateway takes the audio of every call that is up, A's and B's.
    pub fn up(&self) -> [Vec<(u32, SocketAddr)>; 2] {
        self.parties.each_ref().map(|party| {
            let calls = party.calls();
            calls
                .iter()
                .filter(|(_, call)| call.acknowledged && !call.over)
                .map(|(id, call)| (*id, call.audio))
                .collect()
        })
    }

    /// How many of these callbacks have both parties on the line.
    pub fn bridged(&self, ids: Range<u32>) -> usize {
        ids.filter(|id| self.calls_of(*id).iter().all(|call| call.as_ref().is_some_and(|call| call.acknowledged)))
            .count()
    }

    /// Waits until all of these have, or nothing more can be hoped for.
    pub fn wait_bridged(&self, ids: Range<u32>, limit: Duration) {
        self.wait(limit, || self.bridged(ids.clone()) == ids.len());
    }

    /// Waits until all of these are over, or nothing more can be hoped for.
    pub fn wait_over(&self, ids: Range<u32>, limit: Duration) {
        let over = |id: u32| self.calls_of(id).iter().all(|call| call.as_ref().is_some_and(|call| call.over));
        self.wait(limit, || ids.clone().all(over));
    }

    fn wait(&self, limit: Duration, done: impl Fn() -> bool) {
        let end = clock::now_us() + limit.as_micros() as u64;
        while !done() && clock::now_us() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        for party in &self.parties {
            party.over.store(true, Ordering::Relaxed);
        }
    }
}

/// What a phone does later: the moment, the call, what, and how often it did so before.
type Later = Reverse<(u64, u32, Deed, u32)>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    AnswerAgain,
    HangUp,
}

impl Party {
    fn on(ip: IpAddr, name: &'static str) -> Party {
        let bind = || UdpSocket::bind((ip, 0)).expect("a loopback address can be bound");
        let (socket, audio) = (bind(), bind());
        for socket in [&socket, &audio] {
            SockRef::from(socket).set_recv_buffer_size(4 << 20).expect("a buffer can be set");
        }
        socket.set_read_timeout(Some(GLANCE)).expect("a timeout can be set");
        Party {
            name,
            socket,
            audio,
            calls: Mutex::default(),
            hang_up_after: AtomicU64::new(0),
            hang_up_all: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u32, Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let (mut datagram, mut later) = ([0; 4_096], BinaryHeap::new());
        while !self.over.load(Ordering::Relaxed) {
            if let Ok((length, peer)) = self.socket.recv_from(&mut datagram) {
                self.hear(&String::from_utf8_lossy(&datagram[..length]), peer, &mut later);
            }
            if self.hang_up_all.swap(false, Ordering::Relaxed) {
                let calls = self.calls();
                let up = calls.iter().filter(|(_, call)| call.acknowledged && !call.over);
                later.extend(
                    up.enumerate()
                        .map(|(n, (id, _))| Reverse((clock::now_us() + n as u64 * APART, *id, Deed::HangUp, 0))),
                );
            }
            while later.peek().is_some_and(|Reverse((due, ..))| *due <= clock::now_us()) {
                let Some(Reverse((_, id, deed, times))) = later.pop() else { break };
                self.act(id, deed, times, &mut later);
            }
        }
    }

    fn act(&self, id: u32, deed: Deed, times: u32, later: &mut BinaryHeap<Later>) {
        let calls = self.calls();
        let Some(call) = calls.get(&id).filter(|call| !call.over && times < 7) else { return };
        let words = match deed {
            Deed::AnswerAgain if call.acknowledged => return,
            Deed::AnswerAgain => &call.dialog.answer,
            Deed::HangUp => &call.dialog.hang_up,
        };
        self.say(words, call.dialog.peer);
        later.push(Reverse((clock::now_us() + (T1 << times), id, deed, times + 1)));
    }

    fn say(&self, words: &str, to: SocketAddr) {
        let _ = self.socket.send_to(words.as_bytes(), to);
    }

    fn hear(&self, text: &str, peer: SocketAddr, later: &mut BinaryHeap<Later>) {
        let Some(message) = Message::read(text) else { return };
        let mut calls = self.calls();
        match message.method {
            "INVITE" => {
                if let Some(call) = calls.get(&message.id) {
                    return self.say(&call.dialog.answer, peer);
                }
                let call = self.answer(&message, peer);
                later.push(Reverse((call.answered_us + T1, message.id, Deed::AnswerAgain, 1)));
                calls.insert(message.id, call);
            }
            "ACK" => {
                let Some(call) = calls.get_mut(&message.id).filter(|call| !call.acknowledged) else { return };
                call.acknowledged = true;
                let talk = self.hang_up_after.load(Ordering::Relaxed);
                if talk > 0 {
                    later.push(Reverse((clock::now_us() + talk, message.id, Deed::HangUp, 0)));
                }
            }
            "BYE" => {
                self.say(&message.reply("200 OK", "", "", ""), peer);
                if let Some(call) = calls.get_mut(&message.id) {
                    call.over = true;
                }
            }
            "SIP/2.0" => {
                let ends = message.header("CSeq").is_some_and(|cseq| cseq.ends_with("BYE"));
                if let Some(call) = calls.get_mut(&message.id).filter(|_| ends && !text.starts_with("SIP/2.0 1")) {
                    call.over = true;
                }
            }
            _ => self.say(&message.reply("200 OK", "", "", ""), peer),
        }
    }

    /// 180 and 200, at once.
    fn answer(&self, message: &Message, peer: SocketAddr) -> Call {
        let invited_us = clock::now_us();
        let (here, tag) = (self.socket.local_addr().expect("it is bound"), format!(";tag={}{}", self.name, message.id));
        let contact = format!("Contact: <sip:phone@{here}>\r\n");
        self.say(&message.reply("180 Ringing", &tag, &contact, ""), peer);
        let audio = self.audio.local_addr().expect("it is bound");
        let sdp = format!(
            "v=0\r\no=phone 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP 0 101\r\n\
             a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n",
            audio.port(),
            ip = audio.ip(),
        );
        let more = format!("{contact}Allow: INVITE, ACK, BYE, CANCEL\r\nContent-Type: application/sdp\r\n");
        let answer = message.reply("200 OK", &tag, &more, &sdp);
        self.say(&answer, peer);
        let hang_up = message.hang_up(here, &tag);
        let dialog = Dialog { peer, answer, hang_up };
        let audio = message.audio().unwrap_or(peer);
        Call { invited_us, answered_us: clock::now_us(), acknowledged: false, over: false, audio, dialog }
    }
}

/// A SIP message, as far as the phones look.
struct Message<'a> {
    /// Its method, or `SIP/2.0` of a response.
    method: &'a str,
    id: u32,
    lines: Vec<&'a str>,
    body: &'a str,
}

impl<'a> Message<'a> {
    /// Every message of a callback carries its number: the last seven digits of the phone's own, in the To of what comes
    /// in and in the From of what answers us.
    fn read(text: &'a str) -> Option<Message<'a>> {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let lines: Vec<&str> = head.split("\r\n").collect();
        let method = lines[0].split(' ').next().unwrap_or_default();
        let mut message = Message { method, id: 0, lines, body };
        let own = message.header(if method == "SIP/2.0" { "From" } else { "To" })?;
        let user = own.split_once("sip:")?.1.split(['@', ';', '>']).next()?.trim_start_matches('+');
        message.id = user.get(user.len().checked_sub(7)?..)?.parse().ok()?;
        Some(message)
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn reply(&self, status: &str, to_tag: &str, more: &str, body: &str) -> String {
        let mut reply = format!("SIP/2.0 {status}\r\n");
        for line in &self.lines[1..] {
            let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            let tag = if name == "to" && !line.contains(";tag=") { to_tag } else { "" };
            if matches!(name.as_str(), "via" | "from" | "to" | "call-id" | "cseq" | "record-route") {
                reply.push_str(&format!("{line}{tag}\r\n"));
            }
        }
        format!("{reply}{more}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    /// The BYE of the dialog that this INVITE opens.
    fn hang_up(&self, here: SocketAddr, tag: &str) -> String {
        let header = |name| self.header(name).unwrap_or_default();
        let contact = header("Contact");
        let target = contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(contact, |(uri, _)| uri);
        let routes: String = self
            .lines
            .iter()
            .filter_map(|line| line.strip_prefix("Record-Route:"))
            .map(|to| format!("Route:{to}\r\n"))
            .collect();
        format!(
            "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n{routes}\
             From: {}{tag}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            header("To"),
            header("From"),
            header("Call-ID"),
            branch = tag.trim_start_matches(";tag="),
        )
    }

    /// Where this SDP wants audio.
    fn audio(&self) -> Option<SocketAddr> {
        let value = |key: &str| self.body.lines().find_map(|line| line.strip_prefix(key));
        let ip: IpAddr = value("c=IN IP4 ")?.trim().parse().ok()?;
        let port = value("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    }
}
