use serde_json::json;

use super::*;

fn asked() -> Picture {
    let number = |text| Number::e164(text).unwrap();
    Picture::requested("j", &number("+442071838750"), Some(&number("+4930123456")))
}

fn news(kind: &str, seq: u64, mut data: Value) -> Value {
    data["job"] = json!("j");
    data["seq"] = json!(seq);
    json!({"type": format!("ringback.{kind}.v1"), "data": data})
}

fn over(result: &str) -> Value {
    json!({"source": "web", "account": "demo", "status": "Finished", "result": result, "a": "+442071838750",
           "talk_seconds": 65, "cost": 21_667, "currency": "USD"})
}

#[test]
fn a_callback_fills_the_line_from_the_left() {
    let mut picture = asked();
    let mut seen = vec![(picture.tone(), picture.filled())];
    for (i, event) in
        ["request.calling_a", "leg.ringing", "leg.answered", "request.calling_b", "request.talking"].iter().enumerate()
    {
        assert!(picture.hear(&news(event, i as u64 + 1, json!({"leg": "a"}))));
        seen.push((picture.tone(), picture.filled()));
    }
    assert!(picture.hear(&news("request.finished", 9, over("Successful"))));
    seen.push((picture.tone(), picture.filled()));
    let story =
        [("waiting", 0), ("ringing", 1), ("ringing", 1), ("talking", 2), ("ringing", 3), ("talking", 5), ("ended", 5)];
    assert_eq!(seen, story);
    assert_eq!(picture.detail(), "You talked 1 min 05 s and paid 0.02 USD.");
}

#[test]
fn old_news_changes_nothing() {
    let mut picture = asked();
    assert!(picture.hear(&news("request.talking", 5, json!({}))));
    let before = picture.clone();
    assert!(!picture.hear(&news("request.calling_a", 2, json!({}))));
    assert!(!picture.hear(&news("request.talking", 5, json!({}))));
    assert_eq!(picture, before);
}

#[test]
fn a_busy_line_is_told_in_the_words_of_its_reason() {
    let mut picture = asked();
    for (seq, event) in
        [(1, news("leg.answered", 1, json!({"leg": "a"}))), (2, news("request.calling_b", 2, json!({})))]
    {
        assert!(picture.hear(&event), "{seq}");
    }
    picture.hear(&news("leg.ended", 3, json!({"leg": "b", "sip_code": 486})));
    picture.hear(&news("leg.ended", 4, json!({"leg": "a"})));
    let mut ended = over("Second leg failed");
    ended["reason"] = json!("b_busy");
    picture.hear(&news("request.finished", 5, ended));
    assert_eq!(
        (picture.headline().as_str(), picture.sip_code, picture.tone()),
        ("Your friend's line is busy", Some(486), "failed")
    );
    assert_eq!((picture.a_phone, picture.b_phone), (Phone::Ended, Phone::Failed));
}

#[test]
fn numbers_are_grouped_as_their_country_writes_them() {
    assert_eq!(asked().a, "+44 20 7183 8750");
    assert_eq!(written(&Number::extension("100").unwrap()), "100");
}
