//! What both kinds of queue promise, told as stories. SQLite runs them as unit tests, RabbitMQ against a real broker.

#![allow(clippy::unwrap_used)] // a suite of tests, compiled only for them

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{Consumer, DELIVERY_LIMIT, Delivery, Destination, Message, PublishError, Queue, QueueConfig, Source};

/// Longer than anything here takes on a slow machine; only a failure waits for it.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs every story, each on an empty queue of its own: `fresh` answers the settings of one by the story's name.
pub async fn holds(fresh: impl Fn(&str) -> QueueConfig) {
    a_confirmed_message_arrives_and_leaves_with_its_ack(&fresh("ack")).await;
    a_message_that_was_not_settled_comes_again(&fresh("again")).await;
    a_rejected_message_is_a_dead_letter_and_can_be_replayed(&fresh("dead")).await;
    a_message_that_comes_too_often_is_a_dead_letter(&fresh("limit")).await;
    a_consumer_survives_a_lost_connection(&fresh("reconnect")).await;
    a_repeat_keeps_its_id(&fresh("repeat")).await;
    a_full_queue_refuses_and_takes_again_when_emptied(&full(fresh("full"))).await;
    a_refused_publish_goes_through_once_there_is_room(&full(fresh("retry"))).await;
    one_consumer_sees_messages_in_order(&fresh("order")).await;
    competing_consumers_share_and_never_double(&fresh("compete")).await;
    a_consumer_holds_no_more_than_its_prefetch(&fresh("prefetch")).await;
    a_paused_consumer_leaves_messages_to_others(&fresh("pause")).await;
    replies_find_their_source_and_no_other(&fresh("replies")).await;
    a_cdr_is_billed_and_its_copy_is_logged(&billed(fresh("billing"))).await;
    the_log_is_read_by_everyone_from_its_beginning(&fresh("log")).await;
    the_tail_of_the_log_begins_now(&fresh("tail")).await;
    control_is_heard_by_everyone_or_nobody(&fresh("control")).await;
    nonsense_is_refused_before_it_is_sent(&fresh("nonsense")).await;
}

async fn a_confirmed_message_arrives_and_leaves_with_its_ack(config: &QueueConfig) {
    let queue = open(config).await;
    publish(&queue, "one").await;
    depth_becomes(&queue, Source::Jobs, 1).await;

    let mut jobs = queue.consume(&Source::Jobs, 10).await;
    let delivery = next(&mut jobs).await;
    assert_eq!((delivery.id.as_str(), delivery.kind.as_str()), ("one", "ringback.test.v1"));
    assert_eq!(delivery.body, Bytes::from_static(b"{\"text\":\"one\"}"));
    assert!(!delivery.redelivered);
    delivery.ack().await;
    drop(jobs);

    assert!(queue.healthy());
    depth_becomes(&queue, Source::Jobs, 0).await;
    depth_becomes(&queue, Source::Dead, 0).await;
}

async fn a_message_that_was_not_settled_comes_again(config: &QueueConfig) {
    let queue = open(config).await;
    publish(&queue, "one").await;
    publish(&queue, "two").await;
    let mut forgetful = queue.consume(&Source::Jobs, 10).await;
    let (first, second) = (next(&mut forgetful).await, next(&mut forgetful).await);
    drop(forgetful);
    drop(first);
    second.requeue().await;

    let mut careful = open(config).await.consume(&Source::Jobs, 10).await;
    let mut came = BTreeSet::new();
    for _ in 0..2 {
        let delivery = next(&mut careful).await;
        assert!(delivery.redelivered, "{} pretends to be new", delivery.id);
        came.insert(delivery.id.clone());
        delivery.ack().await;
    }
    assert_eq!(came, ids(["one", "two"]));
    depth_becomes(&queue, Source::Jobs, 0).await;
}

async fn a_rejected_message_is_a_dead_letter_and_can_be_replayed(config: &QueueConfig) {
    let queue = open(config).await;
    publish(&queue, "bad").await;
    let mut jobs = queue.consume(&Source::Jobs, 1).await;
    next(&mut jobs).await.reject().await;
    depth_becomes(&queue, Source::Dead, 1).await;

    assert_eq!(queue.replay_dead(10).await.unwrap(), 1);
    depth_becomes(&queue, Source::Dead, 0).await;
    let again = next(&mut jobs).await;
    assert_eq!((again.id.as_str(), &again.body[..]), ("bad", &b"{\"text\":\"bad\"}"[..]));
    again.reject().await;

    depth_becomes(&queue, Source::Dead, 1).await;
    let mut dead = queue.consume(&Source::Dead, 1).await;
    next(&mut dead).await.reject().await;
    drop(dead);
    depth_becomes(&queue, Source::Dead, 0).await;
    depth_becomes(&queue, Source::Jobs, 0).await;
}

