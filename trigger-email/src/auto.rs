//! Mail that no person wrote, or that came to us by way of ourselves: never answered (RFC 3834), never a job.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::fields::Fields;

/// The field that marks our own replies.
pub const OWN_FIELD: &str = "X-Ringback-Job";

/// Why a mail is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// None of its recipients is ours.
    OtherRecipient,
    /// The null sender: a bounce.
    NullSender,
    /// `Auto-Submitted` other than `no`.
    AutoSubmitted,
    /// `Precedence: bulk`, `list` or `junk`.
    Bulk,
    /// A mailing list sent it.
    List,
    /// A report about another mail.
    Report,
    /// One of our own.
    Loop,
    /// No From, several, or no address in it.
    NotOneFrom,
}

impl Ignored {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Ignored::OtherRecipient => "other_recipient",
            Ignored::NullSender => "null_sender",
            Ignored::AutoSubmitted => "auto_submitted",
            Ignored::Bulk => "bulk",
            Ignored::List => "list",
            Ignored::Report => "report",
            Ignored::Loop => "loop",
            Ignored::NotOneFrom => "not_one_from",
        }
    }
}

/// Whether this mail answers by itself, reports, or goes to many.
pub fn written_by_a_machine(fields: &Fields<'_>) -> Option<Ignored> {
    let any = |name: &str, says: &dyn Fn(&str) -> bool| fields.named(name).any(|field| says(&word(&field.plain())));
    if any("auto-submitted", &|word| word != "no") {
        return Some(Ignored::AutoSubmitted);
    }
    if any("precedence", &|word| matches!(word, "bulk" | "list" | "junk" | "auto_reply")) {
        return Some(Ignored::Bulk);
    }
    if fields.all().any(|field| field.name.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case("list-"))) {
        return Some(Ignored::List);
    }
    let reports = ["multipart/report", "message/delivery-status", "message/disposition-notification"];
    if any("content-type", &|word| reports.contains(&word)) {
        return Some(Ignored::Report);
    }
    None
}

/// The first word of a value, comments before it skipped, in lower case.
fn word(value: &str) -> String {
    let mut rest = value.trim_start();
    while let Some(comment) = rest.strip_prefix('(') {
        rest = comment.split_once(')').map_or("", |(_, after)| after).trim_start();
    }
    rest.split(|c: char| c.is_whitespace() || matches!(c, ';' | '(' | ',')).next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_known_by_what_they_say() {
        for (header, ignored) in [
            ("Auto-Submitted: auto-replied", Some(Ignored::AutoSubmitted)),
            ("AUTO-SUBMITTED: (vacation) Auto-Generated; x=y", Some(Ignored::AutoSubmitted)),
            ("Auto-Submitted:\r\n auto-notified", Some(Ignored::AutoSubmitted)),
            ("Auto-Submitted: no", None),
            ("Auto-Submitted: No; x=y", None),
            ("X-Auto-Response-Suppress: All", None), // a person's mail program asks for no machine's answer
            ("X-Auto-Response-Suppress: DR, OOF, AutoReply", None),
            (
                "X-Auto-Response-Suppress: DR, OOF, AutoReply\r\nAuto-Submitted: auto-replied",
                Some(Ignored::AutoSubmitted),
            ),
            ("Precedence: bulk", Some(Ignored::Bulk)),
            ("Precedence: LIST", Some(Ignored::Bulk)),
            ("precedence: junk", Some(Ignored::Bulk)),
            ("Precedence: first-class", None),
            ("List-Id: <x.example>", Some(Ignored::List)),
            ("list-unsubscribe: <mailto:x@y>", Some(Ignored::List)),
            ("Listing: x", None),
            ("Content-Type: multipart/report; report-type=delivery-status", Some(Ignored::Report)),
            ("Content-Type: text/plain", None),
        ] {
            let raw = format!("From: a@b.c\r\n{header}\r\n\r\n");
            assert_eq!(written_by_a_machine(&Fields::read(raw.as_bytes())), ignored, "{header}");
        }
    }
}
