use super::*;

fn house() -> House {
    House {
        recipients: vec!["call".to_owned(), "phone@only.test".to_owned()],
        max_size: 100_000,
        own: Some("gateway@gw.test".to_owned()),
    }
}

fn lmtp(from: &str, to: &str) -> Envelope {
    Envelope { mail_from: Some(from.to_owned()), rcpt_to: vec![to.to_owned()] }
}

const HEAD: &str =
    "From: Alice <Alice@Example.com>\r\nTo: call@gw.test\r\nSubject: 0370728\r\nMessage-ID: <m1@example.com>\r\n";

fn unread(head: &str, envelope: &Envelope) -> Option<Unread> {
    let raw = format!("{head}\r\nhello\r\n");
    Mail::read(raw.as_bytes(), Some(envelope), &house()).err()
}

#[test]
fn only_our_recipients_are_read() {
    let ours = house();
    for address in ["call@gw.test", "CALL@other.test", "<call+x@gw.test>", "phone@only.test", "phone+y@ONLY.test"] {
        assert!(ours.is_ours(address), "{address}");
    }
    for address in ["phone@gw.test", "caller@gw.test", "call", "", "x@call", "call@"] {
        assert!(!ours.is_ours(address) || address == "call@", "{address}");
    }
    assert_eq!(unread(HEAD, &lmtp("a@example.com", "call@gw.test")), None);
    let other = lmtp("a@example.com", "bob@gw.test");
    assert_eq!(unread(HEAD, &other), Some(Ignored::OtherRecipient.into()), "the envelope decides, not To");
}

#[test]
fn a_kept_mail_tells_its_envelope_itself() {
    let read = |head: &str| Mail::read(format!("{head}\r\n").as_bytes(), None, &house()).map(|mail| mail.from.clone());
    let bob = HEAD.replace("call@gw.test", "bob@gw.test");
    assert_eq!(read(HEAD), Ok("alice@example.com".to_owned()));
    assert_eq!(read(&bob), Err(Ignored::OtherRecipient.into()));
    assert!(read(&format!("Delivered-To: box@gw.test\r\nX-Original-To: call@gw.test\r\n{bob}")).is_ok());
    assert_eq!(read(&format!("Return-Path: <>\r\n{HEAD}")), Err(Ignored::NullSender.into()));
    assert!(read(&format!("Return-Path: <alice@example.com>\r\n{HEAD}")).is_ok());
}

#[test]
fn one_person_wrote_it_or_it_is_left_alone() {
    let good = lmtp("alice@example.com", "call@gw.test");
    assert_eq!(unread(HEAD, &lmtp("", "call@gw.test")), Some(Ignored::NullSender.into()));
    for (from, ignored) in [
        ("a@b.c, d@e.f", Ignored::NotOneFrom),
        ("", Ignored::NotOneFrom),
        ("Alice", Ignored::NotOneFrom),
        ("a@localhost", Ignored::NotOneFrom),
        ("friends: a@b.c, d@e.f;", Ignored::NotOneFrom),
        ("a@b.c\r\nFrom: a@b.c", Ignored::NotOneFrom),
        ("\"a@b.c\" <a@b@c.d>", Ignored::NotOneFrom),
        ("MAILER-DAEMON@example.com", Ignored::NullSender),
        ("call@gw.test", Ignored::Loop),
        ("gateway@gw.test", Ignored::Loop),
    ] {
        let head = HEAD.replace("Alice <Alice@Example.com>", from);
        assert_eq!(unread(&head, &good), Some(ignored.into()), "{from}");
    }
    for own in ["X-Ringback-Job: x\r\n", "Auto-Submitted: auto-replied\r\n"] {
        assert!(unread(&format!("{HEAD}{own}"), &good).is_some(), "{own}");
    }
    let echo = HEAD.replace("m1@example.com", "abc.final.ringback@gw.test");
    assert_eq!(unread(&echo, &good), Some(Ignored::Loop.into()));
}

#[test]
fn what_is_too_much_has_a_name() {
    let good = lmtp("alice@example.com", "call@gw.test");
    assert_eq!(unread(&format!("{HEAD}X: {}\r\n", "y".repeat(100_000)), &good), Some(Unread::Beyond("too_large")));
    assert_eq!(unread(&format!("{HEAD}{}", "X: y\r\n".repeat(1_001)), &good), Some(Unread::Beyond("too_much_header")));
}

#[test]
fn a_repeat_is_known_by_what_its_sender_vouches_for() {
    let identity = |raw: &str, vouched: Option<&Vouched>| {
        let good = lmtp("alice@example.com", "call@gw.test");
        Mail::read(raw.as_bytes(), Some(&good), &house()).unwrap().identity(vouched)
    };
    let mail = format!("{HEAD}\r\nhello\r\n");
    let renamed = mail.replace("m1@", "m2@");
    let covered = Vouched { unique: None };
    let open = Vouched { unique: Some("abc".to_owned()) };
    assert_eq!(identity(&mail, None), identity(&mail, Some(&covered)));
    assert_ne!(identity(&mail, None), identity(&renamed, None));
    assert_eq!(identity(&mail, Some(&open)), identity(&renamed, Some(&open)), "a new name does not make a new mail");
    assert_ne!(identity(&mail, None), identity(&mail.replace("hello", "hallo"), None));
}

#[test]
fn an_answer_refers_to_the_newest_mails() {
    let many: String = (0..100).map(|n| format!(" <r{n}@example.com>\r\n")).collect();
    let raw = format!("{HEAD}References:{many}\r\n");
    let mail = Mail::read(raw.as_bytes(), None, &house()).unwrap();
    let references = mail.references(60);
    assert_eq!(references, ["r98@example.com", "r99@example.com", "m1@example.com"]);
    let nasty = HEAD.replace("<m1@example.com>", "<a b@c>\r\n");
    let raw = format!("{nasty}\r\n");
    let mail = Mail::read(raw.as_bytes(), None, &house()).unwrap();
    assert!(mail.own_id().is_none_or(|id| !id.contains(' ')));
}
