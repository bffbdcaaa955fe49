//! Binds, kept up: whoever loses one tries again, later and later, never at the same moment as others. And the way back: a reply
//! leaves through the bind its text came by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use ringback_common::config::{SmppBind, SmppConfig};
use ringback_common::courier::Sent;
use ringback_common::service::Shutdown;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::inbox::Inbox;
use super::session::{Ended, Session, Submitted, open};
use super::status;
use super::write::{Way, submits};
use crate::parts::{Parts, Reception};
use crate::replies::Via;

/// The first pause before a lost bind is tried again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A bind that lasted so long was a good one: the next pause is the first again.
const LASTED: Duration = Duration::from_secs(30);
/// How long the rest of a reply is tried whose first part has been taken.
const PERSISTENCE: Duration = Duration::from_secs(60);

/// All binds of this process, by name.
pub struct Binds(BTreeMap<String, Arc<Link>>);

/// One name: a transceiver, or a receiver and a transmitter.
struct Link {
    name: String,
    config: SmppConfig,
    /// What replies go through, while it is up.
    out: Mutex<Option<Arc<Session>>>,
}

impl Binds {
    /// The binds that the settings name; nothing is connected yet.
    pub fn new(settings: &BTreeMap<String, SmppConfig>) -> Binds {
        let link = |(name, config): (&String, &SmppConfig)| {
            let link = Link { name: name.clone(), config: config.clone(), out: Mutex::default() };
            (name.clone(), Arc::new(link))
        };
        Binds(settings.iter().map(link).collect())
    }

    /// Keeps all binds up. After `shutdown` no text is taken any more; after `leave` they are given up.
    pub async fn run(&self, reception: &Reception, shutdown: &Shutdown, leave: &Shutdown) {
        let mut running = JoinSet::new();
        for link in self.0.values().cloned() {
            let parts = Parts::new(reception, Via::smpp(&link.name), link.config.parts_within);
            let inbox = Arc::new(Inbox::new(&link.name, &link.config, reception, parts.clone(), shutdown.clone()));
            for way in link.ways() {
                let (link, inbox, leave) = (link.clone(), inbox.clone(), leave.clone());
                running.spawn(async move { link.keep(*way, &inbox, &leave).await });
            }
            let shutdown = shutdown.clone();
            running.spawn(async move { parts.watch(&shutdown).await });
        }
        while running.join_next().await.is_some() {}
    }

    /// Sends a reply through the bind of this name.
    pub async fn send(&self, name: &str, from: &str, to: &str, text: &str) -> Sent {
        match self.0.get(name) {
            Some(link) if link.config.bind != SmppBind::Receiver => link.send(from, to, text).await,
            _ => Sent::Never(format!("[sms.smpp.{name}] has no way to reply any more")),
        }
    }

    /// Whether texts of this bind can be answered.
    pub fn answer(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|link| link.config.bind != SmppBind::Receiver)
    }
}

impl Link {
    fn ways(&self) -> &'static [Way] {
        match self.config.bind {
            SmppBind::Transceiver => &[Way::Both],
            SmppBind::Pair => &[Way::In, Way::Out],
            SmppBind::Receiver => &[Way::In],
        }
    }

    /// Binds again and again.
    async fn keep(&self, way: Way, inbox: &Arc<Inbox>, leave: &Shutdown) {
        let mut pause = FIRST_PAUSE;
        loop {
            let since = Instant::now();
            let ended = self.once(way, inbox, leave).await;
            if leave.begun() {
                return;
            }
            tracing::warn!(bind = self.name, "the bind to {}:{} is down: {ended}", self.config.host, self.config.port);
            if since.elapsed() > LASTED {
                pause = FIRST_PAUSE;
            }
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::select! {
                () = leave.wait() => return,
                () = sleep(pause.mul_f64(jitter)) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(&self, way: Way, inbox: &Arc<Inbox>, leave: &Shutdown) -> Ended {
        let opened = tokio::select! {
            opened = open(&self.config, way) => opened,
            () = leave.wait() => return Ended::ByUs,
        };
        let run = match opened {
            Ok(run) => run,
            Err(ended) => return ended,
        };
        tracing::info!(bind = self.name, ?way, "bound to {}:{}", self.config.host, self.config.port);
        let gauge = metrics::gauge!("ringback_smpp_binds", "bind" => self.name.clone());
        gauge.increment(1.0);
        if way != Way::In {
            *self.out() = Some(run.session());
        }
        let ended = run.run(inbox, leave).await;
        if way != Way::In {
            *self.out() = None;
        }
        gauge.decrement(1.0);
        ended
    }

    async fn send(&self, from: &str, to: &str, text: &str) -> Sent {
        let from = if self.config.from.is_empty() { from } else { self.config.from.as_str() };
        let reference = rand::rng().random();
        let parts = submits(&self.config, from, to, text, reference);
        let all = parts.len();
        if all == 0 {
            return Sent::Never("the text cannot be written as an SMS".to_owned());
        }
        for (taken, part) in parts.into_iter().enumerate() {
            let submitted = if taken == 0 { self.submit(part).await } else { self.submit_patiently(part).await };
            let why = match submitted {
                Submitted::Answered(status::OK) => continue,
                Submitted::Answered(status) => format!("the message centre answered {status:#06x}"),
                Submitted::NotWritten => "the bind is down".to_owned(),
                Submitted::NotAnswered => "the bind went down before the answer".to_owned(),
            };
            return match submitted {
                _ if taken > 0 => Sent::Unknown(format!("{taken} of {all} parts were taken, then {why}")),
                Submitted::NotWritten => Sent::NotYet(why),
                Submitted::Answered(status) if status::passes(status) => Sent::NotYet(why),
                Submitted::Answered(_) => Sent::Never(why),
                Submitted::NotAnswered => Sent::Unknown(why),
            };
        }
        Sent::Yes
    }

    async fn submit(&self, part: rusmpp::pdus::SubmitSm) -> Submitted {
        let session = self.out().clone();
        match session {
            Some(session) => session.submit(part).await,
            None => Submitted::NotWritten,
        }
    }

    /// A part whose elders have been taken: it is tried for a while, as long as it certainly was not.
    async fn submit_patiently(&self, part: rusmpp::pdus::SubmitSm) -> Submitted {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let submitted = self.submit(part.clone()).await;
            let again = match &submitted {
                Submitted::NotWritten => true,
                Submitted::Answered(status) => status::passes(*status),
                Submitted::NotAnswered => false,
            };
            if !again || since.elapsed() > PERSISTENCE {
                return submitted;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    fn out(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
