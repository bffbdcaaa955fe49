//! Sounds made in code, and the ear that recognises them.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::f32::consts::TAU;
use std::sync::{Arc, LazyLock};

/// Samples a second, of everything here.
pub const RATE: u32 = 8_000;
/// How loud our tones are: about -13 dBm0 each.
const AMPLITUDE: f32 = 6_000.0;

/// Something to play to a leg: samples at 8 kHz, decoded before and shared by all who play them.
#[derive(Clone, Debug)]
pub struct Sound {
    /// At 8 kHz.
    pub samples: Arc<[i16]>,
    /// Over and over.
    pub repeat: bool,
}

impl Sound {
    /// Ring-back tone as callers in this country (ISO 3166 code) know it; for the others the usual 425 Hz, 1 s of 5.
    pub fn ringback(country: &str) -> Sound {
        static MADE: LazyLock<Vec<Sound>> = LazyLock::new(|| CADENCES.iter().map(Cadence::render).collect());
        let row = CADENCES.iter().position(|cadence| cadence.countries.contains(&country)).unwrap_or(0);
        MADE[row].clone()
    }

    /// One tone without an end.
    pub fn tone(hz: u32) -> Sound {
        Sound { samples: tone(&[hz], RATE as usize).into(), repeat: true }
    }

    /// Samples at 8 kHz, played once.
    pub fn pcm(samples: Arc<[i16]>) -> Sound {
        Sound { samples, repeat: false }
    }

    /// The same, over and over.
    pub fn repeated(self) -> Sound {
        Sound { repeat: true, ..self }
    }
}

/// A ring-back tone: which frequencies, and milliseconds on, off, on, off ...
struct Cadence {
    countries: &'static [&'static str],
    hz: &'static [u32],
    pattern: &'static [u32],
}

/// The first row serves everybody else (ITU-T E.180 and its supplement 2).
static CADENCES: [Cadence; 5] = [
    Cadence { countries: &[], hz: &[425], pattern: &[1_000, 4_000] },
    Cadence { countries: &["US", "CA", "PR", "DO"], hz: &[440, 480], pattern: &[2_000, 4_000] },
    Cadence { countries: &["GB", "IE", "AU", "NZ", "SG", "IN"], hz: &[400, 450], pattern: &[400, 200, 400, 2_000] },
    Cadence { countries: &["FR"], hz: &[440], pattern: &[1_500, 3_500] },
    Cadence { countries: &["JP"], hz: &[400], pattern: &[1_000, 2_000] },
];

impl Cadence {
    fn render(&self) -> Sound {
        let mut samples = Vec::new();
        for (step, &ms) in self.pattern.iter().enumerate() {
            let length = (ms * RATE / 1_000) as usize;
            match step % 2 {
                0 => samples.extend(tone(self.hz, length)),
                _ => samples.resize(samples.len() + length, 0),
            }
        }
        Sound { samples: samples.into(), repeat: true }
    }
}

/// So many samples of these frequencies together.
pub fn tone(hz: &[u32], length: usize) -> Vec<i16> {
    let sample = |n: usize| -> i16 {
        let sum: f32 = hz
            .iter()
            .map(|&hz| (TAU * ((n as u64 * u64::from(hz)) % u64::from(RATE)) as f32 / RATE as f32).sin())
            .sum();
        (AMPLITUDE * sum) as i16
    };
    (0..length).map(sample).collect()
}

/// How much of the energy lies at this frequency: 0 nothing, 1 a pure tone (Goertzel's algorithm).
pub fn tone_level(samples: &[i16], hz: u32) -> f32 {
    let energy: f32 = samples.iter().map(|&sample| f32::from(sample) * f32::from(sample)).sum();
    if energy < samples.len() as f32 * 100.0 {
        return 0.0; // silence, or as good as
    }
    let coefficient = 2.0 * (TAU * hz as f32 / RATE as f32).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in samples {
        (last, before) = (f32::from(sample) + coefficient * last - before, last);
    }
    let power = last * last + before * before - coefficient * last * before;
    (2.0 * power / (energy * samples.len() as f32)).clamp(0.0, 1.0)
}

/// Whether these samples are, for the most part, this tone. Looks at blocks of 50 ms, so that a lost packet does no harm.
pub fn tone_heard(samples: &[i16], hz: u32) -> bool {
    let blocks = samples.chunks_exact(RATE as usize / 20);
    let all = blocks.len();
    let with_tone = blocks.filter(|block| tone_level(block, hz) > 0.4).count();
    all > 0 && with_tone * 2 > all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ear_tells_tones_apart() {
        for hz in [300, 425, 440, 660, 1_000, 3_000] {
            let samples = tone(&[hz], 8_000);
            for other in [300, 425, 440, 660, 1_000, 3_000] {
                let near = (i64::from(hz) - i64::from(other)).abs() < 20;
                assert!(near || tone_heard(&samples, other) == (hz == other), "{hz} heard as {other}");
            }
            assert!(tone_heard(&samples, hz));
        }
        assert!(!tone_heard(&[0; 8_000], 440), "silence is no tone");
        assert!(!tone_heard(&[], 440));
        let mut noise = 1u32;
        let hiss: Vec<i16> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 16) as i16
        })
        .take(8_000)
        .collect();
        assert!(!tone_heard(&hiss, 440));
    }

    #[test]
    fn ring_back_is_one_second_in_five() {
        let Sound { samples, repeat } = Sound::ringback("DE");
        assert!(repeat);
        assert_eq!(samples.len(), 5 * RATE as usize);
        assert!(tone_heard(&samples[..8_000], 425));
        assert!(samples[8_000..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn ring_back_follows_the_country() {
        let british = Sound::ringback("GB").samples;
        assert_eq!(british.len(), 3 * RATE as usize);
        assert!(tone_level(&british[..3_200], 400) > 0.4 && tone_level(&british[..3_200], 450) > 0.4);
        assert!(british[3_200..4_800].iter().all(|&sample| sample == 0));
        assert!(tone_level(&british[4_800..8_000], 400) > 0.4);
        assert_eq!(Sound::ringback("US").samples.len(), 6 * RATE as usize);
        assert!(Arc::ptr_eq(&Sound::ringback("US").samples, &Sound::ringback("CA").samples), "made once, shared");
    }

    #[test]
    fn an_endless_tone_has_no_seam() {
        let twice: Vec<i16> = [Sound::tone(440).samples.to_vec(), Sound::tone(440).samples.to_vec()].concat();
        assert!(tone_level(&twice[7_800..8_200], 440) > 0.99);
    }
}
