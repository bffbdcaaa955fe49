//! The one picture of Ringback: two phones and the line between them. Events go in, what to draw comes out; the page and the
//! terminal draw the same.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::answer::{Channel, Language, Speaker};
use ringback_common::end_reason::EndReason;
use ringback_common::event::{LegName, RequestEvent};
use ringback_common::number::Number;
use ringback_common::queue::Delivery;
use ringback_common::store::{CdrRow, RequestRow};
use serde_json::Value;

/// How far a callback is. The line between the phones is filled up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Asked for; nothing rings yet, or again not yet.
    Requested,
    /// A's phone is called.
    RingingA,
    /// A has answered.
    AnsweredA,
    /// B's phone is called.
    RingingB,
    /// Both talk.
    Talking,
    /// It is over.
    Over,
}

/// One phone of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phone {
    /// Not called yet.
    Waiting,
    /// Called; it may ring.
    Ringing,
    /// Answered.
    Talking,
    /// Hung up.
    Ended,
    /// Not reached.
    Failed,
}

impl Phone {
    /// The word for it; also the class of its drawing.
    pub fn word(self) -> &'static str {
        match self {
            Phone::Waiting => "waiting",
            Phone::Ringing => "ringing",
            Phone::Talking => "talking",
            Phone::Ended => "ended",
            Phone::Failed => "failed",
        }
    }
}

/// What can be said about one callback now.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The job.
    pub job: String,
    /// The first party's number.
    pub a: String,
    /// The second party's number.
    pub b: String,
    /// How far it is.
    pub stage: Stage,
    /// The first party's phone.
    pub a_phone: Phone,
    /// The second party's phone.
    pub b_phone: Phone,
    /// Sippy's result string, once it is over.
    pub result: Option<String>,
    /// Why it ended so.
    pub reason: Option<EndReason>,
    /// The last SIP status code of a phone that was not reached.
    pub sip_code: Option<u16>,
    /// Seconds both talked.
    pub talk_seconds: u64,
    /// What it cost, with its currency.
    pub cost: Option<String>,
    /// Nobody is called: something was asked, and answered.
    pub question: bool,
    /// What its sender is told at the end.
    pub told: Option<String>,
    /// A try of A failed and another follows.
    pub retrying: bool,
    seq: u64,
}

impl Picture {
    /// A callback that was just asked for.
    pub fn requested(job: &str, a: &Number, b: Option<&Number>) -> Picture {
        Picture {
            job: job.to_owned(),
            a: written(a),
            b: b.map(written).unwrap_or_default(),
            stage: Stage::Requested,
            a_phone: Phone::Waiting,
            b_phone: Phone::Waiting,
            result: None,
            reason: None,
            sip_code: None,
            talk_seconds: 0,
            cost: None,
            question: false,
            told: None,
            retrying: false,
            seq: 0,
        }
    }

    /// What the store knows, for whoever comes late or comes back.
    pub fn of_row(row: &RequestRow, cdrs: &[CdrRow]) -> Picture {
        let mut picture = Picture::requested(row.job.id.as_str(), &row.job.a, row.job.b.as_ref());
        match row.status.as_str() {
            "First leg initiated" => picture.a_rings(),
            "First leg connected" => picture.a_answers(),
            "Second leg initiated" => picture.b_rings(),
            "Second leg connected" => picture.both_talk(),
            "Waiting for retry" => picture.waits(),
            _ => {}
        }
        if row.finished {
            let cost: ringback_common::money::Money = cdrs.iter().map(|cdr| cdr.cost).sum();
            let currency = cdrs.first().map(|cdr| cdr.currency.clone()).unwrap_or_default();
            for cdr in cdrs {
                picture.settle_phone(cdr.leg, cdr.connect_time.is_some(), cdr.sip_code);
            }
            let b_talked = cdrs.iter().filter(|cdr| cdr.leg == LegName::B).map(|cdr| cdr.duration_ms).max();
            picture.talk_seconds = b_talked.and_then(|ms| u64::try_from(ms / 1000).ok()).unwrap_or(0);
            picture.ends(row.result.as_deref(), row.reason);
            picture.cost = Some(cost.shown(&currency));
        }
        picture
    }

