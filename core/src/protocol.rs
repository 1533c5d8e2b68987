//! Kafka's protocol, as far as almanac speaks it without librdkafka: requests to bytes, bytes to responses and records.

pub mod batches;
pub mod decompression;
pub mod lookups;
mod place;
pub mod reader;
pub mod sasl;
pub mod transactions;
pub mod wire;
