//! What a message centre says, read from the bytes of one PDU. Only `deliver_sm` has a body that matters; the rest is told by
//! its header.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use bytes::BytesMut;
use rusmpp::decode::DecodeWithLength;
use rusmpp::pdus::DeliverSm;
use rusmpp::tlvs::TlvValue;
use rusmpp::values::Ton;
use rusmpp::{Command, CommandId, Pdu};

use crate::coding::{CodingError, Piece, Place, Raw, Reference, piece};

/// A PDU has at least this header: length, command, status, sequence number, four bytes each.
pub const HEADER: usize = 16;
/// No PDU may be longer. A `message_payload` may carry 64 kB, but no text that anybody could mean does.
pub const LONGEST: usize = 8 * 1024;

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message for us.
    Deliver(Box<Message>),
    /// They ask whether we are there.
    EnquireLink,
    /// They want to end the session.
    Unbind,
    /// An answer to a request of ours, with its status.
    Answer(u32),
    /// A `deliver_sm` that is not one.
    Unreadable,
    /// A request that is not for us to serve.
    Unknown,
    /// No PDU at all.
    Nonsense,
}

/// A message for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A receipt or another notice of the network, not a text.
    pub notice: bool,
    /// The sender, with a plus if the message centre says that it is international.
    pub from: String,
    /// Our number.
    pub to: String,
    /// What it carries: a header if it says so, then its characters.
    pub user_data: Vec<u8>,
    /// It begins with a header.
    pub has_header: bool,
    /// Which characters.
    pub data_coding: u8,
    /// Where it belongs in a longer text, if that is told beside it.
    pub sar: Option<Place>,
    /// The message centre's own id.
    pub id: Option<String>,
}

impl Message {
    /// What it says, and where that belongs if it is one part of several.
    ///
    /// # Errors
    /// Its header is broken.
    pub fn piece(&self) -> Result<(Piece, Option<Place>), CodingError> {
        let raw = Raw {
            user_data: &self.user_data,
            data_coding: self.data_coding,
            has_header: self.has_header,
            packed: false,
        };
        let (piece, place) = piece(raw)?;
        Ok((piece, self.sar.clone().or(place)))
    }
}

