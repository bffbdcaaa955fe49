//! Words that mean something by themselves, in any case and in letters that only look like the right ones.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::number::text::is_invisible;

/// What people write around a keyword.
const POLITE: [&str; 8] = ["please", "pls", "thanks", "thank", "you", "now", "por", "favor"];
/// More words are a sentence, not a keyword.
const MOST_WORDS: usize = 8;

/// Whether the word is one of these, which are written in lower case.
pub fn is(word: &str, wanted: &[&str]) -> bool {
    let word = fold(word);
    wanted.contains(&word.as_str())
}

/// Whether the words say one of these, which are divided by blanks; of what is said letters and digits count, and no polite words: `*Opt-Out*`, `“stop”`, `S T O P`,
/// `Stop. Thank you`.
pub fn says(words: &[&str], wanted: &str) -> bool {
    if words.len() > MOST_WORDS {
        return false;
    }
    let plain = |text: &str| fold(text).chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let said: String = words.iter().map(|word| plain(word)).filter(|word| !POLITE.contains(&word.as_str())).collect();
    !said.is_empty() && wanted.split_whitespace().any(|one| plain(one) == said)
}

/// Lower case, Latin for what looks Latin, without invisible marks and without a full stop or `!` at the end.
pub fn fold(word: &str) -> String {
    let visible = word.chars().filter(|c| !is_invisible(*c));
    let folded: String = visible.flat_map(|c| latin(c).to_lowercase()).map(latin).collect();
    folded.trim_end_matches(['.', '!', ',', '。', '！']).to_owned()
}

/// The Latin letter that this one looks like: `сal` is written with a Cyrillic letter by telephones that guess the language.
fn latin(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        'А' | 'а' | 'Α' | 'α' => 'a',
        'В' | 'в' | 'Β' | 'β' => 'b',
        'С' | 'с' | 'Ϲ' | 'ϲ' => 'c',
        'Е' | 'е' | 'Ё' | 'ё' | 'Ε' | 'ε' => 'e',
        'Н' | 'н' | 'Η' | 'һ' => 'h',
        'І' | 'і' | 'Ι' | 'ι' | 'ı' | 'İ' => 'i',
        'Ј' | 'ј' => 'j',
        'К' | 'к' | 'Κ' | 'κ' => 'k',
        'М' | 'м' | 'Μ' => 'm',
        'Ν' | 'ν' => 'n',
        'О' | 'о' | 'Ο' | 'ο' => 'o',
        'Р' | 'р' | 'Ρ' | 'ρ' => 'p',
        'Ѕ' | 'ѕ' => 's',
        'Т' | 'т' | 'Τ' | 'τ' => 't',
        'У' | 'у' | 'Υ' | 'υ' => 'y',
        'Х' | 'х' | 'Χ' | 'χ' => 'x',
        'Ζ' => 'z',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_known_in_any_case_and_in_letters_that_look_like_it() {
        for word in ["cal", "CAL", "Cal", "сal", "СAL", "ｃａｌ", "cаl", "\u{200e}cal\u{200f}", "Cal.", "CAL!"] {
            assert!(is(word, &["cal"]), "{word}");
        }
        assert!(is("ВAL", &["bal"]) && is("ЅTOР", &["stop"]) && is("Х", &["x"]) && is("RΕ", &["re"]));
        assert!(is("余额", &["余额"]) && is("STOP。", &["stop"]));
        for text in [
            "STOP",
            "*Stop*",
            "“stop”",
            "(STOP)",
            "stop!!!",
            "- stop -",
            "S T O P",
            "stop 🛑",
            "«Stop»",
            "#STOP",
            "'stop'",
            "Stop. Thank you",
            "please STOP now",
        ] {
            assert!(says(&text.split(' ').collect::<Vec<_>>(), "stop"), "{text}");
        }
        assert!(says(&["Opt", "-", "OUT."], "optout") && says(&["СТОП"], "стоп") && says(&["Arre\u{302}t"], "arret"));
        for text in ["", "!!!", "stops", "stop it now or else", "no"] {
            assert!(!says(&text.split(' ').collect::<Vec<_>>(), "stop"), "{text}");
        }
        for word in ["call", "ca1", "c al", ""] {
            assert!(!is(word, &["cal"]), "{word}");
        }
    }
}
