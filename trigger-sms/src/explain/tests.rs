//! What the operator is shown.

use std::path::Path;

use ringback_common::config::{Config, ShortCodeConfig};
use ringback_common::intake::Rules;
use ringback_common::secret::{SiteKey, TriggerSecret, seal_secret};
use ringback_common::store::{AccountChange, NewAccount, Store, StoreConfig};
use tempfile::TempDir;

use super::*;

const SENDER: &str = "+447911123456";

async fn explainer() -> (Explainer, TempDir) {
    explaining(&[]).await
}

async fn explaining(codes: &[ShortCodeConfig]) -> (Explainer, TempDir) {
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
    let checks = Checks::new(store, site_key, Rules::from(&Config::defaults(Path::new("."))));
    (Explainer::new(checks, codes).unwrap(), folder)
}

#[tokio::test]
async fn a_text_is_explained_with_the_numbers_and_the_rules_that_won() {
    let (explainer, _folder) = explainer().await;
    let text = r#"alice "p@ss "1"" 020 7183 8750 0044 98765432"#;
    let explained = serde_json::to_value(explainer.one("447911123456", "", text).await.unwrap()).unwrap();
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
    let (explainer, _folder) = explainer().await;
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
        let explained = explainer.one(from, "", text).await.unwrap();
        assert_eq!((explained.outcome, explained.reason.as_deref()), (outcome, Some(reason)), "{text}");
        assert_eq!(explained.message.is_some(), outcome == "reject");
    }
    let blocked = explainer.one(SENDER, "", r#"alice "p@ss "1"" 004412345678 18765551234"#).await.unwrap();
    assert_eq!((blocked.a.as_deref(), blocked.b.as_deref()), (Some("+4412345678"), Some("+18765551234")));
}

#[tokio::test]
async fn a_batch_answers_each_line_with_its_id() {
    let (mut explainer, _folder) = explainer().await;
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
        let answer: Value = serde_json::from_str(&explainer.batch_line(&line).await.unwrap()).unwrap();
        assert_eq!((&answer["id"], &answer["outcome"], &answer["reason"]), (&id, &json!(outcome), &reason), "{line}");
    }
}

#[tokio::test]
async fn what_stands_in_no_text_is_found_in_the_account() {
    let code = |number: &str, forms: &[&str]| ShortCodeConfig {
        number: number.to_owned(),
        forms: forms.iter().map(|form| (*form).to_owned()).collect(),
        keyword: None,
    };
    let (explainer, _folder) = explaining(&[code("777", &["gtl", "commands"]), code("778", &["uwt"])]).await;
    for (to, text, outcome, a, b, reason) in [
        ("777", "", "job", Some(SENDER), None, None),
        ("777", "0044 98765432", "reject", None, None, Some("not_understood")),
        ("777", "004498765432", "job", Some(SENDER), Some("+4498765432"), None),
        ("777", "447911123456 004498765432", "job", Some(SENDER), Some("+4498765432"), None),
        ("777", "004412345678 004498765432", "reject", Some("+4412345678"), Some("+4498765432"), Some("pin_needed")),
        ("777", "112", "reject", None, None, Some("never_dial")),
        ("777", "bal", "job", None, None, None),
        ("777", "rate 004498765432", "job", None, Some("+4498765432"), None),
        ("777", "re", "reject", None, None, Some("nothing_to_repeat")),
        ("777", "STOP", "ignore", None, None, Some("stop")),
        ("777", "help", "ignore", None, None, Some("help")),
        ("777", "reg 12345678", "ignore", None, None, Some("register")),
        ("778", "1123456#004498765432", "job", Some(SENDER), Some("+4498765432"), None),
        ("778", "1123457#004498765432", "reject", None, Some("+4498765432"), Some("not_your_account")),
        ("779", "004498765432", "reject", None, None, Some("too_few_words")),
        (SENDER, "bal", "ignore", None, None, Some("own_number")),
        ("777", "No callback: this number is not registered here.", "ignore", None, None, Some("own_answer")),
    ] {
        let found = explainer.one(SENDER, to, text).await.unwrap();
        let shown = (found.outcome, found.a.as_deref(), found.b.as_deref(), found.reason.as_deref());
        assert_eq!(shown, (outcome, a, b, reason), "{to}: {text}");
    }
    let refused = explainer.one("+34911234567", "777", "004498765432").await.unwrap();
    assert_eq!(
        refused.message.as_deref(),
        Some("Sin llamada: este numero no esta registrado aqui. Envie: otro-numero. Ejemplo: +4915112345678"),
        "in the language of the sender's country"
    );
}

#[tokio::test]
async fn parts_of_a_batch_are_joined_in_any_order() {
    let (mut explainer, _folder) = explainer().await;
    let wide = |text: &str| text.encode_utf16().map(|unit| format!("{unit:04x}")).collect::<String>();
    let parts = ["alice \"p@ss ", "\"1\"\" 004412345678 ", "004498765432"];
    for (line, number) in [3, 1, 2].into_iter().enumerate() {
        let part = json!({
            "id": number, "sender": SENDER, "to": "777", "raw_hex": wide(parts[number - 1]), "data_coding": 8,
            "udh_hex": format!("05 00 03 2a 03 0{number}"),
        });
        let answer: Value = serde_json::from_str(&explainer.batch_line(&part.to_string()).await.unwrap()).unwrap();
        let last = line == 2;
        assert_eq!(answer["outcome"], if last { "job" } else { "ignore" }, "{answer}");
        assert_eq!(answer["reason"], if last { Value::Null } else { json!("part") });
    }
    for (line, reason) in [
        (json!({ "sender": SENDER, "raw_hex": "41", "udh_hex": "0500" }), "bad_header"),
        (json!({ "sender": SENDER, "raw_hex": "41", "udh_hex": "zz" }), "bad_udh_hex"),
        (json!({ "sender": SENDER, "raw_hex": "41", "udh_hex": "0500032aff01" }), "too_long"),
        (json!({ "sender": SENDER, "raw_hex": "1b69", "udh_hex": "03240101" }), "too_few_words"),
        (json!({ "sender": SENDER, "raw_hex": "42", "packed": true }), "too_few_words"),
    ] {
        let answer: Value = serde_json::from_str(&explainer.batch_line(&line.to_string()).await.unwrap()).unwrap();
        assert_eq!((&answer["outcome"], &answer["reason"]), (&json!("reject"), &json!(reason)), "{line}");
    }
}
