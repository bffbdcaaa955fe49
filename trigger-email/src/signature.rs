//! The tags of a DKIM-Signature (RFC 6376, 3.5) that decide what it vouches for.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::fields::{Field, Fields};

/// A signature that names more fields than this is not looked at.
const MOST_NAMES: usize = 200;

/// What a signature says of itself; whether it holds, others say.
#[derive(Clone, Debug)]
pub struct Signature<'x> {
    /// The field it was read from.
    pub field: Field<'x>,
    /// `d=`, in lower case.
    pub domain: String,
    /// `s=`, in lower case.
    pub selector: String,
    /// `h=`, in lower case.
    pub covered: Vec<String>,
    /// `b=` without white space.
    pub value: String,
    /// It has an `l=`, so a stranger may have gone on writing.
    pub cut: bool,
    /// `c=` says that white space at the end of the body is nothing.
    pub relaxed_body: bool,
    /// What in it says when the mail was written, beyond a stranger's reach.
    pub written: Option<Written>,
}

/// By what a signature makes certain when its mail was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It covers the mail's Date.
    Date,
    /// Its own `t=`, in seconds since 1970.
    At(u32),
}

/// By what a signature shows that its mail was meant for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// It covers To.
    Signed,
    /// It leaves To open, as Outlook.com and Microsoft 365 do: only the envelope can say so. It covers the Message-ID instead.
    Open,
}

/// Why a signature that holds does not vouch for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// `h=` lacks From or Subject, or both To and Message-ID, or there is neither Date in it nor a `t=`.
    Uncovered,
    /// `l=`.
    Cut,
}

