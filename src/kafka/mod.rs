//! Apache Kafka, as the rest of almanac sees it. The only place that names the client crate.
//!
//! The client is librdkafka by way of rdkafka. Its safe wrapper serves for settings, topics and the producer;
//! the consumer speaks to the C library itself (all `unsafe` is there and in `admin`), because it needs what the
//! wrapper lacks: rebalances as plain values, answered when the caller is ready; topic ids; leader epochs. What lies
//! before the end of the log is read without it, in bulk: see `replay`.

#![allow(unsafe_code, reason = "the C library is called from here only, each time with its SAFETY")]

mod admin;
pub mod batches;
mod config;
mod consumer;
mod error;
mod log;
mod producer;
mod replay;
pub mod wire;

pub use admin::{Admin, Topic};
pub use batches::{Record, Records};
pub use config::{Connection, Property};
pub use consumer::{Batch, Consumer, Item, Position, RebalanceEvent, StartAt};
pub use error::KafkaError;
pub use log::{Span, extent, read_spans};
pub use producer::{Producer, Undelivered};
