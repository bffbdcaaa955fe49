//! Characters of SMS bytes: the SMPP `data_coding` values and the GSM 7-bit default alphabet (3GPP TS 23.038), one septet in
//! each byte.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// Not pairs of hexadecimal digits.
    #[error("raw_hex is not written as pairs of hexadecimal digits")]
    NotHex,
    /// Not two bytes a character, or half a character.
    #[error("the bytes are no UCS-2 text")]
    Ucs2,
    /// A value that nobody defined, or an alphabet that is not SMS text.
    #[error("data_coding {0} is not known")]
    Unknown(u8),
}

impl CodingError {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            CodingError::NotHex => "bad_raw_hex",
            CodingError::Ucs2 => "bad_ucs2",
            CodingError::Unknown(_) => "unknown_data_coding",
        }
    }
}

/// The text of these bytes in hexadecimal.
pub fn decode_hex(raw_hex: &str, data_coding: u8) -> Result<String, CodingError> {
    let digits: String = raw_hex.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    decode(&hex::decode(digits).map_err(|_| CodingError::NotHex)?, data_coding)
}

/// The text of these bytes.
pub fn decode(bytes: &[u8], data_coding: u8) -> Result<String, CodingError> {
    match data_coding {
        0x00 => Ok(default_alphabet(bytes)),
        0x01 => Ok(eight_bit(bytes)),
        0x02 | 0x04 => Ok(eight_bit(bytes)),
        0x03 => Ok(latin1(bytes)),
        0x06 => Ok(bytes.iter().map(|byte| cyrillic(*byte)).collect()),
        0x07 => Ok(bytes.iter().map(|byte| hebrew(*byte)).collect()),
        0x08 => ucs2(bytes),
        0x10..=0x7f => by_alphabet_bits(bytes, data_coding),
        0xc0..=0xdf => Ok(default_alphabet(bytes)),
        0xe0..=0xef => ucs2(bytes),
        0xf0..=0xff if data_coding & 0x04 != 0 => Ok(eight_bit(bytes)),
        0xf0..=0xff => Ok(default_alphabet(bytes)),
        0x05 | 0x09..=0x0f | 0x80..=0xbf => Err(CodingError::Unknown(data_coding)),
    }
}

/// The general groups of TS 23.038: bits 3 and 2 name the alphabet.
fn by_alphabet_bits(bytes: &[u8], data_coding: u8) -> Result<String, CodingError> {
    match (data_coding >> 2) & 0b11 {
        0 => Ok(default_alphabet(bytes)),
        1 => Ok(eight_bit(bytes)),
        2 => ucs2(bytes),
        _ => Err(CodingError::Unknown(data_coding)),
    }
}

/// The GSM default alphabet. Bytes above 127 are none of it: such texts are what the message centre made of them.
fn default_alphabet(bytes: &[u8]) -> String {
    if bytes.iter().any(|byte| *byte > 0x7f) {
        return eight_bit(bytes);
    }
    let mut text = String::with_capacity(bytes.len());
    let mut septets = bytes.iter();
    while let Some(septet) = septets.next() {
        match septet {
            0x1b => text.push(septets.next().map_or(' ', |extended| extension(*extended))),
            septet => text.push(GSM[usize::from(*septet)]),
        }
    }
    text
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

/// What follows an escape; an unknown one shows the character of the default alphabet.
fn extension(septet: u8) -> char {
    match septet {
        0x0a => '\u{c}',
        0x14 => '^',
        0x28 => '{',
        0x29 => '}',
        0x2f => '\\',
        0x3c => '[',
        0x3d => '~',
        0x3e => ']',
        0x40 => '|',
        0x65 => '€',
        other => GSM[usize::from(other & 0x7f)],
    }
}

/// The GSM 7-bit default alphabet; 0x1b escapes to the extension table.
const GSM: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', //
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', ' ', 'Æ', 'æ', 'ß', 'É', //
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', //
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', //
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', //
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', //
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', //
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(decode_hex(hex, data_coding).as_deref(), Ok(text), "{hex} as {data_coding:#x}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        assert_eq!(decode_hex("7", 0), Err(CodingError::NotHex));
        assert_eq!(decode_hex("zz", 0), Err(CodingError::NotHex));
        assert_eq!(decode_hex("004", 8), Err(CodingError::NotHex));
        assert_eq!(decode_hex("004100", 8), Err(CodingError::Ucs2));
        assert_eq!(decode_hex("d83d", 8), Err(CodingError::Ucs2));
        assert_eq!(decode_hex("41", 0x0d), Err(CodingError::Unknown(0x0d)));
    }

    #[test]
    fn every_byte_in_every_coding_is_text_or_an_error() {
        let all: Vec<u8> = (0..=255).collect();
        for data_coding in 0..=255 {
            for bytes in all.chunks(1).chain(all.chunks(16)) {
                let text = decode(bytes, data_coding);
                assert!(
                    text.is_err() || bytes.is_empty() || !text.unwrap().is_empty() || data_coding == 8,
                    "{data_coding}"
                );
            }
        }
    }
}
