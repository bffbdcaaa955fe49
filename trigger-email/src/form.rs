//! What a mail asks for: the form in its subject, else name, password and two numbers in its body. Several forms of a body that
//! differ are refused; nothing is guessed. What a signature or a mail system adds looks much like a form, so a line is one only
//! where its numbers are whole and its name could be an account's.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::number::text::{is_invisible, is_separator};
use ringback_common::number::{Dialling, NumberError, read as read_number};

use crate::subject::{self, ByDigits, half_width, looks_like_a_number};

/// What people and programs write around a line: no name begins with it, no number ends in it.
const AROUND: [char; 14] = ['"', '\'', '`', '*', '“', '”', '„', '‘', '’', '‚', '«', '»', '「', '」'];
/// Longer words are no account and no password (characters).
const LONGEST_WORD: usize = 64;

/// Name, password and two numbers, as they were written.
#[derive(Clone, PartialEq, Eq)]
pub struct BySecret {
    /// The name of the account.
    pub user: String,
    /// Its password.
    pub secret: String,
    /// The first party.
    pub a: String,
    /// The second party.
    pub b: String,
}

/// What was understood.
#[derive(Clone, PartialEq, Eq)]
pub enum Form {
    /// Seven digits name the account; the mail itself has to be vouched for.
    Digits(ByDigits),
    /// A secret proves the account.
    Secret(BySecret),
}

/// Why nothing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoForm {
    /// Neither subject nor body has a form.
    None,
    /// There are several, and they differ.
    Several,
}

impl NoForm {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            NoForm::None => "no_form",
            NoForm::Several => "several_forms",
        }
    }
}

/// Reads a decoded subject and the lines of a body. A form in the subject is what was asked for, whatever the body holds; a body is
/// asked for digits only when there is no subject.
///
/// # Errors
/// There is no form, or more than one.
pub fn read(subject: &str, lines: &[String]) -> Result<Form, NoForm> {
    if let Some(form) = subject::read(subject) {
        return Ok(Form::Digits(form));
    }
    let mut found: Vec<Form> = Vec::new();
    if subject.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        found.extend(by_digits(lines).into_iter().map(Form::Digits));
    }
    found.extend(labelled(lines)?.map(Form::Secret));
    found.extend(lines.iter().filter_map(|line| four_words(line)).map(Form::Secret));
    if found.is_empty() {
        found.extend(four_lines(lines).map(Form::Secret));
    }
    let first = found.pop().ok_or(NoForm::None)?;
    if found.iter().all(|other| *other == first) { Ok(first) } else { Err(NoForm::Several) }
}

/// The lines that would be a subject's form. Seven digits alone may be a local number in a signature: those with a second party go
/// before them, and they count only written in one.
fn by_digits(lines: &[String]) -> Vec<ByDigits> {
    let all = || lines.iter().filter_map(|line| Some((line, subject::read(line)?)));
    let whole: Vec<ByDigits> = all().map(|(_, form)| form).filter(|form| form.b.is_some()).collect();
    if whole.is_empty() { all().filter(|(line, _)| is_one_word(line)).map(|(_, form)| form).collect() } else { whole }
}

fn is_one_word(line: &str) -> bool {
    !line.contains(|c: char| is_separator(c) && !is_invisible(c))
}

/// `alice s3cret 004412345678 004498765432`
fn four_words(line: &str) -> Option<BySecret> {
    let words: Vec<&str> = line.trim_matches(AROUND).split_whitespace().take(5).collect();
    if label(line).is_some() {
        return None;
    }
    let &[user, secret, a, b] = words.as_slice() else { return None };
    if is_whole(a) && is_whole(b) { form(user, secret, a, b) } else { None }
}

/// The same, one a line: the first four lines together that are it, for a mail system may have put a warning above them.
fn four_lines(lines: &[String]) -> Option<BySecret> {
    lines.windows(4).find_map(|four| match four {
        [user, secret, a, b] if is_whole(a) && is_whole(b) => form(user, secret, a, b),
        _ => None,
    })
}

