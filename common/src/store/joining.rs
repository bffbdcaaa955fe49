//! What becomes of one more part of a long text, by what is known of that text. Pure: the store keeps parts by this rule, and
//! whoever joins parts elsewhere goes by it too.
//!
//! Two parts with one number that say different things belong to two texts (a phone counts its references only to 255). Then
//! nothing of the earlier text is kept: a mixture of both would be a text that nobody wrote.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// What is known of one part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPart {
    /// Which part, from 1.
    pub number: u8,
    /// What tells what it says from what other parts say.
    pub mark: String,
    /// Its text has been dealt with, whole or not.
    pub done: bool,
}

/// What becomes of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is kept with the others of its text.
    Kept,
    /// It is the first of another text: what is known of the earlier one is forgotten, then it is kept.
    KeptAlone,
    /// It is here already.
    Here,
    /// Its text has been dealt with: it comes again, or too late.
    Past,
}

/// What becomes of part `number` with this mark, where these parts of its text are known.
pub fn fate(known: &[KnownPart], number: u8, mark: &str) -> Fate {
    match known.iter().find(|part| part.number == number) {
        Some(part) if part.mark != mark => Fate::KeptAlone,
        Some(part) if !part.done => Fate::Here,
        None if known.iter().all(|part| !part.done) => Fate::Kept,
        Some(_) | None => Fate::Past,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(parts: &[(u8, &str)], done: bool) -> Vec<KnownPart> {
        parts.iter().map(|(number, mark)| KnownPart { number: *number, mark: (*mark).to_owned(), done }).collect()
    }

    #[test]
    fn a_part_is_kept_known_late_or_of_another_text() {
        let waiting = known(&[(1, "x1"), (2, "x2")], false);
        assert_eq!(fate(&[], 1, "x1"), Fate::Kept);
        assert_eq!(fate(&waiting, 3, "x3"), Fate::Kept);
        assert_eq!(fate(&waiting, 2, "x2"), Fate::Here);
        assert_eq!(fate(&waiting, 1, "y1"), Fate::KeptAlone);
        let done = known(&[(1, "x1"), (2, "x2")], true);
        assert_eq!(fate(&done, 2, "x2"), Fate::Past, "a repeat");
        assert_eq!(fate(&done, 3, "x3"), Fate::Past, "its text was given up before it came");
        assert_eq!(fate(&done, 2, "y2"), Fate::KeptAlone);
    }
}
