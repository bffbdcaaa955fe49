//! A whole site under load while everything around it breaks: `tests/CHAOS.md`.
//!
//! `CHAOS_SEED=7` runs that seed again, `CHAOS_SEEDS=20` the first twenty, `CHAOS_CALM=1` without anything breaking.

use ringback_tests::chaos::{Shape, seeds};

fn wanted() -> std::ops::RangeInclusive<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("CHAOS_SEED"), number("CHAOS_SEEDS")) {
        (Some(seed), _) => seed..=seed,
        (None, Some(count)) => 1..=count,
        (None, None) => 1..=1,
    }
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
