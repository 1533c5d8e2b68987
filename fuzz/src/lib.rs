//! What the fuzzers run. See `README.md`.

pub mod targets;
