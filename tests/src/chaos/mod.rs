//! Chaos: a whole site under load while everything around it breaks, judged from outside. `tests/CHAOS.md` says how to read it.

mod asks;
mod breaking;
mod dice;
mod facts;
mod gather;
mod judges;
mod manners;
mod plan;
mod post;
mod run;
mod stage;

pub use plan::Shape;
pub use run::seeds;
