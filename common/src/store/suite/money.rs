//! Holds, charges, the ledger, CDRs.

use std::collections::BTreeSet;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

pub(super) async fn fifty_jobs_at_once_hold_no_more_than_the_balance(bench: Bench) {
    // toll-06: 50 concurrent jobs, money for 3 calls.
    let (one, two) = (bench.engine("e1").await, bench.engine("e2").await);
    bench.account("alice", 1_000).await;
    let writers = [bench.store.writer(), bench.other.writer()];
    let mut steps = Vec::new();
    for n in 0..50 {
        let me = if n % 2 == 0 { &one } else { &two };
        let call = bench.running(me, &job(n, "alice")).await;
        steps.push(writers[n as usize % 2].step(call.holding(300)));
    }
    let answers = join_all(steps).await;
    let granted = answers.iter().filter(|answer| matches!(answer, Ok(Stepped::Done { .. }))).count();
    assert_eq!(granted, 3, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(Stepped::NoFunds)).count(), 47);
    assert_eq!(bench.look("alice").await.held, Money(900));
    assert_eq!(bench.number("SELECT count(*) FROM holds").await, 3);
}

pub(super) async fn settling_twice_charges_once(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    done(writer.step(call.holding(500)).await);
    let settle = |held: i64, event_id: &str| Step {
        events: vec![event(Outlet::Billing, event_id, EventMoney::Charge(LegName::A, 1))],
        postings: Some(call.purse(held).releasing()),
        ..call.settling(held, LegName::A, 1, 200)
    };
    assert_eq!(done(writer.step(settle(500, "one")).await), (800, 2));
    let other = bench.other.writer();
    assert_eq!(done(other.step(settle(0, "two")).await), (800, 2), "the second time changes nothing");
    assert!(matches!(other.step(settle(500, "three")).await, Err(StoreError::Invalid(_))), "that hold is gone");
    let alice = bench.look("alice").await;
    assert_eq!((alice.balance, alice.held), (Money(800), Money::ZERO));
    assert_eq!(bench.number("SELECT count(*) FROM call_records").await, 1);
    assert_eq!(bench.number("SELECT count(*) FROM outbox WHERE destination = 'billing'").await, 2, "top-up and charge");
    assert_eq!(bench.number("SELECT count(*) FROM ledger WHERE account = 'revenue'").await, 1);
    assert_eq!(bench.store.ledger_sum().await, Ok(Money::ZERO));
}

pub(super) async fn a_hold_is_set_extended_charged_and_released(bench: Bench) {
    let me = bench.engine("e1").await;
    let alice = bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    let extend = |from, amount| Step { postings: Some(call.purse(from).holding(Money(amount))), ..call.step() };
    assert!(matches!(writer.step(extend(5, 10)).await, Err(StoreError::Invalid(_))), "nothing to extend");
    done(writer.step(call.holding(300)).await);
    assert!(matches!(writer.step(call.holding(400)).await, Err(StoreError::Invalid(_))), "never opened twice");
    done(writer.step(extend(300, 400)).await);
    assert_eq!(bench.look("alice").await.held, Money(400), "set, never added to what there is");
    done(writer.step(extend(400, 900)).await);
    assert_eq!(writer.step(extend(900, 1_001)).await, Ok(Stepped::NoFunds));
    assert_eq!(bench.look("alice").await.held, Money(900));
    done(writer.step(call.settling(900, LegName::A, 1, 0)).await);
    assert_eq!(done(writer.step(call.settling(900, LegName::B, 1, 250)).await), (750, 2));
    let left = bench.look("alice").await;
    assert_eq!((left.balance, left.held), (Money(750), Money(650)), "a charge is taken out of the hold");
    done(writer.step(Step { postings: Some(call.purse(650).releasing()), ..call.step() }).await);
    assert_eq!(bench.look("alice").await.held, Money::ZERO);
    assert_eq!(bench.store.story(&call.job).await.unwrap().unwrap().hold, None);
    let cdrs = bench.store.cdrs(&CdrFilter { job: Some(call.job), ..CdrFilter::default() }).await.unwrap();
    let charged: Vec<_> = cdrs.iter().map(|cdr| (cdr.leg, cdr.cost.0, cdr.account_seq, cdr.balance.0)).collect();
    assert_eq!(
        charged,
        [(LegName::B, 250, Some(2), 750), (LegName::A, 0, None, 1_000)],
        "what cost nothing moves no money"
    );
    assert_eq!(cdrs[0].uncovered, Money::ZERO, "what is charged is covered");
    assert_eq!(alice.money_seq, 1, "the first top-up");
}

