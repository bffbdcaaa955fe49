//! The connection to the broker and its keeper: one node after the other, never longer than our patience, for ever.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::topology::Topology;
use crate::queue::{Backoff, Destination, PATIENCE, QueueError};

/// Heartbeats asked for when the URL names none: a silent broker is given up after two.
const HEARTBEAT_SECONDS: u16 = 10;

/// A doubt is looked into after this time. Not at once: if somebody deleted a queue and we declare it again before the
/// broker has told its consumers, they hold on to the new one as ghosts and swallow its messages (seen on 3.10).
const GRACE: Duration = Duration::from_millis(500);

/// The nodes of the cluster, tried in turn.
pub(super) struct Nodes(Vec<AMQPUri>);

impl Nodes {
    pub(super) fn parse(urls: &str) -> Result<Nodes, QueueError> {
        let mut nodes = Vec::new();
        for url in urls.split(',').map(str::trim).filter(|url| !url.is_empty()) {
            let mut uri: AMQPUri = url
                .parse()
                .map_err(|_| QueueError::Config("url: write amqp://user:password@host:5672/vhost".to_owned()))?;
            uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
            nodes.push(uri);
        }
        if nodes.is_empty() {
            return Err(QueueError::Config("url names no node".to_owned()));
        }
        Ok(Nodes(nodes))
    }

    fn turn(&self, attempt: usize) -> &AMQPUri {
        &self.0[attempt % self.0.len()]
    }

    /// With this attempt every node has been tried as often as any other.
    fn ends_a_round(&self, attempt: usize) -> bool {
        (attempt + 1).is_multiple_of(self.0.len())
    }
}

/// A connection that is kept up: whoever needs it sees the one that is up now, or none.
#[derive(Clone)]
pub(super) struct Wire(Arc<WireInner>);

struct WireInner {
    role: &'static str,
    nodes: Arc<Nodes>,
    topology: Arc<Topology>,
    link: watch::Sender<Option<Arc<Link>>>,
    tried: watch::Sender<bool>,
    doubt: Arc<Notify>,
    keeper: OnceLock<JoinHandle<()>>,
}

impl Drop for WireInner {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

impl Wire {
    /// Connects at the first use.
    pub(super) fn new(role: &'static str, nodes: Arc<Nodes>, topology: Arc<Topology>) -> Wire {
        Wire(Arc::new(WireInner {
            role,
            nodes,
            topology,
            link: watch::Sender::new(None),
            tried: watch::Sender::new(false),
            doubt: Arc::new(Notify::new()),
            keeper: OnceLock::new(),
        }))
    }

    /// Waits until there is a connection, or every node has been tried in vain.
    pub(super) async fn first_try(&self) {
        self.start();
        let mut tried = self.0.tried.subscribe();
        let _ = tried.wait_for(|tried| *tried).await;
    }

    /// The connection that is up now.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        self.start();
        self.0.link.borrow().clone()
    }

