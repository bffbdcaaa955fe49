//! One IIF message: a method, a colon, and parameters between semicolons. Reads what application servers send and writes what they
//! hear; knows nothing of what the parameters mean.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use ringback_common::config::Dialect;
use ringback_common::job::JobId;

/// The longest message that is read to its end (bytes); the longest that the interface allows has less than a third.
pub const LONGEST: usize = 2_048;
/// As many parameters are read.
const MOST: usize = 64;
/// An id as long as this is said back, even where it is refused (bytes).
const LONGEST_ECHO: usize = 255;

/// What a message wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Make a call.
    Request,
    /// A REQUEST was read; we say that.
    Ack,
    /// End a call.
    Release,
    /// A call is over; we say that.
    Response,
}

impl Method {
    const ALL: [Method; 4] = [Method::Request, Method::Ack, Method::Release, Method::Response];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Request => "REQUEST",
            Method::Ack => "ACK",
            Method::Release => "RELEASE",
            Method::Response => "RESPONSE",
        }
    }
}

/// The parameters of all methods, and the two that sign a message.
const NAMES: [&str; 18] = [
    "id",
    "user1",
    "user2",
    "caller1",
    "caller2",
    "duration",
    "ann_id1",
    "ann_id2",
    "ann_digit2",
    "record_call",
    "fob_nbr1",
    "fob_nbr2",
    "fob_nbr3",
    "sid",
    "code",
    "real_duration",
    "time",
    "hmac",
];

/// What is wrong with a message as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// More than [`LONGEST`] bytes.
    TooLong,
    /// More than 64 parameters.
    TooManyParameters,
    /// A parameter comes twice.
    Twice,
    /// A value has control characters, or is no UTF-8.
    NotText,
    /// The method is not in upper case, and only that is taken here.
    MethodCase,
    /// A name is not in lower case, and only that is taken here.
    NameCase,
}

impl Fault {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Fault::TooLong => "too_long",
            Fault::TooManyParameters => "too_many_parameters",
            Fault::Twice => "parameter_twice",
            Fault::NotText => "not_text",
            Fault::MethodCase => "method_not_upper_case",
            Fault::NameCase => "name_not_lower_case",
        }
    }
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it wants.
    pub method: Method,
    /// The first thing that is wrong with it; its `id` is good to be said back all the same.
    pub fault: Option<Fault>,
    /// What was taken although the interface does not know it so.
    pub tolerated: Vec<&'static str>,
    values: BTreeMap<&'static str, String>,
}

impl Message {
    /// Reads a datagram. `None`: it is no message of this interface.
    pub fn read(datagram: &[u8], strict: bool) -> Option<Message> {
        let text = String::from_utf8_lossy(&datagram[..datagram.len().min(LONGEST)]);
        let (word, parameters) = text.trim_matches(is_padding).split_once(':')?;
        let word = word.trim_end();
        let method = Method::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(word))?;
        let mut message = Message { method, fault: None, tolerated: Vec::new(), values: BTreeMap::new() };
        if datagram.len() > LONGEST {
            message.fault = Some(Fault::TooLong);
        }
        if word != method.as_str() {
            message.loosely(strict, Fault::MethodCase, "a method that is not in upper case");
        }
        for (n, parameter) in parameters.split(';').map(str::trim).filter(|text| !text.is_empty()).enumerate() {
            if n == MOST {
                message.wrong(Fault::TooManyParameters);
                break;
            }
            message.take(parameter, strict);
        }
        Some(message)
    }

    fn take(&mut self, parameter: &str, strict: bool) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (name.trim_end(), value.trim());
        let plain = name.to_ascii_lowercase();
        let plain = if plain == "ann1" { "ann_id1" } else { &plain };
        let Some(known) = NAMES.into_iter().find(|known| *known == plain) else {
            return self.tolerate("a parameter that nobody knows");
        };
        if name == "ann1" {
            self.tolerate("ann1 for ann_id1");
        } else if name != known {
            self.loosely(strict, Fault::NameCase, "a name that is not in lower case");
        }
        if value.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return self.wrong(Fault::NotText);
        }
        if self.values.contains_key(known) {
            return self.wrong(Fault::Twice);
        }
        self.values.insert(known, value.to_owned());
    }

    fn loosely(&mut self, strict: bool, fault: Fault, what: &'static str) {
        if strict { self.wrong(fault) } else { self.tolerate(what) }
    }

    fn wrong(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
    }

    fn tolerate(&mut self, what: &'static str) {
        if !self.tolerated.contains(&what) {
            self.tolerated.push(what);
        }
    }

    /// The value of a parameter; `Some("")` where it has none.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a parameter that says something.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// What it says, but for when it was written and by whom it is signed: the same in every repeat.
    pub fn says(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = self.values.iter().map(|(name, value)| (*name, value.as_str()));
        all.filter(|(name, _)| !matches!(*name, "time" | "hmac"))
    }

    /// Its id as it may be said back.
    pub fn echo(&self) -> &str {
        self.filled("id").filter(|id| id.len() <= LONGEST_ECHO).unwrap_or_default()
    }
}

