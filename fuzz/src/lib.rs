//! What the fuzzers run. See `README.md`.

mod kafka;
pub mod targets;
