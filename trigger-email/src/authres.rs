//! Authentication-Results (RFC 8601) of our own mail server: all of its name above the first Received, together. One that speaks of
//! another From than the mail has (`header.from` of its DMARC result) proves nothing.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::fields::Fields;

/// Longer values are not read (bytes).
const LONGEST: usize = 16 * 1024;

/// One result: `dkim=pass header.d=example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `dkim`, in lower case.
    pub method: String,
    /// `pass`, in lower case.
    pub result: String,
    properties: Vec<(String, String)>,
}

impl Told {
    /// Whether it judges a mail from this domain: only DMARC says.
    fn is_about(&self, from_domain: &str) -> bool {
        let ascii = |domain: &str| idna::domain_to_ascii(domain.trim_end_matches('.')).ok();
        let from = self.property("header.from").map(|from| from.rsplit('@').next().unwrap_or_default());
        self.method != "dmarc" || from.is_none_or(|from| ascii(from) == ascii(from_domain))
    }

    /// A property, by its full name in lower case: `header.d`.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What the server of this name tells above the first Received of a mail from this domain; `None` if it tells nothing, or not all of
/// it can be read.
pub fn told_by(server: &str, fields: &Fields<'_>, from_domain: &str) -> Option<Vec<Told>> {
    let added = fields.all().take_while(|field| !field.is("received"));
    let by_all = added.filter(|field| field.is("authentication-results")).filter_map(|field| read(field.value));
    let mut told: Option<Vec<Told>> = None;
    for (_, results) in by_all.filter(|(id, _)| id.eq_ignore_ascii_case(server)) {
        let results = results?;
        if results.iter().all(|one| one.is_about(from_domain)) {
            told.get_or_insert_default().extend(results);
        }
    }
    told
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Is,
    End,
}

/// The server's name, and its results if all of them can be read.
fn read(value: &[u8]) -> Option<(String, Option<Vec<Told>>)> {
    if value.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let Some(tokens) = tokens(text) else {
        let id = text.trim_start().split(|c: char| c == ';' || c.is_whitespace()).next()?;
        return Some((id.to_owned(), None));
    };
    let mut parts = tokens.split(|token| *token == Token::End);
    let id = match parts.next()? {
        [Token::Word(id)] => id.clone(),
        [Token::Word(id), Token::Word(version)] if version.bytes().all(|b| b.is_ascii_digit()) => id.clone(),
        _ => return None,
    };
    let results = parts.filter(|part| !part.is_empty()).filter(|part| !says_none(part)).map(result).collect();
    Some((id, results))
}

fn says_none(part: &[Token]) -> bool {
    matches!(part, [Token::Word(word)] if word.eq_ignore_ascii_case("none"))
}

fn result(part: &[Token]) -> Option<Told> {
    let mut pairs = part.chunks(3).map(|three| match three {
        [Token::Word(name), Token::Is, Token::Word(value)] => Some((name.to_ascii_lowercase(), value.clone())),
        _ => None,
    });
    let (method, result) = pairs.next()??;
    let method = method.split('/').next().unwrap_or_default().to_owned();
    Some(Told { method, result: result.to_ascii_lowercase(), properties: pairs.collect::<Option<_>>()? })
}

/// Words, `=` and `;`; comments (they nest) and quotes are taken off.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut depth = 0_usize;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if depth > 0 {
            match c {
                '\\' => drop(chars.next()),
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            continue;
        }
        match c {
            '"' => quoted(&mut chars, &mut word)?,
            c if c.is_whitespace() || matches!(c, '(' | ';' | '=') => {
                if !word.is_empty() {
                    tokens.push(Token::Word(std::mem::take(&mut word)));
                }
                match c {
                    '(' => depth = 1,
                    ';' => tokens.push(Token::End),
                    '=' => tokens.push(Token::Is),
                    _ => {}
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        tokens.push(Token::Word(word));
    }
    (depth == 0).then_some(tokens)
}

fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => word.push(chars.next()?),
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(header: &str) -> Option<Vec<(String, String, String)>> {
        let raw = format!("{header}\r\nFrom: a@b.c\r\n\r\n");
        let fields = Fields::read(raw.as_bytes());
        let results = told_by("mx.gw.test", &fields, "b.c")?;
        let domain = |told: &Told| told.property("header.d").unwrap_or_default().to_owned();
        Some(results.iter().map(|told| (told.method.clone(), told.result.clone(), domain(told))).collect())
    }

    fn one(method: &str, result: &str, domain: &str) -> (String, String, String) {
        (method.to_owned(), result.to_owned(), domain.to_owned())
    }

    #[test]
    fn results_are_read_with_comments_quotes_and_folds() {
        let header = "Authentication-Results: MX.gw.test 1 (our (own) \\) server);\r\n dkim/1 = PASS (2048-bit key; \
                      dkim=fail) reason=\"good; really=fine\"\r\n header.d=example.com header.b=\"ab=c\";\r\n spf=pass \
                      smtp.mailfrom=a@b.c; dmarc=fail header.from=b.c;";
        let expected = [one("dkim", "pass", "example.com"), one("spf", "pass", ""), one("dmarc", "fail", "")].to_vec();
        assert_eq!(told(header), Some(expected));
        assert_eq!(told("Authentication-Results: mx.gw.test; none"), Some(Vec::new()));
        assert_eq!(told("Authentication-Results: mx.gw.test"), Some(Vec::new()));
    }

    #[test]
    fn only_our_server_and_only_above_the_first_received() {
        let ours = "Authentication-Results: mx.gw.test; dkim=pass header.d=x.y";
        let theirs = "Authentication-Results: mx.evil.test; dkim=pass header.d=evil.test";
        let received = "Received: from x by y; Mon, 1 Jan 2026 00:00:00 +0000";
        assert_eq!(told(theirs), None);
        assert_eq!(told(&format!("{received}\r\n{ours}")), None);
        assert_eq!(told(&format!("{theirs}\r\n{ours}\r\n{received}")), Some(vec![one("dkim", "pass", "x.y")]));
        let second = "Authentication-Results: mx.gw.test; dmarc=fail";
        let both = Some(vec![one("dmarc", "fail", ""), one("dkim", "pass", "x.y")]);
        assert_eq!(told(&format!("{second}\r\nX: y\r\n{ours}")), both, "each check may have a field of its own");
        assert_eq!(told(&format!("{second}\r\n{received}\r\n{ours}")), Some(vec![one("dmarc", "fail", "")]));
        assert_eq!(told(&format!("{ours}\r\n{} open (", second)), None, "one that cannot be read spoils them");
        for close in ["mx.gw.test.evil.test", "xmx.gw.test", "\"mx.gw.test\" x", "mx.gw.test=x"] {
            assert_eq!(told(&ours.replace("mx.gw.test", close)), None, "{close}");
        }
    }

    #[test]
    fn a_field_about_another_from_proves_nothing() {
        let field = |from: &str| {
            format!("Authentication-Results: mx.gw.test; dkim=pass header.d=b.c; dmarc=pass header.from={from}")
        };
        let both = vec![one("dkim", "pass", "b.c"), one("dmarc", "pass", "")];
        for same in ["b.c", "B.C", "b.c.", "a@b.c"] {
            assert_eq!(told(&field(same)), Some(both.clone()), "{same}");
        }
        for other in ["evil.test", "x.b.c", "c"] {
            assert_eq!(told(&field(other)), None, "{other}");
            let beside = format!("{}\r\n{}", field(other), field("b.c"));
            assert_eq!(told(&beside), Some(both.clone()), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_read_tells_nothing() {
        for bad in
            ["dkim=pass (open", "dkim=\"pass", "dkim pass", "=pass", "dkim=pass header.d", "dkim=pass header.d=x y"]
        {
            assert_eq!(told(&format!("Authentication-Results: mx.gw.test; {bad}")), None, "{bad}");
        }
        assert_eq!(told(&format!("Authentication-Results: mx.gw.test; x=y{}", " ".repeat(LONGEST))), None);
    }
}