/// `account: alice`, `password: s3cret`, `from: 004412345678`, `to: 004498765432`, in any order.
fn labelled(lines: &[String]) -> Result<Option<BySecret>, NoForm> {
    let mut values: [Option<&str>; 4] = [None; 4];
    let mut differ = false;
    for line in lines {
        let Some((slot, value)) = label(line) else { continue };
        if slot >= 2 && number(value).is_none() {
            continue; // `From: Bob` is the header of a quoted mail
        }
        differ |= values[slot].replace(value).is_some_and(|other| other != value);
    }
    let [Some(user), Some(secret), Some(a), Some(b)] = values else { return Ok(None) };
    if differ { Err(NoForm::Several) } else { Ok(form(user, secret, a, b)) }
}

/// What may stand before the colon of a labelled line, for each of the four.
const LABELS: [&[&str]; 4] = [
    &[
        "account",
        "user",
        "username",
        "user name",
        "login",
        "name",
        "id",
        "账号",
        "账户",
        "用户名",
        "cuenta",
        "usuario",
        "compte",
        "utilisateur",
        "identifiant",
    ],
    &["password", "pin", "pass", "secret", "密码", "contraseña", "clave", "mot de passe", "code"],
    &[
        "a",
        "from",
        "caller",
        "your number",
        "first number",
        "number 1",
        "number1",
        "phone 1",
        "主叫",
        "主叫号码",
        "de",
        "origen",
        "appelant",
    ],
    &[
        "b",
        "to",
        "callee",
        "called",
        "other number",
        "second number",
        "number 2",
        "number2",
        "phone 2",
        "destination",
        "被叫",
        "被叫号码",
        "a quien",
        "destino",
        "appelé",
    ],
];

fn label(line: &str) -> Option<(usize, &str)> {
    let at = line.find([':', '=', '：', '＝'])?;
    let label = line[..at].trim().to_lowercase();
    let value = line[at..].trim_start_matches([':', '=', '：', '＝']).trim();
    let slot = LABELS.iter().position(|known| known.contains(&label.as_str()))?;
    (!value.is_empty()).then_some((slot, value))
}

fn form(user: &str, secret: &str, a: &str, b: &str) -> Option<BySecret> {
    let word = |text: &str| {
        let clean: String = text.trim_matches(is_invisible).to_owned();
        (1..=LONGEST_WORD).contains(&clean.chars().count()).then_some(clean)
    };
    let user = word(user).filter(|user| could_be_a_name(user))?;
    Some(BySecret { user, secret: word(secret)?, a: number(a)?, b: number(b)? })
}

/// Digits as they were written, without what shows nothing.
fn number(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !is_invisible(*c)).map(half_width).collect();
    looks_like_a_number(plain.trim()).then(|| plain.trim().to_owned())
}

/// Whether an account may be called so: letters, digits and a few signs, and not the beginning of a number.
fn could_be_a_name(word: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || "._-+@".contains(c);
    word.chars().all(fits) && !word.starts_with('+')
}

/// Whether a number is all there, be it somebody's or not: one for which only the writer's country may be missing, and no date.
fn is_whole(text: &str) -> bool {
    let Some(number) = number(text) else { return false };
    let read = read_number(&number, &Dialling::default());
    let whole = matches!(read, Ok(_) | Err(NumberError::NoCountry | NumberError::Ambiguous));
    whole && !is_a_date(&number)
}

