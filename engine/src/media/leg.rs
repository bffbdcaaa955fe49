//! The media of one leg: what to make of each datagram, and what to send instead. Pure; the threads around it only carry bytes.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;
use std::time::Duration;

use super::Ms;
use super::digits::{Digit, Ear};
use super::g711::Codec;
use super::packet::{HEADER, Header, TelephoneEvent};
use super::source::{Judgement, Source};
use super::stream::{FRAME, Stream};
use super::terms::Negotiated;
use super::tone::Sound;

/// Digits that wait for somebody to fetch them. A caller does not type so fast; who sends more is no caller.
const WAITING_DIGITS: usize = 64;

/// What passed through one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets taken from the peer.
    pub packets_in: u64,
    /// Packets sent to the peer.
    pub packets_out: u64,
    /// Refused: not from the peer's address.
    pub dropped_source: u64,
    /// Refused: a payload type that was not agreed on.
    pub dropped_pt: u64,
    /// Refused: not RTP, or longer than voice can be.
    pub dropped_malformed: u64,
    /// Came too late to be passed on.
    pub late: u64,
    /// Never came, judging by the sequence numbers.
    pub lost: u64,
    /// How often the peer began a new stream.
    pub ssrc_changes: u64,
    /// Not sent: gate shut, hold, or an address that never answered.
    pub withheld: u64,
    /// Digits refused because far too many waited.
    pub digits_refused: u64,
}

/// What happened since somebody last asked. Digits keep their order and number; the rest coalesces.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// The first packet of the peer was taken.
    pub first_packet: bool,
    /// The peer's address is settled.
    pub latched: Option<SocketAddr>,
    /// The peer began a new stream.
    pub ssrc_changed: bool,
    /// Nothing was heard for too long.
    pub silent: bool,
    /// The sound that was played has ended.
    pub sound_ended: bool,
    /// Keys that were pressed.
    pub digits: Digits,
}

impl News {
    /// Nothing happened.
    pub fn is_empty(&self) -> bool {
        !(self.first_packet || self.ssrc_changed || self.silent || self.sound_ended)
            && self.latched.is_none()
            && self.digits.length == 0
    }
}

/// A queue of digits that never allocates.
#[derive(Clone, Debug)]
pub struct Digits {
    ring: [Digit; WAITING_DIGITS],
    first: usize,
    length: usize,
}

impl Default for Digits {
    fn default() -> Digits {
        Digits { ring: [Digit { digit: ' ', ms: 0 }; WAITING_DIGITS], first: 0, length: 0 }
    }
}

impl Digits {
    fn push(&mut self, digit: Digit) -> bool {
        let fits = self.length < WAITING_DIGITS;
        if fits {
            self.ring[(self.first + self.length) % WAITING_DIGITS] = digit;
            self.length += 1;
        }
        fits
    }

    /// The oldest.
    pub fn peek(&self) -> Option<Digit> {
        (self.length > 0).then(|| self.ring[self.first])
    }

    /// Drops the oldest.
    pub fn pop(&mut self) {
        if self.length > 0 {
            self.first = (self.first + 1) % WAITING_DIGITS;
            self.length -= 1;
        }
    }
}

/// One leg.
#[derive(Debug)]
pub struct Leg {
    peer: Option<Peer>,
    stream: Stream,
    ear: Ear,
    inbound: Option<Inbound>,
    sound: Option<Playing>,
    held: bool,
    /// The stream of the call that had our port before, if its peer may still be sending.
    stale: Option<Stale>,
    listening_since: Ms,
    told_silent: bool,
    rtp_timeout: Ms,
    /// What passed.
    pub counters: Counters,
    /// What happened.
    pub news: News,
}

/// The last stream that came to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// From where.
    pub from: SocketAddr,
    /// Which.
    pub ssrc: u32,
}

#[derive(Debug)]
struct Peer {
    agreed: Negotiated,
    source: Source,
    longest: usize,
}

/// The stream that comes in.
#[derive(Debug)]
struct Inbound {
    from: SocketAddr,
    ssrc: u32,
    highest: u16,
    heard: Ms,
}

#[derive(Debug)]
struct Playing {
    sound: Sound,
    at: usize,
}

/// A packet of the peer that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its header.
    pub header: Header,
    /// What it carries.
    pub content: Content,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Voice.
    Voice(Codec),
    /// A key being pressed.
    Key(TelephoneEvent),
}

