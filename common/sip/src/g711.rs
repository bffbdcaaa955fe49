//! G.711: PCMU and PCMA, to and from 16-bit samples, and straight from one into the other. All by tables made at compile time.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::{Deserialize, Serialize};

/// How the voice is written in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// mu-law, payload type 0.
    Pcmu,
    /// A-law, payload type 8.
    Pcma,
}

impl Codec {
    /// The static payload type of RFC 3551.
    pub const fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
        }
    }

    /// The codec behind a static payload type.
    pub const fn of(payload_type: u8) -> Option<Codec> {
        match payload_type {
            0 => Some(Codec::Pcmu),
            8 => Some(Codec::Pcma),
            _ => None,
        }
    }

    /// One sample as a byte.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Codec::Pcmu => encode_mu(sample),
            Codec::Pcma => encode_a(sample),
        }
    }

    /// One byte as a sample.
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Codec::Pcmu => MU_TO_LINEAR[byte as usize],
            Codec::Pcma => A_TO_LINEAR[byte as usize],
        }
    }

    /// Rewrites a payload in place from this codec into the other.
    pub fn transcode(self, to: Codec, payload: &mut [u8]) {
        let table = match (self, to) {
            (Codec::Pcmu, Codec::Pcma) => &MU_TO_A,
            (Codec::Pcma, Codec::Pcmu) => &A_TO_MU,
            _ => return,
        };
        for byte in payload {
            *byte = table[*byte as usize];
        }
    }
}

const MU_BIAS: i32 = 0x84;
const MU_CLIP: i32 = 32_635;

static MU_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = decode_mu(byte as u8);
        byte += 1;
    }
    table
};

static A_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = decode_a(byte as u8);
        byte += 1;
    }
    table
};

static MU_TO_A: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = encode_a(decode_mu(byte as u8));
        byte += 1;
    }
    table
};

static A_TO_MU: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = encode_mu(decode_a(byte as u8));
        byte += 1;
    }
    table
};

const fn encode_mu(sample: i16) -> u8 {
    let mut magnitude = sample as i32;
    let sign = if magnitude < 0 { 0x80 } else { 0 };
    if magnitude < 0 {
        magnitude = -magnitude;
    }
    if magnitude > MU_CLIP {
        magnitude = MU_CLIP;
    }
    magnitude += MU_BIAS;
    let segment = 24 - magnitude.leading_zeros() as i32;
    let mantissa = (magnitude >> (segment + 3)) & 0x0F;
    !(sign | ((segment << 4) | mantissa) as u8)
}

const fn decode_mu(byte: u8) -> i16 {
    let bits = !byte;
    let segment = (bits >> 4) & 0x07;
    let magnitude = (((((bits & 0x0F) as i32) << 3) + MU_BIAS) << segment) - MU_BIAS;
    (if bits & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

const fn encode_a(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80, sample as i32 >> 3) } else { (0, (-(sample as i32) - 1) >> 3) };
    let bits = if magnitude < 32 {
        (magnitude >> 1) as u8
    } else {
        let segment = 27 - magnitude.leading_zeros() as i32;
        ((segment << 4) | ((magnitude >> segment) & 0x0F)) as u8
    };
    (sign | bits) ^ 0x55
}

const fn decode_a(byte: u8) -> i16 {
    let bits = byte ^ 0x55;
    let segment = (bits >> 4) & 0x07;
    let mantissa = ((bits & 0x0F) as i32) << 4;
    let magnitude = match segment {
        0 => mantissa + 8,
        _ => (mantissa + 0x108) << (segment - 1),
    };
    (if bits & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_round_trip() {
        for byte in 0..=255u8 {
            assert_eq!(Codec::Pcma.encode(Codec::Pcma.decode(byte)), byte, "A-law {byte:#04x}");
            // mu-law knows a negative zero, which 16 bits do not
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(Codec::Pcmu.encode(Codec::Pcmu.decode(byte)), expected, "mu-law {byte:#04x}");
        }
    }

    #[test]
    fn known_values_of_the_recommendation() {
        assert_eq!(Codec::Pcmu.decode(0x80), 32_124);
        assert_eq!(Codec::Pcmu.decode(0x00), -32_124);
        assert_eq!(Codec::Pcmu.encode(0), 0xFF);
        assert_eq!(Codec::Pcma.decode(0xAA), 32_256);
        assert_eq!(Codec::Pcma.decode(0x2A), -32_256);
        assert_eq!(Codec::Pcma.encode(0), 0xD5);
        assert_eq!(Codec::Pcma.decode(0xD5), 8);
    }

    #[test]
    fn every_sample_comes_back_near_itself_and_in_order() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let mut before = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let heard = codec.decode(codec.encode(sample));
                assert!(heard >= before, "{codec:?} is monotonic at {sample}");
                before = heard;
                let error = (i32::from(heard) - i32::from(sample)).abs();
                assert!(
                    error <= 16 + i32::from(sample).abs() / 16 || i32::from(sample).abs() > 32_000,
                    "{codec:?} {sample} -> {heard}"
                );
            }
        }
    }

    #[test]
    fn transcoding_keeps_the_sound() {
        for byte in 0..=255u8 {
            for (from, to) in [(Codec::Pcmu, Codec::Pcma), (Codec::Pcma, Codec::Pcmu)] {
                let mut payload = [byte];
                from.transcode(to, &mut payload);
                let (was, is) = (i32::from(from.decode(byte)), i32::from(to.decode(payload[0])));
                assert!((was - is).abs() <= 16 + was.abs() / 16, "{from:?} {byte:#04x}: {was} became {is}");
                let mut same = [byte];
                from.transcode(from, &mut same);
                assert_eq!(same, [byte]);
            }
        }
    }
}