/// `28.11.2026`, `2026-11-28`, `28/11/26`
fn is_a_date(number: &str) -> bool {
    let parts: Vec<&str> = number.split(['.', '-', '/']).collect();
    let one_of =
        |lengths: &[usize], part: &str| lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        [first, month, last] if one_of(&[1, 2], month) => {
            (one_of(&[4], first) && one_of(&[1, 2], last)) || (one_of(&[1, 2], first) && one_of(&[2, 4], last))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    }

    fn told(subject: &str, text: &str) -> String {
        match read(subject, &body(text)) {
            Ok(Form::Digits(form)) => format!("{} {:?}", form.suffix, form.b),
            Ok(Form::Secret(form)) => format!("{} {} {} {}", form.user, form.secret, form.a, form.b),
            Err(none) => none.code().to_owned(),
        }
    }

    const FOUR: &str = "alice s3cret 004412345678 004498765432";

    #[test]
    fn the_subject_decides_and_the_body_helps_when_there_is_none() {
        assert_eq!(told("0370728", "call me please"), "0370728 None");
        assert_eq!(told("", "0370728#0119281112222"), r#"0370728 Some("0119281112222")"#);
        assert_eq!(told(" \u{200b}", "hello\n0370728"), "0370728 None");
        assert_eq!(told("hello", "0370728"), "no_form", "digits in a body count only without a subject");
        assert_eq!(told("", ""), "no_form");
    }

    #[test]
    fn name_password_and_two_numbers() {
        assert_eq!(told("callback", FOUR), FOUR);
        assert_eq!(told("", "alice\ns3cret\n004412345678\n004498765432\nthanks"), FOUR);
        assert_eq!(told("", "Login: alice\nPassword: s3cret\nFrom: 004412345678\nTo = 004498765432"), FOUR);
        assert_eq!(told("", "被叫号码：004498765432\n主叫号码：004412345678\n账号：alice\n密码：s3cret"), FOUR);
        assert_eq!(
            told("x", "user: alice\npin: my: se cret\na: +44 (12) 345678\nb: +44 98-765432"),
            "alice my: se cret +44 (12) 345678 +44 98-765432"
        );
        for around in [["\"", "\""], ["“", "”"], ["«", "»"], ["*", "*"], ["`", "`"], ["'", "'"]] {
            assert_eq!(told("callback", &around.join(FOUR)), FOUR, "{around:?}");
        }
        assert_eq!(told("x", &format!("Hello,\n{FOUR}\nBye\n{FOUR}")), FOUR, "the same twice is the same");
    }

    #[test]
    fn a_form_in_the_subject_is_what_was_asked_for() {
        for body in [FOUR, "Thanks\nAlice Smith\n+44 20 7183 8750", "0370729", "user: a\nuser: b\npin: x\na: 1\nb: 2"] {
            assert_eq!(told("0370728#0119281112222", body), r#"0370728 Some("0119281112222")"#, "{body}");
        }
    }

    #[test]
    fn signatures_and_banners_are_no_forms() {
        for extra in [
            "+44 20 7183 8750",
            "020 7183 8750 1234",
            "12 High St 62704",
            "Alice Smith\n12 High St\nLondon\n+1 206 555 0100",
            "Tel: Fax: 02071838750 02071838751",
            "(office) now 02071838750 02071838751",
            "Sat 28 28.11.2026 2026-11-28",
            "on until 28/11/26 29/11/26",
            "1 206 555 0100",
            "+49 30 4930901820 4930901821",
            "From: Bob <bob@example.com>\nTo: call@gw.test\nSubject: hi",
        ] {
            assert_eq!(told("hi", extra), "no_form", "{extra}");
            assert_eq!(told("hi", &format!("{FOUR}\n\n{extra}")), FOUR, "{extra}");
            assert_eq!(told("hi", &format!("{extra}\n{}", FOUR.replace(' ', "\n"))), FOUR, "{extra}");
            let labels = "Account: alice\nPassword: s3cret\nFrom: 004412345678\nTo: 004498765432";
            assert_eq!(told("hi", &format!("{labels}\n{extra}")), FOUR, "{extra}");
        }
        let lines = "alice\ns3cret\n+44 20 7183 8750\n+49 30 901820";
        assert_eq!(told("hi", lines), "alice s3cret +44 20 7183 8750 +49 30 901820");
        assert_eq!(told("", "0370728#004498765432\nAlice\n555-0100\n5550100"), r#"0370728 Some("004498765432")"#);
        assert_eq!(told("", "0370728\nAlice\n555-0100"), "0370728 None");
    }

    #[test]
    fn nothing_is_guessed() {
        assert_eq!(told("x", &format!("{FOUR}\nalice s3cret 004412345678 004498765433")), "several_forms");
        assert_eq!(told("", "0370728\n0370729"), "several_forms");
        assert_eq!(told("x", "user: alice\nuser: bob\npin: x\na: 1\nb: 2"), "several_forms");
        for no in
            ["call me at 004412345678", "alice s3cret 004412345678", "alice s3cret home work", "a b c d 1 2", "1 2 3 x"]
        {
            assert_eq!(told("x", no), "no_form", "{no}");
        }
        assert_eq!(told("x", &format!("{} s3cret 0044123456 0044987654", "a".repeat(65))), "no_form");
    }
}
