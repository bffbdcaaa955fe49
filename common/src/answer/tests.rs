//! Every sentence in every language.

use std::collections::{BTreeMap, BTreeSet};

use fluent_bundle::FluentValue;
use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};

use super::*;
use crate::guard::Block;
use crate::intake::{Party, Reason};
use crate::job::JobId;
use crate::number::NumberError;

const FILES: [(Language, &str); 4] = [
    (Language::English, include_str!("../../locales/en.ftl")),
    (Language::Spanish, include_str!("../../locales/es.ftl")),
    (Language::French, include_str!("../../locales/fr.ftl")),
    (Language::Chinese, include_str!("../../locales/zh.ftl")),
];

/// The variables of each message and attribute: `end-b-busy`, `end-b-busy.do`.
fn messages(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let resource = fluent_syntax::parser::parse(text).expect("the file is good Fluent");
    let mut found = BTreeMap::new();
    for entry in &resource.body {
        let Entry::Message(message) = entry else { continue };
        let patterns = message.value.iter().map(|value| (message.id.name.to_owned(), value));
        let attributes = message.attributes.iter().map(|at| (format!("{}.{}", message.id.name, at.id.name), &at.value));
        for (key, pattern) in patterns.chain(attributes) {
            assert!(found.insert(key.clone(), variables(pattern)).is_none(), "{key} twice");
        }
    }
    found
}

fn variables(pattern: &Pattern<&str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for element in &pattern.elements {
        let PatternElement::Placeable { expression } = element else { continue };
        let (inline, variants) = match expression {
            Expression::Inline(inline) => (inline, Vec::new()),
            Expression::Select { selector, variants } => (selector, variants.iter().collect()),
        };
        match inline {
            InlineExpression::VariableReference { id } => found.insert(id.name.to_owned()),
            other => panic!("only variables are used: {other:?}"),
        };
        variants.iter().for_each(|variant| found.extend(variables(&variant.value)));
    }
    found
}

#[test]
fn every_language_says_the_same_things_with_the_same_variables() {
    let english = messages(FILES[0].1);
    assert!(english.len() > 140, "{}", english.len());
    for (language, text) in FILES {
        assert_eq!(messages(text), english, "{language:?}");
    }
}

#[test]
fn every_message_is_filled_in_every_language() {
    for (language, text) in FILES {
        let bundle = bundle(language);
        for (key, variables) in messages(text) {
            let mut args = FluentArgs::new();
            for name in &variables {
                let counts = ["tries", "calls"].contains(&name.as_str());
                let value = format!("<{name}>");
                args.set(name.clone(), if counts { FluentValue::from(2) } else { FluentValue::from(value) });
            }
            let (id, attribute) = key.split_once('.').map_or((key.as_str(), None), |(id, at)| (id, Some(at)));
            let message = bundle.get_message(id).unwrap();
            let pattern = match attribute {
                Some(name) => message.get_attribute(name).unwrap().value(),
                None => message.value().unwrap(),
            };
            let mut errors = Vec::new();
            let said = bundle.format_pattern(pattern, Some(&args), &mut errors);
            assert!(errors.is_empty() && !said.trim().is_empty(), "{language:?} {key}: {errors:?}");
            for name in variables {
                let shown =
                    if ["tries", "calls"].contains(&name.as_str()) { "2".to_owned() } else { format!("<{name}>") };
                assert!(said.contains(&shown), "{language:?} {key}: {said}");
            }
        }
    }
}

fn event() -> RequestEvent {
    RequestEvent {
        job: JobId("j".to_owned()),
        seq: 9,
        source: "sms".to_owned(),
        account: "alice".to_owned(),
        status: "Finished".to_owned(),
        result: None,
        reason: None,
        a: "+442071838750".parse().unwrap(),
        b: Some("+4915112345678".parse().unwrap()),
        quote: None,
        price_a: Some("0.10".parse().unwrap()),
        price_b: Some("0.05".parse().unwrap()),
        minutes: Some(63),
        attempts: None,
        talk_seconds: None,
        cost: None,
        currency: Some("USD".to_owned()),
        balance: Some("9.55".parse().unwrap()),
        reply: None,
        metadata: Default::default(),
    }
}

fn end(result: &str, reason: impl Into<Option<EndReason>>, talk_seconds: u64, cost: &str) -> RequestEvent {
    RequestEvent {
        result: Some(result.to_owned()),
        reason: reason.into(),
        talk_seconds: Some(talk_seconds),
        cost: Some(cost.parse().unwrap()),
        ..event()
    }
}

