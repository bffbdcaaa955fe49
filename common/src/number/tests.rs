//! What people write, and who is called.

use super::*;

fn from<'a>(country: &str) -> Dialling<'a> {
    Dialling { country: Country::by_code(country), extensions: &[] }
}

#[track_caller]
fn reads(text: &str, country: &str, number: &str, rule: Rule) {
    let (read, by) = read(text, &from(country)).unwrap_or_else(|e| panic!("{text:?} from {country:?}: {e}"));
    assert_eq!((read.as_str(), by), (number, rule), "{text:?} from {country:?}");
}

#[track_caller]
fn refuses(text: &str, country: &str, error: NumberError) {
    assert_eq!(read(text, &from(country)).map(|(n, r)| (n.as_str().to_owned(), r)), Err(error), "{text:?} {country:?}");
}

#[test]
fn the_founding_documents_own_examples_are_dialled() {
    for country in ["", "GB", "DE", "US", "CN", "IT", "RU"] {
        reads("004412345678", country, "+4412345678", Rule::InternationalPrefix);
        reads("004498765432", country, "+4498765432", Rule::InternationalPrefix);
        reads("12065554123", country, "+12065554123", Rule::BareInternational);
    }
    for country in ["", "US", "CN"] {
        reads("011-928-111-2222", country, "+9281112222", Rule::InternationalPrefix);
        reads("011-86-10-55556666", country, "+861055556666", Rule::InternationalPrefix);
    }
}

#[test]
fn international_prefixes_of_many_countries_mean_the_same() {
    for (country, prefix) in
        [("GB", "00"), ("US", "011"), ("RU", "810"), ("AU", "0011"), ("JP", "010"), ("KR", "002"), ("HK", "001")]
    {
        for text in [format!("{prefix}442071838750"), format!("{prefix} 44 (0)20 7183-8750"), "+442071838750".into()] {
            let (number, _) = read(&text, &from(country)).unwrap();
            assert_eq!(number.as_str(), "+442071838750", "{text} from {country}");
        }
    }
    reads("0044 20 7183 8750", "AU", "+442071838750", Rule::InternationalPrefix);
    reads("+0044 20 7183 8750", "", "+442071838750", Rule::Plus);
}

#[test]
fn national_numbers_belong_to_the_writers_country() {
    reads("020 7183 8750", "GB", "+442071838750", Rule::National);
    reads("(020) 7183 8750", "GB", "+442071838750", Rule::National);
    reads("(0)20 7183 8750", "GB", "+442071838750", Rule::National);
    reads("0113 496 0123", "GB", "+441134960123", Rule::National);
    reads("030/901820", "DE", "+4930901820", Rule::National);
    reads("8 (495) 123-45-67", "RU", "+74951234567", Rule::National);
    reads("8 800 555 35 35", "RU", "+78005553535", Rule::National);
    reads("206 555 4123", "US", "+12065554123", Rule::BareNational);
    reads("1 206 555 4123", "US", "+12065554123", Rule::BareInternational);
    reads("7911 123456", "GB", "+447911123456", Rule::BareNational);
    reads("06 698 12345", "IT", "+390669812345", Rule::National);
    reads("011 562 1234", "IT", "+390115621234", Rule::National);
    reads("010 5555 6666", "CN", "+861055556666", Rule::National);
    refuses("020 7183 8750", "", NumberError::NoCountry);
}

#[test]
fn a_bare_number_is_what_the_writers_own_phone_would_dial() {
    reads("(646) 555-0199", "US", "+16465550199", Rule::BareNational);
    reads("(201) 555-0123", "JM", "+12015550123", Rule::BareNational);
    reads("135 1234 5678", "CN", "+8613512345678", Rule::BareNational);
    reads("329 362 3045", "IT", "+393293623045", Rule::BareNational);
    reads("8 495 123-45-67", "RU", "+74951234567", Rule::National);
    reads("06 20 123 4567", "HU", "+36201234567", Rule::National);
    reads("0 15 11 96123-4567", "BR", "+5511961234567", Rule::National);
    reads("011 15 2345-6789", "AR", "+5491123456789", Rule::National);
    reads("8 050 123 45 67", "UA", "+380501234567", Rule::National);
    reads("5123 4567", "HK", "+85251234567", Rule::BareNational);
    reads("4930901820", "GB", "+4930901820", Rule::BareInternational);
    reads("4498765432", "GB", "+4498765432", Rule::BareInternational);
    reads("4498765432", "", "+4498765432", Rule::BareInternational);
    refuses("4915112345678", "DE", NumberError::Ambiguous);
    reads("442071838750", "US", "+442071838750", Rule::BareInternational);
    reads("0555 123 4567", "GB", "+445551234567", Rule::National);
}

