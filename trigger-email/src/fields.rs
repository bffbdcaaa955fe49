//! The header of a mail, field by field, as the wire has it. What two readers could understand differently (a name with spaces in
//! it, a line without a colon, a line of blanks) makes the header unsound, and an unsound header is never vouched for.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use chrono::{DateTime, Utc};
use mail_parser::parsers::MessageStream;
use mail_parser::{Address, HeaderValue};

/// More fields than this no honest mail has.
pub const MOST_FIELDS: usize = 1_000;
/// A header longer than this no honest mail has (bytes).
pub const LONGEST_HEADER: usize = 256 * 1024;
/// As long as one decoded value may be (characters).
const LONGEST_TEXT: usize = 2_000;

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field<'x> {
    /// As written, without the colon.
    pub name: &'x str,
    /// What stands behind the colon, folds and final line end included.
    pub value: &'x [u8],
}

impl<'x> Field<'x> {
    /// Whether it has this name.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Unfolded, RFC 2047 words decoded, broken characters replaced.
    pub fn text(&self) -> String {
        let decoded = match MessageStream::new(self.value).parse_unstructured() {
            HeaderValue::Text(text) => text.into_owned(),
            _ => String::new(),
        };
        decoded.trim().chars().take(LONGEST_TEXT).collect()
    }

    /// Unfolded, nothing decoded.
    pub fn plain(&self) -> String {
        let text = String::from_utf8_lossy(self.value);
        text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect::<String>().trim().to_owned()
    }

    /// The addresses in it, groups included.
    pub fn addresses(&self) -> Vec<String> {
        let HeaderValue::Address(address) = MessageStream::new(self.value).parse_address() else { return Vec::new() };
        let all: Vec<_> = match address {
            Address::List(list) => list,
            Address::Group(groups) => groups.into_iter().flat_map(|group| group.addresses).collect(),
        };
        all.into_iter().filter_map(|one| one.address.map(|address| address.trim().to_owned())).collect()
    }

    /// The message ids in it, without brackets.
    pub fn ids(&self) -> Vec<String> {
        match MessageStream::new(self.value).parse_id() {
            HeaderValue::Text(id) => vec![id.into_owned()],
            HeaderValue::TextList(ids) => ids.into_iter().map(|id| id.into_owned()).collect(),
            _ => Vec::new(),
        }
    }
}

/// A header, and what follows it.
#[derive(Clone, Debug)]
pub struct Fields<'x> {
    fields: Vec<Field<'x>>,
    /// Everything behind the empty line.
    pub body: &'x [u8],
    /// Every line of it can be understood in one way only.
    pub sound: bool,
    /// There is more of it than is read: over [`MOST_FIELDS`] fields, or [`LONGEST_HEADER`] bytes.
    pub too_much: bool,
}

impl<'x> Fields<'x> {
    /// Reads up to the empty line, or as much as is read of a header.
    pub fn read(raw: &'x [u8]) -> Fields<'x> {
        let mut read = Fields { fields: Vec::new(), body: &[], sound: true, too_much: false };
        let mut at = 0;
        while at < raw.len() {
            let end = field_end(raw, at);
            if end > LONGEST_HEADER || read.fields.len() >= MOST_FIELDS {
                read.too_much = true;
                break;
            }
            let whole = &raw[at..end];
            if matches!(whole, b"\r\n" | b"\n") {
                read.body = &raw[end..];
                return read;
            }
            match named(whole) {
                Some(field) => {
                    read.sound &= field.name.bytes().all(|b| b.is_ascii_graphic()) && folds_well(field.value);
                    read.fields.push(field);
                }
                None => read.sound = false,
            }
            at = end;
        }
        read.sound = false; // too much, or a mail without an empty line behind its header
        read
    }

    /// All fields, from the top.
    pub fn all(&self) -> impl Iterator<Item = Field<'x>> + '_ {
        self.fields.iter().copied()
    }

    /// All fields of this name, from the top.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Field<'x>> + 'a {
        self.all().filter(move |field| field.is(name))
    }

