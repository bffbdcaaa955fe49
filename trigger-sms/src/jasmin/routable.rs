//! A text as Jasmin's SMPP client connector publishes it: a pickled `RoutableDeliverSm`, which is a `DeliverSM` and where it came
//! from. Its enumerations are pickled by their place in Jasmin's lists.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use chrono::{DateTime, FixedOffset, NaiveDate, TimeZone, Utc};

use super::pickle::{Id, Node, Pickle, PickleError};
use crate::coding::{Place, Reference};
use crate::smpp::pdu::{Kind, address, sender};
use crate::text::Message;

/// Why a message is no text of Jasmin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutableError {
    /// It cannot be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// Something else was pickled.
    #[error("there is no {0} in it")]
    Missing(&'static str),
}

/// The members of Jasmin's `DataCodingDefault`, in its order.
const DATA_CODINGS: [u8; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0d, 0x0e];
/// The places of INTERNATIONAL and ALPHANUMERIC in `AddrTon`.
const INTERNATIONAL: i64 = 2;
const NATIONAL: i64 = 3;
const ALPHANUMERIC: i64 = 6;
/// The place of DEFAULT in `EsmClassType`.
const PLAIN: i64 = 1;
/// The place of UDHI_INDICATOR_SET in `EsmClassGsmFeatures`.
const UDHI: i64 = 1;

/// Reads one. Jasmin's clock has no zone of its own: it is so far from UTC.
///
/// # Errors
/// It is none.
pub fn read(bytes: &[u8], zone: FixedOffset) -> Result<Message, RoutableError> {
    let pickle = Pickle::read(bytes)?;
    let pdu = pickle.get(pickle.root, "pdu").ok_or(RoutableError::Missing("pdu"))?;
    let params = pickle.get(pdu, "params").ok_or(RoutableError::Missing("params"))?;
    let get = |key| pickle.get(params, key);
    let bytes = |key| get(key).and_then(|id| pickle.octets(id));
    let text = bytes("short_message").filter(|text| !text.is_empty()).or_else(|| bytes("message_payload"));
    let (notice, has_header) = esm_class(&pickle, get("esm_class"));
    let digits = |number| bytes(number).map(|digits| String::from_utf8_lossy(&digits).into_owned()).unwrap_or_default();
    let kind = |ton| match get(ton).and_then(|id| pickle.member(id)) {
        Some(("AddrTon", INTERNATIONAL)) => Kind::International,
        Some(("AddrTon", NATIONAL)) => Kind::National,
        Some(("AddrTon", ALPHANUMERIC)) => Kind::Name,
        _ => Kind::Other,
    };
    let number = |key| match get(key).map(|id| pickle.node(id)) {
        Some(Node::Number(number)) => Some(*number),
        _ => None,
    };
    let sar = match (number("sar_msg_ref_num"), number("sar_total_segments"), number("sar_segment_seqnum")) {
        (Some(reference), Some(total), Some(number)) => place(reference, total, number),
        _ => None,
    };
    Ok(Message {
        notice: notice || pickle.get(pdu, "dlr").is_some_and(|dlr| *pickle.node(dlr) != Node::Nothing),
        from: sender(kind("source_addr_ton"), &digits("source_addr")),
        to: address(kind("dest_addr_ton"), &digits("destination_addr")),
        user_data: text.ok_or(RoutableError::Missing("short_message"))?,
        has_header,
        data_coding: data_coding(&pickle, get("data_coding")),
        sar,
        id: None,
        received: pickle.get(pickle.root, "datetime").and_then(|id| moment(&pickle, id, zone)),
    })
}

/// `datetime(ten bytes)`: year, month, day, hour, minute, second, microseconds.
fn moment(pickle: &Pickle, id: Id, zone: FixedOffset) -> Option<DateTime<Utc>> {
    let packed: [u8; 10] = pickle.octets(pickle.item(id, 0)?)?.try_into().ok()?;
    let [century, year, month, day, hour, minute, second, ..] = packed;
    let date = NaiveDate::from_ymd_opt(u16::from_be_bytes([century, year]).into(), month.into(), day.into())?;
    let naive = date.and_hms_opt(hour.into(), minute.into(), second.into())?;
    zone.from_local_datetime(&naive).single().map(|moment| moment.to_utc())
}

fn place(reference: i64, total: i64, number: i64) -> Option<Place> {
    let reference = Reference::Sar(u16::try_from(reference).ok()?);
    Place::new(reference, u8::try_from(total).ok()?, u8::try_from(number).ok()?)
}

