//! The pages: a form, a callback's picture, and a page for what went wrong.

use askama::Template;

use crate::picture::{Phone, Picture};

/// The form with two numbers.
#[derive(Template)]
#[template(path = "form.html")]
pub struct Form<'a> {
    /// Proves that a post comes from this page.
    pub token: &'a str,
    /// The same post twice is the same callback.
    pub once: &'a str,
    /// What was typed before.
    pub a: &'a str,
    /// What was typed before.
    pub b: &'a str,
    /// The account's name.
    pub paid_by: &'a str,
    /// What to put right.
    pub problem: Option<&'a str>,
}

/// The page of one callback.
#[derive(Template)]
#[template(path = "call.html")]
pub struct Call<'a> {
    /// Drawn by `picture.html`.
    pub picture: &'a Picture,
}

/// The picture alone: what the live stream sends.
#[derive(Template)]
#[template(path = "picture.html")]
pub struct Drawing<'a> {
    /// The callback.
    pub picture: &'a Picture,
}

/// Something went wrong, in plain words.
#[derive(Template)]
#[template(path = "problem.html")]
pub struct Problem<'a> {
    /// What, shortly.
    pub headline: &'a str,
    /// The HTTP status, small beside it.
    pub code: Option<u16>,
    /// What to do.
    pub detail: &'a str,
}

/// The sign on a phone: each state has a shape of its own, not only a colour.
fn mark(phone: &Phone) -> &'static str {
    match phone {
        Phone::Waiting => r#"<path class="mark" d="M14 62h12"/>"#,
        Phone::Ringing => r#"<path class="mark" d="M12 30a11 11 0 0 1 16 0M8 24a17 17 0 0 1 24 0M20 38v.1"/>"#,
        Phone::Talking => r#"<path class="mark" d="M11 30v8M20 24v20M29 30v8"/>"#,
        Phone::Ended => r#"<path class="mark" d="M12 36l6 6 11-13"/>"#,
        Phone::Failed => r#"<path class="mark" d="M13 29l14 14M27 29L13 43"/>"#,
    }
}

/// Where the filled part of the line ends.
fn filled_to(picture: &Picture) -> u32 {
    72 + 176 * u32::from(picture.filled()) / 5
}
