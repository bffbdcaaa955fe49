//! Replies over a real queue and store; the ways they go are the test's.

use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::queue::{Destination, Message, QueueConfig};
use crate::store::StoreConfig;

const ENOUGH: Duration = Duration::from_secs(20);

/// Takes what goes by any way but `dead`, and says so.
struct Ways {
    told: mpsc::UnboundedSender<String>,
    /// How often a reply was read while the store was away.
    away: AtomicUsize,
    open: watch::Receiver<bool>,
}

struct Reply {
    job: JobId,
    way: String,
}

impl Channel for Ways {
    type Reply = Reply;

    async fn read(&self, _: &Store, kind: &str, body: &[u8]) -> Result<Option<Reply>, Unread> {
        if kind == "away" && self.away.fetch_add(1, Ordering::SeqCst) < 1 {
            return Err(StoreError::Unavailable("gone for a moment".to_owned()).into());
        }
        let (job, way): (String, String) = serde_json::from_slice(body)?;
        Ok(Some(Reply { job: JobId(job), way }))
    }

    fn key<'a>(&self, reply: &'a Reply) -> (&'a JobId, &'static str) {
        (&reply.job, "final")
    }

    fn way<'a>(&self, reply: &'a Reply) -> &'a str {
        &reply.way
    }

    fn open(&self) -> watch::Receiver<bool> {
        self.open.clone()
    }

    fn deduplicates(&self, _: &Reply) -> bool {
        false
    }

    async fn send(&self, reply: &Reply) -> Sent {
        if !*self.open.borrow() {
            return Sent::NotYet("closed".to_owned());
        }
        self.told.send(format!("{} by {}", reply.job, reply.way)).unwrap();
        if reply.way == "dead" { Sent::NotYet("nobody is there".to_owned()) } else { Sent::Yes }
    }

    fn count(&self, _: &Reply, _: &'static str) {}
}

struct Post {
    queue: Queue,
    told: mpsc::UnboundedReceiver<String>,
    gate: watch::Sender<bool>,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<()>,
    _folder: TempDir,
}

impl Post {
    async fn open() -> Post {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url.clone())).await.unwrap();
        let data_dir = folder.path().to_owned();
        let queue = Queue::open(&QueueConfig { url, data_dir, ..QueueConfig::default() }).await.unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let shutdown = Shutdown::new();
        let (gate, open) = watch::channel(true);
        let ways = Ways { told: tell, away: AtomicUsize::new(0), open };
        let courier = Courier::new("sms", store, ways, shutdown.clone());
        let running = tokio::spawn({
            let queue = queue.clone();
            async move { courier.run(&queue).await }
        });
        Post { queue, told, gate, shutdown, running, _folder: folder }
    }

    async fn send(&self, kind: &str, job: &str, way: &str) {
        let body = serde_json::to_vec(&(job, way)).unwrap().into();
        let message = Message { id: job.to_owned(), kind: kind.to_owned(), body };
        self.queue.publish(&Destination::Replies { source: "sms".to_owned() }, &message).await.unwrap();
    }

    async fn until_told(&mut self, what: &str) {
        let told = async { while self.told.recv().await.unwrap() != what {} };
        tokio::time::timeout(ENOUGH, told).await.unwrap_or_else(|_| panic!("in vain: {what}"));
    }
}

#[tokio::test]
async fn a_way_that_nobody_opens_holds_up_only_its_own_replies() {
    let mut post = Post::open().await;
    for number in 0..3 * OF_A_WAY {
        post.send("reply", &format!("lost{number}"), "dead").await;
    }
    post.until_told("lost0 by dead").await;
    post.send("reply", "good", "open").await;
    post.until_told("good by open").await;
    post.shutdown.begin();
    tokio::time::timeout(ENOUGH, post.running).await.expect("it ends").unwrap();
    let waiting = Source::Replies { source: "sms".to_owned() };
    assert_eq!(post.queue.depth(&waiting).await.unwrap(), 3 * OF_A_WAY as u64, "the others wait for the next start");
}

#[tokio::test]
async fn a_reply_that_cannot_be_written_now_is_read_again() {
    let mut post = Post::open().await;
    post.send("away", "patient", "open").await;
    post.until_told("patient by open").await;
}

#[tokio::test]
async fn while_the_trigger_is_closed_its_replies_are_on_the_queue_and_nobody_gives_them_up() {
    let mut post = Post::open().await;
    let waiting = Source::Replies { source: "sms".to_owned() };
    post.send("reply", "held up", "dead").await;
    post.until_told("held up by dead").await;
    post.gate.send_replace(false);
    post.send("reply", "early", "open").await;
    tokio::time::timeout(ENOUGH, async {
        while post.queue.depth(&waiting).await.unwrap() < 2 {
            tokio::time::sleep(FIRST_PAUSE / 10).await;
        }
    })
    .await
    .expect("both are on the queue, in nobody's hand, where no time runs out");
    assert!(post.told.try_recv().is_err(), "nothing is tried");
    post.gate.send_replace(true);
    post.until_told("early by open").await;
}
