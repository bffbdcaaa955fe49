//! What a phone plays and hears: G.711 tones out, tones told apart by Goertzel's filter in.

use std::f64::consts::TAU;

/// Samples a second of G.711.
pub const RATE: f64 = 8000.0;
/// Samples in one packet of 20 ms.
pub const PACKET: usize = 160;
/// Samples looked at for one verdict: 100 ms.
pub const WINDOW: usize = 800;

/// Tones the tests play, far enough apart to be told from each other in 100 ms, and 425 Hz: the ring-back tone.
pub const TONES: [u32; 14] = [425, 500, 600, 700, 800, 950, 1100, 1250, 1400, 1600, 1800, 2100, 2500, 3000];

/// A steady tone, sample by sample.
#[derive(Clone, Debug)]
pub struct Tone {
    step: f64,
    phase: f64,
}

impl Tone {
    /// A tone of `hz`.
    pub fn new(hz: u32) -> Tone {
        Tone { step: TAU * f64::from(hz) / RATE, phase: 0.0 }
    }

    /// The next `count` samples.
    pub fn samples(&mut self, count: usize) -> Vec<i16> {
        (0..count)
            .map(|_| {
                self.phase = (self.phase + self.step) % TAU;
                (self.phase.sin() * 10_000.0) as i16
            })
            .collect()
    }
}

/// How [`tone_in`] names ring-back tone, also where a country's is a pair of tones.
pub const RING_BACK: u32 = 425;
const RING_BACK_PAIRS: [[u32; 2]; 2] = [[400, 450], [440, 480]];

/// Which of `TONES` dominates these samples: `None` for silence or a mixture.
pub fn tone_in(samples: &[i16]) -> Option<u32> {
    let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    if samples.is_empty() || energy / (samples.len() as f64) < 200.0_f64.powi(2) {
        return None;
    }
    let loud = |hz: u32| share(samples, hz) / energy;
    let pair = |pair: &[u32; 2]| pair.iter().all(|hz| loud(*hz) > 0.25);
    let single = TONES.into_iter().find(|hz| loud(*hz) > 0.6);
    single.or_else(|| RING_BACK_PAIRS.iter().any(pair).then_some(RING_BACK))
}

/// The energy of one tone in these samples (Goertzel).
fn share(samples: &[i16], hz: u32) -> f64 {
    let coefficient = 2.0 * (TAU * f64::from(hz) / RATE).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for sample in samples {
        (s1, s2) = (f64::from(*sample) + coefficient * s1 - s2, s1);
    }
    let power = s1 * s1 + s2 * s2 - coefficient * s1 * s2;
    2.0 * power / samples.len() as f64
}

/// One stretch of the same sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Heard {
    /// Which tone; `None` is silence or noise.
    pub hz: Option<u32>,
    /// When it began, in microseconds of [`crate::clock`].
    pub from_us: u64,
    /// When it was last heard.
    pub until_us: u64,
}

/// Remembers what came, as stretches of tones.
#[derive(Clone, Debug, Default)]
pub struct Ear {
    window: Vec<i16>,
    stretches: Vec<Heard>,
}

impl Ear {
    /// Takes the samples of one packet that came at `now_us`.
    pub fn hear(&mut self, samples: &[i16], now_us: u64) {
        self.window.extend_from_slice(samples);
        while self.window.len() >= WINDOW {
            let hz = tone_in(&self.window[..WINDOW]);
            self.window.drain(..WINDOW);
            match self.stretches.last_mut() {
                Some(last) if last.hz == hz && now_us.saturating_sub(last.until_us) < 500_000 => last.until_us = now_us,
                _ => self.stretches.push(Heard { hz, from_us: now_us.saturating_sub(100_000), until_us: now_us }),
            }
        }
    }

    /// Everything heard so far.
    pub fn stretches(&self) -> &[Heard] {
        &self.stretches
    }
}

/// Milliseconds of one tone among the stretches.
pub fn tone_ms(stretches: &[Heard], hz: u32) -> u64 {
    stretches.iter().filter(|h| h.hz == Some(hz)).map(|h| (h.until_us - h.from_us) / 1000).sum()
}

