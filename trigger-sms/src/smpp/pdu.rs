//! What a message centre says, read from the bytes of one PDU. Only `deliver_sm` has a body that matters; the rest is told by
//! its header.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use bytes::{Buf, BytesMut};
use rusmpp::decode::DecodeWithLength;
use rusmpp::pdus::DeliverSm;
use rusmpp::tlvs::TlvValue;
use rusmpp::values::Ton;
use rusmpp::{Command, CommandId, Pdu};
use tokio_util::codec::Decoder;

use crate::coding::{Place, Reference};
use crate::parse::AT_HOME;
use crate::text::Message;

/// A PDU has at least this header: length, command, status, sequence number, four bytes each.
pub const HEADER: usize = 16;
/// The longest PDU that is read: a `message_payload` of 64 kB, and the rest of it.
pub const LONGEST: usize = 68 * 1024;
/// A PDU that says that it is longer than this is none.
const ABSURD: usize = 16 << 20;

/// Cuts a stream into PDUs. Of one that is too long only the header is kept, so that it can be answered.
#[derive(Default)]
pub struct Pdus {
    /// Bytes of a PDU that was too long and still come.
    skip: usize,
}

impl Decoder for Pdus {
    type Item = BytesMut;
    type Error = std::io::Error;

    fn decode(&mut self, stream: &mut BytesMut) -> Result<Option<BytesMut>, std::io::Error> {
        let skipped = self.skip.min(stream.len());
        stream.advance(skipped);
        self.skip -= skipped;
        let Some(header) = stream.get(..HEADER).filter(|_| self.skip == 0) else { return Ok(None) };
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        match usize::try_from(length) {
            Ok(length @ HEADER..=LONGEST) if stream.len() < length => {
                stream.reserve(length - stream.len());
                Ok(None)
            }
            Ok(length @ HEADER..=LONGEST) => Ok(Some(stream.split_to(length))),
            Ok(length @ HEADER..=ABSURD) => {
                self.skip = length - HEADER;
                Ok(Some(stream.split_to(HEADER)))
            }
            _ => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the length of a PDU makes no sense")),
        }
    }
}

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

/// Sequence number and meaning of one PDU, its length included.
pub fn read(frame: &[u8]) -> (u32, Heard) {
    let word = |at: usize| frame.get(at..at + 4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
    let (Some(length), Some(id), Some(status), Some(sequence)) = (word(0), word(4), word(8), word(12)) else {
        return (0, Heard::Nonsense);
    };
    if usize::try_from(length).ok() != Some(frame.len()) {
        let only_the_header = frame.len() == HEADER && (LONGEST..=ABSURD).contains(&(length as usize));
        return (sequence, if only_the_header { too_long(id) } else { Heard::Nonsense });
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

/// What a PDU is of which only the header was kept.
fn too_long(id: u32) -> Heard {
    if CommandId::from(id) == CommandId::DeliverSm { Heard::Unreadable } else { Heard::Unknown }
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
        from: sender(kind(sm.source_addr_ton), sm.source_addr.as_str()),
        to: address(kind(sm.dest_addr_ton), sm.destination_addr.as_str()),
        user_data,
        has_header: esm_class & UDHI != 0,
        data_coding: u8::from(sm.data_coding),
        sar,
        id,
        received: None,
    }
}

/// The bit of `esm_class` that says that the text begins with a header.
const UDHI: u8 = 0x40;
/// The bits of `esm_class` that are zero for a text and not for receipts and acknowledgements.
const MESSAGE_TYPE: u8 = 0x3c;

/// What kind of address a message centre says that it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number with its country.
    International,
    /// A number of the site's own country.
    National,
    /// A name, whatever it looks like.
    Name,
    /// Anything else.
    Other,
}

fn kind(ton: Ton) -> Kind {
    match ton {
        Ton::International => Kind::International,
        Ton::National => Kind::National,
        Ton::Alphanumeric => Kind::Name,
        _ => Kind::Other,
    }
}

/// An address as it is understood everywhere: an international number has a plus.
pub fn address(kind: Kind, digits: &str) -> String {
    let international = kind == Kind::International && digits.starts_with(|c: char| c.is_ascii_digit());
    if international { format!("+{digits}") } else { digits.to_owned() }
}

/// The sender. A name is nobody's number, even if it is made of digits: anybody may write there what he likes.
pub fn sender(kind: Kind, digits: &str) -> String {
    match kind {
        Kind::Name => format!("name {digits}"),
        Kind::National => format!("{AT_HOME}{digits}"),
        Kind::International | Kind::Other => address(kind, digits),
    }
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
        national.source_addr = cstring("6465550199");
        let usa = ringback_common::number::Dialling {
            country: ringback_common::number::Country::by_code("US"),
            extensions: &[],
        };
        let from = heard(&frame(national)).from;
        let number = crate::parse::sender(&from, &usa).map(|number| number.as_str().to_owned());
        assert_eq!(number.as_deref(), Ok("+16465550199"), "and not New Zealand");
        let mut name = sm(0, b"x");
        name.source_addr_ton = Ton::Alphanumeric;
        let site = ringback_common::number::Dialling { country: None, extensions: &[] };
        let ignored = crate::parse::sender(&heard(&frame(name)).from, &site);
        assert_eq!(ignored.err(), Some(crate::parse::Ignored::SenderIsNoNumber), "a name made of digits is a name");
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
    fn what_is_too_long_can_be_answered_and_what_follows_is_read() {
        let mut payload = sm(0, b"");
        let whole = rusmpp::types::AnyOctetString::from_slice(&[b'x'; 65_000]);
        payload.push_tlv(delivery(TlvValue::MessagePayload(whole.into())));
        let (payload, short) = (frame(payload), frame(sm(0, b"hello")));
        let too_long = |id: u32| [&[80_000, id, 0, 9].map(u32::to_be_bytes).concat()[..], &[b'x'; 79_984]].concat();
        let stream = [&payload[..], &too_long(5), &too_long(0x0b), &short].concat();
        for cut in [1, 15, 1_000, stream.len()] {
            let (mut pdus, mut coming, mut heard) = (Pdus::default(), BytesMut::new(), Vec::new());
            for bytes in stream.chunks(cut) {
                coming.extend_from_slice(bytes);
                while let Some(frame) = pdus.decode(&mut coming).unwrap() {
                    heard.push(read(&frame));
                }
                assert!(coming.len() <= stream.len().min(LONGEST + cut), "what is too long is not kept");
            }
            assert!(matches!(&heard[0], (7, Heard::Deliver(message)) if message.user_data.len() == 65_000));
            assert_eq!(heard[1..3], [(9, Heard::Unreadable), (9, Heard::Unknown)]);
            assert!(
                matches!(&heard[3], (7, Heard::Deliver(message)) if message.user_data == b"hello") && heard.len() == 4
            );
        }
        for length in [0, 15, 17 << 20, u32::MAX] {
            let mut header = BytesMut::from(&[length, 5, 0, 9].map(u32::to_be_bytes).concat()[..]);
            assert!(Pdus::default().decode(&mut header).is_err(), "{length}");
        }
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
