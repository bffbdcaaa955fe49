//! The queue on a real RabbitMQ: the contract, a broker that is killed in the middle, and brokers that behave oddly.

#![allow(clippy::unwrap_used)] // tests and their helpers

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use ringback_common::queue::contract::{self, message};
use ringback_common::queue::{Delivery, Destination, Message, PublishError, Queue, QueueConfig, Source};
use ringback_tests::peers::rabbit::Rabbit;
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(120);

async fn broker() -> Rabbit {
    tokio::task::spawn_blocking(Rabbit::start).await.unwrap().unwrap()
}

/// Settings of a queue of its own on this broker; a node that is down stands first, so that the second is tried too.
fn settings(rabbit: &Rabbit, prefix: &str) -> QueueConfig {
    let url = format!("amqp://guest:guest@127.0.0.1:1/%2f, {}", rabbit.url());
    QueueConfig { url, prefix: format!("{prefix}."), ..QueueConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_on_rabbitmq() {
    let rabbit = broker().await;
    contract::holds(|story| settings(&rabbit, story)).await;
    every_queue_is_durable_and_refuses_rather_than_drops(&rabbit);
}

fn every_queue_is_durable_and_refuses_rather_than_drops(rabbit: &Rabbit) {
    let listing = rabbit.control(&["list_queues", "--quiet", "--no-table-headers", "name", "durable", "arguments"]);
    let of = |name: &str| {
        let line = listing.lines().find(|line| line.starts_with(&format!("{name}\t")));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{listing}")).to_owned()
    };
    for name in ["callback.jobs", "callback.replies.sms", "callback.replies.email", "billing"] {
        let queue = of(&format!("billing.{name}"));
        for wanted in
            ["true", "quorum", "reject-publish", "at-least-once", "{\"x-delivery-limit\",20}", "billing.callback.dead"]
        {
            assert!(queue.contains(wanted), "{wanted} is missing in {queue}");
        }
    }
    assert!(of("billing.callback.events.log").contains("stream"));
    assert!(!listing.contains("ack.billing\t"), "billing is declared only when its feed is on");
}

/// 3,000 messages by sixteen publishers, the broker killed twice in the middle: what was confirmed arrives, the consumer
/// goes on by itself, and no good message dies.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_confirmed_is_lost_when_the_broker_is_killed() {
    const PUBLISHERS: usize = 16;
    const MESSAGES: usize = 3_000;
    let mut rabbit = broker().await;
    let queue = Queue::open(&settings(&rabbit, "storm")).await.unwrap();
    let confirmed = Arc::new(AtomicUsize::new(0));
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (queue, confirmed) = (queue.clone(), confirmed.clone());
        publishers.spawn(async move {
            for number in (publisher..MESSAGES).step_by(PUBLISHERS) {
                let deadline = Instant::now() + LIMIT;
                queue.publish_until(&Destination::Jobs, &message(&number.to_string()), deadline).await.unwrap();
                confirmed.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let consumer = tokio::spawn(receive_all(queue.clone(), MESSAGES));
    for threshold in [MESSAGES / 3, MESSAGES * 2 / 3] {
        while confirmed.load(Ordering::SeqCst) < threshold {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rabbit = tokio::task::spawn_blocking(move || {
            rabbit.kill9();
            rabbit.restart().unwrap();
            rabbit
        })
        .await
        .unwrap();
    }
    while let Some(published) = timeout(LIMIT, publishers.join_next()).await.expect("publishers end") {
        published.unwrap();
    }
    assert_eq!(confirmed.load(Ordering::SeqCst), MESSAGES);
    let (distinct, deliveries) = timeout(LIMIT, consumer).await.expect("the consumer goes on").unwrap();
    assert_eq!(distinct.len(), MESSAGES);
    println!("{MESSAGES} confirmed, {} distinct, {deliveries} deliveries", distinct.len());
    until_depth(&queue, Source::Jobs, 0).await;
    until_depth(&queue, Source::Dead, 0).await;
}

/// Acknowledges until all have come, and then what is repeated until the queue is empty.
async fn receive_all(queue: Queue, messages: usize) -> (BTreeSet<String>, usize) {
    let mut jobs = queue.consume(&Source::Jobs, 64).await;
    let (mut distinct, mut deliveries) = (BTreeSet::new(), 0);
    loop {
        let repeats = if distinct.len() < messages { LIMIT } else { Duration::from_secs(2) };
        let Ok(delivery) = timeout(repeats, jobs.next()).await else { return (distinct, deliveries) };
        deliveries += 1;
        distinct.insert(delivery.id.clone());
        delivery.ack().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_brokers_are_met_with_a_clear_answer() {
    let rabbit = broker().await;
    returned_messages_never_pass_as_confirmed(&rabbit).await;
    a_deleted_queue_is_missed_and_made_again(&rabbit).await;
    a_queue_with_other_arguments_is_used_as_it_stands(&rabbit).await;
    a_user_who_may_only_publish_jobs_can_do_just_that(&rabbit).await;
    a_large_message_is_delivered_for_the_worker_to_reject(&rabbit).await;
    a_broker_short_of_memory_refuses_while_consumers_go_on(&rabbit).await;
    a_frozen_broker_times_out_and_is_found_again(&rabbit).await;
}

async fn returned_messages_never_pass_as_confirmed(rabbit: &Rabbit) {
    let queue = Queue::open(&settings(rabbit, "returned")).await.unwrap();
    let nowhere = Destination::Replies { source: "nobody".to_owned() };
    let sms = Destination::Replies { source: "sms".to_owned() };
    let batch: Vec<_> = (0..600)
        .map(|number| (if number % 3 == 0 { nowhere.clone() } else { sms.clone() }, message(&number.to_string())))
        .collect();
    for ((to, _), answer) in batch.iter().zip(queue.publish_all(&batch).await) {
        assert_eq!(matches!(answer, Err(PublishError::Unroutable(_))), *to == nowhere, "{to:?}: {answer:?}");
    }
    until_depth(&queue, Source::Replies { source: "sms".to_owned() }, 400).await;
}

async fn a_deleted_queue_is_missed_and_made_again(rabbit: &Rabbit) {
    let queue = Queue::open(&settings(rabbit, "deleted")).await.unwrap();
    let mut jobs = queue.consume(&Source::Jobs, 5).await;
    queue.publish(&Destination::Jobs, &message("before")).await.unwrap();
    next(&mut jobs).await.ack().await;
    until_depth(&queue, Source::Jobs, 0).await;

    rabbit.control(&["delete_queue", "deleted.callback.jobs"]);
    publish_until(&queue, "after").await;
    assert_eq!(next(&mut jobs).await.id, "after", "the consumer has found the new queue");
}

async fn a_queue_with_other_arguments_is_used_as_it_stands(rabbit: &Rabbit) {
    let connection = Connection::connect(&rabbit.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let name = "other.callback.jobs";
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();

    let queue = Queue::open(&settings(rabbit, "other")).await.unwrap();
    queue.publish(&Destination::Jobs, &message("one")).await.unwrap();
    let mut jobs = queue.consume(&Source::Jobs, 5).await;
    assert_eq!(next(&mut jobs).await.id, "one");
}

async fn a_user_who_may_only_publish_jobs_can_do_just_that(rabbit: &Rabbit) {
    let operator = Queue::open(&settings(rabbit, "least")).await.unwrap();
    rabbit.control(&["add_user", "sms", "secret"]);
    rabbit.control(&[
        "set_permissions",
        "sms",
        "^$",
        "^least\\.callback\\.jobs$",
        "^least\\.callback\\.replies\\.sms$",
    ]);
    let url = rabbit.url().replace("guest:guest", "sms:secret");
    let trigger = Queue::open(&QueueConfig { url, ..settings(rabbit, "least") }).await.unwrap();

    trigger.publish(&Destination::Jobs, &message("allowed")).await.unwrap();
    let mut jobs = operator.consume(&Source::Jobs, 5).await;
    assert_eq!(next(&mut jobs).await.id, "allowed");
    let forbidden = trigger.publish(&Destination::Billing { leg: "a".to_owned() }, &message("forbidden")).await;
    assert!(matches!(forbidden, Err(PublishError::Unavailable(_))), "{forbidden:?}");

    let from_sms = Source::Replies { source: "sms".to_owned() };
    let mut replies = trigger.consume(&from_sms, 5).await;
    operator.publish(&Destination::Replies { source: "sms".to_owned() }, &message("reply")).await.unwrap();
    assert_eq!(next(&mut replies).await.id, "reply");
}

async fn a_large_message_is_delivered_for_the_worker_to_reject(rabbit: &Rabbit) {
    let queue = Queue::open(&settings(rabbit, "large")).await.unwrap();
    let body = Bytes::from(vec![b'x'; 200_000]);
    queue.publish(&Destination::Jobs, &Message { body: body.clone(), ..message("large") }).await.unwrap();
    let delivery = next(&mut queue.consume(&Source::Jobs, 1).await).await;
    assert_eq!(delivery.body, body);
    delivery.reject().await;
    until_depth(&queue, Source::Dead, 1).await;
}

async fn a_broker_short_of_memory_refuses_while_consumers_go_on(rabbit: &Rabbit) {
    let queue = Queue::open(&settings(rabbit, "memory")).await.unwrap();
    queue.publish(&Destination::Jobs, &message("waiting")).await.unwrap();
    rabbit.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    let deadline = Instant::now() + LIMIT;
    let refused = loop {
        match queue.publish(&Destination::Jobs, &message("too much")).await {
            Err(PublishError::Refused(why)) => break why,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
    };
    assert!(refused.contains("memory"), "{refused}");
    assert!(!queue.healthy());
    let mut jobs = queue.consume(&Source::Jobs, 1).await;
    next(&mut jobs).await.ack().await;

    rabbit.control(&["set_vm_memory_high_watermark", "absolute", "512MB"]);
    publish_until(&queue, "room again").await;
}

async fn a_frozen_broker_times_out_and_is_found_again(rabbit: &Rabbit) {
    let queue = Queue::open(&settings(rabbit, "frozen")).await.unwrap();
    let mut jobs = queue.consume(&Source::Jobs, 5).await;
    rabbit.freeze(true);
    let begun = Instant::now();
    let answer = queue.publish(&Destination::Jobs, &message("silence")).await;
    assert_eq!(answer, Err(PublishError::Timeout));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    while queue.healthy() {
        assert!(begun.elapsed() < Duration::from_secs(15), "a silent broker counts as healthy");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rabbit.freeze(false);
    publish_until(&queue, "thawed").await;
    while next(&mut jobs).await.id != "thawed" {}
}

async fn publish_until(queue: &Queue, id: &str) {
    queue.publish_until(&Destination::Jobs, &message(id), Instant::now() + LIMIT).await.unwrap();
}

async fn next(consumer: &mut ringback_common::queue::Consumer) -> Delivery {
    timeout(LIMIT, consumer.next()).await.expect("nothing came")
}

async fn until_depth(queue: &Queue, source: Source, wanted: u64) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let depth = queue.depth(&source).await;
        match depth {
            Ok(depth) if depth == wanted => return,
            _ => assert!(Instant::now() < deadline, "{source:?} holds {depth:?}, not {wanted}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
