//! What a mail asks for: the form in its subject, or name, password and two numbers in its body. Several forms that differ are
//! refused; nothing is guessed.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::number::text::is_invisible;

use crate::subject::{self, ByDigits, half_width, looks_like_a_number};

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

/// Reads a decoded subject and the lines of a body. A body is asked for digits only when there is no subject.
///
/// # Errors
/// There is no form, or more than one.
pub fn read(subject: &str, lines: &[String]) -> Result<Form, NoForm> {
    let mut found: Vec<Form> = subject::read(subject).map(Form::Digits).into_iter().collect();
    if subject.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        found.extend(lines.iter().filter_map(|line| subject::read(line)).map(Form::Digits));
    }
    found.extend(labelled(lines)?.map(Form::Secret));
    found.extend(lines.iter().filter_map(|line| four_words(line)).map(Form::Secret));
    found.extend(four_lines(lines).map(Form::Secret));
    let first = found.pop().ok_or(NoForm::None)?;
    if found.iter().all(|other| *other == first) { Ok(first) } else { Err(NoForm::Several) }
}

/// `alice s3cret 004412345678 004498765432`
fn four_words(line: &str) -> Option<BySecret> {
    let words: Vec<&str> = line.split_whitespace().take(5).collect();
    if label(line).is_some() {
        return None;
    }
    let &[user, secret, a, b] = words.as_slice() else { return None };
    form(user, secret, a, b)
}

/// The same, one a line, at the beginning of a mail.
fn four_lines(lines: &[String]) -> Option<BySecret> {
    let [user, secret, a, b, ..] = lines else { return None };
    let one_word = !user.contains(char::is_whitespace);
    if one_word { form(user, secret, a, b) } else { None }
}

/// `account: alice`, `password: s3cret`, `from: 004412345678`, `to: 004498765432`, in any order.
fn labelled(lines: &[String]) -> Result<Option<BySecret>, NoForm> {
    let mut values: [Option<&str>; 4] = [None; 4];
    let mut differ = false;
    for line in lines {
        let Some((slot, value)) = label(line) else { continue };
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
    let number = |text: &str| -> Option<String> {
        let plain: String = text.chars().filter(|c| !is_invisible(*c)).map(half_width).collect();
        looks_like_a_number(plain.trim()).then(|| plain.trim().to_owned())
    };
    let word = |text: &str| {
        let clean: String = text.trim_matches(is_invisible).to_owned();
        (1..=LONGEST_WORD).contains(&clean.chars().count()).then_some(clean)
    };
    Some(BySecret { user: word(user)?, secret: word(secret)?, a: number(a)?, b: number(b)? })
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
        assert_eq!(told("x", &format!("Hello,\n{FOUR}\nBye\n{FOUR}")), FOUR, "the same twice is the same");
    }

    #[test]
    fn nothing_is_guessed() {
        assert_eq!(told("x", &format!("{FOUR}\nalice s3cret 004412345678 004498765433")), "several_forms");
        assert_eq!(told("0370728#0119281112222", FOUR), "several_forms");
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
