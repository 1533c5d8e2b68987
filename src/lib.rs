//! Daily weather reports through Apache Kafka into month-by-month statistics, counted exactly once.
//!
//! `ARCHITECTURE.md` is the map.

pub mod checkpoint;
pub mod kafka;
pub mod pipeline;
pub mod report;
pub mod stats;
pub mod status;
pub mod stop;
pub mod store;