/// Sequence number and meaning of one PDU, its length included.
pub fn read(frame: &[u8]) -> (u32, Heard) {
    let word = |at: usize| frame.get(at..at + 4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
    let (Some(length), Some(id), Some(status), Some(sequence)) = (word(0), word(4), word(8), word(12)) else {
        return (0, Heard::Nonsense);
    };
    if usize::try_from(length).ok() != Some(frame.len()) {
        return (sequence, Heard::Nonsense);
    }
    let heard = match CommandId::from(id) {
        CommandId::DeliverSm => deliver(frame).map_or(Heard::Unreadable, |message| Heard::Deliver(Box::new(message))),
        CommandId::EnquireLink => Heard::EnquireLink,
        CommandId::Unbind => Heard::Unbind,
        _ if id & 0x8000_0000 != 0 => Heard::Answer(status),
        _ => Heard::Unknown,
    };
    (sequence, heard)
}

fn deliver(frame: &[u8]) -> Option<Message> {
    let mut bytes = BytesMut::from(frame.get(4..)?);
    let length = bytes.len();
    let (command, _) = Command::decode(&mut bytes, length).ok()?;
    match command.pdu() {
        Some(Pdu::DeliverSm(sm)) => Some(message(sm)),
        _ => None,
    }
}

fn message(sm: &DeliverSm) -> Message {
    let esm_class = u8::from(sm.esm_class);
    let mut user_data = sm.short_message().as_ref().to_vec();
    let mut sar = (None, None, None);
    let mut id = None;
    for value in sm.tlvs().iter().filter_map(|tlv| tlv.value()) {
        match value {
            TlvValue::MessagePayload(payload) if user_data.is_empty() => user_data = payload.value.as_ref().to_vec(),
            TlvValue::SarMsgRefNum(reference) => sar.0 = Some(*reference),
            TlvValue::SarTotalSegments(total) => sar.1 = Some(*total),
            TlvValue::SarSegmentSeqnum(number) => sar.2 = Some(*number),
            TlvValue::ReceiptedMessageId(given) => id = Some(given.as_str().to_owned()).filter(|id| !id.is_empty()),
            _ => {}
        }
    }
    let sar = match sar {
        (Some(reference), Some(total), Some(number)) => Place::new(Reference::Sar(reference), total, number),
        _ => None,
    };
    Message {
        notice: esm_class & MESSAGE_TYPE != 0,
        from: address(sm.source_addr_ton, sm.source_addr.as_str()),
        to: address(sm.dest_addr_ton, sm.destination_addr.as_str()),
        user_data,
        has_header: esm_class & UDHI != 0,
        data_coding: u8::from(sm.data_coding),
        sar,
        id,
    }
}

/// The bit of `esm_class` that says that the text begins with a header.
const UDHI: u8 = 0x40;
/// The bits of `esm_class` that are zero for a text and not for receipts and acknowledgements.
const MESSAGE_TYPE: u8 = 0x3c;

fn address(ton: Ton, digits: &str) -> String {
    let international = ton == Ton::International && digits.starts_with(|c: char| c.is_ascii_digit());
    if international { format!("+{digits}") } else { digits.to_owned() }
}

#[cfg(test)]
mod tests {
    use rusmpp::encode::Length;
    use rusmpp::types::OctetString;
    use rusmpp::values::{DataCoding, EsmClass};

    use super::*;
    use crate::smpp::write::{bytes_of, cstring};

    fn frame(sm: DeliverSm) -> Vec<u8> {
        bytes_of(0, 7, sm.into()).to_vec()
    }

    fn sm(esm_class: u8, body: &[u8]) -> DeliverSm {
        DeliverSm::builder()
            .source_addr_ton(Ton::International)
            .source_addr(cstring("447700900001"))
            .destination_addr(cstring("777"))
            .esm_class(EsmClass::from(esm_class))
            .data_coding(DataCoding::Ucs2)
            .short_message(OctetString::from_slice(body).unwrap())
            .build()
    }

    fn heard(frame: &[u8]) -> Message {
        match read(frame) {
            (7, Heard::Deliver(message)) => *message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_has_sender_number_characters_and_coding() {
        let message = heard(&frame(sm(0, b"hello")));
        assert_eq!((message.from.as_str(), message.to.as_str()), ("+447700900001", "777"));
        assert_eq!((message.user_data.as_slice(), message.data_coding, message.notice), (&b"hello"[..], 8, false));
        assert_eq!((message.sar, message.id, message.has_header), (None, None, false));
        let mut national = sm(0, b"x");
        national.source_addr_ton = Ton::National;
        assert_eq!(heard(&frame(national)).from, "447700900001");
    }

    #[test]
    fn receipts_and_acknowledgements_are_no_texts() {
        for esm_class in [0x04, 0x08, 0x10, 0x18, 0x20, 0x24, 0x44] {
            assert!(heard(&frame(sm(esm_class, b"id:1 stat:DELIVRD"))).notice, "{esm_class:#x}");
        }
        for esm_class in [0x00, 0x01, 0x03, 0x40, 0x80] {
            assert!(!heard(&frame(sm(esm_class, &[0]))).notice, "{esm_class:#x}");
        }
    }

    #[test]
    fn parts_are_told_by_header_or_by_fields() {
        let eight_bit = heard(&frame(sm(0x40, &[5, 0, 3, 0x34, 3, 2, b'a'])));
        assert_eq!(eight_bit.piece().unwrap().1, Place::new(Reference::Byte(0x34), 3, 2));
        let mut sar = sm(0, b"c");
        for tlv in [TlvValue::SarMsgRefNum(0x1234), TlvValue::SarTotalSegments(3), TlvValue::SarSegmentSeqnum(2)] {
            sar.push_tlv(delivery(tlv));
        }
        assert_eq!(heard(&frame(sar)).piece().unwrap().1, Place::new(Reference::Sar(0x1234), 3, 2));
        assert!(heard(&frame(sm(0x40, &[9, 0]))).piece().is_err());
        assert_eq!(heard(&frame(sm(0, b"plain"))).piece().unwrap().1, None);
    }

    fn delivery(value: TlvValue) -> rusmpp::tlvs::MessageDeliveryRequestTlvValue {
        use rusmpp::tlvs::MessageDeliveryRequestTlvValue as Value;
        match value {
            TlvValue::SarMsgRefNum(value) => Value::SarMsgRefNum(value),
            TlvValue::SarTotalSegments(value) => Value::SarTotalSegments(value),
            TlvValue::SarSegmentSeqnum(value) => Value::SarSegmentSeqnum(value),
            TlvValue::MessagePayload(value) => Value::MessagePayload(value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_long_text_may_come_in_the_payload() {
        let mut long = sm(0, b"");
        long.push_tlv(delivery(TlvValue::MessagePayload(
            rusmpp::types::AnyOctetString::from_slice(&[b'x'; 900]).into(),
        )));
        assert!(Pdu::from(long.clone()).length() > 900);
        assert_eq!(heard(&frame(long)).user_data.len(), 900);
    }

    #[test]
    fn what_cannot_be_read_keeps_its_number_so_that_it_can_be_answered() {
        let good = frame(sm(0, b"hello"));
        let mut longer = good.clone();
        longer[0..4].copy_from_slice(&400_u32.to_be_bytes());
        assert_eq!(read(&longer), (7, Heard::Nonsense));
        let mut cut = good[..HEADER + 4].to_vec();
        cut[0..4].copy_from_slice(&20_u32.to_be_bytes());
        assert_eq!(read(&cut), (7, Heard::Unreadable));
        assert_eq!(read(&good[..10]), (0, Heard::Nonsense));
        let header = |id: u32, status: u32| [16, id, status, 9].map(u32::to_be_bytes).concat();
        assert_eq!(read(&header(0x8000_0004, 0x58)), (9, Heard::Answer(0x58)));
        assert_eq!(read(&header(0x15, 0)), (9, Heard::EnquireLink));
        assert_eq!(read(&header(0x06, 0)), (9, Heard::Unbind));
        assert_eq!(read(&header(0x0b, 0)), (9, Heard::Unknown));
    }
}
