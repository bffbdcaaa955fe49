//! Ringback's engine: takes jobs, calls A, calls B, joins them, cuts them before the money runs out, charges both legs, and
//! tells the world.
//!
//! | Module | Story |
//! |---|---|
//! | [`worker`], [`due`] | take, acknowledge, admit, run, settle: the life of a job |
//! | [`admission`], [`routing`], [`billing`] | may it be made, through which trunk, for how much (pure) |
//! | [`call`] | what a callback does next (pure) |
//! | [`driver`] | does it |
//! | [`media`], [`sdp`] | what the parties hear |
//! | [`recovery`], [`heartbeat`], [`gate`] | who owns a call after a crash, and who may still send |
//! | `orphans` | phones that answer an engine that is no more |
//! | [`events`], [`drain`] | what the world is told |

pub mod admission;
pub mod billing;
pub mod call;
pub mod drain;
pub mod driver;
pub mod due;
pub mod events;
pub mod gate;
pub mod heartbeat;
pub mod media;
mod orphans;
pub mod quote;
pub mod recovery;
pub mod routing;
mod run;
pub mod sdp;
mod tables;
pub mod views;
pub mod worker;
pub mod world;

pub use run::{RunError, Surroundings, run};
