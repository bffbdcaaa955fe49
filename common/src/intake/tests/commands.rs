//! What senders order: registering numbers, calling again, ending calls, being left in peace.

use super::*;

async fn numbers_of(door: &Door, name: &str) -> Vec<String> {
    door.store.account_by_name(name).await.unwrap().unwrap().numbers
}

#[tokio::test]
async fn a_number_registers_itself_with_name_and_secret_or_a_long_secret_alone() {
    let door = Door::open().await;
    with_dids(&door).await;
    let register = async |sender: &str, user: Option<&str>, secret: &str| {
        door.intake.register("sms", sender, user, secret).await.unwrap().map(|account| account.name)
    };
    assert_eq!(register(STRANGER, Some("Alice"), "pass").await, Ok("alice".to_owned()));
    assert_eq!(numbers_of(&door, "alice").await, [SENDER, STRANGER]);
    assert_eq!(register(STRANGER, Some("alice"), "pass").await, Ok("alice".to_owned()), "twice is once");
    assert_eq!(register(STRANGER, Some("bob"), "pass").await, Err(Reason::NumberTaken));
    for (user, secret) in
        [(Some("alice"), "wrong"), (Some("nobody"), "pass"), (Some("dave"), ""), (None, "wrong but long")]
    {
        assert_eq!(register("+447911999998", user, secret).await, Err(Reason::BadSecretOrUser), "{user:?} {secret}");
    }
    assert_eq!(register(STRANGER, None, "pass").await, Err(Reason::SecretTooShort));
    assert_eq!(register("MYBANK", None, "long enough").await, Err(Reason::SenderNotANumber));
    assert_eq!(
        register("+447911999997", None, "long enough").await,
        Err(Reason::BadSecretOrUser),
        "carol has it, and erin"
    );
    let own = TriggerSecret::read("only carols").unwrap();
    let id = door.store.account_by_name("carol").await.unwrap().unwrap().id;
    let sealed = Some(seal_secret(&SiteKey::from_bytes([7; 32]), id, &own));
    door.change("carol", AccountChange { trigger_secret: sealed, ..AccountChange::default() }).await;
    assert_eq!(register("+447911999997", None, "only carols").await, Ok("carol".to_owned()));
    door.change("carol", AccountChange { enabled: Some(false), ..AccountChange::default() }).await;
    assert_eq!(register("+447911999996", Some("carol"), "only carols").await, Err(Reason::AccountDisabled));
    assert_eq!(numbers_of(&door, "carol").await.len(), 3);
}

#[tokio::test]
async fn wrong_registrations_lock_a_sender_out_like_wrong_texts() {
    let door = Door::open().await;
    for _ in 0..5 {
        let answer = door.intake.register("sms", SENDER, Some("alice"), "guess").await.unwrap();
        assert_eq!(answer.err(), Some(Reason::BadSecretOrUser));
    }
    let right = door.intake.register("sms", SENDER, Some("alice"), "pass").await.unwrap();
    assert_eq!(right.err(), Some(Reason::BadSecretOrUser));
    assert_eq!(door.refusal(good("m1")).await, Reason::BadSecretOrUser);
}

#[tokio::test]
async fn secrets_without_a_name_are_guessed_by_the_whole_site_only_so_often() {
    let door = Door::open().await;
    with_dids(&door).await;
    let own = TriggerSecret::read("only carols").unwrap();
    let id = door.store.account_by_name("carol").await.unwrap().unwrap().id;
    let sealed = Some(seal_secret(&SiteKey::from_bytes([7; 32]), id, &own));
    door.change("carol", AccountChange { trigger_secret: sealed, ..AccountChange::default() }).await;
    for n in 0..50 {
        let guess = door.intake.register("sms", &format!("+44791190{n:04}"), None, "a guess of mine").await.unwrap();
        assert_eq!(guess.err(), Some(Reason::BadSecretOrUser));
    }
    let another = door.intake.register("sms", STRANGER, None, "only carols").await.unwrap();
    assert_eq!(another.err(), Some(Reason::BadSecretOrUser), "fifty senders have tried all accounts");
    let named = door.intake.register("sms", STRANGER, Some("carol"), "only carols").await.unwrap();
    assert!(named.is_ok(), "with a name it is tried against one account, and stays possible");
}

