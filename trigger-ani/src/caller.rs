//! Who calls: the number that the trunk vouches for, as far as the settings believe it. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::config::{CliSource, VerstatRule};
use ringback_sip::Message;
use ringback_sip::uri::{NameAddr, Uri, split_list};

/// What is known of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Their number as it was written.
    pub number: Result<String, NoCaller>,
    /// They do not want it shown to others.
    pub private: bool,
    /// What the network found out about the number.
    pub verstat: Verstat,
}

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCaller {
    /// The caller keeps it back.
    Withheld,
    /// What is there is no number.
    Garbled,
}

impl NoCaller {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            NoCaller::Withheld => "withheld",
            NoCaller::Garbled => "garbled",
        }
    }
}

/// What the network found out about the number (STIR/SHAKEN, ATIS-1000074).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verstat {
    /// Nothing.
    #[default]
    Unknown,
    /// It is the caller's.
    Passed,
    /// It is not.
    Failed,
}

impl Verstat {
    /// Whether a number of which this is known may be called back.
    pub fn allows(self, rule: VerstatRule) -> bool {
        match rule {
            VerstatRule::Ignore => true,
            VerstatRule::RefuseFailed => self != Verstat::Failed,
            VerstatRule::RequirePassed => self == Verstat::Passed,
        }
    }

    fn of(value: &str) -> Verstat {
        let is = |word: &str| value.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
        match () {
            () if is("TN-Validation-Passed") => Verstat::Passed,
            () if is("TN-Validation-Failed") => Verstat::Failed,
            () => Verstat::Unknown,
        }
    }
}

/// Words that stand in a number's place where there is none.
const NOBODY: [&str; 6] = ["anonymous", "unknown", "unavailable", "restricted", "private", "withheld"];
/// So many values of a header are looked at.
const MOST_VALUES: usize = 4;

/// Who calls by this INVITE: the first of these sources that has a number decides. Where the network says something, even that the
/// number is kept back, what the phone says is none. A number has passed if it says so itself, and failed if any says so.
pub fn read(invite: &Message, sources: &[CliSource]) -> Caller {
    let mut number = Err(NoCaller::Withheld);
    let (mut private, mut verstat) = (wants_privacy(invite), Verstat::Unknown);
    let (mut vouched, mut failed) = (false, false);
    for source in sources {
        for claim in values(invite, *source).filter_map(|value| Claim::read(value, *source)) {
            private |= claim.private;
            failed |= claim.verstat == Verstat::Failed;
            if *source == CliSource::From && vouched {
                continue;
            }
            vouched |= *source != CliSource::From;
            match (&number, claim.number) {
                (Err(_), Ok(found)) => (number, verstat) = (Ok(found), claim.verstat),
                (Err(NoCaller::Withheld), Err(NoCaller::Garbled)) => number = Err(NoCaller::Garbled),
                _ => {}
            }
        }
    }
    Caller { number, private, verstat: if failed { Verstat::Failed } else { verstat } }
}

/// The numbers for whom this call was diverted to us.
pub fn diverted_from(invite: &Message) -> Vec<String> {
    let values = invite.headers().filter(|(name, _)| name.eq_ignore_ascii_case("diversion"));
    let claims = values.flat_map(|(_, value)| split_list(value)).take(MOST_VALUES);
    claims.filter_map(|value| Claim::read(value, CliSource::From)?.number.ok()).collect()
}

fn values(invite: &Message, source: CliSource) -> impl Iterator<Item = &str> {
    let name = match source {
        CliSource::PAssertedIdentity => "p-asserted-identity",
        CliSource::RemotePartyId => "remote-party-id",
        CliSource::From => "from",
    };
    let short = if source == CliSource::From { "f" } else { name };
    let lines = invite
        .headers()
        .filter(move |(written, _)| written.eq_ignore_ascii_case(name) || written.eq_ignore_ascii_case(short));
    lines.flat_map(|(_, value)| split_list(value)).take(MOST_VALUES)
}

