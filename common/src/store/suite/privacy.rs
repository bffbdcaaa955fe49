//! What is kept for how long, and what is erased.

use super::*;
use crate::config::RetentionConfig;
use crate::terms::Terms;

/// A finished callback with two CDRs and an event.
async fn called(bench: &Bench, me: &Me, job: &Job) {
    let call = bench.running(me, job).await;
    let writer = bench.store.writer();
    done(writer.step(Step { invites: vec![invite(LegName::A, 1, 1)], ..call.holding(100) }).await);
    let parties = [(LegName::A, Some(&job.a), job.b.as_ref()), (LegName::B, job.b.as_ref(), Some(&job.a))];
    let settlements = parties.map(|(leg, number, cli)| Settlement {
        number: number.unwrap().as_str().to_owned(),
        cli: cli.unwrap().as_str().to_owned(),
        ..settlement(leg, 1, 40)
    });
    let postings = Some(call.purse(100).releasing());
    let mut end = Step { settlements: settlements.to_vec(), postings, ..call.step() };
    end.events = vec![event(Outlet::Log, &format!("{}:1", job.id), EventMoney::None)];
    end.request = RequestChange {
        finished: Some(true),
        release: true,
        disconnect_time: Some(moment()),
        ..RequestChange::default()
    };
    done(writer.step(end).await);
}

fn with_metadata(n: u32) -> Job {
    let terms = Terms { say_b: Some("1234".to_owned()), ..Terms::default() };
    Job { metadata: [("note".to_owned(), "private".into())].into(), terms, ..job(n, "alice") }
}

pub(super) async fn what_a_message_brought_goes_after_a_day(bench: Bench) {
    bench.account("alice", 1_000_000).await;
    let (me, keep) = (bench.engine("e1").await, RetentionConfig::default());
    called(&bench, &me, &with_metadata(1)).await;
    let live = bench.running(&me, &with_metadata(2)).await;
    called(&bench, &me, &with_metadata(3)).await;
    let kept = async |n: u32| {
        let job = bench.other.find(&job(n, "alice").id).await.unwrap().unwrap().job;
        assert_eq!(job.metadata.contains_key("note"), !job.terms.is_empty(), "terms go with the rest");
        job.metadata.contains_key("note") && job.reply.is_some()
    };
    bench.store.purge(moment() + TimeDelta::hours(23), &keep).await.unwrap();
    assert!(kept(1).await && kept(2).await && kept(3).await, "not yet");
    bench.store.purge(moment() + TimeDelta::hours(25), &keep).await.unwrap();
    assert_eq!((kept(1).await, kept(2).await), (false, true), "the second is still under way");
    assert!(bench.other.find(&job(1, "alice").id).await.unwrap().unwrap().job.sender.is_some(), "for REDIAL");
    let end = RequestChange { finished: Some(true), ..RequestChange::default() };
    done(bench.store.writer().step(Step { request: end, ..live.step() }).await);
    bench.store.purge(moment() + TimeDelta::hours(25), &keep).await.unwrap();
    assert_eq!((kept(2).await, kept(3).await), (false, false));
    assert_eq!(
        bench.store.purge(moment() + TimeDelta::hours(25), &keep).await,
        Ok(Purged::default()),
        "nothing is left"
    );
}

pub(super) async fn old_numbers_lose_their_end_in_cdrs_that_stay(bench: Bench) {
    bench.account("alice", 1_000_000).await;
    let me = bench.engine("e1").await;
    let keep = RetentionConfig { cdrs_days: 400, ..RetentionConfig::default() };
    called(&bench, &me, &job(1, "alice")).await;
    let numbers = async || {
        let cdrs = bench.other.cdrs(&CdrFilter::default()).await.unwrap();
        let mut numbers: Vec<String> = cdrs.into_iter().flat_map(|cdr| [cdr.number, cdr.cli]).collect();
        numbers.sort();
        numbers
    };
    let whole = ["+442071838750", "+442071838750", "+49300000001", "+49300000001"];
    bench.store.purge(moment() + TimeDelta::days(179), &keep).await.unwrap();
    assert_eq!(numbers().await, whole);
    for _ in 0..2 {
        bench.store.purge(moment() + TimeDelta::days(181), &keep).await.unwrap();
        assert_eq!(numbers().await, ["+44207183xxxx", "+44207183xxxx", "+4930000xxxx", "+4930000xxxx"]);
    }
    assert_eq!(bench.number("SELECT count(*) FROM ledger WHERE amount = 40").await, 2);
}

pub(super) async fn refusals_and_replies_are_forgotten(bench: Bench) {
    let (alice, keep) = (bench.account("alice", 0).await, RetentionConfig::default());
    bench.store.add_refusal(alice.id, "sms", "no_money", "+44…3456").await.unwrap();
    bench.store.reply_begin(&JobId("refused".to_owned()), "refused").await.unwrap();
    let month = bench.store.purge(moment() + TimeDelta::days(31), &keep).await.unwrap();
    assert_eq!((month.refusals, month.replies), (1, 0));
    let quarter = bench.store.purge(moment() + TimeDelta::days(91), &keep).await.unwrap();
    assert_eq!((quarter.refusals, quarter.replies), (0, 1));
}

