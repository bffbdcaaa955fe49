//! Texts to the SMS grammar and the number reader, as sent from four countries.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringback_common::number::{Country, Dialling, Number, read};
use ringback_trigger_sms::parse::{Reading, parse, sender};

static EXTENSIONS: LazyLock<Vec<String>> = LazyLock::new(|| vec!["100".to_owned(), "801".to_owned()]);

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let country = ["GB", "US", "RU", "IT"][input.len() % 4];
    let from = Dialling { country: Country::by_code(country), extensions: &EXTENSIONS };
    match parse(&text, &from) {
        Reading::Callback(callback) => {
            check(&callback.a, &from);
            check(&callback.b, &from);
            assert!(callback.user.len() + callback.secret.len() <= text.len());
        }
        Reading::Refused(refusal) => assert!(!refusal.code().is_empty()),
        Reading::Ignored(_) => {}
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
