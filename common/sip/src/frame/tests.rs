//! The mending, seen one fault at a time.

use super::*;

const GOOD: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx\r\nFrom: <sip:c@d>;tag=1\r\n\
                    To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n";

fn with(extra: &str) -> Vec<u8> {
    format!("{GOOD}{extra}\r\n").into_bytes()
}

fn accepted(datagram: &[u8]) -> Message {
    match read(datagram) {
        Reading::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn refused(datagram: &[u8]) -> (u16, &'static str) {
    match read(datagram) {
        Reading::Refuse(refusal) => (refusal.code, refusal.what),
        other => panic!("{other:?}"),
    }
}

#[test]
fn compact_and_oddly_written_names_are_the_same_headers() {
    let text = String::from_utf8(with("")).unwrap();
    let odd = text.replace("Via:", "v :").replace("From", "f").replace("To", "tO").replace("Call-ID", "I");
    let message = accepted(format!("\r\n\r\n{odd}").as_bytes());
    assert_eq!((message.branch(), message.from_tag(), message.call_id()), ("z9hG4bKx", "1", "x"));
    assert_eq!((message.header("via"), message.header("V")), (message.get(Name::Via), message.get(Name::Via)));
    let message = accepted(&with("s: lunch\r\nREFER-to: <sip:e@f>\r\n"));
    assert_eq!((message.header("subject"), message.header("r")), (Some("lunch"), Some("<sip:e@f>")));
}

#[test]
fn a_folded_line_is_one_line() {
    let message = accepted(&with("Subject: one\r\n two\r\n\tthree\r\nContact: <sip:x@y>\r\n"));
    assert_eq!(
        message.header("subject").map(|s| s.split_whitespace().collect::<Vec<_>>()),
        Some(vec!["one", "two", "three"])
    );
    assert_eq!(message.contact().map(|contact| contact.uri), Some("sip:x@y"));
}

#[test]
fn a_latin_1_letter_spoils_neither_its_line_nor_the_later_ones() {
    let mut datagram = with("");
    let at = datagram.windows(6).position(|w| w == b"From: ").unwrap() + 6;
    datagram.splice(at..at, b"\"M\xfcller\" ".iter().copied());
    let message = accepted(&datagram);
    assert_eq!(message.from().map(|from| from.display_text()), Some("Müller".to_owned()));
    assert_eq!(message.call_id(), "x");
}

#[test]
fn a_line_that_is_no_header_is_left_out_and_the_rest_stays() {
    for bad in ["no colon here\r\n", "bad name: x\r\n", ": x\r\n", "X: a\0b\r\n", "X: a\rb\r\n"] {
        let message = accepted(&with(&format!("{bad}Subject: kept\r\n")));
        assert_eq!(message.header("subject"), Some("kept"), "{bad:?}");
        assert_eq!(message.headers().count(), 6, "{bad:?}");
    }
}

#[test]
fn the_body_is_as_long_as_it_says_or_as_the_datagram() {
    let body = |extra: &str, body: &str| {
        let mut datagram = with(extra);
        datagram.extend_from_slice(body.as_bytes());
        datagram
    };
    assert_eq!(accepted(&body("l: 2\r\n", "abc")).body().as_ref(), b"ab");
    assert_eq!(accepted(&body("", "abc")).body().as_ref(), b"abc");
    assert_eq!(refused(&body("l: 4\r\n", "abc")), (400, "Body Shorter Than Content-Length"));
    for bad in ["-1", "+1", "x", "", "1 1", "4294967296444444444444"] {
        assert_eq!(refused(&body(&format!("l: {bad}\r\n"), "abc")), (400, "Bad Content-Length"), "{bad}");
    }
}

/// What other stacks have been reported to stumble over, each line in the place of one of the good message.
#[test]
fn what_phones_and_proxies_write_is_read() {
    let good = String::from_utf8(with("")).unwrap();
    let turned = |line: &str| {
        let name = line.split(':').next().unwrap();
        let lines: Vec<&str> = good.split("\r\n").map(|old| if old.starts_with(name) { line } else { old }).collect();
        read(lines.join("\r\n").as_bytes())
    };
    for line in [
        "Via: SIP / 2.0\r\n / UDP [2001:db8::8]:6060 ;\r\n  BRanch=z9hG4bKx;rport;Param=Foo",
        "Via: SIP/2.0/UDP [2a00:1370:8131:ffdf:4398:8903:f613:58b6];branch=z9hG4bKx",
        "Via: SIP/2.0/TLS [2001:db8:56::8]:12345;received=2001:db8:56::8;rport=12345;branch=z9hG4bKx;alias",
        "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKx",
        "Via: SIP/2.0/UDP [fe80::1%eth0]:5060;branch=z9hG4bKx",
        "From: \"\" <sip:c@d>;epid=a22edc;tag=1",
        "From: \"c\\\\\" <sip:c@d>;tag=1",
        "From: <sip:#1277@10.0.0.5>;tag=1",
        "From: \"Bob\" <sips:bob:word@10.0.0.5:5060;user=phone>;tag=1",
        "From: <sip:101@019f9ae299f5>;tag=1",
        "To: <tel:+442079460123>  ",
        "To: <sip:34020000002000000719@3402000000>",
    ] {
        let Reading::Message(message) = turned(line) else { panic!("{line}: {:?}", turned(line)) };
        assert_eq!((message.branch(), message.from_tag()), ("z9hG4bKx", "1"), "{line}");
    }
    for (line, what) in [
        ("From: <sip:>;sip:;1001@10.0.0.5;tag=1", "Bad From"),
        ("From: \"c\" <\"c\" <sip:c@d>>;tag=1", "Bad From"),
        ("From: <sip:c@d:5555\n>;tag=1", "Bad From"),
        ("OPTIONS sip:FC00:1235:3:2:0:0:0:0:5060 SIP/2.0", "Bad Request-URI"),
        ("CSeq: ", "Bad CSeq"),
    ] {
        let Reading::Refuse(refusal) = turned(line) else { panic!("{line}: {:?}", turned(line)) };
        assert_eq!(refusal.what, what, "{line}");
    }
}

/// RFC 3261 25.1, LWS: what Unicode or Latin-1 has besides is a letter, and an answer has to give it back.
#[test]
fn space_and_tab_are_the_only_white_space() {
    let text = String::from_utf8(with("")).unwrap();
    let text = text.replace("Call-ID: x", "Call-ID: x\u{a0} \t").replace("tag=1", "tag=1\u{2003}");
    let message = accepted(text.as_bytes());
    assert_eq!((message.call_id(), message.from_tag()), ("x\u{a0}", "1\u{2003}"));
}

#[test]
fn numbers_are_digits() {
    for (good, bad) in [("CSeq: 1 ", "CSeq: +1 "), (":5060;", ":+5060;"), ("CSeq: 1 ", "CSeq: 2147483648 ")] {
        let text = String::from_utf8(with("")).unwrap().replace(good, bad);
        assert_eq!(refused(text.as_bytes()).0, 400, "{bad}");
    }
    assert!(matches!(read(b"SIP/2.0 +200 OK\r\n\r\n"), Reading::Drop(_)));
}

#[test]
fn size_has_limits() {
    assert_eq!(refused(&with(&"X: y\r\n".repeat(200))), (400, "Too Many Header Fields"));
    assert!(matches!(read(&with(&format!("X: {}\r\n", "y".repeat(40_000)))), Reading::Drop(_)));
    assert!(matches!(read(&vec![b'x'; MAX_DATAGRAM + 1]), Reading::Drop(_)));
    assert!(matches!(read(b"\r\n\r\n"), Reading::Drop("keep-alive")));
}

#[test]
fn a_refusal_answers_with_what_there_is_and_an_ack_or_a_response_gets_none() {
    let without_call_id = String::from_utf8(with("")).unwrap().replace("Call-ID: x\r\n", "");
    let Reading::Refuse(refusal) = read(without_call_id.as_bytes()) else { panic!("not refused") };
    let reply = refusal.reply("10.0.0.9:1234".parse().unwrap(), "t");
    let text = String::from_utf8(reply.bytes.to_vec()).unwrap();
    assert_eq!(reply.to, "10.0.0.9:5060".parse().unwrap());
    assert!(
        text.starts_with("SIP/2.0 400 Missing Call-ID\r\n")
            && text.contains(";received=10.0.0.9\r\n")
            && text.contains(";tag=t\r\n"),
        "{text}"
    );
    let ack = without_call_id.replace("OPTIONS", "ACK");
    assert!(matches!(read(ack.as_bytes()), Reading::Drop(_)));
    assert!(matches!(
        read(without_call_id.replace("OPTIONS sip:a@b SIP/2.0", "SIP/2.0 200 OK").as_bytes()),
        Reading::Drop(_)
    ));
}

#[test]
fn the_q850_cause_is_found_among_other_reasons() {
    let message = accepted(&with("Reason: SIP;cause=486;text=\"a, b\", Q.850 ;cause=17\r\n"));
    assert_eq!(message.q850(), Some(17));
    assert_eq!(accepted(&with("Session-Expires: 180;refresher=uac\r\n")).number(Name::SessionExpires), Some(180));
}
