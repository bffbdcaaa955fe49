//! What the engine tells of our jobs: a caller who hung up hears nothing, so it is only taken off the queue.

use std::convert::Infallible;

use ringback_common::courier::{Channel, Sent, Unread};
use ringback_common::job::JobId;
use ringback_common::store::Store;

/// Answers nobody.
pub struct Silent;

impl Channel for Silent {
    type Reply = Infallible;

    async fn read(&self, _: &Store, _kind: &str, _body: &[u8]) -> Result<Option<Infallible>, Unread> {
        Ok(None)
    }

    fn key<'a>(&self, reply: &'a Infallible) -> (&'a JobId, &'static str) {
        match *reply {}
    }

    fn deduplicates(&self, reply: &Infallible) -> bool {
        match *reply {}
    }

    async fn send(&self, reply: &Infallible) -> Sent {
        match *reply {}
    }

    fn count(&self, reply: &Infallible, _outcome: &'static str) {
        match *reply {}
    }
}
