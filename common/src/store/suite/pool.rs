//! The numbers that may be rung, and what they lead to.

use super::*;

pub(super) fn application(name: &str, kind: AppKind) -> Application {
    let (application, b) = match kind {
        AppKind::AniCallback => (Some("cards".to_owned()), None),
        AppKind::TwoWay => (None, Some("+4930123456".to_owned())),
        AppKind::CallingCard => (None, None),
    };
    let options = [("Ringback Time".to_owned(), "4".to_owned())].into();
    Application { name: name.to_owned(), kind, application, cld: Some("callingcard_en_th".to_owned()), b, options }
}

fn did(number: &str, behind: Behind) -> Did {
    Did { number: number.to_owned(), behind }
}

pub(super) async fn a_number_leads_to_one_application_or_account(bench: Bench) {
    let store = &bench.store;
    let new = NewAccount {
        name: "alice".to_owned(),
        currency: "USD".to_owned(),
        dids: vec!["+12065550101".to_owned()],
        ..Default::default()
    };
    store.add_account(&new).await.unwrap();
    bench.account("bob", 0).await;
    let missed = application("missed", AppKind::AniCallback);
    assert!(
        matches!(store.add_application(&missed).await, Err(StoreError::NotFound(_))),
        "what it starts is not there"
    );
    let cards = application("cards", AppKind::CallingCard);
    store.add_application(&cards).await.unwrap();
    store.add_application(&missed).await.unwrap();
    assert!(matches!(store.add_application(&cards).await, Err(StoreError::Conflict(_))));
    assert_eq!(bench.other.application("missed").await.unwrap(), Some(missed.clone()));

    let to_missed = || Behind::Application("missed".to_owned());
    let to = |name: &str| Behind::Account { name: name.to_owned(), b: Some("+4930123456".to_owned()) };
    store.add_did(&did("+12065550100", to_missed())).await.unwrap();
    store.add_did(&did("+12065550101", to("alice"))).await.unwrap();
    for (number, behind) in [("+12065550100", to_missed()), ("+12065550100", to("bob")), ("+12065550101", to_missed())]
    {
        assert!(matches!(store.add_did(&did(number, behind)).await, Err(StoreError::Conflict(_))), "{number}");
    }
    let nowhere = [Behind::Application("none".to_owned()), to("nobody")];
    for behind in nowhere {
        assert!(matches!(store.add_did(&did("+12065550109", behind)).await, Err(StoreError::NotFound(_))));
    }
    let card = store.add_did(&did("+12065550109", Behind::Application("cards".to_owned()))).await;
    assert!(matches!(card, Err(StoreError::Invalid(_))), "a number leads to an ani-callback: {card:?}");

    assert_eq!(bench.other.did("+12065550100").await.unwrap().map(|did| did.behind), Some(to_missed()));
    assert_eq!(bench.other.did("+12065550101").await.unwrap().map(|did| did.behind), Some(to("alice")));
    assert_eq!(bench.other.dids().await.unwrap().len(), 2, "an account's own DID is there once");
    assert!(matches!(store.remove_application("missed").await, Err(StoreError::Invalid(_))), "in use");
    store.remove_did("+12065550100").await.unwrap();
    store.remove_did("+12065550101").await.unwrap();
    let plain = Behind::Account { name: "alice".to_owned(), b: None };
    assert_eq!(store.did("+12065550101").await.unwrap().map(|did| did.behind), Some(plain), "still the account's own");
    assert_eq!(store.did("+12065550100").await.unwrap(), None);
    store.set_options("missed", &Default::default()).await.unwrap();
    assert_eq!(store.applications().await.unwrap().iter().map(|app| app.options.len()).collect::<Vec<_>>(), [1, 0]);
    store.remove_application("missed").await.unwrap();
    assert!(matches!(store.remove_application("missed").await, Err(StoreError::NotFound(_))));
}

pub(super) async fn who_is_being_called_is_on_the_line_until_it_is_over(bench: Bench) {
    let me = bench.engine("e").await;
    bench.account("alice", 10_000_000).await;
    let job = job(1, "alice");
    let (a, b) = (job.a.as_str().to_owned(), job.b.as_ref().map(|b| b.as_str().to_owned()).unwrap());
    let call = bench.running(&me, &job).await;
    assert!(!bench.other.on_the_line(&a).await.unwrap(), "taken, and not called yet");
    let initiated = RequestChange { status: Some("First leg initiated".to_owned()), ..RequestChange::default() };
    let step = Step { request: initiated, ..call.holding(1) };
    bench.store.writer().step(step).await.unwrap();
    assert!(bench.other.on_the_line(&a).await.unwrap() && bench.other.on_the_line(&b).await.unwrap());
    assert!(!bench.other.on_the_line("+4930999999").await.unwrap());
    bench.outsider("UPDATE callback_requests SET finished = TRUE, status = 'Finished'").await;
    assert!(!bench.other.on_the_line(&a).await.unwrap());
}

pub(super) async fn what_an_application_was_told_stands_in_sippys_columns(bench: Bench) {
    let me = bench.engine("e").await;
    bench.account("alice", 0).await;
    let session = crate::terms::Session {
        cli: crate::terms::Cli::read("801").unwrap(),
        cld: "callingcard_en_th".to_owned(),
        application: "callingcard".to_owned(),
        anon_acct_enabled: false,
        default_user_used: true,
        real_account: None,
    };
    let cli_a = crate::terms::Cli::read("+12065550100").ok();
    let terms = crate::terms::Terms { session: Some(session), cli_a, ..Default::default() };
    let told = Job { terms, ..job(1, "alice") };
    bench.running(&me, &told).await;
    bench.running(&me, &job(2, "alice")).await;
    let count =
        "SELECT count(*) FROM callback_requests WHERE original_cld = 'callingcard_en_th' AND NOT anon_acct_enabled
                    AND original_set_cli = '+12065550100' AND default_user_used";
    assert_eq!(bench.number(count).await, 1);
    let others = "SELECT count(*) FROM callback_requests WHERE original_cld IS NULL AND original_set_cli IS NULL
                     AND anon_acct_enabled AND NOT default_user_used";
    assert_eq!(bench.number(others).await, 1);
}
