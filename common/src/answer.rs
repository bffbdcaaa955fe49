//! What people are told, on every channel and in their language. Pure: from events and reasons to sentences.
//!
//! The sentences are in `common/locales/LANGUAGE.ftl`; English is the one that the others are held to by the tests. An SMS says it
//! in as few parts as it can (two; three in Chinese), a mail line by line with a greeting.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod language;
mod why;

use std::borrow::Cow;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use unicode_normalization::UnicodeNormalization;

pub use language::Language;
pub use why::{How, Why};

use crate::end_reason::EndReason;
use crate::event::RequestEvent;
use crate::job::Quote;
use crate::money::Money;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Short, and in letters that an SMS carries at seven bits where the language has them.
    Sms,
    /// With greeting and end, a sentence a line.
    Mail,
}

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// [`Speaker::calling`]
    Calling,
    /// [`Speaker::finished`] of a callback.
    Over,
    /// [`Speaker::refused`]
    Refused,
    /// [`Speaker::finished`] of a question, and everything else.
    Answer,
}

/// Says things in one language on one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    language: Language,
    channel: Channel,
}

impl Speaker {
    /// In this language, on this channel.
    pub fn new(language: Language, channel: Channel) -> Speaker {
        Speaker { language, channel }
    }

    /// The subject of a mail.
    pub fn subject(self, subject: Subject) -> String {
        self.phrase(match subject {
            Subject::Calling => "subject-calling",
            Subject::Over => "subject-over",
            Subject::Refused => "subject-refused",
            Subject::Answer => "subject-answer",
        })
    }

    /// `ringback.request.admitted.v1`: the calls begin; what they cost, and how long the money lasts.
    pub fn calling(self, event: &RequestEvent) -> String {
        let calling = if event.b.is_some() { "calling" } else { "calling-asking" };
        let price = self.minute_price(event);
        let cost = match (price, self.money(event.balance, event), event.minutes) {
            (None, ..) => None,
            (Some((Money(0), _)), ..) => Some(self.phrase("price-none")),
            (Some((_, price)), Some(balance), Some(minutes)) => {
                Some(self.fill("price", &[("price", price), ("balance", balance), ("minutes", minutes.to_string())]))
            }
            (Some((_, price)), ..) => Some(self.fill("price-only", &[("price", price)])),
        };
        self.text([Some(self.phrase(calling)), cost])
    }

    /// `ringback.request.finished.v1`: how the callback went, or the answer to a question.
    pub fn finished(self, end: &RequestEvent) -> String {
        if let Some(quote) = end.quote {
            return self.answered(quote, end);
        }
        let talked = end.talk_seconds.filter(|seconds| *seconds > 0);
        let successful = end.result.as_deref() == Some("Successful");
        let cost = self.money(end.cost, end);
        let free = end.cost.is_none_or(|cost| cost.0 == 0);
        let left = self.money(end.balance, end).map(|balance| self.fill("left", &[("balance", balance)]));
        if talked.is_none() && !successful {
            let why = why::of_end(end);
            let paid = cost.filter(|_| !free).map(|cost| self.fill("paid", &[("cost", cost)]));
            let failed = match why {
                Some(key) => self.fill("failed", &[("why", self.end(key, end))]),
                None => self.phrase("failed-bare"),
            };
            return self.text([Some(failed), why.and_then(|key| self.advice(key)), paid, left]);
        }
        let length = self.length(talked.unwrap_or(0));
        let told = match cost {
            Some(cost) if !free => self.fill("talked-paid", &[("length", length), ("cost", cost)]),
            Some(_) => self.fill("talked-free", &[("length", length)]),
            None => self.fill("talked", &[("length", length)]),
        };
        self.text([Some(told), why::of_cut(end).map(|key| self.phrase(key)), left])
    }

    /// Why a callback ended, without its facts: for whoever looks at one. `None` where there is nothing to say.
    pub fn ended(self, reason: EndReason) -> Option<String> {
        why::of_reason(reason).map(|key| self.phrase(key))
    }

    /// Why there is no callback, and how to write it where that helps.
    pub fn refused(self, why: Why, how: Option<&How>) -> String {
        let refused = self.fill("refused", &[("why", self.why(why))]);
        self.text([Some(refused), how.map(|how| self.how(how))])
    }

    /// Why a command did nothing, or a question has no answer.
    pub fn refused_command(self, why: Why, how: Option<&How>) -> String {
        let refused = self.fill("refused-command", &[("why", self.why(why))]);
        self.text([Some(refused), how.map(|how| self.how(how))])
    }

