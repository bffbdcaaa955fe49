//! Reads Python's pickles as data: what was pickled becomes a bounded set of nodes, and nothing is ever called. Of a class only its
//! name is known.
//!
//! Only the opcodes of protocols 2 to 5 that Jasmin's texts are made of are understood; others end the reading. A node is written
//! once and never dropped, so what refers to itself costs nothing more.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// Longest pickle.
pub const MOST_BYTES: usize = 64 * 1024;
/// Most nodes; each opcode makes at most one.
const MOST_NODES: usize = 20_000;

/// The place of a node.
pub type Id = usize;

/// Something pickled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// None, a float and whatever else does not matter here.
    Nothing,
    /// True or False.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A tuple, list or set.
    List(Vec<Id>),
    /// A dict: key, value.
    Map(Vec<(Id, Id)>),
    /// A class or function, by the last part of its name.
    Class(String),
    /// What a class would make of these arguments, and the state that it would get.
    Object {
        /// The class.
        class: Id,
        /// The arguments.
        args: Id,
        /// The state.
        state: Option<Id>,
    },
}

/// Why bytes are no pickle that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// It ends too early.
    #[error("the pickle is cut off")]
    Cut,
    /// It is longer, or makes more of itself, than any text does.
    #[error("the pickle is too large")]
    TooLarge,
    /// An opcode that Jasmin's texts do not have.
    #[error("opcode {0:#04x} is not understood")]
    Opcode(u8),
    /// Opcodes in an order that makes no sense.
    #[error("the pickle makes no sense")]
    Nonsense,
}

/// A pickle that was read.
pub struct Pickle {
    nodes: Vec<Node>,
    /// What was pickled.
    pub root: Id,
}

