//! What we say to a message centre, as bytes; and a reply cut into parts.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};
use ringback_common::config::{SmppAlphabet, SmppConfig};
use rusmpp::encode::{Encode, Length};
use rusmpp::extra::concatenation::{Concatenation, Concatenator};
use rusmpp::extra::encoding::{gsm7bit::Gsm7BitUnpacked, latin1::Latin1, ucs2::Ucs2};
use rusmpp::pdus::{BindReceiver, BindTransceiver, BindTransmitter, DeliverSmResp, SubmitSm};
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, InterfaceVersion, Npi, Ton};
use rusmpp::{Command, CommandStatus, Pdu};

/// Which way a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both.
    Both,
    /// Texts to us.
    In,
    /// Replies.
    Out,
}

/// The bytes of one PDU.
pub fn bytes_of(status: u32, sequence: u32, pdu: Pdu) -> Bytes {
    let command = Command::new(CommandStatus::from(status), sequence, pdu);
    let mut bytes = BytesMut::with_capacity(4 + command.length());
    bytes.put_u32(u32::try_from(4 + command.length()).unwrap_or(u32::MAX));
    bytes.resize(4 + command.length(), 0);
    command.encode(&mut bytes[4..]);
    bytes.freeze()
}

/// A text of a field with an end mark; one that does not fit the field is empty. The settings and numbers are checked before.
pub fn cstring<const MOST: usize>(text: &str) -> COctetString<1, MOST> {
    COctetString::from_str(text).unwrap_or_else(|_| COctetString::empty())
}

/// The answer to a `deliver_sm`.
pub fn answer(sequence: u32, status: u32) -> Bytes {
    bytes_of(status, sequence, DeliverSmResp::default().into())
}

/// The request to bind.
pub fn bind(config: &SmppConfig, way: Way, sequence: u32) -> Bytes {
    macro_rules! bind {
        ($kind:ident) => {
            $kind::builder()
                .system_id(cstring(&config.system_id))
                .password(cstring(config.password.reveal()))
                .system_type(cstring(&config.system_type))
                .interface_version(InterfaceVersion::Smpp3_4)
                .addr_ton(Ton::from(config.address_ton))
                .addr_npi(Npi::from(config.address_npi))
                .address_range(cstring(&config.address_range))
                .build()
                .into()
        };
    }
    let pdu = match way {
        Way::Both => bind!(BindTransceiver),
        Way::In => bind!(BindReceiver),
        Way::Out => bind!(BindTransmitter),
    };
    bytes_of(0, sequence, pdu)
}

/// A reply, cut into as many `submit_sm` as it needs: the message centre's alphabet where it has all characters, else UCS-2.
/// Parts carry a header with this reference.
pub fn submits(config: &SmppConfig, from: &str, to: &str, text: &str, reference: u16) -> Vec<SubmitSm> {
    let (from_ton, from_npi, from) = numbering(from);
    let (to_ton, to_npi, to) = numbering(to);
    let plain = SubmitSm::builder()
        .source_addr_ton(from_ton)
        .source_addr_npi(from_npi)
        .source_addr(cstring(from))
        .dest_addr_ton(to_ton)
        .dest_addr_npi(to_npi)
        .destination_addr(cstring(to))
        .esm_class(EsmClass::from(0))
        .build();
    let (bodies, data_coding) = cut(text, config.alphabet);
    let total = u8::try_from(bodies.len()).unwrap_or(u8::MAX);
    let submit = |(number, body): (u8, Vec<u8>)| {
        let (esm_class, body) = match total {
            1 => (0, body),
            _ => (0x40, [part_header(reference, total, number).as_slice(), &body].concat()),
        };
        let mut sm = plain.clone();
        sm.esm_class = EsmClass::from(esm_class);
        sm.data_coding = data_coding;
        sm.set_short_message(OctetString::from_vec(body).unwrap_or_else(|_| OctetString::empty()));
        sm
    };
    (1..=total).zip(bodies).map(submit).collect()
}

/// Type of number, plan and digits of an address.
pub fn numbering(address: &str) -> (Ton, Npi, &str) {
    match address.strip_prefix('+') {
        Some(digits) => (Ton::International, Npi::Isdn, digits),
        None if address.is_empty() => (Ton::Unknown, Npi::Unknown, address),
        None if !address.bytes().all(|b| b.is_ascii_digit()) => (Ton::Alphanumeric, Npi::Unknown, address),
        None if address.len() <= 8 => (Ton::NetworkSpecific, Npi::Unknown, address),
        None => (Ton::Unknown, Npi::Isdn, address),
    }
}

/// 3GPP TS 23.040: a header of one element, concatenation with a reference of 16 bits.
fn part_header(reference: u16, total: u8, number: u8) -> [u8; 7] {
    let [high, low] = reference.to_be_bytes();
    [6, 8, 4, high, low, total, number]
}

