//! Holds, charges, the ledger, CDRs.

use std::collections::BTreeSet;

use futures::future::join_all;

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
    let settle = |event_id: &str| Step {
        events: vec![event(Outlet::Billing, event_id, EventMoney::Charge(LegName::A, 1))],
        release_hold: true,
        ..call.settling(LegName::A, 1, 200)
    };
    assert_eq!(done(writer.step(settle("one")).await), (800, 2));
    let other = bench.other.writer();
    assert_eq!(done(other.step(settle("two")).await), (800, 2), "the second time changes nothing");
    let alice = bench.look("alice").await;
    assert_eq!((alice.balance, alice.held), (Money(800), Money::ZERO));
    assert_eq!(bench.number("SELECT count(*) FROM call_records").await, 1);
    assert_eq!(bench.number("SELECT count(*) FROM outbox WHERE destination = 'billing'").await, 1);
    assert_eq!(bench.number("SELECT count(*) FROM ledger WHERE account = 'revenue'").await, 1);
    assert_eq!(bench.store.ledger_sum().await, Ok(Money::ZERO));
}

pub(super) async fn a_hold_is_set_extended_charged_and_released(bench: Bench) {
    let me = bench.engine("e1").await;
    let alice = bench.account("alice", 1_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    let extend = |amount| Step { hold: Some(HoldChange::Extend { amount: Money(amount) }), ..call.step() };
    assert!(matches!(writer.step(extend(10)).await, Err(StoreError::Invalid(_))), "nothing to extend");
    done(writer.step(call.holding(300)).await);
    done(writer.step(call.holding(400)).await);
    assert_eq!(bench.look("alice").await.held, Money(400), "opening again sets it, never doubles it");
    done(writer.step(extend(900)).await);
    assert_eq!(writer.step(extend(1_001)).await, Ok(Stepped::NoFunds));
    assert_eq!(bench.look("alice").await.held, Money(900));
    done(writer.step(call.settling(LegName::A, 1, 0)).await);
    assert_eq!(done(writer.step(call.settling(LegName::B, 1, 250)).await), (750, 2));
    let left = bench.look("alice").await;
    assert_eq!((left.balance, left.held), (Money(750), Money(650)), "a charge is taken out of the hold");
    done(writer.step(Step { release_hold: true, ..call.step() }).await);
    assert_eq!(bench.look("alice").await.held, Money::ZERO);
    assert_eq!(bench.store.story(&call.job).await.unwrap().unwrap().hold, None);
    let cdrs = bench.store.cdrs(&CdrFilter { job: Some(call.job), ..CdrFilter::default() }).await.unwrap();
    let charged: Vec<_> = cdrs.iter().map(|cdr| (cdr.leg, cdr.cost.0, cdr.account_seq, cdr.balance.0)).collect();
    assert_eq!(
        charged,
        [(LegName::B, 250, Some(2), 750), (LegName::A, 0, None, 1_000)],
        "what cost nothing moves no money"
    );
    assert_eq!(alice.money_seq, 1, "the first top-up");
}

pub(super) async fn a_charge_beyond_the_hold_takes_free_money_and_no_more(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000).await;
    let (call, other) = (bench.running(&me, &job(1, "alice")).await, bench.running(&me, &job(2, "alice")).await);
    let writer = bench.store.writer();
    done(writer.step(call.holding(300)).await);
    done(writer.step(other.holding(400)).await);
    let answer = writer.step(call.settling(LegName::A, 1, 750)).await;
    let expected = Stepped::Done { balance: Money(400), account_seq: 2, uncovered: Money(150) };
    assert_eq!(answer, Ok(expected), "300 held, 300 free, 150 that nobody has");
    let alice = bench.look("alice").await;
    assert_eq!((alice.balance, alice.held), (Money(400), Money(400)), "the other call's hold is untouched");
    let cdr = bench.store.cdrs(&CdrFilter::default()).await.unwrap().remove(0);
    assert_eq!((cdr.cost, cdr.uncovered), (Money(600), Money(150)), "and the CDR says so");
    assert_eq!(bench.store.ledger_sum().await, Ok(Money::ZERO));
    assert_eq!(
        bench.number("SELECT CAST(sum(amount) AS BIGINT) FROM ledger WHERE account LIKE 'account:%'").await,
        400
    );
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
            done(writer.step(call.settling(LegName::A, 1, i64::from(100 + n))).await);
            done(writer.step(Step { release_hold: true, ..call.settling(LegName::B, 1, 50) }).await);
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
            step.hold = Some(HoldChange::Open { account_id: bob.id, amount: Money(20) });
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
    let two_payers = Step {
        settlements: vec![settlement(bob.id, LegName::A, 1, 1), settlement(bob.id + 1, LegName::B, 1, 1)],
        ..calls[0].step()
    };
    assert!(matches!(writer.step(two_payers).await, Err(StoreError::Invalid(_))));
    assert!(matches!(writer.step(calls[0].settling(LegName::A, 1, -1)).await, Err(StoreError::Invalid(_))));
}

pub(super) async fn cdrs_are_unique_and_show_in_the_sixteen_columns(bench: Bench) {
    let me = bench.engine("e1").await;
    bench.account("alice", 1_000_000).await;
    let call = bench.running(&me, &job(1, "alice")).await;
    let writer = bench.store.writer();
    done(writer.step(call.holding(1_000)).await);
    done(writer.step(call.settling(LegName::A, 1, 100)).await);
    done(writer.step(call.settling(LegName::B, 1, 0)).await);
    done(writer.step(call.settling(LegName::B, 2, 100)).await);
    done(writer.step(call.settling(LegName::B, 2, 100)).await);
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
