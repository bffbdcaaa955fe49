//! In which language somebody is answered.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::number::Country;

/// A language we speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// `en`
    #[default]
    English,
    /// `es`
    Spanish,
    /// `fr`
    French,
    /// `zh`
    Chinese,
}

impl Language {
    /// Each, in the order of its number.
    pub const ALL: [Language; 4] = [Language::English, Language::Spanish, Language::French, Language::Chinese];

    /// `en`, `es`, `fr`, `zh`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Spanish => "es",
            Language::French => "fr",
            Language::Chinese => "zh",
        }
    }

    /// By a tag as in `es`, `zh-Hant`, `FR_ca`.
    pub fn by_tag(tag: &str) -> Option<Language> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        Language::ALL.into_iter().find(|language| language.tag() == primary)
    }

    /// The account's own, else the first we speak of the message's (`Accept-Language`, `Content-Language`), else that of the
    /// sender's country, else English.
    pub fn of(account: Option<&str>, message: Option<&str>, country: Option<Country>) -> Language {
        account
            .and_then(Language::by_tag)
            .or_else(|| message.and_then(Language::accepted))
            .or_else(|| country.map(|country| Language::spoken_in(country.code())))
            .unwrap_or_default()
    }

    /// The most wanted of a list like `fr-CH, fr;q=0.9, en;q=0.8`, of which no more than the beginning is looked at.
    fn accepted(list: &str) -> Option<Language> {
        let weighed = |item: &str| {
            let mut pieces = item.split(';');
            let language = Language::by_tag(pieces.next()?)?;
            let weight = pieces.find_map(|piece| piece.trim().strip_prefix("q=")?.trim().parse::<f32>().ok());
            Some((language, weight.unwrap_or(1.0))).filter(|(_, weight)| *weight > 0.0)
        };
        let mut best: Option<(Language, f32)> = None;
        for (language, weight) in list.split(',').take(20).filter_map(weighed) {
            if best.is_none_or(|(_, heaviest)| weight > heaviest) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }

    /// What most people with a telephone of this country read, of what we speak.
    fn spoken_in(country: &str) -> Language {
        match country {
            "AR" | "BO" | "CL" | "CO" | "CR" | "CU" | "DO" | "EC" | "ES" | "GQ" | "GT" | "HN" | "MX" | "NI" | "PA"
            | "PE" | "PY" | "SV" | "UY" | "VE" => Language::Spanish,
            "BF" | "BI" | "BJ" | "BL" | "CD" | "CF" | "CG" | "CI" | "DJ" | "DZ" | "FR" | "GA" | "GF" | "GN" | "GP"
            | "HT" | "KM" | "MA" | "MC" | "MF" | "MG" | "ML" | "MQ" | "NC" | "NE" | "PF" | "PM" | "RE" | "SN"
            | "TD" | "TG" | "TN" | "WF" | "YT" => Language::French,
            "CN" | "HK" | "MO" | "TW" => Language::Chinese,
            _ => Language::English,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_asked_first_then_the_message_then_the_country() {
        let (spain, china, wales) = (Country::by_code("ES"), Country::by_code("CN"), Country::by_code("GB"));
        assert_eq!(Language::of(Some("fr"), Some("zh"), spain), Language::French);
        assert_eq!(Language::of(Some("xx"), Some("zh-CN"), spain), Language::Chinese);
        assert_eq!(Language::of(None, Some("cy, de;q=0.9"), spain), Language::Spanish);
        assert_eq!(Language::of(None, Some("cy, en;q=0.3, fr-CH;q=0.8, es;q=0"), china), Language::French);
        assert_eq!(Language::of(None, None, china), Language::Chinese);
        assert_eq!(Language::of(None, None, wales), Language::English);
        assert_eq!(Language::of(Some(""), Some(";;,q="), None), Language::English);
    }

    #[test]
    fn every_language_stands_at_its_number() {
        for (place, language) in Language::ALL.into_iter().enumerate() {
            assert_eq!(language as usize, place);
            assert_eq!(Language::by_tag(language.tag()), Some(language));
        }
    }
}