/// A message has 140 bytes on the air: 160 characters of seven bits. The header of a part takes eight of these, or seven bytes.
fn cut(text: &str, alphabet: SmppAlphabet) -> (Vec<Vec<u8>>, DataCoding) {
    let narrow = match alphabet {
        SmppAlphabet::Gsm => Gsm7BitUnpacked::new().concatenate(text, 160, 8).ok(),
        SmppAlphabet::Latin1 => Latin1::new().concatenate(text, 140, 7).ok(),
    };
    if let Some((parts, _)) = narrow {
        return (list(parts), DataCoding::McSpecific);
    }
    let text: String = text.chars().map(|c| if u32::from(c) > 0xffff { '\u{fffd}' } else { c }).collect();
    match Ucs2::new().concatenate(&text, 140, 8) {
        Ok((parts, coding)) => (list(parts), coding),
        Err(_) => (Vec::new(), DataCoding::Ucs2),
    }
}

fn list(parts: Concatenation) -> Vec<Vec<u8>> {
    match parts {
        Concatenation::Single(one) => vec![one],
        Concatenation::Concatenated(several) => several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(text: &str, alphabet: SmppAlphabet) -> Vec<SubmitSm> {
        let config = SmppConfig { alphabet, ..SmppConfig::default() };
        submits(&config, "777", "+447700900001", text, 0xabcd)
    }

    #[test]
    fn a_short_reply_is_one_message_in_the_narrowest_alphabet() {
        for (text, alphabet, coding, length) in [
            ("a@b {ok}".to_owned(), SmppAlphabet::Gsm, 0, 10),
            ("x".repeat(160), SmppAlphabet::Gsm, 0, 160),
            ("é€".to_owned(), SmppAlphabet::Gsm, 0, 3),
            ("ñandú".to_owned(), SmppAlphabet::Latin1, 0, 5),
            ("通话".to_owned(), SmppAlphabet::Gsm, 8, 4),
            ("通".repeat(70), SmppAlphabet::Gsm, 8, 140),
            ("\u{1f600}".to_owned(), SmppAlphabet::Gsm, 8, 2),
        ] {
            let sent = replies(&text, alphabet);
            assert_eq!(sent.len(), 1, "{text}");
            let (sm, class) = (&sent[0], u8::from(sent[0].esm_class));
            assert_eq!((u8::from(sm.data_coding), sm.short_message().len(), class), (coding, length, 0), "{text}");
        }
    }

    #[test]
    fn a_long_reply_is_cut_where_no_character_is_torn() {
        let escaped = format!("{}{}", "x".repeat(151), "€".repeat(40));
        for (text, coding, lengths) in [
            ("x".repeat(161), 0, vec![152, 9]),
            ("x".repeat(304), 0, vec![152, 152]),
            (escaped, 0, vec![151, 80]),
            ("通".repeat(71), 8, vec![132, 10]),
        ] {
            let sent = replies(&text, SmppAlphabet::Gsm);
            let bodies: Vec<&[u8]> = sent.iter().map(|sm| sm.short_message().as_ref()).collect();
            assert_eq!(bodies.iter().map(|body| body.len() - 7).collect::<Vec<_>>(), lengths, "{text}");
            for (number, (sm, body)) in (1..).zip(sent.iter().zip(&bodies)) {
                assert_eq!(u8::from(sm.data_coding), coding);
                assert_eq!(u8::from(sm.esm_class), 0x40);
                assert_eq!(body[..7], [6, 8, 4, 0xab, 0xcd, u8::try_from(lengths.len()).unwrap(), number]);
            }
        }
    }

    #[test]
    fn numbers_say_what_kind_they_are() {
        assert_eq!(numbering("+447700900001"), (Ton::International, Npi::Isdn, "447700900001"));
        assert_eq!(numbering("777"), (Ton::NetworkSpecific, Npi::Unknown, "777"));
        assert_eq!(numbering("07700900001"), (Ton::Unknown, Npi::Isdn, "07700900001"));
        assert_eq!(numbering("Ringback"), (Ton::Alphanumeric, Npi::Unknown, "Ringback"));
        assert_eq!(numbering(""), (Ton::Unknown, Npi::Unknown, ""));
    }

    #[test]
    fn a_bind_says_who_we_are_and_never_more_than_fits() {
        let config =
            SmppConfig { system_id: "ringback".to_owned(), system_type: "x".repeat(40), ..SmppConfig::default() };
        let bytes = bind(&config, Way::Both, 1);
        assert_eq!(&bytes[..16], [0, 0, 0, 31, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(&bytes[16..], b"ringback\0\0\0\x34\0\0\0");
        assert_eq!(bind(&config, Way::In, 1)[7], 1);
        assert_eq!(bind(&config, Way::Out, 1)[7], 2);
        assert_eq!(answer(5, 0x64)[..], [0, 0, 0, 17, 0x80, 0, 0, 5, 0, 0, 0, 0x64, 0, 0, 0, 5, 0]);
    }
}