fn sms(language: Language) -> Speaker {
    Speaker::new(language, Channel::Sms)
}

fn english() -> Speaker {
    sms(Language::English)
}

#[test]
fn a_call_is_told_by_its_length_price_and_what_is_left() {
    for (seconds, length) in [(50, "50 s"), (60, "1 min"), (200, "3 min 20 s"), (3900, "1 h 5 min")] {
        let told = english().finished(&end("Successful", EndReason::Talked, seconds, "0.45"));
        assert_eq!(told, format!("Your call lasted {length} and cost 0.45 USD. 9.55 USD left."));
    }
    let free = RequestEvent { balance: None, ..end("Interrupted", EndReason::Interrupted, 5, "0.00") };
    assert_eq!(english().finished(&free), "Your call lasted 5 s and cost nothing. It was interrupted on our side.");
    let broke = end("Successful", EndReason::MoneyUsedUp, 90, "9.55");
    assert_eq!(
        english().finished(&RequestEvent { balance: Some(Money::ZERO), ..broke }),
        "Your call lasted 1 min 30 s and cost 9.55 USD. The money on the account was used up. 0.00 USD left."
    );
    let told = sms(Language::Chinese).finished(&end("Successful", EndReason::Talked, 200, "0.45"));
    assert_eq!(told, "通话 3 分 20 秒，费用 0.45 USD。余额 9.55 USD。");
}

#[test]
fn a_failure_is_told_with_what_to_do() {
    let busy = end("Second leg failed", EndReason::BBusy, 0, "0.02");
    assert_eq!(
        english().finished(&busy),
        "No callback: your friend's line is busy. Send it again later. It cost 0.02 USD. 9.55 USD left."
    );
    let nobody = RequestEvent { attempts: Some(3), ..end("Out of retries", EndReason::ANoAnswer, 0, "0.00") };
    assert_eq!(
        english().finished(&nobody),
        "No callback: you did not answer after 3 tries. Send it again when you can answer. 9.55 USD left."
    );
    let spanish = sms(Language::Spanish).finished(&nobody);
    assert_eq!(
        spanish,
        "Sin llamada: usted no contesto tras 3 intentos. Envielo otra vez cuando pueda contestar. Quedan 9.55 USD.",
        "in letters of seven bits"
    );
    let odd = RequestEvent { balance: None, ..end("Odd", EndReason::Unknown, 0, "0.00") };
    assert_eq!(english().finished(&odd), "No callback.");
    assert_eq!(sms(Language::French).finished(&odd), "Pas d'appel.", "a code is nothing to read");
}

#[test]
fn the_beginning_says_what_it_costs_and_how_long_the_money_lasts() {
    assert_eq!(
        english().calling(&event()),
        "We are calling you now, then the other number. A minute costs 0.15 USD; 9.55 USD last 63 min."
    );
    let asked = RequestEvent { b: None, price_b: None, minutes: None, ..event() };
    assert_eq!(
        english().calling(&asked),
        "We are calling you now and will ask you for the other number. A minute costs 0.10 USD."
    );
    let free = RequestEvent { price_a: Some(Money::ZERO), price_b: Some(Money::ZERO), ..event() };
    assert!(english().calling(&free).ends_with("This call is free."));
    let silent = RequestEvent { price_a: None, ..event() };
    assert_eq!(english().calling(&silent), "We are calling you now, then the other number.");
}

#[test]
fn questions_are_answered_or_told_why_not() {
    let asked = |quote| RequestEvent { quote: Some(quote), ..end("Answered", None, 200, "0.45") };
    assert_eq!(english().finished(&asked(Quote::Balance)), "You have 9.55 USD.");
    assert_eq!(
        english().finished(&asked(Quote::Rate)),
        "A minute costs 0.15 USD: 0.10 USD for your phone, 0.05 USD for theirs. 9.55 USD last 63 min."
    );
    assert_eq!(english().finished(&asked(Quote::LastCall)), "Your last call lasted 3 min 20 s and cost 0.45 USD.");
    let never = RequestEvent { talk_seconds: None, cost: None, ..asked(Quote::LastCall) };
    assert_eq!(english().finished(&never), "You have made no call yet.");
    let no_price = RequestEvent { quote: Some(Quote::Rate), ..end("Rejected", EndReason::NoPrice, 0, "0.00") };
    assert_eq!(english().finished(&no_price), "No answer: there is no price for this number. Ask us for one.",);
}

