//! From written text to plain digits: scripts, separators, brackets, invisible marks.

use std::ops::Range;

use super::NumberError;

/// More characters than this are no number, whatever they are.
const LONGEST_TEXT: usize = 64;

/// A written number without its decoration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// It began with `+`.
    pub plus: bool,
    /// ASCII digits.
    pub digits: String,
    /// The digits that stood alone in brackets, as ranges of `digits`: the `0` of `+44 (0)20`.
    pub brackets: Vec<Range<usize>>,
}

/// Takes the decoration off. Whatever is neither digit, `+` at the start, separator nor invisible is an error.
pub(super) fn clean(text: &str) -> Result<Written, NumberError> {
    if text.chars().count() > LONGEST_TEXT {
        return Err(NumberError::TooLong);
    }
    let text = without_around(text);
    let mut written = Written { plus: false, digits: String::new(), brackets: Vec::new() };
    let mut opened = None;
    for c in text.chars() {
        if let Some(digit) = digit(c) {
            written.digits.push(digit);
            continue;
        }
        match c {
            '+' | '＋' if !written.plus && written.digits.is_empty() => written.plus = true,
            '(' | '[' | '（' | '［' if opened.is_none() => opened = Some(written.digits.len()),
            ')' | ']' | '）' | '］' => {
                let start = opened.take().ok_or(NumberError::NotDigits)?;
                written.brackets.push(start..written.digits.len());
            }
            '*' | '#' | '＊' | '＃' => return Err(NumberError::StarOrHash),
            c if is_separator(c) || is_invisible(c) => {}
            _ => return Err(NumberError::NotDigits),
        }
    }
    if opened.is_some() {
        return Err(NumberError::NotDigits);
    }
    if written.digits.is_empty() {
        return Err(NumberError::Empty);
    }
    Ok(written)
}

/// What people, phones and gateways put around a number.
const AROUND: &str = "\"'`“”„‟‘’‚‛«»‹›「」『』《》<>,;:!?，；：！？、。|_~";

/// The number alone: without quotes, punctuation and control characters around it, and out of its link.
fn without_around(text: &str) -> &str {
    let is_around = |c: char| AROUND.contains(c) || c.is_control() || c.is_whitespace() || is_invisible(c);
    let text = text.trim_matches(is_around);
    let text = text.strip_suffix(')').and_then(|link| Some(link.split_once("](")?.1)).unwrap_or(text);
    let text = match text.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => text[4..].trim_start_matches('/'),
        _ => text,
    };
    match text.strip_prefix('*').and_then(|bold| bold.strip_suffix('*')) {
        Some(bold) if bold.starts_with(['+', '＋']) => bold,
        _ => text,
    }
}

/// What people put between the digits of one number.
pub fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '‐'..='―' | '−' | '－' | 'ー' | '.' | '．' | '·' | '•' | '/' | '／' | '~' | '\u{ad}')
}

/// Direction marks, joiners and other characters that show nothing.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

/// The ASCII digit of a decimal digit of any script.
pub fn digit(c: char) -> Option<char> {
    if c.is_ascii_digit() {
        return Some(c);
    }
    let code = u32::from(c);
    let block = ZEROS.partition_point(|zero| *zero <= code);
    let value = code - ZEROS.get(block.checked_sub(1)?)?;
    char::from_digit(value, 10)
}

/// The zero of every script's decimal digits (Unicode category Nd), ascending; nine more follow each.
const ZEROS: [u32; 76] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
    0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0,
    0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950,
    0x11BF0, 0x11C50, 0x11D50, 0x11DA0, 0x11DE0, 0x11F50, 0x16130, 0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0,
    0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1, 0x1E950, 0x1FBF0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_become_ascii() {
        assert!(ZEROS.is_sorted());
        for (text, plain) in [
            ("٠٠٤٤٢٠٧١٨٣٨٧٥٠", "00442071838750"),
            ("۰۰۴۴", "0044"),
            ("०१२३४५६७८९", "0123456789"),
            ("０１２３", "0123"),
            ("๐๑๒", "012"),
            ("𝟘𝟙𝟚", "012"),
        ] {
            assert_eq!(clean(text).unwrap().digits, plain);
        }
        for no_digit in ['a', 'O', 'л', '²', '①', '四', '\u{65f}', '\u{66a}'] {
            assert_eq!(digit(no_digit), None, "{no_digit}");
        }
    }

    #[test]
    fn decoration_goes_and_brackets_are_remembered() {
        let written = clean("\u{202a}＋44\u{a0}(0)20–7183.8750\u{202c}").unwrap();
        assert_eq!((written.plus, written.digits.as_str()), (true, "4402071838750"));
        assert_eq!(written.brackets, std::iter::once(2..3).collect::<Vec<_>>());
    }

    #[test]
    fn what_stands_around_a_number_is_not_part_of_it() {
        for text in [
            "\"+442071838750\"",
            "“+442071838750”",
            "«+442071838750»",
            "'+442071838750'",
            "<+442071838750>",
            "+442071838750,",
            "+442071838750.",
            "+442071838750;\r\n",
            "+442071838750\0",
            "+442071838750!",
            "tel:+442071838750",
            "<tel:+44-20-7183-8750>",
            "TEL:+442071838750",
            "[020 7183 8750](tel:+442071838750)",
            "*+442071838750*",
            "_+442071838750_",
            "「+442071838750」",
        ] {
            let written = clean(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!((written.plus, written.digits.as_str()), (true, "442071838750"), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for (text, error) in [
            ("", NumberError::Empty),
            ("+ ( )", NumberError::Empty),
            ("*100#", NumberError::StarOrHash),
            ("*100*", NumberError::StarOrHash),
            ("123#", NumberError::StarOrHash),
            ("44+20", NumberError::NotDigits),
            ("++44", NumberError::NotDigits),
            ("0800FLOWERS", NumberError::NotDigits),
            ("(020", NumberError::NotDigits),
            ("020)", NumberError::NotDigits),
            ("020,7183", NumberError::NotDigits),
        ] {
            assert_eq!(clean(text), Err(error), "{text}");
        }
        assert_eq!(clean(&"1 ".repeat(40)), Err(NumberError::TooLong));
    }
}
