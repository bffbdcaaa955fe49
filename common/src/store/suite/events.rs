//! Outbox, replies, retention.

use super::*;
use crate::config::RetentionConfig;

fn rows(outbox: Outbox) -> Vec<OutboxRow> {
    match outbox {
        Outbox::Rows(rows) => rows,
        Outbox::HeldBy(other) => panic!("held by {other:?}"),
    }
}

pub(super) async fn a_lease_lets_one_engine_drain(bench: Bench) {
    let (one, two) = (bench.engine("e1").await, bench.engine("e2").await);
    let next = async |store: &Store, me: &Me| store.outbox_next(Outlet::Log, me, 10, &[]).await.unwrap();
    assert_eq!(next(&bench.store, &one).await, Outbox::Rows(Vec::new()));
    assert_eq!(next(&bench.other, &two).await, Outbox::HeldBy("e1".to_owned()));
    assert_eq!(next(&bench.store, &one).await, Outbox::Rows(Vec::new()), "and keeps it");
    let billing = bench.other.outbox_next(Outlet::Billing, &two, 10, &[]).await.unwrap();
    assert_eq!(billing, Outbox::Rows(Vec::new()), "destinations are drained apart");
    bench.store.outbox_release(Outlet::Log, &one).await.unwrap();
    assert_eq!(next(&bench.other, &two).await, Outbox::Rows(Vec::new()));
    let seen = bench.store.peers(&one).await.unwrap().remove(0);
    assert!(bench.store.adopt(&seen, &one).await.unwrap().is_some());
    assert_eq!(next(&bench.store, &one).await, Outbox::Rows(Vec::new()), "adoption frees the lease");
    assert!(matches!(next(&bench.other, &two).await, Outbox::HeldBy(_)), "a fenced engine drains nothing");
    let again = bench.engine("e1").await;
    assert_eq!(next(&bench.store, &again).await, Outbox::Rows(Vec::new()), "a new incarnation takes it over");
    assert!(matches!(next(&bench.store, &one).await, Outbox::HeldBy(_)));
}