#[tokio::test]
async fn an_account_has_so_many_numbers_and_no_more() {
    let door = Door::open().await;
    for n in 1..MOST_NUMBERS {
        let sender = format!("+4479119{n:05}");
        assert!(door.intake.register("sms", &sender, Some("alice"), "pass").await.unwrap().is_ok(), "{n}");
    }
    let one_more = door.intake.register("sms", STRANGER, Some("alice"), "pass").await.unwrap();
    assert_eq!(one_more.err(), Some(Reason::TooManyNumbers));
}

#[tokio::test]
async fn redial_is_the_senders_last_callback_once_more() {
    let door = Door::open().await;
    with_dids(&door).await;
    assert_eq!(door.refusal(carols("r0", Ask::Redial)).await, Reason::NothingToRepeat);
    door.intake.submit(carols("m1", Ask::call_to("+442071838750"))).await;
    let first = taken(&door).await.remove(0);
    assert_eq!(door.refusal(carols("r1", Ask::Redial)).await, Reason::AlreadyCalling);
    let other = Wish { sender: "+4479110000119".to_owned(), ..carols("r2", Ask::Redial) };
    assert_eq!(door.refusal(other).await, Reason::NothingToRepeat, "somebody else's callback");
    door.store.cancel(&first.id).await.unwrap();
    let redial = door.intake.submit(carols("r3", Ask::Redial)).await;
    let Verdict::Accepted { .. } = redial else { panic!("{redial:?}") };
    let again = taken(&door).await.remove(0);
    assert_eq!((again.a, again.b), (first.a, first.b));
}

#[tokio::test]
async fn cancel_ends_what_this_sender_asked_for_even_on_its_way() {
    let door = Door::open().await;
    with_dids(&door).await;
    door.intake.submit(carols("m1", Ask::call_to("+442071838750"))).await;
    let stored = taken(&door).await.remove(0);
    door.intake.submit(carols("m2", Ask::call_to("+442071838751"))).await;
    let bystander = Wish { sender: "+4479110000119".to_owned(), ..carols("m3", Ask::call_to("+442071838752")) };
    door.intake.submit(bystander).await;
    assert_eq!(door.intake.cancel_calls("sms", CAROL, &Payer::sender()).await.unwrap(), Ok(2));
    assert_eq!(
        door.intake.cancel_calls("sms", STRANGER, &Payer::sender()).await.unwrap(),
        Err(Reason::SenderNotRegistered)
    );
    let late = taken(&door).await;
    let cancelled = async |job: &Job| door.store.find(&job.id).await.unwrap().unwrap().canceled;
    assert!(cancelled(&stored).await);
    for job in late {
        assert_eq!(cancelled(&job).await, job.sender.as_deref() == Some(CAROL), "{:?}", job.id);
    }
    assert_eq!(door.intake.cancel_calls("sms", CAROL, &Payer::sender()).await.unwrap(), Ok(0));
}

#[tokio::test]
async fn a_stopped_number_is_not_called_until_it_is_started() {
    let door = Door::open().await;
    with_dids(&door).await;
    let refused = |party| Reason::Blocked(party, Block::DoNotCall);
    door.intake.stop("sms", CAROL).await.unwrap().unwrap();
    assert_eq!(door.refusal(carols("m1", Ask::call_to("+442071838750"))).await, refused(Party::A));
    let to_carol = Wish { ask: Ask::call("004412345678", CAROL), ..good("m2") };
    assert_eq!(door.refusal(to_carol.clone()).await, refused(Party::B));
    assert!(
        matches!(door.intake.submit(carols("q", Ask::Balance)).await, Verdict::Accepted { .. }),
        "questions ring nobody"
    );
    assert_eq!(door.intake.start("sms", CAROL).await.unwrap(), Ok(true));
    assert!(matches!(door.intake.submit(to_carol).await, Verdict::Accepted { .. }));
    door.store.do_not_call(CAROL, crate::store::PutBy::Operator, None).await.unwrap();
    assert_eq!(door.intake.start("sms", CAROL).await.unwrap(), Ok(false), "only the operator lifts that");
    assert_eq!(door.intake.stop("sms", "MYBANK").await.unwrap(), Err(Reason::SenderNotANumber));
}