fn wants_privacy(invite: &Message) -> bool {
    let wishes = invite.headers().filter(|(name, _)| name.eq_ignore_ascii_case("privacy"));
    let mut words = wishes.flat_map(|(_, value)| value.split([';', ','])).map(str::trim);
    words.any(|word| ["id", "user", "header", "session", "critical"].iter().any(|one| one.eq_ignore_ascii_case(word)))
}

/// What one value says.
struct Claim {
    number: Result<String, NoCaller>,
    private: bool,
    verstat: Verstat,
}

impl Claim {
    /// `None`: it is empty, or says nothing that counts.
    fn read(value: &str, source: CliSource) -> Option<Claim> {
        let garbled = Claim { number: Err(NoCaller::Garbled), private: false, verstat: Verstat::Unknown };
        let Some(value) = NameAddr::parse(value) else {
            let vouches = source == CliSource::PAssertedIdentity && !value.trim().is_empty();
            return vouches.then_some(garbled);
        };
        let said = |name: &str| value.param(name).map(|text| text.trim_matches('"').to_ascii_lowercase());
        if source == CliSource::RemotePartyId {
            let calling = said("party").is_none_or(|party| party == "calling");
            if !calling || said("screen").as_deref() != Some("yes") {
                return None;
            }
        }
        let private = said("privacy").is_some_and(|privacy| privacy != "off");
        let Some((user, params)) = parts(value.uri) else { return Some(Claim { private, ..garbled }) };
        let uri_says = params.iter().find_map(|(name, text)| name.eq_ignore_ascii_case("verstat").then_some(*text));
        let verstat = uri_says.or(value.param("verstat")).map_or(Verstat::Unknown, Verstat::of);
        let context =
            params.iter().find(|(name, text)| name.eq_ignore_ascii_case("phone-context") && text.starts_with('+'));
        let number = number(&user).map(|number| match context {
            Some((_, context)) if !number.starts_with('+') => format!("{context}{number}"),
            _ => number,
        });
        Some(Claim { number, private, verstat })
    }
}

/// The user of an address, and its parameters, wherever they stand.
fn parts(uri: &str) -> Option<(String, Vec<(&str, &str)>)> {
    let (scheme, rest) = uri.split_once(':')?;
    let (user, all) = if scheme.eq_ignore_ascii_case("tel") {
        (rest, "")
    } else {
        let uri = Uri::parse(uri)?;
        let after_host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        (uri.user.unwrap_or_default(), after_host.split_once(';').map_or("", |(_, params)| params))
    };
    let (user, own) = user.split_once(';').unwrap_or((user, ""));
    let pair = |text: &'_ str| -> Option<(usize, usize)> { text.find('=').map(|at| (at, at + 1)) };
    let params = own.split(';').chain(all.split(';')).take(16);
    let params = params.filter_map(|text| pair(text).map(|(end, begin)| (&text[..end], &text[begin..])));
    Some((unescaped(user), params.collect()))
}

/// `%2B44` is `+44`.
fn unescaped(user: &str) -> String {
    let mut bytes = user.bytes();
    let mut plain = Vec::with_capacity(user.len());
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let escaped = if byte == b'%' { hex(bytes.clone().next()).zip(hex(bytes.clone().nth(1))) } else { None };
        match escaped {
            Some((high, low)) => {
                plain.push((high * 16 + low) as u8);
                bytes.nth(1);
            }
            None => plain.push(byte),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn number(user: &str) -> Result<String, NoCaller> {
    let user = user.split(':').next().unwrap_or_default().trim();
    if user.is_empty() || NOBODY.iter().any(|word| user.eq_ignore_ascii_case(word)) {
        return Err(NoCaller::Withheld);
    }
    let looks_like_one = user.bytes().any(|b| b.is_ascii_digit())
        && user.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'(' | b')' | b' '));
    if looks_like_one { Ok(user.to_owned()) } else { Err(NoCaller::Garbled) }
}

