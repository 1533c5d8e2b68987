//! Apache Kafka, as the rest of almanac sees it. The only place that names the client crate.
//!
//! almanac reads records, and makes most requests, over connections of its own (`fetcher`, `cluster`). librdkafka
//! produces, creates topics, is the member of a group, and reads where only it can reach the brokers.
//!
//! A [`Consumer`] has two parts: `group` is the membership, and `reader` is the one place that says who reads a
//! partition. [`Received`] has the result of a poll.

mod access;
mod account;
mod address;
mod admin;
mod assignment;
mod cluster;
mod config;
mod connector;
mod consumer;
mod decompression;
mod diagnosis;
mod error;
mod events;
mod failover;
mod fetcher;
mod group;
mod health;
mod link;
mod links;
mod log;
mod native;
mod permission;
mod producer;
mod reader;
mod reading;
mod received;
mod response;
mod sasl;
mod timeouts;
mod tls;
mod wait;

pub use almanac_core::protocol::{batches, wire};

pub use account::{Account, account};
pub use admin::{Admin, Leaders, Topic};
pub use assignment::{OffsetOf, Position, RebalanceEvent, StartAt};
pub use batches::{Record, Records, Refused};
pub use config::{Connection, Property};
pub use consumer::Consumer;
pub use decompression::decompression;
pub use diagnosis::{hint_for, hint_for_leader};
pub use error::KafkaError;
pub use failover::FailoverAdmin;
pub use health::{Health, HealthCheck};
pub use log::{Span, extent, read_all_of_spans, read_spans};
pub use producer::{Batch, Deliveries, Producer};
pub use received::{Item, Received};
pub use timeouts::{POLL_TIMEOUT, REQUEST_TIMEOUT, SHORT_REQUEST_TIMEOUT};