/// Whether it is a notice, and whether the text begins with a header: `EsmClass(mode, type, {features})`, or None.
fn esm_class(pickle: &Pickle, esm_class: Option<Id>) -> (bool, bool) {
    let part = |index| esm_class.and_then(|id| pickle.item(id, index));
    let kind = part(1).and_then(|id| pickle.member(id));
    let features = part(2).map(|id| pickle.members(id)).unwrap_or_default();
    let has_header = features.iter().any(|id| pickle.member(*id).is_some_and(|(_, value)| value == UDHI));
    (kind.is_some_and(|(_, value)| value != PLAIN), has_header)
}

/// `DataCoding(scheme, schemeData)`, put together again.
fn data_coding(pickle: &Pickle, coding: Option<Id>) -> u8 {
    let Some(coding) = coding else { return 0 };
    let data = pickle.get(coding, "schemeData");
    match (pickle.get(coding, "scheme").and_then(|id| pickle.member(id)), data.map(|id| pickle.node(id))) {
        (Some((_, 1)), Some(Node::Number(raw))) => u8::try_from(*raw).unwrap_or(0),
        (Some((_, 3)), _) => {
            let half = |index| data.and_then(|id| pickle.item(id, index)).and_then(|id| pickle.member(id));
            let (alphabet, class) = (half(0).map_or(1, |(_, v)| v), half(1).map_or(1, |(_, v)| v));
            0xf0 | if alphabet == 2 { 4 } else { 0 } | u8::try_from((class - 1).clamp(0, 3)).unwrap_or(0)
        }
        _ => {
            let member = data.and_then(|id| pickle.member(id)).map_or(1, |(_, value)| value);
            let index = usize::try_from(member.saturating_sub(1)).unwrap_or(0);
            DATA_CODINGS.get(index).copied().unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by tests/fixtures/pickle_jasmin.py with Jasmin 0.11.1 and Python 3.11.
    fn fixture(name: &str) -> Vec<u8> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/jasmin").join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn utc(bytes: &[u8]) -> Result<Message, RoutableError> {
        read(bytes, FixedOffset::east_opt(0).unwrap())
    }

    #[test]
    fn a_text_is_as_old_as_jasmin_says_in_the_zone_of_its_clock() {
        for name in ["plain", "plain-5"] {
            let received = utc(&fixture(name)).unwrap().received.unwrap();
            assert!((2024..2027).contains(&chrono::Datelike::year(&received)), "{received}");
            let hour_ahead = FixedOffset::east_opt(3_600).unwrap();
            let there = read(&fixture(name), hour_ahead).unwrap().received.unwrap();
            assert_eq!((received - there).num_seconds(), 3_600);
        }
    }

    #[test]
    fn a_name_made_of_digits_is_a_name() {
        let mut name = fixture("plain");
        // AddrTon(2) of the source becomes AddrTon(6): the first member that is pickled after the key.
        let key = name.windows(15).position(|bytes| bytes == b"source_addr_ton").expect("it is there");
        let member = key + name[key..].windows(2).position(|bytes| bytes == b"K\x02").expect("it is there");
        name[member + 1] = 6;
        assert_eq!(utc(&name).unwrap().from, "name 447700900001");
    }

    #[test]
    fn texts_of_jasmin_are_read() {
        for name in ["plain", "udh-part"] {
            let newer = Message { received: None, ..utc(&fixture(&format!("{name}-5"))).unwrap() };
            let older = Message { received: None, ..utc(&fixture(name)).unwrap() };
            assert_eq!(older, newer, "the protocol makes no difference");
        }
        let message = utc(&fixture("plain")).unwrap();
        assert_eq!((message.from.as_str(), message.to.as_str()), ("+447700900001", "777"));
        assert_eq!(message.user_data, b"alice s3cret 004412345678 004498765432");
        assert_eq!((message.data_coding, message.has_header, message.notice), (0, false, false));
        let wide = utc(&fixture("ucs2-payload")).unwrap();
        assert_eq!((wide.data_coding, wide.user_data), (8, b"\0h\0i".to_vec()));
        let part = utc(&fixture("udh-part")).unwrap();
        assert_eq!(part.piece().unwrap().1, Place::new(Reference::Byte(7), 2, 1));
        let sar = utc(&fixture("sar-part")).unwrap();
        assert_eq!(sar.piece().unwrap().1, Place::new(Reference::Sar(300), 3, 2));
        assert!(utc(&fixture("receipt")).unwrap().notice);
        assert_eq!(utc(&fixture("class-1-8bit")).unwrap().data_coding, 0xf5);
        assert_eq!(utc(&fixture("raw")).unwrap().data_coding, 0x19);
    }

    #[test]
    fn every_cut_and_every_changed_byte_ends_well() {
        let whole = fixture("plain");
        for at in 0..whole.len() {
            assert!(utc(&whole[..at]).is_err(), "{at}");
            for change in [0x00, 0x01, 0x28, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                let _ = utc(&changed);
            }
        }
        assert_eq!(utc(b"N."), Err(RoutableError::Missing("pdu")));
    }
}
