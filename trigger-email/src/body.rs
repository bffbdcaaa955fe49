//! The words of a mail: its first text part, without what it quotes and without its signature.
//!
//! A walk of our own through the parts, because it has to end: at `DEEPEST` levels, `MOST_PARTS` parts, `LONGEST_PART` bytes.
//! Only a text part is given to the library, which undoes transfer encoding and character set. Attached mails are not entered.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use mail_parser::decoders::html::html_to_text;
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue, MessageParser};

use crate::fields::Fields;

/// As many levels of parts are entered.
const DEEPEST: usize = 10;
/// As many parts are looked at.
const MOST_PARTS: usize = 100;
/// Of one text part, as many encoded bytes are read.
const LONGEST_PART: usize = 128 * 1024;
/// How links begin.
const LINKS: [&str; 5] = ["tel:", "mailto:", "sip:", "http:", "https:"];
/// As many lines count.
const MOST_LINES: usize = 200;

/// More parts or levels than are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyParts;

/// The lines somebody wrote: from the first `text/plain` part, else, or if that is empty, from the first `text/html` part.
///
/// # Errors
/// The mail has more parts than are looked at.
pub fn lines(raw: &[u8]) -> Result<Vec<String>, TooManyParts> {
    let mut walk = Walk::default();
    walk.part(raw, 0)?;
    let text = match (walk.plain, walk.html) {
        (Some(plain), None) => plain,
        (Some(plain), Some(_)) if !plain.trim().is_empty() => plain,
        (_, Some(html)) => html_to_text(&with_lines(&html)),
        (None, None) => String::new(),
    };
    Ok(written(&text))
}

#[derive(Default)]
struct Walk {
    parts: usize,
    plain: Option<String>,
    html: Option<String>,
}

impl Walk {
    fn part(&mut self, raw: &[u8], depth: usize) -> Result<(), TooManyParts> {
        self.parts += 1;
        if self.parts > MOST_PARTS || depth > DEEPEST {
            return Err(TooManyParts);
        }
        let fields = Fields::read(raw);
        if fields.too_much {
            return Err(TooManyParts);
        }
        let kind = content_type(&fields);
        let (main, sub) = match &kind {
            Some(kind) => (kind.ctype().to_lowercase(), kind.subtype().unwrap_or_default().to_lowercase()),
            None => ("text".to_owned(), "plain".to_owned()),
        };
        if main == "multipart" {
            let boundary = kind.as_ref().and_then(|kind| kind.attribute("boundary")).unwrap_or_default();
            return self.parts_of(fields.body, boundary.as_bytes(), depth);
        }
        let attached = fields.named("content-disposition").any(|field| begins_with(field.value, "attachment"));
        let slot = match sub.as_str() {
            _ if main != "text" || attached => return Ok(()),
            "plain" => &mut self.plain,
            "html" => &mut self.html,
            _ => return Ok(()),
        };
        if slot.is_none() {
            *slot = decoded(&fields);
        }
        Ok(())
    }

    fn parts_of(&mut self, body: &[u8], boundary: &[u8], depth: usize) -> Result<(), TooManyParts> {
        if boundary.is_empty() {
            return Ok(());
        }
        let mut start = None;
        let mut at = 0;
        while at < body.len() {
            let end = body[at..].iter().position(|b| *b == b'\n').map_or(body.len(), |newline| at + newline + 1);
            if let Some(last) = delimiter(&body[at..end], boundary) {
                if let Some(start) = start {
                    self.part(&body[start..at], depth + 1)?;
                }
                if last {
                    return Ok(());
                }
                start = Some(end);
            }
            at = end;
        }
        match start {
            Some(start) => self.part(&body[start..], depth + 1),
            None => Ok(()),
        }
    }
}

/// Whether this line delimits parts; `true` when it ends them.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii_end();
    match rest {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

fn content_type<'x>(fields: &Fields<'x>) -> Option<ContentType<'x>> {
    let field = fields.named("content-type").next()?;
    match MessageStream::new(field.value).parse_content_type() {
        HeaderValue::ContentType(kind) => Some(kind),
        _ => None,
    }
}

fn begins_with(value: &[u8], word: &str) -> bool {
    value.trim_ascii_start().get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
}

/// A text part in Unicode. Only the two fields that say how are shown to the library.
fn decoded(fields: &Fields<'_>) -> Option<String> {
    let mut part = Vec::new();
    for name in ["content-type", "content-transfer-encoding"] {
        if let Some(field) = fields.named(name).next() {
            part.extend_from_slice(name.as_bytes());
            part.push(b':');
            part.extend_from_slice(field.value);
        }
    }
    if part.is_empty() {
        part.extend_from_slice(b"content-type: text/plain\r\n");
    }
    part.extend_from_slice(b"\r\n");
    part.extend_from_slice(&fields.body[..fields.body.len().min(LONGEST_PART)]);
    let message = MessageParser::default().parse(&part)?;
    message.parts.first().and_then(|part| part.text_contents()).map(str::to_owned)
}

/// HTML with a line end where a reader sees one, and without what it quotes.
fn with_lines(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let quoted = ["<blockquote", "gmail_quote", "id=\"divrplyfwdmsg\"", "moz-cite-prefix"];
    let end = quoted.iter().filter_map(|mark| lower.find(mark)).min().unwrap_or(html.len());
    let end = html[..end].rfind('<').filter(|open| !html[*open..end].contains('>')).unwrap_or(end);
    let mut lined = String::with_capacity(html.len());
    for (n, piece) in html[..end].split('<').enumerate() {
        if n > 0 {
            let tag = piece.trim_start_matches('/').to_ascii_lowercase();
            let name: &str = tag.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            match name {
                "div" | "p" | "li" | "tr" | "table" | "ul" | "ol" | "h1" | "h2" | "h3" | "body" => {
                    lined.push_str("<br>")
                }
                "td" | "th" => lined.push(' '),
                _ => {}
            }
            lined.push('<');
        }
        lined.push_str(piece);
    }
    lined
}

