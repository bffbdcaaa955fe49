//! Datagrams that wait for the desk. Each application server stands in a line of its own, and the lines are served in turn: who says
//! too much holds up nobody else. Bounded: a line has so many places, and there are no more lines than application servers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Places in a line.
const PLACES: usize = 4_096;

pub type Datagram = (Vec<u8>, SocketAddr);

/// All lines.
#[derive(Default)]
pub struct Lines {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    /// None is empty; the first is served next.
    lines: VecDeque<(String, VecDeque<Datagram>)>,
    closed: bool,
}

impl Lines {
    /// At the end of this one's line; `false`: it is full.
    pub fn join(&self, who: &str, datagram: &[u8], from: SocketAddr) -> bool {
        let joined = self.waiting().join(who, (datagram.to_vec(), from));
        self.changed.notify_one();
        joined
    }

    /// No more come.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_one();
    }

    /// The next one; `None`: there is none and will be none.
    pub async fn next(&self) -> Option<Datagram> {
        loop {
            {
                let mut waiting = self.waiting();
                let next = waiting.next();
                if next.is_some() || waiting.closed {
                    return next;
                }
            }
            self.changed.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn join(&mut self, who: &str, datagram: Datagram) -> bool {
        let Some((_, line)) = self.lines.iter_mut().find(|(name, _)| name == who) else {
            self.lines.push_back((who.to_owned(), VecDeque::from([datagram])));
            return true;
        };
        let has_place = line.len() < PLACES;
        if has_place {
            line.push_back(datagram);
        }
        has_place
    }

    fn next(&mut self) -> Option<Datagram> {
        let (who, mut line) = self.lines.pop_front()?;
        let first = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back((who, line));
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_line_is_its_own_affair_and_lines_are_served_in_turn() {
        let (lines, from) = (Lines::default(), "127.0.0.1:1".parse().unwrap());
        for n in 0..PLACES {
            assert!(lines.join("one", &n.to_be_bytes(), from));
        }
        assert!(!lines.join("one", b"too much", from));
        assert!(lines.join("two", b"a", from) && lines.join("two", b"b", from));
        lines.close();
        let mut said = Vec::new();
        while let Some((datagram, _)) = lines.next().await {
            said.push(datagram);
        }
        assert_eq!(said.len(), PLACES + 2);
        assert_eq!((said[1].as_slice(), said[3].as_slice()), (&b"a"[..], &b"b"[..]));
        assert_eq!([&said[0], &said[2], &said[4]], [0, 1, 2].map(|n: usize| n.to_be_bytes().to_vec()).each_ref());
    }
}
