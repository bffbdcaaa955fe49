//! JSON texts of about a known length, written without growing piece by piece.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::Serialize;

/// A value as JSON; `room` is about how many bytes it takes.
///
/// # Errors
/// A map in it has keys that are no texts.
pub fn text<T: Serialize + ?Sized>(value: &T, room: usize) -> serde_json::Result<String> {
    let mut bytes = Vec::with_capacity(room);
    serde_json::to_writer(&mut bytes, value)?;
    Ok(String::from_utf8(bytes).expect("serde_json writes UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_whatever_room_it_was_given() {
        let value = serde_json::json!({"a": [1, 2, 3], "b": "two words, \u{e9}"});
        assert_eq!(text(&value, 0).unwrap(), value.to_string());
        assert_eq!(text(&value, 500).unwrap(), value.to_string());
        assert!(text(&std::collections::BTreeMap::from([(vec![1], 1)]), 0).is_err());
    }
}
