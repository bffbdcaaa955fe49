//! What is accepted at the number that a text was sent to.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::answer::How;
use ringback_common::config::ShortCodeConfig;

use super::{Form, commands, keyword, words};

/// One number of ours, and what may be written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    number: String,
    forms: Vec<Form>,
    keyword: Option<String>,
}

impl Default for Here {
    /// The founding form and the commands.
    fn default() -> Here {
        Here { number: String::new(), forms: vec![Form::Words, Form::Commands], keyword: None }
    }
}

impl Here {
    /// These forms; those that cannot be told from another are refused where they meet.
    pub fn new(number: &str, forms: Vec<Form>, keyword: Option<&str>) -> Here {
        Here { number: digits(number), forms, keyword: keyword.map(keyword::fold).filter(|word| !word.is_empty()) }
    }

    pub(super) fn forms(&self) -> &[Form] {
        &self.forms
    }

    pub(super) fn has(&self, form: Form) -> bool {
        self.forms.contains(&form)
    }

    /// The text after this number's keyword; `None` where it does not begin with it.
    pub(super) fn without_keyword<'a>(&self, text: &'a str) -> Option<&'a str> {
        let Some(wanted) = &self.keyword else { return Some(text) };
        let (first, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
        (keyword::fold(first) == *wanted).then(|| rest.trim_start_matches(words::is_between))
    }

    /// How each form that can be shown is written.
    pub fn hows(&self) -> Vec<How> {
        let keyword = self.keyword.as_ref().map(|word| format!("{} ", word.to_uppercase())).unwrap_or_default();
        let with_keyword = |how: How| How { example: format!("{keyword}{}", how.example).into(), ..how };
        self.forms.iter().filter_map(|form| form.how()).map(with_keyword).collect()
    }

    /// The commands that are accepted, as they are shown.
    pub fn commands(&self) -> &'static [&'static str] {
        if self.has(Form::Commands) {
            &commands::SHOWN
        } else if self.has(Form::ShortCommands) {
            &["B", "L", "RE", "X", "I +4915112345678", "STOP", "START"]
        } else {
            &["STOP", "START"]
        }
    }
}

/// What is accepted at each of our numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortCodes {
    own: Vec<Here>,
    other: Here,
}

impl ShortCodes {
    /// As the settings say.
    ///
    /// # Errors
    /// A form that nobody knows.
    pub fn new(settings: &[ShortCodeConfig]) -> Result<ShortCodes, String> {
        let mut own = Vec::new();
        for one in settings {
            let mut forms: Vec<Form> = Vec::new();
            for name in &one.forms {
                let known = Form::by_name(name).ok_or_else(|| {
                    format!("[[sms.shortcode]] {}: no form is called {name:?}; there are {}", one.number, names())
                })?;
                forms.extend(known.iter().filter(|form| !forms.contains(form)).collect::<Vec<_>>());
            }
            own.push(Here::new(&one.number, forms, one.keyword.as_deref()));
        }
        Ok(ShortCodes { own, other: Here::default() })
    }

    /// What is accepted at this number, as a provider writes it: with or without `+`. Several entries of one number are told
    /// apart by their keywords; the one without a keyword takes the rest.
    pub fn at(&self, number: &str, text: &str) -> &Here {
        let wanted = digits(number);
        let here: Vec<&Here> = self.own.iter().filter(|here| here.number == wanted && !wanted.is_empty()).collect();
        let text = text.trim_matches(words::is_between);
        let by_keyword = here.iter().find(|here| here.keyword.is_some() && here.without_keyword(text).is_some());
        let plain = || here.iter().find(|here| here.keyword.is_none());
        by_keyword.or_else(plain).or(here.first()).map_or(&self.other, |here| *here)
    }
}

fn names() -> String {
    Form::names().collect::<Vec<_>>().join(", ")
}

/// `+1 (206) 555-0100` and `12065550100` are one number; a name keeps its letters.
fn digits(number: &str) -> String {
    number.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
