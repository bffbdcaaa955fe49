use super::*;
use crate::authres;

const HEAD: &str =
    "From: alice@mail.example.com\r\nTo: call@gw.test\r\nSubject: 0370728\r\nDate: Fri, 27 Nov 2026 10:00:00 +0000\r\n";

fn judged(head: &str, evidence: &Evidence) -> Result<(), Doubt> {
    let raw = format!("{head}\r\n");
    judge(&Fields::read(raw.as_bytes()), "mail.example.com", US, Some(evidence)).vouched
}

fn dkim(domain: &str, outcome: Outcome, strong: Result<Addressee, Weakness>) -> Dkim {
    Dkim { domain: domain.to_owned(), outcome, strong }
}

fn only(dkim: Dkim) -> Evidence {
    Evidence { dkim: vec![dkim], ..Evidence::default() }
}

const YES: Result<(), Doubt> = Ok(());
const US: Meant = Meant { by_to: true, by_envelope: true };
const BY_TO: Meant = Meant { by_to: true, by_envelope: false };
const BY_ENVELOPE: Meant = Meant { by_to: false, by_envelope: true };

#[test]
fn the_law() {
    use Outcome::*;
    for (evidence, expected) in [
        (only(dkim("example.com", Passed, Ok(Addressee::Signed))), YES),
        (only(dkim("mail.example.com", Passed, Ok(Addressee::Signed))), YES),
        (only(dkim("other.example.com", Passed, Ok(Addressee::Signed))), YES),
        (only(dkim("com", Passed, Ok(Addressee::Signed))), Err(Doubt::Misaligned)),
        (only(dkim("example.com.evil.test", Passed, Ok(Addressee::Signed))), Err(Doubt::Misaligned)),
        (only(dkim("evilexample.com", Passed, Ok(Addressee::Signed))), Err(Doubt::Misaligned)),
        (only(dkim("", Passed, Ok(Addressee::Signed))), Err(Doubt::Misaligned)),
        (only(dkim("example.com", Failed, Ok(Addressee::Signed))), Err(Doubt::Broken)),
        (only(dkim("example.com", Unknown, Ok(Addressee::Signed))), Err(Doubt::Unknown)),
        (only(dkim("example.com", Passed, Err(Weakness::Cut))), Err(Doubt::Cut)),
        (only(dkim("example.com", Passed, Err(Weakness::Uncovered))), Err(Doubt::Uncovered)),
        (Evidence::default(), Err(Doubt::Unsigned)),
        (Evidence { spf: Some("example.com".to_owned()), ..Evidence::default() }, Err(Doubt::Unsigned)),
        (
            Evidence { dmarc_failed: true, ..only(dkim("example.com", Passed, Ok(Addressee::Signed))) },
            Err(Doubt::DmarcFailed),
        ),
    ] {
        assert_eq!(judged(HEAD, &evidence), expected, "{evidence:?}");
    }
}

#[test]
fn one_good_signature_is_enough_and_a_good_one_of_others_is_none() {
    let good = dkim("example.com", Outcome::Passed, Ok(Addressee::Signed));
    let weak = dkim("example.com", Outcome::Passed, Err(Weakness::Cut));
    let broken = dkim("example.com", Outcome::Failed, Ok(Addressee::Signed));
    let list = dkim("lists.test", Outcome::Passed, Ok(Addressee::Signed));
    let all = Evidence { dkim: vec![list.clone(), weak, broken.clone(), good], ..Evidence::default() };
    assert_eq!(judged(HEAD, &all), YES);
    let without = Evidence { dkim: vec![list, broken], ..Evidence::default() };
    assert_eq!(judged(HEAD, &without), Err(Doubt::Broken));
}

