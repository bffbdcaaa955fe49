//! Characters of SMS bytes: the SMPP 3.4 `data_coding` values and the coding groups of 3GPP TS 23.038, with the header that may
//! stand before the text.
//!
//! [`piece`] takes one short message apart; pieces become a text by [`text_of`], which reads them as one, because a part may end in
//! the middle of a character.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod gsm;
mod header;

pub use gsm::{Language, fits as fits_gsm};
pub use header::{Header, Place, Reference, read as read_header};

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// Not pairs of hexadecimal digits.
    #[error("{0} is not written as pairs of hexadecimal digits")]
    NotHex(&'static str),
    /// Not two bytes a character, or half a character.
    #[error("the bytes are no UCS-2 text")]
    Ucs2,
    /// A value that nobody defined, a compressed text, or an alphabet that is not SMS text.
    #[error("data_coding {0} is not known")]
    Unknown(u8),
    /// A length in the header goes beyond it.
    #[error("the user data header is longer than the message")]
    Header,
}

impl CodingError {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            CodingError::NotHex("raw_hex") => "bad_raw_hex",
            CodingError::NotHex(_) => "bad_udh_hex",
            CodingError::Ucs2 => "bad_ucs2",
            CodingError::Unknown(_) => "unknown_data_coding",
            CodingError::Header => "bad_header",
        }
    }
}

/// One short message as it came.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    /// The user data, the header first if there is one.
    pub user_data: &'a [u8],
    /// SMPP's `data_coding`, or the data coding scheme of the network.
    pub data_coding: u8,
    /// The user data begins with a header (SMPP: `esm_class` has the bit 0x40).
    pub has_header: bool,
    /// Septets are packed as on the air, eight in seven bytes. Over SMPP they rarely are.
    pub packed: bool,
}

/// What one short message says: a text, or bytes that become text together with their neighbours'.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// A provider's text.
    Text(String),
    /// Bytes; septets one in each.
    Bytes {
        /// Without header.
        bytes: Vec<u8>,
        /// How to read them.
        coding: Coding,
    },
}

/// How bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding {
    data_coding: u8,
    locking: Language,
    single: Language,
}

impl Coding {
    /// By this `data_coding`, in the default alphabet.
    pub fn new(data_coding: u8) -> Coding {
        Coding { data_coding, locking: Language::default(), single: Language::default() }
    }

    /// SMPP's value.
    pub fn data_coding(self) -> u8 {
        self.data_coding
    }
}

impl Piece {
    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        match self {
            Piece::Text(text) => text.len(),
            Piece::Bytes { bytes, .. } => bytes.len(),
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Takes one short message apart: what it says, and where it belongs if it is one part of several.
///
/// # Errors
/// Its header is broken.
pub fn piece(raw: Raw<'_>) -> Result<(Piece, Option<Place>), CodingError> {
    let (header, message) =
        if raw.has_header { header::split(raw.user_data)? } else { (Header::default(), raw.user_data) };
    let coding = Coding { data_coding: raw.data_coding, locking: header.locking, single: header.single };
    let septets = alphabet(raw.data_coding) == Some(Alphabet::Default);
    let bytes = if raw.packed && septets {
        let header_bits = (raw.user_data.len() - message.len()) * 8;
        gsm::unpack(message, (7 - header_bits % 7) % 7)
    } else {
        message.to_vec()
    };
    Ok((Piece::Bytes { bytes, coding }, header.place))
}

/// The text of pieces in their order.
///
/// # Errors
/// Some bytes are no text.
pub fn text_of(pieces: &[Piece]) -> Result<String, CodingError> {
    let mut text = String::new();
    let mut pieces = pieces;
    while let Some(first) = pieces.first() {
        match first {
            Piece::Text(said) => {
                text.push_str(said);
                pieces = &pieces[1..];
            }
            Piece::Bytes { coding: common, .. } => {
                let alike = |piece: &&Piece| matches!(piece, Piece::Bytes { coding, .. } if coding == common);
                let run = pieces.iter().take_while(alike).count();
                let bytes: Vec<u8> = pieces[..run].iter().flat_map(Piece::bytes).copied().collect();
                text.push_str(&decode(&bytes, *common)?);
                pieces = &pieces[run..];
            }
        }
    }
    Ok(text)
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Text(_) => &[],
            Piece::Bytes { bytes, .. } => bytes,
        }
    }
}

