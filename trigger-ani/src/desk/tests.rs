//! The desk, with a real store.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use ringback_common::guard::Block;
use ringback_common::intake::{Party, Payer, Reason};

use crate::desk::Judged;
use crate::testsite::{OWNER, PERSONAL, TestSite};

#[tokio::test]
async fn at_a_personal_number_only_the_owner_is_told_of_the_owners_account() {
    let site = TestSite::open().await;
    for (from, told) in
        [(OWNER, Some((OWNER, "owner"))), ("+447700900222", None), ("+447700900999", None), ("anonymous", None)]
    {
        let plan = site.plan(from, PERSONAL).await;
        assert!(plan.wish.payer == Payer::account("owner"), "{from}");
        assert_eq!(plan.known.as_ref().map(|(number, account)| (number.as_str(), account.as_str())), told, "{from}");
    }
}

#[tokio::test]
async fn a_job_is_as_old_as_the_call_however_late_it_is_asked_for() {
    let site = TestSite::open().await;
    let over = Utc::now() - TimeDelta::minutes(5);
    let wish = site.plan(OWNER, PERSONAL).await.wish_at(over, Duration::from_secs(1));
    assert_eq!((wish.received, wish.not_before), (Some(over), Some(over + TimeDelta::seconds(1))));
}

#[tokio::test]
async fn an_application_that_is_rung_by_its_name_is_called_by_it_unless_it_has_a_string_of_its_own() {
    let site = TestSite::open().await;
    site.calling_card("callingcard_en_th", None, &[]).await;
    site.calling_card("callingcard_de", Some("callingcard_de_at"), &[]).await;
    for (rung, cld) in [
        ("ani_callingcard_en_th", "callingcard_en_th"),
        ("ani_noanonacct_callingcard_en_th", "callingcard_en_th"),
        ("ani_callingcard_de", "callingcard_de_at"),
        ("ani_callingcard_fr", "callingcard_fr"),
    ] {
        let session = site.plan(OWNER, rung).await.wish.terms.session.unwrap();
        assert_eq!(session.cld, cld, "{rung}");
    }
}

#[tokio::test]
async fn a_premium_number_is_not_called_on_the_default_accounts_money_either() {
    let site = TestSite::open().await;
    site.calling_card("card", None, &[("Default Account Username", "owner")]).await;
    let examined = async |from: &str| {
        let wish = site.plan(from, "ani_card").await.wish;
        assert!(wish.payer == Payer::account("owner"), "{from}");
        site.intake.checks().examine(&wish).await.unwrap().map(|approved| approved.account.name)
    };
    assert_eq!(examined("+447700900999").await, Ok("owner".to_owned()), "a stranger is");
    assert_eq!(examined("+19005551234").await, Err(Reason::Blocked(Party::A, Block::HardBlocked)));
}

/// What a call comes to: the CLD of its session, or the code and the reason.
async fn outcome(site: &TestSite, from: &str, to: &str, cld_form: bool) -> String {
    match site.judged(from, to, cld_form).await {
        Judged::Callback(plan) => plan.wish.terms.session.map_or_else(String::new, |session| session.cld),
        Judged::Refused(refusal) => format!("{} {}", refusal.code, refusal.reason),
    }
}

#[tokio::test]
async fn a_cld_of_the_form_counts_only_where_a_translation_rule_writes_it() {
    let site = TestSite::open().await;
    site.calling_card("card", None, &[]).await;
    for (called, by_rule) in [
        ("ani_card", "card"),
        ("ani_noanonacct_card", "card"),
        ("ani_callingcard_en_th", "callingcard_en_th"),
        ("ani_2waycallback_442071838750", "2waycallback_442071838750"),
        ("ani_voicemail_en", "404 unknown_application"),
        (PERSONAL, PERSONAL),
        ("+12065550198", "404 unknown_did"),
    ] {
        assert_eq!(outcome(&site, OWNER, called, true).await, by_rule, "{called}");
        let elsewhere = if called.starts_with("ani_") { "404 unknown_did" } else { by_rule };
        assert_eq!(outcome(&site, OWNER, called, false).await, elsewhere, "{called}");
    }
}

#[tokio::test]
async fn no_default_account_pays_for_a_call_to_whatever_number_was_dialled() {
    let mut site = TestSite::open().await;
    site.config.options.default_account_username = "other".to_owned();
    site.config.options.minimum_balance = "5.00".to_owned();
    let (free, stranger) = ("ani_2waycallback_442071838750", "+447700900999");
    assert_eq!(
        outcome(&site, stranger, "ani_callingcard_en", true).await,
        "callingcard_en",
        "a stranger's card is paid"
    );
    assert_eq!(outcome(&site, stranger, free, true).await, "603 not_their_own_account");
    assert_eq!(outcome(&site, OWNER, free, true).await, "2waycallback_442071838750");
    site.config.options.force_default_account = true;
    assert_eq!(outcome(&site, OWNER, free, true).await, "603 not_their_own_account");
    site.config.options.disable_cli_authentication = true;
    assert_eq!(outcome(&site, OWNER, free, true).await, "603 not_their_own_account");
}
