//! What Ringback's triggers and engine share: the contract (job, event, number, money), the queue, the store, the one
//! door for triggers, the settings and the main of every binary.

pub mod answer;
pub mod binary;
pub mod config;
pub mod courier;
pub mod end_reason;
pub mod event;
pub mod failpoint;
pub mod guard;
pub mod hosts;
pub mod intake;
pub mod job;
pub mod json;
pub mod knock;
pub mod lock;
pub mod money;
pub mod notice;
pub mod number;
pub mod opening;
pub mod pace;
pub mod private;
pub mod queue;
pub mod secret;
pub mod service;
pub mod store;
pub mod terms;
pub mod wall;
