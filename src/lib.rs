//! Daily weather reports through Apache Kafka into month-by-month statistics, counted exactly once.
//!
//! `ARCHITECTURE.md` is the map.

pub mod broker;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod dashboard;
pub mod debug;
pub mod excerpt;
pub mod kafka;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod output;
pub mod pipeline;
pub mod plot;
pub mod producer;
pub mod report;
pub mod source;
pub mod stats;
pub mod status;
pub mod stop;
pub mod store;
pub mod text;
pub mod verify;
