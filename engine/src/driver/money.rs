//! What a call costs, from the last step that settles it to all who are told.

use ringback_common::store::{CdrFilter, NewAccount, Outbox, Outlet, Store, StoreConfig, Take};
use serde_json::Value;

use super::*;
use crate::billing::Tariff;
use crate::call::{CallPlan, Party, Route, Verdict};

const HELD: Money = Money(3_000_000);

/// Both legs at 1.80 a minute.
fn plan(job: &Job) -> CallPlan {
    let party = |number: &ringback_common::number::Number| Party {
        number: number.clone(),
        routes: vec![Route { trunk: "main".to_owned(), cli: "+442071838750".to_owned() }],
        tariff: Tariff { per_minute: Money(1_800_000) },
    };
    CallPlan {
        a: party(&job.a),
        b: party(job.b.as_ref().unwrap()),
        attempt: 1,
        attempts: 1,
        no_answer: Duration::from_secs(45),
        backoff: Duration::from_secs(10),
        max_call: Duration::from_secs(3600),
        slice_seconds: 120,
    }
}

/// The data of all that one destination is told.
async fn told(store: &Store, outlet: Outlet, me: &ringback_common::store::Me) -> Vec<Value> {
    match store.outbox_next(outlet, me, 100, &[]).await.unwrap() {
        Outbox::Rows(rows) => {
            rows.iter().map(|row| serde_json::from_slice::<Value>(&row.body).unwrap()["data"].take()).collect()
        }
        held => panic!("{held:?}"),
    }
}

/// 72 s of both legs are 4.32 and 3.00 are held: the account loses 3.00, and nobody hears of more.
#[tokio::test]
async fn what_is_told_is_what_is_charged() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/ringback.db", folder.path().display());
    let store = Store::open(&StoreConfig::new(url)).await.unwrap();
    let me = store.register_engine("e1").await.unwrap().me;
    let (name, currency) = ("alice".to_owned(), "USD".to_owned());
    let account = NewAccount { name, currency, balance: HELD, ..NewAccount::default() };
    let account = store.add_account(&account).await.unwrap();
    let job = serde_json::json!({
        "id": "j", "source": "sms", "account": "alice", "a": "+442071838750", "b": "+4915112345678", "reply": "r",
        "created": "2026-01-31T12:00:00Z", "not_after": "2099-01-31T12:10:00Z",
    });
    let job: Job = serde_json::from_value(job).unwrap();
    store.take(&me, &[Take { job: job.clone(), claim: true }]).await.unwrap();
    let writer = store.writer();

    let keeper = Keeper { engine: me.id.clone(), billing: true, epoch: 1 };
    let purse = Purse { account_id: account.id, held: Money::ZERO };
    let mut record = Record::begin(keeper, job.clone(), purse, "USD".to_owned(), HELD, 0, Utc::now());
    let mut call = Call::new(plan(&job), Money(5_000_000), Moment(0));
    let step = record.step(&call, call.snapshot(), Vec::new(), Vec::new(), Moment(0));
    let carried = record::Carried::of(&step);
    assert!(matches!(writer.step(step).await, Ok(Stepped::Done { .. })));
    record.written(&carried);
    record.legs.iter_mut().for_each(|leg| leg.stored = true);
    for (input, now) in [(Input::Answered(A), 5), (Input::Answered(B), 5), (Input::Over(B, Cause::HungUp), 77)] {
        call.handle(input, Moment(now * 1_000));
    }
    let ending = Ending::Finished(Verdict::Successful, Cause::HungUp);
    let step = record.final_step(&call, ending, Moment(77_000));
    assert!(matches!(writer.step(step).await, Ok(Stepped::Done { balance: Money::ZERO, account_seq: 3 })));

    let alice = store.account_by_name("alice").await.unwrap().unwrap();
    assert_eq!((alice.balance, alice.held), (Money::ZERO, Money::ZERO));
    let charged = [("a", 72, 2_160_000, 840_000), ("b", 28, 840_000, 0)];
    let mut cdrs = store.cdrs(&CdrFilter::default()).await.unwrap();
    cdrs.sort_by_key(|cdr| cdr.leg);
    let booked = cdrs.iter().map(|cdr| (cdr.leg.as_str(), cdr.billed_seconds, cdr.cost.0, cdr.balance.0));
    assert_eq!(booked.collect::<Vec<_>>(), charged);
    let figures = |told: &[Value]| -> Vec<(String, i64, i64, i64)> {
        let cdrs = told.iter().filter(|data| data["cdr_id"].is_string());
        let number = |data: &Value, key: &str| data[key].as_i64().unwrap();
        let figures = cdrs.map(|data| {
            let leg = data["leg"].as_str().unwrap().to_owned();
            (leg, number(data, "billed_seconds"), number(data, "cost"), number(data, "balance"))
        });
        figures.collect()
    };
    let charged = charged.map(|(leg, seconds, cost, balance)| (leg.to_owned(), seconds, cost, balance));
    let (billing, log) = (told(&store, Outlet::Billing, &me).await, told(&store, Outlet::Log, &me).await);
    assert_eq!((figures(&billing), figures(&log)), (charged.to_vec(), charged.to_vec()));
    let replies = told(&store, Outlet::Replies, &me).await;
    for last in [log.last(), replies.last()] {
        let last = last.unwrap();
        assert_eq!((last["cost"].as_i64(), last["balance"].as_i64()), (Some(HELD.0), Some(0)), "{last}");
    }
}
