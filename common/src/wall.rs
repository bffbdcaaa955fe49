//! Moments of the wall clock as they are written: RFC 3339 in UTC, as chrono writes them, and without its detour over a formatter,
//! for a callback writes some forty of them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Serialize, Serializer};

/// Room for the longest: `2026-11-21T08:22:11.123456789Z`.
const ROOM: usize = 30;

/// For `#[serde(serialize_with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(moment: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut room = [0; ROOM];
    match write(moment, &mut room) {
        Some(text) => serializer.serialize_str(text),
        None => moment.serialize(serializer),
    }
}

/// The same for a moment that may be missing.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_opt<S: Serializer>(moment: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => serialize(moment, serializer),
        None => serializer.serialize_none(),
    }
}

/// `None` for what is not written plainly: years before 0 and after 9999, leap seconds.
fn write<'a>(moment: &DateTime<Utc>, room: &'a mut [u8; ROOM]) -> Option<&'a str> {
    let (year, nanos) = (u32::try_from(moment.year()).ok().filter(|year| *year <= 9_999)?, moment.nanosecond());
    if nanos >= 1_000_000_000 {
        return None;
    }
    room[..20].copy_from_slice(b"0000-00-00T00:00:00Z");
    digits(&mut room[0..4], year);
    digits(&mut room[5..7], moment.month());
    digits(&mut room[8..10], moment.day());
    digits(&mut room[11..13], moment.hour());
    digits(&mut room[14..16], moment.minute());
    digits(&mut room[17..19], moment.second());
    let (places, fraction) = match nanos {
        0 => (0, 0),
        _ if nanos.is_multiple_of(1_000_000) => (3, nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => (6, nanos / 1_000),
        _ => (9, nanos),
    };
    let mut end = 20;
    if places > 0 {
        room[19] = b'.';
        digits(&mut room[20..20 + places], fraction);
        end = 21 + places;
        room[end - 1] = b'Z';
    }
    std::str::from_utf8(&room[..end]).ok()
}

fn digits(places: &mut [u8], mut number: u32) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_chrono_writes_them() {
        let nanos = [0, 1, 1_000, 120_000_000, 123_000, 123_456, 123_456_789, 999_999_999, 500_000_001];
        let seconds =
            [-62_167_219_200, -1, 0, 951_782_399, 1_795_248_131, 253_402_300_799, 253_402_300_800, -62_167_219_201];
        for moment in seconds.into_iter().flat_map(|s| nanos.map(|n| DateTime::<Utc>::from_timestamp(s, n).unwrap())) {
            let mut ours = Vec::new();
            serialize(&moment, &mut serde_json::Serializer::new(&mut ours)).unwrap();
            assert_eq!(String::from_utf8(ours).unwrap(), serde_json::to_string(&moment).unwrap());
        }
        let leap = DateTime::<Utc>::from_timestamp(1_483_228_799, 1_500_000_000).unwrap();
        let mut ours = Vec::new();
        serialize(&leap, &mut serde_json::Serializer::new(&mut ours)).unwrap();
        assert_eq!(String::from_utf8(ours).unwrap(), serde_json::to_string(&leap).unwrap());
    }
}
