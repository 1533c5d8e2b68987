//! The targets of the fuzzers. See `README.md`.

mod kafka;
pub mod targets;
