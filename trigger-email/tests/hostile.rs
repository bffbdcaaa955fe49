//! Mails that want to be expensive: memory, time and outcome of each are bounded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ringback_common::number::Country;
use ringback_trigger_email::mail::{Envelope, House, Mail, Unread};
use ringback_trigger_email::trust::Doubt;
use ringback_trigger_email::verify::Verifier;

/// Counts what is allocated, and the most there ever was.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code)]
// SAFETY: every call goes to the system's allocator as it came; only sums are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::new(());

const HEAD: &str = "From: alice@example.com\r\nTo: call@gw.test\r\nMessage-ID: <m@example.com>\r\n";
const MEGABYTES: usize = 1024 * 1024;
/// Debug builds on a busy machine; a release build needs a tenth.
const PATIENCE: Duration = Duration::from_secs(4);

fn house() -> House {
    House { recipients: vec!["call".to_owned()], max_size: 10 * MEGABYTES, own: None, domain: None }
}

fn envelope() -> Envelope {
    Envelope { mail_from: Some("alice@example.com".to_owned()), rcpt_to: vec!["call@gw.test".to_owned()] }
}

/// What becomes of a mail, while at most `room` bytes beside it are used.
fn outcome(what: &str, raw: &[u8], room: usize) -> &'static str {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Country::load_all(); // once for all mails, and not for one
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let begun = Instant::now();
    let outcome = match Mail::read(raw, Some(&envelope()), &house()) {
        Ok(mail) => {
            let _ = (mail.identity(), mail.references(300), mail.languages(), mail.written());
            mail.form.as_ref().map_or_else(|no_form| no_form.code(), |_| "form")
        }
        Err(Unread::Ignored(ignored)) => ignored.code(),
        Err(Unread::Beyond(limit)) => limit,
    };
    let (took, used) = (begun.elapsed(), PEAK.load(Ordering::Relaxed).saturating_sub(before));
    assert!(took < PATIENCE, "{what}: {took:?}");
    assert!(used <= room, "{what}: {used} bytes beside a mail of {}", raw.len());
    outcome
}

fn filled(begin: &str, piece: &str, size: usize) -> Vec<u8> {
    let mut mail = begin.as_bytes().to_vec();
    while mail.len() + piece.len() <= size {
        mail.extend_from_slice(piece.as_bytes());
    }
    mail
}

#[test]
fn ten_megabytes_cost_little_more_than_themselves() {
    let size = 10 * MEGABYTES;
    let kind = |kind: &str| format!("{HEAD}Content-Type: {kind}\r\n\r\n");
    for (what, begin, piece) in [
        ("lines", kind("text/plain"), "call me\r\n"),
        ("one line", kind("text/plain"), "x"),
        ("four words a line", kind("text/plain"), "alice s3cret 004412345678 004498765432\r\n"),
        ("tags", kind("text/html"), "<div><b>x</b>"),
        ("open tags", kind("text/html"), "<"),
        ("comments", kind("text/html"), "<!-- x"),
        ("entities", kind("text/html"), "&amp;&#"),
        ("base64", kind("text/plain\r\nContent-Transfer-Encoding: base64"), "eHh4eHh4\r\n"),
        ("quoted", kind("text/plain\r\nContent-Transfer-Encoding: quoted-printable"), "=C3=A4=\r\n"),
        ("digits", kind("text/plain"), "0370728\r\n"),
        ("boundaries", kind("multipart/mixed; boundary=b"), "--b"),
    ] {
        let mail = filled(&begin, piece, size);
        let outcome = outcome(what, &mail, 3 * MEGABYTES);
        let expected = match what {
            "four words a line" | "digits" => "form", // the same one, many times
            _ => "no_form",
        };
        assert_eq!(outcome, expected, "{what}");
    }
    assert_eq!(outcome("a byte more", &filled(&kind("text/plain"), "x", size + 1), 4096), "too_large");
}