/// One sample as mu-law (payload type 0).
pub fn to_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs().min(32_635) + 132) as u32;
    let exponent = (31 - magnitude.leading_zeros()).saturating_sub(7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

/// One mu-law byte as a sample.
pub fn from_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((i32::from(byte & 0x0f) << 3) + 132) << ((byte >> 4) & 7);
    let sample = magnitude - 132;
    if byte & 0x80 != 0 { -sample as i16 } else { sample as i16 }
}

/// One sample as A-law (payload type 8).
pub fn to_alaw(sample: i16) -> u8 {
    let (sign, mut magnitude) = if sample < 0 { (0, !sample >> 4) } else { (0x80, sample >> 4) };
    if magnitude > 15 {
        let mut exponent = 1;
        while magnitude > 31 {
            magnitude >>= 1;
            exponent += 1;
        }
        magnitude = magnitude - 16 + (exponent << 4);
    }
    (sign | magnitude as u8) ^ 0x55
}

/// One A-law byte as a sample.
pub fn from_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = (byte >> 4) & 7;
    let mantissa = i32::from(byte & 0x0f) << 4;
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 264) << (exponent - 1) };
    if byte & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 }
}

/// Encodes samples for a payload type.
pub fn encode(payload: u8, samples: &[i16]) -> Vec<u8> {
    let coder = if payload == 8 { to_alaw } else { to_ulaw };
    samples.iter().map(|s| coder(*s)).collect()
}

/// Decodes a payload; only PCMU and PCMA are known.
pub fn decode(payload: u8, bytes: &[u8]) -> Option<Vec<i16>> {
    let decoder = match payload {
        0 => from_ulaw,
        8 => from_alaw,
        _ => return None,
    };
    Some(bytes.iter().map(|b| decoder(*b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tone_is_told_from_the_others_through_both_codecs() {
        for hz in TONES {
            for payload in [0, 8] {
                let sent = Tone::new(hz).samples(WINDOW);
                let heard = decode(payload, &encode(payload, &sent)).unwrap();
                assert_eq!(tone_in(&heard), Some(hz), "payload {payload}");
            }
        }
    }

    #[test]
    fn silence_and_a_mixture_are_no_tone() {
        assert_eq!(tone_in(&[0; WINDOW]), None);
        let (low, high) = (Tone::new(500).samples(WINDOW), Tone::new(1250).samples(WINDOW));
        let mixture: Vec<i16> = low.iter().zip(&high).map(|(a, b)| a / 2 + b / 2).collect();
        assert_eq!(tone_in(&mixture), None);
    }

    #[test]
    fn a_pair_of_tones_is_known_as_ring_back() {
        for [low, high] in RING_BACK_PAIRS {
            let (low, high) = (Tone::new(low).samples(WINDOW), Tone::new(high).samples(WINDOW));
            let pair: Vec<i16> = low.iter().zip(&high).map(|(a, b)| a / 2 + b / 2).collect();
            assert_eq!(tone_in(&pair), Some(RING_BACK));
        }
    }

    #[test]
    fn companding_keeps_every_sample_within_its_step() {
        for sample in (-32_000..32_000).step_by(37) {
            let sample = sample as i16;
            let step = (f64::from(sample).abs() / 16.0).max(16.0);
            for (name, back) in [("mu", from_ulaw(to_ulaw(sample))), ("A", from_alaw(to_alaw(sample)))] {
                assert!(f64::from(sample - back).abs() <= step, "{name}: {sample} became {back}");
            }
        }
    }

    #[test]
    fn an_ear_joins_windows_of_one_tone() {
        let mut ear = Ear::default();
        let mut tone = Tone::new(700);
        for packet in 0..50_u64 {
            ear.hear(&tone.samples(PACKET), 1_000_000 + packet * 20_000);
        }
        assert_eq!(ear.stretches().len(), 1);
        assert!(tone_ms(ear.stretches(), 700) >= 900);
    }
}
