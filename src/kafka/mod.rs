//! Apache Kafka, as the rest of almanac sees it. The only place that names the client crate.
//!
//! almanac reads records, and makes most requests, over connections of its own (`fetcher`, `cluster`). librdkafka
//! produces, creates topics, is the member of a group, and reads where only it can reach the brokers.
//!
//! A [`Consumer`] has two parts: `group` is the membership, and `reader` is the one place that says who reads a
//! partition. What comes of a poll is in [`Received`].

mod account;
mod address;
mod admin;
mod asker;
mod assignment;
mod cluster;
mod config;
mod consumer;
mod decompression;
mod error;
mod events;
mod fetcher;
mod group;
mod link;
mod links;
mod log;
mod native;
mod producer;
mod reader;
mod reading;
mod received;
mod response;
mod watch;

pub use almanac_core::protocol::{batches, wire};

pub use account::{Account, account};
pub use admin::{Admin, Leaders, Topic};
pub use asker::Asker;
pub use assignment::{Position, RebalanceEvent, StartAt};
pub use batches::{Record, Records, Refused};
pub use config::{Connection, Property};
pub use consumer::Consumer;
pub use decompression::decompression;
pub use error::KafkaError;
pub use log::{Span, extent, read_all_of_spans, read_spans};
pub use producer::{Acknowledged, Producer, Stuck, Undelivered};
pub use received::{Item, Received};
pub use watch::{Sight, Watch};