impl<'x> Signature<'x> {
    /// The signatures of a mail that can be read, from the top.
    pub fn all(fields: &Fields<'x>) -> Vec<Signature<'x>> {
        fields.named("dkim-signature").filter_map(Signature::read).collect()
    }

    /// Reads one; `None` if it is malformed, has a tag twice, or uses SHA-1.
    pub fn read(field: Field<'x>) -> Option<Signature<'x>> {
        let text = std::str::from_utf8(field.value).ok()?;
        let mut tags: Vec<(&str, String)> = Vec::new();
        for tag in text.trim().trim_end_matches(';').split(';') {
            let (name, value) = tag.split_once('=')?;
            let name = name.trim();
            if tags.iter().any(|(known, _)| *known == name) {
                return None;
            }
            tags.push((name, value.chars().filter(|c| !c.is_ascii_whitespace()).collect()));
        }
        let tag = |name: &str| tags.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let covered: Vec<String> = tag("h")?.split(':').map(str::to_ascii_lowercase).collect();
        if !matches!(tag("a")?, "rsa-sha256" | "ed25519-sha256") || covered.len() > MOST_NAMES {
            return None;
        }
        let at = || tag("t").and_then(|seconds| seconds.parse().ok()).map(Written::At);
        Some(Signature {
            field,
            domain: tag("d")?.to_ascii_lowercase(),
            selector: tag("s")?.to_ascii_lowercase(),
            written: if covered.iter().any(|name| name == "date") { Some(Written::Date) } else { at() },
            covered,
            value: tag("b")?.to_owned(),
            cut: tag("l").is_some(),
            relaxed_body: tag("c").is_some_and(|both| both.to_ascii_lowercase().ends_with("/relaxed")),
        })
    }

    /// The law of trust: From and Subject are covered, and all of the body; To, else the Message-ID; and when the mail was written,
    /// or it could be sent again and again.
    ///
    /// # Errors
    /// Which part of it is broken.
    pub fn strong(&self) -> Result<Addressee, Weakness> {
        if self.cut {
            return Err(Weakness::Cut);
        }
        if !(self.covers("from") && self.covers("subject") && self.written.is_some()) {
            return Err(Weakness::Uncovered);
        }
        match (self.covers("to"), self.covers("message-id")) {
            (true, _) => Ok(Addressee::Signed),
            (false, true) => Ok(Addressee::Open),
            (false, false) => Err(Weakness::Uncovered),
        }
    }

    /// Whether `h=` names this field.
    pub fn covers(&self, name: &str) -> bool {
        self.covered.iter().any(|covered| covered == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Signature<'_>> {
        Signature::read(Field { name: "DKIM-Signature", value: value.as_bytes() })
    }

    const GOOD: &str = " v=1; a=rsa-sha256; c=relaxed/relaxed; d=Example.COM; s=Sel;\r\n h=From : To:\r\n Subject:date; bh=x=; b=ab\r\n\tcd==";

    #[test]
    fn tags_are_read_across_folds() {
        let good = read(GOOD).unwrap();
        assert_eq!(
            (good.domain.as_str(), good.selector.as_str(), good.value.as_str()),
            ("example.com", "sel", "abcd==")
        );
        assert_eq!(good.covered, ["from", "to", "subject", "date"]);
        assert_eq!((good.strong(), good.relaxed_body), (Ok(Addressee::Signed), true));
        assert!(good.covers("date") && !good.covers("message-id"));
        assert_eq!(good.written, Some(Written::Date));
    }

    #[test]
    fn a_signature_says_when_or_is_weak() {
        let undated = GOOD.replace(":date", "");
        assert_eq!(read(&undated).unwrap().strong(), Err(Weakness::Uncovered));
        for bad in ["yesterday", "-1", ""] {
            assert_eq!(read(&format!("{undated}; t={bad}")).unwrap().strong(), Err(Weakness::Uncovered), "{bad}");
        }
        let own = format!("{undated}; t=1784\r\n 000000");
        let own = read(&own).unwrap();
        assert_eq!((own.written, own.strong()), (Some(Written::At(1_784_000_000)), Ok(Addressee::Signed)));
        assert_eq!(
            read(&format!("{GOOD}; t=1")).unwrap().written,
            Some(Written::Date),
            "a Date that is covered counts"
        );
    }

    #[test]
    fn what_is_cut_or_uncovered_is_weak() {
        for (change, weakness) in [("; l=0", Weakness::Cut), ("; l=1000", Weakness::Cut), ("; l=", Weakness::Cut)] {
            assert_eq!(read(&format!("{GOOD}{change}")).unwrap().strong(), Err(weakness), "{change}");
        }
        for missing in ["From : ", "To:", "Subject:"] {
            assert_eq!(read(&GOOD.replace(missing, "X:")).unwrap().strong(), Err(Weakness::Uncovered), "{missing}");
        }
    }

    #[test]
    fn to_may_be_open_where_the_message_id_is_covered() {
        // As outlook.com writes it.
        let outlook =
            GOOD.replace("h=From : To:\r\n Subject:date", "h=From:Date:Subject:Message-ID:Content-Type:MIME-Version");
        assert_eq!(read(&outlook).unwrap().strong(), Ok(Addressee::Open));
        for missing in ["From:", "Date:", "Subject:", "Message-ID:"] {
            assert_eq!(read(&outlook.replace(missing, "X:")).unwrap().strong(), Err(Weakness::Uncovered), "{missing}");
        }
        assert_eq!(read(&format!("{outlook}; l=1")).unwrap().strong(), Err(Weakness::Cut));
    }

    #[test]
    fn a_body_is_simple_unless_c_says_otherwise() {
        for (c, relaxed) in
            [("relaxed/simple", false), ("simple/relaxed", true), ("relaxed", false), ("Relaxed/Relaxed", true)]
        {
            assert_eq!(read(&GOOD.replace("relaxed/relaxed", c)).unwrap().relaxed_body, relaxed, "{c}");
        }
        assert!(!read(&GOOD.replace("c=relaxed/relaxed; ", "")).unwrap().relaxed_body);
    }

    #[test]
    fn malformed_doubled_and_outdated_ones_are_not_read() {
        for bad in [
            GOOD.replace("rsa-sha256", "rsa-sha1"),
            GOOD.replace("d=Example.COM; ", ""),
            GOOD.replace("s=Sel", "d=other.example"),
            format!("{GOOD}; h=from"),
            format!("{GOOD}; nonsense"),
            GOOD.replace("From", &"x:".repeat(300)),
            String::new(),
        ] {
            assert!(read(&bad).is_none(), "{bad}");
        }
    }
}
