//! The GSM 7-bit alphabets of 3GPP TS 23.038: the default one with its extension, and the national languages' locking and single
//! shift tables, which a message's header may ask for.
//!
//! The Indian tables are one frame with a language's own letters in its gaps, in the order of its Unicode block; a place that the
//! standard leaves empty shows what stands there in the block.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// A national language identifier: 0 is the default alphabet, 1 Turkish, 2 Spanish, 3 Portuguese, 4 Bengali, 5 Gujarati, 6 Hindi,
/// 7 Kannada, 8 Malayalam, 9 Oriya, 10 Punjabi, 11 Tamil, 12 Telugu, 13 Urdu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Language(u8);

impl Language {
    /// By its identifier; one that is not known is read as the default alphabet, as the standard asks.
    pub fn by_id(id: u8) -> Language {
        Language(if id <= 13 { id } else { 0 })
    }
}

/// The escape to the single shift table.
pub const ESCAPE: u8 = 0x1b;

/// A place that the standard leaves empty.
const NOTHING: char = '\u{fffd}';

/// The text of septets, one in each byte. What follows an escape and is in no single shift table shows the character without it.
pub fn text(septets: &[u8], locking: Language, single: Language) -> String {
    let (main, shifted) = (locking_table(locking), single_table(single));
    let place = |septet: u8| usize::from(septet & 0x7f);
    let mut text = String::with_capacity(septets.len());
    let mut rest = septets;
    while let [septet, after @ ..] = rest {
        let (c, after) = match (*septet, after) {
            (ESCAPE, []) => (' ', after),
            (ESCAPE, [ESCAPE, after @ ..]) => (' ', after),
            (ESCAPE, [next, after @ ..]) => {
                let shifted = shifted[place(*next)];
                (if shifted == NOTHING { main[place(*next)] } else { shifted }, after)
            }
            (septet, after) => (main[place(septet)], after),
        };
        text.push(c);
        rest = after;
    }
    text
}

/// Whether the default alphabet with its extension has every character of this text.
pub fn fits(text: &str) -> bool {
    let (main, shifted) = (locking_table(Language(0)), single_table(Language(0)));
    let is_there = |c| main.iter().enumerate().any(|(at, one)| *one == c && at != usize::from(ESCAPE));
    text.chars().all(|c| c != NOTHING && (is_there(c) || shifted.contains(&c)))
}

/// Septets packed eight to seven bytes, from bit `skip` on. Seven bits of padding at the end are a septet 0 that nobody sent.
pub fn unpack(bytes: &[u8], skip: usize) -> Vec<u8> {
    let bits = bytes.len() * 8;
    let septet = |at: usize| {
        let low = u16::from(bytes[at / 8]) | bytes.get(at / 8 + 1).map_or(0, |next| u16::from(*next) << 8);
        ((low >> (at % 8)) & 0x7f) as u8
    };
    let mut septets: Vec<u8> = (skip..).step_by(7).take_while(|at| at + 7 <= bits).map(septet).collect();
    let padded = bits.saturating_sub(skip).is_multiple_of(7) && septets.len().is_multiple_of(8);
    if padded && septets.last() == Some(&0) {
        septets.pop();
    }
    septets
}

fn locking_table(Language(id): Language) -> [char; 128] {
    match id {
        1 => patched(DEFAULT, TURKISH),
        3 => patched(DEFAULT, PORTUGUESE),
        13 => framed(LOCKING_FRAME, URDU.chars()),
        4..=12 => {
            let (block, last) = BRAHMIC[usize::from(id) - 4];
            framed(LOCKING_FRAME, letters(&BRAHMIC_ORDER).map(|letter| of(block, letter)).chain(last.chars()))
        }
        _ => patched(DEFAULT, &[]),
    }
}

fn single_table(Language(id): Language) -> [char; 128] {
    match id {
        1 => patched(EXTENSION, TURKISH_SINGLE),
        2 => patched(EXTENSION, SPANISH_SINGLE),
        3 => patched(EXTENSION, PORTUGUESE_SINGLE),
        4..=13 => framed(SINGLE_FRAME, letters(SINGLE[usize::from(id) - 4]).map(|letter| of(0, letter))),
        _ => patched(EXTENSION, &[]),
    }
}

