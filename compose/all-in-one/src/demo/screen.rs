//! The terminal: a live line per callback, two phones and the line between them. Piped, a plain line for each step.

use std::io::{IsTerminal, Write, stdout};

use ringback_trigger_web::picture::{Phone, Picture, Stage};

use super::site::{PHONE_A, PHONE_B, Site};

/// Cells of the line between the phones.
const LINE: usize = 20;

/// Where callbacks are shown.
pub struct Screen {
    silent: bool,
    live: bool,
    colours: bool,
    drawn: String,
    job: String,
}

impl Screen {
    /// Standard output, as it is: a terminal or a pipe.
    pub fn new() -> Screen {
        let live = stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colours = live && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Screen { silent: false, live, colours, drawn: String::new(), job: String::new() }
    }

    /// Shows nothing: the answer is for a machine.
    pub fn silent() -> Screen {
        Screen { silent: true, live: false, colours: false, drawn: String::new(), job: String::new() }
    }

    /// What the visitor can do.
    pub fn invite(&mut self, site: &Site) {
        self.line("Ringback is up, on this machine alone. It has two phones, A and B, and an account with money.");
        self.line("");
        self.line(&format!("Open      {}", site.page()));
        self.line(&format!("          and call {PHONE_A}, then {PHONE_B} (any number rings one of the phones)"));
        self.line("or send   a text message:");
        self.line("");
        self.line(&format!("  {}", site.curl()));
        self.line("");
        self.line("Ctrl-C ends it.");
        self.line("");
    }

    /// A line of its own, below what is drawn.
    pub fn line(&mut self, text: &str) {
        if self.silent {
            return;
        }
        if !self.drawn.is_empty() && self.live {
            put("\n");
        }
        self.drawn.clear();
        put(&format!("{text}\n"));
    }

    /// The callback as it is now.
    pub fn draw(&mut self, picture: &Picture) {
        let drawing = drawing(picture, self.colours);
        if self.silent || drawing == self.drawn {
            return;
        }
        if picture.job != self.job && !self.drawn.is_empty() && self.live {
            put("\n");
            self.drawn.clear();
        }
        self.job.clone_from(&picture.job);
        if !self.live {
            put(&format!("{drawing}\n"));
        } else if self.drawn.is_empty() {
            put(&drawing);
        } else {
            put(&format!("\r\x1b[2K{drawing}"));
        }
        self.drawn = drawing;
    }
}

fn put(text: &str) {
    let mut out = stdout().lock();
    // A reader that went away does not stop the call.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// `A ● ━━━━━━━━──────── ○ B  ringing B   +44 20 7946 0018 → +49 30 23125042`
fn drawing(picture: &Picture, colours: bool) -> String {
    let filled = LINE * usize::from(picture.filled()) / 5;
    if picture.question {
        return format!("{} asks, and nobody is called", picture.a);
    }
    let line = format!("{}{}", "━".repeat(filled), "┄".repeat(LINE - filled));
    let word = word(picture);
    let drawn = format!("A {} {line} {} B  {word:<14}", shape(picture.a_phone), shape(picture.b_phone));
    let colour = match picture.tone() {
        "ringing" => "33",
        "talking" => "32",
        "failed" => "31",
        "waiting" => "90",
        _ => "39",
    };
    let drawn = if colours { format!("\x1b[{colour}m{drawn}\x1b[0m") } else { drawn };
    let code = picture.sip_code.map(|code| format!("  ({code})")).unwrap_or_default();
    format!("{drawn}  {} → {}{code}", picture.a, picture.b)
}

fn shape(phone: Phone) -> char {
    match phone {
        Phone::Waiting => '○',
        Phone::Ringing => '◎',
        Phone::Talking => '●',
        Phone::Ended => '◌',
        Phone::Failed => '✕',
    }
}

fn word(picture: &Picture) -> String {
    match picture.stage {
        Stage::Requested if picture.retrying => "waiting".to_owned(),
        Stage::Requested => "requested".to_owned(),
        Stage::RingingA => "ringing A".to_owned(),
        Stage::AnsweredA => "A answered".to_owned(),
        Stage::RingingB => "ringing B".to_owned(),
        Stage::Talking if picture.hanging_up() => "hanging up".to_owned(),
        Stage::Talking => "talking".to_owned(),
        Stage::Over if picture.failed() => picture.headline().to_lowercase(),
        Stage::Over => "over".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ringback_common::number::Number;

    use super::*;

    #[test]
    fn each_state_has_a_word_and_a_shape_and_only_then_a_colour() {
        let number = |text| Number::e164(text).unwrap();
        let mut picture = Picture::requested("j", &number(PHONE_A), Some(&number(PHONE_B)));
        let first = drawing(&picture, false);
        assert!(first.starts_with("A ○ ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ ○ B  requested"), "{first}");
        assert!(first.ends_with("+44 20 7946 0018 → +49 30 23125042"), "{first}");
        (picture.stage, picture.a_phone, picture.b_phone) = (Stage::RingingB, Phone::Talking, Phone::Ringing);
        assert!(drawing(&picture, false).starts_with("A ● ━━━━━━━━━━━━┄┄┄┄┄┄┄┄ ◎ B  ringing B"));
        assert!(drawing(&picture, true).starts_with("\x1b[33m"));
        assert!(!drawing(&picture, false).contains('\x1b'));
    }
}
