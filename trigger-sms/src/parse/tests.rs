//! The forms, one by one and together.

use ringback_common::config::ShortCodeConfig;
use ringback_common::intake::{Proof, Who};
use ringback_common::number::Country;

use super::*;

fn from_uk() -> Dialling<'static> {
    Dialling { country: Country::by_code("GB"), extensions: &[] }
}

fn usual() -> Here {
    Here::default()
}

/// A number that accepts these forms.
fn accepting(forms: &[&str], keyword: Option<&str>) -> ShortCodes {
    let forms = forms.iter().map(|form| (*form).to_owned()).collect();
    let one = ShortCodeConfig { number: "+1 206 555 0100".to_owned(), forms, keyword: keyword.map(str::to_owned) };
    ShortCodes::new(&[one]).unwrap()
}

#[track_caller]
fn reads(text: &str, user: &str, secret: &str, a: &str, b: &str) {
    let Reading::Request(found) = parse(text, &from_uk(), &usual()) else { panic!("{text:?}: {}", outcome(text)) };
    assert_eq!(said(&found), format!("{user}/{secret} calls {a}, {b}"), "{text:?}");
}

/// A request in one line: who pays and what is wanted, numbers as they are dialled.
fn said(request: &Request) -> String {
    let dialled = |number: &str| {
        read(number, &from_uk())
            .map_or_else(|error| format!("({error:?} {number})"), |(number, _)| number.as_str().to_owned())
    };
    let who = match &request.payer.who {
        Who::Named(name) => name.clone(),
        Who::Sender => "sender".to_owned(),
        Who::Suffix(digits) => format!("..{digits}"),
    };
    let proof = match &request.payer.proof {
        Proof::RegisteredAndSecret(secret) => format!("/{secret}"),
        Proof::Registered => String::new(),
        _ => "/?".to_owned(),
    };
    let number = |number: &Option<String>| number.as_deref().map_or_else(|| "?".to_owned(), dialled);
    let wants = match &request.act {
        Act::Ask(Ask::Callback { a, b }) => format!("calls {}, {}", number(a), number(b)),
        Act::Ask(Ask::Rate { number }) => format!("asks for the price of {}", dialled(number)),
        Act::Ask(Ask::Balance) => "asks for the balance".to_owned(),
        Act::Ask(Ask::LastCall) => "asks for the last call".to_owned(),
        Act::Ask(Ask::Redial) => "calls again".to_owned(),
        Act::Do(Command::Register { user, pin, others }) => {
            format!(
                "registers to {} by {pin}{}",
                user.as_deref().unwrap_or("?"),
                others.iter().map(|o| format!(" and {}", dialled(o))).collect::<String>()
            )
        }
        Act::Do(Command::Cancel) => "cancels".to_owned(),
        Act::Do(Command::Stop) => "stops".to_owned(),
        Act::Do(Command::Start) => "starts".to_owned(),
        Act::Do(Command::Help) => "asks for help".to_owned(),
    };
    format!("{who}{proof} {wants}")
}

fn told(text: &str, codes: &ShortCodes) -> String {
    match parse(text, &from_uk(), codes.at("+12065550100", text)) {
        Reading::Request(request) => said(&request),
        Reading::Refused(refusal) => refusal.code().to_owned(),
        Reading::Ignored(ignored) => ignored.code().to_owned(),
    }
}

fn outcome(text: &str) -> &'static str {
    match parse(text, &from_uk(), &usual()) {
        Reading::Request(_) => "request",
        Reading::Refused(refusal) => refusal.code(),
        Reading::Ignored(ignored) => ignored.code(),
    }
}

const A: &str = "+4412345678";
const B: &str = "+4498765432";

#[test]
fn the_founding_form_is_four_words() {
    reads("username password 004412345678 004498765432", "username", "password", A, B);
    reads("  username\u{a0}password\t004412345678 \n 004498765432\r\n", "username", "password", A, B);
    reads("username password ٠٠٤٤١٢٣٤٥٦٧٨ ００４４９８７６５４３２", "username", "password", A, B);
    reads("\u{feff}user\u{200e} \u{202b}pass\u{202c} \u{2066}004412345678\u{2069} 0044-98765432", "user", "pass", A, B);
    reads("u 12345678 +44(0)2071838750 07911123456", "u", "12345678", "+442071838750", "+447911123456");
}

