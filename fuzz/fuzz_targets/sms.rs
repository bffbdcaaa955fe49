//! Texts to every form of the SMS grammar and to the number reader, as sent from four countries.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringback_common::config::ShortCodeConfig;
use ringback_common::intake::Ask;
use ringback_common::number::{Country, Dialling, Number, read};
use ringback_trigger_sms::parse::{Act, Command, Form, MOST_OTHERS, Reading, ShortCodes, parse, sender};

static EXTENSIONS: LazyLock<Vec<String>> = LazyLock::new(|| vec!["100".to_owned(), "801".to_owned()]);

/// Every form at a number of its own, named like it, and all of them at one number behind a keyword.
static CODES: LazyLock<ShortCodes> = LazyLock::new(|| {
    let one = |name: &str| ShortCodeConfig { number: name.to_owned(), forms: vec![name.to_owned()], keyword: None };
    let all = ShortCodeConfig {
        number: "all".to_owned(),
        forms: Form::names().map(str::to_owned).collect(),
        keyword: Some("cal".to_owned()),
    };
    ShortCodes::new(&Form::names().map(one).chain([all]).collect::<Vec<_>>()).expect("the forms name themselves")
});

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let country = ["GB", "US", "RU", "IT"][input.len() % 4];
    let from = Dialling { country: Country::by_code(country), extensions: &EXTENSIONS };
    for to in Form::names().chain(["all", ""]) {
        let here = CODES.at(to, &text);
        let reading = parse(&text, &from, here);
        assert!(reading == parse(&text, &from, here), "read twice, read alike");
        match reading {
            Reading::Request(request) => match request.act {
                Act::Ask(Ask::Callback { a, b }) => {
                    for number in a.iter().chain(&b) {
                        check(number, &from);
                    }
                }
                Act::Ask(Ask::Rate { number }) => check(&number, &from),
                Act::Do(Command::Register { pin, others, .. }) => {
                    assert!(pin.len() <= text.len() && others.len() <= MOST_OTHERS);
                }
                Act::Ask(_) | Act::Do(_) => {}
            },
            Reading::Refused(refusal) => assert!(!refusal.code().is_empty()),
            Reading::Ignored(_) => {}
        }
    }
    let _ = sender(&text, &from);
    check(&text, &from);
});

/// What was read as a number can be dialled, and is read as itself.
fn check(text: &str, from: &Dialling<'_>) {
    if let Ok((number, _)) = read(text, from) {
        assert_eq!(number.as_str().parse::<Number>().as_ref(), Ok(&number));
        assert_eq!(read(number.as_str(), from).map(|(again, _)| again).as_ref(), Ok(&number));
    }
}
