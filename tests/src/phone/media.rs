//! The voices of a bank: one thread, one RTP socket a call, a packet each 20 ms.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::manner::Voice;
use super::sound::{self, Ear, Heard, PACKET, Tone};
use crate::clock;

/// What one phone sent and heard by RTP.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audio {
    /// Packets that came.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Where packets came from: how many, when the first and the last.
    pub sources: BTreeMap<String, Source>,
    /// Tones heard.
    pub heard: Vec<Heard>,
    /// Digits typed at the other end (RFC 4733).
    pub digits: String,
    /// Packets that were no RTP, or of a payload nobody offered.
    pub strange: u64,
    /// Gaps in the sequence numbers of what came, in packets.
    pub lost: u64,
}

impl Audio {
    /// Milliseconds this tone was heard.
    pub fn heard_ms(&self, hz: u32) -> u64 {
        sound::tone_ms(&self.heard, hz)
    }

    /// When the last packet came.
    pub fn last_us(&self) -> Option<u64> {
        self.sources.values().map(|s| s.last_us).max()
    }
}

/// Packets from one address.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Source {
    /// How many.
    pub packets: u64,
    /// The first, in microseconds of [`crate::clock`].
    pub first_us: u64,
    /// The last.
    pub last_us: u64,
}

/// What a phone sends and where to.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    pub to: Option<SocketAddr>,
    pub payload: u8,
    pub events: Option<u8>,
    pub voice: Voice,
}

struct Stream {
    socket: UdpSocket,
    speech: Speech,
    tone: Option<Tone>,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    typing: Vec<(u8, u32)>,
    typed_at: u32,
    ear: Ear,
    audio: Audio,
    last_event: Option<u32>,
    last_sequence: Option<u16>,
}

/// All streams of one bank.
pub(crate) struct Media {
    ip: IpAddr,
    streams: Mutex<HashMap<u64, Stream>>,
    closed: Mutex<HashMap<u64, Audio>>,
    over: AtomicBool,
}