    /// The picture after the news in a message of the event log; `None` if it is about something else.
    pub fn job_of(message: &Delivery) -> Option<(String, Value)> {
        let envelope: Value = serde_json::from_slice(&message.body).ok()?;
        let job = envelope.get("data")?.get("job")?.as_str()?.to_owned();
        Some((job, envelope))
    }

    /// Takes in one event of this job. Old news changes nothing and answers false.
    pub fn hear(&mut self, envelope: &Value) -> bool {
        let kind = envelope.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some(data) = envelope.get("data") else { return false };
        let seq = data.get("seq").and_then(Value::as_u64).unwrap_or(0);
        if seq <= self.seq {
            return false;
        }
        self.seq = seq;
        let word = kind.strip_prefix("ringback.").and_then(|rest| rest.strip_suffix(".v1")).unwrap_or_default();
        match word.split_once('.') {
            Some(("request", state)) => self.hear_request(state, data),
            Some(("leg", state)) => self.hear_leg(state, data),
            _ => return false,
        }
        true
    }

    fn hear_request(&mut self, state: &str, data: &Value) {
        match state {
            "calling_a" => self.a_rings(),
            "calling_b" => self.b_rings(),
            "talking" => self.both_talk(),
            "waiting" => self.waits(),
            "finished" => {
                let Ok(event) = serde_json::from_value::<RequestEvent>(data.clone()) else { return };
                self.talk_seconds = event.talk_seconds.unwrap_or(0);
                self.question = event.quote.is_some();
                self.told = Some(Speaker::new(Language::English, Channel::Sms).finished(&event));
                let currency = event.currency.unwrap_or_default();
                self.cost = event.cost.map(|cost| cost.shown(&currency));
                self.ends(event.result.as_deref(), event.reason);
            }
            _ => {}
        }
    }

    fn hear_leg(&mut self, state: &str, data: &Value) {
        let leg = if data.get("leg").and_then(Value::as_str) == Some("b") { LegName::B } else { LegName::A };
        let code = data.get("sip_code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        match (leg, state) {
            (LegName::A, "calling" | "ringing") => self.a_rings(),
            (LegName::A, "answered") => self.a_answers(),
            (LegName::B, "calling" | "ringing") => self.b_rings(),
            (LegName::B, "answered") => self.both_talk(),
            (leg, "ended") => {
                let answered = matches!(self.phone(leg), Phone::Talking | Phone::Ended);
                self.settle_phone(leg, answered, code);
            }
            _ => {}
        }
    }

    fn phone(&mut self, leg: LegName) -> &mut Phone {
        match leg {
            LegName::A => &mut self.a_phone,
            LegName::B => &mut self.b_phone,
        }
    }

    fn settle_phone(&mut self, leg: LegName, answered: bool, code: Option<u16>) {
        self.sip_code = if answered { self.sip_code } else { code };
        *self.phone(leg) = if answered { Phone::Ended } else { Phone::Failed };
    }

    fn waits(&mut self) {
        (self.stage, self.a_phone, self.retrying) = (Stage::Requested, Phone::Failed, true);
    }

    fn a_rings(&mut self) {
        (self.stage, self.a_phone, self.sip_code) = (Stage::RingingA, Phone::Ringing, None);
    }

    fn a_answers(&mut self) {
        (self.stage, self.a_phone) = (Stage::AnsweredA, Phone::Talking);
    }

    fn b_rings(&mut self) {
        (self.stage, self.a_phone, self.b_phone, self.sip_code) =
            (Stage::RingingB, Phone::Talking, Phone::Ringing, None);
    }

    fn both_talk(&mut self) {
        (self.stage, self.a_phone, self.b_phone) = (Stage::Talking, Phone::Talking, Phone::Talking);
    }

    fn ends(&mut self, result: Option<&str>, reason: Option<EndReason>) {
        self.stage = Stage::Over;
        for leg in [LegName::A, LegName::B] {
            let phone = self.phone(leg);
            *phone = match *phone {
                Phone::Talking => Phone::Ended,
                Phone::Ringing => Phone::Failed,
                other => other,
            };
        }
        self.result = result.map(str::to_owned);
        self.reason = reason;
    }

    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Whether one of the two who talked has hung up and the other is being told.
    pub fn hanging_up(&self) -> bool {
        self.stage == Stage::Talking && [self.a_phone, self.b_phone].contains(&Phone::Ended)
    }