#[test]
fn what_fits_twice_is_ambiguous_and_what_fits_nowhere_has_no_country() {
    refuses("495 123 45 67", "RU", NumberError::Ambiguous);
    refuses("4930901820", "US", NumberError::Ambiguous);
    refuses("2101234567", "", NumberError::NoCountry);
    refuses("+2101234567", "GB", NumberError::NoCountry);
    refuses("7700 900123 45", "GB", NumberError::NoCountry);
}

#[test]
fn a_caller_is_what_the_network_says() {
    let caller =
        |text: &str, country: &str| read_caller(text, &from(country)).map(|(number, _)| number.as_str().to_owned());
    for (text, country, number) in [
        ("447911123456", "US", "+447911123456"),
        ("84951234567", "RU", "+84951234567"),
        ("16465550199", "GB", "+16465550199"),
        ("+16465550199", "GB", "+16465550199"),
        ("07911 123456", "GB", "+447911123456"),
        ("0044 7911 123456", "GB", "+447911123456"),
    ] {
        assert_eq!(caller(text, country).as_deref(), Ok(number), "{text} at {country}");
    }
}

#[test]
fn numbers_are_cut_out_of_pieces_where_both_are_whole() {
    let two = |text: &str| two_numbers(&text.split(' ').collect::<Vec<_>>(), &from("GB"));
    assert_eq!(two("020 7183 8750 +49 30 901820"), Some(["020 7183 8750".to_owned(), "+49 30 901820".to_owned()]));
    for text in
        ["+442071838750 +4930901820 24 7", "+442071838750 2 +4930901820", "1 2 3", "+442071838750 24 4930901820"]
    {
        assert_eq!(two(text), None, "{text}");
    }
    let founding = ["+44 (0)20 7183 8750".to_owned(), "011 928 111 2222".to_owned()];
    assert_eq!(two("+44 (0)20 7183 8750 011 928 111 2222"), Some(founding), "it shows where it begins");
    assert_eq!(numbers(&["+4930901820", "24", "7"], &from("GB")), Numbers::Unclear);
}

#[test]
fn a_trunk_prefix_left_in_goes_and_a_zero_of_the_number_stays() {
    reads("+44 (0)20 7183 8750", "", "+442071838750", Rule::Plus);
    reads("+44 020 7183 8750", "", "+442071838750", Rule::Plus);
    reads("0044 (0) 20 7183 8750", "US", "+442071838750", Rule::InternationalPrefix);
    reads("+49 (0)30 901820", "", "+4930901820", Rule::Plus);
    reads("+7 (8) 495 123 45 67", "", "+74951234567", Rule::Plus);
    reads("+36 (06) 1 234 5678", "", "+3612345678", Rule::Plus);
    reads("+39 06 698 12345", "", "+390669812345", Rule::Plus);
    reads("+39 (0)6 698 12345", "", "+390669812345", Rule::Plus);
    reads("+992 88 123 4567", "", "+992881234567", Rule::Plus);
    reads("992881234567", "TJ", "+992881234567", Rule::BareInternational);
    reads("+7 800 555 35 35", "", "+78005553535", Rule::Plus);
}

#[test]
fn toll_03_every_form_of_a_caribbean_number_is_the_same_number() {
    for country in ["", "US", "GB", "DE", "AU", "HK", "RU", "JM"] {
        for text in
            ["18765551234", "+18765551234", "0018765551234", "01118765551234", "+1 (876) 555-1234", "+1 1 876 555 1234"]
        {
            match read(text, &from(country)) {
                Ok((number, _)) => assert_eq!(number.as_str(), "+18765551234", "{text} from {country:?}"),
                Err(error) => assert_eq!(error, NumberError::Ambiguous, "{text} from {country:?}"),
            }
        }
    }
    reads("876 555 1234", "JM", "+18765551234", Rule::BareNational);
    reads("8765551234", "US", "+18765551234", Rule::BareNational);
}

#[test]
fn toll_05_appended_digits_beyond_fifteen_are_refused() {
    for text in ["+4420718387500000", "004420718387500000", "4420718387500000", "+442071838750000000000000"] {
        refuses(text, "GB", NumberError::TooLong);
    }
    reads("+442071838750000", "", "+442071838750000", Rule::Plus);
}

#[test]
fn separators_scripts_and_direction_marks_do_not_matter() {
    for text in [
        "+44 20 7183 8750",
        "+44-20-7183-8750",
        "+44.20.7183.8750",
        "+44\u{a0}20\u{2009}7183\u{202f}8750",
        "\u{200e}+44 20 7183 8750\u{200f}",
        "\u{2066}+442071838750\u{2069}",
        "(+44) 20 7183 8750",
        "٠٠٤٤٢٠٧١٨٣٨٧٥٠",
        "+४४२०७१८३८७५०",
        "＋４４ ２０－７１８３－８７５０",
    ] {
        let (number, _) = read(text, &from("")).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(number.as_str(), "+442071838750", "{text}");
    }
}

