//! Apache Kafka, as the rest of almanac sees it. The only place that names the client crate.
//!
//! Records are read, and most things asked, over connections of almanac's own (`fetcher`, `cluster`). librdkafka, by way
//! of rdkafka, produces, creates topics, is the member of a group, and reads where only it can reach the brokers. Its
//! safe wrapper lacks rebalances as plain values, topic ids and leader epochs, so the C library itself is called (all
//! `unsafe` is in `consumer` and `admin`).

#![allow(unsafe_code, reason = "the C library is called from here only, each time with its SAFETY")]

mod account;
mod admin;
mod asker;
mod cluster;
mod config;
mod consumer;
mod error;
mod fetcher;
mod link;
mod log;
mod producer;
mod response;
mod watch;

use almanac_core::protocol::decompression::Decompression;
use almanac_core::protocol::lookups;
pub use almanac_core::protocol::{batches, wire};

pub use account::{Account, account};
pub use admin::{Admin, Seen, Topic};
pub use asker::Asker;
pub use batches::{Record, Records, Refused};
pub use config::{Connection, Property};
pub use consumer::{Consumer, Item, Position, RebalanceEvent, Received, StartAt};
pub use error::KafkaError;
pub use log::{Span, extent, read_all_of_spans, read_spans};
pub use producer::{Acknowledged, Producer, Stuck, Undelivered};
pub use watch::{Sight, Watch};

/// Decompression with every codec that Kafka has: the core leaves out the one whose decoder is C.
pub fn decompression() -> Decompression {
    Decompression::with_zstd(|compressed| Ok(Box::new(zstd::Decoder::with_buffer(compressed)?)))
}