    /// Waits for a connection.
    pub(super) async fn up(&self) -> Arc<Link> {
        self.start();
        let mut link = self.0.link.subscribe();
        loop {
            if let Some(link) = link.borrow_and_update().clone() {
                return link;
            }
            if link.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Something went wrong on it: the keeper looks whether it still answers and all queues are there.
    pub(super) fn doubt(&self) {
        self.0.doubt.notify_one();
    }

    #[cfg(any(test, feature = "testkit"))]
    pub(super) async fn cut(&self) {
        if let Some(link) = self.link() {
            let _ = link.connection.close(200, "cut by a test".into()).await;
        }
    }

    fn start(&self) {
        self.0.keeper.get_or_init(|| {
            let keeper = Keeper {
                role: self.0.role,
                nodes: self.0.nodes.clone(),
                topology: self.0.topology.clone(),
                link: self.0.link.clone(),
                tried: self.0.tried.clone(),
                doubt: self.0.doubt.clone(),
            };
            tokio::spawn(keeper.keep())
        });
    }
}

struct Keeper {
    role: &'static str,
    nodes: Arc<Nodes>,
    topology: Arc<Topology>,
    link: watch::Sender<Option<Arc<Link>>>,
    tried: watch::Sender<bool>,
    doubt: Arc<Notify>,
}

impl Keeper {
    async fn keep(self) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut complaints = Complaints::default();
        for attempt in 0.. {
            let node = self.nodes.turn(attempt);
            let address = format!("{}:{}", node.authority.host, node.authority.port);
            match self.connect(node).await {
                Ok(link) => {
                    tracing::info!(role = self.role, address, "connected to the broker");
                    metrics::gauge!("ringback_queue_connected", "role" => self.role).set(1.0);
                    backoff.reset();
                    complaints = Complaints::default();
                    self.link.send_replace(Some(link.clone()));
                    self.tried.send_replace(true);
                    let why = self.watch_over(&link).await;
                    self.link.send_replace(None);
                    metrics::gauge!("ringback_queue_connected", "role" => self.role).set(0.0);
                    tracing::warn!(role = self.role, address, why, "lost the broker; connecting again");
                    let _ = timeout(Duration::from_secs(1), link.connection.close(200, "gone".into())).await;
                }
                Err(why) => {
                    complaints.say(self.role, &address, &why);
                    if !self.nodes.ends_a_round(attempt) {
                        continue;
                    }
                    self.tried.send_replace(true);
                }
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    async fn connect(&self, node: &AMQPUri) -> Result<Arc<Link>, String> {
        let name = format!("ringback {} {}", self.role, std::process::id());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = match timeout(PATIENCE, Connection::connect_uri(node.clone(), properties)).await {
            Ok(connection) => connection.map_err(|error| error.to_string())?,
            Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        self.topology.declare(&connection).await.map_err(|error| error.to_string())?;
        Ok(Arc::new(Link { connection, lanes: tokio::sync::Mutex::default(), blocked: AtomicBool::new(false) }))
    }

    /// Ends, with the reason, when the connection does.
    async fn watch_over(&self, link: &Link) -> String {
        let mut events = Box::pin(link.connection.events_listener());
        let mut look = tokio::time::interval(Duration::from_secs(1));
        let mut last_error = "closed".to_owned();
        let mut probe_at = None;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Error(error)) => last_error = error.to_string(),
                    Some(Event::ConnectionBlocked(why)) => {
                        tracing::warn!(why, "the broker takes no messages now");
                        link.blocked.store(true, Ordering::SeqCst);
                    }
                    Some(Event::ConnectionUnblocked) => link.blocked.store(false, Ordering::SeqCst),
                    Some(_) => {}
                    None => return last_error,
                },
                () = self.doubt.notified(), if !link.blocked() && probe_at.is_none() => {
                    probe_at = Some(Instant::now() + GRACE);
                }
                _ = look.tick() => {}
                () = tokio::time::sleep_until(probe_at.unwrap_or_else(Instant::now)), if probe_at.is_some() => {
                    probe_at = None;
                    if let Err(error) = self.topology.declare(&link.connection).await {
                        return error.to_string();
                    }
                }
            }
            if !link.connection.status().connected() {
                return last_error;
            }
        }
    }
}

/// Says the same trouble at first and then every half minute.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
}

impl Complaints {
    fn say(&mut self, role: &str, address: &str, why: &str) {
        const REMIND: Duration = Duration::from_secs(30);
        if self.last.is_none_or(|last| last.elapsed() >= REMIND) {
            tracing::warn!(role, address, why, "the broker cannot be reached; trying on");
            self.last = Some(Instant::now());
        }
    }
}

/// One connection, up as far as we know.
pub(super) struct Link {
    connection: Connection,
    lanes: tokio::sync::Mutex<HashMap<Destination, Arc<Lane>>>,
    blocked: AtomicBool,
}

impl Link {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How many messages wait in a queue, by a passive declare on a channel of its own.
    pub(super) async fn waiting(&self, queue: ShortString) -> lapin::Result<u32> {
        let channel = self.connection.create_channel().await?;
        let passive = QueueDeclareOptions::durable().passive();
        Ok(channel.queue_declare(queue, passive, FieldTable::default()).await?.message_count())
    }

    /// The broker has asked us not to publish.
    pub(super) fn blocked(&self) -> bool {
        self.blocked.load(Ordering::SeqCst)
    }

    /// The channel for a destination's queue. Each queue has its own, because lapin hands a returned message to any one of
    /// the publishes that a common confirm covers: on a channel of many queues a lost message could pass as accepted.
    pub(super) async fn lane(&self, to: &Destination) -> lapin::Result<Arc<Lane>> {
        const ENOUGH: usize = 64;
        let mut lanes = self.lanes.lock().await;
        let queue = queue_behind(to);
        if let Some(lane) = lanes.get(&queue).filter(|lane| lane.channel.status().connected()) {
            return Ok(lane.clone());
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        if lanes.len() >= ENOUGH {
            lanes.clear();
        }
        let lane = Arc::new(Lane { channel, turn: Mutex::new(()) });
        lanes.insert(queue, lane.clone());
        Ok(lane)
    }

    /// Forgets a channel that failed; the next publish opens another.
    pub(super) async fn close_lane(&self, to: &Destination) {
        self.lanes.lock().await.remove(&queue_behind(to));
    }
}

/// All keys of one queue share a channel.
fn queue_behind(to: &Destination) -> Destination {
    match to {
        Destination::Billing { .. } => Destination::Billing { leg: String::new() },
        Destination::Log { .. } => Destination::Log { routing_key: String::new() },
        other => other.clone(),
    }
}

/// A channel in confirm mode for one queue.
pub(super) struct Lane {
    channel: Channel,
    turn: Mutex<()>,
}

impl Lane {
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