    /// What can be written here, with an example of each form, and the commands.
    pub fn help(self, forms: &[How], commands: &[&str]) -> String {
        let shown = forms.iter().map(|how| how.example.to_string()).collect::<Vec<_>>().join(" | ");
        let forms = (!shown.is_empty()).then(|| {
            let gap = if self.language == Language::Chinese { "" } else { " " };
            format!("{}{gap}{shown}.", self.phrase("help"))
        });
        let commands = (!commands.is_empty()).then(|| self.fill("help-commands", &[("commands", commands.join(", "))]));
        self.text([forms, commands])
    }

    /// The sender's number was registered.
    pub fn registered(self, account: &str) -> String {
        let told = self.fill("registered", &[("account", account.to_owned())]);
        self.text([Some(told), self.advice("registered")])
    }

    /// The sender's number is not rung any more.
    pub fn stopped(self) -> String {
        self.text([Some(self.phrase("stopped")), self.advice("stopped")])
    }

    /// The sender's number may be rung again; or only the operator can allow it.
    pub fn started(self, may_be_called: bool) -> String {
        let key = if may_be_called { "started" } else { "started-not" };
        self.text([Some(self.phrase(key)), self.advice(key)])
    }

    /// So many calls of the sender were cancelled.
    pub fn cancelled(self, calls: usize) -> String {
        if calls == 0 {
            return self.text([Some(self.phrase("cancelled-none"))]);
        }
        self.text([Some(self.format("cancelled", None, &counting("calls", calls as u64)))])
    }

    /// A part of a long text has not come.
    pub fn part_missing(self) -> String {
        self.text([Some(self.phrase("part-missing")), self.advice("part-missing")])
    }

    fn answered(self, quote: Quote, end: &RequestEvent) -> String {
        let balance = self.money(end.balance, end);
        let told = match quote {
            Quote::Balance => balance.clone().map(|balance| self.fill("balance", &[("balance", balance)])),
            Quote::Rate => self.rate(end),
            Quote::LastCall => match (end.talk_seconds, self.money(end.cost, end)) {
                (Some(seconds), Some(cost)) => {
                    Some(self.fill("last-call", &[("length", self.length(seconds)), ("cost", cost)]))
                }
                _ => Some(self.phrase("last-call-none")),
            },
        };
        if end.result.as_deref() != Some("Answered") || told.is_none() {
            let why = why::of_end(end).unwrap_or("end-not-possible");
            let failed = self.fill("quote-failed", &[("why", self.end(why, end))]);
            return self.text([Some(failed), self.advice(why)]);
        }
        let lasts = match (quote, balance, end.minutes) {
            (Quote::Rate, Some(balance), Some(minutes)) => {
                Some(self.fill("rate-lasts", &[("balance", balance), ("minutes", minutes.to_string())]))
            }
            _ => None,
        };
        self.text([told, lasts])
    }

    fn rate(self, end: &RequestEvent) -> Option<String> {
        let (_, price) = self.minute_price(end)?;
        let currency = end.currency.as_deref()?;
        let [a, b] = [end.price_a?, end.price_b?].map(|price| price.shown_price(currency));
        Some(self.fill("rate", &[("price", price), ("price-a", a), ("price-b", b)]))
    }

    /// A minute of both calls.
    fn minute_price(self, event: &RequestEvent) -> Option<(Money, String)> {
        let both = event.price_a?.checked_add(event.price_b.unwrap_or_default())?;
        Some((both, both.shown_price(event.currency.as_deref()?)))
    }

    fn end(self, key: &str, end: &RequestEvent) -> String {
        match end.attempts {
            Some(tries) if key == "end-a-no-answer" => {
                self.format("end-a-no-answer-after", None, &counting("tries", u64::from(tries)))
            }
            _ => self.phrase(key),
        }
    }

    fn why(self, why: Why) -> String {
        let said = self.phrase(&why.key());
        match why.party() {
            Some(party) => self.fill("of-party", &[("party", self.phrase(party)), ("why", said)]),
            None => said,
        }
    }

    fn how(self, how: &How) -> String {
        let form = self.phrase(how.form);
        self.fill("how", &[("form", form), ("example", how.example.to_string())])
    }

    fn advice(self, key: &str) -> Option<String> {
        let bundle = bundle(self.language);
        bundle.get_message(key).and_then(|message| message.get_attribute("do"))?;
        Some(self.format(key, Some("do"), &FluentArgs::new()))
    }

    fn money(self, amount: Option<Money>, event: &RequestEvent) -> Option<String> {
        Some(amount?.shown(event.currency.as_deref()?))
    }

    /// `50 s`, `3 min 20 s`, `1 h 5 min`.
    fn length(self, seconds: u64) -> String {
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let key = match (hours, minutes, rest) {
            (0, 0, _) => "length-seconds",
            (0, _, 0) => "length-minutes",
            (0, _, _) => "length-minutes-seconds",
            _ => "length-hours",
        };
        let numbers = [("hours", hours), ("minutes", minutes), ("seconds", rest)];
        self.fill(key, &numbers.map(|(name, number)| (name, number.to_string())))
    }