pub(super) async fn a_charge_takes_no_money_that_another_call_holds(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let (call, other) = (bench.running(&me, &job(1, "alice")).await, bench.running(&me, &job(2, "alice")).await);
    let writer = bench.store.writer();
    done(writer.step(call.holding(300)).await);
    done(writer.step(other.holding(400)).await);
    let settle = |cost| Step {
        postings: Some(call.purse(300).releasing()),
        events: vec![event(Outlet::Billing, "charge", EventMoney::Charge(LegName::A, 1))],
        ..call.settling(300, LegName::A, 1, cost)
    };
    assert_eq!(writer.step(settle(601)).await, Ok(Stepped::NoFunds), "300 held, 300 free, one that nobody has");
    assert_eq!(bench.number("SELECT count(*) FROM call_records").await, 0, "nothing of it is written");
    assert_eq!(bench.number("SELECT count(*) FROM outbox WHERE event_id = 'charge'").await, 0, "or told");
    assert_eq!(done(writer.step(settle(600)).await), (400, 2));
    let alice = bench.look("alice").await;
    assert_eq!((alice.balance, alice.held), (Money(400), Money(400)), "the other call's hold is untouched");
    let cdr = bench.store.cdrs(&CdrFilter::default()).await.unwrap().remove(0);
    assert_eq!((cdr.cost, cdr.uncovered), (Money(600), Money::ZERO));
    assert_eq!(bench.store.ledger_sum().await, Ok(Money::ZERO));
    assert_eq!(
        bench.number("SELECT CAST(sum(amount) AS BIGINT) FROM ledger WHERE account LIKE 'account:%'").await,
        400
    );
}

/// The same steps, drawn by the same seed, have the same answers on every kind of store: those that the rules give.
pub(super) async fn random_steps_are_answered_as_the_rules_say(bench: Bench) {
    let me = bench.engine("e1").await;
    let writer = bench.store.writer();
    for seed in 0..12 {
        let mut dice = StdRng::seed_from_u64(seed);
        let (name, first) = (format!("alice-{seed}"), dice.random_range(1..2_000));
        bench.account(&name, first).await;
        let mut calls = Vec::new();
        for n in 0..3 {
            calls.push((bench.running(&me, &job(seed as u32 * 3 + n, &name)).await, 0, 0));
        }
        let (mut balance, mut seq) = (first, 1);
        for _ in 0..25 {
            let free = balance - calls.iter().map(|(_, held, _)| held).sum::<i64>();
            let (call, held, attempt) = &mut calls[dice.random_range(0..3)];
            let claimed = if dice.random_bool(0.9) { *held } else { dice.random_range(0..1_000) };
            let to = if dice.random_bool(0.3) { 0 } else { dice.random_range(0..1_000) };
            let costs: Vec<i64> = (0..dice.random_range(0..3)).map(|_| dice.random_range(0..300)).collect();
            let legs = [LegName::A, LegName::B].into_iter().zip(&costs);
            let settlements = legs.map(|(leg, cost)| settlement(leg, *attempt, *cost)).collect();
            let step = Step { settlements, postings: Some(call.purse(claimed).holding(Money(to))), ..call.step() };
            let answer = writer.step(step).await;
            let charged: i64 = costs.iter().sum();
            if claimed != *held {
                assert!(matches!(answer, Err(StoreError::Invalid(_))), "seed {seed}: {answer:?}");
            } else if charged + to - *held > free.max(0) {
                assert_eq!(answer, Ok(Stepped::NoFunds), "seed {seed}");
            } else {
                (*held, *attempt, balance) = (to, *attempt + 1, balance - charged);
                seq += costs.iter().filter(|cost| **cost > 0).count() as i64;
                assert_eq!(done(answer), (balance, seq), "seed {seed}");
            }
        }
        let held = calls.iter().map(|(_, held, _)| held).sum();
        let account = bench.look(&name).await;
        assert_eq!(
            (account.balance, account.held, account.money_seq),
            (Money(balance), Money(held), seq),
            "seed {seed}"
        );
    }
    assert_eq!(bench.store.ledger_sum().await, Ok(Money::ZERO));
    let unpaid = "SELECT count(*) FROM accounts a WHERE held <> (SELECT coalesce(sum(amount), 0) FROM holds h WHERE h.account_id = a.id)";
    assert_eq!(bench.number(unpaid).await, 0, "what an account holds is what its calls hold");
}