#[test]
fn commands_are_answered() {
    let speaker = english();
    assert_eq!(
        speaker.registered("alice"),
        "This number now belongs to the account alice. Send HELP for what you can write."
    );
    assert_eq!(speaker.stopped(), "We will not call this number any more. Send START to allow it again.");
    assert_eq!(speaker.started(true), "We may call this number again.");
    assert_eq!(speaker.started(false), "Calls to this number are blocked by us. Ask us to allow them.");
    let cancelled: Vec<String> = [0, 1, 2].map(|calls| speaker.cancelled(calls)).into();
    assert_eq!(cancelled, ["No call of yours is under way.", "Your call is cancelled.", "Your 2 calls are cancelled."]);
    assert_eq!(speaker.part_missing(), "A part of your text is missing, and nobody was called. Send it again.");
    let how = How { form: "form-destination", example: "+4915112345678".into() };
    assert_eq!(speaker.help(&[how], &["BAL", "HELP"]), "You can send: +4915112345678. Also: BAL, HELP.",);
}

fn every_why() -> Vec<Why> {
    let numbers = [
        NumberError::Empty,
        NumberError::NotDigits,
        NumberError::StarOrHash,
        NumberError::TooShort,
        NumberError::TooLong,
        NumberError::LeadingZero,
        NumberError::NoCountry,
        NumberError::Ambiguous,
    ];
    let blocks = [Block::NeverDial, Block::HardBlocked, Block::CaribbeanReview, Block::Country, Block::DoNotCall];
    let plain = [
        Reason::SenderNotRegistered,
        Reason::BadSecretOrUser,
        Reason::UnknownAccount,
        Reason::AccountDisabled,
        Reason::NoMoney,
        Reason::SameNumber,
        Reason::AlreadyCalling,
        Reason::Limit("jobs_per_account_per_day"),
        Reason::NoCallbackNumber,
        Reason::AmbiguousDid,
        Reason::NotYourAccount,
        Reason::MailNotVouched,
        Reason::NothingToRepeat,
        Reason::SecretTooShort,
        Reason::NumberTaken,
        Reason::TooManyNumbers,
        Reason::SenderNotANumber,
        Reason::PinNeeded,
        Reason::TooLarge,
    ];
    let texts = [
        "too_long",
        "too_few_words",
        "too_many_words",
        "ambiguous_text",
        "not_understood",
        "not_text",
        "not_now",
        "not_vouched",
        "address_not_registered",
    ];
    let mut every: Vec<Why> = texts.map(Why::Text).into();
    every.extend(plain.map(Why::Reason));
    every.extend(numbers.map(|error| Why::Reason(Reason::BadNumber(Party::B, error))));
    every.extend(blocks.map(|block| Why::Reason(Reason::Blocked(Party::A, block))));
    every
}

#[test]
fn every_reason_has_its_sentence_and_english_says_what_the_reason_itself_says() {
    let keys = messages(FILES[0].1);
    for why in every_why() {
        assert!(keys.contains_key(&why.key()), "{why:?} {}", why.key());
        if let Why::Reason(reason) = why {
            let (said, own) = (english().refused(why, None), reason.to_string());
            let begins = own.split(';').next().unwrap().replace("of this sender", "of yours");
            assert!(said.contains(&begins), "{said} / {own}");
        }
    }
    let refused: BTreeSet<String> = every_why().into_iter().map(|why| english().refused(why, None)).collect();
    assert_eq!(refused.len(), every_why().len(), "each says its own");
}

#[test]
fn a_refusal_shows_how_to_write_it() {
    let how = How { form: "form-words", example: "alice secret +442071838750 +4915112345678".into() };
    let told = english().refused(Why::Text("too_few_words"), Some(&how));
    assert_eq!(
        told,
        "No callback: something is missing in the text. Send: name password your-number other-number. \
         Example: alice secret +442071838750 +4915112345678"
    );
    let number = Why::Reason(Reason::BadNumber(Party::A, NumberError::TooShort));
    assert!(english().refused(number, None).starts_with("No callback: the first number: the number is too short"));
}