fn patched(table: &str, patches: &[(usize, char)]) -> [char; 128] {
    let mut whole = framed(table, std::iter::empty());
    for (place, c) in patches {
        whole[*place] = *c;
    }
    whole
}

/// A frame whose gaps are filled in order.
fn framed(frame: &str, mut gaps: impl Iterator<Item = char>) -> [char; 128] {
    let mut whole = [NOTHING; 128];
    for (place, c) in whole.iter_mut().zip(frame.chars()) {
        *place = if c == '·' { gaps.next().unwrap_or(NOTHING) } else { c };
    }
    whole
}

/// Runs of consecutive letters: the first, and how many.
fn letters(runs: &[(u32, u32)]) -> impl Iterator<Item = u32> + '_ {
    runs.iter().flat_map(|(first, count)| *first..first + count)
}

fn of(block: u32, letter: u32) -> char {
    char::from_u32(block + letter).unwrap_or(NOTHING)
}

/// 6.2.1. The escape stands as a space.
const DEFAULT: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                       ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// 6.2.1.1; the dots are empty places.
const EXTENSION: &str =
    "··········\u{c}·········^···················{}·····\\············[~]·|····································€";

/// A.3.1
const TURKISH: &[(usize, char)] =
    &[(0x04, '€'), (0x07, 'ı'), (0x0b, 'Ğ'), (0x0c, 'ğ'), (0x1c, 'Ş'), (0x1d, 'ş'), (0x40, 'İ'), (0x60, 'ç')];

/// A.2.1
const TURKISH_SINGLE: &[(usize, char)] =
    &[(0x47, 'Ğ'), (0x49, 'İ'), (0x53, 'Ş'), (0x63, 'ç'), (0x67, 'ğ'), (0x69, 'ı'), (0x73, 'ş')];

/// A.2.2
const SPANISH_SINGLE: &[(usize, char)] = &[
    (0x09, 'ç'),
    (0x41, 'Á'),
    (0x49, 'Í'),
    (0x4f, 'Ó'),
    (0x55, 'Ú'),
    (0x61, 'á'),
    (0x69, 'í'),
    (0x6f, 'ó'),
    (0x75, 'ú'),
];

/// A.3.3
const PORTUGUESE: &[(usize, char)] = &[
    (0x04, 'ê'),
    (0x06, 'ú'),
    (0x07, 'í'),
    (0x08, 'ó'),
    (0x09, 'ç'),
    (0x0b, 'Ô'),
    (0x0c, 'ô'),
    (0x0e, 'Á'),
    (0x0f, 'á'),
    (0x12, 'ª'),
    (0x13, 'Ç'),
    (0x14, 'À'),
    (0x15, '∞'),
    (0x16, '^'),
    (0x17, '\\'),
    (0x18, '€'),
    (0x19, 'Ó'),
    (0x1a, '|'),
    (0x1c, 'Â'),
    (0x1d, 'â'),
    (0x1e, 'Ê'),
    (0x24, 'º'),
    (0x40, 'Í'),
    (0x5b, 'Ã'),
    (0x5c, 'Õ'),
    (0x5d, 'Ú'),
    (0x60, '~'),
    (0x7b, 'ã'),
    (0x7c, 'õ'),
    (0x7d, '`'),
];

/// A.2.3
const PORTUGUESE_SINGLE: &[(usize, char)] = &[
    (0x05, 'ê'),
    (0x09, 'ç'),
    (0x0b, 'Ô'),
    (0x0c, 'ô'),
    (0x0e, 'Á'),
    (0x0f, 'á'),
    (0x12, 'Φ'),
    (0x13, 'Γ'),
    (0x15, 'Ω'),
    (0x16, 'Π'),
    (0x17, 'Ψ'),
    (0x18, 'Σ'),
    (0x19, 'Θ'),
    (0x1f, 'Ê'),
    (0x41, 'À'),
    (0x49, 'Í'),
    (0x4f, 'Ó'),
    (0x55, 'Ú'),
    (0x5b, 'Ã'),
    (0x5c, 'Õ'),
    (0x61, 'Â'),
    (0x69, 'í'),
    (0x6f, 'ó'),
    (0x75, 'ú'),
    (0x7b, 'ã'),
    (0x7c, 'õ'),
    (0x7f, 'â'),
];