#[test]
fn a_header_that_reads_two_ways_is_never_vouched_for() {
    let good = only(dkim("example.com", Outcome::Passed, Ok(Addressee::Signed)));
    let once = format!(
        "{HEAD}Message-ID: <m1@example.com>\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n"
    );
    assert_eq!(judged(&once, &good), YES);
    for twice in [
        "Subject: 0370729\r\n",
        "To: b@c.d\r\n",
        "From: eve@evil.test\r\n",
        "Message-ID: <m2@example.com>\r\n",
        "Date: Sat, 28 Nov 2026 10:00:00 +0000\r\n",
        "Content-Type: text/html\r\n",
        "content-transfer-encoding: base64\r\n",
        "no colon\r\n",
        "Sub ject: x\r\n",
    ] {
        assert_eq!(judged(&format!("{twice}{once}"), &good), Err(Doubt::Malformed), "{twice}");
    }
    let raw = format!("{HEAD}\r\n");
    let fields = Fields::read(raw.as_bytes());
    let elsewhere = judge(&fields, "mail.example.com", BY_ENVELOPE, Some(&good));
    assert_eq!(elsewhere.vouched, Err(Doubt::OtherTo));
    let untold = judge(&fields, "mail.example.com", US, None);
    assert_eq!(untold, Trust { vouched: Err(Doubt::Untold), answerable: false });
}

#[test]
fn a_mail_whose_to_is_open_is_meant_for_us_by_its_envelope_alone() {
    let raw = format!("{HEAD}\r\n");
    let fields = Fields::read(raw.as_bytes());
    let judged = |addressees: &[Addressee], meant: Meant| {
        let dkim = addressees.iter().map(|one| dkim("example.com", Outcome::Passed, Ok(*one))).collect();
        judge(&fields, "mail.example.com", meant, Some(&Evidence { dkim, ..Evidence::default() })).vouched
    };
    let (signed, open) = (Addressee::Signed, Addressee::Open);
    for (addressees, meant, expected) in [
        (&[open][..], US, YES),
        (&[open], BY_ENVELOPE, YES),
        (&[open], BY_TO, Err(Doubt::OtherTo)),
        (&[signed], BY_TO, YES),
        (&[signed], BY_ENVELOPE, Err(Doubt::OtherTo)),
        (&[signed, open], BY_TO, YES),
        (&[signed, open], BY_ENVELOPE, YES),
    ] {
        assert_eq!(judged(addressees, meant), expected, "{addressees:?} {meant:?}");
    }
}

#[test]
fn only_who_is_no_invention_is_answered() {
    let raw = format!("{HEAD}\r\n");
    let fields = Fields::read(raw.as_bytes());
    let answerable = |evidence: &Evidence| judge(&fields, "mail.example.com", US, Some(evidence)).answerable;
    let spf = |domain: &str| Evidence { spf: Some(domain.to_owned()), ..Evidence::default() };
    assert!(answerable(&spf("bounce.example.com")));
    assert!(!answerable(&spf("evil.test")));
    assert!(answerable(&only(dkim("example.com", Outcome::Passed, Err(Weakness::Cut)))));
    assert!(!answerable(&only(dkim("example.com", Outcome::Failed, Ok(Addressee::Signed)))));
    assert!(!answerable(&only(dkim("evil.test", Outcome::Passed, Ok(Addressee::Signed)))));
    assert!(!answerable(&Evidence { dmarc_failed: true, ..spf("example.com") }));
}

#[test]
fn public_suffixes_are_nobodys_domain() {
    for (one, other, same) in [
        ("example.co.uk", "mail.example.co.uk", true),
        ("co.uk", "example.co.uk", false),
        ("other.co.uk", "example.co.uk", false),
        ("alice.github.io", "bob.github.io", false),
        ("EXAMPLE.com", "example.COM.", true),
        ("xn--bcher-kva.example", "bücher.example", true),
        ("", "", false),
        ("test", "test", false),
    ] {
        assert_eq!(aligned(one, other), same, "{one} {other}");
    }
}

/// A mail with these signatures, as our server tells of it.
fn by_server(results: &str, signatures: &[&str]) -> Result<(), Doubt> {
    let signed: String = signatures.iter().map(|tags| format!("DKIM-Signature: a=rsa-sha256; {tags}\r\n")).collect();
    let head = format!("Authentication-Results: mx.gw.test; {results}\r\nReceived: x\r\n{signed}{HEAD}");
    let raw = format!("{head}\r\n");
    let fields = Fields::read(raw.as_bytes());
    let evidence = authres::told_by("mx.gw.test", &fields, "mail.example.com").map(|results| told(&results, &fields));
    judge(&fields, "mail.example.com", US, evidence.as_ref()).vouched
}

const GOOD: &str = "d=example.com; s=s1; h=from:to:subject:date; bh=x; b=abcdefghij";

