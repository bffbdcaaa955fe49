//! Chaos: a whole site under load while everything around it breaks, judged from outside. `tests/CHAOS.md` says how to read it.

pub mod dice;
pub mod facts;
pub mod judges;
pub mod manners;
pub mod plan;
