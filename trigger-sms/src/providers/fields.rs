//! Reading what providers send: parameters of forms and queries, JSON, numbers and moments.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use chrono::{DateTime, NaiveDateTime, Utc};
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::raw::{Raw, Read, Told, TurnedAway};

/// Names and values in the order in which they came.
pub struct Parameters(pub Vec<(String, String)>);

impl Parameters {
    /// Of a form or a query.
    pub fn read(text: &[u8]) -> Parameters {
        let pairs = url::form_urlencoded::parse(text);
        Parameters(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// Of a flat JSON object: texts, numbers and truths.
    pub fn of_json(raw: &Raw<'_>) -> Result<Parameters, TurnedAway> {
        let object: serde_json::Map<String, serde_json::Value> = json(raw.body)?;
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        };
        Ok(Parameters(object.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()))
    }

    /// The value of the only parameter of this name.
    pub fn get(&self, wanted: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(name, _)| name == wanted);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// The value of the first parameter of this name, where providers write one twice.
    pub fn first(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that must be there.
    pub fn need(&self, wanted: &str) -> Result<String, TurnedAway> {
        let value = self.get(wanted).map(str::to_owned);
        value.ok_or_else(|| TurnedAway::malformed(format!("the parameter {wanted} is needed, once")))
    }
}

/// The bytes of a parameter of a form or a query, in whatever alphabet.
pub fn bytes(text: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let decoded = |part: &[u8]| {
        let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        percent_decode(&spaced).collect::<Vec<u8>>()
    };
    text.split(|byte| *byte == b'&').find_map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = halves.next()?;
        (decoded(name) == wanted.as_bytes()).then(|| decoded(halves.next().unwrap_or_default()))
    })
}

/// A JSON body.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, TurnedAway> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        TurnedAway::malformed(format!("the JSON is not understood at {place}"))
    })
}

/// A JSON object.
pub fn object(body: &[u8]) -> Result<Value, TurnedAway> {
    json(body).map(Value::Object)
}

/// What stands in JSON at the first of these places (JSON pointers) that has a text or a number.
pub fn at_any(value: &Value, places: &[&str]) -> Option<String> {
    places.iter().find_map(|place| match value.pointer(place)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// The same, where it must be there.
pub fn need_at(value: &Value, places: &[&str]) -> Result<String, TurnedAway> {
    let found = at_any(value, places);
    found.ok_or_else(|| TurnedAway::malformed(format!("a text is needed in the JSON at {}", places.join(" or "))))
}

/// Whether there is anything in JSON at this place.
pub fn is_any_at(value: &Value, place: &str) -> bool {
    match value.pointer(place) {
        None | Some(Value::Null) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(_) => true,
    }
}

/// A message that says something, or says nothing: pictures alone are no text, nor an empty one, by which somebody might ask for
/// a call.
pub fn text(
    body: Option<String>,
    with_media: bool,
    told: impl FnOnce(String) -> Result<Told, TurnedAway>,
) -> Result<Read, TurnedAway> {
    match body.filter(|body| !with_media || !body.trim().is_empty()) {
        Some(body) => Ok(Read::Texts(vec![told(body)?])),
        None => Ok(Read::Nothing("a message without text")),
    }
}

/// An international number as some providers write it, without `+`; anything else stays as it is.
pub fn international(number: &str) -> String {
    let long = (7..=15).contains(&number.len()) && !number.starts_with('0');
    if long && number.bytes().all(|b| b.is_ascii_digit()) { format!("+{number}") } else { number.to_owned() }
}

/// A moment in one of the ways in which providers write it.
pub fn moment(text: &str) -> Option<DateTime<Utc>> {
    let with_zone =
        DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
    let in_utc = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").map(|naive| naive.and_utc());
    with_zone.map(|moment| moment.to_utc()).or_else(|_| in_utc()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_once_or_not_at_all() {
        let read = Parameters::read(b"a=1&b=x+y%26&a=2&c");
        assert_eq!((read.get("a"), read.get("b"), read.get("c"), read.get("d")), (None, Some("x y&"), Some(""), None));
        assert!(matches!(read.need("a"), Err(TurnedAway::Malformed(why)) if why.contains("once")));
    }

    #[test]
    fn bytes_of_any_alphabet_come_out_as_they_were() {
        let query = b"x=1&text=%00H%00%e9+&coding=%08";
        assert_eq!(bytes(query, "text"), Some(vec![0, b'H', 0, 0xe9, b' ']));
        assert_eq!(bytes(query, "coding"), Some(vec![8]));
        assert_eq!(bytes(query, "tex"), None);
    }

    #[test]
    fn moments_and_numbers_are_read_as_they_are_written() {
        let same = [
            "2026-01-31T12:00:00Z",
            "2026-01-31T13:00:00.000+0100",
            "2026-01-31 12:00:00",
            "2026-01-31T12:00:00+00:00",
        ];
        assert!(same.iter().all(|text| moment(text) == moment(same[0]) && moment(text).is_some()));
        assert_eq!(moment("yesterday"), None);
        for (written, read) in [("447700900001", "+447700900001"), ("+4477", "+4477"), ("777", "777"), ("Bank", "Bank")]
        {
            assert_eq!(international(written), read);
        }
    }
}