pub(super) async fn a_command_is_remembered_as_it_was_first_carried_out(bench: Bench) {
    let message = job(1, "alice").id;
    let carried = |code: &str| Carried { code: code.to_owned(), answer: "Your call is cancelled.".to_owned() };
    assert_eq!(bench.store.command_of(&message).await, Ok(None));
    bench.store.command_carried(&message, &carried("cancelled")).await.unwrap();
    bench.store.command_carried(&message, &carried("stopped")).await.unwrap();
    assert_eq!(bench.other.command_of(&message).await, Ok(Some(carried("cancelled"))));
    bench.store.purge(moment() + TimeDelta::days(91), &RetentionConfig::default()).await.unwrap();
    assert_eq!(bench.other.command_of(&message).await, Ok(None), "it goes with the replies");
}

pub(super) async fn a_number_is_shown_and_erased_and_the_money_stays(bench: Bench) {
    let alice = bench.account("alice", 1_000_000).await;
    let me = bench.engine("e1").await;
    let number = "+49300000001";
    bench.store.add_number(alice.id, number, 9).await.unwrap();
    bench.store.do_not_call(number, PutBy::Operator, None).await.unwrap();
    bench.store.may_call_again(number, PutBy::Operator).await.unwrap();
    let (to_them, by_them, other) =
        (job(1, "alice"), Job { sender: Some(number.to_owned()), ..job(2, "alice") }, job(3, "alice"));
    for wish in [&to_them, &by_them, &other] {
        called(&bench, &me, wish).await;
    }
    bench.store.do_not_call(number, PutBy::Stop, None).await.unwrap();
    bench.store.auth_failed(number, Lockout::default()).await.unwrap();
    let kept = bench.other.kept_of(number).await.unwrap();
    assert_eq!((kept.requests.len(), kept.cdrs.len(), kept.account.as_deref()), (2, 2, Some("alice")));
    assert!(kept.do_not_call);

    let early = bench.store.erase(number).await;
    assert!(matches!(&early, Err(StoreError::Invalid(why)) if why.contains("not published")), "{early:?}");
    let told = match bench.store.outbox_next(Outlet::Log, &me, 10, &[]).await.unwrap() {
        Outbox::Rows(rows) => rows.into_iter().map(|row| row.id).collect::<Vec<_>>(),
        Outbox::HeldBy(other) => panic!("held by {other}"),
    };
    bench.store.outbox_done(&told).await.unwrap();
    let live = bench.running(&me, &Job { b: to_them.b.clone(), ..job(9, "alice") }).await;
    let early = bench.store.erase(number).await;
    assert!(matches!(&early, Err(StoreError::Invalid(why)) if why.contains("not finished")), "{early:?}");
    let end = RequestChange { finished: Some(true), ..RequestChange::default() };
    done(bench.store.writer().step(Step { request: end, ..live.step() }).await);

    let erased = bench.store.erase(number).await.unwrap();
    assert_eq!(erased, Erased { requests: 3, cdrs: 2, events: 2, addresses: 1 });
    let kept = bench.other.kept_of(number).await.unwrap();
    assert!(kept.requests.is_empty() && kept.cdrs.is_empty() && kept.account.is_none() && kept.do_not_call);
    assert_eq!(bench.number("SELECT count(*) FROM invites").await, 1, "only the other callback's");
    assert_eq!(bench.number("SELECT count(*) FROM auth_failures").await, 0);
    assert_eq!(bench.number("SELECT count(*) FROM call_records WHERE 'erased' IN (number, cli)").await, 2);
    assert_eq!(bench.number("SELECT count(*) FROM ledger WHERE amount = 40").await, 6, "the amounts stay");
    assert_eq!(bench.store.erase(number).await.unwrap(), Erased::default());
}

pub(super) async fn web_47_an_address_is_shown_and_erased(bench: Bench) {
    bench.account("alice", 1_000_000).await;
    let me = bench.engine("e1").await;
    let address = "alice@example.net";
    let emails = Some(vec![address.to_owned(), "work@example.net".to_owned()]);
    bench.store.update_account("alice", &AccountChange { emails, ..AccountChange::default() }).await.unwrap();
    let by = |n: u32, sender: &str| Job { sender: Some(sender.to_owned()), ..job(n, "alice") };
    for wish in [by(1, address), by(2, "alice@example.net.evil.test"), job(3, "alice")] {
        called(&bench, &me, &wish).await;
    }
    for counted in ["alice@example.net", "unvouched alice@example.net", "unvouched alice@example.org"] {
        bench.store.auth_failed(counted, Lockout::default()).await.unwrap();
    }
    let kept = bench.other.kept_of(address).await.unwrap();
    assert_eq!((kept.requests.len(), kept.cdrs.len(), kept.account.as_deref()), (1, 0, Some("alice")));

    let Outbox::Rows(rows) = bench.store.outbox_next(Outlet::Log, &me, 10, &[]).await.unwrap() else {
        panic!("nobody else publishes")
    };
    bench.store.outbox_done(&rows.into_iter().map(|row| row.id).collect::<Vec<_>>()).await.unwrap();
    let erased = bench.store.erase(address).await.unwrap();
    assert_eq!(erased, Erased { requests: 1, cdrs: 0, events: 1, addresses: 1 });
    let kept = bench.other.kept_of(address).await.unwrap();
    assert!(kept.requests.is_empty() && kept.account.is_none());
    assert_eq!(bench.number("SELECT count(*) FROM callback_requests").await, 2, "the others stay");
    assert_eq!(bench.number("SELECT count(*) FROM auth_failures").await, 1);
    assert_eq!(bench.number("SELECT count(*) FROM call_records").await, 6, "the amounts stay");
    assert_eq!(bench.store.erase(address).await.unwrap(), Erased::default());
}