pub(super) async fn events_are_published_in_order_and_once_marked_gone(bench: Bench) {
    let me = bench.engine("e1").await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    let told = bench.store.outbox_written(Outlet::Replies);
    for batch in 0..3 {
        let events = (0..4).map(|n| event(Outlet::Replies, &format!("ev-{batch}-{n}"), EventMoney::None)).collect();
        done(writer.step(Step { events, ..call.step() }).await);
    }
    tokio::time::timeout(std::time::Duration::from_secs(10), told).await.expect("the drain is told");
    let again = Step { events: vec![event(Outlet::Replies, "ev-0-0", EventMoney::None)], ..call.step() };
    done(writer.step(again).await);
    let next =
        async |done: &[i64], limit| rows(bench.store.outbox_next(Outlet::Replies, &me, limit, done).await.unwrap());
    let ids = |rows: &[OutboxRow]| rows.iter().map(|row| row.event_id.clone()).collect::<Vec<_>>();
    let first = next(&[], 5).await;
    assert_eq!(ids(&first), ["ev-0-0", "ev-0-1", "ev-0-2", "ev-0-3", "ev-1-0"]);
    assert_eq!((first[0].routing_key.as_str(), &first[0].body[..]), ("sms", &b"{\"id\":\"ev-0-0\",\"data\":{}}"[..]));
    assert_eq!(ids(&next(&[], 5).await), ids(&first), "they come again until they are marked");
    let confirmed: Vec<i64> = first.iter().map(|row| row.id).filter(|id| *id != first[1].id).collect();
    let second = next(&confirmed, 5).await;
    assert_eq!(ids(&second), ["ev-0-1", "ev-1-1", "ev-1-2", "ev-1-3", "ev-2-0"]);
    let waiting = bench.store.oldest_unpublished().await.unwrap();
    assert_eq!((waiting.len(), waiting[0].0, waiting[0].1), (1, Outlet::Replies, 8));
    bench.store.outbox_done(&second.iter().map(|row| row.id).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(ids(&next(&[], 5).await), ["ev-2-1", "ev-2-2", "ev-2-3"]);
}

pub(super) async fn money_figures_reach_the_events(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    done(writer.step(call.holding(500)).await);
    let settle = Step {
        settlements: vec![settlement(LegName::A, 1, 100), settlement(LegName::B, 1, 0), settlement(LegName::B, 2, 50)],
        events: vec![
            event(Outlet::Billing, "a1", EventMoney::Charge(LegName::A, 1)),
            event(Outlet::Billing, "b1", EventMoney::Charge(LegName::B, 1)),
            event(Outlet::Billing, "b2", EventMoney::Charge(LegName::B, 2)),
            event(Outlet::Billing, "end", EventMoney::Balance),
            event(Outlet::Billing, "plain", EventMoney::None),
        ],
        postings: Some(call.purse(500).releasing()),
        ..call.step()
    };
    done(writer.step(settle).await);
    let later = Step { events: vec![event(Outlet::Billing, "later", EventMoney::Balance)], ..call.step() };
    done(writer.step(later).await);
    let mut told = rows(bench.store.outbox_next(Outlet::Billing, &me, 10, &[]).await.unwrap());
    let topup = told.remove(0);
    let data: Vec<serde_json::Value> = told
        .iter()
        .map(|row| serde_json::from_slice::<serde_json::Value>(&row.body).expect("JSON")["data"].clone())
        .collect();
    let expected = serde_json::json!([
        {"account_seq": 2, "balance": 900},
        {"balance": 900},
        {"account_seq": 3, "balance": 850},
        {"balance": 850},
        {},
        {"balance": 850},
    ]);
    assert_eq!(serde_json::Value::from(data), expected);
    let log = rows(bench.store.outbox_next(Outlet::Log, &me, 10, &[]).await.unwrap());
    assert_eq!((log.len(), log[0].routing_key.as_str()), (1, "balance.topup"));
    assert_eq!((topup.routing_key.as_str(), topup.kind.as_str()), ("balance", "ringback.balance.v1"));
    assert_eq!((&topup.event_id, &topup.body), (&log[0].event_id, &log[0].body), "billing and the log hear the same");
}

pub(super) async fn a_reply_of_a_kind_is_begun_once(bench: Bench) {
    let job = JobId("j".to_owned());
    let (first, second) = tokio::join!(bench.store.reply_begin(&job, "final"), bench.other.reply_begin(&job, "final"));
    let mut begun = [first.unwrap(), second.unwrap()];
    begun.sort_by_key(|begun| *begun != Begun::Fresh);
    assert_eq!(begun, [Begun::Fresh, Begun::Again]);
    bench.store.reply_sent(&job, "final").await.unwrap();
    bench.store.reply_unknown(&job, "final").await.unwrap();
    assert_eq!(bench.other.reply_begin(&job, "final").await, Ok(Begun::Done));
    assert_eq!(bench.number("SELECT count(*) FROM replies WHERE state = 'sent'").await, 1, "sent stays sent");
    assert_eq!(bench.other.reply_begin(&job, "progress").await, Ok(Begun::Fresh));
    bench.store.reply_unknown(&job, "progress").await.unwrap();
    assert_eq!(bench.other.reply_begin(&job, "progress").await, Ok(Begun::Done));
}

pub(super) async fn old_rows_are_purged_and_the_ledger_is_not(bench: Bench) {
    let keep = RetentionConfig::default();
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let (over, live) = (bench.running(&me, &job(1, "alice")).await, bench.running(&me, &job(2, "alice")).await);
    let writer = bench.store.writer();
    done(writer.step(Step { invites: vec![invite(LegName::A, 1, 1)], ..over.holding(100) }).await);
    let end = Step {
        request: RequestChange { finished: Some(true), disconnect_time: Some(moment()), ..RequestChange::default() },
        events: vec![event(Outlet::Billing, "cdr", EventMoney::Charge(LegName::A, 1))],
        postings: Some(over.purse(100).releasing()),
        ..over.settling(100, LegName::A, 1, 50)
    };
    done(writer.step(end).await);
    let told = rows(bench.store.outbox_next(Outlet::Billing, &me, 10, &[]).await.unwrap());
    bench.store.outbox_done(&[told[0].id, told[1].id]).await.unwrap();
    assert_eq!(bench.store.purge(moment() + TimeDelta::hours(23), &keep).await, Ok(Purged::default()));
    let week = bench.store.purge(moment() + TimeDelta::days(8), &keep).await.unwrap();
    assert_eq!((week.outbox, week.requests, week.cdrs, week.more), (2, 0, 0, false));
    let quarter = bench.store.purge(moment() + TimeDelta::days(91), &keep).await.unwrap();
    assert_eq!((quarter.requests, quarter.cdrs), (1, 1));
    assert!(bench.store.find(&over.job).await.unwrap().is_none());
    assert!(bench.store.find(&live.job).await.unwrap().is_some(), "an unfinished request stays");
    assert_eq!(bench.number("SELECT count(*) FROM invites").await, 0);
    assert_eq!(bench.number("SELECT count(*) FROM ledger").await, 4, "the ledger stays");
    assert_eq!(bench.number("SELECT count(*) FROM outbox").await, 1, "what was not published stays");
}
