//! The gateway's surroundings, each a private child process of the test.

pub mod dovecot;
pub mod jasmin;
pub mod kannel;
pub mod postfix;
pub mod postgres;
pub mod rabbit;
pub mod smsc;
pub mod unbound;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use postgres::Postgres;
use rabbit::Rabbit;

/// A broker and a database.
#[derive(Debug)]
pub struct Peers {
    /// The broker.
    pub rabbit: Rabbit,
    /// The database.
    pub postgres: Postgres,
}

static SHARED: Mutex<Weak<Peers>> = Mutex::new(Weak::new());

impl Peers {
    /// A broker and a database of one's own, to be killed at will.
    pub fn start() -> Peers {
        let rabbit = Rabbit::start().unwrap_or_else(|e| panic!("RabbitMQ: {e}"));
        let postgres = Postgres::start().unwrap_or_else(|e| panic!("PostgreSQL: {e}"));
        Peers { rabbit, postgres }
    }

    /// The ones that all stories of a test file share; the last one stops them. Each story has a database and a queue
    /// prefix of its own.
    pub fn shared() -> Arc<Peers> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let peers = Arc::new(Peers::start());
            *shared = Arc::downgrade(&peers);
            peers
        })
    }
}