/// The lines of a text that are its writer's own: nothing behind `>`, nothing from the first sign of a quoted mail on, no
/// signature.
fn written(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines().take(MOST_LINES) {
        let line = line.trim_end_matches('\r');
        if line == "-- " || line == "--" || quotes_begin(line.trim()) {
            break;
        }
        let line = without_links(line);
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('>') {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// `+44 20 7183 8750<tel:+442071838750>`, as Outlook writes a link, without the link.
fn without_links(line: &str) -> String {
    let mut rest = line;
    let mut plain = String::with_capacity(line.len());
    while let Some((before, link)) = rest.split_once('<') {
        plain.push_str(before);
        let is_link = LINKS.iter().any(|scheme| begins_with(link.as_bytes(), scheme));
        match link.split_once('>') {
            Some((_, after)) if is_link => rest = after,
            _ => {
                plain.push('<');
                rest = link;
            }
        }
    }
    plain + rest
}

/// `On Monday, Bob wrote:`, `-----Original Message-----`, and the line that Outlook draws.
fn quotes_begin(line: &str) -> bool {
    let dashed = line.starts_with("-----") && line.ends_with("-----") && line != "-----BEGIN PGP SIGNED MESSAGE-----";
    let ruled = line.len() >= 20 && line.bytes().all(|b| b == b'_');
    let introduced = ["wrote:", "schrieb:", "a écrit :", "escribió:", "写道：", "写道:", "寫道："];
    dashed || ruled || introduced.iter().any(|end| line.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Vec<String> {
        lines(raw.replace('\n', "\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn plain_text_wins_over_html_and_attachments() {
        let mail = "Content-Type: multipart/mixed; boundary=\"=_x y\"\n\npreamble\n--=_x y\nContent-Type: text/plain\n\
                    Content-Disposition: attachment; filename=a\n\nattached\n--=_x y\nContent-Type: multipart/alternative; \
                    boundary=b\n\n--b\nContent-Type: text/html\n\n<p>html</p>\n--b\nContent-Type: text/plain; \
                    charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=E4=BD=A0 pl=\nain\n--b--\n--=_x y--\nend";
        assert_eq!(read(mail), ["你 plain"]);
    }

    #[test]
    fn html_becomes_the_lines_a_reader_sees() {
        let html = "Content-Type: text/html\n\n<html><head><title>x</title><style>p{}</style></head><body><div>alice</div>\
                    <div dir=\"ltr\">s3&amp;cret</div><p class=a>+44 1</p><ul><li>two</li></ul><div class=\"gmail_quote\">\
                    <div>old</div></div></body></html>";
        assert_eq!(read(html), ["alice", "s3&cret", "+44 1", "two"]);
        let table = "Content-Type: text/html\n\n<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>";
        assert_eq!(read(table), ["a b", "c"]);
    }

    #[test]
    fn character_sets_and_transfer_encodings_are_undone() {
        let gb = b"Content-Type: text/plain; charset=gb2312\r\nContent-Transfer-Encoding: base64\r\n\r\nxOO6wyAx\r\n";
        assert_eq!(lines(gb).unwrap(), ["你好 1"]);
        let odd = b"Content-Type: text/plain; charset=\"klingon-8\"\r\n\r\nabc \xff\xfe def\r\n";
        assert_eq!(lines(odd).unwrap().len(), 1, "a broken character set is no reason to stop");
        let utf16 = b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n/v8A\r\n";
        assert!(lines(utf16).is_ok());
    }

    #[test]
    fn quotes_and_signatures_are_not_the_writers_words() {
        for rest in [
            "> old",
            "On Mon, Bob wrote:\nold",
            "-----Original Message-----\nold",
            "____________________________\nold",
            "-- \nold",
            "Am Montag schrieb:\nold",
        ] {
            assert_eq!(read(&format!("Subject: x\n\nnew\n\n{rest}")), ["new"], "{rest}");
        }
    }

    #[test]
    fn what_programs_write_around_the_words_is_taken_off() {
        let linked = "Subject: x\n\nalice s3cret +442071838750<tel:+442071838750> <TEL:+4930901820>+4930901820\na < b <c> <tel:1";
        assert_eq!(read(linked), ["alice s3cret +442071838750 +4930901820", "a < b <c> <tel:1"]);
        let signed = "Subject: x\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nhello\n-----BEGIN PGP SIGNATURE-----\nxyz";
        assert_eq!(read(signed)[1..], ["Hash: SHA256", "hello"]);
        let empty = "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n \n--b\n\
                     Content-Type: text/html\n\n<p>hello</p>\n--b--\n";
        assert_eq!(read(empty), ["hello"]);
    }

    #[test]
    fn too_many_parts_are_said_so() {
        let part = "--b\nContent-Type: image/png\n\nx\n".repeat(MOST_PARTS + 1);
        let mail = format!("Content-Type: multipart/mixed; boundary=b\n\n{part}--b--\n");
        assert_eq!(lines(mail.as_bytes()), Err(TooManyParts));
        let mut nested = String::new();
        for n in 0..1000 {
            nested += &format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
        }
        assert_eq!(lines(nested.as_bytes()), Err(TooManyParts));
        let mut mails = "Content-Type: message/rfc822\n\n".repeat(100_000);
        mails += "alice s3cret 1 2";
        assert_eq!(lines(mails.as_bytes()), Ok(Vec::new()), "mails within mails are not entered");
    }
}