impl Pickle {
    /// Reads a pickle.
    ///
    /// # Errors
    /// It is none, is too large, or has what no text has.
    pub fn read(bytes: &[u8]) -> Result<Pickle, PickleError> {
        if bytes.len() > MOST_BYTES {
            return Err(PickleError::TooLarge);
        }
        let mut reader =
            Reader { rest: bytes, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
        loop {
            let opcode = reader.byte()?;
            if opcode == b'.' {
                let root = reader.pop()?;
                return Ok(Pickle { nodes: reader.nodes, root });
            }
            reader.obey(opcode)?;
        }
    }

    /// A node.
    pub fn node(&self, id: Id) -> &Node {
        self.nodes.get(id).unwrap_or(&Node::Nothing)
    }

    /// The value of this key in a dict, or in the state of an object.
    pub fn get(&self, id: Id, key: &str) -> Option<Id> {
        let map = match self.node(id) {
            Node::Map(map) => map,
            Node::Object { state: Some(state), .. } => match self.node(*state) {
                Node::Map(map) => map,
                _ => return None,
            },
            _ => return None,
        };
        let found = map.iter().rev().find(|(name, _)| matches!(self.node(*name), Node::Text(text) if text == key));
        found.map(|(_, value)| *value)
    }

    /// Class and value of a member of an enumeration.
    pub fn member(&self, id: Id) -> Option<(&str, i64)> {
        let Node::Object { class, args, .. } = self.node(id) else { return None };
        match (self.node(*class), self.item(*args, 0).map(|id| self.node(id))) {
            (Node::Class(name), Some(Node::Number(value))) => Some((name, *value)),
            _ => None,
        }
    }

    /// Bytes; protocol 2 writes them as a call of `_codecs.encode` with a text of Latin-1.
    pub fn octets(&self, id: Id) -> Option<Vec<u8>> {
        match self.node(id) {
            Node::Bytes(bytes) => Some(bytes.clone()),
            Node::Object { class, .. } => match (self.node(*class), self.item(id, 0).map(|id| self.node(id))) {
                (Node::Class(name), None) if name == "bytes" => Some(Vec::new()),
                (Node::Class(name), Some(Node::Text(text))) if name == "encode" => {
                    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The members of a list or set; protocol 2 writes a set as a call of `set` with a list.
    pub fn members(&self, id: Id) -> &[Id] {
        match self.node(id) {
            Node::List(items) => items,
            Node::Object { class, .. } if *self.node(*class) == Node::Class("set".to_owned()) => {
                match self.item(id, 0).map(|list| self.node(list)) {
                    Some(Node::List(items)) => items,
                    _ => &[],
                }
            }
            _ => &[],
        }
    }

    /// An item of a list, or an argument of an object.
    pub fn item(&self, id: Id, index: usize) -> Option<Id> {
        match self.node(id) {
            Node::List(items) => items.get(index).copied(),
            Node::Object { args, .. } => match self.node(*args) {
                Node::List(items) => items.get(index).copied(),
                _ => None,
            },
            _ => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
}

impl Reader<'_> {
    fn obey(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            0x80 => self.byte().map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                if self.marks.len() > MOST_NODES { Err(PickleError::TooLarge) } else { Ok(()) }
            }
            b'0' => self.pop().map(drop),
            b'1' => self.since_mark().map(drop),
            b'N' => self.push(Node::Nothing),
            0x88 | 0x89 => self.push(Node::Flag(opcode == 0x88)),
            b'G' => {
                self.take(8)?;
                self.push(Node::Nothing)
            }
            b'J' | b'K' | b'M' | 0x8a => self.number(opcode),
            0x8c | b'X' | 0x8d | b'C' | b'B' | 0x8e => self.string(opcode),
            b'h' | b'j' | b'q' | b'r' | 0x94 => self.remember(opcode),
            b')' | b']' | b'}' | 0x8f | b't' | 0x85..=0x87 | 0x91 => self.container(opcode),
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(opcode),
            0x93 | b'R' | 0x81 | b'b' => self.class(opcode),
            b'c' => {
                self.line()?;
                let name = self.line()?;
                self.push(Node::Class(name))
            }
            other => Err(PickleError::Opcode(other)),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<(), PickleError> {
        let width = match opcode {
            b'J' => 4,
            b'K' => 1,
            b'M' => 2,
            _ => self.byte()?.into(),
        };
        let bytes = self.take(width)?;
        let signed = matches!(opcode, b'J' | 0x8a);
        let negative = signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let number = match bytes.len() {
            0..=8 => {
                let mut all = [if negative { 0xff } else { 0 }; 8];
                all[..bytes.len()].copy_from_slice(bytes);
                Node::Number(i64::from_le_bytes(all))
            }
            _ => Node::Nothing,
        };
        self.push(number)
    }

    fn string(&mut self, opcode: u8) -> Result<(), PickleError> {
        let length = match opcode {
            0x8c | b'C' => u64::from(self.byte()?),
            b'X' | b'B' => self.little(4)?,
            _ => self.little(8)?,
        };
        let bytes = self.take(usize::try_from(length).map_err(|_| PickleError::Cut)?)?.to_vec();
        match opcode {
            b'C' | b'B' | 0x8e => self.push(Node::Bytes(bytes)),
            _ => {
                let text = String::from_utf8(bytes).map_err(|_| PickleError::Nonsense)?;
                self.push(Node::Text(text))
            }
        }
    }

    fn remember(&mut self, opcode: u8) -> Result<(), PickleError> {
        let place = match opcode {
            b'h' | b'q' => u64::from(self.byte()?),
            b'j' | b'r' => self.little(4)?,
            _ => self.memo.len() as u64,
        };
        let place = usize::try_from(place).ok().filter(|place| *place < MOST_NODES).ok_or(PickleError::TooLarge)?;
        if matches!(opcode, b'h' | b'j') {
            let id = self.memo.get(place).copied().flatten().ok_or(PickleError::Nonsense)?;
            return self.lay(id);
        }
        let top = *self.stack.last().ok_or(PickleError::Nonsense)?;
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        self.memo[place] = Some(top);
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), PickleError> {
        let items = match opcode {
            b')' | b']' | 0x8f => Vec::new(),
            b'}' => return self.push(Node::Map(Vec::new())),
            b't' | 0x91 => self.since_mark()?,
            _ => {
                let count = usize::from(opcode - 0x84);
                let from = self.stack.len().checked_sub(count).filter(|from| *from >= self.floor());
                self.stack.split_off(from.ok_or(PickleError::Nonsense)?)
            }
        };
        self.push(Node::List(items))
    }

    fn fill(&mut self, opcode: u8) -> Result<(), PickleError> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.since_mark()?,
        };
        let top = *self.stack.last().ok_or(PickleError::Nonsense)?;
        match (self.nodes.get_mut(top), opcode) {
            (Some(Node::List(list)), b'a' | b'e' | 0x90) => list.extend(items),
            (Some(Node::Map(map)), b's' | b'u') if items.len() % 2 == 0 => {
                map.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err(PickleError::Nonsense),
        }
        Ok(())
    }

    fn class(&mut self, opcode: u8) -> Result<(), PickleError> {
        let (last, first) = (self.pop()?, self.pop()?);
        match opcode {
            0x93 => match (self.nodes.get(first), self.nodes.get(last)) {
                (Some(Node::Text(_)), Some(Node::Text(name))) => self.push(Node::Class(name.clone())),
                _ => Err(PickleError::Nonsense),
            },
            b'b' => {
                if let Some(Node::Object { state, .. }) = self.nodes.get_mut(first) {
                    *state = Some(last);
                }
                self.lay(first)
            }
            _ => self.push(Node::Object { class: first, args: last, state: None }),
        }
    }

    fn push(&mut self, node: Node) -> Result<(), PickleError> {
        if self.nodes.len() >= MOST_NODES {
            return Err(PickleError::TooLarge);
        }
        self.nodes.push(node);
        self.lay(self.nodes.len() - 1)
    }

    fn lay(&mut self, id: Id) -> Result<(), PickleError> {
        if self.stack.len() >= MOST_NODES {
            return Err(PickleError::TooLarge);
        }
        self.stack.push(id);
        Ok(())
    }

    /// Nothing below the last mark may be taken.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(PickleError::Nonsense);
        }
        self.stack.pop().ok_or(PickleError::Nonsense)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or(PickleError::Nonsense)?;
        Ok(self.stack.split_off(mark))
    }

    /// Up to the end of the line.
    fn line(&mut self) -> Result<String, PickleError> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or(PickleError::Cut)?;
        let line = self.take(end)?.to_vec();
        self.byte()?;
        String::from_utf8(line).map_err(|_| PickleError::Nonsense)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn little(&mut self, width: usize) -> Result<u64, PickleError> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Result<&[u8], PickleError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(PickleError::Cut)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_and_nothing_is_called() {
        // pickle.dumps({"a": (1, -2, b"x"), "b": [True, None, 3.5]}, 5)
        let bytes = b"\x80\x05\x95\x2a\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94K\x01J\xfe\xff\xff\xffC\x01x\x94\x87\x94\x8c\x01b\x94]\x94(\x88NG@\x0c\0\0\0\0\0\0eu.";
        let pickle = Pickle::read(bytes).unwrap();
        let a = pickle.get(pickle.root, "a").unwrap();
        let items: Vec<&Node> = (0..3).map(|i| pickle.node(pickle.item(a, i).unwrap())).collect();
        assert_eq!(items, [&Node::Number(1), &Node::Number(-2), &Node::Bytes(b"x".to_vec())]);
        let b = pickle.get(pickle.root, "b").unwrap();
        assert_eq!(pickle.node(pickle.item(b, 0).unwrap()), &Node::Flag(true));
        // os.system("true"): a name and an argument, no more.
        let evil = Pickle::read(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.").unwrap();
        assert!(matches!(evil.node(evil.root), Node::Object { state: None, .. }));
        assert_eq!(evil.member(evil.root), None);
    }

    #[test]
    fn what_is_no_such_pickle_is_refused() {
        for (bytes, error) in [
            (&b""[..], PickleError::Cut),
            (b".", PickleError::Nonsense),
            (b"N", PickleError::Cut),
            (b"cos\nsystem\n(S'x'\ntR.", PickleError::Opcode(b'S')),
            (b"cos", PickleError::Cut),
            (b"h\x05.", PickleError::Nonsense),
            (b"(0.", PickleError::Nonsense),
            (b"N(0N.", PickleError::Nonsense),
            (b"NNb.", PickleError::Cut),
            (b"K\x01K\x02\x93.", PickleError::Nonsense),
            (b"}K\x01(K\x02u.", PickleError::Nonsense),
            (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", PickleError::Cut),
            (b"Nr\xff\xff\xff\xff.", PickleError::TooLarge),
            (b"\x8c\x01\xff.", PickleError::Nonsense),
        ] {
            let read = Pickle::read(bytes);
            if bytes == b"NNb." {
                assert!(read.is_ok(), "a state for what has none is let go");
            } else {
                assert_eq!(read.err(), Some(error), "{bytes:?}");
            }
        }
        assert_eq!(Pickle::read(&vec![b'N'; MOST_BYTES + 1]).err(), Some(PickleError::TooLarge));
        assert_eq!(Pickle::read(&vec![b'N'; MOST_BYTES]).err(), Some(PickleError::TooLarge));
        assert_eq!(Pickle::read(&vec![b'('; MOST_BYTES]).err(), Some(PickleError::TooLarge));
    }
}
