//! The user data header (3GPP TS 23.040, 9.2.3.24): which part of a text this is, and in which national alphabet.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::CodingError;
use super::gsm::Language;

/// What a header says that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The text is one part of several.
    pub place: Option<Place>,
    /// The alphabet, instead of the default one.
    pub locking: Language,
    /// What follows an escape, instead of the default extension.
    pub single: Language,
}

/// Where a part belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What all parts of one text have in common.
    pub reference: Reference,
    /// How many there are, from 1.
    pub total: u8,
    /// Which one this is, from 1 to `total`.
    pub number: u8,
}

impl Place {
    /// `None` where the counts make no sense; then the text is to be taken alone (TS 23.040, 9.2.3.24.1).
    pub fn new(reference: Reference, total: u8, number: u8) -> Option<Place> {
        (number > 0 && number <= total).then_some(Place { reference, total, number })
    }
}

/// The kinds of references count independently of each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// Information element 0x00.
    Byte(u8),
    /// Information element 0x08.
    Word(u16),
    /// SMPP's `sar_msg_ref_num`.
    Sar(u16),
    /// As a provider names it over HTTP; at most 64 bytes are kept.
    Named(String),
}

impl Reference {
    /// A provider's own name of a text in parts.
    pub fn named(name: &str) -> Reference {
        Reference::Named(name.chars().take(16).collect())
    }
}

/// Splits user data into header and message.
///
/// # Errors
/// A length goes beyond what is there.
pub fn split(user_data: &[u8]) -> Result<(Header, &[u8]), CodingError> {
    let (length, rest) = user_data.split_first().ok_or(CodingError::Header)?;
    let (elements, message) = rest.split_at_checked(usize::from(*length)).ok_or(CodingError::Header)?;
    Ok((read(elements)?, message))
}

/// Reads the elements of a header, without its own length. Of a repeated element the last one counts.
///
/// # Errors
/// An element is longer than the header.
pub fn read(mut elements: &[u8]) -> Result<Header, CodingError> {
    let mut header = Header::default();
    while let [identifier, length, rest @ ..] = elements {
        let (value, after) = rest.split_at_checked(usize::from(*length)).ok_or(CodingError::Header)?;
        match (*identifier, value) {
            (0x00, [reference, total, number]) => {
                header.place = Place::new(Reference::Byte(*reference), *total, *number);
            }
            (0x08, [high, low, total, number]) => {
                header.place = Place::new(Reference::Word(u16::from_be_bytes([*high, *low])), *total, *number);
            }
            (0x24, [language]) => header.single = Language::by_id(*language),
            (0x25, [language]) => header.locking = Language::by_id(*language),
            _ => {}
        }
        elements = after;
    }
    if elements.is_empty() { Ok(header) } else { Err(CodingError::Header) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    #[test]
    fn the_elements_that_matter_are_read_and_others_skipped() {
        let user_data = bytes("0b 0003 2a0201 240101 2501 06 41".replace(' ', "").as_str());
        let (header, message) = split(&user_data).unwrap();
        let place = Place { reference: Reference::Byte(0x2a), total: 2, number: 1 };
        assert_eq!(header, Header { place: Some(place), single: Language::by_id(1), locking: Language::by_id(6) });
        assert_eq!(message, b"A");
        let header = read(&bytes("05040b8423f0 0804 beef 0303".replace(' ', "").as_str())).unwrap();
        assert_eq!(header.place, Place::new(Reference::Word(0xbeef), 3, 3));
        assert_eq!(split(&[0]).unwrap(), (Header::default(), &[][..]));
    }

    #[test]
    fn counts_that_make_no_sense_leave_the_text_alone() {
        for hex in ["0003010001", "0003010200", "0003010203", "000201 01", "00042a020101"] {
            assert_eq!(read(&bytes(&hex.replace(' ', ""))).unwrap().place, None, "{hex}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for hex in ["", "05", "0500032a02", "0300 032a0201", "020003", "01ff", "0200ff"] {
            assert_eq!(split(&bytes(&hex.replace(' ', ""))), Err(CodingError::Header), "{hex}");
        }
    }
}
