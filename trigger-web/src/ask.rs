//! From two fields of a form to a callback on the page's account.

use std::collections::BTreeMap;

use ringback_common::intake::{Ask, Intake, Payer, Verdict, Wish, Written};
use ringback_common::job::JobId;
use ringback_common::number::Number;
use ringback_common::store::Store;

/// What became of a form.
pub enum Answer {
    /// It is a callback.
    Accepted {
        /// Its job.
        job: JobId,
        /// As it was read.
        a: Number,
        /// As it was read.
        b: Number,
    },
    /// It is not, and why.
    Refused(String),
    /// Not now.
    Later {
        /// Why.
        why: String,
        /// When to try again.
        seconds: u64,
    },
}

/// Submits callbacks on one account.
pub struct Asker {
    intake: Intake,
    store: Store,
    account: String,
}

impl Asker {
    /// For this account.
    pub fn new(intake: Intake, store: Store, account: String) -> Asker {
        Asker { intake, store, account }
    }

    /// The account's name.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Asks for a callback. The same `once` again is the same callback.
    pub async fn ask(&self, once: &str, a: &str, b: &str) -> Answer {
        let wish = Wish {
            source: "web".to_owned(),
            message_id: once.to_owned(),
            sender: self.sender().await,
            payer: Payer::account(&self.account),
            ask: Ask::call(a, b),
            terms: Default::default(),
            forwards: Vec::new(),
            not_before: None,
            received: None,
            reply: None,
            metadata: BTreeMap::new(),
        };
        let [a, b] = match self.intake.checks().numbers(&wish) {
            Ok(Written { a: Some((a, _)), b: Some((b, _)), .. }) => [a, b],
            Ok(_) => return Answer::Refused("Two numbers are needed.".to_owned()),
            Err(reason) => return Answer::Refused(reason.to_string()),
        };
        match self.intake.submit(wish).await {
            Verdict::Accepted { job } => Answer::Accepted { job, a, b },
            Verdict::Rejected { reason, .. } => Answer::Refused(reason.to_string()),
            Verdict::Limited { reason, retry_after, .. } => {
                Answer::Later { why: reason.to_string(), seconds: retry_after.as_secs() }
            }
            Verdict::Unavailable { retry_after } => {
                let why = "Something of ours does not answer. Nothing was asked for; try again in a moment.".to_owned();
                Answer::Later { why, seconds: retry_after.as_secs() }
            }
        }
    }

    /// The account's first number: national numbers in the form are read as numbers of its country.
    async fn sender(&self) -> String {
        let account = self.store.view_by_name(&self.account).await.ok().flatten();
        account.and_then(|account| account.numbers.into_iter().next()).unwrap_or_default()
    }
}
