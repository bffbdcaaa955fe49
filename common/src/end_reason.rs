//! Why a callback ended: the code that travels in events and rows. What people read of it is made in [`crate::answer`].
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::guard::{self, Block};

/// Why a callback ended, or a question has no answer. The facts of it (tries, seconds, cost, balance) stand beside it in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// Both talked, and one hung up.
    Talked,
    /// Both talked until the money was used up.
    MoneyUsedUp,
    /// Both talked for as long as is allowed.
    TimeLimit,
    /// Both talked until nothing was heard any more.
    LineSilent,
    /// A was busy each time.
    ABusy,
    /// No trunk reached A.
    AUnreachable,
    /// A did not answer.
    ANoAnswer,
    /// A hung up before B answered.
    AHungUp,
    /// A declined the call.
    ADeclined,
    /// A's number does not exist.
    ANoSuchNumber,
    /// B was busy.
    BBusy,
    /// B did not answer.
    BNoAnswer,
    /// B declined the call.
    BDeclined,
    /// B's number does not exist.
    BNoSuchNumber,
    /// No trunk reached B.
    BUnreachable,
    /// Somebody cancelled it.
    Cancelled,
    /// The gateway was interrupted.
    Interrupted,
    /// A question, and it was answered.
    Answered,
    /// Too old to be tried.
    Expired,
    /// Not enough free money.
    NoFunds,
    /// Each engine that tried it failed.
    Poisoned,
    /// No trunk carries one of the numbers.
    NoTrunk,
    /// The trunk that the job names for A does not carry A.
    NotThisTrunk,
    /// One of the numbers has no price.
    NoPrice,
    /// The account does not exist.
    UnknownAccount,
    /// The account is switched off.
    AccountDisabled,
    /// What is stored of the account cannot be used; the log says what.
    AccountUnusable,
    /// A and B are the same.
    SameNumber,
    /// The same call is under way.
    AlreadyCalling,
    /// B is to be asked for by voice, which this version does not do.
    ByVoice,
    /// The question is not understood, or lacks its number.
    BadQuestion,
    /// A number must not be dialled, and by now it is not known by which rule.
    Blocked,
    /// A number must not be dialled by this rule.
    Forbidden(Block),
    /// Too much lately; the name of the limit in the settings.
    Limit(&'static str),
    /// Of another version of Ringback.
    Unknown,
}

/// All that stand for themselves: those of a rule or limit have its name.
const PLAIN: [(EndReason, &str); 33] = [
    (EndReason::Talked, "talked"),
    (EndReason::MoneyUsedUp, "money_used_up"),
    (EndReason::TimeLimit, "time_limit"),
    (EndReason::LineSilent, "line_silent"),
    (EndReason::ABusy, "a_busy"),
    (EndReason::AUnreachable, "a_unreachable"),
    (EndReason::ANoAnswer, "a_no_answer"),
    (EndReason::AHungUp, "a_hung_up"),
    (EndReason::ADeclined, "a_declined"),
    (EndReason::ANoSuchNumber, "a_no_such_number"),
    (EndReason::BBusy, "b_busy"),
    (EndReason::BNoAnswer, "b_no_answer"),
    (EndReason::BDeclined, "b_declined"),
    (EndReason::BNoSuchNumber, "b_no_such_number"),
    (EndReason::BUnreachable, "b_unreachable"),
    (EndReason::Cancelled, "cancelled"),
    (EndReason::Interrupted, "interrupted"),
    (EndReason::Answered, "answered"),
    (EndReason::Expired, "expired"),
    (EndReason::NoFunds, "no_funds"),
    (EndReason::Poisoned, "poisoned"),
    (EndReason::NoTrunk, "no_trunk"),
    (EndReason::NotThisTrunk, "not_this_trunk"),
    (EndReason::NoPrice, "no_price"),
    (EndReason::UnknownAccount, "unknown_account"),
    (EndReason::AccountDisabled, "account_disabled"),
    (EndReason::AccountUnusable, "account_unusable"),
    (EndReason::SameNumber, "same_number"),
    (EndReason::AlreadyCalling, "already_calling"),
    (EndReason::ByVoice, "by_voice"),
    (EndReason::BadQuestion, "bad_question"),
    (EndReason::Blocked, "blocked"),
    (EndReason::Unknown, "unknown"),
];

