//! What a trigger understood: who sent what, who pays and what proves it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::terms::Terms;

/// What a trigger understood. Numbers are as they were written.
#[derive(Clone)]
pub struct Wish {
    /// The name of the trigger, and where its replies go: `sms`, `web`, `cli`.
    pub source: String,
    /// The source's own id of the message.
    pub message_id: String,
    /// Who sent it, as the channel names it: `+442071838750`, `alice@example.net`.
    pub sender: String,
    /// Who pays, and what proves it.
    pub payer: Payer,
    /// What is wanted.
    pub ask: Ask,
    /// How the calls are to be made, where the message says so; its forward numbers are in `forwards` as they were written.
    pub terms: Terms,
    /// Numbers to be tried in turn when B is busy.
    pub forwards: Vec<String>,
    /// Nobody is dialled before.
    pub not_before: Option<DateTime<Utc>>,
    /// When the source received the message, if it says so.
    pub received: Option<DateTime<Utc>>,
    /// What the trigger needs to answer.
    pub reply: Option<String>,
    /// The caller's own data.
    pub metadata: BTreeMap<String, Value>,
}

/// What is wanted.
#[derive(Clone, PartialEq, Eq)]
pub enum Ask {
    /// Call A, then B.
    Callback {
        /// The first party. `None`: the account's callback number, which is the sender if that number is registered to the
        /// account, else the account's first number.
        a: Option<String>,
        /// The second party. `None`: A is asked by voice.
        b: Option<String>,
    },
    /// The last callback that this sender asked for on this account, once more.
    Redial,
    /// How much money is there? Answered by the engine without dialling, like the next two.
    Balance,
    /// What does a minute to this number cost?
    Rate {
        /// The second party.
        number: String,
    },
    /// How long was the last call, and what did it cost?
    LastCall,
}

impl Ask {
    /// A callback between two named parties.
    pub fn call(a: impl Into<String>, b: impl Into<String>) -> Ask {
        Ask::Callback { a: Some(a.into()), b: Some(b.into()) }
    }

    /// A callback from the account's callback number to this one.
    pub fn call_to(b: impl Into<String>) -> Ask {
        Ask::Callback { a: None, b: Some(b.into()) }
    }

    /// A callback to the account's callback number, which is asked for the second party by voice.
    pub fn call_me() -> Ask {
        Ask::Callback { a: None, b: None }
    }

    /// The numbers that it names, A and B.
    pub(super) fn numbers(&self) -> [Option<&str>; 2] {
        match self {
            Ask::Callback { a, b } => [a.as_deref(), b.as_deref()],
            Ask::Rate { number } => [None, Some(number)],
            Ask::Redial | Ask::Balance | Ask::LastCall => [None, None],
        }
    }
}

/// Who pays, and what proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct Payer {
    /// Which account.
    pub who: Who,
    /// Why the sender may spend its money.
    pub proof: Proof,
}

/// Which account pays.
#[derive(Clone, PartialEq, Eq)]
pub enum Who {
    /// The account of this name.
    Named(String),
    /// The account to which the sender, a number or a mail address, is registered.
    Sender,
    /// The account whose DID ends in these digits, else the one whose registered number does. Where several do, the one
    /// that belongs to the sender.
    Suffix(String),
}

/// Why the sender may spend an account's money.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// The trigger vouches for it: the operator at the command line, the owner of the demonstration page.
    Trusted,
    /// The sender is a number registered to the account, told by an authenticated provider.
    Registered,
    /// The same, and the account's trigger secret.
    RegisteredAndSecret(String),
    /// This From address of a mail that DKIM vouches for belongs to the account.
    Mail(String),
    /// The secret alone, unless the account wants its mail vouched for.
    Secret {
        /// The account's trigger secret.
        secret: String,
        /// Whether DKIM vouches for the mail.
        vouched: bool,
    },
}

impl Payer {
    /// S4's first two words: an account's name and its secret, sent from a number registered to it.
    pub fn four_words(user: impl Into<String>, secret: impl Into<String>) -> Payer {
        Payer { who: Who::Named(user.into()), proof: Proof::RegisteredAndSecret(secret.into()) }
    }

    /// An account that the trigger vouches for.
    pub fn account(name: impl Into<String>) -> Payer {
        Payer { who: Who::Named(name.into()), proof: Proof::Trusted }
    }

    /// The account to which the sender's number is registered, by an authenticated provider's word alone.
    pub fn sender() -> Payer {
        Payer { who: Who::Sender, proof: Proof::Registered }
    }

    /// The account to which the sender's number is registered, with its secret: forms that bring a PIN and no name.
    pub fn sender_with_secret(secret: impl Into<String>) -> Payer {
        Payer { who: Who::Sender, proof: Proof::RegisteredAndSecret(secret.into()) }
    }

    /// The account of these last digits, for a mail that DKIM vouches for.
    pub fn mail(suffix: impl Into<String>, from: impl Into<String>) -> Payer {
        Payer { who: Who::Suffix(suffix.into()), proof: Proof::Mail(from.into()) }
    }

    /// A mail's body form: an account's name and its secret.
    pub fn mail_form(user: impl Into<String>, secret: impl Into<String>, vouched: bool) -> Payer {
        Payer { who: Who::Named(user.into()), proof: Proof::Secret { secret: secret.into(), vouched } }
    }
}