/// Whoever reads the feed of billing can count: every number of an account's money comes by, and each tells what it moved.
pub(super) async fn billing_hears_of_every_movement_of_an_account(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    done(writer.step(call.holding(500)).await);
    bench.other.topup("alice", Money(70), "topup").await.unwrap();
    let settle = Step {
        events: vec![event(Outlet::Billing, "cdr", EventMoney::Charge(LegName::A, 1))],
        postings: Some(call.purse(500).releasing()),
        ..call.settling(500, LegName::A, 1, 200)
    };
    done(writer.step(settle).await);
    bench.other.topup("alice", Money(-30), "correction").await.unwrap();
    let told = match bench.store.outbox_next(Outlet::Billing, &me, 10, &[]).await.unwrap() {
        Outbox::Rows(rows) => rows,
        held => panic!("{held:?}"),
    };
    let data = told.iter().map(|row| serde_json::from_slice::<serde_json::Value>(&row.body).unwrap()["data"].take());
    let figures: Vec<_> = data.map(|data| (data["account_seq"].as_i64(), data["balance"].as_i64())).collect();
    let expected = [(1, 1_000), (2, 1_070), (3, 870), (4, 840)];
    assert_eq!(figures, expected.map(|(seq, balance)| (Some(seq), Some(balance))));
    let keys: Vec<&str> = told.iter().map(|row| row.routing_key.as_str()).collect();
    assert_eq!(keys, ["balance", "balance", "sms", "balance"]);
}

pub(super) async fn sequence_and_closing_balance_are_gapless_under_concurrency(bench: Bench) {
    let (one, two) = (bench.engine("e1").await, bench.engine("e2").await);
    bench.account("alice", 1_000_000).await;
    bench.account("bob", 1_000_000).await;
    let writers = [bench.store.writer(), bench.other.writer()];
    let mut runs = Vec::new();
    for n in 0..40_u32 {
        let me = if n % 2 == 0 { &one } else { &two };
        let call = bench.running(me, &job(n, if n % 3 == 0 { "alice" } else { "bob" })).await;
        let writer = writers[n as usize % 2].clone();
        runs.push(async move {
            done(writer.step(call.holding(1_000)).await);
            let cost = i64::from(100 + n);
            done(writer.step(call.settling(1_000, LegName::A, 1, cost)).await);
            let released = Some(call.purse(1_000 - cost).releasing());
            done(writer.step(Step { postings: released, ..call.settling(0, LegName::B, 1, 50) }).await);
        });
    }
    let topups = async {
        for _ in 0..5 {
            bench.other.topup("alice", Money(10), "topup").await.unwrap();
        }
    };
    tokio::join!(join_all(runs), topups);
    for name in ["alice", "bob"] {
        let account = bench.look(name).await;
        assert_eq!(account.held, Money::ZERO);
        let filter = CdrFilter { account: Some(name.to_owned()), limit: 1_000, ..CdrFilter::default() };
        let cdrs = bench.store.cdrs(&filter).await.unwrap();
        let spent: Money = cdrs.iter().map(|cdr| cdr.cost).sum();
        let added = if name == "alice" { 50 } else { 0 };
        assert_eq!(account.balance, Money(1_000_000 + added) - spent);
        let seqs: BTreeSet<i64> = cdrs.iter().filter_map(|cdr| cdr.account_seq).collect();
        assert_eq!(seqs.len(), cdrs.len(), "no number twice");
        assert_eq!(account.money_seq, 1 + cdrs.len() as i64 + if added > 0 { 5 } else { 0 }, "no gap");
    }
    // Each closing balance is the sum of all movements up to its number.
    let wrong = bench
        .number(
            "SELECT count(*) FROM call_records c WHERE c.balance <> (SELECT sum(l.amount) FROM ledger l
               WHERE l.account = 'account:' || c.account_id AND l.account_seq <= c.account_seq)",
        )
        .await;
    assert_eq!(wrong, 0);
    assert_eq!(bench.store.ledger_sum().await, Ok(Money::ZERO));
}