#[test]
fn headers_and_parts_have_an_end() {
    let room = 2 * MEGABYTES;
    let fields = format!("{HEAD}{}\r\nhello", "X-Trace: 1\r\n".repeat(10_000));
    assert_eq!(outcome("10,000 fields", fields.as_bytes(), room), "too_much_header");
    let signatures = format!("{}{HEAD}\r\nhello", "DKIM-Signature: v=1; d=x\r\n".repeat(10_000));
    assert_eq!(outcome("10,000 signatures", signatures.as_bytes(), room), "too_much_header");
    let long = filled(&format!("{HEAD}X: "), "x", 10 * MEGABYTES);
    assert_eq!(outcome("one long field", &long, room), "too_much_header");
    let endless = filled(HEAD, "x", 10 * MEGABYTES);
    assert_eq!(outcome("no line end", &endless, room), "too_much_header");

    let nested = |kind: &str| -> String {
        let levels: String =
            (0..1_000).map(|n| format!("Content-Type: {kind}; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
        format!("{HEAD}{levels}\r\nalice s3cret 004412345678 004498765432")
    };
    for kind in ["multipart/mixed", "multipart/digest", "multipart/alternative", "multipart/nonsense"] {
        assert_eq!(outcome(kind, nested(kind).as_bytes(), room), "too_many_parts", "{kind}");
    }
    let mails = filled(HEAD, "Content-Type: message/rfc822\r\n\r\n", 10 * MEGABYTES);
    assert_eq!(outcome("mails within mails", &mails, room), "no_form");
    let begin = format!("{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    let parts = filled(&begin, "--b\r\n\r\nx\r\n", 10 * MEGABYTES);
    assert_eq!(outcome("a million parts", &parts, room), "too_many_parts");
}

#[test]
fn single_fields_cannot_be_made_expensive() {
    let size = 200 * 1024;
    for (name, piece) in [
        ("From", "("),
        ("From", "a@b.c, "),
        ("From", "g:a@b.c;"),
        ("From", "\"\\"),
        ("From", "<"),
        ("To", "(()"),
        ("To", "=?utf-8?Q?x?= "),
        ("Subject", "=?utf-8?B?77yQ?= "),
        ("Subject", "=?"),
        ("Subject", "Re: "),
        ("References", "<a@b.c> "),
        ("References", "<"),
        ("Accept-Language", "de,"),
        ("Content-Type", "; a=\"b\""),
        ("Content-Type", "; a*0*=b"),
        ("Auto-Submitted", "("),
        ("Date", "1"),
    ] {
        let begin = format!("{}{name}: ", HEAD.replace(&format!("{name}:"), "X-Other:"));
        let mut mail = filled(&begin, piece, size);
        mail.extend_from_slice(b"\r\n\r\nhello");
        let outcome = outcome(&format!("{name} {piece:?}"), &mail, 24 * MEGABYTES);
        assert!(!outcome.is_empty() && outcome != "form", "{name} {piece:?}: {outcome}");
    }
}

#[test]
fn broken_character_sets_and_encodings_have_an_outcome() {
    for set in
        ["utf-7", "utf-16", "utf-16le", "iso-2022-jp", "gb18030", "shift_jis", "big5", "klingon", "\"", "x\0y", ""]
    {
        for encoding in ["7bit", "8bit", "base64", "quoted-printable", "binary", "nonsense", ""] {
            for body in
                [&b"\xff\xfe\x00\xd8\x1b$B\x0e\x0f\x80\x81"[..], b"=\xff=G1=", b"////====////", b"+AAA-+/v8", b""]
            {
                let mut mail = format!(
                    "{HEAD}Subject: =?{set}?B?//8=?= =?{set}?Q?=FF=?= =?{set}\r\nContent-Type: text/plain; charset={set}\r\n\
                     Content-Transfer-Encoding: {encoding}\r\n\r\n"
                )
                .into_bytes();
                mail.extend_from_slice(body);
                assert_eq!(outcome(set, &mail, MEGABYTES), "no_form", "{set} {encoding} {body:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_mail_with_a_thousand_signatures_asks_the_name_server_a_few_times() {
    let tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; h=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let signatures: String = (0..900).map(|n| format!("DKIM-Signature: {tags}; s=s{n}; b=AAAA\r\n")).collect();
    let raw = format!("{signatures}{HEAD}Subject: 0370728\r\n\r\n");
    let asked = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nobody: SocketAddr = asked.local_addr().unwrap();
    let verifier = Verifier::own(Some(nobody), &[]).unwrap();
    let mail = Mail::read(raw.as_bytes(), Some(&envelope()), &house()).map_err(|_| "unread").unwrap();
    let begun = Instant::now();
    let trust = verifier.judge(raw.as_bytes(), &mail, &envelope()).await;
    assert_eq!(trust.vouched, Err(Doubt::Unknown), "nobody answered");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let mut questions = 0;
    while asked.try_recv(&mut [0; 512]).is_ok() {
        questions += 1;
    }
    assert!((1..=20).contains(&questions), "{questions} questions");
}
