//! What the operator is shown.

use std::path::Path;

use ringback_common::config::Config;
use ringback_common::intake::Rules;
use ringback_common::secret::{SiteKey, TriggerSecret, seal_secret};
use ringback_common::store::{AccountChange, NewAccount, Store, StoreConfig};
use tempfile::TempDir;

use super::*;

const SENDER: &str = "+447911123456";

async fn checks() -> (Checks, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::new(format!("sqlite://{}/r.db", folder.path().display()))).await.unwrap();
    let site_key = SiteKey::from_bytes([9; 32]);
    let new = NewAccount {
        name: "alice".to_owned(),
        currency: "USD".to_owned(),
        balance: "1.00".parse().unwrap(),
        numbers: vec![SENDER.to_owned()],
        ..NewAccount::default()
    };
    let account = store.add_account(&new).await.unwrap();
    let trigger_secret = Some(seal_secret(&site_key, account.id, &TriggerSecret::read("p@ss \"1\"").unwrap()));
    store.update_account("alice", &AccountChange { trigger_secret, ..AccountChange::default() }).await.unwrap();
    (Checks::new(store, site_key, Rules::from(&Config::defaults(Path::new(".")))), folder)
}

#[tokio::test]
async fn a_text_is_explained_with_the_numbers_and_the_rules_that_won() {
    let (checks, _folder) = checks().await;
    let text = r#"alice "p@ss "1"" 020 7183 8750 0044 98765432"#;
    let explained = serde_json::to_value(one(&checks, "447911123456", text).await.unwrap()).unwrap();
    assert_eq!(
        explained,
        json!({
            "outcome": "job", "a": "+442071838750", "b": "+4498765432", "reason": null, "message": null,
            "a_rule": "national", "b_rule": "international_prefix",
        })
    );
}

#[tokio::test]
async fn what_leads_to_no_job_is_named() {
    let (checks, _folder) = checks().await;
    for (from, text, outcome, reason) in [
        ("InfoSMS", "hello", "ignore", "sender_is_no_number"),
        (SENDER, " ", "ignore", "empty_text"),
        (SENDER, "hello", "reject", "too_few_words"),
        (SENDER, "alice wrong 004412345678 004498765432", "reject", "bad_secret_or_user"),
        ("+447911000000", "alice wrong 004412345678 004498765432", "reject", "sender_not_registered"),
        (SENDER, r#"alice "p@ss "1"" 004412345678 112"#, "reject", "never_dial"),
        (SENDER, r#"alice "p@ss "1"" +19005551234 004498765432"#, "reject", "hard_block_prefixes"),
        (SENDER, r#"alice "p@ss "1"" +12423651234 004498765432"#, "reject", "nanp_caribbean_review"),
    ] {
        let explained = one(&checks, from, text).await.unwrap();
        assert_eq!((explained.outcome, explained.reason.as_deref()), (outcome, Some(reason)), "{text}");
        assert_eq!(explained.message.is_some(), outcome == "reject");
    }
    let blocked = one(&checks, SENDER, r#"alice "p@ss "1"" 004412345678 18765551234"#).await.unwrap();
    assert_eq!((blocked.a.as_deref(), blocked.b.as_deref()), (Some("+4412345678"), Some("+18765551234")));
}

#[tokio::test]
async fn a_batch_answers_each_line_with_its_id() {
    let (checks, _folder) = checks().await;
    let text = "alice \"p@ss \"1\"\" 004412345678 004498765432";
    let septets: String = text.replace('@', "\0").bytes().map(|byte| format!("{byte:02x}")).collect();
    let wide: String = text.encode_utf16().map(|unit| format!("{unit:04x}")).collect();
    for (line, id, outcome, reason) in [
        (json!({ "id": 7, "sender": SENDER, "text": text }).to_string(), json!(7), "job", Value::Null),
        (
            json!({ "id": "g", "sender": SENDER, "raw_hex": septets, "data_coding": 0 }).to_string(),
            json!("g"),
            "job",
            Value::Null,
        ),
        (
            json!({ "id": "u", "sender": SENDER, "raw_hex": wide, "data_coding": 8 }).to_string(),
            json!("u"),
            "job",
            Value::Null,
        ),
        (
            json!({ "id": "x", "sender": SENDER, "raw_hex": "0", "data_coding": 8 }).to_string(),
            json!("x"),
            "reject",
            json!("bad_raw_hex"),
        ),
        (json!({ "id": "n", "sender": SENDER }).to_string(), json!("n"), "reject", json!("malformed")),
        (json!({ "id": "s", "text": text }).to_string(), json!("s"), "reject", json!("malformed")),
        ("{".to_owned(), Value::Null, "reject", json!("malformed")),
    ] {
        let answer: Value = serde_json::from_str(&batch_line(&checks, &line).await.unwrap()).unwrap();
        assert_eq!((&answer["id"], &answer["outcome"], &answer["reason"]), (&id, &json!(outcome), &reason), "{line}");
    }
}