async fn a_message_that_comes_too_often_is_a_dead_letter(config: &QueueConfig) {
    let queue = open(config).await;
    publish(&queue, "poison").await;
    let mut jobs = queue.consume(&Source::Jobs, 1).await;
    for _ in 0..=DELIVERY_LIMIT {
        next(&mut jobs).await.requeue().await;
    }
    depth_becomes(&queue, Source::Dead, 1).await;
    let mut dead = queue.consume(&Source::Dead, 1).await;
    assert_eq!(next(&mut dead).await.id, "poison");
    depth_becomes(&queue, Source::Jobs, 0).await;
}

async fn a_consumer_survives_a_lost_connection(config: &QueueConfig) {
    let queue = open(config).await;
    let mut jobs = queue.consume(&Source::Jobs, 10).await;
    publish(&queue, "before").await;
    let before = next(&mut jobs).await;

    queue.cut().await;
    publish_until(&queue, "after").await;
    before.ack().await; // of a connection that is gone, perhaps: no harm
    let mut came = BTreeSet::new();
    while !came.contains("after") {
        let delivery = next(&mut jobs).await;
        came.insert(delivery.id.clone());
        delivery.ack().await;
    }
    assert!(came.is_subset(&ids(["before", "after"])));
    depth_becomes(&queue, Source::Jobs, 0).await;
}

async fn a_repeat_keeps_its_id(config: &QueueConfig) {
    let queue = open(config).await;
    publish(&queue, "twice").await;
    publish(&queue, "twice").await;
    publish(&queue, "last").await;
    let mut jobs = queue.consume(&Source::Jobs, 1).await;
    let mut came = Vec::new();
    while came.last().is_none_or(|id| id != "last") {
        let delivery = next(&mut jobs).await;
        came.push(delivery.id.clone());
        delivery.ack().await;
    }
    assert!(came == ["twice", "last"] || came == ["twice", "twice", "last"], "{came:?}");
}

async fn a_full_queue_refuses_and_takes_again_when_emptied(config: &QueueConfig) {
    let queue = open(config).await;
    let taken = fill(&queue).await;
    depth_becomes(&queue, Source::Jobs, taken).await;

    let mut jobs = queue.consume(&Source::Jobs, 10).await;
    for _ in 0..taken {
        next(&mut jobs).await.ack().await;
    }
    publish_until(&queue, "room").await;
    assert_eq!(next(&mut jobs).await.id, "room");
}

async fn a_refused_publish_goes_through_once_there_is_room(config: &QueueConfig) {
    let queue = open(config).await;
    let taken = fill(&queue).await;
    let soon = Instant::now() + Duration::from_millis(300);
    let refused = queue.publish_until(&Destination::Jobs, &message("patient"), soon).await;
    assert!(matches!(refused, Err(PublishError::Refused(_))), "{refused:?}");

    let mut jobs = queue.consume(&Source::Jobs, 10).await;
    let emptying = async {
        for _ in 0..taken {
            next(&mut jobs).await.ack().await;
        }
    };
    let (_, ()) = tokio::join!(publish_until(&queue, "patient"), emptying);
    assert_eq!(next(&mut jobs).await.id, "patient");
}

async fn one_consumer_sees_messages_in_order(config: &QueueConfig) {
    let queue = open(config).await;
    let sent: Vec<String> = (0..300).map(|number| format!("{number:03}")).collect();
    let batch: Vec<_> = sent.iter().map(|id| (Destination::Jobs, message(id))).collect();
    for answer in queue.publish_all(&batch).await {
        answer.unwrap();
    }
    let mut jobs = queue.consume(&Source::Jobs, 50).await;
    for id in &sent {
        let delivery = next(&mut jobs).await;
        assert_eq!(&delivery.id, id);
        delivery.ack().await;
    }
}

async fn competing_consumers_share_and_never_double(config: &QueueConfig) {
    let queue = open(config).await;
    let mut first = queue.consume(&Source::Jobs, 5).await;
    let mut second = open(config).await.consume(&Source::Jobs, 5).await;
    let batch: Vec<_> = (0..200).map(|number| (Destination::Jobs, message(&number.to_string()))).collect();
    for answer in queue.publish_all(&batch).await {
        answer.unwrap();
    }
    // While the first has its hand full, the second gets its share.
    let mut held = vec![next(&mut first).await, next(&mut second).await];
    let mut all = BTreeSet::new();
    loop {
        for delivery in held.drain(..) {
            assert!(all.insert(delivery.id.clone()), "{} came twice", delivery.id);
            delivery.ack().await;
        }
        if all.len() == batch.len() {
            break;
        }
        held.push(tokio::select! {
            delivery = next(&mut first) => delivery,
            delivery = next(&mut second) => delivery,
        });
    }
    depth_becomes(&queue, Source::Jobs, 0).await;
}

