//! An RTP packet on the wire (RFC 3550) and a telephone event in it (RFC 4733). Pure; nothing here trusts a length.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::ops::Range;

use thiserror::Error;

/// The fixed part of an RTP header.
pub const HEADER: usize = 12;
/// Longer datagrams are never voice.
pub const LARGEST: usize = 1_500;

/// What an RTP packet says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// First packet after a pause, or first of a telephone event.
    pub marker: bool,
    /// What the payload is.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// Counts samples.
    pub timestamp: u32,
    /// Who speaks.
    pub ssrc: u32,
    /// Where in the datagram the payload lies.
    pub payload: Range<usize>,
}

/// Why a datagram is not RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Fewer bytes than its header needs.
    #[error("too short")]
    Short,
    /// More bytes than any voice packet.
    #[error("too long")]
    Long,
    /// Not version 2.
    #[error("not RTP version 2")]
    Version,
    /// RTCP where RTP belongs; we offer none.
    #[error("RTCP")]
    Rtcp,
    /// CSRC list, extension or padding reach past the end.
    #[error("header points past the end")]
    PastEnd,
}

impl Header {
    /// Reads a datagram.
    pub fn read(datagram: &[u8]) -> Result<Header, Malformed> {
        if datagram.len() > LARGEST {
            return Err(Malformed::Long);
        }
        let fixed: &[u8; HEADER] = datagram.first_chunk().ok_or(Malformed::Short)?;
        if fixed[0] >> 6 != 2 {
            return Err(Malformed::Version);
        }
        if (192..=223).contains(&fixed[1]) {
            return Err(Malformed::Rtcp); // RFC 5761 section 4
        }
        let payload = payload_of(datagram)?;
        Ok(Header {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload,
        })
    }

    /// Writes the plain twelve bytes of a header: no padding, extension or contributing sources.
    pub fn write(&self, into: &mut [u8; HEADER]) {
        into[0] = 0x80;
        into[1] = u8::from(self.marker) << 7 | self.payload_type;
        into[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        into[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        into[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

/// Where the payload lies behind contributing sources and extension, and before the padding.
fn payload_of(datagram: &[u8]) -> Result<Range<usize>, Malformed> {
    let (has_padding, has_extension) = (datagram[0] & 0x20 != 0, datagram[0] & 0x10 != 0);
    let mut start = HEADER + 4 * usize::from(datagram[0] & 0x0F);
    if has_extension {
        let length = datagram.get(start + 2..start + 4).ok_or(Malformed::PastEnd)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    let mut end = datagram.len();
    if has_padding {
        let padding = usize::from(datagram[end - 1]);
        if padding == 0 || padding > end {
            return Err(Malformed::PastEnd);
        }
        end -= padding;
    }
    if start > end {
        return Err(Malformed::PastEnd);
    }
    Ok(start..end)
}

/// A telephone event: a key that is being pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Which key; 0 to 15, and 16 for the hook flash.
    pub code: u8,
    /// The key was let go.
    pub end: bool,
    /// How long it was down, in timestamp units.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads a payload; `None` for what is not a key of a phone.
    pub fn read(payload: &[u8]) -> Option<TelephoneEvent> {
        let &[code, flags, high, low] = payload.first_chunk()?;
        (code <= 16).then_some(TelephoneEvent {
            code,
            end: flags & 0x80 != 0,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The key's character.
    pub fn digit(code: u8) -> char {
        char::from(b"0123456789*#ABCD"[usize::from(code & 0x0F)])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A well-formed packet.
    pub fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header { marker: false, payload_type, sequence, timestamp, ssrc, payload: 0..0 };
        let mut datagram = vec![0; HEADER];
        header.write(datagram.first_chunk_mut().expect("twelve bytes"));
        datagram.extend_from_slice(payload);
        datagram
    }

    #[test]
    fn a_packet_reads_as_it_was_written() {
        let datagram = packet(8, 65_535, u32::MAX, 0xDEAD_BEEF, &[7; 160]);
        let header = Header::read(&datagram).expect("good");
        assert_eq!(
            (header.payload_type, header.sequence, header.timestamp, header.ssrc),
            (8, 65_535, u32::MAX, 0xDEAD_BEEF)
        );
        assert_eq!(header.payload, 12..172);
    }

    #[test]
    fn csrc_extension_and_padding_are_stepped_over() {
        let mut datagram = packet(0, 1, 2, 3, &[]);
        datagram[0] = 0x80 | 0x20 | 0x10 | 2;
        datagram.extend_from_slice(&[0; 8]); // two CSRC
        datagram.extend_from_slice(&[0xBE, 0xDE, 0, 1, 1, 2, 3, 4]); // extension of one word
        datagram.extend_from_slice(&[9; 20]);
        datagram.extend_from_slice(&[0, 0, 0, 4]); // padding of four
        assert_eq!(Header::read(&datagram).expect("good").payload, 28..48);
    }

    #[test]
    fn rtp_10_wrong_version_or_short() {
        for length in 0..12 {
            assert_eq!(Header::read(&vec![0x80; length]), Err(Malformed::Short));
        }
        for version in [0u8, 1, 3] {
            let mut datagram = packet(0, 1, 2, 3, &[0; 160]);
            datagram[0] = version << 6;
            assert_eq!(Header::read(&datagram), Err(Malformed::Version));
        }
    }

    #[test]
    fn rtp_11_lengths_that_lie() {
        let plain = packet(0, 1, 2, 3, &[]);
        let with = |first: u8, tail: &[u8]| {
            let mut datagram = plain.clone();
            datagram[0] = first;
            datagram.extend_from_slice(tail);
            Header::read(&datagram)
        };
        assert_eq!(with(0x8F, &[]), Err(Malformed::PastEnd), "15 CSRC on 12 bytes");
        assert_eq!(with(0x90, &[]), Err(Malformed::PastEnd), "extension without a header");
        assert_eq!(with(0x90, &[0, 0, 0xFF, 0xFF]), Err(Malformed::PastEnd), "extension of 65535 words");
        assert_eq!(with(0xA0, &[1, 2, 3, 255]), Err(Malformed::PastEnd), "padding 255");
        assert_eq!(with(0xA0, &[1, 2, 3, 0]), Err(Malformed::PastEnd), "padding 0");
        assert_eq!(with(0xA0, &[1, 2, 3, 5]), Err(Malformed::PastEnd), "padding into the header");
    }

    #[test]
    fn no_datagram_can_hurt() {
        let mut noise = 7u64;
        for round in 0..200_000 {
            let mut datagram = [0u8; 64];
            for byte in &mut datagram {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (noise >> 56) as u8;
            }
            datagram[0] = datagram[0] & 0x3F | 0x80;
            if let Ok(header) = Header::read(&datagram[..round % 65]) {
                let payload = &datagram[..round % 65][header.payload];
                if let Some(event) = TelephoneEvent::read(payload) {
                    assert!("0123456789*#ABCD".contains(TelephoneEvent::digit(event.code)));
                }
            }
        }
    }
}