/// A datagram to send: the bytes `start..end` of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub to: SocketAddr,
    /// Where in the buffer it starts.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Leg {
    /// A leg whose peer is not known yet: it takes nothing and sends nothing.
    pub fn new(stream: Stream, stale: Option<Stale>, rtp_timeout: Duration) -> Leg {
        Leg {
            peer: None,
            stream,
            ear: Ear::default(),
            inbound: None,
            sound: None,
            held: false,
            stale,
            listening_since: 0,
            told_silent: false,
            rtp_timeout: rtp_timeout.as_millis() as Ms,
            counters: Counters::default(),
            news: News::default(),
        }
    }

    /// The terms, new or changed. The same peer keeps what was learned about it.
    pub fn connect(&mut self, mut agreed: Negotiated, now: Ms) {
        if let (true, Some(known)) = (agreed.remote.ip().is_unspecified(), &self.peer) {
            agreed.remote = known.agreed.remote; // a hold in the manner of RFC 2543 moves nobody
        }
        let longest = 3 * 8 * agreed.ptime.clamp(20, 60) as usize;
        let source = match self.peer.take() {
            Some(known) if known.source.is_same(&agreed) => known.source,
            _ => Source::new(&agreed),
        };
        self.peer = Some(Peer { agreed, source, longest });
        self.listen_from(now);
    }

    /// Puts the leg on hold, or takes it off: on hold nothing is sent, and silence is no news.
    pub fn hold(&mut self, held: bool, now: Ms) {
        self.held = held;
        self.listen_from(now);
    }

    /// Silence counts from here on.
    pub fn listen_from(&mut self, now: Ms) {
        self.listening_since = now;
        self.told_silent = false;
    }

    /// Starts a sound; it goes before anything that others say.
    pub fn play(&mut self, sound: Sound) {
        self.sound = (!sound.samples.is_empty()).then_some(Playing { sound, at: 0 });
    }

    /// Stops the sound.
    pub fn stop(&mut self) {
        self.sound = None;
    }

    /// Whether a sound is playing.
    pub fn is_playing(&self) -> bool {
        self.sound.is_some()
    }

    /// What followed another leg's stream does so no longer.
    pub fn part(&mut self) {
        self.stream.part();
    }

    /// The stream that came last, for whoever gets this port next.
    pub fn last_stream(&self) -> Option<Stale> {
        self.inbound.as_ref().map(|inbound| Stale { from: inbound.from, ssrc: inbound.ssrc })
    }

    /// A datagram came in. Returns it if it is from the peer and may be passed on.
    pub fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Ms) -> Option<Incoming> {
        let Some(peer) = &mut self.peer else {
            self.counters.dropped_source += 1;
            return None;
        };
        let Ok(header) = Header::read(datagram) else {
            self.counters.dropped_malformed += 1;
            return None;
        };
        let Some(is_key) = peer.carries(header.payload_type) else {
            self.counters.dropped_pt += 1;
            return None;
        };
        let payload = &datagram[header.payload.clone()];
        let Some(content) = peer.content(is_key, header.payload_type, payload) else {
            self.counters.dropped_malformed += 1;
            return None;
        };
        if self.stale == Some(Stale { from, ssrc: header.ssrc }) {
            self.counters.dropped_source += 1;
            return None;
        }
        match peer.source.judge(from, &header, now) {
            Judgement::Refuse => {
                self.counters.dropped_source += 1;
                return None;
            }
            Judgement::Latched => self.news.latched = Some(from),
            Judgement::Take => {}
        }
        let may_pass = peer.agreed.direction.receives() && !self.held;
        self.account(&header, from, now);
        if let Content::Key(event) = content
            && event.code < 16 // a hook flash is passed on, but is no digit
            && let Some(digit) = self.ear.hear(&header, event, now)
        {
            self.pressed(digit);
        }
        may_pass.then_some(Incoming { header, content })
    }

    /// Passes a packet of another leg on to this one: rewrites it in place, in the buffer that it came in.
    pub fn pass_on(&mut self, packet: &Incoming, buffer: &mut [u8], now: Ms) -> Option<Outgoing> {
        let peer = self.peer.as_mut()?;
        if self.sound.is_some() {
            return None; // a tone or prompt goes first; afterwards the stream is taken up again
        }
        let payload_type = match packet.content {
            Content::Voice(_) => peer.agreed.codec.payload_type(),
            Content::Key(_) => match peer.agreed.dtmf_pt {
                Some(payload_type) => payload_type,
                None => {
                    self.stream.skip(&packet.header);
                    return None;
                }
            },
        };
        let is_voice = matches!(packet.content, Content::Voice(_));
        let Some(header) = self.stream.follow(&packet.header, payload_type, is_voice, now) else {
            self.counters.late += 1;
            return None;
        };
        let Some(to) = peer.target(self.held, now) else {
            self.counters.withheld += 1;
            return None;
        };
        let payload = packet.header.payload.clone();
        if let Content::Voice(codec) = packet.content {
            codec.transcode(peer.agreed.codec, &mut buffer[payload.clone()]);
        }
        let start = payload.start - HEADER;
        header.write(buffer[start..].first_chunk_mut()?);
        Some(Outgoing { to, start, end: payload.end })
    }

    /// The next 20 ms of the sound that is playing.
    pub fn next_frame(&mut self, buffer: &mut [u8; HEADER + FRAME], now: Ms) -> Option<Outgoing> {
        let playing = self.sound.as_mut()?;
        let peer = self.peer.as_mut()?;
        let codec = peer.agreed.codec;
        let ended = playing.fill(codec, &mut buffer[HEADER..]);
        if ended {
            self.sound = None;
            self.news.sound_ended = true;
        }
        let Some(to) = peer.target(self.held, now) else {
            self.counters.withheld += 1;
            return None;
        };
        let header = self.stream.sound(codec.payload_type(), now);
        header.write(buffer.first_chunk_mut()?);
        Some(Outgoing { to, start: 0, end: buffer.len() })
    }

    /// Time has passed: keys whose end was lost, and silence.
    pub fn tick(&mut self, now: Ms) {
        if let Some(digit) = self.ear.tick(now) {
            self.pressed(digit);
        }
        let Some(peer) = &self.peer else { return };
        let is_exempt = self.held || !peer.agreed.direction.receives();
        let heard = self.inbound.as_ref().map_or(0, |inbound| inbound.heard).max(self.listening_since);
        if is_exempt {
            self.listening_since = now;
        } else if !self.told_silent && now.saturating_sub(heard) >= self.rtp_timeout {
            self.told_silent = true;
            self.news.silent = true;
        }
    }

    /// We could not listen for so long: nobody is to blame for what was not heard.
    pub fn excuse(&mut self, pause: Ms) {
        self.listening_since += pause;
        if let Some(inbound) = &mut self.inbound {
            inbound.heard += pause;
        }
        if let Some(peer) = &mut self.peer {
            peer.source.excuse(pause);
        }
    }

    fn account(&mut self, header: &Header, from: SocketAddr, now: Ms) {
        self.counters.packets_in += 1;
        self.told_silent = false;
        match &mut self.inbound {
            Some(inbound) if inbound.ssrc == header.ssrc => {
                let ahead = header.sequence.wrapping_sub(inbound.highest);
                match ahead {
                    0 => {}
                    1..3_000 => {
                        self.counters.lost += u64::from(ahead - 1);
                        inbound.highest = header.sequence;
                    }
                    0x8000.. if ahead > 0u16.wrapping_sub(100) => {
                        self.counters.lost = self.counters.lost.saturating_sub(1)
                    } // not lost, only late
                    _ => inbound.highest = header.sequence,
                }
                (inbound.heard, inbound.from) = (now, from);
            }
            known => {
                if known.is_some() {
                    self.counters.ssrc_changes += 1;
                    self.news.ssrc_changed = true;
                } else {
                    self.news.first_packet = true;
                }
                *known = Some(Inbound { from, ssrc: header.ssrc, highest: header.sequence, heard: now });
            }
        }
    }

    fn pressed(&mut self, digit: Digit) {
        if !self.news.digits.push(digit) {
            self.counters.digits_refused += 1;
        }
    }
}