    /// Whether it ended, and not as it should.
    pub fn failed(&self) -> bool {
        self.is_over() && self.result.as_deref() != Some("Successful")
    }

    /// The colour word: waiting, ringing, talking, ended or failed.
    pub fn tone(&self) -> &'static str {
        match self.stage {
            Stage::Requested => "waiting",
            Stage::RingingA | Stage::RingingB => "ringing",
            Stage::AnsweredA | Stage::Talking => "talking",
            Stage::Over if self.failed() => "failed",
            Stage::Over => "ended",
        }
    }

    /// How much of the line is filled, in fifths.
    pub fn filled(&self) -> u8 {
        match self.stage {
            Stage::Requested => 0,
            Stage::RingingA => 1,
            Stage::AnsweredA => 2,
            Stage::RingingB => 3,
            Stage::Talking => 5,
            Stage::Over if self.failed() && self.b_phone == Phone::Failed => 3,
            Stage::Over if self.failed() && self.a_phone == Phone::Ended => 2,
            Stage::Over if self.failed() => 1,
            Stage::Over => 5,
        }
    }

    /// Where the callback is, in a word or two.
    pub fn headline(&self) -> String {
        match self.stage {
            Stage::Requested if self.retrying => "Waiting to try again".to_owned(),
            Stage::Requested => "Requested".to_owned(),
            Stage::RingingA => "Your phone rings".to_owned(),
            Stage::AnsweredA => "You answered".to_owned(),
            Stage::RingingB => "Their phone rings".to_owned(),
            Stage::Talking if self.hanging_up() => "Hanging up".to_owned(),
            Stage::Talking => "Talking".to_owned(),
            Stage::Over if self.failed() => self.why(),
            Stage::Over => "Over".to_owned(),
        }
    }

    /// One more sentence: what it cost, or what to do next.
    pub fn detail(&self) -> String {
        match (self.stage, self.failed()) {
            (Stage::Requested, _) if self.retrying => {
                "Nobody answered on your phone. We will ring it again soon.".to_owned()
            }
            (Stage::Requested, _) => "Keep your phone at hand.".to_owned(),
            (Stage::RingingA, _) => format!("Pick up {}.", self.a),
            (Stage::AnsweredA | Stage::RingingB, _) => format!("We are ringing {}.", self.b),
            (Stage::Talking, _) => "Both phones are connected.".to_owned(),
            (Stage::Over, false) => format!("You talked {}{}.", duration(self.talk_seconds), self.paid()),
            (Stage::Over, true) => format!("{}{}", self.advice(), self.charged()),
        }
    }

    /// The sentence of its reason, as everybody hears it who asks for callbacks.
    fn why(&self) -> String {
        let said = self.reason.and_then(|reason| Speaker::new(Language::English, Channel::Sms).ended(reason));
        let said = said.unwrap_or_else(|| "it did not work".to_owned());
        let mut letters = said.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }

    fn advice(&self) -> &'static str {
        match self.result.as_deref().unwrap_or_default() {
            "Out of retries" => "Check the first number, then try again.",
            "Second leg failed" | "First leg aborted" | "Canceled" | "Expired" | "Interrupted" => {
                "Try again when it suits you."
            }
            "No funds" => "Top up the account, then try again.",
            "Blocked" => "Ask the operator if it should be.",
            _ => "Check both numbers, then try again.",
        }
    }

    fn paid(&self) -> String {
        self.cost.as_ref().map(|cost| format!(" and paid {cost}")).unwrap_or_default()
    }

    fn charged(&self) -> String {
        match self.cost.as_deref() {
            Some(cost) if !cost.starts_with("0.00") => format!(" It cost {cost}."),
            _ => String::new(),
        }
    }
}

/// A number as its country writes it: `+44 20 7183 8750`.
pub fn written(number: &Number) -> String {
    if number.is_extension() {
        return number.as_str().to_owned();
    }
    match phonenumber::parse(None, number.as_str()) {
        Ok(parsed) => parsed.format().mode(phonenumber::Mode::International).to_string(),
        Err(_) => number.as_str().to_owned(),
    }
}

/// `7 s`, `2 min 05 s`.
pub fn duration(seconds: u64) -> String {
    match seconds / 60 {
        0 => format!("{seconds} s"),
        minutes => format!("{minutes} min {:02} s", seconds % 60),
    }
}

#[cfg(test)]
mod tests;