#[cfg(test)]
mod tests {
    use ringback_sip::{Reading, read as read_datagram};

    use super::*;

    const ALL: [CliSource; 3] = [CliSource::PAssertedIdentity, CliSource::RemotePartyId, CliSource::From];

    fn invite(from: &str, headers: &str) -> Message {
        let text = format!(
            "INVITE sip:+12065550100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
             From: {from};tag=1\r\nTo: <sip:+12065550100@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n{headers}\
             Content-Length: 0\r\n\r\n"
        );
        let Reading::Message(message) = read_datagram(text.as_bytes()) else { panic!("{text}") };
        message
    }

    fn who(from: &str, headers: &str) -> Result<String, NoCaller> {
        read(&invite(from, headers), &ALL).number
    }

    #[test]
    fn the_first_source_with_a_number_decides() {
        let asserted = "P-Asserted-Identity: \"A\" <sip:+442071838750@trunk.example>, <tel:+442071838750>\r\n";
        assert_eq!(who("<sip:+4930123@x>", asserted).as_deref(), Ok("+442071838750"));
        assert_eq!(who("<sip:anonymous@anonymous.invalid>", asserted).as_deref(), Ok("+442071838750"));
        assert_eq!(who("sip:%2B4930123456@x", "").as_deref(), Ok("+4930123456"));
        assert_eq!(who("<tel:+44-20-7183-8750>", "").as_deref(), Ok("+44-20-7183-8750"));
        assert_eq!(who("<tel:7183-8750;phone-context=+4420>", "").as_deref(), Ok("+44207183-8750"));
        assert_eq!(who("<sip:801@pbx>", "").as_deref(), Ok("801"));
        let screened =
            |screen: &str| format!("Remote-Party-ID: <sip:+4477@t>;party=calling;screen={screen};privacy=off\r\n");
        assert_eq!(who("<sip:801@pbx>", &screened("yes")).as_deref(), Ok("+4477"));
        assert_eq!(who("<sip:801@pbx>", &screened("no")).as_deref(), Ok("801"), "the phone said so, nobody looked");
        let called = "Remote-Party-ID: <sip:+4477@t>;party=called;screen=yes\r\n";
        assert_eq!(who("<sip:801@pbx>", called).as_deref(), Ok("801"));
        let only_from = read(&invite("<sip:801@pbx>", asserted), &[CliSource::From]);
        assert_eq!(only_from.number.as_deref(), Ok("801"));
    }

    #[test]
    fn where_the_network_says_something_the_phone_does_not_decide() {
        for (said, why) in [
            ("P-Asserted-Identity: <sip:anonymous@anonymous.invalid>", NoCaller::Withheld),
            ("P-Asserted-Identity: <sip:alice@trunk.example>", NoCaller::Garbled),
            ("P-Asserted-Identity: <mailto:alice@trunk.example>", NoCaller::Withheld),
            ("P-Asserted-Identity: <", NoCaller::Garbled),
            ("Remote-Party-ID: <sip:anonymous@t>;party=calling;screen=yes;privacy=full", NoCaller::Withheld),
        ] {
            assert_eq!(who("<sip:+4477@x>", &format!("{said}\r\n")), Err(why), "{said}");
        }
        let both = "P-Asserted-Identity: <sip:anonymous@t>\r\nRemote-Party-ID: <sip:+4478@t>;screen=yes\r\n";
        assert_eq!(who("<sip:+4477@x>", both).as_deref(), Ok("+4478"), "the network says both");
        assert_eq!(who("<sip:+4477@x>", "P-Asserted-Identity: \r\n").as_deref(), Ok("+4477"), "it says nothing");
    }

