//! What a leg hears, as one stream: the same SSRC and an unbroken count through tone, early media and talk (RFC 3550).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Ms;
use super::packet::Header;

/// Samples in one of our own packets: 20 ms.
pub const FRAME: usize = 160;
/// Of a stream we follow, packets that come later than this many others are too late.
const REORDER: u16 = 100;
/// A jump further than this, ahead, is a new beginning.
const JUMP: u16 = 3_000;

/// The numbering of what we send to one leg.
#[derive(Clone, Debug)]
pub struct Stream {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// When `timestamp` was sent.
    at: Ms,
    mode: Mode,
}

#[derive(Clone, Debug)]
enum Mode {
    Idle,
    Sound,
    Following(Following),
}

/// A stream of another leg that is passed on, and how far its numbers are from ours.
#[derive(Clone, Debug)]
struct Following {
    ssrc: u32,
    newest: u16,
    /// How many packets back still belong to us; grows to `REORDER`.
    room: u16,
    sequence_offset: u16,
    timestamp_offset: u32,
}

impl Stream {
    /// A stream that begins at these (random) numbers.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Stream {
        Stream { ssrc, sequence, timestamp, at: 0, mode: Mode::Idle }
    }

    /// The header of the next packet of a sound of ours.
    pub fn sound(&mut self, payload_type: u8, now: Ms) -> Header {
        let goes_on = matches!(self.mode, Mode::Sound) && now.saturating_sub(self.at) < 100;
        let timestamp = if goes_on { self.timestamp.wrapping_add(FRAME as u32) } else { self.resumed(now) };
        self.mode = Mode::Sound;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = timestamp;
        self.at = now;
        Header { marker: !goes_on, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload: 0..0 }
    }

    /// The header under which a packet of another leg is passed on; `None` if it comes too late.
    pub fn follow(&mut self, packet: &Header, payload_type: u8, is_voice: bool, now: Ms) -> Option<Header> {
        let (begins, following) = self.following(packet, now);
        let ahead = packet.sequence.wrapping_sub(following.newest);
        let behind = following.newest.wrapping_sub(packet.sequence);
        if ahead < JUMP {
            following.room = following.room.saturating_add(ahead).min(REORDER);
            following.newest = packet.sequence;
        } else if behind > following.room {
            return None;
        }
        let sequence = packet.sequence.wrapping_add(following.sequence_offset);
        let timestamp = packet.timestamp.wrapping_add(following.timestamp_offset);
        self.advance(sequence, timestamp, now);
        let marker = packet.marker || (begins && is_voice);
        Some(Header { marker, payload_type, sequence, timestamp, ssrc: self.ssrc, payload: 0..0 })
    }

    /// A packet that is not passed on, because this leg has no use for it, shall leave no gap.
    pub fn skip(&mut self, packet: &Header) {
        if let Mode::Following(following) = &mut self.mode
            && following.ssrc == packet.ssrc
            && packet.sequence == following.newest.wrapping_add(1)
        {
            following.newest = packet.sequence;
            following.sequence_offset = following.sequence_offset.wrapping_sub(1);
            following.room = 0;
        }
    }

    /// Whatever was followed has ended; the next packet is a new beginning.
    pub fn part(&mut self) {
        self.mode = Mode::Idle;
    }

    fn following(&mut self, packet: &Header, now: Ms) -> (bool, &mut Following) {
        let goes_on = match &self.mode {
            Mode::Following(known) => {
                let ahead = packet.sequence.wrapping_sub(known.newest);
                known.ssrc == packet.ssrc && (ahead < JUMP || ahead > 0u16.wrapping_sub(JUMP))
            }
            _ => false,
        };
        if !goes_on {
            self.mode = Mode::Following(Following {
                ssrc: packet.ssrc,
                newest: packet.sequence,
                room: 0,
                sequence_offset: self.sequence.wrapping_add(1).wrapping_sub(packet.sequence),
                timestamp_offset: self.resumed(now).wrapping_sub(packet.timestamp),
            });
        }
        match &mut self.mode {
            Mode::Following(following) => (!goes_on, following),
            _ => unreachable!("set above"),
        }
    }

    fn advance(&mut self, sequence: u16, timestamp: u32, now: Ms) {
        if sequence.wrapping_sub(self.sequence) < 1 << 15 {
            self.sequence = sequence;
        }
        let step = timestamp.wrapping_sub(self.timestamp);
        if step != 0 && step < 1 << 31 {
            self.timestamp = timestamp;
            self.at = now;
        }
    }

    /// The timestamp of a packet that follows after a change: as much later as time has passed.
    fn resumed(&self, now: Ms) -> u32 {
        let samples = now.saturating_sub(self.at).saturating_mul(8) as u32;
        self.timestamp.wrapping_add(samples.max(FRAME as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        Header { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload: 12..172 }
    }

    fn numbers(header: Header) -> (u16, u32, bool) {
        assert_eq!(header.ssrc, 77);
        (header.sequence, header.timestamp, header.marker)
    }

    #[test]
    fn one_count_through_tone_early_media_and_talk() {
        let mut stream = Stream::new(77, 65_533, u32::MAX - 400);
        let (_, first, marker) = numbers(stream.sound(0, 1_000));
        assert!(marker);
        assert_eq!(numbers(stream.sound(0, 1_020)), (65_535, first.wrapping_add(160), false));
        // early media of B, 40 ms later
        let early = stream.follow(&voice(5, 900, 10_000), 0, true, 1_060).expect("passed on");
        assert_eq!(numbers(early), (0, first.wrapping_add(160 + 320), true));
        let next = stream.follow(&voice(5, 901, 10_160), 0, true, 1_080).expect("passed on");
        assert_eq!(numbers(next), (1, first.wrapping_add(640), false));
        // B answers from another device: new SSRC, new numbers
        let talk = stream.follow(&voice(6, 3, 99), 0, true, 1_100).expect("passed on");
        assert_eq!(numbers(talk), (2, first.wrapping_add(800), true));
    }

    #[test]
    fn loss_and_disorder_stay_what_they_were() {
        let mut stream = Stream::new(77, 0, 0);
        let mut sent = |sequence: u16| {
            stream.follow(&voice(5, sequence, u32::from(sequence) * 160), 0, true, 20).map(|header| header.sequence)
        };
        assert_eq!(sent(100), Some(1));
        assert_eq!(sent(103), Some(4));
        assert_eq!(sent(102), Some(3));
        assert_eq!(sent(104), Some(5));
        assert_eq!(sent(99), None, "from before the beginning: its number is another's");
        assert_eq!(sent(105), Some(6));
    }

    #[test]
    fn a_jump_of_the_peer_is_none_of_ours() {
        let mut stream = Stream::new(77, 0, 0);
        assert_eq!(numbers(stream.follow(&voice(5, 1, 160), 0, true, 20).expect("sent")).0, 1);
        assert_eq!(numbers(stream.follow(&voice(5, 40_000, 9), 0, true, 40).expect("sent")).0, 2);
        assert_eq!(numbers(stream.follow(&voice(5, 40_001, 169), 0, true, 60).expect("sent")).0, 3);
    }

    #[test]
    fn what_is_not_passed_on_leaves_no_gap() {
        let mut stream = Stream::new(77, 0, 0);
        assert_eq!(numbers(stream.follow(&voice(5, 1, 160), 0, true, 20).expect("sent")).0, 1);
        stream.skip(&voice(5, 2, 320));
        stream.skip(&voice(5, 3, 320));
        assert_eq!(numbers(stream.follow(&voice(5, 4, 640), 0, true, 80).expect("sent")), (2, 160 + 480, false));
    }

    #[test]
    fn a_long_key_press_does_not_hold_the_clock_back() {
        let mut stream = Stream::new(77, 0, 0);
        let start = stream.follow(&voice(5, 1, 8_000), 101, false, 1_000).expect("sent").timestamp;
        for packet in 1..25u16 {
            let event =
                stream.follow(&voice(5, 1 + packet, 8_000), 101, false, 1_000 + u64::from(packet) * 20).expect("sent");
            assert_eq!(event.timestamp, start, "all packets of a press have its timestamp");
        }
        assert_eq!(stream.sound(0, 1_500).timestamp, start + 4_000);
    }
}
