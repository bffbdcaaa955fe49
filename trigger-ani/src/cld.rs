//! What was called, where a trunk's translation rule says it: `ani_<options>_<string>`. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// The prefix of the form.
const FORM: &str = "ani_";
/// The option that Sippy knows.
const NO_ANONYMOUS_ACCOUNTING: &str = "noanonacct";
/// The longest string.
const LONGEST: usize = 64;

/// A CLD of the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cld {
    /// `noanonacct` was there: `anon_acct_enabled` is false.
    pub no_anonymous_accounting: bool,
    /// What the session is called by: `callingcard_en_th`.
    pub string: String,
}

/// The applications that a string can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubApplication {
    /// Whoever answers is asked for a number.
    CallingCard,
    /// This number is called.
    TwoWay(String),
}

impl SubApplication {
    /// Its name in a job.
    pub fn as_str(&self) -> &'static str {
        match self {
            SubApplication::CallingCard => "callingcard",
            SubApplication::TwoWay(_) => "2waycallback",
        }
    }
}

/// Reads the user part of a Request-URI; `None`: it is not of the form. Words that are no option belong to the string.
pub fn read(user: &str) -> Option<Cld> {
    let mut string = strip_prefix(user, FORM)?;
    let mut no_anonymous_accounting = false;
    while let Some(rest) = strip_prefix(string, NO_ANONYMOUS_ACCOUNTING).and_then(|rest| rest.strip_prefix('_')) {
        no_anonymous_accounting = true;
        string = rest;
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b'*' | b'#');
    let string = (string.len() <= LONGEST && string.bytes().all(fits)).then_some(string)?.to_owned();
    Some(Cld { no_anonymous_accounting, string })
}

impl Cld {
    /// The application that the string begins with; `None`: nobody knows it.
    pub fn application(&self) -> Option<SubApplication> {
        let (first, rest) = self.string.split_once('_').unwrap_or((&self.string, ""));
        match first.to_ascii_lowercase().as_str() {
            "callingcard" => Some(SubApplication::CallingCard),
            "2waycallback" | "2way" if !rest.is_empty() => Some(SubApplication::TwoWay(rest.to_owned())),
            _ => None,
        }
    }
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let begin = text.get(..prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(user: &str) -> Option<(bool, String)> {
        read(user).map(|cld| (cld.no_anonymous_accounting, cld.string))
    }

    #[test]
    fn options_come_first_and_what_is_none_belongs_to_the_string() {
        let string = "callingcard_en_th".to_owned();
        assert_eq!(of("ani_callingcard_en_th"), Some((false, string.clone())));
        assert_eq!(of("ani_noanonacct_callingcard_en_th"), Some((true, string.clone())));
        assert_eq!(of("ANI_NoAnonAcct_noanonacct_callingcard_en_th"), Some((true, string)));
        assert_eq!(of("ani_fast_callingcard_en"), Some((false, "fast_callingcard_en".to_owned())));
        assert_eq!(of("ani_callingcard_noanonacct"), Some((false, "callingcard_noanonacct".to_owned())), "too late");
        assert_eq!(of("ani_noanonacct"), Some((false, "noanonacct".to_owned())), "an option needs a string after it");
        assert_eq!(of("ani_"), Some((false, String::new())));
        for other in [
            "callingcard_en",
            "+12065550100",
            "ani",
            "",
            "anicallingcard",
            "ani_\u{e9}",
            "ani_a b",
            &format!("ani_{}", "x".repeat(65)),
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn both_of_sippys_applications_are_known() {
        let application = |user: &str| read(user).unwrap().application();
        assert_eq!(application("ani_callingcard_en_th"), Some(SubApplication::CallingCard));
        assert_eq!(application("ani_callingcard"), Some(SubApplication::CallingCard));
        assert_eq!(
            application("ani_2waycallback_442071838750"),
            Some(SubApplication::TwoWay("442071838750".to_owned()))
        );
        for unknown in ["ani_", "ani_voicemail_en", "ani_2waycallback", "ani_fast_callingcard_en"] {
            assert_eq!(application(unknown), None, "{unknown}");
        }
    }
}