#[test]
fn listed_extensions_are_dialled_and_other_short_numbers_are_not() {
    let extensions = ["100".to_owned(), "801".to_owned()];
    let site = Dialling { country: None, extensions: &extensions };
    let (number, rule) = read("１００", &site).unwrap();
    assert_eq!((number.as_str(), rule, number.is_extension()), ("100", Rule::Extension, true));
    assert_eq!(read("101", &site), Err(NumberError::TooShort));
    assert_eq!(read("+100", &site), Err(NumberError::TooShort));
    for short in ["112", "999", "0044999", "+44999", "011911", "123456"] {
        refuses(short, "GB", NumberError::TooShort);
    }
    refuses("*100#", "GB", NumberError::StarOrHash);
    refuses("+0 44 20 7183 8750", "GB", NumberError::LeadingZero);
}

#[test]
fn a_sender_tells_the_country() {
    for (sender, country) in [
        ("+442071838750", "GB"),
        ("+4412345678", "GB"),
        ("+12065554123", "US"),
        ("+18765551234", "JM"),
        ("+74951234567", "RU"),
        ("+77172123456", "KZ"),
        ("+390612345678", "IT"),
        ("+992881234567", "TJ"),
    ] {
        assert_eq!(Country::of(&Number::e164(sender).unwrap()), Country::by_code(country), "{sender}");
    }
    assert_eq!(Country::of(&Number::e164("+2101234567").unwrap()), None);
    assert_eq!(Country::of(&Number::extension("100").unwrap()), None);
}

/// Small, seeded, good enough to vary spellings.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

#[test]
fn decoration_never_changes_the_number() {
    let mut dice = Dice(7);
    let separators = ["", "", " ", "\u{a0}", "-", ".", "/", "\u{200e}", "\u{2011}", "  "];
    for _ in 0..400 {
        let plain = ["+442071838750", "00442071838750", "+12065554123", "01112065554123", "02071838750"][dice.below(5)];
        let zero = [0x30, 0x660, 0x966, 0xff10][dice.below(4)];
        let mut text = String::new();
        for c in plain.chars() {
            text.push_str(separators[dice.below(separators.len())]);
            text.push(c.to_digit(10).map_or(c, |value| char::from_u32(zero + value).unwrap()));
        }
        assert_eq!(read(&text, &from("GB")), read(plain, &from("GB")), "{text}");
    }
}

#[test]
fn what_is_read_is_dialable_and_reads_as_itself() {
    let mut dice = Dice(42);
    let letters: Vec<char> = "00112233445566778899+()-. *#a٣०８\u{200f}".chars().collect();
    let countries = ["", "GB", "US", "IT", "RU", "AU", "BR", "AR", "TJ", "HK"];
    let mut read_some = 0;
    for _ in 0..8000 {
        let text: String = (0..dice.below(22)).map(|_| letters[dice.below(letters.len())]).collect();
        let country = countries[dice.below(countries.len())];
        if let Ok((number, _)) = read(&text, &from(country)) {
            read_some += 1;
            assert!(Number::e164(number.as_str()).is_ok(), "{text}");
            let (again, rule) = read(number.as_str(), &from(country)).unwrap();
            assert_eq!((again, rule), (number, Rule::Plus), "{text} from {country}");
        }
    }
    assert!(read_some > 100, "the dice must make some numbers: {read_some}");
}

#[test]
fn only_dialable_forms_become_numbers() {
    for good in ["+442071838750", "+1234567", "+123456789012345", "100", "801"] {
        assert_eq!(good.parse::<Number>().unwrap().as_str(), good);
    }
    for bad in ["", "+", "+123456", "+1234567890123456", "+0441234567", "1234567", "+44 20", "٤٤٠", "*100", "10#"] {
        assert_eq!(bad.parse::<Number>(), Err(NotDialable), "{bad}");
        assert!(serde_json::from_value::<Number>(bad.into()).is_err(), "{bad}");
    }
}

#[test]
fn a_printed_number_hides_its_middle() {
    let number = Number::e164("+442071838750").unwrap();
    assert_eq!(number.to_string(), "+44…8750");
    assert_eq!(format!("{number:?}"), "+44…8750");
    assert_eq!(Number::e164("+2901234").unwrap().to_string(), "+29…34");
    assert_eq!(serde_json::to_string(&number).unwrap(), "\"+442071838750\"");
}