/// A.3.4 to A.3.13 without their own letters.
const LOCKING_FRAME: &str = "··········\n··\r············· ···· !······)(··,·.·0123456789:;···?·································\
                             abcdefghijklmnopqrstuvwxyz·····";

/// Where a block's letters stand from gap to gap, the same in A.3.4 to A.3.12.
const BRAHMIC_ORDER: [(u32, u32); 3] = [(0x01, 3), (0x05, 53), (0x3c, 18)];

/// The Unicode block of each language from Bengali on, and what its last six gaps hold.
const BRAHMIC: [(u32, &str); 9] = [
    (0x980, "\u{9ce}\u{9d7}\u{9dc}\u{9dd}\u{9f0}\u{9f1}"),
    (0xa80, "\u{ad0}\u{ae0}\u{ae1}\u{ae2}\u{ae3}\u{af1}"),
    (0x900, "\u{950}\u{972}\u{97b}\u{97c}\u{97e}\u{97f}"),
    (0xc80, "\u{cd5}\u{cd6}\u{ce0}\u{ce1}\u{ce2}\u{ce3}"),
    (0xd00, "\u{d57}\u{d60}\u{d61}\u{d62}\u{d63}\u{d79}"),
    (0xb00, "\u{b56}\u{b57}\u{b60}\u{b61}\u{b62}\u{b63}"),
    (0xa00, "\u{a51}\u{a70}\u{a71}\u{a72}\u{a73}\u{a74}"),
    (0xb80, "\u{bd0}\u{bd7}\u{bf0}\u{bf1}\u{bf2}\u{bf9}"),
    (0xc00, "\u{c55}\u{c56}\u{c60}\u{c61}\u{c62}\u{c63}"),
];

/// A.3.13
const URDU: &str = "\u{627}\u{622}\u{628}\u{67b}\u{680}\u{67e}\u{6a6}\u{62a}\u{6c2}\u{67f}\u{679}\u{67d}\u{67a}\u{67c}\u{62b}\
                    \u{62c}\u{681}\u{684}\u{683}\u{685}\u{686}\u{687}\u{62d}\u{62e}\u{62f}\u{68c}\u{688}\u{689}\u{68a}\u{68f}\
                    \u{68d}\u{630}\u{631}\u{691}\u{693}\u{699}\u{632}\u{696}\u{698}\u{69a}\u{633}\u{634}\u{635}\u{636}\u{637}\
                    \u{638}\u{639}\u{641}\u{642}\u{6a9}\u{6aa}\u{6ab}\u{6af}\u{6b3}\u{6b1}\u{644}\u{645}\u{646}\u{6ba}\u{6bb}\
                    \u{6bc}\u{648}\u{6c4}\u{6d5}\u{6c1}\u{6be}\u{621}\u{6cc}\u{6d0}\u{6d2}\u{64d}\u{650}\u{64f}\u{657}\u{654}\
                    \u{655}\u{651}\u{653}\u{656}\u{670}";

/// A.2.4 to A.2.13 without their own letters.
const SINGLE_FRAME: &str = "@£$¥¿\"¤%&'\u{c}*+\u{fffd}-/<=>¡^¡_#*··\u{fffd}············{}·····\\············[~]·|\
                            ABCDEFGHIJKLMNOPQRSTUVWXYZ\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\
                            \u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}€";