/// Line ends of people's tools, the final NUL of C's strings.
fn is_padding(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\0' | ' ' | '\t')
}

/// The service identity of a job: 63 bits of its id, which is a hash of application server and `id`. So it needs no memory, and is
/// the same after a restart and at every replica.
pub fn sid(job: &JobId) -> u64 {
    let head = job.as_str().get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    (head.unwrap_or_default() >> 1).max(1)
}

/// ACK, as this dialect has it; `reason` is an extension.
pub fn ack(dialect: Dialect, id: &str, sid: u64, ok: bool, reason: Option<&str>) -> String {
    let code = if ok { "ok" } else { "fail" };
    let reason = reason.map(|reason| format!("reason={reason};")).unwrap_or_default();
    format!("ACK: id={id};{}code={code};{reason}", sid_parameter(dialect, sid))
}

/// RESPONSE, as this dialect has it; `ending` has result and cause, an extension.
pub fn response(dialect: Dialect, id: &str, sid: u64, seconds: u64, ending: Option<(&str, &str)>) -> String {
    let plain = |text: &str| text.replace(';', ",");
    let ending = ending.map(|(result, cause)| format!("result={};cause={};", plain(result), plain(cause)));
    format!("RESPONSE: id={id};{}real_duration={seconds};{}", sid_parameter(dialect, sid), ending.unwrap_or_default())
}

