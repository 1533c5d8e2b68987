//! The protocol as the consumer speaks it, of which only requests are made here, and only offsets looked at.

#[path = "../../src/kafka/batches.rs"]
pub mod batches;
#[path = "../../src/kafka/wire.rs"]
pub mod wire;
