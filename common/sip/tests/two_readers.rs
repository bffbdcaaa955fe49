//! Our reader beside rsip's: what rsip is known to read wrongly, each fault shown by a message, and the messages of RFC 4475 and
//! RFC 5118, twisted as they are, read alike where rsip reads them at all.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "torture/cases.rs"]
mod cases;
#[allow(dead_code)]
#[path = "torture/mutate.rs"]
mod mutate;
#[path = "torture/render.rs"]
mod render;
mod second_reader;

use std::path::{Path, PathBuf};

use ringback_sip::{Message, Reading, read};
use rsip::prelude::*;
use second_reader::{FAULTS, Field, Second, agrees, differ, second};

const PLAIN: &str = "INVITE sip:bell@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5068;branch=z9hG4bKb\r\n\
    From: <sip:desk@inn.example>;tag=f\r\nTo: <sip:bell@inn.example>;tag=t\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
    Contact: <sip:desk@10.0.0.1:5068>\r\nContent-Length: 4\r\n\r\nbody";

/// The plain INVITE with some lines in the place of those that begin so.
fn with(changes: &[(&str, &str)]) -> Vec<u8> {
    let (head, body) = PLAIN.split_once("\r\n\r\n").unwrap();
    let line =
        |line: &str| changes.iter().find(|(from, _)| line.starts_with(from)).map_or(line, |(_, to)| to).to_owned();
    let head: Vec<String> = head.split("\r\n").map(line).collect();
    format!("{}\r\n\r\n{body}", head.join("\r\n")).into_bytes()
}

fn ours(datagram: &[u8]) -> Message {
    match read(datagram) {
        Reading::Message(message) => message,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(datagram)),
    }
}

#[test]
fn a_plain_invite_is_read_alike_and_has_none_of_the_faults() {
    agrees(PLAIN.as_bytes()).unwrap();
    let message = ours(PLAIN.as_bytes());
    for fault in FAULTS {
        for field in [Field::Start, Field::Via, Field::From, Field::To, Field::CSeq, Field::Contact, Field::Body] {
            assert!(!(fault.is_in)(&message, field), "{} in {field:?}", fault.name);
        }
    }
}

#[test]
fn each_fault_is_one() {
    for fault in FAULTS {
        let datagram = with(fault.example);
        assert_ne!(datagram, PLAIN.as_bytes(), "{}: the example changes nothing", fault.name);
        let message = ours(&datagram);
        let read_wrongly = match (second(&message), fault.misread) {
            (Second::Refused(_), None) => true,
            (Second::Read(differences), Some(field)) => differences.iter().any(|difference| difference.field == field),
            _ => false,
        };
        assert!(read_wrongly, "{} ({}): {:?}", fault.name, fault.section, second(&message));
        assert_eq!(differ(&datagram), None, "{}: its own example is not excused", fault.name);
        let is_never_ours = fault.misread == Some(Field::Body);
        assert_eq!(agrees(&datagram).is_err(), is_never_ours, "{}", fault.name);
    }
}

/// The faults excuse a field that has them and nothing else.
#[test]
fn what_no_fault_explains_is_told() {
    let dotted = ours(&with(&[("From", "From: <sip:front.desk@inn.example>;tag=f")]));
    let excused = |field| FAULTS.iter().any(|fault| (fault.is_in)(&dotted, field));
    assert!(excused(Field::From) && !excused(Field::To) && !excused(Field::Via));
    let torn = PLAIN.replace("Call-ID: c\r\n", "");
    assert!(agrees(torn.as_bytes()).unwrap_err().starts_with("we refuse what we wrote: Missing Call-ID"));
}

/// RFC 3261 22.4 and 25.1: `nc-value = 8LHEX`. It is in no field that is compared, and one reason more not to let it near the network.
#[test]
fn the_count_of_a_nonce_is_read_as_decimal() {
    let answer = |nc: &str| {
        let value = format!(
            "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"sip:d\", response=\"e\", qop=auth, cnonce=\"f\", nc={nc}"
        );
        rsip::headers::Authorization::new(value).typed()
    };
    let Some(rsip::headers::auth::AuthQop::Auth { nc, .. }) = answer("00000010").unwrap().qop else { panic!() };
    assert_eq!(nc, 10, "it is sixteen");
    assert!(answer("0000000a").is_err());
}

/// RFC 3261 7.5 lets empty lines stand before a message; ours takes them off before rsip sees what is left.
#[test]
fn empty_lines_before_a_message_are_refused() {
    let datagram = format!("\r\n{PLAIN}");
    ours(datagram.as_bytes());
    assert!(rsip::SipMessage::try_from(datagram.as_bytes()).is_err());
}

#[test]
fn the_torture_messages_are_read_alike_where_both_read_them() {
    let mut seen = [0; 2];
    for (name, datagram) in torture() {
        assert_eq!(differ(&datagram), None, "{name}");
        if let Reading::Message(message) = read(&datagram) {
            seen[usize::from(matches!(second(&message), Second::Read(_)))] += 1;
        }
    }
    assert!(seen[1] >= 10, "refused and read by rsip of those that ours reads: {seen:?}");
}

#[test]
fn spoilt_messages_are_read_alike_where_both_read_them() {
    let messages: Vec<Vec<u8>> = torture().into_iter().map(|(_, datagram)| datagram).collect();
    let mut dice = mutate::Dice::new(5118);
    for round in 0..20_000 {
        let other = &messages[dice.roll(messages.len())];
        let datagram = mutate::spoil(&messages[round % messages.len()], other, &mut dice);
        if let Some(difference) = differ(&datagram) {
            panic!("{difference}\n{}", String::from_utf8_lossy(&datagram));
        }
    }
}

/// Our own, and the originals where `TORTURE_DIR` has them.
fn torture() -> Vec<(String, Vec<u8>)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let originals =
        here.join("../..").join(std::env::var_os("TORTURE_DIR").unwrap_or_else(|| "../shared/torture".into()));
    let folders = [
        here.join("tests/torture"),
        here.join("tests/torture/call"),
        originals.join("rfc4475"),
        originals.join("rfc5118"),
    ];
    let mut found = Vec::new();
    for folder in folders {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            match file.extension().and_then(|end| end.to_str()) {
                Some("sip") => {
                    found.push((file.display().to_string(), render::render(&std::fs::read_to_string(&file).unwrap())))
                }
                Some("dat") => found.push((file.display().to_string(), std::fs::read(&file).unwrap())),
                _ => {}
            }
        }
    }
    found
}