/// The bytes of pairs of hexadecimal digits with any space between them; `name` says whose they are.
///
/// # Errors
/// They are none.
pub fn bytes_of_hex(hex: &str, name: &'static str) -> Result<Vec<u8>, CodingError> {
    let digits: String = hex.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    hex::decode(digits).map_err(|_| CodingError::NotHex(name))
}

/// The text of these bytes.
///
/// # Errors
/// They are none in this coding.
pub fn decode(bytes: &[u8], coding: Coding) -> Result<String, CodingError> {
    match alphabet(coding.data_coding) {
        Some(Alphabet::Default) => Ok(default_alphabet(bytes, coding)),
        Some(Alphabet::EightBit) => Ok(eight_bit(bytes)),
        Some(Alphabet::Latin1) => Ok(latin1(bytes)),
        Some(Alphabet::Cyrillic) => Ok(bytes.iter().map(|byte| cyrillic(*byte)).collect()),
        Some(Alphabet::Hebrew) => Ok(bytes.iter().map(|byte| hebrew(*byte)).collect()),
        Some(Alphabet::Ucs2) => ucs2(bytes),
        None => Err(CodingError::Unknown(coding.data_coding)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Default,
    EightBit,
    Latin1,
    Cyrillic,
    Hebrew,
    Ucs2,
}

/// SMPP's table below 0x10, the groups of TS 23.038 above: there bits 3 and 2 name the alphabet, bit 5 says compressed.
fn alphabet(data_coding: u8) -> Option<Alphabet> {
    match data_coding {
        0x00 => Some(Alphabet::Default),
        0x01 | 0x02 | 0x04 => Some(Alphabet::EightBit),
        0x03 => Some(Alphabet::Latin1),
        0x06 => Some(Alphabet::Cyrillic),
        0x07 => Some(Alphabet::Hebrew),
        0x08 => Some(Alphabet::Ucs2),
        0x10..=0x7f if data_coding & 0x20 != 0 => None,
        0x10..=0x7f => match (data_coding >> 2) & 0b11 {
            0 => Some(Alphabet::Default),
            1 => Some(Alphabet::EightBit),
            2 => Some(Alphabet::Ucs2),
            _ => None,
        },
        0xc0..=0xdf => Some(Alphabet::Default),
        0xe0..=0xef => Some(Alphabet::Ucs2),
        0xf0..=0xff if data_coding & 0x04 != 0 => Some(Alphabet::EightBit),
        0xf0..=0xff => Some(Alphabet::Default),
        0x05 | 0x09..=0x0f | 0x80..=0xbf => None,
    }
}

/// The GSM alphabet. Bytes above 127 are none of it: such texts are what the message centre made of them.
fn default_alphabet(bytes: &[u8], coding: Coding) -> String {
    if bytes.iter().any(|byte| *byte > 0x7f) {
        return eight_bit(bytes);
    }
    gsm::text(bytes, coding.locking, coding.single)
}

/// UTF-8 if it is that, else Latin-1.
fn eight_bit(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| latin1(bytes), str::to_owned)
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// UTF-16, big-endian unless a byte order mark says otherwise.
fn ucs2(bytes: &[u8]) -> Result<String, CodingError> {
    let little = bytes.starts_with(&[0xff, 0xfe]);
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(CodingError::Ucs2);
    }
    let units = pairs.map(|pair| {
        let pair = [pair[0], pair[1]];
        if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
    });
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.map(|text| text.trim_start_matches('\u{feff}').to_owned()).map_err(|_| CodingError::Ucs2)
}

/// ISO 8859-5.
fn cyrillic(byte: u8) -> char {
    match byte {
        0xf0 => '№',
        0xfd => '§',
        0xad | 0x00..=0xa0 => char::from(byte),
        other => char::from_u32(u32::from(other) - 0xa0 + 0x400).unwrap_or('\u{fffd}'),
    }
}

/// ISO 8859-8; its letters only.
fn hebrew(byte: u8) -> char {
    match byte {
        0xe0..=0xfa => char::from_u32(u32::from(byte) - 0xe0 + 0x5d0).unwrap_or('\u{fffd}'),
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(hex: &str, data_coding: u8) -> Result<String, CodingError> {
        decode(&bytes_of_hex(hex, "raw_hex")?, Coding::new(data_coding))
    }

    fn take(hex: &str, data_coding: u8, packed: bool) -> (Piece, Option<Place>) {
        let user_data = bytes_of_hex(hex, "raw_hex").unwrap();
        piece(Raw { user_data: &user_data, data_coding, has_header: true, packed }).unwrap()
    }

    #[test]
    fn a_header_says_place_and_alphabet_and_is_no_text() {
        let (first, place) = take("06 08 04 0102 02 01 d83d", 8, false);
        assert_eq!(place, Place::new(Reference::Word(0x102), 2, 1));
        let (second, _) = take("06 08 04 0102 02 02 de00 0041", 8, false);
        assert_eq!(text_of(std::slice::from_ref(&first)), Err(CodingError::Ucs2));
        assert_eq!(text_of(&[first, second]).as_deref(), Ok("😀A"), "a character cut in two is whole again");
        let (turkish, place) = take("03 24 01 01 1b 69", 0, false);
        assert_eq!((text_of(&[turkish]).as_deref(), place), (Ok("ı"), None));
        let (packed, _) = take("05 00 03 01 02 01 d06536fb0d", 0, true);
        assert_eq!(text_of(&[packed]).as_deref(), Ok("hello"));
        let mixed = [Piece::Text("a".to_owned()), take("00 62", 3, false).0, take("00 0063", 8, false).0];
        assert_eq!(text_of(&mixed).as_deref(), Ok("abc"));
    }

    #[test]
    fn bytes_become_text_by_their_coding() {
        for (hex, data_coding, text) in [
            ("75736572", 0, "user"),
            ("00 02 1b65 1b28", 0, "@$€{"),
            ("11", 0, "_"),
            ("c3a9", 0, "é"),
            ("e9", 0, "é"),
            ("e9", 3, "é"),
            ("7061737340", 1, "pass@"),
            ("70617373", 4, "pass"),
            ("c0e1", 6, "Рс"),
            ("e0fa", 7, "את"),
            ("043f0430", 8, "па"),
            ("feff0041", 8, "A"),
            ("fffe4100", 8, "A"),
            ("d83dde00", 8, "😀"),
            ("0041", 0x18, "A"),
            ("40", 0x10, "¡"),
            ("40", 0xf1, "¡"),
            ("40", 0xf5, "@"),
            ("0041", 0xe0, "A"),
            ("", 0, ""),
        ] {
            assert_eq!(read(hex, data_coding).as_deref(), Ok(text), "{hex} as {data_coding:#x}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        for hex in ["7", "zz", "004"] {
            assert_eq!(read(hex, 0), Err(CodingError::NotHex("raw_hex")));
        }
        assert_eq!(read("004100", 8), Err(CodingError::Ucs2));
        assert_eq!(read("d83d", 8), Err(CodingError::Ucs2));
        assert_eq!(read("41", 0x0d), Err(CodingError::Unknown(0x0d)));
        assert_eq!(read("41", 0x30), Err(CodingError::Unknown(0x30)), "compressed");
    }

    #[test]
    fn every_byte_in_every_coding_is_text_or_an_error() {
        let all: Vec<u8> = (0..=255).collect();
        for data_coding in 0..=255 {
            for bytes in all.chunks(1).chain(all.chunks(16)) {
                let text = decode(bytes, Coding::new(data_coding));
                assert!(
                    text.is_err() || bytes.is_empty() || !text.unwrap().is_empty() || data_coding == 8,
                    "{data_coding}"
                );
            }
        }
    }
}
