//! Parts in every order, with gaps, repeats and lies.

use super::*;
use crate::coding::{Coding, Raw, piece};

const DEADLINE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Moment {
    Duration::from_secs(1000 + seconds)
}

fn key(reference: u8, total: u8) -> Key {
    from("+447911123456", reference, total)
}

fn from(sender: &str, reference: u8, total: u8) -> Key {
    Key::new("smpp", sender, "777", &Place::new(Reference::Byte(reference), total, 1).unwrap())
}

fn says(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

fn joiner() -> Joiner<u32> {
    Joiner::new(DEADLINE)
}

/// What an end says, in a word or two, and whom it answers.
fn told(end: End<u32>) -> (String, Vec<u32>) {
    match end {
        End::Whole { text, parts, .. } => (text.unwrap_or_else(|error| error.code().to_owned()), parts),
        End::Again { part } => ("again".to_owned(), vec![part]),
        End::Missing { parts, .. } => ("missing".to_owned(), parts),
        End::TooLong { parts, .. } => ("too long".to_owned(), parts),
    }
}

fn tell(ends: Vec<End<u32>>) -> Vec<(String, Vec<u32>)> {
    ends.into_iter().map(told).collect()
}

fn whole(ends: Vec<End<u32>>) -> Option<String> {
    ends.into_iter().find_map(|end| match end {
        End::Whole { text, .. } => text.ok(),
        _ => None,
    })
}

fn orders(numbers: &[u8]) -> Vec<Vec<u8>> {
    if numbers.is_empty() {
        return vec![Vec::new()];
    }
    let first = |number: &u8| {
        let others: Vec<u8> = numbers.iter().copied().filter(|other| other != number).collect();
        orders(&others).into_iter().map(|rest| [vec![*number], rest].concat()).collect::<Vec<_>>()
    };
    numbers.iter().flat_map(first).collect()
}

#[test]
fn parts_in_every_order_become_one_text() {
    let orders = orders(&[1, 2, 3, 4]);
    assert_eq!(orders.len(), 24);
    for order in orders {
        let mut joiner = joiner();
        for (seconds, number) in order.iter().enumerate() {
            let piece = says(["alice s3", "cret 0044", "12345678 ", "004498765432"][usize::from(*number) - 1]);
            let ends = joiner.add(key(7, 4), *number, piece, u32::from(*number), at(seconds as u64));
            let last = seconds == 3;
            assert_eq!(whole(ends).is_some(), last, "{order:?}");
        }
        assert_eq!(joiner.poll_timeout(), None, "nothing waits any more");
        assert_eq!((joiner.bytes, joiner.senders.len(), joiner.order.len()), (0, 0, 0));
    }
}

#[test]
fn a_character_cut_between_two_parts_is_whole_again() {
    let mut joiner = joiner();
    let part = |user_data: &[u8]| piece(Raw { user_data, data_coding: 8, has_header: true, packed: false }).unwrap();
    let (second, place) = part(&[5, 0, 3, 9, 2, 2, 0xde, 0]);
    let place = place.unwrap();
    let key = Key::new("smpp", "+44", "777", &place);
    assert!(joiner.add(key.clone(), place.number, second, 2, at(0)).is_empty());
    let (first, place) = part(&[5, 0, 3, 9, 2, 1, 0xd8, 0x3d]);
    assert_eq!(tell(joiner.add(key, place.unwrap().number, first, 1, at(1))), [("😀".to_owned(), vec![2, 1])]);
}

#[test]
fn a_missing_part_is_said_at_the_deadline_and_not_again_when_it_comes_late() {
    let mut joiner = joiner();
    assert!(joiner.add(key(7, 3), 1, says("a"), 1, at(0)).is_empty());
    assert!(joiner.add(key(7, 3), 3, says("c"), 3, at(40)).is_empty());
    assert_eq!(joiner.poll_timeout(), Some(at(60)));
    assert!(joiner.expire(at(59)).is_empty());
    assert_eq!(tell(joiner.expire(at(60))), [("missing".to_owned(), vec![1, 3])]);
    assert_eq!(tell(joiner.add(key(7, 3), 2, says("b"), 2, at(61))), [("again".to_owned(), vec![2])]);
    assert_eq!(joiner.poll_timeout(), None);
    for (number, text) in [(1, "a"), (2, "b")] {
        assert!(joiner.add(key(7, 3), number, says(text), 4, at(70)).is_empty(), "sent again as it was told");
    }
    assert_eq!(whole(joiner.add(key(7, 3), 3, says("c"), 4, at(71))).as_deref(), Some("abc"));
}

#[test]
fn repeats_are_answered_with_the_text_and_after_it() {
    let mut joiner = joiner();
    assert!(joiner.add(key(7, 2), 1, says("a"), 1, at(0)).is_empty());
    assert!(joiner.add(key(7, 2), 1, says("a"), 11, at(1)).is_empty());
    assert_eq!(tell(joiner.add(key(7, 2), 2, says("b"), 2, at(2))), [("ab".to_owned(), vec![1, 11, 2])]);
    assert!(joiner.add(key(7, 2), 2, says("b"), 12, at(3)).is_empty(), "the desk has not said yet what becomes of it");
    assert_eq!(tell(joiner.settled(&key(7, 2), at(4))), [("again".to_owned(), vec![12])]);
    assert_eq!(tell(joiner.add(key(7, 2), 1, says("a"), 13, at(5))), [("again".to_owned(), vec![13])]);
    assert!(joiner.add(key(7, 2), 1, says("z"), 14, at(6)).is_empty(), "another text");
    assert_eq!(whole(joiner.add(key(7, 2), 2, says("y"), 15, at(7))).as_deref(), Some("zy"));
    let mut joiner = self::joiner();
    for n in 0..20 {
        let ends = joiner.add(key(7, 2), 1, says("a"), n, at(0));
        assert_eq!(ends.is_empty(), n < 8, "{n}");
    }
}

#[test]
fn a_text_that_was_not_accepted_is_joined_once_more() {
    let mut joiner = joiner();
    for round in 0..2 {
        assert!(joiner.add(key(7, 2), 1, says("a"), 1, at(round)).is_empty());
        assert_eq!(whole(joiner.add(key(7, 2), 2, says("b"), 2, at(round))).as_deref(), Some("ab"), "{round}");
    }
}

#[test]
fn the_same_parts_have_the_same_id_and_others_another() {
    let id = |text: &str, reference| {
        let mut joiner = joiner();
        joiner.add(key(reference, 2), 2, says(text), 2, at(0));
        match joiner.add(key(reference, 2), 1, says("a"), 1, at(0)).pop() {
            Some(End::Whole { id, .. }) => id,
            _ => String::new(),
        }
    };
    assert_eq!(id("b", 7), id("b", 7));
    assert_eq!(id("b", 7).len(), 32);
    assert_ne!(id("b", 7), id("c", 7));
    assert_ne!(id("b", 7), id("b", 8));
}

#[test]
fn texts_that_differ_in_anything_are_not_mixed() {
    let mut joiner = joiner();
    let word = Key::new("smpp", "+447911123456", "777", &Place::new(Reference::Word(7), 2, 1).unwrap());
    let other_bind = Key { source: "smpp2".to_owned(), ..key(7, 2) };
    let other_number = Key { to: "778".to_owned(), ..key(7, 2) };
    for key in [key(7, 2), key(7, 3), key(8, 2), from("+4930", 7, 2), word, other_bind, other_number] {
        assert!(joiner.add(key, 1, says("a"), 1, at(0)).is_empty());
    }
    assert_eq!(whole(joiner.add(key(7, 2), 2, says("b"), 1, at(0))).as_deref(), Some("ab"));
    assert_eq!(joiner.waiting.len(), 6);
}

#[test]
fn a_reference_that_is_used_anew_ends_the_earlier_text() {
    let mut joiner = joiner();
    assert!(joiner.add(key(7, 2), 1, says("old"), 1, at(0)).is_empty());
    assert_eq!(tell(joiner.add(key(7, 2), 1, says("new "), 2, at(1))), [("missing".to_owned(), vec![1])]);
    assert_eq!(whole(joiner.add(key(7, 2), 2, says("text"), 3, at(2))).as_deref(), Some("new text"));
}

#[test]
fn too_many_parts_are_refused_once() {
    let mut joiner = joiner();
    assert_eq!(tell(joiner.add(key(7, 26), 1, says("a"), 1, at(0))), [("too long".to_owned(), vec![1])]);
    assert_eq!(tell(joiner.add(key(7, 26), 2, says("b"), 2, at(1))), [("again".to_owned(), vec![2])]);
    assert!(joiner.add(key(8, 2), 1, says("a"), 3, at(2)).is_empty());
    let long = says(&"x".repeat(MOST_OF_A_PART + 1));
    assert_eq!(tell(joiner.add(key(8, 2), 2, long, 4, at(2))), [("too long".to_owned(), vec![3, 4])]);
}

#[test]
fn a_flood_takes_no_more_than_its_place() {
    let mut joiner = joiner();
    assert!(joiner.add(from("+4930", 1, 2), 1, says("a"), 7, at(0)).is_empty());
    for n in 0..=255 {
        joiner.add(key(n, 2), 1, says("x"), 1, at(1));
    }
    assert_eq!(
        whole(joiner.add(from("+4930", 1, 2), 2, says("b"), 8, at(2))).as_deref(),
        Some("ab"),
        "others are safe"
    );
    assert_eq!(joiner.waiting.len(), MOST_OF_ONE);
    let mut given_up = 0;
    for n in 0..5_000 {
        let piece = Piece::Bytes { bytes: vec![b'x'; MOST_OF_A_PART], coding: Coding::new(0) };
        given_up += tell(joiner.add(from(&format!("+49{n}"), 1, 2), 1, piece, n, at(3))).len();
        assert!(joiner.waiting.len() <= MOST_TEXTS && joiner.bytes <= MOST_BYTES);
    }
    assert!(given_up >= 2_900 && joiner.gone.len() <= MOST_GONE && joiner.gone_order.len() <= MOST_GONE, "{given_up}");
    assert!(!joiner.expire(at(500)).is_empty());
    assert_eq!((joiner.waiting.len(), joiner.bytes, joiner.senders.len()), (0, 0, 0));
    joiner.expire(at(1000));
    assert_eq!((joiner.gone.len(), joiner.gone_order.len()), (0, 0));
}

#[test]
fn texts_that_pass_by_leave_nothing_behind_a_slow_one() {
    let mut joiner = joiner();
    joiner.add(from("+4930", 1, 2), 1, says("slow"), 1, at(0));
    for n in 0..10_000_u32 {
        let key = from(&format!("+44{n}"), 1, 2);
        joiner.add(key.clone(), 1, says("a"), n, at(1));
        assert_eq!(whole(joiner.add(key, 2, says("b"), n, at(1))).as_deref(), Some("ab"));
        assert!(joiner.order.len() <= 2 * MOST_TEXTS, "{}", joiner.order.len());
    }
    assert_eq!(joiner.poll_timeout(), Some(at(60)));
}

#[test]
fn whatever_comes_every_part_is_answered_once() {
    let mut dice: u64 = 11;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (dice >> 33) % sides
    };
    for _ in 0..200 {
        let mut joiner: Joiner<u32> = Joiner::new(DEADLINE);
        let (mut now, mut given, mut answered) = (0, 0, 0);
        for _ in 0..300 {
            now += roll(8);
            let total = [1, 2, 3, 4, 30][roll(5) as usize];
            let number = 1 + roll(u64::from(total)) as u8;
            let user_data: Vec<u8> = (0..roll(4)).map(|_| roll(256) as u8).collect();
            let coding = [0, 3, 8, 0xf5][roll(4) as usize];
            let raw = Raw { user_data: &user_data, data_coding: coding, has_header: false, packed: roll(2) == 0 };
            let (piece, _) = piece(raw).unwrap();
            let key = from(["+44", "+49"][roll(2) as usize], roll(20) as u8, total);
            given += 1;
            for end in joiner.add(key, number, piece, given, at(now)) {
                let settled = match &end {
                    End::Whole { key, .. } if roll(2) == 0 => Some(key.clone()),
                    _ => None,
                };
                answered += told(end).1.len();
                let again = settled.map(|key| joiner.settled(&key, at(now))).unwrap_or_default();
                answered += tell(again).iter().map(|(_, parts)| parts.len()).sum::<usize>();
            }
        }
        let last = joiner.expire(at(now + 60));
        answered += tell(last).iter().map(|(_, parts)| parts.len()).sum::<usize>();
        assert_eq!(answered, given as usize);
        assert_eq!((joiner.bytes, joiner.waiting.len(), joiner.senders.len()), (0, 0, 0));
    }
}