    /// Sentences as the channel wants them.
    fn text<const N: usize>(self, sentences: [Option<String>; N]) -> String {
        let sentences: Vec<String> = sentences.into_iter().flatten().collect();
        match self.channel {
            Channel::Mail => {
                let body = sentences.join("\n");
                format!("{}\n\n{body}\n\n{}\n", self.phrase("mail-greeting"), self.phrase("mail-end"))
            }
            Channel::Sms if self.language == Language::Chinese => sentences.concat(),
            Channel::Sms => seven_bit(&sentences.join(" ")),
        }
    }

    fn phrase(self, key: &str) -> String {
        self.format(key, None, &FluentArgs::new())
    }

    fn fill(self, key: &str, values: &[(&str, String)]) -> String {
        let mut args = FluentArgs::new();
        for (name, value) in values {
            args.set(Cow::Owned((*name).to_owned()), value.clone());
        }
        self.format(key, None, &args)
    }

    /// A message, or one of its attributes; the key itself where there is none, which the tests rule out.
    fn format(self, key: &str, attribute: Option<&str>, args: &FluentArgs<'_>) -> String {
        let bundle = bundle(self.language);
        let message = bundle.get_message(key);
        let pattern = message.and_then(|message| match attribute {
            Some(name) => message.get_attribute(name).map(|attribute| attribute.value()),
            None => message.value(),
        });
        match pattern {
            Some(pattern) => bundle.format_pattern(pattern, Some(args), &mut Vec::new()).into_owned(),
            None => key.to_owned(),
        }
    }
}

/// Whether a text begins as one of ours does, in any language: it came back, and nobody is to be answered.
pub fn is_ours(text: &str) -> bool {
    static BEGINNINGS: LazyLock<Vec<String>> = LazyLock::new(beginnings);
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning.as_str()))
}

/// What stands before the first variable of each message that can begin a text, if it is long enough to be nobody else's.
fn beginnings() -> Vec<String> {
    const FIRST: [&str; 22] = [
        "calling",
        "calling-asking",
        "talked-paid",
        "talked-free",
        "talked",
        "failed",
        "failed-bare",
        "balance",
        "rate",
        "last-call",
        "last-call-none",
        "quote-failed",
        "registered",
        "stopped",
        "started",
        "started-not",
        "cancelled-none",
        "help",
        "help-commands",
        "part-missing",
        "refused",
        "refused-command",
    ];
    let mut all = Vec::new();
    for language in Language::ALL {
        let speaker = Speaker::new(language, Channel::Sms);
        for key in FIRST {
            let whole = speaker.phrase(key);
            let beginning = whole.split('{').next().unwrap_or_default().trim_end();
            let enough = if language == Language::Chinese { 4 } else { 9 };
            if beginning.chars().count() >= enough {
                all.extend([beginning.to_owned(), seven_bit(beginning)]);
            }
        }
    }
    all
}

/// A number that chooses a plural.
fn counting(name: &'static str, number: u64) -> FluentArgs<'static> {
    let mut args = FluentArgs::new();
    args.set(name, number);
    args
}

type Bundle = FluentBundle<FluentResource>;

fn bundle(language: Language) -> &'static Bundle {
    static BUNDLES: LazyLock<Vec<Bundle>> = LazyLock::new(|| Language::ALL.map(load).into());
    &BUNDLES[language as usize]
}

fn load(language: Language) -> Bundle {
    let text = match language {
        Language::English => include_str!("../locales/en.ftl"),
        Language::Spanish => include_str!("../locales/es.ftl"),
        Language::French => include_str!("../locales/fr.ftl"),
        Language::Chinese => include_str!("../locales/zh.ftl"),
    };
    let identifier = language.tag().parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![identifier]);
    bundle.set_use_isolating(false);
    let resource = FluentResource::try_new(text.to_owned()).unwrap_or_else(|(resource, _)| resource);
    bundle.add_resource_overriding(resource);
    bundle
}

/// The same text in the letters of the GSM alphabet: accents that it has not are left out, for a single one of them would
/// more than double the parts of an SMS.
fn seven_bit(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii() || ACCENTED.contains(c) => plain.push(c),
            '’' | '‘' => plain.push('\''),
            '“' | '”' | '«' | '»' => plain.push('"'),
            'œ' => plain.push_str("oe"),
            '…' => plain.push_str("..."),
            c => plain.extend(std::iter::once(c).nfd().filter(|c| !('\u{300}'..='\u{36f}').contains(c))),
        }
    }
    plain
}

/// What the GSM alphabet has beyond ASCII and may stand in our sentences.
const ACCENTED: &str = "èéùìòÇØøÅåÆæßÉÄÖÑÜäöñüà¡¿§£¥€";

#[cfg(test)]
mod tests;