/// How many SMS it takes: 160 septets in one and 153 in each of several, or 70 and 67 characters.
fn parts(text: &str) -> usize {
    let septets = text.chars().map(|c| match c {
        '{' | '}' | '[' | ']' | '~' | '|' | '^' | '\\' | '€' => Some(2),
        '`' => None,
        c if c.is_ascii() || ACCENTED.contains(c) => Some(1),
        _ => None,
    });
    match septets.sum::<Option<usize>>() {
        Some(septets) if septets <= 160 => 1,
        Some(septets) => septets.div_ceil(153),
        None if text.encode_utf16().count() <= 70 => 1,
        None => text.encode_utf16().count().div_ceil(67),
    }
}

/// Everything that can be said, at its longest.
fn everything(speaker: Speaker) -> Vec<String> {
    let balance = Some("98765432.123456".parse().unwrap());
    let mut said = Vec::new();
    let by_reason = EndReason::all().map(|reason| ("", Some(reason)));
    for (result, reason) in by_reason.chain(why::RESULTS.map(|(result, _)| (result, None))) {
        let end = RequestEvent { balance, attempts: Some(12), ..end(result, reason, 0, "1234.123456") };
        said.push(speaker.finished(&end));
        said.push(speaker.finished(&RequestEvent { quote: Some(Quote::Rate), ..end }));
    }
    for result in ["Successful", "Canceled", "Interrupted", "No funds"] {
        said.push(speaker.finished(&RequestEvent { balance, ..end(result, None, 86_399, "1234.123456") }));
    }
    for quote in [Quote::Balance, Quote::Rate, Quote::LastCall] {
        said.push(speaker.finished(&RequestEvent {
            balance,
            quote: Some(quote),
            ..end("Answered", None, 86_399, "1.5")
        }));
    }
    said.push(speaker.calling(&RequestEvent { balance, ..event() }));
    said.push(speaker.calling(&RequestEvent { balance, b: None, ..event() }));
    said.extend([speaker.stopped(), speaker.started(true), speaker.started(false), speaker.part_missing()]);
    said.extend([speaker.cancelled(0), speaker.cancelled(1), speaker.cancelled(12)]);
    said.push(speaker.registered(&"a".repeat(32)));
    let forms = messages(FILES[0].1).into_keys().filter(|key| key.starts_with("form-"));
    let examples = forms.map(|form| (form, "1234567#22333#011334545667#011902324445656"));
    let hows: Vec<(String, &str)> = examples.collect();
    for (form, example) in &hows {
        let form: &'static str = form.clone().leak();
        for why in every_why() {
            let how = How { form, example: (*example).into() };
            said.push(speaker.refused(why, Some(&how)));
            said.push(speaker.refused_command(why, None));
        }
    }
    said
}

#[test]
fn an_sms_is_short_in_every_language() {
    for language in Language::ALL {
        let most = if language == Language::Chinese { 3 } else { 2 };
        for said in everything(sms(language)) {
            assert!(parts(&said) <= most, "{language:?}, {} parts: {said}", parts(&said));
            assert!(!said.contains("why-") && !said.contains("end-") && !said.contains("  "), "{said}");
        }
    }
}

#[test]
fn our_own_texts_are_known_when_they_come_back_and_others_are_not_taken_for_them() {
    for language in Language::ALL {
        let said = everything(sms(language));
        let known = said.iter().filter(|said| is_ours(said)).count();
        assert!(known * 100 > said.len() * 95, "{language:?}: {known} of {}", said.len());
    }
    for text in ["alice pass 004412345678 004498765432", "bal", "No", "You", "余额", "", "Your", "call me", "Tiene"] {
        assert!(!is_ours(text), "{text}");
    }
}

#[test]
fn a_mail_greets_and_says_it_line_by_line() {
    for language in Language::ALL {
        let mail = Speaker::new(language, Channel::Mail);
        for said in everything(mail) {
            assert_eq!(said.matches("\n\n").count(), 2, "{said}");
        }
        for subject in [Subject::Calling, Subject::Over, Subject::Refused, Subject::Answer] {
            let subject = mail.subject(subject);
            assert!(!subject.is_empty() && !subject.contains("subject"), "{subject}");
        }
    }
    let mail = Speaker::new(Language::Spanish, Channel::Mail);
    assert_eq!(
        mail.finished(&end("Second leg failed", EndReason::BNoAnswer, 0, "0.00")),
        "Buenos días:\n\nSin llamada: su amigo no contestó.\nEnvíelo otra vez más tarde.\nQuedan 9.55 USD.\n\n\
         Esta es una respuesta automática del servicio de llamadas.\n"
    );
}