impl Media {
    pub fn start(ip: IpAddr, woken: impl Fn() + Send + 'static) -> Arc<Media> {
        let media =
            Arc::new(Media { ip, streams: Mutex::default(), closed: Mutex::default(), over: AtomicBool::new(false) });
        let ticking = media.clone();
        std::thread::spawn(move || {
            let mut due = Instant::now();
            while !ticking.over.load(Ordering::Relaxed) {
                ticking.tick();
                woken();
                due += Duration::from_millis(20);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        media
    }

    pub fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Opens the socket of a call.
    pub fn open(&self, call: u64) -> io::Result<SocketAddr> {
        let socket = UdpSocket::bind((self.ip, 0))?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let stream = Stream {
            socket,
            speech: Speech { to: None, payload: 0, events: None, voice: Voice::Mute },
            tone: None,
            sequence: rand::random(),
            timestamp: rand::random(),
            ssrc: rand::random(),
            typing: Vec::new(),
            typed_at: 0,
            ear: Ear::default(),
            audio: Audio::default(),
            last_event: None,
            last_sequence: None,
        };
        self.lock().insert(call, stream);
        Ok(local)
    }

    /// Sets what a call says from now on.
    pub fn say(&self, call: u64, speech: Speech) {
        if let Some(stream) = self.lock().get_mut(&call) {
            if stream.speech.voice != speech.voice || stream.tone.is_none() {
                stream.tone = match speech.voice {
                    Voice::Tone(hz) => Some(Tone::new(hz)),
                    Voice::Quiet | Voice::Mute => None,
                };
            }
            stream.speech = speech;
        }
    }

    /// Stops sending; what comes is still heard and counted.
    pub fn silence(&self, call: u64) {
        if let Some(stream) = self.lock().get_mut(&call) {
            stream.speech.voice = Voice::Mute;
        }
    }

    /// Types digits: each 100 ms long, 100 ms apart.
    pub fn type_digits(&self, call: u64, digits: &str) {
        if let Some(stream) = self.lock().get_mut(&call) {
            let code = |d: char| "0123456789*#ABCD".find(d).map(|i| i as u8);
            stream.typing = digits.chars().rev().filter_map(code).map(|d| (d, 0)).collect();
        }
    }

    /// What a call has heard so far.
    pub fn audio(&self, call: u64) -> Audio {
        match self.lock().get(&call) {
            Some(stream) => Audio { heard: stream.ear.stretches().to_vec(), ..stream.audio.clone() },
            None => locked(&self.closed).get(&call).cloned().unwrap_or_default(),
        }
    }

    /// Closes the socket of a call; what it heard is kept.
    pub fn close(&self, call: u64) {
        let audio = self.audio(call);
        if self.lock().remove(&call).is_some() {
            locked(&self.closed).insert(call, audio);
        }
    }

    fn tick(&self) {
        for stream in self.lock().values_mut() {
            stream.listen();
            stream.speak();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Stream>> {
        locked(&self.streams)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Stream {
    fn listen(&mut self) {
        let mut packet = [0_u8; 2048];
        while let Ok((length, from)) = self.socket.recv_from(&mut packet) {
            let now = clock::now_us();
            let first = Source { packets: 0, first_us: now, last_us: now };
            let source = self.audio.sources.entry(from.to_string()).or_insert(first);
            source.packets += 1;
            source.last_us = now;
            self.audio.packets_in += 1;
            if length < 12 || packet[0] >> 6 != 2 {
                self.audio.strange += 1;
                continue;
            }
            self.count_gap(u16::from_be_bytes([packet[2], packet[3]]));
            self.hear(&packet[..length], now);
        }
    }

    fn hear(&mut self, packet: &[u8], now: u64) {
        let payload = packet[1] & 0x7f;
        let body = &packet[12..];
        if Some(payload) == self.speech.events && body.len() >= 4 {
            let stamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
            if self.last_event != Some(stamp) {
                self.last_event = Some(stamp);
                self.audio.digits.extend("0123456789*#ABCD".chars().nth(usize::from(body[0])));
            }
        } else if let Some(samples) = sound::decode(payload, body) {
            self.ear.hear(&samples, now);
        } else {
            self.audio.strange += 1;
        }
    }

    fn count_gap(&mut self, sequence: u16) {
        if let Some(last) = self.last_sequence {
            let gap = sequence.wrapping_sub(last).wrapping_sub(1);
            if gap < 1000 {
                self.audio.lost += u64::from(gap);
            }
        }
        self.last_sequence = Some(sequence);
    }

    fn speak(&mut self) {
        let Some(to) = self.speech.to else { return };
        if self.speech.voice == Voice::Mute {
            return;
        }
        if let Some(events) = self.speech.events.filter(|_| !self.typing.is_empty()) {
            self.type_on(to, events);
        } else {
            let samples = self.tone.as_mut().map_or_else(|| vec![0; PACKET], |tone| tone.samples(PACKET));
            let body = sound::encode(self.speech.payload, &samples);
            self.send(to, self.speech.payload, self.timestamp, &body);
        }
        self.timestamp = self.timestamp.wrapping_add(PACKET as u32);
    }

    /// One tick of typing: five packets of a digit, three of them again as its end, then a pause.
    fn type_on(&mut self, to: SocketAddr, events: u8) {
        let Some((digit, ticks)) = self.typing.last_mut().map(|(d, t)| (*d, std::mem::replace(t, *t + 1))) else {
            return;
        };
        if ticks == 0 {
            self.typed_at = self.timestamp;
        }
        if ticks < 5 {
            let ending = if ticks == 4 { 0x80 } else { 0 };
            let duration = ((ticks + 1) * PACKET as u32) as u16;
            let [high, low] = duration.to_be_bytes();
            for _ in 0..if ticks == 4 { 3 } else { 1 } {
                self.send(to, events, self.typed_at, &[digit, 10 | ending, high, low]);
            }
        } else if ticks >= 9 {
            self.typing.pop();
        }
    }

    fn send(&mut self, to: SocketAddr, payload: u8, stamp: u32, body: &[u8]) {
        let mut packet = vec![0x80, payload];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(stamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(body);
        self.sequence = self.sequence.wrapping_add(1);
        if self.socket.send_to(&packet, to).is_ok() {
            self.audio.packets_out += 1;
        }
    }
}