impl Peer {
    /// Whether a payload type was agreed on, and if so whether it carries keys.
    fn carries(&self, payload_type: u8) -> Option<bool> {
        if let Some(codec) = Codec::of(payload_type) {
            return (codec == self.agreed.codec || Some(codec) == self.agreed.also_accepts).then_some(false);
        }
        let is_key = Some(payload_type) == self.agreed.dtmf_pt_in || Some(payload_type) == self.agreed.dtmf_pt;
        is_key.then_some(true)
    }

    fn content(&self, is_key: bool, payload_type: u8, payload: &[u8]) -> Option<Content> {
        if is_key {
            return TelephoneEvent::read(payload).filter(|_| payload.len() <= 64).map(Content::Key);
        }
        let codec = Codec::of(payload_type)?;
        (1..=self.longest).contains(&payload.len()).then_some(Content::Voice(codec))
    }

    fn target(&mut self, held: bool, now: Ms) -> Option<SocketAddr> {
        if held || !self.agreed.direction.sends() {
            return None;
        }
        self.source.target(now)
    }
}

impl Playing {
    /// Writes the next frame; true if it was the last.
    fn fill(&mut self, codec: Codec, frame: &mut [u8]) -> bool {
        let samples = &self.sound.samples;
        for byte in frame {
            if self.at == samples.len() && self.sound.repeat {
                self.at = 0;
            }
            *byte = codec.encode(samples.get(self.at).copied().unwrap_or(0));
            self.at = (self.at + 1).min(samples.len());
        }
        self.at == samples.len() && !self.sound.repeat
    }
}
