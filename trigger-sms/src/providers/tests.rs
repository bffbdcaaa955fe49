//! The contract that all providers are held to.
