//! From the text of a `.sip` file to the bytes that a peer would send.
//!
//! Every line ends in CR LF on the wire. `\xNN` is that byte, `\\` a backslash, and a backslash that ends a line joins it
//! to nothing: no CR LF follows. `{word*40}` is the word forty times, `{sdp}` a line of its own for the offer below,
//! `{len}` the true length of the body that follows it.

/// What `{sdp}` stands for.
const SDP: &str = "v=0\n\
    o=bo 4711 4712 IN IP4 127.0.0.2\n\
    s=-\n\
    c=IN IP4 127.0.0.2\n\
    t=0 0\n\
    m=audio 40020 RTP/AVP 0 8 101\n\
    a=rtpmap:101 telephone-event/8000\n";

/// The bytes of the message that `text` describes.
pub fn render(text: &str) -> Vec<u8> {
    let text = text.replace("{sdp}\n", SDP);
    let mut bytes = Vec::with_capacity(text.len() * 2);
    let mut length_goes_to = None;
    for line in text.lines() {
        if !append(line, &mut bytes, &mut length_goes_to) {
            bytes.extend_from_slice(b"\r\n");
        }
    }
    if let Some(at) = length_goes_to {
        let length = body_after(&bytes, at).to_string();
        bytes.splice(at..at, length.into_bytes());
    }
    bytes
}

/// Appends one line; says whether it ended in a joining backslash.
fn append(line: &str, bytes: &mut Vec<u8>, length_goes_to: &mut Option<usize>) -> bool {
    let mut rest = line;
    while let Some(at) = rest.find(['\\', '{']) {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        if rest == "\\" {
            return true;
        } else if let Some(after) = rest.strip_prefix("\\\\") {
            bytes.push(b'\\');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\x") {
            bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
            rest = &after[2..];
        } else if let Some(after) = rest.strip_prefix("{len}") {
            *length_goes_to = Some(bytes.len());
            rest = after;
        } else {
            let (inside, after) = rest[1..].split_once('}').unwrap();
            let (word, times) = inside.rsplit_once('*').unwrap();
            bytes.extend_from_slice(word.repeat(times.parse().unwrap()).as_bytes());
            rest = after;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    false
}

/// How many bytes follow the first empty line after `at`.
fn body_after(bytes: &[u8], at: usize) -> usize {
    let head = bytes[at..].windows(4).position(|four| four == b"\r\n\r\n");
    bytes.len() - at - head.unwrap() - 4
}

#[test]
fn escapes_are_what_they_say() {
    let text = "INVITE \\x00\\\\ SIP\nContent-Length: {len}\nX: {ab*3}\n\nabc\\\ndef\\\n";
    assert_eq!(render(text), b"INVITE \x00\\ SIP\r\nContent-Length: 6\r\nX: ababab\r\n\r\nabcdef");
}