#[test]
fn only_words_that_begin_and_end_with_ascii_quotes_are_quoted() {
    for (word, secret) in [
        (r#""pass word""#, "pass word"),
        (r##""p#1 * 2""##, "p#1 * 2"),
        (r#""a"b c""#, r#"a"b c"#),
        (r#""""#, ""),
        (r#"pa"ss"#, r#"pa"ss"#),
        (r#""pass"#, r#""pass"#),
        (r#"pass""#, r#"pass""#),
        (r#"""#, r#"""#),
        ("“pass”", "“pass”"),
        ("'pass'", "'pass'"),
        ("«pass»", "«pass»"),
        ("＂pass＂", "＂pass＂"),
        (r#"" pass ""#, " pass "),
    ] {
        reads(&format!("user {word} 004412345678 004498765432"), "user", secret, A, B);
    }
    reads(r#"user "0044" 004412345678 "00 44 98765432""#, "user", "0044", A, B);
}

#[test]
fn numbers_with_spaces_are_read_when_there_is_one_way() {
    let (a, b) = ("+442071838750", "+12065554123");
    for numbers in [
        "+44 (0)20 7183 8750 0012065554123",
        "+44 20 7183 8750 +1 206 555 4123",
        "0044 20 7183 8750 001 206 555 4123",
        "020 7183 8750 +12065554123",
        "+442071838750 1 206 555 4123",
        "44 20 7183 8750 1 206 555 4123",
    ] {
        reads(&format!("user pass {numbers}"), "user", "pass", a, b);
    }
    reads("user pass 020 7183 8750 020 7946 0018", "user", "pass", a, "+442079460018");
    reads("user pass +44 020 7183 8750 0044 (0) 20 7946 0018", "user", "pass", a, "+442079460018");
}

/// What a text from a phone of this number asks for, or why nothing is done.
fn asked_by(sender: &str, text: &str) -> String {
    let country = Country::of(&Number::e164(sender).unwrap());
    let from = Dialling { country, extensions: &[] };
    let dialled = |written: &Option<String>| match written.as_deref().map(|written| read(written, &from)) {
        Some(Ok((number, _))) => number.as_str().to_owned(),
        Some(Err(error)) => format!("{error:?}"),
        None => "nobody".to_owned(),
    };
    match parse(text, &from, &usual()) {
        Reading::Request(Request { act: Act::Ask(Ask::Callback { a, b }), .. }) => {
            format!("{} {}", dialled(&a), dialled(&b))
        }
        Reading::Request(Request { act: Act::Ask(Ask::Rate { number }), .. }) => dialled(&Some(number)),
        Reading::Request(_) => "something else".to_owned(),
        Reading::Refused(refusal) => refusal.code().to_owned(),
        Reading::Ignored(ignored) => ignored.code().to_owned(),
    }
}

#[test]
fn a_bare_number_is_what_the_senders_own_phone_would_dial() {
    let (us, london) = ("+16465550199", "+442071838750");
    for (sender, text, dialled) in [
        (us, "bobus 1234 (646) 555-0199 (201) 555-0123", "+16465550199 +12015550123"),
        (us, "RATE 201 555 0123", "+12015550123"),
        (us, "bobus 1234 12065550100 442071838750", "+12065550100 +442071838750"),
        ("+18765551234", "u p 201 555 0123 876 555 1234", "+12015550123 +18765551234"),
        ("+8613912345678", "chen 1234 135 1234 5678 139 1234 5678", "+8613512345678 +8613912345678"),
        ("+8613912345678", "chen 1234 010 5555 6666 139 1234 5678", "+861055556666 +8613912345678"),
        ("+573211234567", "u p +442071838750 321 123 4567", "+442071838750 +573211234567"),
        ("+573211234567", "u p +442071838750 03 321 123 4567", "+442071838750 +573211234567"),
        ("+393123456789", "u p +442071838750 329 362 3045", "+442071838750 +393293623045"),
        ("+393123456789", "u p +442071838750 06 6981 2345", "+442071838750 +390669812345"),
        ("+34612345678", "u p +442071838750 612 34 56 78", "+442071838750 +34612345678"),
        ("+522221234567", "u p +442071838750 663 816 4493", "+442071838750 +526638164493"),
        ("+522221234567", "u p +442071838750 044 663 816 4493", "+442071838750 +526638164493"),
        ("+522221234567", "u p +442071838750 +52 1 663 816 4493", "+442071838750 +526638164493"),
        ("+5511961234567", "u p +442071838750 84 93234-3882", "+442071838750 +5584932343882"),
        ("+5511961234567", "u p +442071838750 0 15 84 93234-3882", "+442071838750 +5584932343882"),
        ("+541112345678", "u p +442071838750 011 15 2345-6789", "+442071838750 +5491123456789"),
        ("+541112345678", "u p +442071838750 +54 11 15 2345 6789", "+442071838750 +5491123456789"),
        ("+74951234567", "u p +442071838750 8 495 123-45-67", "+442071838750 +74951234567"),
        ("+74951234567", "u p +442071838750 8~10 44 20 7183 8750", "+442071838750 +442071838750"),
        ("+74951234567", "u p +74951234567 8 10 44 20 7183 8750", "+74951234567 +442071838750"),
        ("+380501234567", "u p +442071838750 8 050 123 45 67", "+442071838750 +380501234567"),
        ("+61291234567", "u p +442071838750 0011 44 20 7946 0018", "+442071838750 +442079460018"),
        ("+61291234567", "u p +442071838750 02 9123 4567", "+442071838750 +61291234567"),
        (london, "u p +44 020 7183 8750 07911123456", "+442071838750 +447911123456"),
    ] {
        assert_eq!(asked_by(sender, text), dialled, "{text:?} from {sender}");
    }
}

#[test]
fn two_numbers_are_cut_where_both_are_numbers_and_nowhere_else() {
    let uk = "+447700900001";
    for (sender, text, dialled) in [
        (uk, "alice s3cret +44 20 7946 0018 4930901820", "+442079460018 +4930901820"),
        (uk, "alice s3cret +442071838750 39 06 6981 2345", "+442071838750 +390669812345"),
        (uk, "alice s3cret +45 35 14 85 00 4533774429", "+4535148500 +4533774429"),
        (uk, "alice s3cret 44 20 7183 8750 44 20 7946 0018", "+442071838750 +442079460018"),
        (uk, "alice s3cret +442071838750 2 +4930901820", "too_many_words"),
        (uk, "alice s3cret +442071838750 +44 20 7946 0018 12", "too_many_words"),
        (uk, "alice s3cret +442071838750 +4930901820 24 7", "too_many_words"),
        (uk, "alice s3cret +442071838750 24 4930901820", "too_many_words"),
        (uk, "RATE +49 30 901820", "+4930901820"),
    ] {
        assert_eq!(asked_by(sender, text), dialled, "{text:?} from {sender}");
    }
}

#[test]
fn what_stands_around_a_text_is_not_part_of_it() {
    for text in [
        "user pass 004412345678 004498765432\0",
        "user pass \"004412345678\" “004498765432”",
        "user pass 004412345678, 004498765432.",
        "user pass <tel:004412345678> tel:+4498765432",
        "user pass 'tel:+4412345678' «004498765432»\r\n",
    ] {
        reads(text, "user", "pass", A, B);
    }
}

#[test]
fn what_is_not_clear_is_refused_with_its_reason() {
    for (text, code) in [
        ("", "empty_text"),
        (" \u{a0}\u{200b}\n", "empty_text"),
        ("hello", "too_few_words"),
        ("user pass", "too_few_words"),
        ("user pass 004412345678", "too_few_words"),
        ("user my pass 004412345678 004498765432", "too_many_words"),
        ("user pass 004412345678 004498765432 please", "too_many_words"),
        ("user pass 004412345678 004498765432 004412345679", "too_many_words"),
        ("user pass 12 34 56", "too_many_words"),
    ] {
        assert_eq!(outcome(text), code, "{text:?}");
    }
    assert_eq!(outcome(&"x ".repeat(801)), "too_long");
    assert_eq!(outcome(&"é".repeat(1600)), "too_few_words", "characters, not bytes");
}

#[test]
fn senders_that_are_no_numbers_are_left_alone() {
    let extensions = ["100".to_owned()];
    let site = Dialling { country: None, extensions: &extensions };
    for (from, number) in [("+447911123456", "+447911123456"), ("447911123456", "+447911123456"), ("100", "100")] {
        assert_eq!(sender(from, &site).map(|number| number.as_str().to_owned()).as_deref(), Ok(number));
    }
    for from in ["InfoSMS", "82345", "", "+", "*100#", "alerts@example.net"] {
        assert_eq!(sender(from, &site), Err(Ignored::SenderIsNoNumber), "{from}");
    }
}

/// Texts from the operators' own instructions, and what they wanted by them. One line: forms, text, meaning.
const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn every_operators_texts_mean_what_the_operator_said() {
    let mut lines = 0;
    for line in GOLDEN.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let (Some(forms), Some(text), Some(meaning)) = (columns.next(), columns.next(), columns.next()) else {
            panic!("three columns: {line}")
        };
        let codes = accepting(&forms.split(' ').collect::<Vec<_>>(), None);
        assert_eq!(told(&text.replace("\\s", " "), &codes), meaning, "{line}");
        lines += 1;
    }
    assert!(lines > 100, "{lines}");
}

#[test]
fn every_name_of_a_form_is_known_and_its_example_is_read_by_it() {
    for name in Form::names() {
        let codes = accepting(&[name], None);
        for how in codes.at("12065550100", "").hows() {
            let read = told(&how.example, &codes);
            assert!(read.contains(' '), "{name}: {} is {read}", how.example);
        }
        let with_keyword = accepting(&[name], Some("Call"));
        for how in with_keyword.at("12065550100", "").hows() {
            assert!(how.example.starts_with("CALL "), "{how:?}");
            assert!(told(&how.example, &with_keyword).contains(' '), "{name}: {}", how.example);
        }
    }
    let unknown = ShortCodeConfig { number: "1".to_owned(), forms: vec!["wrods".to_owned()], keyword: None };
    assert!(ShortCodes::new(&[unknown]).unwrap_err().contains("\"wrods\"; there are words, commands"));
}

#[test]
fn a_number_accepts_its_own_forms_and_others_the_usual_ones() {
    let codes = accepting(&["gtl"], None);
    let at = |number: &str| codes.at(number, "").forms().to_vec();
    for number in ["+12065550100", "12065550100", "1 (206) 555-0100"] {
        assert_eq!(at(number), [Form::Blank, Form::Destination, Form::Pair], "{number}");
    }
    for number in ["", "777", "+12065550101"] {
        assert_eq!(at(number), [Form::Words, Form::Commands], "{number}");
    }
    assert_eq!(told("alice pass 004412345678 004498765432", &codes), "not_understood");
    assert_eq!(told("bal", &codes), "not_understood");
    assert_eq!(told("STOP", &codes), "sender stops", "carriers demand it everywhere");
}

#[test]
fn what_the_law_calls_an_opt_out_stops_on_every_number() {
    for codes in [accepting(&["gtl"], None), accepting(&["words", "commands"], Some("ring"))] {
        for word in
            ["stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe", "stop all", "optout", "opt-out"]
        {
            for text in
                [word.to_owned(), word.to_uppercase(), format!("{word}."), format!("“{word}”"), format!("*{word}*!!")]
            {
                assert_eq!(told(&text, &codes), "sender stops", "{text}");
            }
        }
        for text in [
            "Stop. Thank you",
            "S T O P",
            "Arrêt",
            "ARRÊTER",
            "baja",
            "Abmelden!",
            "Стоп",
            "退订",
            "TD",
            "수신거부",
            "إيقاف",
        ] {
            assert_eq!(told(text, &codes), "sender stops", "{text}");
        }
        for text in ["Stop the war", "the end of it all", "call", "stopover"] {
            assert_ne!(told(text, &codes), "sender stops", "{text}");
        }
        assert_eq!(told("START!", &codes), "sender starts");
    }
}

#[test]
fn keywords_tell_the_users_of_one_number_apart() {
    let code = |forms: &[&str], keyword: Option<&str>| ShortCodeConfig {
        number: "777".to_owned(),
        forms: forms.iter().map(|form| (*form).to_owned()).collect(),
        keyword: keyword.map(str::to_owned),
    };
    let codes =
        ShortCodes::new(&[code(&["destination", "blank"], Some("CAL")), code(&["words", "commands"], Some("ring"))])
            .unwrap();
    let told = |text: &str| match parse(text, &from_uk(), codes.at("777", text)) {
        Reading::Request(request) => said(&request),
        Reading::Refused(refusal) => refusal.code().to_owned(),
        Reading::Ignored(ignored) => ignored.code().to_owned(),
    };
    assert_eq!(told("сal 020 7183 8750"), "sender calls ?, +442071838750", "a Cyrillic letter");
    assert_eq!(told(" CAL "), "sender calls ?, ?");
    assert_eq!(told("Ring alice pass 004412345678 004498765432"), "alice/pass calls +4412345678, +4498765432");
    assert_eq!(told("RING bal"), "sender asks for the balance");
    assert_eq!(told("ring"), "too_few_words");
    assert_eq!(told("bal"), "not_understood");
    assert_eq!(told("help"), "sender asks for help");
    assert_eq!(told("ring stop"), "sender stops");
    let open = ShortCodes::new(&[code(&["last7"], Some("cal")), code(&["destination"], None)]).unwrap();
    assert_eq!(open.at("777", "cal 1234567").forms(), [Form::Last7]);
    assert_eq!(open.at("777", "+442071838750").forms(), [Form::Destination]);
}

#[test]
fn what_two_forms_read_differently_is_refused() {
    let both = accepting(&["1st4", "gtl"], None);
    assert_eq!(told("1234512345 01772739222", &both), "ambiguous_text", "PIN and number, or two numbers");
    assert_eq!(told("CALL 01772739222", &both), "sender calls ?, +441772739222");
    let seven = accepting(&["uwt", "destination"], None);
    assert_eq!(told("8001111", &seven), "ambiguous_text", "last digits, or a number");
    assert_eq!(told("0370728", &seven), "..0370728 calls ?, ?", "no country has such a number");
    assert_eq!(told("0370728#01772739222", &seven), "..0370728 calls ?, +441772739222");
    let same = accepting(&["call", "foc", "1st4"], None);
    assert_eq!(told("CALL 01772739222", &same), "sender calls ?, +441772739222", "both read the same");
    let prices = accepting(&["afr", "foc"], None);
    assert_eq!(told("p 01772739222", &prices), "ambiguous_text", "a call, or a question");
}

#[test]
fn a_reading_with_numbers_wins_over_one_without() {
    assert_eq!(outcome("rate 44 20 71838750"), "request");
    let codes = accepting(&["words", "commands"], None);
    assert_eq!(told("rate 44 20 71838750", &codes), "sender asks for the price of +442071838750");
    assert_eq!(told("rate pass 004412345678 004498765432", &codes), "rate/pass calls +4412345678, +4498765432");
}

#[test]
fn no_text_is_guessed_and_none_panics() {
    let letters: Vec<char> = "\"\" +0044 12\u{a0}\u{200f}é٣#＃*'pass\ncalxСREG pbd3266".chars().collect();
    let packs: Vec<ShortCodes> = Form::names().map(|name| accepting(&[name, "commands"], None)).collect();
    let all = accepting(&Form::names().collect::<Vec<_>>(), Some("cal"));
    let mut dice: u64 = 3;
    let mut understood = 0;
    for round in 0..20_000 {
        let text: String = (0..dice % 60)
            .map(|_| {
                dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                letters[(dice >> 33) as usize % letters.len()]
            })
            .collect();
        dice = dice.wrapping_add(1);
        for codes in [&packs[round % packs.len()], &all] {
            let here = codes.at("+12065550100", &text);
            let first = parse(&text, &from_uk(), here);
            assert!(first == parse(&text, &from_uk(), here), "{text:?}");
            if let Reading::Request(request) = first {
                understood += 1;
                assert!(!said(&request).is_empty());
                let one_way = here.forms().iter().any(|form| {
                    let here = Here::new("", vec![*form], None);
                    parse(&text, &from_uk(), &here) == Reading::Request(request.clone())
                });
                let bare = here.without_keyword(text.trim()).is_none_or(|rest| rest == text.trim());
                assert!(
                    one_way || !bare || matches!(request.act, Act::Do(Command::Stop | Command::Start | Command::Help)),
                    "{text:?}"
                );
            }
        }
    }
    assert!(understood > 100, "{understood}");
}
