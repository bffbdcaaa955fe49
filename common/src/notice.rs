//! A text to somebody who has sent none: one trigger asks another for it by the queue of replies, so that neither knows the other.

use chrono::Utc;
use serde::{Deserialize, Serialize};

use crate::event::Envelope;
use crate::job::JobId;
use crate::number::Number;
use crate::queue::{Destination, Message, PublishError, Queue};

/// The type of its envelope.
pub const NOTICE_TYPE: &str = "ringback.notice.v1";

/// A text to a number.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Which notice it is: at most one of an id is ever sent.
    pub job: JobId,
    /// To whom.
    pub to: Number,
    /// What to say.
    pub text: String,
}

impl Notice {
    /// Hands it to the trigger that sends on this channel (`sms`).
    ///
    /// # Errors
    /// The queue is away, full or silent.
    pub async fn publish(self, source: &str, channel: &str, queue: &Queue) -> Result<(), PublishError> {
        let (id, job) = (format!("{}:notice", self.job), self.job.0.clone());
        let source = format!("/ringback/trigger/{source}");
        let event = Envelope::new(id.clone(), source, NOTICE_TYPE, Utc::now(), Some(job), self);
        let body = serde_json::to_vec(&event).expect("a notice is a plain struct");
        let message = Message { id, kind: NOTICE_TYPE.to_owned(), body: body.into() };
        queue.publish(&Destination::Replies { source: channel.to_owned() }, &message).await
    }
}
