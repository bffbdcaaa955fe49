use super::*;

fn house() -> House {
    House {
        recipients: vec!["call".to_owned(), "phone@only.test".to_owned()],
        max_size: 100_000,
        own: Some("gateway@gw.test".to_owned()),
        domain: Some("gw.test".to_owned()),
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
fn only_what_our_server_wrote_says_how_a_mail_came() {
    let received = "Received: from x by mx.gw.test; Fri, 27 Nov 2026 10:00:00 +0000\r\n";
    let bob = HEAD.replace("call@gw.test", "bob@gw.test");
    let forged = format!("{received}Delivered-To: call@gw.test\r\nX-Original-To: call@gw.test\r\n{bob}");
    let read = |head: &str| Mail::read(format!("{head}\r\n").as_bytes(), None, &house()).map(|mail| mail.meant.by_to);
    assert_eq!(read(&forged), Err(Ignored::OtherRecipient.into()));
    assert_eq!(
        read(&format!("Delivered-To: <call@gw.test>\r\n{forged}")),
        Ok(false),
        "it came, but was not written to us"
    );
    let of_kept = |head: &str| Envelope::of_kept(&Fields::read(format!("{head}\r\n").as_bytes())).mail_from;
    let path = "Return-Path: <alice@example.com>\r\n";
    assert_eq!(of_kept(&format!("{path}{received}")).as_deref(), Some("alice@example.com"));
    assert_eq!(of_kept(&format!("{received}{path}")), None);
    assert_eq!(
        of_kept(&format!("{received}Return-Path: <>\r\n")).as_deref(),
        Some(""),
        "who says it is a bounce, is one"
    );
}

#[test]
fn whoever_keeps_the_mail_says_whom_it_came_for() {
    let bob = HEAD.replace("call@gw.test", "bob@gw.test");
    let received = "Received: from x by mx.gw.test; Fri, 27 Nov 2026 10:00:00 +0000\r\n";
    let meant = |head: &str| Mail::read(format!("{head}\r\n").as_bytes(), None, &house()).map(|mail| mail.meant);
    for field in ["Delivered-To", "X-Original-To", "Envelope-to", "X-Delivered-To"] {
        let kept = meant(&format!("{field}: call@gw.test\r\n{received}{bob}"));
        assert_eq!(kept, Ok(Meant { by_to: false, by_envelope: true }), "{field}");
        let sent = meant(&format!("{received}{field}: call@gw.test\r\n{HEAD}"));
        assert_eq!(sent, Ok(Meant { by_to: true, by_envelope: false }), "{field} below Received is the sender's");
    }
}

#[test]
fn a_mail_to_another_call_was_not_written_to_us() {
    let other = HEAD.replace("call@gw.test", "call@other-provider.example");
    let to_us = |head: &str, envelope: Option<&Envelope>| {
        Mail::read(format!("{head}\r\n").as_bytes(), envelope, &house()).map(|mail| mail.meant.by_to)
    };
    let ours = lmtp("alice@example.com", "call@gw.test");
    assert_eq!(to_us(HEAD, Some(&ours)), Ok(true));
    assert_eq!(to_us(&HEAD.replace("call@gw", "Call+x@GW"), Some(&ours)), Ok(true));
    assert_eq!(to_us(&other, Some(&ours)), Ok(false), "handed on to us by whoever got it");
    assert_eq!(to_us(&other, Some(&lmtp("alice@example.com", "call@other-provider.example"))), Ok(true));
    let listed = HEAD.replace("call@gw.test", "phone@only.test");
    assert_eq!(to_us(&listed, Some(&ours)), Ok(true), "a whole address needs nothing else");
    assert_eq!(to_us(&other, None), Err(Ignored::OtherRecipient.into()));
    assert_eq!(to_us(HEAD, None), Ok(true), "the mailbox is at that domain");
    assert_eq!(to_us(&format!("Delivered-To: box@other-provider.example\r\n{other}"), None), Ok(true));
}

#[test]
fn who_is_called_call_elsewhere_is_no_loop() {
    let good = lmtp("x@example.com", "call+tag@gw.test");
    let from = |address: &str| unread(&HEAD.replace("Alice@Example.com", address), &good);
    assert_eq!(from("call@bobs-firm.example"), None);
    for own in ["call@gw.test", "CALL+x@gw.test", "phone@only.test", "gateway@gw.test"] {
        assert_eq!(from(own), Some(Ignored::Loop.into()), "{own}");
    }
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
    let many = format!("{HEAD}{}", "X: y\r\n".repeat(1_001));
    assert_eq!(unread(&many, &good), Some(Unread::Beyond("too_much_header")));
    for beyond in [many, format!("{HEAD}X: {}\r\n", "y".repeat(100_000))] {
        let bobs = beyond.replace("call@gw.test", "bob@gw.test");
        assert_eq!(unread(&bobs, &lmtp("alice@example.com", "bob@gw.test")), Some(Ignored::OtherRecipient.into()));
        assert_eq!(Mail::read(bobs.as_bytes(), None, &house()).err(), Some(Ignored::OtherRecipient.into()));
        assert!(is_for_us(beyond.as_bytes(), &house()) && !is_for_us(bobs.as_bytes(), &house()));
    }
}

const DATE: &str = "Date: Fri, 27 Nov 2026 10:00:00 +0000\r\n";

/// A mail whose provider signs these fields; whether the signature holds is not asked here.
fn signed(fields: &str, rest: &str) -> String {
    let tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1; bh=x; b=abc";
    format!("DKIM-Signature: {tags}; h={fields}{rest}\r\n{HEAD}{DATE}\r\nhello  there\r\nBob\r\n")
}

fn identity(raw: &str) -> String {
    let good = lmtp("alice@example.com", "call@gw.test");
    Mail::read(raw.as_bytes(), Some(&good), &house()).unwrap().identity()
}

#[test]
fn a_signed_mail_stays_itself_whatever_can_be_changed_about_it() {
    for mail in [signed("from:to:subject:date", ""), signed("from:to:subject", "; t=1795000000")] {
        let first = identity(&mail);
        for (changed, what) in [
            (format!("{mail}\r\n\r\n"), "empty lines behind it"),
            (mail.replace("hello  there", "hello there \t"), "white space in the body"),
            (mail.replace("Subject: 0370728", "SUBJECT:\r\n\t0370728 "), "a folded field"),
            (mail.replace("<m1@", "<m2@"), "another Message-ID"),
            (format!("Message-ID: <m3@example.com>\r\n{mail}"), "one more Message-ID"),
            (mail.replace("To: call@gw.test", "To: undisclosed@example.com"), "a To that may be left open"),
            (format!("X-Spam: no\r\nReceived: x\r\n{mail}"), "what servers add"),
            (mail.replace("b=abc", "b=ab c"), "a folded signature"),
        ] {
            assert_eq!(identity(&changed), first, "{what}");
        }
        for (other, what) in [
            (mail.replace("hello", "hallo"), "the body"),
            (mail.replace("0370728", "0370729"), "the subject"),
            (mail.replace("hello  there\r\nBob", "hello  thereBob"), "words that are one word"),
        ] {
            assert_ne!(identity(&other), first, "{what}");
        }
    }
    let (dated, timed) = (signed("from:to:subject:date", ""), signed("from:to:subject", "; t=1795000000"));
    assert_ne!(identity(&dated.replace("10:00:00", "10:00:01")), identity(&dated), "the same words, a second later");
    assert_ne!(identity(&timed.replace("t=1795000000", "t=1795000001")), identity(&timed));
    assert_eq!(identity(&timed.replace("10:00:00", "10:00:01")), identity(&timed), "a Date that nobody signed");
}

#[test]
fn an_unsigned_mail_is_known_by_its_id_too() {
    let mail = format!("{HEAD}{DATE}\r\nhello\r\n");
    assert_eq!(identity(&mail), identity(&mail.replace("hello", "hello ")));
    for (from, to) in [("<m1@", "<m2@"), ("10:00:00", "10:00:01"), ("hello", "hallo"), ("0370728", "0370729")] {
        assert_ne!(identity(&mail), identity(&mail.replace(from, to)), "{from} -> {to}");
    }
}

#[test]
fn a_mail_is_as_old_as_its_signature_says() {
    let written = |raw: &str| {
        let good = lmtp("alice@example.com", "call@gw.test");
        let mail = Mail::read(raw.as_bytes(), Some(&good), &house()).unwrap();
        mail.written().map(|at| at.to_rfc3339())
    };
    let date = Some("2026-11-27T10:00:00+00:00".to_owned());
    assert_eq!(written(&signed("from:to:subject:date", "; t=1")), date);
    assert_eq!(written(&signed("from:to:subject", "; t=1")), Some("1970-01-01T00:00:01+00:00".to_owned()));
    assert_eq!(written(&format!("{HEAD}{DATE}\r\n")), date);
    assert_eq!(written(&format!("{HEAD}\r\n")), None);
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
