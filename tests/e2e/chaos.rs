//! A whole site under load while everything around it breaks: `tests/CHAOS.md`.
//!
//! `CHAOS_SEED=7` runs that seed, `CHAOS_SEED=1-20` those; without it, the first. With `CHAOS_CALM=1` nothing breaks.

use std::ops::RangeInclusive;

use ringback_tests::chaos::{Shape, seeds};

fn wanted() -> RangeInclusive<u64> {
    let Ok(text) = std::env::var("CHAOS_SEED") else { return 1..=1 };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let number =
        |text: &str| text.trim().parse().unwrap_or_else(|_| panic!("CHAOS_SEED is a seed or FIRST-LAST: {text}"));
    number(first)..=number(last)
}

fn calm() -> bool {
    std::env::var_os("CHAOS_CALM").is_some()
}

#[test]
fn small() {
    seeds(Shape::Small, wanted(), calm());
}

#[test]
fn big() {
    seeds(Shape::Big, wanted(), calm());
}
