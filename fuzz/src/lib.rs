//! The targets of the fuzzers. See `README.md`.

#[path = "../../src/kafka/decompression.rs"]
mod decompression;
mod kafka;
pub mod targets;