    #[test]
    fn who_keeps_the_number_back_has_none_and_nonsense_is_none() {
        for from in
            ["<sip:anonymous@anonymous.invalid>", "<sip:trunk.example>", "<sip:Unknown@x>", "\"x\" <sip:restricted@x>"]
        {
            assert_eq!(who(from, ""), Err(NoCaller::Withheld), "{from}");
        }
        for from in
            ["<sip:alice@x>", "<sip:+44abc@x>", "<sip:12%3B34@x>", "<sip:%ff%fe@x>", "<mailto:a@x>", "<sip:1'or'1@x>"]
        {
            let found = who(from, "");
            assert!(found.is_err(), "{from}: {found:?}");
        }
        assert_eq!(who(&format!("<sip:{}@x>", "1".repeat(100)), "").map(|n| n.len()), Ok(100), "intake says what fits");
    }

    #[test]
    fn a_wish_for_privacy_is_kept_and_does_not_hide_an_asserted_number() {
        let asserted = "P-Asserted-Identity: <sip:+442071838750@t>\r\nPrivacy: id;critical\r\n";
        let caller = read(&invite("<sip:anonymous@anonymous.invalid>", asserted), &ALL);
        assert_eq!((caller.number.as_deref(), caller.private), (Ok("+442071838750"), true));
        let full = "Remote-Party-ID: <sip:+4477@t>;screen=yes;privacy=full\r\n";
        assert!(read(&invite("<sip:801@x>", full), &ALL).private);
        assert!(!read(&invite("<sip:801@x>", "Privacy: none\r\n"), &ALL).private);
    }

    #[test]
    fn verstat_is_read_wherever_networks_write_it() {
        let verstat = |from: &str, headers: &str| read(&invite(from, headers), &ALL).verstat;
        for passed in [
            "P-Asserted-Identity: <tel:+4477;verstat=TN-Validation-Passed>\r\n",
            "P-Asserted-Identity: <sip:+4477;verstat=TN-Validation-Passed-A@t;user=phone>\r\n",
            "P-Asserted-Identity: <sip:+4477@t;verstat=TN-Validation-Passed>\r\n",
            "P-Asserted-Identity: <sip:+4477@t>;verstat=TN-Validation-Passed\r\n",
        ] {
            assert_eq!(verstat("<sip:+4477@x>", passed), Verstat::Passed, "{passed}");
        }
        assert_eq!(verstat("<sip:+4477;verstat=TN-Validation-Failed@x>", ""), Verstat::Failed);
        assert_eq!(verstat("<sip:+4477;verstat=No-TN-Validation@x>", ""), Verstat::Unknown);
        let both = verstat(
            "<sip:+4477;verstat=TN-Validation-Failed@x>",
            "P-Asserted-Identity: <tel:+4477;verstat=TN-Validation-Passed>\r\n",
        );
        assert_eq!(both, Verstat::Failed);
        let other = verstat("<sip:+4477;verstat=TN-Validation-Passed@x>", "P-Asserted-Identity: <tel:+4478>\r\n");
        assert_eq!(other, Verstat::Unknown, "it was another number that passed");
        let own = verstat("<sip:+4477;verstat=TN-Validation-Passed@x>", "");
        assert_eq!(own, Verstat::Passed);
        let allows = |rule| [Verstat::Unknown, Verstat::Passed, Verstat::Failed].map(|verstat| verstat.allows(rule));
        assert_eq!(allows(VerstatRule::Ignore), [true, true, true]);
        assert_eq!(allows(VerstatRule::RefuseFailed), [true, true, false]);
        assert_eq!(allows(VerstatRule::RequirePassed), [false, true, false]);
    }

    #[test]
    fn a_diverted_call_names_who_diverted_it() {
        let headers =
            "Diversion: <sip:+442071838750@x>;reason=unconditional, <sip:nobody@x>\r\nDiversion: <tel:+4477>\r\n";
        assert_eq!(diverted_from(&invite("<sip:801@x>", headers)), ["+442071838750", "+4477"]);
    }
}
