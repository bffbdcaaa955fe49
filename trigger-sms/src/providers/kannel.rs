//! Kannel: a `get-url` of its smsbox, without a signature, behind a secret in the path or in the query.
//! <https://kannel.org/download/1.4.5/userguide-1.4.5/userguide.html#AEN3936>
//!
//! `get-url = "http://HOST:8081/sms/NAME/SECRET?from=%p&to=%P&text=%b&id=%I&coding=%c&charset=%C"`
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use axum::http::Request;
use ringback_common::config::SourceConfig;

use super::fields::{Parameters, bytes, text};
use super::outgoing::{Outgoing, at, encoded};
use super::raw::{Raw, Read, Told, TurnedAway, only_by_path};
use crate::coding::{self, Coding, fits_gsm};
use crate::replies::Reply;
use crate::sign::same;

/// Reads one text.
pub fn read(config: &SourceConfig, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
    only_by_path(config)?;
    let query = Parameters::read(raw.query.as_bytes());
    if raw.secret.is_empty() {
        let given = query.get("secret").unwrap_or_default();
        if !same(config.path_secret.reveal().as_bytes(), given.as_bytes()) {
            return Err(TurnedAway::Unproven(
                "neither the path nor the parameter secret has this source's path_secret",
            ));
        }
    }
    let (id, from) = (query.need("id")?, query.need("from")?);
    let written = bytes(raw.query.as_bytes(), "text");
    let said = written.map(|bytes| decoded(bytes, query.get("charset").unwrap_or_default())).transpose()?;
    text(said, false, |body| {
        Ok(Told { id, from, to: query.get("to").unwrap_or_default().to_owned(), body, ..Told::default() })
    })
}

/// Kannel names its alphabets as iconv does.
fn decoded(text: Vec<u8>, charset: &str) -> Result<String, TurnedAway> {
    let unreadable = || TurnedAway::malformed("the text is not written in the alphabet that charset names");
    match charset.to_ascii_uppercase().as_str() {
        "" | "UTF-8" | "UTF8" | "ASCII" | "US-ASCII" => String::from_utf8(text).map_err(|_| unreadable()),
        "UTF-16BE" | "UTF-16" | "UCS-2" | "UCS-2BE" | "ISO-10646-UCS-2" => {
            let (pairs, rest) = text.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            if rest.is_empty() { String::from_utf16(&units).map_err(|_| unreadable()) } else { Err(unreadable()) }
        }
        "ISO-8859-1" | "LATIN1" => Ok(text.into_iter().map(char::from).collect()),
        "WINDOWS-1252" | "CP1252" => Ok(text.into_iter().map(cp1252).collect()),
        "8-BIT" | "BINARY" => coding::decode(&text, Coding::new(4)).map_err(|_| unreadable()),
        _ => Err(TurnedAway::malformed("charset is unknown here; add charset=UTF-8 to Kannel's sms-service")),
    }
}

/// The places that are controls in Latin-1; five of them stand for nothing.
const CP1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

fn cp1252(byte: u8) -> char {
    let place = byte.checked_sub(0x80).map(usize::from);
    place.and_then(|place| CP1252.chars().nth(place)).unwrap_or(char::from(byte))
}

/// Asks `sendsms`. <https://kannel.org/download/1.4.5/userguide-1.4.5/userguide.html#AEN4627>
pub fn reply(config: &SourceConfig, reply: &Reply) -> Option<Outgoing> {
    let mut url = at(Some(config.api_base.as_deref()?), "", &["cgi-bin", "sendsms"])?;
    let from = config.from.as_ref().unwrap_or(&reply.note.from);
    let coding = if fits_gsm(&reply.text) { "0" } else { "2" };
    let fields = [
        ("username", config.account.as_deref()?),
        ("password", config.token.reveal()),
        ("from", from),
        ("to", &reply.note.to),
        ("coding", coding),
        ("charset", "UTF-8"),
        ("text", &reply.text),
    ];
    url.set_query(Some(&encoded(&fields)));
    Request::get(url.as_str()).body(Vec::new()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_in_several_alphabets() {
        for (bytes, charset) in [
            ("Zoë".as_bytes(), ""),
            (b"\0Z\0o\0\xeb", "UTF-16BE"),
            (b"Zo\xeb", "iso-8859-1"),
            ("Zoë".as_bytes(), "utf-8"),
            (b"Zo\xeb", "Windows-1252"),
            (b"Zo\xeb", "8-BIT"),
            ("Zoë".as_bytes(), "8-bit"),
            ("Zoë".as_bytes(), "BINARY"),
        ] {
            assert_eq!(decoded(bytes.to_vec(), charset).unwrap(), "Zoë", "{charset}");
        }
        assert_eq!(decoded(b"\x80 5 \x93ok\x94 \x9f\xa0\xff".to_vec(), "CP1252").unwrap(), "€ 5 “ok” Ÿ\u{a0}ÿ");
        for (bytes, charset) in
            [(&b"Zo\xeb"[..], "UTF-8"), (b"\0Z\0", "UTF-16BE"), (b"\xd8\0", "UCS-2"), (b"x", "KOI8-R")]
        {
            assert!(decoded(bytes.to_vec(), charset).is_err(), "{charset}");
        }
    }
}