/// The own letters of A.2.4 to A.2.13, from Bengali on.
const SINGLE: [&[(u32, u32)]; 10] = [
    &[(0x9e6, 10), (0x9df, 5), (0x9f2, 9)],
    &[(0x964, 2), (0xae6, 10)],
    &[(0x964, 2), (0x966, 10), (0x951, 4), (0x958, 12), (0x970, 2)],
    &[(0x964, 2), (0xce6, 10), (0xcde, 1), (0xcf1, 2)],
    &[(0x964, 2), (0xd66, 16), (0xd7a, 6)],
    &[(0x964, 2), (0xb66, 10), (0xb5c, 2), (0xb5f, 1), (0xb70, 2)],
    &[(0x964, 2), (0xa66, 10), (0xa59, 4), (0xa5e, 1), (0xa75, 1)],
    &[(0x964, 2), (0xbe6, 10), (0xbf3, 6), (0xbfa, 1)],
    &[(0xfffd, 1), (0xfffd, 1), (0xc66, 10), (0xc58, 2), (0xc78, 8)],
    &[
        (0x600, 2),
        (0x6f0, 10),
        (0x60c, 9),
        (0x61b, 1),
        (0x61f, 1),
        (0x640, 1),
        (0x652, 1),
        (0x658, 1),
        (0x66b, 2),
        (0x672, 2),
        (0x6cd, 1),
        (0x6d4, 1),
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard's tables, one a line: language, `locking` or `single`, and `septet=code point` for each place it fills.
    const STANDARD: &str = include_str!("ts_23_038.txt");

    #[test]
    fn every_place_of_every_table_is_what_the_standard_says() {
        let mut places = 0;
        for line in STANDARD.lines() {
            let mut words = line.split(' ');
            let language = Language::by_id(words.next().unwrap().parse().unwrap());
            let kind = words.next().unwrap();
            let table = if kind == "locking" { locking_table(language) } else { single_table(language) };
            for place in words {
                let (septet, code) = place.split_once('=').unwrap();
                let (septet, code) =
                    (usize::from_str_radix(septet, 16).unwrap(), u32::from_str_radix(code, 16).unwrap());
                assert_eq!(u32::from(table[septet]), code, "{language:?} {kind} {septet:#x}");
                places += 1;
            }
        }
        assert_eq!((STANDARD.lines().count(), places), (27, 2431));
    }

    #[test]
    fn shifts_are_read_by_their_language_and_fall_back() {
        let (turkish, spanish, hindi, default) =
            (Language::by_id(1), Language::by_id(2), Language::by_id(6), Language::default());
        assert_eq!(text(b"\x1bi\x1bs", default, turkish), "ış");
        assert_eq!(text(b"\x07\x1be", turkish, default), "ı€");
        assert_eq!(text(b"d\x1bia", default, spanish), "día");
        assert_eq!(text(&[0x2c, 0x52, 0x1b, 0x1c], hindi, hindi), ",ी०");
        assert_eq!(text(b"\x1b8", default, default), "8", "no such place: the character without the escape");
        assert_eq!(text(b"a\x1b", default, default), "a ");
        assert_eq!(text(b"\x1b\x1ba", default, default), " a");
        assert_eq!(Language::by_id(200), default);
    }

    #[test]
    fn a_text_fits_if_the_alphabet_has_all_of_it() {
        for text in ["Your call lasted 50 s: @£$ {€}", "Él señor ñandú no: ¿Quién?", "àéèùì ÄÖÜß", ""]
        {
            assert_eq!(fits(text), !text.contains('ú'), "{text}");
        }
        for text in ["‘quoted’", "余额", "ê", "`"] {
            assert!(!fits(text), "{text}");
        }
    }

    #[test]
    fn packed_septets_are_unpacked() {
        let packed = |hex: &str, skip| text(&unpack(&hex::decode(hex).unwrap(), skip), Language(0), Language(0));
        assert_eq!(packed("e8329bfd4697d9ec37", 0), "hellohello");
        assert_eq!(packed("31d98c56b3dd00", 0), "1234567", "seven bits of padding are no @");
        assert_eq!(packed("31d98c56b3dd70", 0), "12345678");
        assert_eq!(packed("", 0), "");
        assert_eq!(packed("d06536fb0d", 1), "hello", "after a header that ends one bit early");
        assert_eq!(unpack(&[0xff], 9), Vec::<u8>::new());
    }
}
