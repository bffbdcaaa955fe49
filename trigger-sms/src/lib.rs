//! Ringback's SMS trigger: a text becomes a job, the outcome becomes a text.

pub mod parse;
