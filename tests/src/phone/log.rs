//! The protocol of a test: every SIP message seen, with its moment, so that the judge can be asked afterwards.

use serde::Serialize;

use super::wire::Sip;
use crate::second_reader;

/// One message on the wire, seen from the phones' side.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Microseconds of [`crate::clock`].
    pub at_us: u64,
    /// True: the gateway sent it. False: a phone did.
    pub from_gateway: bool,
    /// The gateway's address, as `ip:port`.
    pub gateway: String,
    /// Method of a request; of a response, the method it answers.
    pub method: String,
    /// Status code of a response.
    pub status: Option<u16>,
    /// Who was called (digits, no plus): from the Request-URI, or from To for what has none.
    pub number: String,
    /// Call-ID.
    pub call_id: String,
    /// Branch of the topmost Via.
    pub branch: String,
    /// CSeq number.
    pub cseq: u32,
    /// From-tag.
    pub from_tag: String,
    /// To-tag.
    pub to_tag: String,
    /// The whole message.
    pub text: String,
}

impl Entry {
    /// What a message looks like in the log.
    pub fn of(message: &Sip, text: &str, from_gateway: bool, gateway: &str, at_us: u64) -> Entry {
        let (cseq, method) = message.cseq();
        let to = message.header("To").map(super::wire::uri_in).unwrap_or_default();
        let number = match message.method() {
            Some("INVITE") => message.number(),
            _ => super::wire::user_of(&to).trim_start_matches('+').to_owned(),
        };
        Entry {
            at_us,
            from_gateway,
            gateway: gateway.to_owned(),
            method: message.method().unwrap_or(method).to_owned(),
            status: message.status(),
            number,
            call_id: message.call_id().to_owned(),
            branch: message.branch().to_owned(),
            cseq,
            from_tag: message.tag("From").to_owned(),
            to_tag: message.tag("To").to_owned(),
            text: text.to_owned(),
        }
    }

    /// An INVITE that opens a dialog (no To-tag yet).
    pub fn opens(&self) -> bool {
        self.from_gateway && self.status.is_none() && self.method == "INVITE" && self.to_tag.is_empty()
    }

    /// A response with a code in this hundred (2 for 2xx) to this method.
    pub fn answers(&self, method: &str, hundred: u16) -> bool {
        self.method == method && self.status.is_some_and(|code| code / 100 == hundred)
    }
}

/// Every message of a test, in order of time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Log {
    /// The messages.
    pub entries: Vec<Entry>,
}

impl Log {
    /// Adds a message of that moment.
    pub(crate) fn note(&mut self, text: &[u8], from_gateway: bool, gateway: &str, at_us: u64) {
        if let Some(message) = Sip::parse(text) {
            let text = String::from_utf8_lossy(text);
            self.entries.push(Entry::of(&message, &text, from_gateway, gateway, at_us));
        }
    }

    /// This log and another as one, in order of time.
    pub fn with(mut self, other: Log) -> Log {
        self.entries.extend(other.entries);
        self.entries.sort_by_key(|entry| entry.at_us);
        self
    }

    /// Only what belongs to dialogs with one number.
    pub fn of_number(&self, number: &str) -> Log {
        let number = number.trim_start_matches('+');
        let calls: std::collections::HashSet<&str> =
            self.entries.iter().filter(|e| e.opens() && e.number == number).map(|e| e.call_id.as_str()).collect();
        Log { entries: self.entries.iter().filter(|e| calls.contains(e.call_id.as_str())).cloned().collect() }
    }

    /// Whatever the gateway sent is read alike by its own reader of SIP and by a second one; panics with the first that is not.
    pub fn is_read_alike(&self) {
        let mut seen = std::collections::HashSet::new();
        for entry in self.entries.iter().filter(|e| e.from_gateway && seen.insert(e.text.as_str())) {
            if let Err(why) = second_reader::agrees(entry.text.as_bytes()) {
                panic!("{} of {}: {why}", entry.method, entry.gateway);
            }
        }
    }

    /// Writes the log as JSON, for whoever has to find out why a test failed.
    pub fn dump(&self, path: &std::path::Path) -> std::io::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
    }

    /// The log as a ladder, one line a message: what a failed assertion prints.
    pub fn ladder(&self) -> String {
        let line = |e: &Entry| {
            let arrow = if e.from_gateway { "<--" } else { "-->" };
            let what = e.status.map_or(e.method.clone(), |code| format!("{code} ({})", e.method));
            format!(
                "{:>10.3} ms {arrow} {:<22} {:<14} cseq {} {} {}\n",
                e.at_us as f64 / 1000.0,
                what,
                e.number,
                e.cseq,
                e.branch,
                e.call_id
            )
        };
        self.entries.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYE: &str = "BYE sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5068;branch=z9hG4bKb\r\nFrom: <sip:a@b>;tag=f\r\n\
                       To: <sip:bob@127.0.0.1>;tag=t\r\nCall-ID: c\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n";

    fn log(text: &str, from_gateway: bool) -> Log {
        let mut log = Log::default();
        log.note(text.as_bytes(), from_gateway, "127.0.0.2:5068", 0);
        log
    }

    #[test]
    fn what_phones_say_is_their_own_affair_and_what_the_gateway_says_is_read_twice() {
        log(BYE, true).is_read_alike();
        log(&format!("{BYE}more"), false).is_read_alike();
    }

    #[test]
    #[should_panic(expected = "BYE of 127.0.0.2:5068: Body: we read")]
    fn a_body_that_is_longer_than_it_says_is_told() {
        log(&format!("{BYE}more"), true).is_read_alike();
    }
}
