//! A text as Jasmin's SMPP client connector publishes it: a pickled `RoutableDeliverSm`, which is a `DeliverSM` and where it came
//! from. Its enumerations are pickled by their place in Jasmin's lists.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::pickle::{Id, Node, Pickle, PickleError};
use crate::coding::{Place, Reference};
use crate::smpp::pdu::Message;

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
/// The place of INTERNATIONAL in `AddrTon`.
const INTERNATIONAL: i64 = 2;
/// The place of DEFAULT in `EsmClassType`.
const PLAIN: i64 = 1;
/// The place of UDHI_INDICATOR_SET in `EsmClassGsmFeatures`.
const UDHI: i64 = 1;

/// Reads one.
///
/// # Errors
/// It is none.
pub fn read(bytes: &[u8]) -> Result<Message, RoutableError> {
    let pickle = Pickle::read(bytes)?;
    let pdu = pickle.get(pickle.root, "pdu").ok_or(RoutableError::Missing("pdu"))?;
    let params = pickle.get(pdu, "params").ok_or(RoutableError::Missing("params"))?;
    let get = |key| pickle.get(params, key);
    let bytes = |key| get(key).and_then(|id| pickle.octets(id));
    let text = bytes("short_message").filter(|text| !text.is_empty()).or_else(|| bytes("message_payload"));
    let (notice, has_header) = esm_class(&pickle, get("esm_class"));
    let address = |number, ton| {
        let digits = bytes(number).map(|digits| String::from_utf8_lossy(&digits).into_owned()).unwrap_or_default();
        let ton = get(ton).and_then(|id| pickle.member(id));
        let international = ton == Some(("AddrTon", INTERNATIONAL)) && digits.starts_with(|c: char| c.is_ascii_digit());
        if international { format!("+{digits}") } else { digits }
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
        from: address("source_addr", "source_addr_ton"),
        to: address("destination_addr", "dest_addr_ton"),
        user_data: text.ok_or(RoutableError::Missing("short_message"))?,
        has_header,
        data_coding: data_coding(&pickle, get("data_coding")),
        sar,
        id: None,
    })
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

    #[test]
    fn texts_of_jasmin_are_read() {
        for name in ["plain", "udh-part"] {
            let newer = read(&fixture(&format!("{name}-5"))).unwrap();
            assert_eq!(read(&fixture(name)).unwrap(), newer, "the protocol makes no difference");
        }
        let message = read(&fixture("plain")).unwrap();
        assert_eq!((message.from.as_str(), message.to.as_str()), ("+447700900001", "777"));
        assert_eq!(message.user_data, b"alice s3cret 004412345678 004498765432");
        assert_eq!((message.data_coding, message.has_header, message.notice), (0, false, false));
        let wide = read(&fixture("ucs2-payload")).unwrap();
        assert_eq!((wide.data_coding, wide.user_data), (8, b"\0h\0i".to_vec()));
        let part = read(&fixture("udh-part")).unwrap();
        assert_eq!(part.piece().unwrap().1, Place::new(Reference::Byte(7), 2, 1));
        let sar = read(&fixture("sar-part")).unwrap();
        assert_eq!(sar.piece().unwrap().1, Place::new(Reference::Sar(300), 3, 2));
        assert!(read(&fixture("receipt")).unwrap().notice);
        assert_eq!(read(&fixture("class-1-8bit")).unwrap().data_coding, 0xf5);
        assert_eq!(read(&fixture("raw")).unwrap().data_coding, 0x19);
    }

    #[test]
    fn every_cut_and_every_changed_byte_ends_well() {
        let whole = fixture("plain");
        for at in 0..whole.len() {
            assert!(read(&whole[..at]).is_err(), "{at}");
            for change in [0x00, 0x01, 0x28, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                let _ = read(&changed);
            }
        }
        assert_eq!(read(b"N."), Err(RoutableError::Missing("pdu")));
    }
}
