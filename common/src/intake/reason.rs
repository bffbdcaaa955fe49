//! Why there is no callback: a code for machines and a sentence for people.

use std::fmt;

use crate::guard::Block;
use crate::number::NumberError;

/// Which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The first party.
    A,
    /// The second party.
    B,
    /// One that is tried when the second party is busy.
    Forward,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Party::A => "first number",
            Party::B => "second number",
            Party::Forward => "forwarding number",
        })
    }
}

/// Why a wish is refused. `Display` is a plain sentence for the sender; it names no number and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nobody has registered the sender.
    #[error("this number is not registered here")]
    SenderNotRegistered,
    /// The account does not exist, is not this sender's, or the secret is wrong: nobody learns which.
    #[error("the user name or the password is wrong")]
    BadSecretOrUser,
    /// A trigger vouched for an account that does not exist.
    #[error("there is no such account")]
    UnknownAccount,
    /// The account is switched off.
    #[error("the account is disabled")]
    AccountDisabled,
    /// The balance is not above zero.
    #[error("there is no money on the account")]
    NoMoney,
    /// A number cannot be read.
    #[error("the {0}: {1}")]
    BadNumber(Party, NumberError),
    /// A number is never called, or not by this account.
    #[error("the {0}: {1}")]
    Blocked(Party, Block),
    /// A and B are the same.
    #[error("both numbers are the same")]
    SameNumber,
    /// The same call is under way.
    #[error("you are already being called for these two numbers")]
    AlreadyCalling,
    /// Too much lately; the name of the limit in the settings.
    #[error("there were too many requests; try again later")]
    Limit(&'static str),
    /// The account has no number to call back.
    #[error("the account has no number to call; name both numbers")]
    NoCallbackNumber,
    /// These last digits are those of several accounts, and the sender belongs to none or more than one of them.
    #[error("these last digits belong to more than one account")]
    AmbiguousDid,
    /// These last digits are nobody's, or those of an account that is not the sender's: nobody learns which.
    #[error("these last digits belong to no account of this sender")]
    NotYourAccount,
    /// The account wants its mail vouched for by DKIM, and nobody does.
    #[error("this account takes only mail that is signed by its sender's domain")]
    MailNotVouched,
    /// The sender has asked for no callback yet.
    #[error("there is no earlier callback to repeat")]
    NothingToRepeat,
    /// A registration by PIN alone needs a longer one.
    #[error("the password is too short to be enough alone; send REG, the user name and the password")]
    SecretTooShort,
    /// A number that registers itself belongs to another account.
    #[error("this number is registered to another account")]
    NumberTaken,
    /// The account has as many numbers as it may.
    #[error("the account has too many numbers")]
    TooManyNumbers,
    /// Only a number can register itself, be stopped or started.
    #[error("the sender is not a telephone number")]
    SenderNotANumber,
    /// A number that is not the account's is called first only for somebody who proves more than a sender's number.
    #[error("the first number is not registered to the account; send the password too, or register the number")]
    PinNeeded,
    /// The message carries more than a job may.
    #[error("the message is too long")]
    TooLarge,
}

impl Reason {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Reason::SenderNotRegistered => "sender_not_registered",
            Reason::BadSecretOrUser => "bad_secret_or_user",
            Reason::UnknownAccount => "unknown_account",
            Reason::AccountDisabled => "account_disabled",
            Reason::NoMoney => "no_money",
            Reason::BadNumber(_, error) => number_code(error),
            Reason::Blocked(_, block) => block.code(),
            Reason::SameNumber => "same_number",
            Reason::AlreadyCalling => "already_calling",
            Reason::Limit(name) => name,
            Reason::NoCallbackNumber => "no_callback_number",
            Reason::AmbiguousDid => "ambiguous_did",
            Reason::NotYourAccount => "not_your_account",
            Reason::MailNotVouched => "mail_not_vouched",
            Reason::NothingToRepeat => "nothing_to_repeat",
            Reason::SecretTooShort => "secret_too_short",
            Reason::NumberTaken => "number_taken",
            Reason::TooManyNumbers => "too_many_numbers",
            Reason::SenderNotANumber => "sender_not_a_number",
            Reason::PinNeeded => "pin_needed",
            Reason::TooLarge => "too_large",
        }
    }
}

/// Numbers that are too short, and service codes, are never dialled; the others are only written wrongly.
fn number_code(error: NumberError) -> &'static str {
    match error {
        NumberError::TooShort | NumberError::StarOrHash => Block::NeverDial.code(),
        NumberError::TooLong => "number_too_long",
        NumberError::NoCountry => "country_missing",
        NumberError::Ambiguous => "number_ambiguous",
        NumberError::Empty | NumberError::NotDigits | NumberError::LeadingZero => "bad_number",
    }
}
