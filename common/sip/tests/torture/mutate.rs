//! Spoils messages, the same way for the same seed.

/// A small generator of numbers (xorshift64*): the same seed gives the same numbers on every machine.
pub struct Dice(u64);

impl Dice {
    /// Starts at a seed that is not zero.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.max(1))
    }

    /// A number below `sides`; zero when there are none.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        mixed as usize % sides.max(1)
    }

    /// One of these.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.roll(from.len())]
    }
}

/// What parsers have stumbled over.
const NASTY: &[&[u8]] = &[
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\xff\xfe",
    b"\xc3",
    b"%00",
    b"%",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"<>",
    b";",
    b";;;;",
    b",",
    b":",
    b"::",
    b"[",
    b"[::",
    b"]",
    b"@",
    b"@@",
    b"?",
    b"=",
    b"-1",
    b"0",
    b"255",
    b"4294967296",
    b"18446744073709551616",
    b"99999999999999999999999999999999999999999",
    b"sip:",
    b"sips:",
    b"tel:",
    b"SIP/2.0",
    b"SIP/2.0 200 OK",
    b";branch=z9hG4bK",
    b";tag=",
    b";lr",
    b";maddr=224.0.0.1",
    b";received=[::1]",
    b";rport=99999",
    b"Content-Length: 4294967295\r\n",
    b"Content-Length: -1\r\n",
    b"l: 0\r\n",
    b"Max-Forwards: 0\r\n",
    b"Require: nothing\r\n",
    b"Session-Expires: 0;refresher=uac\r\n",
    b"Min-SE: 4294967295\r\n",
    b"WWW-Authenticate: Digest realm=\"\",nonce=\"\\\",qop=\"auth,,auth-int\"\r\n",
    b"Proxy-Authenticate: Digest\r\n",
    b"Record-Route: <sip:[::1]:0;lr>,<>\r\n",
    b"Contact: *\r\n",
    b"Contact: <sip:@:>\r\n",
];

/// The message, spoilt in one to four ways.
pub fn spoil(message: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = message.to_vec();
    for _ in 0..=dice.roll(4) {
        spoil_once(&mut bytes, other, dice);
    }
    bytes.truncate(65_535);
    bytes
}

fn spoil_once(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let from = dice.roll(bytes.len() + 1);
    let to = (from + dice.roll(40)).min(bytes.len());
    match dice.roll(10) {
        0 if from < bytes.len() => bytes[from] = dice.roll(256) as u8,
        1 if from < bytes.len() => bytes[from] ^= 1 << dice.roll(8),
        2 => drop(bytes.drain(from..to)),
        3 => {
            let piece = bytes[from..to].to_vec();
            let often = 1 + dice.roll(60);
            bytes.splice(from..from, piece.repeat(often));
        }
        4 | 5 => drop(bytes.splice(from..from, dice.pick(NASTY).iter().copied())),
        6 => drop(bytes.splice(from..to, dice.pick(NASTY).iter().copied())),
        7 => bytes.truncate(from),
        8 => {
            let tail = other[dice.roll(other.len() + 1)..].to_vec();
            bytes.truncate(from);
            bytes.extend(tail);
        }
        _ => swap_lines(bytes, dice),
    }
}

/// Exchanges, doubles or drops whole header lines.
fn swap_lines(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, two) = (dice.roll(lines.len()), dice.roll(lines.len()));
    match dice.roll(3) {
        0 => lines.swap(one, two),
        1 => {
            let line = lines[one].clone();
            let often = 1 + dice.roll(200);
            lines.splice(two..two, std::iter::repeat_n(line, often));
        }
        _ => drop(lines.remove(one)),
    }
    *bytes = lines.join(&b'\n');
}