    /// The field of this name, if there is exactly one.
    pub fn only(&self, name: &str) -> Option<Field<'x>> {
        let mut all = self.named(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// When the mail says it was written.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        let HeaderValue::DateTime(date) = MessageStream::new(self.only("date")?.value).parse_date() else {
            return None;
        };
        DateTime::from_timestamp(date.to_timestamp(), 0)
    }

    /// When the server that had it last says that it got it.
    pub fn arrived(&self) -> Option<DateTime<Utc>> {
        let topmost = self.named("received").next()?;
        let HeaderValue::Received(received) = MessageStream::new(topmost.value).parse_received() else { return None };
        DateTime::from_timestamp(received.date()?.to_timestamp(), 0)
    }

    /// How many fields of this name there are.
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }
}

/// Where the field that begins here ends: behind the last line that continues it.
fn field_end(raw: &[u8], start: usize) -> usize {
    let mut end = line_end(raw, start);
    let empty = matches!(&raw[start..end], b"\r\n" | b"\n");
    while !empty && raw.get(end).is_some_and(|b| matches!(b, b' ' | b'\t')) && end - start <= LONGEST_HEADER {
        end = line_end(raw, end);
    }
    end
}

fn line_end(raw: &[u8], start: usize) -> usize {
    raw[start..].iter().position(|b| *b == b'\n').map_or(raw.len(), |at| start + at + 1)
}

fn named(whole: &[u8]) -> Option<Field<'_>> {
    let colon = whole.iter().position(|b| *b == b':')?;
    let name = std::str::from_utf8(&whole[..colon]).ok()?;
    (!name.is_empty()).then_some(Field { name, value: &whole[colon + 1..] })
}

/// No line of blanks only, and no carriage return but before a line feed.
fn folds_well(value: &[u8]) -> bool {
    let mut lines = value.split_inclusive(|b| *b == b'\n');
    let first = lines.next().unwrap_or_default();
    let lone_return = |line: &[u8]| {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        text.strip_suffix(b"\r").unwrap_or(text).contains(&b'\r')
    };
    !lone_return(first) && lines.all(|line| !lone_return(line) && line.iter().any(|b| !b.is_ascii_whitespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_unfolded_and_decoded() {
        let raw = b"From: Alice <alice@example.com>\r\nSubject: =?utf-8?B?77yQMzcw?=\r\n 728\r\nTO : a@b.c, g: d@e.f;\r\n\r\nbody\r\n";
        let fields = Fields::read(raw);
        assert_eq!(fields.only("subject").unwrap().text(), "０370 728");
        assert_eq!(fields.only("from").unwrap().addresses(), ["alice@example.com"]);
        assert_eq!(fields.body, b"body\r\n");
        assert!(!fields.sound, "a name with a space");
        assert!(fields.only("to").is_none());
        let raw = b"To: a@b.c\r\nto: d@e.f\r\nReferences: <1@x> <2@x>\r\n\r\n";
        let fields = Fields::read(raw);
        assert!(fields.sound && fields.only("to").is_none() && fields.count("TO") == 2);
        assert_eq!(fields.only("references").unwrap().ids(), ["1@x", "2@x"]);
    }

    #[test]
    fn what_can_be_understood_in_two_ways_is_unsound() {
        for raw in [
            &b"From: a@b.c\r\nno colon\r\n\r\n"[..],
            b"From: a@b.c\r\nSub ject: x\r\n\r\n",
            b"From: a@b.c\r\n   \r\nSubject: x\r\n\r\n",
            b"Subject: x\rSubject: y\r\n\r\n",
            b"Subject: x\r\n",
            b": x\r\n\r\n",
            b" Subject: x\r\n\r\n",
            b"Subj\xffect: x\r\n\r\n",
        ] {
            assert!(!Fields::read(raw).sound, "{}", String::from_utf8_lossy(raw));
        }
        assert!(Fields::read(b"From: a@b.c\nSubject:\n x\n\nbody").sound, "line feeds alone are one way");
    }

    #[test]
    fn too_much_header_is_not_read() {
        let many = "X: y\r\n".repeat(MOST_FIELDS + 1) + "\r\n";
        let read = Fields::read(many.as_bytes());
        assert!(read.too_much && !read.sound && read.count("x") == MOST_FIELDS, "what was read is there");
        let long = format!("X: {}\r\n\r\n", "y".repeat(LONGEST_HEADER));
        assert!(Fields::read(long.as_bytes()).too_much);
        let folded = format!("X: y{}\r\n", "\r\n y".repeat(LONGEST_HEADER));
        assert!(Fields::read(folded.as_bytes()).too_much);
        assert!(!Fields::read(b"From: a@b.c\r\n\r\nbody").too_much);
    }
}