/// How versions before the codes said it, in rows and events that are still kept.
const SENTENCES: [(&str, EndReason); 33] = [
    ("both talked", EndReason::Talked),
    ("the money ran out", EndReason::MoneyUsedUp),
    ("the longest allowed time was reached", EndReason::TimeLimit),
    ("the line went silent", EndReason::LineSilent),
    ("your phone was busy each time we called", EndReason::ABusy),
    ("your phone could not be reached", EndReason::AUnreachable),
    ("you did not answer when we called", EndReason::ANoAnswer),
    ("you hung up before your friend answered", EndReason::AHungUp),
    ("your phone declined our call", EndReason::ADeclined),
    ("your own number does not exist", EndReason::ANoSuchNumber),
    ("your friend's line is busy", EndReason::BBusy),
    ("your friend did not answer", EndReason::BNoAnswer),
    ("your friend declined the call", EndReason::BDeclined),
    ("your friend's number does not exist", EndReason::BNoSuchNumber),
    ("your friend could not be reached", EndReason::BUnreachable),
    ("it was cancelled", EndReason::Cancelled),
    ("our service was interrupted", EndReason::Interrupted),
    ("it was answered", EndReason::Answered),
    ("the request was too old to be tried", EndReason::Expired),
    ("there is not enough money on the account", EndReason::NoFunds),
    ("the request could not be handled", EndReason::Poisoned),
    ("no trunk carries this number now", EndReason::NoTrunk),
    ("the trunk that is to carry the first call does not carry this number now", EndReason::NotThisTrunk),
    ("there is no price for this number", EndReason::NoPrice),
    ("there is no such account", EndReason::UnknownAccount),
    ("the account is disabled", EndReason::AccountDisabled),
    ("the account cannot be used; ask its operator", EndReason::AccountUnusable),
    ("both numbers are the same", EndReason::SameNumber),
    ("you are already being called for these two numbers", EndReason::AlreadyCalling),
    ("asking for the number by voice is not in this version", EndReason::ByVoice),
    ("the question is not understood", EndReason::BadQuestion),
    ("the question names no number", EndReason::BadQuestion),
    ("this number must not be dialled", EndReason::Blocked),
];

impl EndReason {
    /// Stable, in snake_case. Rules and limits have the names that the door gives them.
    pub fn code(self) -> &'static str {
        match self {
            EndReason::Forbidden(block) => block.code(),
            EndReason::Limit(name) => name,
            plain => PLAIN.iter().find(|(reason, _)| *reason == plain).map_or("unknown", |(_, code)| code),
        }
    }

    /// What a row or an event says: a code, or a sentence of a version before the codes.
    pub fn read(said: &str) -> EndReason {
        let plain = PLAIN.iter().find(|(_, code)| *code == said).map(|(reason, _)| *reason);
        let named = |text: &str| {
            let block = Block::ALL.into_iter().find(|block| block.code() == text).map(EndReason::Forbidden);
            block.or_else(|| guard::limit_named(text).map(EndReason::Limit))
        };
        plain.or_else(|| named(said)).or_else(|| of_sentence(said)).unwrap_or(EndReason::Unknown)
    }

    /// Each of them.
    pub fn all() -> impl Iterator<Item = EndReason> {
        let plain = PLAIN.iter().map(|(reason, _)| *reason);
        let limits = guard::limit_names().map(EndReason::Limit);
        plain.chain(Block::ALL.map(EndReason::Forbidden)).chain(limits)
    }
}

fn of_sentence(said: &str) -> Option<EndReason> {
    let said = said.trim_end_matches('.');
    let sentence = SENTENCES.iter().find(|(sentence, _)| *sentence == said).map(|(_, reason)| *reason);
    let block = || Block::ALL.into_iter().find(|block| block.to_string() == said).map(EndReason::Forbidden);
    let limit = || {
        let name = said.strip_prefix("too many requests: the limit ")?.strip_suffix(" is reached")?;
        guard::limit_named(name).map(EndReason::Limit)
    };
    sentence.or_else(block).or_else(limit)
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for EndReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for EndReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EndReason, D::Error> {
        Cow::<str>::deserialize(deserializer).map(|said| EndReason::read(&said))
    }
}

/// Any code is valid, so that a newer gateway may say more; those of this version are the examples.
impl JsonSchema for EndReason {
    fn schema_name() -> Cow<'static, str> {
        "EndReason".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes: Vec<&str> = EndReason::all().map(EndReason::code).collect();
        json_schema!({
            "description": "Why a callback ended, or a question has no answer. Later versions may add some.",
            "type": "string", "pattern": "^[a-z0-9_]+$", "examples": codes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_has_a_code_of_its_own_and_is_read_back_by_it() {
        let codes: BTreeSet<&str> = EndReason::all().map(EndReason::code).collect();
        assert_eq!(codes.len(), EndReason::all().count());
        for reason in EndReason::all() {
            assert_eq!(EndReason::read(reason.code()), reason);
            let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(reason.code().chars().all(is_code), "{reason}");
        }
        assert_eq!(EndReason::read("of_a_later_version"), EndReason::Unknown);
    }

    #[test]
    fn what_was_written_before_the_codes_is_still_read() {
        for (said, code) in [
            ("your friend's line is busy", "b_busy"),
            ("you are already being called for these two numbers", "already_calling"),
            ("this country is not allowed for this account", "country_not_allowed"),
            ("too many requests: the limit jobs_per_account_per_hour is reached", "jobs_per_account_per_hour"),
            ("the account cannot be used; ask its operator", "account_unusable"),
        ] {
            assert_eq!(EndReason::read(said).code(), code);
        }
    }

    #[test]
    fn the_documentation_names_each_code() {
        let queues = include_str!("../../docs/queues.md");
        for reason in EndReason::all().filter(|reason| !matches!(reason, EndReason::Limit(_))) {
            assert!(queues.contains(&format!("`{reason}`")), "docs/queues.md does not say what `{reason}` means");
        }
    }
}