#[test]
fn our_server_vouches_only_for_what_keeps_the_rule() {
    let pass = "dkim=pass header.d=example.com header.s=s1 header.b=abcdefgh";
    for (results, signatures, expected) in [
        (pass, &[][..], YES),
        (pass, &[GOOD][..], YES),
        ("dkim=pass header.i=@example.com", &[GOOD], YES),
        ("dkim=pass header.i=alice@mail.example.com", &[GOOD], YES),
        ("dkim=fail header.d=example.com", &[GOOD], Err(Doubt::Broken)),
        ("dkim=none", &[], Err(Doubt::Unsigned)),
        ("dkim=pass header.d=evil.test", &[], Err(Doubt::Misaligned)),
        ("dkim=pass header.d=example.com; dmarc=fail", &[GOOD], Err(Doubt::DmarcFailed)),
        ("dkim=pass header.d=example.com; dmarc=pass; spf=fail", &[GOOD], YES),
        ("spf=pass smtp.mailfrom=alice@example.com; dmarc=pass", &[], Err(Doubt::Unsigned)),
        (pass, &["d=example.com; s=s1; h=from:to:subject:date; l=10; bh=x; b=abcdefghij"], Err(Doubt::Cut)),
        (pass, &["d=example.com; s=s1; h=from:to:date; bh=x; b=abcdefghij"], Err(Doubt::Uncovered)),
        (pass, &["d=example.com; s=s1; h=from:date:subject:message-id; bh=x; b=abcdefghij"], YES),
        (pass, &["d=example.com; s=s1; h=from:date:subject; bh=x; b=abcdefghij"], Err(Doubt::Uncovered)),
        // A strong signature that is not the one meant does not help, nor a second one that may be meant as well.
        (pass, &["d=example.com; s=s2; h=from:to:subject:date; bh=x; b=abcdefghij"], Err(Doubt::Uncovered)),
        (pass, &["d=evil.test; s=s1; h=from:to:subject:date; bh=x; b=abcdefghij"], Err(Doubt::Uncovered)),
        (
            "dkim=pass header.d=example.com",
            &[GOOD, "d=example.com; s=s1; h=from:to:subject:date; l=1; bh=x; b=z"],
            Err(Doubt::Cut),
        ),
        (pass, &["nonsense"], Err(Doubt::Uncovered)),
    ] {
        assert_eq!(by_server(results, signatures), expected, "{results} {signatures:?}");
    }
}

#[test]
fn signatures_that_date_a_mail_differently_do_not_vouch() {
    let good = only(dkim("example.com", Outcome::Passed, Ok(Addressee::Signed)));
    let judged = |signatures: &[&str]| {
        let signed: String =
            signatures.iter().map(|tags| format!("DKIM-Signature: a=rsa-sha256; bh=x; {tags}\r\n")).collect();
        judged(&format!("{signed}{HEAD}"), &good)
    };
    let dated = "d=example.com; s=s1; h=from:to:subject:date; b=a";
    let timed = "d=example.com; s=s2; h=from:to:subject; t=1795000000; b=b";
    let later = timed.replace("t=1795000000", "t=1795000001");
    for alone in [&[dated][..], &[timed], &[dated, dated], &[timed, timed]] {
        assert_eq!(judged(alone), YES, "{alone:?}");
    }
    for differing in [[dated, timed], [timed, dated], [timed, &later]] {
        assert_eq!(judged(&differing), Err(Doubt::Uncovered), "{differing:?}");
    }
    for nobody in ["d=evil.test; s=s2; h=from:to:subject; t=1; b=b", "d=example.com; s=s2; h=from; t=1; b=b"] {
        assert_eq!(judged(&[dated, nobody]), YES, "what could not vouch anyway does not disturb: {nobody}");
    }
    assert_eq!(judged(&[&format!("{dated}\r\nDate: nonsense")]), Err(Doubt::Malformed));
    let raw = format!(
        "DKIM-Signature: a=rsa-sha256; bh=x; {dated}\r\n{}\r\n",
        HEAD.replace("Fri, 27 Nov 2026 10:00:00 +0000", "yesterday")
    );
    let unreadable = judge(&Fields::read(raw.as_bytes()), "mail.example.com", US, Some(&good));
    assert_eq!(unreadable.vouched, Err(Doubt::Uncovered), "who can tell how old it is?");
}