async fn a_consumer_holds_no_more_than_its_prefetch(config: &QueueConfig) {
    let queue = open(config).await;
    for number in 0..10 {
        publish(&queue, &number.to_string()).await;
    }
    let mut jobs = queue.consume(&Source::Jobs, 3).await;
    let held = [next(&mut jobs).await, next(&mut jobs).await, next(&mut jobs).await];
    depth_becomes(&queue, Source::Jobs, 7).await;
    assert!(timeout(Duration::from_millis(400), jobs.next()).await.is_err(), "a fourth came while three were held");
    for delivery in held {
        delivery.ack().await;
    }
    for _ in 0..7 {
        next(&mut jobs).await.ack().await;
    }
    depth_becomes(&queue, Source::Jobs, 0).await;
}

async fn a_paused_consumer_leaves_messages_to_others(config: &QueueConfig) {
    let queue = open(config).await;
    let mut paused = queue.consume(&Source::Jobs, 4).await;
    publish(&queue, "in hand").await;
    let in_hand = next(&mut paused).await;
    paused.pause();
    publish(&queue, "marker").await; // may still slip in while the pause takes hold

    let mut other = open(config).await.consume(&Source::Jobs, 4).await;
    let mut came = BTreeSet::new();
    for number in 0..20 {
        publish(&queue, &number.to_string()).await;
    }
    while came.len() < 20 {
        let delivery = tokio::select! {
            delivery = next(&mut other) => delivery,
            slipped = paused.next() => {
                let early = slipped.id.parse::<u32>().is_ok_and(|number| number < 5);
                assert!(early || slipped.id == "marker", "the pause does not take hold: {} came", slipped.id);
                slipped
            }
        };
        if delivery.id != "marker" {
            came.insert(delivery.id.clone());
        }
        delivery.ack().await;
    }
    in_hand.ack().await;
    drop(other);
    paused.resume();
    publish(&queue, "awake").await;
    loop {
        let delivery = next(&mut paused).await;
        let id = delivery.id.clone();
        delivery.ack().await;
        if id == "awake" {
            break;
        }
    }
    depth_becomes(&queue, Source::Jobs, 0).await;
}

async fn replies_find_their_source_and_no_other(config: &QueueConfig) {
    let queue = open(config).await;
    let to = |source: &str| Destination::Replies { source: source.to_owned() };
    let from = |source: &str| Source::Replies { source: source.to_owned() };
    let strange = queue.publish(&to("nobody"), &message("lost")).await;
    assert!(matches!(strange, Err(PublishError::Unroutable(_))), "{strange:?}");

    let mut late = queue.consume(&from("late"), 5).await; // makes its queue
    let batch =
        [(to("sms"), message("for sms")), (to("email"), message("for email")), (to("late"), message("for late"))];
    for answer in queue.publish_all(&batch).await {
        answer.unwrap();
    }
    for (source, id) in [("sms", "for sms"), ("email", "for email")] {
        depth_becomes(&queue, from(source), 1).await;
        let mut replies = queue.consume(&from(source), 5).await;
        let delivery = next(&mut replies).await;
        assert_eq!(delivery.id, id);
        delivery.ack().await;
    }
    assert_eq!(next(&mut late).await.id, "for late");
}

async fn a_cdr_is_billed_and_its_copy_is_logged(config: &QueueConfig) {
    let queue = open(config).await;
    let log_key = |key: &str| Destination::Log { routing_key: key.to_owned() };
    let leg = |leg: &str| Destination::Billing { leg: leg.to_owned() };
    let batch = [
        (leg("a"), message("cdr a")),
        (log_key("log.cdr.a"), message("cdr a")),
        (leg("b"), message("cdr b")),
        (log_key("log.cdr.b"), message("cdr b")),
    ];
    for answer in queue.publish_all(&batch).await {
        answer.unwrap();
    }
    let mut billing = queue.consume(&Source::Billing, 5).await;
    let mut log = queue.consume(&Source::Log, 5).await;
    for id in ["cdr a", "cdr b"] {
        let billed = next(&mut billing).await;
        assert_eq!(billed.id, id);
        billed.ack().await;
        assert_eq!(next(&mut log).await.id, id);
    }
    depth_becomes(&queue, Source::Billing, 0).await;
}

