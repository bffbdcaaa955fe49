//! INVITEs with every kind of caller and called number that somebody might write: read without a panic, and what is taken for a number
//! has the letters of one.

use ringback_common::config::CliSource;
use ringback_sip::{Reading, read};
use ringback_trigger_ani::{caller, cld};

const SOURCES: [CliSource; 3] = [CliSource::PAssertedIdentity, CliSource::RemotePartyId, CliSource::From];

/// What headers are made of, and what does not belong there.
const PIECES: [&str; 32] = [
    "<",
    ">",
    "sip:",
    "sips:",
    "tel:",
    "+44",
    "2071838750",
    "anonymous",
    "@",
    ";",
    "=",
    ",",
    "\"",
    "\\",
    "%",
    "%2B",
    "%00",
    "%f",
    ":",
    "verstat",
    "TN-Validation-Passed",
    "screen=yes",
    "party=calling",
    "privacy=full",
    "phone-context=",
    "é",
    "\u{202e}",
    " ",
    "\t",
    "?",
    "[::1]",
    "99999999999999999999999999999999999999999999999999",
];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn value(&mut self) -> String {
        (0..self.throw(12)).map(|_| PIECES[self.throw(PIECES.len())]).collect()
    }
}

#[test]
fn whatever_a_caller_writes_is_a_number_or_none() {
    let (mut dice, mut read_at_all, mut numbers) = (Dice(7), 0, 0);
    for n in 0..20_000 {
        // Where the network says nothing, the phone's own word counts, and every second time it is a good one.
        let (silent, good) = (n % 2 == 0, n % 4 == 0);
        let names = ["Diversion", "Privacy", "P-Asserted-Identity", "Remote-Party-ID"];
        let said = if silent { &names[..2] } else { &names };
        let headers: Vec<String> = said.iter().map(|name| format!("{name}: {}\r\n", dice.value())).collect();
        let from = if good { "<sip:+447700900111@x>".to_owned() } else { dice.value() };
        let text = format!(
            "INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nFrom: {from};tag=1\r\n\
             To: <sip:x@192.0.2.1>\r\nCall-ID: c{n}\r\nCSeq: 1 INVITE\r\n{}Content-Length: 0\r\n\r\n",
            headers.concat()
        );
        let Reading::Message(invite) = read(text.as_bytes()) else { continue };
        read_at_all += 1;
        let caller = caller::read(&invite, &SOURCES);
        let fits = |number: &str| number.chars().all(|c| c.is_ascii_digit() || "+-.() ".contains(c));
        numbers += usize::from(caller.number.is_ok());
        assert!(caller.number.as_deref().map_or(true, fits), "{text}: {caller:?}");
        assert!(caller::diverted_from(&invite).iter().all(|number| fits(number)), "{text}");
        assert_eq!(caller, caller::read(&invite, &SOURCES), "read twice, read alike");
    }
    assert!(read_at_all > 4_000 && numbers > 2_000, "{read_at_all} were read, {numbers} had a number");
}

#[test]
fn whatever_is_called_is_of_the_form_or_not() {
    let mut dice = Dice(11);
    for _ in 0..20_000 {
        let user = format!("ani_{}{}", ["", "noanonacct_", "callingcard", "2way_"][dice.throw(4)], dice.value());
        if let Some(cld) = cld::read(&user) {
            assert!(cld.string.len() <= 64 && cld.string.is_ascii(), "{user}");
            let _ = cld.application();
        }
    }
}
