//! The desk, with a real store.

use ringback_common::intake::Payer;

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