pub(super) async fn a_correction_never_touches_held_money(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    done(bench.store.writer().step(call.holding(600)).await);
    assert!(matches!(bench.store.topup("alice", Money(-401), "correction").await, Err(StoreError::Invalid(_))));
    let moved = bench.store.topup("alice", Money(-400), "correction").await.unwrap();
    assert_eq!((moved.balance, moved.account_seq, moved.amount), (Money(600), 2, Money(-400)));
    assert!(matches!(bench.store.topup("alice", Money(i64::MAX), "topup").await, Err(StoreError::Invalid(_))));
    assert!(matches!(bench.store.topup("nobody", Money(1), "topup").await, Err(StoreError::NotFound(_))));
    assert!(matches!(bench.store.topup("alice", Money(0), "topup").await, Err(StoreError::Invalid(_))));
    assert_eq!(bench.store.ledger_sum().await, Ok(Money::ZERO));
}

pub(super) async fn a_step_that_makes_no_sense_spoils_no_other(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let bob = bench.account("bob", 1_000).await;
    let writer = bench.store.writer();
    let mut calls = Vec::new();
    for n in 0..8 {
        calls.push(bench.running(&me, &job(n, "alice")).await);
    }
    done(writer.step(calls[3].holding(10)).await);
    let steps = calls.iter().enumerate().map(|(place, call)| {
        let mut step = call.holding(20);
        if place == 3 {
            step.postings = Some(Purse { account_id: bob.id, held: Money(10) }.holding(Money(20)));
        }
        writer.step(step)
    });
    for (place, answer) in join_all(steps).await.into_iter().enumerate() {
        match (place, answer) {
            (3, Err(StoreError::Invalid(text))) => assert!(text.contains("belongs to account"), "{text}"),
            (3, other) => panic!("{other:?}"),
            (_, answer) => assert!(matches!(answer, Ok(Stepped::Done { .. })), "{answer:?}"),
        }
    }
    assert_eq!((bench.look("alice").await.held, bench.look("bob").await.held), (Money(150), Money::ZERO));
    let nobody_pays = Step { postings: None, ..calls[0].settling(20, LegName::A, 1, 1) };
    assert!(matches!(writer.step(nobody_pays).await, Err(StoreError::Invalid(_))));
    assert!(matches!(writer.step(calls[0].settling(20, LegName::A, 1, -1)).await, Err(StoreError::Invalid(_))));
}

pub(super) async fn cdrs_are_unique_and_show_in_the_sixteen_columns(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    done(writer.step(call.holding(1_000)).await);
    done(writer.step(call.settling(1_000, LegName::A, 1, 100)).await);
    done(writer.step(call.settling(900, LegName::B, 1, 0)).await);
    done(writer.step(call.settling(900, LegName::B, 2, 100)).await);
    done(writer.step(call.settling(800, LegName::B, 2, 100)).await);
    let rows = bench
        .number(
            "SELECT count(*) FROM (SELECT calldate, clid, src, dst, dcontext, channel, dstchannel, lastapp, lastdata, duration,
                billsec, disposition, amaflags, accountcode, uniqueid, userfield FROM cdr
               WHERE length(uniqueid) = 32 AND accountcode = 'alice' AND duration = 70 AND src = '+442071838750'
                 AND clid = '\"+442071838750\" <+442071838750>' AND dst = '+49301234567') t",
        )
        .await;
    assert_eq!(rows, 3);
    let answered = "SELECT count(DISTINCT userfield) FROM cdr WHERE disposition = 'ANSWERED' AND billsec = 60";
    assert_eq!(bench.number(answered).await, 2);
    assert_eq!(bench.number("SELECT count(*) FROM cdr WHERE disposition = 'BUSY' AND billsec = 0").await, 1);
    let cdrs = bench.store.cdrs(&CdrFilter { limit: 2, ..CdrFilter::default() }).await.unwrap();
    assert_eq!(cdrs.len(), 2, "the limit holds");
    assert_eq!(cdrs[0].cdr_id, format!("{}:b:2", call.job));
}
