//! Parts of long texts.

use super::*;

fn part(reference: &str, number: u8, says: &str, age: TimeDelta) -> Part {
    Part {
        of: LongText {
            source: "smsc".to_owned(),
            sender: "+447700900001".to_owned(),
            recipient: "777".to_owned(),
            reference: reference.to_owned(),
            total: 2,
        },
        number,
        data_coding: 8,
        has_header: true,
        sealed: says.as_bytes().to_vec(),
        mark: format!("mark of {says}"),
        created: moment() - age,
    }
}

fn here(put: PartPut) -> Vec<u8> {
    match put {
        PartPut::Here { parts, .. } => parts.iter().map(|part| part.number).collect(),
        PartPut::Known => panic!("it is known"),
        PartPut::TooMany => panic!("there are too many"),
    }
}

pub async fn a_long_text_is_whole_when_all_its_parts_are_there(bench: Bench) {
    let (now, one, two) = (TimeDelta::zero(), bench.store.clone(), bench.other.clone());
    assert_eq!(here(one.part_put(&part("b7", 2, "b", now)).await.unwrap()), [2]);
    assert_eq!(here(one.part_put(&part("b8", 1, "other", now)).await.unwrap()), [1]);
    assert_eq!(here(two.part_put(&part("b7", 2, "b", now)).await.unwrap()), [2], "a repeat is the same part");
    let PartPut::Here { parts, lost: false } = two.part_put(&part("b7", 1, "a", now)).await.unwrap() else { panic!() };
    assert!(parts == [part("b7", 1, "a", now), part("b7", 2, "b", now)] || parts.len() == 2);
    assert_eq!((parts[0].sealed.as_slice(), parts[1].sealed.as_slice()), (&b"a"[..], &b"b"[..]));
    assert_eq!((parts[0].data_coding, parts[0].has_header), (8, true));
    let both = tokio::join!(async { one.part_put(&part("b9", 1, "x", now)).await.unwrap() }, async {
        two.part_put(&part("b9", 2, "y", now)).await.unwrap()
    });
    assert!([here(both.0), here(both.1)].contains(&vec![1, 2]), "of two that come at once one sees both");
    for number in 0..80 {
        match one.part_put(&part(&format!("many{number}"), 1, "x", now)).await.unwrap() {
            PartPut::TooMany => return,
            put => assert_eq!(here(put), [1]),
        }
    }
    panic!("a sender fills the store");
}

pub async fn a_finished_text_knows_its_repeats_and_gives_its_reference_free(bench: Bench) {
    let (now, store) = (TimeDelta::zero(), &bench.store);
    for (number, says) in [(1, "a"), (2, "b")] {
        store.part_put(&part("b7", number, says, now)).await.unwrap();
    }
    store.parts_done(&part("b7", 1, "", now).of).await.unwrap();
    assert!(bench.other.parts_of(&part("b7", 1, "", now).of).await.unwrap().is_empty());
    assert!(matches!(store.part_put(&part("b7", 2, "b", now)).await.unwrap(), PartPut::Known));
    assert_eq!(
        here(store.part_put(&part("b7", 2, "later", now)).await.unwrap()),
        [2],
        "another text, the same reference"
    );
    assert_eq!(here(store.part_put(&part("b7", 1, "even later", now)).await.unwrap()), [1, 2]);
}

pub async fn parts_of_two_texts_are_never_one_text(bench: Bench) {
    let store = &bench.store;
    let part = |number, says: &str| {
        let mut part = part("b7", number, says, TimeDelta::zero());
        part.of.total = 3;
        part
    };
    for (number, says) in [(1, "x1"), (2, "x2")] {
        store.part_put(&part(number, says)).await.unwrap();
    }
    let PartPut::Here { parts, lost: true } = store.part_put(&part(1, "y1")).await.unwrap() else { panic!() };
    assert!(parts.len() == 1 && parts[0].sealed == b"y1", "the earlier text has lost, with all its parts");
    assert_eq!(here(bench.other.part_put(&part(3, "y3")).await.unwrap()), [1, 3], "x2 does not stand in for y2");
    let PartPut::Here { parts, lost: false } = store.part_put(&part(2, "y2")).await.unwrap() else { panic!() };
    assert!(parts.iter().map(|part| part.sealed.as_slice()).eq([b"y1", b"y2", b"y3"]));
    store.parts_done(&parts[0].of).await.unwrap();
    let put = store.part_put(&part(2, "z2")).await.unwrap();
    assert!(matches!(put, PartPut::Here { lost: false, .. }), "what was dealt with is not lost");
}

pub async fn a_part_that_comes_after_its_text_was_given_up_is_known(bench: Bench) {
    let store = &bench.store;
    store.part_put(&part("b7", 1, "a", TimeDelta::zero())).await.unwrap();
    store.parts_done(&part("b7", 1, "", TimeDelta::zero()).of).await.unwrap();
    assert!(matches!(store.part_put(&part("b7", 2, "b", TimeDelta::zero())).await.unwrap(), PartPut::Known));
}

pub async fn late_texts_are_found_and_old_ones_forgotten(bench: Bench) {
    let (store, minute) = (&bench.store, TimeDelta::minutes(1));
    store.part_put(&part("old", 1, "a", minute * 5)).await.unwrap();
    store.part_put(&part("old", 2, "b", TimeDelta::zero())).await.unwrap();
    store.part_put(&part("new", 1, "a", TimeDelta::zero())).await.unwrap();
    let late = part("old", 1, "", minute).of;
    assert_eq!(bench.other.parts_overdue("smsc", moment() - minute).await.unwrap(), std::slice::from_ref(&late));
    assert!(store.parts_overdue("elsewhere", moment() - minute).await.unwrap().is_empty());
    store.parts_done(&late).await.unwrap();
    assert!(store.parts_overdue("smsc", moment() - minute).await.unwrap().is_empty());
    store.parts_forget("smsc", moment() - minute).await.unwrap();
    assert!(matches!(store.part_put(&part("old", 2, "b", minute)).await.unwrap(), PartPut::Known), "this one is young");
    store.parts_forget("smsc", moment() + minute).await.unwrap();
    assert_eq!(here(store.part_put(&part("old", 1, "a", minute)).await.unwrap()), [1], "it is forgotten");
}