async fn the_log_is_read_by_everyone_from_its_beginning(config: &QueueConfig) {
    let queue = open(config).await;
    let keys = ["request.received", "leg.ringing", "balance.topup", "log.cdr.a"];
    for key in keys {
        let to = Destination::Log { routing_key: key.to_owned() };
        queue.publish(&to, &message(key)).await.unwrap();
    }
    for _ in 0..2 {
        let mut log = queue.consume(&Source::Log, 2).await;
        for key in keys {
            let entry = next(&mut log).await;
            assert_eq!(entry.id, key);
            entry.ack().await;
        }
    }
}

async fn the_tail_of_the_log_begins_now(config: &QueueConfig) {
    let queue = open(config).await;
    let to = Destination::Log { routing_key: "request.admitted".to_owned() };
    queue.publish(&to, &message("old")).await.unwrap();
    let mut tail = queue.consume(&Source::Tail, 5).await;
    queue.publish(&to, &message("new")).await.unwrap();
    assert_eq!(next(&mut tail).await.id, "new");

    queue.cut().await;
    let deadline = Instant::now() + LIMIT;
    queue.publish_until(&to, &message("newer"), deadline).await.unwrap();
    assert_eq!(next(&mut tail).await.id, "newer", "reading goes on where it was cut off");
}

async fn control_is_heard_by_everyone_or_nobody(config: &QueueConfig) {
    let queue = open(config).await;
    queue.publish(&Destination::Control, &message("into the void")).await.unwrap();
    let mut listeners =
        [queue.consume(&Source::Control, 5).await, open(config).await.consume(&Source::Control, 5).await];
    queue.publish(&Destination::Control, &message("cancel")).await.unwrap();
    for listener in &mut listeners {
        assert_eq!(next(listener).await.id, "cancel");
    }
}

async fn nonsense_is_refused_before_it_is_sent(config: &QueueConfig) {
    let queue = open(config).await;
    for (to, id) in [
        (Destination::Jobs, String::new()),
        (Destination::Jobs, "x".repeat(256)),
        (Destination::Replies { source: "a\r\nb".to_owned() }, "one".to_owned()),
        (Destination::Replies { source: "s".repeat(300) }, "one".to_owned()),
        (Destination::Log { routing_key: "cdr.a".to_owned() }, "one".to_owned()),
    ] {
        let answer = queue.publish(&to, &message(&id)).await;
        assert!(matches!(answer, Err(PublishError::Invalid(_))), "{to:?}: {answer:?}");
    }
}

fn full(config: QueueConfig) -> QueueConfig {
    QueueConfig { max_length: 5, ..config }
}

fn billed(config: QueueConfig) -> QueueConfig {
    QueueConfig { billing_feed: true, ..config }
}

async fn open(config: &QueueConfig) -> Queue {
    Queue::open(config).await.unwrap()
}

/// The smallest message with this id.
pub fn message(id: &str) -> Message {
    let body = Bytes::from(format!("{{\"text\":\"{id}\"}}"));
    Message { id: id.to_owned(), kind: "ringback.test.v1".to_owned(), body }
}

async fn publish(queue: &Queue, id: &str) {
    queue.publish(&Destination::Jobs, &message(id)).await.unwrap();
}

async fn publish_until(queue: &Queue, id: &str) {
    queue.publish_until(&Destination::Jobs, &message(id), Instant::now() + LIMIT).await.unwrap();
}

/// Publishes until the queue refuses; answers how many it took. RabbitMQ takes some more than its limit.
async fn fill(queue: &Queue) -> u64 {
    for taken in 0..100 {
        match queue.publish(&Destination::Jobs, &message(&format!("filling {taken}"))).await {
            Ok(()) => {}
            Err(PublishError::Refused(_)) => return taken,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("a queue of 5 took 100 messages");
}

async fn next(consumer: &mut Consumer) -> Delivery {
    within(consumer.next()).await
}

async fn depth_becomes(queue: &Queue, source: Source, wanted: u64) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let depth = queue.depth(&source).await;
        match depth {
            Ok(depth) if depth == wanted => return,
            _ if Instant::now() > deadline => panic!("{source:?} holds {depth:?}, not {wanted}"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn within<T>(something: impl Future<Output = T>) -> T {
    timeout(LIMIT, something).await.expect("nothing came within the limit")
}

fn ids<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.into_iter().map(str::to_owned).collect()
}
