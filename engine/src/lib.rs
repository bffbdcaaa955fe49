//! placeholder

pub mod gate;
pub mod media;
pub mod sdp;
