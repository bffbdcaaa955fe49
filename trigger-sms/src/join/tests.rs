//! Parts in every order, with gaps, repeats and lies.

use super::*;
use crate::coding::{Raw, piece};

fn text(reference: u8, total: u8) -> LongText {
    let place = Place::new(Reference::Byte(reference), total, 1).unwrap();
    text_at("smpp", "+447911123456", "777", &place)
}

fn add(joiner: &mut Joiner, of: &LongText, number: u8, says: &str) -> End {
    joiner.add(of.clone(), number, says.as_bytes(), Piece::Text(says.to_owned()))
}

fn whole(says: &str) -> End {
    End::Whole(Ok(says.to_owned()))
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
    for order in orders(&[1, 2, 3, 4]) {
        let (mut joiner, of) = (Joiner::default(), text(7, 4));
        let said = |number: u8| ["alice ", "s3cret ", "+44 ", "+49"][usize::from(number) - 1];
        for (place, number) in order.iter().enumerate() {
            let end = add(&mut joiner, &of, *number, said(*number));
            assert_eq!(end, if place == 3 { whole("alice s3cret +44 +49") } else { End::Waits }, "{order:?}");
        }
        assert_eq!(add(&mut joiner, &of, order[0], said(order[0])), End::Past, "a repeat");
    }
}

#[test]
fn parts_of_two_texts_are_never_one_text() {
    let (mut joiner, of) = (Joiner::default(), text(7, 3));
    for (number, says, end) in [
        (1, "x1", End::Waits),
        (2, "x2", End::Waits),
        (1, "y1", End::Waits),
        (3, "y3", End::Waits),
        (2, "y2", whole("y1y2y3")),
        (2, "z2", End::Waits),
    ] {
        assert_eq!(add(&mut joiner, &of, number, says), end, "{says}");
    }
    assert_eq!(add(&mut joiner, &text(8, 2), 1, "other"), End::Waits, "another reference is another text");
}

#[test]
fn a_character_cut_between_two_parts_is_whole_again() {
    let (mut joiner, of) = (Joiner::default(), text(7, 2));
    let part = |user_data: &'static [u8]| {
        let raw = Raw { user_data, data_coding: 8, has_header: false, packed: false };
        (user_data, piece(raw).unwrap().0)
    };
    let ((first, one), (second, two)) = (part(b"\xd8\x3d"), part(b"\xde\x00\0A"));
    assert_eq!(joiner.add(of.clone(), 2, second, two), End::Waits);
    assert_eq!(joiner.add(of, 1, first, one), whole("😀A"));
}

#[test]
fn too_long_is_said_once() {
    let mut joiner = Joiner::default();
    let of = text(7, MOST_PARTS + 1);
    assert_eq!(add(&mut joiner, &of, 1, "a"), End::TooLong);
    for number in 1..=MOST_PARTS {
        assert_eq!(add(&mut joiner, &of, number, "a"), End::Past, "{number}");
    }
    assert_eq!(add(&mut joiner, &text(8, 2), 1, &"x".repeat(MOST_OF_A_PART + 1)), End::TooLong);
}

#[test]
fn memory_has_a_limit() {
    let mut joiner = Joiner::default();
    for number in 0..3 * MOST_TEXTS {
        let place = Place::new(Reference::named(&number.to_string()), 2, 1).unwrap();
        joiner.add(text_at("smpp", "a", "b", &place), 1, b"x", Piece::Text("x".to_owned()));
        assert!(joiner.texts.len() <= MOST_TEXTS && joiner.order.len() <= MOST_TEXTS);
    }
}