fn sid_parameter(dialect: Dialect, sid: u64) -> String {
    match dialect {
        Dialect::V1 => String::new(),
        Dialect::V2 => format!("sid={sid};"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Message {
        Message::read(text.as_bytes(), false).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn the_founding_examples() {
        let request = read("REQUEST: id=1234;user1=100;user2=101;duration=3600;");
        assert_eq!(request.method, Method::Request);
        let value = |name| request.value(name).unwrap_or("-");
        assert_eq!([value("id"), value("user1"), value("user2"), value("duration")], ["1234", "100", "101", "3600"]);
        let demo = read("REQUEST: id=1234;user1=100;user2=101");
        assert_eq!(demo.values.len(), 3, "three parameters, and no semicolon at the end");
        let release = read("RELEASE: id=1234;sid=5678;");
        assert_eq!((release.method, release.value("sid")), (Method::Release, Some("5678")));
        assert_eq!(ack(Dialect::V1, "1234", 5678, true, None), "ACK: id=1234;code=ok;");
        assert_eq!(ack(Dialect::V1, "1234", 5678, false, None), "ACK: id=1234;code=fail;");
        assert_eq!(ack(Dialect::V2, "1234", 5678, true, None), "ACK: id=1234;sid=5678;code=ok;");
        assert_eq!(response(Dialect::V2, "1234", 5678, 180, None), "RESPONSE: id=1234;sid=5678;real_duration=180;");
        assert_eq!(response(Dialect::V1, "1234", 5678, 180, None), "RESPONSE: id=1234;real_duration=180;");
        assert_eq!(
            response(Dialect::V2, "1", 2, 0, Some(("Rejected", "it cannot; ask"))),
            "RESPONSE: id=1;sid=2;real_duration=0;result=Rejected;cause=it cannot, ask;"
        );
    }

    #[test]
    fn what_one_writes_the_other_reads() {
        for text in [ack(Dialect::V2, "a b", 7, false, Some("no_money")), response(Dialect::V2, "a b", 7, 60, None)] {
            let message = read(&text);
            assert_eq!(
                (message.value("id"), message.value("sid"), message.fault),
                (Some("a b"), Some("7"), None),
                "{text}"
            );
        }
    }

    #[test]
    fn spaces_line_ends_and_flags() {
        let plain = read("REQUEST: id=1;user1=2;user2=3;record_call;");
        for same in [
            "REQUEST:id=1;user1=2;user2=3;record_call",
            "REQUEST:   id=1;user1=2;user2=3;record_call\r\n",
            "REQUEST: id=1;user1=2;user2=3;record_call;\0",
            "REQUEST : id = 1 ; user1 = 2;;user2=3;record_call=;",
        ] {
            assert_eq!(read(same), plain, "{same:?}");
        }
    }

    #[test]
    fn letters_of_the_wrong_case_are_taken_or_refused_by_setting() {
        for (text, fault) in [
            ("request: id=1;user1=2;user2=3;", Fault::MethodCase),
            ("Request: id=1;user1=2;user2=3;", Fault::MethodCase),
            ("REQUEST: ID=1;user1=2;user2=3;", Fault::NameCase),
        ] {
            let lenient = read(text);
            assert_eq!((lenient.fault, lenient.tolerated.len(), lenient.echo()), (None, 1, "1"), "{text}");
            let strict = Message::read(text.as_bytes(), true).unwrap();
            assert_eq!((strict.fault, strict.echo()), (Some(fault), "1"), "{text}");
        }
        assert_eq!(read("REQUEST: ann1=00080003;").value("ann_id1"), Some("00080003"));
    }

    #[test]
    fn hostile_datagrams_are_silence_or_a_named_fault() {
        let long = format!("REQUEST: id=1;user1={};", "9".repeat(10_000));
        let many = format!("REQUEST: id=1;{}", "x=1;".repeat(1_000));
        for (text, fault) in [
            (long.as_bytes(), Fault::TooLong),
            (many.as_bytes(), Fault::TooLong),
            (&many.as_bytes()[..1_000], Fault::TooManyParameters),
            (b"REQUEST: id=1;user1=1\x00;user2=3", Fault::NotText),
            (b"REQUEST: id=1;user1=\xff\xfe;user2=3", Fault::NotText),
            (b"REQUEST: id=1;user1=2\r\nuser2=3", Fault::NotText),
            (b"REQUEST: id=1;user1=2;user1=3", Fault::Twice),
        ] {
            let message = Message::read(text, false).unwrap();
            assert_eq!((message.fault, message.echo()), (Some(fault), "1"), "{}", String::from_utf8_lossy(text));
        }
        for noise in [
            &b""[..],
            b"\0\0\0",
            b"HELLO: id=1;",
            b"REQUEST id=1;user1=2",
            b"INVITE sip:a@b SIP/2.0\r\n",
            b":::",
            b"\xff:",
        ] {
            assert_eq!(Message::read(noise, false), None, "{}", String::from_utf8_lossy(noise));
        }
        assert_eq!(read(&format!("REQUEST: id={};", "i".repeat(300))).echo(), "");
    }

    #[test]
    fn a_sid_is_above_zero_and_belongs_to_the_job() {
        let of = |as_name: &str, id: &str| sid(&JobId::of_message("iif", id, as_name));
        assert_eq!(of("one", "1234"), of("one", "1234"));
        assert_ne!(of("one", "1234"), of("two", "1234"));
        assert_ne!(of("one", "1234"), of("one", "1235"));
        for n in 0..1_000 {
            assert!((1..=i64::MAX as u64).contains(&of("one", &n.to_string())));
        }
        assert_eq!(sid(&JobId("short".to_owned())), 1);
    }
}
